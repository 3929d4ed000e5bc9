"""Decoding time of the integer network and of the float network, for networks of several sizes.

    python benchmarks/decode_speed.py benchmarks/decode_speed.json [--device cpu]

The networks are not fitted: speed does not depend on the weights. Both run one frame at a time in `channels_last`, and
their passes alternate; results are medians.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from machine import provenance
from timing import seconds

from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.encoding.export.network_export import export_layer
from nvcodec.encoding.fit.fit import Fitted
from nvcodec.encoding.model.decoder_network import Decoder
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.encoding.model.skip_connection import sample_noise
from nvcodec.encoding.quantizer.initial_steps import set_initial_steps
from nvcodec.format.stream import Segment
from nvcodec.format.units import SegmentHead

CASES = [(300_000, 320, 160), (300_000, 432, 240), (300_000, 416, 240), (300_000, 854, 480), (750_000, 1280, 640)]
FRAMES, ROUNDS = 4, 12


def measure(parameters: int, width: int, height: int, device: torch.device) -> dict[str, Any]:
    """Return the milliseconds per frame of both, and their ratio."""
    torch.manual_seed(0)
    shape = solve(parameters, width, height, 100)
    decoder = Decoder(shape).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    sizes = [(shape.embedding_channels, *shape.embedding_size), *((1, *size) for size in shape.skip_feature_sizes)]
    latents = [torch.randn(FRAMES, *size, device=device) for size in sizes]
    fitted = Fitted(decoder, latents, [z.to(device) for z in sample_noise(shape, 0)])
    set_initial_steps(decoder, latents)
    layer = export_layer(decoder, latents, fitted.noise)
    head = SegmentHead(0, FRAMES, width, height, 0, 1)
    network = ExactNetwork(Segment(head, np.ones(FRAMES, np.int64), [layer]), 0, 0, device)

    def ms_per_frame(function: Callable[[int], Any]) -> float:
        [duration] = seconds(lambda: [function(frame) for frame in range(FRAMES)], device, 1, warm_up=0)
        return 1e3 * duration / FRAMES

    def in_float(frame: int) -> None:
        with torch.inference_mode(), decoder.in_float():
            fitted.picture(frame)

    times = [(ms_per_frame(in_float), ms_per_frame(lambda frame: network.decode([frame]))) for _ in range(ROUNDS + 2)][
        2:
    ]
    floats, exacts = (sorted(column) for column in zip(*times, strict=True))
    return {
        "network": f"{parameters / 1e6:g}M, {width}x{height}",
        "float_ms": {"median": statistics.median(floats), "least": floats[0], "most": floats[-1]},
        "exact_ms": {"median": statistics.median(exacts), "least": exacts[0], "most": exacts[-1]},
        "ratio": statistics.median(exacts) / statistics.median(floats),
    }


@click.command()
@click.argument("output", type=Path)
@click.option("--device", default="cpu")
def main(output: Path, device: str) -> None:
    """Measure all cases and write OUTPUT."""
    results = [measure(*case, torch.device(device)) for case in CASES]
    output.write_text(json.dumps({"results": results, "provenance": provenance()}, indent=1) + "\n")
    for row in results:
        click.echo(f"{row['network']}: {row['ratio']:.2f}")


if __name__ == "__main__":
    main()
