"""The user shader of files with an AV1 stream, in players: how far its pictures are from the decoder's.

    python benchmarks/shader.py CLIPS_FOLDER benchmarks/shader.json [--frames 16] [--only blackswan]

Players are FFmpeg's filter libplacebo on a Vulkan device, and mpv under Xvfb, whose windows are read back; Mesa's
drivers without a GPU suffice (Debian's packages ffmpeg, mesa-vulkan-drivers, mpv, xvfb, libgl1-mesa-dri). A player
that is missing is left out. Each shows the AV1 stream with the shader and without it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import click
import numpy as np
import torch
from machine import provenance

import nvcodec
from nvcodec.cli.main import run
from nvcodec.metrics import psnr
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

# clip: source, crop, scale
CASES: dict[str, tuple[str, tuple[int, int] | None, tuple[int, int]]] = {
    "bunny 320x160": ("bigbuckbunny.mp4", (1280, 640), (320, 160)),
    "blackswan 432x240": ("davis480/blackswan", None, (432, 240)),
}
CRF = 46
SCRIPT = """
local seen, shot = -1, -1
local function tick()
  local frame = mp.get_property_number("estimated-frame-number", -1)
  if frame == seen and frame > shot then  -- it has been there for a while
    mp.commandv("screenshot-to-file", string.format("%s/%04d.png", mp.get_opt("folder"), frame), "window")
    shot = frame
    if frame + 1 == tonumber(mp.get_opt("frames")) then mp.commandv("quit") else mp.commandv("frame-step") end
  end
  seen = frame
end
local function start() mp.add_periodic_timer(0.2, tick) end
mp.register_event("playback-restart", function() mp.add_timeout(3, start) end)
"""

#: From the AV1 file and the shader, or None, to the pictures that a player shows, uint8 [frames, 3, height, width].
Show = Callable[[Path, Path | None], torch.Tensor]


def ffmpeg(base: Path, shader: Path | None) -> torch.Tensor:
    """Show by FFmpeg's filter libplacebo, without dither."""
    option = f"custom_shader_path={shader}:" if shader else ""
    chain = f"format=yuv420p10,hwupload,libplacebo={option}dithering=none:format=rgba,hwdownload,format=rgba"
    device = ["-init_hw_device", "vulkan=gpu", "-filter_hw_device", "gpu"]
    command = ["ffmpeg", "-v", "error", *device, "-i", str(base), "-vf", chain, "-f", "rawvideo", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    with av.open(str(base)) as container:
        stream = container.streams.video[0]
        pictures = np.frombuffer(raw, np.uint8).reshape(-1, stream.height, stream.width, 4)
    return torch.from_numpy(pictures[..., :3].copy()).permute(0, 3, 1, 2)


def mpv(*options: str) -> Show:
    """Show in a window of mpv."""

    def show(base: Path, shader: Path | None) -> torch.Tensor:
        with av.open(str(base)) as container:
            frames = sum(1 for _ in container.decode(video=0))
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "shoot.lua"
            script.write_text(SCRIPT)
            window = [
                "--no-config",
                "--gpu-sw=yes",
                "--pause",
                "--keep-open",
                "--no-border",
                "--osd-level=0",
                "--osc=no",
                "--video-aspect-override=0",
            ]
            told = [f"--script={script}", f"--script-opts=folder={folder},frames={frames}"]
            shaders = [f"--glsl-shader={shader}"] if shader else []
            screen = ["xvfb-run", "-a", "-s", "-screen 0 1920x1080x24"]
            command = [*screen, "mpv", *window, *told, *shaders, *options, str(base)]
            pictures = torch.zeros(0)
            while not pictures.any():  # black: the window had not been drawn yet
                subprocess.run(command, capture_output=True, check=True, timeout=120 + 4 * frames)
                pictures = torch.stack([read_picture(Path(folder) / f"{frame:04d}.png") for frame in range(frames)])
            return pictures

    return show


def read_picture(path: Path) -> torch.Tensor:
    """Read a picture of 8 or 16 bits, rounded to 8: [3, height, width]."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    if "16" not in frame.format.name and "48" not in frame.format.name and "64" not in frame.format.name:
        return torch.from_numpy(frame.to_ndarray(format="rgb24").copy()).permute(2, 0, 1)
    channels = len(frame.format.components)
    samples = np.frombuffer(frame.planes[0], ">u2").reshape(frame.height, -1)[:, : frame.width * channels]
    pixels = samples.reshape(frame.height, frame.width, channels)[..., :3] / 257
    return torch.from_numpy(np.round(pixels).astype(np.uint8)).permute(2, 0, 1)


PLAYERS: dict[str, tuple[str, Show]] = {
    "FFmpeg, libplacebo": ("ffmpeg", ffmpeg),
    "mpv": ("mpv", mpv("--vo=gpu", "--gpu-context=x11egl")),
    "mpv, gpu-next": ("mpv", mpv("--vo=gpu-next", "--gpu-context=x11egl")),
    "mpv, gpu-hq": ("mpv", mpv("--profile=gpu-hq", "--vo=gpu", "--gpu-context=x11egl")),
    "mpv, gpu-hq, no deband": ("mpv", mpv("--profile=gpu-hq", "--deband=no", "--vo=gpu", "--gpu-context=x11egl")),
}


def compare(shown: torch.Tensor, decoded: torch.Tensor, source: torch.Tensor) -> dict[str, float]:
    """Return how far shown pictures are from the decoder's, in levels, and their PSNR in RGB, the frames' mean."""
    difference = (shown.int() - decoded.int()).abs()
    return {
        "mean_difference": difference.double().mean().item(),
        "largest_difference": difference.max().item(),
        "different_samples": (difference > 0).double().mean().item(),
        "psnr": mean_psnr(shown, source),
    }


def mean_psnr(pictures: torch.Tensor, source: torch.Tensor) -> float:
    return sum(map(psnr, pictures, source)) / len(source)


def measure(file: Path, source: torch.Tensor) -> dict[str, Any]:
    """Return what each player shows of a file."""
    decoded = nvcodec.open(file, device="cpu")[:]
    base, shader = file.with_suffix(".mp4"), file.with_suffix(".glsl")
    for option, path in (("--base", base), ("--shader", shader)):
        if run(["extract", str(file), option, "-o", str(path)]):
            raise SystemExit(1)
    text = shader.read_text()
    found: dict[str, Any] = {
        "file_bytes": file.stat().st_size,
        "shader_bytes": len(text),
        "passes": text.count("//!HOOK"),
        "decoder_psnr": mean_psnr(decoded, source),
        "decoder_base_psnr": mean_psnr(nvcodec.open(file, device="cpu", layers=1)[:], source),
        "players": {},
    }
    for name, (program, show) in PLAYERS.items():
        if shutil.which(program):
            found["players"][name] = {
                kind: compare(show(base, path), decoded, source) for kind, path in (("shader", shader), ("base", None))
            }
            print(name, json.dumps(found["players"][name]), flush=True)
    return found


def version(command: Sequence[str]) -> str | None:
    """Return the first line that a program prints of itself."""
    if not shutil.which(command[0]):
        return None
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.partition("\n")[0]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--frames", default=16)
@click.option("--only", default="")
def main(folder: Path, output: Path, frames: int, only: str) -> None:
    """Encode the clips, measure, and write OUTPUT."""
    results = json.loads(output.read_text()) if output.exists() else {}
    for name, (source, crop, scale) in CASES.items():
        if only not in name:
            continue
        clip = read_clip(folder / source, Selection(crop, scale, 0, frames, 1), None, None)
        with tempfile.TemporaryDirectory() as made:
            file = Path(made) / "clip.sdmn"
            nvcodec.encode(clip, file, crf=CRF, threads=1, device="cpu")
            results[name] = {"crf": CRF, "frames": frames, **measure(file, clip.frames[range(len(clip.frames))])}
        results["versions"] = {"ffmpeg": version(["ffmpeg", "-version"]), "mpv": version(["mpv", "--version"])}
        results["provenance"] = provenance()
        output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
