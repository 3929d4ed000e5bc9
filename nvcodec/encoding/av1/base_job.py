"""One encode above an AV1 stream: the stream, the networks above it, the file; also to a size or a quality."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from nvcodec.encoding.av1.base_cache import BaseCache
from nvcodec.encoding.av1.correction_job import LEAST_SECONDS, CorrectionJob, CorrectionTask, shape_of_size
from nvcodec.encoding.av1.correction_loss import CropLoss, balanced_loss, custom_loss, named_loss, rgb_loss, ssim_loss
from nvcodec.encoding.av1.correction_network import BORDER, CorrectionShape
from nvcodec.encoding.av1.crf_search import Target, search, target_of_quality, target_of_size
from nvcodec.encoding.av1.foreign_base import CENTRED, read_av1
from nvcodec.encoding.av1.svt_encoder import DEPTH, BaseSettings, TemporalUnit, encode_av1, matrix_of
from nvcodec.encoding.clock import Clock
from nvcodec.encoding.encode_config import (
    CORRECTION_STEPS,
    DEFAULT_CRF,
    MAX_FILE_BYTES,
    SVT_PRESETS,
    TUNES,
    EncodeConfig,
)
from nvcodec.encoding.encoded import MIN_FILL, Encoded
from nvcodec.encoding.fit.fit_loop import OnProgress, Progress, ShouldStop
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.losses import NO_WEIGHT
from nvcodec.errors import Interrupted, UsageError
from nvcodec.format.describe import AV1_KEY, quality_key
from nvcodec.format.operations import Picture
from nvcodec.video.clip import Clip
from nvcodec.video.frames import Frames, checksum

MAX_FILES = 4  # made on the way to a target
SEARCH_SHARE, FILE_SHARE = 0.4, 0.5  # of the time that is left: for the search before the first file, and for a file
TRIAL_FRAMES = 8  # tell how long a stream takes where time is limited
EXPECTED_ABOVE_BYTES, EXPECTED_GAIN = 1500, 0.4  # of the networks, before any has been fitted: bytes, dB
PSNR_TOLERANCE = 0.1  # dB above a target that count as meeting it
METADATA_PARTS = 500  # a file says of itself what takes at most one part in so many of its bytes
MIN_METADATA = 20  # bytes: crf and preset are always said
SHORTEST_PSNR = 0.0  # none takes fewer characters
MAX_MARGIN = 15  # pixels around a PICTURE
CROPS_PER_STEP = 12
QUANTISED_SHARE = 0.6
#: Hidden channels of the networks to try, for AV1 streams of less than so many bytes: larger files can pay for more.
CANDIDATES = ((25_000, (8, 16)), (60_000, (12, 20)), (200_000, (16, 24)), (MAX_FILE_BYTES, (24, 32)))
LOSS_OF_TUNE: dict[str, CropLoss] = dict(zip(TUNES, (balanced_loss, rgb_loss, ssim_loss), strict=True))
DRAFT_CANDIDATES = 1  # of these, a draft tries the first


class _Ended(Exception):
    """An end was requested, and there is a file that can be written."""


class BaseJob:
    """Makes the files of one encode.

    Args:
        task: what is coded, and how its networks are fitted.
        config: the options.
        given: the AV1 stream to keep; None makes one.
        cache: keeps the streams that are made.
    """

    def __init__(
        self, task: CorrectionTask, config: EncodeConfig, given: Sequence[TemporalUnit] | None, cache: BaseCache
    ) -> None:
        self.task, self.config, self.given, self.cache = task, config, given, cache
        self.networks = CorrectionJob(task)
        self.base_psnrs: dict[float, float] = {}
        self.last: Encoded | None = None  # file made

    def run(self) -> list[list[Encoded]]:
        """Make all files; returns for each layer above the stream, or for the stream alone, the file up to there.

        Raises:
            Interrupted: an end was requested, and the streams were kept.
            KeyboardInterrupt: an end was requested, and nothing was kept.
        """
        clip, config = self.task.clip, self.config
        if self.given is not None:
            return [[file] for file in self.files(self.given, None)]
        if targets := config.file_sizes(clip.seconds):
            return [[self.in_share(target, len(targets) - made) for made, target in enumerate(targets)]]
        if config.target_psnr is not None:
            return [[self.to_quality(config.target_psnr)]]
        return [[file] for file in self.files(*self.stream(self.start))]

    @property
    def start(self) -> float:
        """The rate factor to begin with."""
        return DEFAULT_CRF if self.config.crf is None else float(self.config.crf)

    def in_share(self, target: int, files: int) -> Encoded:
        """Make a file of a size in its share of the time, of so many files that are still to be made."""
        with self.task.clock.share(1 / files):
            return self.to_size(target)

    def to_size(self, target: int) -> Encoded:
        """Make a file that takes its target size, or comes as near as it can."""

        def expected(crf: float, last: Encoded | None) -> float:
            above = EXPECTED_ABOVE_BYTES if last is None else len(last.data) - self.base_bytes(_crf_of(last))
            return math.log(self.base_bytes(crf) + above)

        file = self.approach(target_of_size(target, MIN_FILL), expected, lambda file: math.log(len(file.data)))
        return dataclasses.replace(file, target_bytes=target)

    def to_quality(self, target: float) -> Encoded:
        """Make a file that has its target PSNR, or comes as near as it can."""

        def expected(crf: float, last: Encoded | None) -> float:
            gain = EXPECTED_GAIN if last is None else last.psnr - self.base_psnr(_crf_of(last))
            return self.base_psnr(crf) + gain

        return self.approach(target_of_quality(target, PSNR_TOLERANCE), expected, lambda file: file.psnr)

    def approach(
        self, target: Target, expected: Callable[[float, Encoded | None], float], value_of: Callable[[Encoded], float]
    ) -> Encoded:
        """Make files until one meets a target; each corrects what is expected of the next one.

        Args:
            target: of the rate factor's search.
            expected: value of a file with a rate factor, by its stream and what networks have added to the last file.
            value_of: value of a file.

        Returns:
            The file that meets the target, or that misses it least; where an end was requested, that there is.
        """
        clock = self.task.clock
        files: dict[float, Encoded] = {}
        values: dict[float, float] = {}
        crf, last = self.start, None
        longest_try = least_file = 0.0  # seconds; the latter with a fit as short as it may be

        def known_or_expected(crf: float) -> float:
            nonlocal longest_try
            start = clock.left
            value = values[crf] if crf in values else expected(crf, last)
            longest_try = max(longest_try, start - clock.left if clock.limited else 0.0)
            return value

        def is_time() -> bool:
            return clock.left > longest_try + least_file

        while len(files) < MAX_FILES:
            try:
                with clock.share(1 if files else SEARCH_SHARE):
                    tried = search(target, crf, known_or_expected, is_time)
            except _Ended:
                break
            crf = target.best(tried)
            if crf in files:  # it misses; what is expected to miss as well, but only just, may be better
                near = {crf: v for crf, v in tried.items() if crf not in files and target.nearly_met_by(v)}
                if not near:
                    break
                crf = target.best(near)
            others = clock.total - clock.seconds.get("fitting", 0.0)
            with clock.share(FILE_SHARE):
                last = files[crf] = self.files(*self.stream(crf))[-1]
            least_file = clock.total - clock.seconds["fitting"] - others + LEAST_SECONDS
            values[crf] = value_of(last)
            if target.met_by(values[crf]) or last.interrupted:
                break
        best = files[target.best(values)] if files else self.last
        assert best is not None
        return dataclasses.replace(best, interrupted=self.task.should_stop())

    def base_bytes(self, crf: float) -> int:
        """Return the bytes of the stream with a rate factor."""
        return sum(len(unit.data) for unit in self.stream(crf)[0])

    def base_psnr(self, crf: float) -> float:
        """Return the RGB PSNR in dB of the stream with a rate factor."""
        if crf not in self.base_psnrs:
            with self.task.clock.phase("choosing a size"):
                self.base_psnrs[crf] = self.networks.base_psnr(self.stream(crf)[0])
        return self.base_psnrs[crf]

    def stream(self, crf: float) -> tuple[Sequence[TemporalUnit], BaseSettings]:
        """Return the AV1 stream with a rate factor; makes it unless it has been made."""
        task, name = self.task, f"crf {crf:g}"
        settings = self.settings(crf)
        if name not in self.cache.streams:
            frames = len(task.clip.frames)

            def on_frame(done: int) -> None:
                if task.should_stop():
                    self.interrupt()
                if task.on_progress:
                    task.on_progress(Progress(done, frames, 0.0, 0.0, task.clock.total, 0.0, "AV1"))

            with task.clock.phase("AV1"):
                self.require_time(settings)
                self.cache.add(name, encode_av1(task.clip.frames, settings, on_frame))
        return self.cache.streams[name], settings

    def require_time(self, settings: BaseSettings) -> None:
        """Refuse to make a stream for which there is no time; raises UsageError.

        Before the first stream, one of a few frames tells; later ones are begun only if there is time.
        """
        clock, frames = self.task.clock, self.task.clip.frames
        if clock.limited and not self.cache.streams:
            start = clock.left
            encode_av1(itertools.islice(frames, TRIAL_FRAMES), settings)
            seconds = (start - clock.left) * len(frames) / min(TRIAL_FRAMES, len(frames))
            clock.require(seconds, f"AV1 streams of preset {settings.preset} before any file is made")

    def settings(self, crf: float) -> BaseSettings:
        """Return how the stream with a rate factor is made."""
        clip, config = self.task.clip, self.config
        fps = Fraction(len(clip.frames) / clip.seconds) if clip.seconds else Fraction(25)
        return BaseSettings(
            crf,
            SVT_PRESETS[config.speed],
            fps,
            matrix_of(clip.color.matrix),
            clip.color.primaries,
            clip.color.transfer,
            config.threads or torch.get_num_threads(),
            clip.hdr or clip.extras.hdr,
        )

    def files(self, units: Sequence[TemporalUnit], settings: BaseSettings | None) -> list[Encoded]:
        """Fit the networks above a stream; returns the file after each layer above it, or of the stream alone."""

        def metadata(layers: int, quality_of: Callable[[int], float], file_bytes: int) -> dict[str, Any]:
            return said_of_itself(settings, layers, quality_of, file_bytes // METADATA_PARTS)

        files = self.networks.files(units, metadata)
        if self.task.should_stop() and self.config.on_interrupt != "write":
            self.interrupt()
        crf = None if settings is None else settings.crf
        files = [dataclasses.replace(file, crf=crf, interrupted=self.task.should_stop()) for file in files]
        self.last = files[-1]
        return files

    def interrupt(self) -> None:
        """End: with _Ended if a file is to be written, with Interrupted if streams have been kept in a file."""
        if self.config.on_interrupt == "write" and self.last is not None:
            raise _Ended
        if self.cache.path is not None and self.cache.streams:
            raise Interrupted(f"interrupted; `resume=True` goes on from {self.cache.path} with its AV1 stream")
        raise KeyboardInterrupt


def said_of_itself(
    settings: BaseSettings | None, layers: int, quality_of: Callable[[int], float], most_bytes: int
) -> dict[str, Any]:
    """Return what a file says of itself, the most useful first, as far as it takes few bytes.

    Args:
        settings: of its AV1 stream; None if that was given.
        layers: how many it has.
        quality_of: returns the RGB PSNR in dB up to a layer; called only for what may have its bytes.
        most_bytes: bytes that it may take.
    """
    from nvcodec import __version__

    said: dict[str, Any] = {}

    def fits(name: str, value: Any) -> bool:
        return len(json.dumps({**said, name: value}, separators=(",", ":"))) <= max(most_bytes, MIN_METADATA)

    if settings is not None:
        said[AV1_KEY] = [_short(settings.crf), settings.preset]
    for layer in range(layers - 1, -1, -1):
        name = quality_key(layer)
        if not (fits(name, SHORTEST_PSNR) and fits(name, value := round(quality_of(layer), 2))):
            return said
        said[name] = value
    encoder = f"nvcodec {__version__}"
    if fits("encoder", encoder):
        said["encoder"] = encoder
    return said


def _crf_of(file: Encoded) -> float:
    """Return the rate factor of a file whose stream was not given."""
    assert file.crf is not None
    return file.crf


def _short(number: float) -> float | int:
    """Return a whole number as an integer, which JSON writes without a fraction."""
    return int(number) if number.is_integer() else number


def make_files(
    clip: Clip,
    weights: Frames | None,
    config: EncodeConfig,
    device: torch.device,
    clock: Clock,
    on_progress: OnProgress | None,
    should_stop: ShouldStop,
    checkpoint_path: Path | None,
) -> list[list[Encoded]]:
    """Encode a clip above an AV1 stream; returns and raises as :meth:`BaseJob.run` does.

    Args:
        clip: the source.
        weights: importance of each pixel, uint8 like the frames; None where all count alike.
        config: the options.
        device: where to fit.
        clock: the phases add their time to it.
        on_progress, should_stop: of the stream and the fits.
        checkpoint_path: where the streams are kept; None keeps them in memory only.
    """
    if weights is not None and not any(mask.any() for mask in weights):
        raise UsageError(NO_WEIGHT)
    given = None if config.base_file is None else read_av1(config.base_file, clip.color.matrix)
    if given is None:
        picture = Picture(clip.height, clip.width, DEPTH, 1, CENTRED, matrix_of(clip.color.matrix), 0, 0)
    else:
        picture = given[1]
        if (len(given[0]), picture.width, picture.height) != (len(clip.frames), clip.width, clip.height):
            raise UsageError(
                f"{config.base_file} has {len(given[0])} frames of {picture.width}x{picture.height}, the source "
                f"{len(clip.frames)} of {clip.width}x{clip.height}"
            )
    task = CorrectionTask(
        clip,
        weights,
        _loss(config),
        picture,
        _shapes(config),
        config.size is not None,
        _options(config),
        device,
        config.threads or torch.get_num_threads(),
        clock,
        on_progress,
        should_stop,
    )
    identity = {"clip": checksum(clip.frames), "seconds": clip.seconds, "preset": SVT_PRESETS[config.speed]}
    hdr = {"hdr": dataclasses.asdict(clip.hdr)} if clip.hdr else {}
    cache = BaseCache(checkpoint_path, {**identity, "color": dataclasses.asdict(clip.color), **hdr})
    if config.resume:
        cache.load()
    return BaseJob(task, config, given and given[0], cache).run()


def _loss(config: EncodeConfig) -> CropLoss:
    """Return what the networks are fitted for."""
    if callable(config.loss):
        return custom_loss(config.loss)
    if config.loss is not None:
        return named_loss(config.loss)
    return LOSS_OF_TUNE[config.tune]


def _shapes(config: EncodeConfig) -> list[Callable[[int], Sequence[CorrectionShape]]]:
    """Return the networks to try for each layer, given the bytes below; raises UsageError where a size suits none."""
    if config.size is None:
        return [functools.partial(candidates, config.speed)]
    if BORDER * len(config.layer_sizes) > MAX_MARGIN:
        raise UsageError(f"above an AV1 stream there are at most {MAX_MARGIN // BORDER} layers, `size` gives more")
    fixed = [(shape_of_size(size),) for size in config.layer_sizes if size is not None]
    return [lambda size, shapes=shapes: shapes for shapes in fixed]  # type: ignore[misc]


def candidates(speed: str, size: int) -> Sequence[CorrectionShape]:
    """Return the networks to try above an AV1 stream of so many bytes, given the preset."""
    hidden = next(hidden for limit, hidden in CANDIDATES if size < limit)
    return list(map(CorrectionShape, hidden[:DRAFT_CANDIDATES] if speed == "draft" else hidden))


def _options(config: EncodeConfig) -> FitOptions:
    """Return the options of the fits."""
    timed = config.time_limit is not None and config.preset is None
    return FitOptions(
        steps=config.steps or (None if timed else CORRECTION_STEPS[config.speed]),
        batch=CROPS_PER_STEP,
        seed=config.seed,
        quantised_share=QUANTISED_SHARE,
        rd_lambda=config.lambda_db,
    )
