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
from nvcodec.format.units import Order


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


def test_a_line_for_each_segment(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for order in Order:
        stream = squares_stream([(4, 3), (5,)], order=order)
        lines = shown(stream, tmp_path, capfd)
        rows = nvcodec.info(tmp_path / "file.sdmn")["by_segment"]
        first = lines.index(next(line for line in lines if line.startswith("segment "))) + 1
        assert [line.split()[:8] for line in lines[first : first + 2]] == [
            [str(number), "0", "to", "6", "0.000", "32x18", *map(str, (row["parameters"], row["bytes"]))]
            if number == 0
            else [str(number), "7", "to", "11", "0.280", "32x18", *map(str, (row["parameters"], row["bytes"]))]
            for number, row in enumerate(rows)
        ]
        units = read_stream(write_stream(stream)).units
        for number, row in enumerate(rows):
            kinds = {"SEGMENT", "NETWORK", "WEIGHTS", "BASE", "LATENTS", "CHECKSUMS", "SEGMENT_END"}
            own = [unit for unit in units if unit.segment == number and unit.type in kinds]
            assert row["bytes"] == sum(unit.bytes for unit in own) == sum(row["bytes_by_kind"].values())
            assert row["parameters"] == sum(layer.parameters for layer in stream.segments[number].layers) > 0
        assert sum(row["seconds"] for row in rows) == pytest.approx(float(stream.seconds))


def test_few_lines_for_many_segments(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stream = squares_stream([(1,)] * 15)
    lines = shown(stream, tmp_path, capfd)
    assert "and 3 more, which --json lists" in lines
    assert not any(line.startswith("12 ") for line in lines)
    assert len(nvcodec.info(tmp_path / "file.sdmn")["by_segment"]) == 15
    assert not any(line.startswith("segment ") for line in shown(squares_stream(), tmp_path, capfd))
