"""AV1 that tests share: sequence headers of every kind, pictures that the writer of ``tools/`` can code, runs of an
encoder, dav1d."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import av1_writer as aw
import numpy as np
from conftest import moving_squares
from hypothesis import strategies as st

from nvcodec.format.av1_headers import TEMPORAL_DELIMITER, check_run
from nvcodec.format.operations import Picture
from nvcodec.format.stream import BaseRun
from nvcodec.video import svt_av1, yuv

Planes = list[np.ndarray]


class RandomPictures:
    """Stands in for the decoder of AV1: samples of all values, by the number of the frame."""

    def __init__(self, runs: Any, picture: Picture, cache_bytes: int) -> None:
        self.picture = picture

    def planes(self, frame: int) -> tuple[np.ndarray, ...]:
        op, rng = self.picture, np.random.default_rng(frame)
        sizes = [(op.height, op.width), *[(-(-op.height // 2), -(-op.width // 2))] * (2 * op.chroma)]
        kind = np.uint8 if op.depth == 8 else np.uint16
        return tuple(rng.integers(0, 1 << op.depth, size).astype(kind) for size in sizes)


def sequence_headers() -> st.SearchStrategy[aw.SequenceHeader]:
    """Sequence headers that the rules of section 4.11 allow, with every optional part."""

    def flags(bits: int) -> st.SearchStrategy[int]:
        return st.integers(0, 2**bits - 1)

    timed = st.one_of(
        st.none(),
        st.tuples(
            st.one_of(st.just((0,)), st.tuples(st.just(1), st.integers(0, 2**20))),
            st.none() | st.tuples(st.integers(1, 32), st.integers(1, 32), st.integers(1, 32)),
        ),
    )
    return st.builds(
        lambda times, **fields: aw.SequenceHeader(**fields, timing=times and times[0], model=times and times[1]),
        timed,
        width=st.integers(1, 8),
        height=st.integers(1, 8),
        depth=st.sampled_from([8, 10]),
        monochrome=st.booleans(),
        model_of_point=st.booleans(),
        display_delay=st.none() | st.integers(-1, 9),
        level=flags(5),
        tier=flags(1),
        size_bits=st.integers(4, 16),
        frame_ids=st.none() | st.tuples(st.integers(2, 15), st.just(1)),
        tools=st.tuples(flags(3), flags(4)),
        order_hint_bits=st.integers(0, 8),
        motion_tools=flags(2),
        screen_content_tools=st.sampled_from([1, aw.SELECT]),
        integer_mv=st.sampled_from([0, 1, aw.SELECT]),
        filters=flags(3),
        color=st.none() | st.tuples(st.integers(1, 9), st.integers(1, 16), st.integers(1, 9)),
        color_range=flags(1),
        chroma_position=st.integers(0, 2),
        separate_delta_q=flags(1),
    )


def picture(seed: int, sequence: aw.SequenceHeader) -> Planes:
    """Random planes of few colours, from the least to the greatest."""
    rng = np.random.default_rng(seed)
    height, width, top = sequence.height, sequence.width, 2**sequence.depth - 1

    def plane(rows: int, columns: int, indices: np.ndarray | None = None) -> np.ndarray:
        levels = np.array([0, top, *rng.integers(0, top + 1, 6)])
        return levels[rng.integers(0, 8, (rows, columns)) if indices is None else indices]

    if sequence.monochrome:
        return [plane(height, width)]
    rows, columns = -(-height // 2), -(-width // 2)
    indices = rng.integers(0, 8, (rows, columns))
    return [plane(height, width), plane(rows, columns, indices), plane(rows, columns, indices)]


def dav1d(temporal_units: Sequence[bytes]) -> list[Planes]:
    """The planes of all frames, as dav1d decodes them."""
    context: Any = av.CodecContext.create("libdav1d", "r")
    context.thread_count = 1
    frames = [frame for unit in (*map(av.Packet, temporal_units), None) for frame in context.decode(unit)]
    return [
        [
            np.frombuffer(plane, "u1" if frame.format.name in ("gray", "yuv420p") else "<u2").reshape(plane.height, -1)[
                :, : plane.width
            ]
            for plane in frame.planes
        ]
        for frame in frames
    ]


@functools.cache
def squares(height: int, width: int, depth: int, lengths: tuple[int, ...]) -> tuple[BaseRun, ...]:
    """Runs of so many frames of moving squares, by SVT-AV1: with hidden frames, and headers that show them."""
    clip = moving_squares(sum(lengths), height, width)
    first, out = 0, []
    for frames in lengths:
        units = _svt([yuv.rgb_to_yuv420(picture, depth) for picture in clip[first : first + frames]], depth)
        assert all(unit.startswith(TEMPORAL_DELIMITER) for unit in units)
        data = b"".join(unit.removeprefix(TEMPORAL_DELIMITER) for unit in units)
        out.append(run_of(data, first, frames, Picture(height, width, depth, 1, 0, 6, 0, 0)))
        first += frames
    return tuple(out)


def run_of(data: bytes, first: int, frames: int, op: Picture) -> BaseRun:
    """A run of OBUs that follow the rules."""
    return BaseRun(first, frames, data, *check_run(data, frames, op, "a run"))


def _svt(pictures: Sequence[yuv.Planes], depth: int) -> list[bytes]:
    """Temporal units of pictures."""
    encoder: Any = av.CodecContext.create("libsvtav1", "w")
    height, width = pictures[0][0].shape
    encoder.width, encoder.height, encoder.pix_fmt = width, height, yuv.PIXEL_FORMATS[depth]
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"preset": "10", "crf": "35", "svtav1-params": "lp=1"}
    packets = []
    with svt_av1.restrained() as calm_threads:
        encoder.open()
        calm_threads()
        for number, picture in enumerate(pictures):
            frame = yuv.planes_to_frame(picture, depth)
            frame.pts = number
            packets += encoder.encode(frame)
        packets += encoder.encode(None)
    return [bytes(packet) for packet in packets]
