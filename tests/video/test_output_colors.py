"""Colours of what the outputs write: values against a float reference, and tags that are those of the pixels."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from conftest import moving_squares
from playback import ffmpeg

from nvcodec.video.clip import Color
from nvcodec.video.color_tags import tags_of_yuv
from nvcodec.video.sinks import open_sink
from nvcodec.video.yuv import LUMA_WEIGHTS, frame_to_planes, yuv420_to_rgb

PQ = Color(9, 16, 9, 1)
#: What a source declares, and what is written for it: primaries, transfer, matrix.
TAGS = {
    "nothing": (Color(), (1, 1, 1)),
    "BT.709": (Color(1, 1, 1, 1), (1, 1, 1)),
    "BT.601": (Color(6, 6, 6, 2), (6, 6, 6)),
    "the matrix of BT.601 alone": (Color(matrix=5), (2, 2, 5)),
    "BT.2020 and PQ": (PQ, (9, 16, 9)),
    "BT.2020 and HLG, constant luminance": (Color(9, 18, 10, 1), (9, 18, 9)),
    "sRGB": (Color(1, 13, 0, 2), (1, 13, 1)),
    "Display P3": (Color(12, 13, 2, 0), (12, 13, 1)),
    "what H.273 does not define": (Color(3, 200, 77, 0), (1, 1, 1)),
}


def write(path: Path, pictures: np.ndarray, color: Color) -> Path:
    """Write pictures, uint8 [frames, height, width, 3]."""
    _, height, width, _ = pictures.shape
    with open_sink(
        str(path), width=width, height=height, time_base=Fraction(1, 25), fps=Fraction(25), color=color, overwrite=True
    ) as sink:
        for index, picture in enumerate(pictures):
            sink.put(picture, index, 1)
    return path


def tags(path: Path) -> tuple[int, int, int, int]:
    """Primaries, transfer, matrix and range of the first frame."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        return frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range


def shown(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def patches() -> np.ndarray:
    """Pictures of one colour each: greys, corners of the cube, and colours between."""
    levels = [(value,) * 3 for value in range(0, 256, 15)]
    levels += [(r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255)]
    levels += np.random.default_rng(3).integers(0, 256, (24, 3)).tolist()
    colours = np.array(levels, np.uint8)
    return np.broadcast_to(colours[:, None, None], (len(colours), 16, 34, 3)).copy()


def reference(rgb: np.ndarray, matrix: int) -> np.ndarray:
    """Y, Cb and Cr of colours [..., 3], 0 to 255, limited range, in levels of 8 bits, not rounded."""
    kr, kb = LUMA_WEIGHTS[matrix]
    red, green, blue = np.moveaxis(rgb.astype(float) / 255, -1, 0)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    return np.stack([16 + 219 * luma, 128 + 112 * (blue - luma) / (1 - kb), 128 + 112 * (red - luma) / (1 - kr)])


@pytest.mark.parametrize("name", ["x.mp4", "x.mov", "x.webm"])
@pytest.mark.parametrize("source", TAGS)
def test_tags_of_yuv(tmp_path: Path, source: str, name: str) -> None:
    color, (primaries, transfer, matrix) = TAGS[source]
    path = write(tmp_path / name, patches()[:2], color)
    assert tags(path) == (primaries, transfer, matrix, 1)


def test_tags_as_ffmpeg_reads_them(tmp_path: Path) -> None:
    _, said = ffmpeg(["-i", write(tmp_path / "x.mp4", patches()[:2], PQ), "-f", "null", "-"])
    assert "yuv420p(tv, bt2020nc/bt2020/smpte2084" in said


@pytest.mark.parametrize("name", ["x.mkv", "frames"])
@pytest.mark.parametrize("source", TAGS)
def test_tags_of_exact_pictures(tmp_path: Path, source: str, name: str) -> None:
    """Red, green and blue as they are: no matrix but the identity; nothing is made up."""
    color = TAGS[source][0]
    path = write(tmp_path / name, patches()[:1], color)
    known = (color.primaries, color.transfer) if color.primaries != 3 else (2, 2)
    assert tags(path / "00000.png" if path.is_dir() else path) == (*known, 0, 2)


@pytest.mark.parametrize("source", ["nothing", "BT.601", "BT.2020 and PQ"])
def test_values_of_an_mp4(tmp_path: Path, source: str) -> None:
    """Flat pictures pass the encoder as they are, so that only the conversion counts: half a level at most."""
    color, (_, _, matrix) = TAGS[source]
    pictures = patches()
    worst = np.zeros(3)
    for picture, frame in zip(pictures, shown(write(tmp_path / "x.mp4", pictures, color)), strict=True):
        (y, cb, cr), _ = frame_to_planes(frame)
        wanted = reference(picture[0, 0], matrix)
        means = np.array([plane.mean() for plane in (y, cb, cr)])
        worst = np.maximum(worst, np.abs(means - wanted))
    assert worst.max() <= 0.5 + 0.15, worst  # the encoder itself is not exact


def test_pictures_of_an_mp4_are_not_darker(tmp_path: Path) -> None:
    """The mean of each channel over a picture with shades and edges, decoded in floating point by the file's tags."""
    pictures = moving_squares(3, 96, 128).permute(0, 2, 3, 1).contiguous().numpy()
    for color in (Color(), PQ, Color(6, 6, 6, 1)):
        frames = shown(write(tmp_path / "x.mp4", pictures, color))
        decoded = torch.stack([yuv420_to_rgb(*frame_to_planes(frame), frame.colorspace) for frame in frames])
        error = decoded.permute(0, 2, 3, 1).double().numpy() - pictures
        assert np.abs(error.mean((0, 1, 2))).max() < 0.15


def test_chroma_lies_where_the_mp4_says(tmp_path: Path) -> None:
    """FFmpeg's ``center`` is type 1 of H.264's chroma_sample_loc_type."""
    _, said = ffmpeg(["-i", write(tmp_path / "x.mp4", patches()[:2], Color()), "-vf", "showinfo", "-f", "null", "-"])
    assert said.count(" cl:center ") == 2


def test_matrix_of_yuv() -> None:
    assert tags_of_yuv(Color(9, 16, 2, 0)) == Color(9, 16, 9, 1)
    assert tags_of_yuv(Color(1, 1, 0, 2)) == Color(1, 1, 1, 1)
    assert all(tags_of_yuv(Color(matrix=matrix)).matrix == matrix for matrix in LUMA_WEIGHTS)
