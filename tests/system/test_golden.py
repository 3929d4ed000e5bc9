"""Golden streams three ways: they decode to their digests, they are written again to the byte, bad ones are refused.

The checker is checked too, with a wrong digest.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import GOLDEN

from nvcodec import errors
from nvcodec.decoding.decoded_video import Video
from nvcodec.format.entropy.contexts import Contexts
from nvcodec.format.operations import OPS, Add, Grid, Noise, Picture, Picture10, Subtract
from nvcodec.format.stream_reader import read_file, read_stream
from nvcodec.format.stream_writer import RUN, write_stream
from nvcodec.format.units import pack_file_header

STREAMS: dict[str, dict[str, Any]] = {
    f"{descriptor.parent.name}/{name}": entry
    for descriptor in sorted(GOLDEN.glob("*/streams.json"))
    for name, entry in json.loads(descriptor.read_text()).items()
}
GOOD = [name for name, entry in STREAMS.items() if "md5" in entry]
BAD = [name for name, entry in STREAMS.items() if "error" in entry]
RUNS = {"every-operation": 2, "three-layers": 1}


def path_of(name: str) -> Path:
    return GOLDEN / f"{name}.sdmn"


def md5(data: bytes) -> str:
    digest = hashlib.md5()
    for picture in Video(read_stream(data), device="cpu"):
        digest.update(picture.permute(1, 2, 0).contiguous().numpy())
    return digest.hexdigest()


def conforms(name: str, entry: dict[str, Any]) -> bool:
    data = path_of(name).read_bytes()
    return (md5(data), read_stream(data).frames) == (entry["md5"], entry["frames"])


def test_there_are_golden_streams() -> None:
    assert len(GOOD) >= 3
    assert len(BAD) >= 10
    for version, later in (("1.0", {Grid, Picture, Picture10}), ("1.1", {Picture, Picture10})):
        stream = read_file(path_of(f"{version}/every-operation"))
        used = {type(op) for segment in stream.segments for layer in segment.layers for op in layer.ops}
        assert used == set(OPS.values()) - later
    whole = [type(op) for op in read_file(path_of("1.0/whole-sdmn")).segments[0].layers[0].ops]
    assert [whole.count(kind) for kind in (Noise, Subtract, Add)] == [2, 4, 2]


def test_golden_streams_have_tables_by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked: list[Contexts] = []
    unpack = Contexts.unpack
    monkeypatch.setattr(Contexts, "unpack", lambda *arguments: unpacked.append(unpack(*arguments)) or unpacked[-1])
    read_file(path_of("1.1/by-rows"))
    read_file(path_of("1.1/grids"))
    assert {contexts.weight > 0 for contexts in unpacked} == {False, True}


@pytest.mark.parametrize("name", GOOD)
def test_decode(name: str) -> None:
    assert conforms(name, STREAMS[name])


@pytest.mark.parametrize("name", GOOD)
def test_write_again(name: str) -> None:
    """To the byte, if its version is still written; else as a stream of this version that holds the same."""
    run = RUNS.get(name.split("/")[1], RUN)
    kept = path_of(name).read_bytes()
    stream = read_stream(kept)
    index = any(unit.type == "INDEX" for unit in stream.units)
    again = write_stream(stream, run, index)
    if kept.startswith(pack_file_header(stream.compact, stream.video.sample_format, stream.reuse)):
        assert again == kept
    else:
        assert write_stream(read_stream(again), run, index) == again
        assert [md5(again), len(again) <= len(kept) + 1] == [STREAMS[name]["md5"], True]


@pytest.mark.parametrize("name", BAD)
def test_refuse(name: str) -> None:
    with pytest.raises(getattr(errors, STREAMS[name]["error"])):
        read_file(path_of(name))


def test_the_checker_notices() -> None:
    entry = STREAMS[GOOD[0]]
    assert not conforms(GOOD[0], {**entry, "md5": entry["md5"][::-1]})
    assert not conforms(GOOD[0], {**entry, "frames": entry["frames"] + 1})
