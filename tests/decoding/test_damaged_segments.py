"""Files in compact form, with AV1 streams, in either order: damaged, what is undamaged is shown as it should be."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import av1
import av1_writer as aw
import pytest
from av1_writer import SequenceHeader, obu
from networks import base_stream, random_stream

from nvcodec.decoding.concealment import conceal, pictures_of, report
from nvcodec.decoding.decoded_video import Video
from nvcodec.decoding.picture_checksums import picture_bytes
from nvcodec.errors import CorruptStreamError, NvcodecError
from nvcodec.format.operations import Grid, Picture
from nvcodec.format.stream import Stream
from nvcodec.format.stream_reader import layer_ends, read_stream
from nvcodec.format.stream_writer import write_stream
from nvcodec.format.units import HEADER_BYTES, Order, Unit, UnitType, pack_unit, split_units

LENGTHS = ((3, 2), (2, 2))  # runs of AV1, of each segment; those of latents have 2 frames
FRAMES = 9
Shown = list[tuple[int, int]]


SEQUENCE, PICTURE = SequenceHeader(8, 5), Picture(5, 8, 8, 1, 0, 1, 0, 2)


def make(order: Order, reuse: bool = False) -> Stream:
    """A stream of two segments and two layers, whose pictures all differ; with ``reuse`` the list of layer 0 is stored
    once."""
    segments, seed = [], 0
    for lengths in LENGTHS:
        runs, first = [], 0
        for frames in lengths:
            coded = [aw.frame(SEQUENCE, av1.picture(seed + frame, SEQUENCE)) for frame in range(frames)]
            runs.append(av1.run_of(SEQUENCE.obu() + b"".join(coded), first, frames, PICTURE))
            seed, first = seed + frames, first + frames
        segments.append(runs)
    return dataclasses.replace(base_stream(segments, PICTURE, order=order), reuse=reuse)


@pytest.fixture(
    scope="module",
    params=[(Order.BY_LAYER, False), (Order.BY_SEGMENT, False), (Order.BY_SEGMENT, True)],
    ids=["layers", "segments", "reuse"],
)
def stream(request: pytest.FixtureRequest) -> Stream:
    return make(*request.param)


def write(stream: Stream) -> bytes:
    return write_stream(stream, run=2)


def units_of(data: bytes, kind: UnitType, segment: int = 0, layer: int = 0) -> list[Unit]:
    units = split_units(memoryview(data))
    return [
        unit for unit in units if (unit.header.type, unit.header.segment, unit.header.layer) == (kind, segment, layer)
    ]


def broken(data: bytes, *units: Unit) -> bytes:
    """Change the last byte of the payload, or of the header, of each unit."""
    out = bytearray(data)
    for unit in units:
        out[unit.end - 5] ^= 0x55
    return bytes(out)


def with_payload(data: bytes, unit: Unit, payload: bytes) -> bytes:
    """Replace a unit's payload; its checksum is right, hashes are not."""
    header = unit.header
    made = pack_unit(UnitType(header.type), payload, header.segment, header.layer, compact=True)
    return data[: unit.offset] + made + data[unit.end :]


def whole(*frames: int, layers: int = 2) -> Shown:
    return [(frame, layers) for frame in frames]


def check(data: bytes, stream: Stream, expected: Shown) -> str:
    """Check that a damaged file is refused, and what is shown of it with ``keep_going``; returns the report."""
    try:
        refused = read_stream(data).note  # what is behind the end may look like a segment that was cut
        list(Video(read_stream(data), device="cpu"))
    except CorruptStreamError as error:
        refused = str(error)
    assert refused
    video = Video(read_stream(data, keep_going=True), device="cpu")
    frames = range(len(video))
    shown = conceal(video, frames)
    assert shown == expected
    originals = [[picture_bytes(p) for p in Video(stream, device="cpu", layers=layers)] for layers in (1, 2)]
    pictures = [picture_bytes(picture) for batch in pictures_of(video, shown) for picture in batch]
    assert pictures == [originals[layers - 1][frame] for frame, layers in shown]
    return report(video, frames, shown)


def test_all_pictures_differ(stream: Stream) -> None:
    """Else the tests below would not notice that another one is shown."""
    for layers in (1, 2):
        assert len({picture_bytes(picture) for picture in Video(stream, device="cpu", layers=layers)}) == FRAMES


@pytest.mark.parametrize(
    ("segment", "runs", "expected"),
    [
        (0, [0], whole(3, 3, 3, 3, 4, 5, 6, 7, 8)),
        (0, [1], whole(0, 1, 2, 2, 2, 5, 6, 7, 8)),
        (1, [0], whole(0, 1, 2, 3, 4, 4, 4, 7, 8)),
        (1, [1], whole(0, 1, 2, 3, 4, 5, 6, 6, 6)),
        (0, [0, 1], whole(5, 5, 5, 5, 5, 5, 6, 7, 8)),
    ],
)
def test_a_lost_run_of_av1(stream: Stream, segment: int, runs: list[int], expected: Shown) -> None:
    data = write(stream)
    found = check(broken(data, *(units_of(data, UnitType.BASE, segment)[run] for run in runs)), stream, expected)
    assert found.count("BASE at byte") == len(runs)


@pytest.mark.parametrize(
    ("segment", "runs", "lost"),
    [(0, [0], {0, 1}), (0, [1], {2, 3}), (0, [2], {4}), (0, [0, 2], {0, 1, 4}), (1, [0, 1], {5, 6, 7, 8})],
)
def test_a_lost_run_of_latents(stream: Stream, segment: int, runs: list[int], lost: set[int]) -> None:
    data = write(stream)
    expected = [(frame, 1 if frame in lost else 2) for frame in range(FRAMES)]
    damaged = broken(data, *(units_of(data, UnitType.LATENTS, segment, 1)[run] for run in runs))
    assert "frames with fewer layers" in check(damaged, stream, expected)


def test_lost_runs_of_both(stream: Stream) -> None:
    """Runs 1 of AV1 and of latents, which stand side by side where segment follows segment, and overlap."""
    data = write(stream)
    damaged = broken(data, units_of(data, UnitType.BASE)[1], units_of(data, UnitType.LATENTS, 0, 1)[1])
    check(damaged, stream, [(0, 2), (1, 2), (2, 1), (2, 1), (2, 1), (5, 2), (6, 2), (7, 2), (8, 2)])


def test_a_run_of_av1_that_breaks_a_rule(stream: Stream) -> None:
    data = write(stream)
    unit = units_of(data, UnitType.BASE)[1]
    payload = bytes(unit.payload)
    for wrong in (payload[:-3], payload[:3] + payload[4:], payload + b"\x12\0"):
        found = check(with_payload(data, unit, wrong), stream, whole(0, 1, 2, 2, 2, 5, 6, 7, 8))
        assert "BASE at byte" in found


def test_a_run_of_av1_that_does_not_decode() -> None:
    """Its headers follow the rules."""
    sequence, op = SequenceHeader(8, 8), Picture(8, 8, 8, 1, 0, 1, 0, 0)
    frames = [aw.frame(sequence, av1.picture(seed, sequence)) for seed in range(4)]
    cut = obu(aw.FRAME, aw.split(frames[2])[0][1][:2])
    for order in Order:
        runs = [av1.run_of(sequence.obu() + b"".join(frames[k : k + 2]), k, 2, op) for k in (0, 2)]
        stream = base_stream([runs], op, order=order)
        bad = base_stream([runs], op, order=order)
        bad.segments[0].layers[0].base = (
            runs[0],
            dataclasses.replace(runs[1], data=sequence.obu() + frames[2] + cut),
        )
        found = check(write(bad), stream, whole(0, 1, 1, 1))
        assert found == "frames that repeat another: 2 to 3"


@pytest.mark.parametrize("kind", [UnitType.CHECKSUMS, UnitType.METADATA, UnitType.INDEX])
def test_units_that_no_picture_needs(stream: Stream, kind: UnitType) -> None:
    data = write(stream)
    found = check(broken(data, units_of(data, kind)[0]), stream, whole(*range(FRAMES)))
    assert bool(found) == (kind != UnitType.INDEX)  # which counts as bytes after the end


def test_ends_that_no_picture_needs(stream: Stream) -> None:
    data = write(stream)
    if stream.video.order == Order.BY_SEGMENT:
        ends = [units_of(data, UnitType.SEGMENT_END, number)[0] for number in range(2)]
    else:
        ends = [units_of(data, UnitType.LAYER_END, 0, number)[0] for number in range(2)]
    for damaged in (ends[:1], ends[1:], ends):
        assert check(broken(data, *damaged), stream, whole(*range(FRAMES))).count("_END at byte") == len(damaged)


@pytest.mark.parametrize("kind", [UnitType.SEGMENT, UnitType.NETWORK])
@pytest.mark.parametrize("layer", [0, 1])
def test_units_that_the_second_segment_needs(kind: UnitType, layer: int) -> None:
    """Where segment follows segment, those before are played; where layer follows layer, nothing, or layer 0."""
    if kind == UnitType.SEGMENT and layer:
        return
    stream = make(Order.BY_SEGMENT)
    data = write(stream)
    damaged = broken(data, *units_of(data, kind, 1, layer))
    assert "of the segments only the first 1 can be used" in check(damaged, stream, whole(*range(5)))
    other = make(Order.BY_LAYER)
    data = write(other)
    damaged = broken(data, *units_of(data, kind, 1, layer))
    if layer == 0:
        with pytest.raises(CorruptStreamError):
            read_stream(damaged, keep_going=True)
    else:
        check(damaged, other, whole(*range(FRAMES), layers=1))


@pytest.mark.parametrize("kind", [UnitType.VIDEO, UnitType.SEGMENT, UnitType.NETWORK])
def test_units_that_all_pictures_need(stream: Stream, kind: UnitType) -> None:
    data = write(stream)
    with pytest.raises(CorruptStreamError):
        read_stream(broken(data, *units_of(data, kind)), keep_going=True)


def test_the_network_of_a_higher_layer_in_the_first_segment() -> None:
    """There is nothing to play: how many layers there are cannot be known."""
    stream = make(Order.BY_SEGMENT)
    data = write(stream)
    with pytest.raises(CorruptStreamError):
        read_stream(broken(data, *units_of(data, UnitType.NETWORK, 0, 1)), keep_going=True)


@pytest.mark.parametrize("kinds", [(UnitType.NETWORK,), (UnitType.NETWORK, UnitType.WEIGHTS)])
def test_all_of_a_higher_layer_but_its_runs(kinds: tuple[UnitType, ...]) -> None:
    """Of a file whose layers have several operations with runs."""
    streams = (random_stream(seed, segments=2, layers=2, operations=2) for seed in range(50))
    # Not knots, which all frames need.
    made = next(one for one in streams if not any(isinstance(op, Grid) for op in one.segments[0].layers[0].ops))
    stream = dataclasses.replace(made, compact=True, video=dataclasses.replace(made.video, order=Order.BY_SEGMENT))
    data = write(stream)
    for segment in range(2):
        damaged = broken(data, *(units_of(data, kind, segment, 1)[0] for kind in kinds))
        if segment == 0:
            with pytest.raises(CorruptStreamError):
                read_stream(damaged, keep_going=True)
        else:
            assert len(read_stream(damaged, keep_going=True).segments) == 1


def test_runs_out_of_order_stay_errors(stream: Stream) -> None:
    """Also when reading goes on after damage, as long as there is none before them."""
    data = write(stream)
    units = list(split_units(memoryview(data)))
    runs = [
        number
        for number, unit in enumerate(units)
        if unit.header.type in (UnitType.BASE, UnitType.LATENTS) and unit.header.segment == 0
    ]
    pieces = [data[unit.offset : unit.end] for unit in units]
    for number in runs:
        twice = [*pieces[: number + 1], *pieces[number:]]
        swapped = [*pieces[:number], pieces[number + 1], pieces[number], *pieces[number + 2 :]]
        missing = [*pieces[:number], *pieces[number + 1 :]]
        for order in (twice, swapped, missing):
            out = data[:HEADER_BYTES] + b"".join(order)
            with pytest.raises(CorruptStreamError):
                read_stream(out)
            if number < len(pieces) - 1 and stream.video.order == Order.BY_SEGMENT:
                with pytest.raises(CorruptStreamError):
                    read_stream(out, keep_going=True)


def originals_of(stream: Stream) -> list[list[bytes]]:
    return [[picture_bytes(p) for p in Video(stream, device="cpu", layers=layers)] for layers in (1, 2)]


def shown_of(data: bytes) -> tuple[Shown, list[bytes], str]:
    video = Video(read_stream(data, keep_going=True), device="cpu")
    frames = range(len(video))
    shown = conceal(video, frames)
    pictures = [picture_bytes(picture) for batch in pictures_of(video, shown) for picture in batch]
    return shown, pictures, report(video, frames, shown) or video.stream.note


def offsets(length: int, step: int) -> Sequence[int]:
    return range(HEADER_BYTES, length, step)


def test_any_byte_damaged(stream: Stream) -> None:
    """Whatever byte is damaged, there is a documented error, or all pictures are original ones; something is said."""
    data, originals = write(stream), originals_of(stream)
    played = 0
    for offset in offsets(len(data), 11):
        damaged = bytearray(data)
        damaged[offset] ^= 0xFF
        try:
            shown, pictures, found = shown_of(bytes(damaged))
        except NvcodecError:
            continue
        played += 1
        assert found
        assert pictures == [originals[layers - 1][frame] for frame, layers in shown]
    assert played > len(offsets(len(data), 11)) / 2


def test_cut_anywhere(stream: Stream) -> None:
    """Of a cut file, complete frames are shown, and no picture differs from the original."""
    data, originals = write(stream), originals_of(stream)
    best = 0
    first = layer_ends(data)[0] if stream.video.order == Order.BY_LAYER else 0
    for length in offsets(len(data), 23):
        try:
            shown, pictures, found = shown_of(data[:length])
        except CorruptStreamError:
            assert best == 0
            continue
        assert found or length >= first
        assert pictures == [originals[layers - 1][frame] for frame, layers in shown]
        complete = sum(layers for number, (frame, layers) in enumerate(shown) if frame == number)
        assert complete >= best
        best = complete
    assert best == 2 * FRAMES
