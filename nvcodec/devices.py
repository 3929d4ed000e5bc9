"""Choice of the device to compute on."""

from __future__ import annotations

import torch

from nvcodec.errors import UsageError


def pick_device(name: str) -> torch.device:
    """Return the torch device for a name.

    Args:
        name: ``auto`` (CUDA where available, else the CPU), ``cpu``, ``cuda``, or another of torch's names for these.

    Raises:
        UsageError: the name is unknown, or this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError("there is no CUDA device here")
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is not supported; use auto, cpu or cuda")
    return device
