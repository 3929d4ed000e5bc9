"""Segments on a Ray cluster; only where Ray is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from shots import joined

import nvcodec
from nvcodec.errors import UsageError

DEMO = Path(__file__).parents[2] / "tools" / "ray_demo"


def test_a_cluster_makes_the_same_file() -> None:
    """One of its two workers is killed in the middle."""
    pytest.importorskip("ray")
    result = subprocess.run([sys.executable, DEMO, "25"], capture_output=True, text=True, check=True)
    assert "killed worker" in result.stderr
    assert result.stdout.endswith("the files are equal\n")


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    options: dict[str, Any] = {"fps": 2, "preset": "draft", "device": "cpu"}
    with pytest.raises(UsageError, match='`ray` needs the package of this name: pip install "nvcodec\\[ray\\]"'):
        nvcodec.encode(joined(24, 20), ray="auto", **options)
