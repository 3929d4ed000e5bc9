"""Conversion between RGB and 4:2:0: values from the standards, an independent computation in float64, PyAV's frames."""

from __future__ import annotations

import av
import numpy as np
import numpy.typing as npt
import pytest
import torch

from nvcodec.errors import InputError, UsageError
from nvcodec.video.yuv import (
    PIXEL_FORMATS_444,
    Planes,
    frame_to_planes,
    planes_to_frame,
    rgb_to_yuv420,
    rgb_to_yuv444,
    yuv420_to_rgb,
)

MATRICES = (1, 4, 5, 6, 7, 9)
SIDES = [(16, 24), (7, 10), (8, 9), (5, 3), (1, 1), (2, 33)]  # height, width
Array = npt.NDArray[np.float64]


def noise(height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)


def flat(*rgb: int) -> torch.Tensor:
    return torch.tensor(rgb, dtype=torch.uint8).view(3, 1, 1).repeat(1, 4, 6)


def to_rows(matrix: int) -> Array:
    """The rows of the matrix from R, G, B to Y, Pb, Pr, from Kr and Kb as the standards give them."""
    kr, kb = {1: (0.2126, 0.0722), 4: (0.3, 0.11), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}.get(matrix, (0.299, 0.114))
    y = np.array([kr, 1 - kr - kb, kb])
    return np.stack([y, (np.array([0, 0, 1]) - y) / (2 - 2 * kb), (np.array([1, 0, 0]) - y) / (2 - 2 * kr)])


def expected_planes(picture: torch.Tensor, bits: int, matrix: int) -> list[Array]:
    """The planes before rounding: chroma per pixel first, and then its mean over 2x2."""
    rgb = picture.numpy().astype(np.float64) / 255
    y, pb, pr = np.einsum("ij,jhw->ihw", to_rows(matrix), rgb)
    planes = [219 * y + 16]
    for chroma in (224 * pb + 128, 224 * pr + 128):
        even = np.pad(chroma, ((0, chroma.shape[0] % 2), (0, chroma.shape[1] % 2)), mode="edge")
        planes.append((even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4)
    return [plane * 2 ** (bits - 8) for plane in planes]


def expected_planes_444(picture: torch.Tensor, bits: int, matrix: int) -> list[Array]:
    """The planes of 4:4:4 before rounding."""
    y, pb, pr = np.einsum("ij,jhw->ihw", to_rows(matrix), picture.numpy().astype(np.float64) / 255)
    return [plane * 2 ** (bits - 8) for plane in (219 * y + 16, 224 * pb + 128, 224 * pr + 128)]


def expected_rgb(planes: Planes, bits: int, matrix: int) -> Array:
    """The picture before rounding; each sample of chroma is looked up pixel by pixel."""
    y, cb, cr = (
        (plane / 2 ** (bits - 8) - zero) / span
        for plane, zero, span in zip(planes, (16, 128, 128), (219, 224, 224), strict=True)
    )
    height, width = y.shape
    full = np.empty((3, height, width))
    full[0] = y
    for row in range(height):
        for column in range(width):
            near, left = row // 2, column // 2
            far = np.clip(near + (1 if row % 2 else -1), 0, cb.shape[0] - 1)
            right = np.clip(left + (1 if column % 2 else -1), 0, cb.shape[1] - 1)
            for index, c in enumerate((cb, cr), 1):
                full[index, row, column] = (
                    9 * c[near, left] + 3 * c[near, right] + 3 * c[far, left] + c[far, right]
                ) / 16
    return 255 * np.einsum("ij,jhw->ihw", np.linalg.inv(to_rows(matrix)), full)


@pytest.mark.parametrize(
    ("rgb", "matrix", "eight", "ten"),
    [
        ((0, 0, 0), 6, (16, 128, 128), (64, 512, 512)),
        ((255, 255, 255), 6, (235, 128, 128), (940, 512, 512)),
        ((100, 100, 100), 6, (102, 128, 128), (408, 512, 512)),  # 101.88; 407.53
        ((255, 0, 0), 6, (81, 90, 240), (326, 361, 960)),  # 81.48, 90.20; 325.92, 360.81
        ((0, 255, 0), 6, (145, 54, 34), (578, 215, 137)),  # 144.55, 53.80, 34.21; 578.21, 215.19, 136.86
        ((0, 0, 255), 6, (41, 240, 110), (164, 960, 439)),  # 40.97, 109.79; 163.86, 439.14
        ((255, 0, 0), 1, (63, 102, 240), (250, 409, 960)),  # 62.56, 102.34; 250.24, 409.34
        ((0, 0, 255), 9, (29, 240, 119), (116, 960, 476)),  # 28.99, 118.99; 115.95, 475.97
    ],
)
def test_known_colours(rgb: tuple[int, int, int], matrix: int, eight: tuple[int, ...], ten: tuple[int, ...]) -> None:
    for bits, expected, kind in ((8, eight, np.uint8), (10, ten, np.uint16)):
        planes = rgb_to_yuv420(flat(*rgb), bits, matrix)
        assert [plane.shape for plane in planes] == [(4, 6), (2, 3), (2, 3)]
        for plane, value in zip(planes, expected, strict=True):
            assert plane.dtype == kind
            assert (plane == value).all()


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize(("height", "width"), SIDES)
def test_both_ways_as_in_float64(height: int, width: int, bits: int, matrix: int) -> None:
    picture = noise(height, width)
    planes = rgb_to_yuv420(picture, bits, matrix)
    for plane, expected in zip(planes, expected_planes(picture, bits, matrix), strict=True):
        assert plane.shape == expected.shape
        assert np.abs(plane - expected).max() <= 0.5 + 1e-3
    back = yuv420_to_rgb(planes, bits, matrix)
    assert (back.shape, back.dtype) == (picture.shape, torch.uint8)
    assert np.abs(back.numpy() - np.clip(expected_rgb(planes, bits, matrix), 0, 255)).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("bits", [8, 10])
def test_444_as_in_float64(bits: int, matrix: int) -> None:
    for height, width in SIDES:
        picture = noise(height, width)
        planes = rgb_to_yuv444(picture, bits, matrix)
        for plane, expected in zip(planes, expected_planes_444(picture, bits, matrix), strict=True):
            assert (plane.shape, plane.dtype.itemsize) == (expected.shape, (bits + 7) // 8)
            assert np.abs(plane - expected).max() <= 0.5 + 1e-3
        frame = planes_to_frame(planes, bits, PIXEL_FORMATS_444)
        assert frame.format.name == {8: "yuv444p", 10: "yuv444p10le"}[bits]
        for plane, values in zip(frame.planes, planes, strict=True):
            assert (np.frombuffer(plane, values.dtype).reshape(height, -1)[:, :width] == values).all()


def test_bt601_is_the_default() -> None:
    picture = noise(6, 8)
    planes = rgb_to_yuv420(picture, 10)
    assert all((a == b).all() for a, b in zip(planes, rgb_to_yuv420(picture, 10, 5), strict=True))
    assert torch.equal(yuv420_to_rgb(planes, 10), yuv420_to_rgb(planes, 10, 6))
    assert not torch.equal(yuv420_to_rgb(planes, 10), yuv420_to_rgb(planes, 10, 1))


@pytest.mark.parametrize("matrix", MATRICES)
def test_flat_colours_come_back(matrix: int) -> None:
    """Half a level of 10 bits comes to less than half of one of RGB; half a level of 8 bits to at most 2 of RGB."""
    for rgb in np.random.default_rng(1).integers(0, 256, (200, 3)).tolist():
        picture = flat(*rgb)
        assert torch.equal(yuv420_to_rgb(rgb_to_yuv420(picture, 10, matrix), 10, matrix), picture)
        back = yuv420_to_rgb(rgb_to_yuv420(picture, 8, matrix), 8, matrix)
        assert (back.int() - picture.int()).abs().max() <= 2


def test_a_slope_comes_back_but_at_the_edges() -> None:
    """Chroma in the centre of 2x2 pixels: any other siting would shift a slope of 8 levels per pixel by 2 or more."""
    x, y = torch.arange(20).view(1, -1), torch.arange(16).view(-1, 1)
    picture = torch.stack([40 + 8 * x + 0 * y, 200 - 8 * x + 2 * y, 60 + 0 * x + 8 * y]).to(torch.uint8)
    back = yuv420_to_rgb(rgb_to_yuv420(picture, 10), 10)
    assert (back.int() - picture.int())[:, 1:-1, 1:-1].abs().max() <= 1


def test_colours_outside_rgb_are_clipped() -> None:
    brightest, darkest = (np.full((2, 2), value, np.uint8) for value in (255, 0))
    chroma = np.full((1, 1), 128, np.uint8)
    assert (yuv420_to_rgb((brightest, chroma, chroma), 8) == 255).all()
    assert (yuv420_to_rgb((darkest, chroma, chroma), 8) == 0).all()


@pytest.mark.parametrize(("bits", "name"), [(8, "yuv420p"), (10, "yuv420p10le")])
@pytest.mark.parametrize(("height", "width"), [*SIDES, (18, 70)])
def test_frames_of_pyav(height: int, width: int, bits: int, name: str) -> None:
    planes = rgb_to_yuv420(noise(height, width), bits)
    frame = planes_to_frame(planes, bits)
    assert (frame.width, frame.height, frame.format.name) == (width, height, name)
    for plane, values in zip(frame.planes, planes, strict=True):
        data, row_bytes = bytes(plane), values.shape[1] * values.itemsize
        rows = [data[start : start + plane.line_size] for start in range(0, len(data), plane.line_size)]
        assert b"".join(row[:row_bytes] for row in rows) == values.tobytes()
        assert not any(b"".join(row[row_bytes:] for row in rows))  # the padding
    back, found = frame_to_planes(frame)
    assert found == bits
    for a, b in zip(back, planes, strict=True):
        assert a.dtype == b.dtype
        assert (a == b).all()


def test_planes_are_copies() -> None:
    frame = planes_to_frame(rgb_to_yuv420(flat(255, 255, 255), 8), 8)
    planes, _ = frame_to_planes(frame)
    for plane in planes:
        plane[:] = 0
    assert (frame_to_planes(frame)[0][0] == 235).all()


def test_pyav_reads_the_frames_alike() -> None:
    """FFmpeg's own conversion is coarser, but of the same colours: a swap of planes or of range would show."""
    for colour in ((255, 0, 0), (0, 0, 255), (30, 160, 90)):
        picture = flat(*colour)
        seen = planes_to_frame(rgb_to_yuv420(picture, 8), 8).to_ndarray(format="rgb24")
        assert np.abs(seen.transpose(2, 0, 1) - picture.numpy().astype(int)).max() <= 4


def test_what_cannot_be_converted() -> None:
    picture = noise(4, 4)
    planes = rgb_to_yuv420(picture, 8)
    for bits, matrix, name in ((9, 6, "bits"), (8, 2, "matrix"), (8, 0, "matrix")):
        with pytest.raises(UsageError, match=f"`{name}`"):
            rgb_to_yuv420(picture, bits, matrix)
        with pytest.raises(UsageError, match=f"`{name}`"):
            yuv420_to_rgb(planes, bits, matrix)
    with pytest.raises(UsageError, match="`bits`"):
        planes_to_frame(planes, 12)
    with pytest.raises(InputError, match="yuv444p"):
        frame_to_planes(av.VideoFrame(4, 4, "yuv444p"))
