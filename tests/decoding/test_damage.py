"""A damaged file is refused; with ``keep_going``, what is undamaged is shown as it should be."""

from __future__ import annotations

import hashlib
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import Builder, random_stream

from nvcodec.cli.main import run
from nvcodec.decoding.concealment import conceal, pictures_of, report
from nvcodec.decoding.decoded_video import Video as Decoded
from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.decoding.picture_checksums import picture_bytes
from nvcodec.errors import CorruptStreamError, NvcodecError
from nvcodec.format import operations as o
from nvcodec.format.stream import Segment, Stream
from nvcodec.format.stream_reader import layer_ends, read_stream
from nvcodec.format.stream_writer import write_stream
from nvcodec.format.units import HEADER_BYTES, SegmentHead, Unit, UnitType, Video, pack_unit, split_units

FRAMES = 6


def clip(layers: int = 1, grid: bool = False, group: int = 1) -> Stream:
    """A small stream whose frames all differ; layer k adds its own latents to the picture of layer k - 1."""
    rng = np.random.default_rng(7)
    segment = Segment(SegmentHead(0, FRAMES, 4, 3, 0, 1), np.ones(FRAMES, np.int64), [])
    for number in range(layers):
        builder = Builder(rng, segment.layers)
        builder.add(o.Latent(3, 3, 4, -50, 50, 0))
        if number:
            builder.add(o.Below(number - 1, len(segment.layers[-1].ops) - 1))
            builder.add(o.Add(0, 1, 0, 255))
        if grid:
            builder.add(o.Grid(3, 3, 4, 0, 50, 2, 0))
            builder.add(o.Add(len(builder.ops) - 2, len(builder.ops) - 1, -50, 200))
        segment.layers.append(builder.finish(FRAMES, 3, 4))
        network = ExactNetwork(segment, 0, 7, torch.device("cpu"), number + 1)
        pictures = [picture_bytes(network.decode([frame])[0]) for frame in range(FRAMES)]
        assert len(set(pictures)) == FRAMES
        sums = [zlib.crc32(b"".join(pictures[first : first + group])) for first in range(0, FRAMES, group)]
        segment.layers[-1].frames_per_checksum, segment.layers[-1].checksums = group, np.array(sums, np.uint32)
    return Stream(Video(0, 1, 13, 5, 2, 4, 3, 1, 90000, 7), [segment], {"title": "x"})


def units_of(data: bytes, kind: UnitType) -> list[Unit]:
    return [unit for unit in split_units(memoryview(data)) if unit.header.type == kind]


def broken(data: bytes, *units: Unit, offset: int = 14) -> bytes:
    """Change a byte of each unit, the one at ``offset`` or else the last of its payload."""
    out = bytearray(data)
    for unit in units:
        out[unit.offset + min(offset, unit.bytes - 5)] ^= 0x55
    return bytes(out)


def shown(data: bytes, layers: int | None = None) -> tuple[list[tuple[int, int]], list[bytes], str]:
    """Read a damaged file: what is shown for each frame, the pictures, and the report."""
    video = Decoded(read_stream(data, keep_going=True), device="cpu", layers=layers)
    chosen = conceal(video, range(FRAMES))
    pictures = [picture_bytes(picture) for batch in pictures_of(video, chosen) for picture in batch]
    return chosen, pictures, report(video, range(FRAMES), chosen)


def originals(stream: Stream) -> list[list[bytes]]:
    """The pictures of all frames, for each number of layers from 1."""
    return [
        [picture_bytes(picture) for picture in Decoded(stream, device="cpu", layers=layers)]
        for layers in range(1, stream.layers + 1)
    ]


def check(data: bytes, stream: Stream, expected: list[tuple[int, int]]) -> str:
    """Check that a damaged file is refused, and that each picture shown with ``keep_going`` is an original one."""
    try:
        refused = read_stream(data).note  # what is behind the end may look like a layer that was cut
        refused = refused or Decoded(read_stream(data), device="cpu").failing(range(FRAMES))  # type: ignore[assignment]
    except CorruptStreamError as error:
        refused = str(error)
    assert refused
    chosen, pictures, found = shown(data)
    assert chosen == expected
    assert pictures == [originals(stream)[layers - 1][frame] for frame, layers in chosen]
    return found


def frames(*numbers: int) -> list[tuple[int, int]]:
    return [(number, 1) for number in numbers]


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([1], frames(0, 1, 1, 1, 4, 5)),
        ([0], frames(2, 2, 2, 3, 4, 5)),
        ([2], frames(0, 1, 2, 3, 3, 3)),
        ([0, 1], frames(4, 4, 4, 4, 4, 5)),
        ([1, 2], frames(0, 1, 1, 1, 1, 1)),
    ],
)
def test_a_broken_run_loses_that_run_only(runs: list[int], expected: list[tuple[int, int]]) -> None:
    stream = clip()
    data = write_stream(stream, run=2)
    damaged = broken(data, *(units_of(data, UnitType.LATENTS)[number] for number in runs))
    found = check(damaged, stream, expected)
    assert found.count("LATENTS at byte") == len(runs)
    with pytest.raises(CorruptStreamError, match=f"frame {2 * runs[0]} is lost"):
        list(Decoded(read_stream(damaged, keep_going=True), device="cpu"))


def test_a_run_that_cannot_be_decoded_is_lost_too() -> None:
    stream = clip()
    data = write_stream(stream, run=2)
    unit = units_of(data, UnitType.LATENTS)[1]
    payload = bytes(unit.payload[:11]) + b"\1\0\4" + bytes(8)
    out = data[: unit.offset] + pack_unit(UnitType.LATENTS, payload) + data[unit.end :]
    assert "frames that repeat another: 2 to 3" in check(out, stream, frames(0, 1, 1, 1, 4, 5))


def test_all_runs_lost() -> None:
    data = write_stream(clip(), run=2)
    with pytest.raises(CorruptStreamError, match="no frame can be decoded"):
        shown(broken(data, *units_of(data, UnitType.LATENTS)))


def test_a_run_of_another_operation() -> None:
    """The last run of one operation and the first of the next, and the checksums after the last one."""
    stream = random_stream(21, frames=FRAMES, operations=0)
    data = write_stream(stream, run=2)
    runs = units_of(data, UnitType.LATENTS)
    assert len(runs) == 6
    assert [unit.payload[0] for unit in runs] == [0, 0, 0, 1, 1, 1]
    chosen, pictures, _ = shown(broken(data, runs[2], runs[3]))
    assert chosen == frames(2, 2, 2, 3, 3, 3)
    assert pictures == [originals(stream)[0][frame] for frame, _ in chosen]
    chosen, _, found = shown(broken(data, runs[5], *units_of(data, UnitType.CHECKSUMS)))
    assert chosen == frames(0, 1, 2, 3, 3, 3)
    assert "CHECKSUMS at byte" in found


@pytest.mark.parametrize("kind", [UnitType.CHECKSUMS, UnitType.LAYER_END, UnitType.METADATA, UnitType.INDEX])
def test_units_that_no_picture_needs(kind: UnitType) -> None:
    stream = clip()
    data = write_stream(stream, run=2)
    (unit,) = units_of(data, kind)
    found = check(broken(data, unit), stream, frames(*range(FRAMES)))
    # A damaged INDEX counts as bytes after the end.
    assert found == ("" if kind == UnitType.INDEX else f"{kind.name} at byte {unit.offset} is damaged")


def test_payloads_that_no_picture_needs() -> None:
    stream = clip()
    data = write_stream(stream, run=2)
    for kind, payload in ((UnitType.METADATA, b"\0\1\0\0\0{"), (UnitType.CHECKSUMS, bytes(4))):
        (unit,) = units_of(data, kind)
        out = data[: unit.offset] + pack_unit(kind, payload) + data[unit.end :]
        assert f"{kind.name} at byte" in check(out, stream, frames(*range(FRAMES)))


@pytest.mark.parametrize("kind", [UnitType.VIDEO, UnitType.SEGMENT, UnitType.NETWORK, UnitType.WEIGHTS])
def test_units_that_all_pictures_need(kind: UnitType) -> None:
    data = write_stream(clip(), run=2)
    with pytest.raises(CorruptStreamError):
        read_stream(broken(data, *units_of(data, kind)), keep_going=True)


def test_knots_are_needed_by_all_frames() -> None:
    stream = clip(grid=True)
    data = write_stream(stream, run=2)
    knots = units_of(data, UnitType.LATENTS)[-1]
    with pytest.raises(CorruptStreamError, match="knots of operation 1"):
        read_stream(broken(data, knots), keep_going=True)


@pytest.mark.parametrize("kind", [UnitType.NETWORK, UnitType.WEIGHTS])
def test_the_layers_below_are_played(kind: UnitType) -> None:
    stream = clip(layers=3)
    data = write_stream(stream, run=2)
    found = check(broken(data, units_of(data, kind)[1]), stream, frames(*range(FRAMES)))
    assert "only the first 1 can be used" in found
    unit = units_of(data, UnitType.NETWORK)[2]  # whole, but against the rules
    payload = bytes(unit.payload[:13]) + b"\x09" + bytes(unit.payload[14:])  # the LATENT's kind
    out = data[: unit.offset] + pack_unit(UnitType.NETWORK, payload, 0, 2) + data[unit.end :]
    check(out, stream, [(frame, 2) for frame in range(FRAMES)])


def test_a_run_of_a_higher_layer_is_shown_without_it() -> None:
    stream = clip(layers=2)
    data = write_stream(stream, run=2)
    runs = units_of(data, UnitType.LATENTS)
    found = check(broken(data, runs[4]), stream, [(0, 2), (1, 2), (2, 1), (3, 1), (4, 2), (5, 2)])
    assert "frames with fewer layers: 2 to 3" in found
    check(broken(data, runs[1], runs[3]), stream, [(0, 1), (1, 1), (1, 1), (1, 1), (4, 2), (5, 2)])


def test_pictures_without_their_checksum() -> None:
    good = clip(layers=2)
    stream = clip(layers=2)
    stream.segments[0].layers[1].checksums[3] ^= 1
    stream.segments[0].layers[1].checksums[4] ^= 1
    stream.segments[0].layers[0].checksums[4] ^= 1
    data = write_stream(stream, run=2)
    found = check(data, good, [(0, 2), (1, 2), (2, 2), (3, 1), (3, 1), (5, 2)])
    assert found == "frames that repeat another: 4; frames with fewer layers: 3"
    video = Decoded(read_stream(data, keep_going=True), device="cpu", verify=False)
    assert conceal(video, range(FRAMES)) == [(frame, 2) for frame in range(FRAMES)]


def test_a_checksum_of_several_frames() -> None:
    stream = clip(group=3)
    good = clip(group=3)
    stream.segments[0].layers[0].checksums[1] ^= 1
    assert check(write_stream(stream), good, frames(0, 1, 2, 2, 2, 2)) == "frames that repeat another: 3 to 5"


@pytest.mark.parametrize("rest", [b"x", bytes(40), b"\xff" * 100, write_stream(clip())])
def test_what_follows_the_end_is_ignored(rest: bytes) -> None:
    stream = clip()
    data = write_stream(stream)
    assert check(data + rest, stream, frames(*range(FRAMES))) == ""
    assert (
        read_stream(data + rest, keep_going=True).note == f"{len(rest)} bytes after the end of the stream are ignored"
    )


def test_duplicated_and_reordered_units_stay_errors() -> None:
    data = write_stream(clip(), run=2)
    units = list(split_units(memoryview(data)))
    pieces = [data[unit.offset : unit.end] for unit in units]
    head = data[:HEADER_BYTES]
    for index in range(len(pieces) - 1):
        if units[index].header.type == UnitType.METADATA:
            continue
        twice = [*pieces[: index + 1], *pieces[index:]]
        swapped = [*pieces[:index], pieces[index + 1], pieces[index], *pieces[index + 2 :]]
        for order in (twice, swapped):
            for keep_going in (False, True):
                out = head + b"".join(order)
                if keep_going and index >= len(pieces) - 2:
                    continue  # the end: what is behind a LAYER_END or INDEX
                with pytest.raises(CorruptStreamError):
                    read_stream(out, keep_going=keep_going)


def test_cut_anywhere() -> None:
    """Of a cut file, complete frames are shown, and no picture differs from the original."""
    stream = clip(layers=2)
    data = write_stream(stream, run=2)
    pictures = originals(stream)
    best = 0
    for length in range(HEADER_BYTES, len(data), 17):
        try:
            chosen, made, found = shown(data[:length])
            note = read_stream(data[:length], keep_going=True).note
        except CorruptStreamError:
            assert length < layer_ends(data)[0]
            continue
        assert bool(found or note) == (length not in (*layer_ends(data), len(data)))
        assert made == [pictures[layers - 1][frame] for frame, layers in chosen]
        whole = sum(
            layers for (shown_frame, layers), frame in zip(chosen, range(FRAMES), strict=True) if shown_frame == frame
        )
        assert whole >= best
        best = whole
    assert best == 2 * FRAMES


def test_any_byte_damaged() -> None:
    """Whatever byte is damaged, there is a documented error, or all pictures are original ones."""
    stream = clip(layers=2)
    data = write_stream(stream, run=3)
    pictures = originals(stream)
    played = 0
    offsets = range(HEADER_BYTES, len(data), 7)
    for offset in offsets:
        damaged = bytearray(data)
        damaged[offset] ^= 0xFF
        try:
            chosen, made, found = shown(bytes(damaged))
        except NvcodecError:
            continue
        played += 1
        assert found or read_stream(bytes(damaged), keep_going=True).note
        assert made == [pictures[layers - 1][frame] for frame, layers in chosen]
    assert played > len(offsets) / 2


@pytest.fixture
def damaged_file(tmp_path: Path) -> Path:
    data = write_stream(clip(), run=2)
    path = tmp_path / "damaged.sdmn"
    path.write_bytes(broken(data, units_of(data, UnitType.LATENTS)[1]))
    return path


def test_the_command(damaged_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.rgb"
    assert run(["decode", str(damaged_file), "-o", str(out)]) == 4
    assert not out.exists()
    capfd.readouterr()
    assert run(["decode", str(damaged_file), "-o", str(out), "--keep-going", "-q"]) == 4
    stdout, stderr = capfd.readouterr()
    assert (stdout, stderr.count("\n")) == ("", 1)
    assert "frames that repeat another: 2 to 3" in stderr
    pictures = originals(clip())[0]
    assert out.read_bytes() == b"".join(pictures[frame] for frame in (0, 1, 1, 1, 4, 5))
    assert run(["decode", str(damaged_file), "--md5", "--keep-going", "--start", "2", "--frames", "3"]) == 4
    assert capfd.readouterr().out == f"{hashlib.md5(3 * pictures[4]).hexdigest()}  3 frames\n"
    assert run(["decode", str(damaged_file), "--md5", "--keep-going", "--start", "4"]) == 4
    assert capfd.readouterr().out == f"{hashlib.md5(pictures[4] + pictures[5]).hexdigest()}  2 frames\n"
    assert run(["decode", str(damaged_file), "--md5", "--keep-going", "--interpolate", "2"]) == 2


def test_the_command_on_a_good_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "good.sdmn"
    path.write_bytes(write_stream(clip()) + bytes(40))
    assert run(["decode", str(path), "--md5"]) == 4
    capfd.readouterr()
    assert run(["decode", str(path), "--md5", "--keep-going"]) == 0
    stdout, stderr = capfd.readouterr()
    assert stdout == f"{hashlib.md5(b''.join(originals(clip())[0])).hexdigest()}  6 frames\n"
    assert "40 bytes after the end" in stderr


def test_verify(damaged_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = write_stream(clip(layers=2))
    wrong = clip(layers=2)
    wrong.segments[0].layers[0].checksums[3] ^= 1
    files = {
        "good.sdmn": (data, 0, "ok, 6 frames, 2 layer(s)"),
        "cut.sdmn": (data[: layer_ends(data)[0] + 20], 4, "the file is cut"),
        "wrong.sdmn": (write_stream(wrong), 6, "frames 3 to 3 of layer 0"),
        "other.sdmn": (b"something else", 3, "not an SDMN file"),
        "newer.sdmn": (data[:8] + b"\7" + data[9:], 5, "7.1 is not supported"),
    }
    for name, (content, code, message) in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        before = sorted(tmp_path.iterdir())
        assert run(["verify", str(path)]) == code
        stdout, stderr = capfd.readouterr()
        assert stdout.startswith(f"{path}: ")
        assert message in stdout
        assert stderr == ""
        assert sorted(tmp_path.iterdir()) == before
    names = [str(tmp_path / name) for name in files]
    assert run(["verify", names[0], str(damaged_file), *names[1:], "missing.sdmn", "--json"]) == 4
    rows = json.loads(capfd.readouterr().out)
    assert [row["exit_code"] for row in rows] == [0, 4, 4, 6, 3, 5, 3]
    assert [bool(row["error"]) for row in rows] == [False] + 6 * [True]
    assert run(["verify", names[0], names[2], "-q"]) == 6
    assert capfd.readouterr().out.count("\n") == 1
    assert run(["verify", names[0], "--max-pixels", "5"]) == 3
    assert run(["verify"]) == 2
