"""Where scenes change: at joins, and neither in motion, fades, pans and flashes nor where nothing happens."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import moving_squares
from shots import joined, shot

from nvcodec.samples import with_bits
from nvcodec.video.scene_changes import AROUND, difference, scene_changes
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip


def changes(frames: torch.Tensor) -> list[int]:
    """Numbers of the frames with which scenes begin; all frames come, in order, with what they came with."""
    told = list(scene_changes((frame, number) for number, frame in enumerate(frames)))
    assert [number for _, number, _ in told] == list(range(len(frames)))
    assert all(torch.equal(samples, frames[number]) for samples, number, _ in told)
    return [number for _, number, begins in told if begins]


def test_joins() -> None:
    clip = joined(30, 9, AROUND + 1, 20)
    assert changes(clip) == [30, 39, 39 + AROUND + 1]
    assert changes(torch.stack([with_bits(frame, 10) for frame in clip])) == changes(clip)


def test_a_join_at_the_ends_of_a_source() -> None:
    assert changes(joined(1, 6)) == [1]
    assert changes(joined(6, 1)) == [6]
    assert changes(joined(1)) == []


def test_motion_and_noise_are_no_change() -> None:
    assert changes(shot(40, 3)) == []
    assert changes(moving_squares(40, 48, 64)) == []
    assert changes(torch.zeros(9, 3, 48, 64, dtype=torch.uint8)) == []


@pytest.mark.parametrize("length", range(1, AROUND))
@pytest.mark.parametrize("level", [0, 255])
def test_flashes(length: int, level: int) -> None:
    clip = shot(30, 1).clone()
    clip[12 : 12 + length] = level
    assert changes(clip) == []


@pytest.mark.parametrize("frames", [6, 12, 25])
def test_fades(frames: int) -> None:
    """One scene becomes another, or black, step by step."""
    share = torch.linspace(0, 1, frames + 2)[1:-1].view(-1, 1, 1, 1)
    first, second = shot(20 + frames, 1), shot(20 + frames, 2)
    dissolve = (first[20:] * (1 - share) + second[:frames] * share).to(torch.uint8)
    assert changes(torch.cat([first[:20], dissolve, second[frames:]])) == []
    black = (first[20:] * (1 - share)).to(torch.uint8)
    assert changes(torch.cat([first[:20], black, torch.zeros_like(first[:20])])) == []


@pytest.mark.parametrize("speed", [2, 8, 20])
def test_pans(speed: int) -> None:
    """A picture twelve times as wide moves past, by up to a third of what is seen from frame to frame."""
    random = torch.Generator().manual_seed(5)
    wide = F.interpolate(torch.rand(1, 3, 5, 40, generator=random), (48, 800), mode="bilinear")[0] * 255
    clip = torch.stack([wide[:, :, x : x + 64] for x in range(0, 736, speed)]).to(torch.uint8)
    assert changes(clip) == []


def test_a_difference() -> None:
    black, white = torch.zeros(4, 4), torch.ones(4, 4)
    assert difference(black, white) == 1
    assert difference(white, white) == 0
    moved = torch.eye(4)
    assert difference(moved, moved.flip(0)) == pytest.approx(0.25)  # the same histogram: only half of it counts


def test_real_clips(clips: Path) -> None:
    """Scenes that pan and shake have no change, and all joins of two of them are found."""
    names = ("basketballpass", "davis480/bmx-trees", "davis480/mallard-water", "dancers")
    scenes = [read_clip(clips / name, Selection(scale=(160, 88), frames=24)).frames for name in names]
    for scene in scenes:
        assert changes(torch.stack(list(scene))) == []
    for first, second in itertools.permutations(scenes, 2):
        assert changes(torch.cat([first, second])) == [24]
