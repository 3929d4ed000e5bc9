"""Segments that executors finish in any order, in their own."""

from __future__ import annotations

from collections.abc import Iterator

from nvcodec.encoding.clock import Clock
from nvcodec.encoding.encode_config import EncodeConfig
from nvcodec.encoding.fit.fit_loop import ShouldStop
from nvcodec.encoding.segments.executors import Executor
from nvcodec.encoding.segments.segment_plan import SegmentPlan
from nvcodec.encoding.segments.segment_store import SegmentStore
from nvcodec.encoding.segments.segment_task import segment_task
from nvcodec.video.clip import Clip

Clips = Iterator[tuple[Clip, bool]]  # of each segment, and whether it is the last one


def finished_segments(
    clips: Clips,
    config: EncodeConfig,
    plan: SegmentPlan,
    executor: Executor,
    store: SegmentStore,
    clock: Clock,
    should_stop: ShouldStop,
) -> Iterator[tuple[str, bool]]:
    """Encode segments; yields the name of each in the store, in order, and whether it is the last one.

    There is one clip for each segment that is being encoded, and the one that is read.

    Args:
        clips: of the segments.
        config: the options of the whole.
        plan: the options of each.
        executor: encodes them.
        store: keeps them; those that it has are not encoded.
        clock: of the encode.
        should_stop: whether an end has been requested.

    Raises:
        KeyboardInterrupt: it has; the segments that have been yielded are finished.
    """

    def collect() -> None:
        done = executor.wait(should_stop)
        if done is None:
            raise KeyboardInterrupt
        store.put(*done)

    names: list[str] = []
    last, yielded, first_frame = False, 0, 0
    while not last:
        with clock.phase("reading"):
            clip, last = next(clips)
        options = plan.options(clip, first_frame, clock.left)
        task = segment_task(len(names), first_frame, clip, config, **options)
        names.append(task.name)
        first_frame += len(clip.frames)
        del clip
        if not store.has(names[-1]):
            while executor.full:
                collect()
            executor.submit(task)
        del task
        while executor.ready:
            collect()
        while yielded < len(names) and store.has(names[yielded]):
            yielded += 1
            yield names[yielded - 1], last and yielded == len(names)
    while yielded < len(names):
        if store.has(names[yielded]):
            yielded += 1
            yield names[yielded - 1], yielded == len(names)
        else:
            collect()
