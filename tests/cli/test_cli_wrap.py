"""One file for every player: what players show is the base with its sound, what nvcodec shows is all of the .sdmn."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from conftest import few_crops
from sounding import packets_of, sound_of, write_sounding

import nvcodec
from nvcodec.cli.main import run
from nvcodec.format.extras import extras_of
from nvcodec.format.mp4_box import UUID, media_data
from nvcodec.format.stream_reader import read_stream

FAST = ["--crf", "45", "--preset", "draft", "--steps", "20", "--lambda", "0", "--device", "cpu", "-q"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "source.mp4"
    return write_sounding(path, subtitles="mov_text", tags={"title": "Ein Film"})


@pytest.fixture(scope="module")
def sdmn(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "made.sdmn"
    with few_crops():
        assert run(["encode", str(source), "-o", str(out), *FAST]) == 0
    return out


@pytest.fixture(scope="module")
def wrapped(sdmn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wrapped") / "wrapped.mp4"
    assert run(["wrap", str(sdmn), "-o", str(out)]) == 0
    assert [file.name for file in out.parent.iterdir()] == ["wrapped.mp4"]
    return out


def ffmpeg() -> str:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path: str = imageio_ffmpeg.get_ffmpeg_exe()
    return path


def said(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    capfd.readouterr()
    code = run(arguments)
    return code, *capfd.readouterr()


def shown_by_players(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]


def test_round_trip(sdmn: Path, wrapped: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "back.sdmn"
    assert said(["unwrap", str(wrapped), "-o", str(out)], capfd) == (0, "", "")
    assert out.read_bytes() == sdmn.read_bytes()
    # The AV1 stream and the sound are there once: the box has little else than the networks.
    stream = read_stream(sdmn.read_bytes())
    data = wrapped.read_bytes()
    own = len(data) - data.index(UUID)
    copied = sum(len(run.data) for run in stream.segments[0].layers[0].base)
    copied += sum(track.bytes for track in extras_of(stream)[0].tracks if track.codec == "aac")
    assert own < len(sdmn.read_bytes()) - 0.9 * copied
    assert len(data) < len(sdmn.read_bytes()) + 6000
    assert said(["unwrap", str(wrapped), "-o", str(out)], capfd)[0] == 2  # it exists
    assert said(["unwrap", str(sdmn), "-o", str(out), "-y"], capfd) == (0, "", "")


def test_every_command_reads_it(sdmn: Path, wrapped: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """By its content, whatever its name."""
    renamed = tmp_path / "renamed.sdmn"
    shutil.copy(wrapped, renamed)
    for command in (["decode", "--md5"], ["decode", "--md5", "--layers", "1"], ["info", "--json"]):
        plain = said([command[0], str(sdmn), *command[1:]], capfd)
        assert plain[0] == 0
        for path in (wrapped, renamed):
            assert said([command[0], str(path), *command[1:]], capfd) == plain
    assert said(["verify", str(wrapped)], capfd)[0] == 0
    video, inner = nvcodec.open(sdmn, device="cpu"), nvcodec.open(wrapped.read_bytes(), device="cpu")
    assert (video[39] == inner[39]).all()
    with wrapped.open("rb") as file:
        for given in (wrapped, str(renamed), file):
            assert (nvcodec.open(given, device="cpu")[0] == video[0]).all()
            assert nvcodec.info(wrapped)["file_bytes"] == len(sdmn.read_bytes())


def test_players_show_the_base(source: Path, sdmn: Path, wrapped: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.mp4"
    assert run(["extract", str(sdmn), "--base", "-o", str(base)]) == 0
    frames = shown_by_players(wrapped)
    assert len(frames) == 40
    for frame, wanted in zip(frames, shown_by_players(base), strict=True):
        np.testing.assert_array_equal(frame, wanted)
    assert [data for _, data in packets_of(wrapped)] == [data for _, data in packets_of(source)]
    times = [[time for time, _ in packets_of(path)] for path in (wrapped, source)]
    assert times[0] == pytest.approx(times[1], abs=1e-4)
    np.testing.assert_array_equal(sound_of(wrapped), sound_of(source))
    with av.open(str(wrapped)) as container:
        assert container.metadata["title"] == "Ein Film"
        assert container.streams.audio[0].language == "ger"
        assert len(container.chapters()) == 2
    assert packets_of(wrapped, "subtitle") == packets_of(source, "subtitle")


def test_ffmpeg_plays_it(wrapped: Path, source: Path) -> None:
    """The ffmpeg of imageio-ffmpeg, which is another build: all frames, and the sound of the source."""
    exe = ffmpeg()
    raw = subprocess.run(
        [exe, "-v", "error", "-i", str(wrapped), "-map", "0:v", "-f", "rawvideo", "-pix_fmt", "gray", "-"],
        capture_output=True,
        check=True,
    )
    assert (len(raw.stdout), raw.stderr) == (40 * 48 * 32, b"")
    sounds = [
        subprocess.run(
            [exe, "-v", "error", "-i", str(path), "-map", "0:a", "-c", "copy", "-f", "adts", "-"],
            capture_output=True,
            check=True,
        ).stdout
        for path in (wrapped, source)
    ]
    assert sounds[0] == sounds[1]
    assert len(sounds[0]) > 10000


def test_encode_to_mp4(source: Path, sdmn: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out, back = tmp_path / "out.mp4", tmp_path / "back.sdmn"
    with few_crops():
        assert said(["encode", str(source), "-o", str(out), *FAST], capfd) == (0, "", "")
    assert run(["unwrap", str(out), "-o", str(back)]) == 0
    assert back.read_bytes() == sdmn.read_bytes()
    assert len(shown_by_players(out)) == 40
    code, _, error = said(["encode", str(source), "-o", str(tmp_path / "x.mp4"), "--size", "3k"], capfd)
    assert (code, "would be a network alone, which no player shows" in error) == (2, True)
    for name in ("x.mkv", "x.WebM", "x.mov"):
        code, _, error = said(["encode", str(source), "-o", str(tmp_path / name)], capfd)
        assert (code, "a file that players show ends in .mp4, any other in .sdmn" in error) == (2, True)
    assert [path.name for path in tmp_path.glob("x.*")] == []


def test_refusals(tiny: nvcodec.Encoded, sdmn: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    alone = tmp_path / "alone.sdmn"
    alone.write_bytes(tiny.data)
    for file, out, sentence in (
        (sdmn, "out.mkv", "must end in .mp4"),
        (alone, "out.mp4", "there is no AV1 stream: the file is a network alone"),
    ):
        code, _, error = said(["wrap", str(file), "-o", str(tmp_path / out)], capfd)
        assert (code, sentence in error) == (2, True), error
        assert not (tmp_path / out).exists()


@pytest.mark.parametrize("command", [["decode", "--md5"], ["info"], ["verify"], ["unwrap", "-o", "-"]])
def test_what_is_left_of_it(
    wrapped: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """Cut, damaged, or copied by another program: players show what is left; one sentence says what is lost."""
    data = wrapped.read_bytes()
    ours, (begin, end) = data.index(UUID) - 8, media_data(data)
    damaged_media, damaged_box = bytearray(data), bytearray(data)
    units = read_stream(nvcodec_bytes(wrapped)).segments[0].layers[0].base[0].temporal_units
    unit = max(units[10:], key=len)
    damaged_media[data.index(unit, begin) + len(unit) // 2] ^= 1
    damaged_box[-20] ^= 1
    cases: dict[str, tuple[bytes, int, str, int]] = {
        "cut in the box": (
            data[:-30],
            4,
            "is cut 30 bytes before the end of its nvcodec box: the networks",
            40,
        ),
        "cut before the box": (data[:ours], 3, "has no nvcodec box: another program", 40),
        "cut in the media": (data[: (begin + 2 * end) // 3], 3, "has no nvcodec box, and the file is cut", 1),
        "damaged media": (bytes(damaged_media), 4, "is damaged: its checksum does not match", 1),
        "damaged box": (bytes(damaged_box), 4, "is damaged: its checksum does not match", 40),
    }
    for name, (content, code, sentence, frames) in cases.items():
        path = tmp_path / "left.mp4"
        path.write_bytes(content)
        found, out, error = said([command[0], str(path), *command[1:]], capfd)
        text = out if command[0] == "verify" else error
        assert (found, sentence in text, text.count("\n")) == (code, True, 1), (name, text)
        if command == ["info"]:
            assert left(path) >= frames, name


def nvcodec_bytes(path: Path) -> bytes:
    from nvcodec.format.stream_reader import read_all

    with path.open("rb") as file:
        return read_all(file)


def left(path: Path) -> int:
    """How many frames a player shows of what may be damaged."""
    count = 0
    with av.open(str(path)) as container:
        packets: Any = container.demux(video=0)
        while True:
            try:
                count += len(next(packets).decode())
            except StopIteration:
                return count
            except av.FFmpegError:
                continue


def test_remuxed_by_ffmpeg(wrapped: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "remuxed.mp4"
    subprocess.run([ffmpeg(), "-v", "error", "-i", str(wrapped), "-c", "copy", "-map", "0:v", str(out)], check=True)
    code, stdout, error = said(["decode", str(out), "--md5"], capfd)
    assert (code, stdout) == (3, "")
    assert error == (
        f"nvcodec: {out}: this MP4 has no nvcodec box: another program wrote it, or copied it without the networks; "
        "players show its video\n"
    )
    assert len(shown_by_players(out)) == 40


def test_a_pipe(wrapped: Path) -> None:
    import sys

    command = [sys.executable, "-m", "nvcodec", "info", "-"]
    with subprocess.Popen(["cat", str(wrapped)], stdout=subprocess.PIPE) as cat:
        made = subprocess.run(command, stdin=cat.stdout, capture_output=True, check=False)
    assert made.returncode == 3
    assert made.stderr == b"nvcodec: -: an MP4 cannot be read from a pipe; name the file\n"
