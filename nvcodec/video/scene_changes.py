"""Where the picture changes at once: scene changes, found while pictures are read.

As FFmpeg's ``scdet`` and PySceneDetect's adaptive detector do, it compares neighbouring pictures, reduced to some
pixels of luma, with what changes anyway: motion, pans and fades change every picture about as much. Unlike them it
looks at some pictures on both sides of a change, none of which may be like one on the other side: a flash, behind which
the scene goes on, is none.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch
import torch.nn.functional as F

from nvcodec.samples import bits_of, peak_of
from nvcodec.video.yuv import BT601, LUMA_WEIGHTS

T = TypeVar("T")

SIDE = 16  # pixels of a reduced picture, on each side
AROUND = 4  # pictures on each side of a change that are compared
LEAST_DIFFERENCE = 0.05  # of black and white, as differences are counted here
LEAST_RATIO = 2.5  # to the largest difference between neighbours on either side


def scene_changes(pictures: Iterable[tuple[torch.Tensor, T]]) -> Iterator[tuple[torch.Tensor, T, bool]]:
    """Tell for each picture whether a scene begins with it.

    Args:
        pictures: RGB [3, height, width], uint8 or with 10 bits uint16, all of a size, each with anything that is
            handed through.

    Yields:
        The same, and whether the picture differs from those before it more than these differ from each other: for the
        first picture never. Some pictures are read ahead.
    """
    before: collections.deque[torch.Tensor] = collections.deque(maxlen=AROUND)
    ahead: collections.deque[tuple[torch.Tensor, T, torch.Tensor]] = collections.deque()
    for samples, what in pictures:
        ahead.append((samples, what, _reduced(samples)))
        if len(ahead) == AROUND:
            yield _first(before, ahead)
    while ahead:
        yield _first(before, ahead)


def _first(
    before: collections.deque[torch.Tensor], ahead: collections.deque[tuple[torch.Tensor, T, torch.Tensor]]
) -> tuple[torch.Tensor, T, bool]:
    """Take the first of the pictures ahead, and judge it."""
    changes = bool(before) and is_change(list(before), [reduced for *_, reduced in ahead])
    samples, what, reduced = ahead.popleft()
    before.append(reduced)
    return samples, what, changes


def is_change(before: list[torch.Tensor], after: list[torch.Tensor]) -> bool:
    """Return whether a scene ends with some reduced pictures, and another one begins with those after them."""
    across = min(difference(a, b) for a in before for b in after)
    pairs = (*itertools.pairwise(before), *itertools.pairwise(after))
    usual = max((difference(a, b) for a, b in pairs), default=0.0)
    return across > max(LEAST_DIFFERENCE, LEAST_RATIO * usual)


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return how much two reduced pictures differ: 0, if they are equal, to 1.

    The mean of absolute differences, of pixels in their positions and of pixels in the order of their luma. The latter,
    which is the distance of two histograms, hardly grows with motion.
    """
    ordered = (a.flatten().sort().values - b.flatten().sort().values).abs().mean()
    return float(((a - b).abs().mean() + ordered) / 2)


def _reduced(samples: torch.Tensor) -> torch.Tensor:
    """Return the luma of a picture, 0 to 1, as means of areas: float64 [side, side]."""
    red, green, blue = F.adaptive_avg_pool2d(samples.float(), SIDE).double() / peak_of(bits_of(samples))
    of_red, of_blue = LUMA_WEIGHTS[BT601]
    return of_red * red + (1 - of_red - of_blue) * green + of_blue * blue
