"""Options and output that several commands share."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, TypeVar

import click

from nvcodec.memory import machine_memory

DECIMAL_UNITS = {"": 1, "k": 1000, "M": 1_000_000}
F = TypeVar("F", bound=Callable[..., Any])


class _ParsedType(click.ParamType):  # type: ignore[type-arg]
    """An option's value that is parsed from text.

    Attributes:
        expected: what the message for other texts says they are not.
    """

    expected: str

    def parse(self, text: str) -> Any:
        """Return the value; something false, such as 0 or None, where the text is not valid."""
        raise NotImplementedError

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse the text of an option; a default of another type is returned unchanged."""
        if not isinstance(value, str):
            return value
        parsed = self.parse(value)
        if not parsed:
            self.fail(f"{value!r} is not {self.expected}", param, ctx)
        return parsed


class SizeType(_ParsedType):
    """Width and height of a picture, both at least 1: ``1280x640``."""

    name = "WxH"
    expected = "a size such as 1280x640"

    def parse(self, text: str) -> tuple[int, int] | None:
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
        return (int(match[1]), int(match[2])) if match and int(match[1]) and int(match[2]) else None


class RateType(_ParsedType):
    """Frames per second, at most 1000: ``25``, ``29.97`` or ``30000/1001``."""

    name = "RATE"
    expected = "a frame rate such as 25 or 30000/1001"

    def parse(self, text: str) -> Fraction | None:
        try:
            fps = Fraction(text)
        except (ValueError, ZeroDivisionError):
            return None
        return fps if 0 < fps <= 1000 and max(fps.numerator, fps.denominator) < 2**31 else None


class TimeType(_ParsedType):
    """Seconds, positive: ``90``, ``90s``, ``10m`` or ``1h30m``."""

    name = "TIME"
    expected = "a time such as 90s, 10m or 1h30m"

    def parse(self, text: str) -> float:
        match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", text)
        hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match else (0, 0, 0)
        return 3600 * hours + 60 * minutes + seconds


class BytesType(_ParsedType):
    """Bytes of memory: ``500M``, ``2G`` or ``1.5g``; K, M and G are powers of 1024."""

    name = "BYTES"
    expected = "an amount of memory such as 500M or 2G"

    def parse(self, text: str) -> int:
        return round(_number(text.upper(), {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}))


class FileSizesType(_ParsedType):
    """Sizes of files in bytes, separated by commas: ``150kB``, ``1.5MB``, ``800000``; k and M are powers of 1000."""

    name = "SIZE[,SIZE...]"
    expected = "a size such as 150kB or 1.5MB, nor a list of them"

    def parse(self, text: str) -> list[int]:
        sizes = [round(_number(part.strip().removesuffix("B"), DECIMAL_UNITS)) for part in text.split(",")]
        return sizes if all(sizes) else []


class BitrateType(_ParsedType):
    """Bits per second: ``250k``, ``1.5M`` or ``800000``; k and M are powers of 1000."""

    name = "BITRATE"
    expected = "a bit rate such as 250k or 1.5M"

    def parse(self, text: str) -> float:
        return _number(text, DECIMAL_UNITS)


def _number(text: str, units: Mapping[str, int]) -> float:
    """Parse a decimal number with one of the units; 0 where the text is something else."""
    match = re.fullmatch(r"(\d{1,15}(?:\.\d+)?)(\D?)", text)
    return float(match[1]) * units.get(match[2], 0) if match else 0.0


def selection_options(function: F) -> F:
    """Add --crop, --scale, --start, --frames and --every, which select a part of a source."""
    for option in (
        click.option(
            "--every",
            type=click.IntRange(1),
            default=1,
            metavar="N",
            help="Of these frames take one in N, from the first.",
        ),
        click.option("--frames", type=click.IntRange(1), help="Frames to take; all that are left if not given."),
        click.option("--start", type=click.IntRange(0), default=0, show_default=True, help="Frames to skip."),
        click.option("--scale", type=SizeType(), help="Resize to WxH (bicubic, antialiased), after --crop."),
        click.option("--crop", type=SizeType(), help="Keep the middle WxH."),
    ):
        function = option(function)
    return function


def device_options(function: F) -> F:
    """Add --device and -j."""
    for option in (
        click.option("-j", "--threads", type=click.IntRange(1), help="CPU threads; all cores if not given."),
        click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda", help="Where to compute."),
    ):
        function = option(function)
    return function


def limit_options(function: F) -> F:
    """Add --max-pixels and --max-memory, the limits on a file to read."""
    for option in (
        click.option(
            "--max-memory",
            type=BytesType(),
            default=machine_memory,
            show_default="all the machine has",
            help="Refuse a file that takes more to decode, such as 2G.",
        ),
        click.option("--max-pixels", type=click.IntRange(1), help="Refuse a file whose pictures have more pixels."),
    ):
        function = option(function)
    return function


def volume_options(function: F) -> F:
    """Add -q and -v."""
    for option in (
        click.option("-v", "--verbose", is_flag=True, help="Say more on stderr."),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors on stderr."),
    ):
        function = option(function)
    return function


class Status:
    """A line on stderr that is rewritten in place; silent unless stderr is a terminal."""

    def __init__(self, quiet: bool) -> None:
        self.live = not quiet and sys.stderr.isatty()
        self.shown = False

    def show(self, text: str) -> None:
        """Replace the line by ``text``."""
        if self.live:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            self.shown = True

    def clear(self) -> None:
        """Remove the line."""
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self.shown = False


def duration(seconds: float) -> str:
    """Return a time as ``1:02:03`` (hours, minutes, seconds) or ``4:05`` (minutes, seconds)."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
