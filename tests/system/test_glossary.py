"""One word, one meaning: what ``docs/glossary.md`` retired stays out of the code and the documents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "nvcodec").rglob("*.py"))
GLOSSARY = ROOT / "docs" / "glossary.md"
DOCUMENTS = [path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))) if path != GLOSSARY]

#: Names that stood for several things, or for something that the field has a word for.
RETIRED_NAMES = {
    *("worth", "price", "underlay", "lift", "lift_place", "place", "places", "whole_group", "beside_trunk"),
    *("wind_down", "prolong", "climb", "haste", "run_in_haste", "allow", "meet", "weigh"),
    *("muon_rate", "adam_rate", "latent_rates", "rate", "rates", "keeper", "asked", "room", "latent_values"),
}
#: Phrases, as regular expressions.
RETIRED_PHRASES = (
    r"\b(bits|bytes|frames|images|steps|values|multiplications) an? (pixel|second|weight|value|frame|step|file)\b",
    r"\ba (file|frame|picture|checksum|line|row) each\b",
    r"\bmakes? small\b",
    r"\bone's own\b",
    r"\bstands? in its heads?\b",
    r"\boctaves? of (worth|bits|steps)\b",
    r"\bmay be whole\b",
    r"^\s*(#:?|\"\"\")\s*Of\b",
)


def names_in(path: Path) -> Iterator[tuple[str, int]]:
    """Yield every name that a module defines or uses, with its line; keywords of calls may be those of a library."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.keyword):
            continue
        for attribute in ("id", "arg", "attr", "name"):
            name = getattr(node, attribute, None)
            if isinstance(name, str):
                yield name, getattr(node, "lineno", 0)


def retired(text: str) -> list[str]:
    """Return the lines that have a retired phrase, each after its number."""
    return [
        f"{number}: {line.strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        if any(re.search(phrase, line) for phrase in RETIRED_PHRASES)
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_names(path: Path) -> None:
    assert [f"{name} in line {line}" for name, line in names_in(path) if name in RETIRED_NAMES] == []


@pytest.mark.parametrize("path", [*MODULES, *DOCUMENTS], ids=lambda path: str(path.relative_to(ROOT)))
def test_phrases(path: Path) -> None:
    assert retired(path.read_text()) == []


def test_the_test_notices() -> None:
    assert retired("0.3 bits a pixel\nbits per pixel\n# Of the file.\n") == ["1: 0.3 bits a pixel", "3: # Of the file."]
    tree = ast.parse("def weigh(worth): self.underlay = worth")
    assert {getattr(node, "attr", "") for node in ast.walk(tree)} & RETIRED_NAMES == {"underlay"}


def test_the_glossary_has_the_words_of_the_code() -> None:
    """Names of classes and fields that it mentions exist."""
    code = "\n".join(path.read_text() for path in MODULES)
    mentioned = {word for word in re.findall(r"`([A-Za-z_.]+)`", GLOSSARY.read_text()) if "/" not in word}
    assert mentioned
    for word in mentioned:
        assert re.search(rf"\b{re.escape(word.split('.')[-1])}\b", code), word
