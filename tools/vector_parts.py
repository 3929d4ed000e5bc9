"""What conformance vectors are built from: chunks with chosen tables, lists of operations, units put into a file.

Unlike nvcodec's writer this one lets every table, run, group and unit be chosen, and can break any rule. Nothing in it
is random or a float, so the same bytes come out everywhere.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import reference_decoder

from nvcodec.format import operations as o
from nvcodec.format.entropy.chunks import effective
from nvcodec.format.entropy.contexts import Contexts, Rows
from nvcodec.format.entropy.frequency_tables import Constant, Histogram, Student, Table
from nvcodec.format.fields import Cursor, Record, pack_integer, varint
from nvcodec.format.inference import Tensor, infer_one
from nvcodec.format.units import MAGIC, BaseHead, LatentsHead, Order, SegmentHead, UnitType, Video

VIDEO = Video(0, 2, 2, 2, 0, 1, 1, 1, 25, 7)
BY_SEGMENT = dataclasses.replace(VIDEO, order=Order.BY_SEGMENT)


def numbers(key: str, shape: int | tuple[int, ...], low: int, high: int) -> np.ndarray:
    """Integers from low to high that look random and follow from the key: SHAKE-128, four bytes each."""
    count = int(np.prod(shape))
    words = np.frombuffer(hashlib.shake_128(key.encode()).digest(4 * count), "<u4").astype(np.int64)
    return (low + words % (high - low + 1)).reshape(shape)


# ---- chunks (specification, section 5) -------------------------------------------------------------------------------


def range_encode(symbols: Iterator[tuple[list[int], int]]) -> bytes:
    """The words for some symbols, each with the bounds L of its table.

    Like the decoder of section 5.4, but ``lower`` keeps all its bits, so that there is no carry to care for.
    """
    lower, width, words = 0, 2**64 - 1, 1
    for bounds, symbol in symbols:
        scale = width >> 24
        lower += scale * bounds[symbol]
        width = scale * (bounds[symbol + 1] - bounds[symbol])
        if width < 2**32:
            lower, width, words = lower << 32, width << 32, words + 1
    closed = (lower + 2**32 - 1) >> 32
    return b"".join((closed >> 32 * place & 0xFFFFFFFF).to_bytes(4, "little") for place in reversed(range(words)))


def plain_table(values: np.ndarray) -> Table:
    """A short table that any values can be coded with: a constant, how often each is there, or about flat."""
    first, last = int(values.min()), int(values.max())
    size = last - first + 1
    if size == 1:
        return Constant(first, 1)
    if size > 64:
        return Student(first, size, size // 2, 2**31 - 1, 0)
    return Histogram(first, size, tuple(np.bincount(values.ravel() - first).tolist()))


def chunk(
    values: np.ndarray,
    table: Table | Contexts | None = None,
    rows: Rows | None = None,
    *,
    head: bytes | None = None,
    more: bytes = b"",
) -> bytes:
    """A chunk of values, with a table of one's choice.

    Args:
        values: of any shape; with tables by rows, the first side is the rows.
        table, rows: as nvcodec has them.
        head: what stands in place of the table's own bytes.
        more: further words.
    """
    table = table or plain_table(values)
    words = b"" if isinstance(table, Constant) else range_encode(_symbols(values, table, rows))
    words += more
    return (table.pack() if head is None else head) + varint(len(words) // 4) + words


def _symbols(values: np.ndarray, table: Table | Contexts, rows: Rows | None) -> Iterator[tuple[list[int], int]]:
    if not isinstance(table, Contexts):
        bounds = effective(table.cumulative()).tolist()
        yield from ((bounds, value - table.first) for value in values.ravel().tolist())
        return
    assert rows is not None
    matrix = values.reshape(len(values), -1)
    block, estimator = table.block(matrix.shape, rows), table.estimator(matrix.shape[1], rows)
    for top in range(0, len(matrix), block):
        part, classes = matrix[top : top + block], estimator.classes()
        for number in np.unique(classes).tolist():
            bounds = effective(table.cumulative(number)).tolist()
            yield from ((bounds, value - table.first) for value in part[:, classes == number].ravel().tolist())
        estimator.see(part)


# ---- lists of operations (section 6), with what a layer transmits ----------------------------------------------------


def packed(record: Record, compact: bool = False, /, **broken: int) -> bytes:
    """A record's bytes in one of the two forms, with some fields as a valid record could not have them."""
    return b"".join(
        pack_integer(broken.get(name, getattr(record, name)), code, compact) for name, code in record.stored(compact)
    )


class Run(bytes):
    """The payload of a LATENTS or BASE unit, and what orders it where segment follows segment."""

    kind: int
    first: int  # frame; 0 of a GRID
    place: int  # of the operation


def run(kind: int, payload: bytes, first: int, place: int) -> Run:
    """A run."""
    made = Run(payload)
    made.kind, made.first, made.place = kind, first, place
    return made


Tables = Sequence[Table | Contexts | None]


class Net:
    """A list of operations of one layer that grows. The rules are nvcodec's, but any field can be broken.

    Args:
        frames: of its segment.
        below: the lower layers of the segment.
        compact: whether it is for a file in compact form.
    """

    def __init__(self, frames: int = 2, below: Sequence[Net] = (), compact: bool = False) -> None:
        self.frames = frames
        self.compact = compact
        self.below = {level: net.tensors for level, net in enumerate(below)}
        self.tensors: list[Tensor] = []
        self.records: list[bytes] = []
        self.weights = b""
        self.runs: list[bytes] = []  # payloads of LATENTS, and runs

    @property
    def last(self) -> int:
        """The place of the last operation."""
        return len(self.tensors) - 1

    @property
    def network(self) -> bytes:
        """The payload of NETWORK."""
        return pack_integer(len(self.records), "H", self.compact) + b"".join(self.records)

    def add(self, op: o.Op, /, **broken: int) -> int:
        """Add an operation, with other values written for the fields named in ``broken``. Returns its place."""
        self.tensors.append(infer_one(op, len(self.tensors), self.tensors, self.below))
        self.records.append(bytes([op.CODE]) + packed(op, self.compact, **broken))
        return self.last

    def transmit(
        self,
        op: o.Transmitted,
        values: np.ndarray,
        runs: Sequence[int] = (),
        predictors: Sequence[int] = (0,),
        tables: Sequence[Tables] = ((None, None),),
        broken: Mapping[str, int] | None = None,
    ) -> int:
        """Add a LATENT or GRID with its values, [frames or knots, channels, height, width].

        Args:
            op, values: the operation and what it transmits.
            runs: frames of each run; one with all if empty.
            predictors, tables: of the runs; where there are fewer, from the front again. The tables are those of the
                first frame and of the others.
            broken: fields of the operation that are written with other values.
        """
        place = self.add(op, **(broken or {}))
        first = 0
        options = zip(runs or [len(values)], itertools.cycle(predictors), itertools.cycle(tables))
        for frames, predictor, (start, rest) in options:
            part = values[first : first + frames]
            payload = LatentsHead(place, first, frames, predictor).pack(self.compact) + chunk(part[0], start)
            if frames > 1:
                others = np.diff(part, axis=0) if predictor else part[1:]
                payload += chunk(others, rest, Rows(plane=values.shape[1:]))
            self.runs.append(run(UnitType.LATENTS, payload, 0 if isinstance(op, o.Grid) else first, place))
            first += frames
        return place

    def picture(self, op: o.Picture, runs: Sequence[tuple[int, bytes]], /, **broken: int) -> int:
        """Add a PICTURE with its runs, of each the number of frames and the OBUs."""
        place = self.add(op, **broken)
        first = 0
        for frames, data in runs:
            self.runs.append(run(UnitType.BASE, BaseHead(1, first, frames).pack(True) + data, first, place))
            first += frames
        return place

    def latent(self, values: np.ndarray, low: int = -128, high: int = 127, kind: int = 0, **options: Any) -> int:
        """Add a LATENT with these values, [frames, channels, height, width]."""
        _, channels, height, width = values.shape
        return self.transmit(o.Latent(channels, height, width, low, high, kind), values, **options)

    def constant(self, shape: tuple[int, ...], value: int) -> int:
        """Add a LATENT that has one value everywhere."""
        return self.latent(np.full((self.frames, *shape), value), value, value)

    def conv(
        self,
        source: int,
        weights: np.ndarray,
        biases: Any = 0,
        steps: Any = 15,
        *,
        group: int = 1,
        bias_shift: int = 0,
        low: int = -4095,
        high: int = 4095,
        tables: Tables = (None, None, None),
        broken: Mapping[str, int] | None = None,
    ) -> int:
        """Add a CONV. Step 15, if not given, is a factor of 1.

        Args:
            source: its input.
            weights: [out, in, height, width].
            biases: one a channel, or the same for all.
            steps: one a group, or the same for all.
            tables: of the steps, biases and weights; in compact form the first two have none.
            broken: fields of the operation that are written with other values.
        """
        channels, _, height, width = weights.shape
        place = self.add(o.Conv(source, channels, height, width, group, bias_shift, low, high), **(broken or {}))
        for values, count, code, table in (
            (steps, -(-channels // group), "B", tables[0]),
            (biases, channels, "h", tables[1]),
        ):
            spread = np.broadcast_to(values, (count,))
            plain = b"".join(pack_integer(value, code, True) for value in spread.tolist())
            self.weights += plain if self.compact else chunk(spread, table)
        self.weights += chunk(weights.reshape(channels, -1), tables[2], Rows(group))
        return place

    def joined(self, places: Sequence[int]) -> int:
        """CONCAT of several results of one height and width."""
        place = places[0]
        for other in places[1:]:
            place = self.add(o.Concat(place, other))
        return place

    def show(self, source: int | None = None) -> Net:
        """Add what makes a picture of a result, of the last one if none is named, that shows every bit of it.

        Values beyond -128 to 127 become two numbers, v = 256 a + b; then 128 is added; then channels become pixels.
        """
        source = self.last if source is None else source
        tensor = self.tensors[source]
        if tensor.low < -128 or tensor.high > 127:
            high = self.add(o.Table(source, 0, 8, 0, -128, 127))
            back = self.add(o.Table(high, 0, 0, 8, -32768, 32512))
            source = self.joined([high, self.add(o.Subtract(source, back, -128, 127))])
            tensor = self.tensors[source]
        shape = (tensor.channels, tensor.height, tensor.width)
        return self.pixels(self.add(o.Subtract(source, self.constant(shape, -128), 0, 255)))

    def pixels(self, source: int | None = None) -> Net:
        """Add what turns the channels of a result in 0 to 255 into pixels of a picture."""
        source = self.last if source is None else source
        tensor = self.tensors[source]
        factor = next(r for r in range(1, 17) if 3 * r * r >= tensor.channels)
        missing = 3 * factor**2 - tensor.channels
        if missing:
            source = self.joined([source, self.constant((missing, tensor.height, tensor.width), 0)])
        if factor > 1:
            self.add(o.Shuffle(source, factor))
        return self


# ---- units put into a file (sections 2 and 3) ------------------------------------------------------------------------


@dataclasses.dataclass
class Part:
    """A unit; the payload None of LAYER_END, SEGMENT_END and INDEX is worked out when the file is put together.

    The first part of a file says which form it is in.
    """

    kind: int
    payload: bytes | None
    segment: int = 0
    layer: int = 0
    flags: int | None = None  # None: as the type has to have them; in compact form there are none
    compact: bool = False


@dataclasses.dataclass
class Segment:
    """A segment: a list of operations for each layer, and what SEGMENT and CHECKSUMS state."""

    nets: Sequence[Net]
    duration: int = 1
    durations: Sequence[int] = ()  # where the duration is 0
    first_pts: int = 0
    groups: Sequence[int] = (1,)  # frames a checksum covers, for each layer; from the front again; 0: no CHECKSUMS


def header(major: int = 1, minor: int = 1, features: int = 1) -> bytes:
    """A file header with a right checksum."""
    head = MAGIC + bytes([major, minor]) + features.to_bytes(4, "little")
    return head + zlib.crc32(head).to_bytes(4, "little")


COMPACT = header(minor=2, features=3)
TEN_BITS, COMPACT_TEN_BITS = header(minor=3, features=5), header(minor=3, features=7)


def unit(part: Part, payload: bytes, compact: bool = False) -> bytes:
    """A whole unit."""
    flags = int(part.kind >= UnitType.INDEX) if part.flags is None else part.flags
    head = (("B", part.kind), ("B", flags), ("H", part.segment), ("B", part.layer), ("Q", len(payload)))
    fields = (head[0], *head[2:]) if compact else head
    body = b"".join(pack_integer(value, code, compact) for code, value in fields) + payload
    return body + zlib.crc32(body).to_bytes(4, "little")


def assemble(parts: Sequence[Part], head: bytes | None = None) -> bytes:
    """The file that these units make, with right checksums and hashes; ``head`` may be another file header."""
    if head is None:
        head = COMPACT if parts and parts[0].compact else header()
    compact = bool(head[10] & 2)
    out = bytearray(head)
    index = b""
    for place, part in enumerate(parts):
        payload = part.payload
        if payload is None and part.kind == UnitType.INDEX:
            payload = index + len(index).to_bytes(4, "little")
        elif payload is None:
            digest = hashlib.sha256(out).digest()
            payload = pack_integer(place, "I", compact) + (digest[:8] if compact else digest)
        row = (("B", part.kind), ("H", part.segment), ("B", part.layer), ("Q", len(out)))
        index += b"".join(pack_integer(value, code, False) for code, value in row)
        out += unit(part, payload, compact)
    return bytes(out)


def parts_of(nets: Sequence[Segment | Net], video: Video = VIDEO, *, index: bool = False) -> list[Part]:
    """The units of a stream, each picture's checksum among them, in the form of its nets and the order of ``video``."""
    segments = [Segment([net]) if isinstance(net, Net) else net for net in nets]
    compact = segments[0].nets[0].compact
    parts = [Part(UnitType.VIDEO, video.pack(compact), compact=compact)]
    first = 0
    heads = []
    for number, segment in enumerate(segments):
        net = segment.nets[0]
        picture = net.tensors[-1]
        head = SegmentHead(first, net.frames, picture.width, picture.height, segment.first_pts, segment.duration)
        durations = b"".join(map(varint, segment.durations))
        heads.append(Part(UnitType.SEGMENT, head.pack(compact) + durations, number))
        first += net.frames
    if video.order == Order.BY_SEGMENT:
        for number, segment in enumerate(segments):
            layers = [layer_parts(segment, number, layer) for layer in range(len(segment.nets))]
            parts.append(heads[number])
            parts += [part for networks, _, _ in layers for part in networks]
            parts += sorted((part for _, runs, _ in layers for part in runs), key=run_order)
            parts += [part for _, _, sums in layers for part in sums]
            parts.append(Part(UnitType.SEGMENT_END, None, number))
    else:
        parts += heads
        for layer in range(len(segments[0].nets)):
            for number, segment in enumerate(segments):
                networks, runs, sums = layer_parts(segment, number, layer)
                parts += [*networks, *runs, *sums]
            parts.append(Part(UnitType.LAYER_END, None, 0, layer))
    if index:
        parts.append(Part(UnitType.INDEX, None))
    return parts


def layer_parts(segment: Segment, number: int, layer: int) -> tuple[list[Part], list[Part], list[Part]]:
    """The units of a layer of a segment: NETWORK and WEIGHTS, the runs, CHECKSUMS."""
    net = segment.nets[layer]
    where = number, layer
    networks = [Part(UnitType.NETWORK, net.network, *where)]
    if net.weights or not net.compact:
        networks.append(Part(UnitType.WEIGHTS, net.weights, *where))
    runs = [Part(getattr(made, "kind", UnitType.LATENTS), made, *where) for made in net.runs]
    group = segment.groups[layer % len(segment.groups)]
    if not group:
        return networks, runs, []
    sums = pack_integer(group, "I", net.compact) + bytes(4 * -(-net.frames // group))
    return networks, runs, [Part(UnitType.CHECKSUMS, sums, *where)]


def run_order(part: Part) -> tuple[int, int, int]:
    """What orders the runs of a segment."""
    assert isinstance(part.payload, Run)
    return part.payload.first, part.layer, part.payload.place


def with_checksums(parts: list[Part], head: bytes | None = None) -> list[Part]:
    """Fill in the pictures' checksums, as the reference decoder finds them. Changes and returns ``parts``."""
    stream = reference_decoder.parse(assemble(parts, head))
    for part in parts:
        if part.kind == UnitType.CHECKSUMS:
            segment = stream.segments[part.segment]
            assert part.payload is not None
            cursor = Cursor(part.payload, "CHECKSUMS", parts[0].compact)
            group = cursor.integer("I")
            sums = part.payload[: cursor.position]
            for start in range(0, segment.frames, group):
                crc = 0
                for n in range(start, min(start + group, segment.frames)):
                    crc = zlib.crc32(reference_decoder.decode(stream, segment.first_frame + n, part.layer), crc)
                sums += crc.to_bytes(4, "little")
            part.payload = sums
    return parts


def stream(*segments: Segment | Net, video: Video = VIDEO, index: bool = False, head: bytes | None = None) -> bytes:
    """A whole valid file."""
    return assemble(with_checksums(parts_of(segments, video, index=index), head), head)
