"""Table 5 of the paper: regression and interpolation by HNeRV, DNeRV, FFNeRV, SDMN and SDMN with a quality layer.

    python -m baselines.table5 CLIPS_FOLDER benchmarks/table5.json [--jobs 2] [--only NAME] [--gpu]

For each clip and network two fits: to all frames, judged by them (regression), and to every second frame, judged by
those between (interpolation). All get the same bytes and the same time; on a CPU each is a process with one thread, and
its time, by which it also plans its fit, is the processor's, so that nothing else that runs changes a result. The file
alone is judged. Results are added to the JSON as they come; what is there is not measured again.

``--gpu`` is the paper's 1920x960, in bytes for 3M parameters, and takes a GPU's time as it passes.
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
from nvcodec.video.source import Selection, read_clip

CLIPS = {"blackswan": "davis480/blackswan", "camel": "davis480/camel"}
FRAMES = 50  # of each clip, at most
TASKS = {"regression": 1, "interpolation": 2}  # of how many frames one is fitted
LAYERED = "SDMN, two layers"
NETWORKS = ("HNeRV", *codec.FITS, "SDMN", LAYERED)
BASE = 0.6  # of the parameters of two layers, for the first
PARAMETERS = 4.1  # for a byte, of two layers to begin with
NEAR = 0.02  # of the bytes, enough for two layers, which take a number of parameters


@dataclasses.dataclass(frozen=True)
class Settings:
    """What all fits share: pictures' width and height, bytes, seconds, device; and how often two layers may be tried,
    each time in all the seconds, to come near to the bytes."""

    scale: tuple[int, int] = (432, 240)
    file_bytes: int = 100_000
    seconds: float = 150.0
    device: str = "cpu"
    attempts: int = 4


GPU = Settings((1920, 960), 2_400_000, 600.0, "cuda")


def encode(clip: Clip, network: str, settings: Settings) -> tuple[bytes, dict[str, Any]]:
    """The stored network, and what there is to say of it beside its pictures."""
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
    """A base and an enhancement layer of the wanted bytes together: layers take sizes in parameters, which are
    corrected by what they came to until that is near enough. Each attempt has all the time; the nearest one counts."""
    file_bytes = settings.file_bytes
    tried: list[tuple[float, nvcodec.Encoded]] = []
    for _ in range(settings.attempts):
        parameters = corrected([(size, len(made.data)) for size, made in tried], file_bytes)
        sizes = f"{round(BASE * parameters)},{round((1 - BASE) * parameters)}"
        tried.append((parameters, nvcodec.encode(clip, size=sizes, **options)))
        if abs(len(tried[-1][1].data) / file_bytes - 1) <= NEAR:
            break
    best = min((made for _, made in tried), key=lambda made: abs(len(made.data) - file_bytes))
    return best.data, {
        "parameters": best.parameters,
        "layers": by_layer(read_stream(best.data)),
        "attempts": [[round(size), len(made.data)] for size, made in tried],
    }


def corrected(tried: list[tuple[float, int]], file_bytes: int) -> float:
    """The parameters to try next, by those that were and the bytes they came to: between the nearest to either side,
    else in proportion to the nearest."""
    if not tried:
        return PARAMETERS * file_bytes
    below = [attempt for attempt in tried if attempt[1] <= file_bytes]
    above = [attempt for attempt in tried if attempt[1] > file_bytes]
    if not (below and above):
        size, made = min(tried, key=lambda attempt: abs(attempt[1] - file_bytes))
        return size * file_bytes / made
    low, high = max(below, key=lambda attempt: attempt[1]), min(above, key=lambda attempt: attempt[1])
    part = math.log(file_bytes / low[1]) / math.log(high[1] / low[1])
    return low[0] * (high[0] / low[0]) ** part


def decode(data: bytes, network: str, frames: int, task: str, device: str) -> Iterable[torch.Tensor]:
    """The pictures that are judged: those of all ``frames``, or of the times between."""
    if network in codec.FITS:
        times: list[int | Fraction] = list(range(frames))
        if task == "interpolation":
            times = [Fraction(place, 2) for place in range(1, 2 * frames - 1, 2)]
        return codec.decode(data, times, device)
    video = Video(read_stream(data), device=device)
    if task == "regression":
        return (picture.cpu() for picture in video)
    return (picture.cpu() for picture, _, _ in itertools.islice(video.interpolated(2), 1, None, 2))


def measure(folder: Path, name: str, task: str, network: str, settings: Settings) -> dict[str, Any]:
    """One fit and what it is worth, in a process of its own."""
    if settings.device == "cpu":
        torch.set_num_threads(1)
        mock.patch("time.monotonic", time.process_time).start()
    every = TASKS[task]
    whole = read_clip(folder / CLIPS[name], Selection(None, settings.scale, 0, FRAMES))
    seen = read_clip(folder / CLIPS[name], Selection(None, settings.scale, 0, FRAMES, every))
    began = time.monotonic()
    data, more = encode(seen, network, settings)
    taken = time.monotonic() - began
    count = len(seen.frames)
    judged = range(count) if every == 1 else range(1, 2 * count - 1, 2)
    pairs = zip(decode(data, network, count, task, settings.device), judged, strict=True)
    values = [(psnr(picture, whole.frames[place]), ssim(picture, whole.frames[place])) for picture, place in pairs]
    return {
        "psnr_rgb": statistics.mean(value for value, _ in values),
        "ssim": statistics.mean(value for _, value in values),
        "file_bytes": len(data),
        "seconds": taken,
        "frames_fitted": count,
        "frames_judged": len(values),
        **more,
        "provenance": provenance(),
    }


def _wanted(names: Iterable[str], only: tuple[str, ...]) -> list[str]:
    """Those of ``names`` that are among ``only``; all if none is."""
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
