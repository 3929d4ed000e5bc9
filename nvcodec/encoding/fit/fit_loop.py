"""Running a fit to its end: progress, checkpoints, a quality to stop at, interruption."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import torch

from nvcodec.encoding.fit.fit import FINISHING, Fit

REPORT_STEPS = 20  # steps between reports: each costs a synchronisation on a GPU
WIND_DOWN = 0.5  # of what is spent so far, to end at a quality
HASTE, HASTE_SECONDS = 0.05, 10.0  # of what is spent so far, at most, to end when interrupted
FIRST_GAIN = 2.8  # dB that winding down is thought to bring until it has been tried
SAFETY = 0.02  # dB that the file may lie below the network it is made of


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far the fit is: ``loss`` and ``psnr`` (dB) are means over the last steps, times in seconds.

    ``steps`` is how many there will be, estimated where a time limit decides; ``seconds_left`` includes what follows
    the fit.
    """

    step: int
    steps: int
    loss: float
    psnr: float
    seconds: float
    seconds_left: float


Watch = Callable[[Progress], None]
Keep = Callable[[Fit], None]
Asked = Callable[[], bool]


def run(fit: Fit, report: Watch | None = None, keep: Keep | None = None, stop: Asked = lambda: False) -> None:
    """Go on until the fit is done or somebody stops it.

    Args:
        fit: new or restored.
        report: called every few steps and after the last one.
        keep: called after every step.
        stop: asked before every step.
    """
    losses: list[torch.Tensor] = []
    while not (fit.done or stop()):
        losses.append(fit.advance())
        if len(losses) == REPORT_STEPS or fit.done:
            if report:
                report(measure(fit, losses))
            losses.clear()
        if keep:
            keep(fit)


def run_in_haste(fit: Fit, report: Watch | None = None) -> None:
    """Wind a fit down within a twentieth of the time it took so far, and at most ten seconds."""
    part = min(HASTE, HASTE_SECONDS / max(fit.seconds, 1e-9))
    if fit.step:
        fit.wind_down(part)
        run(fit, report)


def run_to_quality(
    fit: Fit, target: float, report: Watch | None = None, keep: Keep | None = None, stop: Asked = lambda: False
) -> None:
    """Like :func:`run`, but end as soon as the file would reach ``target``, RGB PSNR in dB.

    Once the mean PSNR of the last epoch plus the gain that winding down is expected to bring reaches the target, the
    fit is wound down and judged by all frames. Where it falls short the gain has been learned, and the fit goes on at
    high rates from where it is: what it learned meanwhile stays (Wen et al., *Understanding warmup-stable-decay
    learning rates*, 2024).
    """
    gain = FIRST_GAIN
    recent: collections.deque[float] = collections.deque(maxlen=-(-len(fit.frames) // REPORT_STEPS))

    def watch(progress: Progress) -> None:
        recent.append(progress.psnr)
        if report:
            report(progress)

    def near() -> bool:
        return len(recent) == recent.maxlen and statistics.mean(recent) + gain >= target

    while True:
        before: float | None = None
        if not fit.tail:
            run(fit, watch, keep, lambda: stop() or near())
            if fit.done or stop():
                return
            before = statistics.mean(recent)
            fit.wind_down(WIND_DOWN)
        run(fit, report, keep, stop)
        if stop() or fit.end == 1:
            return
        began = time.monotonic()
        reached = fit.result().psnr(fit.frames)
        fit.lost += time.monotonic() - began
        if reached >= target + SAFETY:
            return
        if before is not None:  # a fit that was resumed does not know
            gain = reached - before
        recent.clear()
        fit.climb()


def measure(fit: Fit, losses: list[torch.Tensor]) -> Progress:
    """Progress after steps with these mean squared errors; waits for them, which counts as the fit's time."""
    began = time.monotonic()
    errors = torch.stack(losses).clamp(min=1e-10)
    loss, psnr = torch.stack([errors.mean(), -10 * errors.log10().mean()]).tolist()
    fit.seconds += time.monotonic() - began
    share = max(fit.spent(), 1e-9)
    left = max(0.0, fit.end - share)
    steps_left = round(left / share * fit.step)
    return Progress(
        fit.step,
        fit.step + steps_left,
        loss,
        psnr,
        fit.seconds + fit.lost,
        fit.pace * (steps_left + FINISHING * len(fit.frames)),
    )


@contextlib.contextmanager
def interruption() -> Iterator[Asked]:
    """Ctrl-C, and SIGTERM, ask for an end instead of raising; a second one raises KeyboardInterrupt.

    Yields:
        Whether an end has been asked for. Outside the main thread, where signals cannot be caught, it never is.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
