"""One decoded frame of a source, which is converted only if it is wanted."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import av
import torch

from nvcodec.notes import note
from nvcodec.video.clip import UNSPECIFIED, Color
from nvcodec.video.frame_to_rgb import MATRICES, bits_of_frame, frame_to_rgb, is_transparent
from nvcodec.video.orientation import orientation_of
from nvcodec.video.timing import FrameTime

#: Formats with chroma as in JPEG, by FFmpeg's names; all others have it on the left samples of luma, as in MPEG-2.
CENTRED_CHROMA = frozenset({"mjpeg", "webp", "mpeg1video", "h261", "h263", "flv1", "theora", "thp", "amv"})


@dataclasses.dataclass(frozen=True)
class SourceFrame:
    """A frame as it was decoded, and what its file says of it.

    Attributes:
        frame: the frame as PyAV gives it: not yet upright.
        time: its time and duration in the file.
        coded_aspect: width of a sample divided by its height, before it is turned upright.
        centred_chroma: see :func:`~nvcodec.video.frame_to_rgb.frame_to_rgb`.
    """

    frame: av.VideoFrame
    time: FrameTime
    coded_aspect: Fraction
    centred_chroma: bool = False

    def picture(self, bits: int = 8) -> torch.Tensor:
        """Return the picture upright, with so many bits a sample: RGB [3, height, width], uint8 or uint16."""
        return orientation_of(self.frame).apply(frame_to_rgb(self.frame, self.centred_chroma, bits))

    @property
    def bits(self) -> int:
        """Bits of a sample that its picture takes not to lose any, as far as there are so many."""
        return 8 if bits_of_frame(self.frame) <= 8 else 10

    def note_what_is_left_out(self, path: str, bits: int) -> None:
        """Print a line for each property that its picture, with so many bits a sample, does not show."""
        have = bits_of_frame(self.frame)
        if have > bits == 10:
            note(path, f"its {have} bits a sample become {bits}")
        if is_transparent(self.frame):
            note(path, "transparency is left out")
        if self.color.matrix not in (UNSPECIFIED, *MATRICES):
            note(path, f"its colours are converted by BT.601, not by its matrix {self.color.matrix}")

    @property
    def sample_aspect(self) -> Fraction:
        """Width of a sample of the upright picture, divided by its height."""
        return 1 / self.coded_aspect if orientation_of(self.frame).transpose else self.coded_aspect

    @property
    def color(self) -> Color:
        """The declared colour coding; FFmpeg's numbers are those of ITU-T H.273, others become unspecified."""

        def code_point(value: int) -> int:
            return int(value) if 0 <= int(value) < 256 else UNSPECIFIED

        span = int(self.frame.color_range)
        return Color(
            code_point(self.frame.color_primaries),
            code_point(self.frame.color_trc),
            code_point(self.frame.colorspace),
            span if span in (0, 1, 2) else 0,
        )


def has_centred_chroma(container: av.container.InputContainer, stream: av.VideoStream) -> bool:
    """Return whether samples of chroma lie between those of luma, by the rules of the stream's format.

    FFmpeg knows what a stream itself says of it, which is hardly ever anything; PyAV does not pass it on.
    """
    if container.format.name == "yuv4mpegpipe":
        return True  # C420 is C420jpeg there
    return stream.codec_context.codec.canonical_name in CENTRED_CHROMA


def reason(error: BaseException) -> str:
    """Return an error of a library as the second half of a sentence."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)[:1].lower() + str(text)[1:]
