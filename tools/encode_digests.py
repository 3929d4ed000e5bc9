"""Encodes a small clip in every way there is and prints the SHA-256 of each file as JSON.

    python tools/encode_digests.py [--write]

``--write`` replaces ``tests/golden/encodes.json``, against which ``tests/`` compares them: a change of the encoder that
is not meant to change what it writes leaves every digest as it was. One thread, a fixed seed, and kernels of torch,
oneDNN and MKL that every x86-64 processor has, so that digests do not depend on the machine; they do depend on torch's
version.
"""

from __future__ import annotations

import os

# Read by the libraries when torch is imported.
os.environ.update(ATEN_CPU_CAPABILITY="default", ONEDNN_MAX_CPU_ISA="SSE41", MKL_CBWR="COMPATIBLE")

import hashlib
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import torch

import nvcodec

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "encodes.json"
FRAMES, HEIGHT, WIDTH = 5, 33, 42  # odd sides: there is padding to cut off


def clip() -> torch.Tensor:
    """Shading that moves, under noise, so that bytes buy quality: uint8 [frames, 3, height, width].

    Integers only: no processor's sine decides a pixel.
    """
    t, channel, y, x = torch.meshgrid(*map(torch.arange, (FRAMES, 3, HEIGHT, WIDTH)), indexing="ij")
    shade = 40 * channel + 5 * ((x + 2 * t) % 16 - 8).abs() * ((y + channel) % 12 - 6).abs() // 2
    hash_of_place = (x * 7919 + y * 104729 + t * 1299709 + channel * 15485863) * 2654435761 % 2**32
    return (shade + hash_of_place % 23).clamp(0, 255).to(torch.uint8)


CLIP = clip()
COMMON: dict[str, Any] = {"device": "cpu", "threads": 1, "steps": 60}


def encode(**options: Any) -> nvcodec.Encoded:
    """An encode of the clip."""
    return nvcodec.encode(CLIP, **{**COMMON, **options})


def digest(*encoded: nvcodec.Encoded) -> str:
    """SHA-256 over the files, one after the other."""
    return hashlib.sha256(b"".join(file.data for file in encoded)).hexdigest()


def left_half(decoded: torch.Tensor, source: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
    """A loss of one's own."""
    return (decoded - source)[..., : WIDTH // 2].square().mean()


def interrupted(folder: Path, name: str, at: int, **options: Any) -> nvcodec.Encoded | None:
    """An encode to a file that Ctrl-C ends after the first report at or behind step ``at``."""

    sent: list[int] = []

    def report(progress: Any) -> None:
        if progress.step >= at and not sent:  # a second one would end at once
            sent.append(progress.step)
            signal.raise_signal(signal.SIGINT)

    try:
        return encode(**options, output=folder / name, progress=report)
    except nvcodec.Interrupted:
        return None


def resumed(folder: Path, name: str, at: int, **options: Any) -> str:
    """An interrupted encode that goes on from its checkpoint."""
    assert interrupted(folder, name, at, **options) is None
    return digest(encode(**options, output=folder / name, resume=True))


def written(folder: Path) -> str:
    """An interrupted encode that is written at once."""
    encoded = interrupted(folder, "written", 40, size="9k", steps=200, on_interrupt="write")
    assert encoded and encoded.interrupted
    return digest(encoded)


def warm(folder: Path) -> str:
    """A fit that starts from the file of a smaller one."""
    (folder / "small.sdmn").write_bytes(encode(size="8k").data)
    return digest(encode(size="11k", init=folder / "small.sdmn"))


def added(folder: Path) -> str:
    """A layer added to a file."""
    (folder / "base.sdmn").write_bytes(encode(size="8k", grids=0.0, skip="none").data)
    return digest(encode(size="7k", onto=folder / "base.sdmn", rd_lambda=0.5))


def masked() -> str:
    """L1 with SSIM, weighted by masks that differ from frame to frame; bytes do not count."""
    weights = torch.zeros_like(CLIP)
    for frame in range(FRAMES):
        weights[frame, :, :, 8 * frame : 8 * frame + 8] = 200
    return digest(encode(size="9k", loss="l1-ssim", weights=weights + 20, rd_lambda=0.0))


def encodes(folder: Path) -> dict[str, Callable[[], str]]:
    """Every way to encode, by name."""
    return {
        "size": lambda: digest(encode(size="9k", epochs=12, steps=None)),
        "size, no grids, another seed": lambda: digest(encode(size="9k", grids=0.0, seed=7)),
        "target size": lambda: digest(encode(base="none", target_size=8_000, steps=90)),
        "bit rate and size": lambda: digest(encode(size="12k", bitrate=240_000)),
        "ladder of sizes": lambda: digest(*encode(base="none", target_size=[9_000, 7_000], steps=90).ladder),
        "target PSNR": lambda: digest(encode(base="none", target_psnr=26.0, steps=350)),
        "target PSNR and size": lambda: digest(
            encode(size="9k", target_psnr=32.0, steps=700, rd_lambda=15.0)  # its first two cooldowns fall short
        ),
        "two layers": lambda: digest(encode(size="8k,7k")),
        "joint layers": lambda: digest(*encode(size="8k,7k", joint=True).layers),
        "invertible skip, reparameterised": lambda: digest(
            encode(size="10k", skip="invertible", block="rep", z_gain=1.0)
        ),
        "two layers, invertible skip": lambda: digest(encode(size="9k,7k", skip="invertible", z_gain=0.5)),
        "warm start": lambda: warm(folder),
        "added layer": lambda: added(folder),
        "own loss": lambda: digest(encode(size="9k", loss=left_half)),
        "masks": masked,
        "resumed": lambda: resumed(folder, "resumed", 20, size="9k"),
        "resumed while quantised": lambda: resumed(folder, "late", 55, base="none", target_size=8_000, steps=90),
        "resumed in the second layer": lambda: resumed(folder, "second", 60, size="8k,7k", steps=61),
        "interrupted and written": lambda: written(folder),
        "above AV1": lambda: digest(encode(base="av1", preset="draft", crf=45.25)),
        "above AV1, two layers, RGB": lambda: digest(*encode(base="av1", size="500,400", tune="rgb", crf=40).layers),
        "above AV1, to a size": lambda: digest(encode(base="av1", preset="draft", target_size=1_500)),
        "above AV1, masks and L1": above_av1_masked,
    }


def above_av1_masked() -> str:
    """Networks above an AV1 stream, fitted for L1 on half of the picture."""
    weights = torch.zeros_like(CLIP)
    weights[..., : CLIP.shape[3] // 2] = 9
    return digest(encode(base="av1", size=400, loss="l1", weights=weights, crf=50))


def main() -> None:
    """Encode and print."""
    # Where the processor has bfloat16 the fit would use it.
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        setattr(torch.cpu, name, lambda: False)
    with tempfile.TemporaryDirectory() as folder:
        digests = {name: make() for name, make in encodes(Path(folder)).items()}
    text = json.dumps({"torch": torch.__version__, "av": av.__version__, "digests": digests}, indent=2) + "\n"
    if "--write" in sys.argv[1:]:
        GOLDEN.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
