"""Plants deliberate bugs, one at a time, in a copy of ``nvcodec`` and tells which of them are caught.

    python tools/plant_bugs.py [--half decoder|encoder|all] [--only TEXT] [--json FILE] [--jobs N]

Each bug names the tests that have to catch it; where one of ``tests/decoder_bugs.py`` names none, it is the conformance
vectors. First, every command has to succeed with an unchanged copy, and to fail with a copy
that cannot be imported: otherwise it would judge this repository instead of the copy. Exit code 1 if a bug is missed.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

import decoder_bugs  # noqa: E402
import encoder_bugs  # noqa: E402
from decoder_bugs import Bug  # noqa: E402

from benchmarks.machine import provenance  # noqa: E402

Command = tuple[str, ...]

HALVES: dict[str, Sequence[Bug]] = {"decoder": decoder_bugs.BUGS, "encoder": encoder_bugs.BUGS}
CONFORMANCE: Command = (sys.executable, "tools/conformance.py", "--in-process", "nvcodec")
# Without its own setting of the path, which would put this repository before the copy.
PYTEST: Command = (
    sys.executable,
    "-m",
    "pytest",
    "-x",
    "--tb=no",
    "-p",
    "no:cacheprovider",
    "-o",
    "pythonpath=tools tests",
)
TEST_FAILED = 1  # pytest's exit status; others mean that no test has judged the bug
UNIMPORTABLE = Bug("cannot be imported", "errors.py", "from __future__ import annotations", "raise ImportError")
TIMEOUT_SECONDS = 1800
OUTPUT_TAIL = 400  # characters


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The end of a command: its exit status, None if it took too long, and the last of what it printed."""

    status: int | None
    output: str
    seconds: float


def command_for(bug: Bug) -> Command:
    """Return the command that has to catch a bug."""
    return (*PYTEST, *bug.tests) if bug.tests else CONFORMANCE


def is_caught(bug: Bug, outcome: Outcome) -> bool:
    """Return whether the command has noticed the bug; a command that hangs has."""
    if outcome.status is None:
        return True
    return outcome.status == TEST_FAILED if bug.tests else outcome.status != 0


def plant(bug: Bug, package: Path) -> None:
    """Change the copy of ``nvcodec`` in ``package``."""
    path = package / bug.file
    text = path.read_text()
    if text.count(bug.old) != 1:
        raise click.ClickException(f"{bug.name}: its text stands {text.count(bug.old)} times in {bug.file}")
    path.write_text(text.replace(bug.old, bug.new))


def run(command: Command, bug: Bug | None = None) -> Outcome:
    """Run a command with a copy of ``nvcodec`` that has the bug."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "nvcodec"
        shutil.copytree(ROOT / "nvcodec", package, ignore=shutil.ignore_patterns("__pycache__"))
        if bug:
            plant(bug, package)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([folder, str(ROOT), str(ROOT / "tools"), str(ROOT / "tests")]),
            "PYTHONSAFEPATH": "1",  # not the working folder, which has the original
            "PYTHONDONTWRITEBYTECODE": "1",
            "NVCODEC_CLIPS": str(Path(folder) / "clips"),  # no clips, so that what is caught depends on none
        }
        try:
            result = subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Outcome(None, "took too long", time.perf_counter() - start)
        output = (result.stdout + result.stderr)[-OUTPUT_TAIL:].replace(folder, "").strip()
    return Outcome(result.returncode, output, time.perf_counter() - start)


def check_commands(bugs: Sequence[Bug], pool: ThreadPoolExecutor) -> None:
    """Check that the commands of ``bugs`` judge the copy, and find nothing wrong with an unchanged one."""
    commands = list(dict.fromkeys(map(command_for, bugs)))
    for command, outcome in zip(commands, pool.map(run, commands), strict=True):
        if outcome.status != 0:
            raise click.ClickException(f"{_shown(command)} fails without a bug: {outcome.output}")
    kinds = {bool(bug.tests): command_for(bug) for bug in bugs}
    for command, outcome in zip(
        kinds.values(), pool.map(lambda command: run(command, UNIMPORTABLE), kinds.values()), strict=True
    ):
        if outcome.status == 0:
            raise click.ClickException(f"{_shown(command)} does not import the copy")


def judge(half: str, bug: Bug) -> dict[str, Any]:
    """Plant one bug; returns its row of the report."""
    outcome = run(command_for(bug), bug)
    caught = is_caught(bug, outcome)
    click.echo(f"{'caught' if caught else 'MISSED'}  {bug.name}  ({outcome.seconds:.1f} s)")
    row = {"half": half, **dataclasses.asdict(bug), "caught": caught, "seconds": round(outcome.seconds, 1)}
    return {**row, "output": outcome.output}


def _shown(command: Command) -> str:
    return " ".join(Path(word).name if Path(word).is_absolute() else word for word in command)


@click.command()
@click.option("--half", type=click.Choice([*HALVES, "all"]), default="all", help="Whose bugs; all if not given.")
@click.option("--only", default="", help="Bugs with this in their name.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="Where to write the report.")
@click.option("--jobs", type=click.IntRange(1), default=1, help="Bugs judged at once.")
def main(half: str, only: str, path: Path | None, jobs: int) -> None:
    """Plant the bugs, one at a time."""
    chosen = [(name, bug) for name, bugs in HALVES.items() if half in (name, "all") for bug in bugs if only in bug.name]
    if not chosen:
        raise click.ClickException(f"no bug has {only!r} in its name")
    with ThreadPoolExecutor(jobs) as pool:
        check_commands([bug for _, bug in chosen], pool)
        rows = list(pool.map(lambda each: judge(*each), chosen))
    missed = [row["name"] for row in rows if not row["caught"]]
    click.echo(f"{len(rows) - len(missed)} of {len(rows)} caught")
    if path:
        commands = {"decoder": _shown(CONFORMANCE), "encoder": _shown((*PYTEST, "TESTS"))}
        report = {"commands": commands, "missed": missed, "bugs": rows, "provenance": provenance()}
        path.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
