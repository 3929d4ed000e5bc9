"""What the command line's own types accept, and how its texts look."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import click
import pytest

from nvcodec.cli import options
from nvcodec.cli.options import (
    BitrateType,
    BytesType,
    FileSizesType,
    RateType,
    SizeType,
    Status,
    TimeType,
    duration,
)

ACCEPTED: list[tuple[type[click.ParamType], str, object]] = [
    (SizeType, "1280x640", (1280, 640)),
    (SizeType, "1x99999", (1, 99999)),
    (RateType, "25", Fraction(25)),
    (RateType, "29.97", Fraction(2997, 100)),
    (RateType, "30000/1001", Fraction(30000, 1001)),
    (RateType, "1000", Fraction(1000)),
    (TimeType, "90", 90.0),
    (TimeType, "90s", 90.0),
    (TimeType, "1.5", 1.5),
    (TimeType, "10m", 600.0),
    (TimeType, "1h30m", 5400.0),
    (TimeType, "1h2m3.5s", 3723.5),
    (BytesType, "512", 512),
    (BytesType, "2k", 2048),
    (BytesType, "500M", 500 * 2**20),
    (BytesType, "1.5G", 3 * 2**29),
    (FileSizesType, "150kB", [150_000]),
    (FileSizesType, "1.5MB, 800000,2k", [1_500_000, 800_000, 2000]),
    (BitrateType, "250k", 250_000.0),
    (BitrateType, "1.5M", 1_500_000.0),
    (BitrateType, "800000", 800_000.0),
]

REFUSED: list[tuple[type[click.ParamType], tuple[str, ...], str]] = [
    (SizeType, ("8", "0x8", "8x0", "8X8", "100000x8", "-8x8", "8x8x8"), "is not a size such as 1280x640"),
    (
        RateType,
        ("0", "-25", "1001", "1/0", "fast", "1/4294967296"),
        "is not a frame rate such as 25 or 30000/1001",
    ),
    (TimeType, ("", "0", "0h0m", "5d", "1m1h", "-5", "1.5m"), "is not a time such as 90s, 10m or 1h30m"),
    (BytesType, ("", "0", "some", "-1G", "2T", "1e3"), "is not an amount of memory such as 500M or 2G"),
    (
        FileSizesType,
        ("", "0", "5,", "5,x", "1K", "2GB", "1.5BB"),
        "is not a size such as 150kB or 1.5MB, nor a list of them",
    ),
    (BitrateType, ("", "0", "1K", "2G", "1 k", "-1"), "is not a bit rate such as 250k or 1.5M"),
]


@pytest.mark.parametrize(("kind", "text", "value"), ACCEPTED)
def test_accepted(kind: type[click.ParamType], text: str, value: object) -> None:
    converted: Any = kind().convert(text, None, None)
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(("kind", "texts", "message"), REFUSED)
def test_refused(kind: type[click.ParamType], texts: tuple[str, ...], message: str) -> None:
    for text in texts:
        with pytest.raises(click.BadParameter) as caught:
            kind().convert(text, None, None)
        assert caught.value.message == f"{text!r} {message}"


def test_a_default_in_bytes_stays() -> None:
    assert BytesType().convert(5, None, None) == 5


def test_names_in_the_help() -> None:
    names = {kind.name for kind in (SizeType, RateType, TimeType, BytesType, FileSizesType, BitrateType)}
    assert names == {"WxH", "RATE", "TIME", "BYTES", "SIZE[,SIZE...]", "BITRATE"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (0.6, "0:01"),
        (59.4, "0:59"),
        (59.6, "1:00"),
        (245, "4:05"),
        (3599.7, "1:00:00"),
        (3723, "1:02:03"),
        (36_610, "10:10:10"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_status_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(options.sys.stderr, "isatty", lambda: True)
    status = Status(quiet=False)
    status.clear()
    status.show("one")
    status.show("two")
    status.clear()
    status.clear()
    assert capsys.readouterr().err == "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[K"
    Status(quiet=True).show("three")
    monkeypatch.setattr(options.sys.stderr, "isatty", lambda: False)
    Status(quiet=False).show("four")
    assert capsys.readouterr().err == ""
