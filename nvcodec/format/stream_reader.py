"""Bytes to a :class:`~nvcodec.format.stream.Stream`, everything checked (specification, sections 3 to 5). No torch.

The order of units is part of the format, so reading is one pass that consumes them with :class:`_Reader`, after a look
at the heads alone that says what the rest will take.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import zstandard

from nvcodec.errors import CorruptStreamError, CutStreamError, InputError, UnsupportedVersionError
from nvcodec.format.arithmetic.bounds import prove
from nvcodec.format.arithmetic.step_indices import MAX_STEP
from nvcodec.format.entropy.chunks import decode_chunk, extremes
from nvcodec.format.entropy.contexts import Rows
from nvcodec.format.fields import Cursor
from nvcodec.format.inference import MAX_LIVE, Tensor, infer
from nvcodec.format.limits import NO_LIMITS, Limits, Network, requirements
from nvcodec.format.operations import (
    Conv,
    Grid,
    LatentKind,
    Op,
    Transmitted,
    skip_connection_ops,
    unpack_ops,
    weight_shape,
)
from nvcodec.format.stream import ConvWeights, Entry, Layer, Segment, Stream, UnitReport
from nvcodec.format.units import (
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
    salvage_units,
    split_units,
)

PIECE = 2**20  # bytes read at once
MAX_DEPTH = 64  # nesting of metadata
MAX_LATENTS = 2**27  # integers of all latents of a stream
MAX_NETWORK_WEIGHTS = 2**26  # weights of all networks of a stream
MAX_METADATA = 2**20  # bytes of all of a stream, unpacked
MAX_RUN = 2**10  # frames, or knots, of a run
MAX_FRAMES = 2**22
MAX_DURATION = 2**62  # ticks
WEIGHT_PEAK = 127
BIAS_PEAK = 2047


def read_file(path: str | os.PathLike[str], limits: Limits = NO_LIMITS) -> Stream:
    """Read and check an SDMN file.

    Of one that is cut inside a layer the layers below are read, and :attr:`~nvcodec.format.stream.Stream.note` says so.

    Args:
        path: of the file.
        limits: what it may take; looked at before anything is decoded.

    Raises:
        InputError: the file cannot be opened or is not an SDMN file.
        LimitError: it needs more than ``limits`` allow.
        UnsupportedVersionError: it needs a newer decoder.
        CorruptStreamError: it is damaged or breaks the specification.
    """
    try:
        with Path(path).open("rb") as file:
            return read_stream(read_all(file, limits), limits)
    except OSError as error:
        raise InputError(f"cannot read {os.fspath(path)}: {error.strerror}") from None
    except MemoryError:
        raise InputError(f"there is too little memory to read {os.fspath(path)}") from None


def read_all(file: BinaryIO, limits: Limits = NO_LIMITS) -> bytes:
    """The bytes of a file that starts as an SDMN file does; raises as :func:`read_file` does."""
    head = file.read(HEADER_BYTES)
    check_file_header(head)  # before the rest is read: a wrong file may be large
    limits.check_memory(os.fstat(file.fileno()).st_size)
    pieces, size = [head], len(head)
    while piece := file.read(PIECE):  # a pipe does not say how much will come
        pieces.append(piece)
        size += len(piece)
        limits.check_memory(size)
    return b"".join(pieces)


def read_stream(data: bytes, limits: Limits = NO_LIMITS, keep_going: bool = False) -> Stream:
    """Read and check a stream held in memory; raises as :func:`read_file` does.

    With ``keep_going`` what can be used of a damaged one is read (specification, section 10.1):
    :attr:`~nvcodec.format.stream.Stream.damage` and each layer's ``lost`` say what is missing.
    """
    version = check_file_header(data)
    if keep_going:
        return _Reader(memoryview(data), version, limits, keep_going).read()
    try:
        return _Reader(memoryview(data), version, limits).read()
    except CutStreamError:
        ends = layer_ends(data)
        if not ends:
            raise
        stream = _Reader(memoryview(data)[: ends[-1]], version, limits).read()
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


def _finite(text: str) -> float:
    """Of a number that no float holds the nearest that one does, so that what is read can be written as JSON again."""
    return max(-sys.float_info.max, min(sys.float_info.max, float(text)))


def _depth(text: str) -> int:
    """How many lists and objects of a JSON text, known to be one, are inside one another."""
    marks = np.frombuffer(re.sub(r'"[^"\\]*(?:\\.[^"\\]*)*"', "", text).encode(), np.uint8)
    step = np.zeros(256, np.int32)
    step[list(b"[{")], step[list(b"]}")] = 1, -1
    return int(np.cumsum(step[marks]).max(initial=0))


def _narrow(values: npt.NDArray[np.int32]) -> npt.NDArray[np.int16]:
    """Values within 16 bits; constant ones go on taking no memory."""
    if any(values.strides):
        return values.astype(np.int16)
    return np.broadcast_to(values.flat[0].astype(np.int16), values.shape)


class _Reader:
    """One pass over the units.

    With ``keep_going``, units that are not whole are passed over; ``gap`` says that there were some right before the
    present one, so that what was expected there may have been among them.
    """

    def __init__(self, data: memoryview, version: tuple[int, int], limits: Limits, keep_going: bool = False) -> None:
        self.data = data
        self.version = version
        self.features = data[10] & FEATURES
        self.limits = limits
        self.keep_going = keep_going
        self.damage: list[str] = []
        self.gap = False
        self.ahead: Unit | None = None  # one that has been read, but is still to be used
        self.entries = [Entry("overhead", "file header", HEADER_BYTES, 0, -1)]
        self.metadata: dict[str, Any] = {}
        # Reading all units first checks every frame and checksum before anything is decoded.
        self.units, self.cut = salvage_units(data) if keep_going else (list(split_units(data)), False)
        if self.cut:
            end = self.units[-1].end if self.units else HEADER_BYTES
            self.damage.append(f"the stream ends, or cannot be followed, at byte {end}")
        self.place = -1
        self.networks: dict[int, Network] = {}  # by the place of their unit
        self.metadata_left = MAX_METADATA
        self.hash, self.hashed = hashlib.sha256(), 0

    def read(self) -> Stream:
        self.survey()
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
            heads.append((head, durations))
        if not heads:
            raise CorruptStreamError("the stream has no SEGMENT unit")
        self.ahead = unit
        segments = [Segment(head, durations, []) for head, durations in heads]
        self.layers(segments)
        reports = [
            UnitReport(unit.name, unit.header.segment, unit.header.layer, unit.offset, unit.bytes)
            for unit in self.units
        ]
        more = len(self.data) - self.units[-1].end
        note = f"{more} bytes after the end of the stream are ignored" if more and not self.cut else ""
        return Stream(
            video, segments, self.metadata, self.version, len(self.data), self.entries, reports, note, self.damage
        )

    def layers(self, segments: list[Segment]) -> None:
        """Read all layers of all segments, and the INDEX."""
        level = 0
        while True:
            try:
                layers = [self.layer(number, level, segment) for number, segment in enumerate(segments)]
            except CorruptStreamError as error:
                if not (self.keep_going and level):
                    raise
                self.damage.append(f"of the layers only the first {level} can be used: {error}")
                return
            for segment, layer in zip(segments, layers, strict=True):
                segment.layers.append(layer)
            self.layer_end(level)
            end = self.place
            after = self.next_or_none()
            if after is None or after.header.type == UnitType.INDEX:
                break
            self.ahead, level = after, level + 1
        if self.damage or self.cut:
            return
        if after is not None:
            self.index(after)
            end += 1
        if end != len(self.units) - 1:
            raise CorruptStreamError("after the last LAYER_END only an INDEX may stand")

    def survey(self) -> None:
        """Read the heads of all segments and networks, and hold what they ask for against the limits; whether they
        come in order is not looked at."""
        segments: list[tuple[SegmentHead, list[Network]]] = []
        frames = weights = latents = 0
        for place, unit in enumerate(self.units):
            if not unit.whole:
                continue
            if unit.header.type == UnitType.SEGMENT:
                segments.append((SegmentHead.unpack(self.cursor(unit)), []))
                frames += segments[-1][0].frames
            elif unit.header.type == UnitType.NETWORK:
                if unit.header.segment >= len(segments):
                    raise CorruptStreamError(f"NETWORK at byte {unit.offset}: there is no segment of its number")
                head, networks = segments[unit.header.segment]
                if unit.header.layer != len(networks):
                    continue  # those between are missing
                below = {level: tensors for level, (_, tensors) in enumerate(networks)}
                try:
                    ops = unpack_ops(self.cursor(unit))
                    tensors = infer(ops, below, (head.height, head.width))
                except CorruptStreamError:
                    if not (self.keep_going and networks):
                        raise
                    continue
                networks.append((ops, tensors))
                self.networks[place] = (ops, tensors)
                weights += sum(op.weights(tensors[op.input].channels) for op in ops if isinstance(op, Conv))
                latents += sum(
                    op.transmitted(head.frames) * op.channels * op.height * op.width
                    for op in ops
                    if isinstance(op, Transmitted)
                )
        for name, value, most in (
            ("frames", frames, MAX_FRAMES),
            ("weights", weights, MAX_NETWORK_WEIGHTS),
            ("latent values", latents, MAX_LATENTS),
        ):
            if value > most:
                raise CorruptStreamError(f"the stream has more than {most} {name}")
        needs = requirements(segments, len(self.data), len(self.units))
        if needs.elements > MAX_LIVE:
            raise CorruptStreamError(
                f"the layers need {needs.elements} elements alive at once, at most {MAX_LIVE} may be"
            )
        self.limits.check(needs)

    def next(self, what: str) -> Unit:
        unit = self.next_or_none()
        if unit is None:
            raise CutStreamError(f"the stream ends where {what} was expected")
        return unit

    def expected(self, kind: UnitType, segment: int, layer: int) -> Unit | None:
        """The next unit, which has to be this one; None where it may be among those that are damaged or cut off.

        Raises:
            CorruptStreamError: it is another one.
        """
        what = f"{kind.name} of segment {segment}, layer {layer}"
        unit = self.next_or_none()
        if unit is None and not self.gap:
            raise CutStreamError(f"the stream ends where {what} was expected")
        head = unit and unit.header
        if head and (head.type, head.segment, head.layer) == (kind, segment, layer):
            return unit
        if not self.gap:
            assert unit and head
            raise CorruptStreamError(
                f"{unit.name} of segment {head.segment}, layer {head.layer} at byte {unit.offset}; expected {what}"
            )
        self.ahead = unit
        return None

    def needed(self, kind: UnitType, segment: int, layer: int) -> Unit:
        """The same where a layer cannot be used without it."""
        unit = self.expected(kind, segment, layer)
        if unit is None:
            raise CorruptStreamError(f"{kind.name} of segment {segment}, layer {layer} is damaged")
        return unit

    def next_or_none(self) -> Unit | None:
        """The next unit that is not skipped: METADATA is taken in here, unknown ancillary units passed over."""
        if self.ahead:
            unit, self.ahead = self.ahead, None
            return unit
        self.gap = False
        while self.place + 1 < len(self.units):
            self.place += 1
            unit = self.units[self.place]
            if not unit.whole:
                self.gap = True
                self.damage.append(f"{unit.name} at byte {unit.offset} is damaged")
                continue
            self.count("overhead", f"{unit.name} framing and checksum", UNIT_HEADER_BYTES + CRC_BYTES)
            kind = unit.header.type
            if kind in (UnitType.METADATA, UnitType.AUDIO):
                self.expect(unit, UnitType(kind), 0, 0)
            if kind == UnitType.METADATA:
                with self.tolerance():
                    self.read_metadata(unit)
            elif unit.known and kind != UnitType.AUDIO:
                return unit
            self.count("overhead", unit.name, len(unit.payload))
        self.gap |= self.cut
        return None

    @contextlib.contextmanager
    def tolerance(self) -> Iterator[None]:
        """With ``keep_going``, what is corrupt in the block is damage and no error."""
        try:
            yield
        except CorruptStreamError as error:
            if not self.keep_going:
                raise
            self.damage.append(str(error))

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
        self.metadata_left -= size
        if packed > 1 or self.metadata_left < 0:
            raise CorruptStreamError(
                f"{cursor.what}: packing {packed}, {size} bytes; at most {MAX_METADATA} may stand in a stream"
            )
        try:
            if packed:
                stated = zstandard.frame_content_size(raw)
                if stated != size:
                    raise CorruptStreamError(f"{cursor.what}: the packed size is {stated}, not {size}")
                raw = zstandard.ZstdDecompressor().decompress(raw, max_output_size=size, allow_extra_data=False)
            text = raw.decode()
            metadata = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
            if _depth(text) > MAX_DEPTH:
                raise ValueError
        except (zstandard.ZstdError, ValueError, RecursionError):
            raise CorruptStreamError(f"{cursor.what}: the metadata cannot be unpacked") from None
        if not isinstance(metadata, dict) or len(raw) != size:
            raise CorruptStreamError(f"{cursor.what}: the metadata are not an object of {size} bytes")
        self.metadata.update(metadata)

    def layer(self, number: int, level: int, segment: Segment) -> Layer:
        unit = self.needed(UnitType.NETWORK, number, level)
        if self.place not in self.networks:
            raise CorruptStreamError(f"{self.cursor(unit).what} breaks a rule")
        ops, tensors = self.networks[self.place]
        if not self.features and any(isinstance(op, Grid) for op in ops):
            raise UnsupportedVersionError("a GRID is not supported without the feature bit of version 1.1")
        self.count("side_info", "network", len(unit.payload))
        convs = self.weights(self.needed(UnitType.WEIGHTS, number, level), ops, tensors)
        latents = {}
        lost: list[range] = []
        for place, op in enumerate(ops):
            if isinstance(op, Transmitted):
                latents[place], missing = self.latents(place, op, number, level, segment.head.frames)
                lost += missing
        group, sums = 1, np.zeros(0, np.uint32)
        if unit := self.expected(UnitType.CHECKSUMS, number, level):  # type: ignore[assignment]
            with self.tolerance():
                group, sums = self.checksums(unit, segment.head.frames)
        return Layer(ops, tensors, convs, latents, group, sums, tuple(lost))

    def checksums(self, unit: Unit, frames: int) -> tuple[int, npt.NDArray[np.uint32]]:
        """How many frames one covers, and all of them."""
        cursor = self.cursor(unit)
        group = cursor.integer("I")
        if not 1 <= group <= frames:
            raise CorruptStreamError(f"{cursor.what}: one checksum for {group} of {frames} frames")
        sums = np.frombuffer(cursor.take(4 * -(-frames // group)), "<u4")
        cursor.end()
        self.count("overhead", "picture checksums", len(unit.payload))
        return group, sums.astype(np.uint32)

    def weights(self, unit: Unit, ops: tuple[Op, ...], tensors: tuple[Tensor, ...]) -> dict[int, ConvWeights]:
        cursor = self.cursor(unit)
        convs = {}
        skip = skip_connection_ops(ops)
        for place, op in enumerate(ops):
            if not isinstance(op, Conv):
                continue
            shape = weight_shape(op, tensors[op.input].channels)
            name, kind = (f"skip conv {place}", "skip_weights") if place in skip else (f"conv {place}", "weights")
            steps = self.chunk(cursor, (op.steps,), 0, MAX_STEP, f"{name} steps", "side_info")
            biases = self.chunk(cursor, (op.channels,), -BIAS_PEAK, BIAS_PEAK, f"{name} biases", kind)
            label = f"{name} weights {'x'.join(map(str, shape))}"
            matrix = (shape[0], math.prod(shape[1:]))
            weights = self.chunk(cursor, matrix, -WEIGHT_PEAK, WEIGHT_PEAK, label, kind, Rows(op.group))
            weights = weights.reshape(shape)
            conv = ConvWeights(weights, biases, steps)
            bias, shifts = conv.accumulator_bias(op), conv.first_shifts(op)
            prove(weights, bias, shifts, tensors[op.input], f"operation {place} (CONV)")
            convs[place] = conv
        cursor.end()
        return convs

    def latents(
        self, place: int, op: Transmitted, number: int, level: int, frames: int
    ) -> tuple[npt.NDArray[np.int16], list[range]]:
        """The values of an operation, and the frames whose values are lost; these have a value of its range."""
        frames = op.transmitted(frames)
        size = op.channels * op.height * op.width
        if isinstance(op, Grid):
            kind, what = "grids", "knots"
        else:
            kind, what = "embeddings" if op.kind == LatentKind.EMBEDDING else "skip_features", "frames"
        runs: list[npt.NDArray[np.int16]] = []
        lost: list[range] = []
        done = 0

        def lose(until: int) -> None:
            nonlocal done
            if isinstance(op, Grid):
                raise CorruptStreamError(f"knots of operation {place}, which all frames need, are damaged")
            lost.append(range(done, until))
            runs.append(np.broadcast_to(np.int16(min(max(0, op.low), op.high)), (until - done, size)))
            done = until

        while done < frames:
            unit = self.expected(UnitType.LATENTS, number, level)
            if unit is None:
                lose(frames)
                break
            cursor = self.cursor(unit)
            head = LatentsHead.unpack(cursor)
            if self.gap and head.op != place:
                self.ahead = unit
                lose(frames)
                break
            if self.gap and done < head.first < frames:
                lose(head.first)
            self.count("side_info", f"latent {place} run", cursor.position)
            if (head.op, head.first) != (place, done) or head.frames > frames - done:
                raise CorruptStreamError(
                    f"{cursor.what}: {what} {head.first} to {head.first + head.frames} of operation {head.op}; "
                    f"expected operation {place} from {done} of {frames}"
                )
            if head.frames > MAX_RUN:
                raise CorruptStreamError(f"{cursor.what}: {head.frames} {what} in a run; at most {MAX_RUN} may stand")
            label = f"latent {place} {what} {done} to {done + head.frames - 1}"
            with self.tolerance():
                run = self.run(cursor, op, head, label, kind)
                cursor.end()
                runs.append(run)
                done += head.frames
                continue
            lose(done + head.frames)
        values = runs[0] if len(runs) == 1 else np.concatenate(runs)
        return values.reshape(frames, op.channels, op.height, op.width), lost

    def run(self, cursor: Cursor, op: Transmitted, head: LatentsHead, label: str, kind: str) -> npt.NDArray[np.int16]:
        """The values of a run, [frames, values]."""
        size = op.channels * op.height * op.width
        first = _narrow(self.chunk(cursor, (size,), op.low, op.high, f"{label}, first", kind))[None]
        if head.frames == 1:
            return first
        # Residuals reach twice as far as values; the sum is what must lie in the declared range.
        span = (op.high - op.low) if head.predictor else 0
        low, high = (-span, span) if head.predictor else (op.low, op.high)
        rows = Rows(plane=(op.channels, op.height, op.width))
        rest = self.chunk(cursor, (head.frames - 1, size), low, high, f"{label}, rest", kind, rows)
        still = (0, 0) if head.predictor else extremes(first)
        if still[0] == still[1] and extremes(rest) == still:
            return np.broadcast_to(first, (head.frames, size))  # takes no memory
        if head.predictor:
            rest = np.cumsum(rest, axis=0, dtype=np.int32)
            rest += first
            if rest.min() < op.low or rest.max() > op.high:
                raise CorruptStreamError(f"{cursor.what}: a value leaves the range {op.low} to {op.high}")
        return np.concatenate([first, rest], dtype=np.int16, casting="same_kind")

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
        least, most = extremes(values)
        if least < low or most > high:
            raise CorruptStreamError(f"{cursor.what}: {label} leave the range {low} to {high}")
        self.count("side_info", f"{label}: table", size.table_bytes)
        self.count("overhead", f"{label}: length and padding", size.length_bytes + size.padding_bytes)
        self.count(kind, label, size.word_bytes - size.padding_bytes, size.values)
        return values

    def layer_end(self, level: int) -> None:
        unit = self.expected(UnitType.LAYER_END, 0, level)
        if unit is None or self.damage:
            return
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
