"""Frames between transmitted ones (specification, section 8.3), and comparing them with the source."""

from __future__ import annotations

import dataclasses
import itertools
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import reference_decoder
import torch
from conftest import moving_squares, write_clip
from hypothesis import given
from hypothesis import strategies as st
from networks import random_stream

import nvcodec
from nvcodec.cli.main import run as command
from nvcodec.decoding.decoded_video import Video
from nvcodec.errors import UsageError
from nvcodec.format.arithmetic.interpolation import between
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.stream_writer import write_stream
from nvcodec.metrics import psnr
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

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
    assert len(made) == len(video.interpolated(3))
    assert video.interpolated(3).time_base == video.stream.time_base / 3
    first = 0
    for segment in video.stream.segments:
        start, frames = segment.head.first_frame, segment.head.frames
        for frame in range(frames):
            picture, pts, duration = made[first + 3 * frame]
            assert torch.equal(picture, video[start + frame])
            assert pts == 3 * video.stream.ticks[start + frame][0]
            assert duration == video.stream.ticks[start + frame][1] * (3 if frame == frames - 1 else 1)
        for one, following in itertools.pairwise(made[first : first + 3 * (frames - 1) + 1]):
            assert one.pts + one.duration == following.pts
        first += 3 * (frames - 1) + 1
    for factor in (0, 65536):
        with pytest.raises(UsageError):
            video.interpolated(factor)


def test_at_twice_the_rate_are_the_interpolated_frames_and_the_last_one_once_more() -> None:
    stream = random_stream(5, segments=1)
    stream.segments[0].head = dataclasses.replace(stream.segments[0].head, first_pts=-7, constant_duration=3)
    video = Video(read_stream(write_stream(stream)), device="cpu")
    fps = 2 / (3 * video.stream.time_base)
    playback = video.at_rate(fps)
    made, expected = list(playback), list(video.interpolated(2))
    assert all(torch.equal(a.picture, b.picture) for a, b in zip(made, [*expected, expected[-1]], strict=True))
    assert len(playback) == len(made)
    assert [one.pts * playback.time_base for one in made[::2]] == video.timestamps
    assert {one.duration * playback.time_base for one in made} == {1 / fps}


@pytest.mark.parametrize("seed", range(4))
def test_at_any_rate(seed: int) -> None:
    stream = random_stream(seed, segments=1)
    head = stream.segments[0].head
    stream.segments[0].head = dataclasses.replace(head, first_pts=10, constant_duration=0)
    stream.segments[0].durations = np.array([5, 0, 9, 2, 7, 11, 3, 8][: head.frames])
    video = Video(read_stream(write_stream(stream)), device="cpu")
    fps = Fraction(1, 4) / video.stream.time_base  # a picture every four ticks
    frames = list(video)
    for number, (picture, pts, _) in enumerate(video.at_rate(fps)):
        time = 10 + 4 * number
        frame = max(index for index, (pts, _) in enumerate(video.stream.ticks) if pts <= time)
        assert pts * video.at_rate(fps).time_base == time * video.stream.time_base
        start, duration = video.stream.ticks[frame]
        if time == start or frame == len(video) - 1:
            expected = frames[frame]
        else:
            expected = video.decode_positions(0, [frame + Fraction(time - start, duration)])[0]
        assert torch.equal(picture, expected)
    assert number == -(-int(stream.segments[0].durations.sum()) // 4) - 1
    for wrong in (Fraction(0), Fraction(-1), Fraction(10**12)):
        with pytest.raises(UsageError):
            video.at_rate(wrong)


def test_segments_out_of_order_have_no_even_rate() -> None:
    stream = random_stream(1, segments=2)
    for segment, first in zip(stream.segments, (10, -10), strict=True):
        segment.head = dataclasses.replace(segment.head, first_pts=first, constant_duration=1)
    with pytest.raises(UsageError, match="order"):
        Video(read_stream(write_stream(stream)), device="cpu").at_rate(Fraction(25))


def test_an_encode_of_every_second_frame(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source, out = str(write_clip(tmp_path / "source.mkv", CLIP)), str(tmp_path / "out.sdmn")
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
    made = [picture for picture, _, _ in video.interpolated(2)]
    expected = [sum(psnr(made[frame], CLIP[frame]) for frame in range(first, 9, 2)) / (5 - first) for first in (0, 1)]
    assert [found["psnr_rgb"] for found in judged] == pytest.approx(expected)
    assert command(["decode", out, "-o", str(tmp_path / "frames") + "/", "--interpolate", "2", *common]) == 0
    assert len(list((tmp_path / "frames").iterdir())) == 9
    assert command(["decode", out, "-o", str(tmp_path / "even.mkv"), "--fps", "50", *common]) == 0
    assert len(read_clip(tmp_path / "even.mkv").frames) == 18  # four times 80 ms, and 40 ms
    assert command(["decode", out, "--md5", "--interpolate", "2", "--start", "1"]) == 2
    assert command(["decode", out, "--md5", "--interpolate", "2", "--fps", "30"]) == 2
    for wrong in (["--frames", "9", "--unseen"], ["--every", "3", "--unseen"], ["--every", "3"]):
        assert command(["compare", source, out, "--device", "cpu", *wrong]) == 2


@pytest.mark.parametrize("seed", range(4))
def test_a_decoder_from_the_specification_agrees(seed: int) -> None:
    data = write_stream(random_stream(seed, layers=2))
    video, theirs = Video(read_stream(data), device="cpu"), reference_decoder.parse(data)
    made = [picture.permute(1, 2, 0).numpy() for picture, _, _ in video.interpolated(3)]
    if video.stream.segments[0].head.frames > 1:
        for part in (1, 2):
            assert (made[part] == reference_decoder.interpolate(theirs, 0, part, 3)).all()
