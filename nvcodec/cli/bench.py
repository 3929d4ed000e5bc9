"""``nvcodec bench``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from nvcodec.cli.options import Status, TimeType, device_options, duration, selection_options, volume_options
from nvcodec.errors import InputError, UsageError


@click.command("bench")
@click.argument("source")
@click.option("-o", "--output", required=True, help="Folder for the results; points that it holds are not made again.")
@click.option("--sizes", default="75k,150k,300k,600k", show_default=True, help="nvcodec's points, in parameters.")
@click.option("--codec", "names", multiple=True, metavar="NAME", help="Only codecs whose name contains this.")
@click.option("--preset", type=click.Choice(("draft", "normal", "fine", "finest")), help="As in encode.")
@click.option("--steps", type=click.IntRange(1), help="As in encode.")
@click.option("--time-limit", type=TimeType(), help="As in encode, for every point.")
@selection_options
@device_options
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON on stdout.")
@volume_options
def command(
    source: str,
    output: str,
    sizes: str,
    names: tuple[str, ...],
    preset: str | None,
    steps: int | None,
    time_limit: float | None,
    crop: tuple[int, int] | None,
    scale: tuple[int, int] | None,
    start: int,
    frames: int | None,
    every: int,
    device: str,
    threads: int | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Rate and distortion of nvcodec, x264, x265, SVT-AV1 and VP9 on the same frames of SOURCE.

    Writes results.json, a chart for every measure of quality, and index.html into the folder. Ctrl-C is no loss: the
    same command goes on where it stopped. Needs pip install "nvcodec[bench]".
    """
    from nvcodec.bench import require_extra
    from nvcodec.encoding.model.network_shape import parse_size

    require_extra()
    numbers = [parse_size(size) for size in sizes.split(",")]
    from nvcodec.bench import report
    from nvcodec.bench import rival_codecs as codecs
    from nvcodec.bench.measurement import OURS, PLAIN, Bench, tasks
    from nvcodec.encoding.fit.fit_loop import Progress
    from nvcodec.video.source import Selection, read_clip

    known = [*codecs.CODECS, OURS, PLAIN]
    chosen = [name for name in known if not names or any(part.lower() in name.lower() for part in names)]
    if not chosen:
        raise UsageError(f"no codec is called so; there are {', '.join(known)}")
    lacking = [name for name in chosen if name in codecs.CODECS and not codecs.available(codecs.CODECS[name])]
    status = Status(quiet)
    status.show(f"reading {source}")
    clip = read_clip(source, Selection(crop, scale, start, frames, every))
    options = {"preset": preset, "steps": steps, "time_limit": time_limit, "device": device, "threads": threads}
    given = {name: value for name, value in options.items() if value is not None}
    try:
        bench = Bench(clip, Path(output), Path(source).name, given)
    except OSError as error:
        raise InputError(f"cannot write {output}: {error.strerror}") from None
    left = [task for task in tasks(numbers, chosen) if not bench.has(task)]
    try:
        for number, task in enumerate(left):
            what = f"{number + 1}/{len(left)} {task.codec} at {task.at}"

            def watch(now: Progress, what: str = what) -> None:
                status.show(f"{what}: step {now.step}/{now.steps}, {duration(now.seconds_left)} left")

            status.show(what)
            point = bench.measure(task, watch)
            status.clear()
            if verbose:
                click.echo(f"{what}: {point['file_bytes']} bytes, {point['psnr_rgb']:.2f} dB", err=True)
    finally:
        status.clear()
    bench.save()
    for quality, picture in report.charts(bench).items():
        (bench.folder / f"{quality}.svg").write_text(picture)
    (bench.folder / "index.html").write_text(report.page(bench))
    if as_json:
        click.echo(json.dumps(bench.results, indent=1))
    elif not quiet:
        rows = report.bd_rows(bench)
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if lacking and not quiet:
        click.echo(f"not in this build of PyAV: {', '.join(lacking)}", err=True)
