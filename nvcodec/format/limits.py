"""What a stream takes to decode, known from its heads before anything is decoded, and the levels that bound it
(specification, section 9). No torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from nvcodec.errors import LimitError
from nvcodec.format.inference import Tensor, measure
from nvcodec.format.operations import Below, Conv, Grid, Latent, Noise, Op, Table, Transmitted
from nvcodec.format.units import SegmentHead

#: The operations of one layer and their results.
Network = tuple[tuple[Op, ...], tuple[Tensor, ...]]

#: Bytes that decoding was seen to take at most: always, for a unit of the file and a frame of the video (Python's
#: objects), and for a weight, a latent and an element of a tensor.
FIXED_MEMORY, UNIT_MEMORY, FRAME_MEMORY = 64 * 2**20, 1500, 200
WEIGHT_MEMORY, LATENT_MEMORY, ELEMENT_MEMORY = 8, 2, 4
INTEGER_SCRATCH = 24  # bytes for each integer of the largest convolution or latent while it is entropy-decoded
TABLE_ELEMENTS = 3  # a TABLE's entry: on the device, and where tables are kept as integers
STRIP = 2**24  # elements of a convolution's unfolded strip of rows (exact/kernels.py)


@dataclasses.dataclass(frozen=True)
class Requirements:
    """What decoding takes; where segments differ, the most that one of them takes.

    Attributes:
        pixels: width times height of the shown picture.
        frames: of the stream.
        parameters: weights, biases and latents of the stream.
        multiplications: for a frame, all layers.
        multiplications_per_pixel: of the shown picture, rounded up.
        elements: of tensors alive at once while a frame is decoded, all layers.
        file_bytes: of the stream.
        memory: bytes beside those of the interpreter and its libraries, one frame at a time, on the CPU: the file, its
            integers, and the tensors. An estimate from above.
    """

    pixels: int
    frames: int
    parameters: int
    multiplications: int
    multiplications_per_pixel: int
    elements: int
    file_bytes: int
    memory: int


@dataclasses.dataclass(frozen=True)
class Level:
    """Bounds on :class:`Requirements` of the same names."""

    pixels: int
    frames: int
    parameters: int
    multiplications_per_pixel: int
    elements: int
    file_bytes: int


#: Levels 1 to 5: 480x270, 960x540, 1920x1080, 3840x2160, 7680x4320 and a little more.
LEVELS = tuple(
    Level(
        pixels=2 ** (15 + 2 * number),
        frames=2 ** (10 + 2 * number),
        parameters=2 ** (18 + 2 * number),
        multiplications_per_pixel=2**18,
        elements=min(2**30, 2 ** (22 + 2 * number)),
        file_bytes=2 ** (19 + 2 * number),
    )
    for number in range(1, 6)
)


def level_of(needs: Requirements) -> int:
    """The least level that holds a stream; one more than the last of :data:`LEVELS` where only section 9 does."""
    for number, level in enumerate(LEVELS, 1):
        if all(getattr(needs, field.name) <= getattr(level, field.name) for field in dataclasses.fields(level)):
            return number
    return len(LEVELS) + 1


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a user allows; None is no limit.

    Attributes:
        max_pixels: of a picture.
        max_memory: bytes, as in :attr:`Requirements.memory`.
    """

    max_pixels: int | None = None
    max_memory: int | None = None

    def check(self, needs: Requirements) -> None:
        """Refuse what needs more.

        Raises:
            LimitError: it does.
        """
        if self.max_pixels is not None and needs.pixels > self.max_pixels:
            raise LimitError(f"a picture has {needs.pixels} pixels; at most {self.max_pixels} are allowed")
        self.check_memory(needs.memory, "decoding takes about")

    def check_memory(self, needed: int, what: str = "the file alone takes") -> None:
        """Refuse where ``needed`` bytes, and that is ``what``, are too many; raises as :meth:`check`."""
        if self.max_memory is not None and needed > self.max_memory:
            raise LimitError(
                f"{what} {-(-needed // 2**20)} MiB of memory; at most {self.max_memory // 2**20} MiB are allowed"
            )


NO_LIMITS = Limits()


def requirements(
    segments: Sequence[tuple[SegmentHead, Sequence[Network]]], file_bytes: int, units: int
) -> Requirements:
    """What a stream takes.

    Args:
        segments: the head of each, and the networks of its layers.
        file_bytes: of the whole file.
        units: how many it has.
    """
    frames = sum(head.frames for head, _ in segments)
    weights = biases = latents = largest = 0
    pixels = multiplications = per_pixel = elements = tensors = 0
    for head, networks in segments:
        size = head.width * head.height
        products, alive, scratch = _frame(networks)
        pixels = max(pixels, size)
        multiplications = max(multiplications, products)
        per_pixel = max(per_pixel, -(-products // size))
        elements = max(elements, alive)
        entries = 0
        for ops, results in networks:
            for op in ops:
                count = 0
                if isinstance(op, Conv):
                    count = op.weights(results[op.input].channels)
                    weights += count
                    biases += op.channels
                elif isinstance(op, Transmitted):
                    count = op.transmitted(head.frames) * op.channels * op.height * op.width
                    latents += count
                elif isinstance(op, Table):
                    entries += results[op.input].high - results[op.input].low + 1
                largest = max(largest, count)
        tensors = max(tensors, alive + scratch + 3 * size + TABLE_ELEMENTS * entries)
    memory = FIXED_MEMORY + file_bytes + UNIT_MEMORY * units + FRAME_MEMORY * frames
    memory += WEIGHT_MEMORY * weights + LATENT_MEMORY * latents + INTEGER_SCRATCH * largest + ELEMENT_MEMORY * tensors
    return Requirements(
        pixels, frames, weights + biases + latents, multiplications, per_pixel, elements, file_bytes, memory
    )


def _frame(networks: Sequence[Network]) -> tuple[int, int, int]:
    """Of a frame of one segment: multiplications, elements alive at once, and the most an operation takes beside."""
    multiplications = peak = carried = scratch = 0
    for level, (ops, results) in enumerate(networks):
        kept = {
            op.op for higher, _ in networks[level + 1 :] for op in higher if isinstance(op, Below) and op.layer == level
        }
        cost = measure(ops, results, frozenset(kept))
        multiplications += cost.multiplications
        peak = max(peak, carried + cost.live)
        carried += sum(results[place].elements for place in kept)
        scratch = max(scratch, *(_scratch(op, result, results) for op, result in zip(ops, results, strict=True)))
    return multiplications, peak, scratch


def _scratch(op: Op, result: Tensor, results: Sequence[Tensor]) -> int:
    """Elements of float32 that an operation takes while it computes ``result``, beside this and its inputs."""
    if isinstance(op, Conv):
        # The first time, a probe goes through the library's convolution and through the unfolded one.
        source = results[op.input]
        row = source.channels * op.kernel_height * op.kernel_width * source.width
        return 6 * source.elements + 3 * result.elements + max(row, min(STRIP, row * source.height))
    if isinstance(op, (Latent, Grid, Noise)):
        return 12 * result.elements  # several arrays of 64 bits
    return 2 * result.elements
