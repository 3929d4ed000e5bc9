"""What ``info`` says, as a function."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from networks import random_stream

import nvcodec
from nvcodec.cli.main import run
from nvcodec.errors import LimitError
from nvcodec.format.stream_writer import write_stream


def test_info_of_a_path_and_of_bytes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = write_stream(random_stream(5, layers=2))
    path = tmp_path / "x.sdmn"
    path.write_bytes(data)
    described = nvcodec.info(data)
    assert described == nvcodec.info(path) == nvcodec.info(str(path))
    assert run(["info", str(path), "--json"]) == 0
    printed = capfd.readouterr().out
    assert json.dumps(described, indent=2) + "\n" == printed
    assert described["layers"] == 2
    assert described["file_bytes"] == len(data) == sum(described["bytes_by_kind"].values())
    assert list(described["entries"][0]) == ["unit", "kind", "label", "bytes", "values"]


def test_info_has_limits() -> None:
    with pytest.raises(LimitError, match="pixels"):
        nvcodec.info(write_stream(random_stream(5)), max_pixels=1)
    with pytest.raises(LimitError, match="MiB"):
        nvcodec.info(write_stream(random_stream(5)), max_memory=2**20)
