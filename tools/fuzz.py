"""Tries mutated streams and counts what came of them; deterministic, without further packages.

    python tools/fuzz.py --target parser --count 100000 --seed 1 --repair [--crashers FOLDER] [--json FILE]

The streams come from ``tests/fuzzing/mutator.py``. With ``--repair`` their checksums and hashes are made right, so that
mutations reach what lies behind them. The target ``base`` decodes files with AV1 streams in a process of its own, whose
crash or hang counts as a crasher. Ends with 1 where there was anything but success or a documented error.
``tests/fuzzing/fuzz_parser.py`` and ``fuzz_decoder.py`` are guided by coverage, and need Atheris.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from fuzzing.loop import Report, fuzz  # noqa: E402
from fuzzing.mutator import mutated  # noqa: E402
from fuzzing.seeds import seeds_for  # noqa: E402
from fuzzing.targets import TARGETS  # noqa: E402

from benchmarks.machine import provenance  # noqa: E402


@click.command()
@click.option("--target", type=click.Choice(list(TARGETS)), default="parser", show_default=True)
@click.option("--count", type=click.IntRange(1), default=10_000, show_default=True, help="Streams to try.")
@click.option("--seconds", type=float, default=float("inf"), help="Stop after so long.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Another seed, other streams.")
@click.option("--repair/--no-repair", default=True, show_default=True, help="Whether checksums are made right.")
@click.option("--crashers", type=click.Path(path_type=Path), help="A folder for streams that must be looked at.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="Add the report to those in this file.")
def main(
    target: str, count: int, seconds: float, seed: int, repair: bool, crashers: Path | None, path: Path | None
) -> None:
    """Try COUNT mutated streams."""
    report = fuzz(target, seed << 32, count, repair, seconds)
    if crashers and report.crashers:
        crashers.mkdir(parents=True, exist_ok=True)
        for number, trace in report.crashers:
            (crashers / f"{target}-{number}.sdmn").write_bytes(mutated(seeds_for(target), number, repair))
            (crashers / f"{target}-{number}.txt").write_text(trace)
    click.echo(_text(report))
    if path:
        runs = json.loads(path.read_text())["runs"] if path.exists() else []
        runs.append({**dataclasses.asdict(report), "provenance": provenance()})
        path.write_text(json.dumps({"runs": runs}, indent=2) + "\n")
    sys.exit(1 if report.crashers else 0)


def _text(report: Report) -> str:
    lines = [f"{report.count} streams in {report.seconds:.1f} s, {report.per_second:.0f} a second"]
    lines += [f"{often:9} {name}" for name, often in report.outcomes.items()]
    lines += [f"longest {report.longest[0]:.2f} s (number {report.longest[1]})"]
    lines += [f"memory grew by {report.memory[0] / 2**20:.0f} MiB (number {report.memory[1]})"]
    lines += [f"crash at number {number}:\n{trace}" for number, trace in report.crashers[:5]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
