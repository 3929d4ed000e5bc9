"""``nvcodec encode``."""

from __future__ import annotations

import json
import os
import sys
from fractions import Fraction

import click

from nvcodec.cli.options import (
    RateType,
    Status,
    device_options,
    duration,
    selection_options,
    volume_options,
)
from nvcodec.errors import UsageError
from nvcodec.model.shape import BLOCKS, DEFAULT_BLOCK, DEFAULT_SKIP, DEFAULT_Z_GAIN, SKIPS


@click.command("encode")
@click.argument("source")
@click.option("-o", "--output", required=True, help="The .sdmn file to write; - is standard output.")
@click.option("--size", required=True, help="Parameters to store, such as 300k or 3M; all that is stored counts.")
@selection_options
@click.option("--fps", type=RateType(), help="Frame rate of images, or in place of the video's time stamps.")
@click.option("--epochs", type=float, help="How often each frame is seen; 28 if not given, more for short clips.")
@click.option("--steps", type=click.IntRange(1), help="Updates, one frame each, in place of --epochs.")
@click.option(
    "--skip", type=click.Choice(SKIPS), default=DEFAULT_SKIP, help="How features reach the decoder.", show_default=True
)
@click.option(
    "--block",
    type=click.Choice(BLOCKS),
    default=DEFAULT_BLOCK,
    help="rep: sums of branches while fitted.",
    show_default=True,
)
@click.option("--z-gain", type=float, default=DEFAULT_Z_GAIN, help="Deviation of z; 0: off.", show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@device_options
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing output.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@volume_options
def command(
    source: str,
    output: str,
    size: str,
    crop: tuple[int, int] | None,
    scale: tuple[int, int] | None,
    start: int,
    frames: int | None,
    fps: Fraction | None,
    epochs: float | None,
    steps: int | None,
    skip: str,
    block: str,
    z_gain: float,
    seed: int,
    device: str,
    threads: int | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Fit a network to SOURCE, a video file or a folder of images, and write it as an .sdmn file.

    The file is decoded once more at the end and compared with what the encoder meant.
    """
    if output == "-" and as_json:
        raise UsageError("-o - and --json both want stdout")
    if os.path.isdir(output):
        raise UsageError(f"{output} is a folder; name the .sdmn file to write")
    from nvcodec.encoder import encode
    from nvcodec.fit.loop import Progress

    status = Status(quiet)

    def report(progress: Progress) -> None:
        status.show(
            f"step {progress.step}/{progress.steps}  loss {progress.loss:.5f}  PSNR {progress.psnr:.2f} dB  "
            f"{progress.step / max(progress.seconds, 1e-9):.1f} frames/s  {duration(progress.seconds_left)} left"
        )

    status.show(f"reading {source}")
    try:
        result = encode(
            source,
            None if output == "-" else output,
            size=size,
            crop=crop,
            scale=scale,
            start=start,
            frames=frames,
            fps=fps,
            epochs=epochs,
            steps=steps,
            skip=skip,
            block=block,
            z_gain=z_gain,
            seed=seed,
            device=device,
            threads=threads,
            report=report,
            overwrite=overwrite,
        )
    finally:
        status.clear()
    if output == "-":
        sys.stdout.buffer.write(result.data)
    pixels = result.frames * result.shape.width * result.shape.height
    if as_json:
        summary = {
            "file": output,
            "file_bytes": len(result.data),
            "bits_per_pixel": 8 * len(result.data) / pixels,
            "frames": result.frames,
            "width": result.shape.width,
            "height": result.shape.height,
            "parameters": result.parameters,
            "skip_scales": len(result.shape.skip_grids),
            "psnr_rgb": result.psnr,
            "seconds": result.seconds,
        }
        click.echo(json.dumps(summary, indent=2))
    if not quiet:
        click.echo(
            f"{output}: {result.frames} frames of {result.shape.width}x{result.shape.height}, "
            f"{len(result.data)} bytes, {result.parameters} parameters, {result.psnr:.2f} dB, "
            f"{duration(sum(result.seconds.values()))}",
            err=True,
        )
    if verbose:
        click.echo(f"network: {result.shape}", err=True)
        click.echo("  ".join(f"{name} {seconds:.1f} s" for name, seconds in result.seconds.items()), err=True)
