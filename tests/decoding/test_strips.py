"""Evaluation strip by strip gives the integers of whole pictures, for any list of local operations."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from av1 import RandomPictures
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Builder

from nvcodec.decoding import exact_network, strips
from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.decoding.strips import LOCAL, Step, StripPlan
from nvcodec.devices import thread_count
from nvcodec.errors import CorruptStreamError
from nvcodec.format import operations as o
from nvcodec.format.arithmetic.functions import Function
from nvcodec.format.inference import infer
from nvcodec.format.stream import Layer, Segment
from nvcodec.format.units import SegmentHead

CPU = torch.device("cpu")
MATRICES = (1, 4, 5, 6, 7, 9)


@pytest.fixture(autouse=True, scope="module")
def without_av1() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_network, "BaseDecoder", RandomPictures)
        yield


def number(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high + 1))


def draw(builder: Builder, size: tuple[int, int]) -> int:
    """Add a random local operation whose result is at least as large as the shown picture."""
    rng = builder.rng
    source, other = builder.any(), builder.any()
    tensor = builder.tensors[source]
    low, high = sorted((number(rng, -2000, 2000), number(rng, -2000, 2000)))

    def crop() -> int:
        height, width = (
            number(rng, least, most) for least, most in ((size[0], tensor.height), (size[1], tensor.width))
        )
        top, left = number(rng, 0, tensor.height - height), number(rng, 0, tensor.width - width)
        return builder.add(o.Crop(source, top, left, height, width))

    def below() -> int:
        layer = number(rng, 0, len(builder.lower) - 1)
        return builder.add(o.Below(layer, number(rng, 0, len(builder.lower[layer]) - 1)))

    def start() -> int:
        return number(rng, 0, tensor.channels - 1)

    first = start()
    draws = {
        "conv": lambda: builder.conv(source, number(rng, 1, 6), low, high),
        "table": lambda: builder.add(
            o.Table(source, int(rng.choice(list(Function))), number(rng, 0, 12), number(rng, 0, 16), low, high)
        ),
        "add": lambda: builder.add(o.Add(source, other, low, high)),
        "subtract": lambda: builder.add(o.Subtract(source, other, low, high)),
        "concat": lambda: builder.add(o.Concat(source, other)),
        "slice": lambda: builder.add(o.Slice(source, first, number(rng, 1, tensor.channels - first))),
        "crop": crop,
        **({"below": below} if builder.lower else {}),
    }
    return draws[str(rng.choice(list(draws)))]()


def grow(builder: Builder, count: int, size: tuple[int, int]) -> None:
    while count:
        try:
            index = draw(builder, size)
        except (CorruptStreamError, KeyError):
            continue
        if builder.tensors[index].channels > 12:
            builder.ops.pop(), builder.tensors.pop(), builder.convs.pop(index, None)
            continue
        count -= 1


def finish(builder: Builder, size: tuple[int, int]) -> Layer:
    """Make a picture of one of the last results."""
    index = builder.conv(len(builder.ops) - 1, 3, 0, 255)
    tensor = builder.tensors[index]
    if (tensor.height, tensor.width) != size:
        spare = tensor.height - size[0], tensor.width - size[1]
        top, left = (number(builder.rng, 0, most) for most in spare)
        builder.add(o.Crop(index, top, left, *size))
    tensors = infer(builder.ops, builder.lower, size)
    return Layer(tuple(builder.ops), tensors, builder.convs, {}, 1, np.zeros(0, np.uint32))


def random_layers(seed: int, count: int, operations: int = 7) -> list[Layer]:
    """Layers of local operations above a picture with a margin."""
    rng = np.random.default_rng(seed)
    size = number(rng, 1, 30), number(rng, 1, 24)
    layers: list[Layer] = []
    for index in range(count):
        builder = Builder(rng, layers)
        if index:
            builder.add(o.Below(index - 1, 0))
        else:
            depth, matrix = int(rng.choice([8, 10])), int(rng.choice(MATRICES))
            chroma, full = number(rng, 0, 1), number(rng, 0, 1)
            builder.add(o.Picture(*size, depth, chroma, number(rng, 0, 2), matrix, full, number(rng, 0, 5)))
        grow(builder, operations, size)
        layers.append(finish(builder, size))
    return layers


def network_of(layers: Sequence[Layer]) -> ExactNetwork:
    last = layers[-1].tensors[-1]
    segment = Segment(SegmentHead(0, 4, last.width, last.height, 0, 1), np.ones(4, np.int64), list(layers))
    return ExactNetwork(segment, 0, 0, CPU, len(layers))


def check_strips(layers: Sequence[Layer], elements: int, rows: int, threads: int = 1) -> ExactNetwork:
    """Frames one by one, strip by strip, are those that are decoded two at a time, whole."""
    with pytest.MonkeyPatch.context() as patch, thread_count(threads):
        patch.setattr(strips, "STRIP_ELEMENTS", elements)
        patch.setattr(strips, "MIN_STRIP_ROWS", rows)
        network = network_of(layers)
    assert network.strips is not None
    whole = network.decode([2, 3])
    for index, frame in enumerate((2, 3)):
        alone = network.decode([frame])
        assert alone.dtype == torch.uint8
        assert not alone.is_inference()
        assert torch.equal(alone, whole[index : index + 1])
    return network


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.sampled_from([2, 3, 5, 16]), st.integers(1, 3))
def test_random_lists(seed: int, layers: int, rows: int, threads: int) -> None:
    network = check_strips(random_layers(seed, layers), 1, rows, threads)
    assert network.strips is not None
    height = network.layers[-1].tensors[-1].height
    assert len(network.strips.plan.strips) == max(1, height // rows)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(1, 4))
def test_strips_of_some_size(seed: int, elements: int, threads: int) -> None:
    check_strips(random_layers(seed, 2), elements, 2, threads)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_lower_layers_alone(seed: int) -> None:
    layers = random_layers(seed, 3)
    for count in (1, 2):
        check_strips(layers[:count], 1, 4)


@pytest.mark.parametrize("siting", [0, 1, 2])
@pytest.mark.parametrize("margin", [0, 1, 2, 7, 15])
def test_pictures_with_margins(siting: int, margin: int) -> None:
    """Rows that lie in the margin alone, at both ends, odd and even strips."""
    for height in (1, 2, 7):
        builder = Builder(np.random.default_rng(margin), [])
        builder.add(o.Picture(height, 5, 10, 1, siting, 6, 0, margin))
        layer = finish(builder, (height + 2 * margin, 5 + 2 * margin))
        for rows in (2, 3):
            check_strips([layer], 1, rows)


def test_the_kinds_of_operations() -> None:
    """The random lists have all that is local, and strips with inputs of other heights than their results."""
    kinds: set[type] = set()
    for seed in range(30):
        for layer in random_layers(seed, 2):
            kinds |= {type(op) for op in layer.ops}
    assert kinds == set(LOCAL)


def local_layer(extra: bool, used: bool) -> Layer:
    """A picture, and behind it an operation that is not local, whose result is used or not."""
    builder = Builder(np.random.default_rng(0), [])
    source = builder.add(o.Picture(8, 6, 8, 1, 0, 1, 0, 0))
    if extra:
        other = builder.add(o.Resample(source, 8, 6))
        source = other if used else source
    builder.conv(source, 3, 0, 255)
    tensors = infer(builder.ops, {}, (8, 6))
    return Layer(tuple(builder.ops), tensors, builder.convs, {}, 1, np.zeros(0, np.uint32))


def test_other_operations_have_no_strips() -> None:
    assert network_of([local_layer(False, False)]).strips is not None
    assert network_of([local_layer(True, False)]).strips is not None  # the picture does not depend on it
    assert network_of([local_layer(True, True)]).strips is None


@pytest.mark.parametrize(
    "op",
    [
        o.Shuffle(2, 2),
        o.Unshuffle(2, 2),
        o.Resample(2, 8, 6),
        o.Noise(3, 8, 6, 0, 64, 0),
        o.Latent(3, 8, 6, 0, 5, 0),
        o.Grid(3, 8, 6, 0, 5, 2, 0),
    ],
    ids=lambda op: type(op).__name__,
)
def test_what_is_not_local(op: o.Op) -> None:
    builder = Builder(np.random.default_rng(0), [])
    builder.add(o.Picture(8, 6, 8, 1, 0, 1, 0, 0))
    builder.add(o.Concat(0, 0))
    builder.add(o.Slice(1, 1, 4))
    builder.add(op)
    layer = Layer(tuple(builder.ops), tuple(builder.tensors), {}, {}, 1, np.zeros(0, np.uint32))
    assert StripPlan([layer], 1).strips == []


def test_which_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """One frame strip by strip; several at once, or results that are wanted, whole."""
    network = network_of(random_layers(1, 2))
    assert network.strips is not None
    seen: list[Any] = []
    decode = network.strips.decode
    monkeypatch.setattr(network.strips, "decode", lambda frames: seen.append(list(frames)) or decode(frames))
    network.decode([1])
    network.decode([0, 1])
    network.results([0])
    assert seen == [[1]]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_plan_covers_the_picture(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(strips, "STRIP_ELEMENTS", 1)
    monkeypatch.setattr(strips, "MIN_STRIP_ROWS", 4)
    for seed in range(20):
        layers = random_layers(seed, 3)
        plan = StripPlan(layers, threads)
        last = layers[-1].tensors[-1]
        edges = [0, *(strip.rows[1] for strip in plan.strips)]
        assert [strip.rows for strip in plan.strips] == list(itertools.pairwise(edges))
        assert edges[-1] == last.height
        heights = [end - first for first, end in itertools.pairwise(edges)]
        assert max(heights) - min(heights) <= 3
        assert min(heights) >= min(4, last.height)
        assert all(height % 2 == 0 for height in heights[:-1])
        for strip in plan.strips:
            check_steps(layers, strip.steps)


def check_steps(layers: Sequence[Layer], steps: Sequence[Step]) -> None:
    """Every step reads rows that are there and kept; each result but the picture is dropped once."""
    known: dict[tuple[int, int], tuple[int, int]] = {}
    for step in steps:
        for source, (low, high) in step.sources:
            assert known[source][0] <= low < high <= known[source][1]
        assert 0 <= step.rows[0] < step.rows[1] <= layers[step.key[0]].tensors[step.key[1]].height
        known[step.key] = step.rows
        for source in step.dead:
            del known[source]
    assert list(known) == [steps[-1].key]


@pytest.mark.parametrize(("threads", "count"), [(1, 3), (2, 4), (3, 3), (4, 4), (500, 187)])
def test_strips_fit_the_cache_and_occupy_all_threads(threads: int, count: int) -> None:
    """Of 3000 rows, each of 1000 elements, 2^20 elements are about a third; none has fewer than 16 rows."""
    builder = Builder(np.random.default_rng(0), [])
    builder.add(o.Picture(3000, 50, 8, 1, 0, 1, 0, 0))
    builder.conv(0, 20, 0, 255)
    builder.conv(1, 3, 0, 255)
    layer = Layer(tuple(builder.ops), tuple(builder.tensors), builder.convs, {}, 1, np.zeros(0, np.uint32))
    assert len(StripPlan([layer], threads).strips) == count


def test_threads_take_a_strip_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch computes in each of them alone, and with as many threads as before elsewhere."""
    monkeypatch.setattr(strips, "MIN_STRIP_ROWS", 2)
    with thread_count(3):
        network = network_of(random_layers(1, 1))
        assert network.strips is not None
        at_once = threading.Barrier(3)
        seen: set[tuple[str, int]] = set()
        compute = network.strips._strip

        def watched(*arguments: Any) -> torch.Tensor:
            at_once.wait(60)
            seen.add((threading.current_thread().name, torch.get_num_threads()))
            return compute(*arguments)

        monkeypatch.setattr(network.strips, "_strip", watched)
        network.decode([0])
        assert torch.get_num_threads() == 3
    assert len(network.strips.plan.strips) == 3
    assert seen == {("nvcodec_0", 1), ("nvcodec_1", 1), ("nvcodec_2", 1)}


def test_an_error_in_a_strip_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strips, "MIN_STRIP_ROWS", 2)
    with thread_count(2):
        network = network_of(random_layers(1, 1))
        assert network.strips is not None

        def fail(*arguments: Any) -> torch.Tensor:
            raise CorruptStreamError("in a thread")

        monkeypatch.setattr(network.strips, "_strip", fail)
        with pytest.raises(CorruptStreamError, match="in a thread"):
            network.decode([0])
