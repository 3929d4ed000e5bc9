"""Payloads of units, packed and unpacked (specification, sections 4.1 to 4.8 and 5).

Every ``unpack_...`` takes a unit and returns what its payload says, and the entries that say where its bytes went. It
raises CorruptStreamError where the payload breaks a rule of the specification, and UnsupportedVersionError where it
needs what this version, or the stream's features, lack.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from nvcodec.errors import CorruptStreamError, UnsupportedVersionError
from nvcodec.format.accounting import Entry, Ledger
from nvcodec.format.arithmetic.bounds import prove
from nvcodec.format.arithmetic.step_indices import MAX_STEP
from nvcodec.format.av1_headers import check_run
from nvcodec.format.entropy.chunks import decode_chunk, encode_chunk, extremes
from nvcodec.format.entropy.contexts import Rows
from nvcodec.format.fields import Cursor, pack_integer, varint
from nvcodec.format.inference import Tensor
from nvcodec.format.operations import (
    BIAS_PEAK,
    WEIGHT_PEAK,
    Conv,
    Grid,
    Latent,
    LatentKind,
    Op,
    Picture,
    Transmitted,
    skip_connection_ops,
    weight_shape,
)
from nvcodec.format.stream import MAX_DURATION, BaseRun, ConvWeights, Layer
from nvcodec.format.units import (
    CODEC_AV1,
    COMPACT_HASH_BYTES,
    HASH_BYTES,
    BaseHead,
    EndMark,
    LatentsHead,
    SegmentHead,
    Unit,
    Video,
)

Durations = npt.NDArray[np.int64]
Checksums = npt.NDArray[np.uint32]
Latents = npt.NDArray[np.int16]


def unpack_video(unit: Unit) -> tuple[Video, list[Entry]]:
    """VIDEO (section 4.1)."""
    cursor, ledger = unit.cursor(), Ledger(unit.index)
    video = Video.unpack(cursor)
    cursor.end()
    ledger.add("side_info", "video", len(unit.payload))
    return video, ledger.entries


def pack_segment(head: SegmentHead, durations: Durations, compact: bool = False) -> bytes:
    """SEGMENT (section 4.2); ``durations``, ticks per frame, are written only where they differ."""
    varying: Iterable[int] = () if head.constant_duration else durations.tolist()
    return head.pack(compact) + b"".join(varint(duration) for duration in varying)


def unpack_segment(unit: Unit) -> tuple[tuple[SegmentHead, Durations], list[Entry]]:
    """SEGMENT (section 4.2): its fields, and the ticks of every frame."""
    cursor, ledger = unit.cursor(), Ledger(unit.index)
    head = SegmentHead.unpack(cursor)
    if head.constant_duration:
        durations = np.broadcast_to(np.int64(head.constant_duration), head.frames)  # takes no memory
    else:
        if head.frames > cursor.left:
            raise CorruptStreamError(f"{cursor.what}: {head.frames} durations do not fit {cursor.left} bytes")
        durations = np.array([cursor.varint(MAX_DURATION) for _ in range(head.frames)], np.int64)
    cursor.end()
    ledger.add("side_info", "segment", len(unit.payload))
    return (head, durations), ledger.entries


def pack_weights(layer: Layer, compact: bool = False) -> bytes:
    """WEIGHTS (section 4.4) of a layer.

    Raises:
        CorruptStreamError: an accumulator can reach 2^24.
    """
    payload = bytearray()
    for index, conv in layer.convs.items():
        op = layer.ops[index]
        assert isinstance(op, Conv)
        _prove(op, index, conv, layer.tensors)
        for values, code in ((conv.steps, "B"), (conv.biases, "h")):
            plain = (pack_integer(value, code, compact) for value in values.tolist())
            payload += b"".join(plain) if compact else encode_chunk(values)
        payload += encode_chunk(conv.weights.reshape(op.channels, -1), Rows(op.group))
    return bytes(payload)


def unpack_weights(
    unit: Unit, ops: Sequence[Op], tensors: Sequence[Tensor], by_rows: bool
) -> tuple[dict[int, ConvWeights], list[Entry]]:
    """WEIGHTS (section 4.4): the integers of each CONV, by its index. ``by_rows`` allows tables by rows (5.5)."""
    cursor, ledger = unit.cursor(), Ledger(unit.index)
    convs = {}
    skip = skip_connection_ops(ops)
    for index, op in enumerate(ops):
        if not isinstance(op, Conv):
            continue
        shape = weight_shape(op, tensors[op.input].channels)
        name, kind = (f"skip conv {index}", "skip_weights") if index in skip else (f"conv {index}", "weights")
        few = _numbers if unit.compact else _chunk
        steps = few(cursor, ledger, (op.steps,), (0, MAX_STEP), f"{name} steps", "side_info")
        biases = few(cursor, ledger, (op.channels,), (-BIAS_PEAK, BIAS_PEAK), f"{name} biases", kind)
        label = f"{name} weights {'x'.join(map(str, shape))}"
        rows = Rows(op.group) if by_rows else None
        matrix = (shape[0], math.prod(shape[1:]))
        weights = _chunk(cursor, ledger, matrix, (-WEIGHT_PEAK, WEIGHT_PEAK), label, kind, rows)
        convs[index] = ConvWeights(weights.reshape(shape), biases, steps)
        _prove(op, index, convs[index], tensors)
    cursor.end()
    return convs, ledger.entries


def _prove(op: Conv, index: int, conv: ConvWeights, tensors: Sequence[Tensor]) -> None:
    """Check the bound of section 6.3; raises CorruptStreamError."""
    bias, shifts = conv.accumulator_bias(op), conv.first_shifts(op)
    prove(conv.weights, bias, shifts, tensors[op.input], f"operation {index} (CONV)")


def pack_latents(op_index: int, first: int, values: Latents, compact: bool = False) -> bytes:
    """LATENTS (section 4.5).

    Args:
        op_index: the LATENT or GRID operation.
        first: number of the run's first frame, or knot, in the segment.
        values: [frames or knots, channels, height, width] of the run.
        compact: whether the file is in compact form.
    """
    start = encode_chunk(values[0])
    if len(values) == 1:
        return LatentsHead(op_index, first, 1, 0).pack(compact) + start
    flat = values.reshape(len(values), -1).astype(np.int32)
    plain = flat[1:]
    rest = [encode_chunk(rows, Rows(plane=values.shape[1:])) for rows in (plain, plain - flat[:-1])]
    predictor = min((0, 1), key=lambda option: len(rest[option]))
    return LatentsHead(op_index, first, len(values), predictor).pack(compact) + start + rest[predictor]


def unpack_latents(unit: Unit, op: Transmitted, by_rows: bool) -> tuple[Latents, list[Entry]]:
    """LATENTS (section 4.5) of an operation: its values in the run, [frames or knots, values of one].

    ``by_rows`` allows tables by rows (5.5). Constant values take no memory.
    """
    cursor, ledger = unit.cursor(), Ledger(unit.index)
    head = LatentsHead.unpack(cursor)
    ledger.add("side_info", f"latent {head.op} run", cursor.position)
    kind, noun = _kind_of(op), "knots" if isinstance(op, Grid) else "frames"
    label = f"latent {head.op} {noun} {head.first} to {head.first + head.frames - 1}"
    first = _narrow(_chunk(cursor, ledger, (op.elements,), (op.low, op.high), f"{label}, first", kind))[None]
    if head.frames == 1:
        cursor.end()
        return first, ledger.entries
    # Differences reach twice as far as values; their sums must lie in the operation's range.
    span = op.high - op.low
    limits = (-span, span) if head.predictor else (op.low, op.high)
    rows = Rows(plane=(op.channels, op.height, op.width)) if by_rows else None
    rest = _chunk(cursor, ledger, (head.frames - 1, op.elements), limits, f"{label}, rest", kind, rows)
    still = (0, 0) if head.predictor else extremes(first)
    if still[0] == still[1] and extremes(rest) == still:
        cursor.end()
        return np.broadcast_to(first, (head.frames, op.elements)), ledger.entries
    if head.predictor:
        rest = np.cumsum(rest, axis=0, dtype=np.int32)
        rest += first
        if rest.min() < op.low or rest.max() > op.high:
            raise CorruptStreamError(f"{cursor.what}: a value leaves the range {op.low} to {op.high}")
    cursor.end()
    return np.concatenate([first, rest], dtype=np.int16, casting="same_kind"), ledger.entries


def _kind_of(op: Transmitted) -> str:
    """The kind of entry that an operation's latents are."""
    if isinstance(op, Latent):
        return "embeddings" if op.kind == LatentKind.EMBEDDING else "skip_features"
    return "grids"


def _narrow(values: npt.NDArray[np.int32]) -> Latents:
    """Convert values within 16 bits; constant ones go on taking no memory."""
    if any(values.strides):
        return values.astype(np.int16)
    return np.broadcast_to(values.flat[0].astype(np.int16), values.shape)


def pack_base(run: BaseRun) -> bytes:
    """BASE (section 4.11)."""
    return BaseHead(CODEC_AV1, run.first, run.frames).pack(compact=True) + run.data


def unpack_base(unit: Unit, picture: Picture) -> tuple[BaseRun, list[Entry]]:
    """BASE (section 4.11), what it holds checked against the PICTURE operation as far as its headers tell."""
    cursor, ledger = unit.cursor(), Ledger(unit.index)
    head = BaseHead.unpack(cursor)
    ledger.add("side_info", "base run", cursor.position)
    if head.codec != CODEC_AV1:
        raise UnsupportedVersionError(f"{cursor.what}: codec {head.codec} is not known to this version")
    data = bytes(cursor.take(cursor.left))
    label = f"base frames {head.first} to {head.first + head.frames - 1}"
    ledger.add("base", label, len(data))
    sequence, temporal_units = check_run(data, head.frames, picture, cursor.what)
    return BaseRun(head.first, head.frames, data, sequence, temporal_units), ledger.entries


def pack_checksums(frames_per_checksum: int, checksums: Checksums, compact: bool = False) -> bytes:
    """CHECKSUMS (section 4.6)."""
    return pack_integer(frames_per_checksum, "I", compact) + checksums.astype("<u4").tobytes()


def unpack_checksums(unit: Unit, frames: int) -> tuple[tuple[int, Checksums], list[Entry]]:
    """CHECKSUMS (section 4.6) of a segment of ``frames`` frames: the frames per checksum, and the checksums."""
    cursor, ledger = unit.cursor(), Ledger(unit.index)
    group = cursor.integer("I")
    if not 1 <= group <= frames:
        raise CorruptStreamError(f"{cursor.what}: one checksum for {group} of {frames} frames")
    checksums = np.frombuffer(cursor.take(4 * -(-frames // group)), "<u4")
    cursor.end()
    ledger.add("overhead", "picture checksums", len(unit.payload))
    return (group, checksums.astype(np.uint32)), ledger.entries


def pack_end(units: int, digest: bytes, compact: bool = False) -> bytes:
    """LAYER_END or SEGMENT_END (sections 4.7, 4.12) of a file that has ``units`` units and this SHA-256 up to here."""
    return EndMark(units).pack(compact) + digest[: COMPACT_HASH_BYTES if compact else HASH_BYTES]


def unpack_end(unit: Unit) -> tuple[tuple[int, bytes], list[Entry]]:
    """LAYER_END or SEGMENT_END (sections 4.7, 4.12): the number of units before it, and the first bytes of the SHA-256
    of all bytes before it."""
    cursor, ledger = unit.cursor(), Ledger(unit.index)
    units = EndMark.unpack(cursor).units
    digest = bytes(cursor.take(COMPACT_HASH_BYTES if unit.compact else HASH_BYTES))
    cursor.end()
    ledger.add("overhead", "end mark", len(unit.payload))
    return (units, digest), ledger.entries


def pack_index(units: Iterable[tuple[int, int, int, int]]) -> bytes:
    """INDEX (section 4.8) of units, each its type, segment, layer and offset."""
    rows = b"".join(
        bytes([kind]) + segment.to_bytes(2, "little") + bytes([layer]) + offset.to_bytes(8, "little")
        for kind, segment, layer, offset in units
    )
    return rows + len(rows).to_bytes(4, "little")


def _chunk(
    cursor: Cursor,
    ledger: Ledger,
    shape: tuple[int, ...],
    limits: tuple[int, int],
    label: str,
    kind: str,
    rows: Rows | None = None,
) -> npt.NDArray[np.int32]:
    """Read one chunk (section 5.1) whose values must lie within ``limits``."""
    values, size = decode_chunk(cursor, shape, rows)
    low, high = limits
    least, most = extremes(values)
    if least < low or most > high:
        raise CorruptStreamError(f"{cursor.what}: {label} leave the range {low} to {high}")
    ledger.add("side_info", f"{label}: table", size.table_bytes)
    ledger.add("overhead", f"{label}: length and padding", size.length_bytes + size.padding_bytes)
    ledger.add(kind, label, size.word_bytes - size.padding_bytes, size.values)
    return values


def _numbers(
    cursor: Cursor, ledger: Ledger, shape: tuple[int, ...], limits: tuple[int, int], label: str, kind: str
) -> npt.NDArray[np.int32]:
    """Read what the compact form has instead of a short chunk: a number for each value, all within ``limits``."""
    start, (low, high) = cursor.position, limits
    values = np.array([cursor.integer("h" if low < 0 else "B") for _ in range(math.prod(shape))], np.int32)
    if values.min() < low or values.max() > high:
        raise CorruptStreamError(f"{cursor.what}: {label} leave the range {low} to {high}")
    ledger.add(kind, label, cursor.position - start, values.size)
    return values.reshape(shape)
