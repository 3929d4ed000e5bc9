"""One encode, phase by phase: check the outputs, read, plan the layers, fit each, fit them jointly, write."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from nvcodec.decoding.decoded_video import Video as DecodedVideo
from nvcodec.devices import pick_device, thread_count
from nvcodec.encoding.av1.base_job import make_files
from nvcodec.encoding.capacity import check_capacity
from nvcodec.encoding.clock import Clock
from nvcodec.encoding.encode_config import EncodeConfig
from nvcodec.encoding.encode_task import EncodeTask
from nvcodec.encoding.encoded import Encoded
from nvcodec.encoding.fit import checkpoint
from nvcodec.encoding.fit.fit import has_fast_bfloat16
from nvcodec.encoding.fit.fit_loop import OnProgress
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.interruption import interruption
from nvcodec.encoding.fit.joint_fit import fit_jointly
from nvcodec.encoding.fit.losses import Loss, loss_of
from nvcodec.encoding.fit_memory import memory_for_frames
from nvcodec.encoding.layer_job import LayerJob
from nvcodec.encoding.source_extras import extras_ahead, with_extras
from nvcodec.encoding.wrapping import check_suffix, write_file
from nvcodec.errors import InputError, UsageError
from nvcodec.files import check_writable, is_same_file
from nvcodec.format.stream_reader import layer_ends, read_stream
from nvcodec.notes import note_left_out
from nvcodec.video.clip import Clip
from nvcodec.video.frames import Frames
from nvcodec.video.motion import change
from nvcodec.video.pictures import Source, as_clip
from nvcodec.video.selection import EVERYTHING
from nvcodec.video.source import OnFrame, Reading

MAX_STILL_CHANGE = 0.55  # of the detail that is another four frames later, in a clip that counts as still
JOINT_SHARE = 0.25  # of a layer's training steps, or of all time, in which all layers are fitted jointly
TIMED_GPU_BATCH = 4  # frames per training step on a GPU if only time ends the fit: they take little longer than one
PLACEHOLDER = "{}"  # in the name of an output, for the size
LEAST_SECONDS = 1e-3  # of joint fitting
READING_SECONDS = 1.0  # after which it is known how long a frame takes

Output = str | os.PathLike[str]


class EncodeJob:
    """One encode from its source to its files.

    Args:
        source: see :data:`~nvcodec.video.pictures.Source`.
        output: the file to write; None returns its bytes only.
        config: the options.
        on_progress: called with the progress of each fit.
        clip, clock: all of the source, and what has run while it was read; None if it has not been read.

    Attributes:
        outputs: the files to write, one for each target size.
        files: those made after each layer.
    """

    def __init__(
        self,
        source: Source,
        output: Output | None,
        config: EncodeConfig,
        on_progress: OnProgress | None = None,
        clip: Clip | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.source, self.output, self.config, self.on_progress = source, output, config, on_progress
        self.device = pick_device(config.device)
        self.clip, self.clock = clip, clock or Clock(config.time_limit)
        self.outputs = [] if output is None else output_names(os.fspath(output), config.target_sizes)
        # A checkpoint holds one fit, and layers that are fitted jointly have several.
        self.checkpoint_path = None if config.joint else checkpoint.path_beside(output)
        self.files: list[list[Encoded]] = []

    def run(self) -> Encoded:
        """Do all phases; raises what :func:`nvcodec.encode` documents."""
        self.check_outputs()
        init = None if self.config.init is None else DecodedVideo(self.config.init, device=self.config.device)
        with self.clock.phase("reading"):
            extras = extras_ahead(self.source, self.config)
            clip, weights = self.read_source()
            self.config, self.complete = with_extras(self.source, clip, self.config, extras)
        lower_layers, sizes = self.plan_layers(clip)
        with thread_count(self.config.threads), interruption() as should_stop:
            if self.config.has_av1:
                hooks = (self.on_progress, should_stop, self.checkpoint_path)
                self.files = make_files(clip, weights, self.config, self.device, self.clock, *hooks)
                return self.write_files()
            task = self.make_task(clip, loss_of(self.config.loss, weights), should_stop)
            jobs = self.fit_layers(task, sizes, lower_layers, init)
            if self.config.joint and not jobs[-1].interrupted:
                self.fit_jointly(task, jobs)
        return self.write_files()

    def check_outputs(self) -> None:
        """Refuse outputs that exist or are the source, and checkpoints that are in the way or missing.

        Raises:
            InputError: an output cannot be written.
            UsageError: one is.
        """
        config, path = self.config, self.checkpoint_path
        for output in self.outputs:
            if is_same_file(output, self.source):
                raise UsageError(f"{output} is the source; give the output another name")
            check_suffix(output, config.has_av1)
            if os.path.exists(output) and not config.overwrite:
                raise UsageError(f"{output} exists; `overwrite=True` replaces it")
            check_writable(output)
        if config.resume and path is None:
            raise UsageError("`resume` needs an output that is a file, beside which the checkpoint lies")
        if path is not None and path.exists() and not (config.resume or config.overwrite):
            raise UsageError(
                f"{path} is of an interrupted encode; `resume=True` goes on with it, `overwrite=True` starts anew"
            )

    def read_source(self) -> tuple[Clip, Frames | None]:
        """Read the clip, and the importance of its pixels, uint8 like its frames, if it is given.

        Raises:
            InputError: there is nothing that can be encoded.
        """
        config = self.config
        selection = config.selection
        memory = memory_for_frames(config.max_memory)
        clip = self.clip or as_clip(
            self.source, selection, config.frame_rate, memory, watch_reading(config, self.clock)
        )
        check_capacity(config, len(clip.frames), clip.width, clip.height, clip.seconds)
        weights = None
        if config.weights is not None:
            cut = EVERYTHING if isinstance(config.weights, torch.Tensor) else selection
            cut = dataclasses.replace(cut, bits=8)
            weights = as_clip(config.weights, cut, None, memory, watch_time(self.clock)).frames
        if weights is not None and weights.shape != clip.frames.shape:
            raise UsageError(
                f"`weights` gives {_size(weights)}, the source {_size(clip.frames)}: "
                "a picture is needed for every frame"
            )
        return clip, weights

    def plan_layers(self, clip: Clip) -> tuple[bytes, Sequence[int | None]]:
        """Return the file of the layers that are there, and the parameters of those still to be fitted.

        Raises:
            InputError: the file to add to, or the checkpoint, cannot be read.
            UsageError: it is of another video or encode.
        """
        config, sizes = self.config, self.config.layer_sizes
        if config.has_av1:
            return b"", ()
        lower_layers = b"" if config.onto is None else file_of(config.onto, clip)
        if not config.resume or self.checkpoint_path is None:
            return lower_layers, sizes
        done = checkpoint.lower_layers_in(self.checkpoint_path) or lower_layers
        given = layer_ends(lower_layers)
        fitted = len(layer_ends(done)) - len(given)
        if not done.startswith(lower_layers[: given[-1]] if given else b"") or fitted >= len(sizes):
            raise UsageError(f"{self.checkpoint_path} is of an encode to other layers")
        return done, sizes[fitted:]

    def make_task(self, clip: Clip, loss: Loss, should_stop: Callable[[], bool]) -> EncodeTask:
        """Return what all layers share."""
        config = self.config
        steps = config.training_steps(len(clip.frames))
        options = FitOptions(
            steps,
            batch=TIMED_GPU_BATCH if steps is None and self.device.type == "cuda" else 1,
            seed=config.seed,
            rep=config.block == "rep",
            rd_lambda=config.lambda_db,
            bfloat16=has_fast_bfloat16(self.device),
        )
        return EncodeTask(
            config,
            clip,
            loss,
            config.file_sizes(clip.seconds),
            options,
            change(clip.frames) < MAX_STILL_CHANGE,
            self.device,
            self.clock,
            self.on_progress,
            should_stop,
            self.checkpoint_path,
        )

    def fit_layers(
        self, task: EncodeTask, sizes: Sequence[int | None], lower_layers: bytes, init: DecodedVideo | None
    ) -> list[LayerJob]:
        """Fit the layers one after the other, each to the residual of those below, until an end is requested."""
        jobs: list[LayerJob] = []
        with self.clock.share(1 - JOINT_SHARE if self.config.joint else 1):
            for number, parameters in enumerate(sizes):
                job = LayerJob(
                    task,
                    parameters,
                    lower_layers,
                    resume_from=self.checkpoint_path if self.config.resume and number == 0 else None,
                    init=None if lower_layers else init,
                )
                with self.clock.share(share_of_time(sizes[number:])):
                    self.files.append(job.run())
                jobs.append(job)
                if job.interrupted:
                    break
                lower_layers = self.files[-1][0].data
        return jobs

    def fit_jointly(self, task: EncodeTask, jobs: Sequence[LayerJob]) -> None:
        """Fit all layers jointly for a while and make their files anew; a requested end cuts this short."""
        steps = task.options.steps
        finishing = sum(job.fit.budget.finishing_seconds for job in jobs)
        with self.clock.phase("fitting"):
            fit_jointly(
                [job.fit for job in jobs],
                None if steps is None else max(1, round(JOINT_SHARE * steps)),
                max(LEAST_SECONDS, self.clock.left - finishing) if self.clock.limited else None,
                task.should_stop,
            )
        lower_layers = b""
        for number, job in enumerate(jobs):
            job.lower_layers = job.assembler.lower_layers = lower_layers
            job.fit.decoder.reference = job.decode_reference()
            made = dataclasses.replace(job.assembler.make(job.fit), interrupted=task.should_stop())
            self.files[number] = [made]
            lower_layers = made.data

    def write_files(self) -> Encoded:
        """Write the outputs with what travels beside the pictures, remove the checkpoint, and return the result."""
        self.files = [list(map(self.complete, files)) for files in self.files]
        ladder = self.files[-1]
        for path, encoded in zip(self.outputs, ladder, strict=bool(self.outputs)):
            note_left_out(path, write_file(path, encoded.data))
        if self.checkpoint_path is not None:
            checkpoint.discard(self.checkpoint_path)
        layered = len(self.config.layer_sizes) > 1 or self.config.onto is not None
        return dataclasses.replace(
            ladder[0],
            ladder=tuple(ladder) if len(ladder) > 1 else (),
            layers=tuple(files[0] for files in self.files) if layered else (),
        )


def watch_reading(config: EncodeConfig, clock: Clock) -> OnFrame:
    """Return what is told of each frame that is read, and raises UsageError where options cannot be fulfilled."""
    watch = watch_time(clock)

    def on_frame(reading: Reading) -> None:
        check_capacity(config, reading.least, reading.width, reading.height)
        watch(reading)

    return on_frame


def watch_time(clock: Clock) -> OnFrame:
    """Return what is told of each frame that is read: it raises UsageError where there is no time for all of them."""
    start = clock.left

    def check(reading: Reading) -> None:
        nonlocal start
        if reading.frames == 1:  # which takes longer than others
            start = clock.left
        elif clock.limited and (spent := start - clock.left) > READING_SECONDS:
            left = max(0, reading.expected - reading.frames)
            clock.require(spent * left / (reading.frames - 1), "the frames still to be read")

    return check


def share_of_time(sizes: Sequence[int | None]) -> float:
    """Return the first layer's share, by its size, of the time that is left for these layers."""
    return sizes[0] / sum(size or 0 for size in sizes) if sizes[0] else 1.0


def output_names(output: str, sizes: Sequence[int]) -> list[str]:
    """Return the files to write: ``output``, or one for each of several sizes in bytes.

    Raises:
        UsageError: two of them would have the same name.
    """
    if len(sizes) < 2:
        return [output]
    names = [output.replace(PLACEHOLDER, str(file_bytes)) for file_bytes in sizes]
    if len(set(names)) < len(names):
        raise UsageError(
            f"several sizes make several files: they differ, and stand in the output's name for its {PLACEHOLDER}"
        )
    return names


def file_of(path: str | os.PathLike[str], clip: Clip) -> bytes:
    """Return the bytes of a file to which layers of ``clip`` are to be added.

    Raises:
        InputError: it cannot be read.
        UsageError: it is of another video.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {os.fspath(path)}: {error.strerror}") from None
    stream = read_stream(data)
    head = stream.segments[0].head
    if stream.note:
        raise InputError(f"{os.fspath(path)} cannot be added to: {stream.note}")
    if (stream.frames, head.width, head.height) != (len(clip.frames), clip.width, clip.height):
        raise UsageError(
            f"{os.fspath(path)} holds {stream.frames} frames of {head.width}x{head.height}, "
            f"the source {_size(clip.frames)}"
        )
    if stream.video.bits != clip.bits:
        raise UsageError(
            f"{os.fspath(path)} has {stream.video.bits} bits a sample, the source {clip.bits}; "
            f"`bits={stream.video.bits}` makes them equal"
        )
    return data


def _size(frames: Frames) -> str:
    return f"{len(frames)} frames of {frames.shape[3]}x{frames.shape[2]}"
