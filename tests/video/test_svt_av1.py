"""SVT-AV1's threads stay at the priority of the process, and it says nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from nvcodec.video import svt_av1

FIFO = (os.SCHED_FIFO, 99) if hasattr(os, "SCHED_FIFO") else (1, 99)

ENCODE = """
import os
from fractions import Fraction

import av
from nvcodec.video import svt_av1

def policies():
    return {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}

os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
encoder = av.CodecContext.create("libsvtav1", "w")
encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 64, 64, "yuv420p", Fraction(1, 25)
encoder.options = {"preset": "10", "svtav1-params": "lp=1"}
with svt_av1.restrained() as calm_threads:
    encoder.open()
    print(policies())
    calm_threads()
    print(policies())
    frame = av.VideoFrame(64, 64, "yuv420p")
    frame.pts = 0
    encoder.encode(frame)
    encoder.encode(None)
print(policies(), len(os.listdir("/proc/self/task")) > 2)
"""


@pytest.fixture
def other() -> Iterator[threading.Thread]:
    """A thread that waits."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait, daemon=True)
    thread.start()
    yield thread
    end.set()
    thread.join()


def scheduling(thread: int) -> tuple[int, int]:
    return os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority


def hasten(thread: int) -> None:
    """Give a thread real-time priority, as SVT-AV1 does."""
    try:
        os.sched_setscheduler(thread, FIFO[0], os.sched_param(FIFO[1]))
    except (AttributeError, PermissionError):
        pytest.skip("this process may not raise a priority")


def test_threads_get_their_priority_back(other: threading.Thread) -> None:
    """The caller's, that of a thread that was there before, and that of one begun within; a wanted priority stays."""
    here = threading.get_native_id()
    normal = scheduling(here)
    assert other.native_id
    hasten(other.native_id)
    end = threading.Event()
    new = threading.Thread(target=end.wait, daemon=True)
    try:
        with svt_av1.restrained() as calm_threads:
            new.start()
            assert new.native_id
            hasten(new.native_id)
            hasten(here)
            os.sched_setscheduler(other.native_id, normal[0], os.sched_param(normal[1]))
            calm_threads()
            assert scheduling(here) == scheduling(new.native_id) == normal
            assert scheduling(other.native_id) == FIFO
            hasten(here)
        assert scheduling(here) == normal
        with pytest.raises(KeyError), svt_av1.restrained():
            hasten(here)
            raise KeyError
        assert scheduling(here) == normal
    finally:
        end.set()
        os.sched_setscheduler(here, normal[0], os.sched_param(normal[1]))


def test_an_encode_is_calm_and_silent() -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux shows a process its threads")
    environment = {name: value for name, value in os.environ.items() if name != "SVT_LOG"}
    result = subprocess.run([sys.executable, "-c", ENCODE], capture_output=True, text=True, env=environment, check=True)
    opened, calmed, ended = result.stdout.splitlines()
    assert result.stderr == ""
    assert calmed == f"{{{os.SCHED_OTHER}}}"
    assert ended == f"{calmed} True"
    if os.getuid() == 0:
        assert opened != calmed, "SVT-AV1 has learned manners: this module is no longer needed"


def test_systems_without_scheduling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SVT_LOG", "4")
    monkeypatch.delattr(os, "sched_getscheduler", raising=False)
    with svt_av1.restrained() as calm_threads:
        calm_threads()
        assert os.environ["SVT_LOG"] == "4"


@pytest.mark.parametrize(
    ("threads", "level"), [(1, 1), (2, 2), (3, 3), (5, 3), (6, 4), (11, 4), (12, 5), (23, 5), (24, 6), (256, 6)]
)
def test_parallelism(threads: int, level: int) -> None:
    assert svt_av1.parallelism(threads) == level
