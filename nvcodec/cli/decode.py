"""``nvcodec decode``."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import click

from nvcodec.cli.options import RateType, Status, device_options, duration, limit_options, volume_options
from nvcodec.cli.reading import open_stream
from nvcodec.errors import CorruptStreamError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch

    from nvcodec.decoding.concealment import Shown
    from nvcodec.decoding.decoded_video import Playback, Video
    from nvcodec.video.sinks import Sink

    #: RGB bytes [height, width, 3], presentation time and duration in ticks.
    Timed = tuple[np.ndarray, int, int]


class _Decode(click.Command):
    """Lets ``--md5`` stand before FILE: only ``--md5=frame`` carries a value.

    Click's own ``flag_value`` would take the FILE of ``--md5 FILE`` as the option's value.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, ["--md5=video" if argument == "--md5" else argument for argument in args])


@click.command("decode", cls=_Decode)
@click.argument("file")
@click.option("-o", "--output", help="A folder/ for PNG, or a file: .rgb .mkv (exact), .y4m .mp4 (not); - is raw RGB.")
@click.option(
    "--md5",
    metavar="[=frame]",
    type=click.Choice(["video", "frame"]),
    help="Print the MD5 of the RGB bytes of all frames, or of each frame (--md5=frame).",
)
@click.option("--null", is_flag=True, help="Decode and discard the pictures; print the time that took.")
@click.option("--start", type=click.IntRange(0), default=0, show_default=True, help="First frame.")
@click.option("--frames", type=click.IntRange(1), help="Number of frames to decode; all the rest if not given.")
@click.option("--layers", type=click.IntRange(1), help="Number of quality layers to use; all if not given.")
@click.option(
    "--interpolate",
    type=click.IntRange(1, 65535),
    default=1,
    metavar="N",
    help="N times as many frames: those between two are decoded from interpolated integers.",
)
@click.option(
    "--fps", type=RateType(), help="An even frame rate; pictures between frames are interpolated in the same way."
)
@click.option("--batch", type=click.IntRange(1), help="Number of frames decoded at once.")
@click.option("--no-verify", is_flag=True, help="Do not check the pictures' checksums.")
@click.option(
    "--keep-going",
    is_flag=True,
    help="Decode what can be decoded of a damaged file; conceal the rest, name it on stderr, and exit with 4.",
)
@device_options
@limit_options
@click.option("-y", "--overwrite", is_flag=True, help="Replace an existing output.")
@volume_options
def command(
    file: str,
    output: str | None,
    md5: str | None,
    null: bool,
    start: int,
    frames: int | None,
    layers: int | None,
    interpolate: int,
    fps: Fraction | None,
    batch: int | None,
    no_verify: bool,
    keep_going: bool,
    device: str,
    threads: int | None,
    max_pixels: int | None,
    max_memory: int,
    overwrite: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Decode FILE to pictures or a video.

    Exactly one of -o, --md5 and --null must be given.
    """
    if (output is not None) + (md5 is not None) + null != 1:
        raise UsageError("give exactly one of -o, --md5 and --null")
    between = interpolate > 1 or fps is not None
    if between and (start or frames or (interpolate > 1 and fps)):
        raise UsageError("--interpolate or --fps go with the whole file, not with --start and --frames or each other")
    if between and keep_going:
        raise UsageError("--interpolate and --fps need every frame; they do not go with --keep-going")
    stream = open_stream(file, max_pixels, max_memory, keep_going)  # a bad file is refused before torch is loaded
    if start >= stream.frames:
        raise UsageError(f"--start {start} is past the last of {stream.frames} frames")
    sizes = {(segment.head.width, segment.head.height) for segment in stream.segments}
    if len(sizes) > 1 and output is not None and not output.endswith("/"):
        raise UsageError("the frames of this file differ in size; write them to a folder/")

    import torch

    from nvcodec.decoding.concealment import report
    from nvcodec.decoding.decoded_video import Video
    from nvcodec.files import is_same_file
    from nvcodec.video.sinks import Md5Sink, NullSink, open_sink

    if threads:
        torch.set_num_threads(threads)
    video = Video(stream, device=device, verify=not no_verify, batch=batch, layers=layers)
    chosen = range(start, min(stream.frames, start + (frames or stream.frames)))
    playback = _playback(video, interpolate, fps)
    if output is not None and is_same_file(output, file):
        raise UsageError(f"{output} is the file to decode; give the output another name")
    sink: Sink
    if output is not None:
        sink = open_sink(
            output,
            width=video.width,
            height=video.height,
            time_base=playback.time_base if playback is not None else stream.time_base,
            fps=fps or interpolate * (Fraction(stream.fps).limit_denominator(1001) or Fraction(1, 1001)),
            sample_aspect=Fraction(stream.video.sample_aspect_num, stream.video.sample_aspect_den),
            first=start,
            overwrite=overwrite,
        )
    else:
        sink = NullSink() if null else Md5Sink(md5 == "frame", start)
    shown: list[Shown] = []
    if playback is not None:
        total, timed = len(playback), _between(playback)
    else:
        batches = _concealed(video, chosen, shown) if keep_going else video.decode(chosen)
        total, timed = len(chosen), _transmitted(batches, stream.ticks[chosen.start : chosen.stop])
    done, seconds = _put_all(timed, total, sink, Status(quiet))
    if null:
        click.echo(f"{done} frames  {seconds:.3f} s  {done / seconds:.2f} frames/s")
    elif verbose or (output not in (None, "-") and not quiet):
        click.echo(f"{done} frames in {seconds:.1f} s, {done / seconds:.1f} frames/s", err=True)
    if found := report(video, chosen, shown):
        raise CorruptStreamError(f"{file} is damaged, and was decoded nevertheless: {found}")


def _playback(video: Video, interpolate: int, fps: Fraction | None) -> Playback | None:
    """Pictures at other times than those of the transmitted frames; None where these are wanted."""
    if fps is not None:
        return video.at_rate(fps)
    return video.interpolated(interpolate) if interpolate > 1 else None


def _between(playback: Playback) -> Iterator[Timed]:
    for picture, pts, ticks in playback:
        yield picture.permute(1, 2, 0).cpu().numpy(), pts, ticks


def _transmitted(batches: Iterable[torch.Tensor], ticks: Sequence[tuple[int, int]]) -> Iterator[Timed]:
    arrays = (array for batch in batches for array in batch.permute(0, 2, 3, 1).cpu().numpy())
    for (pts, lasting), array in zip(ticks, arrays, strict=True):
        yield array, pts, lasting


def _concealed(video: Video, frames: Sequence[int], shown: list[Shown]) -> Iterator[torch.Tensor]:
    """Decode what can be of a damaged file, and fill in what is shown for each frame.

    As a generator it looks for damage only when the sink is open, so not before the output is known to be usable.
    """
    from nvcodec.decoding.concealment import conceal, pictures_of

    shown += conceal(video, frames)
    yield from pictures_of(video, shown)


def _put_all(timed: Iterator[Timed], total: int, sink: Sink, status: Status) -> tuple[int, float]:
    """Put all pictures into the sink; returns how many, and the seconds that took."""
    begin = time.perf_counter()
    done = 0
    try:
        with sink:
            for array, pts, ticks in timed:
                sink.put(array, pts, ticks)
                done += 1
                speed = done / (time.perf_counter() - begin)
                left = duration((total - done) / speed)
                status.show(f"{done}/{total} frames  {speed:.1f} frames/s  {left} left")
    finally:
        status.clear()
    return done, time.perf_counter() - begin
