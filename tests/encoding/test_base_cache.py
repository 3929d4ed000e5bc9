"""AV1 streams kept beside the output of an encode that still runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nvcodec.encoding.av1.base_cache import BaseCache
from nvcodec.encoding.av1.svt_encoder import TemporalUnit
from nvcodec.encoding.fit.checkpoint import read_arrays, write_arrays
from nvcodec.errors import InputError, UsageError

IDENTITY = {"clip": 123, "seconds": 1.25, "color": (1, 2)}
STREAMS = {
    "crf 35": [TemporalUnit(b"key frame", True), TemporalUnit(b"", False), TemporalUnit(b"\x00\xff", False)],
    "crf 20.25": [TemporalUnit(bytes(range(256)), True), TemporalUnit(b"another", True)],
    "empty": [],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "out.sdmn.checkpoint"
    cache = BaseCache(path, IDENTITY)
    for name, stream in STREAMS.items():
        cache.add(name, stream)
    return path


def load(path: Path, identity: dict[str, Any] = IDENTITY) -> dict[str, list[TemporalUnit]]:
    cache = BaseCache(path, identity)
    cache.load()
    return cache.streams


def test_round_trip(path: Path) -> None:
    assert load(path) == STREAMS
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_every_stream_is_saved_at_once(tmp_path: Path) -> None:
    cache = BaseCache(tmp_path / "c", IDENTITY)
    for number, (name, stream) in enumerate(STREAMS.items(), 1):
        cache.add(name, stream)
        assert list(load(tmp_path / "c")) == list(STREAMS)[:number]
    again = BaseCache(tmp_path / "c", IDENTITY)
    again.load()
    again.add("more", STREAMS["crf 35"])
    assert load(tmp_path / "c") == {**STREAMS, "more": STREAMS["crf 35"]}


def test_without_a_file() -> None:
    cache = BaseCache(None, IDENTITY)
    cache.add("crf 35", STREAMS["crf 35"])
    assert cache.streams == {"crf 35": STREAMS["crf 35"]}


@pytest.mark.parametrize("change", [{"clip": 124}, {"seconds": 1.5}, {"color": (1, 3)}, {"more": 1}])
def test_another_encode(path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="is of another clip or set of options"):
        load(path, {**IDENTITY, **change})


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no checkpoint"):
        load(tmp_path / "none")


def test_damage(path: Path) -> None:
    good = path.read_bytes()
    for position in range(0, len(good), 7):
        damaged = bytearray(good)
        damaged[position] ^= 0x40
        path.write_bytes(damaged)
        try:
            assert load(path) == STREAMS  # a byte that means nothing, such as a date
        except (InputError, UsageError):
            continue
    for length in range(0, len(good), 97):
        path.write_bytes(good[:length])
        with pytest.raises(InputError, match="is not a checkpoint, or is damaged"):
            load(path)


def test_values_that_do_not_fit(path: Path) -> None:
    arrays = read_arrays(path)
    data = arrays["data crf 35"]
    for broken in (data[:-1], np.append(data, data[-1:]), data ^ 1):
        write_arrays(path, {**arrays, "data crf 35": broken})
        with pytest.raises(InputError, match="damaged"):
            load(path)
    meta = arrays["meta"].tobytes()
    for old, new in ((b"[9, 0, 2]", b"[9, 1, 1, 0]"), (b'"keys": [true, ', b'"keys": ['), (b'"streams"', b'"strms"')):
        assert old in meta
        write_arrays(path, {**arrays, "meta": np.frombuffer(meta.replace(old, new), np.uint8)})
        with pytest.raises(InputError, match="damaged"):
            load(path)
    del arrays["data crf 35"]
    write_arrays(path, arrays)
    with pytest.raises(InputError, match="damaged"):
        load(path)


def test_another_kind_of_checkpoint(path: Path) -> None:
    for meta in (b"{}", b"[]", b"3", b"\xff"):
        write_arrays(path, {"meta": np.frombuffer(meta, np.uint8)})
        with pytest.raises(InputError, match="damaged"):
            load(path)


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        BaseCache(tmp_path / "gone" / "c", IDENTITY).add("crf 35", STREAMS["crf 35"])
