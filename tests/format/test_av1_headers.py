"""The headers of AV1, bit by bit, and each rule of section 4.11 broken once."""

from __future__ import annotations

import dataclasses
from typing import Any

import av1
import av1_writer as aw
import pytest
from av1_writer import INTER, INTRA_ONLY, KEY, SELECT, SWITCH, FrameHeader, SequenceHeader, obu
from hypothesis import given
from hypothesis import strategies as st

from nvcodec.errors import CorruptStreamError
from nvcodec.format import av1_headers
from nvcodec.format.av1_headers import check_run, essential, obus, parse_frame_header, parse_sequence_header
from nvcodec.format.operations import Picture

PLAIN = SequenceHeader(8, 8)
PICTURE = Picture(8, 8, 8, 1, 0, 1, 0, 0)
PLANES = av1.picture(0, PLAIN)


def bits(text: str) -> memoryview:
    """Bytes of zeros and ones, filled up with zeros; spaces are for the eye."""
    text = text.replace(" ", "")
    return memoryview(int(text + "0" * (-len(text) % 8), 2).to_bytes(-(-len(text) // 8), "big"))


def parsed(sequence: SequenceHeader) -> av1_headers.SequenceHeader:
    return parse_sequence_header(memoryview(sequence.payload()), "test")


# ---- sequence headers ------------------------------------------------------------------------------------------------


def test_bit_by_bit() -> None:
    """Headers written out by hand from section 5.5 of AV1's specification, without and with all optional parts."""
    plain = (
        "000 0 0"  # seq_profile, still_picture, reduced_still_picture_header
        " 0 0 00000 000000000000 00100"  # no timing, no display delay, one operating point, level
        " 0100 0011 10011 1111"  # 5 and 4 bits: 20 x 16
        " 0 000 0000 0"  # no frame ids, tools, no order hint
        " 1 1"  # screen content tools and integer motion vectors are chosen by each frame
        " 000 0 0 0 0 00 0"  # filters, 8 bits, chroma, no description, range, position, delta
        " 0"  # no film grain
    )
    assert parse_sequence_header(bits(plain), "test") == av1_headers.SequenceHeader(
        20, 16, 8, False, 0, 2, 2, 0, matrix=2, full_range=False, chroma_position=0
    )
    whole = (
        "000 1 0"
        " 1 00000000000000000000000000000001 00000000000000000000000000011001 0"  # timing
        " 1 00100 00000000000000000000000000000001 01001 00110"  # model: delays of 5 bits, times of 10 and 7 bits
        " 1 00000 000000000000 01000 1"  # display delay, level 8, tier
        " 1 00001 00010 1"  # parameters of the model
        " 1 0111"  # the delay
        " 0000 0001 0 01"  # 1 x 2
        " 1 0011 010"  # frame ids of 5 + 3 bits
        " 111 1111 1 11"  # order hints
        " 0 1 0 1"  # screen content tools in all frames, integer motion vectors as well
        " 110"  # order hints of 7 bits
        " 111 1 1 1 00001001 00010000 00001001 1"  # 10 bits, grey, described
        " 0"
    )
    assert parse_sequence_header(bits(whole), "test") == av1_headers.SequenceHeader(
        1, 2, 10, True, 8, 1, 1, 7, matrix=9, full_range=True, chroma_position=0
    )


@given(av1.sequence_headers())
def test_all_optional_parts(sequence: SequenceHeader) -> None:
    tools = sequence.screen_content_tools
    found = parsed(sequence)
    assert found == av1_headers.SequenceHeader(
        width=sequence.width,
        height=sequence.height,
        depth=sequence.depth,
        monochrome=sequence.monochrome,
        frame_id_bits=sequence.id_bits,
        screen_content_tools=tools,
        integer_mv=sequence.integer_mv if tools else SELECT,
        time_bits=sequence.time_bits,
        matrix=sequence.color[2] if sequence.color else 2,
        full_range=bool(sequence.color_range),
        chroma_position=0 if sequence.monochrome else sequence.chroma_position,
    )
    payload = sequence.payload()
    for length in range(len(payload) - 1):
        with pytest.raises(CorruptStreamError):  # it ends early
            parse_sequence_header(memoryview(payload)[:length], "test")
    with pytest.raises(CorruptStreamError, match="film_grain_params_present is 1"):
        parsed(dataclasses.replace(sequence, film_grain=1))


def test_no_screen_content_tools() -> None:
    found = parsed(SequenceHeader(8, 8, screen_content_tools=0))
    assert (found.screen_content_tools, found.integer_mv) == (0, SELECT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"profile": 1}, "seq_profile is 1"),
        ({"profile": 2}, "seq_profile is 2"),
        ({"reduced": 1}, "reduced_still_picture_header is 1"),
        ({"points_minus_1": 1}, "operating_points_cnt_minus_1 is 1"),
        ({"point_idc": 0x101}, "operating_point_idc is 257"),
        ({"color": (1, 13, 0)}, "matrix_coefficients is 0"),
        ({"color": (9, 16, 0)}, "matrix_coefficients is 0"),
        ({"color": (2, 2, 0), "monochrome": True}, "matrix_coefficients is 0"),
        ({"film_grain": 1}, "film_grain_params_present is 1"),
    ],
)
def test_what_a_sequence_header_may_not_say(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CorruptStreamError, match=message):
        parsed(dataclasses.replace(PLAIN, **change))


@pytest.mark.parametrize("zeros", [0, 1, 6, 7, 15, 31, 32, 40, 100, 2**23])
def test_numbers_of_variable_length(zeros: int) -> None:
    """uvlc(): with 32 zeros or more before the one, nothing follows it."""
    timing = "1" + "0" * 31 + "1" + "0" * 31 + "1" + "1"
    rest = " 0 0 00000 000000000000 00000 0010 0010 010 011 0 000 0000 0 1 1 000 0 0 0 0 00 0 0"
    uvlc = "0" * zeros + "1" + ("1" * zeros if zeros < 32 else "")
    found = parse_sequence_header(bits("000 0 0 " + timing + uvlc + rest), "test")
    assert (found.width, found.height, found.time_bits) == (3, 4, 0)


# ---- frame headers ---------------------------------------------------------------------------------------------------


def frame_header(header: FrameHeader, sequence: SequenceHeader) -> av1_headers.FrameHeader:
    b = aw.Bits()
    header.put(b, sequence)
    return parse_frame_header(memoryview(b.done(trailing=True)), parsed(sequence), "test")


@given(
    av1.sequence_headers(),
    st.builds(
        FrameHeader,
        kind=st.sampled_from([KEY, INTER, INTRA_ONLY]),
        show=st.integers(0, 1),
        showable=st.integers(0, 1),
        error_resilient=st.integers(0, 1),
        integer_mv=st.integers(0, 1),
        size_override=st.integers(0, 1),
        id=st.integers(0, 7),
        time=st.integers(0, 1),
    ),
    st.integers(0, 2),
)
def test_frame_headers(sequence: SequenceHeader, header: FrameHeader, tools: int) -> None:
    sequence = dataclasses.replace(sequence, screen_content_tools=tools, frame_ids=sequence.frame_ids and (9, 2))
    if header.size_override:
        with pytest.raises(CorruptStreamError, match="frame_size_override_flag is 1"):
            frame_header(header, sequence)
    else:
        shows = bool(header.show)
        assert frame_header(header, sequence) == av1_headers.FrameHeader(False, shows, header.kind == KEY)


@pytest.mark.parametrize("show", [0, 1])
def test_no_switch_frames(show: int) -> None:
    with pytest.raises(CorruptStreamError, match="SWITCH_FRAME"):
        frame_header(FrameHeader(kind=SWITCH, show=show), PLAIN)


def test_frame_headers_that_are_cut() -> None:
    long = SequenceHeader(8, 8, timing=(0,), model=(1, 1, 32), frame_ids=(15, 1))
    b = aw.Bits()
    FrameHeader().put(b, long)
    payload = b.done(trailing=True)
    for length in range(7):  # 1 + 2 + 1 + 32 + 1 + 1 + 1 + 16 + 1 bits are read
        with pytest.raises(CorruptStreamError, match="ends early"):
            parse_frame_header(memoryview(payload)[:length], parsed(long), "test")
    assert parse_frame_header(memoryview(payload)[:7], parsed(long), "test").key
    with pytest.raises(CorruptStreamError, match="ends early"):
        parse_frame_header(memoryview(b""), parsed(PLAIN), "test")


def test_a_header_that_shows_a_frame_again() -> None:
    assert parse_frame_header(memoryview(b"\x80"), parsed(PLAIN), "test") == av1_headers.FrameHeader(True, True, False)


# ---- OBUs ------------------------------------------------------------------------------------------------------------


def test_obus() -> None:
    parts = [(aw.SEQUENCE_HEADER, b"abc"), (aw.PADDING, b""), (aw.METADATA, bytes(200)), (aw.TILE_GROUP, b"x")]
    for size in (0, 2, 8):
        data = b"".join(obu(kind, payload, size) for kind, payload in parts)
        found = list(obus(data, "test"))
        assert [(part.kind, bytes(part.payload)) for part in found] == parts
        assert [part.start for part in found] == [0, *(part.end for part in found[:-1])]
        assert found[-1].end == len(data)
    assert [part.kind for part in obus(obu(aw.FRAME, b"", head=aw.FRAME << 3 | 3), "test")] == [aw.FRAME]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (obu(aw.FRAME, b"x", head=aw.FRAME << 3 | 0x82), "may not begin with byte 0xb2"),  # obu_forbidden_bit
        (obu(aw.FRAME, b"x", head=aw.FRAME << 3 | 6), "may not begin with byte 0x36"),  # obu_extension_flag
        (obu(aw.FRAME, b"x", head=aw.FRAME << 3), "may not begin with byte 0x30"),  # obu_has_size_field
        *(
            (obu(kind, b""), f"may not begin with byte {kind << 3 | 2:#04x}")
            for kind in (0, aw.TEMPORAL_DELIMITER, aw.REDUNDANT_FRAME_HEADER, aw.TILE_LIST, 9, 14)
        ),
        (b"\x32\x02x", "ends early"),
        (b"\x32", "ends early"),
        (b"\x32\x80", "ends early"),
        (b"\x32" + b"\xff" * 7 + b"\x7f", "ends early"),
        (b"\x32" + b"\x80" * 8 + b"\x00", "more than 8 bytes"),
    ],
)
def test_what_an_obu_may_not_be(data: bytes, message: str) -> None:
    with pytest.raises(CorruptStreamError, match=message):
        list(obus(obu(aw.PADDING, b"before") + data, "test"))


# ---- runs ------------------------------------------------------------------------------------------------------------

HEADER = PLAIN.obu()
FIRST = aw.frame(PLAIN, PLANES)
HIDDEN = aw.frame(PLAIN, PLANES, FrameHeader(show=0, refresh=2))
INTRA = aw.frame(PLAIN, PLANES, FrameHeader(kind=INTRA_ONLY, refresh=1))
SPLIT = aw.frame(PLAIN, PLANES, groups=1)  # in two OBUs
HEAD, TILES = (obu(kind, payload) for kind, payload in aw.split(SPLIT))
HIDDEN_HEAD = obu(*aw.split(aw.frame(PLAIN, PLANES, FrameHeader(show=0, refresh=2), 1))[0])
AGAIN = aw.show(PLAIN, 1)
PADDING, METADATA = obu(aw.PADDING, b"0123"), obu(aw.METADATA, b"\x04x")


def check(data: bytes, frames: int, picture: Picture = PICTURE) -> list[bytes]:
    """Check a run; returns the temporal unit of each frame."""
    header, ends = check_run(data, frames, picture, "BASE")
    assert header == PLAIN.payload()
    return [data[start:end] for start, end in zip((0, *ends[:-1]), ends, strict=True)]


@pytest.mark.parametrize(
    "units",
    [
        [HEADER + FIRST],
        [HEADER + SPLIT, INTRA],
        [HEADER + PADDING + METADATA + PADDING + FIRST, HIDDEN + AGAIN],
        [HEADER + FIRST, HIDDEN + HIDDEN_HEAD + TILES + AGAIN, PADDING + AGAIN],
        [HEADER + FIRST, METADATA + HEADER + METADATA + INTRA, AGAIN],
        [HEADER + SPLIT, SPLIT, SPLIT + PADDING + METADATA],
        [HEADER + HEAD + TILES + TILES, HEAD, FIRST + TILES + TILES],
        [HEADER + FIRST, AGAIN, AGAIN],
        [HEADER + FIRST, HIDDEN * 3 + AGAIN],  # 4 coded frames of 2
    ],
)
def test_runs(units: list[bytes]) -> None:
    assert check(b"".join(units), len(units)) == units


@pytest.mark.parametrize(
    ("data", "frames", "message"),
    [
        (b"", 1, "shows 0 AV1 frames of the 1"),
        (FIRST, 1, "does not begin with an AV1 sequence header"),
        (PADDING + HEADER + FIRST, 1, "does not begin with an AV1 sequence header"),
        (HEADER, 1, "shows 0 AV1 frames of the 1"),
        (HEADER + INTRA, 1, "does not begin with an AV1 key frame"),
        (HEADER + HIDDEN + FIRST, 1, "does not begin with an AV1 key frame"),
        (HEADER + AGAIN, 1, "does not begin with an AV1 key frame"),
        (HEADER + TILES + FIRST, 1, "does not follow its frame"),
        (HEADER + FIRST + AGAIN + TILES, 2, "does not follow its frame"),
        (HEADER + HEAD + PADDING + TILES, 1, "does not follow its frame"),
        (HEADER + HEAD + METADATA + TILES, 1, "does not follow its frame"),
        (HEADER + HEAD + HEADER + TILES + FIRST, 2, "does not follow its frame"),
        (HEADER + FIRST, 2, "shows 1 AV1 frames of the 2"),
        (HEADER + FIRST + FIRST, 1, "goes on after the 1 AV1 frames"),
        (HEADER + FIRST + AGAIN, 1, "goes on after the 1 AV1 frames"),
        (HEADER + FIRST + HIDDEN, 1, "goes on after the 1 AV1 frames"),
        (HEADER + FIRST + HEADER, 1, "goes on after the 1 AV1 frames"),
        (HEADER + FIRST + PADDING + TILES, 1, "does not follow its frame"),
        (HEADER + FIRST + HIDDEN * 4 + AGAIN, 2, "codes more AV1 frames than 2"),
        (HEADER + FIRST + obu(aw.FRAME, aw.split(AGAIN)[0][1]), 2, "OBU_FRAME has show_existing_frame 1"),
        (HEADER + FIRST + SequenceHeader(8, 8, size_bits=15).obu() + FIRST, 2, "sequence headers differ"),
        (HEADER + FIRST + SequenceHeader(8, 8, level=1).obu() + FIRST, 2, "sequence headers differ"),
        (HEADER + FIRST + aw.frame(PLAIN, PLANES, FrameHeader(kind=INTRA_ONLY, size_override=1)), 2, "override"),
        (HEADER + FIRST + b"\x32\x00", 2, "a frame header ends early|AV1 frame header"),
        (HEADER + FIRST + b"\x12\x00" + INTRA, 2, "may not begin with byte 0x12"),
    ],
)
def test_what_a_run_may_not_be(data: bytes, frames: int, message: str) -> None:
    with pytest.raises(CorruptStreamError, match=message) as error:
        check(data, frames)
    assert str(error.value).startswith("BASE")
    assert "\n" not in str(error.value)


def test_what_no_picture_needs() -> None:
    assert essential(PADDING + HEADER + METADATA + SPLIT + PADDING + AGAIN + METADATA) == HEADER + SPLIT + AGAIN
    assert essential(PADDING + METADATA) == b""


@pytest.mark.parametrize(
    ("sequence", "found"),
    [
        ({"width": 9}, "9x8 pixels of 8 bits;"),
        ({"height": 7}, "8x7 pixels of 8 bits;"),
        ({"depth": 10}, "8x8 pixels of 10 bits;"),
        ({"monochrome": True}, "8x8 pixels of 8 bits in grey;"),
    ],
)
def test_a_picture_that_disagrees(sequence: dict[str, Any], found: str) -> None:
    changed = dataclasses.replace(PLAIN, **sequence)
    with pytest.raises(CorruptStreamError, match=found):
        check_run(changed.obu() + aw.frame(PLAIN, PLANES), 1, PICTURE, "BASE")
    picture = Picture(changed.height, changed.width, changed.depth, 1 - changed.monochrome, 2, 9, 1, 15)
    assert check_run(changed.obu() + aw.frame(PLAIN, PLANES), 1, picture, "BASE")[0] == changed.payload()
