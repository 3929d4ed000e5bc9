"""The command line: exit code, stdout and stderr of each command."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import write_clip

import nvcodec
from nvcodec.cli.main import run
from nvcodec.format.stream_reader import read_stream

KINDS = {
    *("base", "weights", "skip_weights", "embeddings", "skip_features", "grids", "audio", "subtitles"),
    *("side_info", "overhead"),
}


@pytest.fixture
def source(tmp_path: Path, tiny_clip: torch.Tensor) -> Path:
    return write_clip(tmp_path / "source.mkv", tiny_clip)


def md5_of(data: bytes) -> str:
    pictures = nvcodec.open(read_stream(data), device="cpu")[:]
    return hashlib.md5(pictures.permute(0, 2, 3, 1).contiguous().numpy()).hexdigest()


def test_encode_decode_info_compare(source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out.sdmn")
    switches = ["--skip", "invertible", "--block", "rep", "--z-gain", "0.5"]
    common = ["--crop", "40x32", "--scale", "20x16", "--start", "1", "--frames", "3"]
    assert run(["encode", str(source), "-o", out, "--size", "6k", "--steps", "6", *switches, *common, "--json"]) == 0
    summary = json.loads(capfd.readouterr().out)
    assert (summary["width"], summary["height"], summary["frames"]) == (20, 16, 3)
    assert summary["file_bytes"] == Path(out).stat().st_size
    assert set(summary["seconds"]) == {"reading", "fitting", "quantising", "writing", "verifying"}

    assert run(["info", out, "--json"]) == 0
    info = json.loads(capfd.readouterr().out)
    assert info["format_version"] == "1.1"
    assert (info["width"], info["height"], info["frames"], info["fps"]) == (20, 16, 3, 25)
    assert set(info["bytes_by_kind"]) == KINDS
    assert sum(info["bytes_by_kind"].values()) == info["file_bytes"] == summary["file_bytes"]
    assert sum(entry["bytes"] for entry in info["entries"]) == info["file_bytes"]
    assert sum(unit["bytes"] for unit in info["units"]) + 18 == info["file_bytes"]
    assert info["bits_per_pixel"] == 8 * info["file_bytes"] / (20 * 16 * 3)

    assert run(["compare", str(source), out, *common, "--json"]) == 0
    compared = json.loads(capfd.readouterr().out)
    assert compared["psnr_rgb"] == pytest.approx(summary["psnr_rgb"])
    assert compared["psnr_rgb_min"] <= compared["psnr_rgb"]
    assert compared["ms_ssim"] is None
    assert compared["frames"] == 3
    assert {"psnr_y", "ssim", "bits_per_pixel", "worst_frame"} <= set(compared)
    assert compared["psnr_611"] == pytest.approx(
        (6 * compared["psnr_y"] + compared["psnr_cb"] + compared["psnr_cr"]) / 8
    )
    assert run(["compare", str(source), out, "--json"]) == 0  # the file states its part of the source
    assert json.loads(capfd.readouterr().out) == compared
    assert run(["compare", str(source), out, "--frames", "2"]) == 2
    capfd.readouterr()
    for command in (["info", out], ["compare", str(source), out, *common]):
        assert run(command) == 0
        shown = capfd.readouterr().out
        assert shown
    assert shown.startswith(
        "PSNR {psnr_rgb:.3f} dB (RGB), {psnr_y:.3f} dB (Y), {psnr_611:.3f} dB (6:1:1); worst".format(**compared)
    )


def test_decode(tiny_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    expected = md5_of(tiny_file.read_bytes())
    for arguments in ([str(tiny_file), "--md5"], ["--md5", str(tiny_file)]):
        assert run(["decode", *arguments]) == 0
        assert capfd.readouterr().out == f"{expected}  5 frames\n"
    assert run(["decode", str(tiny_file), "--md5=frame", "--start", "2", "--frames", "2"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split("  ")[1] for line in lines] == ["frame 2", "frame 3"]
    assert run(["decode", str(tiny_file), "--null", "--no-verify"]) == 0
    assert capfd.readouterr().out.startswith("5 frames")
    assert run(["decode", str(tiny_file), "-o", str(tmp_path / "f/"), "--start", "3", "-q"]) == 0
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == ["00003.png", "00004.png"]
    assert capfd.readouterr() == ("", "")


def test_pipes(tiny_file: Path, source: Path) -> None:
    command = [sys.executable, "-m", "nvcodec"]
    raw = subprocess.run([*command, "decode", tiny_file, "-o", "-", "--format", "rgb"], capture_output=True, check=True)
    assert hashlib.md5(raw.stdout).hexdigest() == md5_of(tiny_file.read_bytes())
    encode = [*command, "encode", str(source), "-o", "-", "--size", "6k", "--steps", "2"]
    made = subprocess.run(encode, capture_output=True, check=True)
    assert read_stream(made.stdout).frames == 5


def test_a_closed_pipe_is_no_error(tiny_file: Path) -> None:
    command = f"{sys.executable} -m nvcodec decode {tiny_file} -o - | head -c 10 >/dev/null; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["encode"], 2),
        (["nonsense"], 2),
        (["encode", "SOURCE", "-o", "OUT", "--size", "3x"], 2),
        (["encode", "SOURCE", "-o", "OUT", "--size", "6k", "--crop", "9"], 2),
        (["encode", "SOURCE", "-o", "OUT", "--size", "6k", "--crop", "900x900"], 2),
        (["encode", "SOURCE", "-o", "OUT", "--size", "100"], 2),
        (["encode", "SOURCE", "-o", "OUT", "--size", "40M"], 2),
        (["encode", "SOURCE", "-o", "OUT", "--size", "6k", "--skip", "?"], 2),
        (["encode", "SOURCE", "-o", "OUT", "--size", "6k", "--block", "?"], 2),
        (["encode", "SOURCE", "-o", "OUT", "--size", "6k", "--z-gain", "17"], 2),
        (["encode", "SOURCE", "-o", "OUT", "--size", "6k", "--epochs", "1", "--steps", "1"], 2),
        (["encode", "SOURCE", "-o", "OUT", "--size", "6k", "--device", "toaster"], 2),
        (["encode", "SOURCE", "-o", "TINY", "--size", "6k"], 2),
        (["encode", "missing.mp4", "-o", "OUT", "--size", "6k"], 3),
        (["encode", "TINY", "-o", "OUT", "--size", "6k"], 3),
        (["encode", "SOURCE", "-o", "OUT", "--size", "6k", "--start", "99"], 3),
        (["encode", "SOURCE", "-o", "no/such/folder/x.sdmn", "--size", "6k", "--steps", "1"], 3),
        (["decode", "TINY"], 2),
        (["decode", "TINY", "--md5", "--null"], 2),
        (["decode", "TINY", "--md5", "--start", "5"], 2),
        (["decode", "TINY", "-o", "OUT.avi"], 2),
        (["decode", "SOURCE", "--md5"], 3),
        (["decode", "missing", "--md5"], 3),
        (["info", "SOURCE"], 3),
        (["compare", "missing", "TINY"], 3),
    ],
)
def test_errors_are_one_sentence(
    source: Path, tiny_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], code: int
) -> None:
    names = {"SOURCE": str(source), "TINY": str(tiny_file), "OUT": str(tmp_path / "out.sdmn"), "OUT.avi": "out.avi"}
    before = tiny_file.read_bytes()
    assert run([names.get(argument, argument) for argument in arguments]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("nvcodec: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "out.sdmn").exists()
    assert tiny_file.read_bytes() == before


def test_damage_through_the_command(tiny_file: Path, tmp_path: Path) -> None:
    """Twenty damaged files through the real command: one sentence, the right code, nothing on stdout."""
    good = tiny_file.read_bytes()
    cases = [(place, 3 if place < 8 else 5 if place < 10 else 4) for place in (0, 7, 8, 9, 10, 17, 18, 40)]
    cases += [(place, 4) for place in range(60, len(good), len(good) // 6)]
    files: list[tuple[bytes, int]] = []
    for place, code in cases:
        damaged = bytearray(good)
        damaged[place] ^= 0xFF
        files.append((bytes(damaged), code))
    files += [(good[:length], 4) for length in (8, 17, 18, 100, len(good) // 2, len(good) - 1)]
    files += [(good[:length], 3) for length in (0, 5)]
    assert len(files) >= 20
    for number, (data, code) in enumerate(files):
        path = tmp_path / f"{number}.sdmn"
        path.write_bytes(data)
        command = [sys.executable, "-m", "nvcodec", "decode", str(path), "--md5"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (result.returncode, result.stdout) == (code, ""), (number, result.stderr)
        assert result.stderr.startswith("nvcodec: ")
        assert result.stderr.count("\n") == 1


def test_wrong_picture_checksum(tiny: nvcodec.Encoded, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from nvcodec.format.stream_writer import write_stream

    stream = read_stream(tiny.data)
    stream.segments[0].layers[0].checksums[0] ^= 1
    path = tmp_path / "wrong.sdmn"
    path.write_bytes(write_stream(stream))
    assert run(["decode", str(path), "--md5"]) == 6
    out, err = capfd.readouterr()
    assert out == ""
    assert "frames 0 to 4 do not have the checksum" in err
    assert run(["decode", str(path), "--md5", "--no-verify"]) == 0
    assert run(["decode", str(path), "-o", str(tmp_path / "x.mkv")]) == 6
    assert not (tmp_path / "x.mkv").exists()


def test_overwriting(tiny_file: Path, source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sdmn"
    copy.write_bytes(tiny_file.read_bytes())
    assert run(["encode", str(source), "-o", str(copy), "--size", "6k", "--steps", "2", "-y", "-q"]) == 0
    assert copy.read_bytes() != tiny_file.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("command", [[], ["encode"], ["decode"], ["info"], ["compare"]])
def test_help(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == 0
    assert "Usage: nvcodec" in capfd.readouterr().out


def test_interrupted(
    source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nvcodec.encoding.encode_job.EncodeJob.run", stop)
    before = set(tmp_path.iterdir())
    assert run(["encode", str(source), "-o", str(tmp_path / "x.sdmn"), "--size", "6k"]) == 130
    assert capfd.readouterr() == ("", "nvcodec: interrupted\n")
    assert set(tmp_path.iterdir()) == before


def test_a_real_clip(clips: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A small end-to-end fit on a real clip, through the command line."""
    out, pick = str(tmp_path / "out.sdmn"), ["--crop", "1280x640", "--scale", "64x32", "--frames", "8"]
    bunny = str(clips / "bigbuckbunny.mp4")
    assert run(["encode", bunny, "-o", out, "--size", "30k", "--epochs", "40", "--no-audio", *pick]) == 0
    assert run(["compare", bunny, out, *pick, "--json"]) == 0
    compared = json.loads(capfd.readouterr().out)
    assert compared["psnr_rgb"] > 24
    assert compared["file_bytes"] < 30_000
