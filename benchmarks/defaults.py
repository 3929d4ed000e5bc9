"""What `nvcodec encode in.mp4 -o out.sdmn` makes of six kinds of video: dB, bytes, seconds; also at other rate factors.

    python benchmarks/defaults.py CLIPS_FOLDER benchmarks/defaults.json [-j 2]

Black, a still, noise and a screen recording are made here; animation and sport are clips.
"""

from __future__ import annotations

import json
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from machine import provenance

import nvcodec
from nvcodec.video.clip import Clip, steady
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

FRAMES, HEIGHT, WIDTH = 50, 240, 416
FPS = Fraction(25)
CRFS = (25, 35, 45, 55)  # 35 is the default


def black() -> torch.Tensor:
    """Return black frames."""
    return torch.zeros(FRAMES, 3, HEIGHT, WIDTH, dtype=torch.uint8)


def noise() -> torch.Tensor:
    """Return frames of independent samples."""
    return torch.randint(0, 256, (FRAMES, 3, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(0)).byte()


def screen() -> torch.Tensor:
    """Return a page of letter-like blocks in a window, which scrolls from the middle on; a cursor blinks."""
    random = np.random.default_rng(0)
    page = np.full((HEIGHT * 3, WIDTH, 3), 250, np.uint8)
    for top in range(8, HEIGHT * 3 - 10, 14):
        left = 12
        while left < WIDTH - 60:  # room for a word of eight letters
            for _ in range(random.integers(2, 9)):
                glyph = random.random((9, 5)) < 0.45
                page[top : top + 9, left : left + 5][glyph] = (30, 30, 60)
                left += 6
            left += 6
    frames = []
    for number in range(FRAMES):
        scrolled = 4 * max(0, number - FRAMES // 2)
        frame = page[scrolled : scrolled + HEIGHT].copy()
        frame[:24] = (60, 90, 160)
        if number // 12 % 2:
            frame[120:134, 200:202] = 0
        frames.append(frame)
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()


def clips(folder: Path) -> dict[str, Clip]:
    """Return the six kinds."""
    animation = read_clip(folder / "bigbuckbunny.mp4", Selection((1248, 720), (WIDTH, HEIGHT), 0, FRAMES))
    sport = read_clip(folder / "basketballpass", Selection(frames=FRAMES), FPS)
    made = {
        "black": black(),
        "still": animation.frames[[0] * FRAMES],
        "noise": noise(),
        "screen recording": screen(),
    }
    return {
        **{name: Clip(frames, *steady(FRAMES, FPS)) for name, frames in made.items()},
        "animation": animation,
        "sport": sport,
    }


def measure(clip: Clip, crf: int, threads: int) -> dict[str, Any]:
    """Encode with the defaults but for the rate factor."""
    start = time.monotonic()
    made = nvcodec.encode(clip, crf=crf, threads=threads, device="cpu")
    seconds = time.monotonic() - start
    compared = nvcodec.compare(clip, made.data, device="cpu")
    ceiling = 99.0  # of pictures that are all but equal
    return {
        "file_bytes": len(made.data),
        "psnr_rgb": min(ceiling, compared.psnr_rgb),
        "psnr_y": min(ceiling, compared.psnr_y),
        "ssim": compared.ssim,
        "seconds": seconds,
    }


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("-j", "--threads", default=2)
def main(folder: Path, output: Path, threads: int) -> None:
    """Measure what is missing in OUTPUT."""
    torch.set_num_threads(threads)
    results: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {"kinds": {}}
    for name, clip in clips(folder).items():
        points = results["kinds"].setdefault(name, {})
        for crf in CRFS:
            if str(crf) not in points:
                points[str(crf)] = measure(clip, crf, threads)
                print(name, crf, points[str(crf)], flush=True)
                results["provenance"] = provenance()
                output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
