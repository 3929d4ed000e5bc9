"""A writer of AV1 that vectors and tests share: small pictures of few colours, exactly, and headers of every kind.

Each picture, or each tile of it, is one block of AV1's palettes: at most eight levels of luma, and at most eight pairs
of chroma. Frames are without loss, so a decoder yields these very samples. Names of syntax elements, and the numbers of
the default tables, are those of *AV1 Bitstream & Decoding Process Specification*. The same bytes come out everywhere.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

SEQUENCE_HEADER, FRAME_HEADER, TILE_GROUP, METADATA, FRAME, PADDING = 1, 3, 4, 5, 6, 15  # obu_type
TEMPORAL_DELIMITER, REDUNDANT_FRAME_HEADER, TILE_LIST = 2, 7, 8
KEY, INTER, INTRA_ONLY, SWITCH = range(4)  # frame_type
SELECT = 2  # seq_force_screen_content_tools, seq_force_integer_mv
COLORS = 8  # of every palette
TILE = 64  # pixels, the side of a superblock

Planes = Sequence[np.ndarray]  # luma, and unless the picture is grey, two of chroma


class Bits:
    """Bits that are written one after the other, the highest of each number first."""

    def __init__(self) -> None:
        self.text = ""

    def put(self, count: int, *values: int) -> None:
        """Add numbers of so many bits; nothing if that is 0."""
        for value in values if count else ():
            assert 0 <= value < 1 << count, (value, count)
            self.text += f"{value:0{count}b}"

    def put_uvlc(self, value: int) -> None:
        """Add a number of variable length."""
        digits = f"{value + 1:b}"
        self.text += "0" * (len(digits) - 1) + digits

    def done(self, trailing: bool) -> bytes:
        """All bytes, filled up with zeros; with ``trailing`` after a one."""
        text = self.text + "1" * trailing
        text += "0" * (-len(text) % 8)
        return int("1" + text, 2).to_bytes(len(text) // 8 + 1, "big")[1:]


# ---- OBUs ------------------------------------------------------------------------------------------------------------


def leb128(value: int, size: int = 0) -> bytes:
    """An obu_size in ``size`` bytes, or in as few as it needs."""
    size = size or max(1, -(-value.bit_length() // 7))
    return bytes((value >> 7 * k & 127) | (k < size - 1) << 7 for k in range(size))


def obu(kind: int, payload: bytes, size_bytes: int = 0, head: int | None = None) -> bytes:
    """An OBU; ``head`` is its first byte, if not as it has to be."""
    return bytes([kind << 3 | 2 if head is None else head]) + leb128(len(payload), size_bytes) + payload


def split(data: bytes) -> list[tuple[int, bytes]]:
    """Type and payload of each OBU of a valid stream."""
    out, at = [], 0
    while at < len(data):
        kind, size, shift = data[at] >> 3 & 15, 0, 0
        at += 1
        while True:
            size |= (data[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if data[at - 1] < 128:
                break
        out.append((kind, data[at : at + size]))
        at += size
    return out


# ---- sequence header (5.5) -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class SequenceHeader:
    """What a sequence header says. Optional parts are there where a field is not None.

    Attributes:
        timing: equal_picture_interval, or with it also num_ticks_per_picture_minus_1.
        model: buffer_delay_length, buffer_removal_time_length and frame_presentation_time_length; needs ``timing``.
        model_of_point: whether the operating point has parameters of the decoder model.
        display_delay: initial_display_delay_minus_1; -1 where only its first flag is set.
        level, tier: seq_level_idx and, from 8 on, seq_tier.
        frame_ids: delta_frame_id_length and additional_frame_id_length.
        tools: use_128x128_superblock, enable_filter_intra and enable_intra_edge_filter in 3 bits; then
            enable_interintra_compound, enable_masked_compound, enable_warped_motion and enable_dual_filter in 4.
        order_hint_bits: 0 for none.
        motion_tools: enable_jnt_comp and enable_ref_frame_mvs, in 2 bits.
        filters: enable_superres, enable_cdef and enable_restoration, in 3 bits.
        color: color_primaries, transfer_characteristics and matrix_coefficients.
    """

    width: int
    height: int
    depth: int = 8
    monochrome: bool = False
    profile: int = 0
    still_picture: int = 0
    reduced: int = 0
    timing: tuple[int, ...] | None = None
    model: tuple[int, int, int] | None = None
    model_of_point: bool = True
    display_delay: int | None = None
    points_minus_1: int = 0
    point_idc: int = 0
    level: int = 0
    tier: int = 0
    size_bits: int = 16
    frame_ids: tuple[int, int] | None = None
    tools: tuple[int, int] = (0, 0)
    order_hint_bits: int = 0
    motion_tools: int = 0
    screen_content_tools: int = SELECT
    integer_mv: int = SELECT
    filters: int = 0
    color: tuple[int, int, int] | None = None
    color_range: int = 0
    chroma_position: int = 0
    separate_delta_q: int = 0
    film_grain: int = 0

    @property
    def time_bits(self) -> int:
        """Bits of frame_presentation_time, 0 where there is none."""
        return self.model[2] if self.model and self.timing and not self.timing[0] else 0

    @property
    def id_bits(self) -> int:
        """Bits of current_frame_id, 0 where there is none."""
        return sum(self.frame_ids) if self.frame_ids else 0

    def payload(self) -> bytes:
        """The bytes after the head of the OBU."""
        b = Bits()
        b.put(3, self.profile)
        b.put(1, self.still_picture, self.reduced)
        self._put_timing(b)
        b.put(1, self.display_delay is not None)
        b.put(5, self.points_minus_1)
        b.put(12, self.point_idc)
        b.put(5, self.level)
        if self.level > 7:
            b.put(1, self.tier)
        if self.model:
            b.put(1, self.model_of_point)
            if self.model_of_point:
                b.put(self.model[0], 1, 2 ** self.model[0] - 2)
                b.put(1, 1)
        if self.display_delay is not None:
            b.put(1, self.display_delay >= 0)
            if self.display_delay >= 0:
                b.put(4, self.display_delay)
        b.put(4, self.size_bits - 1, self.size_bits - 1)
        b.put(self.size_bits, self.width - 1, self.height - 1)
        b.put(1, self.frame_ids is not None)
        if self.frame_ids:
            b.put(4, self.frame_ids[0] - 2)
            b.put(3, self.frame_ids[1] - 1)
        b.put(3, self.tools[0])
        b.put(4, self.tools[1])
        self._put_tools(b)
        b.put(3, self.filters)
        self._put_color(b)
        b.put(1, self.film_grain)
        return b.done(trailing=True)

    def _put_timing(self, b: Bits) -> None:
        b.put(1, self.timing is not None)
        if self.timing is None:
            return
        b.put(32, 1001, 2**32 - 1)
        b.put(1, self.timing[0])
        if self.timing[0]:
            b.put_uvlc(self.timing[1])
        b.put(1, self.model is not None)
        if self.model:
            b.put(5, self.model[0] - 1)
            b.put(32, 2**31 + 1)
            b.put(5, self.model[1] - 1, self.model[2] - 1)

    def _put_tools(self, b: Bits) -> None:
        b.put(1, self.order_hint_bits > 0)
        if self.order_hint_bits:
            b.put(2, self.motion_tools)
        b.put(1, self.screen_content_tools == SELECT)
        if self.screen_content_tools != SELECT:
            b.put(1, self.screen_content_tools)
        if self.screen_content_tools:
            b.put(1, self.integer_mv == SELECT)
            if self.integer_mv != SELECT:
                b.put(1, self.integer_mv)
        if self.order_hint_bits:
            b.put(3, self.order_hint_bits - 1)

    def _put_color(self, b: Bits) -> None:
        b.put(1, self.depth == 10, self.monochrome, self.color is not None)
        if self.color:
            b.put(8, *self.color)
        b.put(1, self.color_range)
        if not self.monochrome:
            b.put(2, self.chroma_position)
            b.put(1, self.separate_delta_q)

    def obu(self, size_bytes: int = 0) -> bytes:
        """The OBU."""
        return obu(SEQUENCE_HEADER, self.payload(), size_bytes)


# ---- frame header (5.9) ----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class FrameHeader:
    """What the header of a coded frame says; the rest follows from the sequence header.

    Attributes:
        kind: frame_type. KEY and INTRA_ONLY frames can be written; others only begin as they should.
        refresh: refresh_frame_flags, of frames other than shown KEY ones.
        id: current_frame_id.
        time: frame_presentation_time.
        removal_time: buffer_removal_time, None for none.
        render_size: of the picture as it is to be shown, width and height; None if it is that of the frame.
        base_q_idx: 0 for a frame without loss; with another one, what follows is not what a decoder expects.
    """

    kind: int = KEY
    show: int = 1
    showable: int = 1
    error_resilient: int = 0
    refresh: int = 0xFF
    id: int = 0
    time: int = 0
    removal_time: int | None = None
    size_override: int = 0
    order_hint: int = 0
    integer_mv: int = 0
    render_size: tuple[int, int] | None = None
    base_q_idx: int = 0

    def put(self, b: Bits, sequence: SequenceHeader) -> None:
        """Write it."""
        shown_key = self.kind == KEY and self.show
        b.put(1, 0)
        b.put(2, self.kind)
        b.put(1, self.show)
        b.put(*((sequence.time_bits, self.time) if self.show else (1, self.showable)))
        if not (shown_key or self.kind == SWITCH):
            b.put(1, self.error_resilient)
        b.put(1, 1)  # disable_cdf_update
        if sequence.screen_content_tools == SELECT:
            b.put(1, 1)
        if sequence.screen_content_tools and sequence.integer_mv == SELECT:
            b.put(1, self.integer_mv)
        b.put(sequence.id_bits, self.id)
        if self.kind != SWITCH:
            b.put(1, self.size_override)
        b.put(sequence.order_hint_bits, self.order_hint)
        if sequence.model:
            b.put(1, self.removal_time is not None)
            if self.removal_time is not None and sequence.model_of_point:
                b.put(sequence.model[1], self.removal_time)
        if not shown_key:
            b.put(8, self.refresh)
        if sequence.filters & 4:
            b.put(1, 0)  # use_superres
        b.put(1, self.render_size is not None)
        b.put(16, *(side - 1 for side in self.render_size or ()))
        b.put(1, 0)  # allow_intrabc
        b.put(1, 1)  # uniform_tile_spacing_flag
        if tiles_of(sequence.width) > 1:
            b.put(1, 1)  # increment_tile_cols_log2
            b.put(1, 0)  # context_update_tile_id
            b.put(2, 1)  # tile_size_bytes_minus_1
        b.put(8, self.base_q_idx)
        b.put(1, 0)  # delta_coded
        if not sequence.monochrome:
            b.put(sequence.separate_delta_q, 0)  # diff_uv_delta
            b.put(1, 0, 0)  # delta_coded
        b.put(1, 0, 0, 0)  # using_qmatrix, segmentation_enabled, reduced_tx_set


def tiles_of(width: int) -> int:
    """Number of tiles of a picture, one beside the other."""
    assert width <= 2 * TILE
    return -(-width // TILE)


def frame(sequence: SequenceHeader, planes: Planes, header: FrameHeader | None = None, groups: int = 0) -> bytes:
    """A coded frame: an OBU_FRAME, or an OBU_FRAME_HEADER and so many OBU_TILE_GROUPs."""
    b = Bits()
    (header or FrameHeader()).put(b, sequence)
    tiles = []
    for left in range(0, sequence.width, TILE):
        part = [plane[:, left >> k : left + TILE >> k] for k, plane in zip((0, 1, 1), planes, strict=False)]
        tiles.append(tile(part, sequence.depth))
    if not groups:
        return obu(FRAME, b.done(trailing=False) + tile_group(tiles, len(tiles), 0))
    size = len(tiles) // groups
    parts = [obu(TILE_GROUP, tile_group(tiles[k : k + size], len(tiles), k)) for k in range(0, len(tiles), size)]
    return obu(FRAME_HEADER, b.done(trailing=True)) + b"".join(parts)


def tile_group(tiles: Sequence[bytes], count: int, first: int) -> bytes:
    """The payload of an OBU_TILE_GROUP with some tiles of ``count``, which is 1 or 2."""
    b = Bits()
    if count > 1:
        b.put(1, len(tiles) < count)
        if len(tiles) < count:
            b.put(1, first, first + len(tiles) - 1)
    sized = [(len(part) - 1).to_bytes(2, "little") + part for part in tiles[:-1]]
    return b.done(trailing=False) + b"".join(sized) + tiles[-1]


def show(sequence: SequenceHeader, index: int = 0, id: int = 0, time: int = 0) -> bytes:
    """An OBU_FRAME_HEADER with show_existing_frame 1."""
    b = Bits()
    b.put(1, 1)
    b.put(3, index)
    b.put(sequence.time_bits, time)
    b.put(sequence.id_bits, id)
    return obu(FRAME_HEADER, b.done(trailing=True))


# ---- a tile (5.11, 8.2) ----------------------------------------------------------------------------------------------

# Of the default tables: where the first symbol ends, and how many there are; or where the last one begins.
PARTITION_NONE = {8: (19132, 4), 16: (15597, 10), 32: (18462, 10), 64: (20137, 10)}
SKIP = 31671
LUMA_DC = 15588, 13
CHROMA_DC = {8: (10407, 14), 16: (22631, 13), 32: (22631, 13), 64: (22631, 13)}
HAS_LUMA_PALETTE = {8: 31676, 16: 31823, 32: 32309, 64: 32450}
LUMA_PALETTE_OF_8 = {8: 29241, 16: 28530, 32: 30120, 64: 28999}
HAS_CHROMA_PALETTE = 21488
CHROMA_PALETTE_OF_8 = {8: 32272, 16: 29430, 32: 27207, 64: 25865}
LUMA_INDEX = (
    (21689, 23883, 25163, 26352, 27506, 28827, 30195, 32768),
    (6892, 15385, 17840, 21606, 24287, 26753, 29204, 32768),
    (5651, 23182, 25042, 26518, 27982, 29392, 30900, 32768),
    (19349, 22578, 24418, 25994, 27524, 29031, 30448, 32768),
    (31028, 31270, 31504, 31705, 31927, 32153, 32392, 32768),
)
CHROMA_INDEX = (
    (21442, 23288, 24758, 26246, 27649, 28980, 30563, 32768),
    (5863, 14933, 17552, 20668, 23683, 26411, 29273, 32768),
    (3415, 25810, 26877, 27990, 29223, 30394, 31618, 32768),
    (17965, 20084, 22232, 23974, 26274, 28402, 30390, 32768),
    (31190, 31329, 31516, 31679, 31825, 32026, 32322, 32768),
)
CONTEXTS = {2: 0, 5: 4, 6: 3, 7: 2, 8: 1}  # Palette_Color_Context


class Symbols:
    """AV1's arithmetic coder. ``low`` keeps all its bits, so that there is no carry to care for."""

    def __init__(self) -> None:
        self.low, self.range, self.bits = 0, 1 << 15, 15

    def put(self, table: Sequence[int], symbol: int) -> None:
        """Add a symbol of a table of cumulative counts, which ends with 2^15."""
        self._interval(table[symbol - 1] if symbol else 0, table[symbol], len(table) - symbol - 1)

    def put_first(self, end: int, count: int) -> None:
        """Add the first symbol of ``count``, which ends there."""
        self._interval(0, end, count - 1)

    def put_last(self, start: int) -> None:
        """Add the last symbol, which begins there."""
        self._interval(start, 1 << 15, 0)

    def put_literal(self, count: int, *values: int) -> None:
        """Add numbers of so many bits."""
        for value in values:
            for place in reversed(range(count)):
                self.put((1 << 14, 1 << 15), value >> place & 1)

    def _interval(self, start: int, end: int, rest: int) -> None:
        def scaled(count: int, more: int) -> int:
            return ((self.range >> 8) * ((1 << 15) - count >> 6) >> 1) + 4 * more

        top = scaled(start, rest + 1) if start else self.range
        bottom = scaled(end, rest)
        self.low, self.range = self.low + bottom, top - bottom
        shift = 16 - self.range.bit_length()
        self.low, self.range, self.bits = self.low << shift, self.range << shift, self.bits + shift

    def done(self) -> bytes:
        """All bytes; the last 15 bits that a decoder takes in are a one and zeros, as they have to be."""
        ones = (1 << 14) - 1
        code = ((self.low - ones + (1 << 15) - 1) >> 15 << 15) + ones
        text = f"{~code & (1 << self.bits) - 1:0{self.bits}b}"[: self.bits - 14]
        return int(text + "0" * (-len(text) % 8), 2).to_bytes(-(-len(text) // 8), "big")


def tile(planes: Planes, depth: int) -> bytes:
    """A tile of at most 64x64 that is one block."""
    height, width = planes[0].shape
    size = next(size for size in (8, 16, 32, 64) if size >= max(height, width))
    assert size == 8 or min(height, width) + 7 & ~7 > size // 2, "more than half a block each way"
    s = Symbols()
    s.put_first(*PARTITION_NONE[size])
    s.put_last(SKIP)
    s.put_first(*LUMA_DC)
    if len(planes) > 1:
        s.put_first(*CHROMA_DC[size])
    s.put_last(HAS_LUMA_PALETTE[size])
    s.put_last(LUMA_PALETTE_OF_8[size])
    levels = _eight([(int(value),) for value in np.unique(planes[0])], depth)
    _put_ascending(s, [level for (level,) in levels], depth, 1)
    if len(planes) > 1:
        s.put_last(HAS_CHROMA_PALETTE)
        s.put_last(CHROMA_PALETTE_OF_8[size])
        pairs = _eight(sorted(set(zip(*(plane.ravel().tolist() for plane in planes[1:]), strict=True))), depth)
        _put_ascending(s, [u for u, _ in pairs], depth, 0)
        s.put_literal(1, 0)  # delta_encode_palette_colors_v
        s.put_literal(depth, *(v for _, v in pairs))
    _put_map(s, _indices(planes[:1], levels), LUMA_INDEX, 8)
    if len(planes) > 1:
        _put_map(s, _indices(planes[1:], pairs), CHROMA_INDEX, 4)
    return s.done()


def _eight(colors: list[Any], depth: int) -> list[Any]:
    """Eight colours, all different and in order, of which a picture has some."""
    assert len(colors) <= COLORS, f"{len(colors)} colours"
    more = (color for value in range(1 << depth) if (color := (value,) * len(colors[0])) not in colors)
    return sorted([*colors, *(next(more) for _ in range(COLORS - len(colors)))])


def _put_ascending(s: Symbols, values: list[int], depth: int, least: int) -> None:
    """Write ascending numbers, each at least so much above the one before."""
    s.put_literal(depth, values[0])
    s.put_literal(2, 3)
    bits = depth
    for before, value in itertools.pairwise(values):
        s.put_literal(bits, value - before - least)
        bits = min(bits, ((1 << depth) - value - least - 1).bit_length())


def _indices(planes: Planes, colors: list[Any]) -> np.ndarray:
    """The colour of each sample."""
    known = {color: index for index, color in enumerate(colors)}
    samples = zip(*(plane.ravel().tolist() for plane in planes), strict=True)
    return np.array([known[sample] for sample in samples]).reshape(planes[0].shape)


def _put_map(s: Symbols, indices: np.ndarray, tables: Sequence[Sequence[int]], unit: int) -> None:
    """Write the colours of a plane, whose sides are filled up to multiples of ``unit``."""
    colors = np.pad(indices, [(0, -side % unit) for side in indices.shape], mode="edge").tolist()
    height, width = len(colors), len(colors[0])
    s.put_literal(3, colors[0][0])
    for diagonal in range(1, height + width - 1):
        for x in range(min(diagonal, width - 1), max(0, diagonal - height + 1) - 1, -1):
            order, context = _context(colors, diagonal - x, x)
            s.put(tables[context], order.index(colors[diagonal - x][x]))


def _context(colors: list[list[int]], y: int, x: int) -> tuple[list[int], int]:
    """The order in which the colours of a sample are numbered, and the table that codes the number."""
    scores = [0] * COLORS
    if x:
        scores[colors[y][x - 1]] += 2
    if x and y:
        scores[colors[y - 1][x - 1]] += 1
    if y:
        scores[colors[y - 1][x]] += 2
    order = sorted(range(COLORS), key=lambda color: (-scores[color], color))
    first, second, third = (scores[color] for color in order[:3])
    return order, CONTEXTS[first + 2 * second + 2 * third]
