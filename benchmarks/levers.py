"""The worth of each means of saving bytes: files of equal size, made in equal time, without one of them.

    python benchmarks/levers.py CLIPS_FOLDER benchmarks/levers.json [--jobs 2]

Two sizes of 66 frames of Big Buck Bunny at 320x160; each encode is a process with one thread. Results are added to the
JSON as they come; what is already there is skipped.
"""

from __future__ import annotations

import concurrent.futures
import json
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import click
import torch
from machine import provenance

from nvcodec.encoding.encoder import encode
from nvcodec.encoding.fit.fit import Fit
from nvcodec.encoding.model import shape_solver
from nvcodec.format.entropy import chunks
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

#: Bytes of a file and seconds for its encode: 0.6 times the bytes, and the time, of the older nvcodec of `before.py`.
POINTS = ((68_037, 104.6), (140_141, 158.3))


def nothing() -> None:
    """Change nothing."""


def one_table() -> None:
    """Use one table for all values of a chunk."""
    mock.patch.object(chunks, "choose_contexts", lambda values, rows: None).start()


def plain_latents() -> None:
    """Keep the latents as the encoder yields them, in quantisation steps of a 127th of their peak."""
    mock.patch.object(Fit, "learn_latents", lambda self: None).start()


def wide_kernels() -> None:
    """Use the kernels of the published networks."""
    mock.patch.object(shape_solver, "KERNELS", shape_solver.PUBLISHED_KERNELS).start()


LEVERS: dict[str, tuple[dict[str, Any], Callable[[], None]]] = {
    "as it is": ({}, nothing),
    "no grids": ({"grids": 0.0}, nothing),
    "bytes do not count in the loss": ({"rd_lambda": 0.0}, nothing),
    "latents are not learned": ({}, plain_latents),
    "one table a chunk": ({}, one_table),
    "kernels of 5x5": ({}, wide_kernels),
}


def measure(folder: Path, lever: str, point: tuple[int, float]) -> dict[str, Any]:
    """Return the figures of one encode; called in a process of its own, which keeps the change."""
    torch.set_num_threads(1)
    clip = read_clip(folder / "bigbuckbunny.mp4", Selection((1280, 640), (320, 160), 0, 66), None, None)
    options, change = LEVERS[lever]
    change()
    target, seconds = point
    began = time.process_time()
    made = encode(clip, base="none", target_size=target, time_limit=seconds, threads=1, device="cpu", **options)
    return {
        "file_bytes": len(made.data),
        "psnr_rgb": made.psnr,
        "processor_seconds": time.process_time() - began,
        "parameters": made.parameters,
        "provenance": provenance(),
    }


@click.command()
@click.argument("folder", type=Path)
@click.argument("output", type=Path)
@click.option("--jobs", default=2, show_default=True)
def main(folder: Path, output: Path, jobs: int) -> None:
    """Measure what OUTPUT does not hold yet."""
    results: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    missing = [(lever, point) for lever in LEVERS for point in POINTS if str(point[0]) not in results.get(lever, {})]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, context, max_tasks_per_child=1) as pool:
        tasks = {pool.submit(measure, folder, lever, point): (lever, point) for lever, point in missing}
        for task in concurrent.futures.as_completed(tasks):
            lever, (target, _) = tasks[task]
            results.setdefault(lever, {})[str(target)] = task.result()
            output.write_text(json.dumps(results, indent=1) + "\n")
            row = task.result()
            click.echo(f"{lever}: {row['file_bytes']} bytes, {row['psnr_rgb']:.2f} dB", err=True)


if __name__ == "__main__":
    main()
