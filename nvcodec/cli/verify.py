"""``nvcodec verify``."""

from __future__ import annotations

import dataclasses
import json

import click

from nvcodec.cli.options import PATH, Status, device_options, limit_options, volume_options
from nvcodec.cli.reading import read_bytes
from nvcodec.errors import CorruptStreamError, NvcodecError, VerificationError
from nvcodec.format.limits import Limits


@dataclasses.dataclass
class _Result:
    """Result for one file; ``error`` is empty if all is well."""

    file: str
    frames: int = 0
    layers: int = 0
    file_bytes: int = 0
    error: str = ""
    exit_code: int = 0


@click.command("verify")
@click.argument("files", type=PATH, nargs=-1, required=True, metavar="FILE...")
@device_options
@limit_options
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
@volume_options
def command(
    files: tuple[str, ...],
    device: str,
    threads: int | None,
    max_pixels: int | None,
    max_memory: int,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Check each FILE completely: framing, checksums and hashes, the proof that arithmetic is exact, and every picture
    of every layer. Writes nothing.

    The exit code is that of the first file that fails.
    """
    limits = Limits(max_pixels, max_memory)
    status = Status(quiet)
    results = []
    for file in files:
        result = _Result(file)
        try:
            _check(result, limits, device, threads, status)
        except NvcodecError as error:
            message = str(error).removeprefix(f"{file}: ")
            result.error, result.exit_code = " ".join(message.split()), error.exit_code
        finally:
            status.clear()
        results.append(result)
        if not as_json and not (quiet and not result.error):
            found = result.error or f"ok, {result.frames} frames, {result.layers} layer(s), {result.file_bytes} bytes"
            click.echo(f"{click.format_filename(file)}: {found}")
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(result) for result in results], indent=2))
    raise click.exceptions.Exit(next((result.exit_code for result in results if result.error), 0))


def _check(result: _Result, limits: Limits, device: str, threads: int | None, status: Status) -> None:
    """Check one file and fill in the result.

    Raises:
        NvcodecError: what is wrong with the file.
    """
    from nvcodec.format.stream_reader import read_stream

    status.show(f"{result.file}: reading")
    stream = read_stream(read_bytes(result.file, limits), limits)
    result.frames, result.layers, result.file_bytes = stream.frames, stream.layers, stream.file_bytes
    if stream.note:
        raise CorruptStreamError(stream.note)

    import torch

    from nvcodec.decoding.decoded_video import Video

    if threads:
        torch.set_num_threads(threads)
    wrong = []
    for layers in range(1, stream.layers + 1):
        status.show(f"{result.file}: decoding with {layers} of {stream.layers} layer(s)")
        failed = Video(stream, device=device, layers=layers).failing(range(stream.frames))
        wrong += [f"frames {frames[0]} to {frames[-1]} of layer {layers - 1}" for frames in failed]
    if wrong:
        raise VerificationError(f"pictures do not have their checksums: {', '.join(wrong)}")
