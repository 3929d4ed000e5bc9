"""Frames to a file: fit, quantise, write, then decode the file once more and compare."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import math
import os
import time
import zlib
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from nvcodec import __version__
from nvcodec.accounting import quality_key
from nvcodec.bitstream.units import SegmentHead, Video
from nvcodec.decoder import Video as DecodedVideo
from nvcodec.decoder import pick_device, picture_bytes
from nvcodec.errors import InputError, Interrupted, UsageError, VerificationError
from nvcodec.exact.network import ExactNetwork
from nvcodec.fit import checkpoint
from nvcodec.fit.loop import Fit, FitOptions, Fitted, fast_bfloat16, snapshot
from nvcodec.fit.losses import DEFAULT_LOSS, Loss, PictureLoss
from nvcodec.fit.run import Progress, interruption, run, run_in_haste, run_to_quality
from nvcodec.fit.target import parameters_for, parameters_to_reach, rounded_bytes, run_to_size, trim
from nvcodec.fit.warm import warm_start
from nvcodec.memory import used_memory
from nvcodec.metrics import psnr
from nvcodec.model.shape import (
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
from nvcodec.quantize.export import export
from nvcodec.quantize.underlay import underlay_of
from nvcodec.reader import layer_ends, read_stream
from nvcodec.stream import Layer, Segment, Stream
from nvcodec.video.clip import Clip, steady
from nvcodec.video.frames import Frames
from nvcodec.video.motion import change
from nvcodec.video.reader import DEFAULT_FPS, LEAST_SIDE, Selection, read_clip
from nvcodec.video.sinks import atomic_file, check_writable
from nvcodec.writer import append_layer, write_stream

DEFAULT_LAMBDA = 1.5
STILL = 0.55  # of the detail, at most, is another four frames later where a clip counts as still
PLACEHOLDER = "{}"
PARAMETERS_PER_CHECKSUM = 8000  # at least: about a thousandth of a file are checksums
INDEX_FRAMES = 2000  # a shorter video has so few units that an index would not help
DEFAULT_EPOCHS = 28
DEFAULT_STEPS, MOST_EPOCHS = 2800, 175  # a short clip is seen more often, up to so many steps and epochs
TIMED_BATCH = 4  # frames a step on a GPU where time alone ends the fit: they take little longer than one there
#: Presets, as multiples of the default's steps.
PRESETS = {"draft": 0.25, "normal": 1.0, "fine": 4.0, "finest": 16.0}
ON_INTERRUPT = ("checkpoint", "write")
#: What fits were seen to take beside their frames, in bytes: always, and for each pixel (the encoder, mostly), each
#: value that the decoder's blocks yield, and each parameter.
FIXED_MEMORY, PIXEL_MEMORY, ACTIVATION_MEMORY, PARAMETER_MEMORY = 200 * 2**20, 480, 19, 50


@dataclasses.dataclass(frozen=True)
class Encoded:
    """What an encode gave.

    Attributes:
        data: the file.
        fitted: the network it was made of, in float, with its quantisation steps.
        shape: the network's.
        parameters: integers stored in the file.
        interrupted: whether the fit was cut short.
        psnr: mean over the frames of the RGB PSNR of what the file decodes to, dB.
        seconds: time spent in ``reading``, ``choosing a size``, ``fitting``, ``quantising``, ``writing`` and
            ``verifying``, by all files together.
        target_bytes: how large the file should be; None where no size was asked for.
        ladder: all files, in the order of their targets, where several sizes were asked for; the first is this one.
        layers: what the file was after each layer that was fitted, where there is more than one layer; the last is this
            one.
    """

    data: bytes = dataclasses.field(repr=False)
    fitted: Fitted = dataclasses.field(repr=False)
    shape: NetworkShape
    parameters: int
    frames: int
    psnr: float
    seconds: dict[str, float]
    interrupted: bool = False
    target_bytes: int | None = None
    ladder: tuple[Encoded, ...] = dataclasses.field(default=(), repr=False)
    layers: tuple[Encoded, ...] = dataclasses.field(default=(), repr=False)

    @property
    def on_size(self) -> bool:
        """Whether the file is as large as it should be, or up to 2 % smaller."""
        return self.target_bytes is None or 0.98 * self.target_bytes <= len(self.data) <= self.target_bytes


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
        crop, scale, start, frames, every: see :class:`~nvcodec.video.reader.Selection`; for paths only.
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
        loss: what the fit makes small: ``l2``, ``l1``, ``l1-ssim`` (see :class:`~nvcodec.fit.losses.PictureLoss`), or a
            function of (decoded, source, frames): both pictures [batch, 3, height, width] in about 0 to 1, and the
            numbers of their frames; it returns one number with a gradient.
        weights: importance of every pixel in a loss that has a name: a folder of pictures or a video, a frame each,
            which is cropped, scaled and cut as the source is; or uint8 [frames, 3, height, width]. Only ratios count.
        seed: the same seed, CPU and number of threads give the same file.
        device: where to fit: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads of torch; None leaves its default. Put back afterwards.
        report: called with the fit's progress.
        init: an SDMN file to start from: of a neighbouring clip, an earlier version of this one, or another size (see
            :func:`~nvcodec.fit.warm.warm_start`).
        onto: an SDMN file of the same frames, to which ``size`` adds enhancement layers; its own bytes stay.
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
    allowed = [target_size] if isinstance(target_size, int) else list(target_size or ())
    if sum(given is not None for given in (target_size, bitrate, target_psnr)) > 1:
        raise UsageError("--target-size, --bitrate and --target-psnr are three ways to end; give one of them")
    if all(given is None for given in (size, target_size, bitrate, target_psnr)):
        raise UsageError("give one of --size, --target-size, --bitrate and --target-psnr")
    if target_size is not None and not (allowed and all(0 < file_bytes < 2**40 for file_bytes in allowed)):
        raise UsageError(f"--target-size takes bytes, at least 1, got {target_size}")
    if sum(given is not None for given in (preset, epochs, steps)) > 1:
        raise UsageError("--preset, --epochs and --steps say the same thing; give one of them")
    positive = (("--epochs", epochs), ("--steps", steps), ("--time-limit", time_limit), ("--bitrate", bitrate))
    for name, value in positive:
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"{name} must be positive, got {value}")
    if target_psnr is not None and not 0 < target_psnr < 100:
        raise UsageError(f"--target-psnr takes dB between 0 and 100, got {target_psnr}")
    if not 0 <= rd_lambda <= 20:
        raise UsageError(f"--lambda takes dB from 0 to 20, got {rd_lambda}")
    if preset not in (None, *PRESETS) or on_interrupt not in ON_INTERRUPT:
        raise UsageError(
            f"--preset is one of {', '.join(PRESETS)}, --on-interrupt of {', '.join(ON_INTERRUPT)}; "
            f"got {preset!r}, {on_interrupt!r}"
        )
    if fps is not None and not 0 < fps < math.inf:
        raise UsageError(f"the frame rate must be positive, got {fps}")
    if skip not in SKIPS or block not in BLOCKS:
        raise UsageError(
            f"--skip is one of {', '.join(SKIPS)}, --block of {', '.join(BLOCKS)}; got {skip!r}, {block!r}"
        )
    if not (0 <= z_gain <= 16 and 0 <= grids <= 1):
        raise UsageError(f"--z-gain takes a number from 0 to 16, --grids a share from 0 to 1; got {z_gain} and {grids}")
    starting = None if init is None else DecodedVideo(init, device=device)
    outputs = [] if output is None else file_names(os.fspath(output), allowed)
    for path in outputs:
        if os.path.exists(path) and not overwrite:
            raise UsageError(f"{path} exists; -y overwrites it")
    kept = checkpoint.path_beside(output)
    if resume and kept is None:
        raise UsageError("--resume needs an output that is a file, beside which the checkpoint lies")
    if kept is not None and kept.exists() and not (resume or overwrite):
        raise UsageError(f"{kept} is of an interrupted encode; --resume goes on with it, -y starts anew")
    if weights is not None and not isinstance(loss, str):
        raise UsageError("weights go with a loss that has a name; a function of one's own weighs by itself")
    sizes: list[int | None] = [size] if size is None or isinstance(size, int) else [*map(parse_size, size.split(","))]
    layered = len(sizes) > 1 or onto is not None
    if layered and (size is None or target_psnr is not None or bitrate is not None or allowed):
        raise UsageError("layers are made by --size alone, without a target")
    if onto is not None and init is not None:
        raise UsageError("--init starts a base layer; where layers are added to a file there is none to start")
    where = pick_device(device)
    clock = _Clock()
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
        allowed = [max(1, round(bitrate * clip.seconds / 8))]
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
        grids=grids,
        still=change(clip.frames) < STILL,
    )
    lower = b"" if onto is None else _file_of(onto, clip)
    given = layer_ends(lower)
    if resume and kept is not None:
        done = checkpoint.lower(kept) or lower
        if not done.startswith(lower[: given[-1]] if given else b"") or len(layer_ends(done)) >= len(given) + len(
            sizes
        ):
            raise UsageError(f"{kept} is of an encode to other layers")
        lower = done
    remaining = sizes[len(layer_ends(lower)) - len(given) :]
    layers: list[Encoded] = []
    before = torch.get_num_threads()
    with contextlib.ExitStack() as stack:
        for path in outputs:
            check_writable(path)  # better noticed before the fit than after it
        stack.callback(torch.set_num_threads, before)
        if threads:
            torch.set_num_threads(threads)
        asked = stack.enter_context(interruption())
        ended = False
        for place, parameters in enumerate(remaining):
            # Later layers have no invertible connection: z is sampled for the base.
            connection = "direct" if lower and skip == "invertible" else skip
            with clock("reading"):
                underlay = underlay_of(read_stream(lower), where) if lower else None
            channels_below = underlay.features.shape[1] if underlay else 0
            sized = functools.partial(network, skip=connection, below=channels_below)
            if parameters is None and target_psnr is not None:
                with clock("choosing a size"):
                    whole = dataclasses.replace(options, steps=min(steps or normal, normal))
                    parameters = parameters_to_reach(target_psnr, clip.frames, whole, where, loss, sized, asked)
            elif parameters is None:
                middle = round(math.sqrt(max(allowed) * min(allowed)))
                parameters = parameters_for(middle, len(clip.frames), rd_lambda, sized)
            shape = sized(parameters)
            _check_memory(shape, parameters, max_memory, where)
            if time_limit is not None:
                # Of the time that is left, what this layer's size is of those that are left.
                share = parameters / (parameters + sum(later or 0 for later in remaining[place + 1 :]))
                seconds = max(1e-3, share * (time_limit - sum(clock.seconds.values())))
                options = dataclasses.replace(options, seconds=seconds)
            files = _Files(clip, shape, seed, where, clock, lower)
            with clock("fitting"):
                fit = Fit(clip.frames, shape, options, where, loss, underlay)
                if resume and kept is not None and not place:
                    checkpoint.restore(fit, kept)
                elif starting is not None and not lower:
                    warm_start(fit, starting)
                keep = None if kept is None else checkpoint.Keeper(kept, checkpoint_every, lower)
                if target_psnr is not None:
                    run_to_quality(fit, target_psnr, report, keep, asked)
                    if size is None and not asked():
                        trim(fit, target_psnr, report, asked)
                else:
                    run(fit, report, keep, lambda fit=fit: asked() or (bool(allowed) and fit.quantised))  # type: ignore[misc]
            branch = snapshot(fit) if len(allowed) > 1 else None  # what all files share
            ladder = []
            goals: list[int | None] = [*allowed] or [None]
            for file_bytes in goals:
                with clock("fitting"):
                    if branch:
                        fit.restore(*branch)
                    if file_bytes is not None and not asked():
                        room = functools.partial(files.room, fit, file_bytes)
                        run_to_size(fit, room, report, None if branch else keep, asked)
                    ended = asked()
                    if ended and on_interrupt == "checkpoint":
                        if kept is None or not fit.step:
                            raise KeyboardInterrupt
                        if branch:
                            fit.restore(*branch)
                        checkpoint.save(fit, kept, lower)
                        raise Interrupted(f"interrupted after {fit.step} steps; --resume goes on from {kept}")
                    if ended:
                        run_in_haste(fit, report)
                ladder.append(dataclasses.replace(files.make(fit), interrupted=ended, target_bytes=file_bytes))
            layers.append(ladder[0])
            lower = ladder[0].data
            if ended:
                break
    for path, encoded in zip(outputs, ladder, strict=bool(outputs)):
        with atomic_file(path) as temporary:
            temporary.write_bytes(encoded.data)
    if kept is not None:
        checkpoint.discard(kept)
    return dataclasses.replace(
        ladder[0], ladder=tuple(ladder) if branch else (), layers=tuple(layers) if layered else ()
    )


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


class _Files:
    """Fits of one clip to files; ``lower`` is one of the layers below, empty for a base layer."""

    def __init__(
        self, clip: Clip, shape: NetworkShape, seed: int, device: torch.device, clock: _Clock, lower: bytes
    ) -> None:
        self.clip, self.shape, self.seed, self.device, self.clock = clip, shape, seed, device, clock
        self.lower = lower
        self.metadata: dict[str, object] = {}

    def stream(self, fitted: Fitted) -> Stream:
        """What a file is to hold; its newest layer's checksums are still zero."""
        below = read_stream(self.lower) if self.lower else None
        layer = export(fitted.decoder, fitted.latents, fitted.noise, below.segments[0].layers if below else ())
        self.metadata[quality_key(len(below.segments[0].layers) if below else 0)] = 99.999  # as long as any
        if below is None:
            stream = _stream(self.clip, layer, self.seed)
            stream.metadata = {"encoder": f"nvcodec {__version__}", **self.metadata}
        else:
            stream = below
            stream.segments[0].layers.append(layer)
        layer.frames_per_checksum = _checksum_group(stream.frames, layer.parameters)
        layer.checksums = np.zeros(-(-stream.frames // layer.frames_per_checksum), np.uint32)
        return stream

    def write(self, stream: Stream) -> bytes:
        """The bytes of a file."""
        index = stream.frames >= INDEX_FRAMES
        if self.lower:
            return append_layer(self.lower, stream, self.metadata, index=index)
        return write_stream(stream, index=index)

    def room(self, fit: Fit, file_bytes: int) -> int:
        """Bytes there are for weights in a file of ``file_bytes``, by a file of the fit as it is now."""
        draft = self.write(self.stream(fit.result()))
        return file_bytes - (len(draft) - rounded_bytes(fit.result()))

    def make(self, fit: Fit) -> Encoded:
        """The file, decoded once more and compared."""
        clock = self.clock
        with clock("quantising"):
            fitted = copy.deepcopy(fit.result())  # the fit may go on
            stream = self.stream(fitted)
            stream.segments[0].layers[-1].checksums, quality = _reconstruct(stream, self.clip, self.device)
            stated = {quality_key(stream.layers - 1): round(quality, 3)}
            self.metadata.update(stated)
            stream.metadata.update(stated)
        with clock("writing"):
            data = self.write(stream)
        with clock("verifying"):
            _verify(data, self.clip, self.device)
        frames = len(self.clip.frames)
        return Encoded(data, fitted, self.shape, stream.parameters, frames, quality, clock.seconds)


class _Clock:
    """Adds up the seconds spent in named phases."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str) -> _Clock:
        self.name = name
        return self

    def __enter__(self) -> None:
        self.start = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.seconds[self.name] = self.seconds.get(self.name, 0.0) + time.monotonic() - self.start


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


def _stream(clip: Clip, layer: Layer, seed: int) -> Stream:
    durations = np.array([duration for _, duration in clip.ticks], np.int64)
    constant = int(durations[0]) if (durations == durations[0]).all() and durations[0] < 2**32 else 0
    head = SegmentHead(0, len(clip.frames), clip.width, clip.height, clip.ticks[0][0], constant)
    aspect = clip.sample_aspect.limit_denominator(65535)
    if not 0 < aspect.numerator <= 65535:
        aspect = Fraction(1)
    video = Video(
        sample_format=0,
        primaries=clip.color.primaries,
        transfer=clip.color.transfer,
        matrix=clip.color.matrix,
        color_range=clip.color.range,
        sample_aspect_num=aspect.numerator,
        sample_aspect_den=aspect.denominator,
        time_base_num=clip.time_base.numerator,
        time_base_den=clip.time_base.denominator,
        seed=seed % 2**32,
    )
    return Stream(video, [Segment(head, durations, [layer])])


def _checksum_group(frames: int, parameters: int) -> int:
    """How many frames share a checksum: one, or as few as make the checksums a small share of the file."""
    group = 1
    while group < frames and PARAMETERS_PER_CHECKSUM * -(-frames // group) > parameters:
        group *= 2
    return min(group, frames)


def _reconstruct(stream: Stream, clip: Clip, device: torch.device) -> tuple[np.ndarray, float]:
    """What the encoder means: the checksums of the integer network that the stream holds, and its RGB PSNR, dB."""
    network = ExactNetwork(stream.segments[0], 0, stream.video.seed, device, stream.layers)
    group = stream.segments[0].layers[-1].frames_per_checksum
    sums = np.zeros(-(-stream.frames // group), np.uint32)
    values = []
    for frame, original in enumerate(clip.frames):
        picture = network.decode([frame])[0].cpu()
        sums[frame // group] = zlib.crc32(picture_bytes(picture), int(sums[frame // group]))
        values.append(psnr(picture, original))
    return sums, sum(values) / len(values)


def _verify(data: bytes, clip: Clip, device: torch.device) -> None:
    """Decode the file as any decoder would, and compare every checksum."""
    decoded = DecodedVideo(read_stream(data), device=str(device))
    if decoded.stream.ticks != clip.ticks:
        raise VerificationError("the file does not hold the clip's time stamps")
    for _ in decoded:
        pass
