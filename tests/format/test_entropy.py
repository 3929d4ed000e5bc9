import hashlib

import numpy as np
import pytest
import reference_decoder
from hypothesis import given
from hypothesis import strategies as st

from nvcodec.errors import CorruptStreamError, NvcodecError, UnsupportedVersionError
from nvcodec.format.entropy import chunks as coder
from nvcodec.format.entropy.chunks import decode_chunk, encode_chunk
from nvcodec.format.entropy.contexts import EDGES, MAX_START, Contexts, Rows, choose_contexts, magnitude
from nvcodec.format.entropy.frequency_tables import (
    Constant,
    Histogram,
    Laplace,
    Student,
    Table,
    choose_table,
    unpack_head,
    unpack_table,
)
from nvcodec.format.fields import Cursor


@st.composite
def tables(draw: st.DrawFn) -> Table:
    first = draw(st.integers(-2047, 2047))
    size = draw(st.integers(2, 600))
    peak = draw(st.integers(0, size - 1))
    match draw(st.integers(0, 3)):
        case 0:
            return Constant(first, 1)
        case 1:
            return Laplace(first, size, peak, draw(st.integers(0, 65535)))
        case 2:
            return Student(first, size, peak, draw(st.integers(1, 2**31 - 1)), draw(st.integers(0, 6)))
    counts = draw(st.lists(st.integers(0, 2**24), min_size=size, max_size=size))
    return Histogram(first, size, (*counts[:-1], counts[-1] or 1))


@given(tables())
def test_tables_are_tables(table: Table) -> None:
    cumulative = table.cumulative()
    assert cumulative[0] == 0
    assert cumulative[-1] == 2**16
    assert (np.diff(cumulative) >= 1).all()
    cursor = Cursor(table.pack(), "test")
    assert unpack_table(cursor, *unpack_head(cursor)) == table


def test_exact_tables() -> None:
    assert Laplace(-1, 3, 1, 32768).cumulative().tolist() == [0, 16384, 49151, 65536]
    assert Student(-2, 5, 2, 4, 1).cumulative().tolist() == [0, 5894, 20981, 44554, 59641, 65536]
    assert Histogram(7, 3, (1, 0, 3)).cumulative().tolist() == [0, 16384, 16385, 65536]


def test_exact_bytes() -> None:
    """The coder's output is part of the format: these bytes may never change."""
    assert encode_chunk(np.array([0, 1, -1, 0, 0, 2, 0, 0, -3, 0, 0, 1])).hex() == "010506031b4d0149001bae"
    assert encode_chunk(np.full(4, -9)).hex() == "00110100"
    values = [1, 2, -3, 2, 0, 0, 1, -1, 3, -3, -2, -1, 0, -1, -3, -3, -3, -3, -2, 3]
    values += [-2, 1, 2, -2, -2, 0, -2, 3, -2, 3, 2, 2, -3, -1, 1, 0, 1, 1, 1, -3]
    assert encode_chunk(np.array(values)).hex() == "020507030a0004459546baa875724a945dde8838276f98"


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 60), st.integers(1, 400), st.integers(-40, 40))
def test_chunks_round_trip_and_agree_with_the_specification(seed: int, spread: float, count: int, center: int) -> None:
    values = np.round(np.random.default_rng(seed).laplace(center, spread, count)).astype(np.int32)
    chunk = encode_chunk(values)
    cursor = Cursor(chunk, "test")
    decoded, size = decode_chunk(cursor, (count,))
    cursor.end()
    assert decoded.tolist() == values.tolist()
    assert size.bytes == len(chunk)
    reader = reference_decoder.Reader(chunk)
    assert reference_decoder.read_chunk(reader, (count,), -(2**15), 2**15).tolist() == values.tolist()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("normal", np.random.default_rng(1).normal(0, 20, 40_000)),
        ("laplace", np.random.default_rng(2).laplace(0, 3, 20_000)),
        ("narrow", np.random.default_rng(3).laplace(0, 0.3, 20_000)),
    ],
)
def test_close_to_the_empirical_entropy(name: str, values: np.ndarray) -> None:
    integers = np.round(values).astype(np.int32)
    share = np.unique(integers, return_counts=True)[1] / len(integers)
    entropy = float(-(share * np.log2(share)).sum()) * len(integers) / 8
    assert len(encode_chunk(integers)) < 1.02 * entropy


def test_table_choice_adapts() -> None:
    rng = np.random.default_rng(4)
    assert isinstance(choose_table(np.array([5, 5])), Constant)
    assert isinstance(choose_table(np.round(rng.normal(0, 20, 9000)).astype(int)), Student)
    assert isinstance(choose_table(rng.choice([0, 40], 500)), Histogram)


@pytest.mark.parametrize(
    "chunk",
    [
        "0011010100000000",  # a constant with a word
        "00110200",  # a constant of two symbols
        "010501031b4d0149001bae",  # one symbol, not constant
        "010506061b4d0149001bae",  # peak outside
        "0205070300000149001bae",  # spread 0
        "0205070301070149001bae",  # shape 7
        "030203000000004900",  # all weights 0
        "010506031b4dff0149001bae",  # more words than the values can need
        "090506031b4d0149001bae",  # unknown family
        "01",
    ],
)
def test_bad_chunks(chunk: str) -> None:
    with pytest.raises(NvcodecError):
        decode_chunk(Cursor(bytes.fromhex(chunk), "test"), (12,))


def test_words_left_over_are_refused() -> None:
    good = bytes.fromhex("010506031b4d0149001bae")
    with pytest.raises(CorruptStreamError, match="go on after"):
        decode_chunk(Cursor(good[:6] + b"\x04" + good[7:] + bytes(range(1, 13)), "test"), (12,))


def by_rows(seed: int, rows: int, columns: int, loudest: float) -> np.ndarray:
    """Columns whose values differ in magnitude."""
    rng = np.random.default_rng(seed)
    return np.round(rng.laplace(0, 1, (rows, columns)) * rng.uniform(0, loudest, columns)).astype(np.int32)


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 90), st.integers(1, 20), st.sampled_from([0.2, 3, 60])
)
def test_rows_round_trip_and_agree_with_the_specification(
    seed: int, rows: int, columns: int, group: int, loudest: float
) -> None:
    values = by_rows(seed, rows, columns, loudest)
    where = Rows(group)
    chunk = encode_chunk(values, where)
    cursor = Cursor(chunk, "test")
    decoded, size = decode_chunk(cursor, (rows, columns), where)
    cursor.end()
    assert decoded.tolist() == values.tolist()
    assert size.bytes == len(chunk)
    again = reference_decoder.read_chunk(reference_decoder.Reader(chunk), (rows, columns), -(2**15), 2**15, group)
    assert again.tolist() == values.tolist()


def test_exact_bytes_by_rows() -> None:
    values = by_rows(5, 24, 33, 4)
    chunk = encode_chunk(values, Rows())
    assert chunk[0] == 4
    assert hashlib.sha256(chunk).hexdigest()[:16] == "196b229abff7ef31"
    assert Contexts(-1, 3, 0, 256, 1).cumulative(4).tolist() == [0, 1, 65534, 65536]


def test_rows_save_what_columns_differ() -> None:
    values = by_rows(6, 500, 300, 6)
    assert len(encode_chunk(values, Rows())) < 0.94 * len(encode_chunk(values))
    alike = np.round(np.random.default_rng(7).laplace(0, 3, (500, 300))).astype(np.int32)
    assert len(encode_chunk(alike, Rows())) <= 1.002 * len(encode_chunk(alike))


def test_classes_cover_all_estimates() -> None:
    """Each class holds the estimates around its magnitude, four classes an octave."""
    estimates = np.arange(MAX_START + 1)
    classes = np.searchsorted(EDGES, estimates, side="right") - 1
    assert classes.max() == 51
    for estimate, number in zip(estimates.tolist(), classes.tolist(), strict=True):
        shift = max(0, estimate.bit_length() - 3)
        assert number == (estimate if estimate < 4 else 4 * shift + (estimate >> shift))
        assert abs(2 * estimate + 1 - magnitude(number)) <= max(0.13 * magnitude(number), 1)


def test_choice_by_rows() -> None:
    assert choose_contexts(np.zeros((50, 50), int), Rows(6)) is None
    assert choose_contexts(by_rows(1, 5, 300, 2), Rows(5)) is None
    found = choose_contexts(by_rows(1, 60, 300, 2), Rows())
    assert found is not None
    assert 0 < found[0].start <= MAX_START


def active_spot(seed: int, frames: int, plane: tuple[int, int, int]) -> np.ndarray:
    """Frames of latents, as rows, that are active around a moving spot and calm elsewhere."""
    rng = np.random.default_rng(seed)
    channels, height, width = plane
    y, x = np.mgrid[:height, :width]
    rows = []
    for frame in range(frames):
        far = (y - height / 2) ** 2 + (x - frame % width) ** 2
        rows.append(np.round(rng.laplace(0, 6 * np.exp(-far / 20) + 0.1, (channels, height, width))).ravel())
    return np.array(rows, np.int32)


@given(st.integers(1, 5), st.tuples(*[st.integers(1, 7)] * 3), st.integers(0, 2**31))
def test_frames_round_trip_and_agree_with_the_specification(
    frames: int, plane: tuple[int, int, int], seed: int
) -> None:
    values = active_spot(seed, frames, plane)
    rows = Rows(plane=plane)
    for weight in (0, 1, 3, 255):
        table = Contexts(min(0, int(values.min())), 300, 40, 64, 1, weight)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "nvcodec.format.entropy.chunks.choose_contexts", lambda values, rows, table=table: (table, -1e9)
            )
            chunk = encode_chunk(values, rows)
        if values.any():
            assert chunk[0] == (5 if weight else 4)
        decoded, _ = decode_chunk(Cursor(chunk, "test"), values.shape, rows)
        assert (decoded == values).all()
        again = reference_decoder.read_chunk(
            reference_decoder.Reader(chunk), (frames, *plane), -(2**15), 2**15, 1, latents=True
        )
        assert (again.reshape(values.shape) == values).all()


@pytest.mark.parametrize("weight", [0, 4])
def test_a_class_makes_its_table_once(monkeypatch: pytest.MonkeyPatch, weight: int) -> None:
    """A file of some hundred bytes may have millions of rows."""
    made = []
    monkeypatch.setattr(coder, "_Counts", lambda cumulative, make=coder._Counts: made.append(1) or make(cumulative))
    chunk = Contexts(0, 4096, 64, 256, 1, weight).pack() + b"\0"  # no words: the first symbol again and again
    decode_chunk(Cursor(chunk, "test"), (3000, 3), Rows(plane=(3, 1, 1)))
    assert 1 <= len(made) <= len(EDGES)


def test_neighbours_save_where_activity_moves() -> None:
    values = active_spot(3, 20, (2, 24, 40))
    chunk = encode_chunk(values, Rows(plane=(2, 24, 40)))
    assert chunk[0] == 5
    assert len(chunk) < 0.8 * len(encode_chunk(values, Rows()))
    assert len(chunk) < 0.8 * len(encode_chunk(values))
    assert hashlib.sha256(chunk).hexdigest()[:16] == "1aefe47fa7c100bc"


@pytest.mark.parametrize(
    "head",
    [
        "040001" + "05" + "8002" + "00",  # one symbol
        "040203" + "05" + "8002" + "00",  # zero is no symbol
        "040103" + "c17f" + "8002" + "00",  # start too large
        "040103" + "05" + "00" + "00",  # spread 0
        "040103" + "05" + "8002" + "07",  # shape 7
        "050103" + "05" + "8002" + "0000",  # weight 0
    ],
)
def test_bad_rows(head: str) -> None:
    with pytest.raises(CorruptStreamError):
        decode_chunk(Cursor(bytes.fromhex(head) + bytes(9), "test"), (30, 30), Rows(9, (1, 5, 6)))
    with pytest.raises(NvcodecError):
        decode_chunk(Cursor(bytes.fromhex("040103" + "05" + "8002" + "00" + "00"), "test"), (900,))
    with pytest.raises(UnsupportedVersionError):  # weights have no neighbours
        decode_chunk(Cursor(bytes.fromhex("050103" + "05" + "8002" + "0001" + "00"), "test"), (30, 30), Rows(9))
