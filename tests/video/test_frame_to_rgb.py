"""Conversion to RGB against a reference in float64 that shares no code with it: each matrix, range, layout, depth."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
import torch

from nvcodec.video.frame_to_rgb import frame_to_rgb
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

Array = npt.NDArray[np.float64]
WEIGHTS = {
    1: (0.2126, 0.0722),
    2: (0.299, 0.114),  # unspecified
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    77: (0.299, 0.114),  # unknown
}
MATRICES = (0, 8, 10, *WEIGHTS)
FACTORS = {"444": (1, 1), "422": (1, 2), "420": (2, 2), "411": (1, 4), "440": (2, 1), "410": (4, 4)}
FORMATS = [
    *((f"yuv{layout}p", layout, 8) for layout in FACTORS),
    *((f"yuvj{layout}p", layout, 8) for layout in ("444", "422", "420", "411", "440")),
    *((f"yuv{layout}p{bits}le", layout, bits) for layout in ("444", "422", "420") for bits in (9, 10, 12, 14, 16)),
    *((f"yuv440p{bits}le", "440", bits) for bits in (10, 12)),
    *(("yuv420p10be", "420", 10), ("yuv444p16be", "444", 16), ("yuva420p", "420", 8), ("yuva444p12le", "444", 12)),
    *(("nv12", "420", 8), ("nv21", "420", 8), ("nv16", "422", 8), ("nv24", "444", 8), ("yuyv422", "422", 8)),
    *(
        ("uyvy422", "422", 8),
        ("p010le", "420", 10),
        ("p016le", "420", 16),
        ("p210le", "422", 10),
        ("p416le", "444", 16),
    ),
    *(("y210le", "422", 10), ("vuya", "444", 8), ("xv30le", "444", 10), ("ayuv64le", "444", 16)),
]


def reference(y: Array, u: Array, v: Array, matrix: int, full: bool, bits: int) -> Array:
    """H.273, 8.3: integers of equal size to red, green and blue, 0 to 255, not rounded."""
    top = (1 << bits) - 1
    if full:
        luma, cb, cr = y / top, (u - (top + 1) / 2) / top, (v - (top + 1) / 2) / top
        g, b, r = y / top, u / top, v / top
    else:
        one = 1 << (bits - 8)
        luma, cb, cr = (y / one - 16) / 219, (u / one - 128) / 224, (v / one - 128) / 224
        g, b, r = ((plane / one - 16) / 219 for plane in (y, u, v))
    if matrix == 8:
        r, g, b = luma - cb + cr, luma + cb, luma - cb - cr
    elif matrix == 10:
        r, g, b = constant_luminance(luma, cb, cr)
    elif matrix in WEIGHTS:
        kr, kb = WEIGHTS[matrix]
        r, b = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
        g = (luma - kr * r - kb * b) / (1 - kr - kb)
    return np.clip(255 * np.stack([r, g, b]), 0, 255)


@np.vectorize
def to_light(value: float) -> float:
    value = min(1.0, max(0.0, value))
    return (
        value / 4.5
        if value < 4.5 * 0.018053968510807
        else ((value + 0.09929682680944) / 1.09929682680944) ** (1 / 0.45)
    )


@np.vectorize
def from_light(value: float) -> float:
    value = min(1.0, max(0.0, value))
    return 4.5 * value if value < 0.018053968510807 else 1.09929682680944 * value**0.45 - 0.09929682680944


def constant_luminance(luma: Array, cb: Array, cr: Array) -> tuple[Array, Array, Array]:
    luma = np.clip(luma, 0, 1)
    b = luma + np.where(cb <= 0, 2 * 0.9702, 2 * 0.7910) * cb
    r = luma + np.where(cr <= 0, 2 * 0.8591, 2 * 0.4969) * cr
    return r, from_light((to_light(luma) - 0.2627 * to_light(r) - 0.0593 * to_light(b)) / (1 - 0.2627 - 0.0593)), b


def a_frame(name: str, planes: list[Array], bits: int, matrix: int, span: int) -> av.VideoFrame:
    """A frame of any format, from planes of an integer kind, by way of the planar format if need be."""
    height, width = planes[0].shape
    direct = name.startswith(("yuv4", "yuvj", "gray", "gbr")) and "be" not in name
    layout = next((key for key, (rows, _) in FACTORS.items() if _layout(name) == key), "444")
    first = name if direct else f"yuv{layout}p" + ("" if bits == 8 else f"{bits}le")
    # Formats of pairs of pixels are written for an even width: FFmpeg itself loses the last column otherwise.
    frame = av.VideoFrame(width, height, first)
    for plane, values in zip(frame.planes, planes, strict=False):
        dtype = np.dtype("u1" if bits == 8 else "<u2")
        rows = np.zeros((plane.height, plane.line_size // dtype.itemsize), dtype)
        rows[:, : plane.width] = values
        plane.update(rows.tobytes())
    if not direct:
        frame = frame.reformat(format=name, src_color_range=span, dst_color_range=span, threads=1)
    frame.colorspace, frame.color_range = matrix, span
    return frame


def _layout(name: str) -> str:
    known = {entry[0]: entry[1] for entry in FORMATS}
    return known.get(name, "444")


def random_planes(layout: str, bits: int, height: int, width: int) -> list[Array]:
    """Random luma; chroma of one value per quarter, so that far from their borders no interpolation matters."""
    generator = np.random.default_rng(7)
    rows, columns = FACTORS[layout]
    size = (-(-height // rows), -(-width // columns))
    luma = generator.integers(0, 1 << bits, (height, width)).astype(float)
    chroma = []
    for _ in range(2):
        quarters = generator.integers(0, 1 << bits, (2, 2)).astype(float)
        upper, left = np.arange(size[0]) < size[0] // 2, np.arange(size[1]) < size[1] // 2
        chroma.append(quarters[upper.astype(int)[:, None], left.astype(int)[None]])
    return [luma, *chroma]


@pytest.mark.parametrize(("name", "layout", "bits"), FORMATS, ids=[entry[0] for entry in FORMATS])
@pytest.mark.parametrize("width", [40, 47])
def test_every_format(name: str, layout: str, bits: int, width: int) -> None:
    """Within half a level, where chroma is flat; all matrices and ranges."""
    if width % 2 and name in ("yuyv422", "uyvy422", "p010le", "p016le"):
        width += 1  # FFmpeg reads odd widths of these rightly, but does not write them
    height = 33
    planes = random_planes(layout, bits, height, width)
    rows, columns = FACTORS[layout]
    large = [np.repeat(np.repeat(plane, rows, 0), columns, 1)[:height, :width] for plane in planes[1:]]
    inside = np.ones((height, width), bool)
    row, column = rows * (planes[1].shape[0] // 2), columns * (planes[1].shape[1] // 2)
    inside[max(0, row - rows) : row + rows] = False
    inside[:, max(0, column - columns) : column + columns] = False
    for matrix in MATRICES:
        for span in (0, 1, 2):
            full = span == 2 or name.startswith("yuvj")
            frame = a_frame(name, planes, bits, matrix, span)
            picture = frame_to_rgb(frame).numpy()
            assert picture.shape == (3, height, width)
            as_601 = matrix == 0 and layout != "444"
            expected = reference(planes[0], *large, 2 if as_601 else matrix, full, bits)
            error = 1e-3 if bits == 8 else 0.02
            assert np.abs(picture - expected)[:, inside].max() < 0.5005 + error, (matrix, span)
            picture = frame_to_rgb(frame, to_bits=10).numpy()
            assert picture.dtype == np.uint16
            error = np.abs(picture - expected * (1023 / 255))[:, inside].max()
            assert error < 0.502 + (1e-3 if bits == 8 else 0.08), (matrix, span)


@pytest.mark.parametrize("bits", [8, 10, 16])
def test_grey_and_rgb(bits: int) -> None:
    """Grey is full range unless it says otherwise, RGB always."""
    top = (1 << bits) - 1
    ramp = np.linspace(0, top, 41).round()[None].repeat(17, 0)
    suffix = "" if bits == 8 else f"{bits}le"
    for span in (0, 1, 2):
        for to_bits, peak in ((8, 255), (10, 1023)):
            picture = frame_to_rgb(a_frame(f"gray{suffix}", [ramp], bits, 2, span), to_bits=to_bits).numpy()
            black, white = (16 << (bits - 8), 235 << (bits - 8)) if span == 1 else (0, top)
            assert np.abs(picture - np.clip((ramp - black) / (white - black) * peak, 0, peak)).max() < 0.501
            green, blue, red = ramp, ramp[:, ::-1], np.full_like(ramp, top // 3)
            picture = frame_to_rgb(a_frame(f"gbrp{suffix}", [green, blue, red], bits, 0, span), to_bits=to_bits).numpy()
            assert np.abs(picture - np.stack([red, green, blue]) * peak / top).max() < 0.501


@pytest.mark.parametrize(("layout", "centred"), [(layout, centred) for layout in FACTORS for centred in (False, True)])
def test_chroma_lies_where_it_should(layout: str, centred: bool) -> None:
    """A slope in chroma comes back as the same slope, sampled at the pixels; the edge is repeated."""
    rows, columns = FACTORS[layout]
    height, width = 33, 47

    def positions(length: int, factor: int, middle: bool) -> tuple[Array, Array]:
        offset = (factor - 1) / 2 if middle else 0.0
        samples = factor * np.arange(-(-length // factor)) + offset
        return samples, np.clip(np.arange(length), samples[0], samples[-1])

    y_of_samples, y_of_pixels = positions(height, rows, True)
    x_of_samples, x_of_pixels = positions(width, columns, centred)
    for slope in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
        planes = [np.full((height, width), 30000.0)]
        planes += [32768 + 128 * (slope[0] * y_of_samples[:, None] + slope[1] * x_of_samples[None])] * 2
        name = f"yuv{layout}p16le" if layout in ("444", "422", "420") else f"yuv{layout}p"
        bits = 16 if name.endswith("le") else 8
        if bits == 8:
            planes = [np.round(plane / 256) for plane in planes]
        picture = frame_to_rgb(a_frame(name, planes, bits, 1, 2), centred).numpy()
        u = 32768 + 128 * (slope[0] * y_of_pixels[:, None] + slope[1] * x_of_pixels[None])
        expected = reference(planes[0], *[u / (1 if bits == 16 else 256)] * 2, 1, True, bits)
        # Eight bits of chroma are themselves rounded, by half a level, which blue shows 1.86 fold.
        assert np.abs(picture - expected).max() < (0.51 if bits == 16 else 0.5 + 1.86 * 0.51)


def test_files(tmp_path: Path) -> None:
    """The mean of a noisy 4:2:0 file is right to a tenth of a level, and chroma is centred in JPEG and y4m only."""
    generator = np.random.default_rng(3)
    planes = [generator.integers(100, 140, size).astype(float) for size in ((64, 96), (32, 48), (32, 48))]
    for name, encoder, centred in (("x.mkv", "ffv1", False), ("x.y4m", "wrapped_avframe", True)):
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(encoder, rate=25)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            container.mux(stream.encode(a_frame("yuv420p", planes, 8, 2, 1)))
            container.mux(stream.encode(None))
        frame = read_clip(path).frames[0]
        assert torch.equal(frame, frame_to_rgb(a_frame("yuv420p", planes, 8, 2, 1), centred))
        expected = reference(*(plane.mean(keepdims=True) for plane in planes), 2, False, 8).ravel()
        assert frame.double().mean((1, 2)).tolist() == pytest.approx(expected.tolist(), abs=0.1)


def test_ten_bits_of_a_file(tmp_path: Path) -> None:
    """Flat 10-bit BT.2020 patches in a file come out as the nearest values of 10 bits, or of 8."""
    colours = [(64, 512, 512), (940, 512, 512), (500, 300, 700), (721, 610, 409)]
    path = tmp_path / "x.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 34, 18, "yuv420p10le"
        stream.codec_context.colorspace, stream.codec_context.color_range = 9, 1
        for y, u, v in colours:
            planes = [np.full((18, 34), float(y)), np.full((9, 17), float(u)), np.full((9, 17), float(v))]
            frame = a_frame("yuv420p10le", planes, 10, 9, 1)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for bits, dtype, peak in ((None, torch.uint16, 1023), (10, torch.uint16, 1023), (8, torch.uint8, 255)):
        frames = read_clip(path, Selection(bits=bits), fps=Fraction(25)).frames
        assert frames.dtype == dtype
        for frame, (y, u, v) in zip(frames, colours, strict=True):
            expected = reference(*(np.array([float(value)]) for value in (y, u, v)), 9, False, 10)[:, 0]
            assert frame[:, 5, 5].tolist() == [math.floor(value * peak / 255 + 0.5) for value in expected]
