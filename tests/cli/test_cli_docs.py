"""docs/cli.md is what tools/make_cli_docs.py makes of the command line as it is now."""

from __future__ import annotations

import importlib.util
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
