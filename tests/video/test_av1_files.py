"""AV1 streams in files that any player opens: the stream, times, sample aspect and colours are what they were."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from conftest import moving_squares

from nvcodec.encoding.av1.svt_encoder import BaseSettings, TemporalUnit, encode_av1
from nvcodec.errors import InputError, UsageError
from nvcodec.video.av1_files import FORMATS, TEMPORAL_DELIMITER, TimedUnit, write_av1

CLIP = moving_squares(7, 34, 46)
TIMES = [(0, 40), (40, 20), (60, 100), (160, 40), (200, 40), (240, 40), (280, 40)]  # milliseconds


@pytest.fixture(scope="module")
def units() -> list[TemporalUnit]:
    """With colours, and a second key frame."""
    return encode_av1(CLIP, BaseSettings(35.0, 8, Fraction(1), 9, 9, 16))


def write(
    path: Path,
    units: list[TemporalUnit],
    times: list[tuple[int, int]] = TIMES,
    time_base: Fraction = Fraction(1, 1000),
    aspect: Fraction = Fraction(1),
) -> Path:
    timed = [TimedUnit(unit.data, *time, unit.key) for unit, time in zip(units, times, strict=True)]
    write_av1(path, timed, time_base, aspect)
    return path


def planes_of(frame: Any) -> list[np.ndarray]:
    return [np.frombuffer(plane, np.uint16).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes]


@pytest.mark.parametrize("suffix", [*FORMATS, ".MP4"])
def test_any_player_shows_the_same_frames(tmp_path: Path, units: list[TemporalUnit], suffix: str) -> None:
    path = write(tmp_path / f"out{suffix}", units)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    decoder: Any = av.CodecContext.create("libdav1d", "r")
    decoder.thread_count = 1
    direct = [frame for unit in units for frame in decoder.decode(av.Packet(unit.data))] + decoder.decode(None)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name in ("libdav1d", "av1")
        assert (stream.codec_context.width, stream.codec_context.height) == (46, 34)
        frames = list(container.decode(stream))
    assert len(frames) == len(CLIP)
    for frame, wanted in zip(frames, direct, strict=True):
        assert frame.format.name == "yuv420p10le"
        assert (int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace)) == (9, 16, 9)
        assert int(frame.color_range) == 1
        for plane, expected in zip(planes_of(frame), planes_of(wanted), strict=True):
            np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize("suffix", FORMATS)
def test_packets_are_the_units(tmp_path: Path, units: list[TemporalUnit], suffix: str) -> None:
    """Those of raw formats begin with a temporal delimiter, and only they."""
    assert [index for index, unit in enumerate(units) if unit.key] == [0, 5]
    path = write(tmp_path / f"out{suffix}", units)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        delimiter = TEMPORAL_DELIMITER if suffix in (".ivf", ".obu") else b""
        assert [bytes(packet) for packet in packets] == [delimiter + unit.data for unit in units]
        if suffix != ".ivf":  # which says of no packet that it is a key frame
            assert [packet.is_keyframe for packet in packets if packet.pts is not None] == [
                unit.key for unit, packet in zip(units, packets, strict=True) if packet.pts is not None
            ]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".ivf"])
def test_times_survive(tmp_path: Path, units: list[TemporalUnit], suffix: str) -> None:
    path = write(tmp_path / f"out{suffix}", units)
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert [frame.pts * frame.time_base for frame in frames] == [Fraction(pts, 1000) for pts, _ in TIMES]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_players_seek_to_key_frames(tmp_path: Path, units: list[TemporalUnit], suffix: str) -> None:
    path = write(tmp_path / f"out{suffix}", units)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for frame, key in ((6, 5), (5, 5), (4, 0)):
            container.seek(round(Fraction(TIMES[frame][0], 1000) / stream.time_base), stream=stream)
            packet = next(packet for packet in container.demux(stream) if packet.size)
            assert packet.pts is not None
            assert packet.pts * stream.time_base == Fraction(TIMES[key][0], 1000)


def test_times_are_exact(tmp_path: Path, units: list[TemporalUnit]) -> None:
    """In MP4, whatever the time base; Matroska has milliseconds."""
    times = [(1001 * index, 1001) for index in range(len(units))]
    for suffix, error in ((".mp4", 0), (".ivf", 0), (".mkv", Fraction(1, 2000))):
        path = write(tmp_path / f"out{suffix}", units, times, Fraction(1, 30000))
        with av.open(str(path)) as container:
            shown = [frame.pts * frame.time_base for frame in container.decode(video=0)]
        assert all(abs(time - Fraction(pts, 30000)) <= error for time, (pts, _) in zip(shown, times, strict=True)), (
            suffix
        )


def test_the_last_frame_lasts(tmp_path: Path, units: list[TemporalUnit]) -> None:
    times = [*TIMES[:-1], (280, 500)]
    with av.open(str(write(tmp_path / "out.mp4", units, times))) as container:
        stream = container.streams.video[0]
        assert stream.duration * stream.time_base == Fraction(780, 1000)


def test_sample_aspect_survives(tmp_path: Path, units: list[TemporalUnit]) -> None:
    """In MP4; of other formats, it is said that it does not."""
    for aspect in (Fraction(1), Fraction(16, 11)):
        path = write(tmp_path / f"{aspect.numerator}.mp4", units, aspect=aspect)
        with av.open(str(path)) as container:
            assert container.streams.video[0].sample_aspect_ratio == aspect
    timed = [TimedUnit(unit.data, *time, unit.key) for unit, time in zip(units, TIMES, strict=True)]
    for suffix in ("mp4", "mkv", "webm", "ivf", "obu"):
        assert write_av1(tmp_path / f"square.{suffix}", timed, Fraction(1, 1000), Fraction(1)) == []
        left_out = write_av1(tmp_path / f"wide.{suffix}", timed, Fraction(1, 1000), Fraction(16, 11))
        assert left_out == ([] if suffix == "mp4" else ["the shape of its samples, which are 16:11"])


def test_other_suffixes(tmp_path: Path, units: list[TemporalUnit]) -> None:
    for name in ("out.avi", "out", "out.mp4.sdmn"):
        with pytest.raises(UsageError, match=r"must end in \.mp4, \.mkv, \.webm, \.ivf, \.obu"):
            write(tmp_path / name, units)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written(tmp_path: Path, units: list[TemporalUnit]) -> None:
    with pytest.raises(InputError, match="cannot write"):
        write(tmp_path / "no" / "out.mp4", units)
    with pytest.raises(InputError, match="cannot write"):
        write(tmp_path / "out.mp4", [TemporalUnit(b"nonsense", True)], TIMES[:1])
    assert list(tmp_path.iterdir()) == []


def test_an_old_file_stays_where_writing_fails(tmp_path: Path, units: list[TemporalUnit]) -> None:
    path = tmp_path / "out.mkv"
    path.write_bytes(b"old")
    with pytest.raises(InputError):
        write(path, [TemporalUnit(b"nonsense", True)], TIMES[:1])
    assert path.read_bytes() == b"old"
    write(path, units)
    assert path.read_bytes() != b"old"
