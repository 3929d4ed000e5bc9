"""All measurements that need a GPU, in one call of less than ten minutes.

    python benchmarks/gpu.py CLIPS_FOLDER benchmarks/gpu.json [--device cuda] [--seconds 120] [--size-seconds 240]

Checks that the golden streams, the conformance vectors, random networks and a fitted file decode on the device to the
CPU's pixels; measures how many frames are fitted per second in several ways, also as a share of the device's
multiplications; measures decoding in batches, beside the float network, and with one to three layers; makes a file of
153 kB of Big Buck Bunny at 1280x640, for which x265 has 32.35 dB; and fits 0.75M parameters to it until they reach
HNeRV's quality after 300 epochs (32.81 dB), for at most --seconds. Each part is written as soon as it is done and
replaces what OUTPUT holds of it; --only chooses some. A trial run on a CPU:

    --device cpu --scale 64x32 --size 30k --target 20 --seconds 8 --bytes 9000 --size-seconds 8
"""

from __future__ import annotations

import functools
import json
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
from machine import provenance
from timing import seconds

import nvcodec
from nvcodec.cli.options import SizeType
from nvcodec.decoding.decoded_video import Video
from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.encoding.encode_config import parse_size
from nvcodec.encoding.fit.fit import Fit
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.model.network_shape import NetworkShape
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.format.stream import Stream
from nvcodec.format.stream_reader import read_file, read_stream
from nvcodec.format.stream_writer import write_stream
from nvcodec.video.clip import Clip
from nvcodec.video.frames import Frames
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

PROBE_STEPS = 60
ROUNDS = 7
MAX_CPU_FRAMES = 16  # that the CPU decodes for comparison, because it takes long
TARGET_DB = 32.81
#: Options of the fits whose speed is measured.
WAYS: dict[str, dict[str, Any]] = {
    "float32": {"bfloat16": False},
    "bfloat16": {"bfloat16": True},
    "bfloat16, batch 2": {"bfloat16": True, "batch": 2},
    "bfloat16, batch 4": {"bfloat16": True, "batch": 4},
    "bfloat16, batch 8": {"bfloat16": True, "batch": 8},
}
ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tools")]  # first, since both have a module av1

from networks import random_stream  # noqa: E402

from conformance import decode_by_nvcodec, run_vectors  # noqa: E402


def same_pixels(stream: Stream, device: str, batch: int, layers: int | None = None) -> bool:
    """Return whether the device and the CPU decode the first frames of a stream to the same pixels."""
    few = range(min(MAX_CPU_FRAMES, stream.frames))
    ours, theirs = (Video(stream, device=name, batch=batch, layers=layers).decode(few) for name in (device, "cpu"))
    return all(torch.equal(a.cpu(), b) for a, b in zip(ours, theirs, strict=True))


def trusted_kernels(network: ExactNetwork) -> dict[str, int]:
    """Return for how many convolutions the library's own kernel was exact, and for how many it was not."""
    verdicts: list[bool] = []
    for layer in network.kernels:
        for kernel in layer:
            for cell in kernel.__closure__ or ():
                verdicts += getattr(cell.cell_contents, "trusted", {}).values()
    return {"library": sum(verdicts), "unfold": len(verdicts) - sum(verdicts)}


def multiplications_per_second(device: torch.device) -> float:
    """Return what the device reaches with large bfloat16 matrices."""
    side = 8192 if device.type == "cuda" else 512
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    return side**3 / (1e-3 * statistics.median(milliseconds(lambda: a @ a, device)))


def frames_fitted_per_second(frames: Any, shape: NetworkShape, device: torch.device, way: str) -> float:
    """Return the frames fitted per second once the latents are fixed, as in most of a fit; the first steps warm up."""
    fit = Fit(frames, shape, FitOptions(steps=10**6, encoder_share=0.0, **WAYS[way]), device)
    [duration] = seconds(lambda: [fit.advance() for _ in range(PROBE_STEPS)], device, 1)
    return PROBE_STEPS * fit.options.batch / duration


def milliseconds(function: Callable[[], Any], device: torch.device) -> list[float]:
    """Return the durations of some calls, after two that warm up."""
    return [1e3 * duration for duration in seconds(function, device, ROUNDS, warm_up=2)]


def exactness(device: str) -> dict[str, Any]:
    """Return which streams decode to the same pixels on the device and on the CPU, as all have to."""
    paths = sorted((ROOT / "tests" / "golden").glob("*/*.sdmn"))
    golden = [path for path in paths if not path.name.startswith("bad-")]
    exact = {f"{path.parent.name}/{path.stem}": same_pixels(read_file(path), device, 3) for path in golden}
    random = [same_pixels(read_stream(write_stream(random_stream(seed, layers=2))), device, 3) for seed in range(40)]
    vectors = run_vectors(functools.partial(decode_by_nvcodec, device=device))
    return {
        **exact,
        "40 random networks": all(random),
        f"{vectors['vectors']} conformance vectors": not vectors["wrong"],
    }


def fitting_speed(frames: Frames, shape: NetworkShape, device: torch.device) -> dict[str, Any]:
    """Return the frames fitted per second in each way, and their share of the device's multiplications."""
    multiplications = multiplications_per_second(device)
    ways = {way: frames_fitted_per_second(frames, shape, device, way) for way in WAYS}
    # A training step takes about three times the multiplications of decoding: forward, and twice backward.
    share = {way: frames * 3 * shape.trunk_multiplications / multiplications for way, frames in ways.items()}
    return {
        "parameters": shape.parameters(len(frames)),
        "device_multiplications_a_second": multiplications,
        "frames_a_second": ways,
        "share_of_device": share,
    }


def decoding(encoded: nvcodec.Encoded, device: torch.device) -> dict[str, Any]:
    """Return whether a fitted file is exact on the device, and how long its frames take in batches."""
    stream = read_stream(encoded.data)
    exact = {str(batch): same_pixels(stream, str(device), batch) for batch in (1, 3, 16)}
    network = ExactNetwork(stream.segments[0], 0, stream.video.seed, device)
    fitted = encoded.fitted
    speed: dict[str, Any] = {}
    for batch in (1, 4, 16):
        frames = list(range(batch))
        inputs = [latent[:batch].contiguous(memory_format=torch.channels_last) for latent in fitted.latents]
        exact_times = milliseconds(lambda frames=frames: network.decode(frames), device)
        with torch.inference_mode(), fitted.decoder.in_float():
            float_times = milliseconds(lambda i=inputs, f=frames: fitted.decoder(i, fitted.noise, f), device)
        speed[str(batch)] = {
            "exact_ms": exact_times,
            "float_ms": float_times,
            "exact_frames_a_second": 1e3 * batch / statistics.median(exact_times),
            "ratio": statistics.median(exact_times) / statistics.median(float_times),
        }
    return {"exact_by_batch": exact, "by_batch": speed, "convolutions": trusted_kernels(network)}


def by_layers(clip: Clip, size: str, device: torch.device) -> dict[str, Any]:
    """Return the decoding speed of a file of three layers with one, two and three of them, and whether it is exact."""
    made = nvcodec.encode(clip, size=",".join([size] * 3), steps=60, joint=True, device=str(device))
    stream, frames = read_stream(made.data), range(min(MAX_CPU_FRAMES, len(clip.frames)))
    speeds, exact = {}, {}
    for layers in range(1, stream.layers + 1):
        video = Video(stream, device=str(device), layers=layers, batch=1)
        times = milliseconds(lambda video=video: list(video.decode(frames)), device)
        speeds[str(layers)] = 1e3 * len(frames) / statistics.median(times)
        exact[str(layers)] = same_pixels(stream, str(device), 1, layers)
    return {"size": size, "frames_decoded_a_second": speeds, "exact": exact}


def fit(clip: Clip, device: str, **options: Any) -> dict[str, Any]:
    """Return the figures of one encode."""
    start = time.perf_counter()
    encoded = nvcodec.encode(clip, device=device, **options)
    return {
        **options,
        "seconds": time.perf_counter() - start,
        "psnr_rgb": encoded.psnr,
        "file_bytes": len(encoded.data),
        "parameters": encoded.parameters,
        "seconds_by_part": encoded.seconds,
    }


@click.command()
@click.argument("folder", type=Path)
@click.argument("output", type=Path)
@click.option("--device", default="cuda")
@click.option("--target", default=TARGET_DB, help="PSNR, dB.")
@click.option("--seconds", default=120.0, help="Time limit for that PSNR.")
@click.option("--bytes", "file_bytes", default=153_000, help="Size of the file of a given size.")
@click.option("--size-seconds", default=240.0, help="Time limit for that file.")
@click.option("--scale", type=SizeType())
@click.option("--size", default="0.75M")
@click.option("--only", multiple=True, help="Some parts, by their names in OUTPUT.")
def main(
    folder: Path,
    output: Path,
    device: str,
    target: float,
    seconds: float,
    file_bytes: int,
    size_seconds: float,
    scale: tuple[int, int] | None,
    size: str,
    only: tuple[str, ...],
) -> None:
    """Run all parts, or some, and write their results to OUTPUT."""
    clip = read_clip(folder / "bigbuckbunny.mp4", Selection((1280, 640), scale))
    torch_device = torch.device(device)
    shape = solve(parse_size(size), clip.width, clip.height, len(clip.frames))
    short = {"size": size, "device": device, "steps": 200}
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "exact": lambda: exactness(device),
        "fitting_speed": lambda: fitting_speed(clip.frames, shape, torch_device),
        "decoding": lambda: decoding(nvcodec.encode(clip, **short), torch_device),
        "decoding_with_grids": lambda: decoding(nvcodec.encode(clip, **{**short, "size": "0.76M"}), torch_device),
        "layers": lambda: by_layers(clip, size, torch_device),
        "to_size": lambda: fit(clip, device, base="none", target_size=file_bytes, time_limit=size_seconds),
        "to_quality": lambda: fit(clip, device, size=size, target_psnr=target, time_limit=seconds),
    }
    results: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    failed = False
    for name in only or parts:
        start = time.perf_counter()
        try:
            results[name] = {**parts[name](), "pictures": f"{clip.width}x{clip.height}", "provenance": provenance()}
        except Exception:
            results[name] = {"failed": traceback.format_exc()}
            failed = True
        output.write_text(json.dumps(results, indent=1) + "\n")
        click.echo(f"{name}, {time.perf_counter() - start:.0f} s: {json.dumps(results[name])[:3000]}")
    sys.exit(6 if failed or not all(results.get("exact", {}).values()) else 0)


if __name__ == "__main__":
    main()
