"""The runs of frames that a stream gives an operation, collected one by one (specification, sections 4.5 and 4.11)."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import overload

import numpy as np

from nvcodec.errors import CorruptStreamError, about
from nvcodec.format import payloads
from nvcodec.format.accounting import Entry
from nvcodec.format.byte_source import ByteSource
from nvcodec.format.fields import Cursor
from nvcodec.format.operations import Grid, Picture, Transmitted
from nvcodec.format.payloads import Latents
from nvcodec.format.stream import BaseRun
from nvcodec.format.unit_heads import read_units
from nvcodec.format.units import BaseHead, LatentsHead, Unit, UnitHead, UnitType

BASE_HEAD_BYTES = 12  # at least those of the head of a BASE unit
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


class DeferredRuns(Sequence[BaseRun]):
    """The runs of a segment's AV1 stream in a file, each read when it is wanted; the last one is kept.

    That each has the sequence header of the one before it is not checked.

    Args:
        source: the bytes of the file.
        heads: its BASE units.
        picture: the operation that shows them.
        frames: of the segment.
        name: of the file, for messages.
    """

    def __init__(self, source: ByteSource, heads: Sequence[UnitHead], picture: Picture, frames: int, name: str) -> None:
        self.source, self.heads, self.picture, self.frames, self.name = source, heads, picture, frames, name
        self.firsts = FirstFrames(source, heads)
        self._kept: tuple[int, BaseRun] | None = None

    def __len__(self) -> int:
        return len(self.heads)

    @overload
    def __getitem__(self, index: int) -> BaseRun: ...

    @overload
    def __getitem__(self, index: slice) -> list[BaseRun]: ...

    def __getitem__(self, index: int | slice) -> BaseRun | list[BaseRun]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        number = range(len(self))[index]
        kept = self._kept  # looked up once: another thread may replace it
        if kept is None or kept[0] != number:
            with about(self.name):
                kept = self._kept = number, self._read(number)
        return kept[1]

    def _read(self, number: int) -> BaseRun:
        """Read a run, and check that it goes from its first frame to the next one's."""
        [unit] = read_units(self.source, [self.heads[number]])
        run, _ = payloads.unpack_base(unit, self.picture)
        end = self.firsts[number + 1] if number + 1 < len(self) else self.frames
        if (run.first, run.first + run.frames) != (self.firsts[number], end) or run.frames > MAX_RUN:
            raise CorruptStreamError(
                f"{unit.where}: frames {run.first} to {run.first + run.frames}; expected {self.firsts[number]} to {end}"
            )
        return run


class FirstFrames(Sequence[int]):
    """The first frame of each run of an AV1 stream, read from the head of its BASE unit when it is wanted."""

    def __init__(self, source: ByteSource, heads: Sequence[UnitHead]) -> None:
        self.source, self.heads = source, heads
        self._known = {0: 0}

    def __len__(self) -> int:
        return len(self.heads)

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> list[int]: ...

    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        head = self.heads[index]
        if index not in self._known:
            count = min(head.header.length, BASE_HEAD_BYTES)
            data = self.source.read_at(head.offset + head.header_bytes, count)
            self._known[index] = BaseHead.unpack(Cursor(data, head.where, head.compact)).first
        return self._known[index]


def first_frames(runs: Sequence[BaseRun]) -> Sequence[int]:
    """Return the first frame of each run, in ascending order."""
    return runs.firsts if isinstance(runs, DeferredRuns) else [run.first for run in runs]
