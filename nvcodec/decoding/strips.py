"""Evaluation of layers strip by strip: rows that are computed together stay in the processor's cache.

Threads take a strip each: several of them inside each of these small convolutions would wait for each other half the
time. Only for operations whose results at a row depend on few rows around it, which is what a network above an AV1
stream is made of. The results are those of a whole picture, to the bit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import NamedTuple

import torch

from nvcodec.decoding.base_decoder import BaseDecoder
from nvcodec.decoding.picture_conversion import PictureConversion, Samples
from nvcodec.devices import single_threads
from nvcodec.format.inference import Tensor
from nvcodec.format.operations import Add, Below, Concat, Conv, Crop, Op, Picture, Slice, Subtract, Table
from nvcodec.format.stream import Layer

LOCAL = (Add, Below, Concat, Conv, Crop, Picture, Slice, Subtract, Table)
STRIP_ELEMENTS = 2**20  # of the largest result in a strip: 4 MiB
MIN_STRIP_ROWS = 16  # below, the rows that strips share cost too much

#: Computes an operation's result from its inputs, for frames that need not be whole.
Kernel = Callable[[list[torch.Tensor], Sequence[int | Fraction]], torch.Tensor]
Key = tuple[int, int]  # layer, operation
Rows = tuple[int, int]  # first, end


class Step(NamedTuple):
    """Some rows of an operation's result, and the rows of each input that they depend on."""

    key: Key
    op: Op
    rows: Rows
    sources: tuple[tuple[Key, Rows], ...]
    dead: tuple[Key, ...]  # results that nothing reads after this


class Strip(NamedTuple):
    """Some rows of a picture, and the steps that yield them."""

    rows: Rows
    steps: list[Step]


class StripPlan:
    """Which rows of which operations a picture takes, strip by strip.

    Args:
        layers: those that are used; the last operation of the last one is the picture.
        threads: the strips are shared evenly among so many.

    Attributes:
        strips: in order, of about the same height; empty where an operation is not local.
    """

    def __init__(self, layers: Sequence[Layer], threads: int) -> None:
        self.layers = layers
        self.picture: Key = (len(layers) - 1, len(layers[-1].ops) - 1)
        tensor = layers[-1].tensors[-1]
        whole = self._needs((0, tensor.height))
        self.strips: list[Strip] = []
        if not all(isinstance(self._op(key), LOCAL) for key in whole):
            return
        widest = max(self._tensor(key).channels * self._tensor(key).width for key in whole)
        wanted = threads * math.ceil(tensor.height * widest / (threads * STRIP_ELEMENTS))
        count = max(1, min(wanted, tensor.height // MIN_STRIP_ROWS))
        # Even but for the last one, which convolutions to few channels like.
        edges = [tensor.height * strip // count // 2 * 2 for strip in range(count)] + [tensor.height]
        self.strips = [Strip(rows, self._steps(rows)) for rows in itertools.pairwise(edges)]

    def _op(self, key: Key) -> Op:
        return self.layers[key[0]].ops[key[1]]

    def _tensor(self, key: Key) -> Tensor:
        return self.layers[key[0]].tensors[key[1]]

    def _sources(self, key: Key, rows: Rows) -> list[tuple[Key, Rows]]:
        """Return the inputs of an operation, and the rows of each that some rows of its result depend on."""
        op, (low, high) = self._op(key), rows
        if isinstance(op, Below):
            return [((op.layer, op.op), rows)]
        if isinstance(op, Conv):
            reach, height = op.kernel_height // 2, self._tensor(key).height
            low, high = max(0, low - reach), min(height, high + reach)
        elif isinstance(op, Crop):
            low, high = low + op.top, high + op.top
        return [((key[0], source), (low, high)) for source in op.inputs]

    def _needs(self, rows: Rows) -> dict[Key, Rows]:
        """Return the rows of every operation that some rows of the picture depend on."""
        needs = {self.picture: rows}
        for number in range(len(self.layers) - 1, -1, -1):
            for index in range(len(self.layers[number].ops) - 1, -1, -1):
                key = (number, index)
                for source, (low, high) in self._sources(key, needs[key]) if key in needs else ():
                    known = needs.get(source, (low, high))
                    needs[source] = (min(low, known[0]), max(high, known[1]))
        return needs

    def _steps(self, rows: Rows) -> list[Step]:
        """Return what yields some rows of the picture, in the order of evaluation."""
        needs = self._needs(rows)
        last_reader: dict[Key, Key] = {}
        for key in sorted(needs):
            for source, _ in self._sources(key, needs[key]):
                last_reader[source] = key
        return [
            Step(
                key,
                self._op(key),
                needs[key],
                tuple(self._sources(key, needs[key])),
                tuple(source for source, reader in last_reader.items() if reader == key),
            )
            for key in sorted(needs)
        ]


class BasePictures(NamedTuple):
    """What a PICTURE shows: the AV1 stream, and its conversion."""

    decoder: BaseDecoder
    conversion: PictureConversion

    def samples(self, frames: Sequence[int | Fraction]) -> Samples:
        """Decode frames, all of them whole, and bring them to the device."""
        return self.conversion.upload([self.decoder.planes(int(frame)) for frame in frames])


class Strips:
    """The layers of a segment, evaluated strip by strip.

    Args:
        plan: which rows to compute.
        kernels: those of every operation, by layer.
        pictures: what each PICTURE shows.
        dtype: of the picture's samples.
        threads: how many strips are computed at once.
    """

    def __init__(
        self,
        plan: StripPlan,
        kernels: Sequence[Sequence[Kernel]],
        pictures: Mapping[Key, BasePictures],
        dtype: torch.dtype,
        threads: int,
    ) -> None:
        self.plan, self.kernels, self.pictures, self.dtype = plan, kernels, pictures, dtype
        threads = min(threads, len(plan.strips))
        self._threads: ThreadPoolExecutor | None = single_threads(threads) if threads > 1 else None

    def decode(self, frames: Sequence[int | Fraction]) -> torch.Tensor:
        """Decode a picture, given as a list of one frame: samples [1, 3, height, width] on the CPU."""
        samples = {key: pictures.samples(frames) for key, pictures in self.pictures.items()}
        tensor = self.plan.layers[-1].tensors[-1]
        size = (1, 3, tensor.height, tensor.width)
        with torch.inference_mode(False):  # an ordinary tensor, for the caller
            picture = torch.empty(size, dtype=self.dtype, memory_format=torch.channels_last)

        def fill(strip: Strip) -> None:
            first, end = strip.rows
            with torch.inference_mode():  # a thread of its own does not have it from the caller
                picture[:, :, first:end] = self._strip(strip.steps, samples, frames)

        for _ in (self._threads.map if self._threads else map)(fill, self.plan.strips):
            pass
        return picture

    def _strip(
        self, steps: Sequence[Step], samples: Mapping[Key, Samples], frames: Sequence[int | Fraction]
    ) -> torch.Tensor:
        """Compute a strip: [1, 3, rows, width]."""
        results: dict[Key, tuple[Rows, torch.Tensor]] = {}
        for step in steps:
            results[step.key] = (step.rows, self._evaluate(step, results, samples, frames))
            for source in step.dead:
                del results[source]
        return results[self.plan.picture][1]

    def _evaluate(
        self,
        step: Step,
        results: Mapping[Key, tuple[Rows, torch.Tensor]],
        samples: Mapping[Key, Samples],
        frames: Sequence[int | Fraction],
    ) -> torch.Tensor:
        """Compute the rows of a step from the results so far."""
        op = step.op
        inputs = [_rows_of(results[source][1], results[source][0], rows) for source, rows in step.sources]
        if isinstance(op, Picture):
            return self.pictures[step.key].conversion.rows(samples[step.key], *step.rows)
        if isinstance(op, Crop):
            return inputs[0][..., op.left : op.left + op.width].contiguous(memory_format=torch.channels_last)
        result = self.kernels[step.key[0]][step.key[1]](inputs, frames)
        # A convolution pads its input's rows with zeros, as it should at the picture's edge only.
        return _rows_of(result, step.sources[0][1], step.rows) if isinstance(op, Conv) else result


def _rows_of(x: torch.Tensor, have: Rows, want: Rows) -> torch.Tensor:
    """Return the rows ``want`` of [batch, channels, rows, width], which has the rows ``have``."""
    return x if have == want else x[:, :, want[0] - have[0] : want[1] - have[0]]
