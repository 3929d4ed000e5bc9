"""Pictures for frames of a damaged file that cannot be decoded (specification, section 10.1)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch

from nvcodec.decoding.base_decoder import BaseDecoder
from nvcodec.decoding.decoded_video import Video
from nvcodec.errors import CorruptStreamError
from nvcodec.format.operations import Picture

MAX_NAMED_DAMAGES = 8
#: What is shown for a frame: which frame, and with how many layers.
Shown = tuple[int, int]


def conceal(video: Video, frames: Sequence[int]) -> list[Shown]:
    """Choose what to show for each of ``frames``.

    A frame is shown itself, with all layers that are whole and whose picture has its checksum. Checksums are compared
    if ``video.verify`` is set, which decodes everything once; AV1 streams are decoded once in any case. Where no layer
    is left, the last frame that can be shown takes its place, or at the start the next one.

    Raises:
        CorruptStreamError: none of ``frames`` can be shown.
    """
    layers = {frame: min(video.layers, video.stream.layers_of(frame)) for frame in frames}
    for frame in _undecodable(video) & set(frames):
        layers[frame] = 0
    for count in range(video.layers, 0, -1) if video.verify else ():
        chosen = [frame for frame in frames if layers[frame] == count]
        for failed in _with(video, count).failing(chosen):
            for frame in failed:
                layers[frame] = count - 1
    last = next((frame for frame in frames if layers[frame]), None)
    if last is None:
        raise CorruptStreamError("no frame can be decoded")
    shown = []
    for frame in frames:
        if layers[frame]:
            last = frame
        shown.append((last, layers[last]))
    return shown


def pictures_of(video: Video, shown: Sequence[Shown]) -> Iterator[torch.Tensor]:
    """Decode what :func:`conceal` has chosen; yields and raises as
    :meth:`~nvcodec.decoding.decoded_video.Video.decode` does."""
    for layers, run in itertools.groupby(shown, key=lambda one: one[1]):
        yield from _with(video, layers, verify=False).decode([frame for frame, _ in run])


def report(video: Video, frames: Sequence[int], shown: Sequence[Shown]) -> str:
    """Say what is damaged and which of ``frames`` are not shown as they should be; empty if nothing is."""
    found = video.stream.damage[:MAX_NAMED_DAMAGES]
    if len(video.stream.damage) > MAX_NAMED_DAMAGES:
        found.append(f"{len(video.stream.damage) - MAX_NAMED_DAMAGES} more")
    pairs = list(zip(frames, shown, strict=False))
    repeated = [frame for frame, (other, _) in pairs if other != frame]
    poorer = [frame for frame, (other, layers) in pairs if other == frame and layers < video.layers]
    if repeated:
        found.append(f"frames that repeat another: {_ranges(repeated)}")
    if poorer:
        found.append(f"frames with fewer layers: {_ranges(poorer)}")
    return "; ".join(found)


def _undecodable(video: Video) -> set[int]:
    """Frames of runs of AV1 that follow the rules of their headers and do not decode nevertheless."""
    found: set[int] = set()
    for segment in video.stream.segments:
        base = segment.layers[0]
        pictures = [op for op in base.ops if isinstance(op, Picture)]
        for op, run in itertools.product(pictures, base.base):
            try:
                BaseDecoder([run], op, 0).planes(run.first + run.frames - 1)
            except CorruptStreamError:
                first = segment.head.first_frame + run.first
                found.update(range(first, first + run.frames))
    return found


def _with(video: Video, layers: int, verify: bool = True) -> Video:
    """The same video with fewer layers."""
    return Video(video.stream, device=str(video.device), verify=verify, batch=video.batch, layers=layers)


def _ranges(frames: Sequence[int]) -> str:
    """Write frame numbers as ``3, 7 to 9``."""
    runs: list[list[int]] = []
    for frame in frames:
        if runs and frame == runs[-1][1] + 1:
            runs[-1][1] = frame
        else:
            runs.append([frame, frame])
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in runs)
