"""The order in which a fit sees the frames."""

from __future__ import annotations

import torch


class FrameSampler:
    """Draws frames in random order, every frame once per epoch.

    Args:
        frames: number of frames in the clip.
        seed: of the order.
    """

    def __init__(self, frames: int, seed: int) -> None:
        self.frames = frames
        self.generator = torch.Generator().manual_seed(seed)
        self.queue: list[int] = []

    def draw(self, count: int) -> list[int]:
        """Return the next ``count`` frame numbers."""
        while len(self.queue) < count:
            self.queue += torch.randperm(self.frames, generator=self.generator).tolist()
        chosen, self.queue = self.queue[:count], self.queue[count:]
        return chosen
