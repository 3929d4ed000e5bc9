"""Videos as data sets: the worked example docs/video_dataset.py, and a ``Video`` itself."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

import nvcodec


@pytest.mark.parametrize(("method", "workers"), [(None, 0), ("fork", 2), ("spawn", 1)])
def test_the_worked_example(
    tiny_file: Path, tiny_av1_file: Path, method: str | None, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files of five frames, one with an AV1 stream: windows of two frames that begin at 0 and 2 of each."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "docs"))
    windows = importlib.import_module("video_dataset").Windows([tiny_file, tiny_av1_file], length=2, every=2)
    expected = [
        nvcodec.open(file, device="cpu")[a:b] for file in (tiny_file, tiny_av1_file) for a, b in ((0, 2), (2, 4))
    ]
    torch.set_num_threads(3)
    try:
        windows[3]  # so that the parent has decoders, and these have threads
    finally:
        torch.set_num_threads(1)
    loader = DataLoader(
        windows, batch_size=4, num_workers=workers, multiprocessing_context=method, timeout=60 * bool(workers)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of forks in a process with threads
        ((pictures, seconds),) = loader
    assert torch.equal(pictures, torch.stack(expected))
    assert seconds.tolist() == [[0.0, 0.04], [0.08, 0.12]] * 2


def test_collating_frames(tiny_file: Path) -> None:
    """A list of frames collates into a frame whose fields are batches."""
    video = nvcodec.open(tiny_file, device="cpu")
    loader = DataLoader([video.frame(index) for index in (4, 1)], batch_size=2)  # type: ignore[arg-type]
    (together,) = loader
    assert isinstance(together, nvcodec.Frame)
    assert torch.equal(together.data, video[[4, 1]])
    assert together.pts_seconds.tolist() == [0.16, 0.04]
    assert together.duration_seconds.tolist() == [0.04, 0.04]
