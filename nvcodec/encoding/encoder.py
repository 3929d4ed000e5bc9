"""The public function that encodes: frames to a file."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import torch

from nvcodec.encoding.encode_config import EncodeConfig
from nvcodec.encoding.encode_job import EncodeJob
from nvcodec.encoding.encoded import Encoded
from nvcodec.encoding.fit.fit_loop import OnProgress
from nvcodec.video.clip import Clip


def encode(
    source: str | os.PathLike[str] | Clip | torch.Tensor,
    output: str | os.PathLike[str] | None = None,
    *,
    config: EncodeConfig | None = None,
    report: OnProgress | None = None,
    **options: Any,
) -> Encoded:
    """Fit a network to one video and write it as an SDMN file.

    The file is decoded again at the end, and every frame compared with what was meant. While it is fitted, the state is
    kept in ``output`` + ``.checkpoint``, which is removed at the end.

    Args:
        source: a video file, a folder of images, a :class:`~nvcodec.video.clip.Clip`, or uint8 frames
            [frames, 3, height, width].
        output: the file to write; None returns its bytes only. With several target sizes it contains ``{}``, which each
            file's name replaces by its size.
        config: the options; see :class:`~nvcodec.EncodeConfig`.
        report: called with the :class:`~nvcodec.encoding.fit.fit_loop.Progress` of the fit.
        **options: fields of :class:`~nvcodec.EncodeConfig` by name, which replace those of ``config``.

    Raises:
        InputError: the source or checkpoint cannot be read, or the output cannot be written.
        Interrupted: Ctrl-C, and a checkpoint was saved.
        UsageError: options that contradict each other or the video.
        VerificationError: the file does not decode to what was meant.
    """
    config = EncodeConfig(**options) if config is None else dataclasses.replace(config, **options)
    return EncodeJob(source, output, config, report).run()
