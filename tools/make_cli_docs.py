"""Writes the generated parts of docs/cli.md from the command line itself.

    python tools/make_cli_docs.py

The usage, description and options of each command stand between the lines ``<!-- COMMAND -->`` and ``<!-- end of
COMMAND -->``, the kinds of values between those for ``values``. The notes around them are written by hand.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import click

from nvcodec.cli import options
from nvcodec.cli.main import COMMANDS, group

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"


def command_section(context: click.Context, name: str) -> str:
    """Return the usage, description and options of a command as Markdown."""
    command = group.get_command(context, name)
    assert command is not None
    own = click.Context(command, info_name=name, parent=context)
    usage = " ".join([f"nvcodec {name}", *command.collect_usage_pieces(own)])
    lines = [
        "```",
        usage,
        "```",
        "",
        inspect.cleandoc(command.help or ""),
        "",
        "| option | |",
        "|---|---|",
    ]
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            lines.append(f"| {_names(parameter)} | {_meaning(parameter, own)} |")
    return "\n".join(lines) + "\n"


def _names(option: click.Option) -> str:
    """Return an option's names and what its value looks like, in backticks."""
    kind = option.type.name
    if option.is_flag:
        value = ""
    elif option.metavar and option.metavar.startswith("["):
        value = option.metavar  # the value is optional and follows without a space
    elif option.metavar:
        value = f" {option.metavar}"
    elif isinstance(option.type, click.Choice):
        value = f" {'|'.join(map(str, option.type.choices))}"
    else:
        value = f" {kind.removesuffix(' range').upper() if kind.islower() else kind}"
    *short, last = option.opts
    return ", ".join([*(f"`{name}`" for name in short), f"`{last}{value}`"]).replace("|", "\\|")


def _meaning(option: click.Option, context: click.Context) -> str:
    """Return an option's help with its range and default."""
    extra = option.get_help_extra(context)
    additions = [
        "required" if option.required else "",
        _range(option.type),
        f"default: {extra['default'].strip('()')}" if "default" in extra else "",
    ]
    text = " ".join((option.help or "").split())
    listed = "; ".join(filter(None, additions))
    return (f"{text} [{listed}]" if listed else text).replace("|", "\\|")


def _range(kind: object) -> str:
    """Return the range of a number in words; empty for anything else."""
    if not isinstance(kind, (click.IntRange, click.FloatRange)):
        return ""
    return f"at least {kind.min}" if kind.max is None else f"{kind.min} to {kind.max}"


def values_section() -> str:
    """Return the kinds of values that options take as a Markdown table."""
    kinds = [kind for kind in vars(options).values() if inspect.isclass(kind) and issubclass(kind, click.ParamType)]
    rows = {kind.name: inspect.cleandoc(kind.__doc__ or "") for kind in kinds if hasattr(kind, "name")}
    lines = ["| value | |", "|---|---|"]
    for name, text in rows.items():
        lines.append(f"| `{name}` | {' '.join(text.replace('``', '`').split())} |")
    return "\n".join(lines) + "\n"


def sections() -> dict[str, str]:
    """Return every generated part by name."""
    with click.Context(group, info_name="nvcodec") as context:
        parts = {name: command_section(context, name) for name in COMMANDS}
    return {"values": values_section(), **parts}


def updated(page: str) -> str:
    """Return the page with every generated part made anew.

    Raises:
        ValueError: the page lacks a mark, or has marks for a command that there is not.
    """
    parts = sections()
    unknown = set(re.findall(r"(?m)^<!-- (?!end of )(\w+) -->$", page)) - parts.keys()
    if unknown:
        raise ValueError(f"marks without a command: {', '.join(sorted(unknown))}")
    for name, text in parts.items():
        start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        page = page[: page.index(start) + len(start)] + text + page[page.index(end) :]
    return page


def main() -> None:
    """Write the page."""
    PAGE.write_text(updated(PAGE.read_text()))


if __name__ == "__main__":
    main()
