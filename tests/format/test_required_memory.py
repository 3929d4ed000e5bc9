"""The estimate of the memory that decoding takes, term by term, and the padding of coded values."""

from __future__ import annotations

import pytest
from networks import zeros

from nvcodec.format import limits
from nvcodec.format import operations as o
from nvcodec.format.describe import requirements_of
from nvcodec.format.entropy.chunks import ChunkSize
from nvcodec.format.inference import infer
from nvcodec.format.limits import requirements
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.units import SegmentHead


def test_the_memory_of_a_small_stream() -> None:
    """Seven frames of 6x4: a latent 4x2x3, a 3x3 convolution to 12 channels, a pixel shuffle, and a table."""
    ops = [
        o.Latent(4, 2, 3, 0, 9, 0),
        o.Conv(0, 12, 3, 3, 4, 0, 0, 200),
        o.Shuffle(1, 2),
        o.Table(2, o.Function.IDENTITY, 0, 0, 0, 200),
    ]
    stream = read_stream(zeros(6, 4, 7, [ops]))
    weights, latents = 12 * 4 * 9, 7 * 24
    # The convolution is the operation that takes the most beside its input, 24, and its result, 72: six times the one,
    # three times the other, and the unfolded input.
    scratch = 6 * 24 + 3 * 72 + 4 * 9 * 6
    alive, picture, table = 72 + 72, 3 * 24, 3 * 201
    expected = 64 * 2**20 + stream.file_bytes + 1500 * len(stream.units) + 200 * 7
    expected += 8 * weights + 2 * latents + 24 * weights + 4 * (alive + scratch + picture + table)
    assert requirements_of(stream).elements == alive
    assert requirements_of(stream).memory == expected


def test_a_latent_may_take_the_most() -> None:
    ops = [o.Latent(3, 8, 8, 0, 9, 0), o.Conv(0, 3, 1, 1, 3, 0, 0, 200)]
    stream = read_stream(zeros(8, 8, 5, [ops]))
    weights, latents = 9, 5 * 192
    scratch, alive = 12 * 192, 2 * 192  # several arrays of 64 bits
    expected = 64 * 2**20 + stream.file_bytes + 1500 * len(stream.units) + 200 * 5
    expected += 8 * weights + 2 * latents + 24 * latents + 4 * (alive + scratch + 3 * 64)
    assert requirements_of(stream).memory == expected


@pytest.mark.parametrize(
    ("depth", "chroma", "frame"), [(8, 1, 9 * 6 + 2 * 5 * 3), (10, 1, 2 * (9 * 6 + 2 * 5 * 3)), (10, 0, 2 * 9 * 6)]
)
def test_the_memory_of_an_av1_stream(depth: int, chroma: int, frame: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that are kept, at most as many as there are, and frames that decoders hold."""
    ops = [o.Picture(9, 6, depth, chroma, 0, 1, 0, 2), o.Table(0, 0, 2, 0, 0, 255), o.Crop(1, 2, 2, 9, 6)]
    results = infer(ops, {}, (9, 6))
    wide = 3 * 13 * 10
    table = 3 * (results[0].high - results[0].low + 1)
    expected = 64 * 2**20 + 1000 + 1500 * 12 + 200 * 7 + 4 * (2 * wide + 4 * wide + 3 * 54 + table)
    head = SegmentHead(0, 7, 6, 9, 0, 1)

    def memory() -> int:
        return requirements([(head, [(tuple(ops), results)])], 1000, 12).memory

    assert memory() == expected + (7 + 72) * frame
    monkeypatch.setattr(limits, "AV1_CACHE", 100)
    assert memory() == expected + 100 + 72 * frame


def test_padding_is_what_words_have_beyond_the_information() -> None:
    size = ChunkSize(values=50, table_bytes=3, length_bytes=1, word_bytes=12, information_bits=65.5)
    assert size.padding_bytes == 12 - 9
    assert size.bytes == 3 + 1 + 12
    assert ChunkSize(50, 3, 1, 12, 99.0).padding_bytes == 0
