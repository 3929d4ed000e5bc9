"""Frames between the transmitted ones (specification, section 8.3), and how they are judged."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import spec_decoder
import torch
from conftest import moving_squares
from hypothesis import given
from hypothesis import strategies as st
from networks import random_stream

import nvcodec
from nvcodec.cli.main import run as command
from nvcodec.decoder import Video
from nvcodec.errors import UsageError
from nvcodec.exact.grids import between
from nvcodec.metrics import psnr
from nvcodec.reader import read_stream
from nvcodec.video.reader import Selection, read_clip
from nvcodec.video.sinks import open_sink
from nvcodec.writer import write_stream

CLIP = moving_squares(9, 32, 40)


@given(st.integers(-127, 127), st.integers(-127, 127), st.integers(1, 65535), st.data())
def test_the_formula(a: int, b: int, d: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, d - 1))
    values = np.array([a, b], np.int16).reshape(2, 1, 1, 1)
    made = between(lambda frames: values[frames], [Fraction(k, d)])
    assert made.item() == (2 * ((d - k) * a + k * b) + d) // (2 * d)
    assert abs(made.item() - (a + (b - a) * k / d)) <= 0.5


@pytest.mark.parametrize("seed", range(6))
def test_whole_frames_are_the_transmitted_ones(seed: int) -> None:
    video = Video(read_stream(write_stream(random_stream(seed, layers=2))), device="cpu")
    made = list(video.interpolated(3))
    ticks = video.interpolated_ticks(3)
    assert len(made) == len(ticks)
    first = 0
    for segment in video.stream.segments:
        start, frames = segment.head.first_frame, segment.head.frames
        for frame in range(frames):
            assert torch.equal(made[first + 3 * frame][0], video[start + frame])
            assert ticks[first + 3 * frame][0] == 3 * video.stream.ticks[start + frame][0]
        first += 3 * (frames - 1) + 1
    assert all(duration > 0 for _, duration in ticks)
    for factor in (0, 65536):
        with pytest.raises(UsageError):
            next(video.interpolated(factor))


def test_an_encode_of_every_second_frame(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source, out = str(tmp_path / "source.mkv"), str(tmp_path / "out.sdmn")
    with open_sink(source, width=40, height=32, time_base=Fraction(1, 25), fps=Fraction(25)) as sink:
        for place, picture in enumerate(CLIP.permute(0, 2, 3, 1).contiguous().numpy()):
            sink.put(picture, place, 1)
    clip = read_clip(source, Selection(every=2))
    assert torch.equal(clip.frames[:], CLIP[::2])  # type: ignore[index]
    assert [float(duration * clip.time_base) for _, duration in clip.ticks[:-1]] == [0.08] * 4
    assert len(read_clip(source, Selection(start=1, frames=6, every=4)).frames) == 2
    common = ["-q", "-j", "1", "--device", "cpu"]
    assert command(["encode", source, "-o", out, "--size", "12k", "--every", "2", "--steps", "60", *common]) == 0
    video = nvcodec.open(out, device="cpu")
    assert len(video) == 5
    capfd.readouterr()
    judged = []
    for more in ([], ["--unseen"]):
        assert command(["compare", source, out, "--every", "2", "--json", "--device", "cpu", *more]) == 0
        judged.append(json.loads(capfd.readouterr().out))
    assert [found["frames"] for found in judged] == [5, 4]
    made = [picture[0] for picture in video.interpolated(2)]
    expected = [sum(psnr(made[place], CLIP[place]) for place in range(first, 9, 2)) / (5 - first) for first in (0, 1)]
    assert [found["psnr_rgb"] for found in judged] == pytest.approx(expected)
    assert command(["decode", out, "-o", str(tmp_path / "frames") + "/", "--interpolate", "2", *common]) == 0
    assert len(list((tmp_path / "frames").iterdir())) == 9
    assert command(["decode", out, "--md5", "--interpolate", "2", "--start", "1"]) == 2
    for wrong in (["--unseen"], ["--every", "3", "--unseen"], ["--every", "3"]):
        assert command(["compare", source, out, "--device", "cpu", *wrong]) == 2


@pytest.mark.parametrize("seed", range(4))
def test_a_decoder_from_the_specification_agrees(seed: int) -> None:
    data = write_stream(random_stream(seed, layers=2))
    video, theirs = Video(read_stream(data), device="cpu"), spec_decoder.parse(data)
    made = [picture[0].permute(1, 2, 0).numpy() for picture in video.interpolated(3)]
    if video.stream.segments[0].head.frames > 1:
        for part in (1, 2):
            assert (made[part] == spec_decoder.interpolate(theirs, 0, part, 3)).all()
