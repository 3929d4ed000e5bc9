"""How much memory a fit takes, and how much of what is allowed its frames may have."""

from __future__ import annotations

import torch

from nvcodec.encoding.model.network_shape import NetworkShape
from nvcodec.errors import UsageError
from nvcodec.memory import used_memory

#: Bytes that fits were seen to take beside their frames: always; per pixel (mostly the encoder); per value that the
#: decoder's blocks yield; per parameter.
FIXED_BYTES, BYTES_PER_PIXEL, BYTES_PER_ACTIVATION, BYTES_PER_PARAMETER = 200 * 2**20, 480, 19, 50
FRAMES_PER_FREE_MEMORY = 4  # frames may take a quarter of the memory that is left


def memory_for_frames(max_memory: int | None) -> int | None:
    """Return the bytes that frames may take; None where nothing is limited."""
    return None if max_memory is None else max(0, max_memory - used_memory()) // FRAMES_PER_FREE_MEMORY


def check_memory(shape: NetworkShape, parameters: int, max_memory: int | None, device: torch.device) -> None:
    """Refuse a fit that takes more memory than is allowed; a CUDA device's memory does not count.

    Raises:
        UsageError: it does.
    """
    if max_memory is None or device.type != "cpu":
        return
    needed = used_memory() + FIXED_BYTES + BYTES_PER_PIXEL * shape.width * shape.height
    needed += BYTES_PER_ACTIVATION * shape.activations + BYTES_PER_PARAMETER * parameters
    if needed > max_memory:
        raise UsageError(
            f"this fit needs about {needed / 2**20:.0f} MiB, `max_memory` allows {max_memory / 2**20:.0f}; "
            "a smaller `size` or picture needs less"
        )
