"""Clips from arrays, tensors and iterables: exact pixels and times, and one sentence for what cannot be told."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import moving_squares, write_clip

from nvcodec.errors import InputError, UsageError
from nvcodec.video.clip import Clip
from nvcodec.video.pictures import Timed, as_clip
from nvcodec.video.selection import Selection
from nvcodec.video.transform import crop_and_scale

FRAMES = moving_squares(6, 18, 20)
LAST = FRAMES.permute(0, 2, 3, 1)  # channels last, as imageio and OpenCV have them


def reusing_its_memory() -> Iterator[np.ndarray]:
    buffer = np.empty((3, 18, 20), np.uint8)
    for picture in FRAMES.numpy():
        buffer[:] = picture
        yield buffer


def reversed_channels() -> np.ndarray:
    """Frames as OpenCV's are turned to RGB: a view with a negative stride."""
    return LAST.flip(3).numpy()[..., ::-1]


def read_only() -> np.ndarray:
    array = FRAMES.numpy().copy()
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "source",
    [
        FRAMES,
        LAST,
        FRAMES.numpy(),
        LAST.contiguous().numpy(),
        reversed_channels(),
        read_only(),
        list(FRAMES),
        tuple(LAST.numpy()),
        [FRAMES[0].numpy(), *LAST[1:]],
        iter(reversed_channels()),
        reusing_its_memory(),
    ],
)
def test_pixels(source: Any) -> None:
    clip = as_clip(source)
    assert torch.equal(clip.frames, FRAMES)  # type: ignore[arg-type]
    assert (clip.ticks, clip.time_base) == ([(index, 1) for index in range(6)], Fraction(1, 25))


@pytest.mark.parametrize("source", [FRAMES, LAST.numpy(), list(FRAMES)])
def test_a_selection(source: Any) -> None:
    clip = as_clip(source, Selection((18, 16), (17, 16), 1, 4, 2), Fraction(30))
    expected = [crop_and_scale(FRAMES[frame], (18, 16), (17, 16)) for frame in (1, 3)]
    assert torch.equal(clip.frames, torch.stack(expected))  # type: ignore[arg-type]
    assert (clip.ticks, clip.time_base) == ([(0, 1), (1, 1)], Fraction(1, 15))


def test_an_endless_generator() -> None:
    def endless() -> Iterator[torch.Tensor]:
        while True:
            yield from FRAMES

    assert torch.equal(as_clip(endless(), Selection(start=4, frames=4)).frames, FRAMES[[4, 5, 0, 1]])  # type: ignore[arg-type]


def test_frames_beyond_the_memory() -> None:
    frames = as_clip(iter(LAST), memory=1).frames
    assert not isinstance(frames, torch.Tensor)
    assert torch.equal(frames[[0, 5]], FRAMES[[0, 5]])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (FRAMES.float(), r"^frames must be uint8 .* got float32 \[6, 3, 18, 20\]$"),
        (FRAMES[0], r"^frames must be uint8 \[frames, 3, height, width\] or .* got uint8 \[3, 18, 20\]$"),
        (LAST.numpy()[..., :2], r"got uint8 \[6, 18, 20, 2\]$"),
        (torch.cat([FRAMES, FRAMES[:, :1]], 1), r"got uint8 \[6, 4, 18, 20\]$"),
        (np.zeros((6, 3, 18, 3), np.uint8), r"^frames of shape \[6, 3, 18, 3\] may be .* cannot be told$"),
        ([np.zeros((3, 20, 3), np.uint8)], r"^frame 0 of shape \[3, 20, 3\] may be \[3, height, width\] or"),
        ([FRAMES[0], FRAMES[1, :, :16]], r"^frame 1 is \[3, 16, 20\] and the frames before it are \[3, 18, 20\]$"),
        ([FRAMES[0], "x"], r"^frame 1 must be uint8 \[3, height, width\]"),
        ([FRAMES], r"^frame 0 must be uint8 .* got uint8 \[6, 3, 18, 20\]$"),
        (b"\x00" * 8, r"^a source is a path, .* not bytes$"),
        (7, r"^a source is a path, .* not int$"),
    ],
)
def test_what_are_no_pictures(source: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        as_clip(source)


@pytest.mark.parametrize("source", [[], FRAMES[:0], iter(()), np.zeros((0, 18, 20, 3), np.uint8)])
def test_no_pictures(source: Any) -> None:
    with pytest.raises(InputError, match="no frame"):
        as_clip(source)


@pytest.mark.parametrize(
    ("timestamps", "ticks", "time_base"),
    [
        ([0, 0.04, 0.08], [(0, 1), (1, 1), (2, 1)], Fraction(1, 25)),
        ([1.5, 1.75, 3], [(6, 1), (7, 5), (12, 5)], Fraction(1, 4)),
        ([1.5, 1.75, 3, 4], [(6, 1), (7, 5), (12, 4)], Fraction(1, 4)),
        ([-0.5, 0, 0.5], [(-1, 1), (0, 1), (1, 1)], Fraction(1, 2)),
        ([n * 1001 / 30000 for n in range(3)], [(0, 1001), (1001, 1001), (2002, 1001)], Fraction(1, 30000)),
        ([Fraction(n, 24) for n in range(4)], [(0, 1), (1, 1), (2, 1)], Fraction(1, 24)),
        (torch.tensor([0, 0.25, 0.5]), [(0, 1), (1, 1), (2, 1)], Fraction(1, 4)),
        (np.array([0, 1, 2]), [(0, 1), (1, 1), (2, 1)], Fraction(1)),
        ([0, 1 / 999983, 1 / 7], [(0, 1), (1, 142856), (142857, 142856)], Fraction(1, 10**6)),
    ],
)
def test_timestamps(timestamps: Any, ticks: list[tuple[int, int]], time_base: Fraction) -> None:
    clip = as_clip(Timed(iter(FRAMES[:3]), timestamps))
    assert (clip.ticks, clip.time_base) == (ticks, time_base)


def test_the_time_of_a_single_picture() -> None:
    clip = as_clip(Timed(FRAMES[:1], [2]))
    assert (clip.ticks, clip.time_base) == ([(50, 1)], Fraction(1, 25))


@pytest.mark.parametrize(
    ("timestamps", "message"),
    [
        ([0, 1], "^2 time stamps for 3 frames$"),
        ([0, 1, 2, 3, 4], "^5 time stamps for 3 frames$"),
        ([0, 2, 1], r"^time stamp 2, 1\.0 s, is not after 2\.0 s$"),
        ([0, 1, 1], r"^time stamp 2, 1\.0 s, is not after 1\.0 s$"),
        ([0, float("nan"), 2], "numbers of seconds"),
        ([0, 1, float("inf")], "numbers of seconds"),
        ([0, "x", 2], "numbers of seconds"),
    ],
)
def test_timestamps_that_cannot_be(timestamps: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        as_clip(Timed(FRAMES[:3], timestamps))


def test_options_that_do_not_go_with_a_source(tmp_path: Path) -> None:
    clip = Clip(FRAMES, [(index, 1) for index in range(6)], Fraction(1, 25))
    assert as_clip(clip) is clip
    for source, options in (
        (clip, {"selection": Selection(scale=(16, 16))}),
        (clip, {"fps": Fraction(9)}),
        (Timed(clip, range(6)), {}),
    ):
        with pytest.raises(UsageError, match="a clip is taken as it is"):
            as_clip(source, **options)  # type: ignore[arg-type]
    path = write_clip(tmp_path / "x.mkv", FRAMES)
    assert len(as_clip(str(path)).frames) == 6
    with pytest.raises(UsageError, match="a file has its own"):
        as_clip(Timed(path, range(6)))
    for options in ({"fps": Fraction(9)}, {"selection": Selection(every=2)}, {"selection": Selection(start=1)}):
        with pytest.raises(UsageError, match="leave out `fps`"):
            as_clip(Timed(FRAMES, range(6)), **options)  # type: ignore[arg-type]
