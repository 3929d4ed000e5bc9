"""Decoding and encoding beside a process that keeps one core busy, with threads that spin and with threads that sleep.

    python benchmarks/busy.py CLIP benchmarks/busy.json [--rounds 3]

Every command runs as a process of its own, as users run it; its time includes the start. `spinning` waits as torch's
OpenMP does by itself, which is what nvcodec did before; `sleeping` is what the command line now asks for. Times are
medians.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from machine import provenance

PART = ["--frames", "12", "--scale", "320x180"]
#: Files to decode, and encodes to time.
FILES: dict[str, list[str]] = {
    "network": [*PART, "--size", "60k", "--steps", "20"],
    "av1": [*PART, "--base", "av1", "--preset", "draft", "--size", "1k", "--steps", "20"],
}
WAITING = {"spinning": {"GOMP_SPINCOUNT": "300000"}, "sleeping": {}}  # the former is libgomp's default
THREADS: dict[str, list[str]] = {"default": [], "1": ["-j", "1"]}


def seconds(arguments: list[str], environment: dict[str, str]) -> float:
    """Return how long a command takes."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "nvcodec", *arguments]
    subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True)
    return time.perf_counter() - start


def measure(tasks: dict[str, list[str]], rounds: int) -> dict[str, Any]:
    """Return the seconds of each command, for both ways to wait and numbers of threads, which take turns."""
    times: dict[str, Any] = {}
    for _ in range(rounds):
        for task, arguments in tasks.items():
            for waiting, environment in WAITING.items():
                for threads, option in THREADS.items():
                    entry = times.setdefault(task, {}).setdefault(waiting, {}).setdefault(threads, [])
                    entry.append(seconds([*arguments, *option], environment))
    return {
        task: {
            waiting: {threads: statistics.median(each) for threads, each in by_threads.items()}
            for waiting, by_threads in by_waiting.items()
        }
        for task, by_waiting in times.items()
    }


@click.command()
@click.argument("clip", type=click.Path(path_type=Path, exists=True))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--rounds", default=3)
def main(clip: Path, output: Path, rounds: int) -> None:
    """Measure and write OUTPUT."""
    os.environ.pop("OMP_NUM_THREADS", None)
    with tempfile.TemporaryDirectory() as folder:
        tasks = {}
        for kind, options in FILES.items():
            file = f"{folder}/{kind}.sdmn"
            encode = ["encode", str(clip), "-o", file, "-y", *options]
            seconds(encode, {})
            tasks[f"decode {kind}"] = ["decode", file, "--md5"]
            tasks[f"encode {kind}"] = encode
        results: dict[str, Any] = {"alone": measure(tasks, rounds)}
        busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            results["beside one busy process"] = measure(tasks, rounds)
        finally:
            busy.kill()
            busy.wait()
    output.write_text(json.dumps({**results, "provenance": provenance()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
