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
    MomentType,
    RateType,
    ScaleType,
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
    (ScaleType, "320x-1", (320, -1)),
    (ScaleType, "-1x240", (-1, 240)),
    (ScaleType, "320x240", (320, 240)),
    (TimeType, "00:00:10", 10.0),
    (TimeType, "90", 90.0),
    (TimeType, "90s", 90.0),
    (TimeType, "1.5", 1.5),
    (TimeType, "10m", 600.0),
    (TimeType, "1h30m", 5400.0),
    (TimeType, "1h2m3.5s", 3723.5),
    (TimeType, "1:30", 90.0),
    (TimeType, "00:10:00.5", 600.5),
    (TimeType, "100:00", 6000.0),
    (MomentType, "0", 0),
    (MomentType, "1500", 1500),
    (MomentType, "90s", Fraction(90)),
    (MomentType, "2.5", Fraction(5, 2)),
    (MomentType, ".5", Fraction(1, 2)),
    (MomentType, "3.", Fraction(3)),
    (MomentType, "1:30.5", Fraction(181, 2)),
    (MomentType, "00:00:10", Fraction(10)),
    (MomentType, "1:02:03.004s", Fraction(3723004, 1000)),
    (BytesType, "512", 512),
    (BytesType, "1.5 GiB", 3 * 2**29),
    (BytesType, "3mb", 3 * 2**20),
    (BytesType, "7B", 7),
    (BytesType, "2k", 2048),
    (BytesType, "500M", 500 * 2**20),
    (BytesType, "1.5G", 3 * 2**29),
    (FileSizesType, "150kB", [150_000]),
    (FileSizesType, "1.5MB, 800000,2k", [1_500_000, 800_000, 2000]),
    (FileSizesType, "12K", [12_000]),
    (FileSizesType, "12KiB,1 MiB", [12_288, 2**20]),
    (FileSizesType, "0.5gb", [500_000_000]),
    (BitrateType, "250k", 250_000.0),
    (BitrateType, "100kbps", 100_000.0),
    (BitrateType, "2 Mbit/s", 2_000_000.0),
    (BitrateType, "3Kbits/s", 3_000.0),
    (BitrateType, "1Gb/s", 1e9),
    (BitrateType, "1.5M", 1_500_000.0),
    (BitrateType, "800000", 800_000.0),
]

REFUSED: list[tuple[type[click.ParamType], tuple[str, ...], str]] = [
    (SizeType, ("8", "0x8", "8x0", "8X8", "100000x8", "-8x8", "8x8x8"), "is not a size such as 1280x640"),
    (ScaleType, ("-1x-1", "0x-1", "320x-2", "320", "-1"), "is not a size such as 1280x640 or 320x-1"),
    (
        MomentType,
        ("", "s", "-1", "1:", ":30", "1:2:3:4", "1.5.2", "1e3", "soon", "5m", "١.٥", "1/2"),
        "is not a frame number such as 1500 or a time such as 90s or 1:30.5",
    ),
    (
        RateType,
        ("0", "-25", "1001", "1/0", "fast", "1/4294967296"),
        "is not a frame rate such as 25 or 30000/1001",
    ),
    (
        TimeType,
        ("", "0", "0h0m", "5d", "1m1h", "-5", "1.5m", "1:", "1:2:3:4"),
        "is not a time such as 90s, 10m, 1h30m or 1:30:00",
    ),
    (BytesType, ("", "0", "some", "-1G", "2T", "1e3", "1kbps", "1 i"), "is not an amount of memory such as 500M or 2G"),
    (
        FileSizesType,
        ("", "0", "5,", "5,x", "1Ki", "2TB", "1.5BB", "1i", "1kb/s"),
        "is not a size such as 150kB, 1.5M or 2MiB, nor a list of them",
    ),
    (BitrateType, ("", "0", "1KiB", "2T", "1  k", "-1", "1kB", "1kbp"), "is not a bit rate such as 250k or 1.5M"),
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
