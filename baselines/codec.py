"""Fit a network to frames and store it; decode it and judge it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction

import torch

from baselines import dnerv, ffnerv, stored
from nvcodec.encoding.encoder import DEFAULT_LAMBDA, TIMED_BATCH
from nvcodec.encoding.fit.fit import Fit, FitOptions, fast_bfloat16
from nvcodec.encoding.fit.fit_loop import run
from nvcodec.encoding.fit.targets import parameters_for, rounded_bytes, run_to_size
from nvcodec.encoding.model.network_shape import NetworkShape
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
    parameters = parameters_for(file_bytes, len(frames), DEFAULT_LAMBDA, lambda count: solve(network, count, frames))
    batch = TIMED_BATCH if steps is None and where.type == "cuda" else 1
    left = None if seconds is None else max(1e-3, seconds - (time.monotonic() - began))
    options = FitOptions(steps, left, batch=batch, seed=seed, rate=DEFAULT_LAMBDA, bfloat16=fast_bfloat16(where))
    fit = FITS[network](frames, solve(network, parameters, frames), options, where)

    def room() -> tuple[int, int]:
        """Bytes that weights, grids and latents take, and that there are for them."""
        fitted = fit.result()
        taken = rounded_bytes(fitted)
        return taken, file_bytes - (len(stored.write(fitted)) - taken)

    run(fit, stop=lambda: fit.quantised)
    run_to_size(fit, room)
    return stored.write(fit.result())


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
