"""One encode of a source that may be long: its segments, encoded by themselves, put together in order."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import torch

from nvcodec.encoding.av1.base_job import PSNR_TOLERANCE
from nvcodec.encoding.av1.crf_search import CrfSearch, target_of_quality, target_of_size
from nvcodec.encoding.encode_config import DEFAULT_CRF, EncodeConfig
from nvcodec.encoding.encode_job import EncodeJob, Output, watch_reading
from nvcodec.encoding.encoded import MIN_FILL, Encoded
from nvcodec.encoding.fit.fit_loop import OnProgress, Progress, ShouldStop, never
from nvcodec.encoding.fit.interruption import interruption
from nvcodec.encoding.fit_memory import memory_for_frames
from nvcodec.encoding.segments.executors import Executor, InProcess, Processes
from nvcodec.encoding.segments.growing_file import NoSink, growing_file
from nvcodec.encoding.segments.ray_executor import RayCluster
from nvcodec.encoding.segments.segment_assembly import SegmentAssembly
from nvcodec.encoding.segments.segment_order import Clips, finished_segments
from nvcodec.encoding.segments.segment_plan import SegmentPlan, check_repeatable, needs_survey
from nvcodec.encoding.segments.segment_store import SegmentStore
from nvcodec.encoding.source_extras import ExtrasInParts, extras_ahead, require_space
from nvcodec.errors import Interrupted, UsageError
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.stream_writer import ByteSink
from nvcodec.notes import note, silenced
from nvcodec.video.clip import Clip
from nvcodec.video.frames import FrameCollector
from nvcodec.video.pictures import Source, as_clip
from nvcodec.video.segment_reader import MOST_SECONDS, SegmentLengths, read_segments
from nvcodec.video.selection import Selection
from nvcodec.video.source import Reading
from nvcodec.video.video_file import STDIN

MAX_PASSES = 4  # over the source, on the way to a target


class SegmentedJob:
    """One encode, of one segment or of several.

    Args:
        source, output, config: as of :class:`~nvcodec.encoding.encode_job.EncodeJob`.
        on_progress: called with the progress of the fit where there is one segment, and else with that of all.
    """

    def __init__(
        self, source: Source, output: Output | None, config: EncodeConfig, on_progress: OnProgress | None = None
    ) -> None:
        self.source, self.output, self.config, self.on_progress = source, output, config, on_progress
        self.whole = EncodeJob(source, output, config, on_progress)
        self.clock = self.whole.clock
        self.reading: Reading | None = None
        self.should_stop: ShouldStop = never
        self.plan = SegmentPlan(config)

    def run(self) -> Encoded:
        """Do all phases; raises what :func:`nvcodec.encode` documents."""
        if self.config.for_all_frames:
            return self.as_one_segment()
        self.whole.check_outputs()
        if needs_survey(self.config):
            self.collect_source()
        with silenced():  # it refuses sound that is too much; what is left out is said later
            extras_ahead(self.source, self.config)
        clips = self.clips()
        with self.clock.phase("reading"):
            first, last = next(clips)
        if last:
            return self.as_one_segment(first)
        check_repeatable(self.config, self.source == STDIN)
        # What travels beside the pictures is read with the first ones, and anew for each file that is made.
        self.head = dataclasses.replace(first, frames=torch.stack([first.frames[0]]), ticks=first.ticks[:1])
        clips = itertools.chain(iter([(first, False)]), clips)
        del first
        self.store = SegmentStore(self.output, self.config.resume, self.config.overwrite)
        with (
            contextlib.closing(self.store),
            interruption() as self.should_stop,
            contextlib.closing(self.new_executor()) as self.executor,
            growing_file(self.output) as file,
        ):
            assembly = self.assembly(file)
            interrupted = False
            try:
                for name, last in self.all_finished(clips):
                    self.add(assembly, self.store.load(name), last)
            except KeyboardInterrupt:
                interrupted = True
                self.end_early(assembly)
            file.seek(0)
            data = file.read()
        self.store.discard()
        return self.result(assembly, data, interrupted)

    def collect_source(self) -> None:
        """Collect what can be read but once, and is not a file."""
        if isinstance(self.source, (str, os.PathLike, Clip)):
            return
        config = self.config
        self.source = as_clip(self.source, config.selection, config.frame_rate, memory_for_frames(config.max_memory))
        everything: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(Selection)}
        self.config = dataclasses.replace(config, fps=None, **everything)
        self.plan.config = self.config

    def new_executor(self) -> Executor:
        """Return what encodes the segments."""
        if self.config.ray is not None:
            return RayCluster(self.config.ray)
        return Processes(self.config.jobs) if self.config.jobs > 1 else InProcess()

    def all_finished(self, clips: Clips) -> Iterable[tuple[str, bool]]:
        """Encode all segments so that the file meets its target; returns or yields as :meth:`finished`."""
        config, plan = self.config, self.plan
        if needs_survey(config):
            with self.clock.phase("choosing a size"):
                plan.survey(clips)
                if plan.file_bytes is not None:
                    plan.extras = self.extra_bytes()
                    require_space(plan.extras, [plan.file_bytes])
            if not config.has_av1:
                return self.finished(self.clips())
            return self.at_target()
        if config.time_limit is not None:
            plan.frames = self.reading.expected if self.reading else 0
            if not plan.frames:
                raise UsageError(f"{self.name} does not say how long it is; `time_limit` needs to know")
        return self.finished(clips)

    def at_target(self) -> list[tuple[str, bool]]:
        """Encode all segments with the same rate factor, again and again until the file meets its target."""
        plan = self.plan
        if plan.file_bytes is not None:
            target, start = target_of_size(plan.file_bytes - plan.extras, MIN_FILL), plan.first_crf()
        else:
            assert self.config.target_psnr is not None
            target, start = target_of_quality(self.config.target_psnr, PSNR_TOLERANCE), DEFAULT_CRF
        tries = CrfSearch(target, start)
        passes: dict[float, list[tuple[str, bool]]] = {}
        while tries.next is not None and len(passes) < MAX_PASSES:
            crf = plan.crf = tries.next
            passes[crf] = list(self.finished(self.clips()))
            with silenced():
                whole = self.assembly(NoSink())
                for name, last in passes[crf]:
                    whole.add(self.store.load(name), last)
            tries.tell(crf, whole.psnr if plan.file_bytes is None else math.log(whole.file_bytes - plan.extras))
        return passes[target.best(tries.tried)]

    def assembly(self, sink: ByteSink) -> SegmentAssembly:
        """Return what puts segments together."""
        return SegmentAssembly(sink, ExtrasInParts(self.source, self.head, self.config))

    def extra_bytes(self) -> int:
        """Return the bytes of what travels beside the pictures."""
        with silenced():
            extras = ExtrasInParts(self.source, self.head, self.config)
            tracks = extras.until(Fraction(10**9), True)
            extras.close()
        return sum(track.bytes for track in tracks)

    def as_one_segment(self, clip: Clip | None = None) -> Encoded:
        """Encode the source at once; ``clip``: what has been read of it, all, or None."""
        encoded = EncodeJob(self.source, self.output, self.config, self.on_progress, clip, self.clock).run()
        reason = self.config.for_all_frames
        if reason and read_stream(encoded.data).seconds > MOST_SECONDS:
            note(self.name, f"is one segment, in memory all at once, because of {reason}")
        return encoded

    @property
    def name(self) -> str:
        """The source, for messages."""
        return os.fspath(self.source) if isinstance(self.source, (str, os.PathLike)) else "the source"

    def clips(self) -> Clips:
        """Read the source as clips of its segments."""
        config, segment = self.config, self.config.segment
        check = watch_reading(config, self.clock)
        memory = memory_for_frames(config.max_memory)
        # One clip for each job, and one that is being read. Other processes read them from files.
        part = None if memory is None else memory // (config.jobs + 1)
        shared = config.jobs > 1

        def on_frame(reading: Reading) -> None:
            self.reading = reading
            check(reading)
            if self.should_stop():
                raise KeyboardInterrupt

        lengths = SegmentLengths() if isinstance(segment, str) else SegmentLengths.fixed(Fraction(segment))
        return read_segments(
            self.source,
            config.selection,
            config.frame_rate,
            lengths,
            lambda: FrameCollector(0 if shared else part, shared),
            on_frame,
        )

    def finished(self, clips: Clips) -> Iterator[tuple[str, bool]]:
        """Encode segments; see :func:`finished_segments`."""
        hooks = (self.executor, self.store, self.clock, self.should_stop)
        return finished_segments(clips, self.config, self.plan, *hooks)

    def add(self, assembly: SegmentAssembly, encoded: Encoded, last: bool) -> None:
        """Add a segment to the file, and tell how far it is."""
        with self.clock.phase("writing"):
            assembly.add(encoded, last)
        for phase, seconds in encoded.seconds.items():
            self.clock.seconds[phase] = self.clock.seconds.get(phase, 0.0) + seconds
        if self.on_progress:
            done, total = assembly.frames, max(assembly.frames, self.reading.expected if self.reading else 0)
            passed = self.clock.passed
            left = passed / done * (total - done)
            self.on_progress(Progress(done, total, 0.0, assembly.psnr, passed, left, "segments"))
        if encoded.interrupted:
            raise KeyboardInterrupt

    def end_early(self, assembly: SegmentAssembly) -> None:
        """End the file if it is wanted as far as it goes; raises Interrupted or KeyboardInterrupt if not."""
        if self.config.on_interrupt == "write" and assembly.frames:
            return assembly.finish()
        if self.output is None:
            raise KeyboardInterrupt
        raise Interrupted(f"interrupted; `resume=True` goes on with the finished segments in {self.store.path}")

    def result(self, assembly: SegmentAssembly, data: bytes, interrupted: bool) -> Encoded:
        """Return what is known of the whole file."""
        return dataclasses.replace(
            assembly.latest,
            data=data,
            parameters=assembly.parameters,
            frames=assembly.frames,
            psnr=assembly.psnr,
            seconds=dict(self.clock.seconds),
            interrupted=interrupted,
            target_bytes=self.plan.file_bytes,
        )
