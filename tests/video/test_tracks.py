"""Sound, subtitles, chapters and tags: from a source, and into the files that players open."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from conftest import moving_squares
from sounding import CHAPTERS, CODECS, packets_of, sound_of, write_sounding

from nvcodec.encoding.av1.svt_encoder import BaseSettings, encode_av1
from nvcodec.tracks import Chapter, Extras, Packet, Track, TrackKind
from nvcodec.video.av1_files import TimedUnit, write_av1
from nvcodec.video.subtitle_text import converted, text_of
from nvcodec.video.track_muxer import FORMATS
from nvcodec.video.track_reader import Window, read_extras

NAMES = {"aac": "aac", "flac": "flac", "libopus": "opus", "libmp3lame": "mp3"}
NAMES |= {name: name for name in ("pcm_s16le", "pcm_s24le", "ac3")}
#: What containers hold, beside .mkv, which holds all.
HELD = {
    ".mp4": {"aac", "flac", "libopus", "pcm_s16le", "pcm_s24le", "libmp3lame", "ac3"},
    ".webm": {"libopus"},
    ".mkv": set(NAMES),
}


def write(path: Path, extras: Extras, frames: int = 20) -> list[str]:
    """Write AV1 with extras, at 12.5 frames per second."""
    units = encode_av1(moving_squares(frames, 32, 48), BaseSettings(50.0, 12, Fraction(25, 2)))
    timed = [TimedUnit(unit.data, 80 * number, 80, unit.key) for number, unit in enumerate(units)]
    return write_av1(path, timed, Fraction(1, 1000), Fraction(1), extras)


@pytest.mark.parametrize("suffix", CODECS)
def test_what_is_read_of_a_source(tmp_path: Path, suffix: str) -> None:
    path = write_sounding(tmp_path / f"source{suffix}")
    extras, left_out = read_extras(path)
    (track,) = extras.tracks
    assert (track.kind, track.codec, track.channels, track.layout) == (TrackKind.AUDIO, NAMES[CODECS[suffix]], 2, "")
    assert track.sample_rate == (48000 if suffix == ".webm" else 44100)
    assert [(float(p.time * track.time_base), p.data) for p in track.packets] == packets_of(path)
    assert track.language == ("" if suffix == ".avi" else "ger")
    assert track.bytes == sum(len(data) for _, data in packets_of(path))
    assert abs(track.seconds - Fraction(8, 5)) < Fraction(1, 10)
    if suffix in (".mp4", ".mkv", ".webm", ".mov"):
        assert extras.chapters == (
            Chapter(Fraction(0), Fraction(1, 2), "one"),
            Chapter(Fraction(1, 2), Fraction(3, 2), "two"),
        )
        assert extras.tags["title"] == "Ein Film"
        assert extras.tags["creation_time"] == "2026-11-28T10:00:00.000000Z"
    assert "location" not in extras.tags
    if suffix == ".mkv":
        assert left_out == ["the tag(s) location"]
    assert read_extras(path, audio=False)[0].tracks == ()
    assert read_extras(tmp_path) == read_extras(tmp_path / "none.mp4") == (Extras(), [])


def test_a_window(tmp_path: Path) -> None:
    """Packets whose time lies in it; chapters that are cut to it."""
    path = write_sounding(tmp_path / "source.mp4")
    window = Window(Fraction(2, 5), Fraction(4, 5))
    extras, _ = read_extras(path, window)
    (track,) = extras.tracks
    expected = [(time, data) for time, data in packets_of(path) if 0.4 <= time < 0.8]
    assert [(float(p.time * track.time_base), p.data) for p in track.packets] == expected
    assert 15 < len(expected) < 20
    assert extras.chapters == (
        Chapter(*window._replace(end=Fraction(1, 2)), "one"),
        Chapter(Fraction(1, 2), window[1], "two"),
    )
    assert read_extras(path, Window(Fraction(5), None))[0].tracks == ()
    whole, _ = read_extras(path)
    assert read_extras(path, Window(None, Fraction(100)))[0] == dataclasses.replace(
        whole, chapters=(whole.chapters[0], whole.chapters[1])
    )


def test_bounds_of_a_window() -> None:
    """The first time belongs to it, the last does not."""
    window = Window(Fraction(2, 5), Fraction(4, 5))
    assert [window.has(Fraction(tenths, 10)) for tenths in (3, 4, 7, 8)] == [False, True, True, False]
    assert Window().has(Fraction(-1000))


@pytest.mark.parametrize("codec", NAMES)
@pytest.mark.parametrize("suffix", HELD)
def test_sound_is_bit_for_bit(tmp_path: Path, codec: str, suffix: str) -> None:
    source = write_sounding(tmp_path / "source.mkv", codec)
    extras, _ = read_extras(source)
    out = tmp_path / f"out{suffix}"
    left_out = write(out, extras)
    if codec not in HELD[suffix]:
        assert left_out == [f"sound in {NAMES[codec]}"]
        assert packets_of(out) == []
        return
    assert left_out == []
    before, after = packets_of(source), packets_of(out)
    assert [data for _, data in after] == [data for _, data in before]
    for (time, _), (wanted, _) in zip(after, before, strict=True):
        assert abs(time - wanted) <= 0.0011  # Matroska counts milliseconds
    with av.open(str(out)) as container:
        sound: Any = container.streams.audio[0]
        assert sound.codec_context.codec.canonical_name == NAMES[codec]
        assert sound.language == "ger"
        video = [packet.pts * packet.time_base for packet in container.demux(video=0) if packet.size]
    assert video == [Fraction(80 * number, 1000) for number in range(20)]
    heard, original = sound_of(out), sound_of(source)
    size = min(len(heard), len(original))
    assert abs(len(heard) - len(original)) < 2500  # what decoders cut off at the ends
    if codec == "flac" or codec.startswith("pcm"):
        assert (heard == original).all()
    assert size > 60000


@pytest.mark.parametrize("suffix", HELD)
@pytest.mark.parametrize("first", [-700, 10**7])
def test_files_begin_at_0(tmp_path: Path, suffix: str, first: int) -> None:
    """Whenever the first frame is shown, with the sound and the chapters of its time."""
    extras, _ = read_extras(write_sounding(tmp_path / "source.mkv", "libopus"))
    (track,) = extras.tracks
    packets = tuple(packet._replace(time=packet.time + first) for packet in track.packets)  # milliseconds
    chapters = tuple(
        Chapter(c.start + Fraction(first, 1000), c.end + Fraction(first, 1000), c.title) for c in extras.chapters
    )
    extras = Extras((dataclasses.replace(track, packets=packets),), chapters)
    out = tmp_path / f"out{suffix}"
    units = encode_av1(moving_squares(3, 32, 48), BaseSettings(50.0, 12, Fraction(25, 2)))
    timed = [TimedUnit(unit.data, first + 80 * number, 80, unit.key) for number, unit in enumerate(units)]
    assert write_av1(out, timed, Fraction(1, 1000), Fraction(1), extras) == []
    with av.open(str(out)) as container:
        video = [float(packet.pts * packet.time_base) for packet in container.demux(video=0) if packet.size]
        starts = [float(c["start"] * c["time_base"]) for c in container.chapters()]  # type: ignore[operator]
    assert video == pytest.approx([0, 0.08, 0.16], abs=1e-6)
    assert starts == pytest.approx([0, 0.5], abs=1e-6)
    expected = [time for time, _ in packets_of(tmp_path / "source.mkv")]
    assert [time for time, _ in packets_of(out)] == pytest.approx(expected, abs=0.0011)


@pytest.mark.parametrize("suffix", HELD)
def test_chapters_and_tags(tmp_path: Path, suffix: str) -> None:
    extras, _ = read_extras(write_sounding(tmp_path / "source.mkv", "libopus"))
    out = tmp_path / f"out{suffix}"
    write(out, extras)
    with av.open(str(out)) as container:
        chapters = [
            (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]["title"])
            for c in container.chapters()
        ]
        tags = {key.lower(): value for key, value in container.metadata.items()}
    assert chapters == [(0, Fraction(1, 2), "one"), (Fraction(1, 2), Fraction(3, 2), "two")]
    assert len(chapters) == len(CHAPTERS)
    assert tags["title"] == "Ein Film"
    assert tags["creation_time"] == "2026-11-28T10:00:00.000000Z"
    assert "location" not in tags


@pytest.mark.parametrize(("source", "codec"), [(".mp4", "mov_text"), (".mkv", "subrip")])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_subtitles(tmp_path: Path, source: str, codec: str, suffix: str) -> None:
    """As they are where the container holds them, else as text."""
    path = write_sounding(tmp_path / f"source{source}", "aac", subtitles=codec)
    extras, _ = read_extras(path)
    assert extras.tracks[1].codec == codec
    out = tmp_path / f"out{suffix}"
    assert write(out, extras) == []
    target = "subrip" if suffix == ".mkv" else "mov_text"
    shown = [(time, text_of(target, data)) for time, data in packets_of(out, "subtitle") if text_of(target, data)]
    # FFmpeg's decoder of mov_text gives text as it is; tags of subrip are styles.
    assert shown == [(0.0, "Hello"), (0.6, "<i>Wörld</i>" if target == codec == "mov_text" else "Wörld")]
    if target == codec:
        assert [data for _, data in packets_of(out, "subtitle") if data != b"\0\0"] == [
            data for _, data in packets_of(path, "subtitle") if data != b"\0\0"
        ]


def test_subtitles_of_a_part(tmp_path: Path) -> None:
    """Of those from 0 to 0.4 and from 0.6 to 1.3 s."""
    path = write_sounding(tmp_path / "source.mkv", "aac", subtitles="subrip")
    for end, shown in ((Fraction(1, 5), [(0, 200)]), (Fraction(1), [(0, 400), (600, 400)])):
        extras, _ = read_extras(path, Window(None, end))
        assert [(packet.time, packet.duration) for packet in extras.tracks[1].packets] == shown


def test_text() -> None:
    assert text_of("ass", b"0,0,Default,,0,0,0,,{\\i1}One{\\i0},\\Ntwo\\hthree") == "One,\ntwo three"
    assert text_of("ass", b"nonsense") == ""
    assert text_of("subrip", b"{\\an8}<b>A</b> < b\r\n") == "A < b"
    assert text_of("mov_text", b"\0\3abcstyl") == "abc"
    assert text_of("mov_text", b"") == ""
    assert text_of("subrip", b"\xff") == "\ufffd"
    track = Track(TrackKind.SUBTITLES, "ass", Fraction(1, 100), (Packet(0, 1, b""), Packet(5, 2, b",,,,,,,,Hi")))
    made = converted(track, "mov_text")
    assert (made.codec, made.packets) == ("mov_text", (Packet(5, 2, b"\0\2Hi"),))
    with pytest.raises(ValueError, match="hdmv_pgs_subtitle is not text"):
        text_of("hdmv_pgs_subtitle", b"x")


def test_what_a_container_cannot_hold(tmp_path: Path) -> None:
    tracks = (
        Track(
            TrackKind.AUDIO, "no_such_codec", Fraction(1, 1000), (Packet(0, 20, b"x"),), sample_rate=8000, channels=1
        ),
        Track(TrackKind.AUDIO, "wmav2", Fraction(1, 1000), (Packet(0, 20, b"x"),), b"bad", 8000, 1),
        Track(TrackKind.SUBTITLES, "hdmv_pgs_subtitle", Fraction(1, 1000), (Packet(0, 20, b"x"),)),
    )
    out = tmp_path / "out.mp4"
    left_out = write(out, Extras(tracks), frames=3)
    assert left_out == ["sound in no_such_codec", "sound in wmav2", "subtitles in hdmv_pgs_subtitle"]
    with av.open(str(out)) as container:
        assert [stream.type for stream in container.streams] == ["video"]
    assert write(tmp_path / "out.ivf", Extras(tracks), frames=3) == ["audio and subtitles"]
    assert set(FORMATS) == {"mp4", "mov", "matroska", "webm"}


def test_what_of_a_source_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "source.mkv"
    with av.open(str(path), "w") as container:
        streams: list[Any] = []
        for _ in range(2):
            stream: Any = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            streams.append(stream)
        container.add_attachment("font.ttf", "font/ttf", b"x" * 20)
        for stream in streams:
            container.mux([*stream.encode(av.VideoFrame(32, 32, "yuv420p")), *stream.encode(None)])
    assert read_extras(path) == (Extras(), ["an attachment"])
