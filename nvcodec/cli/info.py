"""``nvcodec info``."""

from __future__ import annotations

import json
from typing import Any

import click

from nvcodec.cli.options import PATH, limit_options
from nvcodec.cli.reading import open_stream
from nvcodec.format.accounting import KINDS, bytes_by_kind
from nvcodec.format.code_points import MATRICES, PRIMARIES, TRANSFERS, name_of
from nvcodec.format.describe import base_of, bits_per_pixel, by_layer, by_segment, describe, requirements_of, tracks_of
from nvcodec.format.extras import extras_of
from nvcodec.format.limits import level_of
from nvcodec.format.stream import Stream
from nvcodec.tracks import LUMINANCE_UNIT, Hdr

MOST_SEGMENTS = 12  # that have a line; --json has them all
RANGES = ("unspecified", "limited", "full")


@click.command("info")
@click.argument("file", type=PATH)
@limit_options
@click.option("--bytes", "tables", is_flag=True, help="Show where each byte went as well.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(file: str, max_pixels: int | None, max_memory: int, tables: bool, as_json: bool) -> None:
    """Show what FILE, a path or the address of a file on a web server, contains, how it was made, what decoding it
    takes, and what its bytes are for."""
    stream = open_stream(file, max_pixels, max_memory)
    if as_json:
        click.echo(json.dumps(describe(stream), indent=2))
        return
    lines = _report(file, stream)
    if tables:
        lines += ["", *_kinds(stream), "", *_entries(stream)]
    click.echo("\n".join(lines))


def _report(file: str, stream: Stream) -> list[str]:
    """Describe a stream, the most asked for first."""
    head, video, needs = stream.segments[0].head, stream.video, requirements_of(stream)
    seconds, base, bits = float(stream.seconds), base_of(stream), stream.video.bits
    networks = [f"{stream.parameters} parameters", f"{stream.layers} layer(s)", f"{len(stream.segments)} segment(s)"]
    networks += [f"{stream.reused_networks} network(s) of earlier segments"] if stream.reused_networks else []
    bitrate = f"{8 * stream.file_bytes / seconds / 1000:.1f} kbit/s, " if seconds else ""
    rows = [
        ("format", f"SDMN {stream.version[0]}.{stream.version[1]}"),
        ("pictures", f"{stream.frames} of {head.width}x{head.height}, {stream.fps:.3f} frames/s, {seconds:.3f} s"),
        ("depth", f"{bits} bits, {base['depth']} in the AV1 stream" if base else f"{bits} bits"),
        ("colour", _colour(stream)),
        (
            "time base",
            f"{video.time_base_num}/{video.time_base_den} s; sample aspect "
            f"{video.sample_aspect_num}:{video.sample_aspect_den}",
        ),
        ("encoder", _encoder(stream, base)),
        ("size", f"{stream.file_bytes} bytes, {bitrate}{bits_per_pixel(stream):.4f} bits per pixel"),
        ("networks", ", ".join(networks)),
    ]
    if hdr := _display_and_light(extras_of(stream)[0].hdr):
        rows.insert(4, ("HDR", hdr))
    if base:
        rows.append(
            ("AV1 stream", f"{base['bytes']} bytes, {base['runs']} run(s) of at most {base['longest_run']} frames")
        )
    rows += [(f"track {number}", _track(track)) for number, track in enumerate(tracks_of(stream))]
    rows.append(
        (
            "decoding",
            f"level {level_of(needs)}: {needs.multiplications_per_pixel} multiplications per pixel, {needs.elements} "
            f"integers alive at once, about {-(-needs.memory // 2**20)} MiB",
        )
    )
    kinds = sorted(bytes_by_kind(stream).items(), key=lambda item: -item[1])
    rows.append(("bytes", ", ".join(f"{kind} {n / stream.file_bytes:.2%}" for kind, n in kinds if n)))
    lines = [click.format_filename(file), *(f"{name:<12}{text}" for name, text in rows)]
    lines += _segments(stream)
    if len(layers := by_layer(stream)) > 1:
        lines += ["", f"{'layer':<14}{'bytes':>12}{'up to it':>12}{'PSNR':>12}"]
        for number, row in enumerate(layers):
            quality = "not stated" if row["psnr_rgb"] is None else f"{row['psnr_rgb']:.2f} dB"
            lines.append(f"{number:<14}{row['bytes']:>12}{row['file_bytes']:>12}{quality:>12}")
    return lines


def _track(track: dict[str, Any]) -> str:
    """Return what there is to say of a track of audio or subtitles."""
    sound = [f"{track['sample_rate']} Hz", f"{track['channels']} channel(s)"] if track["sample_rate"] else []
    words = [word for word in (track["language"], track["title"], *track["dispositions"]) if word]
    size = [f"{track['seconds']:.1f} s", f"{track['packets']} packets", f"{track['bytes']} bytes"]
    return ", ".join(" ".join(part.split()) for part in (track["kind"], track["codec"], *sound, *size, *words))


def _colour(stream: Stream) -> str:
    """Return the colour coding that the source declared, in words."""
    video = stream.video
    parts = {
        "primaries": name_of(PRIMARIES, video.primaries),
        "transfer": name_of(TRANSFERS, video.transfer),
        "matrix": name_of(MATRICES, video.matrix),
        "range": RANGES[video.color_range],
    }
    if len(set(parts.values())) == 1:
        return f"{parts['range']} in the source"
    return ", ".join(f"{part} {name}" for part, name in parts.items()) + " in the source"


def _display_and_light(hdr: Hdr) -> str:
    """Return what a source said of its display and light, in words; empty where it said nothing."""
    parts = []
    if hdr.mastering:
        most, least = (float(value * LUMINANCE_UNIT) for value in hdr.mastering[8:])
        parts.append(f"mastered for {least:g} to {most:g} cd/m2")
    if hdr.light:
        parts.append("content up to {}, {} on average".format(*hdr.light))
    return ", ".join(parts)


def _encoder(stream: Stream, base: dict[str, Any] | None) -> str:
    """Return what a file says of the program and the settings that made it."""
    stated = stream.metadata.get("encoder")
    name = " ".join(stated.split()) if isinstance(stated, str) and stated.isprintable() else "not stated"
    return name if not base or base["crf"] is None else f"{name}, crf {base['crf']:g}, SVT-AV1 preset {base['preset']}"


def _segments(stream: Stream) -> list[str]:
    """Return the table of segments, if there are several: of many, only the first."""
    if len(rows := by_segment(stream)) == 1:
        return []
    lines = [
        "",
        f"{'segment':<8}{'frames':>16}{'from, s':>12}{'size':>12}{'parameters':>12}{'bytes':>12}  most of them",
    ]
    for number, row in enumerate(rows[:MOST_SEGMENTS]):
        frames = f"{row['first_frame']} to {row['first_frame'] + row['frames'] - 1}"
        size = f"{row['width']}x{row['height']}"
        kinds = sorted(row["bytes_by_kind"].items(), key=lambda item: -item[1])[:3]
        most = ", ".join(f"{kind} {count}" for kind, count in kinds)
        where = f"{number:<8}{frames:>16}{row['start_seconds']:>12.3f}"
        lines.append(f"{where}{size:>12}{row['parameters']:>12}{row['bytes']:>12}  {most}")
    if len(rows) > MOST_SEGMENTS:
        lines.append(f"and {len(rows) - MOST_SEGMENTS} more, which --json lists")
    return lines


def _kinds(stream: Stream) -> list[str]:
    """Return the table of bytes by kind."""
    kinds = bytes_by_kind(stream)
    return [
        f"{'kind':<14}{'bytes':>12}{'share':>9}",
        *(f"{kind:<14}{kinds[kind]:>12}{kinds[kind] / stream.file_bytes:>9.2%}" for kind in KINDS),
    ]


def _entries(stream: Stream) -> list[str]:
    """Return the table of every part's bytes."""
    lines = [f"{'what':<48}{'bytes':>10}{'values':>10}{'bits each':>11}{'share':>9}"]
    for entry in stream.entries:
        each = f"{8 * entry.bytes / entry.values:.3f}" if entry.values else ""
        values = str(entry.values) if entry.values else ""
        share = f"{entry.bytes / stream.file_bytes:.2%}"
        lines.append(f"{entry.label:<48}{entry.bytes:>10}{values:>10}{each:>11}{share:>9}")
    return lines
