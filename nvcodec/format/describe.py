"""What ``info`` prints about a stream."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

from nvcodec.format.accounting import KINDS, bytes_by_kind
from nvcodec.format.extras import extras_of
from nvcodec.format.limits import Limits, Requirements, level_of, requirements
from nvcodec.format.operations import Picture
from nvcodec.format.outline import LAYER_UNITS
from nvcodec.format.stream import Stream
from nvcodec.format.stream_reader import File, read_file
from nvcodec.format.units import UnitType

AV1_KEY = "av1"  # metadata key of the AV1 stream's crf and SVT-AV1 preset, a list of both
MAX_QUALITY = 1000  # dB; anybody can write metadata, and JSON has numbers that no float holds


def bits_per_pixel(stream: Stream, file_bytes: int | None = None) -> float:
    """Return the bits per pixel of the shown pictures; those of sound and subtitles do not count.

    Args:
        stream: a file's.
        file_bytes: those of a part with all that is beside the pictures; None for the whole file's.
    """
    pixels = sum(s.head.frames * s.head.width * s.head.height for s in stream.segments)
    kinds = bytes_by_kind(stream)
    of_pictures = (stream.file_bytes if file_bytes is None else file_bytes) - kinds["audio"] - kinds["subtitles"]
    return 8 * of_pictures / pixels


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


def by_segment(stream: Stream) -> list[dict[str, Any]]:
    """Describe each segment: ``first_frame``, ``frames``, ``start_seconds``, ``seconds``, ``width``, ``height``,
    ``bytes`` of its units and the same ``bytes_by_kind``, without those that are 0, ``parameters`` stored in it, and
    ``networks_of``: for each layer the number of the segment that its network is taken from, None where it has one."""
    of_segments = {kind.name for kind in (UnitType.SEGMENT, *LAYER_UNITS, UnitType.SEGMENT_END)}
    kinds: list[Counter[str]] = [Counter() for _ in stream.segments]
    for entry in stream.entries:
        unit = stream.units[entry.unit] if entry.unit >= 0 else None
        if unit and unit.type in of_segments and unit.segment < len(kinds):
            kinds[unit.segment][entry.kind] += entry.bytes
    return [
        {
            "first_frame": segment.head.first_frame,
            "frames": segment.head.frames,
            "start_seconds": float(segment.head.first_pts * stream.time_base),
            "seconds": float(segment.ticks * stream.time_base),
            "width": segment.head.width,
            "height": segment.head.height,
            "bytes": sum(found.values()),
            "bytes_by_kind": {kind: found[kind] for kind in KINDS if found[kind]},
            "parameters": sum(layer.parameters for layer in segment.layers),
            "networks_of": [layer.network_of for layer in segment.layers],
        }
        for segment, found in zip(stream.segments, kinds, strict=True)
    ]


def base_of(stream: Stream) -> dict[str, Any] | None:
    """Describe the AV1 stream of a file; None where there is none.

    Returns:
        ``codec``, ``bytes``, ``runs``, ``longest_run`` in frames, ``depth`` in bits; and ``crf`` and ``preset`` of
        SVT-AV1, which are None unless the metadata state them as numbers.
    """
    runs = [run for segment in stream.segments for run in segment.layers[0].base]
    pictures = [op for segment in stream.segments for op in segment.layers[0].ops if isinstance(op, Picture)]
    if not pictures:
        return None
    stated = stream.metadata.get(AV1_KEY)
    crf = preset = None
    if isinstance(stated, list) and len(stated) == 2 and all(type(part) in (int, float) for part in stated):
        crf, preset = stated if max(map(abs, stated)) <= MAX_QUALITY else (None, None)
    return {
        "codec": "AV1",
        "bytes": sum(len(run.data) for run in runs),
        "runs": len(runs),
        "longest_run": max((run.frames for run in runs), default=0),
        "depth": pictures[0].depth,
        "crf": crf,
        "preset": preset,
    }


def color_of(stream: Stream) -> dict[str, int]:
    """Return the colour coding that a stream states: code points of ITU-T H.273, and 1 (limited) or 2 (full range)."""
    video = stream.video
    return {
        "primaries": video.primaries,
        "transfer": video.transfer,
        "matrix": video.matrix,
        "range": video.color_range,
    }


def tracks_of(stream: Stream) -> list[dict[str, Any]]:
    """Describe each track of audio and subtitles: ``kind``, ``codec``, ``sample_rate``, ``channels``, ``packets``,
    ``bytes`` of these, ``seconds``, ``language``, ``title`` and ``dispositions``."""
    return [
        {
            "kind": track.kind.value,
            "codec": track.codec,
            "sample_rate": track.sample_rate,
            "channels": track.channels,
            "packets": len(track.packets),
            "bytes": track.bytes,
            "seconds": float(track.seconds),
            "language": track.language,
            "title": track.title,
            "dispositions": list(track.dispositions),
        }
        for track in extras_of(stream)[0].tracks
    ]


def describe(stream: Stream) -> dict[str, Any]:
    """Describe a stream as plain numbers, strings, lists and dicts: all that ``info --json`` prints."""
    first = stream.segments[0].head
    video = stream.video
    needs = requirements_of(stream)
    return {
        "format_version": f"{stream.version[0]}.{stream.version[1]}",
        "width": first.width,
        "height": first.height,
        "bits": video.bits,
        "frames": stream.frames,
        "fps": stream.fps,
        "file_bytes": stream.file_bytes,
        "bits_per_pixel": bits_per_pixel(stream),
        "parameters": stream.parameters,
        "layers": stream.layers,
        "by_layer": by_layer(stream),
        "base": base_of(stream),
        "tracks": tracks_of(stream),
        "segments": len(stream.segments),
        "by_segment": by_segment(stream),
        "reused_networks": stream.reused_networks,
        "level": level_of(needs),
        "requirements": dataclasses.asdict(needs),
        "time_base": f"{video.time_base_num}/{video.time_base_den}",
        "duration_seconds": float(stream.seconds),
        "sample_aspect": f"{video.sample_aspect_num}:{video.sample_aspect_den}",
        "color": color_of(stream),
        "metadata": stream.metadata,
        "bytes_by_kind": bytes_by_kind(stream),
        "units": [dataclasses.asdict(unit) for unit in stream.units],
        "entries": [dataclasses.asdict(entry) for entry in stream.entries],
    }


def info(file: File, *, max_pixels: int | None = None, max_memory: int | None = None) -> dict[str, Any]:
    """Describe a file without decoding a picture: what ``nvcodec info --json`` prints.

        nvcodec.info("out.sdmn")["bits_per_pixel"]

    Args:
        file: a path, an address of the web, the bytes of a file, or a file opened in binary mode.
        max_pixels: largest number of pixels a picture may have; None for no limit but the format's.
        max_memory: bytes that decoding may take; None for no limit.

    Raises:
        UsageError, InputError, LimitError, UnsupportedVersionError, CorruptStreamError: as
            :func:`nvcodec.format.stream_reader.read_file` does.
    """
    return describe(read_file(file, Limits(max_pixels, max_memory)))


def requirements_of(stream: Stream) -> Requirements:
    """Work out what decoding a stream takes."""
    segments = [(s.head, [(layer.ops, layer.tensors) for layer in s.layers]) for s in stream.segments]
    return requirements(segments, stream.file_bytes, len(stream.units))
