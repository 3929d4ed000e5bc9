"""The networks above a given AV1 stream: which sizes to try, their fits, the choice among them, and the file."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.devices import single_threads, thread_count
from nvcodec.encoding.av1.correction_export import export_base, export_correction
from nvcodec.encoding.av1.correction_fit import CorrectionFit
from nvcodec.encoding.av1.correction_loss import LEAST_ERROR, CropLoss
from nvcodec.encoding.av1.correction_network import BORDER, CorrectionShape
from nvcodec.encoding.av1.crops import take_crops
from nvcodec.encoding.av1.svt_encoder import TemporalUnit
from nvcodec.encoding.clip_header import base_stream
from nvcodec.encoding.clock import Clock
from nvcodec.encoding.encoded import Encoded
from nvcodec.encoding.fit.fit_loop import OnProgress, fast_cooldown, run
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.verification import decode_and_measure, verify
from nvcodec.errors import UsageError
from nvcodec.format.av1_headers import check_run
from nvcodec.format.operations import Add, Picture, Picture10
from nvcodec.format.stream import BaseRun, Layer, Stream
from nvcodec.format.stream_writer import write_stream
from nvcodec.video.clip import Clip
from nvcodec.video.frames import Frames

MIN_HIDDEN, MAX_HIDDEN = 4, 64  # channels
CHECKSUM_BYTES, CHECKSUM_PARTS = 4, 2000  # picture checksums take at most one part in so many of a file, or one of them
LEAST_LOSS = 1e-9
LEAST_SECONDS = 1.0  # of a fit, however little time is left

#: What a file says of itself, from its number of layers, what returns the PSNR up to one of them, and its bytes.
MetadataOf = Callable[[int, Callable[[int], float], int], dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class CorrectionTask:
    """What is coded, and how the networks are fitted.

    Attributes:
        clip: the source.
        weights: importance of each pixel, uint8 like the frames; None where all count alike.
        loss: what the networks are fitted for.
        picture: the operation that shows the AV1 stream, without a margin.
        shapes: for each layer above the stream, the networks to try, given the bytes below it.
        fixed_size: whether the size of the networks was asked for, so that they stay whatever they bring.
        options: of the fits.
        device: where to fit.
        threads: how many fits may run at once on the CPU.
        clock: seconds spent per phase, and left.
        on_progress: called with the progress of the first fit.
        should_stop: whether an end has been requested.
    """

    clip: Clip
    weights: Frames | None
    loss: CropLoss
    picture: Picture
    shapes: Sequence[Callable[[int], Sequence[CorrectionShape]]]
    fixed_size: bool
    options: FitOptions
    device: torch.device
    threads: int
    clock: Clock
    on_progress: OnProgress | None
    should_stop: Callable[[], bool]


def shape_of_size(parameters: int) -> CorrectionShape:
    """Return the largest network with at most so many weights and biases.

    Raises:
        UsageError: there is none, or it would be larger than any that is useful.
    """
    shapes = [CorrectionShape(hidden) for hidden in range(MIN_HIDDEN, MAX_HIDDEN + 1)]
    least, most = shapes[0].parameters, shapes[-1].parameters
    if not least <= parameters <= most:
        raise UsageError(
            f"above an AV1 stream a network has {least} to {most} parameters, `size` asks for {parameters}; "
            '`base="none"` makes a network alone'
        )
    return [shape for shape in shapes if shape.parameters <= parameters][-1]


class CorrectionJob:
    """Makes files of AV1 streams.

    Args:
        task: what is coded, and how.

    Attributes:
        made: how many files have been made.
    """

    def __init__(self, task: CorrectionTask) -> None:
        self.task = task
        self.made = 0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures."""
        return self.task.clip.height, self.task.clip.width

    @property
    def margin(self) -> int:
        """Pixels around the decoded picture: as far as all networks together see."""
        return BORDER * len(self.task.shapes)

    @property
    def picture(self) -> Picture:
        """The operation that yields the decoded picture, in the unit that its samples take, with this margin."""
        kind = Picture if self.task.clip.bits == 8 else Picture10
        return kind(**{**dataclasses.asdict(self.task.picture), "margin": self.margin})

    def base_psnr(self, units: Sequence[TemporalUnit]) -> float:
        """Return the RGB PSNR in dB of a stream alone."""
        return decode_and_measure(self.stream_of(units), self.task.clip, self.task.device)[1]

    def stream_of(self, units: Sequence[TemporalUnit]) -> Stream:
        """Return a stream of one layer, the AV1 stream."""
        clip = self.task.clip
        picture = self.picture
        stream = base_stream(clip, export_base(picture, runs_of(units, picture), self.size), self.task.options.seed)
        stream.compact = True
        return stream

    def files(self, units: Sequence[TemporalUnit], metadata: MetadataOf) -> list[Encoded]:
        """Fit the networks above a stream; returns the file after each layer above it, or of the stream alone."""
        stream = self.stream_of(units)
        psnrs: dict[int, float] = {}

        def quality_of(layer: int) -> float:
            if layer not in psnrs:  # no file was made of the stream alone
                psnrs[layer] = self.base_psnr(units)
            return psnrs[layer]

        made = []
        for number, shapes in enumerate(self.task.shapes):
            with self.task.clock.share(1 / (len(self.task.shapes) - number)):
                layer = self.best(stream, shapes)
            if layer:
                stream.segments[0].layers.append(layer)
                if number + 1 < len(self.task.shapes):
                    made.append(self.finished(stream, psnrs, quality_of, metadata))
        made.append(self.finished(stream, psnrs, quality_of, metadata))
        return made

    def best(self, stream: Stream, shapes_for: Callable[[int], Sequence[CorrectionShape]]) -> Layer | None:
        """Fit networks above a stream; returns the one whose gain exceeds its bytes most.

        None if no gain is worth its bytes, or the pictures below are all but the source, unless the size of the network
        was asked for.
        """
        task, layers = self.task, stream.segments[0].layers
        start = task.clock.left
        with task.clock.phase("reading"):
            op_below = 0 if len(layers) == 1 else max(i for i, op in enumerate(layers[-1].ops) if isinstance(op, Add))
            below = ExactNetwork(stream.segments[0], 0, 0, task.device, len(layers), [(len(layers) - 1, op_below)])
            crops = take_crops(below, task.clip.frames, task.weights, BORDER, self.margin, task.options.seed)
            crops = crops.to(task.device)
        if float(crops.rgb_errors.mean()) < LEAST_ERROR * crops.step**2 and not task.fixed_size:
            return None  # what rounding alone does to a picture is more
        decoding = 0.0
        if task.clock.limited:
            decoding = (start - task.clock.left) / len(set(crops.frames.tolist())) * len(task.clip.frames)
            if not self.made:  # a later file that takes too long is better than none at all
                task.clock.require(decoding + LEAST_SECONDS, "decoding and writing the pictures")
        size = file_bytes(stream, layers)
        shapes = shapes_for(size)

        def candidate(fit: CorrectionFit) -> tuple[float, Layer]:
            """Take a fit to its end; returns its loss, and the layer."""
            run(fit, on_progress if fit is fits[0] else None, should_stop=task.should_stop)
            if task.should_stop():
                fast_cooldown(fit)
            layer = export_correction(fit.finish(), crops, layers, op_below, self.picture, self.size)
            return fit.mean_loss(), layer

        # Each fit by one thread, so that the result does not depend on the number of threads.
        with task.clock.phase("fitting"), thread_count(1):
            on_progress = task.on_progress
            options = self.options(len(shapes), decoding)
            pixels = len(task.clip.frames) * task.clip.height * task.clip.width
            fits = [CorrectionFit(crops, shape, options, task.loss, 8.0 * size, pixels) for shape in shapes]
            before = fits[0].loss_below()
            with single_threads(min(task.threads, len(fits))) as pool:
                candidates = list(pool.map(candidate, fits))
        scores = []
        for loss, layer in candidates:
            growth = math.log2(file_bytes(stream, [*layers, layer]) / size)
            scores.append(gain_db(before, loss) - task.options.rd_lambda * growth)
        best = max(range(len(scores)), key=scores.__getitem__)
        return candidates[best][1] if scores[best] > 0 or task.fixed_size else None

    def options(self, fits: int, decoding: float) -> FitOptions:
        """Return the options of so many fits, which share the time that decoding the stream below leaves."""
        task = self.task
        if not task.clock.limited:
            return task.options
        left = task.clock.left - decoding
        return dataclasses.replace(task.options, seconds=max(LEAST_SECONDS, left / math.ceil(fits / task.threads)))

    def finished(
        self, stream: Stream, psnrs: dict[int, float], quality_of: Callable[[int], float], metadata: MetadataOf
    ) -> Encoded:
        """Decode the integers, write a file, read it again, and compare.

        Args:
            stream: all its layers; the checksums of the highest one are filled in.
            psnrs: RGB PSNR in dB up to layers; that with all of them is added.
            quality_of: returns the PSNR up to a layer.
            metadata: what the file says of itself.

        Raises:
            VerificationError: the file does not decode to what was meant.
        """
        task = self.task
        layers = stream.segments[0].layers
        with task.clock.phase("quantising"):
            for layer in layers:
                layer.checksums, layer.frames_per_checksum = np.zeros(0, np.uint32), 1
            size = file_bytes(stream, layers)
            layers[-1].frames_per_checksum = frames_per_checksum(stream.frames, size)
            layers[-1].checksums, quality = decode_and_measure(stream, task.clip, task.device)
            psnrs[len(layers) - 1] = quality
            stream.metadata = metadata(len(layers), quality_of, size)
        with task.clock.phase("writing"):
            data = write_stream(stream, index=False)
        with task.clock.phase("verifying"):
            verify(data, stream, task.clip)
        self.made += 1
        clip = task.clip
        return Encoded(
            data, stream.parameters, len(clip.frames), clip.width, clip.height, quality, dict(task.clock.seconds)
        )


def runs_of(units: Sequence[TemporalUnit], picture: Picture) -> list[BaseRun]:
    """Cut a stream into runs, at its key frames."""
    starts = [index for index, unit in enumerate(units) if unit.key]
    runs = []
    for first, end in zip(starts, [*starts[1:], len(units)], strict=True):
        data = b"".join(unit.data for unit in units[first:end])
        header, ends = check_run(data, end - first, picture, f"the AV1 stream's frames {first} to {end - 1}")
        runs.append(BaseRun(first, end - first, data, header, ends))
    return runs


def gain_db(before: float, after: float) -> float:
    """Return the decibels by which a loss falls; infinite where it was not positive, so that they say nothing."""
    if before > 0:
        return 10 * math.log10(before / max(after, LEAST_LOSS))
    return math.inf if after < before else -math.inf


def frames_per_checksum(frames: int, file_bytes: int) -> int:
    """Return how many frames share a checksum: one, or as few as keep the checksums a small share of the file."""
    group = 1
    while group < frames and CHECKSUM_PARTS * CHECKSUM_BYTES * -(-frames // group) > file_bytes:
        group *= 2
    return min(group, frames)


def file_bytes(stream: Stream, layers: Sequence[Layer]) -> int:
    """Return the size of a stream with other layers."""
    segment = dataclasses.replace(stream.segments[0], layers=list(layers))
    return len(write_stream(dataclasses.replace(stream, segments=[segment]), index=False))
