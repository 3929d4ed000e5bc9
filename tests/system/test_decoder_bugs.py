"""The deliberate bugs can still be planted: the text that each one changes stands in the decoder exactly once."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from decoder_bugs import BUGS, Bug

import nvcodec


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_bug_applies_once(bug: Bug) -> None:
    text = (Path(nvcodec.__file__).parent / bug.file).read_text()
    assert text.count(bug.old) == 1
    changed = text.replace(bug.old, bug.new)
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(text))


def test_names_differ() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) >= 24
