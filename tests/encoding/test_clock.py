"""The clock of an encode: what is left of its time limit, and who may take it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from conftest import Time, moving_squares, write_clip

import nvcodec
from nvcodec.encoding.clock import Clock
from nvcodec.errors import UsageError


def test_phases_add_up(fake_time: Time) -> None:
    clock = Clock()
    for seconds, name in ((2.0, "a"), (3.0, "b"), (4.0, "a")):
        with clock.phase(name):
            fake_time.now += seconds
        fake_time.now += 10
    assert clock.seconds == {"a": 6, "b": 3}
    assert clock.total == 9


def test_without_a_limit(fake_time: Time) -> None:
    clock = Clock()
    with clock.share(0.1):
        assert clock.left == math.inf
    assert not clock.limited
    clock.require(1e9, "wonders")


def test_shares_of_what_is_left(fake_time: Time) -> None:
    """What a part does not take is there for the others; one that takes more takes it from them."""
    clock = Clock(100.0)
    fake_time.now += 20  # outside of all phases
    assert (clock.limited, clock.left) == (True, 80)
    with clock.share(0.5):
        assert clock.left == 40
        with clock.share(0.25):
            assert clock.left == 10
            fake_time.now += 12
            assert clock.left == -2
        assert clock.left == 28
    assert clock.left == 68
    fake_time.now += 70
    with clock.share(0.5):
        assert clock.left == 0
    assert clock.left == -2


def test_what_cannot_be_done_is_refused(fake_time: Time) -> None:
    clock = Clock(10.0)
    clock.require(10.0, "frames")
    fake_time.now += 4
    with pytest.raises(UsageError, match=r"^`time_limit` is too short: frames take about 7\.3 s, and 6\.0 s are left$"):
        clock.require(7.34, "frames")
    fake_time.now += 10
    with pytest.raises(UsageError, match=r"frames take about 0\.1 s, and 0\.0 s are left"):
        clock.require(0.1, "frames")


@pytest.mark.parametrize("selection", [{}, {"start": 10, "every": 2}, {"frames": 20}])
def test_reading_ends_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_time: Time, selection: dict[str, int]
) -> None:
    """As soon as it is clear that the frames cannot all be read: here a second after the first, with the fourth one."""
    source = write_clip(tmp_path / "clip.mkv", moving_squares(40, 32, 40))
    read = 0

    def slow(picture: torch.Tensor, *_: object) -> torch.Tensor:
        nonlocal read
        read += 1
        fake_time.now += 0.4
        return picture

    monkeypatch.setattr("nvcodec.video.source.crop_and_scale", slow)
    count = {"start": 15, "frames": 20}.get(next(iter(selection), ""), 40)
    left = f"{0.4 * (count - 4):.1f} s, and 3.4 s are left"
    with pytest.raises(UsageError, match=f"frames still to be read take about {left}"):
        nvcodec.encode(source, time_limit=5.0, device="cpu", **selection)
    assert read == 4
