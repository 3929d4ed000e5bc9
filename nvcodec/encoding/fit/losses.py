"""What a fit makes small: errors a pixel, weighted or not; a function of one's own may take their place."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from nvcodec.errors import UsageError
from nvcodec.metrics import WINDOW, ssim_maps
from nvcodec.video.frames import Frames, checksum

#: A number with a gradient, of pictures decoded and meant, both [batch, 3, height, width] in about 0 to 1, and the
#: numbers of the frames they show.
Loss = Callable[[torch.Tensor, torch.Tensor, Sequence[int]], torch.Tensor]

SSIM_SHARE = 0.3  # of l1-ssim: HNeRV's Fusion6


def _squared(decoded: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    return (decoded - source).square()


def _absolute(decoded: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    return (decoded - source).abs()


def _absolute_and_structure(decoded: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    frame = [WINDOW // 2] * 4
    a, b = (F.pad(255 * picture, frame, mode="replicate") for picture in (decoded, source))
    return (1 - SSIM_SHARE) * _absolute(decoded, source) + SSIM_SHARE * (1 - ssim_maps(a, b)[0])


_ERRORS = {"l2": _squared, "l1": _absolute, "l1-ssim": _absolute_and_structure}
LOSSES = tuple(_ERRORS)
DEFAULT_LOSS = "l2"


@dataclasses.dataclass(frozen=True, eq=False)
class PictureLoss:
    """The mean of an error a pixel.

    Attributes:
        name: ``l2``, squared error; ``l1``, absolute error; ``l1-ssim``, 0.7 of the absolute error and 0.3 of 1 - SSIM
            (the loss of NeRV and, as Fusion6, of HNeRV's code).
        weights: importance of every pixel, uint8 [frames, 3, height, width], each channel for itself; only ratios
            count. None: all the same.

    Raises:
        UsageError: there is no such loss, or all weights are zero.
    """

    name: str = DEFAULT_LOSS
    weights: Frames | None = None

    def __post_init__(self) -> None:
        if self.name not in _ERRORS:
            raise UsageError(f"--loss is one of {', '.join(LOSSES)}; got {self.name!r}")
        if self.weights is not None and not self.mean_weight:
            raise UsageError("all weights are zero: nothing would be fitted")

    @functools.cached_property
    def mean_weight(self) -> float:
        """Of all pixels of all frames."""
        assert self.weights is not None
        return float(sum(frame.double().mean() for frame in self.weights)) / len(self.weights)

    @functools.cached_property
    def identity(self) -> str:
        """What two losses that ask for the same share."""
        return f"{self.name}, weights {0 if self.weights is None else checksum(self.weights)}"

    def __call__(self, decoded: torch.Tensor, source: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        errors = _ERRORS[self.name](decoded, source)
        if self.weights is not None:
            errors = errors * (self.weights[list(frames)].to(errors.device) / self.mean_weight)
        return errors.mean()


SQUARED_ERROR = PictureLoss()


def identity(loss: Loss) -> str:
    """What two losses that ask for the same share, as far as that can be told from outside."""
    if isinstance(loss, PictureLoss):
        return loss.identity
    return f"{loss.__module__}.{getattr(loss, '__qualname__', type(loss).__qualname__)}"
