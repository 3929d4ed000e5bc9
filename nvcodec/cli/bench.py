"""``nvcodec bench``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nvcodec.cli.options import (
    PATH,
    Status,
    TimeType,
    bits_option,
    device_options,
    duration,
    selection_options,
    volume_options,
)
from nvcodec.encoding.encode_config import PRESETS, parse_size
from nvcodec.errors import InputError, UsageError

if TYPE_CHECKING:
    from nvcodec.bench.measurement import Bench, Task
    from nvcodec.encoding.fit.fit_loop import Progress
    from nvcodec.video.selection import Moment


@click.command("bench")
@click.argument("source", type=PATH)
@click.option(
    "-o",
    "--output",
    type=PATH,
    required=True,
    help="Folder for the results; points already in it are not measured again.",
)
@click.option(
    "--base",
    "bases",
    multiple=True,
    type=click.Choice(("av1", "none")),
    default=("av1",),
    show_default=True,
    help="Our kinds of file to measure, as in encode; may be given twice.",
)
@click.option(
    "--sizes", default="75k,150k,300k,600k", show_default=True, help="Points of networks alone, in parameters."
)
@click.option(
    "--codec", "names", multiple=True, metavar="NAME", help="Only this codec, or those with NAME in their name."
)
@click.option("--preset", type=click.Choice(tuple(PRESETS)), help="As in encode.")
@click.option("--steps", type=click.IntRange(1), help="As in encode.")
@click.option("--time-limit", type=TimeType(), help="As in encode, for every point.")
@selection_options
@bits_option("As in encode.")
@device_options
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON on stdout.")
@volume_options
def command(
    source: str,
    output: str,
    bases: tuple[str, ...],
    sizes: str,
    names: tuple[str, ...],
    preset: str | None,
    steps: int | None,
    time_limit: float | None,
    crop: tuple[int, int] | None,
    scale: tuple[int, int] | None,
    start: Moment,
    duration: float | None,
    end: Moment | None,
    frames: int | None,
    every: int,
    deinterlace: bool,
    bits: int | None,
    device: str,
    threads: int | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Compare nvcodec with x264, x265, SVT-AV1 and VP9: rate and distortion on the same frames of SOURCE.

    Writes results.json, a chart for each measure of quality, and index.html into the folder. After Ctrl-C the same
    command continues where it stopped. Needs pip install "nvcodec[bench]".
    """
    from nvcodec.bench import require_extra

    require_extra()
    parameters = [parse_size(size) for size in sizes.split(",")]

    import torch

    from nvcodec.bench import report, rival_codecs
    from nvcodec.bench.measurement import OUR_OPTIONS, Bench, choose, tasks
    from nvcodec.video.selection import Selection
    from nvcodec.video.source import read_clip

    chosen = choose(names, bases)
    if not chosen:
        raise UsageError("no codec has this in its name; there are " + "; ".join([*rival_codecs.CODECS, *OUR_OPTIONS]))
    if threads:
        torch.set_num_threads(threads)  # for decoding, too
    status = Status(quiet)
    status.show(f"reading {source}")
    clip = read_clip(source, Selection(crop, scale, start, frames, every, duration, end, deinterlace, bits))
    options = {"preset": preset, "steps": steps, "time_limit": time_limit, "device": device, "threads": threads}
    given = {name: value for name, value in options.items() if value is not None}
    try:
        bench = Bench(clip, Path(output), Path(source).name, given)
    except OSError as error:
        raise InputError(f"cannot write {output}: {error.strerror}") from None
    _measure(bench, [task for task in tasks(parameters, chosen) if not bench.has(task)], status, verbose)
    bench.save()
    report.write(bench)
    if as_json:
        click.echo(json.dumps(bench.results, indent=1))
    elif not quiet:
        for number, table in enumerate(report.bd_tables(bench)):
            if number:
                click.echo()
            _print_table(table)
    missing = [
        name for name, codec in rival_codecs.CODECS.items() if name in chosen and not rival_codecs.available(codec)
    ]
    if missing and not quiet:
        click.echo(f"not in this build of PyAV: {', '.join(missing)}", err=True)


def _measure(bench: Bench, tasks: Sequence[Task], status: Status, verbose: bool) -> None:
    """Measure the points, with a status line, and with one line per point if ``verbose``."""
    try:
        for number, task in enumerate(tasks, 1):
            label = f"{number}/{len(tasks)} {task.codec} at {task.at}"

            def show(now: Progress, label: str = label) -> None:
                status.show(f"{label}: step {now.step}/{now.steps}, {duration(now.seconds_left)} left")

            status.show(label)
            point = bench.measure(task, show)
            status.clear()
            if verbose:
                click.echo(f"{label}: {point['file_bytes']} bytes, {point['psnr_rgb']:.2f} dB", err=True)
    finally:
        status.clear()


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
