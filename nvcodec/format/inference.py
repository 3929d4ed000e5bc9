"""Shape, range and cost of every operation's result, before any memory is taken (specification, sections 6.1, 6.2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from nvcodec.errors import CorruptStreamError
from nvcodec.format.arithmetic.color import LUMA_SHARES, picture_range
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
    Picture,
    Resample,
    Shuffle,
    Slice,
    Subtract,
    Table,
    Unshuffle,
)

MAX_TENSOR = 2**29  # elements of one tensor of one frame
MAX_LIVE = 2**30  # elements alive at once for one frame
MAX_MULTIPLICATIONS = 2**42  # per frame
MAX_WEIGHTS = 2**25  # of one network
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
        """Integers per frame."""
        return self.channels * self.height * self.width


def infer(
    ops: Sequence[Op], lower: Mapping[int, Sequence[Tensor]], picture: tuple[int, int], peak: int = 255
) -> tuple[Tensor, ...]:
    """Infer shape and range of every operation's result.

    Args:
        ops: the operations of one layer.
        lower: the inferred results of the lower layers of the segment, by layer number.
        picture: height and width the last operation must yield, with 3 channels.
        peak: its largest sample.

    Raises:
        CorruptStreamError: a rule of the specification is broken or a limit is exceeded.
    """
    if [bool(lower) for op in ops if isinstance(op, Picture)] not in ([], [False]):
        raise CorruptStreamError("PICTURE is allowed once, in layer 0")
    results: list[Tensor] = []
    for index, op in enumerate(ops):
        results.append(infer_one(op, index, results, lower))
    last = results[-1]
    if (last.channels, last.height, last.width) != (3, *picture) or last.low < 0 or last.high > peak:
        raise CorruptStreamError(
            f"the network yields {last.channels}x{last.height}x{last.width} in {last.low} to {last.high}; "
            f"expected 3x{picture[0]}x{picture[1]} in 0 to {peak}"
        )
    cost = measure(ops, results)
    for name, value, limit in (
        ("multiplications per frame", cost.multiplications, MAX_MULTIPLICATIONS),
        ("elements alive at once", cost.live, MAX_LIVE),
        ("weights", cost.weights, MAX_WEIGHTS),
    ):
        if value > limit:
            raise CorruptStreamError(f"the network needs {value} {name}; at most {limit} are allowed")
    return tuple(results)


def infer_one(op: Op, index: int, results: Sequence[Tensor], lower: Mapping[int, Sequence[Tensor]]) -> Tensor:
    """Infer the result of operation ``index`` from ``results``, those of all before it; raises as :func:`infer`."""
    where = f"operation {index} ({op.NAME})"
    if any(source >= index for source in op.inputs):
        raise CorruptStreamError(f"{where} reads an operation that does not come before it")
    try:
        result = _result(op, [results[source] for source in op.inputs], lower)
    except _BrokenRule as error:
        raise CorruptStreamError(f"{where}: {error}") from None
    if result.low > result.high:
        raise CorruptStreamError(f"{where} has the empty range {result.low} to {result.high}")
    if result.elements > MAX_TENSOR:
        raise CorruptStreamError(f"{where} has {result.elements} elements; at most {MAX_TENSOR} are allowed")
    return result


class _BrokenRule(Exception):
    pass


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise _BrokenRule(message)


def _result(op: Op, inputs: list[Tensor], lower: Mapping[int, Sequence[Tensor]]) -> Tensor:
    """Apply the rule of an operation, one case per code of section 6.2."""
    match op:
        case Latent():
            return Tensor(op.channels, op.height, op.width, op.low, op.high)
        case Grid():
            return Tensor(op.channels, op.height, op.width, op.low << op.shift, op.high << op.shift)
        case Noise():
            peak = (NOISE_PEAK * op.gain + 128) >> 8
            return Tensor(op.channels, op.height, op.width, -peak, peak)
        case Picture():
            _require(op.depth != 9, "the depth is 8 or 10")
            _require(op.matrix in LUMA_SHARES, f"matrix {op.matrix} is reserved")
            size = (op.height + 2 * op.margin, op.width + 2 * op.margin)
            return Tensor(3, *size, *picture_range(op))
        case Below():
            known = op.layer in lower and op.op < len(lower[op.layer])
            _require(known, f"there is no operation {op.op} in a lower layer {op.layer}")
            return lower[op.layer][op.op]
    x = inputs[0]
    match op:
        case Conv():
            _require(op.kernel_height % 2 == 1 == op.kernel_width % 2, "kernel sides must be odd")
            return Tensor(op.channels, x.height, x.width, op.low, op.high)
        case Shuffle():
            square = op.factor**2
            _require(x.channels % square == 0, f"{x.channels} channels do not divide by {op.factor}^2")
            return Tensor(x.channels // square, x.height * op.factor, x.width * op.factor, x.low, x.high)
        case Unshuffle():
            square = op.factor**2
            whole = x.height % op.factor == 0 == x.width % op.factor
            _require(whole, f"{x.height}x{x.width} does not divide by {op.factor}")
            return Tensor(x.channels * square, x.height // op.factor, x.width // op.factor, x.low, x.high)
        case Table():
            return dataclasses.replace(x, low=op.low, high=op.high)
        case Add() | Subtract():
            y = inputs[1]
            same = (x.channels, x.height, x.width) == (y.channels, y.height, y.width)
            _require(same, "the two inputs differ in shape")
            return dataclasses.replace(x, low=op.low, high=op.high)
        case Concat():
            y = inputs[1]
            _require((x.height, x.width) == (y.height, y.width), "the two inputs differ in height or width")
            return Tensor(x.channels + y.channels, x.height, x.width, min(x.low, y.low), max(x.high, y.high))
        case Slice():
            end = op.start + op.count
            _require(end <= x.channels, f"channels {op.start} to {end} of {x.channels}")
            return dataclasses.replace(x, channels=op.count)
        case Resample():
            return dataclasses.replace(x, height=op.height, width=op.width)
        case Crop():
            inside = op.top + op.height <= x.height and op.left + op.width <= x.width
            _require(inside, "the rectangle leaves its input")
            return dataclasses.replace(x, height=op.height, width=op.width)
    raise AssertionError(op)


@dataclasses.dataclass(frozen=True)
class Cost:
    """Cost of decoding one frame with one list of operations.

    Attributes:
        multiplications: of all CONVs.
        live: the largest number of elements alive at once.
        weights: of all CONVs.
    """

    multiplications: int
    live: int
    weights: int


def last_uses(ops: Sequence[Op], kept: frozenset[int] = frozenset()) -> list[int]:
    """For each operation, the index of the last one that reads it; ``len(ops)`` for the picture and for ``kept``."""
    last = list(range(len(ops)))
    for index, op in enumerate(ops):
        for source in op.inputs:
            last[source] = index
    for index in {len(ops) - 1, *kept}:
        last[index] = len(ops)
    return last


def measure(ops: Sequence[Op], results: Sequence[Tensor], kept: frozenset[int] = frozenset()) -> Cost:
    """Measure what decoding one frame takes.

    Args:
        ops: the operations of one layer.
        results: the inferred result of each.
        kept: indices of the operations that a higher layer reads.
    """
    multiplications = weights = live = peak = 0
    expiring: dict[int, list[int]] = {}
    for index, use in enumerate(last_uses(ops, kept)):
        expiring.setdefault(use, []).append(index)
    for index, (op, result) in enumerate(zip(ops, results, strict=True)):
        live += result.elements
        if isinstance(op, Conv):
            size = op.weights(results[op.input].channels)
            weights += size
            multiplications += size * result.height * result.width
        peak = max(peak, live)
        live -= sum(results[expired].elements for expired in expiring.get(index, []))
    return Cost(multiplications, peak, weights)
