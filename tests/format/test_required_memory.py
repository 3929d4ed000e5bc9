"""The estimate of the memory that decoding takes, term by term, and the padding of coded values."""

from __future__ import annotations

from networks import zeros

from nvcodec.format import operations as o
from nvcodec.format.describe import requirements_of
from nvcodec.format.entropy.chunks import ChunkSize
from nvcodec.format.stream_reader import read_stream


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


def test_padding_is_what_words_have_beyond_the_information() -> None:
    size = ChunkSize(values=50, table_bytes=3, length_bytes=1, word_bytes=12, information_bits=65.5)
    assert size.padding_bytes == 12 - 9
    assert size.bytes == 3 + 1 + 12
    assert ChunkSize(50, 3, 1, 12, 99.0).padding_bytes == 0
