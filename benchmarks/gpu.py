"""All that is owed on a GPU, in one call of under ten minutes.

    python benchmarks/gpu.py CLIPS_FOLDER benchmarks/gpu.json [--device cuda] [--seconds 400]

Checks that the golden streams, random networks and a fitted file decode on the device to the CPU's pixels; counts
frames fitted a second in several ways, as a share of what the device multiplies; fits Big Buck Bunny at 1280x640,
0.75M, until HNeRV's quality after 300 and after 3600 epochs is reached (32.81 and 35.03 dB), in --seconds at most;
times decoding in batches, beside the float network. It tries itself out with

    --device cpu --scale 64x32 --size 30k --target 20 --seconds 8
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
from nvcodec.fit.loop import Fit, FitOptions
from nvcodec.model.shape import NetworkShape, parse_size, solve
from nvcodec.reader import read_file, read_stream
from nvcodec.stream import Stream
from nvcodec.video.reader import Selection, read_clip
from nvcodec.writer import write_stream

TRIAL_STEPS = 60
TARGETS = (32.81, 35.03)
#: Ways to fit: options, and whether torch.compile is put around the decoder.
WAYS: dict[str, tuple[dict[str, Any], bool]] = {
    "float32": ({"bfloat16": False}, False),
    "bfloat16": ({"bfloat16": True}, False),
    "bfloat16, batch 2": ({"bfloat16": True, "batch": 2}, False),
    "bfloat16, batch 4": ({"bfloat16": True, "batch": 4}, False),
    "bfloat16, compiled": ({"bfloat16": True}, True),
}
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


def multiplications_a_second(device: torch.device) -> float:
    """What the device reaches on large bfloat16 matrices."""
    side = 8192 if device.type == "cuda" else 512
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    return side**3 / (1e-3 * statistics.median(milliseconds(lambda: a @ a, device)))


def frames_fitted_a_second(frames: Any, shape: NetworkShape, device: torch.device, way: str) -> float:
    """In the part of the fit after the encoder's, which is most of it; the first steps warm up."""
    options, compiled = WAYS[way]
    fit = Fit(frames, shape, FitOptions(steps=10**6, encoder=0.0, **options), device)
    if compiled:
        fit.decoder.compile()
    for steps in (TRIAL_STEPS // 3, TRIAL_STEPS):
        if device.type == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(steps):
            fit.advance()
        if device.type == "cuda":
            torch.cuda.synchronize()
    return steps * fit.options.batch / (time.perf_counter() - start)


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
@click.option("--target", "targets", type=float, multiple=True, default=TARGETS, help="PSNR, dB.")
@click.option("--seconds", default=400.0, help="For all targets, at most.")
@click.option("--scale", type=SizeType())
@click.option("--size", default="0.75M")
def main(
    folder: Path,
    output: Path,
    device: str,
    targets: tuple[float, ...],
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
    where = torch.device(device)
    shape = solve(parse_size(size), clip.width, clip.height, len(clip.frames))
    device_rate = multiplications_a_second(where)
    ways = {way: frames_fitted_a_second(clip.frames, shape, where, way) for way in WAYS}
    fits = []
    for target in targets:
        start = time.perf_counter()
        encoded = nvcodec.encode(clip, size=size, device=device, target_psnr=target, time_limit=seconds)
        taken = time.perf_counter() - start
        seconds = max(1.0, seconds - taken)
        row = {"target_psnr": target, "seconds": taken, "psnr_rgb": encoded.psnr, "file_bytes": len(encoded.data)}
        fits.append({**row, "seconds_by_part": encoded.seconds})
    stream = read_stream(encoded.data)
    for batch in (1, 3, 16):
        exact[f"fitted file, batches of {batch}"] = same_pixels(stream, device, batch)
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
        "size": size,
        "width": encoded.shape.width,
        "height": encoded.shape.height,
        "device_multiplications_a_second": device_rate,
        "frames_fitted_a_second": ways,
        # A step multiplies about three times as often as the decoder: forward, and twice backward.
        "share_of_device": {way: rate * 3 * shape.trunk_multiplications / device_rate for way, rate in ways.items()},
        "fits": fits,
        "decode_by_batch": speed,
        "convolutions": trusted_kernels(network),
        "provenance": provenance(),
    }
    output.write_text(json.dumps(result, indent=1) + "\n")
    click.echo(json.dumps(result, indent=1))
    sys.exit(0 if all(exact.values()) else 6)


if __name__ == "__main__":
    main()
