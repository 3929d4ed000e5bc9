"""Some thousands of mutated streams, always the same ones; ``tools/fuzz.py`` tries more.

And the fuzzer itself: that it repeats itself, gets past checksums, and notices a crash.
"""

from __future__ import annotations

import pytest
from fuzzing import blocks, targets
from fuzzing.loop import TooLong, fuzz, limited
from fuzzing.mutator import mutated
from fuzzing.seeds import seeds

from nvcodec.format.stream_reader import read_stream
from nvcodec.format.units import split_units

SEED = 1 << 40  # of the numbers tried here


@pytest.mark.parametrize(
    ("target", "repair", "count"), [("parser", True, 6000), ("parser", False, 4000), ("decoder", True, 1500)]
)
def test_nothing_but_success_and_documented_errors(target: str, repair: bool, count: int) -> None:
    report = fuzz(target, SEED, count, repair)
    assert not report.crashers, "\n".join(f"number {number}: {trace}" for number, trace in report.crashers)
    assert sum(report.outcomes.values()) == report.count == count


def test_seeds_are_streams() -> None:
    assert len(seeds()) >= 10
    for seed in seeds():
        data = b"".join(seed.blocks)
        assert targets.outcome(targets.parser, data) == "read"
        assert targets.outcome(targets.decoder, data) == "decoded"
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


def test_an_input_that_takes_too_long_is_ended() -> None:
    with pytest.raises(TooLong), limited(0.01):
        while True:
            pass
