"""The runs of frames that a stream gives an operation, collected one by one (specification, sections 4.5 and 4.11)."""

from __future__ import annotations

import abc

import numpy as np

from nvcodec.errors import CorruptStreamError
from nvcodec.format import payloads
from nvcodec.format.accounting import Entry
from nvcodec.format.fields import Cursor
from nvcodec.format.operations import Grid, Picture, Transmitted
from nvcodec.format.payloads import Latents
from nvcodec.format.stream import BaseRun
from nvcodec.format.units import BaseHead, LatentsHead, Unit, UnitType

MAX_RUN = 2**10  # frames, or knots, of a run

#: What the head of a run says: its operation, first frame and number of frames; of knots likewise.
RunHead = tuple[int, int, int]


class Runs(abc.ABC):
    """The runs of one operation so far.

    Args:
        layer: number of its layer.
        op_index: index of the operation.
        total: number of frames, or knots, that it has.

    Attributes:
        done: how many of them the runs so far have.
        lost: frames whose runs are lost.
    """

    KIND: UnitType  # of the units that hold the runs
    noun = "frames"

    def __init__(self, layer: int, op_index: int, total: int) -> None:
        self.layer, self.op_index, self.total = layer, op_index, total
        self.done = 0
        self.lost: list[range] = []

    @property
    def order(self) -> tuple[int, int, int]:
        """What orders its next run among those of a segment."""
        return self.done, self.layer, self.op_index

    @abc.abstractmethod
    def read_head(self, cursor: Cursor) -> RunHead:
        """Read the head of a unit; raises CorruptStreamError."""

    @abc.abstractmethod
    def add(self, unit: Unit) -> list[Entry]:
        """Add the run that a unit holds; returns where its bytes went, and raises as :mod:`payloads` does."""

    def check_next(self, unit: Unit) -> int:
        """Check that a unit holds the next run; returns its end, and raises CorruptStreamError."""
        op_index, first, frames = self.read_head(unit.cursor())
        if (op_index, first) != (self.op_index, self.done) or frames > self.total - self.done:
            raise CorruptStreamError(
                f"{unit.where}: {self.noun} {first} to {first + frames} of operation {op_index}; "
                f"expected operation {self.op_index} from {self.done} of {self.total}"
            )
        if frames > MAX_RUN:
            raise CorruptStreamError(f"{unit.where}: {frames} {self.noun} in a run; at most {MAX_RUN} are allowed")
        return first + frames

    def lose(self, until: int) -> None:
        """Give up the frames up to ``until``, unless there are runs of them all."""
        if until > self.done:
            self.lost.append(range(self.done, until))
            self.done = until


class BaseRuns(Runs):
    """The runs of the AV1 stream that a PICTURE shows."""

    KIND = UnitType.BASE

    def __init__(self, layer: int, op_index: int, op: Picture, frames: int) -> None:
        super().__init__(layer, op_index, frames)
        self.op = op
        self.runs: list[BaseRun] = []

    def read_head(self, cursor: Cursor) -> RunHead:
        head = BaseHead.unpack(cursor)
        return self.op_index, head.first, head.frames

    def add(self, unit: Unit) -> list[Entry]:
        run, entries = payloads.unpack_base(unit, self.op)
        if self.runs and run.sequence_header != self.runs[0].sequence_header:
            raise CorruptStreamError(f"{unit.where}: its AV1 sequence header is not that of the run before")
        self.runs.append(run)
        self.done += run.frames
        return entries


class LatentRuns(Runs):
    """The runs of the latents of a LATENT or GRID."""

    KIND = UnitType.LATENTS

    def __init__(self, layer: int, op_index: int, op: Transmitted, frames: int, by_rows: bool) -> None:
        super().__init__(layer, op_index, op.transmitted(frames))
        self.op, self.by_rows = op, by_rows
        self.runs: list[Latents] = []
        self.noun = "knots" if isinstance(op, Grid) else "frames"

    @property
    def order(self) -> tuple[int, int, int]:
        return (0 if isinstance(self.op, Grid) else self.done), self.layer, self.op_index

    def read_head(self, cursor: Cursor) -> RunHead:
        head = LatentsHead.unpack(cursor)
        return head.op, head.first, head.frames

    def add(self, unit: Unit) -> list[Entry]:
        values, entries = payloads.unpack_latents(unit, self.op, self.by_rows)
        self._add(values)
        return entries

    def _add(self, values: Latents) -> None:
        """Add a run, [frames or knots, values of one]."""
        self.runs.append(values)
        self.done += len(values)

    def lose(self, until: int) -> None:
        """Fill up to frame ``until`` with some value in the operation's range, unless there are runs of them all.

        Raises:
            CorruptStreamError: the operation is a GRID, all of whose knots are needed.
        """
        if until <= self.done:
            return
        if isinstance(self.op, Grid):
            raise CorruptStreamError(f"knots of operation {self.op_index}, which all frames need, are damaged")
        self.lost.append(range(self.done, until))
        filler = np.int16(min(max(0, self.op.low), self.op.high))
        self._add(np.broadcast_to(filler, (until - self.done, self.op.elements)))

    def values(self) -> Latents:
        """All values, [frames or knots, channels, height, width]."""
        values = self.runs[0] if len(self.runs) == 1 else np.concatenate(self.runs)
        return values.reshape(self.total, self.op.channels, self.op.height, self.op.width)
