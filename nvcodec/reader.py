"""Bytes to a :class:`~nvcodec.stream.Stream`, everything checked (specification, sections 3 to 5). No torch.

The order of units is part of the format, so reading is one pass that consumes them with :class:`_Reader`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

from nvcodec.bitstream.fields import Cursor
from nvcodec.bitstream.ops import (
    Conv,
    Grid,
    LatentKind,
    Op,
    Tensor,
    Transmitted,
    beside_trunk,
    infer,
    unpack_ops,
    weight_shape,
)
from nvcodec.bitstream.units import (
    CRC_BYTES,
    FEATURES,
    HASH_BYTES,
    HEADER_BYTES,
    UNIT_HEADER_BYTES,
    LatentsHead,
    LayerEnd,
    SegmentHead,
    Unit,
    UnitType,
    Video,
    check_file_header,
    split_units,
)
from nvcodec.entropy.coder import decode_chunk
from nvcodec.entropy.contexts import Rows
from nvcodec.errors import CorruptStreamError, CutStreamError, InputError, UnsupportedVersionError
from nvcodec.exact.bounds import prove
from nvcodec.exact.steps import MAX_STEP
from nvcodec.stream import ConvWeights, Entry, Layer, Segment, Stream, UnitReport

MAX_DEPTH = 64  # nesting of metadata
MAX_LATENTS = 2**27  # integers of all latents of a stream
MAX_NETWORK_WEIGHTS = 2**26  # weights of all networks of a stream
MAX_METADATA = 2**20  # bytes, unpacked
MAX_FRAMES = 2**22
MAX_DURATION = 2**62  # ticks
WEIGHT_PEAK = 127
BIAS_PEAK = 2047


def read_file(path: str | os.PathLike[str]) -> Stream:
    """Read and check an SDMN file.

    Of one that is cut inside a layer the layers below are read, and :attr:`~nvcodec.stream.Stream.note` says so.

    Raises:
        InputError: the file cannot be opened or is not an SDMN file.
        UnsupportedVersionError: it needs a newer decoder.
        CorruptStreamError: it is damaged or breaks the specification.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(HEADER_BYTES)
            check_file_header(head)  # before the rest is read: a wrong file may be large
            file.seek(0)
            return read_stream(file.read())
    except OSError as error:
        raise InputError(f"cannot read {os.fspath(path)}: {error.strerror}") from None


def read_stream(data: bytes) -> Stream:
    """Read and check a stream held in memory; raises as :func:`read_file` does."""
    version = check_file_header(data)
    try:
        return _Reader(memoryview(data), version).read()
    except CutStreamError:
        ends = layer_ends(data)
        if not ends:
            raise
        stream = _Reader(memoryview(data)[: ends[-1]], version).read()
        stream.note = f"the file is cut: of its {len(data)} bytes {ends[-1]}, {len(ends)} layer(s), can be used"
        return stream


def layer_ends(data: bytes) -> list[int]:
    """After how many bytes each layer that is whole ends."""
    ends = []
    with contextlib.suppress(CutStreamError):
        for unit in split_units(memoryview(data)):
            if unit.header.type == UnitType.LAYER_END:
                ends.append(unit.end)
    return ends


def _no_constant(name: str) -> None:
    """JSON has no NaN and no Infinity, though Python reads them."""
    raise ValueError(name)


def _depth(value: Any) -> int:
    """How deep lists and objects are nested."""
    if not isinstance(value, dict | list):
        return 0
    return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)


class _Reader:
    def __init__(self, data: memoryview, version: tuple[int, int]) -> None:
        self.data = data
        self.version = version
        self.features = data[10] & FEATURES
        self.entries = [Entry("overhead", "file header", HEADER_BYTES, 0, -1)]
        self.metadata: dict[str, Any] = {}
        # Reading all units first checks every frame and checksum before anything is decoded.
        self.units = list(split_units(data))
        self.place = -1
        self.latents_left = MAX_LATENTS
        self.weights_left = MAX_NETWORK_WEIGHTS
        self.hash, self.hashed = hashlib.sha256(), 0

    def read(self) -> Stream:
        if self.units and self.units[0].header.type != UnitType.VIDEO:
            raise CorruptStreamError(f"the stream starts with {self.units[0].name}; VIDEO was expected")
        unit = self.next("the VIDEO unit")
        video = self.video(unit)
        heads: list[tuple[SegmentHead, npt.NDArray[np.int64]]] = []
        frames = 0
        while (unit := self.next("a SEGMENT unit")).header.type == UnitType.SEGMENT:
            self.expect(unit, UnitType.SEGMENT, len(heads), 0)
            head, durations = self.segment(unit)
            if head.first_frame != frames:
                raise CorruptStreamError(f"a segment starts at frame {head.first_frame}; expected {frames}")
            frames += head.frames
            if frames > MAX_FRAMES:
                raise CorruptStreamError(f"the stream has more than {MAX_FRAMES} frames")
            heads.append((head, durations))
        if not heads:
            raise CorruptStreamError("the stream has no SEGMENT unit")
        segments = [Segment(head, durations, []) for head, durations in heads]
        level = 0
        while True:
            for number, segment in enumerate(segments):
                segment.layers.append(self.layer(unit, number, level, segment))
                unit = self.next("a unit")
            self.layer_end(unit, level)
            end = self.place
            after = self.next_or_none()
            if after is None or after.header.type == UnitType.INDEX:
                break
            unit, level = after, level + 1
        if after is not None:
            self.index(after)
            end += 1
        if end != len(self.units) - 1:
            raise CorruptStreamError("after the last LAYER_END only an INDEX may stand")
        reports = [
            UnitReport(unit.name, unit.header.segment, unit.header.layer, unit.offset, unit.bytes)
            for unit in self.units
        ]
        return Stream(video, segments, self.metadata, self.version, len(self.data), self.entries, reports)

    def next(self, what: str) -> Unit:
        unit = self.next_or_none()
        if unit is None:
            raise CutStreamError(f"the stream ends where {what} was expected")
        return unit

    def next_or_none(self) -> Unit | None:
        """The next unit that is not skipped: METADATA is taken in here, unknown ancillary units passed over."""
        while self.place + 1 < len(self.units):
            self.place += 1
            unit = self.units[self.place]
            self.count("overhead", f"{unit.name} framing and checksum", UNIT_HEADER_BYTES + CRC_BYTES)
            kind = unit.header.type
            if kind in (UnitType.METADATA, UnitType.AUDIO):
                self.expect(unit, UnitType(kind), 0, 0)
            if kind == UnitType.METADATA:
                self.read_metadata(unit)
            elif unit.known and kind != UnitType.AUDIO:
                return unit
            self.count("overhead", unit.name, len(unit.payload))
        return None

    def count(self, kind: str, label: str, size: int, values: int = 0) -> None:
        if size:
            self.entries.append(Entry(kind, label, size, values, self.place))

    def expect(self, unit: Unit, kind: UnitType, segment: int, layer: int) -> None:
        head = unit.header
        if (head.type, head.segment, head.layer) != (kind, segment, layer):
            raise CorruptStreamError(
                f"{unit.name} of segment {head.segment}, layer {head.layer} at byte {unit.offset}; "
                f"expected {kind.name} of segment {segment}, layer {layer}"
            )

    def cursor(self, unit: Unit) -> Cursor:
        return Cursor(unit.payload, f"{unit.name} at byte {unit.offset}")

    def video(self, unit: Unit) -> Video:
        self.expect(unit, UnitType.VIDEO, 0, 0)
        cursor = self.cursor(unit)
        video = Video.unpack(cursor)
        cursor.end()
        self.count("side_info", "video", len(unit.payload))
        return video

    def segment(self, unit: Unit) -> tuple[SegmentHead, npt.NDArray[np.int64]]:
        cursor = self.cursor(unit)
        head = SegmentHead.unpack(cursor)
        if head.constant_duration:
            durations = np.broadcast_to(np.int64(head.constant_duration), head.frames)  # takes no memory
        else:
            if head.frames > cursor.left:
                raise CorruptStreamError(f"{cursor.what}: {head.frames} durations do not fit {cursor.left} bytes")
            durations = np.array([cursor.varint(MAX_DURATION) for _ in range(head.frames)], np.int64)
        cursor.end()
        self.count("side_info", "segment", len(unit.payload))
        return head, durations

    def read_metadata(self, unit: Unit) -> None:
        """METADATA is ancillary, but a damaged one is still an error: nothing in a file is passed over silently."""
        cursor = self.cursor(unit)
        packed, size = cursor.integer("B"), cursor.integer("I")
        raw = bytes(cursor.take(cursor.left))
        if packed > 1 or size > MAX_METADATA:
            raise CorruptStreamError(f"{cursor.what}: packing {packed}, {size} bytes; at most {MAX_METADATA} may stand")
        try:
            if packed:
                stated = zstandard.frame_content_size(raw)
                if stated != size:
                    raise CorruptStreamError(f"{cursor.what}: the packed size is {stated}, not {size}")
                raw = zstandard.ZstdDecompressor().decompress(raw, max_output_size=size, allow_extra_data=False)
            metadata = json.loads(raw.decode(), parse_constant=_no_constant)
            if _depth(metadata) > MAX_DEPTH:
                raise ValueError
        except (zstandard.ZstdError, ValueError, RecursionError):
            raise CorruptStreamError(f"{cursor.what}: the metadata cannot be unpacked") from None
        if not isinstance(metadata, dict) or len(raw) != size:
            raise CorruptStreamError(f"{cursor.what}: the metadata are not an object of {size} bytes")
        self.metadata.update(metadata)

    def layer(self, unit: Unit, number: int, level: int, segment: Segment) -> Layer:
        self.expect(unit, UnitType.NETWORK, number, level)
        ops = unpack_ops(self.cursor(unit))
        if not self.features and any(isinstance(op, Grid) for op in ops):
            raise UnsupportedVersionError("a GRID is not supported without the feature bit of version 1.1")
        self.count("side_info", "network", len(unit.payload))
        below = {place: layer.tensors for place, layer in enumerate(segment.layers)}
        tensors = infer(ops, below, (segment.head.height, segment.head.width))
        unit = self.next("a WEIGHTS unit")
        self.expect(unit, UnitType.WEIGHTS, number, level)
        convs = self.weights(unit, ops, tensors)
        latents = {}
        for place, op in enumerate(ops):
            if isinstance(op, Transmitted):
                latents[place] = self.latents(place, op, number, level, segment.head.frames)
        unit = self.next("a CHECKSUMS unit")
        self.expect(unit, UnitType.CHECKSUMS, number, level)
        cursor = self.cursor(unit)
        group = cursor.integer("I")
        if not 1 <= group <= segment.head.frames:
            raise CorruptStreamError(f"{cursor.what}: one checksum for {group} of {segment.head.frames} frames")
        sums = np.frombuffer(cursor.take(4 * -(-segment.head.frames // group)), "<u4")
        cursor.end()
        self.count("overhead", "picture checksums", len(unit.payload))
        return Layer(ops, tensors, convs, latents, group, sums.astype(np.uint32))

    def weights(self, unit: Unit, ops: tuple[Op, ...], tensors: tuple[Tensor, ...]) -> dict[int, ConvWeights]:
        cursor = self.cursor(unit)
        convs = {}
        skip = beside_trunk(ops)
        for place, op in enumerate(ops):
            if not isinstance(op, Conv):
                continue
            shape = weight_shape(op, tensors[op.input].channels)
            count = math.prod(shape)
            self.weights_left -= count
            if self.weights_left < 0:
                raise CorruptStreamError(f"the stream has more than {MAX_NETWORK_WEIGHTS} weights")
            name, kind = (f"skip conv {place}", "skip_weights") if place in skip else (f"conv {place}", "weights")
            steps = self.chunk(cursor, (op.steps,), 0, MAX_STEP, f"{name} steps", "side_info")
            biases = self.chunk(cursor, (op.channels,), -BIAS_PEAK, BIAS_PEAK, f"{name} biases", kind)
            label = f"{name} weights {'x'.join(map(str, shape))}"
            matrix = (shape[0], count // shape[0])
            weights = self.chunk(cursor, matrix, -WEIGHT_PEAK, WEIGHT_PEAK, label, kind, Rows(op.group))
            weights = weights.reshape(shape)
            conv = ConvWeights(weights, biases, steps)
            bias, shifts = conv.accumulator_bias(op), conv.first_shifts(op)
            prove(weights, bias, shifts, tensors[op.input], f"operation {place} (CONV)")
            convs[place] = conv
        cursor.end()
        return convs

    def latents(self, place: int, op: Transmitted, number: int, level: int, frames: int) -> npt.NDArray[np.int16]:
        frames = op.transmitted(frames)
        size = op.channels * op.height * op.width
        self.latents_left -= frames * size
        if self.latents_left < 0:
            raise CorruptStreamError(f"the stream has more than {MAX_LATENTS} latent values")
        if isinstance(op, Grid):
            kind, what = "grids", "knots"
        else:
            kind, what = "embeddings" if op.kind == LatentKind.EMBEDDING else "skip_features", "frames"
        runs = []
        done = 0
        while done < frames:
            unit = self.next("a LATENTS unit")
            self.expect(unit, UnitType.LATENTS, number, level)
            cursor = self.cursor(unit)
            head = LatentsHead.unpack(cursor)
            self.count("side_info", f"latent {place} run", cursor.position)
            if (head.op, head.first) != (place, done) or head.frames > frames - done:
                raise CorruptStreamError(
                    f"{cursor.what}: {what} {head.first} to {head.first + head.frames} of operation {head.op}; "
                    f"expected operation {place} from {done} of {frames}"
                )
            label = f"latent {place} {what} {done} to {done + head.frames - 1}"
            # Residuals reach twice as far as values; the sum is what must lie in the declared range.
            run = np.empty((head.frames, size), np.int32)
            run[0] = self.chunk(cursor, (size,), op.low, op.high, f"{label}, first", kind)
            if head.frames > 1:
                span = (op.high - op.low) if head.predictor else 0
                low, high = (-span, span) if head.predictor else (op.low, op.high)
                rows = Rows(plane=(op.channels, op.height, op.width))
                run[1:] = self.chunk(cursor, (head.frames - 1, size), low, high, f"{label}, rest", kind, rows)
                if head.predictor:
                    # Wrong residuals may add up to 2^24 * 255: int64, so that the check below sees them all.
                    total = np.cumsum(run, axis=0, dtype=np.int64)
                    if total.min() < op.low or total.max() > op.high:
                        raise CorruptStreamError(f"{cursor.what}: a value leaves the range {op.low} to {op.high}")
                    run = total.astype(np.int32)
            cursor.end()
            runs.append(run.astype(np.int16))
            done += head.frames
        return np.concatenate(runs).reshape(frames, op.channels, op.height, op.width)

    def chunk(
        self,
        cursor: Cursor,
        shape: tuple[int, ...],
        low: int,
        high: int,
        label: str,
        kind: str,
        rows: Rows | None = None,
    ) -> npt.NDArray[np.int32]:
        values, size = decode_chunk(cursor, shape, rows if self.features else None)  # tables by rows came with 1.1
        if values.min() < low or values.max() > high:
            raise CorruptStreamError(f"{cursor.what}: {label} leave the range {low} to {high}")
        self.count("side_info", f"{label}: table", size.table_bytes)
        self.count("overhead", f"{label}: length and padding", size.length_bytes + size.padding_bytes)
        self.count(kind, label, size.word_bytes - size.padding_bytes, size.values)
        return values

    def layer_end(self, unit: Unit, level: int) -> None:
        self.expect(unit, UnitType.LAYER_END, 0, level)
        cursor = self.cursor(unit)
        end = LayerEnd.unpack(cursor)
        stated = bytes(cursor.take(HASH_BYTES))
        cursor.end()
        if end.units != self.place:
            raise CorruptStreamError(f"{cursor.what}: {end.units} units are stated, {self.place} are there")
        self.hash.update(self.data[self.hashed : unit.offset])
        self.hashed = unit.offset
        if stated != self.hash.digest():
            raise CorruptStreamError(f"{cursor.what}: the hash of what lies before it does not match")
        self.count("overhead", "layer end", len(unit.payload))

    def index(self, unit: Unit) -> None:
        self.expect(unit, UnitType.INDEX, 0, 0)
        expected = b"".join(
            bytes([u.header.type])
            + u.header.segment.to_bytes(2, "little")
            + bytes([u.header.layer])
            + u.offset.to_bytes(8, "little")
            for u in self.units[: self.place]
        )
        if bytes(unit.payload) != expected + len(expected).to_bytes(4, "little"):
            raise CorruptStreamError(f"INDEX at byte {unit.offset} does not agree with the units")
        self.count("overhead", "index", len(unit.payload))
