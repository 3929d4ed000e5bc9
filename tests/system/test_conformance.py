"""Two decoders that share nothing agree on every conformance vector and on fresh files, and the checker is checked."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import reference_decoder
from conftest import moving_squares
from make_vectors import vectors
from networks import random_stream

import conformance
import nvcodec
from conformance import VECTORS, Outcome, decode_by_nvcodec, decode_by_reference, run_vectors
from nvcodec.format.stream_writer import write_stream

REFERENCE = str(Path(reference_decoder.__file__))


@pytest.mark.parametrize("decode", [decode_by_nvcodec, decode_by_reference])
def test_both_decoders_conform(decode: conformance.Decode) -> None:
    report = run_vectors(decode)
    assert report["wrong"] == []
    assert report["skipped"] == 0
    assert report["right"] >= report["vectors"] > 650


def test_the_vectors_are_made_again_to_the_byte() -> None:
    kept = {str(path.relative_to(VECTORS)): path.read_bytes() for path in VECTORS.glob("*/*")}
    made = vectors()
    assert sorted(kept) == sorted(made)
    assert [name for name in kept if kept[name] != made[name]] == []
    assert sum(map(len, kept.values())) < 2**20


def test_what_the_vectors_cover(monkeypatch: pytest.MonkeyPatch) -> None:
    """All operations, fields at both ends, tables, classes of tables by rows, step indices, entries of tables."""
    families: set[int] = set()
    classes: set[int] = set()
    read_head, class_of = reference_decoder.read_table_head, reference_decoder.class_of

    def head(reader: reference_decoder.Reader) -> tuple[int, int, int]:
        found = read_head(reader)
        families.add(found[0])
        return found

    def number(estimate: int) -> int:
        found = class_of(estimate)
        classes.add(found)
        return found

    monkeypatch.setattr(reference_decoder, "read_table_head", head)
    monkeypatch.setattr(reference_decoder, "class_of", number)
    fields: dict[tuple[int, str], set[int]] = {}
    steps: set[int] = set()
    for path in sorted(VECTORS.glob("*/stream.sdmn")):
        if path.parent.name.startswith("bad-"):
            continue
        for segment in reference_decoder.parse(path.read_bytes()).segments:
            for layer in segment.layers:
                for op in layer.ops:
                    for name, value in op.f.items():
                        fields.setdefault((op.code, name), set()).add(value)
                for chosen, _, _ in layer.convs.values():
                    steps.update(chosen.tolist())
    names = {(code, name) for code, (_, text) in reference_decoder.FIELDS.items() for name in text.split()}
    assert set(fields) == names
    assert steps == set(range(240))
    assert families == set(range(6))
    assert classes == set(range(52))
    conv, table, grid, noise = (reference_decoder.CONV, reference_decoder.TABLE, reference_decoder.GRID, 2)
    picture = reference_decoder.PICTURE
    assert fields[picture, "depth"] == {8, 10}
    assert fields[picture, "matrix"] == set(reference_decoder.MATRICES)
    for code, name, low, high in (
        (conv, "bias_shift", 0, 12),
        (table, "function", 0, 2),
        (table, "in_shift", 0, 12),
        (table, "out_shift", 0, 16),
        (grid, "shift", 0, 8),
        (noise, "per_frame", 0, 1),
        (picture, "chroma", 0, 1),
        (picture, "siting", 0, 2),
        (picture, "full_range", 0, 1),
    ):
        assert fields[code, name] == set(range(low, high + 1)), name
    for code, name, ends in (
        (conv, "group", {1, 255}),
        (conv, "kernel_height", {1, 15}),
        (conv, "kernel_width", {1, 15}),
        (conv, "low", {-4095}),
        (conv, "high", {4095}),
        (table, "low", {-32768}),
        (table, "high", {32767}),
        (noise, "gain", {0, 4096}),
        (noise, "scale", {0, 255}),
        (reference_decoder.SHUFFLE, "factor", {2, 16}),
        (reference_decoder.UNSHUFFLE, "factor", {2, 16}),
        (reference_decoder.RESAMPLE, "width", {1, 65535}),
        (reference_decoder.CROP, "left", {0, 65535}),
        (picture, "margin", {0, 15}),
        (picture, "width", {1, 128}),
    ):
        assert ends <= fields[code, name], name
    for name, ends in (("depth", {8, 10}), ("chroma", {0, 1}), ("siting", {0, 1, 2}), ("full_range", {0, 1})):
        assert fields[reference_decoder.PICTURE10, name] == ends, name
    assert fields[reference_decoder.PICTURE10, "matrix"] == set(reference_decoder.MATRICES)
    assert fields[reference_decoder.PICTURE10, "margin"] >= {0, 15}


def test_noise_covers_the_whole_normal_table() -> None:
    stream = reference_decoder.parse((VECTORS / "noise-of-all-quantiles" / "stream.sdmn").read_bytes())
    op = stream.segments[0].layers[0].ops[0]
    channel, row, column = np.indices(op.shape).astype(np.uint64)
    counter = [column // np.uint64(4) + row * np.uint64(2**16), channel, np.zeros_like(row), np.zeros_like(row)]
    four = reference_decoder.philox(counter, stream.video["seed"], 0)
    words = np.choose((column % np.uint64(4)).astype(np.int64), four)
    assert len(np.unique(words >> np.uint64(20))) == 4096


# ---- the checker -----------------------------------------------------------------------------------------------------


FEW = ("segments", "three-layers", "bad-critical-8", "bad-end-in-a-payload", "bad-picture")


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """A folder with some vectors."""
    for name in (*FEW, "bad-base-undecodable-no-tiles-later"):
        shutil.copytree(VECTORS / name, tmp_path / name)
    return tmp_path


def change(folder: Path, name: str, edit: Callable[[dict], object]) -> None:
    """Edit a descriptor."""
    path = folder / name / "descriptor.json"
    descriptor = json.loads(path.read_text())
    edit(descriptor)
    path.write_text(json.dumps(descriptor))


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("segments", lambda d: d["decodings"][0]["md5"].__setitem__(3, "0" * 32), "frame 3 has the MD5"),
        ("segments", lambda d: d["decodings"][0]["md5"].pop(), "13 frames; expected 12"),
        ("segments", lambda d: d["sizes"].__setitem__(0, [2, 1, 1]), "pictures of the sizes"),
        ("segments", lambda d: d["ticks"].__setitem__(0, [0, 1]), "times and durations"),
        ("three-layers", lambda d: d["decodings"][5]["md5"].reverse(), "frame 0 has the MD5"),
        ("bad-critical-8", lambda d: d["decodings"][0].update(error="corrupt"), "exit status 5; expected 4"),
        ("bad-picture", lambda d: d["decodings"][0].update(error="not-sdmn"), "exit status 6; expected 3"),
        ("bad-end-in-a-payload", lambda d: d["decodings"][0].pop("or"), "exit status 0; expected 4"),
        ("bad-end-in-a-payload", lambda d: d["decodings"][0]["or"]["md5"].reverse(), "frame 0 has the MD5"),
    ],
)
def test_a_wrong_vector_is_found(few: Path, name: str, edit: Callable[[dict], object], message: str) -> None:
    assert run_vectors(decode_by_reference, few)["wrong"] == []
    change(few, name, edit)
    (wrong,) = run_vectors(decode_by_reference, few)["wrong"]
    assert wrong["vector"] == name
    assert message in wrong["what"]


def test_a_wrong_decoder_is_found(few: Path) -> None:
    decodings = run_vectors(decode_by_reference, few)["right"]
    for outcome in (Outcome(0), Outcome(1), Outcome("none within 1 s")):
        report = run_vectors(lambda *_, made=outcome: made, few)
        assert report["right"] == 0
        assert len(report["wrong"]) == decodings

    def crash(*_: object) -> Outcome:
        raise IndexError("beyond")

    assert all("IndexError: beyond" in wrong["what"] for wrong in run_vectors(crash, few)["wrong"])
    wrong = run_vectors(lambda *_: Outcome(5, ["0" * 32]), few)["wrong"]
    assert "1 frames of a stream that has to be refused" in [entry["what"] for entry in wrong]


def test_frames_before_an_error(few: Path) -> None:
    """Where it is found only when pictures are there, those before it, in order, may have been yielded."""
    for name in FEW:
        shutil.rmtree(few / name)
    (decoding,) = json.loads((few / "bad-base-undecodable-no-tiles-later" / "descriptor.json").read_text())["decodings"]
    before = decoding["before"]
    assert len(before) == len(set(before)) == 2
    for frames, wrong in (([], 0), (before[:1], 0), (before, 0), ([*before, before[0]], 1), (before[1:], 1)):
        report = run_vectors(lambda *_, made=frames: Outcome(4, made), few)
        assert len(report["wrong"]) == wrong


def test_a_decoder_may_do_less(few: Path) -> None:
    report = run_vectors(decode_by_reference, few, layers=False, interpolate=False)
    assert report["wrong"] == []
    assert report["skipped"] == 5


# ---- command lines ---------------------------------------------------------------------------------------------------


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict]:
    """The exit status and the report of the tool."""
    status = conformance.main(arguments)
    return status, json.loads(capsys.readouterr().out)


def test_commands(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, REFERENCE, "{file}", "--frames", "--layers={layers}", "--interpolate={interpolate}"]
    status, report = run(["--vectors", str(few), "--", *command], capsys)
    assert (status, report["wrong"], report["skipped"]) == (0, [], 0)
    for name in ("three-layers", "bad-end-in-a-payload", "bad-picture"):
        shutil.rmtree(few / name)
    # The command of nvcodec yields frames before it finds that a later one does not decode.
    assert run(["--vectors", str(few)], capsys)[0] == 0
    for name in ("bad-critical-8", "bad-base-undecodable-no-tiles-later"):
        shutil.rmtree(few / name)
    status, report = run(["--vectors", str(few), "--", sys.executable, REFERENCE, "{file}"], capsys)
    assert (status, len(report["wrong"])) == (1, 1)
    status, report = run(["--vectors", str(few), "--", "no-such-decoder", "{file}"], capsys)
    assert (status, len(report["wrong"])) == (1, 1)
    asleep = [sys.executable, "-c", "import time; time.sleep(9)", "{file}"]
    status, report = run(["--vectors", str(few), "--timeout", "0.1", "--", *asleep], capsys)
    assert "none within 0.1 s" in report["wrong"][0]["what"]
    assert run(["--vectors", str(few), "--in-process", "reference"], capsys)[0] == 0


@pytest.mark.parametrize("arguments", [["--", "cat"], ["--vectors", "nowhere"], ["--in-process", "nvcodec", "cat"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        conformance.main(arguments)
    assert end.value.code == 2


@pytest.mark.parametrize(
    ("name", "status"),
    [("bad-png", 3), ("bad-header-damaged", 4), ("bad-major-2", 5), ("bad-picture", 6), ("three-layers", 0)],
)
def test_the_reference_decoder_as_a_command(name: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert reference_decoder.main([str(VECTORS / name / "stream.sdmn")]) == status
    said = capsys.readouterr()
    assert said.err.count("\n") == (status > 0)
    assert said.out.endswith("  6 frames\n") if status == 0 else not said.out


def test_the_reference_decoder_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reference_decoder.main([str(VECTORS / "bad-end-in-a-payload" / "stream.sdmn"), "--frames"]) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 6
    assert "1 layers of it are complete" in said.err
    assert reference_decoder.main([str(tmp_path / "missing")]) == 3
    for wrong in (["--layers", "4"], ["--layers", "0"], ["--interpolate", "0"]):
        with pytest.raises(SystemExit) as end:
            reference_decoder.main([str(VECTORS / "three-layers" / "stream.sdmn"), *wrong])
        assert end.value.code == 2


# ---- fresh files -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fresh(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files encoded just now: one with every part of the network, one with grids and two layers, two random ones."""
    folder = tmp_path_factory.mktemp("fresh")
    clip = moving_squares(6, 30, 44)
    data = {
        "layers": nvcodec.encode(clip, size="9k,5k", steps=40, device="cpu").data,
        "random": write_stream(random_stream(77, segments=2, layers=2), run=2),
        "more": write_stream(random_stream(78, segments=3, layers=3), run=1),
    }
    for name, stream in data.items():
        (folder / name).write_bytes(stream)
    return [tiny_file, *(folder / name for name in data)]


def test_both_decoders_agree_on_fresh_files(fresh: list[Path]) -> None:
    for path in fresh:
        layers = reference_decoder.parse(path.read_bytes()).layers
        for number in range(1, layers + 1):
            for factor in (1, 3):
                theirs, ours = decode_by_reference(path, number, factor), decode_by_nvcodec(path, number, factor)
                assert theirs == ours
                assert theirs.status == 0
                assert theirs.md5
