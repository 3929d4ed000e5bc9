"""A cursor over the units of a stream, which has gaps where units are damaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nvcodec.errors import CorruptStreamError, CutStreamError
from nvcodec.format.accounting import Entry
from nvcodec.format.units import TRACKS, Unit, UnitType


class UnitCursor:
    """Hands out units in order.

    Ancillary units other than INDEX go to ``ancillary`` instead. Damaged units are passed over; ``gap`` then says that
    there were some right before the present position, so that the unit expected there may have been one of them.

    Args:
        units: all units of the stream.
        cut: whether the stream ends early, so that units may be missing after the last one.
        ancillary: called with each METADATA, AUDIO, SUBTITLES and unknown unit on the way.
        entries: where the bytes of framing went; extended here.
        damage: which units are damaged, a sentence each; extended here.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        cut: bool,
        ancillary: Callable[[Unit], None],
        entries: list[Entry],
        damage: list[str],
    ) -> None:
        self.units = units
        self.cut = cut
        self.ancillary = ancillary
        self.entries = entries
        self.damage = damage
        self.position = -1  # index of the last unit looked at
        self.gap = False
        self._pushed_back: Unit | None = None

    def push_back(self, unit: Unit | None) -> None:
        """Hand out ``unit`` once more; None has no effect."""
        self._pushed_back = unit

    def next_or_none(self) -> Unit | None:
        """The next whole unit that is not ancillary, or INDEX; None at the end.

        Raises:
            CorruptStreamError: as ``ancillary`` raises it.
        """
        if self._pushed_back:
            unit, self._pushed_back = self._pushed_back, None
            return unit
        self.gap = False
        while self.position + 1 < len(self.units):
            self.position += 1
            unit = self.units[self.position]
            if not unit.whole:
                self.gap = True
                self.damage.append(f"{unit.where} is damaged")
                continue
            framing = f"{unit.name} framing and checksum"
            self.entries.append(Entry(unit.index, "overhead", framing, unit.framing_bytes, 0))
            if unit.known and unit.header.type not in (UnitType.METADATA, *TRACKS):
                return unit
            self.ancillary(unit)
        self.gap |= self.cut
        return None

    def next(self, what: str) -> Unit:
        """The next unit.

        Raises:
            CutStreamError: there is none; ``what`` was expected.
        """
        unit = self.next_or_none()
        if unit is None:
            raise CutStreamError(f"the stream ends where {what} was expected")
        return unit

    def peek(self) -> Unit | None:
        """The next unit, which is still to be read; None at the end."""
        unit = self.next_or_none()
        self.push_back(unit)
        return unit

    def follows(self, kind: UnitType, segment: int, layer: int) -> bool:
        """Whether the next unit is this one; it is still to be read."""
        unit = self.peek()
        return unit is not None and (unit.header.type, unit.header.segment, unit.header.layer) == (kind, segment, layer)

    def expected(self, kind: UnitType, segment: int, layer: int) -> Unit | None:
        """The next unit, which must be this one; None where it may be among those that are damaged or cut off.

        Raises:
            CutStreamError: the stream ends.
            CorruptStreamError: the next unit is another one.
        """
        unit = self.next_or_none()
        if unit is None and not self.gap:
            raise CutStreamError(f"the stream ends where {kind.name} of segment {segment}, layer {layer} was expected")
        if unit and self.gap:
            found = unit.header
            if (found.type, found.segment, found.layer) != (kind, segment, layer):
                self.push_back(unit)
                return None
        elif unit:
            unit.check_is(kind, segment, layer)
        return unit

    def needed(self, kind: UnitType, segment: int, layer: int) -> Unit:
        """The next unit, which must be this one, and without which a layer cannot be used; raises as :meth:`expected`.

        Raises:
            CorruptStreamError: also where it may be damaged.
        """
        unit = self.expected(kind, segment, layer)
        if unit is None:
            raise CorruptStreamError(f"{kind.name} of segment {segment}, layer {layer} is damaged")
        return unit
