"""``nvcodec encode``. Meaning, defaults and choices of the options are those of :class:`nvcodec.EncodeConfig`."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from nvcodec.cli.options import (
    PATH,
    BitrateType,
    BytesType,
    FileSizesType,
    RateType,
    Status,
    TimeType,
    bits_option,
    device_options,
    duration,
    selection_options,
    volume_options,
)
from nvcodec.encoding.encode_config import (
    AUTO,
    BLOCKS,
    LOSSES,
    ON_INTERRUPT,
    PRESETS,
    SKIPS,
    TUNES,
    WHOLE,
    EncodeConfig,
)
from nvcodec.errors import Interrupted, UsageError, VerificationError
from nvcodec.memory import peak_memory
from nvcodec.notes import note

if TYPE_CHECKING:
    from nvcodec.encoding.encoded import Encoded
    from nvcodec.encoding.fit.fit_loop import Progress


class SegmentType(TimeType):
    """Where to cut into segments: ``auto``, ``none``, or a time."""

    name = "auto|TIME|none"
    expected = "auto, none or a time such as 10s"

    def parse(self, text: str) -> Any:
        return text if text in (AUTO, WHOLE) else super().parse(text)


@click.command("encode")
@click.argument("source", type=PATH)
@click.option(
    "-o",
    "--output",
    type=PATH,
    required=True,
    help="The .sdmn file to write, or an .mp4 that players show, too; - is standard output.",
)
@click.option(
    "--base",
    metavar="av1|none|FILE",
    help="Kind of file: an AV1 stream and small networks above it (the default), or, with --size, a network alone. "
    "FILE: an AV1 file of the same frames, whose stream is kept as it is.",
)
@click.option(
    "--crf",
    type=float,
    help="Quality of the AV1 stream, 0 (best) to 63 in steps of 0.25; 35 if not given. 10 more take about 2 dB in RGB "
    "and 40 % of the bytes.",
)
@click.option(
    "--tune",
    type=click.Choice(TUNES),
    default=EncodeConfig.tune,
    show_default=True,
    help="What networks above an AV1 stream improve: PSNR of Y, Cb and Cr, weighted 6:1:1; PSNR in RGB; or SSIM.",
)
@click.option(
    "--size",
    help="Number of parameters, everything stored counted, such as 300k or 3M. 3M,1M,1M: a base layer and two more. "
    "With an AV1 stream, the size of each network above it, such as 2k.",
)
@click.option(
    "--add-layer",
    nargs=2,
    metavar="SIZE FILE",
    help="Add an enhancement layer of that size to an .sdmn file of the same frames; replaces --size.",
)
@click.option(
    "--joint",
    is_flag=True,
    help="Afterwards fit the layers of --size jointly, for a quarter of the training steps or of the time.",
)
@click.option(
    "--target-size",
    type=FileSizesType(),
    help="Size of the file, such as 150kB, which it reaches within 2 % but does not exceed (exit code 6 if it cannot "
    "be so small). Several, separated by commas, make several files from one fit, named by the {} in OUTPUT.",
)
@click.option("--bitrate", type=BitrateType(), help="The same target in bits per second, such as 250k.")
@click.option(
    "--target-psnr",
    type=float,
    help="Stop at this PSNR in dB; exit code 6 if it is not reached. Without --size, save bytes that it does not need.",
)
@selection_options
@bits_option("Bits of a sample; if not given 10 where SOURCE has more than 8, and else 8.")
@click.option("--no-audio", is_flag=True, help="Leave out the sound; else sound, subtitles, chapters and tags travel.")
@click.option("--fps", type=RateType(), help="Frame rate of images, 25 if not given; replaces a video's time stamps.")
@click.option(
    "--preset",
    type=click.Choice(tuple(PRESETS)),
    help="Length of the fit: draft is a quarter of normal (the default), fine 4 times, finest 16 times; with an AV1 "
    "stream also SVT-AV1's preset: 8, 4, 1, 0.",
)
@click.option("--epochs", type=float, help="How often each frame is seen; replaces --preset (normal: 28 or more).")
@click.option("--steps", type=click.IntRange(1), help="Training steps of one frame each; replaces --preset.")
@click.option(
    "--time-limit",
    type=TimeType(),
    help="Time for the whole encode, such as 90s, 10m or 1h30m; learning rates are scheduled for it.",
)
@click.option(
    "--lambda",
    "rd_lambda",
    type=float,
    help="Rate-distortion trade-off: dB of PSNR that justify doubling the file, 1.5 if not given, with an AV1 stream "
    "4; 0 ignores size. With a target size, where lambda starts.",
)
@click.option(
    "--skip",
    type=click.Choice(SKIPS),
    default=EncodeConfig.skip,
    show_default=True,
    help="The skip connection from encoder to decoder: through an invertible network, direct, or none.",
)
@click.option(
    "--block",
    type=click.Choice(BLOCKS),
    default=EncodeConfig.block,
    show_default=True,
    help="rep: blocks are sums of branches while they are fitted.",
)
@click.option(
    "--z-gain",
    type=float,
    default=EncodeConfig.z_gain,
    show_default=True,
    help="Standard deviation of the sampled z (--skip invertible); 0: off.",
)
@click.option(
    "--grids",
    type=click.FloatRange(0, 1),
    default=EncodeConfig.grids,
    show_default=True,
    help="Largest share of the parameters that feature grids may take; 0: none.",
)
@click.option(
    "--loss",
    type=click.Choice(LOSSES),
    help="Training loss: squared error (the default of a network alone), absolute error, or 0.7 of that plus 0.3 of "
    "1 - SSIM; with an AV1 stream instead of --tune.",
)
@click.option(
    "--weights",
    metavar="MASKS",
    help="Importance of each pixel: a folder of pictures or a video, one per frame, selected and scaled like SOURCE.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=EncodeConfig.seed,
    show_default=True,
    help="The same seed, CPU and number of threads give the same file.",
)
@device_options
@click.option("--init", metavar="FILE", help="Start from the network of a file with the same strides and kernels.")
@click.option(
    "--max-memory", type=BytesType(), help="Memory to use, such as 2G; a larger clip is read from a temporary file."
)
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing output or checkpoint.")
@click.option("--resume", is_flag=True, help="Continue from the checkpoint of an interrupted encode beside the output.")
@click.option(
    "--checkpoint-every",
    type=TimeType(),
    default=f"{EncodeConfig.checkpoint_every:g}s",
    show_default=True,
    help="Time between checkpoints.",
)
@click.option(
    "--on-interrupt",
    type=click.Choice(ON_INTERRUPT),
    default=EncodeConfig.on_interrupt,
    show_default=True,
    help="What Ctrl-C does: keep the state for --resume, or finish within seconds and write the file.",
)
@click.option(
    "--segment",
    type=SegmentType(),
    default=EncodeConfig.segment,
    show_default=True,
    help="Where to cut SOURCE into segments, each encoded by itself, so that memory does not grow with its length: "
    "auto, where scenes change, if it has more than 20 s; a time, such as 10s; or none.",
)
@click.option(
    "--jobs", type=click.IntRange(1), default=EncodeConfig.jobs, show_default=True, help="Segments to encode at once."
)
@click.option("--ray", metavar="auto|ADDRESS", help="Encode the segments on a Ray cluster (pip install nvcodec[ray]).")
@click.option(
    "--progress",
    type=click.Choice(("line", "json", "none")),
    default="line",
    show_default=True,
    help="On stderr: a line that changes (on a terminal), one JSON object per line, or nothing.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
@volume_options
def command(
    source: str,
    output: str,
    add_layer: tuple[str, str] | None,
    progress: str,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Encode SOURCE, a video file, pictures, or - for standard input, as an .sdmn file, with networks fitted to it.

    The file is read again at the end, and everything in it compared with what was decoded for its checksums.
    """
    started = time.monotonic()
    config = _config(output, add_layer, as_json, options)
    from nvcodec.encoding.encode_job import output_names
    from nvcodec.encoding.encoder import encode

    status = Status(quiet or progress != "line")

    def report(now: Progress) -> None:
        if progress == "json":
            click.echo(json.dumps(dataclasses.asdict(now)), err=True)
        if now.phase == "segments":
            return status.show(
                f"{now.step}/{now.steps} frames  PSNR {now.psnr:.2f} dB  "
                f"{now.step / max(now.seconds, 1e-9):.1f} frames/s  {duration(now.seconds_left)} left"
            )
        if now.phase == "AV1":
            return status.show(f"AV1 stream: {now.step}/{now.steps} frames")
        status.show(
            f"step {now.step}/{now.steps}  loss {now.loss:.5f}  PSNR {now.psnr:.2f} dB  "
            f"{now.step / max(now.seconds, 1e-9):.1f} frames/s  {duration(now.seconds_left)} left"
        )

    if config.time_limit is not None:  # loading torch counts
        config = dataclasses.replace(config, time_limit=max(1e-3, config.time_limit - time.monotonic() + started))
    status.show(f"reading {source}")
    try:
        result = encode(source, None if output == "-" else output, config=config, progress=report)
    finally:
        status.clear()
    if output == "-":
        sys.stdout.buffer.write(result.data)
    files = dict(zip(output_names(output, config.target_sizes), result.ladder or (result,), strict=True))
    if as_json:
        summaries = [_summary(file, name) for name, file in files.items()]
        click.echo(json.dumps(summaries if result.ladder else summaries[0], indent=2))
    if not quiet:
        _print_result(files, result)
    if verbose and result.shape:
        click.echo(f"network: {result.shape}", err=True)
    if any(file.interrupted for file in files.values()):
        raise Interrupted(f"interrupted; {output} holds what had been reached")
    _check_target(files, config.target_psnr)


def _config(output: str, add_layer: tuple[str, str] | None, as_json: bool, options: dict[str, Any]) -> EncodeConfig:
    """Return the options as a configuration.

    Raises:
        UsageError: they contradict each other.
    """
    if output == "-" and as_json:
        raise UsageError("-o - and --json both want stdout")
    if output == "-" and options["target_size"] and len(options["target_size"]) > 1:
        raise UsageError("several sizes make several files; -o - takes one")
    if os.path.isdir(output):
        raise UsageError(f"{output} is a folder; name the .sdmn file to write")
    if add_layer:
        if options["size"]:
            raise UsageError("--add-layer says the size of the layer; leave --size out")
        options["size"], options["onto"] = add_layer
    return EncodeConfig(audio=not options.pop("no_audio"), **options)


def _print_result(files: dict[str, Encoded], result: Encoded) -> None:
    """Print a line for each file and layer, and the time spent, on stderr."""
    for name, file in files.items():
        click.echo(
            f"{name}: {file.frames} frames of {file.width}x{file.height}, "
            f"{len(file.data)} bytes, {file.parameters} parameters, {file.psnr:.2f} dB, "
            f"{duration(sum(file.seconds.values()))}",
            err=True,
        )
    for number, layer in enumerate(result.layers if len(result.layers) > 1 else ()):
        click.echo(f"up to fitted layer {number}: {len(layer.data)} bytes, {layer.psnr:.2f} dB", err=True)
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in result.seconds.items())
    click.echo(f"{spent}; peak memory {peak_memory() / 2**20:.0f} MiB", err=True)


def _check_target(files: dict[str, Encoded], target_psnr: float | None) -> None:
    """Say where a file is smaller than its target size, which is a limit.

    Raises:
        VerificationError: a file is larger, or has less than its target PSNR.
    """
    missed = []
    for name, file in files.items():
        if file.target_bytes is not None and len(file.data) > file.target_bytes:
            missed.append(f"{name} has {len(file.data)} of {file.target_bytes} bytes")
        elif not file.on_size:
            note(name, f"takes {len(file.data)} of at most {file.target_bytes} bytes")
        if target_psnr is not None and file.psnr < target_psnr:
            missed.append(f"{name} has {file.psnr:.2f} of {target_psnr:g} dB")
    if missed:
        raise VerificationError(f"the target was missed: {', '.join(missed)}")


def _summary(file: Encoded, name: str) -> dict[str, Any]:
    """Return what --json prints of a file."""
    from nvcodec.format.describe import bits_per_pixel
    from nvcodec.format.stream_reader import read_stream

    return {
        "file": name,
        "file_bytes": len(file.data),
        "target_bytes": file.target_bytes,
        "bits_per_pixel": bits_per_pixel(read_stream(file.data)),
        "frames": file.frames,
        "width": file.width,
        "height": file.height,
        "parameters": file.parameters,
        "skip_scales": len(file.shape.skip_feature_sizes) if file.shape else 0,
        "crf": file.crf,
        "psnr_rgb": file.psnr,
        "seconds": file.seconds,
        "peak_memory_bytes": peak_memory(),
        "interrupted": file.interrupted,
    }
