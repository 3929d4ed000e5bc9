"""Files with an AV1 stream against SVT-AV1 and x265: bytes of whole files and PSNR of what they decode to.

    python benchmarks/av1.py CLIPS_FOLDER benchmarks/av1.json [--only NAME] [--kind "fine ycc"] [-j 2]

For each clip: the rivals, converted as accurately as our own source (``nvcodec/video/yuv.py``), their bytes those of
their packets; then nvcodec at each rate factor. BD-rates are by PSNR in RGB, of Y, and 6:1:1. Points that are in the
JSON already are not measured again.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import torch
from machine import provenance

import nvcodec
from nvcodec import metrics
from nvcodec.bench import rival_codecs
from nvcodec.bench.bd import bd_rate
from nvcodec.format.accounting import bytes_by_kind
from nvcodec.format.stream_reader import read_stream
from nvcodec.video.clip import Clip
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

# name: source, crop, scale, frames
CLIPS: dict[str, tuple[str, Any, Any, int | None]] = {
    "bunny 320x160": ("bigbuckbunny.mp4", (1280, 640), (320, 160), 66),
    "blackswan 432x240": ("davis480/blackswan", None, (432, 240), None),
    "camel 432x240": ("davis480/camel", None, (432, 240), None),
    "basketballpass 416x240": ("basketballpass", None, None, None),
    "highway 480x270": ("highway.mp4", None, (480, 270), None),
    "mallard-water 432x240": ("davis480/mallard-water", None, (432, 240), None),
    "foliage 360x240": ("vid4-foliage", None, (360, 240), None),
    "blackswan 854x480": ("davis480/blackswan", None, None, None),
    "camel 848x480": ("davis480/camel", (848, 480), None, None),
    "bmx-trees 848x480": ("davis480/bmx-trees", (848, 480), None, None),
    "mallard-water 848x480": ("davis480/mallard-water", (848, 480), None, None),
    "dancers 1280x720": ("dancers", None, None, 40),
    "bunny 1280x720": ("bigbuckbunny.mp4", None, None, 66),
}
CRFS = (40.0, 46.0, 52.0, 58.0)
RIVALS = {
    "SVT-AV1 preset 2": (34, 40, 46, 52, 58, 62),
    "SVT-AV1 preset 6": (34, 40, 46, 52, 58, 62),
    "x265 veryslow": (24, 29, 34, 39),
    "x265 veryslow, chroma -6": (24, 29, 34, 39),
    "x265 medium, no B": (24, 29, 34, 39),
    "VP9 good, cpu-used 1": (34, 42, 50, 58, 63),
}
KINDS = {
    "fine ycc": {"preset": "fine"},
    "fine rgb": {"preset": "fine", "tune": "rgb"},
    "finest rgb": {"preset": "finest", "tune": "rgb"},
    "finest ycc": {"preset": "finest"},
    "normal ycc": {"preset": "normal"},
}
MEASURES = ("psnr_rgb", "psnr_y", "psnr_611")


def quality(pictures: Any, clip: Clip) -> dict[str, float]:
    """Return the mean of each measure over the frames."""
    rows = []
    for picture, original in zip(pictures, clip.frames, strict=True):
        y, (cb, cr) = metrics.psnr_y(picture, original), metrics.psnr_chroma(picture, original)
        rows.append((metrics.psnr(picture, original), y, metrics.psnr_611(y, cb, cr)))
    return dict(zip(MEASURES, map(statistics.fmean, zip(*rows, strict=True)), strict=True))


def rival(name: str, crf: int, clip: Clip, threads: int) -> dict[str, Any]:
    """Measure a point of another codec."""
    codec = rival_codecs.CODECS[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rival.{codec.suffix}"
        made = rival_codecs.encode(codec, crf, clip.frames, path, threads)
        decoded, _ = rival_codecs.decode(path, threads)
        return {"file_bytes": made.file_bytes, "seconds": made.seconds, **quality(decoded, clip)}


def ours(crf: float, clip: Clip, options: dict[str, Any], threads: int) -> dict[str, Any]:
    """Measure a point of nvcodec."""
    start = time.monotonic()
    made = nvcodec.encode(clip, crf=crf, threads=threads, device="cpu", **options)
    seconds = time.monotonic() - start
    stream = read_stream(made.data)
    return {
        "file_bytes": len(made.data),
        "seconds": seconds,
        "by_phase": made.seconds,
        "bytes_by_kind": bytes_by_kind(stream),
        "layers": stream.layers,
        **quality(nvcodec.open(made.data, device="cpu"), clip),
    }


def summary(points: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the BD-rates of each kind of file against each rival, in percent."""
    table: dict[str, Any] = {}
    for kind in KINDS:
        for other in RIVALS:
            if kind in points and other in points:
                for measure in MEASURES:
                    curves = [[(p["file_bytes"], p[measure]) for p in points[name].values()] for name in (other, kind)]
                    delta = bd_rate(*curves)
                    table.setdefault(kind, {}).setdefault(other, {})[measure] = delta and round(delta.percent, 2)
    return table


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--only", default="")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(list(KINDS)), default=("fine ycc",))
@click.option("--rival", "rivals", multiple=True, type=click.Choice(list(RIVALS)), default=tuple(RIVALS))
@click.option("-j", "--threads", default=1)
def main(folder: Path, output: Path, only: str, kinds: tuple[str, ...], rivals: tuple[str, ...], threads: int) -> None:
    """Measure what is missing in OUTPUT."""
    torch.set_num_threads(threads)
    results = json.loads(output.read_text()) if output.exists() else {"clips": {}}
    for name, (source, crop, scale, frames) in CLIPS.items():
        if only not in name:
            continue
        clip = read_clip(folder / source, Selection(crop, scale, 0, frames, 1), None, None)
        entry = results["clips"].setdefault(name, {"points": {}})
        tasks = [(other, crf) for other in rivals for crf in RIVALS[other]]
        tasks += [(kind, crf) for kind in kinds for crf in CRFS]
        for which, crf in tasks:
            points = entry["points"].setdefault(which, {})
            if f"{crf:g}" in points:
                continue
            if which in KINDS:
                points[f"{crf:g}"] = ours(crf, clip, KINDS[which], threads)
            else:
                points[f"{crf:g}"] = rival(which, int(crf), clip, threads)
            print(name, which, crf, {k: v for k, v in points[f"{crf:g}"].items() if k != "by_phase"}, flush=True)
            entry["bd_rate"] = summary(entry["points"])
            results["provenance"] = provenance()
            output.write_text(json.dumps(results, indent=1) + "\n")
        print(name, json.dumps(entry.get("bd_rate")), flush=True)


if __name__ == "__main__":
    main()
