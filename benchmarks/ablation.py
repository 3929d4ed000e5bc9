"""The worth of each part of the network: fits of equal stored size and equal time that differ in one part.

    python benchmarks/ablation.py CLIPS_FOLDER benchmarks/ablation.json [--seconds 120] [--jobs 2] [--only CLIP]

First the duration of a training step is measured for each variant on each clip; a fit then gets the steps that fill
--seconds. Every fit runs on one thread, --jobs at a time. Results are added to the JSON as they come, and what is
already there is skipped. `float` is the first variant fitted without quantisation (Table 4 of the paper).
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import multiprocessing
import statistics
from pathlib import Path
from typing import Any

import click
import torch
from machine import provenance

import nvcodec
from nvcodec.encoding.fit.budget import STEPS
from nvcodec.encoding.fit.fit import Fit
from nvcodec.encoding.fit.fit_loop import Progress, run
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.video.clip import Clip
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

PARAMETERS, FRAMES, SEEDS = 100_000, 48, (0, 1)
CLIPS: dict[str, tuple[str, Selection]] = {
    "bunny 320x160": ("bigbuckbunny.mp4", Selection((1280, 640), (320, 160), 0, FRAMES)),
    "basketballpass 208x120": ("basketballpass", Selection(None, (208, 120), 0, FRAMES)),
    "blackswan 432x240": ("davis480/blackswan", Selection(None, (432, 240), 0, FRAMES)),
}
VARIANTS: dict[str, dict[str, Any]] = {
    "invertible, plain": {"skip": "invertible", "block": "plain", "z_gain": 1.0},
    "invertible, plain, z off": {"skip": "invertible", "block": "plain", "z_gain": 0.0},
    "direct, plain": {"skip": "direct", "block": "plain"},
    "none, plain": {"skip": "none", "block": "plain"},
    "invertible, rep": {"skip": "invertible", "block": "rep", "z_gain": 1.0},
    "none, rep": {"skip": "none", "block": "rep"},
}
FLOAT = "float"
PROBE_STEPS, PROBES = 100, 2


def load(folder: Path, name: str) -> Clip:
    """Read one of :data:`CLIPS`; from here on everything runs on one thread."""
    torch.set_num_threads(1)
    source, selection = CLIPS[name]
    return read_clip(folder / source, selection)


def seconds_per_step(folder: Path, name: str) -> dict[str, float]:
    """Return the duration of each variant's training step on one clip: the median of short fits that take turns."""
    clip = load(folder, name)
    durations: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for _ in range(PROBES):
        for variant, options in VARIANTS.items():
            reports: list[Progress] = []
            nvcodec.encode(clip, size=PARAMETERS, steps=PROBE_STEPS, device="cpu", progress=reports.append, **options)
            durations[variant].append(reports[-1].seconds / PROBE_STEPS)
    return {variant: statistics.median(values) for variant, values in durations.items()}


def one_fit(folder: Path, name: str, variant: str, seed: int, steps: int) -> dict[str, Any]:
    """Return the figures of one fit."""
    clip = load(folder, name)
    reports: list[Progress] = []
    if variant == FLOAT:
        first = next(iter(VARIANTS.values()))
        shape = solve(PARAMETERS, clip.width, clip.height, len(clip.frames), first["skip"], first["z_gain"])
        options = FitOptions(steps, seed=seed, rep=first["block"] == "rep", quantised_share=0.0)
        fit = Fit(clip.frames, shape, options, torch.device("cpu"))
        run(fit, reports.append)
        return {
            "steps": steps,
            "fit_seconds": fit.budget.clock.seconds[STEPS],
            "psnr_rgb": fit.finish().psnr(clip.frames),
        }
    encoded = nvcodec.encode(
        clip, size=PARAMETERS, steps=steps, seed=seed, device="cpu", progress=reports.append, **VARIANTS[variant]
    )
    with encoded.fitted.decoder.in_float():
        in_float = encoded.fitted.psnr(clip.frames)
    return {
        "steps": steps,
        "fit_seconds": reports[-1].seconds,
        "parameters": encoded.parameters,
        "file_bytes": len(encoded.data),
        "psnr_rgb": encoded.psnr,
        "psnr_same_network_in_float": in_float,
        "shape": dataclasses.asdict(encoded.shape),
    }


@click.command()
@click.argument("folder", type=Path)
@click.argument("output", type=Path)
@click.option("--seconds", default=120.0)
@click.option("--jobs", default=2)
@click.option("--only", multiple=True)
def main(folder: Path, output: Path, seconds: float, jobs: int, only: tuple[str, ...]) -> None:
    """Measure what OUTPUT does not hold yet."""
    torch.set_num_threads(1)
    results: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {"clips": {}}
    clips = only or CLIPS
    with concurrent.futures.ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        probes = {n: pool.submit(seconds_per_step, folder, n) for n in clips if n not in results["clips"]}
        for name, probe in probes.items():
            results["clips"][name] = {"seconds_a_step": probe.result(), "fits": {}}
        fits = {}
        for seed in SEEDS:
            for name in clips:
                costs = results["clips"][name]["seconds_a_step"]
                for variant in (*VARIANTS, FLOAT):
                    key = f"{variant}, seed {seed}"
                    if key not in results["clips"][name]["fits"]:
                        cost = costs.get(variant, costs[next(iter(VARIANTS))])
                        task = pool.submit(one_fit, folder, name, variant, seed, round(seconds / cost))
                        fits[task] = name, key
        for task in concurrent.futures.as_completed(fits):
            name, key = fits[task]
            source = {**provenance(), "jobs": jobs, "seconds": seconds}
            results["clips"][name]["fits"][key] = {**task.result(), "provenance": source}
            click.echo(f"{name}: {key}: {task.result()['psnr_rgb']:.2f} dB", err=True)
            output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
