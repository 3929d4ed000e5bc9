"""Times of what the outputs write, read back by PyAV and by the ffmpeg program: none lost, none moved, from 0."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from playback import Played, by_ffmpeg, by_pyav

from nvcodec.video.output_times import OutputTimes
from nvcodec.video.sinks import open_sink

Ticks = list[tuple[int, int]]
MS = Fraction(1, 1000)
#: Ticks and time base of clips.
CLIPS: dict[str, tuple[Ticks, Fraction]] = {
    "constant": ([(index, 1) for index in range(8)], Fraction(1, 25)),
    "NTSC": ([(index * 1001, 1001) for index in range(8)], Fraction(1, 30000)),
    "like a GIF": ([(0, 800), (800, 980)], MS),
    "varying": ([(0, 40), (40, 33), (73, 100), (173, 20), (193, 500)], MS),
    "one frame": ([(0, 1500)], MS),
    "many": ([(index * 3, 3) for index in range(60)], Fraction(1, 90)),  # more than an encoder holds back
}
OFFSETS = {"from 0": Fraction(0), "cut out": Fraction(60), "negative": Fraction(-8, 25)}
READERS = [by_pyav, by_ffmpeg]


def write(path: Path, ticks: Ticks, time_base: Fraction, keep_times: bool = False) -> list[str]:
    """Write small pictures; returns the notes."""
    generator = torch.Generator().manual_seed(1)
    seconds = sum(duration for _, duration in ticks) * time_base
    with open_sink(
        str(path),
        width=32,
        height=16,
        time_base=time_base,
        fps=(len(ticks) / seconds).limit_denominator(1001),
        keep_times=keep_times,
    ) as sink:
        for pts, duration in ticks:
            sink.put(torch.randint(0, 256, (16, 32, 3), generator=generator, dtype=torch.uint8).numpy(), pts, duration)
    return sink.notes


def moved(name: str, offset: Fraction) -> tuple[Ticks, Fraction]:
    """The clip ``name``, that many seconds later (rounded to its ticks)."""
    ticks, base = CLIPS[name]
    return [(pts + round(offset / base), duration) for pts, duration in ticks], base


def agree(played: Played, ticks: Ticks, base: Fraction, first: Fraction, suffix: str) -> None:
    """Check number of frames, times, and both ends, with what the container's ticks and ffmpeg's output round."""
    expected = [first + (pts - ticks[0][0]) * base for pts, _ in ticks]
    end = expected[-1] + ticks[-1][1] * base
    slack = {".mkv": MS / 2, ".webm": MS / 2, ".gif": Fraction(1, 200)}.get(suffix, 0)
    assert len(played.times) == len(expected)
    assert max(abs(a - b) for a, b in zip(played.times, expected, strict=True)) <= slack
    assert abs(played.end - end) <= 2 * slack
    assert abs(played.stated_end - end) <= Fraction(1, 100)  # ffmpeg prints hundredths


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".gif"])
@pytest.mark.parametrize("offset", OFFSETS)
def test_from_0(tmp_path: Path, offset: str, suffix: str, reader: Callable[[Path], Played]) -> None:
    for name in CLIPS:
        path = tmp_path / f"{name}{suffix}"
        ticks, base = moved(name, OFFSETS[offset])
        assert write(path, ticks, base) == []
        agree(reader(path), ticks, base, Fraction(0), suffix)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_kept_times(tmp_path: Path, suffix: str, reader: Callable[[Path], Played]) -> None:
    """Negative times, which neither container can hold, are shifted to 0, and a note says so."""
    for name, offset in itertools.product(("constant", "varying"), OFFSETS):
        path = tmp_path / f"{name} {offset}{suffix}"
        ticks, base = moved(name, OFFSETS[offset])
        notes = write(path, ticks, base, keep_times=True)
        agree(reader(path), ticks, base, max(OFFSETS[offset], Fraction(0)), suffix)
        expected = ["cannot hold negative times, so that all are 0.32 s later"] if offset == "negative" else []
        assert notes == expected


def test_frames_closer_than_a_tick(tmp_path: Path) -> None:
    """5000 frames per second into milliseconds: each has a tick of its own, and those after them are not late."""
    ticks = [(0, 2), (2, 2), (4, 2), (6, 2), (8, 400), (408, 10)]
    write(tmp_path / "x.mkv", ticks, Fraction(1, 10000))
    assert by_pyav(tmp_path / "x.mkv").times == [0, MS, 2 * MS, 3 * MS, 4 * MS, 41 * MS]


def test_a_gif_that_browsers_slow_down(tmp_path: Path) -> None:
    path = tmp_path / "x.gif"
    notes = write(path, [(index, 1) for index in range(6)], Fraction(1, 60))
    assert by_pyav(path).times == [Fraction(hundredths, 100) for hundredths in (0, 2, 3, 5, 7, 8)]
    assert notes == ["has frames of less than 0.02 s, which most programs show for longer"]


@pytest.mark.parametrize("name", ["constant", "NTSC", "one frame", "many"])
def test_y4m_of_a_constant_frame_rate(tmp_path: Path, name: str) -> None:
    ticks, base = moved(name, Fraction(60))
    assert write(tmp_path / "x.y4m", ticks, base) == []
    played = by_ffmpeg(tmp_path / "x.y4m")
    assert played.times == [(pts - ticks[0][0]) * base for pts, _ in ticks]
    assert played.end == sum(ticks[-1]) * base - ticks[0][0] * base


def test_y4m_of_a_varying_frame_rate(tmp_path: Path) -> None:
    """Milliseconds that round an even frame rate are none; what begins to vary in the last frame is."""
    rounded = [round(index * 1000 / 30) for index in range(31)]
    even = [(before, after - before) for before, after in itertools.pairwise(rounded)]
    assert write(tmp_path / "even.y4m", even, MS) == []
    (note,) = write(tmp_path / "x.y4m", *CLIPS["varying"])
    assert note.startswith("the frames do not last equally long; y4m shows 7.21501 frames per second, some of them")
    assert note.endswith("0.36 s too early or too late")  # the last begins at 4 / 7.215 s, not at 0.193 s


def test_a_time_base_that_ffmpeg_cannot_express(tmp_path: Path) -> None:
    base = Fraction(1, 2**32 - 1)
    second = 2**32 - 1
    write(tmp_path / "x.mp4", [(0, second), (second, second)], base)
    played = by_pyav(tmp_path / "x.mp4")
    assert (played.times, played.end) == ([0, 1], 2)


def test_times_in_ticks() -> None:
    times = OutputTimes(Fraction(1, 90000), MS, keep=False)
    assert [times.of(pts, 3003) for pts in (900, 3903, 6906)] == [(0, 33), (33, 34), (67, 33)]
    assert times.shifted == 0
    times = OutputTimes(MS, None, keep=True)
    assert [times.of(pts, 0) for pts in (-5, 7, 7)] == [(0, 1), (12, 1), (13, 1)]
    assert (times.shifted, times.tick) == (5 * MS, MS)
