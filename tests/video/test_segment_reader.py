"""A source in segments: where it is cut, and that nothing is lost, moved, or held longer than needed."""

from __future__ import annotations

import itertools
import pickle
import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import write_clip
from hypothesis import given
from hypothesis import strategies as st
from shots import joined, shot

from nvcodec.errors import InputError
from nvcodec.video.clip import Clip
from nvcodec.video.frames import FrameCollector, StoredFrames
from nvcodec.video.segment_reader import SegmentLengths, read_segments
from nvcodec.video.selection import EVERYTHING, Selection
from nvcodec.video.source import read_clip
from nvcodec.video.timing import FrameTime, Ticks

FPS = Fraction(2)  # so that 20 seconds are 40 frames
AUTO = SegmentLengths()


def segments(source: Any, lengths: SegmentLengths = AUTO, selection: Selection = EVERYTHING) -> list[Clip]:
    """All segments at once; the last one, and no other, says that it is."""
    fps = FPS if isinstance(source, torch.Tensor) else None
    read = list(read_segments(source, selection, fps, lengths, lambda: FrameCollector(None)))
    assert [last for _, last in read] == [False] * (len(read) - 1) + [True]
    return [clip for clip, _ in read]


def cut(frames: torch.Tensor, lengths: SegmentLengths = AUTO) -> list[int]:
    """Lengths of the segments, in frames; together they are the source."""
    clips = segments(frames, lengths)
    assert torch.equal(torch.cat([torch.stack(list(clip.frames)) for clip in clips]), frames)
    assert [tick for clip in clips for tick in clip.ticks] == [(number, 1) for number in range(len(frames))]
    return [len(clip.frames) for clip in clips]


def test_scenes() -> None:
    assert cut(joined(10, 20, 15)) == [10, 20, 15]


def test_up_to_twenty_seconds_are_one_segment() -> None:
    assert cut(joined(10, 20, 10)) == [40]
    assert cut(joined(10, 20, 12)) == [10, 20, 12]
    assert cut(shot(40, 1)) == [40]


def test_long_scenes_are_cut() -> None:
    assert cut(shot(100, 1)) == [40, 40, 20]
    assert cut(joined(82, 30)) == [40, 40, 32]  # what is left of the scene is shorter than two seconds
    assert cut(joined(86, 30)) == [40, 40, 6, 30]


def test_what_is_shorter_than_two_seconds_is_no_segment() -> None:
    lengths = SegmentLengths(least=Fraction(4))
    assert cut(joined(10, 5, 20, 30), lengths) == [10, 25, 30]  # the segment that begins at 10 goes on
    assert cut(joined(30, 20, 3)) == [30, 23]
    assert cut(shot(43, 1)) == [43]
    assert cut(shot(45, 1)) == [40, 5]


def test_segments_of_a_given_length() -> None:
    assert cut(joined(10, 20), SegmentLengths.fixed(Fraction(4))) == [8, 8, 8, 6]
    assert cut(joined(10, 16), SegmentLengths.fixed(Fraction(4))) == [8, 8, 10]
    assert cut(shot(30, 1), SegmentLengths.fixed(Fraction(60))) == [30]


def test_a_file_in_segments_is_the_file(tmp_path: Path) -> None:
    """Also its times, and the selection."""
    path = write_clip(tmp_path / "x.mkv", joined(10, 20, 15, 20), FPS)
    for selection in (EVERYTHING, Selection(start=3, frames=55), Selection(every=2), Selection(scale=(32, 24))):
        whole, parts = read_clip(path, selection), segments(path, selection=selection)
        assert torch.equal(torch.cat([clip.frames for clip in parts]), whole.frames)  # type: ignore[misc]
        assert [tick for clip in parts for tick in clip.ticks] == whole.ticks
        assert {(clip.time_base, clip.color, clip.sample_aspect) for clip in parts} == {
            (whole.time_base, whole.color, whole.sample_aspect)
        }
    assert len(segments(path)) == 4
    with pytest.raises(InputError, match="no frame is left"):
        segments(path, selection=Selection(start=99))


def test_pictures_in_a_folder(tmp_path: Path) -> None:
    folder = write_clip(tmp_path / "pictures", joined(30, 20))
    read = read_segments(folder, EVERYTHING, FPS, AUTO, lambda: FrameCollector(None))
    assert [(len(clip.frames), clip.ticks[0], clip.time_base) for clip, _ in read] == [
        (30, (0, 1), 1 / FPS),
        (20, (30, 1), 1 / FPS),
    ]


def test_no_more_is_held_than_needed(tmp_path: Path) -> None:
    """While a clip is used, there is but the beginning of the next one beside it, however long the source is."""
    path = write_clip(tmp_path / "x.mkv", joined(*[12] * 12), FPS)
    living: weakref.WeakSet[FrameCollector] = weakref.WeakSet()

    def new() -> FrameCollector:
        collector = FrameCollector(0)
        living.add(collector)
        return collector

    held, beside = [], []
    for clip, _ in read_segments(path, EVERYTHING, None, AUTO, new):
        held.append(len(living))
        beside.append(sum(len(collector.frames()) for collector in living) - len(clip.frames))
        del clip
    assert len(held) == 12
    assert max(held[3:]) <= 2  # the first 20 seconds are read before there are segments
    assert max(beside[3:]) <= 12 + 4


def test_frames_that_other_processes_read() -> None:
    frames = FrameCollector(0, shared=True)
    for picture in shot(3, 1):
        frames.append(picture)
    stored = frames.frames()
    assert isinstance(stored, StoredFrames)
    copy = pickle.loads(pickle.dumps(stored))
    assert torch.equal(torch.stack(list(copy)), shot(3, 1))
    unnamed = FrameCollector(0)
    unnamed.append(shot(1, 1)[0])
    with pytest.raises(TypeError, match="cannot go to other processes"):
        pickle.dumps(unnamed.frames())


def parts_of(times: list[FrameTime], cuts: list[int]) -> Iterator[tuple[list[FrameTime], int]]:
    for start, end in itertools.pairwise([0, *cuts, len(times)]):
        yield times[start : end + 1], end - start


@given(
    st.lists(st.integers(1, 90), min_size=2, max_size=30).flatmap(
        lambda steps: st.tuples(st.just(steps), st.sets(st.integers(1, len(steps) - 1)))
    )
)
def test_times_part_by_part(drawn: tuple[list[int], set[int]]) -> None:
    """Where all frames have a time, those of parts are those of the whole."""
    times = [FrameTime(time, 7) for time in itertools.accumulate(drawn[0])]
    whole, parts = Ticks(40).part(times, len(times)), Ticks(40)
    split = [parts.part(part, count) for part, count in parts_of(times, sorted(drawn[1]))]
    assert list(itertools.chain(*split)) == whole


@given(
    st.lists(st.one_of(st.none(), st.integers(-500, 500)), min_size=2, max_size=14).flatmap(
        lambda times: st.tuples(st.just(times), st.sets(st.integers(1, len(times) - 1)))
    )
)
def test_times_always_increase(drawn: tuple[list[int | None], set[int]]) -> None:
    """Whatever a source says, each part begins where the one before ends, and every frame lasts."""
    ticks, end = Ticks(40), None
    for part, count in parts_of([FrameTime(time, 7) for time in drawn[0]], sorted(drawn[1])):
        for time, duration in ticks.part(part, count):
            assert end in (None, time)
            assert duration > 0
            end = time + duration
