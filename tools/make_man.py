"""Writes the manual pages in docs/man from the command line itself, by click-man.

    python tools/make_man.py

``man docs/man/nvcodec-encode.1`` shows one; ``pip install`` puts them where ``man`` finds them.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from nvcodec import __version__
from nvcodec.cli.main import COMMANDS, group

FOLDER = Path(__file__).parent.parent / "docs" / "man"


def write(folder: Path) -> None:
    """Write a page for ``nvcodec`` and one for each command into a folder."""
    from click_man.core import write_man_pages  # type: ignore[import-untyped]

    context = click.Context(group)
    commands = {name: group.get_command(context, name) for name in COMMANDS}
    whole = click.Group("nvcodec", {name: command for name, command in commands.items() if command})
    whole.help, whole.params = group.help, group.params
    folder.mkdir(exist_ok=True)
    os.environ["COLUMNS"] = "80"
    # A date would change every page with every run.
    write_man_pages("nvcodec", whole, version=__version__, target_dir=str(folder), date=" ")


if __name__ == "__main__":
    write(FOLDER)
