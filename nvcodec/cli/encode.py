"""``nvcodec encode``."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import click

from nvcodec.cli.options import (
    BitrateType,
    BytesType,
    FileSizesType,
    RateType,
    Status,
    TimeType,
    device_options,
    duration,
    selection_options,
    volume_options,
)
from nvcodec.encoding.model.network_shape import (
    BLOCKS,
    DEFAULT_BLOCK,
    DEFAULT_GRIDS,
    DEFAULT_SKIP,
    DEFAULT_Z_GAIN,
    SKIPS,
)
from nvcodec.errors import Interrupted, UsageError, VerificationError
from nvcodec.memory import peak_memory

if TYPE_CHECKING:
    from nvcodec.encoding.assembly import Encoded


@click.command("encode")
@click.argument("source")
@click.option("-o", "--output", required=True, help="The .sdmn file to write; - is standard output.")
@click.option(
    "--size",
    help="Parameters to store, such as 300k or 3M; all that is stored counts. 3M,1M,1M: a base layer and two more.",
)
@click.option(
    "--add-layer",
    nargs=2,
    metavar="SIZE FILE",
    help="Add an enhancement layer of that size to an .sdmn file of the same frames; --size is not needed then.",
)
@click.option("--joint", is_flag=True, help="Fit the layers of --size together at the end, too.")
@click.option(
    "--target-size",
    type=FileSizesType(),
    help="What the file may take, such as 150kB; it will be at most 2 % smaller. Several, with commas between, make "
    "several files of one fit, named by the {} in OUTPUT. Exit code 6 where it is missed.",
)
@click.option("--bitrate", type=BitrateType(), help="The same in bits a second, such as 250k.")
@click.option(
    "--target-psnr",
    type=float,
    help="Stop when this is reached, dB; exit code 6 when it is not. Without --size, save what it does not need.",
)
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
@click.option(
    "--lambda",
    "rd_lambda",
    type=float,
    default=1.5,
    show_default=True,
    help="dB of quality that twice the bytes are worth; 0: bytes do not count.",
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
    "--grids",
    type=click.FloatRange(0, 1),
    default=DEFAULT_GRIDS,
    show_default=True,
    help="Share of the parameters that feature grids may take; 0: none.",
)
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
    size: str | None,
    add_layer: tuple[str, str] | None,
    joint: bool,
    target_size: list[int] | None,
    bitrate: float | None,
    target_psnr: float | None,
    crop: tuple[int, int] | None,
    scale: tuple[int, int] | None,
    start: int,
    frames: int | None,
    every: int,
    fps: Fraction | None,
    preset: str | None,
    epochs: float | None,
    steps: int | None,
    time_limit: float | None,
    rd_lambda: float,
    skip: str,
    block: str,
    z_gain: float,
    grids: float,
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
    if output == "-" and target_size and len(target_size) > 1:
        raise UsageError("several sizes make several files; -o - takes one")
    if os.path.isdir(output):
        raise UsageError(f"{output} is a folder; name the .sdmn file to write")
    if add_layer and size:
        raise UsageError("--add-layer says the size of the layer; leave --size out")
    onto = None
    if add_layer:
        size, onto = add_layer
    from nvcodec.encoding.encoder import encode, file_names
    from nvcodec.encoding.fit.fit_loop import Progress

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
            target_size=target_size,
            bitrate=bitrate,
            target_psnr=target_psnr,
            crop=crop,
            scale=scale,
            start=start,
            frames=frames,
            every=every,
            fps=fps,
            preset=preset,
            epochs=epochs,
            steps=steps,
            time_limit=time_limit,
            rd_lambda=rd_lambda,
            skip=skip,
            block=block,
            z_gain=z_gain,
            grids=grids,
            loss=loss,
            weights=weights,
            seed=seed,
            device=device,
            threads=threads,
            report=report,
            init=init,
            onto=onto,
            joint=joint,
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
    files = result.ladder or (result,)
    names = file_names(output, target_size or [])
    if as_json:
        summaries = [_summary(file, name) for file, name in zip(files, names, strict=True)]
        click.echo(json.dumps(summaries if result.ladder else summaries[0], indent=2))
    if not quiet:
        for file, name in zip(files, names, strict=True):
            click.echo(
                f"{name}: {file.frames} frames of {file.shape.width}x{file.shape.height}, "
                f"{len(file.data)} bytes, {file.parameters} parameters, {file.psnr:.2f} dB, "
                f"{duration(sum(file.seconds.values()))}",
                err=True,
            )
        for number, layer in enumerate(result.layers if len(result.layers) > 1 else ()):
            click.echo(f"up to fitted layer {number}: {len(layer.data)} bytes, {layer.psnr:.2f} dB", err=True)
        spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.seconds.items())
        click.echo(f"{spent}; peak memory {peak_memory() / 2**20:.0f} MiB", err=True)
    if verbose:
        click.echo(f"network: {result.shape}", err=True)
    if any(file.interrupted for file in files):
        raise Interrupted(f"interrupted; {output} holds what had been reached")
    missed = [
        f"{name} has {len(file.data)} of {file.target_bytes} bytes"
        for file, name in zip(files, names, strict=True)
        if not file.on_size
    ]
    if target_psnr is not None and result.psnr < target_psnr:
        missed = [f"{output} has {result.psnr:.2f} of {target_psnr:g} dB"]
    if missed:
        raise VerificationError(f"the target was missed: {', '.join(missed)}")


def _summary(file: Encoded, name: str) -> dict[str, Any]:
    return {
        "file": name,
        "file_bytes": len(file.data),
        "target_bytes": file.target_bytes,
        "bits_per_pixel": 8 * len(file.data) / (file.frames * file.shape.width * file.shape.height),
        "frames": file.frames,
        "width": file.shape.width,
        "height": file.shape.height,
        "parameters": file.parameters,
        "skip_scales": len(file.shape.skip_grids),
        "psnr_rgb": file.psnr,
        "seconds": file.seconds,
        "peak_memory_bytes": peak_memory(),
        "interrupted": file.interrupted,
    }
