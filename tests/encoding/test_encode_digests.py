"""What the encoder writes, to the byte: a change that is not meant to change it leaves every digest as it was."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import av
import pytest
import torch
from conftest import GOLDEN

KNOWN = json.loads((GOLDEN / "encodes.json").read_text())
SCRIPT = Path(__file__).parents[2] / "tools" / "encode_digests.py"


@pytest.mark.skipif(
    (torch.__version__, av.__version__, platform.machine()) != (KNOWN["torch"], KNOWN["av"], "x86_64"),
    reason="the digests are those of other versions of torch and PyAV, or of other processors",
)
def test_encodes_to_the_byte() -> None:
    # In a process of its own: torch must be told which kernels to take before it is imported.
    result = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == KNOWN


def test_a_resumed_encode_is_no_other() -> None:
    digests = KNOWN["digests"]
    assert digests["resumed"] == digests["size"]
    assert digests["resumed while quantised"] == digests["target size"]
    assert len(set(digests.values())) == len(digests) - 2
