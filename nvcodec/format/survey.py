"""What a stream will take, read from the heads of its segments and networks alone (specification, section 9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nvcodec.errors import CorruptStreamError
from nvcodec.format.inference import MAX_LIVE, infer
from nvcodec.format.limits import Limits, Network, requirements
from nvcodec.format.operations import MAX_REUSED_OPS, Conv, Transmitted, unpack_ops, unpack_reference
from nvcodec.format.units import MAX_FRAMES, SegmentHead, Unit, UnitType

MAX_STREAM_WEIGHTS = 2**26  # of all networks
MAX_STREAM_LATENTS = 2**27  # integers of all latents
MAX_SEGMENTS = 2**16

Segments = dict[int, tuple[SegmentHead, list[Network]]]  # by their numbers


class Surveyed(NamedTuple):
    """The network of a NETWORK unit, and the number of the segment that it is taken from; None where it is its own."""

    network: Network
    source: int | None


def survey(
    units: Sequence[Unit],
    peak: int,
    file_bytes: int,
    limits: Limits,
    keep_going: bool,
    reuse: bool,
    numbers: Sequence[int] = range(MAX_SEGMENTS + 1),
) -> dict[int, Surveyed]:
    """Read the heads of segments and networks, and check what they ask for against all limits.

    Of the order of units only that of segments is checked here. ``peak`` is the largest sample of a picture. With
    ``keep_going``, what comes after the first segment and network, and breaks a rule or lacks what comes before it, is
    left out. ``reuse`` says whether the network of an earlier segment may be taken. ``numbers`` are those of the
    segments, in ascending order: the units may be those of some segments alone.

    Returns:
        Each network, by the index of its unit.

    Raises:
        CorruptStreamError: a rule or a limit of the specification is broken.
        UnsupportedVersionError: an operation is not known to this version.
        LimitError: the stream needs more than ``limits`` allow.
    """
    segments: Segments = {}
    found: dict[int, Surveyed] = {}
    frames = weights = latents = reused = 0
    for unit in units:
        if not unit.whole:
            continue
        if unit.header.type == UnitType.SEGMENT:
            if unit.header.segment != numbers[len(segments)]:
                if keep_going:
                    continue  # a segment between is missing
                raise CorruptStreamError(
                    f"{unit.where}: segment {unit.header.segment} where {numbers[len(segments)]} was expected"
                )
            segments[unit.header.segment] = head, _ = SegmentHead.unpack(unit.cursor()), []
            frames += head.frames
        elif unit.header.type == UnitType.NETWORK:
            if unit.header.segment not in segments:
                if keep_going:
                    continue
                raise CorruptStreamError(f"{unit.where}: there is no segment {unit.header.segment}")
            head, networks = segments[unit.header.segment]
            if unit.header.layer != len(networks):
                continue  # a network between is missing
            try:
                surveyed = _network(unit, segments, peak, reuse)
            except CorruptStreamError:
                if not (keep_going and (unit.header.segment or networks)):
                    raise
                continue
            found[unit.index] = surveyed
            networks.append(surveyed.network)
            ops, tensors = surveyed.network
            if surveyed.source is not None:
                reused += len(ops)
                if reused > MAX_REUSED_OPS:  # before more are inferred: a unit of some bytes has so many
                    raise CorruptStreamError(
                        f"the networks of earlier segments have more than {MAX_REUSED_OPS} operations"
                    )
            weights += sum(op.weights(tensors[op.input].channels) for op in ops if isinstance(op, Conv))
            latents += sum(op.transmitted_values(head.frames) for op in ops if isinstance(op, Transmitted))
    for name, value, most in (
        ("frames", frames, MAX_FRAMES),
        ("weights", weights, MAX_STREAM_WEIGHTS),
        ("latent values", latents, MAX_STREAM_LATENTS),
    ):
        if value > most:
            raise CorruptStreamError(f"the stream has more than {most} {name}")
    needs = requirements([*segments.values()], file_bytes, len(units))
    if needs.elements > MAX_LIVE:
        raise CorruptStreamError(
            f"the layers need {needs.elements} elements alive at once; at most {MAX_LIVE} are allowed"
        )
    limits.check(needs)
    return found


def _network(unit: Unit, segments: Segments, peak: int, reuse: bool) -> Surveyed:
    """Read the NETWORK unit of a segment's next layer and infer its results."""
    head, lower = segments[unit.header.segment]
    cursor, expected = unit.cursor(), None
    source = unpack_reference(cursor) if reuse else None
    if source is None:
        ops = unpack_ops(cursor)
    else:
        if source not in segments or len(segments[source][1]) <= len(lower):
            raise CorruptStreamError(f"{unit.where} takes the network of segment {source}, which has none before it")
        ops, expected = segments[source][1][len(lower)]
    tensors = infer(ops, {layer: results for layer, (_, results) in enumerate(lower)}, (head.height, head.width), peak)
    if expected not in (None, tensors):
        raise CorruptStreamError(f"{unit.where}: the network of segment {source} yields something else here")
    return Surveyed((ops, tensors), source)
