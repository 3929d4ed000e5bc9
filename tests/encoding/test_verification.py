"""Decoding what was encoded: checksums and PSNR of integers, and what the comparison of a file refuses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch

import nvcodec
from nvcodec.decoding.decoded_video import Video
from nvcodec.decoding.picture_checksums import compute_checksums
from nvcodec.encoding.verification import decode_and_measure, verify
from nvcodec.errors import VerificationError
from nvcodec.format.stream import Layer, Stream
from nvcodec.format.stream_reader import read_stream
from nvcodec.metrics import psnr
from nvcodec.video.clip import Clip, steady

CPU = torch.device("cpu")


@pytest.fixture(params=["tiny", "tiny_av1"])
def encoded(request: pytest.FixtureRequest) -> nvcodec.Encoded:
    """A network alone, or an AV1 stream with one above it."""
    file: nvcodec.Encoded = request.getfixturevalue(request.param)
    return file


@pytest.fixture
def clip(tiny_clip: torch.Tensor) -> Clip:
    return Clip(tiny_clip, *steady(len(tiny_clip), Fraction(25)))


def copy(encoded: nvcodec.Encoded) -> Stream:
    return read_stream(encoded.data)


def test_checksums_and_quality(encoded: nvcodec.Encoded, clip: Clip) -> None:
    pictures = list(Video(copy(encoded), device="cpu"))
    qualities = [psnr(picture, original) for picture, original in zip(pictures, clip.frames, strict=True)]
    for group in (1, 2, 5):
        stream = copy(encoded)
        stream.segments[0].layers[-1].frames_per_checksum = group
        checksums, quality = decode_and_measure(stream, clip, CPU)
        assert len(checksums) == -(-5 // group)
        np.testing.assert_array_equal(checksums, compute_checksums(iter(pictures), group))
        assert quality == pytest.approx(sum(qualities) / 5)


def test_all_layers_are_decoded(tiny_av1: nvcodec.Encoded, clip: Clip) -> None:
    stream = copy(tiny_av1)
    assert stream.layers == 2
    lower = copy(tiny_av1)
    del lower.segments[0].layers[1:]
    assert decode_and_measure(stream, clip, CPU)[1] > decode_and_measure(lower, clip, CPU)[1] + 0.1


def test_a_file_as_it_was_meant(encoded: nvcodec.Encoded, clip: Clip) -> None:
    verify(encoded.data, copy(encoded), clip)


def test_other_times(encoded: nvcodec.Encoded, clip: Clip) -> None:
    for ticks in ([(pts + 1, duration) for pts, duration in clip.ticks], [(2 * pts, 2) for pts, _ in clip.ticks]):
        with pytest.raises(VerificationError, match="does not hold the clip's time stamps"):
            verify(encoded.data, copy(encoded), dataclasses.replace(clip, ticks=ticks))


def test_another_picture(encoded: nvcodec.Encoded, clip: Clip) -> None:
    """One checksum that differs, whichever, is noticed."""
    checksums = copy(encoded).segments[0].layers[-1].checksums
    assert len(checksums)
    for index in range(len(checksums)):
        meant = copy(encoded)
        meant.segments[0].layers[-1].checksums[index] ^= 1
        with pytest.raises(VerificationError, match="its segments differ"):
            verify(encoded.data, meant, clip)


def test_every_integer_is_compared(encoded: nvcodec.Encoded, clip: Clip) -> None:
    for layer in range(copy(encoded).layers):
        changed: list[Callable[[Layer], None]] = [
            lambda layer: layer.checksums.resize(len(layer.checksums) + 1, refcheck=False),
            lambda layer: setattr(layer, "frames_per_checksum", layer.frames_per_checksum + 1),
            lambda layer: setattr(layer, "ops", layer.ops[:-1]),
        ]
        for index in copy(encoded).segments[0].layers[layer].convs:
            for part in ("weights", "biases", "steps"):
                changed.append(lambda layer, i=index, part=part: add_one(getattr(layer.convs[i], part)))  # type: ignore[misc]
        for index in copy(encoded).segments[0].layers[layer].latents:
            changed.append(lambda layer, i=index: add_one(layer.latents[i]))  # type: ignore[misc]
        if copy(encoded).segments[0].layers[layer].base:
            changed.append(lambda layer: setattr(layer, "base", layer.base[:-1]))
        for change in changed:
            meant = copy(encoded)
            change(meant.segments[0].layers[layer])
            with pytest.raises(VerificationError, match="its segments differ"):
                verify(encoded.data, meant, clip)


def add_one(array: np.ndarray) -> None:
    """Change the last value."""
    array.flags.writeable = True
    array.reshape(-1)[-1] += 1


def test_what_is_not_in_the_segments_is_compared(encoded: nvcodec.Encoded, clip: Clip) -> None:
    for part, change in (
        ("video", lambda stream: setattr(stream, "video", dataclasses.replace(stream.video, seed=7))),
        ("metadata", lambda stream: stream.metadata.update(title="other")),
        ("compact", lambda stream: setattr(stream, "compact", not stream.compact)),
    ):
        meant = copy(encoded)
        change(meant)
        with pytest.raises(VerificationError, match=f"its {part} differ"):
            verify(encoded.data, meant, clip)
