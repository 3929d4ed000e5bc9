"""``nvcodec decode`` to files that other programs read."""

from __future__ import annotations

import dataclasses
import os
import pty
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from playback import by_pyav, ffmpeg_program, pictures_by_ffmpeg

from nvcodec.cli.main import run
from nvcodec.format.stream_reader import read_file
from nvcodec.format.stream_writer import write_stream

README = Path(__file__).parents[2] / "README.md"


def later(file: Path, path: Path, ticks: int) -> Path:
    """Write a copy of a file whose frames are shown ``ticks`` later."""
    stream = read_file(file)
    for segment in stream.segments:
        segment.head = dataclasses.replace(segment.head, first_pts=segment.head.first_pts + ticks)
    path.write_bytes(write_stream(stream))
    return path


def test_colours_of_the_source_are_tagged(tiny_file: Path, tmp_path: Path) -> None:
    stream = read_file(tiny_file)
    stream.video = dataclasses.replace(stream.video, primaries=9, transfer=16, matrix=9)
    (tmp_path / "pq.sdmn").write_bytes(write_stream(stream))
    assert run(["decode", str(tmp_path / "pq.sdmn"), "-o", str(tmp_path / "frames/"), "-q"]) == 0
    with av.open(str(tmp_path / "frames" / "00000.png")) as container:
        frame = next(container.decode(video=0))
        assert (frame.color_primaries, frame.color_trc) == (9, 16)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm", ".gif", ".mkv", ".y4m"])
def test_formats(tiny_file: Path, tmp_path: Path, suffix: str) -> None:
    """All five frames of 42x33, and how long they last."""
    out = tmp_path / f"x{suffix}"
    assert run(["decode", str(tiny_file), "-o", str(out), "-q"]) == 0
    played = by_pyav(out)
    assert (played.times, played.end) == ([Fraction(index, 25) for index in range(5)], Fraction(1, 5))


def test_one_picture(tiny_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.png"
    assert run(["decode", str(tiny_file), "-o", str(out)]) == 2
    assert (
        "x.png holds one picture, and there are more; write a folder/, or choose one by --frames"
        in capfd.readouterr().err
    )
    assert run(["decode", str(tiny_file), "-o", str(out), "--start", "3", "--frames", "1", "-q"]) == 0
    assert run(["decode", str(tiny_file), "-o", str(tmp_path / "all/"), "-q"]) == 0
    assert out.read_bytes() == (tmp_path / "all" / "00003.png").read_bytes()


def test_y4m_of_a_part_has_the_part_s_frame_rate(tiny_file: Path, tmp_path: Path) -> None:
    stream = read_file(tiny_file)
    (segment,) = stream.segments
    segment.durations = np.array([1, 1, 1, 5, 5])
    segment.head = dataclasses.replace(segment.head, constant_duration=0)
    (tmp_path / "x.sdmn").write_bytes(write_stream(stream))
    for part, fps in ((["--start", "3"], "5:1"), (["--frames", "3"], "25:1")):
        out = tmp_path / "x.y4m"
        assert run(["decode", str(tmp_path / "x.sdmn"), "-o", str(out), "-qy", *part]) == 0
        assert out.read_bytes().split(b"\n")[0] == f"YUV4MPEG2 W42 H33 F{fps} Ip A1:1 C444 XCOLORRANGE=LIMITED".encode()


def test_the_readme_s_pipe(tiny_file: Path, tmp_path: Path) -> None:
    """The line for ffmpeg as it stands there; ffplay and mpv read the same."""
    (line,) = re.findall(r"(?m)^nvcodec decode .*\| ffmpeg [^#]*", README.read_text())
    for name, ours in (
        ("ffmpeg", f"{ffmpeg_program()} -v error"),
        ("nvcodec", f"{sys.executable} -m nvcodec"),
        ("out.sdmn", str(tiny_file)),
        ("out.avi", f"{tmp_path}/out.avi"),
    ):
        line = re.sub(rf"(?<!\S){name}(?!\S)", ours, line)
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert by_pyav(tmp_path / "out.avi").times == [Fraction(index, 25) for index in range(5)]


def test_pipes_to_other_programs(tiny_file: Path, tmp_path: Path) -> None:
    """y4m and raw RGB on standard output, read by ffmpeg."""
    decode = f"{sys.executable} -m nvcodec decode -q {tiny_file} -o -"
    for command, name in (
        (f"{decode} | {ffmpeg_program()} -v error -i - {tmp_path}/x.mkv", "x.mkv"),
        (
            f"{decode} --format rgb | {ffmpeg_program()} -v error -f rawvideo -pix_fmt rgb24 -s 42x33 -r 25 -i - "
            f"-c:v ffv1 -pix_fmt bgr0 {tmp_path}/y.mkv",
            "y.mkv",
        ),
    ):
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert by_pyav(tmp_path / name).times == [Fraction(index, 25) for index in range(5)]
    assert run(["decode", str(tiny_file), "-o", str(tmp_path / "z.mkv"), "-q"]) == 0
    same = [pictures_by_ffmpeg(tmp_path / name, 42, 33) for name in ("y.mkv", "z.mkv")]
    assert (same[0] == same[1]).all()


def test_a_terminal_is_no_output(tiny_file: Path) -> None:
    leader, terminal = pty.openpty()
    command = [sys.executable, "-m", "nvcodec", "decode", str(tiny_file), "-o", "-"]
    done = subprocess.run(command, stdout=terminal, stderr=subprocess.PIPE, text=True, check=False)
    os.close(leader)
    os.close(terminal)
    assert done.returncode == 2
    assert done.stderr == (
        "nvcodec: standard output is a terminal, which cannot show pictures; name a file, or pipe them on\n"
    )


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ("--start 1", "1234"),
        ("--start 0.04", "1234"),
        ("--start 0.041s --frames 2", "23"),
        ("--start 0:00:00.08", "234"),
        ("--end 2", "01"),
        ("--end 0.08", "01"),
        ("--end 99s", "01234"),
        ("--duration 3", "012"),
        ("--start 1 --duration 0.08", "12"),
        ("--start .04 --duration 2", "12"),
        ("--start 0.05 --end 4", "23"),
    ],
)
@pytest.mark.parametrize("offset", [0, -3, 1500])
def test_parts(
    tiny_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], options: str, numbers: str, offset: int
) -> None:
    """Frames of 1/25 s, chosen by number or by time; times count from the first frame, whenever it is shown."""
    path = later(tiny_file, tmp_path / "x.sdmn", offset)
    assert run(["decode", str(path), "--md5=frame", *options.split()]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split("  ")[1] for line in lines] == [f"frame {number}" for number in numbers]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--start 5", "--start is past the last of the 5 frames of {file}, 0.2 s"),
        ("--start 0.17", "--start is past the last of the 5 frames of {file}, 0.2 s"),
        ("--start 2 --end 2", "{file} has no frame in the chosen part, which ends before frame 2 begins"),
        ("--start 3 --end 0.04", "{file} has no frame in the chosen part, which ends before frame 3 begins"),
        ("--duration 0.0", "{file} has no frame in the chosen part, which ends before frame 0 begins"),
        ("--frames 2 --end 3", "give at most one of --frames, --duration and --end"),
        ("--fps 50 --end 3", "--interpolate or --fps go with the whole file, not with a part of it or each other"),
    ],
)
def test_parts_without_a_frame(tiny_file: Path, capfd: pytest.CaptureFixture[str], options: str, said: str) -> None:
    assert run(["decode", str(tiny_file), "--md5", *options.split()]) == 2
    assert capfd.readouterr().err == f"nvcodec: {said.format(file=tiny_file)}\n"


def test_messages_name_the_file(tiny_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Damage that is found while reading, and damage that is found while decoding."""
    path = tmp_path / "x.sdmn"
    data = bytearray(tiny_file.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    for command in (["decode", str(path), "--md5"], ["info", str(path)]):
        assert run(command) == 4
        assert capfd.readouterr().err.startswith(f"nvcodec: {path}: ")
    stream = read_file(tiny_file)
    checksums = stream.segments[0].layers[0].checksums
    checksums[0] ^= 1
    path.write_bytes(write_stream(stream))
    assert run(["decode", str(path), "--md5"]) == 6
    assert capfd.readouterr().err.startswith(f"nvcodec: {path}: ")
    assert run(["decode", str(tiny_file), "-o", str(tmp_path / "no" / "x.mkv")]) == 3
    assert capfd.readouterr().err.startswith("nvcodec: cannot write ")


def test_times(tiny_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Frames of 1/25 s: what is cut out of a video, or begins before 0, is exported from 0."""
    for ticks, kept in ((1500, Fraction(60)), (-8, Fraction(0))):
        path = later(tiny_file, tmp_path / f"{ticks}.sdmn", ticks)
        out = tmp_path / "out.mkv"
        for options, first in ((["-q"], Fraction(0)), (["--keep-times"], kept)):
            assert run(["decode", str(path), "-o", str(out), "-y", *options]) == 0
            assert by_pyav(out).times == [first + Fraction(index, 25) for index in range(5)]
            said = capfd.readouterr().err
            assert ("note: " in said) == (options == ["--keep-times"] and ticks < 0)
    assert "cannot hold negative times, so that all are 0.32 s later" in said
