"""What no file of a size can hold is told before the source has been read."""

from __future__ import annotations

import bisect
import math
from pathlib import Path
from typing import Any

import pytest
from conftest import moving_squares, write_clip
from sounding import write_sounding

import nvcodec
from nvcodec.encoding.capacity import check_capacity
from nvcodec.encoding.encode_config import EncodeConfig
from nvcodec.encoding.model.shape_solver import least_network, solve
from nvcodec.encoding.sizing import Sizing
from nvcodec.errors import InputError, UsageError
from nvcodec.video.source import Reading

FRAMES = 60
LEAST = {frames: least_network(64, 48, frames).parameters(frames) for frames in (1, 20, 21, 40, FRAMES)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same frames in a file that counts them, and in one that does not."""
    path = tmp_path_factory.mktemp("sources")
    for name in ("counted.mp4", "not.mkv"):
        write_clip(path / name, moving_squares(FRAMES, 48, 64))
    return path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets an entry for each frame that is read."""
    entries: list[int] = []

    def reading(frames: int, *others: int) -> Reading:
        entries.append(frames)
        return Reading(frames, *others)

    monkeypatch.setattr("nvcodec.video.source.Reading", reading)
    return entries


@pytest.mark.parametrize(
    ("name", "options", "frames_read", "message"),
    [
        (
            "counted.mp4",
            {"size": 300},
            1,
            f"60 frames of 64x48 need at least {LEAST[60]} parameters, `size` asks for 300",
        ),
        ("counted.mp4", {"size": "9k,300"}, 1, f"60 frames of 64x48 need at least {LEAST[60]} parameters, `size` asks"),
        (
            "counted.mp4",
            {"target_size": 179},
            1,
            "AV1 stream of 60 frames of 64x48 takes more than 180 bytes, and the file",
        ),
        ("not.mkv", {"target_size": 59}, 20, "AV1 stream of 20 frames of 64x48 takes more than 60 bytes, and the file"),
        (
            "counted.mp4",
            {"target_size": 59, "start": 10, "every": 2},
            1,
            "stream of 25 frames of 64x48 takes more than 75",
        ),
        ("counted.mp4", {"target_size": 59, "frames": 30}, 1, "stream of 30 frames of 64x48 takes more than 90 bytes"),
        ("counted.mp4", {"target_size": 59, "start": 0.4}, 20, "stream of 20 frames of 64x48 takes more than 60 bytes"),
        (
            "counted.mp4",
            {"target_size": [100, 50], "base": "none"},
            1,
            r"smallest network for 60 frames of 64x48 takes about \d\d\d bytes, and the file may have 100",
        ),
    ],
)
def test_what_cannot_be_held(
    folder: Path, read: list[int], name: str, options: dict[str, Any], frames_read: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        nvcodec.encode(folder / name, device="cpu", **options)
    assert len(read) == frames_read


def test_frames_are_counted_on_the_way(folder: Path, read: list[int]) -> None:
    """Where the file does not say how many there are."""
    assert LEAST[21] > LEAST[20]
    size = round(LEAST[21] / 1.02) - 1
    with pytest.raises(UsageError, match=f"21 frames of 64x48 need at least {LEAST[21]} parameters"):
        nvcodec.encode(folder / "not.mkv", size=size, device="cpu")
    assert len(read) == 21


def largest_refused(frames: int, **options: Any) -> int:
    """The largest value of the option that has none, below 10,000, for so many frames."""
    name = "size" if "base" not in options else "target_size"

    def refused(value: int) -> bool:
        try:
            check_capacity(EncodeConfig(**options, **{name: value}), frames, 64, 48)
        except UsageError:
            return True
        return False

    return bisect.bisect_left(range(1, 10_000), 1, key=lambda value: not refused(value))


@pytest.mark.parametrize("frames", [1, 60, 600])
def test_the_bound_is_certain(frames: int) -> None:
    """What is refused has no network."""
    size = largest_refused(frames)
    assert size == math.ceil(least_network(64, 48, frames).parameters(frames) / 1.02) - 1
    with pytest.raises(UsageError, match="need at least"):
        solve(size, 64, 48, frames)
    target = largest_refused(frames, base="none")
    sizing = Sizing(64, 48, frames, EncodeConfig().lambda_db)
    with pytest.raises(UsageError, match="need at least"):
        sizing.network(sizing.for_bytes(target))


def test_what_can_be_held() -> None:
    check_capacity(EncodeConfig(target_size=180), 60, 64, 48)
    check_capacity(EncodeConfig(size=LEAST[FRAMES]), FRAMES, 64, 48)


def test_a_bitrate_is_known_with_the_times() -> None:
    check_capacity(EncodeConfig(bitrate=100.0), 60, 64, 48)
    with pytest.raises(UsageError, match="takes more than 180 bytes, and the file may have 30"):
        check_capacity(EncodeConfig(bitrate=100.0), 60, 64, 48, seconds=2.4)


def test_sides() -> None:
    for width, height in ((15, 48), (64, 15), (65536, 48), (64, 65536)):
        with pytest.raises(InputError, match=f"1 frames of {width}x{height} cannot be encoded"):
            check_capacity(EncodeConfig(), 1, width, height)
    check_capacity(EncodeConfig(), 1, 65535, 16)
    with pytest.raises(InputError, match="at least one frame"):
        check_capacity(EncodeConfig(), 0, 64, 48)


def test_sound_is_counted_first(tmp_path: Path, read: list[int]) -> None:
    film = write_sounding(tmp_path / "film.mkv", "flac", frames=3, seconds=0.2)
    with pytest.raises(
        UsageError, match=r"sound, subtitles and tags alone take \d{4,5} bytes, and the file may have 999"
    ):
        nvcodec.encode(film, target_size=999, device="cpu")
    assert read == []


def test_where_nothing_can_be_written(folder: Path, tmp_path: Path, read: list[int]) -> None:
    with pytest.raises(InputError, match="cannot write"):
        nvcodec.encode(folder / "counted.mp4", tmp_path / "no folder" / "out.sdmn", device="cpu")
    assert read == []
