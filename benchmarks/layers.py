"""Quality layers against independent files, against one file of the whole size, and against x265.

    python benchmarks/layers.py CLIPS_FOLDER benchmarks/layers.json [--jobs 2] [--only CLIP]

For each clip: a file of three layers, and how fast it decodes with one, two and three of them; the same polished
together (--joint); a file of its own of each layer's size; files of one layer whose bytes are those of all layers up to
the second and to the third; and three streams of x265, each by itself, at the paper's QP. Every network has the same
steps, one thread. What is there is not measured again.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import multiprocessing
import statistics
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import torch
from machine import provenance

from nvcodec.bench import rival_codecs as codecs
from nvcodec.decoding.decoded_video import Video
from nvcodec.encoding.encoder import encode
from nvcodec.format.describe import by_layer
from nvcodec.format.stream import Stream
from nvcodec.format.stream_reader import read_stream
from nvcodec.metrics import psnr
from nvcodec.video.source import Selection, read_clip

CLIPS: dict[str, tuple[str, Selection, str]] = {
    "bunny 320x160": ("bigbuckbunny.mp4", Selection((1280, 640), (320, 160), 0, 66), "100k,100k,100k"),
    "blackswan 432x240": ("davis480/blackswan", Selection(None, (432, 240), 0, 50), "100k,100k,100k"),
    "blackswan 432x240, growing": ("davis480/blackswan", Selection(None, (432, 240), 0, 50), "50k,120k,300k"),
}

QUANTISERS = (37, 32, 27)  # of x265, as of SHM's layers in the paper


def x265(folder: Path, name: str, quantiser: int) -> dict[str, Any]:
    """A stream of x265 medium without B frames at a constant QP."""
    source, selection, _ = CLIPS[name]
    clip = read_clip(folder / source, selection)
    medium = codecs.CODECS["x265 medium, no B"]
    options = {**medium.options, "x265-params": f"{medium.options['x265-params']}:qp={quantiser}"}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, f"stream.{medium.suffix}")
        fps = Fraction(len(clip.frames) / clip.seconds).limit_denominator(1001)
        codecs.encode(dataclasses.replace(medium, options=options), 0, clip.frames, fps, path)
        pictures = list(codecs.decode(path))
        return {
            "file_bytes": path.stat().st_size,
            "psnr_rgb": statistics.mean(psnr(a, b) for a, b in zip(pictures, clip.frames, strict=True)),
            "provenance": provenance(),
        }


def decoding_speed(stream: Stream, layers: int) -> float:
    """Frames a second of processor time, with this many layers, one thread, checksums compared."""
    video = Video(stream, device="cpu", layers=layers)
    video[0]  # tables and kernels are made once
    began = time.process_time()
    frames = sum(1 for _ in video)
    return frames / (time.process_time() - began)


def measure(folder: Path, name: str, options: dict[str, Any], steps: int | None) -> dict[str, Any]:
    """One encode, in a process of its own."""
    torch.set_num_threads(1)
    source, selection, _ = CLIPS[name]
    clip = read_clip(folder / source, selection)
    began = time.process_time()
    made = encode(clip, threads=1, device="cpu", steps=steps, **options)
    taken = time.process_time() - began
    stream = read_stream(made.data)
    return {
        **options,
        "steps": steps,
        "frames_decoded_a_second": [decoding_speed(stream, layers) for layers in range(1, stream.layers + 1)],
        "layers": by_layer(stream),
        "psnr_rgb": made.psnr,
        "file_bytes": len(made.data),
        "parameters": made.parameters,
        "processor_seconds": taken,
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

    def go_on(pool: concurrent.futures.Executor, wanted: list[tuple[str, str, dict[str, Any]]]) -> None:
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
            for quantiser in QUANTISERS:
                if f"x265 QP {quantiser}" not in results.setdefault(name, {}):
                    results[name][f"x265 QP {quantiser}"] = x265(folder, name, quantiser)
                    output.write_text(json.dumps(results, indent=1) + "\n")
        whole: dict[str, dict[str, Any]] = {"layers": {}, "joint": {"joint": True}}
        go_on(
            pool, [(name, which, {"size": CLIPS[name][2], **more}) for name in names for which, more in whole.items()]
        )
        more = []
        for name in names:
            for number, row in enumerate(results[name]["layers"]["layers"]):
                more.append((name, f"alone {number}", {"target_size": row["bytes"]}))
                if number:
                    more.append((name, f"single {number}", {"target_size": row["file_bytes"]}))
        go_on(pool, more)


if __name__ == "__main__":
    main()
