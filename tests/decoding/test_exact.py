"""The integer network yields the same pixels whatever the threads, batches, caller's settings, and decoder."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import reference_decoder
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import random_stream

import nvcodec
from nvcodec.decoding.decoded_video import Video
from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.decoding.kernels import Convolution, exact_arithmetic, unfold_convolution
from nvcodec.errors import CorruptStreamError
from nvcodec.format import operations as o
from nvcodec.format.arithmetic.bounds import prove
from nvcodec.format.inference import Tensor, infer
from nvcodec.format.stream import ConvWeights, Layer, Segment, Stream
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.stream_writer import write_stream
from nvcodec.format.units import SegmentHead
from nvcodec.format.units import Video as VideoUnit

CPU = torch.device("cpu")


def digest(data: bytes, **options: object) -> str:
    video = Video(read_stream(data), device="cpu", **options)  # type: ignore[arg-type]
    md5 = hashlib.md5()
    for picture in video:
        md5.update(picture.permute(1, 2, 0).contiguous().numpy())
    return md5.hexdigest()


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 2), st.integers(1, 3))
def test_random_operations_agree_with_the_specification_decoder(seed: int, segments: int, layers: int) -> None:
    stream = random_stream(seed, segments=segments, layers=layers)
    data = write_stream(stream, run=2)
    reference = reference_decoder.parse(data)
    video = Video(read_stream(data), device="cpu")
    for frame, picture in enumerate(video):
        assert (reference_decoder.decode(reference, frame) == picture.permute(1, 2, 0).numpy()).all()


def test_whole_frames_agree_with_the_specification_decoder(tiny: nvcodec.Encoded) -> None:
    reference = reference_decoder.parse(tiny.data)
    for frame, picture in enumerate(Video(read_stream(tiny.data), device="cpu")):
        assert (reference_decoder.decode(reference, frame) == picture.permute(1, 2, 0).numpy()).all()
    assert reference_decoder.checksum_ok(reference)


@pytest.mark.parametrize("batch", [1, 3, 16])
@pytest.mark.parametrize("threads", [1, 2])
def test_threads_and_batches(tiny: nvcodec.Encoded, batch: int, threads: int) -> None:
    expected = digest(tiny.data)
    torch.set_num_threads(threads)
    try:
        assert digest(tiny.data, batch=batch) == expected
    finally:
        torch.set_num_threads(1)


def test_a_frame_alone_or_in_the_run(tiny: nvcodec.Encoded) -> None:
    video = Video(read_stream(tiny.data), device="cpu")
    everything = video[:]
    for frame in (4, 0, 2):
        assert torch.equal(Video(read_stream(tiny.data), device="cpu")[frame], everything[frame])
    assert torch.equal(video[3:0:-2], everything[[3, 1]])


@contextmanager
def autocast() -> Iterator[None]:
    with torch.autocast("cpu", torch.bfloat16):
        yield


@contextmanager
def setting(get: Callable[[], object], put: Callable[[object], None], value: object) -> Iterator[None]:
    before = get()
    put(value)
    try:
        yield
        assert get() == value, "the caller's state was changed"
    finally:
        put(before)


HOSTILE = {
    "autocast": autocast,
    "matmul precision": lambda: setting(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
    ),
    "float64": lambda: setting(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    "bf16 convolutions": lambda: setting(
        lambda: torch.backends.mkldnn.conv.fp32_precision,
        lambda value: setattr(torch.backends.mkldnn.conv, "fp32_precision", value),
        "bf16",
    ),
    "tf32": lambda: setting(
        lambda: torch.backends.cuda.matmul.fp32_precision,
        lambda value: setattr(torch.backends.cuda.matmul, "fp32_precision", value),
        "tf32",
    ),
    "benchmark": lambda: setting(
        lambda: torch.backends.cudnn.benchmark, lambda value: setattr(torch.backends.cudnn, "benchmark", value), True
    ),
    "no mkldnn": lambda: setting(
        torch._C._get_mkldnn_enabled,
        torch._C._set_mkldnn_enabled,
        False,
    ),
    "deterministic": lambda: setting(
        torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms, True
    ),
    "random state": lambda: setting(
        lambda: torch.get_rng_state().tolist(),
        lambda value: torch.set_rng_state(torch.tensor(value, dtype=torch.uint8)),
        torch.get_rng_state().tolist(),
    ),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_callers(tiny: nvcodec.Encoded, name: str) -> None:
    expected = digest(tiny.data)
    with HOSTILE[name]():
        assert digest(tiny.data) == expected


def test_decoding_in_several_threads_at_once(tiny: nvcodec.Encoded) -> None:
    expected = digest(tiny.data)
    results: list[str] = []
    before = torch.get_float32_matmul_precision()
    workers = [threading.Thread(target=lambda: results.append(digest(tiny.data))) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [expected] * 4
    assert torch.get_float32_matmul_precision() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_same_pixels(tiny: nvcodec.Encoded) -> None:
    for batch in (1, 3, 16):
        cuda = Video(read_stream(tiny.data), device="cuda", batch=batch)[:].cpu()
        assert torch.equal(cuda, Video(read_stream(tiny.data), device="cpu")[:])
    for seed in range(20):
        data = write_stream(random_stream(seed, layers=2))
        cuda = Video(read_stream(data), device="cuda")[:].cpu()
        assert torch.equal(cuda, Video(read_stream(data), device="cpu")[:])


def at_the_bound(sign: int, extra: int = 0) -> tuple[Layer, Tensor]:
    """133 channels of value 1000 whose weights add up to 16777, and a bias: a sum of 2^24 - 1, plus ``extra``."""
    channels = 133
    ops = (
        o.Latent(channels, 16, 16, -125, 125, 0),
        o.Table(0, o.Function.IDENTITY, 0, 3, -1000, 1000),
        o.Conv(1, 3, 1, 1, 1, 0, 0, 255),
    )
    row = np.full(channels, 127, np.int32)
    row[-1] = 13
    weights = sign * np.stack([row, row, row])[:, :, None, None]
    # Step 48 has s1 = 0, s2 = 12: the accumulator itself becomes t.
    conv = ConvWeights(weights, np.full(3, sign * (215 + extra), np.int32), np.full(3, 48, np.int32))
    latent = np.full((1, channels, 16, 16), 125, np.int16)
    latent[0, :, 3, 5] = -125
    tensors = infer(ops, {}, (16, 16))
    return Layer(ops, tensors, {2: conv}, {0: latent}, 1, np.zeros(1, np.uint32)), tensors[1]


@pytest.mark.parametrize("sign", [1, -1])
def test_bounds_are_reached_to_the_last_integer(sign: int) -> None:
    layer, source = at_the_bound(sign)
    conv, op = layer.convs[2], layer.ops[2]
    assert isinstance(op, o.Conv)
    prove(conv.weights, conv.accumulator_bias(op), conv.first_shifts(op), source, "test")
    x = torch.full((1, 133, 16, 16), 1000.0).contiguous(memory_format=torch.channels_last)
    weight = torch.from_numpy(conv.weights.astype(np.float32))
    bias = torch.from_numpy(conv.biases.astype(np.float32))
    with exact_arithmetic(CPU):
        for result in (Convolution(weight, bias, -1000, 1000)(x), unfold_convolution(x, weight, bias)):
            assert (result == sign * (2**24 - 1)).all()
    segment = Segment(SegmentHead(0, 1, 16, 16, 0, 1), np.ones(1, np.int64), [layer])
    picture = ExactNetwork(segment, 0, 0, CPU).decode([0])
    # t saturates at 65535: (65535 * 235 + 2048) >> 12 is 3760, which is clamped to 255, the picture's range.
    inside = 255 if sign > 0 else 0
    expected = torch.full((1, 3, 16, 16), inside, dtype=torch.uint8)
    expected[0, :, 3, 5] = 255 - inside
    assert torch.equal(picture, expected)


@pytest.mark.parametrize("sign", [1, -1])
def test_one_more_than_the_bound_is_refused(sign: int) -> None:
    layer, source = at_the_bound(sign, extra=1)
    conv, op = layer.convs[2], layer.ops[2]
    assert isinstance(op, o.Conv)
    with pytest.raises(CorruptStreamError, match="can reach 16777216"):
        prove(conv.weights, conv.accumulator_bias(op), conv.first_shifts(op), source, "test")


@settings(max_examples=30)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([1, 3, 5, 7]),
    st.sampled_from([1, 3, 5]),
    st.integers(1, 3),
)
def test_kernels_agree_with_int64(seed: int, channels: int, out: int, height: int, width: int, batch: int) -> None:
    rng = np.random.default_rng(seed)
    w = rng.integers(-127, 128, (out, channels, height, width))
    limit = (2**24 - 1) // int(np.abs(w).sum((1, 2, 3)).max() or 1)
    limit = min(limit, 2047)
    x = rng.integers(-limit, limit + 1, (batch, channels, *rng.integers(6, 12, 2)))
    padded = np.pad(x[0], ((0, 0), (height // 2,) * 2, (width // 2,) * 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), (1, 2))
    expected = np.einsum("cyxuv,ocuv->oyx", windows, w)
    with exact_arithmetic(CPU):
        tensor = torch.from_numpy(x.astype(np.float32)).contiguous(memory_format=torch.channels_last)
        weight, bias = torch.from_numpy(w.astype(np.float32)), torch.zeros(out)
        ours = Convolution(weight, bias, -limit, limit)(tensor)
        plain = unfold_convolution(tensor, weight, bias)
    assert (ours[0].numpy() == expected).all()
    assert torch.equal(ours, plain)


@pytest.mark.parametrize("out", [1, 3, 4, 5])
@pytest.mark.parametrize("size", [(2, 2), (6, 10), (7, 10), (6, 11), (7, 11)])
@pytest.mark.parametrize("kernel", [1, 3])
def test_ways_of_the_library(out: int, size: tuple[int, int], kernel: int) -> None:
    """By whichever way the library's kernel is called, its result is exact, so that it is used."""
    generator = torch.Generator().manual_seed(out)
    weight, bias, x = (
        torch.randint(-40, 41, shape, generator=generator).float()
        for shape in ((out, 6, kernel, kernel), (out,), (2, 6, *size))
    )
    convolution = Convolution(weight, bias, -40, 40)
    with exact_arithmetic(CPU):
        result = convolution(x.contiguous(memory_format=torch.channels_last))
        assert torch.equal(result, unfold_convolution(x, weight, bias))
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert convolution.trusted == {tuple(x.shape): True}


def test_a_kernel_that_is_not_exact_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, bias = torch.full((2, 3, 3, 3), 5.0), torch.zeros(2)
    convolution = Convolution(weight, bias, -100, 100)
    x = torch.full((1, 3, 6, 6), 100.0)
    monkeypatch.setattr(Convolution, "_library", lambda self, x: unfold_convolution(x, weight, bias) + 1e-3)
    with exact_arithmetic(CPU):
        assert (convolution(x) == unfold_convolution(x, weight, bias)).all()


def test_unfolding_in_strips_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randint(-50, 50, (2, 3, 9, 8)).float()
    weight, bias = torch.randint(-9, 9, (4, 3, 5, 3)).float(), torch.arange(4).float()
    whole = unfold_convolution(x, weight, bias)
    monkeypatch.setattr("nvcodec.decoding.kernels.UNFOLDED_STRIP", 1)
    assert torch.equal(unfold_convolution(x, weight, bias), whole)


@pytest.mark.parametrize(
    "view",
    [
        o.Slice(1, 0, 3),  # all channels
        o.Crop(1, 0, 0, 3, 4),  # the whole picture
        o.Crop(1, 1, 0, 2, 4),  # whole rows
    ],
)
def test_what_others_read_is_not_overwritten(view: o.Op) -> None:
    """A result that shares memory with a later one must survive the table that overwrites its input."""
    rng = np.random.default_rng(2)
    height = 2 if view == o.Crop(1, 1, 0, 2, 4) else 3
    ops: tuple[o.Op, ...] = (
        o.Latent(2, 3, 4, -100, 100, 0),
        o.Conv(0, 3, 1, 1, 1, 0, -200, 200),
        view,
        o.Table(1, o.Function.GELU, 5, 5, -20, 200),
        o.Resample(3, height, 4),
        o.Add(2, 4, 0, 255),
    )
    conv = ConvWeights(rng.integers(-50, 50, (3, 2, 1, 1), np.int32), np.zeros(3, np.int32), np.full(3, 40, np.int32))
    tensors = infer(ops, {}, (height, 4))
    latent = rng.integers(-100, 100, (1, 2, 3, 4)).astype(np.int16)
    layer = Layer(ops, tensors, {1: conv}, {0: latent}, 1, np.zeros(1, np.uint32))
    segment = Segment(SegmentHead(0, 1, 4, height, 0, 1), np.ones(1, np.int64), [layer])
    stream = Stream(VideoUnit(0, 2, 2, 2, 0, 1, 1, 1, 25, 0), [segment])
    expected = reference_decoder.decode(reference_decoder.parse(write_stream(stream)), 0)
    picture = ExactNetwork(segment, 0, 0, CPU).decode([0])[0]
    assert (picture.permute(1, 2, 0).numpy() == expected).all()


def test_pictures_are_ordinary_tensors(tiny: nvcodec.Encoded) -> None:
    picture = Video(read_stream(tiny.data), device="cpu")[0]
    picture.add_(1)
    assert not picture.is_inference()


def test_frames_that_are_not_there(tiny: nvcodec.Encoded) -> None:
    video = Video(read_stream(tiny.data), device="cpu")
    for frame in (5, -6):
        with pytest.raises(IndexError):
            video[frame]
    assert torch.equal(video[-1], video[4])
    for frames in ([-1], [5], [0, 9]):
        with pytest.raises(nvcodec.UsageError):
            next(video.decode(frames))
