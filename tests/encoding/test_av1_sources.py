"""Sources that are small, short, long, empty of detail or full of it, with an AV1 stream."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from conftest import few_crops, moving_squares

import nvcodec
from nvcodec.encoding.encoded import Encoded
from nvcodec.encoding.verification import decode_and_measure
from nvcodec.format.stream_reader import read_stream
from nvcodec.metrics import psnr
from nvcodec.video.clip import Clip, steady
from nvcodec.video.pictures import as_clip
from nvcodec.video.yuv import planes_to_frame, rgb_to_yuv420

CPU = torch.device("cpu")
NOISE = torch.randint(0, 256, (4, 3, 32, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
CUT = torch.cat([moving_squares(4, 32, 48), 255 - moving_squares(4, 48, 32).transpose(2, 3)])


@pytest.fixture(autouse=True, scope="module")
def fast() -> Iterator[None]:
    with few_crops():
        yield


def encode(source: Any, **options: Any) -> Encoded:
    return nvcodec.encode(source, **{"preset": "draft", "steps": 20, "rd_lambda": 0.0, "device": "cpu", **options})


def check(encoded: Encoded, frames: torch.Tensor, floor: float) -> nvcodec.Video:
    """A file's frames are those that its checksums are of, and not far from the source's."""
    video = nvcodec.open(encoded.data, device="cpu")
    assert (len(video), video.height, video.width) == (len(frames), *frames.shape[2:])
    pictures = list(video)
    clip = as_clip(frames)
    checksums, quality = decode_and_measure(read_stream(encoded.data), clip, CPU)
    np.testing.assert_array_equal(checksums, video.stream.segments[0].layers[-1].checksums)
    qualities = [psnr(picture, original) for picture, original in zip(pictures, frames, strict=True)]
    assert sum(qualities) / len(frames) == pytest.approx(quality) == pytest.approx(encoded.psnr)
    assert min(qualities) > floor
    backwards = torch.stack([video[frame] for frame in range(len(frames) - 1, -1, -1)])
    assert torch.equal(backwards.flip(0), torch.stack(pictures))
    return video


@pytest.mark.parametrize(
    ("frames", "floor"),
    [
        (moving_squares(4, 16, 16), 26.0),
        (moving_squares(4, 33, 17), 26.0),
        (moving_squares(4, 17, 33), 26.0),
        (moving_squares(3, 16, 301), 26.0),
        (moving_squares(1, 32, 48), 28.0),
        (moving_squares(2, 32, 48), 28.0),
        (moving_squares(3, 32, 48), 28.0),
        (NOISE, 9.0),  # 7.8 dB have two pictures of noise
        (moving_squares(1, 32, 48).repeat(12, 1, 1, 1), 28.0),
        (CUT, 26.0),
        (moving_squares(4, 32, 48)[:, :1].repeat(1, 3, 1, 1), 32.0),  # grey
        (torch.full((4, 3, 32, 48), 255, dtype=torch.uint8), 60.0),
    ],
    ids=lambda value: "x".join(map(str, value.shape)) if isinstance(value, torch.Tensor) else None,
)
def test_odd_sources(frames: torch.Tensor, floor: float) -> None:
    check(encode(frames, crf=30.0), frames, floor)


def test_a_still_takes_little() -> None:
    one = moving_squares(1, 32, 48)
    first, all_of_them = (len(encode(one.repeat(count, 1, 1, 1), rd_lambda=20.0).data) for count in (1, 20))
    assert all_of_them < first + 20 * 20


@pytest.mark.parametrize("options", [{}, {"preset": "normal"}])
def test_black_takes_next_to_nothing(options: dict[str, Any]) -> None:
    black = torch.zeros(60, 3, 48, 64, dtype=torch.uint8)
    encoded = encode(black, **options)
    assert len(encoded.data) <= 30 * len(black)
    assert torch.equal(nvcodec.open(encoded.data, device="cpu")[:], black)


def test_no_network_for_what_rounding_exceeds() -> None:
    """Black of this size comes out wrong by a level here and there, which is less than rounding does."""
    black = torch.zeros(50, 3, 240, 416, dtype=torch.uint8)
    encoded = nvcodec.encode(black, crf=35.0, device="cpu", threads=1)
    assert len(encoded.data) <= 30 * len(black)
    video = nvcodec.open(encoded.data, device="cpu")
    assert len(video.stream.segments[0].layers) == 1
    errors = video[:].float().square().mean((1, 2, 3))
    assert 0 < float(errors.mean()) < 1 / 12


def test_cut_is_no_worse_than_what_is_before() -> None:
    video = check(encode(CUT, crf=30.0), CUT, 26.0)
    before, after = (sum(psnr(video[frame], CUT[frame]) for frame in part) for part in (range(4), range(4, 8)))
    assert after > before - 8


def test_long(tmp_path: Path) -> None:
    """Several runs; a frame of the last one decodes alone, and in any order."""
    frames = moving_squares(300, 16, 16)
    encoded = encode(frames)
    video = nvcodec.open(encoded.data, device="cpu")
    runs = video.stream.segments[0].layers[0].base
    assert len(runs) >= 3
    assert all(run.frames <= 128 for run in runs)
    assert [run.first for run in runs] == [sum(run.frames for run in runs[:index]) for index in range(len(runs))]
    pictures = video[:]
    for frame in (299, runs[-1].first, runs[-1].first - 1, 0, 150):
        assert torch.equal(nvcodec.open(encoded.data, device="cpu")[frame], pictures[frame])
    check(encoded, frames, 22.0)


def test_ten_bits(tmp_path: Path) -> None:
    """A source of ten bits is read as any other is: as eight."""
    frames = moving_squares(4, 34, 46)
    path = tmp_path / "ten.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=Fraction(30000, 1001))
        stream.width, stream.height, stream.pix_fmt = 46, 34, "yuv420p10le"
        for index, picture in enumerate(frames):
            frame = planes_to_frame(rgb_to_yuv420(picture, 10), 10)
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    read = as_clip(path)
    assert isinstance(read.frames, torch.Tensor)
    assert sum(map(psnr, read.frames, frames)) / 4 > 25
    encoded = encode(path, crf=20.0)
    video = check(encoded, read.frames, 28.0)
    assert video.stream.ticks == read.ticks
    assert video.stream.segments[0].layers[0].ops[0].depth == 10  # type: ignore[attr-defined]


def test_frames_in_any_time_base() -> None:
    """The times are the clip's, uneven ones as well."""
    ticks, time_base = steady(4, Fraction(24000, 1001))
    uneven = [(7, 3), (10, 1), (11, 90), (101, 2)]
    for times in (ticks, uneven):
        clip = Clip(moving_squares(4, 16, 16), times, time_base)
        stream = read_stream(encode(clip).data)
        assert (stream.ticks, stream.time_base) == (times, time_base)


def test_the_same_frames_give_the_same_file() -> None:
    frames = moving_squares(5, 24, 40)
    digests = {hashlib.sha256(encode(frames.clone()).data).hexdigest() for _ in range(2)}
    assert len(digests) == 1
