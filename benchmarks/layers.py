"""Quality layers against independent files, against one file of the whole size, and against x265.

    python benchmarks/layers.py CLIPS_FOLDER benchmarks/layers.json [--jobs 2] [--only CLIP]

For each clip: a file of three layers, and its decoding speed with one, two and three of them; the same fitted jointly
(--joint); for each layer an independent file of its bytes; files of one layer with the bytes of two and of three
layers; and three independent streams of x265 at the paper's QPs. Every network gets the same number of training steps
and one thread. What OUTPUT holds already is skipped.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import torch
from machine import provenance

from nvcodec.bench import rival_codecs
from nvcodec.decoding.decoded_video import Video
from nvcodec.encoding.encoder import encode
from nvcodec.format.describe import by_layer
from nvcodec.format.stream import Stream
from nvcodec.format.stream_reader import read_stream
from nvcodec.metrics import psnr
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

CLIPS: dict[str, tuple[str, Selection, str]] = {
    "bunny 320x160": ("bigbuckbunny.mp4", Selection((1280, 640), (320, 160), 0, 66), "100k,100k,100k"),
    "blackswan 432x240": ("davis480/blackswan", Selection(None, (432, 240), 0, 50), "100k,100k,100k"),
    "blackswan 432x240, growing": ("davis480/blackswan", Selection(None, (432, 240), 0, 50), "50k,120k,300k"),
}

QPS = (37, 32, 27)  # of x265; those of SHM's layers in the paper


def x265(folder: Path, name: str, qp: int) -> dict[str, Any]:
    """Return the figures of a stream of x265 medium without B frames at a constant QP."""
    source, selection, _ = CLIPS[name]
    clip = read_clip(folder / source, selection)
    medium = rival_codecs.CODECS["x265 medium, no B"]
    options = {**medium.options, "x265-params": f"{medium.options['x265-params']}:qp={qp}"}
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, f"stream.{medium.suffix}")
        encoding = rival_codecs.encode(dataclasses.replace(medium, options=options), 0, clip.frames, path, threads=1)
        pictures, _ = rival_codecs.decode(path, threads=1)
        return {
            "file_bytes": encoding.file_bytes,
            "psnr_rgb": statistics.mean(psnr(a, b) for a, b in zip(pictures, clip.frames, strict=True)),
            "provenance": provenance(),
        }


def decoding_speed(stream: Stream, layers: int) -> float:
    """Return the frames decoded per second of processor time, on one thread, with checksums compared."""
    video = Video(stream, device="cpu", layers=layers)
    video[0]  # builds tables and kernels
    start = time.process_time()
    frames = sum(1 for _ in video)
    return frames / (time.process_time() - start)


def measure(folder: Path, name: str, options: dict[str, Any], steps: int | None) -> dict[str, Any]:
    """Return the figures of one encode."""
    torch.set_num_threads(1)
    source, selection, _ = CLIPS[name]
    clip = read_clip(folder / source, selection)
    start = time.process_time()
    made = encode(clip, threads=1, device="cpu", steps=steps, **options)
    seconds = time.process_time() - start
    stream = read_stream(made.data)
    return {
        **options,
        "steps": steps,
        "frames_decoded_a_second": [decoding_speed(stream, layers) for layers in range(1, stream.layers + 1)],
        "layers": by_layer(stream),
        "psnr_rgb": made.psnr,
        "file_bytes": len(made.data),
        "parameters": made.parameters,
        "processor_seconds": seconds,
        "provenance": provenance(),
    }


@click.command()
@click.argument("folder", type=Path)
@click.argument("output", type=Path)
@click.option("--jobs", default=2, show_default=True)
@click.option("--only", multiple=True)
@click.option("--steps", type=int, help="Of each network; the default if not given.")
def main(folder: Path, output: Path, jobs: int, only: tuple[str, ...], steps: int | None) -> None:
    """Measure what OUTPUT does not hold yet."""
    results: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    context = multiprocessing.get_context("spawn")

    def measure_missing(pool: concurrent.futures.Executor, wanted: list[tuple[str, str, dict[str, Any]]]) -> None:
        tasks = {
            pool.submit(measure, folder, name, options, steps): (name, which)
            for name, which, options in wanted
            if which not in results.get(name, {})
        }
        for task in concurrent.futures.as_completed(tasks):
            name, which = tasks[task]
            results.setdefault(name, {})[which] = task.result()
            output.write_text(json.dumps(results, indent=1) + "\n")
            row = task.result()
            click.echo(f"{name}, {which}: {row['file_bytes']} bytes, {row['psnr_rgb']:.2f} dB", err=True)

    with concurrent.futures.ProcessPoolExecutor(jobs, context, max_tasks_per_child=1) as pool:
        names = [name for name in CLIPS if not only or name in only]
        for name in names:
            for qp in QPS:
                if f"x265 QP {qp}" not in results.setdefault(name, {}):
                    results[name][f"x265 QP {qp}"] = x265(folder, name, qp)
                    output.write_text(json.dumps(results, indent=1) + "\n")
        whole: dict[str, dict[str, Any]] = {"layers": {}, "joint": {"joint": True}}
        measure_missing(
            pool, [(name, which, {"size": CLIPS[name][2], **more}) for name in names for which, more in whole.items()]
        )
        more = []
        for name in names:
            for number, row in enumerate(results[name]["layers"]["layers"]):
                more.append((name, f"alone {number}", {"target_size": row["bytes"]}))
                if number:
                    more.append((name, f"single {number}", {"target_size": row["file_bytes"]}))
        measure_missing(pool, more)


if __name__ == "__main__":
    main()
