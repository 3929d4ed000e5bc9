"""Formats of decoded pictures: which, how good, odd sides, sample aspect, standard output."""

from __future__ import annotations

import io
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import moving_squares
from playback import by_ffmpeg, pictures_by_ffmpeg

from nvcodec.errors import UsageError
from nvcodec.video.sinks import open_sink
from nvcodec.video.source import read_clip

TICK = Fraction(1, 25)


def pictures(frames: int = 4, height: int = 34, width: int = 46) -> np.ndarray:
    return moving_squares(frames, height, width).permute(0, 2, 3, 1).contiguous().numpy()


def write(path: Path | str, frames: np.ndarray, **options: object) -> list[str]:
    """Write pictures; returns the notes."""
    _, height, width, _ = frames.shape
    with open_sink(str(path), width=width, height=height, time_base=TICK, fps=1 / TICK, **options) as sink:  # type: ignore[arg-type]
        for index, picture in enumerate(frames):
            sink.put(picture, index, 1)
    return sink.notes


@pytest.mark.parametrize("size", [(34, 46), (33, 47), (33, 46), (16, 17)])
@pytest.mark.parametrize(("name", "least"), [("x.mp4", 34), ("x.mov", 34), ("x.webm", 30), ("x.gif", 28)])
def test_near_pictures(tmp_path: Path, name: str, least: float, size: tuple[int, int]) -> None:
    """Any sides, as both readers see them."""
    original = pictures(4, *size)
    assert write(tmp_path / name, original) == []
    seen = pictures_by_ffmpeg(tmp_path / name, size[1], size[0])
    assert seen.shape == original.shape
    error = np.square(seen.astype(float) - original).mean()
    assert error < 255**2 / 10 ** (least / 10)
    clip = read_clip(tmp_path / name)
    assert (len(clip.frames), clip.height, clip.width) == (4, *size)


@pytest.mark.parametrize("size", [(34, 46), (33, 47), (1, 1)])
@pytest.mark.parametrize("name", ["x.mkv", "x.png"])
def test_exact_pictures(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    original = pictures(1, *size)
    write(tmp_path / name, original)
    assert (pictures_by_ffmpeg(tmp_path / name, size[1], size[0]) == original).all()


def test_codecs(tmp_path: Path) -> None:
    """Chroma of H.264 is subsampled only where both sides are even, as its players want."""
    for name, size, expected in (
        ("x.mp4", (34, 46), ("h264", "yuv420p")),
        ("x.mov", (33, 46), ("h264", "yuv444p")),
        ("x.mp4", (34, 47), ("h264", "yuv444p")),
        ("x.webm", (33, 47), ("vp9", "yuv420p")),
        ("x.mkv", (33, 47), ("ffv1", "bgr0")),
        ("x.gif", (33, 47), ("gif", "bgra")),
    ):
        write(tmp_path / name, pictures(2, *size), overwrite=True)
        with av.open(str(tmp_path / name)) as container:
            context = container.streams.video[0].codec_context
            assert (context.name.replace("libvpx-", ""), context.pix_fmt) == expected


def test_a_gif_has_colours_of_its_own_for_each_picture(tmp_path: Path) -> None:
    """Two pictures with 200 greys and 200 reds: no palette of 256 colours could hold both."""
    ramp = np.arange(200, dtype=np.uint8)[None, :, None]
    frames = np.zeros((2, 2, 200, 3), np.uint8)
    frames[0] = ramp
    frames[1, ..., 0] = ramp[..., 0] + np.uint8(50)
    write(tmp_path / "x.gif", frames)
    seen = pictures_by_ffmpeg(tmp_path / "x.gif", 200, 2)
    assert np.abs(seen.astype(int) - frames).max() <= 1


def test_a_png_file_holds_one_picture(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"x.png holds one picture, and there are more; write a folder/, or choose one by `frames`"
    ):
        write(tmp_path / "x.png", pictures(2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x.mp4", "x.mov", "x.y4m", "x.png", "x.gif"])
def test_the_sample_aspect_is_kept(tmp_path: Path, name: str) -> None:
    frames = pictures(1)
    for aspect in (Fraction(16, 9), Fraction(3, 4)):
        assert write(tmp_path / name, frames, sample_aspect=aspect, overwrite=True) == []
        with av.open(str(tmp_path / name)) as container:
            stream = container.streams.video[0]
            next(container.decode(stream))
            assert stream.sample_aspect_ratio == pytest.approx(aspect, abs=1 / 64 if name == "x.gif" else 0)


@pytest.mark.parametrize("name", ["x.mkv", "x.webm"])
def test_a_sample_aspect_that_is_lost(tmp_path: Path, name: str) -> None:
    (said,) = write(tmp_path / name, pictures(1), sample_aspect=Fraction(16, 9))
    assert said == "shows square samples, because PyAV cannot tell it that theirs is not 1:1"


@pytest.mark.parametrize("name", ["x.mp4", "x.gif", "x.mkv", "x.webm"])
def test_square_samples_need_no_note(tmp_path: Path, name: str) -> None:
    assert write(tmp_path / name, pictures(2)) == []


@pytest.mark.parametrize("name", ["x.y4m", "x.rgb", "x.png", "x.gif", "frames/"])
def test_times_that_cannot_be_kept(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"`keep_times=True` needs a format that has times: .mkv, .mov, .mp4, .webm"):
        write(tmp_path / name, pictures(1), keep_times=True)


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def test_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """y4m, or raw RGB if asked for, to the byte what a file has; never to a terminal."""
    frames = pictures(2)
    for output_format in (None, "rgb"):
        caught = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(caught))
        write("-", frames, output_format=output_format)
        write(tmp_path / "x.y4m", frames, output_format=output_format, overwrite=True)
        assert caught.getvalue() == (tmp_path / "x.y4m").read_bytes()
    assert caught.getvalue() == frames.tobytes()
    monkeypatch.setattr(sys, "stdout", Terminal(io.BytesIO()))
    with pytest.raises(UsageError, match="standard output is a terminal"):
        write("-", frames)


def test_y4m_as_ffmpeg_sees_it(tmp_path: Path) -> None:
    """4:4:4 rounded once: no channel off by more than what half a level of YUV makes, and none darker on average."""
    original = pictures(3, 33, 47)
    write(tmp_path / "x.y4m", original)
    assert by_ffmpeg(tmp_path / "x.y4m").times == [0, TICK, 2 * TICK]
    error = pictures_by_ffmpeg(tmp_path / "x.y4m", 47, 33).astype(float) - original
    assert np.abs(error).max() <= 3
    assert np.abs(error.mean((0, 1, 2))).max() < 0.6  # of which ffmpeg's own conversion has most
