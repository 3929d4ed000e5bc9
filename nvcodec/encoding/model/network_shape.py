"""From a size in parameters and a picture's size to a network's shape (paper, Tables 1 and 3).

The paper publishes three rows; they are presets. For any other size the same rules are followed: a convolution to
``stem`` channels, blocks whose channels shrink by 1.2, an embedding grid near 2x4, and features f of the skip
connection at the two scales just above the embedding. Only the kernels are 1 3 3 3 3, not 1 3 5 5 5: with as many
parameters, in as much time, more channels are worth more than wider kernels (docs/rate.md).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import re

from nvcodec.errors import UsageError
from nvcodec.format.inference import MAX_WEIGHTS

KERNELS = (1, 3, 3, 3, 3)
PUBLISHED_KERNELS = (1, 3, 5, 5, 5)
HEAD_KERNEL = 3
SHRINK = 1.2
GRID_CELLS = 8  # 2x4
EMBEDDING = 128  # values a frame: 16x2x4
PADDING_WEIGHT, GRID_WEIGHT = 1.0, 0.05
GOOD_ENOUGH = 0.003  # distance from the size, of it, at which no better network is looked for
SKIP_SCALES = 2  # Table 1
SKIP_SHARE = 0.04  # of the size, for the coupling layer of one scale
SKIP_FEATURE_SHARE = 1 / 6  # of the size, at most, for f
#: Sets of grids; the one with the most values that has room is taken. From the last block but one back: channels, and
#: frames for each knot. Where the picture stays where it is, fine grids with few knots are worth most; where it
#: moves, coarser ones with one for every frame.
GRID_SETS: dict[bool, tuple[tuple[tuple[int, int], ...], ...]] = {
    True: (
        ((3, 2), (6, 1), (12, 1)),
        ((2, 2), (4, 1), (8, 1)),
        ((2, 4), (4, 1), (8, 1)),
        ((2, 4), (4, 2), (8, 1)),
        ((1, 4), (4, 2), (8, 1)),
        ((1, 4), (3, 2), (6, 1)),
        ((1, 4), (2, 2), (4, 1)),
        ((1, 8), (2, 2), (4, 1)),
        ((1, 8), (1, 4), (4, 1)),
        ((1, 16), (1, 4), (4, 1)),
        ((1, 16), (1, 8), (4, 1)),
        ((0, 1), (1, 8), (2, 1)),
        ((0, 1), (0, 1), (2, 1)),
        ((0, 1), (0, 1), (1, 1)),
        ((0, 1), (0, 1), (1, 2)),
    ),
    False: (
        ((2, 4), (6, 1), (12, 1)),
        ((1, 4), (4, 1), (8, 1)),
        ((1, 8), (3, 1), (8, 1)),
        ((0, 1), (3, 1), (8, 1)),
        ((0, 1), (2, 1), (6, 1)),
        ((0, 1), (1, 1), (4, 1)),
        ((0, 1), (2, 2), (2, 1)),
        ((0, 1), (1, 2), (4, 1)),
        ((0, 1), (1, 2), (2, 1)),
        ((0, 1), (2, 2), (1, 1)),
        ((0, 1), (1, 2), (1, 1)),
        ((0, 1), (1, 4), (2, 1)),
        ((0, 1), (1, 4), (1, 1)),
        ((0, 1), (0, 1), (2, 1)),
        ((0, 1), (0, 1), (1, 1)),
        ((0, 1), (0, 1), (1, 2)),
    ),
}
#: Of a large picture, whose network has five blocks: in place of the sets that have the coarsest grid alone, and with
#: one level more.
COARSE_GRID_SETS: tuple[tuple[tuple[int, int], ...], ...] = (
    ((0, 1), (1, 16), (2, 4), (8, 1)),
    ((0, 1), (0, 1), (2, 4), (8, 1)),
    ((0, 1), (0, 1), (1, 4), (4, 1)),
    ((0, 1), (0, 1), (1, 8), (2, 1)),
    ((0, 1), (0, 1), (0, 1), (2, 1)),
    ((0, 1), (0, 1), (0, 1), (1, 1)),
    ((0, 1), (0, 1), (0, 1), (1, 2)),
)
DENSE_CONVS = 5  # of a dense block (section 1.2), all 3x3

SKIPS = ("invertible", "direct", "none")  # how features of the encoder reach the decoder beside the embedding
BLOCKS = ("rep", "plain")  # whether blocks are reparameterised while they are fitted
DEFAULT_SKIP, DEFAULT_BLOCK, DEFAULT_Z_GAIN, DEFAULT_GRIDS = "direct", "plain", 0.0, 0.85


@dataclasses.dataclass(frozen=True)
class SkipShape:
    """The skip connection (section 1.2): what the stream carries beside the embedding, and what is made of it.

    Attributes:
        scales: at how many scales above the embedding, 1 or 2; each has a feature f of one channel.
        width: channels of the features that are recovered from f: 1, f itself, where the connection is direct;
            else f's one and those of z.
        growth: channels of a dense block's hidden convolutions; 0 where the connection is direct.
        z_gain: standard deviation of the sampled z in 1/256, 0 to 4096.
    """

    scales: int
    width: int = 1
    growth: int = 0
    z_gain: int = 0

    @property
    def invertible(self) -> bool:
        """Whether an invertible network recovers the features."""
        return self.growth > 0

    @property
    def coupling_parameters(self) -> int:
        """Weights and biases of one scale's coupling layer, a dense block each way; 0 if direct."""
        return self._dense(self.width - 1, 1) + self._dense(1, self.width - 1) if self.invertible else 0

    def _dense(self, channels_in: int, channels_out: int) -> int:
        hidden = DENSE_CONVS - 1
        first = sum(9 * (channels_in + i * self.growth) + 1 for i in range(hidden)) * self.growth
        return first + (9 * (channels_in + hidden * self.growth) + 1) * channels_out


@dataclasses.dataclass(frozen=True)
class GridShape:
    """Feature grids: learned values, stored for some times of the clip and interpolated between them.

    Attributes:
        frames: of the clip.
        channels: of the grid behind each block, 0 where there is none.
        knots: times it is stored for, evenly spread from the first frame to the last; 1 to ``frames``.
    """

    frames: int
    channels: tuple[int, ...]
    knots: tuple[int, ...]


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
        skip: the skip connection, None without one.
        grids: the feature grids, None without any.
        below: channels of the features of the layer below that an enhancement layer reads; 0 in a base layer.
    """

    width: int
    height: int
    embedding: int
    stem: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    kernels: tuple[int, ...]
    skip: SkipShape | None = None
    grids: GridShape | None = None
    below: int = 0

    @property
    def lift_place(self) -> int:
        """The block behind which an enhancement layer adds what it reads of the layer below: the last but one, half
        the picture's size."""
        return max(0, len(self.strides) - 2)

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
    def skip_grids(self) -> list[tuple[int, int]]:
        """Height and width of each f, the smallest first: the encoder's scales just above the embedding (Table 1)."""
        height, width = self.grid
        grids = []
        for stride in self.strides[::-1][: self.skip.scales if self.skip else 0]:
            height, width = height * stride, width * stride
            grids.append((height, width))
        return grids

    @property
    def grid_sizes(self) -> dict[int, tuple[int, int, int, int]]:
        """Knots, channels, height and width of the feature grid behind each block that has one."""
        sizes = {}
        height, width = self.grid
        for place, stride in enumerate(self.strides if self.grids else ()):
            height, width = height * stride, width * stride
            if self.grids and self.grids.channels[place]:
                sizes[place] = (self.grids.knots[place], self.grids.channels[place], height, width)
        return sizes

    @property
    def grid_parameters(self) -> int:
        """Values of the grids, and weights and biases of the convolutions that add them."""
        return sum(math.prod(size) + (size[1] + 1) * self.channels[place] for place, size in self.grid_sizes.items())

    @property
    def skip_parameters(self) -> int:
        """Weights and biases of the skip connection's side in the decoder."""
        if not self.skip:
            return 0
        merges = sum((self.skip.width + 1) * channels for channels in self.channels[: self.skip.scales])
        return self.skip.scales * self.skip.coupling_parameters + merges

    @property
    def decoder_parameters(self) -> int:
        """Weights and biases of the whole decoder, and values of its grids."""
        stem = self.stem * (self.embedding + 1)
        biases = sum(o * s * s for o, s in zip(self.channels, self.strides, strict=True))
        head = 3 * (self.channels[-1] * HEAD_KERNEL**2 + 1)
        lift = (self.below + 1) * self.channels[self.lift_place] if self.below else 0
        return stem + self.block_weights + biases + head + lift + self.skip_parameters + self.grid_parameters

    @property
    def latent_values(self) -> int:
        """Integers a frame stores: its embedding and its features f."""
        skip = sum(height * width for height, width in self.skip_grids)
        return self.embedding * self.grid[0] * self.grid[1] + skip

    def parameters(self, frames: int) -> int:
        """Everything that is stored for a clip of ``frames`` frames."""
        return self.decoder_parameters + frames * self.latent_values

    @property
    def activations(self) -> int:
        """Values that the blocks' convolutions yield to decode a frame."""
        height, width = self.grid
        total = 0
        for channels, stride in zip(self.channels, self.strides, strict=True):
            height, width = height * stride, width * stride
            total += channels * height * width
        return total

    @property
    def trunk_multiplications(self) -> int:
        """Multiplications of stem, blocks and head to decode a frame."""
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


def solve(
    size: int,
    width: int,
    height: int,
    frames: int,
    skip: str = DEFAULT_SKIP,
    z_gain: float = DEFAULT_Z_GAIN,
    grids: float = DEFAULT_GRIDS,
    still: bool = True,
    below: int = 0,
) -> NetworkShape:
    """The network of ``size`` parameters, all that is stored counted, for ``frames`` pictures.

    Args:
        size: parameters.
        width, height: of the pictures.
        frames: how many.
        skip: which skip connection, of :data:`SKIPS`. It gets fewer than two scales, or none, where its f would take
            more than a sixth of the size or the network has too few blocks.
        z_gain: standard deviation of the sampled z, 0 to 16.
        grids: share of the size that the values of feature grids may take, 0 to 1; half as much, and so on, where
            that leaves too little for the network; there are none where even the fewest would take more.
        still: whether most of the picture stays where it is; which grids are taken depends on it.
        below: channels of the features that an enhancement layer reads; 0 for a base layer.

    Raises:
        UsageError: the clip cannot be coded with so few parameters, or no stream holds as many.
    """
    if size > MAX_WEIGHTS:
        raise UsageError(f"--size may be at most {MAX_WEIGHTS}, got {size}")
    own = _grids(grids * size, width, height, frames, still)
    for scales in range(SKIP_SCALES if skip != "none" else 0, -1, -1):
        connection = _connection(scales, size, skip, z_gain)
        preset = None if below else _preset(size, width, height, connection)
        if preset and preset.parameters(frames) <= size:  # the latents of a long clip may not fit
            return preset
        family = _Family(width, height, frames, size, connection, own, below)
        if family.affordable:
            return family.best()
    if own:
        return solve(size, width, height, frames, skip, z_gain, grids / 2, still, below)
    raise UsageError(
        f"{frames} frames of {width}x{height} need at least {family.build(3).parameters(frames)} parameters, "
        f"--size asks for {size}"
    )


def _connection(scales: int, size: int, kind: str, z_gain: float) -> SkipShape | None:
    if not scales:
        return None
    if kind == "direct":
        return SkipShape(scales)
    # A coupling layer of width 2g and growth g has about 252 g^2 weights.
    growth = max(1, round(math.sqrt(SKIP_SHARE * max(size, 0) / 252)))
    return SkipShape(scales, 2 * growth, growth, round(256 * z_gain))


def _grids(room: float, width: int, height: int, frames: int, still: bool) -> GridShape | None:
    """The set of grids with the most values, at most ``room`` of them."""
    strides = choose_strides(width, height)
    blank = NetworkShape(width, height, 1, 1, (1,) * len(strides), strides, (1,) * len(strides))
    sets = GRID_SETS[still]
    if len(strides) == len(KERNELS):
        sets = (*(levels for levels in sets if any(channels for channels, _ in levels[:-1])), *COARSE_GRID_SETS)
    best, most = None, 0
    for levels in sets:
        near = levels[: len(strides) - 1]  # a network of few blocks has no coarse ones
        rows = [(0, 1), *near, *[(0, 1)] * (len(strides) - 1 - len(near))][::-1]
        channels, spacing = zip(*rows, strict=True)
        grids = GridShape(frames, channels, tuple(-(-(frames - 1) // each) + 1 for each in spacing))
        values = sum(math.prod(size) for size in dataclasses.replace(blank, grids=grids).grid_sizes.values())
        if most < values <= room:
            best, most = grids, values
    return best


def _preset(size: int, width: int, height: int, skip: SkipShape | None) -> NetworkShape | None:
    if (width, height, size) not in PRESETS:
        return None
    embedding, stem, channels, strides = PRESETS[width, height, size]
    return NetworkShape(width, height, embedding, stem, channels, strides, PUBLISHED_KERNELS, skip)


@dataclasses.dataclass(frozen=True)
class _Family:
    """The networks for one clip, from the thinnest on."""

    width: int
    height: int
    frames: int
    size: int
    skip: SkipShape | None
    grids: GridShape | None
    below: int

    def build(self, stem: float, extras: tuple[int, ...] = (0,) * (1 + len(KERNELS))) -> NetworkShape:
        """The network with ``stem`` channels after the first convolution, and ``extras`` more than the rule's there and
        after each block."""
        strides = choose_strides(self.width, self.height)
        total = math.prod(strides)
        cells = -(-self.height // total) * -(-self.width // total)
        # The embeddings may take a third of the size; long clips get thinner ones.
        affordable = self.size // (3 * self.frames * cells)
        embedding = max(1, min(16, round(EMBEDDING / cells), affordable))
        channels = tuple(max(3, round(stem / SHRINK ** (i + 1)) + extras[i + 1]) for i in range(len(strides)))
        sides, kernels = (self.width, self.height), KERNELS[: len(strides)]
        stems = max(3, round(stem) + extras[0])
        return NetworkShape(*sides, embedding, stems, channels, strides, kernels, self.skip, self.grids, self.below)

    @property
    def affordable(self) -> bool:
        """Whether the thinnest network has the size, and its features no more than their share."""
        thinnest = self.build(3)
        features = self.frames * sum(height * width for height, width in thinnest.skip_grids)
        if self.skip and (self.skip.scales >= len(thinnest.strides) or features > SKIP_FEATURE_SHARE * self.size):
            return False
        return thinnest.parameters(self.frames) <= self.size * 1.02

    def best(self) -> NetworkShape:
        """The network whose parameters come nearest to the size."""
        # Parameters grow with the stem, so bisect; in small steps, because the channels round one at a time.
        low, high = 3.0, 4096.0
        while high - low > 1e-3:
            middle = (low + high) / 2
            low, high = (middle, high) if self.build(middle).parameters(self.frames) <= self.size else (low, middle)
        # Small networks grow in large steps: there stem and blocks give or take a channel or two, as few as possible.
        places = 1 + len(self.build(low).strides)
        options = sorted(itertools.product((0, -1, 1, -2, 2), repeat=places), key=lambda extras: sum(map(abs, extras)))
        best = self.build(low)
        for extras, stem in itertools.product(options, (low, high)):
            if self.error(best) < GOOD_ENOUGH:
                break
            best = min(best, self.build(stem, extras), key=self.error)
        return best

    def error(self, shape: NetworkShape) -> float:
        """How far the parameters of ``shape`` are from the size, of it."""
        return abs(shape.parameters(self.frames) - self.size) / self.size


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
