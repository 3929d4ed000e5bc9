"""docs/cli.md is what tools/make_cli_docs.py makes of the command line as it is now."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

from nvcodec.cli.main import COMMANDS, group

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_cli_docs", ROOT / "tools" / "make_cli_docs.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(tool: ModuleType) -> None:
    page = tool.PAGE.read_text()
    assert tool.updated(page) == page, "python tools/make_cli_docs.py updates it"


def test_every_option_has_a_help_text_and_is_on_the_page(tool: ModuleType) -> None:
    sections = tool.sections()
    context = click.Context(group)
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.name}"
                assert all(f"`{flag}" in sections[name] for flag in parameter.opts)


def test_a_page_without_a_mark_is_refused(tool: ModuleType) -> None:
    page = tool.PAGE.read_text()
    with pytest.raises(ValueError, match="substring not found"):
        tool.updated(page.replace("<!-- end of info -->\n", ""))
    with pytest.raises(ValueError, match="play"):
        tool.updated(f"{page}<!-- play -->\n")


def test_the_manual_is_up_to_date(tmp_path: Path) -> None:
    pytest.importorskip("click_man")
    script = f"import make_man; make_man.write(make_man.Path({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT / "tools", check=True)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert made.keys() == {"nvcodec.1", *(f"nvcodec-{name}.1" for name in COMMANDS)}
    assert {path.name: path.read_text() for path in (ROOT / "docs" / "man").iterdir()} == made


@pytest.mark.parametrize(
    ("line", "expected"), [("nvcodec ver", {"plain,verify"}), ("nvcodec encode --pre", {"plain,--preset"})]
)
def test_shells_complete_commands_and_options(line: str, expected: set[str]) -> None:
    words = line.split()
    asked = {"_NVCODEC_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    command = [sys.executable, "-c", "import nvcodec.cli.main as main; main.main()"]
    done = subprocess.run(command, env={**os.environ, **asked}, stdout=subprocess.PIPE, text=True, check=False)
    assert set(done.stdout.split()) == expected


def test_shells_complete_files() -> None:
    asked = {"_NVCODEC_COMPLETE": "bash_complete", "COMP_WORDS": "nvcodec info x", "COMP_CWORD": "2"}
    command = [sys.executable, "-c", "import nvcodec.cli.main as main; main.main()"]
    done = subprocess.run(command, env={**os.environ, **asked}, stdout=subprocess.PIPE, text=True, check=False)
    assert done.stdout.split() == ["file,x"]
