"""Files on web servers, here one on the loopback address: which ranges are asked for, and what servers do wrong."""

from __future__ import annotations

import contextlib
import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from networks import random_stream

import nvcodec
from nvcodec.cli.main import run
from nvcodec.decoding.decoded_video import Video
from nvcodec.errors import InputError, LimitError
from nvcodec.format import deferred_stream, http_source, unit_heads
from nvcodec.format.byte_source import is_url
from nvcodec.format.http_source import HttpSource
from nvcodec.format.stream_reader import read_file
from nvcodec.format.stream_writer import StreamWriter

SEGMENTS, FRAMES = 300, 2


class Server(http.server.ThreadingHTTPServer):
    """Serves one file.

    Attributes:
        data: the file.
        tag: its ETag.
        silence: what it waits for where it is silent.
        ways: what the server does wrong.
        ranges: first byte and number of bytes of each answer.
    """

    daemon_threads = True

    def __init__(self, data: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.tag = data, '"1"'
        self.ways: set[str] = set()
        self.ranges: list[tuple[int, int]] = []
        self.silence = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/x.sdmn"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        server, ways = self.server, self.server.ways
        if "missing" in ways:
            self.send_error(404)
            return
        if "silent" in ways:
            server.silence.wait()
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/x.sdmn" if "file" not in ways else "file:///etc/hostname")
            self.end_headers()
            return
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or "")
        assert match
        start, stop = int(match[1]), min(int(match[2]) + 1, len(server.data))
        if "whole" in ways:
            start, stop = 0, len(server.data)
        content = server.data[start:stop]
        server.ranges.append((start, len(content)))
        self.send_response(200 if "whole" in ways else 206)
        self.send_header("ETag", server.tag)
        self.send_header("Content-Length", str(len(content)))
        if not ways & {"whole", "no content range"}:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(server.data)}")
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if "short" in ways else content)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Many segments, one after the other: a network, again and again."""
    path = tmp_path_factory.mktemp("http") / "x.sdmn"
    stream = random_stream(3, frames=FRAMES, layers=1, operations=20)
    [segment] = stream.segments
    with path.open("wb") as file:
        writer = StreamWriter(file, stream.video)
        for number in range(SEGMENTS):
            writer.add_segment(segment.moved(FRAMES * number, 100 * number))
        writer.finish()
    return path.read_bytes()


@pytest.fixture
def server(data: bytes) -> Iterator[Server]:
    server = Server(data)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    with contextlib.closing(server.socket):
        yield server
        server.silence.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def lazily(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the file were large, and the network slow."""
    monkeypatch.setattr(deferred_stream, "SMALL_BYTES", 0)
    monkeypatch.setattr(http_source, "FIRST_BYTES", 2**12)
    monkeypatch.setattr(http_source, "LEAST_BYTES", 2**9)
    monkeypatch.setattr(http_source.HttpSource, "gap", 2**9)


@pytest.mark.usefixtures("lazily")
def test_a_frame_takes_few_bytes_and_requests(server: Server, data: bytes) -> None:
    video = nvcodec.open(server.url, device="cpu", verify=False)
    assert len(video) == SEGMENTS * FRAMES
    assert len(server.ranges) <= 4  # the beginning, INDEX, the last segment
    assert 12 * len(video.stream.units) < unit_heads.TAIL_BYTES
    first = sum(count for _, count in server.ranges)
    assert first <= unit_heads.TAIL_BYTES + http_source.FIRST_BYTES + 2 * http_source.LEAST_BYTES
    server.ranges.clear()
    assert torch.equal(video[333], Video(data, device="cpu")[333])
    assert len(server.ranges) <= SEGMENTS.bit_length() + 2
    assert sum(count for _, count in server.ranges) < len(data) / 20
    assert repr(video).startswith(f"<nvcodec.Video {server.url}: {SEGMENTS * FRAMES} frames")


def test_small_files_and_servers_without_ranges(server: Server, data: bytes) -> None:
    expected = Video(data, device="cpu")[5]
    assert torch.equal(nvcodec.open(server.url, device="cpu")[5], expected)
    assert len(server.ranges) == 2
    server.ways.add("whole")
    assert torch.equal(nvcodec.open(server.url, device="cpu")[5], expected)
    assert len(server.ranges) == 3
    with pytest.raises(LimitError):
        nvcodec.open(server.url, max_memory=1000)
    assert nvcodec.info(server.url)["file_bytes"] == read_file(server.url).file_bytes == len(data)


@pytest.mark.usefixtures("lazily")
def test_the_command_line_takes_addresses(
    server: Server, data: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.sdmn"
    path.write_bytes(data)
    printed = []
    for file in (str(path), server.url):
        for arguments in (["--start", "400", "--frames", "3"], []):
            assert run(["decode", file, "--md5=frame", *arguments]) == 0
        assert run(["info", file, "--json"]) == 0
        printed.append(capfd.readouterr().out)
    assert printed[0] == printed[1]
    server.ranges.clear()
    assert run(["decode", server.url, "--md5", "--start", "400", "--frames", "1", "--no-verify"]) == 0
    assert sum(count for _, count in server.ranges) < len(data) / 2
    server.ways.add("missing")
    for command in (["decode", "--null"], ["decode", "--null", "--frames", "1"], ["info"]):
        assert run([command[0], server.url, *command[1:]]) == 3
        assert "404" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ("missing", "404"),
        ("no content range", "does not say which bytes"),
        ("short", "another number of bytes|ended early"),
        ("silent", "silent for"),
    ],
)
@pytest.mark.usefixtures("lazily")
def test_what_servers_do_wrong(server: Server, way: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_source, "TIMEOUT", 0.2)
    video = nvcodec.open(server.url, device="cpu")
    server.ways.add(way)
    for attempt in (lambda: nvcodec.open(server.url), lambda: video[333]):
        with pytest.raises(InputError, match=message) as caught:
            attempt()
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith(server.url)


@pytest.mark.usefixtures("lazily")
def test_a_file_that_changes(server: Server, data: bytes) -> None:
    for change in ({"tag": '"2"'}, {"data": data + b"?"}, {"ways": {"whole"}}):
        video = nvcodec.open(server.url, device="cpu")
        before = {name: getattr(server, name) for name in change}
        vars(server).update(change)
        with pytest.raises(InputError, match="has changed"):
            video[333]
        vars(server).update(before)


@pytest.mark.usefixtures("lazily")
def test_redirections(server: Server, data: bytes) -> None:
    moved = server.url.replace("x.sdmn", "moved")
    assert torch.equal(nvcodec.open(moved, device="cpu")[333], Video(data, device="cpu")[333])
    assert HttpSource(moved).url == server.url
    server.ways.add("file")
    with pytest.raises(InputError):
        nvcodec.open(moved)


def test_servers_that_are_not_there(data: bytes) -> None:
    server = Server(data)
    server.server_close()
    with pytest.raises(InputError, match=r"x\.sdmn: cannot read .*refused"):
        nvcodec.open(server.url)
    with pytest.raises(InputError):
        nvcodec.open("http://")
    assert is_url("HTTPS://example.org/x.sdmn")
    assert not is_url("http.sdmn")
    assert not is_url(Path("http://example.org"))
