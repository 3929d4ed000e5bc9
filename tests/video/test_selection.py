"""Which part of a source is read: by frame numbers and times, with and without seeking; sizes; interlaced frames."""

from __future__ import annotations

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

from nvcodec.errors import InputError, UsageError
from nvcodec.video import video_file
from nvcodec.video.deinterlacing import deinterlaced
from nvcodec.video.selection import Selection, parse_moment
from nvcodec.video.source import read_clip
from nvcodec.video.source_frame import SourceFrame
from nvcodec.video.video_file import VideoFile

FRAMES = 60
FORMATS = ["x.mp4", "x.mkv", "x.ts", "x.avi", "x.flv", "x.y4m"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of films of 60 frames at 25 frames/s, a key frame every 12; frame n has luma 16 + 3 n."""
    folder = tmp_path_factory.mktemp("videos")
    for name in FORMATS:
        codec = {".avi": "ffv1", ".y4m": "wrapped_avframe"}.get(name[1:], "libx264")
        with av.open(str(folder / name), "w") as container:
            options = {"g": "12", "x264-params": "bframes=2:b-adapt=0:scenecut=0", "qscale": "2"}
            stream = container.add_stream(codec, rate=25, options=options)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            for number in range(FRAMES):
                planes = np.full((48, 32), 128, np.uint8)
                planes[:32] = 16 + 3 * number
                frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return folder


def numbers(path: Path | str, selection: Selection) -> list[int]:
    """The numbers of the frames that are read, by their shade."""
    return [round(float(frame.float().mean()) * 219 / 255 / 3) for frame in read_clip(path, selection).frames]


SELECTIONS = [
    (Selection(start=0, frames=2), [0, 1]),
    (Selection(start=37, frames=3), [37, 38, 39]),
    (Selection(start=36, end=38), [36, 37]),
    (Selection(start=58), [58, 59]),
    (Selection(start=1.2, frames=2), [30, 31]),
    (Selection(start=Fraction(61, 50), duration=0.1), [31, 32, 33]),
    (Selection(end=0.08), [0, 1]),
    (Selection(start=0.04, end=0.13, every=2), [1, 3]),
    (Selection(duration=0.12), [0, 1, 2]),
    (Selection(start=2, end=9, every=3), [2, 5, 8]),
]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("selection", "expected"), SELECTIONS, ids=range(len(SELECTIONS)))
def test_parts(videos: Path, name: str, selection: Selection, expected: list[int]) -> None:
    assert numbers(videos / name, selection) == expected


@pytest.mark.parametrize("name", FORMATS)
def test_times_of_a_part(videos: Path, name: str) -> None:
    whole, part = read_clip(videos / name), read_clip(videos / name, Selection(start=40, frames=5))
    assert part.time_base == whole.time_base
    assert part.ticks == whole.ticks[40:45]
    with pytest.raises(InputError, match="no frame is left to read"):
        read_clip(videos / name, Selection(start=60))
    with pytest.raises(InputError, match="no frame is left to read"):
        read_clip(videos / name, Selection(start=2.4))


@pytest.mark.parametrize("start", [38, 1.52])
@pytest.mark.parametrize("name", ["x.mp4", "x.mkv"])
def test_the_start_is_sought(videos: Path, monkeypatch: pytest.MonkeyPatch, name: str, start: float) -> None:
    """From a key frame not far before it on; nothing before the start is converted."""
    decoded = converted = 0
    original, convert = video_file.VideoFile._decoded, SourceFrame.picture

    def count(self: video_file.VideoFile, *arguments: object) -> Iterator[av.VideoFrame]:
        nonlocal decoded
        for frame in original(self, *arguments):  # type: ignore[arg-type]
            decoded += 1
            yield frame

    def count_conversion(self: SourceFrame, bits: int) -> torch.Tensor:
        nonlocal converted
        converted += 1
        return convert(self, bits)

    monkeypatch.setattr(video_file.VideoFile, "_decoded", count)
    monkeypatch.setattr(SourceFrame, "picture", count_conversion)
    assert numbers(videos / name, Selection(start=start, frames=2)) == [38, 39]
    assert converted == 2
    assert 3 <= decoded <= 20  # one more frame ends the last one


def test_pictures_by_time(tmp_path: Path) -> None:
    for number in range(6):
        with av.open(str(tmp_path / f"{number}.png"), "w", format="image2") as container:
            stream = container.add_stream("png", rate=25)
            stream.width, stream.height, stream.pix_fmt = 24, 16, "rgb24"
            picture = np.full((16, 24, 3), 40 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
    clip = read_clip(tmp_path, Selection(start=0.2, duration=0.2), fps=Fraction(10))
    assert clip.frames[:, 0, 0, 0].tolist() == [80, 120]
    assert read_clip(tmp_path, Selection(start=4)).frames[:, 0, 0, 0].tolist() == [160, 200]


def test_moments() -> None:
    texts = ("0", "1500", "90s", "1.5", ".5s", "1:30.5", "1:02:03", "0:10", "1m", "", "-1", "1:", "s", "1e3")
    expected = [0, 1500, 90, Fraction(3, 2), Fraction(1, 2), Fraction(181, 2), 3723, 10, *[None] * 6]
    assert [parse_moment(text) for text in texts] == expected
    assert [type(parse_moment(text)) for text in ("90", "90s")] == [int, Fraction]


@pytest.mark.parametrize(
    "options",
    [
        {"frames": 3, "duration": 1.0},
        {"duration": 0},
        {"start": -1},
        {"start": 5, "end": 5},
        {"start": 5, "end": 7.5},
        {"start": 5.0, "end": 7},
        {"end": 0},
    ],
)
def test_contradictions(options: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Selection(**options)  # type: ignore[arg-type]


def test_a_side_that_follows_from_the_other() -> None:
    assert Selection(scale=(320, -1)).size_for(1280, 720) == (320, 180)
    assert Selection(scale=(320, -1)).size_for(1000, 333) == (320, 106)  # 106.56
    assert Selection(scale=(-1, 100)).size_for(854, 480) == (178, 100)  # 177.9
    assert Selection(scale=(-1, 50), crop=(400, 100)).size_for(854, 480) == (200, 50)
    assert Selection(scale=(30, 20)).size_for(854, 480) == (30, 20)
    assert Selection().size_for(854, 480) is None


def test_small_sides_are_told_from_the_first_frame(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted: list[SourceFrame] = []
    convert = SourceFrame.picture
    monkeypatch.setattr(SourceFrame, "picture", lambda self, bits: (converted.append(self), convert(self, bits))[1])
    with pytest.raises(InputError, match="at least 16"):
        read_clip(videos / "x.mp4", Selection(scale=(16, 15)))
    assert len(converted) == 1


# ---- interlaced ------------------------------------------------------------------------------------------------------


@pytest.fixture
def interlaced(tmp_path: Path) -> Path:
    """A bar that moves by 4 pixels per frame, 2 per field."""
    path = tmp_path / "interlaced.mkv"
    with av.open(str(path), "w") as container:
        options = {"flags": "+ildct+ilme", "x264-params": "tff=1", "qp": "0"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.colorspace = 1
        for number in range(6):
            planes = np.full((96, 64), 128, np.uint8)
            planes[:64] = 16
            planes[0:64:2, 4 * number : 4 * number + 8] = 235
            planes[1:64:2, 4 * number + 2 : 4 * number + 10] = 235
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_interlaced(interlaced: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rows of a frame agree afterwards; number, times and colours of the frames stay."""
    clip = read_clip(interlaced)
    assert capsys.readouterr().err == f"note: {interlaced}: interlaced frames are deinterlaced\n"
    raw = read_clip(interlaced, Selection(deinterlace=False))
    assert capsys.readouterr().err == ""
    assert (clip.ticks, clip.time_base, clip.color) == (raw.ticks, raw.time_base, raw.color)
    assert len(clip.frames) == 6
    assert clip.color.matrix == 1
    for clean, fields in zip(clip.frames[1:-1].int(), raw.frames[1:-1].int(), strict=True):
        assert (fields[:, 20] - fields[:, 21]).abs().max() == 255
        assert (clean[:, 20] - clean[:, 21]).abs().max() < 3
        # One field stays as it is.
        assert any(torch.equal(clean[:, first::2], fields[:, first::2]) for first in (0, 1))


def test_progressive_frames_between_interlaced_ones_stay(interlaced: Path, tmp_path: Path) -> None:
    """Also the last one, which the filter gives at the end only."""
    with av.open(str(tmp_path / "plain.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for number in range(3):
            planes = np.random.default_rng(number).integers(16, 235, (96, 64), np.uint8)
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    fields, plain = (list(VideoFile(path).frames()) for path in (interlaced, tmp_path / "plain.mkv"))
    mixed = [plain[0], fields[0], fields[1], plain[1], fields[2], plain[2]]
    found: list[None] = []
    results = list(deinterlaced(mixed, lambda: found.append(None)))
    assert len(found) == 1
    assert [result.time for result in results] == [frame.time for frame in mixed]
    same = [torch.equal(a.picture(), b.picture()) for a, b in zip(results, mixed, strict=True)]
    assert same == [True, False, False, True, False, True]


# ---- standard input --------------------------------------------------------------------------------------------------

READ = "import sys\nfrom nvcodec.video.source import read_clip\nprint(len(read_clip('-').frames))"


@pytest.mark.parametrize("name", ["x.y4m", "x.mkv", "x.ts"])
def test_standard_input(videos: Path, name: str) -> None:
    """A pipe, in which nothing can be sought."""
    done = subprocess.run([sys.executable, "-c", READ], input=(videos / name).read_bytes(), capture_output=True)
    assert done.stdout.decode().strip() == str(FRAMES)
    assert done.stderr == b""


def test_a_terminal_is_no_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    with pytest.raises(UsageError, match="standard input is a terminal"):
        read_clip("-")


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), (0, None)),
        (Selection(start=3, frames=4), (3, 7)),
        (Selection(start=3, end=9), (3, 9)),
        (Selection(start=0.5), (5, None)),
        (Selection(start=0.51), (6, None)),
        (Selection(start=2, duration=1.0), (2, 12)),
        (Selection(start=0.5, end=Fraction(3, 2)), (5, 15)),
    ],
)
def test_numbers_at_a_constant_frame_rate(selection: Selection, expected: tuple[int, int | None]) -> None:
    assert selection.numbers(Fraction(10)) == expected


def test_how_many_frames_to_expect() -> None:
    assert Selection(start=2, frames=9, every=4).expected(10, Fraction(10)) == 2
    assert Selection(start=0.5).expected(10, Fraction(10)) == 5
    assert Selection(start=5).expected(0, Fraction(10)) == Selection(start=50).expected(10, Fraction(10)) == 0


PARTS = [
    (Selection(), {}),
    (
        Selection(crop=(64, 32), scale=(32, -1), frames=7, every=2),
        {"crop": [64, 32], "scale": [32, -1], "frames": 7, "every": 2},
    ),
    (Selection(start=Fraction(181, 2), duration=2.5), {"start": 90.5, "duration": 2.5}),
    (Selection(start=3, end=9, deinterlace=False), {"start": 3, "end": 9, "deinterlace": False}),
    (Selection(start=3.0), {"start": 3.0}),
]


@pytest.mark.parametrize(("selection", "said"), PARTS)
def test_what_a_file_states_of_its_part(selection: Selection, said: dict[str, Any]) -> None:
    assert selection.stated == said
    back = Selection.from_stated(json.loads(json.dumps(said)))
    assert back == selection
    assert type(back.start) is (int if isinstance(selection.start, int) else float)


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {"every": 0},
        {"every": True},
        {"every": 2.0},
        {"frames": -1},
        {"start": float("nan")},
        {"start": 10**400},
        {"end": "soon"},
        {"crop": [1]},
        {"crop": [1, 2.0]},
        {"scale": 5},
        {"deinterlace": 0},
        {"other": 1},
        {"start": 3, "other": 1},
        {"frames": 3, "end": 4},
    ],
)
def test_what_a_file_states_may_be_nonsense(said: object) -> None:
    assert Selection.from_stated(said) == Selection()
