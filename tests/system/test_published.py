"""The paper's networks: printed by a command as published, fitted for a step, written and decoded."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, Path(__file__).parents[2] / "tools" / "published_networks.py"]
TABLES = """\
network         C0  Cinit  Channels        Strides    Ks         E       f               block weights  GMAC/frame
960x480 3M      16  98     82 68 57 48 40  5 4 3 2 2  1 3 5 5 5  16x2x4  1x8x16, 1x4x8   2,341,544      33.4
1920x960 3M     16  84     70 58 48 40 33  5 4 4 3 2  1 3 5 5 5  16x2x4  1x12x24, 1x4x8  2,409,240      88.3
1280x640 0.75M  12  43     36 30 24 20 17  5 4 4 2 2  1 3 5 5 5  12x2x4  1x8x16, 1x4x8   564,220        10.7
"""


@pytest.fixture(scope="module")
def printed() -> str:
    command = [*COMMAND, "--steps", "1", "--frames", "1"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_tables(printed: str) -> None:
    assert printed.startswith(TABLES)


def test_built_quantised_and_decoded(printed: str) -> None:
    rows = [re.split(r"  +", line) for line in printed.strip().splitlines()[-3:]]
    for row, (name, parameters, pictures) in zip(
        rows,
        [
            ("960x480 3M", 2_601_258, "1x3x480x960"),
            ("1920x960 3M", 2_667_632, "1x3x960x1920"),
            ("1280x640 0.75M", 630_887, "1x3x640x1280"),
        ],
        strict=True,
    ):
        assert (row[0], row[1], row[7]) == (name, f"{parameters:,}", pictures)
        size, *parts = (int(cell.replace(",", "")) for cell in row[2:7])
        assert all(parts)
        assert sum(parts) < size < parameters * 1.1
