"""Time and memory that small hostile files take: to read them, and to decode their first frame.

    python benchmarks/hostile.py benchmarks/hostile.json [--only TEXT]

The files are those of ``tests/fuzzing/hostile.py``. Each is tried in a process of its own, which is stopped at a limit
of processor time and gets a memory error beyond a limit of address space. The memory of a first frame includes that of
reading.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from fuzzing.hostile import HOSTILE  # noqa: E402
from machine import provenance  # noqa: E402

MAX_SECONDS = 120  # of processor time
MAX_BYTES = 12 * 2**30  # of address space


def attempt(name: str, decode: bool) -> None:
    """Make one attempt, in a process of its own, and print its figures as JSON."""
    import torch

    from nvcodec.decoding.decoded_video import Video
    from nvcodec.format.stream_reader import read_stream
    from nvcodec.memory import peak_memory

    torch.set_num_threads(1)
    data = HOSTILE[name]()
    before, start = peak_memory(), time.process_time()
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    try:
        stream = read_stream(data)
        if decode:
            start = time.process_time()
            Video(stream, device="cpu", verify=False)[0]
        outcome = "accepted"
    except Exception as error:
        outcome = f"{type(error).__name__}: {error}"
    figures = {"seconds": round(time.process_time() - start, 3), "memory_bytes": peak_memory() - before}
    print(json.dumps({"file_bytes": len(data), **figures, "outcome": outcome[:300]}))


def measured(name: str, decode: bool) -> dict[str, Any]:
    """Return the figures of one attempt."""
    action = "decode" if decode else "read"
    line = [sys.executable, __file__, "-", "--only", name, "--attempt", action]

    def limits() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS + 5))

    result = subprocess.run(line, capture_output=True, text=True, preexec_fn=limits, check=False)
    if result.returncode:
        return {"outcome": f"stopped after {MAX_SECONDS} s of processor time (status {result.returncode})"}
    figures: dict[str, Any] = json.loads(result.stdout)
    return figures


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--only", default="", help="Only files whose name contains this.")
@click.option("--attempt", "action", hidden=True)
def main(path: Path, only: str, action: str | None) -> None:
    """Measure all files, or some, and write PATH."""
    if action:
        return attempt(only, action == "decode")
    rows = []
    for name in HOSTILE:
        if only in name:
            read = measured(name, False)
            row = {"name": name, "read": read}
            if read["outcome"] == "accepted":
                row["first_frame"] = measured(name, True)
            rows.append(row)
            click.echo(json.dumps(row))
    path.write_text(
        json.dumps({"limits": [MAX_SECONDS, MAX_BYTES], "files": rows, "provenance": provenance()}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
