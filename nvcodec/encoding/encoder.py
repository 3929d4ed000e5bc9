"""Frames to a file: fit, quantise, write, then decode the file once more and compare."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import torch

from nvcodec.decoding.decoded_video import Video as DecodedVideo
from nvcodec.devices import pick_device
from nvcodec.encoding.assembly import Assembler, Clock, Encoded
from nvcodec.encoding.export.reference_layer import underlay_of
from nvcodec.encoding.fit import checkpoint
from nvcodec.encoding.fit.fit import Fit, FitOptions, fast_bfloat16, snapshot
from nvcodec.encoding.fit.fit_loop import Progress, interruption, run, run_in_haste, run_to_quality
from nvcodec.encoding.fit.joint_fit import polish
from nvcodec.encoding.fit.losses import DEFAULT_LOSS, Loss, PictureLoss
from nvcodec.encoding.fit.targets import balanced, parameters_for, parameters_to_reach, run_to_size, trim
from nvcodec.encoding.fit.warm_start import warm_start
from nvcodec.encoding.model.decoder_network import Underlay
from nvcodec.encoding.model.network_shape import (
    BLOCKS,
    DEFAULT_BLOCK,
    DEFAULT_GRIDS,
    DEFAULT_SKIP,
    DEFAULT_Z_GAIN,
    SKIPS,
    NetworkShape,
    parse_size,
    solve,
)
from nvcodec.errors import InputError, Interrupted, UsageError
from nvcodec.files import atomic_file, check_writable, is_same_file
from nvcodec.format.stream_reader import layer_ends, read_stream
from nvcodec.memory import used_memory
from nvcodec.video.clip import Clip, steady
from nvcodec.video.frames import Frames
from nvcodec.video.motion import change
from nvcodec.video.source import DEFAULT_FPS, LEAST_SIDE, Selection, read_clip

DEFAULT_LAMBDA = 1.5
STILL = 0.55  # of the detail, at most, is another four frames later where a clip counts as still
JOINT_SHARE = 0.25  # of a layer's steps, or of all time, in which all layers are fitted together
PLACEHOLDER = "{}"
DEFAULT_EPOCHS = 28
DEFAULT_STEPS, MOST_EPOCHS = 2800, 175  # a short clip is seen more often, up to so many steps and epochs
TIMED_BATCH = 4  # frames a step on a GPU where time alone ends the fit: they take little longer than one there
#: Presets, as multiples of the default's steps.
PRESETS = {"draft": 0.25, "normal": 1.0, "fine": 4.0, "finest": 16.0}
ON_INTERRUPT = ("checkpoint", "write")
#: What fits were seen to take beside their frames, in bytes: always, and for each pixel (the encoder, mostly), each
#: value that the decoder's blocks yield, and each parameter.
FIXED_MEMORY, PIXEL_MEMORY, ACTIVATION_MEMORY, PARAMETER_MEMORY = 200 * 2**20, 480, 19, 50


def encode(
    source: str | os.PathLike[str] | Clip | torch.Tensor,
    output: str | os.PathLike[str] | None = None,
    *,
    size: str | int | None = None,
    target_size: int | Sequence[int] | None = None,
    bitrate: float | None = None,
    target_psnr: float | None = None,
    crop: tuple[int, int] | None = None,
    scale: tuple[int, int] | None = None,
    start: int = 0,
    frames: int | None = None,
    every: int = 1,
    fps: Fraction | float | None = None,
    preset: str | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    time_limit: float | None = None,
    rd_lambda: float = DEFAULT_LAMBDA,
    skip: str = DEFAULT_SKIP,
    block: str = DEFAULT_BLOCK,
    z_gain: float = DEFAULT_Z_GAIN,
    grids: float = DEFAULT_GRIDS,
    loss: str | Loss = DEFAULT_LOSS,
    weights: str | os.PathLike[str] | torch.Tensor | None = None,
    seed: int = 0,
    device: str = "auto",
    threads: int | None = None,
    report: Callable[[Progress], None] | None = None,
    init: str | os.PathLike[str] | None = None,
    onto: str | os.PathLike[str] | None = None,
    joint: bool = False,
    max_memory: int | None = None,
    overwrite: bool = False,
    resume: bool = False,
    checkpoint_every: float = 30.0,
    on_interrupt: str = "checkpoint",
) -> Encoded:
    """Fit a network to one video and write it as an SDMN file.

    Args:
        source: a video file, a folder of images, a :class:`~nvcodec.video.clip.Clip`, or uint8 frames
            [frames, 3, height, width].
        output: the file to write; None only returns its bytes. Where several sizes are asked for it contains ``{}``, in
            place of which each file's name has its size.
        size: everything that is stored, in parameters: ``"3M"``, ``"300k"`` or a number. Where there is a target it may
            be left out; one that can meet it is then chosen. ``"3M,1M,1M"`` makes a base layer and two enhancement
            layers, each fitted for as many steps, or its share of the time, to what those below leave over.
        target_size: bytes the file should have. It will have at most these, and at least 98 % of them; whether it has
            is in the result (:attr:`Encoded.on_size`). Several sizes make several files of one fit, which share all
            but its last part.
        bitrate: the same in bits a second.
        target_psnr: end as soon as the file reaches this RGB PSNR, dB; without another limit within the longest preset.
            Without ``size``, bytes that it does not need are then saved. What was reached is in the result.
        crop, scale, start, frames, every: see :class:`~nvcodec.video.source.Selection`; for paths only.
        fps: frame rate of images or of a tensor (25 if None), or in place of a file's time stamps.
        preset: how long to fit, of :data:`PRESETS`; ``normal`` if nothing else says it.
        epochs: how often each frame is seen, in place of ``preset``.
        steps: updates, one frame each, in place of ``preset``.
        time_limit: seconds the whole encode may take; the fit plans its rates for it. With ``preset``, ``epochs`` or
            ``steps`` as well, what is reached first ends the fit.
        rd_lambda: dB of quality that twice the bytes for weights are worth, from 0 to 20; above 0 the fit makes both
            the loss and the bytes small, and learns how finely to round.
        skip: the skip connection: ``invertible``, ``direct`` (f alone, no invertible network) or ``none``. It has
            fewer than two scales, or none, where f would take more than a sixth of the size.
        block: ``rep``, reparameterised while fitting, or ``plain``.
        z_gain: standard deviation of the sampled z, 0 (off) to 16; of use to the invertible connection only.
        grids: share of the parameters that feature grids may take, 0 (none) to 1.
        loss: what the fit makes small: ``l2``, ``l1``, ``l1-ssim`` (see
            :class:`~nvcodec.encoding.fit.losses.PictureLoss`), or a function of (decoded, source, frames): both
            pictures [batch, 3, height, width] in about 0 to 1, and the numbers of their frames; it returns one number
            with a gradient.
        weights: importance of every pixel in a loss that has a name: a folder of pictures or a video, a frame each,
            which is cropped, scaled and cut as the source is; or uint8 [frames, 3, height, width]. Only ratios count.
        seed: the same seed, CPU and number of threads give the same file.
        device: where to fit: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads of torch; None leaves its default. Put back afterwards.
        report: called with the fit's progress.
        init: an SDMN file to start from: of a neighbouring clip, an earlier version of this one, or another size (see
            :func:`~nvcodec.encoding.fit.warm_start.warm_start`).
        onto: an SDMN file of the same frames, to which ``size`` adds enhancement layers; its own bytes stay.
        joint: whether layers that were fitted one after the other are then fitted together, for a quarter of a layer's
            steps or of the time. No checkpoint is kept then, and an interruption meanwhile ends it early.
        max_memory: bytes this process may hold; frames that take more than a quarter of what is left of it are read
            from a temporary file while fitting. None: the file is used where frames take more than a quarter of the
            machine's memory. Not counted: the memory of a CUDA device.
        overwrite: whether an existing ``output``, or the checkpoint of an interrupted encode, may be replaced.
        resume: go on from the checkpoint beside ``output``.
        checkpoint_every: seconds between checkpoints.
        on_interrupt: what Ctrl-C does in the main thread: ``checkpoint`` keeps the fit's state beside ``output``,
            ``write`` winds the fit down in a few seconds and writes the file. A second one ends at once.

    While it fits, the state is kept in ``output`` + ``.checkpoint``; that file goes away at the end.

    Raises:
        InputError: the source or checkpoint cannot be read, or the output not be written.
        Interrupted: Ctrl-C, and a checkpoint was kept.
        UsageError: options that contradict each other or the video.
        VerificationError: the file does not decode to what was meant.
    """
    goal = _goal(size, target_size, bitrate, target_psnr, onto is not None)
    _check_length(preset, epochs, steps, time_limit)
    if joint and (len(goal.sizes) < 2 or onto is not None or resume):
        raise UsageError("--joint goes with several sizes in --size, and not with --add-layer or --resume")
    if not 0 <= rd_lambda <= 20:
        raise UsageError(f"--lambda takes dB from 0 to 20, got {rd_lambda}")
    if on_interrupt not in ON_INTERRUPT:
        raise UsageError(f"--on-interrupt is one of {', '.join(ON_INTERRUPT)}; got {on_interrupt!r}")
    if fps is not None and not 0 < fps < math.inf:
        raise UsageError(f"the frame rate must be positive, got {fps}")
    if skip not in SKIPS or block not in BLOCKS:
        raise UsageError(
            f"--skip is one of {', '.join(SKIPS)}, --block of {', '.join(BLOCKS)}; got {skip!r}, {block!r}"
        )
    if not (0 <= z_gain <= 16 and 0 <= grids <= 1):
        raise UsageError(f"--z-gain takes a number from 0 to 16, --grids a share from 0 to 1; got {z_gain} and {grids}")
    if weights is not None and not isinstance(loss, str):
        raise UsageError("weights go with a loss that has a name; a function of one's own weighs by itself")
    if onto is not None and init is not None:
        raise UsageError("--init starts a base layer; where layers are added to a file there is none to start")
    starting = None if init is None else DecodedVideo(init, device=device)
    outputs = [] if output is None else file_names(os.fspath(output), goal.file_bytes)
    for path in outputs:
        if is_same_file(path, source):
            raise UsageError(f"{path} is the source; give the output another name")
        if os.path.exists(path) and not overwrite:
            raise UsageError(f"{path} exists; -y overwrites it")
    kept = None if joint else checkpoint.path_beside(output)  # of several fits at once none is kept
    if resume and kept is None:
        raise UsageError("--resume needs an output that is a file, beside which the checkpoint lies")
    if kept is not None and kept.exists() and not (resume or overwrite):
        raise UsageError(f"{kept} is of an interrupted encode; --resume goes on with it, -y starts anew")
    where = pick_device(device)
    clock = Clock()
    rate = None if fps is None else Fraction(fps).limit_denominator(10**6)
    with clock("reading"):
        selection = Selection(crop, scale, start, frames, every)
        free = None if max_memory is None else max(0, max_memory - used_memory())
        clip = _as_clip(source, selection, rate, free)
        if isinstance(loss, str):
            loss = PictureLoss(loss, None if weights is None else _weights(weights, selection, clip, free))
    if not len(clip.frames) or max(clip.width, clip.height) > 65535 or min(clip.width, clip.height) < LEAST_SIDE:
        raise InputError(
            f"{_size(clip.frames)} cannot be encoded: at least one frame is needed, "
            f"and sides from {LEAST_SIDE} to 65535"
        )
    if bitrate is not None:
        goal.file_bytes = [max(1, round(bitrate * clip.seconds / 8))]
    normal = default_steps(len(clip.frames))
    if epochs is not None:
        steps = max(1, round(epochs * len(clip.frames)))
    elif steps is None and (preset or time_limit is None):
        longest = target_psnr is not None and not preset
        steps = max(1, round((max(PRESETS.values()) if longest else PRESETS[preset or "normal"]) * normal))
    options = FitOptions(
        steps,
        batch=TIMED_BATCH if steps is None and where.type == "cuda" else 1,
        seed=seed,
        rep=block == "rep",
        rate=rd_lambda,
        bfloat16=fast_bfloat16(where),
    )
    network = functools.partial(
        solve,
        width=clip.width,
        height=clip.height,
        frames=len(clip.frames),
        z_gain=z_gain,
        still=change(clip.frames) < STILL,
    )
    lower = b"" if onto is None else _file_of(onto, clip)
    remaining = goal.sizes
    if resume and kept is not None:
        given = layer_ends(lower)
        done = checkpoint.lower(kept) or lower
        made = len(layer_ends(done)) - len(given)
        if not done.startswith(lower[: given[-1]] if given else b"") or made >= len(goal.sizes):
            raise UsageError(f"{kept} is of an encode to other layers")
        lower, remaining = done, remaining[made:]
    keeper = None if kept is None else functools.partial(checkpoint.Keeper, kept, checkpoint_every)
    before = torch.get_num_threads()
    with contextlib.ExitStack() as stack:
        for path in outputs:
            check_writable(path)  # better noticed before the fit than after it
        stack.callback(torch.set_num_threads, before)
        if threads:
            torch.set_num_threads(threads)
        asked = stack.enter_context(interruption())
        job = _Job(
            clip=clip,
            goal=goal,
            options=options,
            network=network,
            grids=grids,
            skip=skip,
            loss=loss,
            device=where,
            clock=clock,
            max_memory=max_memory,
            kept=kept,
            keeper=keeper,
            report=report,
            asked=asked,
            finish=on_interrupt == "write",
            joint=joint,
        )
        for place, parameters in enumerate(remaining):
            if time_limit is not None:
                # Of the time that is left, what this layer's size is of those that are left.
                share = parameters / sum(later or 0 for later in remaining[place:]) if parameters else 1.0
                left = (time_limit * (1 - JOINT_SHARE if joint else 1)) - sum(clock.seconds.values())
                job.options = dataclasses.replace(options, seconds=max(1e-3, share * left))
            from_checkpoint = kept if resume and not place else None
            begin = functools.partial(_begin, from_checkpoint, None if lower else starting)
            lower = job.fit_layer(parameters, lower, begin)
            if job.ended:
                break
        if joint and not job.ended:
            more = None if time_limit is None else max(1e-3, time_limit - sum(clock.seconds.values()))
            job.polish(None if steps is None else max(1, round(JOINT_SHARE * steps)), more)
    ladder = job.files[-1]
    for path, encoded in zip(outputs, ladder, strict=bool(outputs)):
        with atomic_file(path) as temporary:
            temporary.write_bytes(encoded.data)
    if kept is not None:
        checkpoint.discard(kept)
    several = len(goal.sizes) > 1 or onto is not None
    return dataclasses.replace(
        ladder[0],
        ladder=tuple(ladder) if len(goal.file_bytes) > 1 else (),
        layers=tuple(files[0] for files in job.files) if several else (),
    )


@dataclasses.dataclass
class _Goal:
    """What is asked for: parameters of each layer (None: a number that can meet the target), bytes of each file, or an
    RGB PSNR in dB."""

    sizes: list[int | None]
    file_bytes: list[int]
    psnr: float | None


def _goal(
    size: str | int | None,
    target_size: int | Sequence[int] | None,
    bitrate: float | None,
    target_psnr: float | None,
    onto: bool,
) -> _Goal:
    allowed = [target_size] if isinstance(target_size, int) else list(target_size or ())
    if sum(given is not None for given in (target_size, bitrate, target_psnr)) > 1:
        raise UsageError("--target-size, --bitrate and --target-psnr are three ways to end; give one of them")
    if all(given is None for given in (size, target_size, bitrate, target_psnr)):
        raise UsageError("give one of --size, --target-size, --bitrate and --target-psnr")
    if target_size is not None and not (allowed and all(0 < file_bytes < 2**40 for file_bytes in allowed)):
        raise UsageError(f"--target-size takes bytes, at least 1, got {target_size}")
    if bitrate is not None and not 0 < bitrate < math.inf:
        raise UsageError(f"--bitrate must be positive, got {bitrate}")
    if target_psnr is not None and not 0 < target_psnr < 100:
        raise UsageError(f"--target-psnr takes dB between 0 and 100, got {target_psnr}")
    sizes: list[int | None] = [size] if size is None or isinstance(size, int) else [*map(parse_size, size.split(","))]
    if (len(sizes) > 1 or onto) and (size is None or allowed or bitrate is not None or target_psnr is not None):
        raise UsageError("layers are made by --size alone, without a target")
    return _Goal(sizes, allowed, target_psnr)


def _check_length(preset: str | None, epochs: float | None, steps: int | None, time_limit: float | None) -> None:
    if sum(given is not None for given in (preset, epochs, steps)) > 1:
        raise UsageError("--preset, --epochs and --steps say the same thing; give one of them")
    for name, value in (("--epochs", epochs), ("--steps", steps), ("--time-limit", time_limit)):
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"{name} must be positive, got {value}")
    if preset not in (None, *PRESETS):
        raise UsageError(f"--preset is one of {', '.join(PRESETS)}; got {preset!r}")


def _begin(kept: Path | None, starting: DecodedVideo | None, fit: Fit) -> None:
    """Put a new fit where it goes on from: a checkpoint's state, another file's network, or nothing."""
    if kept is not None:
        checkpoint.restore(fit, kept)
    elif starting is not None:
        warm_start(fit, starting)


@dataclasses.dataclass
class _Job:
    """One encode under way: layers that are fitted one after the other.

    Attributes:
        kept: where a checkpoint is kept, if one is.
        keeper: makes what writes it, given the bytes of the layers below.
        grids: share of the parameters that feature grids may take at most.
        asked: whether an end has been asked for.
        finish: whether the file is then still to be made.
        joint: whether :meth:`polish` will need what layers were made by.
        ended: whether it came to an end that was asked for.
        files: those made of each layer.
    """

    clip: Clip
    goal: _Goal
    options: FitOptions
    network: Callable[..., NetworkShape]
    grids: float
    skip: str
    loss: Loss
    device: torch.device
    clock: Clock
    max_memory: int | None
    kept: Path | None
    keeper: Callable[[bytes], checkpoint.Keeper] | None
    report: Callable[[Progress], None] | None
    asked: Callable[[], bool]
    finish: bool
    joint: bool
    ended: bool = False
    made_by: list[tuple[Fit, Assembler]] = dataclasses.field(default_factory=list)
    files: list[list[Encoded]] = dataclasses.field(default_factory=list)

    def fit_layer(self, parameters: int | None, lower: bytes, begin: Callable[[Fit], None]) -> bytes:
        """Fit one layer onto ``lower`` and make its files; returns the first one's bytes.

        Args:
            parameters: its size; None chooses one.
            lower: the file of the layers below, empty for a base layer.
            begin: puts the new fit where it goes on from.
        """
        clock, goal = self.clock, self.goal
        with clock("reading"):
            underlay = self.underlay(lower)
        # Later layers have no invertible connection: z is sampled for the base.
        solver = functools.partial(
            self.network,
            skip="direct" if underlay and self.skip == "invertible" else self.skip,
            below=underlay.features.shape[1] if underlay else 0,
        )
        sized = balanced(len(self.clip.frames), self.options.rate, self.grids, solver)
        if parameters is None:
            parameters = self.choose_size(sized)
        shape = sized(parameters)
        _check_memory(shape, parameters, self.max_memory, self.device)
        assembler = Assembler(self.clip, shape, self.options.seed, self.device, clock, lower)
        keep = None if self.keeper is None else self.keeper(lower)
        with clock("fitting"):
            fit = Fit(self.clip.frames, shape, self.options, self.device, self.loss, underlay)
            begin(fit)
            if goal.psnr is not None:
                run_to_quality(fit, goal.psnr, self.report, keep, self.asked)
                if goal.sizes == [None] and not self.asked():
                    trim(fit, goal.psnr, self.report, self.asked)
            else:
                run(fit, self.report, keep, lambda: self.asked() or (bool(goal.file_bytes) and fit.quantised))
        if self.joint:
            self.made_by.append((fit, assembler))
        self.files.append(self.make_files(fit, assembler, keep))
        return self.files[-1][0].data

    def underlay(self, lower: bytes) -> Underlay | None:
        """What a layer on ``lower`` stands on."""
        if not lower:
            return None
        free = None if self.max_memory is None else max(0, self.max_memory - used_memory()) // 4
        return underlay_of(read_stream(lower), self.device, free)

    def choose_size(self, sized: Callable[[int], NetworkShape]) -> int:
        """A number of parameters that can meet the target."""
        clip, goal, options = self.clip, self.goal, self.options
        if goal.psnr is None:
            middle = round(math.sqrt(max(goal.file_bytes) * min(goal.file_bytes)))
            return parameters_for(middle, len(clip.frames), options.rate, sized)
        with self.clock("choosing a size"):
            normal = default_steps(len(clip.frames))
            whole = dataclasses.replace(options, steps=min(options.steps or normal, normal))
            return parameters_to_reach(goal.psnr, clip.frames, whole, self.device, self.loss, sized, self.asked)

    def make_files(self, fit: Fit, assembler: Assembler, keep: checkpoint.Keeper | None) -> list[Encoded]:
        """A file, or one for each of the sizes that are asked for.

        Raises:
            Interrupted, KeyboardInterrupt: an end was asked for, and a checkpoint was kept or there is none.
        """
        allowed = self.goal.file_bytes
        branch = snapshot(fit) if len(allowed) > 1 else None  # what all files share
        ladder = []
        goals: list[int | None] = [*allowed] or [None]
        for file_bytes in goals:
            with self.clock("fitting"):
                if branch:
                    fit.restore(*branch)
                if file_bytes is not None and not self.asked():
                    room = functools.partial(assembler.room, fit, file_bytes)
                    run_to_size(fit, room, self.report, None if branch else keep, self.asked)
                self.ended = self.asked()
                if self.ended and not self.finish:
                    if self.kept is None or not fit.step:
                        raise KeyboardInterrupt
                    if branch:
                        fit.restore(*branch)
                    checkpoint.save(fit, self.kept, assembler.lower)
                    raise Interrupted(f"interrupted after {fit.step} steps; --resume goes on from {self.kept}")
                if self.ended:
                    run_in_haste(fit, self.report)
            made = assembler.make(fit)
            ladder.append(dataclasses.replace(made, interrupted=self.ended, target_bytes=file_bytes))
        return ladder

    def polish(self, steps: int | None, seconds: float | None) -> None:
        """Fit all layers together for a while, and make their files anew; an end that is asked for cuts it short."""
        with self.clock("fitting"):
            polish([fit for fit, _ in self.made_by], steps, seconds, self.asked)
        lower = b""
        for number, (fit, assembler) in enumerate(self.made_by):
            fit.decoder.underlay, assembler.lower = self.underlay(lower), lower
            made = dataclasses.replace(assembler.make(fit), interrupted=self.asked())
            self.files[number] = [made]
            lower = made.data


def _file_of(path: str | os.PathLike[str], clip: Clip) -> bytes:
    """The bytes of a file to which layers of ``clip`` are to be added.

    Raises:
        InputError: it cannot be read.
        UsageError: it is of another video.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {os.fspath(path)}: {error.strerror}") from None
    stream = read_stream(data)
    head = stream.segments[0].head
    if stream.note:
        raise InputError(f"{os.fspath(path)} cannot be added to: {stream.note}")
    if (stream.frames, head.width, head.height) != (len(clip.frames), clip.width, clip.height):
        raise UsageError(
            f"{os.fspath(path)} holds {stream.frames} frames of {head.width}x{head.height}, "
            f"the source {_size(clip.frames)}"
        )
    return data


def file_names(output: str, sizes: Sequence[int]) -> list[str]:
    """The files to write: ``output``, or one for each of several sizes, in bytes.

    Raises:
        UsageError: two of them would have one name.
    """
    if len(sizes) < 2:
        return [output]
    names = [output.replace(PLACEHOLDER, str(file_bytes)) for file_bytes in sizes]
    if len(set(names)) < len(names):
        raise UsageError(
            f"several sizes make several files: they differ, and stand in the output's name for its {PLACEHOLDER}"
        )
    return names


def _check_memory(shape: NetworkShape, parameters: int, allowed: int | None, device: torch.device) -> None:
    needed = used_memory() + FIXED_MEMORY + PIXEL_MEMORY * shape.width * shape.height
    needed += ACTIVATION_MEMORY * shape.activations + PARAMETER_MEMORY * parameters
    if allowed is not None and needed > allowed and device.type == "cpu":
        raise UsageError(
            f"this fit needs about {needed / 2**20:.0f} MiB, --max-memory allows {allowed / 2**20:.0f}; "
            "a smaller --size or picture needs less"
        )


def default_steps(frames: int) -> int:
    """Steps of a fit where neither these nor epochs are given, for a clip of ``frames`` frames."""
    return max(DEFAULT_EPOCHS * frames, min(DEFAULT_STEPS, MOST_EPOCHS * frames))


def _as_clip(
    source: str | os.PathLike[str] | Clip | torch.Tensor, selection: Selection, fps: Fraction | None, free: int | None
) -> Clip:
    if isinstance(source, Clip):
        return source
    if isinstance(source, torch.Tensor):
        return Clip(source.cpu(), *steady(len(source), DEFAULT_FPS if fps is None else fps))
    return read_clip(source, selection, fps, None if free is None else free // 4)


def _weights(
    source: str | os.PathLike[str] | torch.Tensor, selection: Selection, clip: Clip, free: int | None
) -> Frames:
    weights = _as_clip(source, selection, None, free).frames
    if weights.shape != clip.frames.shape:
        raise UsageError(
            f"--weights gives {_size(weights)}, the source {_size(clip.frames)}: a picture is needed for every frame"
        )
    return weights


def _size(frames: Frames) -> str:
    return f"{len(frames)} frames of {frames.shape[3]}x{frames.shape[2]}"
