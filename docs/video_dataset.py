"""A worked example of api.md: windows of consecutive frames from several files, as a data set to train with.

    python docs/video_dataset.py FILE... [--length 4] [--every 4] [--batch 2] [--workers 2] [--method spawn]

Prints the size and the first times of every batch.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import click
import torch
from torch.utils.data import DataLoader, Dataset

import nvcodec


class Windows(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """All windows of ``length`` frames, one beginning every ``every`` frames of each file.

    An item is the pictures, uint8 [length, 3, height, width], and their times in seconds, float64 [length]. The files
    are opened once, here; each worker, forked or spawned, decodes with networks of its own. Workers decode on the CPU:
    CUDA cannot be used in a forked process, and in spawned ones every worker would take its share of a GPU's memory.
    """

    def __init__(self, files: Sequence[str | os.PathLike[str]], length: int = 4, every: int = 4) -> None:
        self.videos = [nvcodec.open(file, device="cpu") for file in files]
        self.length = length
        self.windows = [
            (number, start)
            for number, video in enumerate(self.videos)
            for start in range(0, len(video) - length + 1, every)
        ]

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        number, start = self.windows[index]
        batch = self.videos[number].frames(range(start, start + self.length))
        return batch.data, batch.pts_seconds


@click.command()
@click.argument("files", nargs=-1, required=True)
@click.option("--length", default=4, help="Frames per window.")
@click.option("--every", default=4, help="Frames between the beginnings of two windows.")
@click.option("--batch", default=2, help="Windows per batch.")
@click.option("--workers", default=2)
@click.option("--method", default="spawn", help="How workers start: fork, forkserver or spawn.")
def main(files: tuple[str, ...], length: int, every: int, batch: int, workers: int, method: str) -> None:
    loader = DataLoader(
        Windows(files, length, every),
        batch_size=batch,
        shuffle=True,
        num_workers=workers,
        multiprocessing_context=method if workers else None,
    )
    for pictures, seconds in loader:
        click.echo(f"{list(pictures.shape)} from {seconds[:, 0].tolist()} s")


if __name__ == "__main__":
    main()
