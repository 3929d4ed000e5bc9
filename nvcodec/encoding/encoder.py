"""The public function that encodes: frames to a file."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from nvcodec.encoding.encode_config import WHOLE, EncodeConfig
from nvcodec.encoding.encode_job import EncodeJob
from nvcodec.encoding.encoded import Encoded
from nvcodec.encoding.fit.fit_loop import OnProgress
from nvcodec.encoding.segments.segmented_job import SegmentedJob
from nvcodec.video.pictures import Source, Timed


def encode(
    source: Source,
    output: str | os.PathLike[str] | None = None,
    *,
    config: EncodeConfig | None = None,
    timestamps: Iterable[float | Fraction] | None = None,
    progress: OnProgress | None = None,
    report: OnProgress | None = None,
    **options: Any,
) -> Encoded:
    """Fit a network to one video and write it as an SDMN file.

    Its integers are decoded at the end; the file is read again, and everything in it compared with them. While it is
    fitted, the state is kept in ``output`` + ``.checkpoint``, which is removed at the end.

    Args:
        source: a video file, a folder of images, a :class:`~nvcodec.video.clip.Clip`, frames [frames, 3, height, width]
            or [frames, height, width, 3], uint8 or with 10 bits uint16, as a tensor or NumPy array, or an iterable of
            such pictures, whose length need not be known.
        output: the file to write; None returns its bytes only. With several target sizes it contains ``{}``, which each
            file's name replaces by its size.
        config: the options; see :class:`~nvcodec.EncodeConfig`.
        timestamps: where frames come from Python, the presentation time of each in seconds, instead of ``fps``; see
            :class:`~nvcodec.video.pictures.Timed`.
        progress: called with the :class:`~nvcodec.encoding.fit.fit_loop.Progress` of the fit.
        report: the former name of ``progress``, deprecated.
        **options: fields of :class:`~nvcodec.EncodeConfig` by name, which replace those of ``config``.

    Raises:
        InputError: the source or checkpoint cannot be read, or the output cannot be written.
        Interrupted: Ctrl-C, and a checkpoint was saved.
        UsageError: options that contradict each other or the video.
        VerificationError: the file does not decode to what was meant.
    """
    if report is not None:
        warnings.warn("`report` is now called `progress`", DeprecationWarning, stacklevel=2)
    config = EncodeConfig(**options) if config is None else dataclasses.replace(config, **options)
    timed = source if timestamps is None else Timed(source, timestamps)
    job = EncodeJob if config.segment == WHOLE else SegmentedJob
    return job(timed, output, config, progress or report).run()
