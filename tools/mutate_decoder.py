"""Plants each bug of ``tests/decoder_bugs.py`` in a copy of the decoder and sees whether a command notices.

    python tools/mutate_decoder.py [--only TEXT] [--json FILE] [COMMAND ...]

COMMAND must end with 0 for the decoder as it is and with anything else for a bug; if not given it is
``python tools/conformance.py --in-process nvcodec``. It runs in the folder of this repository, and finds the copy of
``nvcodec`` by PYTHONPATH; that it does, and not the one here, is seen by a copy that cannot be imported. Ends with 1
where a bug was not noticed.
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
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from decoder_bugs import BUGS, Bug  # noqa: E402

from benchmarks.machine import provenance  # noqa: E402

COMMAND = (sys.executable, "tools/conformance.py", "--in-process", "nvcodec")
BROKEN = Bug("cannot be imported", "errors.py", "from __future__ import annotations", "raise ImportError")
TOO_LONG = 1800  # seconds; a decoder that hangs has been noticed, too


def plant(bug: Bug, package: Path) -> None:
    """Change the copy of the decoder in ``package``."""
    path = package / bug.file
    text = path.read_text()
    if text.count(bug.old) != 1:
        raise click.ClickException(f"{bug.name}: its text stands {text.count(bug.old)} times in {bug.file}")
    path.write_text(text.replace(bug.old, bug.new))


def run(bug: Bug | None, command: tuple[str, ...]) -> tuple[bool, str]:
    """Whether the command ended with 0, and the end of what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "nvcodec"
        shutil.copytree(ROOT / "nvcodec", package, ignore=shutil.ignore_patterns("__pycache__"))
        if bug:
            plant(bug, package)
        environment = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            result = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TOO_LONG, check=False
            )
        except subprocess.TimeoutExpired:
            return False, "took too long"
    return result.returncode == 0, (result.stdout + result.stderr)[-400:].replace(folder, "")


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--only", default="", help="Bugs whose name has this in it.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="Where to write the report.")
@click.argument("command", nargs=-1)
def main(only: str, path: Path | None, command: tuple[str, ...]) -> None:
    """Plant the bugs, one at a time."""
    command = command or COMMAND
    passed, said = run(None, command)
    if not passed:
        raise click.ClickException(f"the command fails without a bug: {said}")
    if run(BROKEN, command)[0]:
        raise click.ClickException("the command does not import the copy")
    rows: list[dict[str, Any]] = []
    for bug in BUGS:
        if only not in bug.name:
            continue
        start = time.perf_counter()
        passed, said = run(bug, command)
        seconds = round(time.perf_counter() - start, 1)
        rows.append({**dataclasses.asdict(bug), "caught": not passed, "seconds": seconds, "said": said.strip()})
        click.echo(f"{'MISSED' if passed else 'caught'}  {bug.name}  ({seconds} s)")
    missed = [row["name"] for row in rows if not row["caught"]]
    click.echo(f"{len(rows) - len(missed)} of {len(rows)} caught")
    if path:
        shown = [Path(word).name if Path(word).is_absolute() else word for word in command]
        report = {"command": shown, "missed": missed, "bugs": rows, "provenance": provenance()}
        path.write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(1 if missed or not rows else 0)


if __name__ == "__main__":
    main()
