"""One open video, many threads and processes: the same pixels."""

from __future__ import annotations

import concurrent.futures
import copy
import multiprocessing
import threading
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from networks import random_stream
from torch.utils.data import DataLoader

from nvcodec.decoding import decoded_video as decoder
from nvcodec.decoding.decoded_video import Video
from nvcodec.decoding.kernels import _FLAGS, _Flags, exact_arithmetic
from nvcodec.decoding.picture_checksums import picture_bytes

CPU = torch.device("cpu")


@pytest.fixture
def video() -> Video:
    """Two segments of six frames."""
    return Video(random_stream(30, segments=2, layers=2, frames=6), device="cpu")


@pytest.fixture
def expected(video: Video) -> list[torch.Tensor]:
    return [Video(video.stream, device="cpu")[frame] for frame in range(len(video))]


def test_threads(video: Video, expected: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that decode different segments keep replacing the one network that is cached."""
    made = threading.Barrier(2)

    class Slow(decoder.ExactNetwork):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            try:  # let another thread build its network meanwhile
                made.wait(0.05)
            except threading.BrokenBarrierError:
                made.reset()

    monkeypatch.setattr(decoder, "ExactNetwork", Slow)
    frames = np.random.default_rng(0).permutation(np.repeat(np.arange(len(video)), 8)).tolist()
    before = torch.get_float32_matmul_precision()
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for frame, picture in zip(frames, pool.map(video.__getitem__, frames), strict=True):
            assert torch.equal(picture, expected[frame])
    assert _FLAGS.users == 0
    assert torch.get_float32_matmul_precision() == before


def test_iterating_in_several_threads(video: Video, expected: list[torch.Tensor]) -> None:
    def same() -> bool:
        return all(torch.equal(a, b) for a, b in zip(video, expected, strict=True))

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert all([job.result() for job in [pool.submit(same) for _ in range(6)]])


def test_a_network_that_another_thread_replaces(video: Video, expected: list[torch.Tensor]) -> None:
    """The cache changes between looking up a network and using it."""

    class Fleeting(dict[tuple[int, int], Any]):
        def __contains__(self, key: object) -> bool:
            found = super().__contains__(key)
            self.clear()
            return found

    assert torch.equal(video[0], expected[0])
    video._networks.kept = Fleeting(video._networks.kept)
    assert torch.equal(video[1], expected[1])


@pytest.mark.parametrize(("method", "workers"), [("fork", 2), ("spawn", 1)])
def test_workers(video: Video, expected: list[torch.Tensor], method: str, workers: int) -> None:
    video[0]  # so that there is a network to be left behind
    order = [7, 0, 11, 3]
    loader: DataLoader[torch.Tensor] = DataLoader(
        video,  # type: ignore[arg-type]
        batch_size=None,
        sampler=order,
        num_workers=workers,
        multiprocessing_context=method,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of forks in a process with threads
        pictures = list(loader)
    assert all(torch.equal(picture, expected[frame]) for picture, frame in zip(pictures, order, strict=True))


def test_a_copy_has_no_networks(video: Video, expected: list[torch.Tensor]) -> None:
    assert torch.equal(video[3], expected[3])
    assert video._networks.kept
    again = copy.copy(video)
    assert not again._networks.kept
    assert torch.equal(again[3], expected[3])


def test_flags_after_a_fork() -> None:
    """The hook that runs in a child process, in which nobody decodes, whoever did in the parent."""
    flags = _Flags()
    flags.after_fork()
    assert flags.users == 0
    torch.set_float32_matmul_precision("medium")
    try:
        flags.enter()
        flags.enter()
        assert torch.get_float32_matmul_precision() == "highest"
        with flags.lock:
            flags.after_fork()
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert flags.users == 0


def _decode_in_child(video: Video, queue: Any) -> None:
    precision = torch.get_float32_matmul_precision()
    queue.put((picture_bytes(video[2]), precision, _FLAGS.users))


def test_a_fork_while_another_thread_decodes(video: Video, expected: list[torch.Tensor]) -> None:
    """The child inherits neither the lock that is held at that moment nor the other thread's flags."""
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    torch.set_float32_matmul_precision("medium")
    try:
        with exact_arithmetic(CPU), _FLAGS.lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            child = context.Process(target=_decode_in_child, args=(video, queue))
            child.start()
        picture, precision, users = queue.get(timeout=30)
        child.join(30)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert child.exitcode == 0
    assert picture == picture_bytes(expected[2])
    assert (precision, users) == ("medium", 0)
