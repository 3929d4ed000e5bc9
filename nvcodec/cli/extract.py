"""``nvcodec extract``."""

from __future__ import annotations

import os
import sys

import click

from nvcodec.cli.options import limit_options
from nvcodec.cli.reading import open_file
from nvcodec.errors import UsageError
from nvcodec.format.stream_reader import layer_ends


@click.command("extract")
@click.argument("file")
@click.option("--layers", type=click.IntRange(1), required=True, help="Number of quality layers to keep.")
@click.option("-o", "--output", required=True, help="The .sdmn file to write; - is standard output.")
@limit_options
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing output.")
def command(file: str, layers: int, output: str, max_pixels: int | None, max_memory: int, overwrite: bool) -> None:
    """Write the first layers of FILE as a file of its own: they are its first bytes, nothing is encoded again."""
    stream, data = open_file(file, max_pixels, max_memory)
    if layers > stream.layers:
        raise UsageError(f"{file} has {stream.layers} layer(s); {layers} were asked for")
    kept = data[: layer_ends(data)[layers - 1]]
    if output == "-":
        sys.stdout.buffer.write(kept)
        return
    from nvcodec.files import atomic_file, is_same_file

    if is_same_file(output, file):
        raise UsageError(f"{output} is the file to take from; give the output another name")
    if os.path.isdir(output):
        raise UsageError(f"{output} is a folder; name the .sdmn file to write")
    if os.path.exists(output) and not overwrite:
        raise UsageError(f"{output} exists; -y replaces it")
    with atomic_file(output) as temporary:
        temporary.write_bytes(kept)
