"""The origin of a result: commit, command, machine and date."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch


def provenance() -> dict[str, Any]:
    """Return the origin of the running benchmark's figures; in a copy without git, NVCODEC_COMMIT names the commit."""
    root = Path(__file__).parent.parent
    commit = os.environ.get("NVCODEC_COMMIT") or _git(root, "rev-parse", "HEAD")
    if "NVCODEC_COMMIT" not in os.environ and _git(root, "status", "--porcelain", "nvcodec"):
        commit += "+"
    return {
        "commit": commit,
        "command": " ".join(["python", Path(sys.argv[0]).name, *map(_plain, sys.argv[1:])]),
        "date": datetime.date.today().isoformat(),
        "machine": {
            "processor": _processor(),
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
            "python": platform.python_version(),
            "torch": torch.__version__,
        },
    }


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False).stdout.strip()


def _plain(argument: str) -> str:
    """Return an argument without the folders of this machine."""
    return Path(argument).name if "/" in argument else argument


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
