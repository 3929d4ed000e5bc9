"""The fit: batches, schedule, and the switch to quantisation in the loop."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from nvcodec.fit.muon import Muon
from nvcodec.model.decoder import Decoder
from nvcodec.model.encoder import Encoder
from nvcodec.model.shape import NetworkShape
from nvcodec.quantize.prepare import prepare


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """How to fit.

    Attributes:
        steps: updates in all; each sees ``batch`` frames.
        batch: frames a step.
        seed: of initialisation and of the frames' order.
        muon_rate, adam_rate: peak learning rates of convolution kernels and of everything else.
        warmup: share of the steps over which the rates rise.
        quantised: share of the steps, the last ones, with quantisation in the loop; 0 fits a plain float network.
    """

    steps: int
    batch: int = 1
    seed: int = 0
    muon_rate: float = 0.02
    adam_rate: float = 1e-3
    warmup: float = 0.05
    quantised: float = 0.2


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far the fit is: ``loss`` and ``psnr`` (dB) are means over the last steps, times in seconds."""

    step: int
    steps: int
    loss: float
    psnr: float
    seconds: float
    seconds_left: float


@dataclasses.dataclass
class Fitted:
    """The result: a decoder and the embeddings [frames, C0, h0, w0] it was fitted with."""

    decoder: Decoder
    embeddings: torch.Tensor


def schedule(share: float, warmup: float) -> float:
    """Learning-rate factor at ``share`` of the fit: linear warm-up, then a cosine down to 1 %."""
    rise = min(1.0, (share + 1e-3) / warmup) if warmup else 1.0
    return rise * max(0.01, 0.5 + 0.5 * math.cos(math.pi * share))


def fit(
    frames: torch.Tensor,
    shape: NetworkShape,
    options: FitOptions,
    device: torch.device,
    report: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Fit a network to a clip.

    Args:
        frames: uint8 [frames, 3, height, width], kept as bytes.
        shape: the network; its width and height are the frames'.
        options: see :class:`FitOptions`.
        device: where to fit.
        report: called now and then, and after the last step.

    Returns:
        The decoder with its quantisation steps set (unless ``options.quantised`` is 0) and the float embeddings.
    """
    with torch.random.fork_rng(devices=[]):  # the caller's generator stays as it is
        torch.manual_seed(options.seed)
        encoder, decoder = Encoder(shape), Decoder(shape)
    encoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    decoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network = nn.ModuleList([encoder, decoder])
    kernels = [p for p in network.parameters() if p.ndim == 4 and p.size(1) > 1]
    others = [p for p in network.parameters() if not (p.ndim == 4 and p.size(1) > 1)]
    optimisers = [
        (Muon(kernels), options.muon_rate),
        (torch.optim.Adam(others, betas=(0.9, 0.99), foreach=True), options.adam_rate),
    ]
    frames = frames.to(device)
    switch = options.steps - math.ceil(options.quantised * options.steps)
    order = torch.Generator().manual_seed(options.seed)
    queue: list[int] = []
    losses: list[torch.Tensor] = []
    start = time.monotonic()
    for step in range(options.steps):
        if step == switch:
            prepare(decoder, embed(encoder, frames))
        while len(queue) < options.batch:
            queue += torch.randperm(len(frames), generator=order).tolist()
        chosen, queue = queue[: options.batch], queue[options.batch :]
        target = as_float(frames[chosen])
        factor = schedule(step / options.steps, options.warmup)
        with torch.enable_grad():
            loss = F.mse_loss(decoder(encoder(target)), target)
        network.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimiser, rate in optimisers:
            optimiser.param_groups[0]["lr"] = rate * factor
            optimiser.step()
        losses.append(loss.detach())
        if report and (len(losses) == REPORT_STEPS or step == options.steps - 1):
            mean = torch.stack(losses).clamp(min=1e-10)
            seconds = time.monotonic() - start
            report(
                Progress(
                    step + 1,
                    options.steps,
                    float(mean.mean()),
                    float(-10 * mean.log10().mean()),
                    seconds,
                    seconds / (step + 1) * (options.steps - step - 1),
                )
            )
            losses.clear()
    return Fitted(decoder, embed(encoder, frames))


REPORT_STEPS = 20  # steps between reports: each costs a synchronisation on a GPU


def as_float(frames: torch.Tensor) -> torch.Tensor:
    """uint8 pictures as float32 in 0 to 1, ``channels_last``."""
    return (frames.float() / 255).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def embed(encoder: Encoder, frames: torch.Tensor) -> torch.Tensor:
    """The embeddings of all frames, one after the other."""
    return torch.cat([encoder(as_float(frames[i : i + 1])) for i in range(len(frames))])
