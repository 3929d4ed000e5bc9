"""``nvcodec extract``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from nvcodec.cli.options import PATH, limit_options
from nvcodec.cli.reading import check_output, open_file, wanted_extras
from nvcodec.decoding.shader import shader_text
from nvcodec.errors import UsageError
from nvcodec.format.stream_reader import layer_ends
from nvcodec.notes import note_left_out

if TYPE_CHECKING:
    from nvcodec.format.stream import Stream


@click.command("extract")
@click.argument("file", type=PATH)
@click.option("--layers", type=click.IntRange(1), help="Number of quality layers to keep, as an .sdmn file.")
@click.option("--base", is_flag=True, help="Write the AV1 stream, which any player shows, as it is.")
@click.option(
    "--shader",
    is_flag=True,
    help="Write the networks above the AV1 stream as a user shader for mpv and libplacebo, to play the file of --base "
    "with.",
)
@click.option(
    "-o",
    "--output",
    type=PATH,
    required=True,
    help="The .sdmn file to write, or the .glsl file of --shader, - is standard output; with --base a .mp4, .mkv, "
    ".webm, .ivf or .obu file.",
)
@click.option("--no-audio", is_flag=True, help="With --base: leave out the sound.")
@limit_options
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing output.")
def command(
    file: str,
    layers: int | None,
    base: bool,
    shader: bool,
    output: str,
    no_audio: bool,
    max_pixels: int | None,
    max_memory: int,
    overwrite: bool,
) -> None:
    """Write a part of FILE as a file of its own: its first layers, its AV1 stream with sound, subtitles, chapters and
    tags, or its networks as a shader. Nothing is encoded again."""
    if (layers is not None) + base + shader != 1:
        raise UsageError("give one of --layers, --base and --shader")
    stream, data = open_file(file, max_pixels, max_memory)
    if layers is not None and layers > stream.layers:
        raise UsageError(f"{file} has {stream.layers} layer(s); {layers} were asked for")
    if (base or shader) and not any(segment.layers[0].base for segment in stream.segments):
        raise UsageError(f"{file} has no AV1 stream: it is a network alone")
    if not base:
        content = shader_text(stream).encode() if layers is None else first_layers(stream, data, layers)
        if output == "-":
            sys.stdout.buffer.write(content)
            return
    from nvcodec.files import atomic_file

    check_output(output, file, overwrite)
    if base:
        from nvcodec.encoding.wrapping import write_base

        note_left_out(output, write_base(stream, output, wanted_extras(stream, not no_audio)))
        return
    with atomic_file(output) as temporary:
        temporary.write_bytes(content)


def first_layers(stream: Stream, data: bytes, layers: int) -> bytes:
    """Return a file of the first layers of another; its first bytes, if layer follows layer in it."""
    if ends := layer_ends(data):
        return data[: ends[layers - 1]]
    from nvcodec.format.stream_writer import write_stream

    for segment in stream.segments:
        del segment.layers[layers:]
    return write_stream(stream)
