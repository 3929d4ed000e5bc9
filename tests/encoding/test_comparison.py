"""``nvcodec.compare()`` and what the command line makes of it; ``encode()`` from Python's pictures."""

from __future__ import annotations

import dataclasses
import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import write_clip

import nvcodec
from nvcodec import metrics
from nvcodec.cli.main import run
from nvcodec.errors import UsageError
from nvcodec.video.clip import Clip

FAST: dict[str, Any] = {"size": "6k", "steps": 4, "device": "cpu"}


def test_the_measures(tiny: nvcodec.Encoded, tiny_clip: torch.Tensor) -> None:
    rows = [
        metrics.measure(picture, original)
        for picture, original in zip(nvcodec.open(tiny.data, device="cpu"), tiny_clip, strict=True)
    ]
    seen: list[tuple[int, int]] = []
    found = nvcodec.compare(tiny_clip, tiny.data, device="cpu", progress=lambda *now: seen.append(now))
    assert list(found.by_frame) == rows
    assert seen == [(number, 5) for number in range(1, 6)]
    for name in ("psnr_rgb", "psnr_y", "psnr_cb", "psnr_cr", "psnr_611", "ssim"):
        assert getattr(found, name) == sum(row[name] or 0 for row in rows) / 5
    assert found.psnr_rgb == pytest.approx(tiny.psnr)
    assert found.psnr_rgb_min == min(row["psnr_rgb"] or 0 for row in rows) == rows[found.worst_frame]["psnr_rgb"]
    assert (found.ms_ssim, found.frames, found.file_bytes) == (None, 5, len(tiny.data))
    assert found.bits_per_pixel == 8 * len(tiny.data) / (5 * 33 * 42)


def test_the_command_says_the_same(
    tiny_file: Path, tiny_clip: torch.Tensor, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = write_clip(tmp_path / "source.mkv", tiny_clip)
    assert run(["compare", str(source), str(tiny_file), "--json"]) == 0
    figures = json.loads(capfd.readouterr().out)
    result = dataclasses.asdict(nvcodec.compare(source, tiny_file))
    del result["by_frame"]
    assert figures == result
    assert run(["compare", str(source), str(tiny_file), "--frames", "3"]) == 2
    assert capfd.readouterr().err.startswith(f"nvcodec: {tiny_file}: the source gives 3 frames of 42x33, the file 5 of")
    assert run(["compare", str(source), str(tiny_file), "--unseen"]) == 2
    assert capfd.readouterr().err == (
        f"nvcodec: {tiny_file}: --unseen needs the --every that the file was encoded with, at least 2\n"
    )


def test_the_part_that_a_file_states(
    tiny_clip: torch.Tensor, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, out = write_clip(tmp_path / "source.mkv", tiny_clip), tmp_path / "out.sdmn"
    part: dict[str, Any] = {"crop": (40, 32), "scale": (20, -1), "start": 1, "every": 2}
    nvcodec.encode(source, out, **part, **FAST)
    assert nvcodec.info(out)["metadata"]["selection"] == {"crop": [40, 32], "scale": [20, -1], "start": 1, "every": 2}
    given = nvcodec.compare(source, out, **part)
    assert nvcodec.compare(source, out) == given
    assert (given.frames, given.psnr_rgb) == (2, pytest.approx(nvcodec.encode(source, **part, **FAST).psnr))
    assert run(["compare", str(source), str(out), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["psnr_rgb"] == given.psnr_rgb
    assert run(["compare", str(source), str(out), "--crop", "20x16"]) == 2  # the file's start and every no longer hold
    assert "the source gives 5 frames of 20x16, the file 2 of 20x16" in capfd.readouterr().err
    assert nvcodec.compare(source, out, unseen=True).frames == 1


def test_unseen_frames(tiny_clip: torch.Tensor) -> None:
    encoded = nvcodec.encode(tiny_clip, every=2, **FAST)
    video = nvcodec.open(encoded.data, device="cpu")
    shown = [moment.picture for moment in video.interpolated(2)]
    found = nvcodec.compare(tiny_clip, video, every=2, unseen=True)
    assert [row["psnr_rgb"] for row in found.by_frame] == [metrics.psnr(shown[at], tiny_clip[at]) for at in (1, 3)]
    assert nvcodec.compare(tiny_clip, video, every=2).psnr_rgb == pytest.approx(encoded.psnr)


def test_layers(tiny_clip: torch.Tensor) -> None:
    encoded = nvcodec.encode(tiny_clip, size="6k,6k", steps=4, device="cpu")
    lower = nvcodec.compare(tiny_clip, encoded.data, layers=1)
    assert lower.file_bytes == len(encoded.layers[0].data) < len(encoded.data)
    assert lower.psnr_rgb == pytest.approx(encoded.layers[0].psnr)
    assert nvcodec.compare(tiny_clip, nvcodec.open(encoded.data, layers=1)) == lower


def test_every_source_gives_the_same_file(tiny_clip: torch.Tensor) -> None:
    """The default frame rate, a frame rate, time stamps and a clip that say the same are the same."""
    last = tiny_clip.permute(0, 2, 3, 1).contiguous().numpy()
    expected = nvcodec.encode(tiny_clip, **FAST).data
    assert nvcodec.encode(last, **FAST).data == expected
    assert nvcodec.encode((picture for picture in last), fps=25, **FAST).data == expected
    assert nvcodec.encode(iter(tiny_clip), timestamps=[n / 25 for n in range(5)], **FAST).data == expected
    clip = Clip(tiny_clip, [(n, 1) for n in range(5)], Fraction(1, 25))
    assert nvcodec.encode(clip, **FAST).data == expected
    found = nvcodec.compare(iter(last), io.BytesIO(expected), device="cpu")
    assert found == nvcodec.compare(clip, expected, device="cpu")


def test_uneven_times(tiny_clip: torch.Tensor) -> None:
    encoded = nvcodec.encode(list(tiny_clip), timestamps=[0.5, 0.75, 1.5, 1.75, 2, 3], **FAST)
    video = nvcodec.open(encoded.data, device="cpu")
    assert video.timestamps == [Fraction(quarter, 4) for quarter in (2, 3, 6, 7, 8)]
    assert (video.begin_seconds, video.end_seconds, video.duration) == (0.5, 3.0, Fraction(5, 2))
    assert torch.equal(video.frame_at(1.4).data, video[1])


def test_the_frames_of_a_video_are_a_source(tiny: nvcodec.Encoded, tmp_path: Path) -> None:
    with nvcodec.open(tiny.data, device="cpu") as video:
        again = nvcodec.encode(video, timestamps=video.timestamps, **FAST)
        assert nvcodec.open(again.data).timestamps == video.timestamps
    out = tmp_path / "out.sdmn"
    out.touch()
    waiting = iter([1])
    with pytest.raises(UsageError, match="exists"):
        nvcodec.encode(waiting, out, **FAST)  # type: ignore[arg-type]
    assert next(waiting) == 1  # a generator is not spent in vain


def test_masks_as_a_tensor_are_not_cut_again(tiny_clip: torch.Tensor) -> None:
    masks = torch.full((2, 3, 16, 16), 255, dtype=torch.uint8)
    plain = nvcodec.encode(tiny_clip, crop=(16, 16), start=1, frames=2, **FAST)
    weighted = nvcodec.encode(tiny_clip, crop=(16, 16), start=1, frames=2, weights=masks, **FAST)
    assert (
        (plain.frames, plain.width, plain.height) == (weighted.frames, weighted.width, weighted.height) == (2, 16, 16)
    )


def test_progress(tiny_clip: torch.Tensor) -> None:
    seen: list[Any] = []
    nvcodec.encode(tiny_clip, progress=seen.append, **FAST)
    assert [(now.step, now.steps, now.phase) for now in seen] == [(4, 4, "fit")]
    with pytest.warns(DeprecationWarning, match="`report` is now called `progress`") as warned:
        nvcodec.encode(tiny_clip, report=seen.append, **FAST)
    assert warned[0].filename == __file__
    assert len(seen) == 2
