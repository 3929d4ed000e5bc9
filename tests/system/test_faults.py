"""What the file system and people do to us: the table of faults in docs/faults.md, each of them done.

In every case: nothing but whole files under a final name, no temporary file left but by a process that was killed, the
source as it was, one sentence on stderr.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from conftest import write_clip
from networks import picture, zeros

from nvcodec import files
from nvcodec.cli.main import run
from nvcodec.files import PART, atomic_file
from nvcodec.format.stream_reader import read_file
from nvcodec.video import byte_sinks, png_sinks, sink_base, sinks
from nvcodec.video.sinks import open_sink

resource = pytest.importorskip("resource")
ENCODE = ["encode", "SOURCE", "--size", "6k", "--steps", "1", "-q"]
WRITERS = {
    "rgb": ["decode", "FILE", "-o", "DIR/out.rgb", "-q"],
    "y4m": ["decode", "FILE", "-o", "DIR/out.y4m", "-q"],
    "mkv": ["decode", "FILE", "-o", "DIR/out.mkv", "-q"],
    "png": ["decode", "FILE", "-o", "DIR/out/", "-q"],
    "extract": ["extract", "FILE", "--layers", "1", "-o", "DIR/out.sdmn"],
    "encode": [*ENCODE, "-o", "DIR/out.sdmn"],
}


@pytest.fixture(scope="session")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that no format makes small: 4 of 48x32."""
    pictures = torch.randint(0, 256, (4, 3, 32, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return write_clip(tmp_path_factory.mktemp("noisy") / "source.mkv", pictures)


@pytest.fixture
def file(tmp_path: Path, tiny_file: Path) -> Path:
    path = tmp_path / "in.sdmn"
    path.write_bytes(tiny_file.read_bytes())
    return path


@pytest.fixture
def source(tmp_path: Path, noisy: Path) -> Path:
    path = tmp_path / "source.mkv"
    path.write_bytes(noisy.read_bytes())
    return path


@pytest.fixture
def places(tmp_path: Path, file: Path, source: Path) -> Iterator[Callable[[list[str]], list[str]]]:
    """Fills in FILE, SOURCE and DIR; afterwards the inputs are as they were and there is nothing temporary."""
    before = {path: path.read_bytes() for path in (file, source)}

    def filled(arguments: list[str]) -> list[str]:
        for name, value in (("FILE", file), ("SOURCE", source), ("DIR", tmp_path)):
            arguments = [argument.replace(name, str(value)) for argument in arguments]
        return arguments

    yield filled
    assert {path: path.read_bytes() for path in before} == before
    assert leftovers(tmp_path) == []


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if PART in path.name or path.name.endswith(".new")]


def sentence(capfd: pytest.CaptureFixture[str]) -> str:
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("nvcodec: ")
    assert err.count("\n") == 1
    assert "internal" not in err
    return err


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes: as far as we can see, a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("writer", WRITERS)
def test_disk_full(writer: str, places: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with largest_file(600):
        assert run(places(WRITERS[writer])) == 3
    assert "cannot write" in sentence(capfd)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize("command", [["info", "FILE", "--json"], ["extract", "FILE", "--layers", "1", "-o", "-"]])
def test_a_full_device_as_stdout(places: Any, command: list[str]) -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "nvcodec", *places(command)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 3
    assert result.stderr == "nvcodec: cannot read or write: No space left on device\n"


def test_a_full_device_as_output(places: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(places(["extract", "FILE", "--layers", "1", "-o", "/dev/full", "-y"])) == 3
    assert "No space left" in sentence(capfd)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("folder", ["/proc", "DIR/missing", "DIR/closed"])
def test_a_folder_that_cannot_be_written_to(
    writer: str, folder: str, places: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    if folder == "DIR/closed" and os.access(closed, os.W_OK):
        pytest.skip("this user may write anywhere")
    if writer == "png" and folder == "DIR/missing":
        pytest.skip("folders for pictures are made")
    assert run(places([part.replace("DIR", folder) for part in WRITERS[writer]])) == 3
    assert "cannot write" in sentence(capfd)
    assert not (tmp_path / "missing").exists()


@pytest.mark.parametrize("name", ["same", "symbolic", "hard", "roundabout"])
@pytest.mark.parametrize(
    "command", [[*ENCODE, "-o"], ["extract", "FILE", "--layers", "1", "-o"], ["decode", "FILE", "-o"]]
)
def test_output_equals_input(
    name: str,
    command: list[str],
    places: Any,
    tmp_path: Path,
    file: Path,
    source: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    target = source if "SOURCE" in command else file
    if command[0] == "decode":  # under a name that decode would write to
        command = ["decode", "DIR/in.rgb", "-o"]
        file.rename(tmp_path / "in.rgb")
        target = tmp_path / "in.rgb"
    output = {"same": target, "roundabout": tmp_path / ".." / tmp_path.name / target.name}.get(
        name, tmp_path / f"link{target.suffix}"
    )
    if name == "symbolic":
        output.symlink_to(target.name)
    elif name == "hard":
        os.link(target, output)
    content = target.read_bytes()
    assert run([*places(command), str(output), "-y"]) == 2
    assert "another name" in sentence(capfd)
    assert target.read_bytes() == content
    target.rename(file if target.name == "in.rgb" else target)


@pytest.mark.parametrize("writer", WRITERS)
def test_output_exists(writer: str, places: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / WRITERS[writer][WRITERS[writer].index("-o") + 1].removeprefix("DIR/").rstrip("/")
    if writer == "png":
        output.mkdir()
        (output / "mine.txt").write_text("mine")
        (output / "00009.png").write_text("of an earlier run")
    else:
        output.write_text("mine")
    assert run(places(WRITERS[writer])) == 2
    assert " exists; -y replaces it" in sentence(capfd)
    assert (output / "mine.txt" if writer == "png" else output).read_text() == "mine"
    assert run(places([*WRITERS[writer], "-y"])) == 0
    if writer == "png":
        assert (output / "mine.txt").read_text() == "mine"
        assert sorted(path.name for path in output.glob("*.png")) == [f"{place:05d}.png" for place in range(5)]
    else:
        assert output.stat().st_size > 100


@pytest.mark.parametrize("writer", ["extract", "encode", "rgb"])
def test_output_is_a_folder(writer: str, places: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    name = WRITERS[writer][WRITERS[writer].index("-o") + 1].removeprefix("DIR/")
    (tmp_path / name).mkdir()
    code = run(places([*WRITERS[writer], "-y"]))
    if writer == "rgb":  # a folder takes pictures, whatever it is called
        assert (code, len(list((tmp_path / name).iterdir()))) == (0, 5)
    else:
        assert code == 2
        assert "is a folder" in sentence(capfd)
        assert list((tmp_path / name).iterdir()) == []


def test_a_new_folder_and_an_empty_one(places: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    for name in ("new/deep", "link"):
        assert run(places(["decode", "FILE", "-o", f"DIR/{name}/", "-q"])) == 0
        assert len(list((tmp_path / name).iterdir())) == 5
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o777 & ~_umask()
    assert (tmp_path / "link").is_symlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


ODD = ["new\nline", "-dash", "emoji \U0001f3ac", os.fsdecode(b"not\xffutf8"), "a:b", "per%03dcent {}", "x" * 230]


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_odd_names(
    name: str,
    file: Path,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    stdout = io.TextIOWrapper(io.BytesIO(), "utf-8")  # one that refuses what is not UTF-8
    folder = f"{name}.d"
    file.rename(f"{name}.sdmn")
    source.rename(f"{name}.mkv")
    commands = [
        ["info", "--", f"{name}.sdmn"],
        ["verify", "--", f"{name}.sdmn"],
        ["extract", "--layers", "1", "-o", f"{name}.e", "--", f"{name}.sdmn"],
        ["decode", "-q", "-o", f"{name}.rgb", "--", f"{name}.sdmn"],
        ["decode", "-q", "-o", f"{name}/", "--", f"{name}.sdmn"],
        ["decode", "-q", "-o", f"{name}2.mkv", "--", f"{name}.sdmn"],
        ["compare", "--", f"{name}2.mkv", f"{name}.sdmn"],
        ["encode", "--size", "6k", "--steps", "1", "-o", f"{name}.o", "--", f"{name}.mkv"],
    ]
    with contextlib.redirect_stdout(stdout):
        for command in commands:
            assert run(command) == 0, command
        assert run(["info", "--", f"{name}.missing"]) == 3
    os.mkdir(folder)
    Path(name, "00000.png").rename(Path(folder, f"{name}.png"))
    assert run(["encode", "--size", "6k", "--steps", "1", "-q", "-o", f"{name}.p", "--", folder]) == 0
    assert leftovers(tmp_path) == []
    assert "internal" not in capfd.readouterr().err


def test_standard_input(file: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    for command in (
        ["info", "-"],
        ["decode", "-", "--md5"],
        ["verify", "-"],
        ["extract", "-", "--layers", "1", "-o", "-"],
    ):
        with file.open("rb") as opened:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(opened))
            assert run(command) == 0
    capfd.readouterr()
    with open(os.devnull, "rb") as opened:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(opened))
        assert run(["info", "-"]) == 3
    assert "not an SDMN file" in sentence(capfd)


def test_a_named_pipe(file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cp", file, pipe]):
        assert run(["verify", str(pipe)]) == 0
    assert "ok, 5 frames" in capfd.readouterr().out


def _write(ending: str, folder: Path) -> None:
    """Two small pictures to a sink, an extracted file, or a folder that holds pictures already."""
    if ending == "atomic":
        with atomic_file(folder / "out") as path:
            path.write_bytes(b"12")
        return
    output = str(folder / ending)
    with open_sink(output, width=2, height=2, time_base=Fraction(1, 25), fps=Fraction(25), overwrite=True) as sink:
        for place in range(2):
            sink.put(np.zeros((2, 2, 3), np.uint8), place, 1)


TRACED = {module.__file__ for module in (files, sinks, sink_base, byte_sinks, png_sinks)}


def _interrupted(write: Callable[[], None], line: int, stop: Callable[[], None]) -> bool:
    """Run ``write``, call ``stop`` at the ``line``-th line of the traced modules; whether it came so far."""
    seen = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal seen
        if frame.f_code.co_filename not in TRACED:
            return None
        if event == "line" and frame.f_code.co_name not in ("_remove", "_remove_all"):
            seen += 1
            if seen == line:
                sys.settrace(None)
                stop()
        return trace

    before = sys.gettrace()
    gc.disable()  # what an earlier run left behind is not to end within this one, where it would count as its lines
    sys.settrace(trace)
    try:
        write()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
        gc.enable()
    return seen >= line


def _whole(ending: str, folder: Path, expected: dict[str, bytes]) -> None:
    """Under a final name there is nothing, or all of it."""
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and PART not in str(path)
    }
    assert found in ({}, expected), (ending, list(found))


ENDINGS = ["atomic", "x.rgb", "x.y4m", "x/"]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")  # files
@pytest.mark.parametrize("ending", ENDINGS)
def test_interrupted_at_any_line(ending: str, tmp_path: Path) -> None:
    """Ctrl-C and SIGTERM raise KeyboardInterrupt at some line: at each of them in turn."""
    (tmp_path / "good").mkdir()
    _write(ending, tmp_path / "good")
    expected = {
        str(path.relative_to(tmp_path / "good")): path.read_bytes()
        for path in (tmp_path / "good").rglob("*")
        if path.is_file()
    }
    assert expected

    def stop() -> None:
        raise KeyboardInterrupt

    line = 1
    while True:
        folder = tmp_path / str(line)
        folder.mkdir()
        reached = _interrupted(lambda folder=folder: _write(ending, folder), line, stop)  # type: ignore[misc]
        files._remove_all()  # as at the end of the process
        _whole(ending, folder, expected)
        assert leftovers(folder) == []
        if not reached:
            break
        line += 1
    assert line > 10


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork in a process with threads
@pytest.mark.parametrize("ending", ENDINGS)
def test_killed_at_any_line(ending: str, tmp_path: Path) -> None:
    """SIGKILL lets nobody tidy up; temporary files stay, under names that say so."""
    (tmp_path / "good").mkdir()
    _write(ending, tmp_path / "good")
    expected = {
        str(path.relative_to(tmp_path / "good")): path.read_bytes()
        for path in (tmp_path / "good").rglob("*")
        if path.is_file()
    }
    line, left = 1, 0
    while True:
        folder = tmp_path / str(line)
        folder.mkdir()
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                _interrupted(
                    lambda folder=folder: _write(ending, folder), line, lambda: os.kill(os.getpid(), signal.SIGKILL)
                )  # type: ignore[misc]
            os._exit(0)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        _whole(ending, folder, expected)
        left += len(leftovers(folder))
        _write(ending, folder)  # the next run does not mind
        assert {name: (folder / name).read_bytes() for name in expected} == expected
        if not killed:
            break
        line += 2
    assert left


def test_pictures_into_a_folder_that_has_some(tmp_path: Path) -> None:
    """Not all at once, as a folder has more in it than ours: each picture by itself is whole."""
    _write("x/", tmp_path)
    (tmp_path / "x" / "mine.txt").write_text("mine")
    whole = {path.name: path.read_bytes() for path in (tmp_path / "x").iterdir()}

    def stop() -> None:
        raise KeyboardInterrupt

    line = 1
    while _interrupted(lambda: _write("x/", tmp_path), line, stop):
        files._remove_all()
        for path in (tmp_path / "x").iterdir():
            assert path.read_bytes() == whole[path.name]
        assert (tmp_path / "x" / "mine.txt").exists()
        assert leftovers(tmp_path) == []
        line += 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_decode_is_stopped(number: signal.Signals, tmp_path: Path) -> None:
    """The real thing, once for each signal (tests/test_run.py stops encodes)."""
    path, output = tmp_path / "long.sdmn", tmp_path / "out.rgb"
    path.write_bytes(zeros(8, 8, 60_000, [[picture(8, 8)]]))
    command = [sys.executable, "-m", "nvcodec", "decode", str(path), "-o", str(output), "--no-verify"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not leftovers(tmp_path):
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(number)
            _, err = process.communicate(timeout=300)
        finally:
            process.kill()
    assert not output.exists()
    if number == signal.SIGKILL:
        assert len(leftovers(tmp_path)) == 1
    else:
        assert (process.returncode, err) == (130, "nvcodec: interrupted\n")
        assert leftovers(tmp_path) == []
    assert read_file(path).frames == 60_000
