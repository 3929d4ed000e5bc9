"""Choice of the device to compute on, and of how many CPU threads torch uses."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

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


@contextlib.contextmanager
def thread_count(threads: int | None) -> Iterator[None]:
    """Let torch use ``threads`` CPU threads within the block; None keeps its own number."""
    before = torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def single_threads(count: int) -> ThreadPoolExecutor:
    """Start ``count`` threads in each of which torch computes without further threads.

    For work that is already shared out: threads of torch's own wait for each other after every operation.
    """
    all_there = threading.Barrier(count + 1)

    def start() -> None:
        torch.get_num_threads()  # what a thread does first takes the number from the others
        torch.set_num_threads(1)
        all_there.wait()

    with thread_count(None):
        threads = ThreadPoolExecutor(count, "nvcodec", start)
        for _ in range(count):
            threads.submit(int)
        all_there.wait()
    return threads
