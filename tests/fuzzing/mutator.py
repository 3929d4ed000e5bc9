"""Mutations that know the structure of a stream: fields, chunks, units. Checksums are repaired so that they get deep.

Everything follows from the given seed: the same seed yields the same bytes.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from fuzzing.blocks import FRAMING, UNIT_HEADER_BYTES, is_compact, joined, obu, obus_of, repaired
from fuzzing.seeds import Field, Seed

from nvcodec.format.fields import varint
from nvcodec.format.units import CRC_BYTES, UnitType

SIZES = {"B": 1, "H": 2, "I": 4, "Q": 8, "h": 2, "i": 4, "q": 8}
BAD_VARINTS = (b"\x80\x00", b"\xff" * 10 + b"\x01", b"\xff" * 20, b"\x80" * 9 + b"\x01", b"\x80")


class Mutation:
    """A stream being mutated.

    Args:
        seeds: streams to start from and to splice from.
        number: seed of the random choices.
        start: the stream to start from; None picks one of ``seeds``.
    """

    def __init__(self, seeds: tuple[Seed, ...], number: int, start: Seed | None = None) -> None:
        self.rng = random.Random(number)
        self.seeds = seeds
        # Small streams more often: more of them are tried in a second.
        self.seed = start or self.rng.choices(seeds, [1 / len(seed.blocks) for seed in seeds])[0]
        self.blocks = list(self.seed.blocks)
        self.fields = list(self.seed.fields)

    def result(self, repair: bool) -> bytes:
        """Mutate one to six times and return the bytes; with ``repair``, lengths and checksums are corrected, and
        mostly LAYER_ENDs, SEGMENT_ENDs and INDEX too."""
        rng = self.rng
        for _ in range(rng.choice((1, 1, 1, 1, 1, 2, 2, 3, 6))):
            rng.choices(MUTATIONS, WEIGHTS)[0](self)
        if repair:
            return repaired(self.blocks, ends=rng.random() < 0.95)
        data = joined(self.blocks)
        if rng.random() < 0.3:
            data = self.raw(data)
        return data

    def pick(self) -> int:
        """Pick the index of a block; blocks with many fields are more likely."""
        if not self.blocks:
            self.blocks, self.fields = list(self.seed.blocks), list(self.seed.fields)
        if self.rng.random() < 0.3:
            return self.rng.randrange(len(self.blocks))
        return self.rng.choices(range(len(self.blocks)), [1 + len(fields) for fields in self.fields])[0]

    def replace(self, index: int, start: int, end: int, new: bytes) -> None:
        block = self.blocks[index]
        self.blocks[index] = block[:start] + new + block[end:]

    # Mutations:

    def field(self) -> None:
        """Set a field to an extreme value or to a neighbouring one."""
        index = self.pick()
        if not self.fields[index]:
            return self.byte()
        field = self.rng.choice(self.fields[index])
        old = self.blocks[index][field.start : field.end]
        self.replace(index, field.start, field.end, self.value(field, old))

    def value(self, field: Field, old: bytes) -> bytes:
        rng = self.rng
        if field.code == "s":
            return self.run(old)
        if field.code == "v":
            if rng.random() < 0.1:
                return rng.choice(BAD_VARINTS)
            number = sum((byte & 127) << 7 * k for k, byte in enumerate(old))
            return varint(max(0, self.number(number, 64)))
        size = SIZES[field.code]
        number = int.from_bytes(old, "little", signed=field.code.islower())
        return (self.number(number, 8 * size) & (1 << 8 * size) - 1).to_bytes(size, "little")

    def number(self, old: int, bits: int) -> int:
        rng = self.rng
        match rng.randrange(8):
            case 0:
                return 0
            case 1:
                return (1 << bits) - 1
            case 2:
                return (1 << bits - 1) - rng.randrange(2)
            case 3 | 4:
                return old + rng.choice((-2, -1, 1, 2))
            case 5:
                return (1 << rng.randrange(bits)) + rng.choice((-1, 0, 1))
            case 6:
                return old ^ (1 << rng.randrange(bits))
        return rng.choice((old * 2, old // 2, -old, rng.getrandbits(8), rng.getrandbits(bits)))

    def run(self, old: bytes) -> bytes:
        """Change bytes of a chunk's words, a hash, or metadata."""
        rng = self.rng
        data = bytearray(old)
        match rng.randrange(5):
            case 0:
                return bytes(len(old))
            case 1:
                return b"\xff" * len(old)
            case 2:
                return rng.randbytes(len(old))
            case 3:
                return bytes(data[: rng.randrange(len(data) + 1)])
        for _ in range(rng.randint(1, 4)):
            if data:
                data[rng.randrange(len(data))] = rng.getrandbits(8)
        return bytes(data)

    def two_fields(self) -> None:
        """Swap two fields of a block."""
        index = self.pick()
        if len(self.fields[index]) < 2:
            return
        first, second = sorted(self.rng.sample(self.fields[index], 2), key=lambda field: field.start)
        if first.end > second.start:
            return
        block = self.blocks[index]
        one, two = block[first.start : first.end], block[second.start : second.end]
        self.blocks[index] = block[: first.start] + two + block[first.end : second.start] + one + block[second.end :]

    def byte(self) -> None:
        """Flip, set, insert or delete bytes, or repeat a range of them."""
        rng = self.rng
        index = self.pick()
        block = self.blocks[index]
        if not block:
            return
        at = rng.randrange(len(block))
        match rng.randrange(6):
            case 0:
                self.replace(index, at, at + 1, bytes([block[at] ^ 1 << rng.randrange(8)]))
            case 1:
                self.replace(index, at, at + 1, bytes([rng.choice((0, 1, 127, 128, 255, rng.getrandbits(8)))]))
            case 2:
                self.replace(index, at, at, rng.randbytes(rng.randint(1, 8)))
            case 3:
                self.replace(index, at, at + rng.randint(1, 8), b"")
            case 4:
                self.replace(index, at, at, block[at : at + rng.randint(1, 64)])
            case 5:
                other = rng.randrange(len(block))
                piece = block[other : other + rng.randint(1, 32)]
                self.replace(index, at, at + len(piece), piece)

    def payload(self) -> None:
        """Cut, empty or extend a payload."""
        rng = self.rng
        index = self.pick()
        block = self.blocks[index]
        end = max(UNIT_HEADER_BYTES, len(block) - CRC_BYTES)
        match rng.randrange(3):
            case 0:
                self.replace(index, rng.randint(min(UNIT_HEADER_BYTES, end), end), end, b"")
            case 1:
                self.replace(index, UNIT_HEADER_BYTES, end, b"")
            case 2:
                self.replace(index, end, end, rng.choice((bytes(1), bytes(4), bytes(40), rng.randbytes(9))))

    def unit(self) -> None:
        """Duplicate, drop or move a unit."""
        rng = self.rng
        index = self.pick()
        match rng.randrange(4):
            case 0:
                self.insert(rng.choice((index, index + 1, len(self.blocks))), self.blocks[index], self.fields[index])
            case 1:
                del self.blocks[index], self.fields[index]
            case 2:
                other = rng.randrange(len(self.blocks))
                for rows in (self.blocks, self.fields):
                    rows[index], rows[other] = rows[other], rows[index]  # type: ignore[index]
            case 3:
                times = rng.choice((2, 10, 100))
                for _ in range(times):
                    self.insert(index, self.blocks[index], self.fields[index])

    def splice(self) -> None:
        """Insert a unit of another stream, in place of one of its type or anywhere."""
        rng = self.rng
        other = rng.choice(self.seeds)
        source = rng.randrange(len(other.blocks))
        block, fields = other.blocks[source], other.fields[source]
        alike = [index for index, mine in enumerate(self.blocks) if mine[:1] == block[:1]]
        if alike and rng.random() < 0.8:
            index = rng.choice(alike)
            self.blocks[index], self.fields[index] = block, fields
        else:
            self.insert(rng.randint(0, len(self.blocks)), block, fields)

    def chunk(self) -> None:
        """Replace some fields, perhaps a chunk, by those of a unit of the same type in another stream."""
        rng = self.rng
        index = self.pick()
        other = rng.choice(self.seeds)
        alike = [k for k, block in enumerate(other.blocks) if block[:1] == self.blocks[index][:1] and other.fields[k]]
        if not alike or not self.fields[index]:
            return
        source = rng.choice(alike)
        start, end = sorted((rng.choice(other.fields[source]).start, rng.choice(other.fields[source]).end))
        into, to = sorted((rng.choice(self.fields[index]).start, rng.choice(self.fields[index]).end))
        self.replace(index, into, to, other.blocks[source][start:end])

    def cut(self) -> None:
        """Truncate the file, or append to it."""
        rng = self.rng
        if rng.random() < 0.5:
            keep = rng.randint(0, len(self.blocks))
            del self.blocks[keep:], self.fields[keep:]
        else:
            more = rng.choice(self.seeds)
            self.insert(len(self.blocks), rng.choice((rng.randbytes(20), joined(more.blocks), bytes(FRAMING))), ())

    def metadata(self) -> None:
        """Insert odd JSON as metadata."""
        text = self.rng.choice(ODD_JSON)
        size = varint(len(text)) if is_compact(self.blocks) else struct.pack("<I", len(text))
        payload = bytes([self.rng.choice((0, 0, 0, 1, 2))]) + size + text
        block = bytes([UnitType.METADATA, 1]) + bytes(11) + payload + bytes(CRC_BYTES)
        self.insert(self.rng.randint(min(2, len(self.blocks)), len(self.blocks)), block, ())

    def av1(self) -> None:
        """Change an OBU of a BASE unit, of which sizes stay right, or the order of OBUs."""
        rng = self.rng
        runs = [index for index, block in enumerate(self.blocks) if block[:1] == bytes([UnitType.BASE])]
        if not runs:
            return self.field()
        index = rng.choice(runs)
        start, obus = obus_of(self.blocks[index])
        if not obus:
            return self.byte()
        at = rng.randrange(len(obus))
        kind, payload = obus[at]
        match rng.randrange(8):
            case 0:
                obus.insert(rng.randrange(len(obus) + 1), obus[at])
            case 1:
                del obus[at]
            case 2:
                other = rng.randrange(len(obus))
                obus[at], obus[other] = obus[other], obus[at]
            case 3:
                obus[at] = (rng.randrange(16), payload)
            case 4:
                more = [block for seed in self.seeds for block in seed.blocks if block[:1] == bytes([UnitType.BASE])]
                obus.insert(at, rng.choice(obus_of(rng.choice(more))[1]))
            case 5:
                obus[at] = (kind, self.run(payload))
            case _:
                # Bits of headers, which are in the first bytes, or of tiles.
                data = bytearray(payload)
                for _ in range(rng.randint(1, 3) if data else 0):
                    near = min(len(data), rng.choice((2, 8, 20, len(data))))
                    data[rng.randrange(near)] ^= 1 << rng.randrange(8)
                obus[at] = (kind, bytes(data))
        end = len(self.blocks[index]) - CRC_BYTES
        self.replace(index, start, end, b"".join(obu(*one) for one in obus))

    def insert(self, index: int, block: bytes, fields: tuple[Field, ...]) -> None:
        self.blocks.insert(index, block)
        self.fields.insert(index, fields)

    def raw(self, data: bytes) -> bytes:
        """Damage bytes regardless of structure."""
        rng = self.rng
        match rng.randrange(3):
            case 0:
                return data[: rng.randint(0, len(data))]
            case 1:
                return rng.randbytes(rng.randint(0, 40)) + data
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 9)):
            if damaged:
                damaged[rng.randrange(len(damaged))] = rng.getrandbits(8)
        return bytes(damaged)


ODD_JSON = (
    b"{}",
    b"[]",
    b"",
    b"null",
    b'{"a":1,"a":2}',
    b'{"psnr_rgb_0":' + b"9" * 4000 + b"}",
    b'{"psnr_rgb_0":' + b"9" * 5000 + b"}",
    b'{"psnr_rgb_0":1e999}',
    b'{"psnr_rgb_0":true,"psnr_rgb_1":[]}',
    b'{"a":' * 63 + b"1" + b"}" * 63,
    b'{"a":' * 64 + b"1" + b"}" * 64,
    b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}",
    b'{"a":"\\ud800"}',
    b'{"\xff":1}',
    b"\xef\xbb\xbf{}",
    b'{"a":NaN}',
    b'{"a":1}\x00',
)

MUTATIONS: tuple[Callable[[Mutation], None], ...] = (
    Mutation.field,
    Mutation.byte,
    Mutation.two_fields,
    Mutation.chunk,
    Mutation.payload,
    Mutation.unit,
    Mutation.splice,
    Mutation.cut,
    Mutation.metadata,
    Mutation.av1,
)
WEIGHTS = (40, 15, 5, 12, 5, 8, 8, 4, 2, 25)


def mutated(seeds: tuple[Seed, ...], number: int, repair: bool) -> bytes:
    """The stream that mutation ``number`` yields."""
    return Mutation(seeds, number).result(repair)
