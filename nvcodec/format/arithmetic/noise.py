"""z: the counter-based generator (specification, section 7).

Philox4x32-10 of Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), mapped through the
normal table.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nvcodec.format.arithmetic.functions import NORMAL_SIZE, normal_table
from nvcodec.format.operations import Noise

_LOW = np.uint64(0xFFFFFFFF)
_WIDE = np.uint64(32)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85

Words = npt.NDArray[np.uint64]


def philox(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> tuple[Words, Words, Words, Words]:
    """Run ten rounds of Philox4x32. Words of 32 bits are held in uint64 arrays, which broadcast against each other."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        first, second = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (
            (second >> _WIDE) ^ c1 ^ np.uint64(k0),
            second & _LOW,
            (first >> _WIDE) ^ c3 ^ np.uint64(k1),
            first & _LOW,
        )
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return c0, c1, c2, c3


def noise(op: Noise, seed: int, segment: int, layer: int, frame: int | None) -> npt.NDArray[np.int64]:
    """Compute the result of a NOISE operation for one frame, int64 [channels, height, width].

    Args:
        op: the operation.
        seed, segment, layer: the key.
        frame: number of the frame in its segment; None for an interpolated frame, which has none.
    """
    per_frame = op.per_frame and frame is not None
    quads = -(-op.width // 4)
    channel = np.arange(op.channels, dtype=np.uint64)[:, None, None]
    y = np.arange(op.height, dtype=np.uint64)[None, :, None]
    quad = np.arange(quads, dtype=np.uint64)[None, None, :]
    words = philox(
        (
            quad | y << np.uint64(16),
            channel | np.uint64(op.scale << 16),
            np.full((1, 1, 1), frame if per_frame else 0, np.uint64),
            np.full((1, 1, 1), int(per_frame), np.uint64),
        ),
        (seed, segment | layer << 16),
    )
    quantiles = np.stack(words, -1).reshape(op.channels, op.height, 4 * quads)[:, :, : op.width]
    z = normal_table()[(quantiles * np.uint64(NORMAL_SIZE) >> _WIDE).astype(np.int64)]
    return (z * op.gain + 128) >> 8
