"""``nvcodec encode``."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from fractions import Fraction

import click

from nvcodec.cli.options import (
    BytesType,
    RateType,
    Status,
    TimeType,
    device_options,
    duration,
    selection_options,
    volume_options,
)
from nvcodec.errors import Interrupted, UsageError, VerificationError
from nvcodec.memory import peak_memory
from nvcodec.model.shape import BLOCKS, DEFAULT_BLOCK, DEFAULT_SKIP, DEFAULT_Z_GAIN, SKIPS


@click.command("encode")
@click.argument("source")
@click.option("-o", "--output", required=True, help="The .sdmn file to write; - is standard output.")
@click.option("--size", required=True, help="Parameters to store, such as 300k or 3M; all that is stored counts.")
@selection_options
@click.option("--fps", type=RateType(), help="Frame rate of images, or in place of the video's time stamps.")
@click.option(
    "--preset",
    type=click.Choice(("draft", "normal", "fine", "finest")),
    help="How long to fit: a quarter of the time of normal (the default), normal, 4 times, 16 times.",
)
@click.option("--epochs", type=float, help="How often each frame is seen, in place of --preset (normal: 28 or more).")
@click.option("--steps", type=click.IntRange(1), help="Updates, one frame each, in place of --preset.")
@click.option("--time-limit", type=TimeType(), help="All the time there is, such as 90s, 10m or 1h30m.")
@click.option("--target-psnr", type=float, help="Stop when this is reached, dB; exit code 6 when it is not.")
@click.option(
    "--lambda",
    "rd_lambda",
    type=float,
    default=0.0,
    show_default=True,
    help="dB of quality that twice the bytes are worth: from 1 to 2, files are a third smaller.",
)
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
@click.option(
    "--loss",
    type=click.Choice(("l2", "l1", "l1-ssim")),
    default="l2",
    show_default=True,
    help="What the fit makes small: squared error, absolute error, 0.7 of that with 0.3 of 1 - SSIM.",
)
@click.option(
    "--weights", metavar="MASKS", help="Importance of each pixel: a folder of pictures or a video, a frame each."
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@device_options
@click.option("--init", metavar="FILE", help="Start from the network of an .sdmn file.")
@click.option(
    "--max-memory", type=BytesType(), help="Memory to use, such as 2G; a larger clip is read from a temporary file."
)
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing output or checkpoint.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint of an interrupted encode beside the output.")
@click.option("--checkpoint-every", type=TimeType(), default="30s", show_default=True, help="How often it is written.")
@click.option(
    "--on-interrupt",
    type=click.Choice(("checkpoint", "write")),
    default="checkpoint",
    show_default=True,
    help="What Ctrl-C does: keep the state for --resume, or finish in seconds and write the file.",
)
@click.option(
    "--progress",
    type=click.Choice(("line", "json", "none")),
    default="line",
    show_default=True,
    help="On stderr: a line that changes (on a terminal), a JSON object a line, nothing.",
)
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
    preset: str | None,
    epochs: float | None,
    steps: int | None,
    time_limit: float | None,
    target_psnr: float | None,
    rd_lambda: float,
    skip: str,
    block: str,
    z_gain: float,
    loss: str,
    weights: str | None,
    seed: int,
    device: str,
    threads: int | None,
    init: str | None,
    max_memory: int | None,
    overwrite: bool,
    resume: bool,
    checkpoint_every: float,
    on_interrupt: str,
    progress: str,
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
    from nvcodec.fit.run import Progress

    status = Status(quiet or progress != "line")

    def report(now: Progress) -> None:
        if progress == "json":
            click.echo(json.dumps(dataclasses.asdict(now)), err=True)
        status.show(
            f"step {now.step}/{now.steps}  loss {now.loss:.5f}  PSNR {now.psnr:.2f} dB  "
            f"{now.step / max(now.seconds, 1e-9):.1f} frames/s  {duration(now.seconds_left)} left"
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
            preset=preset,
            epochs=epochs,
            steps=steps,
            time_limit=time_limit,
            target_psnr=target_psnr,
            rd_lambda=rd_lambda,
            skip=skip,
            block=block,
            z_gain=z_gain,
            loss=loss,
            weights=weights,
            seed=seed,
            device=device,
            threads=threads,
            report=report,
            init=init,
            max_memory=max_memory,
            overwrite=overwrite,
            resume=resume,
            checkpoint_every=checkpoint_every,
            on_interrupt=on_interrupt,
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
            "peak_memory_bytes": peak_memory(),
            "interrupted": result.interrupted,
        }
        click.echo(json.dumps(summary, indent=2))
    if not quiet:
        click.echo(
            f"{output}: {result.frames} frames of {result.shape.width}x{result.shape.height}, "
            f"{len(result.data)} bytes, {result.parameters} parameters, {result.psnr:.2f} dB, "
            f"{duration(sum(result.seconds.values()))}",
            err=True,
        )
        spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.seconds.items())
        click.echo(f"{spent}; peak memory {peak_memory() / 2**20:.0f} MiB", err=True)
    if verbose:
        click.echo(f"network: {result.shape}", err=True)
    if result.interrupted:
        raise Interrupted(f"interrupted; {output} holds what had been reached")
    if target_psnr is not None and result.psnr < target_psnr:
        raise VerificationError(f"the target of {target_psnr:g} dB was missed: {output} has {result.psnr:.2f} dB")
