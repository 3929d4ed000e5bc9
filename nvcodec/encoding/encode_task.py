"""What all layers of an encode share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch

from nvcodec.encoding.clock import Clock
from nvcodec.encoding.encode_config import EncodeConfig
from nvcodec.encoding.fit.checkpoint import Checkpointer
from nvcodec.encoding.fit.fit_loop import OnProgress
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.losses import Loss
from nvcodec.video.clip import Clip


@dataclasses.dataclass(frozen=True)
class EncodeTask:
    """A clip, and how it is to be encoded.

    Attributes:
        config: the options.
        clip: what is coded.
        loss: the training loss.
        target_bytes: size of each file; empty without a target size.
        options: of the fits; each layer gets its share of the time.
        still: whether most of the picture stays in its place.
        device: where to fit.
        clock: seconds spent per phase.
        on_progress: called with the progress of each fit.
        should_stop: whether an end has been requested.
        checkpoint_path: where the state of the fit is kept; None if it is not.
    """

    config: EncodeConfig
    clip: Clip
    loss: Loss
    target_bytes: list[int]
    options: FitOptions
    still: bool
    device: torch.device
    clock: Clock
    on_progress: OnProgress | None
    should_stop: Callable[[], bool]
    checkpoint_path: Path | None

    @property
    def seconds_left(self) -> float | None:
        """Seconds that are left now; None without a time limit."""
        return self.clock.left if self.clock.limited else None

    def checkpointer(self, lower_layers: bytes) -> Checkpointer | None:
        """Return what saves the fit of a layer above ``lower_layers``; None if no checkpoint is kept."""
        if self.checkpoint_path is None:
            return None
        return Checkpointer(self.checkpoint_path, self.config.checkpoint_every, lower_layers)
