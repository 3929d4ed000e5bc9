"""The search for a rate factor: it meets a target that can be met, tries none twice, and stays in its range."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nvcodec.encoding.av1.crf_search import MAX_TRIES, CrfSearch, Target, search, target_of_quality, target_of_size
from nvcodec.encoding.av1.svt_encoder import CRF_STEP, MAX_CRF

ALL = [index * CRF_STEP for index in range(round(MAX_CRF / CRF_STEP) + 1)]

#: Knots of falling functions of the rate factor whose slope changes by a factor of at most ten.
FALLING = st.lists(st.floats(0.02, 0.2), min_size=8, max_size=8)


def falling(drops: list[float], start: float = 0.0) -> dict[float, float]:
    """Values of all rate factors, falling by one of ``drops`` per unit in each eighth of the range."""
    values, value = {}, start
    for crf in ALL:
        values[crf] = value
        value -= CRF_STEP * drops[min(7, int(crf / MAX_CRF * 8))]
    return values


@settings(max_examples=400)
@example([0.125, 0.125, 0.125, 0.0625, 0.1953125, 0.125, 0.0234375, 0.0234375], 23.75, 41.0, 0.125)
@given(FALLING, st.sampled_from(ALL), st.sampled_from(ALL), st.floats(0.021, 0.2))
def test_a_goal_that_can_be_met_is(drops: list[float], start: float, wanted: float, width: float) -> None:
    values = falling(drops)
    low = values[wanted] - width / 2
    target = Target(low, low + width, low + 2 * width / 3, -0.06, True)
    tried: list[float] = []

    def value_of(crf: float) -> float:
        assert crf in values  # a multiple of a quarter, 0 to 63
        assert crf not in tried
        tried.append(crf)
        return values[crf]

    found = target.best(search(target, start, value_of))
    assert target.low <= values[found] <= target.high
    assert len(tried) <= MAX_TRIES
    assert tried[0] == start
    assert found == tried[-1]


@given(FALLING, st.sampled_from(ALL), st.floats(-15, 5), st.booleans())
def test_one_that_cannot_be_met(drops: list[float], start: float, aim: float, rather_below: bool) -> None:
    """Nothing is tried twice or outside the range, and of what was tried the nearest on the better side is returned."""
    values = falling(drops)
    target = Target(aim - 1e-9, aim + 1e-9, aim, -0.06, rather_below)
    tried: dict[float, float] = {}

    def value_of(crf: float) -> float:
        assert 0 <= crf <= MAX_CRF
        assert crf not in tried
        tried[crf] = values[crf]
        return values[crf]

    found = target.best(search(target, start, value_of))
    better = [value for value in tried.values() if (value <= target.high if rather_below else value >= target.low)]
    better = better or list(tried.values())
    assert abs(values[found] - aim) == min(abs(value - aim) for value in better)
    if len(tried) < MAX_TRIES:  # else it ends between two rate factors, or at an end of their range
        assert min(abs(value - aim) for value in values.values()) in [abs(value - aim) for value in tried.values()]


@given(st.lists(st.floats(-5, 5), min_size=len(ALL), max_size=len(ALL)), st.sampled_from(ALL))
def test_values_that_jump(values: list[float], start: float) -> None:
    tried: list[float] = []

    def value_of(crf: float) -> float:
        assert 0 <= crf <= MAX_CRF
        assert crf not in tried
        tried.append(crf)
        return values[round(crf / CRF_STEP)]

    search(Target(0, 0.1, 0.05, -0.06, True), start, value_of)
    assert len(tried) <= MAX_TRIES


def test_the_ends_of_the_range() -> None:
    values = falling([0.1] * 8)
    for target, end in ((Target(9, 9.1, 9.05, -0.06, True), 0), (Target(-99, -98.9, -99, -0.06, False), MAX_CRF)):
        assert target.best(search(target, 35.0, values.__getitem__)) == end


def test_the_first_step() -> None:
    """By the usual slope, as there is no other yet."""
    tries = CrfSearch(Target(1.0, 1.1, 1.05, -0.2, False), 30.0)
    assert tries.next == 30
    tries.tell(30.0, 3.05)
    assert tries.next == 40
    tries.tell(40.0, 2.05)  # half of it: the next step is twice as long
    assert tries.next == 50
    tries.tell(50.0, 1.01)
    assert tries.next is None
    assert tries.tried == {30.0: 3.05, 40.0: 2.05, 50.0: 1.01}


def test_a_flat_place_is_left_in_steps() -> None:
    tries = CrfSearch(Target(1.0, 1.1, 1.0, -0.2, False), 30.0)
    tries.tell(30.0, 2.0)
    assert tries.next == 35
    tries.tell(35.0, 2.0)  # no slope at all: a step as if it were 0.3 of the usual one
    assert tries.next == pytest.approx(35 + 1 / 0.06, abs=0.13)


def test_the_best() -> None:
    """What meets the target; else the nearest on the better side; else the nearest."""
    for rather_below, order in ((True, [2, 3, 4, 1, 0]), (False, [2, 1, 0, 3, 4])):
        target = Target(10, 11, 10.5, -0.1, rather_below)
        values = {0: 20.0, 1: 11.5, 2: 10.9, 3: 7.0, 4: 2.0}
        for crf in order:
            assert target.best(values) == crf
            del values[crf]


def test_what_meets_a_goal() -> None:
    target = Target(10, 11, 10.5, -0.1, True)
    assert [value for value in (9.9, 10, 11, 11.1) if target.met_by(value)] == [10, 11]
    assert [value for value in (8.9, 9, 12, 12.1) if target.nearly_met_by(value)] == [9, 12]


def test_targets() -> None:
    size = target_of_size(1000, 0.98)
    assert (size.low, size.high) == (math.log(980), math.log(1000))
    assert 990 < math.exp(size.wanted) < 1000
    assert size.slope < 0
    quality = target_of_quality(35.0, 0.1)
    assert (quality.low, quality.high) == (35, 35.1)
    assert 35 < quality.wanted < 35.06
    assert quality.slope < 0
