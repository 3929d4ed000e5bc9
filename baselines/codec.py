"""Fit a network to frames and store it; decode it and judge it."""

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
    """The shape of a network, ``DNeRV`` or ``FFNeRV``, of so many parameters for ``frames``.

    Raises:
        UsageError: it cannot have as few.
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
    """What :func:`nvcodec.encode` does with ``target_size``, and its options, for a network of :data:`FITS`.

    Args:
        network: ``DNeRV`` or ``FFNeRV``.
        frames: uint8 [frames, 3, height, width].
        file_bytes: what the result is to have, at most.
        seconds, steps: time for all of it, and updates; what is reached first ends the fit.
        seed: of the fit.
        device: where to fit.

    Raises:
        UsageError: the clip cannot be coded in so few bytes.
    """
    began = time.monotonic()
    where = torch.device(device)

    def network_of(parameters: int) -> NetworkShape:
        return solve(network, parameters, frames)

    parameters = parameters_for_bytes(file_bytes, len(frames), DEFAULT_LAMBDA_DB, network_of)
    batch = TIMED_GPU_BATCH if steps is None and where.type == "cuda" else 1
    left = None if seconds is None else max(1e-3, seconds - (time.monotonic() - began))
    options = FitOptions(
        steps, left, batch=batch, seed=seed, rd_lambda=DEFAULT_LAMBDA_DB, bfloat16=has_fast_bfloat16(where)
    )
    fit = FITS[network](frames, solve(network, parameters, frames), options, where)

    run(fit, should_stop=lambda: fit.quantised)
    run_to_size(fit, StoredBytes(), file_bytes)
    return stored.write(fit.finish())


class StoredBytes:
    """Measures files of :mod:`baselines.stored`."""

    def measure(self, fitted: Fitted, file_bytes: int) -> tuple[int, int]:
        """Return the bytes that weights, grids and latents take, and those that a file of this size has for them."""
        used = value_bytes(fitted)
        return used, file_bytes - (len(stored.write(fitted)) - used)


@torch.inference_mode()
def decode(data: bytes, times: Sequence[int | Fraction], device: str = "cpu") -> Iterator[torch.Tensor]:
    """Pictures for ``times``, in frames: uint8 [3, height, width]. Between two frames latents are what lies between
    theirs."""
    fitted = stored.read(data)
    fitted.decoder.to(device)
    with fitted.decoder.in_float():  # all values are multiples of their steps; those in between are not rounded again
        for when in times:
            latents = [between(latent, when).to(device) for latent in fitted.latents]
            picture = fitted.decoder(latents, [], [when])[0]
            yield (255 * picture).round().clamp(0, 255).to(torch.uint8).cpu()


def between(latent: torch.Tensor, when: int | Fraction) -> torch.Tensor:
    """The latent [frames, channels, height, width] at a time in frames: [1, channels, height, width]."""
    first, after = math.floor(when), math.ceil(when)
    return torch.lerp(latent[[first]], latent[[after]], float(when - first))
