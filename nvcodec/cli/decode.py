"""``nvcodec decode``."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import click

from nvcodec.cli.options import (
    PATH,
    MomentType,
    RateType,
    Status,
    bits_option,
    device_options,
    duration,
    limit_options,
    volume_options,
)
from nvcodec.cli.reading import Moment, chosen_frames, open_stream, wanted_extras
from nvcodec.errors import CorruptStreamError, UsageError
from nvcodec.notes import note

if TYPE_CHECKING:
    import numpy as np
    import torch

    from nvcodec.decoding.concealment import Shown
    from nvcodec.decoding.decoded_video import Playback, Video
    from nvcodec.format.stream import Stream
    from nvcodec.video.sink_base import Sink

    #: RGB samples [height, width, 3], presentation time and duration in ticks.
    Timed = tuple[np.ndarray, int, int]


class _Decode(click.Command):
    """Lets ``--md5`` stand before FILE: only ``--md5=frame`` carries a value.

    Click's own ``flag_value`` would take the FILE of ``--md5 FILE`` as the option's value.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, ["--md5=video" if argument == "--md5" else argument for argument in args])


@click.command("decode", cls=_Decode)
@click.argument("file", type=PATH)
@click.option(
    "-o",
    "--output",
    type=PATH,
    help="A folder/ for PNG, or a file: .rgb .mkv .png (exact), .mp4 .mov .webm .gif .y4m (not); - is y4m on stdout.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["y4m", "rgb"]),
    help="Write y4m or raw RGB, whatever the output is called.",
)
@click.option(
    "--md5",
    metavar="[=frame]",
    type=click.Choice(["video", "frame"]),
    help="Print the MD5 of the RGB samples of all frames, or of each frame (--md5=frame); 10 bits are 2 bytes.",
)
@click.option("--null", is_flag=True, help="Decode and discard the pictures; print the time that took.")
@click.option("--start", type=MomentType(), default=0, show_default=True, help="First frame, or a time such as 1:30.5.")
@click.option("--frames", type=click.IntRange(1), help="Number of frames to decode; all the rest if not given.")
@click.option("--duration", "length", type=MomentType(), help="The same, or a time such as 2.5 or 10s.")
@click.option("--end", type=MomentType(), help="The frame to end before, or a time such as 1:33.")
@click.option("--layers", type=click.IntRange(1), help="Number of quality layers to use; all if not given.")
@bits_option("Round the pictures to 8 bits a sample, or widen them to 10; those of FILE if not given.")
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
@click.option("--no-audio", is_flag=True, help="Leave out the sound of a video file.")
@click.option("--keep-times", is_flag=True, help="Begin a video file at the first frame's own time, not at 0.")
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
    output_format: str | None,
    md5: str | None,
    null: bool,
    start: Moment,
    frames: int | None,
    length: Moment | None,
    end: Moment | None,
    layers: int | None,
    bits: int | None,
    interpolate: int,
    fps: Fraction | None,
    no_audio: bool,
    keep_times: bool,
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

    FILE is a path, the address of a file on a web server, or - for standard input. With --start, --frames, --duration
    or --end only what is needed of it is read and checked. Exactly one of -o, --md5 and --null must be given.
    """
    if (output is not None) + (md5 is not None) + null != 1:
        raise UsageError("give exactly one of -o, --md5 and --null")
    if sum(option is not None for option in (frames, length, end)) > 1:
        raise UsageError("give at most one of --frames, --duration and --end")
    part = bool(start) or (frames, length, end) != (None, None, None)
    _check_between(interpolate, fps, part, keep_going)
    # A bad file is refused before torch is loaded.
    stream = open_stream(file, max_pixels, max_memory, keep_going, part and not keep_going)
    chosen = chosen_frames(stream, file, start, frames if length is None else length, end)
    segments = stream.segments[stream.segment_of(chosen[0]) : stream.segment_of(chosen[-1]) + 1]
    sizes = {(segment.head.width, segment.head.height) for segment in segments}
    if len(sizes) > 1 and output is not None and not output.endswith("/"):
        raise UsageError(f"the frames of {file} differ in size; write them to a folder/")

    import torch

    from nvcodec.decoding.concealment import report
    from nvcodec.decoding.decoded_video import Video
    from nvcodec.video.sinks import Md5Sink, NullSink

    if threads:
        torch.set_num_threads(threads)
    video = Video(stream, device=device, verify=not no_verify, batch=batch, layers=layers)
    playback = _playback(video, interpolate, fps)
    sink: Sink
    if output is not None:
        options: dict[str, Any] = {"output_format": output_format, "keep_times": keep_times, "overwrite": overwrite}
        options["bits"] = bits or stream.video.bits
        sink = _open_output(output, file, stream, chosen, playback, fps, not no_audio, **options)
    else:
        sink = NullSink() if null else Md5Sink(md5 == "frame", chosen.start)
    shown: list[Shown] = []
    if playback is not None:
        total, timed = len(playback), _between(playback)
    else:
        batches = _concealed(video, chosen, shown) if keep_going else video.decode(chosen)
        total, timed = len(chosen), _transmitted(batches, stream.ticks_of(chosen))
    done, seconds = _put_all(_with_bits(timed, bits), total, sink, Status(quiet))
    for text in sink.notes:
        note(output or file, text)
    if null:
        click.echo(f"{done} frames  {seconds:.3f} s  {done / seconds:.2f} frames/s")
    elif verbose or (output not in (None, "-") and not quiet):
        click.echo(f"{done} frames in {seconds:.1f} s, {done / seconds:.1f} frames/s", err=True)
    if found := report(video, chosen, shown):
        raise CorruptStreamError(f"{file} is damaged, and was decoded nevertheless: {found}")


def _check_between(interpolate: int, fps: Fraction | None, part: bool, keep_going: bool) -> None:
    """Check that pictures between frames are asked for in one way, and of a whole file."""
    between = interpolate > 1 or fps is not None
    if between and (part or (interpolate > 1 and fps)):
        raise UsageError("--interpolate or --fps go with the whole file, not with a part of it or each other")
    if between and keep_going:
        raise UsageError("--interpolate and --fps need every frame; they do not go with --keep-going")


def _open_output(
    output: str,
    file: str,
    stream: Stream,
    chosen: range,
    playback: Playback | None,
    fps: Fraction | None,
    audio: bool,
    **options: Any,
) -> Sink:
    """Open the output for the chosen frames of a stream, or for the pictures of a playback."""
    from nvcodec.files import is_same_file
    from nvcodec.video.clip import Color
    from nvcodec.video.sinks import open_sink

    if is_same_file(output, file):
        raise UsageError(f"{output} is the file to decode; give the output another name")
    time_base = playback.time_base if playback is not None else stream.time_base
    if fps is None:
        ticks = sum(duration for _, duration in stream.ticks_of(chosen))
        mean = len(chosen) / (ticks * stream.time_base) if ticks else Fraction(0)
        interpolate = stream.time_base / time_base
        fps = interpolate * mean.limit_denominator(1001) or Fraction(1, 1001)
    head, about = stream.segments[stream.segment_of(chosen[0])].head, stream.video
    extras = wanted_extras(stream, audio)
    if len(chosen) < stream.frames:
        ticks_of_chosen = stream.ticks_of(chosen)
        (begin, _), (last, duration) = ticks_of_chosen[0], ticks_of_chosen[-1]
        extras = extras.within(begin * stream.time_base, (last + duration) * stream.time_base)
    return open_sink(
        output,
        width=head.width,
        height=head.height,
        time_base=time_base,
        fps=fps,
        sample_aspect=Fraction(about.sample_aspect_num, about.sample_aspect_den),
        color=Color(about.primaries, about.transfer, about.matrix, about.color_range),
        extras=extras,
        first=chosen.start,
        **options,
    )


def _playback(video: Video, interpolate: int, fps: Fraction | None) -> Playback | None:
    """Pictures at other times than those of the transmitted frames; None where these are wanted."""
    if fps is not None:
        return video.at_rate(fps)
    return video.interpolated(interpolate) if interpolate > 1 else None


def _with_bits(timed: Iterator[Timed], bits: int | None) -> Iterator[Timed]:
    """Round or widen the samples of pictures; None leaves them as they are."""
    import torch

    from nvcodec.samples import with_bits

    for array, pts, ticks in timed:
        yield array if bits is None else with_bits(torch.from_numpy(array), bits).numpy(), pts, ticks


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
