"""Encode frames with one of the networks, and decode them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction

import torch

from baselines import dnerv, ffnerv, stored
from nvcodec.encoding.assembly import value_bytes
from nvcodec.encoding.encode_config import DEFAULT_LAMBDA_DB
from nvcodec.encoding.encode_job import TIMED_GPU_BATCH
from nvcodec.encoding.fit.fit import Fit, Fitted, has_fast_bfloat16
from nvcodec.encoding.fit.fit_loop import run
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.model.network_shape import NetworkShape
from nvcodec.encoding.size_target import run_to_size
from nvcodec.encoding.sizing import parameters_for_bytes
from nvcodec.video.frames import Frames

FITS: dict[str, type[Fit]] = {"DNeRV": dnerv.DNeRVFit, "FFNeRV": ffnerv.FFNeRVFit}


def solve(network: str, parameters: int, frames: Frames) -> NetworkShape:
    """Return the shape of a network, ``DNeRV`` or ``FFNeRV``, with so many parameters for ``frames``.

    Raises:
        UsageError: the network cannot have so few.
    """
    solver = dnerv.solve if network == "DNeRV" else ffnerv.solve
    return solver(parameters, frames.shape[3], frames.shape[2], len(frames))


def encode(
    network: str,
    frames: Frames,
    file_bytes: int,
    *,
    seconds: float | None = None,
    steps: int | None = None,
    seed: int = 0,
    device: str = "cpu",
) -> bytes:
    """Fit a network and return it as bytes, as :func:`nvcodec.encode` does with ``target_size`` and its defaults.

    Args:
        network: ``DNeRV`` or ``FFNeRV``.
        frames: uint8 [frames, 3, height, width].
        file_bytes: largest size of the result.
        seconds, steps: time in all, and training steps; the limit that is reached first ends the fit.
        seed: of the fit.
        device: where to fit.

    Raises:
        UsageError: the clip cannot be coded in so few bytes.
    """
    start = time.monotonic()
    torch_device = torch.device(device)

    def network_of(parameters: int) -> NetworkShape:
        return solve(network, parameters, frames)

    parameters = parameters_for_bytes(file_bytes, len(frames), DEFAULT_LAMBDA_DB, network_of)
    batch = TIMED_GPU_BATCH if steps is None and torch_device.type == "cuda" else 1
    left = None if seconds is None else max(1e-3, seconds - (time.monotonic() - start))
    options = FitOptions(
        steps, left, batch=batch, seed=seed, rd_lambda=DEFAULT_LAMBDA_DB, bfloat16=has_fast_bfloat16(torch_device)
    )
    fit = FITS[network](frames, network_of(parameters), options, torch_device)
    run(fit, should_stop=lambda: fit.quantised)
    run_to_size(fit, StoredBytes(), file_bytes)
    return stored.write(fit.finish())


class StoredBytes:
    """Measures the bytes of :mod:`baselines.stored`, for rate control."""

    def measure(self, fitted: Fitted, file_bytes: int) -> tuple[int, int]:
        """Return the bytes that weights, grids and latents take, and those that a file of this size has for them."""
        used = value_bytes(fitted)
        return used, file_bytes - (len(stored.write(fitted)) - used)


@torch.inference_mode()
def decode(data: bytes, times: Sequence[int | Fraction], device: str = "cpu") -> Iterator[torch.Tensor]:
    """Yield the pictures at ``times``, in frames: uint8 [3, height, width].

    Between two frames, the latents are interpolated.
    """
    fitted = stored.read(data)
    fitted.decoder.to(device)
    with fitted.decoder.in_float():  # values are multiples of their steps already; interpolated ones are not rounded
        for time_in_frames in times:
            latents = [between(latent, time_in_frames).to(device) for latent in fitted.latents]
            picture = fitted.decoder(latents, [], [time_in_frames])[0]
            yield (255 * picture).round().clamp(0, 255).to(torch.uint8).cpu()


def between(latent: torch.Tensor, time_in_frames: int | Fraction) -> torch.Tensor:
    """Return a latent [frames, channels, height, width] at a time, in frames: [1, channels, height, width]."""
    first, after = math.floor(time_in_frames), math.ceil(time_in_frames)
    return torch.lerp(latent[[first]], latent[[after]], float(time_in_frames - first))
