"""decode -o: sound, subtitles, chapters and tags beside the decoded pictures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from conftest import few_crops
from sounding import packets_of, sound_of, write_sounding

from nvcodec.cli.main import run
from nvcodec.tracks import Chapter, Extras, Packet, Track, TrackKind

FAST = ["--crf", "50", "--preset", "draft", "--steps", "2", "--lambda", "0", "--device", "cpu", "-q"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "source.mkv"
    return write_sounding(path, "libopus", subtitles="subrip", tags={"title": "Ein Film"}, first_pts=25)


@pytest.fixture(scope="module")
def sdmn(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "made.sdmn"
    with few_crops():
        assert run(["encode", str(source), "-o", str(out), *FAST]) == 0
    return out


def chapters_of(path: Path) -> list[tuple[float, float, str]]:
    """Start and end in seconds and title of each chapter."""
    with av.open(str(path)) as container:
        found: Any = container.chapters()
        times = [(float(c["start"] * c["time_base"]), float(c["end"] * c["time_base"])) for c in found]
        return [(*time, c["metadata"]["title"]) for time, c in zip(times, found, strict=True)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_sound_goes_with_the_pictures(source: Path, sdmn: Path, tmp_path: Path, suffix: str) -> None:
    """The video begins a second after the sound: what is heard before it, at negative times, is kept as well."""
    out = tmp_path / f"out{suffix}"
    assert run(["decode", str(sdmn), "-o", str(out), "-q"]) == 0
    before, after = packets_of(source), packets_of(out)
    assert [data for _, data in after] == [data for _, data in before]
    video = packets_of(out, "video")
    assert len(video) == 40
    # One second of sound comes before the first frame, in every file.
    first = packets_of(source, "video")[0][0]
    assert first == pytest.approx(1.0, abs=0.01)
    lead = [time - video[0][0] for time, _ in after]
    assert lead == pytest.approx([time - first for time, _ in before], abs=0.0025)
    with av.open(str(out)) as container:
        assert container.streams.audio[0].language == "ger"
        assert {key.lower(): value for key, value in container.metadata.items()}["title"] == "Ein Film"
    assert len(sound_of(out)) > 0
    assert chapters_of(out) == [(0, 0.5, "two")]
    # Of the subtitles, one is over when the video begins; the other then has 0.3 of its 0.7 s left.
    shown = [(time, data) for time, data in packets_of(out, "subtitle") if data != b"\0\0"]
    assert [time - video[0][0] for time, _ in shown] == pytest.approx([0], abs=0.0025)


def test_a_part(source: Path, sdmn: Path, tmp_path: Path) -> None:
    """Frames 10 to 14, from 1.4 to 1.6 s of the source: their sound, which begins with them."""
    out = tmp_path / "out.mkv"
    assert run(["decode", str(sdmn), "-o", str(out), "-q", "--start", "10", "--frames", "5"]) == 0
    wanted = [(time, data) for time, data in packets_of(source) if 1.4 <= time < 1.6]
    assert [data for _, data in packets_of(out)] == [data for _, data in wanted]
    assert len(wanted) in (9, 10, 11)
    assert [time for time, _ in packets_of(out)] == pytest.approx([time - 1.4 for time, _ in wanted], abs=0.0025)
    assert run(["decode", str(sdmn), "-o", str(out), "-q", "-y", "--no-audio"]) == 0
    assert packets_of(out) == []
    assert len(packets_of(out, "subtitle")) == 1


def test_what_a_format_cannot_hold(sdmn: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    out = tmp_path / "out.mov"
    assert run(["decode", str(sdmn), "-o", str(out), "--frames", "30"]) == 0
    assert f"note: {out}: left out: sound in opus\n" in capfd.readouterr().err
    assert run(["decode", str(sdmn), "-o", str(tmp_path / "out.gif"), "--frames", "30"]) == 0
    assert "left out: audio and subtitles\n" in capfd.readouterr().err
    assert run(["decode", str(sdmn), "-o", str(tmp_path / "frames/"), "--frames", "2"]) == 0
    assert "left out" not in capfd.readouterr().err


def test_within() -> None:
    packets = tuple(Packet(100 * n, 100, bytes([n])) for n in range(10))
    track = Track(TrackKind.AUDIO, "opus", Fraction(1, 1000), packets)
    early = Track(TrackKind.SUBTITLES, "subrip", Fraction(1, 1000), packets[:2])
    chapters = (Chapter(Fraction(0), Fraction(1, 2), "a"), Chapter(Fraction(1, 2), Fraction(1), "b"))
    part = Extras((track, early), chapters, {"title": "x"}).within(Fraction(1, 5), Fraction(1, 2))
    assert [packet.time for packet in part.tracks[0].packets] == [200, 300, 400]
    assert len(part.tracks) == 1
    assert part.chapters == (Chapter(Fraction(1, 5), Fraction(1, 2), "a"),)
    assert part.tags == {"title": "x"}
    part = Extras((early,)).within(Fraction(0), Fraction(3, 20))
    assert [(packet.time, packet.duration) for packet in part.tracks[0].packets] == [(0, 100), (100, 50)]
