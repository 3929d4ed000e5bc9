"""``nvcodec.open()`` takes a path, the bytes of a file, or a stream."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from networks import random_stream

import nvcodec
from nvcodec.errors import InputError, LimitError
from nvcodec.format.stream_writer import write_stream


def test_bytes_decode_as_the_file_does(tmp_path: Path) -> None:
    data = write_stream(random_stream(4))
    path = tmp_path / "x.sdmn"
    path.write_bytes(data)
    expected = list(nvcodec.open(path, device="cpu"))
    for source in (data, str(path), random_stream(4)):
        video = nvcodec.open(source, device="cpu")
        assert all(torch.equal(a, b) for a, b in zip(video, expected, strict=True))


def test_bytes_are_refused_as_the_file_is() -> None:
    with pytest.raises(InputError, match="not an SDMN file"):
        nvcodec.open(b"something else")
    with pytest.raises(LimitError, match="pixels"):
        nvcodec.open(write_stream(random_stream(4)), max_pixels=1)


def test_a_cut_file_warns(tmp_path: Path) -> None:
    data = write_stream(random_stream(4, layers=2), index=False)[:-5]
    path = tmp_path / "cut.sdmn"
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="^the file is cut") as of_bytes:
        nvcodec.open(data)
    with pytest.warns(UserWarning, match=r"cut\.sdmn: the file is cut") as of_path:
        nvcodec.open(path)
    assert {warning.filename for warning in (*of_bytes, *of_path)} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nvcodec.open(nvcodec.open(random_stream(4)).stream)
