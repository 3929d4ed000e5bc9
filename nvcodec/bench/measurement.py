"""Measuring rate-distortion curves point by point; what has been measured is kept and not measured again."""

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
from nvcodec.bench import rival_codecs as codecs
from nvcodec.bench.bd import bd_rate
from nvcodec.decoding.decoded_video import Video
from nvcodec.encoding.encoder import encode
from nvcodec.encoding.fit.fit_loop import Progress
from nvcodec.errors import InputError
from nvcodec.files import atomic_file
from nvcodec.format.stream_reader import read_stream
from nvcodec.video.clip import Clip
from nvcodec.video.sinks import png

OURS, PLAIN = "nvcodec", "nvcodec, bytes do not count"
ANCHOR = "x265 medium, no B"
QUALITIES = ("psnr_rgb", "ms_ssim")
RESULTS, SOURCE_PICTURE = "results.json", "source.png"


@dataclasses.dataclass(frozen=True)
class Task:
    """One point of a curve: of ``codec``, at a quality of its own or a size in parameters."""

    codec: str
    at: int


def tasks(sizes: Sequence[int], names: Iterable[str]) -> list[Task]:
    """All points of the codecs named, the quick ones first; those this machine lacks are left out."""
    wanted = list(names)
    quick = [
        Task(name, quality)
        for name, codec in codecs.CODECS.items()
        if name in wanted and codecs.available(codec)
        for quality in codec.qualities
    ]
    return quick + [Task(name, size) for name in (OURS, PLAIN) if name in wanted for size in sizes]


class Bench:
    """Points of one clip in a folder: ``results.json``, and the middle frame of every point as a PNG file.

    Args:
        clip: what is encoded.
        folder: made if it is not there; results of another clip in it are refused.
        options: of :func:`nvcodec.encode`, how long to fit for example.
        source: how the clip is called in reports.
    """

    def __init__(self, clip: Clip, folder: Path, source: str, options: dict[str, Any]) -> None:
        self.clip, self.folder, self.options = clip, folder, options
        self.fps = Fraction(len(clip.frames) / clip.seconds).limit_denominator(1001) if clip.seconds else Fraction(25)
        about = {
            "source": source,
            "frames": len(clip.frames),
            "width": clip.width,
            "height": clip.height,
            "fps": float(self.fps),
            "options": {name: value for name, value in options.items() if name != "threads"},
        }
        folder.mkdir(parents=True, exist_ok=True)
        held = folder / RESULTS
        try:
            self.results: dict[str, Any] = (
                json.loads(held.read_text()) if held.exists() else {"clip": about, "points": []}
            )
            same = self.results["clip"] == json.loads(json.dumps(about))
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{held} is no result of nvcodec bench") from None
        if not same:
            raise InputError(f"{held} is of another clip or other options; name another folder")
        self.middle = len(clip.frames) // 2
        (folder / SOURCE_PICTURE).write_bytes(png(_rows(clip.frames[self.middle])))

    @property
    def points(self) -> list[dict[str, Any]]:
        """What has been measured."""
        points: list[dict[str, Any]] = self.results["points"]
        return points

    def has(self, task: Task) -> bool:
        """Whether a point has been measured."""
        return any(point["codec"] == task.codec and point["at"] == task.at for point in self.points)

    def measure(self, task: Task, report: Callable[[Progress], None] | None = None) -> dict[str, Any]:
        """Encode, decode, judge and keep one point."""
        kept = f"{len(self.points):03d}"
        if task.codec in codecs.CODECS:
            codec = codecs.CODECS[task.codec]
            path = self.folder / f"{kept}.{codec.suffix}"
            spent = codecs.encode(codec, task.at, self.clip.frames, self.fps, path)
            decoded, decoding = _timed(codecs.decode(path))
        else:
            path = self.folder / f"{kept}.sdmn"
            began = time.monotonic()
            options = {**self.options, "rd_lambda": 0.0, "grids": 0.0} if task.codec == PLAIN else self.options
            made = encode(self.clip, size=task.at, report=report, **options)
            spent = time.monotonic() - began
            path.write_bytes(made.data)
            decoded, decoding = _timed(Video(read_stream(made.data), device=self.options.get("device", "auto")))
        if len(decoded) != len(self.clip.frames):
            raise InputError(f"{task.codec} gave {len(decoded)} of {len(self.clip.frames)} frames back")
        rows = [metrics.measure(a, b) for a, b in zip(decoded, self.clip.frames, strict=True)]
        (self.folder / f"{kept}.png").write_bytes(png(_rows(decoded[self.middle])))
        point = {
            "codec": task.codec,
            "at": task.at,
            "file": path.name,
            "file_bytes": path.stat().st_size,
            **{name: _mean([row[name] for row in rows]) for name in rows[0]},
            "encode_seconds": spent,
            "decode_seconds": decoding,
            "picture": f"{kept}.png",
        }
        self.points.append(point)
        self.save()
        return point

    def save(self) -> None:
        """Write ``results.json`` with the table of BD-rates."""
        self.results["bd_rate"] = self.deltas()
        with atomic_file(self.folder / RESULTS) as temporary:
            temporary.write_text(json.dumps(self.results, indent=1) + "\n")

    def curve(self, codec: str, quality: str = "psnr_rgb") -> list[tuple[float, float]]:
        """(bytes, quality) of a codec's points, the smallest file first."""
        return sorted(
            (point["file_bytes"], point[quality])
            for point in self.points
            if point["codec"] == codec and point[quality] is not None
        )

    def deltas(self) -> dict[str, dict[str, Any]]:
        """BD-rate of every codec against the anchor (x265 where it is there), by quality and codec."""
        names = list(dict.fromkeys(point["codec"] for point in self.points))
        anchor = ANCHOR if ANCHOR in names else names[0] if names else ""
        table: dict[str, dict[str, Any]] = {"anchor": {"codec": anchor}}
        for quality in QUALITIES:
            found = {name: bd_rate(self.curve(anchor, quality), self.curve(name, quality)) for name in names}
            table[quality] = {name: delta and dataclasses.asdict(delta) for name, delta in found.items()}
        return table


def _timed(pictures: Iterable[torch.Tensor]) -> tuple[list[torch.Tensor], float]:
    began = time.monotonic()
    decoded = [picture.cpu() for picture in pictures]
    return decoded, time.monotonic() - began


def _rows(picture: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(picture.permute(1, 2, 0).numpy())


def _mean(values: list[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if len(there) == len(values) else None
