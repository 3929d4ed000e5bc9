"""Measurement of rate-distortion curves, point by point; points measured earlier are read from a file."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nvcodec import metrics
from nvcodec.bench import rival_codecs
from nvcodec.bench.bd import bd_rate
from nvcodec.decoding.decoded_video import Video
from nvcodec.encoding.encoder import encode
from nvcodec.encoding.fit.fit_loop import Progress
from nvcodec.errors import InputError
from nvcodec.files import atomic_file
from nvcodec.format.stream_reader import read_stream
from nvcodec.video.clip import Clip
from nvcodec.video.png_sinks import png

OURS, ALONE, PLAIN = "nvcodec", "nvcodec, network alone", "nvcodec, network alone, bytes do not count"
#: Our kinds of file by ``base``, and the options of each beside rate factor or size.
KINDS: dict[str, dict[str, dict[str, Any]]] = {
    "av1": {OURS: {"base": "av1"}},
    "none": {ALONE: {"base": "none"}, PLAIN: {"base": "none", "rd_lambda": 0.0, "grids": 0.0}},
}
OUR_OPTIONS = {name: options for kinds in KINDS.values() for name, options in kinds.items()}
CRFS = (28, 34, 40, 46, 52, 58)  # of files with an AV1 stream
ANCHOR = "x265 medium, no B"  # the paper's
ANCHORS = (ANCHOR, "x265 veryslow", "SVT-AV1 preset 2")
QUALITIES = ("psnr_rgb", "psnr_y", "psnr_611", "ms_ssim")
RESULTS, SOURCE_PICTURE = "results.json", "source.png"
VERSION = 2  # of the results: points of different versions do not compare


@dataclasses.dataclass(frozen=True)
class Task:
    """A point to measure.

    Attributes:
        codec: name of the codec.
        at: constant rate factor, or the size of a network alone in parameters.
    """

    codec: str
    at: int


def choose(parts: Sequence[str], bases: Iterable[str] = KINDS) -> list[str]:
    """Return the names of the codecs to measure.

    Args:
        bases: kinds of our files to choose among, of ``KINDS``.
        parts: a whole name chooses this codec, anything else all with it in their name, whatever the case; nothing
            chooses those that are measured by default.
    """
    known = [*rival_codecs.CODECS, *(name for base in bases for name in KINDS[base])]
    if not parts:
        return [name for name in known if name not in rival_codecs.CODECS or rival_codecs.CODECS[name].default]
    whole = {name.lower() for name in known}
    return [
        name
        for name in known
        if any(part == name.lower() or (part not in whole and part in name.lower()) for part in map(str.lower, parts))
    ]


def tasks(sizes: Sequence[int], names: Iterable[str]) -> list[Task]:
    """Return all points of the named codecs, the quick ones first, without those that PyAV lacks.

    Args:
        sizes: of networks alone, in parameters.
        names: codecs to measure.
    """
    chosen = set(names)
    rivals = [
        Task(name, quality)
        for name, codec in rival_codecs.CODECS.items()
        if name in chosen and rival_codecs.available(codec)
        for quality in codec.qualities
    ]
    ours = [Task(name, at) for name in OUR_OPTIONS if name in chosen for at in (CRFS if name == OURS else sizes)]
    return rivals + ours


class Bench:
    """The points of one clip, in a folder with ``results.json``, the files, and the middle frame of each as PNG.

    Args:
        clip: the frames to encode.
        folder: where to store the results; created if missing.
        source: name of the clip in reports.
        options: options for :func:`nvcodec.encode`, such as the number of steps.

    Raises:
        InputError: the folder has results of another clip or of other options.
        OSError: the folder cannot be written to.
    """

    def __init__(self, clip: Clip, folder: Path, source: str, options: dict[str, Any]) -> None:
        self.clip, self.folder, self.options = clip, folder, options
        fps = Fraction(len(clip.frames) / clip.seconds).limit_denominator(1001) if clip.seconds else Fraction(25)
        about = {
            "source": source,
            "frames": len(clip.frames),
            "width": clip.width,
            "height": clip.height,
            "fps": float(fps),
            **({"bits": clip.bits} if clip.bits > 8 else {}),  # so that earlier results go on
            "options": {name: value for name, value in options.items() if name != "threads"},
        }
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / RESULTS
        try:
            self.results: dict[str, Any] = (
                json.loads(path.read_text()) if path.exists() else {"version": VERSION, "clip": about, "points": []}
            )
            same = self.results["clip"] == json.loads(json.dumps(about))
            version = self.results.get("version", 1)
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{path} is not a result of nvcodec bench") from None
        if version != VERSION:
            raise InputError(f"{path} is of another version of nvcodec bench; name another folder")
        if not same:
            raise InputError(f"{path} is of another clip or other options; name another folder")
        self.middle_frame = len(clip.frames) // 2
        (folder / SOURCE_PICTURE).write_bytes(png(_channels_last(clip.frames[self.middle_frame])))

    @property
    def points(self) -> list[dict[str, Any]]:
        """The points measured so far."""
        points: list[dict[str, Any]] = self.results["points"]
        return points

    def has(self, task: Task) -> bool:
        """Return whether a point has been measured."""
        return any(point["codec"] == task.codec and point["at"] == task.at for point in self.points)

    def measure(self, task: Task, report: Callable[[Progress], None] | None = None) -> dict[str, Any]:
        """Encode the clip, decode the file, and add its rate, quality and times to the results.

        Args:
            task: the point.
            report: called with the progress of nvcodec's fit.

        Returns:
            The point as it stands in ``results.json``.

        Raises:
            InputError: the codec refuses the frames, or returns fewer.
        """
        name = f"{len(self.points):03d}"
        threads = self.options.get("threads") or torch.get_num_threads()
        if task.codec in rival_codecs.CODECS:
            codec = rival_codecs.with_bits_of(rival_codecs.CODECS[task.codec], self.clip.bits)
            bits = codec.bits
            path = self.folder / f"{name}.{codec.suffix}"
            encoding = rival_codecs.encode(codec, task.at, self.clip.frames, path, threads)
            file_bytes, encode_seconds = encoding.file_bytes, encoding.seconds
            decoded, decode_seconds = rival_codecs.decode(path, threads, self.clip.bits)
        else:
            path = self.folder / f"{name}.sdmn"
            start = time.monotonic()
            at = {"crf": task.at} if task.codec == OURS else {"size": task.at}
            options = {**self.options, **OUR_OPTIONS[task.codec], **at}
            data = encode(self.clip, progress=report, **options).data
            encode_seconds = time.monotonic() - start
            path.write_bytes(data)
            file_bytes = len(data)
            video = Video(read_stream(data), device=self.options.get("device", "auto"))
            bits = video.stream.video.bits
            decoded, decode_seconds = _timed(video)
        if len(decoded) != len(self.clip.frames):
            raise InputError(f"{task.codec} returned {len(decoded)} of {len(self.clip.frames)} frames")
        rows = [metrics.measure(a, b) for a, b in zip(decoded, self.clip.frames, strict=True)]
        (self.folder / f"{name}.png").write_bytes(png(_channels_last(decoded[self.middle_frame])))
        point = {
            "codec": task.codec,
            "at": task.at,
            "bits": bits,
            "file": path.name,
            "file_bytes": file_bytes,
            **{measure: _mean([row[measure] for row in rows]) for measure in rows[0]},
            "encode_seconds": encode_seconds,
            "decode_seconds": decode_seconds,
            "picture": f"{name}.png",
        }
        self.points.append(point)
        self.save()
        return point

    def save(self) -> None:
        """Write ``results.json``, including the BD-rates."""
        self.results["bd_rate"] = self.deltas()
        with atomic_file(self.folder / RESULTS) as temporary:
            temporary.write_text(json.dumps(self.results, indent=1) + "\n")

    def curve(self, codec: str, quality: str = "psnr_rgb") -> list[tuple[float, float]]:
        """Return (bytes, quality) of each point of a codec, sorted by bytes."""
        return sorted(
            (point["file_bytes"], point[quality])
            for point in self.points
            if point["codec"] == codec and point[quality] is not None
        )

    def deltas(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return the BD-rate of every codec by anchor, measure of quality, and codec.

        The anchors are those of ``ANCHORS`` that were measured, or the codec measured first where none was. A BD-rate
        is None where the two curves have no quality in common.
        """
        names = list(dict.fromkeys(point["codec"] for point in self.points))
        table: dict[str, dict[str, dict[str, Any]]] = {}
        for anchor in [name for name in ANCHORS if name in names] or names[:1]:
            table[anchor] = {}
            for quality in QUALITIES:
                deltas = {name: bd_rate(self.curve(anchor, quality), self.curve(name, quality)) for name in names}
                table[anchor][quality] = {name: delta and dataclasses.asdict(delta) for name, delta in deltas.items()}
        return table


def _timed(pictures: Iterable[torch.Tensor]) -> tuple[list[torch.Tensor], float]:
    """Return all pictures, and the seconds taken to decode them."""
    start = time.monotonic()
    decoded = [picture.cpu() for picture in pictures]
    return decoded, time.monotonic() - start


def _channels_last(picture: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(picture.permute(1, 2, 0).numpy())


def _mean(values: list[float | None]) -> float | None:
    """Return the mean; None where a value is missing."""
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if len(present) == len(values) else None
