"""Files joined and cut without encoding again: the same pictures, sound that follows them, sentences for the rest."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from networks import random_stream, squares_stream

from nvcodec.decoding.decoded_video import Video
from nvcodec.decoding.picture_checksums import picture_bytes
from nvcodec.errors import UsageError
from nvcodec.format.cutting import cut, without_checksums
from nvcodec.format.extras import add_extras, extras_of
from nvcodec.format.joining import join
from nvcodec.format.operations import Grid, Noise
from nvcodec.format.stream import Stream
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.stream_writer import write_stream
from nvcodec.format.units import Order
from nvcodec.tracks import Chapter, Extras, Packet, Track, TrackKind


def pictures(data: bytes) -> list[bytes]:
    """All pictures; checksums are compared on the way."""
    return [picture_bytes(picture) for picture in Video(read_stream(data), device="cpu")]


def joined(files: Sequence[bytes]) -> tuple[bytes, list[str]]:
    """Files joined, and what is left out."""
    sink = io.BytesIO()
    left_out = join(sink, [lambda data=data: read_stream(data) for data in files])  # type: ignore[misc]
    return sink.getvalue(), left_out


def sounding(data: bytes, first: int, **fields: object) -> bytes:
    """A file with a track of packets of a tenth of a second, a chapter, and tags."""
    packets = tuple(Packet(100 * n, 100, bytes([first + n])) for n in range(20))
    track = Track(TrackKind.AUDIO, "opus", Fraction(1, 1000), packets, b"head", 48000, 2, **fields)  # type: ignore[arg-type]
    tags = {"title": "one", "number": str(first)}
    return add_extras(data, Extras((track,), (Chapter(Fraction(0), Fraction(1, 10), str(first)),), tags))


def test_pictures_are_those_of_the_files() -> None:
    """Of other sizes, time bases, forms, orders and versions."""
    noiseless = next(s for s in map(plain_stream, range(99)) if not has(s, Noise) and has(s, Grid))
    first = squares_stream([(4, 3), (2,)])
    other = squares_stream([(3,)], height=20, width=24, order=Order.BY_SEGMENT)
    third = dataclasses.replace(noiseless, video=dataclasses.replace(first.video, time_base_den=90000))
    files = [write_stream(stream) for stream in (first, other, third)]
    data, left_out = joined(files)
    assert left_out == []
    stream = read_stream(data)
    assert pictures(data) == [picture for file in files for picture in pictures(file)]
    assert [segment.head.width for segment in stream.segments] == [32, 32, 24, third.segments[0].head.width]
    assert stream.seconds == sum(read_stream(file).seconds for file in files)
    times = [pts * stream.time_base for pts, _ in stream.ticks]
    assert times[0] == first.ticks[0][0] * first.time_base
    assert times[9] == times[8] + Fraction(40, 1000)  # the second file begins where the first one ends
    assert times[12] == times[9] + Fraction(120, 1000)
    assert stream.version == (1, 2)


def plain_stream(seed: int) -> Stream:
    return random_stream(seed, layers=2, operations=4)


def has(stream: Stream, kind: type) -> bool:
    return any(isinstance(op, kind) for segment in stream.segments for layer in segment.layers for op in layer.ops)


def test_what_two_parts_have_in_common_is_stored_once() -> None:
    stream = dataclasses.replace(squares_stream([(3,), (3,)], layers=1, order=Order.BY_SEGMENT), reuse=True)
    parts = [write_stream(cut(stream, range(n, n + 3))[0]) for n in (0, 3)]
    data, _ = joined(parts)
    assert read_stream(data).reused_networks == 1
    assert pictures(data) == pictures(write_stream(stream))


def test_sound_chapters_and_tags() -> None:
    stream = squares_stream([(4, 3)])  # 0.28 s
    stream.metadata = {"psnr_rgb_0": 30.0, "psnr_rgb_1": 31, "av1": [35, 4], "selection": {"start": 3}}
    longer = squares_stream([(4, 3, 7)])
    longer.metadata = {"psnr_rgb_0": 33.0, "av1": [35, 4]}
    files = [sounding(write_stream(stream), 0), sounding(write_stream(longer), 100, language="fra")]
    data, left_out = joined(files)
    assert left_out == ["tags that differ"]
    read = read_stream(data)
    extras, damage = extras_of(read)
    assert damage == ""
    (track,) = extras.tracks
    assert [(packet.time, packet.data[0]) for packet in track.packets] == [
        *((100 * n, n) for n in range(3)),
        *((280 + 100 * n, 100 + n) for n in range(20)),
    ]
    assert extras.chapters == (
        Chapter(Fraction(0), Fraction(1, 10), "0"),
        Chapter(Fraction(28, 100), Fraction(38, 100), "100"),
    )
    assert extras.tags == {"title": "one"}
    assert {key: read.metadata.get(key) for key in ("psnr_rgb_0", "psnr_rgb_1", "av1", "selection")} == {
        "psnr_rgb_0": 32.0,
        "psnr_rgb_1": None,
        "av1": [35, 4],
        "selection": None,
    }
    other = add_extras(write_stream(longer), Extras((dataclasses.replace(track, codec="aac"),)))
    data, left_out = joined([files[0], other])
    assert left_out[0] == "a track of audio (aac) of a file"
    assert len(extras_of(read_stream(data))[0].tracks[0].packets) == 3


def test_what_does_not_go_together() -> None:
    stream = squares_stream([(3,)])
    first = write_stream(stream)
    for field, value, what in (
        ("primaries", 9, "colour primaries"),
        ("transfer", 16, "transfer characteristics"),
        ("sample_aspect_num", 2, "sample aspect"),
    ):
        other = dataclasses.replace(stream, video=dataclasses.replace(stream.video, **{field: value}))
        with pytest.raises(UsageError, match=f"another {what}"):
            joined([first, write_stream(other)])
    with pytest.raises(UsageError, match="1 layer"):
        joined([first, write_stream(squares_stream([(3,)], layers=1))])
    noisy = next(s for s in map(plain_stream, range(99)) if noises(s))
    noisy = dataclasses.replace(noisy, video=dataclasses.replace(stream.video, seed=noisy.video.seed))
    with pytest.raises(UsageError, match="noise"):
        joined([first, write_stream(noisy)])
    data, _ = joined([write_stream(noisy), first])
    assert pictures(data) == pictures(write_stream(noisy)) + pictures(first)
    slow = dataclasses.replace(stream, video=dataclasses.replace(stream.video, time_base_den=2**32 - 5))
    with pytest.raises(UsageError, match="time bases"):
        joined([first, write_stream(slow)])


def noises(stream: Stream) -> bool:
    return any(
        isinstance(op, Noise) and op.gain > 9
        for segment in stream.segments
        for layer in segment.layers
        for op in layer.ops
    )


# ---- cutting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "held"),
    [
        (range(0, 1), range(0, 4)),
        (range(3, 4), range(0, 4)),
        (range(4, 7), range(4, 7)),
        (range(5, 6), range(4, 7)),
        (range(3, 5), range(0, 7)),
        (range(6, 8), range(4, 9)),
        (range(9, 12), range(9, 12)),
        (range(0, 12), range(0, 12)),
    ],
)
def test_whole_runs(wanted: range, held: range) -> None:
    stream = squares_stream([(4, 3), (2, 3)])
    everything = pictures(write_stream(stream))
    part, found = cut(stream, wanted)
    assert found == held
    data = write_stream(part)
    assert pictures(data) == everything[held.start : held.stop]
    read = read_stream(data)
    origin = stream.ticks[held.start][0]
    assert read.ticks == [(pts - origin, duration) for pts, duration in stream.ticks[held.start : held.stop]]
    assert not without_checksums(stream.segments, read)


def test_parts_make_the_whole_again() -> None:
    stream = squares_stream([(4, 3), (2, 3)])
    parts = [write_stream(cut(stream, part)[0]) for part in (range(0, 4), range(4, 9), range(9, 12))]
    assert pictures(joined(parts)[0]) == pictures(write_stream(stream))


@pytest.mark.parametrize(
    ("wanted", "kept"), [(range(0, 4), True), (range(2, 7), True), (range(1, 4), False), (range(2, 5), False)]
)
def test_checksums_that_line_up(wanted: range, kept: bool) -> None:
    """A network alone may be cut anywhere; a checksum here covers two frames, the last one of them one."""
    stream = next(
        s
        for s in (random_stream(n, frames=7, operations=2) for n in range(99))
        if not has(s, Grid) and not has(s, Noise)
    )
    from networks import with_checksums

    with_checksums(stream, 2)
    everything = pictures(write_stream(stream))
    part, held = cut(stream, wanted)
    data = write_stream(part)
    assert held == wanted
    assert without_checksums(stream.segments, read_stream(data)) == (not kept)
    assert pictures(data) == everything[wanted.start : wanted.stop]


def test_what_all_frames_need() -> None:
    """Knots keep a segment whole; noise by frame keeps its beginning, and no segment with noise changes its number."""
    grid = next(s for s in (random_stream(n, frames=5) for n in range(99)) if has(s, Grid))
    assert cut(grid, range(2, 3))[1] == range(0, 5)
    noisy = next(
        s
        for s in (random_stream(n, frames=5, segments=2) for n in range(999))
        if all(
            any(isinstance(op, Noise) and op.gain > 9 and op.per_frame for op in segment.layers[0].ops)
            for segment in s.segments
        )
        and not has(s, Grid)
    )
    everything = pictures(write_stream(noisy))
    part, held = cut(noisy, range(2, 4))
    assert held == range(0, 4)
    assert pictures(write_stream(part)) == everything[:4]
    with pytest.raises(UsageError, match="noise"):
        cut(noisy, range(5, 8))


def test_sound_of_a_part() -> None:
    stream = squares_stream([(4, 3), (2, 3)])
    stream.metadata = {"psnr_rgb_1": 30.0, "encoder": "x"}
    whole = read_stream(sounding(write_stream(stream), 0))
    part, held = cut(whole, range(4, 7))  # 0.16 to 0.28 s
    assert held == range(4, 7)
    read = read_stream(write_stream(part))
    extras, _ = extras_of(read)
    assert [(packet.time, packet.data[0]) for packet in extras.tracks[0].packets] == [(40, 2)]
    assert extras.chapters == ()
    assert extras.tags["title"] == "one"
    assert (read.metadata.get("encoder"), read.metadata.get("psnr_rgb_1")) == ("x", None)
    assert np.array_equal(read.segments[0].durations, [40] * 3)
