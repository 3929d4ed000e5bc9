"""Sound, subtitles, chapters and tags on the command line: from a source into a file, and out again."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from conftest import few_crops
from sounding import packets_of, write_sounding

import nvcodec
from nvcodec.cli.main import run
from nvcodec.errors import UsageError
from nvcodec.format.accounting import bytes_by_kind
from nvcodec.format.extras import extras_of
from nvcodec.format.stream_reader import read_stream
from nvcodec.tracks import Extras
from nvcodec.video.clip import Clip, steady
from nvcodec.video.source import read_clip
from nvcodec.video.track_reader import read_extras

FAST = ["--preset", "draft", "--steps", "2", "--lambda", "0", "--device", "cpu", "-q"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sounding(
        tmp_path_factory.mktemp("source") / "source.mp4",
        subtitles="mov_text",
        frames=30,
        seconds=1.2,
        tags={"title": "Ein Film"},
    )


@pytest.fixture(scope="module")
def made(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "made.sdmn"
    with few_crops():
        assert run(["encode", str(source), "-o", str(out), "--crf", "50", *FAST]) == 0
    return out


def test_what_travels(source: Path, made: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stream = read_stream(made.read_bytes())
    assert extras_of(stream) == (read_extras(source)[0], "")
    kinds = bytes_by_kind(stream)
    assert kinds["audio"] > sum(len(data) for _, data in packets_of(source)) > 1000
    assert run(["verify", str(made)]) == 0
    capfd.readouterr()
    assert run(["info", str(made), "--bytes"]) == 0
    shown = capfd.readouterr().out
    assert f"{'audio':<14}{kinds['audio']:>12}" in shown
    assert "track 0     audio, aac, 44100 Hz, 2 channel(s), 1.2 s, " in shown
    assert " bytes, ger, default\n" in shown
    assert "track 1     subtitles, mov_text, " in shown
    assert run(["info", str(made), "--json"]) == 0
    said = json.loads(capfd.readouterr().out)
    assert [(track["kind"], track["codec"], track["language"]) for track in said["tracks"]] == [
        ("audio", "aac", "ger"),
        ("subtitles", "mov_text", "eng"),
    ]
    assert said["tracks"][0]["bytes"] == sum(len(data) for _, data in packets_of(source))
    assert said["metadata"]["tags"]["title"] == "Ein Film"


def test_the_video_is_the_same(source: Path, made: Path) -> None:
    """Whatever travels beside it."""
    options = {"crf": 50.0, "preset": "draft", "steps": 2, "rd_lambda": 0.0, "device": "cpu"}
    with few_crops():
        alone = nvcodec.encode(read_clip(source), **options)
        extras = Extras(read_extras(source)[0].tracks)
        clip = read_clip(source)
        clip.extras = extras
        silent = nvcodec.encode(clip, audio=False, **options)
        sounding = nvcodec.encode(clip, **options)
    assert [unit.type for unit in read_stream(alone.data).units if unit.type in ("AUDIO", "SUBTITLES")] == []
    assert [track.codec for track in extras_of(read_stream(silent.data))[0].tracks] == ["mov_text"]
    assert extras_of(read_stream(sounding.data)) == (extras, "")
    videos = [read_stream(data).segments[0].layers for data in (alone.data, made.read_bytes(), sounding.data)]
    for layers in videos[1:]:
        assert [layer.base for layer in layers] == [layer.base for layer in videos[0]]
        assert [layer.ops for layer in layers] == [layer.ops for layer in videos[0]]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_extract(source: Path, made: Path, tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / f"base{suffix}"
    assert run(["extract", str(made), "--base", "-o", str(out)]) == 0
    said = capfd.readouterr().err
    if suffix == ".webm":
        assert said == f"note: {out}: left out: sound in aac\n"
        return
    assert said == ""
    assert [data for _, data in packets_of(out)] == [data for _, data in packets_of(source)]
    assert [time for time, _ in packets_of(out)] == pytest.approx([time for time, _ in packets_of(source)], abs=0.0011)
    assert len(packets_of(out, "video")) == 30
    if suffix == ".mp4":
        assert packets_of(out, "subtitle") == packets_of(source, "subtitle")
    with av.open(str(out)) as container:
        assert container.metadata["title"] == "Ein Film"
        assert len(container.chapters()) == 2
    assert run(["extract", str(made), "--base", "-o", str(out), "--no-audio", "-y"]) == 0
    assert packets_of(out) == []


def test_no_audio_and_a_part(source: Path, tmp_path: Path) -> None:
    """Of frames 10 to 19 at 25 frames per second: what is between 0.4 and 0.8 s."""
    out = tmp_path / "part.sdmn"
    part = ["--start", "10", "--frames", "10", "--crf", "50"]
    with few_crops():
        assert run(["encode", str(source), "-o", str(out), *part, *FAST]) == 0
        extras, _ = extras_of(read_stream(out.read_bytes()))
        assert [p.data for p in extras.tracks[0].packets] == [d for t, d in packets_of(source) if 0.4 <= t < 0.8]
        assert [float(c.start) for c in extras.chapters] == [0.4, 0.5]
        timed = ["--start", "0.4s", "--duration", "0.4s", "--crf", "50"]
        assert run(["encode", str(source), "-o", str(out), *timed, *FAST, "-y"]) == 0
        assert extras_of(read_stream(out.read_bytes())) == (extras, "")
        assert run(["encode", str(source), "-o", str(out), *part, *FAST, "--no-audio", "-y"]) == 0
        extras, _ = extras_of(read_stream(out.read_bytes()))
        assert [track.codec for track in extras.tracks] == ["mov_text"]


def test_a_network_alone(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "alone.sdmn"
    assert run(["encode", str(source), "-o", str(out), "--size", "3k", "--steps", "2", "--device", "cpu"]) == 0
    assert "note" not in capfd.readouterr().err
    stream = read_stream(out.read_bytes())
    assert stream.version == (1, 1)
    assert extras_of(stream) == (read_extras(source)[0], "")
    assert run(["extract", str(out), "--base", "-o", str(tmp_path / "out.mp4")]) == 2


def test_bits_per_pixel_are_of_pictures(made: Path) -> None:
    info = nvcodec.info(made)
    kinds = info["bytes_by_kind"]
    assert kinds["audio"] > 1000
    of_pictures = info["file_bytes"] - kinds["audio"] - kinds["subtitles"]
    assert info["bits_per_pixel"] == 8 * of_pictures / (info["width"] * info["height"] * info["frames"])


def test_targets_count_the_sound(source: Path, tmp_path: Path) -> None:
    sound = sum(len(data) for _, data in packets_of(source))
    with few_crops():
        file = nvcodec.encode(source, target_size=sound + 6000, preset="draft", steps=2, device="cpu")
    assert file.target_bytes == sound + 6000
    assert len(file.data) <= sound + 6000
    with pytest.raises(UsageError, match=r"alone take \d+ bytes, and the file may have 1000; `audio=False`"):
        nvcodec.encode(source, target_size=1000, device="cpu")


def test_what_is_left_out_is_said(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    film = write_sounding(tmp_path / "film.mkv", "flac", frames=3, seconds=0.2)
    out = str(tmp_path / "out.sdmn")
    with few_crops():
        assert run(["encode", str(film), "-o", out, "--crf", "60", *FAST]) == 0
        assert capfd.readouterr().err == ""
        loud = [option for option in FAST if option != "-q"]
        assert run(["encode", str(film), "-o", out, "--crf", "60", *loud, "-y"]) == 0
        assert capfd.readouterr().err.startswith(f"note: {film}: left out: the tag(s) location\n")
        assert run(["encode", str(film), "-o", out, "--crf", "60", *loud, "-y", "--fps", "30"]) == 0
    assert "sound, subtitles and chapters, because the frame rate is replaced" in capfd.readouterr().err
    assert extras_of(read_stream(Path(out).read_bytes()))[0].tracks == ()


def test_damaged_sound(made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A wrong length inside costs the track, with one sentence; the video is extracted."""
    from nvcodec.format.stream_writer import with_units
    from nvcodec.format.units import UnitType

    data = made.read_bytes()
    broken = tmp_path / "broken.sdmn"
    broken.write_bytes(with_units(data, [(UnitType.AUDIO, b"\0\x7f")]))
    out = tmp_path / "out.mp4"
    assert run(["extract", str(broken), "--base", "-o", str(out)]) == 0
    said = capfd.readouterr().err
    assert said.startswith(f"note: {broken}: audio or subtitles are damaged, and left out: AUDIO ends early")
    assert said.count("\n") == 1
    assert len(packets_of(out, "video")) == 30


def test_clips_have_no_extras() -> None:
    clip = Clip(torch.zeros(2, 3, 16, 16, dtype=torch.uint8), *steady(2, Fraction(25)))
    assert not clip.extras
