"""The public function that compares a file with its source."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable

import torch

from nvcodec import metrics
from nvcodec.decoding.decoded_video import Video
from nvcodec.errors import UsageError, about
from nvcodec.format.describe import bits_per_pixel, by_layer
from nvcodec.format.extras import SELECTION_KEY
from nvcodec.format.stream_reader import File
from nvcodec.video.clip import Clip
from nvcodec.video.pictures import Source, as_clip
from nvcodec.video.selection import Moment, Selection

Measures = dict[str, float | None]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How close a file is to its source. PSNRs are in dB; all measures are means over the frames.

    Attributes:
        psnr_rgb: of red, green and blue.
        psnr_rgb_min: of the worst frame.
        worst_frame: its number among those compared.
        psnr_y, psnr_cb, psnr_cr: of luma and chroma (BT.601).
        psnr_611: of Y, Cb and Cr, weighted 6:1:1.
        ssim: structural similarity.
        ms_ssim: multi-scale SSIM; None where a side is 160 pixels or less.
        bits_per_pixel: of the shown picture, without sound and subtitles.
        file_bytes: up to the last layer that was decoded.
        frames: how many were compared.
        by_frame: the measures of each frame, by their names above.
    """

    psnr_rgb: float
    psnr_rgb_min: float
    worst_frame: int
    psnr_y: float
    psnr_cb: float
    psnr_cr: float
    psnr_611: float
    ssim: float
    ms_ssim: float | None
    bits_per_pixel: float
    file_bytes: int
    frames: int
    by_frame: tuple[Measures, ...] = dataclasses.field(repr=False)


def compare(
    source: Source,
    file: File | Video,
    *,
    crop: tuple[int, int] | None = None,
    scale: tuple[int, int] | None = None,
    start: Moment = 0,
    frames: int | None = None,
    every: int = 1,
    duration: float | None = None,
    end: Moment | None = None,
    deinterlace: bool = True,
    unseen: bool = False,
    layers: int | None = None,
    device: str = "auto",
    max_pixels: int | None = None,
    max_memory: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Comparison:
    """Measure how close a file is to its source.

    Args:
        source: what was encoded, as :func:`nvcodec.encode` takes it; it is compared with as many bits as the file has.
        file: what :func:`nvcodec.open` takes; or an open video, which is used as it was opened.
        crop, scale, start, frames, every, duration, end, deinterlace: those with which the file was encoded. Where none
            is given and the source is a file, those that the file states.
        unseen: whether the frames that ``every`` left out are compared with interpolated frames.
        layers, device, max_pixels, max_memory: see :class:`~nvcodec.Video`.
        progress: called after each frame with the number of frames that are done and that of all.

    Raises:
        InputError, LimitError, UnsupportedVersionError, CorruptStreamError: the source or the file cannot be read.
        UsageError: the file is not of this source, or its frames differ in size; there are no unseen frames.
        VerificationError: a picture does not have the checksum that the file states.
    """
    video = file
    if not isinstance(video, Video):
        video = Video(video, device=device, layers=layers, max_pixels=max_pixels, max_memory=max_memory)
    part = Selection(crop, scale, start, frames, every, duration, end, deinterlace)
    if part == Selection() and isinstance(source, (str, os.PathLike)):
        part = Selection.from_stated(video.stream.metadata.get(SELECTION_KEY))
    part = dataclasses.replace(part, bits=video.stream.video.bits)
    with about(video.stream.name):
        _check(video, part.every, unseen)
    clip = as_clip(source, dataclasses.replace(part, every=1) if unseen else part)
    with about(video.stream.name):
        total, pairs = _pairs(video, clip, part.every if unseen else 1)
    rows = []
    for picture, original in pairs:
        rows.append(metrics.measure(picture.cpu(), original))
        if progress:
            progress(len(rows), total)
    return _summary(rows, video)


def _check(video: Video, every: int, unseen: bool) -> None:
    """Refuse files whose frames cannot be compared in this way."""
    segments = video.stream.segments
    if len({(segment.head.width, segment.head.height) for segment in segments}) > 1:
        raise UsageError("the frames of this file differ in size; they cannot be compared with one source")
    if unseen and every < 2:
        raise UsageError("`unseen` needs the `every` that the file was encoded with, at least 2")
    if unseen and len(segments) > 1:
        raise UsageError("the file has several segments, between which there are no interpolated frames")


def _pairs(video: Video, clip: Clip, every: int) -> tuple[int, Iterable[tuple[torch.Tensor, torch.Tensor]]]:
    """Pair decoded pictures with the clip's: all, or with ``every`` above 1 those between transmitted frames.

    Returns:
        The number of pairs, and the pairs.
    """
    expected = -(-len(clip.frames) // every)
    if (expected, clip.width, clip.height) != (len(video), video.width, video.height):
        raise UsageError(
            f"the source gives {expected} frames of {clip.width}x{clip.height}, the file "
            f"{len(video)} of {video.width}x{video.height}; give the options it was encoded with"
        )
    if every == 1:
        return expected, zip(video, clip.frames, strict=True)
    playback = video.interpolated(every)
    if len(playback) == 1:
        raise UsageError("there is no frame between the file's only one and another")
    between = ((timed.picture, clip.frames[at]) for at, timed in enumerate(playback) if at % every)
    return len(playback) - expected, between


def _summary(rows: list[Measures], video: Video) -> Comparison:
    """Means over the frames, the worst frame, and what the layers in use cost."""
    stream = video.stream
    all_layers = video.layers == stream.layers
    file_bytes = stream.file_bytes if all_layers else by_layer(stream)[video.layers - 1]["file_bytes"]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    means: dict[str, float | None] = {
        name: None if None in values else sum(values) / len(values)  # type: ignore[arg-type]
        for name, values in columns.items()
    }
    worst = min(range(len(rows)), key=lambda frame: rows[frame]["psnr_rgb"] or 0.0)
    return Comparison(
        **means,  # type: ignore[arg-type]
        psnr_rgb_min=rows[worst]["psnr_rgb"] or 0.0,
        worst_frame=worst,
        bits_per_pixel=bits_per_pixel(stream, file_bytes),
        file_bytes=file_bytes,
        frames=len(rows),
        by_frame=tuple(rows),
    )
