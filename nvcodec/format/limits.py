"""What decoding a stream takes, known from its heads before anything is decoded, and the levels that bound it
(specification, section 9)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from nvcodec.errors import LimitError
from nvcodec.format.inference import Tensor, measure
from nvcodec.format.operations import Below, Conv, Grid, Latent, Noise, Op, Picture, Table, Transmitted
from nvcodec.format.units import SegmentHead

#: The operations of one layer and their results.
Network = tuple[tuple[Op, ...], tuple[Tensor, ...]]

# Bytes that decoding was measured to take at most: fixed; per unit of the file and per frame of the video (Python's
# objects); per weight, latent and tensor element.
FIXED_MEMORY, UNIT_MEMORY, FRAME_MEMORY = 64 * 2**20, 1500, 200
WEIGHT_MEMORY, LATENT_MEMORY, ELEMENT_MEMORY = 8, 2, 4
INTEGER_SCRATCH = 24  # bytes per integer of the largest convolution or latent, while it is entropy-decoded
TABLE_ELEMENTS = 3  # elements per entry of a TABLE: one on the device, and one of 64 bits where tables are cached
UNFOLDED_STRIP = 2**24  # elements of the rows that a convolution unfolds at once
AV1_CACHE = 2**28  # bytes of decoded AV1 frames that are kept for later
AV1_FRAMES = 3 * 24  # that decoders of AV1 hold, one at work and two that wait: 8 references and some on the way


@dataclasses.dataclass(frozen=True)
class Requirements:
    """What decoding takes, with all layers; where segments differ, the most that one of them takes.

    Attributes:
        pixels: width times height of the shown picture.
        frames: of the stream.
        parameters: weights, biases and latents of the stream.
        multiplications: per frame.
        multiplications_per_pixel: per pixel of the shown picture, rounded up.
        elements: tensor elements alive at once while a frame is decoded.
        file_bytes: of the stream.
        memory: upper estimate of the bytes taken on the CPU, one frame at a time, not counting the interpreter and its
            libraries: the file, its integers, and the tensors.
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
    """Bounds on the :class:`Requirements` of the same names."""

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
    """The lowest level that admits a stream; 6, one above :data:`LEVELS`, where only the limits of section 9 do."""
    for number, level in enumerate(LEVELS, 1):
        if all(getattr(needs, field.name) <= getattr(level, field.name) for field in dataclasses.fields(level)):
            return number
    return len(LEVELS) + 1


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a user allows; None means no limit.

    Attributes:
        max_pixels: pixels of a picture.
        max_memory: bytes, as :attr:`Requirements.memory` counts them.
    """

    max_pixels: int | None = None
    max_memory: int | None = None

    def check(self, needs: Requirements) -> None:
        """Check a stream's requirements.

        Raises:
            LimitError: they exceed a limit.
        """
        if self.max_pixels is not None and needs.pixels > self.max_pixels:
            raise LimitError(f"a picture has {needs.pixels} pixels; at most {self.max_pixels} are allowed")
        self.check_memory(needs.memory, "decoding takes about")

    def check_memory(self, needed: int, what: str = "the file alone takes") -> None:
        """Check a number of bytes; ``what`` begins the error message. Raises as :meth:`check`."""
        if self.max_memory is not None and needed > self.max_memory:
            raise LimitError(
                f"{what} {-(-needed // 2**20)} MiB of memory; at most {self.max_memory // 2**20} MiB are allowed"
            )


NO_LIMITS = Limits()


def requirements(
    segments: Sequence[tuple[SegmentHead, Sequence[Network]]], file_bytes: int, units: int
) -> Requirements:
    """Work out what decoding a stream takes.

    Args:
        segments: the head of each segment and the networks of its layers.
        file_bytes: size of the whole file.
        units: number of units in it.
    """
    frames = sum(head.frames for head, _ in segments)
    weights = biases = latents = largest = base = 0
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
                    count = op.transmitted_values(head.frames)
                    latents += count
                elif isinstance(op, Picture):
                    base = max(base, min(AV1_CACHE, head.frames * op.frame_bytes) + AV1_FRAMES * op.frame_bytes)
                elif isinstance(op, Table):
                    entries += results[op.input].high - results[op.input].low + 1
                largest = max(largest, count)
        tensors = max(tensors, alive + scratch + 3 * size + TABLE_ELEMENTS * entries)
    memory = FIXED_MEMORY + base + file_bytes + UNIT_MEMORY * units + FRAME_MEMORY * frames
    memory += WEIGHT_MEMORY * weights + LATENT_MEMORY * latents + INTEGER_SCRATCH * largest + ELEMENT_MEMORY * tensors
    return Requirements(
        pixels, frames, weights + biases + latents, multiplications, per_pixel, elements, file_bytes, memory
    )


def _frame(networks: Sequence[Network]) -> tuple[int, int, int]:
    """Work out what a frame of one segment takes.

    Returns:
        Multiplications, elements alive at once, and the largest scratch memory of an operation in elements.
    """
    multiplications = peak = carried = scratch = 0
    for layer, (ops, results) in enumerate(networks):
        kept = {
            op.op for higher, _ in networks[layer + 1 :] for op in higher if isinstance(op, Below) and op.layer == layer
        }
        cost = measure(ops, results, frozenset(kept))
        multiplications += cost.multiplications
        peak = max(peak, carried + cost.live)
        carried += sum(results[index].elements for index in kept)
        scratch = max(scratch, *(_scratch(op, result, results) for op, result in zip(ops, results, strict=True)))
    return multiplications, peak, scratch


def _scratch(op: Op, result: Tensor, results: Sequence[Tensor]) -> int:
    """Elements of float32 that computing ``result`` takes in addition to this and its inputs."""
    if isinstance(op, Conv):
        # On the first call, a probe goes through both the library's convolution and the unfolded one.
        source = results[op.input]
        row = source.channels * op.kernel_height * op.kernel_width * source.width
        return 6 * source.elements + 3 * result.elements + max(row, min(UNFOLDED_STRIP, row * source.height))
    if isinstance(op, (Latent, Grid, Noise)):
        return 12 * result.elements  # several arrays of 64 bits
    if isinstance(op, Picture):
        return 4 * result.elements  # luma, chroma before and after it is enlarged, the result without its margin
    return 2 * result.elements
