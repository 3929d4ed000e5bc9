"""Where every byte of a file went: what ``info`` prints. No torch."""

from __future__ import annotations

import dataclasses
from typing import Any

from nvcodec.format.limits import Requirements, level_of, requirements
from nvcodec.format.stream import Stream

KINDS = ("weights", "skip_weights", "embeddings", "skip_features", "grids", "side_info", "overhead")

MAX_QUALITY = 1000  # dB; metadata are anybody's, and JSON has numbers that no float holds


def bits_per_pixel(stream: Stream) -> float:
    """8 * file size / samples of all shown pictures, width x height x frames."""
    pixels = sum(s.head.frames * s.head.width * s.head.height for s in stream.segments)
    return 8 * stream.file_bytes / pixels


def bytes_by_kind(stream: Stream) -> dict[str, int]:
    """Bytes of each of :data:`KINDS`; they add up to the file."""
    totals = dict.fromkeys(KINDS, 0)
    for entry in stream.entries:
        totals[entry.kind] += entry.bytes
    return totals


def quality_key(layer: int) -> str:
    """The entry of the metadata with the RGB PSNR, dB, that the encoder found with all layers up to ``layer``."""
    return f"psnr_rgb_{layer}"


def by_layer(stream: Stream) -> list[dict[str, Any]]:
    """Of each layer: ``bytes``, ``file_bytes`` up to its end, and ``psnr_rgb`` where the encoder has stated it."""
    rows = []
    done = 0
    for unit in stream.units:
        if unit.type == "LAYER_END":
            stated = stream.metadata.get(quality_key(unit.layer))
            quality = float(stated) if isinstance(stated, (int, float)) and abs(stated) <= MAX_QUALITY else None
            end = unit.offset + unit.bytes
            rows.append({"bytes": end - done, "file_bytes": end, "psnr_rgb": quality})
            done = end
    return rows


def describe(stream: Stream) -> dict[str, Any]:
    """All that ``info --json`` prints, as plain numbers, strings, lists and objects."""
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
        "units": [
            {
                "type": unit.type,
                "segment": unit.segment,
                "layer": unit.layer,
                "offset": unit.offset,
                "bytes": unit.bytes,
            }
            for unit in stream.units
        ],
        "entries": [
            {
                "unit": entry.unit,
                "kind": entry.kind,
                "label": entry.label,
                "bytes": entry.bytes,
                "values": entry.values,
            }
            for entry in stream.entries
        ],
    }


def requirements_of(stream: Stream) -> Requirements:
    """What a stream that has been read takes to decode."""
    segments = [(s.head, [(layer.ops, layer.tensors) for layer in s.layers]) for s in stream.segments]
    return requirements(segments, stream.file_bytes, len(stream.units))
