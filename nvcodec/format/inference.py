"""Shape, range and cost of each operation's result, before any memory is taken (specification, sections 6.1, 6.2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from nvcodec.errors import CorruptStreamError
from nvcodec.format.operations import (
    Add,
    Below,
    Concat,
    Conv,
    Crop,
    Grid,
    Latent,
    Noise,
    Op,
    Resample,
    Shuffle,
    Slice,
    Subtract,
    Table,
    Unshuffle,
)

MAX_TENSOR = 2**29  # elements of one tensor of one frame
MAX_LIVE = 2**30  # elements alive at once for one frame
MAX_MULTIPLICATIONS = 2**42  # a frame
MAX_WEIGHTS = 2**25  # a network
NOISE_PEAK = 235  # the largest |entry| of the normal table


@dataclasses.dataclass(frozen=True)
class Tensor:
    """What is known of an operation's result before decoding: its shape and the range of its values."""

    channels: int
    height: int
    width: int
    low: int
    high: int

    @property
    def elements(self) -> int:
        """Integers a frame."""
        return self.channels * self.height * self.width


def infer(ops: Sequence[Op], below: Mapping[int, Sequence[Tensor]], picture: tuple[int, int]) -> tuple[Tensor, ...]:
    """Shape and range of every operation's result.

    Args:
        ops: the list.
        below: the inferred results of the lower layers of the segment, by layer.
        picture: height and width the last operation must yield, with 3 channels in 0 to 255.

    Raises:
        CorruptStreamError: a rule of the specification is broken or a limit exceeded.
    """
    results: list[Tensor] = []
    for place, op in enumerate(ops):
        results.append(infer_one(op, place, results, below))
    last = results[-1]
    if (last.channels, last.height, last.width) != (3, *picture) or last.low < 0 or last.high > 255:
        raise CorruptStreamError(
            f"the network yields {last.channels}x{last.height}x{last.width} in {last.low} to {last.high}; "
            f"expected 3x{picture[0]}x{picture[1]} in 0 to 255"
        )
    cost = measure(ops, results)
    for name, value, limit in (
        ("multiplications a frame", cost.multiplications, MAX_MULTIPLICATIONS),
        ("elements alive at once", cost.live, MAX_LIVE),
        ("weights", cost.weights, MAX_WEIGHTS),
    ):
        if value > limit:
            raise CorruptStreamError(f"the network needs {value} {name}; at most {limit} may stand")
    return tuple(results)


def infer_one(op: Op, place: int, results: Sequence[Tensor], below: Mapping[int, Sequence[Tensor]]) -> Tensor:
    """The result of the operation that stands at ``place``, given those of all before it; raises as :func:`infer`."""
    where = f"operation {place} ({op.NAME})"
    if any(source >= place for source in op.inputs):
        raise CorruptStreamError(f"{where} reads an operation that does not come before it")
    try:
        result = _RULES[type(op)](op, [results[source] for source in op.inputs], below)
    except _BrokenRule as error:
        raise CorruptStreamError(f"{where}: {error}") from None
    if result.low > result.high:
        raise CorruptStreamError(f"{where} has the empty range {result.low} to {result.high}")
    if result.elements > MAX_TENSOR:
        raise CorruptStreamError(f"{where} has {result.elements} elements; at most {MAX_TENSOR} may stand")
    return result


class _BrokenRule(Exception):
    pass


def _conv(op: Op, inputs: list[Tensor], below: object) -> Tensor:
    assert isinstance(op, Conv)
    if op.kernel_height % 2 == 0 or op.kernel_width % 2 == 0:
        raise _BrokenRule("kernel sides must be odd")
    return Tensor(op.channels, inputs[0].height, inputs[0].width, op.low, op.high)


def _shuffle(op: Op, inputs: list[Tensor], below: object) -> Tensor:
    assert isinstance(op, Shuffle)
    source = inputs[0]
    if source.channels % op.factor**2:
        raise _BrokenRule(f"{source.channels} channels do not divide by {op.factor}^2")
    return Tensor(
        source.channels // op.factor**2,
        source.height * op.factor,
        source.width * op.factor,
        source.low,
        source.high,
    )


def _unshuffle(op: Op, inputs: list[Tensor], below: object) -> Tensor:
    assert isinstance(op, Unshuffle)
    source = inputs[0]
    if source.height % op.factor or source.width % op.factor:
        raise _BrokenRule(f"{source.height}x{source.width} does not divide by {op.factor}")
    return Tensor(
        source.channels * op.factor**2,
        source.height // op.factor,
        source.width // op.factor,
        source.low,
        source.high,
    )


def _sum(op: Op, inputs: list[Tensor], below: object) -> Tensor:
    assert isinstance(op, (Add, Subtract))
    a, b = inputs
    if (a.channels, a.height, a.width) != (b.channels, b.height, b.width):
        raise _BrokenRule("the two inputs differ in shape")
    return dataclasses.replace(a, low=op.low, high=op.high)


def _concat(op: Op, inputs: list[Tensor], below: object) -> Tensor:
    a, b = inputs
    if (a.height, a.width) != (b.height, b.width):
        raise _BrokenRule("the two inputs differ in height or width")
    return Tensor(a.channels + b.channels, a.height, a.width, min(a.low, b.low), max(a.high, b.high))


def _slice(op: Op, inputs: list[Tensor], below: object) -> Tensor:
    assert isinstance(op, Slice)
    if op.start + op.count > inputs[0].channels:
        raise _BrokenRule(f"channels {op.start} to {op.start + op.count} of {inputs[0].channels}")
    return dataclasses.replace(inputs[0], channels=op.count)


def _crop(op: Op, inputs: list[Tensor], below: object) -> Tensor:
    assert isinstance(op, Crop)
    if op.top + op.height > inputs[0].height or op.left + op.width > inputs[0].width:
        raise _BrokenRule("the rectangle leaves its input")
    return dataclasses.replace(inputs[0], height=op.height, width=op.width)


def _below(op: Op, inputs: list[Tensor], below: Mapping[int, Sequence[Tensor]]) -> Tensor:
    assert isinstance(op, Below)
    if op.layer not in below or op.op >= len(below[op.layer]):
        raise _BrokenRule(f"there is no operation {op.op} in a lower layer {op.layer}")
    return below[op.layer][op.op]


def _noise(op: Op, inputs: list[Tensor], below: object) -> Tensor:
    assert isinstance(op, Noise)
    peak = (NOISE_PEAK * op.gain + 128) >> 8
    return Tensor(op.channels, op.height, op.width, -peak, peak)


def _grid(op: Op, inputs: list[Tensor], below: object) -> Tensor:
    assert isinstance(op, Grid)
    return Tensor(op.channels, op.height, op.width, op.low << op.shift, op.high << op.shift)


_RULES: dict[type[Op], Callable[[Op, list[Tensor], Mapping[int, Sequence[Tensor]]], Tensor]] = {
    Latent: lambda op, inputs, below: Tensor(op.channels, op.height, op.width, op.low, op.high),  # type: ignore[attr-defined]
    Noise: _noise,
    Conv: _conv,
    Shuffle: _shuffle,
    Unshuffle: _unshuffle,
    Table: lambda op, inputs, below: dataclasses.replace(inputs[0], low=op.low, high=op.high),  # type: ignore[attr-defined]
    Add: _sum,
    Subtract: _sum,
    Concat: _concat,
    Slice: _slice,
    Resample: lambda op, inputs, below: dataclasses.replace(inputs[0], height=op.height, width=op.width),  # type: ignore[attr-defined]
    Crop: _crop,
    Below: _below,
    Grid: _grid,
}


@dataclasses.dataclass(frozen=True)
class Cost:
    """What decoding one frame takes."""

    multiplications: int
    live: int
    weights: int


def last_uses(ops: Sequence[Op], kept: frozenset[int] = frozenset()) -> list[int]:
    """For each operation the place of the last one that reads it; ``len(ops)`` for the output and for ``kept``."""
    last = list(range(len(ops)))
    for place, op in enumerate(ops):
        for source in op.inputs:
            last[source] = place
    for place in {len(ops) - 1, *kept}:
        last[place] = len(ops)
    return last


def measure(ops: Sequence[Op], results: Sequence[Tensor], kept: frozenset[int] = frozenset()) -> Cost:
    """The cost of decoding one frame with a list.

    Args:
        ops: the list.
        results: of each operation.
        kept: places whose results a higher layer reads.
    """
    multiplications = weights = live = peak = 0
    last = last_uses(ops, kept)
    ends: dict[int, list[int]] = {}
    for place, use in enumerate(last):
        ends.setdefault(use, []).append(place)
    for place, (op, result) in enumerate(zip(ops, results, strict=True)):
        live += result.elements
        if isinstance(op, Conv):
            size = op.weights(results[op.input].channels)
            weights += size
            multiplications += size * result.height * result.width
        peak = max(peak, live)
        live -= sum(results[done].elements for done in ends.get(place, []))
    return Cost(multiplications, peak, weights)
