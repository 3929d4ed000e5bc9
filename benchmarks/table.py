"""Writes the tables of the README, of docs/ and of baselines/, and a chart, from the JSON beside this file.

    python benchmarks/table.py

Each table stands between the lines ``<!-- NAME -->`` and ``<!-- end of NAME -->``; the rest of a page is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import experiment_tables as experiments
import result_tables as results

HERE = Path(__file__).parent
ROOT = HERE.parent
CHARTED = "blackswan 432x240"  # the clip of the chart


def tables() -> Iterator[tuple[str, str, str]]:
    """Yield the page, the name and the Markdown of every table."""
    yield "README.md", "headline", results.headline()
    yield "README.md", "summary", results.summary()
    page = "docs/results.md"
    yield page, "av1", results.av1()
    yield page, "defaults", results.defaults()
    yield page, "similarity", results.similarity()
    yield page, "av1 decoding", results.av1_decoding()
    yield page, "rate", results.rate()
    yield page, "targets", results.targets()
    yield page, "clips", results.clips()
    yield page, "gpu", results.gpu()
    yield page, "fit speed", results.fit_speed()
    yield page, "layers", results.layers()
    yield page, "warm start", results.warm_start()
    yield page, "memory", results.memory()
    yield page, "fuzzing", results.fuzzing()
    yield "docs/av1.md", "shader", results.shader()
    page = "docs/experiments.md"
    yield page, "levers", experiments.levers()
    yield page, "ablation", experiments.ablation()
    yield page, "trials", experiments.fit_trials()
    yield "docs/fit.md", "time limits", experiments.time_limits()
    page = "baselines/README.md"
    yield page, "table 5", experiments.table5("table5.json")
    yield page, "table 5 on a GPU", experiments.table5("table5_gpu.json")


def insert(page: str, name: str, text: str) -> str:
    """Return ``page`` with ``text`` between its marks for ``name``.

    Raises:
        ValueError: the page lacks a mark.
    """
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    return page[: page.index(start) + len(start)] + text + page[page.index(end) :]


def updated() -> dict[str, str]:
    """Return the text of every page, by path, with all its tables made anew."""
    pages: dict[str, str] = {}
    for path, name, text in tables():
        pages[path] = insert(pages.get(path) or (ROOT / path).read_text(), name, text)
    return pages


def main() -> None:
    """Write the pages and the chart."""
    for path, text in updated().items():
        (ROOT / path).write_text(text)
    (HERE / "av1_chart.svg").write_text(results.av1_chart(CHARTED))


if __name__ == "__main__":
    main()
