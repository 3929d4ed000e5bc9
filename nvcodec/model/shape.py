"""From a size in parameters and a picture's size to a network's shape (paper, Table 3).

The paper publishes three rows; they are presets. For any other size the same rules are followed: a convolution to
``stem`` channels, blocks whose channels shrink by 1.2, kernels 1 3 5 5 5, and an embedding grid near 2x4.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import re

from nvcodec.errors import UsageError

KERNELS = (1, 3, 5, 5, 5)
HEAD_KERNEL = 3
SHRINK = 1.2
GRID_CELLS = 8  # 2x4
EMBEDDING = 128  # values a frame: 16x2x4
PADDING_WEIGHT, GRID_WEIGHT = 1.0, 0.05


@dataclasses.dataclass(frozen=True)
class NetworkShape:
    """All that fixes the decoder's tensors.

    Attributes:
        width, height: the shown picture.
        embedding: channels C0 of the embedding E_t.
        stem: channels Cinit after the first convolution (1x1).
        channels: channels after each block.
        strides: factor by which each block enlarges both sides.
        kernels: kernel side of each block's convolution.
    """

    width: int
    height: int
    embedding: int
    stem: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    kernels: tuple[int, ...]

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of the embedding."""
        total = math.prod(self.strides)
        return -(-self.height // total), -(-self.width // total)

    @property
    def coded(self) -> tuple[int, int]:
        """Height and width the network yields before the picture is cut out of it."""
        total = math.prod(self.strides)
        return self.grid[0] * total, self.grid[1] * total

    @property
    def block_weights(self) -> int:
        """Weights of the blocks' convolutions alone, without biases."""
        inputs = (self.stem, *self.channels[:-1])
        return sum(
            i * o * s * s * k * k for i, o, s, k in zip(inputs, self.channels, self.strides, self.kernels, strict=True)
        )

    @property
    def decoder_parameters(self) -> int:
        """Weights and biases of the whole decoder."""
        stem = self.stem * (self.embedding + 1)
        biases = sum(o * s * s for o, s in zip(self.channels, self.strides, strict=True))
        head = 3 * (self.channels[-1] * HEAD_KERNEL**2 + 1)
        return stem + self.block_weights + biases + head

    @property
    def embedding_values(self) -> int:
        """Integers a frame stores in its embedding."""
        return self.embedding * self.grid[0] * self.grid[1]

    def parameters(self, frames: int) -> int:
        """Everything that is stored for a clip of ``frames`` frames."""
        return self.decoder_parameters + frames * self.embedding_values

    @property
    def multiplications(self) -> int:
        """Multiplications to decode a frame."""
        height, width = self.grid
        total = height * width * self.embedding * self.stem
        inputs = (self.stem, *self.channels[:-1])
        for i, o, s, k in zip(inputs, self.channels, self.strides, self.kernels, strict=True):
            total += height * width * i * o * s * s * k * k
            height, width = height * s, width * s
        return total + height * width * 3 * self.channels[-1] * HEAD_KERNEL**2


#: Table 3 of the paper, by width, height and size.
PRESETS: dict[tuple[int, int, int], tuple[int, int, tuple[int, ...], tuple[int, ...]]] = {
    (960, 480, 3_000_000): (16, 98, (82, 68, 57, 48, 40), (5, 4, 3, 2, 2)),
    (1920, 960, 3_000_000): (16, 84, (70, 58, 48, 40, 33), (5, 4, 4, 3, 2)),
    (1280, 640, 750_000): (12, 43, (36, 30, 24, 20, 17), (5, 4, 4, 2, 2)),
}


def parse_size(text: str) -> int:
    """``"3M"``, ``"0.75M"``, ``"300k"`` or ``"120000"`` as a number of parameters.

    Raises:
        UsageError: it is none of these.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmM]?)", text.strip())
    if not match:
        raise UsageError(f"--size takes a number of parameters such as 300k or 0.75M, got {text!r}")
    return round(float(match[1]) * {"": 1, "k": 1_000, "m": 1_000_000}[match[2].lower()])


def solve(size: int, width: int, height: int, frames: int) -> NetworkShape:
    """The network of ``size`` parameters, all that is stored counted, for ``frames`` pictures.

    Raises:
        UsageError: the clip cannot be coded with so few parameters.
    """
    if (width, height, size) in PRESETS:
        embedding, stem, channels, strides = PRESETS[width, height, size]
        preset = NetworkShape(width, height, embedding, stem, channels, strides, KERNELS)
        if preset.parameters(frames) <= size:  # the embeddings of a long clip may not fit
            return preset
    strides = choose_strides(width, height)
    total = math.prod(strides)
    cells = -(-height // total) * -(-width // total)
    # The embeddings may take a third of the size; long clips get thinner ones.
    affordable = size // (3 * frames * cells)
    embedding = max(1, min(16, round(EMBEDDING / cells), affordable))

    def build(stem: float, extras: tuple[int, ...]) -> NetworkShape:
        channels = tuple(max(3, round(stem / SHRINK ** (i + 1)) + extra) for i, extra in enumerate(extras))
        return NetworkShape(width, height, embedding, max(3, round(stem)), channels, strides, KERNELS[: len(strides)])

    plain = (0,) * len(strides)
    smallest = build(3, plain)
    if smallest.parameters(frames) > size * 1.02:
        raise UsageError(
            f"{frames} frames of {width}x{height} need at least {smallest.parameters(frames)} parameters, "
            f"--size asks for {size}"
        )
    # Parameters grow with the stem, so bisect; in small steps, because the channels round one at a time.
    low, high = 3.0, 4096.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if build(middle, plain).parameters(frames) <= size else (low, middle)
    # Small networks grow in large steps: there blocks give or take a channel, as few blocks as possible.
    options = sorted(itertools.product((0, -1, 1), repeat=len(strides)), key=lambda extras: sum(map(abs, extras)))
    shapes = [build(stem, extras) for extras in options for stem in (low, high)]
    errors = [abs(shape.parameters(frames) - size) / size for shape in shapes]
    good = (place for place, error in enumerate(errors) if error < 0.01)
    return shapes[next(good, errors.index(min(errors)))]


@functools.cache
def choose_strides(width: int, height: int) -> tuple[int, ...]:
    """Strides for a picture: little padding, a grid near 2x4, the last one 2 if that is possible, few blocks."""

    def cost(strides: tuple[int, ...]) -> tuple[float, bool, int]:
        total = math.prod(strides)
        rows, columns = -(-height // total), -(-width // total)
        padding = rows * columns * total * total / (width * height) - 1
        grid = abs(math.log2(rows * columns / GRID_CELLS))
        return (PADDING_WEIGHT * padding + GRID_WEIGHT * grid, strides[-1] != 2, len(strides))

    lists = itertools.chain.from_iterable(
        itertools.combinations_with_replacement((5, 4, 3, 2), blocks) for blocks in range(1, len(KERNELS) + 1)
    )
    return min(lists, key=cost)
