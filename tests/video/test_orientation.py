"""All eight orientations, from a container's matrix and from EXIF; nonsense matrices are none."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from nvcodec.video.orientation import Orientation, from_matrix
from nvcodec.video.source import read_clip

ONE = 0x10000
HEIGHT, WIDTH = 32, 48
#: A picture of four quarters, red, green, blue and white, from which each orientation can be told.
PICTURE = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
PICTURE[0, :16, :24] = PICTURE[1, :16, 24:] = PICTURE[2, 16:, :24] = 255
PICTURE[:, 16:, 24:] = 255

#: By EXIF's number: (a, b, c, d) of the matrix, and the upright picture, by torch's own functions.
EIGHT = {
    1: ((1, 0, 0, 1), lambda x: x),
    2: ((-1, 0, 0, 1), lambda x: x.flip(2)),
    3: ((-1, 0, 0, -1), lambda x: x.rot90(2, (1, 2))),
    4: ((1, 0, 0, -1), lambda x: x.flip(1)),
    5: ((0, 1, 1, 0), lambda x: x.transpose(1, 2)),
    6: ((0, 1, -1, 0), lambda x: x.rot90(-1, (1, 2))),  # clockwise
    7: ((0, -1, -1, 0), lambda x: x.rot90(2, (1, 2)).transpose(1, 2)),
    8: ((0, -1, 1, 0), lambda x: x.rot90(1, (1, 2))),
}
NONSENSE = [
    *((0,) * 4, (ONE, 0, 0, 0), (0, ONE, 0, 0), (ONE, ONE, ONE, ONE), (ONE, 0, ONE, 0)),
    *((46341, 46341, -46341, 46341), (ONE, 6000, -6000, ONE)),  # 45 and 5 degrees
]


def movie(path: Path, matrix: tuple[int, int, int, int], aspect: Fraction = Fraction(1)) -> Path:
    """Write a lossless .mp4 of one frame, with this matrix in the header of the track."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "rgb24"
        stream.sample_aspect_ratio = aspect
        frame = av.VideoFrame.from_ndarray(PICTURE.permute(1, 2, 0).contiguous().numpy(), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: 40 bytes lie before the matrix
    a, b, c, d = matrix
    identity = struct.pack(">9i", ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30)
    assert data[at : at + 36] == identity
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, (1 << 30) if any(matrix) else 0)
    path.write_bytes(data)
    return path


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def exif(number: int) -> bytes:
    """EXIF with nothing but the orientation."""
    return b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x112, 3, 1, number, 0) + bytes(4)


def photo(path: Path, number: int) -> Path:
    """Write PICTURE with an orientation in EXIF."""
    encoder = {".png": "png", ".jpg": "mjpeg", ".tiff": "tiff", ".webp": "libwebp"}[path.suffix]
    with av.open(str(path), "w", format="webp" if encoder == "libwebp" else "image2") as container:
        stream = container.add_stream(encoder, rate=25, options={"lossless": "1"} if encoder == "libwebp" else {})
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = {"mjpeg": "yuvj420p", "libwebp": "bgra"}.get(encoder, "rgb24")
        frame = av.VideoFrame.from_ndarray(PICTURE.permute(1, 2, 0).contiguous().numpy(), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    if encoder == "png":
        end = data.index(b"IHDR") + 4 + 13 + 4
        data = data[:end] + chunk(b"eXIf", exif(number)) + data[end:]
    elif encoder == "mjpeg":
        payload = b"Exif\0\0" + exif(number)
        data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + data[2:]
    elif encoder == "tiff":
        data = tiff_with(data, number)
    elif encoder == "libwebp":
        data = webp_with(data, number)
    path.write_bytes(data)
    return path


def tiff_with(data: bytes, number: int) -> bytes:
    """Add an orientation to a TIFF in little endian: the tag of EXIF, in a directory of its own at the end."""
    data += bytes(len(data) % 2)
    (at,) = struct.unpack("<I", data[4:8])
    (count,) = struct.unpack("<H", data[at : at + 2])
    entries = [data[start : start + 12] for start in range(at + 2, at + 2 + 12 * count, 12)]
    entries.append(struct.pack("<HHIHH", 0x112, 3, 1, number, 0))
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2]))
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory


def webp_with(data: bytes, number: int) -> bytes:
    """Add EXIF to a simple WebP: an extended header before the picture, and a chunk behind it."""
    picture, payload = data[12:], exif(number)
    assert picture[:4] == b"VP8L"
    sides = b"".join(struct.pack("<I", side - 1)[:3] for side in (WIDTH, HEIGHT))
    header = b"VP8X" + struct.pack("<I4B", 10, 8, 0, 0, 0) + sides
    body = b"WEBP" + header + picture + b"EXIF" + struct.pack("<I", len(payload)) + payload + bytes(len(payload) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("number", EIGHT)
def test_the_matrix_of_a_container(tmp_path: Path, number: int) -> None:
    signs, upright = EIGHT[number]
    a, b, c, d = (ONE * sign for sign in signs)
    clip = read_clip(movie(tmp_path / "x.mp4", (a, b, c, d), Fraction(4, 3)))
    assert torch.equal(clip.frames[0], upright(PICTURE))
    assert clip.sample_aspect == (Fraction(3, 4) if number >= 5 else Fraction(4, 3))


@pytest.mark.parametrize("matrix", NONSENSE)
def test_nonsense_matrices_are_none(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    assert torch.equal(read_clip(movie(tmp_path / "x.mp4", matrix)).frames[0], PICTURE)


def test_matrices_themselves() -> None:
    """A scaled matrix and one that misses by rounding count; a perspective one and a short one do not hurt."""

    def of(a: int, b: int, c: int, d: int) -> Orientation:
        return from_matrix(np.array([a, b, 0, c, d, 0, 5, 7, 1 << 30], np.int32).tobytes())

    assert of(2 * ONE, 0, 0, ONE) == Orientation()
    assert of(3, ONE, -ONE, -3) == Orientation(transpose=True, mirror=True)
    assert of(-ONE, 1, -1, ONE) == Orientation(mirror=True)
    assert of(-(2**31), 0, 0, -(2**31)) == Orientation(mirror=True, flip=True)
    assert from_matrix(bytes(35)) == from_matrix(b"") == Orientation()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff"])
def test_exif(tmp_path: Path, suffix: str) -> None:
    """One file, a folder, a glob and a printf pattern alike."""
    for number, (_, upright) in EIGHT.items():
        folder = tmp_path / str(number)
        folder.mkdir()
        path = photo(folder / f"f07{suffix}", number)
        for source in (path, folder, folder / f"f*{suffix}", folder / f"f%02d{suffix}"):
            picture = read_clip(source).frames[0]
            expected = upright(PICTURE)
            assert picture.shape == expected.shape
            error = (picture.int() - expected.int()).abs()
            # JPEG blurs the borders of the quarters; their insides come back nearly as they were.
            assert float(error.float().mean()) < 12 if suffix == ".jpg" else error.max() == 0


def test_exif_with_nonsense(tmp_path: Path) -> None:
    assert torch.equal(read_clip(photo(tmp_path / "x.png", 77)).frames[0], PICTURE)


def test_patterns(tmp_path: Path) -> None:
    """Natural order for both kinds; the number of a pattern may begin anywhere and have more digits."""
    for number in (8, 9, 10, 11):
        photo(tmp_path / f"f{number:02d}.png", 1 if number % 2 else 3)
    for name in ("f%02d.png", "f%d.png", "f*.png", "f??.png", "[f]*"):
        clip = read_clip(tmp_path / name)
        assert [int(frame[0, 0, 0] == frame[0, 0, 5] and not frame[1, 0, 0]) for frame in clip.frames] == [0, 1, 0, 1]
    assert len(read_clip(tmp_path / "f1?.png").frames) == 2
