"""AUDIO, SUBTITLES and their metadata: what is written is read; damage costs a sentence, and no picture."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference_decoder
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import random_stream

from nvcodec.errors import UsageError
from nvcodec.format.accounting import bytes_by_kind
from nvcodec.format.extras import add_extras, extra_bytes, extras_of, pack_packets
from nvcodec.format.fields import varint
from nvcodec.format.stream import Stream
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.stream_writer import write_stream
from nvcodec.format.units import Order, UnitType, pack_unit
from nvcodec.tracks import NO_EXTRAS, Chapter, Extras, Packet, Track, TrackKind

CONFORMANCE = Path(__file__).parents[2] / "conformance"
SOUND = Track(
    TrackKind.AUDIO,
    "opus",
    Fraction(1, 48000),
    (Packet(-312, 960, b"one"), Packet(648, 960, b""), Packet(1608, 120, bytes(300))),
    b"OpusHead",
    48000,
    2,
    language="eng",
)
TEXT = Track(TrackKind.SUBTITLES, "subrip", Fraction(1, 1000), (Packet(0, 1500, b"Hi"), Packet(500, 100, b"there")))
EXTRAS = Extras(
    (SOUND, dataclasses.replace(TEXT, title="Notes", dispositions=("default", "forced"))),
    (Chapter(Fraction(0), Fraction(1, 3), "one"), Chapter(Fraction(1, 3), Fraction(5, 2), "")),
    {"title": "A film", "creation_time": "2026-11-28T10:00:00.000000Z"},
)


def plain(compact: bool, order: Order = Order.BY_LAYER, layers: int = 2) -> Stream:
    stream = random_stream(3, frames=2, operations=0, layers=layers)
    stream.compact = compact
    stream.video = dataclasses.replace(stream.video, order=order)
    return stream


def with_extras(stream: Stream, extras: Extras) -> Stream:
    return read_stream(add_extras(write_stream(stream), extras))


def texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)


@st.composite
def tracks(draw: st.DrawFn) -> Track:
    kind = draw(st.sampled_from(list(TrackKind)))
    packet = st.builds(Packet, st.integers(-(2**61), 2**61), st.integers(0, 2**32 - 1), st.binary(max_size=9))
    return Track(
        kind,
        draw(st.sampled_from(["aac", "subrip", "pcm_s16le", ""])),
        Fraction(draw(st.integers(1, 2**32 - 1)), draw(st.integers(1, 2**32 - 1))),
        tuple(draw(st.lists(packet, max_size=4))),
        draw(st.binary(max_size=200)),
        *(draw(st.sampled_from([(48000, 2), (2**32 - 1, 255), (0, 1)])) if kind == TrackKind.AUDIO else (0, 0)),
        draw(texts()),
        draw(texts()),
        draw(texts()),
        tuple(draw(st.lists(texts().filter(bool), max_size=2))),
    )


@st.composite
def chapters(draw: st.DrawFn) -> Chapter:
    start = Fraction(draw(st.integers(-(10**6), 10**6)), draw(st.sampled_from([1, 1000, 90000])))
    return Chapter(start, start + draw(st.integers(0, 99)), draw(texts()))


@settings(max_examples=60)
@given(
    st.lists(tracks(), max_size=3),
    st.lists(chapters(), max_size=3),
    st.dictionaries(texts().filter(bool), texts().filter(bool), max_size=3),
    st.booleans(),
)
def test_what_is_written_is_read(some: list[Track], parts: list[Chapter], tags: dict[str, str], compact: bool) -> None:
    extras = Extras(tuple(some), tuple(parts), tags)
    assert extras_of(with_extras(plain(compact), extras)) == (extras, "")


@pytest.mark.parametrize(("compact", "order"), [(False, 0), (True, 0), (True, 1)])
def test_in_a_file(compact: bool, order: Order) -> None:
    stream = plain(compact, order)
    stream.metadata = {"encoder": "me"}
    before = write_stream(stream)
    data = add_extras(before, EXTRAS)
    read = read_stream(data)
    assert extras_of(read) == (EXTRAS, "")
    assert read.metadata["encoder"] == "me"
    kinds = bytes_by_kind(read)
    sound, text = (len(payload) for _, payload in read.track_units)
    assert (kinds["audio"], kinds["subtitles"]) == (sound, text)
    assert sum(kinds.values()) == len(data) > len(before) + sound + text
    assert 0 <= len(before) + extra_bytes(EXTRAS, compact) - len(data) <= 16 + 3 * 12
    assert len(write_stream(read)) < len(data)  # in which metadata are one unit
    assert extras_of(read_stream(write_stream(read))) == (EXTRAS, "")
    assert add_extras(before, NO_EXTRAS) == before
    # The other decoder sees the same pictures.
    for number in range(2):
        with_tracks, without = (reference_decoder.decode(reference_decoder.parse(f), number) for f in (data, before))
        np.testing.assert_array_equal(with_tracks, without)


def test_a_file_that_is_cut_keeps_its_sound() -> None:
    data = write_stream(with_extras(plain(True), EXTRAS))
    ends = [unit.offset + unit.bytes for unit in read_stream(data).units if unit.type == "LAYER_END"]
    cut = read_stream(data[: ends[0] + 3])
    assert cut.layers == 1
    assert extras_of(cut) == (EXTRAS, "")


def test_a_packet_takes_few_bytes() -> None:
    """Beside its data: in compact form 4 where the packet follows the one before, and has 128 to 16383 bytes."""
    packets = tuple(Packet(1024 * n, 1024, bytes(200)) for n in range(100))
    assert len(pack_packets(packets, True)) - 100 * 200 == 1 + 100 * 5
    assert len(pack_packets(packets, False)) - 100 * 200 == 4 + 100 * 16


def test_the_conformance_vector() -> None:
    """Its second unit of track 1 has packets at 2^61 and back at 0."""
    extras, note = extras_of(read_stream((CONFORMANCE / "compact-tracks" / "stream.sdmn").read_bytes()))
    assert note == ""
    assert extras == Extras(
        (
            Track(
                TrackKind.SUBTITLES,
                "subrip",
                Fraction(1, 1000),
                (Packet(0, 1500, b"Hallo"), Packet(500, 2**32 - 1, b"")),
                language="deu",
                dispositions=("forced",),
            ),
            Track(
                TrackKind.AUDIO,
                "opus",
                Fraction(1, 48000),
                (
                    *(Packet(-312, 960, b"\xfc\xff\xfe"), Packet(648, 120, bytes(200))),
                    *(Packet(2**61, 1, b"x"), Packet(0, 0, b"y")),
                ),
                b"OpusHead",
                48000,
                2,
                "downmix",
                title="Ton",
            ),
        ),
        (Chapter(Fraction(-1, 25), Fraction(0), "eins"), Chapter(Fraction(0), Fraction(10**9), "zwei")),
        {"title": "Zwei Kapitel", "creation_time": "2026-11-28T12:00:00.000000Z"},
    )


#: Payloads of one unit in compact form, and a word of what is said of them.
BROKEN = {
    "an empty one": (b"", "ends inside an integer"),
    "a number too far": (b"\1", "is of track 1 where there are 0"),
    "a name that is not ASCII": (b"\0\1\xff" + b"\1\1\1\1\0\0", "not ASCII"),
    "a name that is too long": (b"\0\x7fopus", "ends early"),
    "no time base": (b"\0\0\1\1\0\1\0\0", "time_base_num must be from 1"),
    "subtitles": (b"\0\0\0\0\1\1\0\0", "0 channels of 0 samples"),
    "codec data that are too long": (b"\0\0\1\1\1\1\x7f\0", "ends early"),
    "more packets than bytes": (b"\0\0\1\1\1\1\0\x02\0\0\0\0\0", "5 bytes for 2 packets"),
    "absurdly many packets": (b"\0\0\1\1\1\1\0\xff\xff\xff\xff\x0f" + bytes(9), "9 bytes for 4294967295 packets"),
    "a packet that is too long": (b"\0\0\1\1\1\1\0\1\0\0\x7f", "ends early"),
    "a time beyond 2^61": (b"\0\0\1\1\1\1\0\1" + varint(2**62 + 2) + b"\0\0", "a packet at"),
    "a byte too many": (b"\0\0\1\1\1\1\0\1\0\0\0\0", "1 bytes too many"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_damage(name: str) -> None:
    """The unit is left out with a sentence, which is the first one's; others stay."""
    payload, said = BROKEN[name]
    stream = plain(True)
    stream.track_units = [(UnitType.AUDIO, payload), (UnitType.AUDIO, b""), *with_extras(stream, EXTRAS).track_units]
    extras, note = extras_of(read_stream(write_stream(stream)))
    assert [track.codec for track in extras.tracks] == ["opus", "subrip"]
    assert note.startswith("audio or subtitles are damaged, and left out: ")
    assert said in note
    assert "\n" not in note


def test_damaged_units() -> None:
    """Lost units cost their packets alone; a later part of another kind is damage, too."""
    stream = with_extras(plain(True), EXTRAS)
    later = b"\0" + pack_packets([Packet(5, 1, b"z")], True)
    stream.track_units += [(UnitType.AUDIO, later), (UnitType.SUBTITLES, later)]
    extras, note = extras_of(stream)
    assert extras.tracks[0].packets == (*SOUND.packets, Packet(5, 1, b"z"))
    assert "SUBTITLES is of track 0, which is audio" in note
    data = bytearray(write_stream(with_extras(plain(True), EXTRAS)))
    at = bytes(data).index(b"OpusHead")
    data[at] ^= 1
    salvaged = read_stream(bytes(data), keep_going=True)
    extras, note = extras_of(salvaged)
    assert (salvaged.layers, extras.tracks) == (2, ())
    assert "SUBTITLES is of track 1 where there are 0" in note


@pytest.mark.parametrize(
    "said",
    [
        {"tracks": 5, "chapters": 5, "tags": 5},
        {
            "tracks": [5, {"language": 5, "title": "a\0b", "disposition": 5}],
            "chapters": {"time_base": [1, 0], "list": []},
        },
        {"tracks": [{}] * 9, "chapters": {"time_base": [1, 1], "list": 5}, "tags": {"title": 5, "": "x", "y": "a\0b"}},
        {"tracks": {}, "chapters": {"time_base": [1, 1, 1], "list": [[0, 1, "x"]]}, "tags": []},
        {"chapters": {"time_base": [1, 1], "list": [[0], [1, 0, "x"], [0.5, 1, "x"], [0, 2**63, "x"], "abc"]}},
    ],
)
def test_metadata_that_anybody_may_write(said: dict[str, Any]) -> None:
    stream = with_extras(plain(True), Extras((dataclasses.replace(SOUND, language=""), TEXT)))
    stream.metadata = json.loads(json.dumps(said))
    extras, note = extras_of(stream)
    assert note == ""
    assert extras == Extras((dataclasses.replace(SOUND, language=""), TEXT))


def test_what_cannot_be_stored() -> None:
    for track in (
        dataclasses.replace(SOUND, packets=(Packet(2**61 + 1, 0, b""),)),
        dataclasses.replace(SOUND, packets=(Packet(0, 2**32, b""),)),
        dataclasses.replace(SOUND, packets=(Packet(0, -1, b""),)),
        dataclasses.replace(SOUND, channels=256),
        dataclasses.replace(SOUND, time_base=Fraction(1, 2**32)),
    ):
        with pytest.raises(UsageError, match="a track cannot be stored"):
            with_extras(plain(True), Extras((track,)))
    with pytest.raises(UsageError, match="at most 256 tracks"):
        with_extras(plain(True), Extras((TEXT,) * 257))
    most = Extras((dataclasses.replace(TEXT, packets=()),) * 256)
    assert extras_of(with_extras(plain(True), most)) == (most, "")
    assert pack_unit(UnitType.SUBTITLES, b"", compact=True)[:4] == bytes([35, 0, 0, 0])
