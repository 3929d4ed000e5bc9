"""What each means of saving bytes brings to files with an AV1 stream: alone, and to the whole.

    python benchmarks/av1_levers.py CLIPS_FOLDER benchmarks/av1_levers.json [--only CLIP]

BD-rates over four rate factors against SVT-AV1's preset 2. *Alone*: that preset with 8 bits and this one change.
*Without*: files of preset fine, but for this one change. Each point has the processor time of one thread. What the JSON
has is not measured again.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import av1
import click
import torch
from machine import provenance

import nvcodec
from nvcodec.bench.bd import bd_rate
from nvcodec.encoding.av1 import base_job, svt_encoder
from nvcodec.encoding.av1.correction_job import CorrectionJob
from nvcodec.video.clip import Clip
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

CLIPS = ("bunny 320x160", "foliage 360x240")
RIVAL = "SVT-AV1 preset 2"
STEPS = 800  # training steps, so that all of it takes an hour

Patch = Callable[[], contextlib.AbstractContextManager[Any]]


def constant(module: Any, name: str, value: Any) -> Patch:
    """Replace a constant."""
    return lambda: mock.patch.object(module, name, value)


def not_sharp() -> contextlib.AbstractContextManager[Any]:
    """Leave SVT-AV1's sharpness as it is."""
    whole = svt_encoder.BaseSettings.parameters.fget  # type: ignore[attr-defined]
    changed = property(lambda settings: whole(settings).replace("sharpness=1:", ""))
    return mock.patch.object(svt_encoder.BaseSettings, "parameters", changed)


def smaller_only() -> contextlib.AbstractContextManager[Any]:
    """Try only the smaller network."""
    whole = base_job.candidates
    return mock.patch.object(base_job, "candidates", lambda speed, size: whole("draft", size))


#: What undoes each means.
UNDONE: dict[str, list[Patch]] = {
    "10 bits": [constant(svt_encoder, "DEPTH", 8), constant(base_job, "DEPTH", 8)],
    "preset 1 instead of 2": [lambda: mock.patch.dict(base_job.SVT_PRESETS, {"fine": 2})],
    "sharpness": [not_sharp],
    "offset, lambda": [constant(svt_encoder, "FINER", 0), constant(svt_encoder, "LAMBDA_128THS", 128)],
    "network": [constant(CorrectionJob, "best", lambda *_: None)],
}
#: Parts of the network, which are nothing without it: options, and what undoes them.
PARTS: dict[str, tuple[dict[str, Any], list[Patch]]] = {
    "the network's bytes in the loss": ({"rd_lambda": 0.0}, []),
    "two networks to choose from": ({}, [smaller_only]),
}


def variants() -> Iterator[tuple[str, dict[str, Any], list[Patch]]]:
    """Yield the name, the options and the changes of everything to measure."""
    everything = [patch for patches in UNDONE.values() for patch in patches]
    yield "whole", {}, []
    for name, patches in UNDONE.items():
        yield f"without {name}", {}, patches
        yield f"{name} alone", {}, [patch for patch in everything if patch not in patches]
    for name, (options, patches) in PARTS.items():
        yield f"without {name}", options, patches


def point(clip: Clip, crf: float, options: dict[str, Any], patches: Sequence[Patch]) -> dict[str, Any]:
    """Measure one file."""
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch())
        start = time.process_time()
        made = nvcodec.encode(clip, crf=crf, preset="fine", steps=STEPS, threads=1, device="cpu", **options)
        seconds = time.process_time() - start
    pictures = nvcodec.open(made.data, device="cpu")
    return {"file_bytes": len(made.data), "processor_seconds": seconds, **av1.quality(pictures, clip)}


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--only", default="")
def main(folder: Path, output: Path, only: str) -> None:
    """Measure what is missing in OUTPUT."""
    torch.set_num_threads(1)
    results: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {"clips": {}}
    rivals = json.loads((Path(__file__).parent / "av1.json").read_text())["clips"]
    for name in (name for name in CLIPS if only in name):
        source, crop, scale, frames = av1.CLIPS[name]
        clip = read_clip(folder / source, Selection(crop, scale, 0, frames, 1), None, None)
        rival = rivals[name]["points"][RIVAL].values()
        entry = results["clips"].setdefault(name, {})
        for variant, options, patches in variants():
            points = entry.setdefault(variant, {"points": {}})["points"]
            for crf in (crf for crf in av1.CRFS if f"{crf:g}" not in points):
                points[f"{crf:g}"] = point(clip, crf, options, patches)
                results["provenance"] = {**provenance(), "steps": STEPS}
                output.write_text(json.dumps(results, indent=1) + "\n")
            entry[variant]["bd_rate"] = {
                measure: round(delta.percent, 2)
                for measure in av1.MEASURES
                if (delta := bd_rate(*([(p["file_bytes"], p[measure]) for p in c] for c in (rival, points.values()))))
            }
            print(name, variant, entry[variant]["bd_rate"], flush=True)
            output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
