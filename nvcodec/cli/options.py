"""Options and output that several commands share."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeVar

import click

from nvcodec.memory import machine_memory
from nvcodec.notes import silenced
from nvcodec.video.selection import parse_moment

POWERS = {"": 0, "k": 1, "m": 2, "g": 3}  # of 1000 or 1024
PATH = click.Path()  # of a file or folder; shells complete it
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


class ScaleType(SizeType):
    """Width and height; one of them may be -1, which keeps the shape of the picture: ``320x-1``."""

    name = "SCALE"
    expected = "a size such as 1280x640 or 320x-1"

    def parse(self, text: str) -> tuple[int, int] | None:
        size = super().parse(text.replace("-1", "1"))
        match = re.fullmatch(r"(-1|\d+)x(-1|\d+)", text)
        if not (size and match) or text == "-1x-1":
            return None
        return int(match[1]), int(match[2])


class MomentType(_ParsedType):
    """A number of frames, ``1500``, or a time, ``90s``, ``12.5`` or ``1:02:30.5``."""

    name = "MOMENT"
    expected = "a frame number such as 1500 or a time such as 90s or 1:30.5"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse the text; 0 is valid here."""
        if not isinstance(value, str):
            return value
        parsed = self.parse(value)
        return self.fail(f"{value!r} is not {self.expected}", param, ctx) if parsed is None else parsed

    def parse(self, text: str) -> int | Fraction | None:
        return parse_moment(text)


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
    """Seconds, positive: ``90``, ``90s``, ``10m``, ``1h30m``, ``1:30`` or ``00:10:00.5``."""

    name = "TIME"
    expected = "a time such as 90s, 10m, 1h30m or 1:30:00"

    def parse(self, text: str) -> Any:
        if (moment := parse_moment(text)) is not None:
            return float(moment)
        match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", text)
        hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match else (0, 0, 0)
        return 3600 * hours + 60 * minutes + seconds


class BytesType(_ParsedType):
    """Bytes of memory: ``500M``, ``2G`` or ``1.5 GiB``; K, M and G are powers of 1024, of either case."""

    name = "BYTES"
    expected = "an amount of memory such as 500M or 2G"

    def parse(self, text: str) -> int:
        return round(_amount(text, 1024, "(i?b)?"))


class FileSizesType(_ParsedType):
    """Sizes of files in bytes, separated by commas: ``150kB``, ``1.5M``, ``800000``; k, M and G are powers of 1000, of
    either case; KiB, MiB and GiB of 1024."""

    name = "SIZE[,SIZE...]"
    expected = "a size such as 150kB, 1.5M or 2MiB, nor a list of them"

    def parse(self, text: str) -> list[int]:
        sizes = [
            round(_amount(part.strip(), 1000, "b?") or _amount(part.strip(), 1024, "ib")) for part in text.split(",")
        ]
        return sizes if all(sizes) else []


class BitrateType(_ParsedType):
    """Bits per second: ``250k``, ``1.5M``, ``100kbps``, ``2 Mbit/s`` or ``800000``; k, M and G are powers of 1000, of
    either case."""

    name = "BITRATE"
    expected = "a bit rate such as 250k or 1.5M"

    def parse(self, text: str) -> float:
        return _amount(text, 1000, "(bps|bits?/s|b/s)?")


def _amount(text: str, base: int, unit: str) -> float:
    """Parse a decimal number with a prefix, a power of ``base``, and a unit, a pattern in small letters.

    Returns 0 where the text is something else.
    """
    match = re.fullmatch(rf"(\d{{1,15}}(?:\.\d+)?) ?([kmg]?){unit}", text.lower())
    return float(match[1]) * base ** POWERS[match[2]] if match else 0.0


def selection_options(function: F) -> F:
    """Add the options that select a part of a source: those of :class:`~nvcodec.video.selection.Selection`."""
    for option in (
        click.option(
            "--deinterlace/--no-deinterlace",
            default=True,
            show_default=True,
            help="Deinterlace frames that say they are interlaced, by FFmpeg's bwdif.",
        ),
        click.option(
            "--every",
            type=click.IntRange(1),
            default=1,
            metavar="N",
            help="Of these frames take one in N, from the first.",
        ),
        click.option("--frames", type=click.IntRange(1), help="Frames to take; all that are left if not given."),
        click.option("--end", type=MomentType(), help="Where to end, exclusive: a frame or a time, like --start."),
        click.option("--duration", type=TimeType(), help="Seconds to take from the first frame on."),
        click.option(
            "--start",
            type=MomentType(),
            default=0,
            show_default=True,
            help="Where to begin: frames to skip, such as 1500, or a time, such as 90s or 1:30.5.",
        ),
        click.option(
            "--scale",
            type=ScaleType(),
            help="Resize to WxH (bicubic, antialiased), after --crop; 320x-1 keeps the shape, and the height even.",
        ),
        click.option("--crop", type=SizeType(), help="Keep the middle WxH."),
    ):
        function = option(function)
    return function


def bits_option(text: str) -> Callable[[F], F]:
    """Return what adds --bits."""

    def number(_: click.Context, __: click.Parameter, value: str | None) -> int | None:
        return None if value is None else int(value)

    return click.option("--bits", type=click.Choice(["8", "10"]), callback=number, help=text)


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


def _silence(context: click.Context, _: click.Parameter, quiet: bool) -> bool:
    """Print no notes while the command runs."""
    if quiet:
        context.with_resource(silenced())
    return quiet


def volume_options(function: F) -> F:
    """Add -q and -v."""
    for option in (
        click.option("-v", "--verbose", is_flag=True, help="Say more on stderr."),
        click.option("-q", "--quiet", is_flag=True, callback=_silence, help="Say nothing but errors on stderr."),
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
