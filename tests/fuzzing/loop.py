"""Try many mutated streams, one after the other, and report the outcomes."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import time
import traceback
from collections import Counter
from collections.abc import Iterator

from fuzzing.mutator import mutated
from fuzzing.seeds import seeds_for
from fuzzing.targets import TARGETS, outcome

from nvcodec.memory import peak_memory

TOO_LONG = 60  # seconds for one input


class TooLong(Exception):
    """An input has exceeded its time."""


@dataclasses.dataclass
class Report:
    """Outcomes of a number of inputs.

    Attributes:
        outcomes: how often each, most frequent first.
        seconds, per_second: of processor time in all, mutation included.
        longest: seconds, likewise, of the slowest input, and its number.
        memory: bytes that the process's peak has grown by, and the number of the input with which it last grew.
        crashers: number and traceback of every input with an outcome that is not allowed.
    """

    target: str
    repaired: bool
    first: int
    count: int
    outcomes: dict[str, int] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    per_second: float = 0.0
    longest: tuple[float, int] = (0.0, 0)
    memory: tuple[int, int] = (0, 0)
    crashers: list[tuple[int, str]] = dataclasses.field(default_factory=list)


def fuzz(target: str, first: int, count: int, repair: bool, seconds: float = float("inf")) -> Report:
    """Try the mutations ``first`` to ``first + count - 1``, or as many as there is time for."""
    report = Report(target, repair, first, 0)
    found: Counter[str] = Counter()
    start, before = time.process_time(), peak_memory()
    corpus = seeds_for(target)
    for number in range(first, first + count):
        data = mutated(corpus, number, repair)
        began = time.process_time()
        try:
            with limited(TOO_LONG):
                found[outcome(TARGETS[target], data)] += 1
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # a panic of the range coder's library is no Exception
            found["crash"] += 1
            report.crashers.append((number, traceback.format_exc()))
        ended = time.process_time()
        report.longest = max(report.longest, (ended - began, number))
        if (grown := peak_memory() - before) > report.memory[0]:
            report.memory = (grown, number)
        report.count += 1
        if ended - start > seconds:
            break
    report.outcomes = dict(found.most_common())
    report.seconds = time.process_time() - start
    report.per_second = report.count / report.seconds
    return report


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TooLong in the block once it has run for ``seconds``."""

    def end(*_: object) -> None:
        raise TooLong(f"{seconds} s were not enough")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
