"""``nvcodec compare``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from nvcodec.cli.options import (
    Status,
    device_options,
    limit_options,
    note,
    read_bytes,
    selection_options,
    volume_options,
)
from nvcodec.errors import UsageError
from nvcodec.format.limits import Limits

if TYPE_CHECKING:
    import torch


@click.command("compare")
@click.argument("source")
@click.argument("file")
@selection_options
@click.option(
    "--unseen",
    is_flag=True,
    help="Compare the frames that --every left out with interpolated ones (decode --interpolate).",
)
@click.option("--layers", type=click.IntRange(1), help="Quality layers to use; all if not given.")
@device_options
@limit_options
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@volume_options
def command(
    source: str,
    file: str,
    crop: tuple[int, int] | None,
    scale: tuple[int, int] | None,
    start: int,
    frames: int | None,
    every: int,
    unseen: bool,
    layers: int | None,
    device: str,
    threads: int | None,
    max_pixels: int | None,
    max_memory: int,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Measure how near FILE is to SOURCE: PSNR, SSIM, MS-SSIM, bits per pixel.

    Give the --crop, --scale, --start, --frames and --every that the file was encoded with.
    """
    from nvcodec.format.describe import bits_per_pixel, by_layer
    from nvcodec.format.stream_reader import read_stream

    limits = Limits(max_pixels, max_memory)
    stream = read_stream(read_bytes(file, limits), limits)
    note(file, stream)
    import torch

    from nvcodec import metrics
    from nvcodec.decoding.decoded_video import Video
    from nvcodec.video.source import Selection, read_clip

    if threads:
        torch.set_num_threads(threads)
    if len({(segment.head.width, segment.head.height) for segment in stream.segments}) > 1:
        raise UsageError("the frames of this file differ in size; they cannot be compared with one source")
    if unseen and every < 2:
        raise UsageError("--unseen needs the --every that the file was encoded with, at least 2")
    if unseen and len(stream.segments) > 1:
        raise UsageError("the file has several segments, between which there are no interpolated frames")
    clip = read_clip(source, Selection(crop, scale, start, frames, 1 if unseen else every))
    video = Video(stream, device=device, layers=layers)
    originals: Iterable[torch.Tensor] = clip.frames
    pictures: Iterable[torch.Tensor] = video
    held = -(-len(clip.frames) // every) if unseen else len(clip.frames)
    if (held, clip.width, clip.height) != (len(video), video.width, video.height):
        raise UsageError(
            f"the source gives {held} frames of {clip.width}x{clip.height}, the file "
            f"{len(video)} of {video.width}x{video.height}; repeat the options it was encoded with"
        )
    if unseen:
        between = [place for place in range((held - 1) * every + 1) if place % every]
        originals = (clip.frames[place] for place in between)
        pictures = (made[0] for place, made in enumerate(video.interpolated(every)) if place % every)
        if not between:
            raise UsageError("there is no frame between the file's only one and another")
    status = Status(quiet)
    rows = []
    try:
        for place, (picture, frame) in enumerate(zip(pictures, originals, strict=True)):
            rows.append(metrics.measure(picture.cpu(), frame))
            status.show(f"frame {place + 1}")
    finally:
        status.clear()

    file_bytes = stream.file_bytes if layers in (None, stream.layers) else by_layer(stream)[layers - 1]["file_bytes"]

    def mean(name: str) -> float | None:
        values = [row[name] for row in rows]
        return None if None in values else sum(values) / len(values)  # type: ignore[arg-type]

    worst = min(range(len(rows)), key=lambda place: rows[place]["psnr_rgb"] or 0.0)
    result = {
        "psnr_rgb": mean("psnr_rgb"),
        "psnr_rgb_min": rows[worst]["psnr_rgb"],
        "worst_frame": worst,
        "psnr_y": mean("psnr_y"),
        "ssim": mean("ssim"),
        "ms_ssim": mean("ms_ssim"),
        "bits_per_pixel": bits_per_pixel(stream) * file_bytes / stream.file_bytes,
        "file_bytes": file_bytes,
        "frames": len(rows),
    }
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    wide = "-" if result["ms_ssim"] is None else f"{result['ms_ssim']:.4f}"
    click.echo(
        f"PSNR {result['psnr_rgb']:.3f} dB (RGB), {result['psnr_y']:.3f} dB (Y); worst frame {worst}: "
        f"{result['psnr_rgb_min']:.3f} dB\n"
        f"SSIM {result['ssim']:.4f}, MS-SSIM {wide}\n"
        f"{result['bits_per_pixel']:.4f} bits a pixel, {result['file_bytes']} bytes, {result['frames']} frames"
    )
    if verbose:
        for place, row in enumerate(rows):
            click.echo(f"frame {place}: {row['psnr_rgb']:.3f} dB", err=True)
