"""Encodes of several segments: the file is its segments, encoded by themselves, whoever encodes them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import few_crops, write_clip
from shots import joined
from sounding import packets_of, write_sounding

import nvcodec
from nvcodec.decoding.decoded_video import Video
from nvcodec.encoding.encode_config import EncodeConfig
from nvcodec.encoding.encoded import Encoded
from nvcodec.encoding.fit.fit_loop import Progress
from nvcodec.encoding.segments import executors, segment_task
from nvcodec.encoding.segments.executors import Processes
from nvcodec.encoding.segments.segment_assembly import with_equal_layers
from nvcodec.encoding.verification import _same
from nvcodec.errors import Interrupted, NvcodecError, UsageError
from nvcodec.format.extras import extras_of
from nvcodec.format.stream import Segment
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.units import Order
from nvcodec.metrics import psnr
from nvcodec.video.clip import Clip

FPS = Fraction(2)  # 20 seconds are 40 frames
LENGTHS = (12, 20, 16)
CLIP = joined(*LENGTHS)
STARTS = [0, 12, 32]
FAST = {"preset": "draft", "steps": 20, "rd_lambda": 0.0, "device": "cpu"}


@pytest.fixture(autouse=True, scope="module")
def fast() -> Iterator[None]:
    with few_crops():
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("source") / "x.mkv", CLIP, FPS)


@pytest.fixture(scope="module")
def encoded(source: Path) -> Encoded:
    return encode(source)


def encode(source: Any, output: Path | None = None, **options: Any) -> Encoded:
    return nvcodec.encode(source, output, **{**FAST, **options})


def alone(source: Path, first: int, frames: int, **options: Any) -> Segment:
    """The segment of an encode of some frames by themselves."""
    stream = read_stream(encode(source, start=first, frames=frames, segment="none", **options).data)
    return with_equal_layers(stream.segments[0])


def test_a_file_is_its_segments(source: Path, encoded: Encoded) -> None:
    stream = read_stream(encoded.data)
    assert (stream.video.order, stream.version, stream.layers) == (Order.BY_SEGMENT, (1, 2), 2)
    for segment, first, frames in zip(stream.segments, STARTS, LENGTHS, strict=True):
        expected = alone(source, first, frames)
        assert _same(dataclasses.replace(segment, head=expected.head), expected)
        assert segment.head == dataclasses.replace(expected.head, first_frame=first)
    assert stream.ticks == read_stream(encode(source, segment="none", steps=1).data).ticks


def test_what_is_known_of_it(encoded: Encoded) -> None:
    stream = read_stream(encoded.data)
    video = Video(stream, device="cpu")
    quality = sum(map(psnr, video, CLIP)) / len(CLIP)
    assert encoded.psnr == pytest.approx(quality, abs=1e-4)
    assert stream.metadata["psnr_rgb_1"] == pytest.approx(quality, abs=0.01)
    assert stream.metadata["av1"] == [35, 8]
    assert (encoded.frames, encoded.width, encoded.height, encoded.crf) == (48, 64, 48, 35.0)
    assert encoded.parameters == stream.parameters
    assert {"reading", "AV1", "fitting", "writing"} <= set(encoded.seconds)


def test_a_segment_without_a_network(source: Path) -> None:
    """It has the same pictures through a layer that changes nothing."""
    data = encode(source, rd_lambda=20.0).data
    stream = read_stream(data)
    assert (stream.layers, stream.parameters) == (2, 0)
    video, below = Video(stream, device="cpu"), Video(stream, device="cpu", layers=1)
    assert all(torch.equal(a, b) for a, b in zip(video, below, strict=True))
    assert all(len(segment.layers[1].checksums) for segment in stream.segments)
    ten_bits = read_stream(encode(source, rd_lambda=20.0, bits=10).data)
    assert len(list(Video(ten_bits, device="cpu"))) == len(CLIP)


def test_a_short_source_is_what_it_was(tmp_path: Path) -> None:
    """Up to 20 seconds, however many scenes, and from Python too."""
    path = write_clip(tmp_path / "x.mkv", joined(12, 20, 8), FPS)
    for source in (path, joined(12, 20, 8)):
        fps = None if source is path else FPS
        assert encode(source, fps=fps).data == encode(source, fps=fps, segment="none").data


def test_frames_from_python(source: Path, encoded: Encoded) -> None:
    clip = Clip(CLIP, [(500 * number, 500) for number in range(len(CLIP))], Fraction(1, 1000))
    stream, expected = read_stream(encode(clip).data), read_stream(encoded.data)
    assert [segment.head for segment in stream.segments] == [segment.head for segment in expected.segments]
    assert len(read_stream(encode(iter(CLIP), fps=FPS).data).segments) == 3


def test_segments_of_a_given_length(source: Path) -> None:
    stream = read_stream(encode(source, segment=7.5).data)
    assert [segment.head.frames for segment in stream.segments] == [15, 15, 18]
    assert len(read_stream(encode(source, segment="none").data).segments) == 1


def test_the_file_is_valid_after_each_segment(source: Path, tmp_path: Path) -> None:
    """It grows under a temporary name, which is all that there is until it is complete."""
    seen: list[int] = []
    out = tmp_path / "x.sdmn"

    def look(progress: Progress) -> None:
        assert progress.phase == "segments" and not out.exists()
        growing = [path for path in tmp_path.iterdir() if path.name.endswith("nvcodec-part")]
        data = growing[0].read_bytes()
        seen.append(read_stream(data).frames)
        assert seen[-1] == progress.step

    data = encode(source, out, progress=look).data
    assert seen == [12, 32, 48]
    assert [path.name for path in tmp_path.iterdir()] == ["x.sdmn"]
    assert out.read_bytes() == data


def test_temporary_files_do_not_grow(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all pictures in files: those of the segment that is encoded, and the beginning of the next one."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    held: list[int] = []

    def count(task: Any) -> Encoded:
        files = []
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):  # that of the list itself
                files.append(os.readlink(f"/proc/self/fd/{number}"))
        held.append(sum(name.startswith(f"{tmp_path}/") for name in files))
        return segment_task.encode_segment(task)

    monkeypatch.setattr(executors, "encode_segment", count)
    clip = write_clip(tmp_path / "long.mkv", joined(*[10] * 12), FPS)
    encode(clip, steps=1, max_memory=1)
    assert len(held) == 12
    assert max(held[3:]) <= 2 + 3  # and the growing file, and the source, read for its pictures and for its sound


# ---- several processes -----------------------------------------------------------------------------------------------


def test_jobs(source: Path) -> None:
    """Two processes make the same file as one."""
    options: dict[str, Any] = {"steps": 3}
    with few_crops(4096):  # which the other processes do not know of
        assert encode(source, jobs=2, **options).data == encode(source, **options).data


def kill_once(monkeypatch: pytest.MonkeyPatch, times: int) -> list[int]:
    """Let the processes that encode the first segment be killed so often."""
    killed: list[int] = []
    submit = Processes.submit

    def submit_and_kill(self: Processes, task: Any, tries: int = 1) -> None:
        before = set(self.process_ids)
        submit(self, task, tries)
        if task.number == 0 and len(killed) < times:
            (process,) = set(self.process_ids) - before
            killed.append(process)
            os.kill(process, signal.SIGKILL)

    monkeypatch.setattr(Processes, "submit", submit_and_kill)
    return killed


def test_a_killed_process(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its segment is encoded by another one; but not for ever."""
    options: dict[str, Any] = {"steps": 3, "rd_lambda": 20.0}
    with few_crops(4096):
        expected = encode(source, **options).data
    killed = kill_once(monkeypatch, 1)
    assert encode(source, jobs=2, **options).data == expected
    assert len(killed) == 1
    killed = kill_once(monkeypatch, 9)
    with pytest.raises(NvcodecError, match="the process that encoded segment 0 was killed"):
        encode(source, jobs=2, **options)
    assert len(killed) == 1 + executors.RETRIES


def test_an_error_in_a_segment_ends_the_encode(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(task: Any) -> Encoded:
        if task.number == 1:
            raise UsageError("it cannot be")
        return segment_task.encode_segment(task)

    monkeypatch.setattr(executors, "encode_segment", fail)
    with pytest.raises(UsageError, match="it cannot be"):
        encode(source, tmp_path / "x.sdmn")
    assert not (tmp_path / "x.sdmn").exists()


# ---- interruption ----------------------------------------------------------------------------------------------------


def interrupt_at(number: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Press Ctrl-C when the encode of a segment begins; returns a list of those that are encoded."""
    begun: list[int] = []

    def encode_segment(task: Any) -> Encoded:
        begun.append(task.number)
        if task.number == number and begun.count(number) == 1:
            signal.raise_signal(signal.SIGINT)
            raise KeyboardInterrupt
        return segment_task.encode_segment(task)

    monkeypatch.setattr(executors, "encode_segment", encode_segment)
    return begun


def test_resume(source: Path, encoded: Encoded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "x.sdmn"
    begun = interrupt_at(2, monkeypatch)
    with pytest.raises(Interrupted, match=r"goes on with the finished segments in .*x\.sdmn\.segments"):
        encode(source, out)
    assert not out.exists()
    kept = sorted((tmp_path / "x.sdmn.segments").iterdir())
    assert [path.name[:8] for path in kept] == ["00000000", "00000012"]
    for path, first in zip(kept, STARTS, strict=False):  # ordinary files
        assert torch.equal(
            Video(read_stream(path.read_bytes()), device="cpu")[0], Video(read_stream(encoded.data))[first]
        )
    with pytest.raises(UsageError, match="`resume=True` goes on with it, `overwrite=True` starts anew"):
        encode(source, out)
    assert encode(source, out, resume=True).data == encoded.data
    assert begun == [0, 1, 2, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["x.sdmn"]


def test_only_what_fits_is_used_again(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of other options, other frames, or that are damaged, are encoded anew."""
    out = tmp_path / "x.sdmn"
    for change in ("options", "damage"):
        begun = interrupt_at(2, monkeypatch)
        with pytest.raises(Interrupted):
            encode(source, out, overwrite=True)
        first, second = sorted((tmp_path / "x.sdmn.segments").iterdir())
        if change == "damage":
            first.write_bytes(first.read_bytes()[:-3])
        options = {"crf": 50.0} if change == "options" else {}
        assert encode(source, out, resume=True, overwrite=True, **options).data == encode(source, **options).data
        assert begun[3:][: 3 if change == "options" else 2] == ([0, 1, 2] if change == "options" else [0, 2])
        assert second


def test_what_is_finished_is_written(
    source: Path, encoded: Encoded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(2, monkeypatch)
    part = encode(source, tmp_path / "x.sdmn", on_interrupt="write")
    assert part.interrupted and part.frames == 32
    assert torch.equal(Video(read_stream(part.data))[:], Video(read_stream(encoded.data))[:32])
    assert [path.name for path in tmp_path.iterdir()] == ["x.sdmn"]


# ---- what travels beside the pictures --------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_sound_across_segments(tmp_path: Path, suffix: str) -> None:
    """All packets with their bytes and times, in units of their own before each segment's pictures."""
    codec = {".mkv": "subrip", ".mp4": "mov_text"}[suffix]
    path = write_sounding(tmp_path / f"x{suffix}", frames=80, seconds=3.2, subtitles=codec)
    data = encode(path, segment=1.0, steps=1).data
    stream, whole = read_stream(data), read_stream(encode(path, segment="none", steps=1).data)
    assert len(stream.segments) == 3
    assert len(stream.track_units) > 4
    (extras, note), (expected, _) = extras_of(stream), extras_of(whole)
    assert (extras, note) == (expected, "")
    assert [bytes(packet.data) for packet in extras.tracks[0].packets] == [data for _, data in packets_of(path)]
    kinds = [unit.type for unit in stream.units]
    assert kinds.index("SEGMENT") < len(kinds) - kinds[::-1].index("AUDIO")
    options: dict[str, Any] = {"steps": 1, "start": 20, "frames": 50, "audio": False}
    part, expected = (extras_of(read_stream(encode(path, segment=cut, **options).data))[0] for cut in (1.0, "none"))
    # A track is there before it is known whether any of its packets belongs to the part.
    heard = tuple(track for track in part.tracks if track.packets)
    assert dataclasses.replace(part, tracks=heard) == expected


# ---- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"segment": "some"}, "`segment` is auto, none or a number of seconds"),
        ({"segment": 0.01}, "`segment` takes 0.1 to 600 seconds, got 0.01"),
        ({"jobs": 0}, "`jobs` takes 1 to 256, got 0"),
        ({"segment": 5.0, "weights": "masks"}, "`segment` cuts a video into parts, and `weights` would hold for all"),
        ({"segment": 5.0, "target_size": [1000, 2000]}, "several target sizes would hold for all"),
        ({"segment": 5.0, "size": "9k", "z_gain": 1.0}, "`z_gain` would hold for all"),
        ({"segment": 5.0, "size": "9k,9k"}, "several layers would hold for all"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        EncodeConfig(**options)


def test_options_for_all_frames_make_one_segment(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stream = read_stream(encode(source, loss=lambda a, b, frames: (a - b).square().mean()).data)
    assert len(stream.segments) == 1
    assert "is one segment, in memory all at once, because of a loss of your own" in capsys.readouterr().err


# ---- targets of the whole --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"target_size": 9000}, {"bitrate": 9000 * 8 / 24}])
def test_a_size(source: Path, options: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """One rate factor for all segments, and the whole file has the size."""
    made = encode(source, **options)
    assert made.on_size and made.target_bytes == 9000
    stream = read_stream(made.data)
    assert len(stream.segments) == 3
    same = read_stream(encode(source, crf=made.crf).data)
    assert _same(stream.segments, same.segments)


def test_a_quality(source: Path) -> None:
    made = encode(source, target_psnr=30.0)
    assert 30.0 <= made.psnr <= 30.1
    assert len(read_stream(made.data).segments) == 3


def test_a_size_counts_the_sound(tmp_path: Path) -> None:
    path = write_sounding(tmp_path / "x.mkv", "libmp3lame", frames=80, seconds=3.2)
    made = encode(path, segment=1.0, steps=1, target_size=60_000)
    assert made.on_size
    assert extras_of(read_stream(made.data))[0].tracks[0].bytes > 10_000


def test_networks_alone_share_a_size(source: Path) -> None:
    """By their frames; and one size of the file."""
    network: dict[str, Any] = {"preset": None, "rd_lambda": None, "steps": 40}
    stream = read_stream(encode(source, size="30k", **network).data)
    parameters = [sum(layer.parameters for layer in segment.layers) for segment in stream.segments]
    for count, frames in zip(parameters, LENGTHS, strict=True):
        assert count == pytest.approx(30_000 * frames / sum(LENGTHS), rel=0.05)
    sized = encode(source, base="none", target_size=30_000, **network)
    assert 0.97 * 30_000 <= len(sized.data) <= 30_000


def test_time_is_shared(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []

    def encode_segment(task: Any) -> Encoded:
        limits.append(task.config.time_limit)
        unlimited = dataclasses.replace(task.config, time_limit=None, steps=1)
        return segment_task.encode_segment(dataclasses.replace(task, config=unlimited))

    monkeypatch.setattr(executors, "encode_segment", encode_segment)
    encode(source, time_limit=10_000.0)
    for limit, share in zip(limits, (12 / 48, 20 / 36, 1), strict=True):
        assert limit == pytest.approx(10_000 * share, rel=0.02)


def test_what_cannot_be_known(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="`time_limit` and a target do not go together with several segments"):
        encode(source, time_limit=99.0, target_size=4000)
    with open(source, "rb") as file, monkeypatch.context() as patch:
        patch.setattr("sys.stdin", SimpleNamespace(buffer=file, isatty=lambda: False))
        with pytest.raises(UsageError, match="standard input of more than 20 seconds can be read only once"):
            encode("-", target_size=4000)
