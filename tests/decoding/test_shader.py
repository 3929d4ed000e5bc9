"""The user shader of a file, run without a GPU, gives the decoder's pictures."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import glsl
import numpy as np
import pytest
import torch
from av1 import RandomPictures, dav1d
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Builder, random_stream, squares_stream

from nvcodec.decoding import exact_network
from nvcodec.decoding.decoded_video import Video
from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.decoding.shader import shader_text
from nvcodec.errors import CorruptStreamError, UsageError
from nvcodec.format import operations as o
from nvcodec.format.arithmetic.functions import Function
from nvcodec.format.stream import ConvWeights, Layer, Segment, Stream
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.units import SegmentHead
from nvcodec.format.units import Video as VideoHead

CPU = torch.device("cpu")
FRAME = 3


@pytest.fixture
def without_av1() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_network, "BaseDecoder", RandomPictures)
        yield


def stream_of(layers: list[Layer]) -> Stream:
    shown = layers[-1].tensors[-1]
    segment = Segment(SegmentHead(0, 4, shown.width, shown.height, 0, 1), np.ones(4, np.int64), layers)
    return Stream(VideoHead(0, 2, 2, 2, 0, 1, 1, 1, 25, 0), [segment], compact=True)


def show(builder: Builder, source: int, height: int, width: int) -> Layer:
    """The layer that shows the middle of a result."""
    tensor = builder.tensors[source]
    shown = builder.add(o.Table(source, 0, 2, 0, 0, 255))
    if (tensor.height, tensor.width) != (height, width):
        builder.add(o.Crop(shown, (tensor.height - height) // 2, (tensor.width - width) // 2, height, width))
    return builder.layer(4, height, width)


def picture_stream(op: o.Picture) -> Stream:
    builder = Builder(np.random.default_rng(0))
    return stream_of([show(builder, builder.add(op), op.height, op.width)])


def draw(builder: Builder, sources: list[int]) -> int:
    """Add a random operation that a shader can do; raises CorruptStreamError where the inputs do not suit."""
    rng = builder.rng
    low, high = sorted(map(int, rng.integers(-2000, 2000, 2)))
    source, other = map(int, rng.choice(sources, 2))
    match rng.integers(5):
        case 0:
            return builder.conv(source, int(rng.integers(1, 10)), low, high)
        case 1:
            return builder.conv(source, 3, low, high)
        case 2:
            return builder.add(o.Add(source, other, low, high))
        case 3:
            return builder.add(o.Subtract(source, other, low, high))
    return builder.add(o.Table(source, Function.IDENTITY, int(rng.integers(6)), int(rng.integers(6)), low, high))


def network_stream(seed: int) -> Stream:
    """Two layers of random operations above a picture, with and without zeros that the shown picture depends on."""
    rng = np.random.default_rng(seed)
    height, width, margin = map(int, rng.integers((1, 1, 0), (9, 9, 5)))
    base = Builder(rng)
    picture = o.Picture(height, width, int(rng.choice([8, 10])), int(rng.integers(2)), 0, 1, 0, margin)
    layers = [show(base, base.add(picture), height, width)]
    for number in range(2):
        builder = Builder(rng, layers)
        sources = [builder.add(o.Below(number, 0))]
        while len(sources) < 5:
            with contextlib.suppress(CorruptStreamError):
                sources.append(draw(builder, sources))
        layers.append(show(builder, builder.conv(sources[-1], 3, -1000, 1020), height, width))
    return stream_of(layers)


def check(stream: Stream, player: glsl.Player, kind: type = np.float32) -> None:
    """The shader's picture is the decoder's."""
    segment = stream.segments[0]
    video = stream.video
    expected = ExactNetwork(segment, 0, 0, CPU, len(segment.layers), bits=video.bits).decode([FRAME])[0].numpy()
    picture = next(op for op in segment.layers[0].ops if isinstance(op, o.Picture))
    planes = RandomPictures((), picture, 0).planes(FRAME)
    shown = glsl.play(shader_text(stream), planes, player, kind, peak=video.peak)
    np.testing.assert_array_equal(shown, expected)


@pytest.mark.usefixtures("without_av1")
@pytest.mark.parametrize("siting", [0, 1, 2])
@pytest.mark.parametrize(("depth", "full_range"), [(8, 0), (8, 1), (10, 0), (10, 1)])
def test_pictures(siting: int, depth: int, full_range: int) -> None:
    """PICTURE alone, of every matrix, of odd and even sides, also of 1, with a margin and without."""
    player = glsl.EIGHT_BITS if depth == 8 else glsl.MPV
    for matrix, height, width, margin in ((1, 5, 8, 2), (4, 1, 1, 0), (5, 6, 7, 15), (7, 2, 3, 1), (9, 8, 2, 0)):
        check(picture_stream(o.Picture(height, width, depth, 1, siting, matrix, full_range, margin)), player)
        check(picture_stream(o.Picture(height, width, depth, 0, siting, matrix, full_range, margin)), player)


@pytest.mark.usefixtures("without_av1")
@pytest.mark.parametrize("player", [name for name in vars(glsl) if isinstance(getattr(glsl, name), glsl.Player)])
def test_players_that_scale_samples_differently(player: str) -> None:
    if player == "EIGHT_BITS":
        check(picture_stream(o.Picture(9, 14, 8, 1, 0, 6, 0, 1)), glsl.EIGHT_BITS, np.float16)
        return
    full_range = int("FULL" in player)
    check(picture_stream(o.Picture(9, 14, 10, 1, 0, 6, full_range, 1)), getattr(glsl, player), np.float16)


@pytest.mark.usefixtures("without_av1")
@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_ten_bits(kind: type) -> None:
    """PICTURE10 alone, and a convolution of it, shown with 10 bits."""
    for depth, player in ((8, glsl.EIGHT_BITS), (10, glsl.MPV)):
        for matrix, full_range in ((1, 0), (9, 1)):
            builder = Builder(np.random.default_rng(matrix))
            source = builder.add(o.Picture10(9, 14, depth, 1, 0, matrix, full_range, 1))
            builder.add(o.Table(source, 0, 0, 0, 0, 1023))
            builder.add(o.Crop(1, 1, 1, 9, 14))
            check(ten_bits(stream_of([builder.layer(4, 9, 14, 1023)])), player, kind)
            builder = Builder(np.random.default_rng(matrix))
            source = builder.add(o.Picture10(9, 14, depth, 1, 0, matrix, full_range, 1))
            builder.add(o.Add(source, builder.conv(source, 3, -200, 200), 0, 1023))
            builder.add(o.Crop(2, 1, 1, 9, 14))
            check(ten_bits(stream_of([builder.layer(4, 9, 14, 1023)])), player, kind)


def ten_bits(stream: Stream) -> Stream:
    """A stream whose pictures have 10 bits."""
    stream.video = dataclasses.replace(stream.video, sample_format=1)
    return stream


@pytest.mark.usefixtures("without_av1")
@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_networks(seed: int) -> None:
    stream = network_stream(seed)
    depth = next(op.depth for op in stream.segments[0].layers[0].ops if isinstance(op, o.Picture))
    check(stream, glsl.EIGHT_BITS if depth == 8 else glsl.LIBPLACEBO)


@pytest.mark.usefixtures("without_av1")
def test_the_limit_of_scaled_accumulators() -> None:
    """A CONV whose t is clamped to 65535, so that its result is 2048 at most: step index 55 is 128 / 2^12."""
    builder = Builder(np.random.default_rng(0))
    source = builder.add(o.Picture(4, 4, 8, 1, 0, 6, 0, 0))
    conv = builder.add(o.Conv(source, 3, 1, 1, 3, 0, 0, 4095))
    builder.convs[conv] = ConvWeights(np.full((3, 3, 1, 1), 127, np.int32), np.zeros(3, np.int32), np.full(1, 55))
    builder.add(o.Table(conv, Function.IDENTITY, 4, 0, 0, 255))
    stream = stream_of([builder.layer(4, 4, 4)])
    assert ExactNetwork(stream.segments[0], 0, 0, CPU).decode([FRAME]).max() == 2048 >> 4
    check(stream, glsl.EIGHT_BITS)


def test_a_file_of_the_encoder(tiny_av1_file: Path) -> None:
    """Half floats hold all that such a network computes."""
    stream = read_stream(tiny_av1_file.read_bytes())
    text = shader_text(stream)
    units = [unit for run in stream.segments[0].layers[0].base for unit in run.temporal_units]
    video = Video(stream, device="cpu")
    for index, planes in enumerate(dav1d(units)):
        np.testing.assert_array_equal(glsl.play(text, planes, glsl.MPV), video[index].numpy())


def test_the_passes(tiny_av1_file: Path) -> None:
    """One for PICTURE, and one for each convolution and each four channels; the last one also has what follows it."""
    stream = read_stream(tiny_av1_file.read_bytes())
    convs = [op.channels for op in stream.segments[0].layers[1].ops if isinstance(op, o.Conv)]
    assert len(convs) == 3
    text = shader_text(stream)
    assert text.count("//!HOOK MAIN\n") == 1 + sum(-(-channels // 4) for channels in convs)
    assert text.count("//!SAVE ") == text.count("//!HOOK") - 1
    assert max(part.count("//!BIND") for part in text.split("//!DESC")) <= 16


def test_a_video_of_another_size_is_left_alone() -> None:
    text = shader_text(picture_stream(o.Picture(6, 8, 8, 1, 0, 6, 0, 0)))
    grey = [np.full(size, 128, np.uint8) for size in ((6, 8), (3, 4), (3, 4))]
    assert glsl.play(text, grey, glsl.EIGHT_BITS) is not None
    assert glsl.play(text, [plane.T for plane in grey], glsl.EIGHT_BITS) is None


# ---- what a shader cannot do -----------------------------------------------------------------------------------------


def refused(stream: Stream) -> str:
    with pytest.raises(UsageError) as caught:
        shader_text(stream)
    return str(caught.value)


def test_a_network_alone() -> None:
    assert refused(random_stream(1)) == "the file has no AV1 stream that a shader could correct: it is a network alone"


def test_several_segments() -> None:
    stream = squares_stream([(4,), (3,)])
    assert refused(stream) == "the file has 2 segments with networks of their own; a shader holds those of one"


def test_operations_without_code() -> None:
    assert refused(squares_stream(layers=2)) == "a shader cannot do operation 1 of layer 1, LATENT"
    builder = Builder(np.random.default_rng(0))
    rounded = builder.add(o.Table(builder.add(o.Picture(4, 4, 8, 1, 0, 6, 0, 0)), Function.GELU, 2, 0, 0, 255))
    assert refused(stream_of([show(builder, rounded, 4, 4)])) == "a shader cannot do operation 1 of layer 0, TABLE"


def test_a_part_of_the_picture() -> None:
    builder = Builder(np.random.default_rng(0))
    layer = show(builder, builder.add(o.Picture(6, 8, 8, 1, 0, 6, 0, 0)), 4, 4)
    assert refused(stream_of([layer])) == "the file shows 4x4 of AV1 pictures of 8x6; a shader cannot cut them out"


@pytest.mark.parametrize(("channels", "fits"), [(60, True), (61, False)])
def test_too_many_textures(channels: int, fits: bool) -> None:
    builder = Builder(np.random.default_rng(0))
    wide = builder.conv(builder.add(o.Picture(4, 4, 8, 1, 0, 6, 0, 0)), channels, 0, 255)
    stream = stream_of([show(builder, builder.conv(wide, 3, 0, 255), 4, 4)])
    if fits:
        assert max(part.count("//!BIND") for part in shader_text(stream).split("//!DESC")) == 16
    else:
        assert refused(stream) == "the pass of operation 3 of layer 0 would read 17 textures; players bind at most 16"
