"""Peak memory of encodes of a clip that is larger than --max-memory allows, and of the same clip without a limit.

    python benchmarks/memory.py CLIPS_FOLDER benchmarks/memory.json [--steps 20]

Every encode is a process of its own; its peak is that of the whole process, Python and torch included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from machine import provenance

from nvcodec.cli.options import BytesType

CLIP, WIDTH, HEIGHT, FRAMES, SIZE = "dancers", 1280, 720, 270, "0.12M"
REPETITIONS = 2  # of the clip: 1424 MiB of frames
MEMORY_LIMITS = ("1200M", None)


def encode(source: Path, limit: str | None, steps: int) -> dict[str, Any]:
    """Return the figures of one encode."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-m", "nvcodec", "encode", str(source), "-o", f"{folder}/out.sdmn", "--size", SIZE]
        line += ["--steps", str(steps), "--device", "cpu", "--json", "-q", *(["--max-memory", limit] if limit else [])]
        summary = json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout)
    allowed = BytesType().convert(limit, None, None) if limit else None
    return {
        "max_memory_bytes": allowed,
        "peak_memory_bytes": summary["peak_memory_bytes"],
        "held": allowed is None or summary["peak_memory_bytes"] <= allowed,
        "seconds": summary["seconds"],
        "file_bytes": summary["file_bytes"],
    }


@click.command()
@click.argument("folder", type=Path)
@click.argument("output", type=Path)
@click.option("--steps", default=20)
def main(folder: Path, output: Path, steps: int) -> None:
    """Run all encodes and write OUTPUT."""
    pictures = sorted((folder / CLIP).resolve().glob("*.jpg"), key=lambda path: int(path.stem))
    assert len(pictures) == FRAMES
    with tempfile.TemporaryDirectory() as longer:
        for number, picture in enumerate(pictures * REPETITIONS):
            (Path(longer) / f"{number}.jpg").symlink_to(picture)
        rows = [encode(Path(longer), limit, steps) for limit in MEMORY_LIMITS]
    size = 3 * WIDTH * HEIGHT * FRAMES * REPETITIONS
    result = {"clip": CLIP, "times": REPETITIONS, "clip_bytes": size, "encodes": rows, "provenance": provenance()}
    output.write_text(json.dumps(result, indent=1) + "\n")
    click.echo(json.dumps(result, indent=1))
    sys.exit(0 if all(row["held"] for row in rows) else 6)


if __name__ == "__main__":
    main()
