"""The encode of one segment, which is that of its clip alone."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from typing import Any

from nvcodec.encoding.encode_config import WHOLE, EncodeConfig
from nvcodec.encoding.encode_job import EncodeJob
from nvcodec.encoding.encoded import Encoded
from nvcodec.tracks import NO_EXTRAS
from nvcodec.video.clip import Clip
from nvcodec.video.frames import checksum
from nvcodec.video.selection import Selection

#: Options that change nothing in the file of a segment, or only how far its fit gets.
_WITHOUT_EFFECT = ("device", "threads", "max_memory", "time_limit", "checkpoint_every", "on_interrupt")


@dataclasses.dataclass(frozen=True)
class SegmentTask:
    """What is to be encoded, in any process.

    Attributes:
        number: of the segment.
        first_frame: number of its first frame in the video.
        clip: its frames, without what travels beside them.
        config: options for this clip alone.
    """

    number: int
    first_frame: int
    clip: Clip
    config: EncodeConfig

    @functools.cached_property
    def name(self) -> str:
        """Name of the segment's file, equal only for equal frames, times and options."""
        said = dataclasses.asdict(dataclasses.replace(self.config, loss=None)) | {"loss": str(self.config.loss)}
        identity: dict[str, Any] = {key: str(value) for key, value in said.items() if key not in _WITHOUT_EFFECT}
        clip = self.clip
        identity["clip"] = [checksum(clip.frames), list(clip.frames.shape), str(clip.time_base), clip.ticks]
        identity["said"] = str((clip.color, clip.sample_aspect, clip.hdr))
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return f"{self.first_frame:08d}-{digest[:16]}.sdmn"


def segment_task(number: int, first_frame: int, clip: Clip, config: EncodeConfig, **changes: Any) -> SegmentTask:
    """Return the task of a segment.

    Args:
        number, first_frame, clip: see :class:`SegmentTask`.
        config: the options of the whole encode.
        changes: the options that a segment has of its own.
    """
    defaults: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(Selection)}
    once: dict[str, Any] = {"segment": WHOLE, "jobs": 1, "ray": None, "fps": None, "resume": False, "overwrite": False}
    own = dataclasses.replace(config, **{**defaults, **once, **changes})
    return SegmentTask(number, first_frame, dataclasses.replace(clip, extras=NO_EXTRAS), own)


def encode_segment(task: SegmentTask) -> Encoded:
    """Encode a segment: return what :func:`nvcodec.encode` does for its clip.

    Raises:
        KeyboardInterrupt: an end was requested in this process.
    """
    # Networks in float would have to travel between processes.
    return dataclasses.replace(EncodeJob(task.clip, None, task.config).run(), fitted=None)
