"""Manners for SVT-AV1, inside PyAV: the priority of its threads, its messages, and how many threads it starts."""

from __future__ import annotations

import bisect
import contextlib
import os
import threading
from collections.abc import Callable, Iterator

LOG_VARIABLE, FATAL_ONLY = "SVT_LOG", "0"  # it writes to stderr itself, past FFmpeg's log
PARALLELISM_CORES = (1, 2, 5, 11, 23)  # the most cores for which SVT-AV1 takes its levels 1 to 5; above them it takes 6

_Scheduling = tuple[int, int]  # policy and priority of a thread


def parallelism(threads: int) -> int:
    """Return the value of SVT-AV1's parameter ``lp``, a level from 1 to 6, that it takes on a machine of so many cores.

    The encoded bytes are the same for every level; memory grows with it.
    """
    return 1 + bisect.bisect_left(PARALLELISM_CORES, threads)


@contextlib.contextmanager
def restrained() -> Iterator[Callable[[], None]]:
    """Keep SVT-AV1 from messages and from real-time priority, for the time that a block encodes with it.

    Run as root, SVT-AV1 gives its threads, and the one that opens it, real-time priority, before which everything else
    on the machine has to wait. Messages are silenced by an environment variable, which stays set; one that is set
    already is left alone.

    Yields:
        A function to call as soon as the encoder is open: it gives the threads that were there before the block their
        priority back, and new ones that of the caller. The end of the block does so once more. Where a system does not
        let a process see or change its threads, nothing happens.
    """
    os.environ.setdefault(LOG_VARIABLE, FATAL_ONLY)
    before = _threads()
    own = before.get(threading.get_native_id())

    def calm_threads() -> None:
        for thread, now in _threads().items():
            wanted = before.get(thread, own)
            if wanted is not None and wanted != now:
                with contextlib.suppress(OSError):  # not permitted, or the thread has ended
                    os.sched_setscheduler(thread, wanted[0], os.sched_param(wanted[1]))

    try:
        yield calm_threads
    finally:
        calm_threads()


def _threads() -> dict[int, _Scheduling]:
    """Return the scheduling of each thread of this process by its number; nothing where the system does not tell."""
    found: dict[int, _Scheduling] = {}
    if not hasattr(os, "sched_getscheduler"):
        return found
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc/self/task"):
            with contextlib.suppress(OSError):  # the thread has ended
                found[int(name)] = os.sched_getscheduler(int(name)), os.sched_getparam(int(name)).sched_priority
    return found
