"""What cannot be encoded whatever the encoder does, told while the source is still being read."""

from __future__ import annotations

from nvcodec.encoding.encode_config import EncodeConfig
from nvcodec.encoding.model.shape_solver import SIZE_LEEWAY, least_network
from nvcodec.encoding.sizing import expected_bits
from nvcodec.errors import InputError, UsageError
from nvcodec.video.source import LEAST_SIDE

MAX_SIDE = 65535  # pixels
LEAST_AV1_FRAME_BYTES = 3  # the header of an OBU, its size, and one byte that says which frame is shown


def check_capacity(config: EncodeConfig, frames: int, width: int, height: int, seconds: float | None = None) -> None:
    """Refuse a clip that the sizes that were asked for cannot hold, or that no file can.

    Args:
        config: the options.
        frames: in the clip, at least.
        width, height: of the frames, in pixels.
        seconds: of the clip; None while they are unknown.

    Raises:
        InputError: there is no frame, or a side is too short or too long.
        UsageError: even the smallest network, or AV1 stream, for so many frames is larger than what was asked for.
    """
    what = f"{frames} frames of {width}x{height}"
    if not frames or min(width, height) < LEAST_SIDE or max(width, height) > MAX_SIDE:
        raise InputError(
            f"{what} cannot be encoded: at least one frame is needed, and sides from {LEAST_SIDE} to {MAX_SIDE}"
        )
    targets = config.target_sizes if seconds is None else config.file_sizes(seconds)
    if config.has_av1:
        if targets and min(targets) < frames * LEAST_AV1_FRAME_BYTES:
            raise UsageError(
                f"an AV1 stream of {what} takes more than {frames * LEAST_AV1_FRAME_BYTES} bytes, "
                f"and the file may have {min(targets)}"
            )
        return
    least = least_network(width, height, frames)
    for size in config.layer_sizes:
        if size is not None and least.parameters(frames) > SIZE_LEEWAY * size:
            raise UsageError(f"{what} need at least {least.parameters(frames)} parameters, `size` asks for {size}")
    bits = expected_bits(least, frames, config.lambda_db).total
    if targets and config.size is None and bits > SIZE_LEEWAY * 8 * max(targets):
        raise UsageError(
            f"the smallest network for {what} takes about {round(bits / 8)} bytes, and the file may have {max(targets)}"
        )
