"""Samples of pictures: 8 bits are kept in bytes, 10 bits in integers of 16 bits without a sign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

BITS = (8, 10)  # that samples may have, by the specification's sample_format


def peak_of(bits: int) -> int:
    """Return the largest sample of so many bits."""
    return 2**bits - 1


def bits_of(pictures: Any) -> int:
    """Return the bits of a sample of pictures: a tensor, an array, or anything else with their ``dtype``."""
    return 8 if pictures.dtype.itemsize == 1 else 10


def sample_dtype(bits: int) -> torch.dtype:
    """Return the type that samples of so many bits are kept in."""
    import torch

    return torch.uint8 if bits == 8 else torch.uint16


def signed(pictures: torch.Tensor) -> torch.Tensor:
    """Return pictures as a type that every device computes with: those of 10 bits with a sign, in the same memory."""
    import torch

    return pictures.view(torch.int16) if pictures.dtype == torch.uint16 else pictures


def rounded(levels: torch.Tensor, bits: int) -> torch.Tensor:
    """Round levels, floats from 0 to the peak that may lie beyond, to samples, ties up. Changes ``levels``."""
    import torch

    levels = levels.add_(0.5).clamp_(0, peak_of(bits))  # which are then cut
    if levels.is_cpu:
        return torch.from_numpy(levels.numpy().astype("u1" if bits == 8 else "u2"))  # faster than torch's own
    return levels.to(sample_dtype(bits))


def with_bits(pictures: torch.Tensor, bits: int) -> torch.Tensor:
    """Return pictures with so many bits a sample, rounded to nearest where they have others."""
    have = bits_of(pictures)
    if have == bits:
        return pictures
    return rounded(pictures.float() * (peak_of(bits) / peak_of(have)), bits)
