"""The command line and files with an AV1 stream."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from conftest import few_crops, write_clip

import nvcodec
from nvcodec.cli.main import run
from nvcodec.decoding.decoded_video import Video
from nvcodec.encoding.av1.correction_network import CorrectionShape
from nvcodec.format.accounting import KINDS
from nvcodec.format.stream_reader import read_stream
from nvcodec.metrics import psnr
from nvcodec.video.av1_files import FORMATS
from nvcodec.video.clip import Clip
from nvcodec.video.source import read_clip

FAST = ["--preset", "draft", "--steps", "20", "--lambda", "0", "--device", "cpu"]


@pytest.fixture(autouse=True, scope="module")
def fast() -> Iterator[None]:
    with few_crops():
        yield


@pytest.fixture
def source(tmp_path: Path, tiny_clip: torch.Tensor) -> Path:
    return write_clip(tmp_path / "source.mkv", tiny_clip)


def refused(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code and the sentence of a command that fails."""
    capfd.readouterr()
    code = run(arguments)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("nvcodec: ")
    assert err.count("\n") == 1
    return code, err


def test_encode_without_size(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.sdmn"
    assert run(["encode", str(source), "-o", str(out), "--crf", "38.75", *FAST, "--json"]) == 0
    summary = json.loads(capfd.readouterr().out)
    assert summary["crf"] == 38.75
    assert summary["file_bytes"] == out.stat().st_size
    assert set(summary["seconds"]) == {"reading", "AV1", "fitting", "quantising", "writing", "verifying"}
    assert summary["skip_scales"] == 0
    stream = read_stream(out.read_bytes())
    assert stream.version == (1, 2)
    assert summary["parameters"] == stream.parameters
    assert run(["verify", str(out)]) == 0
    capfd.readouterr()
    # The same by the library.
    clip = nvcodec.encode(source, crf=38.75, preset="draft", steps=20, rd_lambda=0.0, device="cpu")
    assert clip.data == out.read_bytes()
    assert refused(["encode", str(source), "-o", str(out), *FAST], capfd)[0] == 2  # it exists
    assert run(["encode", str(source), "-o", str(out), "--crf", "50", *FAST, "-y", "-v"]) == 0
    shown = capfd.readouterr().err
    assert f"{out}: 5 frames of 42x33, {out.stat().st_size} bytes" in shown
    assert "AV1 " in shown.splitlines()[1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--crf", "30.1"], "--crf takes 0 to 63 in steps of 0.25, got 30.1"),
        (["--crf", "64"], "--crf takes 0 to 63"),
        (["--crf", "30", "--size", "6k"], "--crf means nothing without an AV1 stream; --base av1 makes one"),
        (["--skip", "none"], "--skip means nothing with an AV1 stream; --base none makes a network alone"),
        (["--base", "none"], "without an AV1 stream, give one of --size"),
        (["--base", "av1", "--size", "1"], "--size asks for 1; --base none makes a network alone"),
        (["--tune", "rgb", "--size", "6k"], "--tune means nothing without an AV1 stream"),
        (["--add-layer", "2k", "FILE"], "--add-layer means nothing with an AV1 stream"),
    ],
)
def test_usage(
    source: Path,
    tmp_path: Path,
    tiny_av1_file: Path,
    capfd: pytest.CaptureFixture[str],
    options: list[str],
    sentence: str,
) -> None:
    if options[0] == "--add-layer":
        options = [*options[:2], str(tiny_av1_file), "--base", "av1"]
    code, said = refused(["encode", str(source), "-o", str(tmp_path / "out.sdmn"), *options], capfd)
    assert (code, sentence in said) == (2, True), said
    assert not (tmp_path / "out.sdmn").exists()


def test_encode_above_a_file(
    source: Path, tmp_path: Path, tiny_av1_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    base, out = tmp_path / "base.webm", tmp_path / "out.sdmn"
    assert run(["extract", str(tiny_av1_file), "--base", "-o", str(base)]) == 0
    size = f"{CorrectionShape(5).parameters},{CorrectionShape(6).parameters}"
    assert run(["encode", str(source), "-o", str(out), "--base", str(base), "--size", size, *FAST]) == 0
    made, given = (read_stream(path.read_bytes()) for path in (out, tiny_av1_file))
    assert made.layers == 3
    assert made.segments[0].layers[0].base[0].data == given.segments[0].layers[0].base[0].data
    shown = capfd.readouterr().err
    assert "up to fitted layer 0: " in shown
    assert "up to fitted layer 1: " in shown


def test_progress(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out.sdmn")
    assert run(["encode", str(source), "-o", out, *FAST, "--progress", "json", "-q"]) == 0
    reports = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [(report["phase"], report["step"], report["steps"]) for report in reports] == [
        *(("AV1", frame, 5) for frame in range(1, 6)),
        ("fit", 20, 20),
    ]


def test_a_pipe(source: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nvcodec", "encode", str(source), "-o", "-", *FAST[:2], "--steps", "1", "-q"]
    made = subprocess.run(command, capture_output=True, check=True)
    assert made.stderr == b""
    assert read_stream(made.stdout).version == (1, 2)


# --- extract


@pytest.mark.parametrize("suffix", FORMATS)
def test_extract_base(tiny_av1_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    assert run(["extract", str(tiny_av1_file), "--base", "-o", str(out)]) == 0
    assert capfd.readouterr() == ("", "")
    stream = read_stream(tiny_av1_file.read_bytes())
    with av.open(str(out)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
        assert container.streams.video[0].codec_context.width == 42
    units = [unit for run in stream.segments[0].layers[0].base for unit in run.temporal_units]
    assert [packet.removeprefix(b"\x12\x00") for packet in packets] == list(map(bytes, units))
    if suffix not in (".obu",):
        with av.open(str(out)) as container:
            times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
        assert times == [pts * stream.time_base for pts, _ in stream.ticks]


def test_extract_base_keeps_times(tiny_clip: torch.Tensor, tmp_path: Path) -> None:
    ticks = [(7, 3), (10, 1), (11, 90), (101, 2), (103, 4)]
    file, out = tmp_path / "file.sdmn", tmp_path / "out.mp4"
    nvcodec.encode(Clip(tiny_clip, ticks, Fraction(1, 600)), file, preset="draft", steps=1, device="cpu")
    assert run(["extract", str(file), "--base", "-o", str(out)]) == 0
    with av.open(str(out)) as container:
        frames = list(container.decode(video=0))
    first = frames[0].pts * frames[0].time_base
    assert [frame.pts * frame.time_base - first for frame in frames] == [Fraction(pts - 7, 600) for pts, _ in ticks]


def test_extract_base_refuses(
    tiny_av1_file: Path, tiny_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"old")
    code, said = refused(["extract", str(tiny_av1_file), "--base", "-o", str(out)], capfd)
    assert (code, f"{out} exists; -y replaces it" in said) == (2, True)
    assert out.read_bytes() == b"old"
    assert run(["extract", str(tiny_av1_file), "--base", "-o", str(out), "-y"]) == 0
    assert out.read_bytes() != b"old"

    other = tmp_path / "other.mp4"
    code, said = refused(["extract", str(tiny_file), "--base", "-o", str(other)], capfd)
    assert (code, f"{tiny_file} has no AV1 stream: it is a network alone" in said) == (2, True)
    for name in ("other.avi", "other", "other.sdmn"):
        code, said = refused(["extract", str(tiny_av1_file), "--base", "-o", str(tmp_path / name)], capfd)
        assert (code, "must end in .mp4, .mkv, .webm, .ivf, .obu" in said) == (2, True)
    code, said = refused(["extract", str(tiny_av1_file), "--base", "-o", "-"], capfd)
    assert code == 2
    for arguments in ([], ["--base", "--layers", "1"]):
        code, said = refused(["extract", str(tiny_av1_file), "-o", str(other), *arguments], capfd)
        assert (code, "give one of --layers, --start or --end, --base and --shader" in said) == (2, True)
    code, said = refused(["extract", str(tiny_av1_file), "--base", "-o", str(tmp_path)], capfd)
    assert (code, "is a folder" in said) == (2, True)
    code, said = refused(["extract", str(tiny_av1_file), "--base", "-o", str(tiny_av1_file), "-y"], capfd)
    assert (code, "is the file to take from" in said) == (2, True)
    code, said = refused(["extract", str(tiny_av1_file), "--base", "-o", str(tmp_path / "no" / "out.mp4")], capfd)
    assert code == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4"]


def test_extract_layers(tiny_av1_file: Path, tmp_path: Path) -> None:
    """The stream alone as an .sdmn file, which is whole and shows the same."""
    out = tmp_path / "base.sdmn"
    assert run(["extract", str(tiny_av1_file), "--layers", "1", "-o", str(out)]) == 0
    alone = read_stream(out.read_bytes())
    assert alone.layers == 1
    assert alone.note == ""
    whole = Video(read_stream(tiny_av1_file.read_bytes()), device="cpu", layers=1)
    assert torch.equal(Video(alone, device="cpu")[:], whole[:])
    assert run(["verify", str(out)]) == 0


# --- decode, info, compare


def test_decode_the_base(tiny_av1_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    video = Video(read_stream(tiny_av1_file.read_bytes()), device="cpu", layers=1)
    expected = hashlib.md5(video[:].permute(0, 2, 3, 1).contiguous().numpy()).hexdigest()
    assert run(["decode", str(tiny_av1_file), "--layers", "1", "--md5"]) == 0
    assert capfd.readouterr().out == f"{expected}  5 frames\n"
    assert run(["decode", str(tiny_av1_file), "--md5"]) == 0
    assert expected not in capfd.readouterr().out
    code, said = refused(["decode", str(tiny_av1_file), "--layers", "3", "--md5"], capfd)
    assert (code, "the file has 2 layer(s), not 3" in said) == (2, True)
    # About what any player shows of the extracted stream; its chroma is sited otherwise.
    path = tmp_path / "base.mkv"
    assert run(["extract", str(tiny_av1_file), "--base", "-o", str(path)]) == 0
    with av.open(str(path)) as container:
        theirs = [torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1) for frame in container.decode()]
    assert all(psnr(a, b) > 27 for a, b in zip(video, theirs, strict=True))


@pytest.mark.parametrize("options", [["--interpolate", "2"], ["--fps", "60"]])
def test_nothing_between_frames(tiny_av1_file: Path, capfd: pytest.CaptureFixture[str], options: list[str]) -> None:
    code, said = refused(["decode", str(tiny_av1_file), "--null", *options], capfd)
    assert (code, "AV1" in said) == (2, True)


def test_info(tiny_av1_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["info", str(tiny_av1_file), "--json"]) == 0
    info: dict[str, Any] = json.loads(capfd.readouterr().out)
    size = tiny_av1_file.stat().st_size
    assert info["format_version"] == "1.2"
    assert info["file_bytes"] == size
    assert list(info["bytes_by_kind"]) == list(KINDS)
    assert sum(info["bytes_by_kind"].values()) == size
    assert sum(entry["bytes"] for entry in info["entries"]) == size
    assert sum(unit["bytes"] for unit in info["units"]) + 18 == size
    stream = read_stream(tiny_av1_file.read_bytes())
    base = sum(len(run.data) for run in stream.segments[0].layers[0].base)
    assert info["bytes_by_kind"]["base"] == base
    assert 0 < info["bytes_by_kind"]["weights"] < size - base
    assert info["bytes_by_kind"]["embeddings"] == info["bytes_by_kind"]["grids"] == 0
    assert info["layers"] == 2
    assert info["by_layer"][-1]["file_bytes"] == size
    assert info["parameters"] == stream.parameters
    assert info["metadata"]["av1"][0] == 40
    assert run(["info", str(tiny_av1_file), "--bytes"]) == 0
    shown = capfd.readouterr().out
    line = next(line for line in shown.splitlines() if line.startswith("base "))
    assert line.split() == ["base", str(base), f"{base / size:.2%}"]
    assert f"AV1 stream  {base} bytes, 1 run(s) of at most 5 frames\n" in shown
    assert "depth       8 bits, 10 in the AV1 stream\n" in shown
    assert ", crf 40, SVT-AV1 preset 8\n" in shown


def test_compare(source: Path, tiny_av1_file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stream = read_stream(tiny_av1_file.read_bytes())
    results = []
    for layers in (1, 2):
        assert run(["compare", str(source), str(tiny_av1_file), "--layers", str(layers), "--json"]) == 0
        results.append(json.loads(capfd.readouterr().out))
        video = Video(stream, device="cpu", layers=layers)
        clip = read_clip(source).frames
        assert isinstance(clip, torch.Tensor)
        expected = np.mean([psnr(a, b) for a, b in zip(video, clip, strict=True)])
        assert results[-1]["psnr_rgb"] == pytest.approx(expected)
    assert results[1]["psnr_rgb"] > results[0]["psnr_rgb"]
    assert results[1]["file_bytes"] == len(tiny_av1_file.read_bytes()) > results[0]["file_bytes"]
    longer = write_clip(source.with_name("longer.mkv"), torch.cat([clip, clip[:4]]))
    code, said = refused(["compare", str(longer), str(tiny_av1_file), "--unseen", "--every", "2"], capfd)
    assert (code, "AV1" in said) == (2, True)
