"""What travels beside the pictures of a source: how it gets into the files that an encode makes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import cast

from nvcodec.encoding.encode_config import EncodeConfig
from nvcodec.encoding.encoded import Encoded
from nvcodec.errors import UsageError
from nvcodec.format.extras import add_extras, extra_bytes
from nvcodec.notes import note_left_out
from nvcodec.tracks import NO_EXTRAS, Chapter, Extras, Track
from nvcodec.video.clip import Clip
from nvcodec.video.track_reader import WHOLE, TrackReader, Window, read_extras


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
    require_space(_bytes_of(extras, config), config.target_sizes)
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
    require_space(taken, targets)
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


class ExtrasInParts:
    """What travels beside the frames of a source that is encoded part after part.

    Args:
        source: what is encoded.
        first: its first frames.
        config: the options.

    Attributes:
        heads: all but packets and chapters.
    """

    def __init__(self, source: object, first: Clip, config: EncodeConfig) -> None:
        self.source, self._reader = source, None
        self._given = first.extras if config.audio else first.extras.without_audio
        selection = config.selection
        if isinstance(source, (str, os.PathLike)):
            start = first.ticks[0][0] * first.time_base if config.start else None
            self._reader = TrackReader(source, start, config.audio)
            self._given = Extras(tuple(self._reader.tracks), tags=self._reader.tags, selection=selection.stated)
        self._ends = (config.frames, config.duration, config.end) != (None, None, None)
        self._timeless = self._reader is not None and config.fps is not None
        if self._timeless:
            self._given = dataclasses.replace(self._given, tracks=())
        without_packets = tuple(dataclasses.replace(track, packets=()) for track in self._given.tracks)
        self.heads = dataclasses.replace(
            self._given, tracks=without_packets, chapters=(), hdr=first.hdr or self._given.hdr
        )

    def until(self, end: Fraction, last: bool) -> list[Track]:
        """Return each track with its next packets.

        Args:
            end: of a part, in seconds on the clock of the frames; from Python, all packets belong to the first part.
            last: whether nothing follows the part.
        """
        if self._reader is None:
            given, self._given = self._given, dataclasses.replace(self._given, tracks=self.heads.tracks)
            return list(given.tracks)
        packets = self._reader.until(None if last and not self._ends else end)
        tracks = [
            dataclasses.replace(track, packets=tuple(found))
            for track, found in zip(self.heads.tracks, packets, strict=bool(self.heads.tracks))
        ]
        return [track.shown_until(end) for track in tracks] if last and self._ends else tracks

    def chapters(self, end: Fraction) -> tuple[Chapter, ...]:
        """Return the chapters, given the time at which the last part ends."""
        if self._reader is None:
            return self._given.chapters
        return () if self._timeless else self._reader.chapters(end if self._ends else None)

    def close(self) -> None:
        """Say on stderr what of a file does not travel."""
        if self._reader is None:
            return
        timed = self._reader.tracks or self._reader.chapters(None)
        lost = ["sound, subtitles and chapters, because the frame rate is replaced"] if self._timeless and timed else []
        note_left_out(os.fspath(cast(str, self.source)), [*self._reader.left_out, *lost])
        self._reader.close()


def _bytes_of(extras: Extras, config: EncodeConfig) -> int:
    return extra_bytes(extras, config.has_av1) if extras else 0


def require_space(taken: int, targets: Sequence[int]) -> None:
    """Refuse targets, in bytes, of which nothing is left for pictures; raises UsageError."""
    if targets and min(targets) <= taken:
        raise UsageError(
            f"sound, subtitles and tags alone take {taken} bytes, and the file may have {min(targets)}; "
            "`audio=False` leaves the sound out"
        )
