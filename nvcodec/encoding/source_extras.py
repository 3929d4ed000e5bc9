"""What travels beside the pictures of a source: how it gets into the files that an encode makes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence

from nvcodec.encoding.encode_config import EncodeConfig
from nvcodec.encoding.encoded import Encoded
from nvcodec.errors import UsageError
from nvcodec.format.extras import add_extras, extra_bytes
from nvcodec.notes import note_left_out
from nvcodec.tracks import NO_EXTRAS, Extras
from nvcodec.video.clip import Clip
from nvcodec.video.track_reader import WHOLE, Window, read_extras


def extras_ahead(source: object, config: EncodeConfig) -> Extras | None:
    """Read what travels beside the frames of a file before these are read, if it may already be too much for a target.

    Returns:
        None where there is no target in bytes, or times of frames say what travels.

    Raises:
        UsageError: it cannot be stored, or takes more than a target allows.
    """
    if not (config.target_sizes and config.selection.whole and isinstance(source, (str, os.PathLike))):
        return None
    extras = extras_of_file(source, WHOLE, config)
    _require_space(_bytes_of(extras, config), config.target_sizes)
    return extras


def with_extras(
    source: object, clip: Clip, config: EncodeConfig, ahead: Extras | None = None
) -> tuple[EncodeConfig, Callable[[Encoded], Encoded]]:
    """Read what travels beside the frames of a clip.

    Args:
        source: what the clip is of.
        clip: the frames that are encoded.
        config: the options.
        ahead: what has been read by :func:`extras_ahead`.

    Returns:
        The options for files without it, whose targets are so much smaller; and what adds it to such a file.

    Raises:
        UsageError: it cannot be stored, or takes more than a target allows.
    """
    extras = extras_for(source, clip, config) if ahead is None else ahead
    if config.onto is None:
        extras = dataclasses.replace(extras, hdr=clip.hdr or extras.hdr)
    taken = _bytes_of(extras, config)
    targets = config.file_sizes(clip.seconds)
    _require_space(taken, targets)
    if targets and taken:
        config = dataclasses.replace(config, target_size=tuple(t - taken for t in targets), bitrate=None)

    def complete(file: Encoded) -> Encoded:
        target = None if file.target_bytes is None else file.target_bytes + taken
        return dataclasses.replace(file, data=add_extras(file.data, extras), target_bytes=target)

    return config, complete if extras else lambda file: file


def extras_for(source: object, clip: Clip, config: EncodeConfig) -> Extras:
    """Return what travels beside the frames of a clip; what of a file does not is said on stderr.

    Args:
        source: what the clip is of; only a file has more than the clip.
        clip: the frames that are encoded.
        config: the options.
    """
    if not isinstance(source, (str, os.PathLike)):
        extras = clip.extras if config.audio else clip.extras.without_audio
        return NO_EXTRAS if config.onto is not None else extras
    window = WHOLE
    if not config.selection.whole:
        first, (last, duration) = clip.ticks[0][0], clip.ticks[-1]
        ends = (config.frames, config.duration, config.end) != (None, None, None)
        end = (last + duration) * clip.time_base if ends else None
        window = Window(first * clip.time_base if config.start else None, end)
    return extras_of_file(source, window, config)


def extras_of_file(source: str | os.PathLike[str], window: Window, config: EncodeConfig) -> Extras:
    """Return what travels beside the frames of a part of a file, and say on stderr what does not."""
    if config.onto is not None:
        return NO_EXTRAS  # the file has what was wanted
    extras, left_out = read_extras(source, window, config.audio)
    if config.fps is not None and (extras.tracks or extras.chapters):
        extras = Extras(tags=extras.tags)  # they would not go with the new times
        left_out.append("sound, subtitles and chapters, because the frame rate is replaced")
    note_left_out(source, left_out)
    return dataclasses.replace(extras, selection=config.selection.stated)


def _bytes_of(extras: Extras, config: EncodeConfig) -> int:
    return extra_bytes(extras, config.has_av1) if extras else 0


def _require_space(taken: int, targets: Sequence[int]) -> None:
    """Refuse targets, in bytes, of which nothing is left for pictures; raises UsageError."""
    if targets and min(targets) <= taken:
        raise UsageError(
            f"sound, subtitles and tags alone take {taken} bytes, and the file may have {min(targets)}; "
            "`audio=False` leaves the sound out"
        )
