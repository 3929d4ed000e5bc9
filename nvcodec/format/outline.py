"""Which units of a file belong to which segment, found by their headers alone (specification, section 3)."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from nvcodec.errors import CorruptStreamError, CutStreamError
from nvcodec.format.stream_reader import cut_note
from nvcodec.format.units import Order, UnitHead, UnitType

LAYER_UNITS = (UnitType.NETWORK, UnitType.WEIGHTS, UnitType.LATENTS, UnitType.BASE, UnitType.CHECKSUMS)
_ENDS = (UnitType.LAYER_END, UnitType.SEGMENT_END)


@dataclasses.dataclass(frozen=True)
class SegmentOutline:
    """The units of a segment.

    Attributes:
        segment: the SEGMENT unit.
        layers: those of its layers, in the order of the file, without ``base``.
        base: the BASE units of layer 0.
    """

    segment: UnitHead
    layers: list[UnitHead] = dataclasses.field(default_factory=list)
    base: list[UnitHead] = dataclasses.field(default_factory=list)

    @property
    def layer_count(self) -> int:
        """Number of its layers."""
        return sum(head.header.type == UnitType.NETWORK for head in self.layers)


def complete(heads: Sequence[UnitHead], cut: CutStreamError | None, file_bytes: int) -> tuple[list[UnitHead], str]:
    """Return the units of the layers, or segments, that are complete, without INDEX, and a note on what is missing.

    Args:
        heads: all units.
        cut: with which error the file ends inside a unit.
        file_bytes: size of the file.

    Raises:
        CutStreamError: nothing is complete.
        CorruptStreamError: something follows the end.
    """
    index = next((head for head in heads if head.header.type == UnitType.INDEX), None)
    if index is not None and index is not heads[-1]:
        raise CorruptStreamError(f"{index.where} is not the last unit")
    rest = list(heads) if index is None else list(heads[:-1])
    kinds = [head.header.type for head in rest]
    if not cut and rest and kinds[-1] in _ENDS:
        return rest, ""
    behind = list(itertools.takewhile(lambda kind: kind >= UnitType.INDEX, reversed(kinds)))
    if not cut and len(behind) < len(kinds) and kinds[-1 - len(behind)] in _ENDS:
        raise CorruptStreamError(f"{rest[-1].where}: after the last end of a layer or segment only an INDEX is allowed")
    for kind in _ENDS:
        if kind in kinds:
            used = rest[: len(kinds) - kinds[::-1].index(kind)]
            noun = "layer" if kind == UnitType.LAYER_END else "segment"
            return used, cut_note(file_bytes, used[-1].end, kinds.count(kind), noun)
    raise cut or CutStreamError("the stream ends where a further unit was expected")


def outline(heads: Sequence[UnitHead], order: Order) -> list[SegmentOutline]:
    """Sort the units of layers by their segments.

    The order of units inside a layer is not checked here.

    Args:
        heads: all units behind VIDEO but ancillary ones, to the last end of a layer or segment.
        order: that they have.

    Raises:
        CorruptStreamError: they are in another order.
    """
    segments: list[SegmentOutline] = []
    ended = 0  # layers, or segments
    last = 0
    for head in heads:
        kind, number, layer = head.header.type, head.header.segment, head.header.layer
        if kind == UnitType.SEGMENT:
            head.check_is(UnitType.SEGMENT, len(segments), 0)
            expected = ended == len(segments) if order == Order.BY_SEGMENT else not (ended or _begun(segments))
            segments.append(SegmentOutline(head))
        elif kind in LAYER_UNITS and order == Order.BY_SEGMENT:
            expected = number == ended == len(segments) - 1
        elif kind in LAYER_UNITS:
            expected = layer == ended and last <= number < len(segments)
            last = number
        elif order == Order.BY_SEGMENT:
            expected = (kind, number, layer) == (UnitType.SEGMENT_END, len(segments) - 1, 0) and ended == number
            ended += 1
        else:
            expected = (kind, number, layer) == (UnitType.LAYER_END, 0, ended) and bool(segments)
            ended, last = ended + 1, 0
        if not expected:
            raise CorruptStreamError(
                f"{head.name} of segment {number}, layer {layer} at byte {head.offset} is out of order"
            )
        if kind in LAYER_UNITS:
            is_base = (kind, layer) == (UnitType.BASE, 0)
            (segments[number].base if is_base else segments[number].layers).append(head)
    for number, found in enumerate(segments):
        count = ended if order == Order.BY_LAYER else segments[0].layer_count
        if not count or found.layer_count != count:
            raise CorruptStreamError(f"segment {number} has {found.layer_count} layer(s), not {count}")
    return segments


def _begun(segments: Sequence[SegmentOutline]) -> bool:
    """Whether there was a unit of a layer."""
    return any(found.layers or found.base for found in segments)
