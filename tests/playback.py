"""What other programs see in a video file: FFmpeg through PyAV, and the ``ffmpeg`` of the package imageio-ffmpeg."""

from __future__ import annotations

import functools
import importlib.util
import re
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import numpy.typing as npt
import pytest


class Played(NamedTuple):
    """Seconds at which each frame of a file is shown, until when the last one is, and what the file says of its end."""

    times: list[Fraction]
    end: Fraction
    stated_end: Fraction


def by_pyav(path: Path) -> Played:
    """Read times as PyAV has them."""
    with av.open(str(path)) as container:
        frames = [(frame.pts, frame.duration, frame.time_base) for frame in container.decode(video=0)]
        stated = _end(
            path, Fraction(container.duration or 0, av.time_base), Fraction(container.start_time or 0, av.time_base)
        )
    times = [pts * base for pts, _, base in frames]
    return Played(times, times[-1] + frames[-1][1] * frames[-1][2], stated)


def _end(path: Path, duration: Fraction, start: Fraction) -> Fraction:
    """The end of a file by what it states; Matroska's duration counts from 0."""
    return duration if path.suffix in (".mkv", ".webm") else duration + start


@functools.cache
def ffmpeg_program() -> str:
    """Return the path of the program; skips the test where the package is missing."""
    if importlib.util.find_spec("imageio_ffmpeg") is None:
        pytest.skip("imageio-ffmpeg is not installed")
    import imageio_ffmpeg

    return imageio_ffmpeg.get_ffmpeg_exe()


def ffmpeg(arguments: Sequence[str | Path], data: bytes | None = None) -> tuple[bytes, str]:
    """Run ``ffmpeg``; returns its output and its messages."""
    command = [ffmpeg_program(), "-hide_banner", "-nostdin", *map(str, arguments)]
    done = subprocess.run(command, input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout, done.stderr.decode()


def by_ffmpeg(path: Path) -> Played:
    """Read times as ``ffmpeg`` has them: those of decoded frames, and ``Duration`` of the file."""
    arguments = ["-i", path, "-map", "0:v", "-fps_mode", "passthrough", "-enc_time_base", "demux", "-copyts"]
    listing, said = ffmpeg([*arguments, "-f", "framecrc", "-"])
    base = Fraction(re.search(r"#tb 0: (\S+)", listing.decode())[1])  # type: ignore[index]
    rows = [line.split(b",") for line in listing.splitlines() if not line.startswith(b"#")]
    times = [int(row[2]) * base for row in rows]
    hours, minutes, seconds, start = re.search(r"Duration: (\d+):(\d+):([\d.]+), start: ([\d.-]+)", said).groups()  # type: ignore[union-attr]
    stated = _end(path, int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds), Fraction(start))
    return Played(times, times[-1] + int(rows[-1][3]) * base, stated)


def pictures_by_ffmpeg(path: Path, width: int, height: int) -> npt.NDArray[np.uint8]:
    """Read frames as RGB, uint8 [frames, height, width, 3], with rounding as accurate as FFmpeg has it."""
    arguments = ["-i", path, "-map", "0:v", "-fps_mode", "passthrough", "-sws_flags", "accurate_rnd+full_chroma_int"]
    data, _ = ffmpeg([*arguments, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"])
    return np.frombuffer(data, np.uint8).reshape(-1, height, width, 3)
