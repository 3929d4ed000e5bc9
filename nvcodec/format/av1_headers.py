"""The headers of an AV1 stream, as far as a BASE unit's rules need them (specification, section 4.11).

Names of syntax elements are those of *AV1 Bitstream & Decoding Process Specification*, sections 5.3 (OBUs), 5.5
(sequence header) and 5.9 (frame header). A decoder of AV1 sees no byte that has not passed :func:`check_run`.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator

from nvcodec.errors import CorruptStreamError
from nvcodec.format.fields import Cursor
from nvcodec.format.operations import Picture

CODED_FRAMES_PER_SHOWN = 2  # most frame headers of a run with show_existing_frame 0, for each shown frame
SELECT = 2  # seq_force_screen_content_tools, seq_force_integer_mv: each frame says it
IDENTITY, UNSPECIFIED = 0, 2  # matrix_coefficients
KEY_FRAME, SWITCH_FRAME = 0, 3  # frame_type
TEMPORAL_DELIMITER = b"\x12\x00"  # an OBU that separates temporal units outside of BASE


class ObuType(enum.IntEnum):
    """Types of OBU that a BASE unit may have."""

    SEQUENCE_HEADER = 1
    FRAME_HEADER = 3
    TILE_GROUP = 4
    METADATA = 5
    FRAME = 6
    PADDING = 15


#: What may follow the frame header that shows the last frame of a run; a tile group only if it belongs to that frame.
AFTER_LAST_FRAME = (ObuType.TILE_GROUP, ObuType.METADATA, ObuType.PADDING)


@dataclasses.dataclass(frozen=True)
class Obu:
    """An open bitstream unit.

    Attributes:
        kind: its type.
        start, end: where it lies in the stream.
        payload: what follows its header and size.
    """

    kind: ObuType
    start: int
    end: int
    payload: memoryview


@dataclasses.dataclass(frozen=True)
class SequenceHeader:
    """What a sequence header says, as far as it is needed here.

    Attributes:
        width, height: largest size of a frame, pixels.
        depth: bits of a sample, 8 or 10.
        monochrome: whether there is no chroma.
        frame_id_bits: length of current_frame_id; 0 if there is none.
        screen_content_tools, integer_mv: seq_force_screen_content_tools and seq_force_integer_mv.
        time_bits: length of frame_presentation_time in the headers of shown frames; 0 if there is none.
        matrix: matrix_coefficients, a code point of ITU-T H.273; 2 if none is stated.
        full_range: color_range.
        chroma_position: chroma_sample_position; 0 where it is not stated.
    """

    width: int
    height: int
    depth: int
    monochrome: bool
    frame_id_bits: int
    screen_content_tools: int
    integer_mv: int
    time_bits: int
    matrix: int
    full_range: bool
    chroma_position: int


class _Bits:
    """Reads bits, the highest of each byte first.

    Args:
        data: the bytes.
        what: what they are, as error messages name it.
    """

    def __init__(self, data: memoryview, what: str) -> None:
        self.data, self.what, self.position = data, what, 0

    def read(self, count: int) -> int:
        """Read an unsigned number of ``count`` bits, f(n) in AV1.

        Raises:
            CorruptStreamError: fewer are left.
        """
        end = self.position + count
        if end > 8 * len(self.data):
            raise CorruptStreamError(f"{self.what} ends early")
        first, last = self.position // 8, -(-end // 8)
        word = int.from_bytes(self.data[first:last], "big") >> (8 * last - end)
        self.position = end
        return word & ((1 << count) - 1)

    def require(self, count: int, value: int, name: str) -> None:
        """Read a syntax element that must have this value; raises CorruptStreamError."""
        if (found := self.read(count)) != value:
            raise CorruptStreamError(f"{self.what}: {name} is {found}; only {value} is allowed")

    def skip_uvlc(self) -> None:
        """Pass over a number of variable length, uvlc() in AV1."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if self.position % 8 == 0:  # whole bytes of zeros at once: there may be megabytes
                rest = bytes(self.data[self.position // 8 :])
                skipped = 8 * (len(rest) - len(rest.lstrip(b"\0")))
                zeros, self.position = zeros + skipped, self.position + skipped
        if zeros < 32:
            self.read(zeros)


def obus(data: bytes | memoryview, what: str) -> Iterator[Obu]:
    """Yield the OBUs of a stream in AV1's low-overhead format.

    Args:
        data: the stream.
        what: what it is, as error messages name it.

    Raises:
        CorruptStreamError: one breaks a rule or is cut.
    """
    cursor = Cursor(data, what)
    while cursor.left:
        start = cursor.position
        head = cursor.integer("B")
        kind = head >> 3 & 15
        if head & 0b10000100 or not head & 2 or kind not in ObuType._value2member_map_:
            raise CorruptStreamError(f"{what}: an OBU may not begin with byte {head:#04x}")
        size = _leb128(cursor)
        payload = cursor.take(size)
        yield Obu(ObuType(kind), start, cursor.position, payload)


def essential(data: bytes) -> bytes:
    """Return some OBUs that have been checked without metadata and padding, which no picture needs."""
    parts = (
        data[obu.start : obu.end] for obu in obus(data, "AV1") if obu.kind not in (ObuType.METADATA, ObuType.PADDING)
    )
    return b"".join(parts)


def _leb128(cursor: Cursor) -> int:
    """Read an obu_size; unlike a varint it may take more bytes than it needs, but at most 8."""
    size = 0
    for index in range(8):
        byte = cursor.integer("B")
        size |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return size
    raise CorruptStreamError(f"{cursor.what}: an obu_size takes more than 8 bytes")


def parse_sequence_header(payload: memoryview, what: str) -> SequenceHeader:
    """Read a sequence header.

    Raises:
        CorruptStreamError: it breaks a rule of section 4.11, or is cut.
    """
    bits = _Bits(payload, f"{what}: the AV1 sequence header")
    bits.require(3, 0, "seq_profile")
    bits.read(1)  # still_picture
    bits.require(1, 0, "reduced_still_picture_header")
    time_bits = decoder_model_bits = 0
    if bits.read(1):  # timing_info_present_flag
        bits.read(64)  # num_units_in_display_tick, time_scale
        equal_interval = bits.read(1)
        if equal_interval:
            bits.skip_uvlc()  # num_ticks_per_picture_minus_1
        if bits.read(1):  # decoder_model_info_present_flag
            decoder_model_bits = bits.read(5) + 1  # buffer_delay_length_minus_1
            bits.read(32)  # num_units_in_decoding_tick
            bits.read(5)  # buffer_removal_time_length_minus_1
            time_bits = bits.read(5) + 1  # frame_presentation_time_length_minus_1
            time_bits = 0 if equal_interval else time_bits
    display_delay = bits.read(1)  # initial_display_delay_present_flag
    bits.require(5, 0, "operating_points_cnt_minus_1")
    bits.require(12, 0, "operating_point_idc")
    if bits.read(5) > 7:  # seq_level_idx
        bits.read(1)  # seq_tier
    if decoder_model_bits and bits.read(1):  # decoder_model_present_for_this_op
        bits.read(2 * decoder_model_bits + 1)
    if display_delay and bits.read(1):  # initial_display_delay_present_for_this_op
        bits.read(4)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    width, height = bits.read(width_bits) + 1, bits.read(height_bits) + 1
    frame_id_bits = 0
    if bits.read(1):  # frame_id_numbers_present_flag
        frame_id_bits = bits.read(4) + 2  # delta_frame_id_length_minus_2
        frame_id_bits += bits.read(3) + 1  # additional_frame_id_length_minus_1
    bits.read(3)  # use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
    bits.read(4)  # enable_interintra_compound, enable_masked_compound, enable_warped_motion, enable_dual_filter
    order_hint = bits.read(1)
    if order_hint:
        bits.read(2)  # enable_jnt_comp, enable_ref_frame_mvs
    screen_content_tools = SELECT if bits.read(1) else bits.read(1)
    integer_mv = SELECT
    if screen_content_tools and not bits.read(1):  # seq_choose_integer_mv
        integer_mv = bits.read(1)
    if order_hint:
        bits.read(3)  # order_hint_bits_minus_1
    bits.read(3)  # enable_superres, enable_cdef, enable_restoration
    depth = 10 if bits.read(1) else 8
    monochrome = bool(bits.read(1))
    matrix, full_range, chroma_position = _color(bits, monochrome)
    bits.require(1, 0, "film_grain_params_present")
    return SequenceHeader(
        width,
        height,
        depth,
        monochrome,
        frame_id_bits,
        screen_content_tools,
        integer_mv,
        time_bits,
        matrix,
        full_range,
        chroma_position,
    )


def _color(bits: _Bits, monochrome: bool) -> tuple[int, bool, int]:
    """Read the rest of color_config() of profile 0: matrix, whether the range is full, and the chroma's position.

    Raises:
        CorruptStreamError: the matrix is that of RGB.
    """
    matrix = UNSPECIFIED
    if bits.read(1):  # color_description_present_flag
        bits.read(16)  # color_primaries, transfer_characteristics
        matrix = bits.read(8)
    if matrix == IDENTITY:
        raise CorruptStreamError(f"{bits.what}: matrix_coefficients is 0; that is RGB, which is not allowed")
    full_range = bool(bits.read(1))
    chroma_position = 0
    if not monochrome:
        chroma_position = bits.read(2)
        bits.read(1)  # separate_uv_delta_q
    return matrix, full_range, chroma_position


@dataclasses.dataclass(frozen=True)
class FrameHeader:
    """The beginning of a frame header.

    Attributes:
        repeats: show_existing_frame: shows a frame that was decoded before, and nothing else.
        shows: whether it shows a frame.
        key: whether its frame is a key frame.
    """

    repeats: bool
    shows: bool
    key: bool


def parse_frame_header(payload: memoryview, sequence: SequenceHeader, what: str) -> FrameHeader:
    """Read the beginning of a frame header.

    Raises:
        CorruptStreamError: it breaks a rule of section 4.11, or is cut.
    """
    bits = _Bits(payload, f"{what}: an AV1 frame header")
    if bits.read(1):  # show_existing_frame
        return FrameHeader(True, True, False)
    frame_type = bits.read(2)
    if frame_type == SWITCH_FRAME:
        raise CorruptStreamError(f"{bits.what} is of a SWITCH_FRAME, which is not allowed")
    shows = bool(bits.read(1))
    if shows:
        bits.read(sequence.time_bits)
    else:
        bits.read(1)  # showable_frame
    if not (frame_type == KEY_FRAME and shows):
        bits.read(1)  # error_resilient_mode
    bits.read(1)  # disable_cdf_update
    tools = bits.read(1) if sequence.screen_content_tools == SELECT else sequence.screen_content_tools
    if tools and sequence.integer_mv == SELECT:
        bits.read(1)  # force_integer_mv
    bits.read(sequence.frame_id_bits)  # current_frame_id
    bits.require(1, 0, "frame_size_override_flag")
    return FrameHeader(False, shows, frame_type == KEY_FRAME)


def check_run(data: bytes, frames: int, picture: Picture, what: str) -> tuple[bytes, tuple[int, ...]]:
    """Check the stream of a run by its headers.

    Args:
        data: the OBUs of a BASE unit.
        frames: number of frames that it has to show.
        picture: the PICTURE operation that reads it.
        what: the unit, as error messages name it.

    Returns:
        Its sequence header, and where the temporal unit of each frame ends.

    Raises:
        CorruptStreamError: it breaks a rule of section 4.11.
    """
    header, sequence = b"", None
    ends: list[int] = []
    coded = 0
    tiles_may_follow = hidden = False
    for obu in obus(data, what):
        if len(ends) == frames and obu.kind not in AFTER_LAST_FRAME:
            raise CorruptStreamError(f"{what} goes on after the {frames} AV1 frames that it states")
        if obu.kind == ObuType.SEQUENCE_HEADER:
            if sequence is None:
                header, sequence = bytes(obu.payload), _matching(obu.payload, picture, what)
            elif bytes(obu.payload) != header:
                raise CorruptStreamError(f"{what}: its AV1 sequence headers differ")
        elif sequence is None:
            raise CorruptStreamError(f"{what} does not begin with an AV1 sequence header")
        elif obu.kind in (ObuType.FRAME, ObuType.FRAME_HEADER):
            frame = parse_frame_header(obu.payload, sequence, what)
            if not coded and (frame.repeats or not frame.key or not frame.shows):
                raise CorruptStreamError(f"{what} does not begin with an AV1 key frame that is shown")
            if frame.repeats and obu.kind == ObuType.FRAME:
                raise CorruptStreamError(f"{what}: an OBU_FRAME has show_existing_frame 1")
            coded += not frame.repeats
            if coded > CODED_FRAMES_PER_SHOWN * frames:
                raise CorruptStreamError(f"{what} codes more AV1 frames than {frames} shown ones may take")
            if frame.shows:
                ends.append(obu.end)
            tiles_may_follow = not frame.repeats
            hidden = not frame.shows
            continue
        elif obu.kind == ObuType.TILE_GROUP:
            if not tiles_may_follow:
                raise CorruptStreamError(f"{what}: an OBU_TILE_GROUP does not follow its frame")
            if not hidden:
                ends[-1] = obu.end
            continue
        tiles_may_follow = False
    if len(ends) < frames:
        raise CorruptStreamError(f"{what} shows {len(ends)} AV1 frames of the {frames} that it states")
    ends[-1] = len(data)
    return header, tuple(ends)


def _matching(payload: memoryview, picture: Picture, what: str) -> SequenceHeader:
    """Read a sequence header and hold it to PICTURE; raises CorruptStreamError."""
    sequence = parse_sequence_header(payload, what)
    found = (sequence.width, sequence.height, sequence.depth, sequence.monochrome)
    if found != (picture.width, picture.height, picture.depth, not picture.chroma):
        raise CorruptStreamError(
            f"{what}: the AV1 stream has {sequence.width}x{sequence.height} pixels of {sequence.depth} bits"
            f"{' in grey' if sequence.monochrome else ''}; PICTURE states {picture.width}x{picture.height} of "
            f"{picture.depth} bits{'' if picture.chroma else ' in grey'}"
        )
    return sequence
