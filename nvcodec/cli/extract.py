"""``nvcodec extract``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from nvcodec.cli.options import PATH, MomentType, limit_options
from nvcodec.cli.reading import Moment, check_output, chosen_frames, open_file, wanted_extras
from nvcodec.decoding.shader import shader_text
from nvcodec.errors import UsageError
from nvcodec.format.stream_reader import layer_ends
from nvcodec.notes import note, note_left_out

if TYPE_CHECKING:
    from nvcodec.format.stream import Stream


@click.command("extract")
@click.argument("file", type=PATH)
@click.option("--layers", type=click.IntRange(1), help="Number of quality layers to keep, as an .sdmn file.")
@click.option("--start", type=MomentType(), help="Keep frames from here on: a number, or a time such as 1:30.5.")
@click.option("--end", type=MomentType(), help="Keep frames before this one: a number, or a time.")
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
    start: Moment | None,
    end: Moment | None,
    base: bool,
    shader: bool,
    output: str,
    no_audio: bool,
    max_pixels: int | None,
    max_memory: int,
    overwrite: bool,
) -> None:
    """Write a part of FILE as a file of its own: its first layers, the frames from --start to --end, its AV1 stream
    with sound, subtitles, chapters and tags, or its networks as a shader. Nothing is encoded again, so a part in time
    begins and ends where runs of the AV1 stream do."""
    part = (start, end) != (None, None)
    if (layers is not None) + part + base + shader != 1:
        raise UsageError("give one of --layers, --start or --end, --base and --shader")
    stream, data = open_file(file, max_pixels, max_memory)
    if layers is not None and layers > stream.layers:
        raise UsageError(f"{file} has {stream.layers} layer(s); {layers} were asked for")
    if (base or shader) and not any(segment.layers[0].base for segment in stream.segments):
        raise UsageError(f"{file} has no AV1 stream: it is a network alone")
    if not base:
        if part:
            content = part_of(stream, chosen_frames(stream, file, start or 0, None, end))
        else:
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


def part_of(stream: Stream, frames: range) -> bytes:
    """Return a file of the smallest part of another that holds some frames; says where it holds more."""
    from nvcodec.format.cutting import cut, without_checksums
    from nvcodec.format.stream_writer import write_stream

    made, held = cut(stream, frames)
    if held != frames:
        note(
            stream.name,
            f"frames {frames.start} to {frames.stop - 1} are in runs, so {held.start} to {held.stop - 1} are kept",
        )
    if without_checksums(stream.segments, made):
        note_left_out(stream.name, ["picture checksums that cover frames outside the part, too"])
    return write_stream(made)
