"""``nvcodec compare``."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

from nvcodec.cli.options import PATH, Status, device_options, limit_options, selection_options, volume_options
from nvcodec.cli.reading import open_stream

if TYPE_CHECKING:
    from nvcodec.encoding.comparison import Comparison
    from nvcodec.video.selection import Moment


@click.command("compare")
@click.argument("source", type=PATH)
@click.argument("file", type=PATH)
@selection_options
@click.option(
    "--unseen",
    is_flag=True,
    help="Compare the frames that --every left out with interpolated frames (decode --interpolate).",
)
@click.option("--layers", type=click.IntRange(1), help="Number of quality layers to use; all if not given.")
@device_options
@limit_options
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@volume_options
def command(
    source: str,
    file: str,
    crop: tuple[int, int] | None,
    scale: tuple[int, int] | None,
    start: Moment,
    duration: float | None,
    end: Moment | None,
    frames: int | None,
    every: int,
    deinterlace: bool,
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
    """Measure how close FILE is to SOURCE: PSNR, SSIM, MS-SSIM, bits per pixel.

    The part of SOURCE is the one that the file states; options that choose another replace all that it states.
    """
    stream = open_stream(file, max_pixels, max_memory)

    import torch

    from nvcodec.decoding.decoded_video import Video
    from nvcodec.encoding.comparison import compare

    if threads:
        torch.set_num_threads(threads)
    video = Video(stream, device=device, layers=layers)
    part: dict[str, Any] = {"crop": crop, "scale": scale, "start": start, "frames": frames, "every": every}
    part |= {"duration": duration, "end": end, "deinterlace": deinterlace}
    status = Status(quiet)
    try:
        result = compare(
            source,
            video,
            **part,
            unseen=unseen,
            progress=lambda done, total: status.show(f"{done}/{total} frames"),
        )
    finally:
        status.clear()
    if as_json:
        figures = {name: value for name, value in dataclasses.asdict(result).items() if name != "by_frame"}
        click.echo(json.dumps(figures, indent=2))
        return
    click.echo(_report(result))
    if verbose:
        for frame, row in enumerate(result.by_frame):
            click.echo(f"frame {frame}: {row['psnr_rgb']:.3f} dB", err=True)


def _report(result: Comparison) -> str:
    """The result in words."""
    ms_ssim = "-" if result.ms_ssim is None else f"{result.ms_ssim:.4f}"
    return (
        f"PSNR {result.psnr_rgb:.3f} dB (RGB), {result.psnr_y:.3f} dB (Y), {result.psnr_611:.3f} dB (6:1:1); "
        f"worst frame {result.worst_frame}: {result.psnr_rgb_min:.3f} dB\n"
        f"SSIM {result.ssim:.4f}, MS-SSIM {ms_ssim}\n"
        f"{result.bits_per_pixel:.4f} bits per pixel, {result.file_bytes} bytes, {result.frames} frames"
    )
