"""Small, well-formed files that demand time or memory out of all proportion to their size.

Each is what an attacker might send. Reading it, and decoding one frame, must either be refused or end soon and take
little memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import zstandard
from fuzzing.blocks import unit, whole

from nvcodec.format import operations as o
from nvcodec.format.entropy.contexts import Contexts
from nvcodec.format.entropy.frequency_tables import Constant, Laplace, Student, Table
from nvcodec.format.fields import varint
from nvcodec.format.units import LatentsHead, SegmentHead, UnitType, Video, pack_file_header

VIDEO = Video(0, 2, 2, 2, 0, 1, 1, 1, 25, 0)
NO_WORDS = varint(0)  # a range coder without data: the first symbol again and again
ZERO = Constant(0, 1).pack() + NO_WORDS


def chunk(table: Table | Contexts) -> bytes:
    """Build a chunk of any number of values, all of them ``table.first``."""
    return table.pack() + NO_WORDS


def conv(op: o.Conv, weights: bytes = ZERO) -> bytes:
    """Build the part of WEIGHTS for one CONV: zero step indices and biases, and a chunk of weights."""
    return ZERO + ZERO + weights


def latents(op_index: int, frames: int, rest: bytes = ZERO) -> bytes:
    """Build a LATENTS payload: zeros in the first frame, and a chunk for the others."""
    return LatentsHead(op_index, 0, frames, 0).pack() + ZERO + (rest if frames > 1 else b"")


def layer(
    ops: Sequence[o.Op], weights: bytes, runs: Sequence[bytes], frames: int, number: int = 0, segment: int = 0
) -> list[bytes]:
    """Build the blocks of a layer of one segment, without LAYER_END."""
    sums = frames.to_bytes(4, "little") + bytes(4)
    return [
        unit(UnitType.NETWORK, o.pack_ops(ops), segment, number),
        unit(UnitType.WEIGHTS, weights, segment, number),
        *(unit(UnitType.LATENTS, run, segment, number) for run in runs),
        unit(UnitType.CHECKSUMS, sums, segment, number),
    ]


def end(number: int = 0) -> bytes:
    """Build a LAYER_END."""
    return unit(UnitType.LAYER_END, bytes(36), 0, number)


def stream(
    layers: Sequence[list[bytes]], frames: int = 1, width: int = 1, height: int = 1, extra: Sequence[bytes] = ()
) -> bytes:
    """Build a stream of one segment."""
    head = SegmentHead(0, frames, width, height, 0, 1)
    blocks = [pack_file_header(), unit(UnitType.VIDEO, VIDEO.pack()), unit(UnitType.SEGMENT, head.pack()), *extra]
    for number, made in enumerate(layers):
        blocks += [*made, end(number)]
    return whole(blocks)


def picture(source: int, width: int = 1, height: int = 1) -> list[o.Op]:
    """Operations, from index ``source`` + 1 on, that turn the first channel of ``source`` into a picture."""
    return [
        o.Slice(source, 0, 1),
        o.Resample(source + 1, height, width),
        o.Table(source + 2, 0, 0, 0, 0, 255),
        o.Concat(source + 3, source + 3),
        o.Concat(source + 4, source + 3),
    ]


def latent_stream(channels: int, height: int, width: int, frames: int, rest: bytes = ZERO, count: int = 1) -> bytes:
    """``count`` LATENTs, the last of which becomes the picture."""
    made: list[o.Op] = [o.Latent(channels, height, width, -128, 127, 0) for _ in range(count)]
    return stream(
        [layer([*made, *picture(count - 1)], b"", [latents(k, frames, rest) for k in range(count)], frames)], frames
    )


def conv_stream(
    channels: int, kernel: int, outputs: int, weights: bytes, count: int = 1, width: int = 1, height: int = 1
) -> bytes:
    """``count`` CONVs of one input, a NOISE of gain 0."""
    made: list[o.Op] = [o.Noise(channels, height, width, 0, 0, 0)]
    made += [o.Conv(0, outputs, kernel, kernel, 1, 0, -9, 9) for _ in range(count)]
    return stream([layer([*made, *picture(count)], (ZERO + ZERO + weights) * count, [], 1)])


def noise_stream(channels: int, height: int, width: int) -> bytes:
    return stream([layer([o.Noise(channels, height, width, 0, 256, 0), *picture(0)], b"", [], 1)])


def tables_stream(count: int) -> bytes:
    """Many large GELU tables, all different."""
    made: list[o.Op] = [o.Noise(1, 1, 1, 0, 0, 0), o.Table(0, 0, 0, 0, -32768, 32767)]
    made += [o.Table(1, 2, 12, 12, -32768, 32767 - k) for k in range(count)]
    return stream([layer([*made, *picture(len(made) - 1)], b"", [], 1)])


def laplace_stream(count: int) -> bytes:
    """Many runs, each with a large table that is slow to build."""
    frames = count
    op = o.Latent(1, 1, 1, -128, 127, 0)
    slow = Laplace(0, 4096, 0, 65535).pack() + NO_WORDS
    runs = [LatentsHead(0, k, 1, 0).pack() + slow for k in range(frames)]
    return stream([layer([op, *picture(0)], b"", runs, frames)], frames)


def metadata_stream(raw: Callable[[int], bytes], count: int) -> bytes:
    """``count`` packed METADATA units."""
    units = []
    for number in range(count):
        text = raw(number)
        units.append(unit(UnitType.METADATA, b"\1" + len(text).to_bytes(4, "little") + zstandard.compress(text, 19)))
    made = [o.Noise(1, 1, 1, 0, 0, 0), *picture(0)]
    return stream([layer(made, b"", [], 1)], extra=units)


def json_bomb(number: int) -> bytes:
    """An object with one key and as many empty arrays as fit into 1 MiB."""
    head = b'{"k%d":[[]' % number
    return head + b",[]" * ((2**20 - len(head) - 2) // 3) + b"]}"


def units_stream(count: int) -> bytes:
    """Many empty units of an unknown type."""
    made = [o.Noise(1, 1, 1, 0, 0, 0), *picture(0)]
    return stream([layer(made, b"", [], 1)], extra=[unit(200, b"")] * count)


def below_stream(count: int, channels: int, height: int, width: int) -> bytes:
    """Layers with a large result each, all of which the last layer reads."""
    layers = []
    big = 0
    for number in range(count):
        made: list[o.Op] = [o.Noise(channels, height, width, 0, 0, 0), *picture(0)]
        if number == count - 1:
            for lower in range(count - 1):
                made += [o.Below(lower, big), o.Slice(len(made), 0, 1)]
            made += picture(len(made) - 1)
        layers.append(layer(made, b"", [], 1, number))
    return stream(layers)


NEAR = chunk(Contexts(0, 4096, 16320, 65535, 6, 1))  # family 5
FAR = chunk(Contexts(0, 4096, 16320, 65535, 6))  # family 4
WIDE = chunk(Student(0, 4096, 0, 1, 0))

#: The files by name.
HOSTILE: dict[str, Callable[[], bytes]] = {
    "latents of 2^27 values, constant": lambda: latent_stream(2**7, 1, 1, 2**20),
    "latents of 2^27 values, one frame": lambda: latent_stream(2**7, 2**10, 2**10, 1),
    "latents of 2^27 values, a table and no words": lambda: latent_stream(2**7, 1, 1, 2**20, WIDE),
    "latents of 2^22 rows of 32, family 5": lambda: latent_stream(32, 1, 1, 2**22, NEAR),
    "32 latents of 2^22 rows of 1, family 5": lambda: latent_stream(1, 1, 1, 2**22, NEAR, 32),
    "32 latents of 2^22 rows of 1, family 4": lambda: latent_stream(1, 1, 1, 2**22, FAR, 32),
    "latents of 3 rows of 2^25, family 5": lambda: latent_stream(2, 2**12, 2**12, 3, NEAR),
    "weights of 2^25, constant": lambda: conv_stream(2**10, 1, 2**15, ZERO),
    "weights of 2^26, family 4, rows of 2^10": lambda: conv_stream(2**10, 1, 2**14, FAR, 2),
    "weights of 2^25, family 4, one row": lambda: conv_stream(2**15, 1, 2**10, FAR),
    "noise of 2^29 values": lambda: noise_stream(2**9, 2**10, 2**10),
    "1000 GELU tables of 2^16 entries": lambda: tables_stream(1000),
    "2000 Laplace tables of 4096 symbols": lambda: laplace_stream(2000),
    "20 JSON bombs of 1 MiB": lambda: metadata_stream(json_bomb, 20),
    "100000 empty units": lambda: units_stream(100_000),
    "64 layers kept for the last one": lambda: below_stream(64, 2**9, 2**10, 2**9),
}
