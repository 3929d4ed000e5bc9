"""What decoding a stream takes is known, and refused if too much, before anything is decoded."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tracemalloc
from fractions import Fraction
from pathlib import Path

import pytest
import reference_decoder
import zstandard
from networks import picture, random_stream, zeros

import nvcodec
from nvcodec.cli.main import run
from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.errors import CorruptStreamError, InputError, LimitError
from nvcodec.format import operations as o
from nvcodec.format import payloads, units
from nvcodec.format import stream_reader as reader
from nvcodec.format.describe import describe, requirements_of
from nvcodec.format.limits import LEVELS, Limits, Requirements, level_of, requirements
from nvcodec.format.stream_reader import read_file, read_stream
from nvcodec.format.stream_writer import write_stream

LARGE = zeros(1024, 1024, 40, [[picture(1024, 1024)]])


def test_constants_take_no_memory() -> None:
    tracemalloc.start()
    try:
        stream = read_stream(LARGE)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert stream.parameters == 40 * 3 * 2**20
    assert len(LARGE) < 400


@pytest.mark.parametrize(
    ("limits", "figures"),
    [
        (Limits(max_pixels=2**20 - 1), r"1048576 pixels; at most 1048575"),
        (Limits(max_memory=300 * 2**20), r"about \d+ MiB of memory; at most 300 MiB"),
        (Limits(max_memory=100), r"the file alone takes 1 MiB"),
    ],
)
def test_what_needs_more_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: Limits, figures: str
) -> None:
    path = tmp_path / "large.sdmn"
    path.write_bytes(LARGE)
    monkeypatch.setattr(payloads, "decode_chunk", lambda *_: pytest.fail("something was decoded"))
    with pytest.raises(LimitError, match=figures):
        read_file(path, limits)
    with pytest.raises(LimitError, match=figures):
        nvcodec.open(path, max_pixels=limits.max_pixels, max_memory=limits.max_memory)


@pytest.mark.parametrize("command", [["info"], ["decode", "--md5"], ["extract", "--layers", "1", "-o", "OUT"]])
def test_the_command_refuses(tmp_path: Path, capfd: pytest.CaptureFixture[str], command: list[str]) -> None:
    path = tmp_path / "large.sdmn"
    path.write_bytes(LARGE)
    for option in (["--max-pixels", "1000"], ["--max-memory", "0.3G"]):
        arguments = [argument.replace("OUT", str(tmp_path / "out.sdmn")) for argument in command]
        assert run([*arguments, str(path), *option]) == 3
        out, err = capfd.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert "at most" in err
    assert not (tmp_path / "out.sdmn").exists()


def test_the_machine_is_the_commands_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "large.sdmn"
    path.write_bytes(LARGE)
    monkeypatch.setattr("nvcodec.memory.os.sysconf", lambda name: 2**14)
    assert run(["info", str(path)]) == 3
    assert "at most 256 MiB" in capfd.readouterr().err
    with path.open("r+b") as file:
        file.truncate(2**40)  # sparse; the header is right
    assert run(["info", str(path)]) == 3
    assert "the file alone takes 1048576 MiB" in capfd.readouterr().err


def test_too_little_memory_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    path = tmp_path / "large.sdmn"
    path.write_bytes(LARGE)
    monkeypatch.setattr(reader, "read_stream", fail)
    with pytest.raises(InputError, match="too little memory"):
        read_file(path)


def test_too_little_memory_to_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    video = nvcodec.open(random_stream(3))
    monkeypatch.setattr(ExactNetwork, "decode", fail)
    for pictures in (video.decode([0]), video.interpolated(2), video.at_rate(Fraction(10))):
        with pytest.raises(InputError, match="too little memory to decode 1 frames"):
            next(iter(pictures))


def test_limits_of_the_format(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(data: bytes, reason: str, by_both: bool = True) -> None:
        with pytest.raises(CorruptStreamError, match=reason):
            read_stream(data)
        if by_both:
            with pytest.raises(reference_decoder.Corrupt):
                reference_decoder.parse(data)

    refused(zeros(1024, 1024, 43, [[picture(1024, 1024)]]), "134217728 latent values")
    wide = [o.Latent(2**14, 1, 1, 0, 1, 0), o.Conv(0, 2**14, 1, 1, 1, 0, 0, 1), o.Slice(1, 0, 3)]
    refused(zeros(1, 1, 1, [wide]), "weights; at most 33554432")
    half = [o.Latent(2**12, 1, 1, 0, 1, 0), o.Conv(0, 2**12, 1, 1, 1, 0, 0, 1), o.Slice(1, 0, 3)]
    refused(zeros(1, 1, 1, [half] * 5), "more than 67108864 weights", by_both=False)  # takes a while
    refused(zeros(8, 8, 2000, [[picture(8, 8)]], run=1025), "1025 frames in a run; at most 1024")
    # Each layer keeps a tensor that the last one reads; none is large by itself.
    big = [o.Noise(2**9, 2**10, 2**9, 0, 0, 0), picture(4, 4)]
    top = [op for number in range(5) for op in (o.Below(number, 0), o.Crop(2 * number, 0, 0, 1, 1))]
    refused(zeros(4, 4, 1, [*[big] * 5, [*top, picture(4, 4)]]), "layers need 1.* elements alive")
    assert read_stream(zeros(4, 4, 1, [*[big] * 2, [*top[:4], picture(4, 4)]])).layers == 3
    monkeypatch.setattr(units, "MAX_UNITS", 5)
    monkeypatch.setattr(reference_decoder, "MAX_UNITS", 5)
    refused(LARGE, "more than 5 units")


def test_metadata_are_bounded_in_a_stream() -> None:
    raw = b'{"a":[' + b"[]," * 150_000 + b"0]}"
    unit = b"\1" + len(raw).to_bytes(4, "little") + zstandard.compress(raw)
    assert len(unit) < 200
    assert read_stream(zeros(8, 8, 1, [[picture(8, 8)]], metadata=[unit] * 2)).metadata["a"]
    more = zeros(8, 8, 1, [[picture(8, 8)]], metadata=[unit] * 3)
    with pytest.raises(CorruptStreamError, match="at most 1048576 are allowed in a stream"):
        read_stream(more)
    with pytest.raises(reference_decoder.Corrupt):
        reference_decoder.parse(more)


@pytest.mark.parametrize(("depth", "fine"), [(64, True), (65, False)])
def test_depth_of_metadata(depth: int, fine: bool) -> None:
    raw = b'{"a":' + b"[" * (depth - 1) + b'"[[\\"[["' + b"]" * (depth - 1) + b"}"
    data = zeros(8, 8, 1, [[picture(8, 8)]], metadata=[b"\0" + len(raw).to_bytes(4, "little") + raw])
    if fine:
        assert read_stream(data).metadata
    else:
        with pytest.raises(CorruptStreamError, match="cannot be unpacked"):
            read_stream(data)


def test_requirements_of_a_small_stream() -> None:
    base = [o.Latent(4, 2, 3, 0, 9, 0), o.Conv(0, 12, 3, 3, 4, 0, 0, 255), o.Shuffle(1, 2)]
    second = [o.Below(0, 0), o.Conv(0, 12, 1, 1, 4, 0, 0, 255), o.Shuffle(1, 2), o.Below(0, 2)]
    second += [o.Add(2, 3, 0, 255)]
    data = zeros(6, 4, 7, [base, second])
    needs = requirements_of(read_stream(data))
    assert needs.pixels == 24
    assert needs.frames == 7
    assert needs.parameters == (12 * 4 * 9 + 12) + (12 * 4 + 12) + 7 * 24
    assert needs.multiplications == 12 * 4 * 9 * 6 + 12 * 4 * 6
    assert needs.multiplications_per_pixel == -(-needs.multiplications // 24)
    # Of the base, what the second layer reads stays alive, 24 + 72; in the second layer, ADD has two inputs alive.
    assert needs.elements == max(24 + 72 + 72, 24 + 72 + 3 * 72)
    assert needs.file_bytes == len(data)
    assert describe(read_stream(data))["level"] == 1
    assert describe(read_stream(data))["requirements"] == dataclasses.asdict(needs)


def test_levels() -> None:
    assert LEVELS[0].pixels >= 480 * 270
    assert LEVELS[2].pixels >= 1920 * 1080
    least = {field.name: 1 for field in dataclasses.fields(Requirements)}
    assert level_of(Requirements(**least)) == 1
    for field in dataclasses.fields(LEVELS[0]):
        for number, level in enumerate(LEVELS, 1):
            most = getattr(level, field.name)
            held = [higher for higher, other in enumerate(LEVELS, 1) if getattr(other, field.name) >= most]
            assert level_of(Requirements(**{**least, field.name: most})) == held[0] <= number
            above = [higher for higher, other in enumerate(LEVELS, 1) if getattr(other, field.name) > most]
            assert level_of(Requirements(**{**least, field.name: most + 1})) == [*above, 6][0]


def test_segments_count_by_the_largest() -> None:
    stream = random_stream(11, segments=3)
    needs = requirements_of(read_stream(write_stream(stream)))
    parts = [[(s.head, [(layer.ops, layer.tensors) for layer in s.layers])] for s in stream.segments]
    single = [requirements(part, 0, 0) for part in parts]
    assert needs.elements == max(one.elements for one in single)
    assert needs.pixels == max(one.pixels for one in single)
    assert needs.parameters == sum(one.parameters for one in single) == stream.parameters


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
def test_memory_is_estimated_from_above(tmp_path: Path) -> None:
    """Compare the estimate with what decoding a frame takes in a process of its own, torch not counted."""
    ops = [o.Latent(16, 64, 128, 0, 9, 0), o.Conv(0, 512, 3, 3, 4, 0, 0, 255), o.Shuffle(1, 4)]
    ops += [o.Table(2, 2, 4, 4, 0, 255), o.Conv(3, 3, 3, 3, 3, 0, 0, 255)]
    path = tmp_path / "x.sdmn"
    path.write_bytes(zeros(512, 256, 1, [ops]))
    script = f"""
import torch
from nvcodec.format.describe import requirements_of
from nvcodec.decoding.decoded_video import Video
from nvcodec.memory import used_memory
torch.set_num_threads(1)
before = used_memory()
video = Video({str(path)!r}, device="cpu", verify=False)
video[0]
# Not ru_maxrss, which starts at what the parent process had.
peak = 1024 * int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
print(peak - before, requirements_of(video.stream).memory)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    taken, estimated = map(int, result.stdout.split())
    assert taken < estimated < 5 * taken
