"""Bytes at equal quality and equal encoding time: this nvcodec against an older one.

    python benchmarks/before.py CLIPS_FOLDER OLDER_CHECKOUT benchmarks/before.json [--jobs 2] [--only CLIP] [--older]

The older one encodes four sizes of each clip with its defaults; for each of them this one makes a file of 0.6 times
the bytes in as much processor time. Every encode is a process with one thread, --jobs at a time. Its time is its whole
processor time, reading and verifying included, and its own clock is that of the processor as well, so that other
processes do not count. Results are added to the JSON as they come; what is already there is skipped.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import click
from machine import provenance

BYTES_SHARE = 0.6  # size of this one's files relative to the older one's
#: The command line, with the processor time of its process as its clock.
RUN = "import runpy, time; time.monotonic = time.process_time; runpy.run_module('nvcodec', run_name='__main__')"
MISSED = 6  # exit code if the file misses its size; its point counts all the same
ROOT = Path(__file__).resolve().parent.parent
#: Source and selection of each clip, and sizes.
CLIPS: dict[str, tuple[str, list[str], list[int]]] = {
    "bunny 320x160": (
        "bigbuckbunny.mp4",
        ["--crop", "1280x640", "--scale", "320x160", "--frames", "66"],
        [75_000, 150_000, 300_000, 600_000],
    ),
    "blackswan 432x240": (
        "davis480/blackswan",
        ["--scale", "432x240"],
        [75_000, 150_000, 300_000, 600_000],
    ),
    "basketballpass 416x240": (
        "basketballpass",
        [],
        [75_000, 150_000, 300_000, 600_000],
    ),
    "highway 480x270": (
        "highway.mp4",
        ["--scale", "480x270"],
        [75_000, 120_000, 190_000, 300_000],
    ),
}


def encode(checkout: Path, source: Path, options: list[str]) -> dict[str, Any]:
    """Encode with the nvcodec in ``checkout``; returns its own summary and the processor time in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", RUN, "encode", str(source), "-o", f"{folder}/out.sdmn", *options]
        log = Path(folder, "summary.json")
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*command, "-j", "1", "--device", "cpu", "--progress", "none", "--json", "-q"],
                stdout=out,
                env={**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"},
                cwd=folder,
            )
            _, status, usage = os.wait4(process.pid, 0)
        if os.waitstatus_to_exitcode(status) not in (0, MISSED):
            raise click.ClickException(f"{' '.join(command)} failed")
        summary: dict[str, Any] = json.loads(log.read_text())
    del summary["file"]
    return {**summary, "processor_seconds": usage.ru_utime + usage.ru_stime}


@click.command()
@click.argument("folder", type=Path)
@click.argument("older", type=Path)
@click.argument("output", type=Path)
@click.option("--jobs", default=2, show_default=True)
@click.option("--only", multiple=True)
@click.option("--older", "older_only", is_flag=True, help="Measure the older nvcodec only.")
def main(folder: Path, older: Path, output: Path, jobs: int, only: tuple[str, ...], older_only: bool) -> None:
    """Measure what OUTPUT does not hold yet."""
    results: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=older, capture_output=True, text=True, check=True)
    lock = threading.Lock()

    def point(name: str, which: str, size: int, checkout: Path, options: list[str]) -> None:
        if str(size) in results.get(name, {}).get(which, {}):
            return
        source, selection, _ = CLIPS[name]
        row = encode(checkout, (folder / source).resolve(), [*selection, *options])
        made = provenance()
        if which == "older":
            made["commit"] = commit.stdout.strip()
        with lock:
            results.setdefault(name, {}).setdefault(which, {})[str(size)] = {**row, "provenance": made}
            output.write_text(json.dumps(results, indent=1) + "\n")
        click.echo(f"{name} {which} {size}: {row['file_bytes']} bytes, {row['psnr_rgb']:.2f} dB", err=True)

    def pair(name: str, size: int) -> None:
        point(name, "older", size, older.resolve(), ["--size", str(size)])
        if not older_only:
            seconds = results[name]["older"][str(size)]["processor_seconds"]
            target = round(BYTES_SHARE * results[name]["older"][str(size)]["file_bytes"])
            point(name, "this", size, ROOT, ["--target-size", str(target), "--time-limit", f"{seconds:.1f}s"])

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        tasks = [pool.submit(pair, name, size) for name in only or CLIPS for size in CLIPS[name][2]]
        for task in tasks:
            task.result()


if __name__ == "__main__":
    main()
