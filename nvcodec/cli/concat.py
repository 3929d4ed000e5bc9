"""``nvcodec concat``."""

from __future__ import annotations

import functools
import io
import sys

import click

from nvcodec.cli.options import PATH, limit_options
from nvcodec.cli.reading import check_output, open_stream
from nvcodec.errors import UsageError
from nvcodec.notes import note_left_out


@click.command("concat")
@click.argument("files", type=PATH, nargs=-1, required=True)
@click.option("-o", "--output", type=PATH, required=True, help="The .sdmn file to write, - is standard output.")
@limit_options
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing output.")
def command(files: tuple[str, ...], output: str, max_pixels: int | None, max_memory: int, overwrite: bool) -> None:
    """Join FILES, one after the other, with sound, subtitles and chapters, as one .sdmn file. Nothing is encoded again:
    every picture is that of its file. Sizes of pictures may differ; colours, bits, shape of samples and number of
    layers must be the same."""
    from nvcodec.files import atomic_file
    from nvcodec.format.joining import join

    if "-" in files:
        raise UsageError("each file is read twice; standard input can be read only once")
    reads = [functools.partial(open_stream, file, max_pixels, max_memory) for file in files]
    if output == "-":
        content = io.BytesIO()
        note_left_out(output, join(content, reads))
        sys.stdout.buffer.write(content.getvalue())
        return
    for file in files:
        check_output(output, file, overwrite)
    with atomic_file(output) as temporary:
        with temporary.open("wb") as opened:
            left_out = join(opened, reads)
        note_left_out(output, left_out)
