import hashlib
import math

import numpy as np
import pytest
import reference_decoder

from nvcodec.format.arithmetic.functions import function_table, function_values, gelu_masters, normal_table
from nvcodec.format.arithmetic.noise import noise, philox
from nvcodec.format.arithmetic.step_indices import FIRST_SHIFTS, MAX_STEP, SECOND_SHIFTS, factors
from nvcodec.format.operations import Function, Noise

GELU_DIGEST = "5a7ecb016f8015962940431a4d9e1ce764518a2840e92eb65875d61d22da9eff"
NORMAL_DIGEST = "aaae915dc6af3478b14916869a1b9bdccba56d407f28717211b4b7b33a43778e"


def test_gelu_master_table_has_the_digest_of_the_specification() -> None:
    table = gelu_masters(12, 32768).astype("<i4")
    assert hashlib.sha256(table.tobytes()).hexdigest() == GELU_DIGEST
    assert (reference_decoder.gelu_table() == table).all()


def test_gelu_is_gelu() -> None:
    for i in range(-2048, 2048, 7):
        x = i / 256
        assert abs(gelu_masters(8, 2048)[i + 2048] - 2**24 * x * 0.5 * math.erfc(-x / math.sqrt(2))) < 0.51


def test_normal_table_has_the_digest_of_the_specification() -> None:
    table = normal_table()
    assert hashlib.sha256(table.astype("<i2").tobytes()).hexdigest() == NORMAL_DIGEST
    assert (table == reference_decoder.normal_table()).all()
    assert (table == -table[::-1]).all()
    assert abs(table.std() / 64 - 1) < 0.001


@pytest.mark.parametrize("function", list(Function))
@pytest.mark.parametrize(("p", "q"), [(8, 7), (12, 16), (0, 0), (5, 9), (7, 2)])
def test_tables_agree_with_the_specification_decoder(function: Function, p: int, q: int) -> None:
    ours = function_table(function, p, q, (-300, 300), (-32768, 32767)).tolist()
    op = reference_decoder.Op(6, {"function": function, "in_shift": p, "out_shift": q}, low=-32768, high=32767)
    assert ours == reference_decoder.look_up(op, np.arange(-300, 301)).tolist()


def test_functions_round_to_nearest() -> None:
    def values(function: Function, inputs: list[int], in_shift: int, out_shift: int) -> list[int]:
        return function_values(function, np.array(inputs), in_shift, out_shift).tolist()

    assert values(Function.LEAKY_RELU, [-7, -3, -2, 0, 3], 0, 0) == [-1, -1, 0, 0, 3]
    assert values(Function.IDENTITY, [7], 3, 1) == [2]
    assert values(Function.IDENTITY, [-2], 2, 0) == [0]  # a tie goes up
    assert values(Function.GELU, [40000, -40000, 0], 12, 12) == [40000, 0, 0]


def test_philox_known_answers() -> None:
    def run(word: int) -> list[int]:
        array = np.full(1, word, np.uint64)
        return [int(value[0]) for value in philox((array,) * 4, (word, word))]

    # Random123's kat_vectors
    assert run(0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert run(0xFFFFFFFF) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


def test_noise_is_a_function_of_its_place() -> None:
    wide, narrow = Noise(3, 5, 9, 1, 256, 1), Noise(2, 3, 6, 1, 256, 1)
    a, b = noise(wide, 7, 2, 1, 11), noise(narrow, 7, 2, 1, 11)
    assert (a[:2, :3, :6] == b).all()
    assert (a != noise(wide, 7, 2, 1, 12)).any()
    assert (noise(wide, 7, 2, 1, None) == noise(Noise(3, 5, 9, 1, 256, 0), 7, 2, 1, 12)).all()
    assert not noise(Noise(3, 5, 9, 1, 0, 1), 7, 2, 1, 11).any()


def test_noise_is_normal() -> None:
    z = noise(Noise(16, 32, 32, 0, 256, 1), 1, 0, 0, 0) / 64
    assert abs(z.mean()) < 0.02
    assert abs(z.std() - 1) < 0.02


def test_step_factors_fall_evenly() -> None:
    every = factors(np.arange(MAX_STEP + 1))
    ratio = every[:-1] / every[1:]
    assert ratio.min() > 1.07
    assert ratio.max() < 1.11
    assert FIRST_SHIFTS.max() == 23
    assert SECOND_SHIFTS.min() == 6
