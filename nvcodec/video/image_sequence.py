"""Pictures in the order of their names: of a folder, a glob (``f*.png``) or a printf pattern (``f%04d.png``)."""

from __future__ import annotations

import glob
import itertools
import math
import os
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av

from nvcodec.errors import InputError
from nvcodec.notes import note
from nvcodec.video.selection import Moment
from nvcodec.video.source_frame import SourceFrame, has_centred_chroma, reason
from nvcodec.video.timing import FrameTime

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
MAX_GAPS_NAMED = 3
_LAST_NUMBER = re.compile(r"(.*?)(\d+)(\D*)")
_NUMBER = re.compile(r"%(?:0?(\d+))?d")  # %d, %4d and %04d


class ImageSequence:
    """Pictures in natural order.

    Args:
        path: a folder, whose pictures are taken, or a pattern.
        fps: pictures per second.

    Raises:
        InputError: there is no picture.
    """

    typical_duration = 1

    def __init__(self, path: Path, fps: Fraction) -> None:
        self.path = path
        self.time_base = 1 / fps
        found = sorted(_pictures(path), key=lambda entry: natural_key(entry.name))
        self.paths = [entry for entry in found if entry.is_file()]
        if not self.paths:
            raise InputError(f"{path} contains no images" if path.is_dir() else f"{path} matches no images")
        for entry in found:
            if entry.is_symlink() and not entry.exists():
                note(path, f"{entry.name} is left out: it is a link to nothing")
        self.counted = self.announced = len(self.paths)
        if gaps := _gaps(self.paths):
            note(path, f"pictures are missing between {', '.join(gaps)}")

    def seconds(self, time: FrameTime) -> Fraction | None:
        """Return a time in seconds from the first picture on."""
        return None if time.pts is None else time.pts * self.time_base

    def frames(self, start: Moment = 0) -> Iterator[SourceFrame]:
        """Decode all pictures from a number or time on."""
        first = start if isinstance(start, int) else math.ceil(Fraction(start) / self.time_base)
        for number, path in enumerate(self.paths[first:], first):
            try:
                with av.open(os.path.abspath(path)) as container:
                    frame = next(container.decode(video=0))
                    centred = has_centred_chroma(container, container.streams.video[0])
            except (av.FFmpegError, OSError, ValueError, StopIteration, IndexError) as error:
                raise InputError(f"cannot read {path}: {reason(error)}") from None
            yield SourceFrame(frame, FrameTime(number, 1), Fraction(1), centred)


def is_pattern(path: Path) -> bool:
    """Return whether a path stands for several pictures rather than for a file or folder of this very name."""
    return not path.exists() and bool(_NUMBER.search(path.name) or glob.has_magic(path.name))


def _pictures(path: Path) -> list[Path]:
    """Return the names that a folder or pattern stands for, in any order; hidden files are none of them."""
    number = None if path.is_dir() else _NUMBER.search(path.name)
    if number is None and not path.is_dir():
        return [Path(name) for name in glob.glob(os.fspath(path))]
    folder = path.parent if number else path
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder")
    visible = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    if number is None:
        return [entry for entry in visible if entry.suffix.lower() in IMAGES]
    digits = rf"\d{{{number[1]},}}" if number[1] else r"\d+"
    before, after = path.name[: number.start()], path.name[number.end() :]
    expression = re.compile(re.escape(before.replace("%%", "%")) + digits + re.escape(after.replace("%%", "%")))
    return [entry for entry in visible if expression.fullmatch(entry.name)]


def _gaps(paths: Sequence[Path]) -> list[str]:
    """Return the pairs of names between which numbers are missing, if names differ in their last number alone."""
    names = [_LAST_NUMBER.fullmatch(path.name) for path in paths]
    pairs = [(a, b) for a, b in itertools.pairwise(names) if a and b and (a[1], a[3]) == (b[1], b[3])]
    steps = [int(b[2]) - int(a[2]) for a, b in pairs]
    # Every second or tenth picture of a numbered series is no gap; a longer step than the shortest one is.
    wide = [f"{a[0]} and {b[0]}" for (a, b), step in zip(pairs, steps, strict=True) if step > min(steps)]
    return wide[:MAX_GAPS_NAMED] + ["others"] * (len(wide) > MAX_GAPS_NAMED)


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key that puts ``f2`` before ``f10``."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), part) if part.isdigit() else (1, 0, part) for part in parts]
