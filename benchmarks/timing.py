"""How long something takes, on any device."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch


def seconds(function: Callable[[], Any], device: torch.device, rounds: int, warm_up: int = 1) -> list[float]:
    """Return the seconds of each round, after some that are not counted; on a GPU until it has done its work."""
    times = []
    for _ in range(warm_up + rounds):
        _wait(device)
        start = time.perf_counter()
        function()
        _wait(device)
        times.append(time.perf_counter() - start)
    return times[warm_up:]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
