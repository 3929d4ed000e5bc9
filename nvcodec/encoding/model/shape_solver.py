"""From a number of parameters and a picture's size to a network's shape.

The paper publishes three rows of Table 3; they are presets. For any other size the same rules are followed: a
convolution to ``stem`` channels, blocks whose channels shrink by 1.2, an embedding near 2x4, and features f of the
skip connection at the two scales just above the embedding. Only the kernels differ, 1 3 3 3 3 instead of 1 3 5 5 5:
with as many parameters, in as much time, more channels are worth more than wider kernels (docs/experiments.md).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterator

from nvcodec.encoding.encode_config import DEFAULT_GRIDS, DEFAULT_SKIP, DEFAULT_Z_GAIN
from nvcodec.encoding.model.feature_grid_sets import LARGE_PICTURE_SETS, MOVING_SETS, STILL_SETS
from nvcodec.encoding.model.network_shape import FeatureGridShape, NetworkShape, SkipShape
from nvcodec.errors import UsageError
from nvcodec.format.inference import MAX_WEIGHTS

KERNELS = (1, 3, 3, 3, 3)
PUBLISHED_KERNELS = (1, 3, 5, 5, 5)
#: Table 3 of the paper, by width, height and parameters: embedding channels, stem, channels and strides.
PUBLISHED_SHAPES: dict[tuple[int, int, int], tuple[int, int, tuple[int, ...], tuple[int, ...]]] = {
    (960, 480, 3_000_000): (16, 98, (82, 68, 57, 48, 40), (5, 4, 3, 2, 2)),
    (1920, 960, 3_000_000): (16, 84, (70, 58, 48, 40, 33), (5, 4, 4, 3, 2)),
    (1280, 640, 750_000): (12, 43, (36, 30, 24, 20, 17), (5, 4, 4, 2, 2)),
}
CHANNEL_SHRINK = 1.2  # ratio of channels from block to block
EMBEDDING_CELLS = 8  # pixels of the embedding aimed at: 2x4
EMBEDDING_VALUES = 128  # values of the embedding per frame: 16x2x4
PADDING_COST, EMBEDDING_SIZE_COST = 1.0, 0.05  # per share of padded pixels, per octave of distance from EMBEDDING_CELLS
SIZE_LEEWAY = 1.02  # the smallest network may have so much more parameters than were asked for
SIZE_TOLERANCE = 0.003  # relative distance from the size at which the search ends
MAX_SKIP_SCALES = 2  # Table 1
COUPLING_SHARE = 0.04  # of the size, for the coupling layer of one scale
MAX_SKIP_FEATURE_SHARE = 1 / 6  # of the size, for f
MIN_SIZE_OVER_EMBEDDINGS = 3  # the embeddings take at most a third of the size


def solve(
    size: int,
    width: int,
    height: int,
    frames: int,
    skip: str = DEFAULT_SKIP,
    z_gain: float = DEFAULT_Z_GAIN,
    grids: float = DEFAULT_GRIDS,
    still: bool = True,
    reference_channels: int = 0,
) -> NetworkShape:
    """Return the network with ``size`` parameters, everything stored counted, for ``frames`` pictures.

    Args:
        size: parameters.
        width, height: size of the pictures, pixels.
        frames: number of frames.
        skip: the skip connection, one of :data:`~nvcodec.encoding.encode_config.SKIPS`. It has fewer than two scales,
            or none, if its features f would take more than a sixth of the size or the network has too few blocks.
        z_gain: standard deviation of the sampled z, 0 to 16.
        grids: largest share of the size for the values of feature grids, 0 to 1. It is halved, again and again, while
            it leaves too little for the network; there are no grids if even the fewest would take more.
        still: whether most of the picture stays in its place, which decides on the set of grids.
        reference_channels: channels of the features that an enhancement layer reads; 0 for a base layer.

    Raises:
        UsageError: the clip cannot be coded with so few parameters, or no stream holds so many.
    """
    if size > MAX_WEIGHTS:
        raise UsageError(f"`size` may be at most {MAX_WEIGHTS}, got {size}")
    for grid_shape in _grid_shapes(grids * size, width, height, frames, still):
        for scales in range(MAX_SKIP_SCALES if skip != "none" else 0, -1, -1):
            connection = _skip_shape(scales, size, skip, z_gain)
            published = None if reference_channels else _published(size, width, height, connection)
            if published and published.parameters(frames) <= size:  # the latents of a long clip may not fit
                return published
            family = _Family(width, height, frames, size, connection, grid_shape, reference_channels)
            if family.affordable:
                return family.best()
    raise UsageError(
        f"{frames} frames of {width}x{height} need at least {family.build(3).parameters(frames)} parameters, "
        f"`size` asks for {size}"
    )


def least_network(width: int, height: int, frames: int) -> NetworkShape:
    """Return the network with the fewest parameters that :func:`solve` returns for so many pictures, or for more."""
    return _Family(width, height, frames, 0, None, None, 0).build(3)


def _skip_shape(scales: int, size: int, kind: str, z_gain: float) -> SkipShape | None:
    if not scales:
        return None
    if kind == "direct":
        return SkipShape(scales)
    # A coupling layer of width 2g and growth g has about 252 g^2 weights.
    growth = max(1, round(math.sqrt(COUPLING_SHARE * max(size, 0) / 252)))
    return SkipShape(scales, 2 * growth, growth, round(256 * z_gain))


def _grid_shapes(values: float, width: int, height: int, frames: int, still: bool) -> Iterator[FeatureGridShape | None]:
    """Yield the largest feature grids of at most ``values`` values, then of half as many and so on; None at the end."""
    while shape := _largest_grids(values, width, height, frames, still):
        yield shape
        values /= 2
    yield None


def _largest_grids(values: float, width: int, height: int, frames: int, still: bool) -> FeatureGridShape | None:
    """Return the set of feature grids with the most values, but no more than ``values``."""
    strides = choose_strides(width, height)
    blank = NetworkShape(width, height, 1, 1, (1,) * len(strides), strides, (1,) * len(strides))
    sets = STILL_SETS if still else MOVING_SETS
    if len(strides) == len(KERNELS):
        fine = (grid_set for grid_set in sets if any(channels for channels, _ in grid_set[:-1]))
        sets = (*fine, *LARGE_PICTURE_SETS)
    best, most = None, 0
    for grid_set in sets:
        levels = grid_set[: len(strides) - 1]  # a network of few blocks has no coarse grids
        backwards = [(0, 1), *levels, *[(0, 1)] * (len(strides) - 1 - len(levels))]
        channels, spacing = zip(*backwards[::-1], strict=True)
        knots = tuple(-(-(frames - 1) // frames_per_knot) + 1 for frames_per_knot in spacing)
        shape = FeatureGridShape(frames, channels, knots)
        count = dataclasses.replace(blank, feature_grids=shape).feature_grid_values
        if most < count <= values:
            best, most = shape, count
    return best


def _published(size: int, width: int, height: int, skip: SkipShape | None) -> NetworkShape | None:
    if (width, height, size) not in PUBLISHED_SHAPES:
        return None
    embedding, stem, channels, strides = PUBLISHED_SHAPES[width, height, size]
    return NetworkShape(width, height, embedding, stem, channels, strides, PUBLISHED_KERNELS, skip)


@dataclasses.dataclass(frozen=True)
class _Family:
    """The networks for one clip with one skip connection and one set of feature grids, ordered by their width."""

    width: int
    height: int
    frames: int
    size: int
    skip: SkipShape | None
    grids: FeatureGridShape | None
    reference_channels: int

    def build(self, stem: float, extras: tuple[int, ...] = (0,) * (1 + len(KERNELS))) -> NetworkShape:
        """Return the network with ``stem`` channels after the first convolution.

        ``extras`` are added to the channels that the rule gives there and after each block.
        """
        strides = choose_strides(self.width, self.height)
        total = math.prod(strides)
        cells = -(-self.height // total) * -(-self.width // total)
        # Long clips get thinner embeddings.
        affordable = self.size // (MIN_SIZE_OVER_EMBEDDINGS * self.frames * cells)
        embedding = max(1, min(16, round(EMBEDDING_VALUES / cells), affordable))
        channels = tuple(max(3, round(stem / CHANNEL_SHRINK ** (i + 1)) + extras[i + 1]) for i in range(len(strides)))
        return NetworkShape(
            self.width,
            self.height,
            embedding,
            max(3, round(stem) + extras[0]),
            channels,
            strides,
            KERNELS[: len(strides)],
            self.skip,
            self.grids,
            self.reference_channels,
        )

    @property
    def affordable(self) -> bool:
        """Whether the thinnest network has the size, and its features f no more than their share."""
        thinnest = self.build(3)
        features = self.frames * sum(height * width for height, width in thinnest.skip_feature_sizes)
        too_many = features > MAX_SKIP_FEATURE_SHARE * self.size
        if self.skip and (self.skip.scales >= len(thinnest.strides) or too_many):
            return False
        return thinnest.parameters(self.frames) <= self.size * SIZE_LEEWAY

    def best(self) -> NetworkShape:
        """Return the network whose parameters come nearest to the size."""
        # Parameters grow with the stem, so bisect; in small steps, because the channels round one at a time.
        low, high = 3.0, 4096.0
        while high - low > 1e-3:
            middle = (low + high) / 2
            low, high = (middle, high) if self.build(middle).parameters(self.frames) <= self.size else (low, middle)
        # Small networks grow in large steps: there stem and blocks give or take a channel or two, as few as possible.
        blocks = len(self.build(low).strides)
        options = sorted(
            itertools.product((0, -1, 1, -2, 2), repeat=1 + blocks), key=lambda extras: sum(map(abs, extras))
        )
        best = self.build(low)
        for extras, stem in itertools.product(options, (low, high)):
            if self.error(best) < SIZE_TOLERANCE:
                break
            best = min(best, self.build(stem, extras), key=self.error)
        return best

    def error(self, shape: NetworkShape) -> float:
        """Return the distance of a network's parameters from the size, relative to the size."""
        return abs(shape.parameters(self.frames) - self.size) / self.size


@functools.cache
def choose_strides(width: int, height: int) -> tuple[int, ...]:
    """Return strides for a picture: little padding, an embedding near 2x4, last stride 2 if possible, few blocks."""

    def cost(strides: tuple[int, ...]) -> tuple[float, bool, int]:
        total = math.prod(strides)
        rows, columns = -(-height // total), -(-width // total)
        padding = rows * columns * total * total / (width * height) - 1
        octaves = abs(math.log2(rows * columns / EMBEDDING_CELLS))
        return (PADDING_COST * padding + EMBEDDING_SIZE_COST * octaves, strides[-1] != 2, len(strides))

    candidates = itertools.chain.from_iterable(
        itertools.combinations_with_replacement((5, 4, 3, 2), blocks) for blocks in range(1, len(KERNELS) + 1)
    )
    return min(candidates, key=cost)
