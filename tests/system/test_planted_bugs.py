"""The deliberate bugs can still be planted: the text that each one changes stands in its file exactly once."""

from __future__ import annotations

import ast
from pathlib import Path

import decoder_bugs
import encoder_bugs
import pytest
from decoder_bugs import Bug

import nvcodec

ROOT = Path(__file__).parents[2]
BUGS = [*decoder_bugs.BUGS, *encoder_bugs.BUGS]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_bug_applies_once(bug: Bug) -> None:
    text = (Path(nvcodec.__file__).parent / bug.file).read_text()
    assert text.count(bug.old) == 1
    changed = text.replace(bug.old, bug.new)
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(text))


def test_names_differ() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS)
    assert len(decoder_bugs.BUGS) >= 240
    assert len(encoder_bugs.BUGS) >= 70


def test_named_tests_exist() -> None:
    assert all(bug.tests for bug in encoder_bugs.BUGS)
    for bug in BUGS:
        for test in bug.tests:
            file, _, function = test.partition("::")
            assert (ROOT / file).is_file(), bug.name
            assert f"\ndef {function}" in (ROOT / file).read_text(), bug.name
