"""Segments encoded by the machines of a Ray cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy.typing as npt
import torch

from nvcodec.encoding.encoded import Encoded
from nvcodec.encoding.segments.executors import POLL_SECONDS, RETRIES, outcome_of, retry_or_raise
from nvcodec.encoding.segments.segment_task import SegmentTask
from nvcodec.errors import InputError, NvcodecError, UsageError


class RayCluster:
    """Encodes segments side by side, each as a task of Ray, which has a GPU where the cluster has some.

    Args:
        address: of the cluster; ``auto`` for the one that this machine belongs to.

    Raises:
        InputError: there is no such cluster.
        UsageError: Ray is not installed.
    """

    def __init__(self, address: str) -> None:
        try:
            import ray
        except ImportError:
            raise UsageError('`ray` needs the package of this name: pip install "nvcodec[ray]"') from None
        self._ray: Any = ray
        self._joined = not ray.is_initialized()  # else the caller has
        try:
            ray.init(address=address, ignore_reinit_error=True, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(f"cannot join the Ray cluster {address}: {str(error).splitlines()[0]}") from None
        have = ray.cluster_resources()
        kind, self.slots = ("num_gpus", int(have["GPU"])) if have.get("GPU") else ("num_cpus", int(have.get("CPU", 1)))
        # A killed task is begun anew by Ray, which knows where.
        self._encode = ray.remote(**{kind: 1}, max_retries=RETRIES)(_encode_shipped)
        self._running: dict[Any, tuple[SegmentTask, int]] = {}

    @property
    def full(self) -> bool:
        """See :class:`~nvcodec.encoding.segments.executors.Executor`."""
        return len(self._running) >= self.slots

    @property
    def ready(self) -> bool:
        """See :class:`~nvcodec.encoding.segments.executors.Executor`."""
        return bool(self._running) and bool(self._ray.wait(list(self._running), timeout=0)[0])

    def submit(self, task: SegmentTask, tries: int = 1) -> None:
        """See :class:`~nvcodec.encoding.segments.executors.Executor`."""
        clip = task.clip
        frames = torch.stack(list(clip.frames)).numpy()
        without = dataclasses.replace(clip, frames=torch.empty((0, 3, 1, 1), dtype=torch.uint8), ticks=[])
        shipped = self._encode.remote(dataclasses.replace(task, clip=without), self._ray.put(frames), clip.ticks)
        self._running[shipped] = (task, tries)

    def wait(self, should_stop: Callable[[], bool]) -> tuple[SegmentTask, Encoded] | None:
        """See :class:`~nvcodec.encoding.segments.executors.Executor`."""
        while not should_stop():
            for done in self._ray.wait(list(self._running), timeout=POLL_SECONDS)[0]:
                task, tries = self._running.pop(done)
                try:
                    result = self._ray.get(done)
                except self._ray.exceptions.RayError as error:
                    result = NvcodecError(f"segment {task.number} was lost: {str(error).splitlines()[0]}")
                if isinstance(result, Encoded):
                    return task, result
                retry_or_raise(result, tries)
                self.submit(task, tries + 1)
        return None

    def close(self) -> None:
        """See :class:`~nvcodec.encoding.segments.executors.Executor`."""
        for running in self._running:
            self._ray.cancel(running, force=True)
        self._running = {}
        if self._joined:
            self._ray.shutdown()


def _encode_shipped(
    task: SegmentTask, frames: npt.NDArray[Any], ticks: list[tuple[int, int]]
) -> Encoded | NvcodecError:
    """Encode a segment whose frames, which Ray keeps as an array, and times come beside it."""
    clip = dataclasses.replace(task.clip, frames=torch.from_numpy(frames.copy()), ticks=ticks)
    return outcome_of(dataclasses.replace(task, clip=clip))
