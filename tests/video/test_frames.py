"""Frames in memory and in a temporary file, and the limits on memory."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from conftest import moving_squares

import nvcodec
from nvcodec.cli.main import run as command
from nvcodec.errors import InputError, UsageError
from nvcodec.memory import machine_memory, peak_memory, used_memory
from nvcodec.video.clip import Clip, steady
from nvcodec.video.frames import FrameCollector, StoredFrames
from nvcodec.video.source import DEFAULT_FPS

CLIP = moving_squares(6, 32, 40)


def collected(memory: int | None) -> torch.Tensor | StoredFrames:
    collector = FrameCollector(memory)
    for picture in CLIP:
        collector.append(picture)
    return collector.frames()


def test_where_frames_go() -> None:
    assert isinstance(collected(None), torch.Tensor)
    assert isinstance(collected(2 * CLIP.numel()), torch.Tensor)
    assert isinstance(collected(2 * CLIP.numel() - 1), StoredFrames)
    assert isinstance(collected(0), StoredFrames)


@pytest.mark.parametrize("memory", [0, CLIP.numel(), None])
def test_both_read_the_same(memory: int | None) -> None:
    frames = collected(memory)
    assert frames.shape == CLIP.shape
    assert len(frames) == len(CLIP)
    assert torch.equal(frames[2], CLIP[2])
    assert torch.equal(frames[[4, 0, 4]], CLIP[[4, 0, 4]])
    assert all(torch.equal(a, b) for a, b in zip(frames, CLIP, strict=True))
    for beyond in (6, 99):
        with pytest.raises(IndexError):
            frames[beyond]


def test_a_full_disk_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = StoredFrames((3, 32, 40))

    class Full:
        def write(self, data: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(stored, "_file", Full())
    with pytest.raises(InputError, match=r"cannot store the frames in .*: No space"):
        stored.append(CLIP[0])


def test_the_file_is_the_same() -> None:
    """Frames that do not fit the memory allowed give the very same file."""
    options = {"size": 12_000, "steps": 30, "device": "cpu"}
    in_memory = nvcodec.encode(CLIP, **options)
    stored = collected(0)
    assert isinstance(stored, StoredFrames)
    assert nvcodec.encode(Clip(stored, *steady(6, DEFAULT_FPS)), **options).data == in_memory.data


def test_what_the_system_tells() -> None:
    assert 2**20 < used_memory() <= peak_memory() * 1.01 <= machine_memory()


def test_too_little_memory(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=r"needs about \d+ MiB, `max_memory` allows 100"):
        nvcodec.encode(CLIP, size=12_000, steps=1, device="cpu", max_memory=100 * 2**20)
    enough = used_memory() + 2**30
    assert nvcodec.encode(CLIP, size=12_000, steps=1, device="cpu", max_memory=enough).frames == 6
    for bad in ("some", "0", "-1G", "2T"):
        assert command(["encode", "x", "-o", str(tmp_path / "y"), "--size", "1M", "--max-memory", bad]) == 2
    assert "amount of memory" in capfd.readouterr().err
