"""One layer of an encode: from its number of parameters to its files."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from nvcodec.decoding.decoded_video import Video
from nvcodec.encoding.assembly import Assembler
from nvcodec.encoding.encode_config import default_steps
from nvcodec.encoding.encode_task import EncodeTask
from nvcodec.encoding.encoded import Encoded
from nvcodec.encoding.export.reference_layer import decode_reference
from nvcodec.encoding.fit import checkpoint
from nvcodec.encoding.fit.budget import TIMING_WARMUP_STEPS
from nvcodec.encoding.fit.checkpoint import Checkpointer
from nvcodec.encoding.fit.fit import Fit
from nvcodec.encoding.fit.fit_loop import OnStep, fast_cooldown, run
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.fit_state import Snapshot
from nvcodec.encoding.fit.warm_start import warm_start
from nvcodec.encoding.fit_memory import check_memory, memory_for_frames
from nvcodec.encoding.model.decoder_network import ReferenceLayer
from nvcodec.encoding.model.network_shape import NetworkShape
from nvcodec.encoding.quality_target import run_to_quality, save_bits
from nvcodec.encoding.size_target import run_to_size
from nvcodec.encoding.sizing import PROBE_STEPS_SHARE, Sizing
from nvcodec.errors import Interrupted
from nvcodec.format.stream_reader import read_stream


class LayerJob:
    """Fits one layer and makes its files.

    Args:
        task: what all layers share.
        parameters: size of the layer; None chooses one for the target.
        lower_layers: the file of the layers below; empty for a base layer.
        resume_from: the checkpoint to continue from; None for a new fit.
        init: the file whose network a new fit starts from; None for random weights.

    Attributes:
        fit: the fit, once it has begun.
        assembler: what makes files from it.
        interrupted: whether the fit was ended by request.
    """

    def __init__(
        self,
        task: EncodeTask,
        parameters: int | None,
        lower_layers: bytes,
        resume_from: Path | None = None,
        init: Video | None = None,
    ) -> None:
        self.task, self.parameters, self.lower_layers = task, parameters, lower_layers
        self.resume_from, self.init = resume_from, init
        self.interrupted = False
        self.fit: Fit
        self.assembler: Assembler

    def run(self) -> list[Encoded]:
        """Choose the network, fit it, and make a file, or one for each target size.

        Raises:
            Interrupted: an end was requested, and a checkpoint was saved.
            KeyboardInterrupt: an end was requested, and there is no checkpoint.
        """
        task = self.task
        with task.clock.phase("reading"):
            reference = self.decode_reference()
        shape = self.choose_network(reference)
        self.assembler = Assembler(task.clip, shape, task.options.seed, task.device, task.clock, self.lower_layers)
        checkpointer = task.checkpointer(self.lower_layers)
        with task.clock.phase("fitting"):
            self.fit = Fit(task.clip.frames, shape, self.options, task.device, task.loss, reference)
            if self.resume_from is not None:
                checkpoint.restore(self.fit, self.resume_from)
            elif self.init is not None:
                warm_start(self.fit, self.init)
            self.run_fit(checkpointer)
        if len(task.target_bytes) > 1:
            return self.make_ladder(checkpointer)
        target = task.target_bytes[0] if task.target_bytes else None
        return [self.make_file(target, checkpointer)]

    @property
    def options(self) -> FitOptions:
        """Return the options of the fit, with the time that is left now."""
        return dataclasses.replace(
            self.task.options, seconds=self.task.seconds_left, files=max(1, len(self.task.target_bytes))
        )

    def decode_reference(self) -> ReferenceLayer | None:
        """Return what the layer is predicted from; None for a base layer."""
        if not self.lower_layers:
            return None
        memory = memory_for_frames(self.task.config.max_memory)
        return decode_reference(read_stream(self.lower_layers), self.task.device, memory)

    def choose_network(self, reference: ReferenceLayer | None) -> NetworkShape:
        """Return the layer's network; chooses its number of parameters where only a target is given.

        Raises:
            UsageError: the clip cannot be coded with so few parameters, or memory does not suffice.
        """
        task, config = self.task, self.task.config
        # Enhancement layers have no invertible connection: z is sampled for the base layer.
        direct = reference is not None and config.skip == "invertible"
        sizing = Sizing(
            task.clip.width,
            task.clip.height,
            len(task.clip.frames),
            config.lambda_db,
            skip="direct" if direct else config.skip,
            z_gain=config.z_gain,
            grids=config.grids,
            still=task.still,
            reference_channels=reference.features.shape[1] if reference else 0,
        )
        parameters = self.choose_parameters(sizing) if self.parameters is None else self.parameters
        shape = sizing.network(parameters)
        check_memory(shape, parameters, config.max_memory, task.device)
        return shape

    def choose_parameters(self, sizing: Sizing) -> int:
        """Return a number of parameters that can meet the target."""
        task, frames = self.task, len(self.task.clip.frames)
        target_psnr = task.config.target_psnr
        if target_psnr is None:
            # One network serves all sizes of a ladder: it is made for their geometric mean.
            return sizing.for_bytes(round(math.sqrt(max(task.target_bytes) * min(task.target_bytes))))
        with task.clock.phase("choosing a size"):
            steps = min(task.options.steps or default_steps(frames), default_steps(frames))
            with task.clock.share(PROBE_STEPS_SHARE):
                options = dataclasses.replace(self.options, steps=steps)
            return sizing.for_psnr(
                target_psnr,
                task.clip.frames,
                options,
                task.device,
                task.loss,
                task.should_stop,
                self.watched(None),
            )

    def run_fit(self, checkpointer: Checkpointer | None) -> None:
        """Run the fit to its end or, for a target size, until quantisation enters."""
        task, fit, stop = self.task, self.fit, self.task.should_stop
        on_step = self.watched(checkpointer)
        if task.config.target_psnr is not None:
            run_to_quality(fit, task.config.target_psnr, task.on_progress, on_step, stop)
            if self.parameters is None and not stop():
                save_bits(fit, task.config.target_psnr, task.on_progress, stop, lambda: task.clock.left)
        elif task.target_bytes:
            run(fit, task.on_progress, on_step, lambda: stop() or fit.quantised)
        else:
            run(fit, task.on_progress, on_step, stop)

    def watched(self, checkpointer: Checkpointer | None) -> OnStep[Fit] | None:
        """Return what is called after every training step: it saves the fit, and compares its clock with the encode's.

        It raises UsageError as soon as it is known that there is no time for what follows the fit.
        """
        clock = self.task.clock
        if not clock.limited:
            return checkpointer

        def on_step(fit: Fit) -> None:
            if checkpointer:
                checkpointer(fit)
            fit.budget.count_overhead(clock.left)
            if fit.budget.step <= TIMING_WARMUP_STEPS + 1:
                seconds = fit.options.files * fit.budget.least_finishing_seconds
                clock.require(seconds, "decoding and writing the pictures")

        return on_step

    def make_ladder(self, checkpointer: Checkpointer | None) -> list[Encoded]:
        """Make a file for each target size; each continues from where quantisation entered."""
        shared = Snapshot(self.fit)
        ladder = []
        for made, target in enumerate(self.task.target_bytes):
            shared.restore(self.fit)
            with self.task.clock.share(1 / (len(self.task.target_bytes) - made)):
                if self.task.clock.limited:
                    self.fit.budget.allot(self.task.clock.left)
                ladder.append(self.make_file(target, checkpointer, shared))
        return ladder

    def make_file(
        self, target: int | None, checkpointer: Checkpointer | None, shared: Snapshot | None = None
    ) -> Encoded:
        """Take the fit to its end and make one file.

        Args:
            target: bytes of the file; None if its size is free.
            checkpointer: saves the fit.
            shared: the state that all files of a ladder continue from, which is what a checkpoint then holds.
        """
        task, fit = self.task, self.fit
        with task.clock.phase("fitting"):
            if target is not None and not task.should_stop():
                on_step = self.watched(None if shared else checkpointer)
                run_to_size(fit, self.assembler, target, task.on_progress, on_step, task.should_stop)
            self.interrupted = task.should_stop()
            if self.interrupted:
                self.end_early(checkpointer, shared)
        made = self.assembler.make(fit)
        return dataclasses.replace(made, interrupted=self.interrupted, target_bytes=target)

    def end_early(self, checkpointer: Checkpointer | None, shared: Snapshot | None) -> None:
        """Cool the fit down quickly if its file is still wanted; otherwise save it and raise; see :meth:`run`."""
        fit = self.fit
        if self.task.config.on_interrupt == "write":
            fast_cooldown(fit, self.task.on_progress)
            return
        if checkpointer is None or not fit.budget.step:
            raise KeyboardInterrupt
        if shared:
            shared.restore(fit)
        checkpointer.save(fit)
        raise Interrupted(f"interrupted after {fit.budget.step} steps; `resume=True` goes on from {checkpointer.path}")
