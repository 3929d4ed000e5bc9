"""HDR metadata: from a decoded frame, and to the encoders that can write them."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction

import av

from nvcodec.tracks import CHROMATICITY_UNIT, LUMINANCE_UNIT, Hdr
from nvcodec.video.orientation import side_data

_MASTERING = struct.Struct("=20i2i")  # FFmpeg's: x and y of red, green, blue and white, least and most luminance, flags
_LIGHT = struct.Struct("=2I")


def hdr_of(frame: av.VideoFrame) -> Hdr:
    """Return what a frame, or the file around it, says of the mastering display and the content's light."""
    return Hdr(
        _mastering(side_data(frame, "MASTERING_DISPLAY_METADATA")), _light(side_data(frame, "CONTENT_LIGHT_LEVEL"))
    )


def _mastering(data: bytes | None) -> tuple[int, ...]:
    if data is None or len(data) < _MASTERING.size:
        return ()
    *terms, has_primaries, has_luminance = _MASTERING.unpack(data[: _MASTERING.size])
    pairs = list(zip(terms[::2], terms[1::2], strict=True))
    if not (has_primaries and has_luminance) or any(denominator <= 0 for _, denominator in pairs):
        return ()
    values = [Fraction(*pair) for pair in pairs]
    units = [CHROMATICITY_UNIT] * 8 + [LUMINANCE_UNIT] * 2
    *points, least, most = (max(0, round(value / unit)) for value, unit in zip(values, units, strict=True))
    return (*points, most, least)


def _light(data: bytes | None) -> tuple[int, ...]:
    return () if data is None or len(data) < _LIGHT.size else _LIGHT.unpack(data[: _LIGHT.size])


def svt_parameters(hdr: Hdr) -> list[str]:
    """Return the parameters of SVT-AV1 that write metadata OBUs."""
    made = []
    if hdr.mastering:
        points = [f"{float(value * CHROMATICITY_UNIT):.5f}" for value in hdr.mastering[:8]]
        most, least = (f"{float(value * LUMINANCE_UNIT):.4f}" for value in hdr.mastering[8:])
        made.append(f"mastering-display={_display(points, most, least)}")
    if hdr.light:
        made.append("content-light={},{}".format(*hdr.light))
    return made


def x264_parameters(hdr: Hdr) -> list[str]:
    """Return the parameters of x264 that write SEI messages."""
    made = []
    if hdr.mastering:
        points = [str(value) for value in hdr.mastering[:8]]
        made.append(f"mastering-display={_display(points, *map(str, hdr.mastering[8:]))}")
    if hdr.light:
        made.append("cll={},{}".format(*hdr.light))
    return made


def _display(points: list[str], most: str, least: str) -> str:
    red, green, blue, white = (",".join(points[index : index + 2]) for index in range(0, 8, 2))
    return f"G({green})B({blue})R({red})WP({white})L({most},{least})"


def png_chunks(hdr: Hdr) -> bytes:
    """Return the chunks mDCV and cLLI of PNG."""
    made = b""
    if hdr.mastering:
        made += png_chunk(
            b"mDCV", struct.pack(">8H2I", *(min(v, 65535) for v in hdr.mastering[:8]), *hdr.mastering[8:])
        )
    if hdr.light:
        made += png_chunk(b"cLLI", struct.pack(">2I", *(round(value / LUMINANCE_UNIT) for value in hdr.light)))
    return made


def png_chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
