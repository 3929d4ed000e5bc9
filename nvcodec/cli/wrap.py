"""``nvcodec wrap``."""

from __future__ import annotations

import click

from nvcodec.cli.options import PATH, limit_options
from nvcodec.cli.reading import check_output, read_bytes
from nvcodec.errors import UsageError
from nvcodec.format.limits import Limits
from nvcodec.notes import note_left_out


@click.command("wrap")
@click.argument("file", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, help="The .mp4 file to write.")
@limit_options
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing output.")
def command(file: str, output: str, max_pixels: int | None, max_memory: int, overwrite: bool) -> None:
    """Write FILE as an .mp4 that any player shows: its AV1 stream with sound and tags; and the networks, for nvcodec.

    Nothing is encoded again. All commands read the .mp4 as they read FILE; nvcodec unwrap gives FILE back.
    """
    from nvcodec.encoding.wrapping import is_wrapped, wrap

    if not is_wrapped(output):
        raise UsageError(f"{output} must end in .mp4")
    check_output(output, file, overwrite)
    note_left_out(output, wrap(read_bytes(file, Limits(max_pixels, max_memory)), output))
