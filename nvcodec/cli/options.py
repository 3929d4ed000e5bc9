"""Options that several commands share."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeVar

import click

from nvcodec.memory import machine_memory

F = TypeVar("F", bound=Callable[..., Any])


class SizeType(click.ParamType):  # type: ignore[type-arg]
    """``WxH``, both at least 1."""

    name = "WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", value)
        if not match or not int(match[1]) or not int(match[2]):
            self.fail(f"{value!r} is not a size such as 1280x640", param, ctx)
        return int(match[1]), int(match[2])


class RateType(click.ParamType):  # type: ignore[type-arg]
    """A frame rate: ``25``, ``29.97`` or ``30000/1001``."""

    name = "RATE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        try:
            rate = Fraction(value)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if not 0 < rate <= 1000 or max(rate.numerator, rate.denominator) >= 2**31:
            self.fail(f"{value!r} is not a frame rate such as 25 or 30000/1001", param, ctx)
        return rate


class TimeType(click.ParamType):  # type: ignore[type-arg]
    """A time: ``90`` or ``90s``, ``10m``, ``1h30m``; in seconds."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", value)
        parts = match.groups() if match else (0, 0, 0)
        seconds = sum(float(part or 0) * unit for part, unit in zip(parts, (3600, 60, 1), strict=True))
        if not seconds:
            self.fail(f"{value!r} is not a time such as 90s, 10m or 1h30m", param, ctx)
        return seconds


class BytesType(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes: ``500M``, ``2G`` or ``1.5G``; K, M and G are powers of 1024."""

    name = "BYTES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):  # a default
            return value
        match = re.fullmatch(r"(\d{1,15}(?:\.\d+)?)([KMG]?)", value, re.IGNORECASE)
        size = round(float(match[1]) * 1024 ** " KMG".index(match[2].upper() or " ")) if match else 0
        if not size:
            self.fail(f"{value!r} is not an amount of memory such as 500M or 2G", param, ctx)
        return size


class FileSizesType(click.ParamType):  # type: ignore[type-arg]
    """Sizes of files, with commas between: ``150kB``, ``1.5MB``, ``800000``; kB and MB are powers of 1000."""

    name = "SIZE[,SIZE...]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        sizes = [round(_decimal(part.strip().removesuffix("B"))) for part in value.split(",")]
        if not all(sizes):
            self.fail(f"{value!r} is not a size such as 150kB or 1.5MB, nor a list of them", param, ctx)
        return sizes


class BitrateType(click.ParamType):  # type: ignore[type-arg]
    """Bits a second: ``250k``, ``1.5M``, ``800000``; k and M are powers of 1000."""

    name = "BITRATE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        rate = _decimal(value)
        if not rate:
            self.fail(f"{value!r} is not a bit rate such as 250k or 1.5M", param, ctx)
        return rate


def _decimal(text: str) -> float:
    """``250``, ``250k`` or ``1.5M``; 0 where it is none of these."""
    match = re.fullmatch(r"(\d{1,12}(?:\.\d+)?)([kM]?)", text)
    return float(match[1]) * {"": 1, "k": 1000, "M": 1_000_000}[match[2]] if match else 0.0


def selection_options(function: F) -> F:
    """--crop, --scale, --start, --frames and --every of a source."""
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
    """--device and -j."""
    for option in (
        click.option("-j", "--threads", type=click.IntRange(1), help="CPU threads; all cores if not given."),
        click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda", help="Where to compute."),
    ):
        function = option(function)
    return function


def limit_options(function: F) -> F:
    """--max-pixels and --max-memory of a file that is read."""
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
    """-q and -v."""
    for option in (
        click.option("-v", "--verbose", is_flag=True, help="Say more on stderr."),
        click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors on stderr."),
    ):
        function = option(function)
    return function


class Status:
    """One line on stderr that is rewritten in place; silent unless stderr is a terminal."""

    def __init__(self, quiet: bool) -> None:
        self.live = not quiet and sys.stderr.isatty()
        self.shown = False

    def show(self, text: str) -> None:
        """Replace the line by ``text``."""
        if self.live:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            self.shown = True

    def clear(self) -> None:
        """Take the line away."""
        if self.shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self.shown = False


def duration(seconds: float) -> str:
    """``1:02:03`` or ``4:05``."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
