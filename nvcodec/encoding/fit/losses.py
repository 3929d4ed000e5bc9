"""Training losses: pixel errors with or without weights. A function of the caller may replace them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from nvcodec.encoding.encode_config import DEFAULT_LOSS, LOSSES
from nvcodec.errors import UsageError
from nvcodec.metrics import WINDOW, ssim_maps
from nvcodec.video.frames import Frames, checksum

#: A scalar with a gradient from decoded and source pictures, both [batch, 3, height, width], about 0 to 1, and their
#: frame numbers.
Loss = Callable[[torch.Tensor, torch.Tensor, Sequence[int]], torch.Tensor]

NO_WEIGHT = "all `weights` are zero: nothing would be fitted"
SSIM_SHARE = 0.3  # of l1-ssim: HNeRV's Fusion6


def _squared(decoded: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    return (decoded - source).square()


def _absolute(decoded: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    return (decoded - source).abs()


def dissimilarity(decoded: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """Return 1 - SSIM about each pixel of pictures [batch, 3, height, width], 0 to 1; beyond their edge they go on."""
    margin = [WINDOW // 2] * 4
    a, b = (F.pad(255 * picture, margin, mode="replicate") for picture in (decoded, source))
    return 1 - ssim_maps(a, b)[0]


def _absolute_and_structure(decoded: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    return (1 - SSIM_SHARE) * _absolute(decoded, source) + SSIM_SHARE * dissimilarity(decoded, source)


PIXEL_ERRORS = dict(zip(LOSSES, (_squared, _absolute, _absolute_and_structure), strict=True))


@dataclasses.dataclass(frozen=True, eq=False)
class PictureLoss:
    """The mean of a pixel error.

    Attributes:
        name: ``l2``, squared error; ``l1``, absolute error; ``l1-ssim``, 0.7 of the absolute error plus 0.3 of 1 - SSIM
            (the loss of NeRV and, as Fusion6, of HNeRV's code).
        weights: importance of each pixel, uint8 [frames, 3, height, width], per channel; only ratios matter. None: all
            pixels count alike.

    Raises:
        UsageError: there is no such loss, or all weights are zero.
    """

    name: str = DEFAULT_LOSS
    weights: Frames | None = None

    def __post_init__(self) -> None:
        if self.name not in LOSSES:
            raise UsageError(f"`loss` is one of {', '.join(LOSSES)}; got {self.name!r}")
        if self.weights is not None and not self.mean_weight:
            raise UsageError(NO_WEIGHT)

    @functools.cached_property
    def mean_weight(self) -> float:
        """The mean over all pixels of all frames."""
        assert self.weights is not None
        return float(sum(frame.double().mean() for frame in self.weights)) / len(self.weights)

    @functools.cached_property
    def identity(self) -> str:
        """A text that two equal losses share."""
        return f"{self.name}, weights {0 if self.weights is None else checksum(self.weights)}"

    def __call__(self, decoded: torch.Tensor, source: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        errors = PIXEL_ERRORS[self.name](decoded, source)
        if self.weights is not None:
            errors = errors * (self.weights[list(frames)].to(errors.device) / self.mean_weight)
        return errors.mean()


SQUARED_ERROR = PictureLoss()


def loss_of(loss: str | Loss | None, weights: Frames | None) -> Loss:
    """Return a loss of whole pictures, given its name, None for the default, or the caller's own function."""
    return loss if callable(loss) else PictureLoss(loss or DEFAULT_LOSS, weights)


def checked(value: torch.Tensor) -> torch.Tensor:
    """Return what a loss has returned, if it can be minimised.

    Raises:
        UsageError: it is no tensor, not one number, or has no gradient where one is wanted.
    """
    if not isinstance(value, torch.Tensor):
        raise UsageError(f"the loss must be a tensor of one number, got {type(value).__name__}")
    if value.ndim:
        raise UsageError(f"the loss must be one number, got a tensor of shape {tuple(value.shape)}")
    if torch.is_grad_enabled() and not value.requires_grad:
        raise UsageError("the loss has no gradient: it must be computed with torch from the decoded pictures")
    return value


def identity(loss: Loss) -> str:
    """Return a text that two equal losses share, as far as that can be told from outside."""
    if isinstance(loss, PictureLoss):
        return loss.identity
    return f"{loss.__module__}.{getattr(loss, '__qualname__', type(loss).__qualname__)}"
