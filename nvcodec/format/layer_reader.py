"""Units to :class:`~nvcodec.format.stream.Layer`, in either order (specification, sections 3 and 10.1)."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nvcodec.errors import CorruptStreamError, UnsupportedVersionError
from nvcodec.format import payloads
from nvcodec.format.accounting import Entry
from nvcodec.format.damage import Damage
from nvcodec.format.inference import Tensor
from nvcodec.format.operations import Conv, Grid, Op, Picture, Picture10, Transmitted
from nvcodec.format.runs import BaseRuns, LatentRuns, Runs
from nvcodec.format.stream import BaseRun, ConvWeights, Layer, Segment
from nvcodec.format.survey import Surveyed
from nvcodec.format.unit_cursor import UnitCursor
from nvcodec.format.units import FEATURE_1_1, FEATURE_1_2, FEATURE_1_3, Unit, UnitType


class OpenLayer(NamedTuple):
    """A layer whose runs are still to be read."""

    ops: tuple[Op, ...]
    tensors: tuple[Tensor, ...]
    convs: dict[int, ConvWeights]
    runs: list[Runs]
    base: Sequence[BaseRun] | None  # where its runs are not read here
    network_of: int | None


class LayerReader:
    """Reads the units of layers, one after the other, and gives up the runs that are damaged.

    Args:
        cursor: hands out the units.
        networks: each network, by the index of its unit, as :func:`~nvcodec.format.survey.survey` returns them.
        features: of the file header, which say what the layers may have.
        entries: where the bytes of units went; extended here.
        damage: extended here.
        base: returns the runs of the AV1 stream that a PICTURE shows, whose units the cursor does not have; None where
            it has them.
    """

    def __init__(
        self,
        cursor: UnitCursor,
        networks: Mapping[int, Surveyed],
        features: int,
        entries: list[Entry],
        damage: Damage,
        base: Callable[[Picture], Sequence[BaseRun]] | None = None,
    ) -> None:
        self.cursor, self.networks = cursor, networks
        self.by_rows, self.compact = bool(features & FEATURE_1_1), bool(features & FEATURE_1_2)
        self.ten_bits = bool(features & FEATURE_1_3)
        self.entries, self.damage, self.base = entries, damage, base
        self.convs: dict[tuple[int, int], dict[int, ConvWeights]] = {}  # by segment and layer

    def layer(self, segment: Segment, segment_index: int, number: int) -> Layer:
        """Read layer ``number`` of a segment, where layer follows layer.

        Raises:
            CorruptStreamError: it breaks a rule, or is damaged so that it cannot be used.
            UnsupportedVersionError: it needs what this version, or the stream's features, lack.
        """
        opened = self._open(segment, segment_index, number)
        for runs in opened.runs:
            self._read_runs([runs], segment_index)
        return self._close(opened, segment, segment_index, number)

    def layers(self, segment: Segment, segment_index: int, expected: int | None) -> list[Layer]:
        """Read all layers of a segment, where segment follows segment; raises as :meth:`layer`.

        Args:
            segment, segment_index: the segment.
            expected: how many layers it must have; None where that is not known yet.
        """
        opened = [self._open(segment, segment_index, number) for number in range(expected or 1)]
        while expected is None and self.cursor.follows(UnitType.NETWORK, segment_index, len(opened)):
            opened.append(self._open(segment, segment_index, len(opened)))
        unit = self.cursor.peek()
        if unit is not None and unit.header.type in (UnitType.NETWORK, UnitType.WEIGHTS):
            # One layer more than there should be, or after damage one whose NETWORK is lost.
            raise CorruptStreamError(f"{unit.where}: no layer of its segment can have it here")
        self._read_runs([runs for layer in opened for runs in layer.runs], segment_index)
        return [self._close(layer, segment, segment_index, number) for number, layer in enumerate(opened)]

    def _open(self, segment: Segment, segment_index: int, number: int) -> OpenLayer:
        """Read the NETWORK and WEIGHTS of a layer."""
        unit = self.cursor.needed(UnitType.NETWORK, segment_index, number)
        if unit.index not in self.networks:
            raise CorruptStreamError(f"{unit.where} breaks a rule")
        (ops, tensors), source = self.networks[unit.index]
        for kind, known, version in (
            (Grid, self.by_rows, "1.1"),
            (Picture, self.compact, "1.2"),
            (Picture10, self.ten_bits, "1.3"),
        ):
            if not known and any(isinstance(op, kind) for op in ops):
                raise UnsupportedVersionError(
                    f"a {kind.NAME} is not supported without the feature bit of version {version}"
                )
        label = "network" if source is None else f"network of segment {source}"
        self.entries.append(Entry(unit.index, "side_info", label, len(unit.payload), 0))
        convs: dict[int, ConvWeights] = {}
        if source is not None:
            convs = self.convs[source, number]
        elif not self.compact or any(isinstance(op, Conv) for op in ops):
            unit = self.cursor.needed(UnitType.WEIGHTS, segment_index, number)
            convs, entries = payloads.unpack_weights(unit, ops, tensors, self.by_rows)
            self.entries += entries
        self.convs[segment_index, number] = convs
        frames, runs = segment.head.frames, list[Runs]()
        base: Sequence[BaseRun] | None = None
        for index, op in enumerate(ops):
            if isinstance(op, Transmitted):
                runs.append(LatentRuns(number, index, op, frames, self.by_rows))
            elif isinstance(op, Picture) and self.base:
                base = self.base(op)
            elif isinstance(op, Picture):
                runs.append(BaseRuns(number, index, op, frames))
        return OpenLayer(ops, tensors, convs, runs, base, source)

    def _read_runs(self, group: list[Runs], segment_index: int) -> None:
        """Read all runs of some operations of a segment, in ascending order of their first frames."""
        waiting = [(runs.order, index) for index, runs in enumerate(group)]
        heapq.heapify(waiting)
        lagging = False
        while waiting:
            order, index = waiting[0]
            if group[index].done == group[index].total or group[index].order != order:
                heapq.heappop(waiting)  # it has a later entry, or needs none
                continue
            unit = self.cursor.next_or_none()
            # Among several operations, those whose runs were damaged go on lagging behind.
            lagging = self.cursor.gap or (lagging and len(group) > 1)
            if lagging:
                found = self._owner(unit, segment_index, group)
                if found is None:
                    self.cursor.push_back(unit)
                    for runs in group:
                        runs.lose(runs.total)
                    return
                index, first = found
                group[index].lose(min(first, group[index].total))
            else:
                self.cursor.push_back(unit)
                unit = self.cursor.expected(group[index].KIND, segment_index, group[index].layer)
            assert unit is not None
            self._read_run(group[index], unit)
            if group[index].order != order:
                heapq.heappush(waiting, (group[index].order, index))

    def _read_run(self, runs: Runs, unit: Unit) -> None:
        """Read the next run of an operation."""
        end = runs.check_next(unit)
        with self.damage.tolerated():
            self.entries += runs.add(unit)
            return
        runs.lose(end)

    @staticmethod
    def _owner(unit: Unit | None, segment_index: int, group: Sequence[Runs]) -> tuple[int, int] | None:
        """Return whose run a unit holds, by its index in ``group``, and the run's first frame; None if it has none."""
        head: tuple[int, int, int] | None = None
        for index, runs in enumerate(group) if unit and unit.header.segment == segment_index else ():
            assert unit is not None
            if (unit.header.type, unit.header.layer) == (runs.KIND, runs.layer) and runs.done < runs.total:
                head = head or runs.read_head(unit.cursor())  # the same for all of a kind
                if head[0] == runs.op_index:
                    return index, head[1]
        return None

    def _close(self, opened: OpenLayer, segment: Segment, segment_index: int, number: int) -> Layer:
        """Read the CHECKSUMS of a layer, whose other units have been read."""
        group, checksums = 1, np.zeros(0, np.uint32)
        kind = UnitType.CHECKSUMS
        stated = not self.compact or self.cursor.follows(kind, segment_index, number)
        if stated and (unit := self.cursor.expected(kind, segment_index, number)):
            with self.damage.tolerated():
                (group, checksums), entries = payloads.unpack_checksums(unit, segment.head.frames)
                self.entries += entries
        latents = {runs.op_index: runs.values() for runs in opened.runs if isinstance(runs, LatentRuns)}
        base = opened.base
        if base is None:
            base = tuple(run for runs in opened.runs if isinstance(runs, BaseRuns) for run in runs.runs)
        lost = tuple(part for runs in opened.runs for part in runs.lost)
        return Layer(opened.ops, opened.tensors, opened.convs, latents, group, checksums, lost, base, opened.network_of)
