"""nvcodec: a neural video codec. One small network is fitted to one video; the file holds its integers.

    import nvcodec

    nvcodec.encode("video.mp4", "out.sdmn", size="3M")
    video = nvcodec.open("out.sdmn")
    video[0]          # uint8 tensor [3, height, width]; uint16 of a file with 10 bits
    video[10:20]      # uint8 tensor [10, 3, height, width]
    video.frame_at(1.5)  # the frame shown at this second, with its times
    video.timestamps  # exact seconds, one Fraction per frame
    nvcodec.info("out.sdmn")["bits_per_pixel"]

Importing this imports neither torch nor PyAV; the first use of ``open``, ``Video`` or ``encode`` does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from nvcodec.decoding.decoded_video import Video as Video
    from nvcodec.decoding.frame_batch import Frame as Frame
    from nvcodec.decoding.frame_batch import FrameBatch as FrameBatch
    from nvcodec.encoding.comparison import Comparison as Comparison
    from nvcodec.encoding.comparison import compare as compare
    from nvcodec.encoding.encode_config import EncodeConfig as EncodeConfig
    from nvcodec.encoding.encoded import Encoded as Encoded
    from nvcodec.encoding.encoder import encode as encode
    from nvcodec.errors import CorruptStreamError as CorruptStreamError
    from nvcodec.errors import InputError as InputError
    from nvcodec.errors import Interrupted as Interrupted
    from nvcodec.errors import LimitError as LimitError
    from nvcodec.errors import NvcodecError as NvcodecError
    from nvcodec.errors import UnsupportedVersionError as UnsupportedVersionError
    from nvcodec.errors import UsageError as UsageError
    from nvcodec.errors import VerificationError as VerificationError
    from nvcodec.format.describe import info as info

    open = Video

_HOME = {
    "open": ("nvcodec.decoding.decoded_video", "Video"),
    "Video": ("nvcodec.decoding.decoded_video", "Video"),
    "Frame": ("nvcodec.decoding.frame_batch", "Frame"),
    "FrameBatch": ("nvcodec.decoding.frame_batch", "FrameBatch"),
    "encode": ("nvcodec.encoding.encoder", "encode"),
    "EncodeConfig": ("nvcodec.encoding.encode_config", "EncodeConfig"),
    "Encoded": ("nvcodec.encoding.encoded", "Encoded"),
    "compare": ("nvcodec.encoding.comparison", "compare"),
    "Comparison": ("nvcodec.encoding.comparison", "Comparison"),
    "info": ("nvcodec.format.describe", "info"),
    "NvcodecError": ("nvcodec.errors", "NvcodecError"),
    "UsageError": ("nvcodec.errors", "UsageError"),
    "InputError": ("nvcodec.errors", "InputError"),
    "LimitError": ("nvcodec.errors", "LimitError"),
    "CorruptStreamError": ("nvcodec.errors", "CorruptStreamError"),
    "UnsupportedVersionError": ("nvcodec.errors", "UnsupportedVersionError"),
    "Interrupted": ("nvcodec.errors", "Interrupted"),
    "VerificationError": ("nvcodec.errors", "VerificationError"),
}
__all__ = ["__version__", *(name for name in _HOME if name != "open")]  # a star import must not hide open()


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOME[name]
    return getattr(importlib.import_module(module), attribute)
