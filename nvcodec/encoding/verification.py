"""Decoding what has been encoded: picture checksums and PSNR of its integers, and the comparison of the file."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.decoding.picture_checksums import compute_checksums
from nvcodec.errors import VerificationError
from nvcodec.format.stream import Stream
from nvcodec.format.stream_reader import read_stream
from nvcodec.metrics import psnr
from nvcodec.video.clip import Clip


def decode_and_measure(stream: Stream, clip: Clip, device: torch.device) -> tuple[np.ndarray, float]:
    """Decode the integers of a stream of one segment, with all its layers.

    Returns:
        The checksums of its pictures, one for as many frames as the highest layer says; and their RGB PSNR in dB, mean
        over the frames.
    """
    network = ExactNetwork(stream.segments[0], 0, stream.video.seed, device, stream.layers, bits=stream.video.bits)
    psnrs = []

    def pictures() -> Iterator[torch.Tensor]:
        for frame, original in enumerate(clip.frames):
            picture = network.decode([frame])[0].cpu()
            psnrs.append(psnr(picture, original))
            yield picture

    checksums = compute_checksums(pictures(), stream.segments[0].layers[-1].frames_per_checksum)
    return checksums, sum(psnrs) / len(psnrs)


def verify(data: bytes, meant: Stream, clip: Clip) -> None:
    """Read a file as any decoder would, and compare all that it holds with a stream.

    Pictures are a function of that alone, and those of the stream have been decoded for its checksums: they need not be
    decoded once more.

    Args:
        data: the file.
        meant: the stream that it should hold, with its checksums.
        clip: whose time stamps it should hold.

    Raises:
        VerificationError: it differs.
    """
    stream = read_stream(data)
    if stream.ticks != clip.ticks:
        raise VerificationError("the file does not hold the clip's time stamps")
    for part in ("video", "segments", "metadata", "compact"):
        if not _same(getattr(stream, part), getattr(meant, part)):
            raise VerificationError(f"the file does not hold what was meant: its {part} differ")


def _same(a: Any, b: Any) -> bool:
    """Return whether two parts of streams are equal, arrays by their values."""
    if dataclasses.is_dataclass(a):
        names = [field.name for field in dataclasses.fields(a)]
        return type(a) is type(b) and all(_same(getattr(a, name), getattr(b, name)) for name in names)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return bool(a == b)
