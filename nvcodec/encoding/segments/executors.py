"""Where segments are encoded: in this process, or side by side in others. All give the same files."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Protocol

from nvcodec.encoding.encoded import Encoded
from nvcodec.encoding.segments.segment_task import SegmentTask, encode_segment
from nvcodec.errors import NvcodecError

RETRIES = 2  # of a task that failed, or whose process was killed
POLL_SECONDS = 0.2  # between two looks whether an end has been requested


class Executor(Protocol):
    """Encodes segments."""

    @property
    def full(self) -> bool:
        """Whether a segment has to be waited for before another is submitted."""

    @property
    def ready(self) -> bool:
        """Whether there is a segment for which one need not wait."""

    def submit(self, task: SegmentTask) -> None:
        """Begin to encode a segment."""

    def wait(self, should_stop: Callable[[], bool]) -> tuple[SegmentTask, Encoded] | None:
        """Return a segment that is finished, whichever it is; None where an end has been requested.

        Raises:
            NvcodecError: it cannot be encoded, or failed several times.
        """

    def close(self) -> None:
        """End all that still runs."""


class InProcess:
    """Encodes one segment after the other, in this process."""

    def __init__(self) -> None:
        self._done: list[tuple[SegmentTask, Encoded]] = []

    @property
    def full(self) -> bool:
        """See :class:`Executor`."""
        return self.ready

    @property
    def ready(self) -> bool:
        """See :class:`Executor`."""
        return bool(self._done)

    def submit(self, task: SegmentTask) -> None:
        """See :class:`Executor`; raises KeyboardInterrupt where an end is requested."""
        self._done.append((task, encode_segment(task)))

    def wait(self, should_stop: Callable[[], bool]) -> tuple[SegmentTask, Encoded] | None:
        """See :class:`Executor`."""
        return self._done.pop()

    def close(self) -> None:
        """See :class:`Executor`."""


class Processes:
    """Encodes segments side by side, in processes of this machine.

    Args:
        jobs: how many.
    """

    def __init__(self, jobs: int) -> None:
        self._idle = [_Worker() for _ in range(jobs)]
        self._working: dict[_Worker, tuple[SegmentTask, int]] = {}

    @property
    def full(self) -> bool:
        """See :class:`Executor`."""
        return not self._idle

    @property
    def ready(self) -> bool:
        """See :class:`Executor`."""
        connections = [worker.connection for worker in self._working]
        return bool(multiprocessing.connection.wait(connections, 0))

    @property
    def process_ids(self) -> list[int]:
        """Numbers of the processes that encode a segment."""
        return [worker.process.pid for worker in self._working if worker.process.pid is not None]

    def submit(self, task: SegmentTask, tries: int = 1) -> None:
        """See :class:`Executor`."""
        worker = self._idle.pop()
        self._working[worker] = (task, tries)
        with contextlib.suppress(OSError):  # wait() finds out that it has been killed
            worker.connection.send(task)

    def wait(self, should_stop: Callable[[], bool]) -> tuple[SegmentTask, Encoded] | None:
        """See :class:`Executor`."""
        while not should_stop():
            by_connection: dict[Any, _Worker] = {worker.connection: worker for worker in self._working}
            for ready in multiprocessing.connection.wait(list(by_connection), POLL_SECONDS):
                worker = by_connection[ready]
                task, tries = self._working.pop(worker)
                try:
                    result = worker.connection.recv()
                    self._idle.append(worker)
                except (EOFError, OSError):
                    worker.end()
                    self._idle.append(_Worker())
                    result = NvcodecError(f"the process that encoded segment {task.number} was killed")
                if isinstance(result, Encoded):
                    return task, result
                retry_or_raise(result, tries)
                self.submit(task, tries + 1)
        return None

    def close(self) -> None:
        """See :class:`Executor`."""
        for worker in (*self._idle, *self._working):
            worker.end()
        self._idle, self._working = [], {}


def retry_or_raise(error: NvcodecError, tries: int) -> None:
    """Raise what would fail again, or has failed too often: an error of this package's own that says why."""
    if tries > RETRIES or type(error) is not NvcodecError:
        raise error


class _Worker:
    """A process that encodes one segment at a time."""

    def __init__(self) -> None:
        # Not a fork, which threads of torch do not survive.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def end(self) -> None:
        """End the process at once."""
        self.connection.close()
        self.process.kill()
        self.process.join()


def _serve(connection: Connection) -> None:
    """Encode what comes, until there is no more. Ctrl-C in the terminal is for the process that sends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(outcome_of(connection.recv()))


def outcome_of(task: SegmentTask) -> Encoded | NvcodecError:
    """Encode a segment; returns what failed as an error that can be sent to another process."""
    try:
        return encode_segment(task)
    except NvcodecError as error:
        return error
    except Exception as error:
        return NvcodecError(f"segment {task.number} failed: {type(error).__name__}: {error}")
