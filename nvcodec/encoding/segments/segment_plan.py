"""What sizes, targets and times of a whole video mean for each of its segments."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import torch

from nvcodec.encoding.av1.svt_encoder import CRF_STEP, MAX_CRF, BaseSettings, encode_av1, matrix_of
from nvcodec.encoding.encode_config import EncodeConfig, parse_size
from nvcodec.errors import UsageError
from nvcodec.video.clip import Clip

DRAFT_PRESET = 12  # SVT-AV1's, of the first pass
DRAFT_CRFS = (28.0, 48.0)


@dataclasses.dataclass
class SegmentPlan:
    """The options of segments.

    Attributes:
        config: the options of the whole.
        frames, seconds: of the whole; 0 where they are unknown.
        crf: rate factor of all segments; None where a segment's own options say it.
        extras: bytes of what travels beside the pictures.
        draft: logarithm of the bytes of the AV1 streams of a first pass, for each of ``DRAFT_CRFS``.
    """

    config: EncodeConfig
    frames: int = 0
    seconds: float = 0.0
    crf: float | None = None
    extras: int = 0
    draft: tuple[float, ...] = ()

    @property
    def file_bytes(self) -> int | None:
        """How large the file is to be."""
        sizes = self.config.file_sizes(self.seconds)
        return sizes[0] if sizes else None

    def survey(self, clips: Iterable[tuple[Clip, bool]]) -> None:
        """Read the whole source once: count its frames and, for a size, make fast AV1 streams."""
        draft = [0] * len(DRAFT_CRFS)
        frames, seconds = 0, 0.0
        for clip, _ in clips:
            frames += len(clip.frames)
            seconds += clip.seconds
            if self.config.has_av1 and (self.config.target_sizes or self.config.bitrate):
                for index, crf in enumerate(DRAFT_CRFS):
                    units = encode_av1(clip.frames, _draft_settings(clip, crf, self.config.threads))
                    draft[index] += sum(len(unit.data) for unit in units)
        self.frames, self.seconds = frames, seconds
        self.draft = tuple(map(math.log, draft)) if all(draft) else ()

    def first_crf(self) -> float:
        """Return the rate factor with which the streams of the first pass would meet the size."""
        assert self.file_bytes is not None
        if not self.draft:
            return DRAFT_CRFS[0]
        slope = (self.draft[1] - self.draft[0]) / (DRAFT_CRFS[1] - DRAFT_CRFS[0])
        wanted = math.log(max(1, self.file_bytes - self.extras))
        crf = DRAFT_CRFS[0] + (wanted - self.draft[0]) / min(slope, -1e-3)
        return min(MAX_CRF, max(0.0, round(crf / CRF_STEP) * CRF_STEP))

    def options(self, clip: Clip, begun: int, seconds_left: float) -> dict[str, Any]:
        """Return the options of a segment that are not those of the whole.

        Args:
            clip: its frames.
            begun: frames of the segments before.
            seconds_left: of the time limit; infinite without one.
        """
        config, frames = self.config, len(clip.frames)
        own: dict[str, Any] = {}
        if config.jobs > 1:
            own["threads"] = max(1, (config.threads or torch.get_num_threads()) // config.jobs)
        if self.crf is not None:
            own |= {"crf": self.crf, "target_size": None, "bitrate": None, "target_psnr": None}
        elif not config.has_av1:
            if config.size is not None:
                size = parse_size(str(config.size))
                own["size"] = max(1, _share(size, begun + frames, self.frames) - _share(size, begun, self.frames))
            if self.file_bytes is not None:
                size = self.file_bytes - self.extras
                share = _share(size, begun + frames, self.frames) - _share(size, begun, self.frames)
                own |= {"target_size": max(1, share), "bitrate": None}
        if config.time_limit is not None:
            left = max(frames, self.frames - begun)
            own["time_limit"] = max(1e-3, seconds_left * min(1.0, config.jobs * frames / left))
        return own


def _share(whole: int, frames: int, of: int) -> int:
    """Return the share of so many frames."""
    return whole * frames // of


def _draft_settings(clip: Clip, crf: float, threads: int | None) -> BaseSettings:
    """Return how the AV1 streams of the first pass are made."""
    fps = Fraction(len(clip.frames) / clip.seconds) if clip.seconds else Fraction(25)
    return BaseSettings(
        crf, DRAFT_PRESET, fps, matrix_of(clip.color.matrix), threads=threads or torch.get_num_threads()
    )


def check_repeatable(config: EncodeConfig, is_stdin: bool) -> None:
    """Refuse what needs to read a source again that can be read once; raises UsageError."""
    if is_stdin and needs_survey(config):
        raise UsageError(
            "standard input of more than 20 seconds can be read only once: a size or target needs a file, or "
            '`segment="none"`'
        )
    if config.time_limit is not None and aims(config) and config.has_av1:
        raise UsageError("`time_limit` and a target do not go together with several segments; leave one of them out")


def aims(config: EncodeConfig) -> bool:
    """Return whether there is a target."""
    return any(given is not None for given in (config.target_size, config.bitrate, config.target_psnr))


def needs_survey(config: EncodeConfig) -> bool:
    """Return whether something has to be known of the whole source before the first segment is encoded."""
    return aims(config) if config.has_av1 else config.size is not None or bool(config.target_sizes or config.bitrate)
