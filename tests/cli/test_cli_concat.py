"""``nvcodec concat``, and ``nvcodec extract --start --end``: files, notes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from networks import random_stream, squares_stream

from nvcodec.cli.main import run
from nvcodec.format.stream_reader import read_file
from nvcodec.format.stream_writer import write_stream


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of two runs of 4 and 3 frames, 40 ms each."""
    path = tmp_path / "in.sdmn"
    path.write_bytes(write_stream(squares_stream([(4, 3)])))
    return path


def digests(path: Path, capfd: pytest.CaptureFixture[str]) -> list[str]:
    """The MD5 of each frame."""
    assert run(["decode", str(path), "--md5=frame", "-q"]) == 0
    return [line.split()[0] for line in capfd.readouterr().out.splitlines()]


def test_cut_and_join(file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = digests(file, capfd)
    first, second, out = (tmp_path / name for name in ("first.sdmn", "second.sdmn", "out.sdmn"))
    assert run(["extract", str(file), "--end", "4", "-o", str(first)]) == 0
    assert capfd.readouterr().err == ""
    assert run(["extract", str(file), "--start", "0.2s", "--end", "0.24s", "-o", str(second)]) == 0
    said = capfd.readouterr().err
    assert said == f"note: {file}: frames 5 to 5 are in runs, so 4 to 6 are kept\n"
    assert run(["concat", str(first), str(second), "-o", str(out)]) == 0
    assert capfd.readouterr().err == ""
    assert len(set(whole)) == 7
    assert digests(out, capfd) == whole
    stream = read_file(out)
    assert (len(stream.segments), stream.seconds) == (2, read_file(file).seconds)
    assert run(["verify", str(out)]) == 0


def test_refused(file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out, layers = tmp_path / "out.sdmn", tmp_path / "layers.sdmn"
    layers.write_bytes(write_stream(random_stream(1)))
    wrong = tmp_path / "wrong.sdmn"
    wrong.write_bytes(b"no SDMN file at all")
    for arguments, code, message in (
        (["concat", str(file), str(layers)], 2, "has another"),
        (["concat", str(file), str(wrong)], 3, "is not an SDMN file"),
        (["concat", str(file), str(tmp_path / "none.sdmn")], 3, "cannot read"),
        (["concat", str(file), "-"], 2, "standard input"),
        (["concat"], 2, "FILES"),
        (["extract", str(file), "--start", "7"], 2, "past the last"),
        (["extract", str(file), "--start", "3", "--end", "3"], 2, "no frame in the chosen part"),
        (["extract", str(file), "--start", "3", "--layers", "1"], 2, "give one of"),
    ):
        assert run([*arguments, "-o", str(out)]) == code
        assert message in capfd.readouterr().err
        assert not out.exists()
    assert run(["concat", str(file), "-o", str(file), "-y"]) == 2
    assert "give the output another name" in capfd.readouterr().err
    out.write_bytes(b"")
    assert run(["concat", str(file), "-o", str(out)]) == 2
    assert "-y replaces it" in capfd.readouterr().err
    assert run(["concat", str(file), str(file), "-o", str(out), "-y"]) == 0
    assert read_file(out).frames == 14
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
