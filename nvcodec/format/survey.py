"""What a stream will take, read from the heads of its segments and networks alone (specification, section 9)."""

from __future__ import annotations

from collections.abc import Sequence

from nvcodec.errors import CorruptStreamError
from nvcodec.format.inference import MAX_LIVE, infer
from nvcodec.format.limits import Limits, Network, requirements
from nvcodec.format.operations import Conv, Transmitted, unpack_ops
from nvcodec.format.units import MAX_FRAMES, SegmentHead, Unit, UnitType

MAX_STREAM_WEIGHTS = 2**26  # of all networks
MAX_STREAM_LATENTS = 2**27  # integers of all latents


def survey(
    units: Sequence[Unit], peak: int, file_bytes: int, limits: Limits, keep_going: bool, first: int = 0
) -> dict[int, Network]:
    """Read the heads of segments and networks, and check what they ask for against all limits.

    Of the order of units only that of segments is checked here. With ``keep_going``, what comes after the first segment
    and network, and breaks a rule or lacks what comes before it, is left out.

    Args:
        units: of the whole stream, or of some consecutive segments.
        peak: the largest sample of a picture.
        file_bytes: how many the units take.
        limits: what they may need.
        keep_going: whether the stream may be damaged.
        first: number of the first segment.

    Returns:
        Each network, by the index of its unit.

    Raises:
        CorruptStreamError: a rule or a limit of the specification is broken.
        UnsupportedVersionError: an operation is not known to this version.
        LimitError: the stream needs more than ``limits`` allow.
    """
    segments: list[tuple[SegmentHead, list[Network]]] = []
    found: dict[int, Network] = {}
    frames = weights = latents = 0
    for unit in units:
        if not unit.whole:
            continue
        if unit.header.type == UnitType.SEGMENT:
            if unit.header.segment != first + len(segments):
                if keep_going:
                    continue  # a segment between is missing
                raise CorruptStreamError(
                    f"{unit.where}: segment {unit.header.segment} where {first + len(segments)} was expected"
                )
            segments.append((SegmentHead.unpack(unit.cursor()), []))
            frames += segments[-1][0].frames
        elif unit.header.type == UnitType.NETWORK:
            if not first <= unit.header.segment < first + len(segments):
                if keep_going:
                    continue
                raise CorruptStreamError(f"{unit.where}: there is no segment {unit.header.segment}")
            head, networks = segments[unit.header.segment - first]
            if unit.header.layer != len(networks):
                continue  # a network between is missing
            try:
                network = _network(unit, head, networks, peak)
            except CorruptStreamError:
                if not (keep_going and (unit.header.segment or networks)):
                    raise
                continue
            networks.append(network)
            found[unit.index] = network
            ops, tensors = network
            weights += sum(op.weights(tensors[op.input].channels) for op in ops if isinstance(op, Conv))
            latents += sum(op.transmitted_values(head.frames) for op in ops if isinstance(op, Transmitted))
    for name, value, most in (
        ("frames", frames, MAX_FRAMES),
        ("weights", weights, MAX_STREAM_WEIGHTS),
        ("latent values", latents, MAX_STREAM_LATENTS),
    ):
        if value > most:
            raise CorruptStreamError(f"the stream has more than {most} {name}")
    needs = requirements(segments, file_bytes, len(units))
    if needs.elements > MAX_LIVE:
        raise CorruptStreamError(
            f"the layers need {needs.elements} elements alive at once; at most {MAX_LIVE} are allowed"
        )
    limits.check(needs)
    return found


def _network(unit: Unit, head: SegmentHead, lower: Sequence[Network], peak: int) -> Network:
    """Read a NETWORK unit of the layer above ``lower`` and infer its results."""
    ops = unpack_ops(unit.cursor())
    tensors = infer(ops, {layer: results for layer, (_, results) in enumerate(lower)}, (head.height, head.width), peak)
    return ops, tensors
