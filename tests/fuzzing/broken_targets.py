"""Targets that go wrong, to see that it is noticed."""

from __future__ import annotations

import os
import signal
import time


def crash(data: bytes) -> str:
    """End the process as a fault of memory does, unless there is nothing to read."""
    if data:
        os.kill(os.getpid(), signal.SIGSEGV)
    return "alive"


def hang(data: bytes) -> str:
    """Take a minute, unless there is nothing to read."""
    time.sleep(60 if data else 0)
    return "alive"


def fail(data: bytes) -> str:
    """Raise an error that no target may raise."""
    raise KeyError("planted")
