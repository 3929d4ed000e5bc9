"""What ``info`` and ``--version`` print."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from pathlib import Path

import pytest
from networks import squares_stream

import nvcodec
from nvcodec.cli.main import run
from nvcodec.format.code_points import PRIMARIES, name_of
from nvcodec.format.stream import Stream
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.stream_writer import write_stream


def shown(stream: Stream, folder: Path, capfd: pytest.CaptureFixture[str], *options: str) -> list[str]:
    """The lines that ``info`` prints."""
    path = folder / "file.sdmn"
    path.write_bytes(write_stream(stream))
    assert run(["info", str(path), *options]) == 0
    return capfd.readouterr().out.splitlines()


def test_the_most_asked_for_first(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stream = squares_stream()
    stream.video = dataclasses.replace(
        stream.video, primaries=9, transfer=16, matrix=9, color_range=1, sample_aspect_num=4, sample_aspect_den=3
    )
    stream.metadata = {"encoder": "a program\x1b[31m", "av1": [35.25, 4]}
    lines = shown(stream, tmp_path, capfd)
    size = (tmp_path / "file.sdmn").stat().st_size
    head, seconds = stream.segments[0].head, float(stream.seconds)
    assert lines[:9] == [
        str(tmp_path / "file.sdmn"),
        "format      SDMN 1.2",
        f"pictures    {stream.frames} of {head.width}x{head.height}, {stream.fps:.3f} frames/s, {seconds:.3f} s",
        "depth       8 bits, 8 in the AV1 stream",
        "colour      primaries BT.2020, transfer PQ, matrix BT.2020, range limited in the source",
        f"time base   {stream.video.time_base_num}/{stream.video.time_base_den} s; sample aspect 4:3",
        "encoder     not stated, crf 35.25, SVT-AV1 preset 4",
        f"size        {size} bytes, {8 * size / seconds / 1000:.1f} kbit/s, "
        f"{8 * size / (head.width * head.height * stream.frames):.4f} bits per pixel",
        f"networks    {stream.parameters} parameters, {stream.layers} layer(s), 1 segment(s)",
    ]


def test_byte_tables_on_request(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stream = squares_stream()
    without = shown(stream, tmp_path, capfd)
    with_tables = shown(stream, tmp_path, capfd, "--bytes")
    assert with_tables[: len(without)] == without
    read = read_stream((tmp_path / "file.sdmn").read_bytes())
    table = with_tables[
        with_tables.index(f"{'what':<48}{'bytes':>10}{'values':>10}{'bits each':>11}{'share':>9}") + 1 :
    ]
    assert [int(line[len(entry.label) :].split()[0]) for line, entry in zip(table, read.entries, strict=True)] == [
        entry.bytes for entry in read.entries
    ]


def test_names_of_colours() -> None:
    assert [name_of(PRIMARIES, code) for code in (1, 2, 12, 200)] == ["BT.709", "unspecified", "Display P3", "200"]


def test_versions(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capfd.readouterr().out.splitlines() if "PyAV" not in line)
    assert lines["nvcodec"] == nvcodec.__version__
    assert lines["format"] == "SDMN 1.4"
    for library in ("torch", "av", "constriction"):
        assert lines[library] == importlib.metadata.version(library)
