"""Ending at a size or at a quality: beside how long the fit is, how finely weights are rounded decides both."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable

import numpy as np
import torch

from nvcodec.encoding.fit.fit import Fit, FitOptions, Fitted, snapshot
from nvcodec.encoding.fit.fit_loop import SAFETY, Asked, Keep, Watch, run
from nvcodec.encoding.fit.losses import Loss
from nvcodec.encoding.model.decoder_network import integers
from nvcodec.encoding.model.network_shape import NetworkShape
from nvcodec.encoding.quantizer.learned_steps import COARSEST
from nvcodec.errors import UsageError
from nvcodec.format.entropy.chunks import encode_chunk
from nvcodec.format.entropy.contexts import Rows
from nvcodec.format.inference import MAX_WEIGHTS
from nvcodec.format.payloads import pack_latents
from nvcodec.video.frames import Frames

FINER = 1.01  # between two sizes that are tried
#: Of a file, at least, for what is no grid and no latent: so much at so many bits a pixel, more where there are fewer.
LEAST_NETWORK, AMPLE, SCARCITY, MOST_NETWORK = 0.25, 0.1, 0.4, 0.6
AIM = 0.995  # of the bytes allowed, while fitting; the rest is for the last adjustment
NEAR = 0.985  # enough of them
#: The last adjustment: how often it is tried, how much further than expected, and eighths of an octave at most.
ROUNDS, BEYOND, FINEST = 12, 1.5, 8.0
#: Of a file, for each value of its grids, of its latents, and other parameter, without and with rate in the loss.
GRID_BITS, LATENT_BITS, OTHER_BITS = {False: 3.0, True: 2.0}, {False: 6.3, True: 1.0}, {False: 6.3, True: 4.2}
PROBE = 0.15  # of a fit's steps tell what the whole of it would reach:
PROBE_GAIN, SIZE_GAIN = 3.0, 2.0  # dB more; and dB that twice the parameters bring
CLOSE = 0.06  # dB above a target, at most
ATTEMPTS, PROLONGED, LEAST = 8, 0.08, 100  # to come so close, each for this part of the fit so far or so many steps
FEWEST = 1.5  # bits a weight or value of a grid, on average: with fewer a network is better made smaller
STALE = 0.1  # octaves of bits: so near to what did not suffice, it would now
LEAP, BITS_GAIN = 1.0, 4.0  # octaves of bits that an attempt saves at most; dB that twice the bits bring, about
#: Octaves that the network may be larger than the probe's. A smaller one would be worse than it tells, and what is not
#: needed of its bytes is saved in the end anyway.
WIDEST = 3.0


def balanced(
    frames: int, rate: float, grids: float, solve: Callable[..., NetworkShape]
) -> Callable[[int], NetworkShape]:
    """What gives, for a number of parameters, the network with the most grids that leave the rest its share.

    Args:
        frames: of the clip.
        rate: as in :class:`~nvcodec.encoding.fit.fit.FitOptions`.
        grids: their share of the parameters at most.
        solve: gives the network of a number of parameters, and of a share ``grids``.
    """

    def best(parameters: int) -> NetworkShape:
        share = grids
        while True:
            shape = solve(parameters, grids=share)
            bits, values = expected_bits(shape, frames, rate), _parts(shape, frames)[0]
            scarce = AMPLE * frames * shape.width * shape.height / sum(bits)
            least = min(MOST_NETWORK, LEAST_NETWORK * max(1.0, scarce) ** SCARCITY)
            if not values or bits[2] >= least * sum(bits):
                return shape
            share = 0.999 * values / parameters  # the next set of grids

    return best


def parameters_for(file_bytes: int, frames: int, rate: float, solve: Callable[[int], NetworkShape]) -> int:
    """How many parameters a file of this size can hold.

    Args:
        file_bytes: its size.
        frames: of the clip.
        rate: as in :class:`~nvcodec.encoding.fit.fit.FitOptions`.
        solve: gives the network of a number of parameters.
    """
    bits, each = 8 * file_bytes, _bits_each(rate)
    few, wanted = bits / max(each), min(MAX_WEIGHTS, bits / min(each))
    # From many down: with a larger set of grids the network beside them shrinks by more than they have grown.
    while wanted > few:
        with contextlib.suppress(UsageError):  # the clip cannot be coded with so few
            if sum(expected_bits(solve(round(wanted)), frames, rate)) <= bits:
                break
        wanted /= FINER
    return round(wanted)


def expected_bits(shape: NetworkShape, frames: int, rate: float) -> list[float]:
    """What a file of such a network takes for its grids, for latents and for the rest."""
    return [bits * count for bits, count in zip(_bits_each(rate), _parts(shape, frames), strict=True)]


def _bits_each(rate: float) -> list[float]:
    return [bits[rate > 0] for bits in (GRID_BITS, LATENT_BITS, OTHER_BITS)]


def _parts(shape: NetworkShape, frames: int) -> tuple[int, int, int]:
    """Values of grids, of latents, and other parameters."""
    grids = sum(math.prod(size) for size in shape.grid_sizes.values())
    latents = frames * shape.latent_values
    return grids, latents, shape.parameters(frames) - grids - latents


def parameters_to_reach(
    target: float,
    frames: Frames,
    options: FitOptions,
    device: torch.device,
    loss: Loss,
    solve: Callable[[int], NetworkShape],
    stop: Asked = lambda: False,
) -> int:
    """How many parameters reach an RGB PSNR of ``target``, dB, in about ``options.steps``: a short fit tells.

    ``solve`` gives the network of a number of parameters.
    """
    pixels = len(frames) * frames.shape[2] * frames.shape[3]
    parameters = _possible(2 * pixels**0.75, solve)
    steps = max(1, round(PROBE * (options.steps or 1)))
    probe = Fit(frames, solve(parameters), dataclasses.replace(options, steps=steps), device, loss)
    run(probe, stop=stop)
    octaves = (target - probe.result().psnr(frames) - PROBE_GAIN) / SIZE_GAIN
    return _possible(parameters * 2.0 ** min(WIDEST, max(0.0, octaves)), solve)


def _possible(parameters: float, solve: Callable[[int], NetworkShape]) -> int:
    """About so many, or as many more as the smallest network for the clip takes.

    Raises:
        UsageError: no stream holds as many.
    """
    wanted = min(MAX_WEIGHTS, round(parameters))
    while True:
        try:
            solve(wanted)
        except UsageError:
            if wanted == MAX_WEIGHTS:
                raise
            wanted = min(MAX_WEIGHTS, 2 * wanted)
        else:
            return wanted


def rounded_bytes(fitted: Fitted) -> int:
    """What weights, grids and latents take in a file, read from their chunks."""
    decoder = fitted.decoder
    assert decoder.latent_steps is not None
    total = 0
    for conv in decoder.convs():
        rows = conv.integers().detach().cpu().numpy().astype(np.int16).reshape(conv.out_channels, -1)
        total += len(encode_chunk(rows, Rows(conv.group)))
    for grid in decoder.grids.values():
        total += len(pack_latents(0, 0, grid.integers().detach().cpu().numpy().astype(np.int16)))
    for latent, step in zip(fitted.latents, decoder.latent_steps, strict=True):
        total += len(pack_latents(0, 0, integers(latent, step).detach().cpu().numpy().astype(np.int16)))
    return total


def run_to_size(
    fit: Fit,
    weights: Callable[[], tuple[int, int]],
    report: Watch | None = None,
    keep: Keep | None = None,
    stop: Asked = lambda: False,
) -> None:
    """Take a fit whose quantisation has begun to its end, with weights of at most so many bytes, and hardly fewer.

    Steps of rounding move together so that the estimate of the rate stays what it has to be. ``weights`` says how many
    bytes they take, and how many there are for them: it is asked at the beginning, halfway and at the end.
    """
    for part, end in enumerate((1 - fit.options.quantised / 2, 1.0)):
        if len(fit.allowed) == part and not stop():  # a fit that was resumed in this part knows already
            began = time.monotonic()
            fit.quantise()  # time may have run out before
            taken, room = weights()
            fit.allow(fit.rounding.bits().item() / taken * AIM * room)
            fit.lost += time.monotonic() - began
        run(fit, report, keep, lambda end=end: stop() or fit.spent() >= end)  # type: ignore[misc]
    if stop():
        return  # what a checkpoint keeps is the fit as it was
    _fill(fit, weights)


def _fill(fit: Fit, weights: Callable[[], tuple[int, int]]) -> None:
    """Move all steps of rounding together until the bytes are those there is room for, and hardly fewer."""
    at = 0.0
    finer: tuple[float, int] | None = None  # levels and bytes that are too many,
    coarser: tuple[float, int] | None = None  # and that are not
    for _ in range(ROUNDS):
        taken, room = weights()  # the room changes a little with the steps: biases and tables are written with them
        if NEAR * room <= taken <= room:
            return
        if taken > room:
            finer = at, taken
        else:
            coarser = at, taken
        if finer and coarser:
            spread = math.log(finer[1] / coarser[1])  # 0 or less only where the room has changed in between
            part = math.log(AIM * room / coarser[1]) / spread if spread > 0 else 0.5
            wanted = coarser[0] + min(0.9, max(0.1, part)) * (finer[0] - coarser[0])
        else:  # a bit a value is an octave, of eight levels, but not where most values are zero
            wanted = at + BEYOND * 64 * (AIM * room - taken) / fit.rounding.values
            wanted = min(FINEST, max(-COARSEST, wanted))
        if wanted == at:
            return
        fit.rounding.shift(wanted - at)
        at = wanted
    taken, room = weights()
    if taken > room:
        fit.rounding.shift((coarser[0] if coarser else -COARSEST) - at)


def trim(fit: Fit, target: float, report: Watch | None = None, stop: Asked = lambda: False) -> None:
    """Where a fit that has ended is better than ``target``, RGB PSNR of all frames in dB, let weights cost less.

    Rounding alone would lose what the fit has learned of its lattice, so each attempt goes on fitting for a while; the
    last one that reaches the target stays. A fit that is stopped on the way is as it was, so that it can begin again.
    """
    over = fit.result().psnr(fit.frames) - target - SAFETY
    if over < 0:
        return
    whole = good = snapshot(fit)
    enough = math.log2(fit.rounding.bits().item())  # octaves of bits that reach the target by ``over``
    scant: tuple[float, float] | None = None  # and that do not, by how much
    least = math.log2(FEWEST * fit.rounding.values)
    for _ in range(ATTEMPTS):
        if over <= CLOSE or enough <= least or stop():
            break
        if scant:
            bits = enough - (enough - scant[0]) * (over - CLOSE / 2) / (over - scant[1])
        else:
            bits = enough - min(LEAP, over / BITS_GAIN)
        bits = max(bits, least)
        fit.allow(2**bits)
        fit.prolong(max(PROLONGED, LEAST / fit.step))
        run(fit, report, stop=stop)
        now = fit.result().psnr(fit.frames) - target - SAFETY
        if now >= 0:
            over, enough, good = now, bits, snapshot(fit)
            if scant and enough - scant[0] < STALE:
                scant = None  # the fit has gone on since
        else:
            scant = bits, now
            fit.restore(*good)
    fit.restore(*(whole if stop() else good))
