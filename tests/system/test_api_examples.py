"""The examples of docs/api.md run, in order and in one process, and give what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import moving_squares, write_clip

import nvcodec
from nvcodec import errors
from nvcodec.encoding import encode_config

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
ARROW = re.compile(r"^(\S.*?)  # → (.+)$", re.MULTILINE)


def test_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(encode_config, "DEFAULT_MIN_STEPS", 20)
    monkeypatch.setattr(encode_config, "DEFAULT_EPOCHS", 1)
    write_clip(tmp_path / "clip.mkv", moving_squares(5, 48, 64))
    results: list[tuple[str, str, str]] = []

    def compare(expression: str, value: Any, expected: str) -> None:
        results.append((expression, repr(value), expected))

    names: dict[str, Any] = {"_compare": compare}
    for example in EXAMPLES:
        code = ARROW.sub(lambda found: f"_compare({found[1]!r}, ({found[1]}), {found[2]!r})", example)
        exec(compile(code, "docs/api.md", "exec"), names)
    assert len(results) == PAGE.count("# →") > 20
    assert [result for result in results if result[1] != result[2]] == []


def test_every_public_name_is_on_the_page() -> None:
    for name in (*nvcodec.__all__, "open"):
        assert re.search(rf"`{name}[`(]|\bnvcodec\.{name}\b", PAGE), name


def test_the_exit_codes_of_the_page() -> None:
    rows = re.findall(r"^\| `(\w+)`[^|]*\| (\d+) \|", PAGE, re.MULTILINE)
    assert {name: int(code) for name, code in rows} == {
        name: getattr(errors, name).exit_code for name in nvcodec.__all__ if hasattr(errors, name)
    }


def test_the_keys_of_info_on_the_page(tiny_file: Path) -> None:
    listed = PAGE[PAGE.index("\nKeys: ") : PAGE.index("Later versions may add keys")]
    assert re.findall(r"`(\w+)`", listed) == list(nvcodec.info(tiny_file))
