"""Pictures of 10 bits: read from files and Python, and written; the values, types and tags."""

from __future__ import annotations

import hashlib
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from playback import ffmpeg

from nvcodec.errors import UsageError
from nvcodec.samples import rounded, with_bits
from nvcodec.video.clip import Clip, Color, steady
from nvcodec.video.pictures import as_clip
from nvcodec.video.selection import Selection
from nvcodec.video.sinks import Md5Sink, open_sink
from nvcodec.video.source import read_clip
from nvcodec.video.yuv import rgb_to_yuv420, yuv420_to_rgb

PQ = Color(9, 16, 9, 1)


def every_level(height: int = 32, width: int = 96) -> np.ndarray:
    """Two pictures [2, height, width, 3] that have all of 0 to 1023 in each colour; 32 x 96 pixels hold them thrice."""
    ramp = np.arange(height * width) % 1024
    return (
        np.stack([np.stack([ramp, ramp[::-1], np.roll(ramp, shift)], 1) for shift in (7, 300)])
        .reshape(2, height, width, 3)
        .astype(np.uint16)
    )


def smooth(height: int = 34, width: int = 46) -> np.ndarray:
    """Two pictures of slopes that 8 bits would band."""
    rows, columns = np.mgrid[:height, :width]
    first = np.stack([300 + columns, 520 + rows, 700 - rows - columns], 2)
    return np.stack([first, first + 5]).astype(np.uint16)


def write(path: Path, pictures: np.ndarray, **options: object) -> Path:
    _, height, width, _ = pictures.shape
    about = {"time_base": Fraction(1, 25), "fps": Fraction(25), "bits": 10, **options}
    with open_sink(str(path), width=width, height=height, **about) as sink:  # type: ignore[arg-type]
        for index, picture in enumerate(pictures):
            sink.put(picture, index, 1)
    return path


def frames_of(path: Path, **options: int) -> np.ndarray:
    return read_clip(path, Selection(**options)).frames[:].permute(0, 2, 3, 1).numpy()  # type: ignore[arg-type]


# ---- samples ---------------------------------------------------------------------------------------------------------


def test_rounding() -> None:
    levels = torch.tensor([-3.0, 0.49, 0.5, 511.5, 1022.5, 1023.4, 2000.0])
    assert rounded(levels.clone(), 10).tolist() == [0, 0, 1, 512, 1023, 1023, 1023]
    assert rounded(levels.clone(), 8).tolist() == [0, 0, 1, 255, 255, 255, 255]


def test_other_bits() -> None:
    """To 8 bits the nearest, to 10 and back the same."""
    every = torch.arange(1024, dtype=torch.int32).to(torch.uint16)
    assert with_bits(every, 8).tolist() == [(2 * 255 * level + 1023) // 2046 for level in range(1024)]
    assert with_bits(every, 10) is every
    bytes_ = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(with_bits(with_bits(bytes_, 10), 8), bytes_)
    assert with_bits(bytes_, 10)[[0, 1, 255]].tolist() == [0, 4, 1023]


def test_yuv() -> None:
    """Flat pictures come back to the level, by planes of 10 bits."""
    for colour in ((0, 0, 0), (1023, 1023, 1023), (400, 401, 402), (17, 900, 333)):
        picture = torch.tensor(colour, dtype=torch.int32)[:, None, None].expand(3, 4, 6).to(torch.uint16)
        planes = rgb_to_yuv420(picture, 10, 9)
        back = yuv420_to_rgb(planes, 10, 9, 10)
        assert back.dtype == torch.uint16
        assert (back.int() - picture.int()).abs().max() <= 2
    assert (
        rgb_to_yuv420(torch.full((3, 2, 2), 1023, dtype=torch.int32).to(torch.uint16), 10)[0].tolist()
        == [[940] * 2] * 2
    )


# ---- sources ---------------------------------------------------------------------------------------------------------


def test_bits_of_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As many as the source has, as far as there are so many, unless they are chosen; a note says which are lost."""
    for pixels, kept, said in (
        ("yuv420p", torch.uint8, ""),
        ("gray", torch.uint8, ""),
        ("yuv420p10le", torch.uint16, ""),
        ("yuv444p12le", torch.uint16, "its 12 bits a sample become 10"),
        ("gbrp16le", torch.uint16, "its 16 bits a sample become 10"),
    ):
        path = tmp_path / f"{pixels}.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 16, pixels
            frame = av.VideoFrame(32, 16, pixels)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        assert read_clip(path).frames.dtype == kept
        assert said in capsys.readouterr().err if said else "bits" not in capsys.readouterr().err
        assert read_clip(path, Selection(bits=8)).frames.dtype == torch.uint8
        assert read_clip(path, Selection(bits=10)).frames.dtype == torch.uint16
    with pytest.raises(UsageError, match="`bits` must be 8 or 10, got 12"):
        Selection(bits=12)
    assert Selection(bits=10).stated == {}


def test_arrays() -> None:
    array = every_level()
    for source in (array, torch.from_numpy(array), list(array), torch.from_numpy(array).permute(0, 3, 1, 2)):
        clip = as_clip(source)
        assert (clip.bits, clip.frames.dtype) == (10, torch.uint16)
        assert (clip.frames[:].permute(0, 2, 3, 1).numpy() == array).all()
    eight = as_clip(array, Selection(bits=8))
    assert eight.frames.dtype == torch.uint8
    assert torch.equal(eight.frames[:], with_bits(clip.frames[:], 8))
    assert torch.equal(as_clip(clip, Selection(bits=8)).frames[:], eight.frames[:])
    assert as_clip(clip, Selection(bits=10)) is clip
    assert as_clip(eight, Selection(bits=10)).frames.dtype == torch.uint16
    with pytest.raises(UsageError, match="frames of uint16 must have 10 bits, 0 to 1023, got 1024"):
        as_clip(array + np.uint16(1))
    with pytest.raises(UsageError, match="frame 1 of uint16 must have 10 bits"):
        as_clip([array[0], array[1] * np.uint16(64)])
    with pytest.raises(UsageError, match=r"must be uint8 \[frames, 3, height, width\], or uint16 with 10 bits"):
        Clip(torch.zeros(1, 3, 16, 16, dtype=torch.int16), *steady(1, Fraction(25)))


def test_cropped_and_scaled() -> None:
    """White stays white: the result has the peak of its bits."""
    white = np.full((1, 40, 60, 3), 1023, np.uint16)
    clip = as_clip(white, Selection(crop=(40, 32), scale=(24, 16)))
    assert clip.frames.shape == (1, 3, 16, 24)
    assert set(clip.frames[:].flatten().tolist()) == {1023}
    stored = as_clip(list(smooth()), Selection(scale=(24, 16)), memory=0)
    assert stored.frames.dtype == torch.uint16
    assert torch.equal(stored.frames[[0, 1]], as_clip(smooth(), Selection(scale=(24, 16))).frames[[0, 1]])


def test_turned_upright() -> None:
    from nvcodec.video.orientation import Orientation

    picture = torch.from_numpy(smooth()[0]).permute(2, 0, 1)
    for kind in (Orientation(True, True, False), Orientation(False, True, True), Orientation(True, True, True)):
        turned = kind.apply(picture)
        assert turned.dtype == torch.uint16
        assert torch.equal(turned.int(), kind.apply(picture.int()))


# ---- outputs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.mkv", "frames"])
def test_exact_files(tmp_path: Path, name: str) -> None:
    """FFV1 and PNG give every level back."""
    assert (frames_of(write(tmp_path / name, every_level(), color=PQ)) == every_level()).all()


def test_png(tmp_path: Path) -> None:
    """16 bits, white is white, the nearest others; a chunk says that 10 are significant. FFmpeg reads it."""
    path = write(tmp_path / "x.png", every_level()[:1])
    data = path.read_bytes()
    assert data[24] == 16  # bit depth in IHDR
    assert data[37:44] == b"sBIT" + bytes([10] * 3)
    assert int.from_bytes(data[44:48], "big") == zlib.crc32(data[37:44])
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert frame.format.name == "rgb48be"
    expected = np.round(every_level()[0].astype(float) * 65535 / 1023)
    assert (frame.to_ndarray() == expected).all()


@pytest.mark.parametrize(
    ("name", "size", "codec", "pixels", "error"),
    [
        ("x.mp4", (34, 46), "h264", "yuv420p10le", 6),
        ("x.mov", (33, 47), "h264", "yuv444p10le", 6),
        ("x.mkv", (33, 47), "ffv1", "gbrp10le", 0),
        ("x.webm", (34, 66), "av1", "yuv420p10le", 8),
        ("x.y4m", (33, 47), "rawvideo", "yuv444p10le", 2),
    ],
)
def test_videos(tmp_path: Path, name: str, size: tuple[int, int], codec: str, pixels: str, error: int) -> None:
    """The pixel format, the tags, and pictures with more levels than 8 bits have."""
    path = write(tmp_path / name, smooth(*size), color=PQ)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        frame = next(container.decode(video=0))
        assert context.pix_fmt == pixels
        assert codec in (context.codec.canonical_name, context.name)
        if name != "x.y4m":
            matrix, span = (0, 2) if codec == "ffv1" else (9, 1)
            assert (frame.color_primaries, frame.color_trc, frame.colorspace) == (9, 16, matrix)
            assert codec == "ffv1" or frame.color_range == span
    seen = frames_of(path)
    assert seen.dtype == np.uint16
    assert np.abs(seen.astype(int) - smooth(*size)).max() <= error
    reds = np.unique(seen[..., 0]).astype(int)
    assert len(reds) > 0.9 * (reds[-1] - reds[0])  # of 8 bits there would be a quarter


def test_raw(tmp_path: Path) -> None:
    path = write(tmp_path / "x.rgb", every_level())
    assert path.read_bytes() == every_level().astype("<u2").tobytes()


def test_digests(capsys: pytest.CaptureFixture[str]) -> None:
    """Of 16-bit samples, the lower byte first."""
    with Md5Sink(False) as sink:
        sink.put(every_level()[0].astype(">u2"), 0, 1)  # type: ignore[arg-type]
    digest = hashlib.md5(every_level()[0].astype("<u2").tobytes()).hexdigest()
    assert capsys.readouterr().out == f"{digest}  1 frames\n"


def test_gif(tmp_path: Path) -> None:
    """Eight bits, the nearest."""
    flat = np.full((1, 20, 30, 3), 515, np.uint16)
    seen = frames_of(write(tmp_path / "x.gif", flat))
    assert seen.dtype == np.uint8
    assert np.abs(seen.astype(int) - 128).max() <= 1


def test_ffmpeg_reads_y4m(tmp_path: Path) -> None:
    path = write(tmp_path / "x.y4m", smooth())
    assert path.read_bytes().startswith(b"YUV4MPEG2 W46 H34 F25:1 Ip A1:1 C444p10 XYSCSS=444P10 XCOLORRANGE=LIMITED\n")
    _, said = ffmpeg(["-i", path, "-f", "null", "-"])
    assert "yuv444p10le(tv" in said
