"""Table 5 of the paper: regression and interpolation by HNeRV, DNeRV, FFNeRV, SDMN and SDMN with a quality layer.

    python -m baselines.table5 CLIPS_FOLDER benchmarks/table5.json [--jobs 2] [--only NAME] [--gpu]

For each clip and network there are two fits: to all frames, measured on them (regression), and to every second frame,
measured on those between (interpolation). All get the same bytes and the same time. On a CPU each is a process with one
thread and its time is processor time, also for planning the fit, so that other processes do not change a result. Only
the file is measured. Results are added to the JSON as they come; what is already there is skipped.

``--gpu`` stands for the paper's 1920x960 and bytes for 3M parameters; time is then elapsed time.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import itertools
import json
import math
import multiprocessing
import statistics
import time
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest import mock

import click
import torch

import nvcodec
from baselines import codec, stored
from benchmarks.machine import provenance
from nvcodec.cli.options import SizeType
from nvcodec.decoding.decoded_video import Video
from nvcodec.encoding.model import shape_solver
from nvcodec.format.describe import by_layer
from nvcodec.format.stream_reader import read_stream
from nvcodec.metrics import psnr, ssim
from nvcodec.video.clip import Clip
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

CLIPS = {"blackswan": "davis480/blackswan", "camel": "davis480/camel"}
MAX_FRAMES = 50  # of each clip
TASKS = {"regression": 1, "interpolation": 2}  # one of so many frames is fitted
LAYERED = "SDMN, two layers"
NETWORKS = ("HNeRV", *codec.FITS, "SDMN", LAYERED)
BASE_SHARE = 0.6  # of the parameters of two layers, for the base layer
PARAMETERS_PER_BYTE = 4.1  # of two layers, in the first attempt
BYTES_TOLERANCE = 0.02  # relative, for two layers, whose sizes are given in parameters


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all fits share.

    Attributes:
        scale: width and height of the pictures.
        file_bytes: size of each file.
        seconds: time for each fit.
        device: where to fit.
        attempts: how often two layers may be fitted, each time for all the seconds, to come near to the bytes.
    """

    scale: tuple[int, int] = (432, 240)
    file_bytes: int = 100_000
    seconds: float = 150.0
    device: str = "cpu"
    attempts: int = 4


GPU = Settings((1920, 960), 2_400_000, 600.0, "cuda")


def encode(clip: Clip, network: str, settings: Settings) -> tuple[bytes, dict[str, Any]]:
    """Return the stored network, and figures that do not depend on its pictures."""
    if network in codec.FITS:
        data = codec.encode(network, clip.frames, settings.file_bytes, seconds=settings.seconds, device=settings.device)
        decoder = stored.read(data).decoder
        return data, {"parameters": decoder.shape.parameters(len(clip.frames))}
    options: dict[str, Any] = {"time_limit": settings.seconds, "device": settings.device}
    if network == LAYERED:
        return encode_layers(clip, settings, options)
    options["target_size"] = settings.file_bytes
    with contextlib.ExitStack() as stack:
        if network == "HNeRV":
            stack.enter_context(mock.patch.object(shape_solver, "KERNELS", shape_solver.PUBLISHED_KERNELS))
            options.update(skip="none", grids=0.0)
        made = nvcodec.encode(clip, **options)
    return made.data, {"parameters": made.parameters}


def encode_layers(clip: Clip, settings: Settings, options: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """Return a base and an enhancement layer that together come near to the file size, and their figures.

    The sizes of layers are given in parameters; each attempt corrects them by the bytes of those before, and the
    nearest attempt counts.
    """
    file_bytes = settings.file_bytes
    tried: list[tuple[float, nvcodec.Encoded]] = []
    for _ in range(settings.attempts):
        parameters = corrected([(size, len(made.data)) for size, made in tried], file_bytes)
        sizes = f"{round(BASE_SHARE * parameters)},{round((1 - BASE_SHARE) * parameters)}"
        tried.append((parameters, nvcodec.encode(clip, size=sizes, **options)))
        if abs(len(tried[-1][1].data) / file_bytes - 1) <= BYTES_TOLERANCE:
            break
    best = min((made for _, made in tried), key=lambda made: abs(len(made.data) - file_bytes))
    return best.data, {
        "parameters": best.parameters,
        "layers": by_layer(read_stream(best.data)),
        "attempts": [[round(size), len(made.data)] for size, made in tried],
    }


def corrected(tried: list[tuple[float, int]], file_bytes: int) -> float:
    """Return the number of parameters to try next.

    It lies between the nearest attempts on either side of the file size; without both, it is in proportion to the
    nearest attempt.

    Args:
        tried: parameters and bytes of each attempt.
        file_bytes: the wanted size.
    """
    if not tried:
        return PARAMETERS_PER_BYTE * file_bytes
    below = [attempt for attempt in tried if attempt[1] <= file_bytes]
    above = [attempt for attempt in tried if attempt[1] > file_bytes]
    if not (below and above):
        size, made = min(tried, key=lambda attempt: abs(attempt[1] - file_bytes))
        return size * file_bytes / made
    low, high = max(below, key=lambda attempt: attempt[1]), min(above, key=lambda attempt: attempt[1])
    part = math.log(file_bytes / low[1]) / math.log(high[1] / low[1])
    return low[0] * (high[0] / low[0]) ** part


def decode(data: bytes, network: str, frames: int, task: str, device: str) -> Iterable[torch.Tensor]:
    """Return the pictures that are measured: those of all ``frames``, or those between them."""
    if network in codec.FITS:
        times: list[int | Fraction] = list(range(frames))
        if task == "interpolation":
            times = [Fraction(half, 2) for half in range(1, 2 * frames - 1, 2)]
        return codec.decode(data, times, device)
    video = Video(read_stream(data), device=device)
    if task == "regression":
        return (picture.cpu() for picture in video)
    return (picture.cpu() for picture, _, _ in itertools.islice(video.interpolated(2), 1, None, 2))


def measure(folder: Path, name: str, task: str, network: str, settings: Settings) -> dict[str, Any]:
    """Return the figures of one fit; called in a process of its own, whose clock it changes."""
    if settings.device == "cpu":
        torch.set_num_threads(1)
        mock.patch("time.monotonic", time.process_time).start()
    every = TASKS[task]
    source = read_clip(folder / CLIPS[name], Selection(None, settings.scale, 0, MAX_FRAMES))
    fitted = read_clip(folder / CLIPS[name], Selection(None, settings.scale, 0, MAX_FRAMES, every))
    start = time.monotonic()
    data, more = encode(fitted, network, settings)
    seconds = time.monotonic() - start
    count = len(fitted.frames)
    measured = range(count) if every == 1 else range(1, 2 * count - 1, 2)
    pairs = zip(decode(data, network, count, task, settings.device), measured, strict=True)
    values = [(psnr(picture, source.frames[frame]), ssim(picture, source.frames[frame])) for picture, frame in pairs]
    return {
        "psnr_rgb": statistics.mean(value for value, _ in values),
        "ssim": statistics.mean(value for _, value in values),
        "file_bytes": len(data),
        "seconds": seconds,
        "frames_fitted": count,
        "frames_judged": len(values),
        **more,
        "provenance": provenance(),
    }


def _wanted(names: Iterable[str], only: tuple[str, ...]) -> list[str]:
    """Return those of ``names`` that are among ``only``; all if none is."""
    return [name for name in names if name in only] or list(names)


@click.command()
@click.argument("folder", type=Path)
@click.argument("output", type=Path)
@click.option("--jobs", type=int, help="Fits at a time; 2, on a GPU 1, if not given.")
@click.option(
    "--only", multiple=True, type=click.Choice([*CLIPS, *TASKS, *NETWORKS]), help="Some clips, tasks, networks."
)
@click.option("--gpu", is_flag=True, help=f"{GPU.scale[0]}x{GPU.scale[1]}, {GPU.file_bytes} bytes, {GPU.seconds:g} s.")
@click.option("--size", "file_bytes", type=int, help="Bytes of each file.")
@click.option("--seconds", type=float, help="Of each fit.")
@click.option("--scale", type=SizeType(), help="Of the pictures.")
@click.option("--device")
@click.option("--attempts", type=int, help="With two layers, to come near to the bytes.")
def main(folder: Path, output: Path, jobs: int | None, only: tuple[str, ...], gpu: bool, **given: Any) -> None:
    """Measure what OUTPUT does not hold yet."""
    chosen = {name: value for name, value in given.items() if value is not None}
    settings = dataclasses.replace(GPU if gpu else Settings(), **chosen)
    stated = json.loads(json.dumps(dataclasses.asdict(settings)))
    results: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {"settings": stated, "clips": {}}
    if {**stated, **results["settings"]} != stated:
        raise click.UsageError(f"{output} holds results of other settings: {results['settings']}")
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        jobs or (1 if settings.device == "cuda" else 2), context, max_tasks_per_child=1
    ) as pool:
        tasks = {
            pool.submit(measure, folder, name, task, network, settings): (name, task, network)
            for name, task, network in itertools.product(*(_wanted(kind, only) for kind in (CLIPS, TASKS, NETWORKS)))
            if network not in results["clips"].get(name, {}).get(task, {})
        }
        for done in concurrent.futures.as_completed(tasks):
            name, task, network = tasks[done]
            row = done.result()
            results["clips"].setdefault(name, {}).setdefault(task, {})[network] = row
            output.write_text(json.dumps(results, indent=1) + "\n")
            click.echo(
                f"{name}, {task}, {network}: {row['psnr_rgb']:.2f} dB, {row['ssim']:.3f}, {row['file_bytes']} bytes, "
                f"{row['seconds']:.0f} s",
                err=True,
            )


if __name__ == "__main__":
    main()
