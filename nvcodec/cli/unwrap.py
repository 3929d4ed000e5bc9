"""``nvcodec unwrap``."""

from __future__ import annotations

import sys

import click

from nvcodec.cli.options import PATH, limit_options
from nvcodec.cli.reading import check_output, open_file


@click.command("unwrap")
@click.argument("file", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="The .sdmn file to write; - is standard output.")
@limit_options
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing output.")
def command(file: str, output: str, max_pixels: int | None, max_memory: int, overwrite: bool) -> None:
    """Write the .sdmn file that an .mp4 of nvcodec wrap, or of encode, has inside, byte for byte."""
    if output != "-":
        check_output(output, file, overwrite)
    _, data = open_file(file, max_pixels, max_memory)  # whose hashes prove it
    if output == "-":
        sys.stdout.buffer.write(data)
        return
    from nvcodec.files import atomic_file

    with atomic_file(output) as temporary:
        temporary.write_bytes(data)
