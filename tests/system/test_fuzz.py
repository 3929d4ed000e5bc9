"""Some thousands of mutated streams, always the same ones; ``tools/fuzz.py`` tries more.

And the fuzzer itself: that it repeats itself, gets past checksums, and notices a crash.
"""

from __future__ import annotations

import signal

import pytest
from fuzzing import blocks, targets
from fuzzing.apart import Apart, EndedEarly
from fuzzing.loop import TooLong, fuzz, limited
from fuzzing.mutator import Mutation, mutated
from fuzzing.seeds import seeds, seeds_for

from nvcodec.format.stream_reader import read_stream
from nvcodec.format.units import UnitType, split_units

SEED = 1 << 40  # of the numbers tried here


@pytest.mark.parametrize(
    ("target", "repair", "count"),
    [
        ("parser", True, 6000),
        ("parser", False, 4000),
        ("unwrapper", False, 4000),
        ("salvager", True, 1500),
        ("salvager", False, 3000),
        ("deferred", True, 1500),
        ("deferred", False, 1000),
        ("decoder", True, 1500),
        ("base", True, 700),
    ],
)
def test_nothing_but_success_and_documented_errors(target: str, repair: bool, count: int) -> None:
    report = fuzz(target, SEED, count, repair)
    assert not report.crashers, "\n".join(f"number {number}: {trace}" for number, trace in report.crashers)
    assert sum(report.outcomes.values()) == report.count == count


def test_seeds_are_streams() -> None:
    assert len(seeds()) >= 10
    for seed in seeds():
        data = blocks.joined(seed.blocks)
        assert targets.outcome(targets.parser, data) == "read"
        target = targets.base_decoder if seed.has_base else targets.decoder
        assert targets.outcome(target, data) == "decoded"
        assert blocks.whole(seed.blocks) == data
        assert all(
            field.end <= len(block) for block, fields in zip(seed.blocks, seed.fields, strict=True) for field in fields
        )


def test_the_same_number_makes_the_same_stream() -> None:
    for number in range(30):
        assert mutated(seeds(), number, True) == mutated(seeds(), number, True)
    assert len({mutated(seeds(), number, True) for number in range(30)}) > 25


def test_repair_gets_past_the_checksums() -> None:
    def framed(repair: bool) -> int:
        """How many of some streams have their framing and checksums right."""
        count = 0
        for number in range(300):
            try:
                count += bool(list(split_units(memoryview(mutated(seeds(), number, repair)))))
            except targets.ALLOWED:
                continue
        return count

    assert framed(True) > 200 > 100 > framed(False)


def test_a_crash_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes) -> object:
        stream = read_stream(data)
        if stream.layers > 1:
            raise KeyError("planted")
        return stream

    monkeypatch.setattr(targets, "read_stream", broken)
    report = fuzz("parser", 0, 300, True)
    assert report.crashers
    assert report.outcomes["crash"] == len(report.crashers)
    assert all("planted" in trace for _, trace in report.crashers)


def test_blocks_of_both_forms() -> None:
    """Split, changed and repaired, a stream of either form is as it was; numbers of the compact form have few bytes."""
    forms = {blocks.is_compact(seed.blocks) for seed in seeds()}
    assert forms == {False, True}
    for seed in seeds():
        data = blocks.joined(seed.blocks)
        assert b"".join(blocks.split(data)) == b"".join(seed.blocks)
        changed = [seed.blocks[0], *(block[:5] + bytes(8) + block[13:-4] + bytes(4) for block in seed.blocks[1:])]
        assert blocks.repaired(changed) == data


def test_obus_are_changed() -> None:
    """Mutations of AV1 keep the sizes of OBUs right, and reach dav1d."""
    corpus = seeds_for("base")
    reached = 0
    for number in range(200):
        mutation = Mutation(corpus, number)
        mutation.av1()
        for before, block in zip(mutation.seed.blocks, mutation.blocks, strict=True):
            if before != block:
                assert block[0] == UnitType.BASE
        try:
            reached += bool(read_stream(blocks.whole(mutation.blocks)))
        except targets.ALLOWED:
            continue
    assert reached > 40


def test_a_process_of_its_own() -> None:
    """A crash, a hang and an error are reported, and the next input finds a process again."""
    crash, hang = Apart("fuzzing.broken_targets.crash"), Apart("fuzzing.broken_targets.hang", 5.0)
    for _ in range(2):
        assert crash(b"") == "alive"
        with pytest.raises(EndedEarly, match=f"ended with -{signal.SIGSEGV.value}"):
            crash(b"x")
    assert hang(b"") == "alive"
    hang.seconds = 0.2
    with pytest.raises(EndedEarly, match="were not enough"):
        hang(b"x")
    with pytest.raises(EndedEarly, match="KeyError: 'planted'"):
        Apart("fuzzing.broken_targets.fail")(b"x")


def test_a_crash_of_another_process_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(targets.TARGETS, "base", Apart("fuzzing.broken_targets.crash"))
    report = fuzz("base", 0, 3, True)
    assert report.outcomes == {"crash": 3}
    assert all("EndedEarly" in trace for _, trace in report.crashers)


def test_an_input_that_takes_too_long_is_ended() -> None:
    with pytest.raises(TooLong), limited(0.01):
        while True:
            pass
