"""Long videos: memory and disk over time, speed by jobs, networks by segment, and targets for the whole.

    python benchmarks/segments.py CLIPS_FOLDER benchmarks/segments.json [--only flat] [--minutes 20] [--jobs 2]

The videos are made of the clips: each clip forwards and backwards, as it is and mirrored, darker and lighter, scene
after scene. What the JSON has is not measured again.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import click
import torch
from machine import provenance

import nvcodec
from nvcodec.bench.bd import bd_rate
from nvcodec.encoding.av1.svt_encoder import BaseSettings, encode_av1
from nvcodec.encoding.encode_config import SVT_PRESETS
from nvcodec.format.stream_reader import read_file
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

CLIPS = (
    "davis480/blackswan",
    "bigbuckbunny.mp4",
    "davis480/camel",
    "highway.mp4",
    "davis480/bmx-trees",
    "dancers",
    "davis480/mallard-water",
    "vid4-foliage",
)
FPS = 25
SCENE_FRAMES = (50, 132)  # of the clips
LEVELS = (1.0, 0.75, 1.2)  # what each sample is multiplied by, in turn
LOOK_SECONDS = 1.0  # between two looks at memory and disk
JOIN_SIZE, JOIN_FRAMES = (432, 240), 75
JOINS = ((0, 1, 2), (3, 4, 5), (6, 7, 1), (2, 5, 0), (4, 3, 6))  # of three clips each
CRFS = (40, 46, 52, 58)
SHARE_OF_JOIN = 0.5  # of the bytes that a join takes at the best of these rate factors: what targets ask for


def scene(folder: Path, number: int, size: tuple[int, int], frames: int | None) -> torch.Tensor:
    """Return a clip in a size: uint8 [frames, 3, height, width]."""
    return torch.stack(list(read_clip(folder / CLIPS[number], Selection(None, size, 0, frames, 1), None, None).frames))


def scenes(folder: Path, size: tuple[int, int]) -> Iterator[torch.Tensor]:
    """Yield scenes without end."""
    for turn in itertools.count():
        for number in range(len(CLIPS)):
            pictures = scene(folder, number, size, SCENE_FRAMES[1])
            pictures = pictures.flip(0) if turn % 2 else pictures
            pictures = pictures.flip(3) if turn // 2 % 2 else pictures
            yield (pictures * LEVELS[turn % len(LEVELS)]).clamp(0, 255).to(torch.uint8)


def make_video(path: Path, pictures: Iterator[torch.Tensor], frames: int | None = None) -> None:
    """Write scenes as a video without loss (H.264 in RGB), up to so many frames."""
    with av.open(str(path), "w") as container:
        stream: Any = None
        for picture in itertools.islice(itertools.chain.from_iterable(pictures), frames):
            if stream is None:
                stream = container.add_stream("libx264rgb", FPS, options={"qp": "0", "preset": "ultrafast"})
                stream.height, stream.width = picture.shape[1:]
                stream.pix_fmt = "rgb24"
            frame = av.VideoFrame.from_ndarray(picture.permute(1, 2, 0).contiguous().numpy(), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(root) / name).stat().st_size
            except FileNotFoundError:  # it went in the meantime
                continue
    return total


def family_bytes(parent: int) -> int:
    """Return the memory of a process and of all that it has started, without what they share counted twice."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                above = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(above, []).append(int(entry.name))
    total, waiting = 0, [parent]
    while waiting:
        process = waiting.pop()
        waiting += children.get(process, [])
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total


def watched(source: Path, output: Path, *options: str) -> dict[str, Any]:
    """Encode in a process of its own, and look at its memory and its files from time to time."""
    looks = []
    with tempfile.TemporaryDirectory() as temporary:
        line = [sys.executable, "-m", "nvcodec", "encode", str(source), "-o", str(output), "--json", "-q", *options]
        start = time.monotonic()
        process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": temporary})
        while process.poll() is None:
            memory, disk = family_bytes(process.pid), folder_bytes(Path(temporary))
            looks.append([round(time.monotonic() - start, 1), memory, disk])
            time.sleep(LOOK_SECONDS)
        assert process.stdout is not None
        summary = json.loads(process.stdout.read())
    assert process.returncode == 0, summary
    kept = ("frames", "file_bytes", "psnr_rgb", "seconds")
    return {**{key: summary[key] for key in kept if key in summary}, "wall_seconds": looks[-1][0], "looks": looks}


def flat(folder: Path, scratch: Path, minutes: float, jobs: int) -> dict[str, Any]:
    """Measure memory and disk over a long video, and compare some segments with themselves encoded alone."""
    size = (640, 360)
    source, output = scratch / "long.mkv", scratch / "long.sdmn"
    make_video(source, scenes(folder, size), round(60 * FPS * minutes))
    row = watched(source, output, "--preset", "draft", "--jobs", str(jobs))
    row["wall_seconds_svt_av1_alone"] = base_alone(source, 60 * FPS)
    row["segments"], equal = segments_by_themselves(source, output)
    row["equal_to_segments_by_themselves"] = equal
    checked = subprocess.run([sys.executable, "-m", "nvcodec", "verify", str(output), "-q"], check=False)
    return {**row, "verified": checked.returncode == 0, "minutes": minutes, "jobs": jobs}


def base_alone(source: Path, frames: int) -> dict[str, Any]:
    """Measure SVT-AV1 by itself, with the preset of draft, on the first frames of a video."""
    clip = read_clip(source, Selection(frames=frames), None, None)
    start = time.monotonic()
    encode_av1(clip.frames, BaseSettings(35.0, SVT_PRESETS["draft"], Fraction(FPS), threads=torch.get_num_threads()))
    return {"frames": len(clip.frames), "seconds": time.monotonic() - start}


def segments_by_themselves(source: Path, file: Path) -> tuple[int, list[bool]]:
    """Encode the first, a middle and the last segment alone; return how many there are, and which are the same."""
    segments = read_file(file).segments
    same = []
    for number in (0, len(segments) // 2, len(segments) - 1):
        head = segments[number].head
        alone = nvcodec.encode(
            source,
            preset="draft",
            segment="none",
            start=head.first_frame,
            frames=head.frames,
            device="cpu",
            audio=False,
        )
        [own] = read_file(alone.data).segments
        same.append([run.data for run in own.layers[0].base] == [r.data for r in segments[number].layers[0].base])
        same[-1] &= own.layers[-1].convs.keys() == segments[number].layers[-1].convs.keys()
        same[-1] &= list(own.layers[-1].checksums) == list(segments[number].layers[-1].checksums)
    return len(segments), same


def by_jobs(folder: Path, scratch: Path) -> dict[str, Any]:
    """Measure one minute with one job and with two."""
    source = scratch / "minute.mkv"
    make_video(source, scenes(folder, (640, 360)), 60 * FPS)
    rows = {}
    for jobs in (1, 2):
        row = watched(source, scratch / f"jobs-{jobs}.sdmn", "--preset", "draft", "--jobs", str(jobs))
        rows[str(jobs)] = {key: value for key, value in row.items() if key != "looks"}
    equal = (scratch / "jobs-1.sdmn").read_bytes() == (scratch / "jobs-2.sdmn").read_bytes()
    return {"jobs": rows, "equal": equal}


def join(folder: Path, scratch: Path, number: int) -> Path:
    """Return a video of three clips."""
    path = scratch / f"join-{number}.mkv"
    if not path.exists():
        make_video(path, (scene(folder, clip, JOIN_SIZE, JOIN_FRAMES) for clip in JOINS[number]))
    return path


def by_network(folder: Path, scratch: Path, number: int) -> dict[str, Any]:
    """Compare a network for each scene with one for all, over some rate factors."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for name, segment in (("one for all", "none"), ("one for each scene", str(JOIN_FRAMES / FPS))):
        for crf in CRFS:
            made = nvcodec.encode(join(folder, scratch, number), crf=crf, segment=segment, device="cpu")
            curves.setdefault(name, []).append((len(made.data), made.psnr))
    delta = bd_rate(*curves.values())
    return {"points": curves, "bd_rate": delta and round(delta.percent, 2)}


def by_target(folder: Path, scratch: Path, number: int) -> dict[str, Any]:
    """Make a join to a size: as a whole, and with a third of the size for each of its scenes."""
    source, segment = join(folder, scratch, number), str(JOIN_FRAMES / FPS)
    size = round(SHARE_OF_JOIN * len(nvcodec.encode(source, crf=CRFS[0], segment=segment, device="cpu").data))
    whole = nvcodec.encode(source, target_size=size, segment=segment, device="cpu")
    parts = [
        nvcodec.encode(
            source, target_size=size // 3, start=first * JOIN_FRAMES, frames=JOIN_FRAMES, segment="none", device="cpu"
        )
        for first in range(3)
    ]
    return {
        "target": size,
        "whole": {"file_bytes": len(whole.data), "psnr": whole.psnr},
        "equal_parts": {
            "file_bytes": sum(len(part.data) for part in parts),
            "psnr": sum(part.psnr for part in parts) / len(parts),
        },
    }


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--only", type=click.Choice(["flat", "jobs", "networks", "targets"]))
@click.option("--minutes", default=20.0)
@click.option("--jobs", default=2)
def main(folder: Path, output: Path, only: str | None, minutes: float, jobs: int) -> None:
    """Measure what is missing in OUTPUT."""
    results = json.loads(output.read_text()) if output.exists() else {}
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        tasks: dict[str, Any] = {"flat": lambda: flat(folder, scratch, minutes, jobs)}
        tasks["jobs"] = lambda: by_jobs(folder, scratch)
        for number in range(len(JOINS)):
            if number < 3:
                tasks[f"networks {number}"] = lambda number=number: by_network(folder, scratch, number)
            tasks[f"targets {number}"] = lambda number=number: by_target(folder, scratch, number)
        for task, measure in tasks.items():
            if task not in results and task.startswith(only or ""):
                results[task] = {**measure(), "provenance": provenance()}
                output.write_text(json.dumps(results, indent=1) + "\n")
                print(task, {key: value for key, value in results[task].items() if key != "looks"}, flush=True)


if __name__ == "__main__":
    main()
