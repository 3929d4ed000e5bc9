"""The documentation: links lead somewhere, command lines parse, tables are made from the present JSON."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from nvcodec.cli.main import COMMANDS, group

ROOT = Path(__file__).parents[2]
FOLDERS = ("", "docs", "benchmarks", "baselines", "conformance", "tools")
PAGES = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.md"))
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"(?ms)^ *```[^\n]*\n(.*?)^ *```")
INLINE_CODE = re.compile(r"`([^`]+)`")


def prose(page: Path) -> str:
    """Return a page without its code."""
    return re.sub(r"`[^`\n]+`", "", FENCE.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """Return a page's anchors: those that a Markdown renderer gives its headings, and those set by hand."""
    text = FENCE.sub("", page.read_text())
    found: dict[str, int] = {}
    result = set(re.findall(r'<a id="([^"]+)"', text))
    for heading in re.findall(r"(?m)^#+ +(.*?) *$", text):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        count = found[anchor] = found.get(anchor, -1) + 1
        result.add(f"{anchor}-{count}" if count else anchor)
    return result


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links(page: Path) -> None:
    broken = []
    for target in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", target):
            continue  # an address on the web
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists() or (anchor and anchor not in anchors(linked)):
            broken.append(target)
    assert not broken


def command_lines(page: Path) -> list[str]:
    """Return the nvcodec command lines that a page shows, in blocks of code and in the text."""
    text = page.read_text()
    lines = [line for block in FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    lines += INLINE_CODE.findall(FENCE.sub("", text))
    stripped = [re.sub(r"^\s*\$ ", "", line).strip() for line in lines]
    return [line for line in stripped if re.match(rf"nvcodec ({'|'.join(COMMANDS)})\b", line)]


def is_usage(line: str) -> bool:
    """Whether a line names a command or describes its form instead of being one that could be run."""
    return "[OPTIONS]" in line or len(line.split()) == 2 or bool(re.fullmatch(r"nvcodec \w+( -{1,2}[\w-]+)+", line))


def parse(line: str) -> None:
    """Parse a command line without running it; raises as click does."""
    _, name, *arguments = shlex.split(line.partition(" | ")[0], comments=True)  # what reads a pipe is not ours
    command = group.get_command(click.Context(group), name)
    assert command is not None
    with command.make_context(name, arguments):
        pass


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name)
def test_command_lines_parse(page: Path) -> None:
    for line in command_lines(page):
        if is_usage(line):
            names = {"--help", *(flag for parameter in _parameters(line) for flag in parameter.opts)}
            assert {word for word in line.split() if re.fullmatch("-{1,2}[a-z][a-z-]*", word)} <= names, line
        else:
            parse(line)


def _parameters(line: str) -> list[click.Parameter]:
    command = group.get_command(click.Context(group), line.split()[1])
    assert command is not None
    return command.params


def test_the_readme_shows_commands() -> None:
    shown = {line.split()[1] for line in command_lines(ROOT / "README.md") if not is_usage(line)}
    assert shown >= {"encode", "decode", "info", "compare"}
    with pytest.raises(click.UsageError):
        parse("nvcodec decode out.sdmn --no-such-option")


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index, page.name


def test_tables_are_made_from_the_json() -> None:
    pytest.importorskip("scipy")
    script = (
        "import sys; sys.path.insert(0, 'benchmarks'); import table\n"
        "for path, text in table.updated().items():\n"
        "    assert text == (table.ROOT / path).read_text(), f'{path}: python benchmarks/table.py updates it'\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_the_readme_is_narrow_and_short() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    assert not [line for line in lines if len(line) > 120 and not line.startswith("|")]
