"""Frames to AV1: temporal units, key frames, and the same bytes for every number of threads."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
import torch
from conftest import moving_squares

from nvcodec.encoding.av1.svt_encoder import BaseSettings, encode_av1, matrix_of
from nvcodec.errors import InputError
from nvcodec.format.arithmetic.color import LUMA_SHARES, SHARE_UNIT
from nvcodec.format.av1_headers import ObuType, check_run, obus, parse_sequence_header
from nvcodec.format.operations import Picture
from nvcodec.video.yuv import LUMA_WEIGHTS, frame_to_planes, rgb_to_yuv420

SETTINGS = BaseSettings(30.0, 8, Fraction(25))


def decode(units: list[bytes]) -> list[Any]:
    """The frames of a stream, by dav1d."""
    context: Any = av.CodecContext.create("libdav1d", "r")
    context.thread_count = 1
    return [frame for packet in (*map(av.Packet, units), None) for frame in context.decode(packet)]


def test_one_unit_for_each_frame() -> None:
    clip = moving_squares(12, 34, 46)
    seen: list[int] = []
    units = encode_av1(clip, SETTINGS, seen.append)
    assert seen == list(range(1, 13))
    assert [unit.key for unit in units] == [True, *[False] * 11]
    data = b"".join(unit.data for unit in units)
    # Without temporal delimiters, and with ends where the units end.
    _, ends = check_run(data, 12, Picture(34, 46, 10, 1, 0, 6, 0, 0), "the stream")
    assert ends == tuple(itertools.accumulate(len(unit.data) for unit in units))
    for picture, frame in zip(clip, decode([unit.data for unit in units]), strict=True):
        planes, bits = frame_to_planes(frame)
        assert bits == 10
        wanted = rgb_to_yuv420(picture, 10)
        for plane, target in zip(planes, wanted, strict=True):
            assert np.abs(plane.astype(int) - target).mean() < 12  # of 1023


def test_what_the_stream_says() -> None:
    settings = BaseSettings(30.0, 8, Fraction(25), 9, 9, 16)
    unit = encode_av1(moving_squares(1, 34, 46), settings)[0]
    header = next(obus(unit.data, "the stream"))
    assert header.kind == ObuType.SEQUENCE_HEADER
    sequence = parse_sequence_header(header.payload, "the stream")
    assert (sequence.width, sequence.height, sequence.depth, sequence.monochrome) == (46, 34, 10, False)
    assert (sequence.matrix, sequence.full_range) == (9, False)
    frame = decode([unit.data])[0]
    assert (int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace)) == (9, 16, 9)


@pytest.mark.parametrize(
    ("fps", "most"),
    [(Fraction(60), 128), (Fraction(30000, 1001), 128), (Fraction(12), 60), (Fraction(3), 15), (Fraction(1, 10), 1)],
)
def test_runs_are_short(fps: Fraction, most: int) -> None:
    """A key frame every 128 frames or 5 seconds, and each of them begins a run that decodes alone."""
    clip = moving_squares(2 * most + 2, 16, 16)
    units = encode_av1(clip, BaseSettings(50.0, 8, fps))
    starts = [index for index, unit in enumerate(units) if unit.key]
    assert starts == list(range(0, len(clip), most))
    whole = decode([unit.data for unit in units])
    last = decode([unit.data for unit in units[starts[-1] :]])
    for a, b in zip(whole[starts[-1] :], last, strict=True):
        np.testing.assert_array_equal(frame_to_planes(a)[0][0], frame_to_planes(b)[0][0])


def test_threads_do_not_change_the_bytes() -> None:
    clip = moving_squares(20, 72, 136)
    streams = [encode_av1(clip, BaseSettings(40.25, 8, Fraction(25), threads=threads)) for threads in (1, 2, 7)]
    assert streams[0] == streams[1] == streams[2]


LAMBDAS = "lambda-scale-factors=104,104,104,104,104,104,104:keyint=-1:sharpness=1"


def test_parameters() -> None:
    parameters = BaseSettings(35.25, 4, Fraction(30), threads=2).parameters
    assert parameters == f"crf=43.25:startup-qp-offset=-8:{LAMBDAS}:lp=2"
    # The scale ends at 63.
    assert BaseSettings(55.0, 4, Fraction(25)).parameters == f"crf=63:startup-qp-offset=-8:{LAMBDAS}:lp=1"
    assert BaseSettings(55.25, 4, Fraction(25)).parameters == f"crf=62.25:startup-qp-offset=-7:{LAMBDAS}:lp=1"
    assert BaseSettings(63.0, 4, Fraction(25)).parameters == f"crf=63:startup-qp-offset=0:{LAMBDAS}:lp=1"


def test_bytes_fall_with_the_rate_factor() -> None:
    """Also where SVT-AV1 is told a smaller offset."""
    clip = moving_squares(4, 64, 96)
    sizes = [
        sum(len(unit.data) for unit in encode_av1(clip, BaseSettings(crf, 8, Fraction(2, 5))))
        for crf in (0.0, 5.0, 20.0, 40.0, 50.0, 55.0, 57.0, 59.0, 63.0)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 4 * sizes[-1]


@pytest.mark.parametrize(
    ("fps", "told"),
    [
        (Fraction(25), Fraction(25)),
        (Fraction(30000 / 1001), Fraction(30000, 1001)),
        (Fraction(1, 10**6), Fraction(1)),
        (Fraction(10**5), Fraction(240)),
    ],
)
def test_rates_that_svt_av1_takes(fps: Fraction, told: Fraction) -> None:
    settings = BaseSettings(50.0, 8, fps)
    assert settings.told_fps == told
    assert len(encode_av1(moving_squares(2, 16, 16), settings)) == 2


def test_frames_and_settings_that_it_refuses() -> None:
    assert encode_av1([], SETTINGS) == []
    for width in (2, 20_000):
        with pytest.raises(InputError, match=f"SVT-AV1 cannot encode frames of {width}x16: Invalid argument$"):
            encode_av1(torch.zeros(1, 3, 16, width, dtype=torch.uint8), SETTINGS)


def test_matrices() -> None:
    assert [matrix_of(declared) for declared in (0, 2, 3, 8, 10, 14, 255)] == [6] * 7
    for declared in LUMA_WEIGHTS:
        assert matrix_of(declared) == declared


def test_encoder_and_format_know_the_same_matrices() -> None:
    """The format has them as integers, and may not import what the encoder has, nor the other way round."""
    shares = {matrix: tuple(share / SHARE_UNIT for share in pair) for matrix, pair in LUMA_SHARES.items()}
    assert shares == LUMA_WEIGHTS
