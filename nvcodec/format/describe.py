"""What ``info`` prints about a stream."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from nvcodec.format.accounting import bytes_by_kind
from nvcodec.format.limits import Limits, Requirements, level_of, requirements
from nvcodec.format.stream import Stream
from nvcodec.format.stream_reader import read

MAX_QUALITY = 1000  # dB; anybody can write metadata, and JSON has numbers that no float holds


def bits_per_pixel(stream: Stream) -> float:
    """Bits per pixel of the shown pictures: 8 * file bytes / (width x height x frames)."""
    pixels = sum(s.head.frames * s.head.width * s.head.height for s in stream.segments)
    return 8 * stream.file_bytes / pixels


def quality_key(layer: int) -> str:
    """Metadata key of the mean RGB PSNR, dB, that the encoder measured with all layers up to ``layer``."""
    return f"psnr_rgb_{layer}"


def by_layer(stream: Stream) -> list[dict[str, Any]]:
    """List each layer's ``bytes``, ``file_bytes`` up to its end, and ``psnr_rgb``, which is None unless stated."""
    rows = []
    start = 0
    for unit in stream.units:
        if unit.type == "LAYER_END":
            stated = stream.metadata.get(quality_key(unit.layer))
            quality = float(stated) if isinstance(stated, (int, float)) and abs(stated) <= MAX_QUALITY else None
            end = unit.offset + unit.bytes
            rows.append({"bytes": end - start, "file_bytes": end, "psnr_rgb": quality})
            start = end
    return rows


def describe(stream: Stream) -> dict[str, Any]:
    """Describe a stream as plain numbers, strings, lists and dicts: all that ``info --json`` prints."""
    first = stream.segments[0].head
    video = stream.video
    needs = requirements_of(stream)
    return {
        "format_version": f"{stream.version[0]}.{stream.version[1]}",
        "width": first.width,
        "height": first.height,
        "frames": stream.frames,
        "fps": stream.fps,
        "file_bytes": stream.file_bytes,
        "bits_per_pixel": bits_per_pixel(stream),
        "parameters": stream.parameters,
        "layers": stream.layers,
        "by_layer": by_layer(stream),
        "segments": len(stream.segments),
        "level": level_of(needs),
        "requirements": dataclasses.asdict(needs),
        "time_base": f"{video.time_base_num}/{video.time_base_den}",
        "duration_seconds": float(stream.seconds),
        "sample_aspect": f"{video.sample_aspect_num}:{video.sample_aspect_den}",
        "color": {
            "primaries": video.primaries,
            "transfer": video.transfer,
            "matrix": video.matrix,
            "range": video.color_range,
        },
        "metadata": stream.metadata,
        "bytes_by_kind": bytes_by_kind(stream),
        "units": [dataclasses.asdict(unit) for unit in stream.units],
        "entries": [dataclasses.asdict(entry) for entry in stream.entries],
    }


def info(
    source: str | os.PathLike[str] | bytes, *, max_pixels: int | None = None, max_memory: int | None = None
) -> dict[str, Any]:
    """Describe a file, given its path or its bytes, without decoding a picture: what ``nvcodec info --json`` prints.

        nvcodec.info("out.sdmn")["bits_per_pixel"]

    Args:
        source: the file.
        max_pixels: largest number of pixels a picture may have; None for no limit but the format's.
        max_memory: bytes that decoding may take; None for no limit.

    Raises:
        InputError, LimitError, UnsupportedVersionError, CorruptStreamError: as
            :func:`nvcodec.format.stream_reader.read_file` does.
    """
    return describe(read(source, Limits(max_pixels, max_memory)))


def requirements_of(stream: Stream) -> Requirements:
    """Work out what decoding a stream takes."""
    segments = [(s.head, [(layer.ops, layer.tensors) for layer in s.layers]) for s in stream.segments]
    return requirements(segments, stream.file_bytes, len(stream.units))
