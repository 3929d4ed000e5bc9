"""The options of an encode: meaning, defaults, choices, and which of them exclude each other. Imports no torch.

The command line builds its options from this module, and :func:`nvcodec.encode` takes them as keywords.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from nvcodec.errors import UsageError
from nvcodec.video.selection import Moment, Selection

if TYPE_CHECKING:
    import torch

NO_BASE, AV1 = "none", "av1"  # kinds of file; the name of an AV1 file is the latter kind as well
#: Presets of a network alone, as multiples of the default number of training steps.
PRESETS = {"draft": 0.25, "normal": 1.0, "fine": 4.0, "finest": 16.0}
DEFAULT_PRESET = "normal"
#: With an AV1 stream: SVT-AV1's preset, and training steps of the networks above.
SVT_PRESETS = {"draft": 8, "normal": 4, "fine": 1, "finest": 0}
CORRECTION_STEPS = {"draft": 300, "normal": 800, "fine": 1500, "finest": 3000}
DEFAULT_CRF, MAX_CRF = 35.0, 63.0
TUNES = ("ycc", "rgb", "ssim")
DEFAULT_TUNE = "ycc"
DEFAULT_EPOCHS = 28  # of a fit without a length of its own; short clips are seen more often:
DEFAULT_MIN_STEPS, DEFAULT_MAX_EPOCHS = 2800, 175  # up to so many training steps, and up to so many epochs

DEFAULT_LAMBDA_DB, AV1_LAMBDA_DB = 1.5, 4.0  # dB of PSNR per doubling of the file, without and with an AV1 stream
MAX_LAMBDA_DB = 20.0
SKIPS = ("invertible", "direct", "none")
BLOCKS = ("rep", "plain")
LOSSES = ("l2", "l1", "l1-ssim")
ON_INTERRUPT = ("checkpoint", "write")
DEFAULT_SKIP, DEFAULT_BLOCK, DEFAULT_LOSS = "direct", "plain", "l2"
#: Options that only one kind of file has.
ONLY_NO_BASE = ("epochs", "skip", "block", "z_gain", "grids", "init", "onto", "joint")
ONLY_AV1 = ("crf", "tune")
DEFAULT_Z_GAIN, MAX_Z_GAIN = 0.0, 16.0  # standard deviations
DEFAULT_GRIDS = 0.85  # share of the parameters
DEFAULT_CHECKPOINT_SECONDS = 30.0
MAX_FILE_BYTES = 2**40
AUTO, WHOLE = "auto", "none"  # of ``segment``
LEAST_SEGMENT, MOST_SEGMENT, MAX_JOBS = 0.1, 600.0, 256  # the former two in seconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodeConfig:
    """What to encode, how large or how good, for how long, and with which network.

    Attributes:
        base: the kind of file. ``av1``: an AV1 stream, and small networks above it. ``none``: a network alone. Or an
            AV1 file (.mp4, .mkv, .webm, .ivf, .obu) of the same frames, whose stream is kept as it is. None: ``none``
            with ``size``, else ``av1``.
        size: number of parameters, everything stored counted: ``"3M"``, ``"300k"`` or a number. With a target it may be
            left out, and a size that can meet the target is chosen. ``"3M,1M,1M"`` makes a base layer and two
            enhancement layers, each fitted to the residual of those below for as many steps, or for its share of the
            time. With an AV1 stream, the size of each network above it.
        crf: constant rate factor of the AV1 stream, 0 (best) to 63 in steps of a quarter; 35 if None.
        tune: what networks above an AV1 stream are fitted for: ``ycc``, PSNR of Y, Cb and Cr weighted 6:1:1, ``rgb``,
            PSNR in RGB, or ``ssim``.
        target_size: size of the file in bytes. The file has at most that, and at least 98 % of it; whether it does is
            in the result (:attr:`~nvcodec.encoding.encoded.Encoded.on_size`). Several sizes make several files from one
            fit, which share all but its last part.
        bitrate: the same in bits per second.
        target_psnr: end as soon as the file reaches this RGB PSNR, in dB; unless another option limits the fit, it may
            take as long as the longest preset. Without ``size``, bytes that are not needed are then saved. The PSNR
            reached is in the result.
        crop, scale, start, frames, every, duration, end, deinterlace, bits: see
            :class:`~nvcodec.video.selection.Selection`; not for a Clip.
        audio: whether the sound of a source travels. Its subtitles, chapters and tags do.
        fps: frame rate of images, also those from Python (25 if None); replaces the time stamps of a video.
        preset: length of the fit, one of :data:`PRESETS`, and SVT-AV1's preset; ``normal`` if nothing else says it.
        epochs: how often each frame is seen; replaces ``preset``.
        steps: training steps of one frame each; replaces ``preset``. With an AV1 stream, steps of 12 crops; ``preset``
            then still says which preset SVT-AV1 takes.
        time_limit: seconds that the whole encode may take; learning rates are scheduled for it, and what cannot be done
            in the time is refused. With ``preset``, ``epochs`` or ``steps`` as well, the limit that is reached first
            ends the fit.
        rd_lambda: rate-distortion trade-off, dB of PSNR that justify doubling the file, 0 to 20; None: 1.5 or, with an
            AV1 stream, 4, a little more than what doubling such a stream brings. Above 0, the fit
            minimises loss and bytes together and learns its quantisation steps; 0 ignores the size. With a target size,
            lambda is steered and this is only where it starts.
        skip: the skip connection: ``invertible``, ``direct`` (f alone, no invertible network) or ``none``. It has fewer
            than two scales, or none, if f would take more than a sixth of the size.
        block: ``rep`` (reparameterised while fitting) or ``plain``.
        z_gain: standard deviation of the sampled z, 0 (off) to 16; useful with the invertible connection only.
        grids: largest share of the parameters that feature grids may take, 0 (none) to 1.
        loss: the training loss: ``l2``, ``l1``, ``l1-ssim`` (see :class:`~nvcodec.encoding.fit.losses.PictureLoss`),
            or a function of (decoded, source, frames): two batches of pictures [batch, 3, height, width], about 0 to
            1, and their frame numbers. It returns a scalar with a gradient. With an AV1 stream the pictures are crops.
            None: ``l2`` or, with an AV1 stream, what ``tune`` says.
        weights: importance of each pixel, for a loss given by name: a folder of pictures or a video with one picture
            per frame, which is cropped, scaled and cut like the source, or uint8 [frames, 3, height, width]. Only
            ratios matter.
        seed: the same seed, CPU and number of threads give the same file, with an AV1 stream any number; 0 to 2^32 - 1.
        device: where to fit: ``auto``, ``cpu`` or ``cuda``.
        threads: CPU threads of torch, restored afterwards; None keeps torch's own number.
        init: an SDMN file to start from: of a neighbouring clip, an earlier version of this one, or another size (see
            :func:`~nvcodec.encoding.fit.warm_start.warm_start`).
        onto: an SDMN file of the same frames, to which ``size`` adds enhancement layers; its own bytes stay.
        joint: whether layers that were fitted one after the other are then fitted together, for a quarter of a layer's
            steps or of the time. No checkpoint is kept then, and an interruption ends this part early.
        max_memory: bytes that this process may use. Frames that take more than a quarter of what is left are read from
            a temporary file while fitting. None: from a quarter of the machine's memory on. A CUDA device's memory
            does not count.
        overwrite: whether an existing output, or the checkpoint of an interrupted encode, may be replaced.
        resume: continue from the checkpoint beside the output.
        checkpoint_every: seconds between checkpoints.
        on_interrupt: what Ctrl-C does in the main thread: ``checkpoint`` keeps the state of the fit, or finished
            segments, beside the output, ``write`` cools the fit down within seconds and writes the file, up to the
            segment where it is. A second Ctrl-C ends at once.
        segment: where a video is cut into segments, each of which has networks of its own and is encoded by itself, so
            that neither memory nor temporary files grow with its length. ``auto``: a video of at most 20 seconds is one
            segment, and so is one with options that hold for all frames; any other is cut where scenes change, after 2
            to 20 seconds. Seconds: after so many. ``none``: nowhere. A size or target holds for all segments together.
        jobs: how many segments to encode at once, in processes of this machine. From Python, the main module must then
            be one that can be imported, as for ``multiprocessing``.
        ray: the address of a Ray cluster that encodes the segments, or ``auto`` for the one of this machine; None for
            none. ``jobs`` is then ignored: there are as many at once as the cluster has processors, or GPUs.

    Raises:
        UsageError: a value is out of its range, or two options exclude each other.
    """

    base: str | os.PathLike[str] | None = None
    size: str | int | None = None
    crf: float | None = None
    tune: str = DEFAULT_TUNE
    target_size: int | Sequence[int] | None = None
    bitrate: float | None = None
    target_psnr: float | None = None
    crop: tuple[int, int] | None = None
    scale: tuple[int, int] | None = None
    start: Moment = 0
    frames: int | None = None
    every: int = 1
    duration: float | Fraction | None = None
    end: Moment | None = None
    deinterlace: bool = True
    bits: int | None = None
    audio: bool = True
    fps: Fraction | float | None = None
    preset: str | None = None
    epochs: float | None = None
    steps: int | None = None
    time_limit: float | None = None
    rd_lambda: float | None = None
    skip: str = DEFAULT_SKIP
    block: str = DEFAULT_BLOCK
    z_gain: float = DEFAULT_Z_GAIN
    grids: float = DEFAULT_GRIDS
    loss: str | Callable[[torch.Tensor, torch.Tensor, Sequence[int]], torch.Tensor] | None = None
    weights: str | os.PathLike[str] | torch.Tensor | None = None
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    init: str | os.PathLike[str] | None = None
    onto: str | os.PathLike[str] | None = None
    joint: bool = False
    max_memory: int | None = None
    overwrite: bool = False
    resume: bool = False
    checkpoint_every: float = DEFAULT_CHECKPOINT_SECONDS
    on_interrupt: str = "checkpoint"
    segment: str | float | Fraction = AUTO
    jobs: int = 1
    ray: str | None = None

    def __post_init__(self) -> None:
        for check in (_check_base, _check_target, _check_length, _check_network, _check_combinations, _check_segments):
            check(self)
        _ = self.selection  # checks itself

    @property
    def selection(self) -> Selection:
        """The part of a source to read."""
        return Selection(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Selection)})

    @property
    def has_av1(self) -> bool:
        """Whether layer 0 is an AV1 stream."""
        return self.size is None if self.base is None else self.base != NO_BASE

    @property
    def base_file(self) -> str | None:
        """The AV1 file whose stream is kept; None if there is none."""
        return None if self.base in (None, NO_BASE, AV1) else str(self.base)

    @property
    def lambda_db(self) -> float:
        """The rate-distortion trade-off, dB of PSNR for doubling the file."""
        default = AV1_LAMBDA_DB if self.has_av1 else DEFAULT_LAMBDA_DB
        return default if self.rd_lambda is None else self.rd_lambda

    @property
    def speed(self) -> str:
        """The preset, one of :data:`PRESETS`."""
        return self.preset or DEFAULT_PRESET

    @property
    def layer_sizes(self) -> tuple[int | None, ...]:
        """Parameters of each layer to fit; (None,) if the size is to be chosen for the target."""
        return tuple(map(parse_size, self.size.split(","))) if isinstance(self.size, str) else (self.size,)

    @property
    def target_sizes(self) -> tuple[int, ...]:
        """Bytes of each file that ``target_size`` asks for."""
        return (self.target_size,) if isinstance(self.target_size, int) else tuple(self.target_size or ())

    @property
    def for_all_frames(self) -> str:
        """The options that hold for all frames together, so that there can be one segment only; else empty."""
        reasons = {
            "`onto`": self.onto is not None,
            "`init`": self.init is not None,
            "several layers": len(self.layer_sizes) > 1,
            "several target sizes": len(self.target_sizes) > 1,
            "the AV1 stream of a file": self.base_file is not None,
            "`weights`": self.weights is not None,
            "a loss of your own": callable(self.loss),
            "`z_gain`": self.z_gain > 0,
        }
        return ", ".join(name for name, given in reasons.items() if given)

    @property
    def frame_rate(self) -> Fraction | None:
        """``fps`` as a fraction that a file can hold."""
        return None if self.fps is None else Fraction(self.fps).limit_denominator(10**6)

    def file_sizes(self, seconds: float) -> list[int]:
        """Return the bytes that each file of a clip of ``seconds`` may have; empty without a target size."""
        return list(self.target_sizes) if self.bitrate is None else [max(1, round(self.bitrate * seconds / 8))]

    def training_steps(self, frames: int) -> int | None:
        """Return how many steps to fit a clip of ``frames`` frames; None if only time ends the fit."""
        if self.epochs is not None:
            return max(1, round(self.epochs * frames))
        if self.steps is not None or (self.preset is None and self.time_limit is not None):
            return self.steps
        longest = self.target_psnr is not None and self.preset is None
        multiple = max(PRESETS.values()) if longest else PRESETS[self.preset or DEFAULT_PRESET]
        return max(1, round(multiple * default_steps(frames)))


def default_steps(frames: int) -> int:
    """Return the training steps of preset ``normal`` for a clip of ``frames`` frames."""
    return max(DEFAULT_EPOCHS * frames, min(DEFAULT_MIN_STEPS, DEFAULT_MAX_EPOCHS * frames))


def parse_size(text: str) -> int:
    """Return ``"3M"``, ``"0.75M"``, ``"300k"`` or ``"120000"`` as a number of parameters.

    Raises:
        UsageError: the text is none of these.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmM]?)", text.strip())
    if not match:
        raise UsageError(f"`size` takes a number of parameters such as 300k or 0.75M, got {text!r}")
    return round(float(match[1]) * {"": 1, "k": 1_000, "m": 1_000_000}[match[2].lower()])


def _check_base(config: EncodeConfig) -> None:
    """Refuse options that the kind of file does not have."""
    kind = "with an AV1 stream" if config.has_av1 else "without an AV1 stream"
    other = '`base="none"` makes a network alone' if config.has_av1 else '`base="av1"` makes one'
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    for name in ONLY_NO_BASE if config.has_av1 else ONLY_AV1:
        if getattr(config, name) != defaults[name]:
            raise UsageError(f"`{name}` means nothing {kind}; {other}")
    if config.crf is not None and not (0 <= config.crf <= MAX_CRF and float(4 * config.crf).is_integer()):
        raise UsageError(f"`crf` takes 0 to {MAX_CRF:g} in steps of 0.25, got {config.crf}")
    aimed = any(given is not None for given in (config.target_size, config.bitrate, config.target_psnr))
    if config.base_file is not None and (config.crf is not None or aimed):
        raise UsageError("the AV1 stream of a file is kept as it is; leave out `crf` and targets")
    if config.has_av1 and config.size is not None and aimed and len(config.layer_sizes) > 1:
        raise UsageError("layers are made by `size` alone, without a target")


def _check_target(config: EncodeConfig) -> None:
    """Refuse sizes and targets that contradict each other."""
    sizes = config.target_sizes
    if sum(given is not None for given in (config.target_size, config.bitrate, config.target_psnr)) > 1:
        raise UsageError("`target_size`, `bitrate` and `target_psnr` are three ways to end; give one of them")
    if not config.has_av1 and all(
        given is None for given in (config.size, config.target_size, config.bitrate, config.target_psnr)
    ):
        raise UsageError("without an AV1 stream, give one of `size`, `target_size`, `bitrate` and `target_psnr`")
    if config.target_size is not None and not (sizes and all(0 < size < MAX_FILE_BYTES for size in sizes)):
        raise UsageError(f"`target_size` takes bytes, at least 1, got {config.target_size}")
    if config.bitrate is not None and not 0 < config.bitrate < math.inf:
        raise UsageError(f"`bitrate` must be positive, got {config.bitrate}")
    if config.target_psnr is not None and not 0 < config.target_psnr < 100:
        raise UsageError(f"`target_psnr` takes dB between 0 and 100, got {config.target_psnr}")
    targeted = bool(sizes) or config.bitrate is not None or config.target_psnr is not None
    if (len(config.layer_sizes) > 1 or config.onto is not None) and (config.size is None or targeted):
        raise UsageError("layers are made by `size` alone, without a target")


def _check_length(config: EncodeConfig) -> None:
    """Refuse lengths of a fit that contradict each other."""
    lengths = (config.epochs, config.steps) if config.has_av1 else (config.preset, config.epochs, config.steps)
    if sum(given is not None for given in lengths) > 1:
        raise UsageError("`preset`, `epochs` and `steps` say the same thing; give one of them")
    for name in ("epochs", "steps", "time_limit"):
        value = getattr(config, name)
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"`{name}` must be positive, got {value}")
    if config.preset not in (None, *PRESETS):
        raise UsageError(f"`preset` is one of {', '.join(PRESETS)}; got {config.preset!r}")


def _check_network(config: EncodeConfig) -> None:
    """Refuse values out of their range."""
    if not 0 <= config.lambda_db <= MAX_LAMBDA_DB:
        raise UsageError(f"`rd_lambda` takes dB from 0 to {MAX_LAMBDA_DB:g}, got {config.rd_lambda}")
    for name, choices in (("on_interrupt", ON_INTERRUPT), ("skip", SKIPS), ("block", BLOCKS)):
        if getattr(config, name) not in choices:
            raise UsageError(f"`{name}` is one of {', '.join(choices)}; got {getattr(config, name)!r}")
    if config.tune not in TUNES:
        raise UsageError(f"`tune` is one of {', '.join(TUNES)}; got {config.tune!r}")
    if isinstance(config.loss, str) and config.loss not in LOSSES:
        raise UsageError(f"`loss` is one of {', '.join(LOSSES)}; got {config.loss!r}")
    if config.fps is not None and not 0 < config.fps < math.inf:
        raise UsageError(f"`fps` must be positive, got {config.fps}")
    if not 0 <= config.z_gain <= MAX_Z_GAIN:
        raise UsageError(f"`z_gain` takes a number from 0 to {MAX_Z_GAIN:g}, got {config.z_gain}")
    if not 0 <= config.grids <= 1:
        raise UsageError(f"`grids` takes a share from 0 to 1, got {config.grids}")


def _check_combinations(config: EncodeConfig) -> None:
    """Refuse options that exclude each other."""
    if config.joint and (len(config.layer_sizes) < 2 or config.onto is not None or config.resume):
        raise UsageError("`joint` goes with several sizes in `size`, and not with `onto` or `resume`")
    if config.weights is not None and callable(config.loss):
        raise UsageError("`weights` go with a loss that has a name; a function has to weight by itself")
    if config.onto is not None and config.init is not None:
        raise UsageError("`init` starts a base layer; `onto` adds layers to one that is there")


def _check_segments(config: EncodeConfig) -> None:
    """Refuse segments that cannot be, and options that do not go with them."""
    segment = config.segment
    if isinstance(segment, str):
        if segment not in (AUTO, WHOLE):
            raise UsageError(f"`segment` is {AUTO}, {WHOLE} or a number of seconds; got {segment!r}")
    elif not LEAST_SEGMENT <= segment <= MOST_SEGMENT:
        raise UsageError(f"`segment` takes {LEAST_SEGMENT:g} to {MOST_SEGMENT:g} seconds, got {float(segment):g}")
    elif config.for_all_frames:
        raise UsageError(f"`segment` cuts a video into parts, and {config.for_all_frames} would hold for all of it")
    if not 1 <= config.jobs <= MAX_JOBS:
        raise UsageError(f"`jobs` takes 1 to {MAX_JOBS}, got {config.jobs}")
