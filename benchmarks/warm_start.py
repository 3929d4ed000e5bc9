"""What a warm start is worth: fits of as many steps from nothing and from a file.

    python benchmarks/warm_start.py CLIPS_FOLDER benchmarks/warm_start.json [--steps 400]

The file holds the first 66 frames of Big Buck Bunny at 320x160, 0.3M. Fits on one thread; `begin` is the PSNR of the
network as it is taken over.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import click
import torch
from machine import provenance

import nvcodec
from nvcodec.decoding.decoded_video import Video
from nvcodec.encoding.fit.fit import Fit, has_fast_bfloat16
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.warm_start import warm_start
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.format.stream_reader import read_stream
from nvcodec.video.source import Selection, read_clip

SIZE, FRAMES, FILE_STEPS = 300_000, 66, 1200
CASES = {
    "the next 66 frames": (SIZE, FRAMES),
    "the same frames, 0.4M": (400_000, 0),
    "the same frames, 0.2M": (200_000, 0),
}


@click.command()
@click.argument("folder", type=Path)
@click.argument("output", type=Path)
@click.option("--steps", default=400)
def main(folder: Path, output: Path, steps: int) -> None:
    """Run all fits and write OUTPUT."""
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    selection = Selection((1280, 640), (320, 160), 0, FRAMES)
    first = read_clip(folder / "bigbuckbunny.mp4", selection)
    encoded = nvcodec.encode(first, size=SIZE, steps=FILE_STEPS, device="cpu")
    file = Video(read_stream(encoded.data), device="cpu")
    rows: dict[str, Any] = {}
    for case, (size, start) in CASES.items():
        frames = read_clip(folder / "bigbuckbunny.mp4", dataclasses.replace(selection, start=start)).frames
        shape = solve(size, 320, 160, FRAMES)
        row: dict[str, Any] = {}
        for way in ("from nothing", "from the file"):
            fit = Fit(frames, shape, FitOptions(steps=steps, bfloat16=has_fast_bfloat16(cpu)), cpu)
            if way == "from the file":
                warm_start(fit, file)
                branch = copy.deepcopy(fit)
                row["begin"] = branch.result().psnr(frames)
                row["steps_that_the_warm_start_took"] = fit.budget.clock.seconds["overhead"]
            while not fit.budget.done:
                fit.advance()
            row[way] = fit.finish().psnr(frames)
            if way == "from the file":
                row["steps_that_the_warm_start_took"] /= fit.budget.clock.seconds["steps"] / fit.budget.step
        rows[case] = row
        click.echo(f"{case}: {row}", err=True)
    result = {"file_psnr_rgb": encoded.psnr, "steps": steps, "cases": rows, "provenance": provenance()}
    output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
