"""Where every byte of a file went: one :class:`Entry` per thing stored. Entries add up to the file."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nvcodec.format.stream import Stream

#: ``base`` are the AV1 stream's; ``skip_weights`` are those of skip connections: no embedding flows through them.
KINDS = (
    "base",
    "weights",
    "skip_weights",
    "embeddings",
    "skip_features",
    "grids",
    "audio",
    "subtitles",
    "side_info",
    "overhead",
)


@dataclasses.dataclass(frozen=True)
class Entry:
    """Some bytes of a file and what they are for.

    Attributes:
        unit: index of the unit they lie in; -1 for the file header.
        kind: one of :data:`KINDS`.
        label: what exactly they are, for people.
        bytes: how many they are.
        values: number of integers coded in them, 0 where they code none.
    """

    unit: int
    kind: str
    label: str
    bytes: int
    values: int


@dataclasses.dataclass(frozen=True)
class UnitReport:
    """One unit of a file, for ``info``."""

    type: str
    segment: int
    layer: int
    offset: int
    bytes: int


class Ledger:
    """Collects the entries of one unit.

    Args:
        unit: index of the unit.
    """

    def __init__(self, unit: int) -> None:
        self.unit = unit
        self.entries: list[Entry] = []

    def add(self, kind: str, label: str, size: int, values: int = 0) -> None:
        """Add an entry of ``size`` bytes; nothing where there are none."""
        if size:
            self.entries.append(Entry(self.unit, kind, label, size, values))


def bytes_by_kind(stream: Stream) -> dict[str, int]:
    """Sum up the bytes of each of :data:`KINDS`; together they are the file."""
    totals = dict.fromkeys(KINDS, 0)
    for entry in stream.entries:
        totals[entry.kind] += entry.bytes
    return totals
