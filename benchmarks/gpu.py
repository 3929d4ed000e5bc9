"""All that is owed on a GPU, in one call of under ten minutes.

    python benchmarks/gpu.py CLIPS_FOLDER benchmarks/gpu.json [--device cuda] [--epochs 300] [--seconds 400]

Checks that the golden streams, random networks and a fitted file decode on the device to the CPU's pixels; fits Big
Buck Bunny at 1280x640, for --epochs or for as many as a trial says go into --seconds; times decoding in batches, beside
the float network. With --device cpu --scale 64x32 --size 30k --epochs 1 it tries itself out.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import click
import torch
from machine import provenance

import nvcodec
from nvcodec.cli.options import SizeType
from nvcodec.decoder import Video
from nvcodec.exact.network import ExactNetwork
from nvcodec.fit.run import Progress
from nvcodec.reader import read_file, read_stream
from nvcodec.stream import Stream
from nvcodec.video.reader import Selection, read_clip
from nvcodec.writer import write_stream

TRIAL_STEPS = 100
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from networks import random_stream  # noqa: E402


def same_pixels(stream: Stream, device: str, batch: int) -> bool:
    """Whether the device and the CPU decode a stream to the same frames."""
    ours = Video(stream, device=device, batch=batch)
    return all(torch.equal(a.cpu(), b) for a, b in zip(ours, Video(stream, device="cpu"), strict=True))


def trusted_kernels(network: ExactNetwork) -> dict[str, int]:
    """How many convolutions the library's own kernel was exact for, and how many it was not."""
    verdicts: list[bool] = []
    for steps in network.steps:
        for step in steps:
            for cell in step.__closure__ or ():
                verdicts += getattr(cell.cell_contents, "trusted", {}).values()
    return {"library": sum(verdicts), "unfold": len(verdicts) - sum(verdicts)}


def milliseconds(function: Any, device: torch.device, rounds: int = 7) -> list[float]:
    """Times of some calls after two that warm up."""
    taken = []
    for _ in range(rounds + 2):
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        function()
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(1e3 * (time.perf_counter() - start))
    return taken[2:]


@click.command()
@click.argument("folder", type=Path)
@click.argument("output", type=Path)
@click.option("--device", default="cuda")
@click.option("--epochs", default=300.0, help="At most.")
@click.option("--seconds", default=400.0, help="Of fitting, at most.")
@click.option("--scale", type=SizeType())
@click.option("--size", default="0.75M")
def main(
    folder: Path,
    output: Path,
    device: str,
    epochs: float,
    seconds: float,
    scale: tuple[int, int] | None,
    size: str,
) -> None:
    """Run everything and write OUTPUT."""
    golden = sorted((ROOT / "tests" / "golden").glob("*/[!b]*.sdmn"))
    exact: dict[str, bool] = {path.stem: same_pixels(read_file(path), device, 3) for path in golden}
    random = [same_pixels(read_stream(write_stream(random_stream(s, layers=2))), device, 3) for s in range(40)]
    exact["40 random networks"] = all(random)
    clip = read_clip(folder / "bigbuckbunny.mp4", Selection((1280, 640), scale))
    trial: list[Progress] = []
    nvcodec.encode(clip, size=size, steps=TRIAL_STEPS, device=device, report=trial.append)
    first, last = trial[0], trial[-1]  # the first steps warm up
    frames_a_second = (last.step - first.step) / (last.seconds - first.seconds)
    epochs = min(epochs, seconds * frames_a_second / len(clip.frames))
    start = time.perf_counter()
    encoded = nvcodec.encode(clip, size=size, epochs=epochs, device=device)
    total = time.perf_counter() - start
    stream = read_stream(encoded.data)
    for batch in (1, 3, 16):
        exact[f"fitted file, batches of {batch}"] = same_pixels(stream, device, batch)
    where = torch.device(device)
    network = ExactNetwork(stream.segments[0], 0, stream.video.seed, where)
    fitted = encoded.fitted
    speed: dict[str, Any] = {}
    for batch in (1, 4, 16):
        frames = list(range(batch))
        inputs = [latent[:batch].contiguous(memory_format=torch.channels_last) for latent in fitted.latents]
        exact_times = milliseconds(lambda frames=frames: network.decode(frames), where)
        with torch.inference_mode(), fitted.decoder.in_float():
            float_times = milliseconds(lambda inputs=inputs: fitted.decoder(inputs, fitted.noise), where)
        speed[str(batch)] = {
            "exact_ms": exact_times,
            "float_ms": float_times,
            "exact_frames_a_second": 1e3 * batch / statistics.median(exact_times),
            "ratio": statistics.median(exact_times) / statistics.median(float_times),
        }
    result = {
        "exact": exact,
        "encode": {
            "epochs": epochs,
            "size": size,
            "width": encoded.shape.width,
            "height": encoded.shape.height,
            "frames_fitted_a_second": frames_a_second,
            "seconds": {**encoded.seconds, "total": total},
            "file_bytes": len(encoded.data),
            "psnr_rgb": encoded.psnr,
        },
        "decode_by_batch": speed,
        "convolutions": trusted_kernels(network),
        "provenance": provenance(),
    }
    output.write_text(json.dumps(result, indent=1) + "\n")
    click.echo(json.dumps(result, indent=1))
    sys.exit(0 if all(exact.values()) else 6)


if __name__ == "__main__":
    main()
