"""Candidate sets of feature grids, as data.

A set lists (channels, frames per knot) for each block, counted backwards from the last block but one; (0, 1) stands for
no grid. Of the sets that fit, the one with the most values is taken. Where the picture stays still, fine grids with few
knots are worth most; where it moves, coarser grids with a knot per frame (measured; see docs/experiments.md).
"""

from __future__ import annotations

GridSet = tuple[tuple[int, int], ...]

#: For clips in which most of the detail stays in its place.
STILL_SETS: tuple[GridSet, ...] = (
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
)
#: For clips in which most of the detail moves.
MOVING_SETS: tuple[GridSet, ...] = (
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
)
#: For large pictures, whose networks have five blocks: they replace the sets that have only the coarsest grid, and
#: reach one level coarser.
LARGE_PICTURE_SETS: tuple[GridSet, ...] = (
    ((0, 1), (1, 16), (2, 4), (8, 1)),
    ((0, 1), (0, 1), (2, 4), (8, 1)),
    ((0, 1), (0, 1), (1, 4), (4, 1)),
    ((0, 1), (0, 1), (1, 8), (2, 1)),
    ((0, 1), (0, 1), (0, 1), (2, 1)),
    ((0, 1), (0, 1), (0, 1), (1, 1)),
    ((0, 1), (0, 1), (0, 1), (1, 2)),
)
