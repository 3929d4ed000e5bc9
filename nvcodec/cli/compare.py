"""``nvcodec compare``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from nvcodec.cli.options import Status, device_options, limit_options, selection_options, volume_options
from nvcodec.cli.reading import open_stream
from nvcodec.errors import UsageError

if TYPE_CHECKING:
    import torch

    from nvcodec.decoding.decoded_video import Video
    from nvcodec.format.stream import Stream
    from nvcodec.video.clip import Clip


@click.command("compare")
@click.argument("source")
@click.argument("file")
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
    """Measure how close FILE is to SOURCE: PSNR, SSIM, MS-SSIM, bits per pixel.

    Give the --crop, --scale, --start, --frames and --every that the file was encoded with.
    """
    stream = open_stream(file, max_pixels, max_memory)

    import torch

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
    pairs = _pairs(video, clip, every if unseen else 1)
    rows = _measure(pairs, Status(quiet))
    result = _summary(rows, stream, layers)
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    click.echo(_report(result))
    if verbose:
        for frame, row in enumerate(rows):
            click.echo(f"frame {frame}: {row['psnr_rgb']:.3f} dB", err=True)


def _pairs(video: Video, clip: Clip, every: int) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    """Pair decoded pictures with the clip's: all, or with ``every`` above 1 those between transmitted frames."""
    expected = -(-len(clip.frames) // every)
    if (expected, clip.width, clip.height) != (len(video), video.width, video.height):
        raise UsageError(
            f"the source gives {expected} frames of {clip.width}x{clip.height}, the file "
            f"{len(video)} of {video.width}x{video.height}; repeat the options it was encoded with"
        )
    if every == 1:
        return zip(video, clip.frames, strict=True)
    playback = video.interpolated(every)
    if len(playback) == 1:
        raise UsageError("there is no frame between the file's only one and another")
    return ((timed.picture, clip.frames[at]) for at, timed in enumerate(playback) if at % every)


def _measure(pairs: Iterable[tuple[torch.Tensor, torch.Tensor]], status: Status) -> list[dict[str, float | None]]:
    """Measure the quality of each picture."""
    from nvcodec import metrics

    rows = []
    try:
        for number, (picture, original) in enumerate(pairs, 1):
            rows.append(metrics.measure(picture.cpu(), original))
            status.show(f"frame {number}")
    finally:
        status.clear()
    return rows


def _summary(rows: list[dict[str, float | None]], stream: Stream, layers: int | None) -> dict[str, Any]:
    """Means over the frames, the worst frame, and what the layers in use cost."""
    from nvcodec.format.describe import bits_per_pixel, by_layer

    file_bytes = stream.file_bytes if layers in (None, stream.layers) else by_layer(stream)[layers - 1]["file_bytes"]

    def mean(name: str) -> float | None:
        values = [row[name] for row in rows]
        return None if None in values else sum(values) / len(values)  # type: ignore[arg-type]

    worst = min(range(len(rows)), key=lambda frame: rows[frame]["psnr_rgb"] or 0.0)
    return {
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


def _report(result: dict[str, Any]) -> str:
    """The summary in words."""
    ms_ssim = "-" if result["ms_ssim"] is None else f"{result['ms_ssim']:.4f}"
    return (
        f"PSNR {result['psnr_rgb']:.3f} dB (RGB), {result['psnr_y']:.3f} dB (Y); "
        f"worst frame {result['worst_frame']}: {result['psnr_rgb_min']:.3f} dB\n"
        f"SSIM {result['ssim']:.4f}, MS-SSIM {ms_ssim}\n"
        f"{result['bits_per_pixel']:.4f} bits per pixel, {result['file_bytes']} bytes, {result['frames']} frames"
    )
