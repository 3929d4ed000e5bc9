"""``nvcodec info``."""

from __future__ import annotations

import json

import click

from nvcodec.cli.options import limit_options
from nvcodec.cli.reading import open_stream
from nvcodec.format.accounting import KINDS, bytes_by_kind
from nvcodec.format.describe import bits_per_pixel, by_layer, describe, requirements_of
from nvcodec.format.limits import level_of
from nvcodec.format.stream import Stream


@click.command("info")
@click.argument("file")
@limit_options
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(file: str, max_pixels: int | None, max_memory: int, as_json: bool) -> None:
    """Show what FILE contains and where each of its bytes went."""
    stream = open_stream(file, max_pixels, max_memory)
    if as_json:
        click.echo(json.dumps(describe(stream), indent=2))
    else:
        click.echo("\n".join(_report(file, stream)))


def _report(file: str, stream: Stream) -> list[str]:
    head = stream.segments[0].head
    needs = requirements_of(stream)
    lines = [
        f"{click.format_filename(file)}: SDMN {stream.version[0]}.{stream.version[1]}, {head.width}x{head.height}, "
        f"{stream.frames} frames, "
        f"{stream.fps:.3f} frames/s, {float(stream.seconds):.3f} s",
        f"{stream.file_bytes} bytes, {bits_per_pixel(stream):.4f} bits per pixel, {stream.parameters} parameters, "
        f"{len(stream.segments)} segment(s), {stream.layers} layer(s)",
        f"level {level_of(needs)}: {needs.multiplications_per_pixel} multiplications per pixel, {needs.elements} "
        f"integers alive at once; decoding takes about {-(-needs.memory // 2**20)} MiB",
        "",
    ]
    if stream.layers > 1:
        lines += [f"{'layer':<14}{'bytes':>12}{'up to it':>12}{'PSNR':>12}"]
        for number, row in enumerate(by_layer(stream)):
            quality = "not stated" if row["psnr_rgb"] is None else f"{row['psnr_rgb']:.2f} dB"
            lines.append(f"{number:<14}{row['bytes']:>12}{row['file_bytes']:>12}{quality:>12}")
        lines += [""]
    kinds = bytes_by_kind(stream)
    lines += [f"{'kind':<14}{'bytes':>12}{'share':>9}"]
    lines += [f"{kind:<14}{kinds[kind]:>12}{kinds[kind] / stream.file_bytes:>9.2%}" for kind in KINDS]
    lines += ["", f"{'what':<48}{'bytes':>10}{'values':>10}{'bits each':>11}{'share':>9}"]
    for entry in stream.entries:
        each = f"{8 * entry.bytes / entry.values:.3f}" if entry.values else ""
        values = str(entry.values) if entry.values else ""
        share = f"{entry.bytes / stream.file_bytes:.2%}"
        lines.append(f"{entry.label:<48}{entry.bytes:>10}{values:>10}{each:>11}{share:>9}")
    return lines
