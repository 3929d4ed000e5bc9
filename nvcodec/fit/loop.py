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
from nvcodec.model.skip import abnormality, sampled
from nvcodec.quantize.prepare import prepare


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """How to fit.

    Attributes:
        steps: updates in all; each sees ``batch`` frames.
        batch: frames a step.
        seed: of initialisation, of the frames' order and of z.
        rep: whether the blocks are reparameterised.
        muon_rate, adam_rate: peak learning rates of convolution kernels with more than one channel in, and of
            everything else.
        warmup: share of the steps over which the rates rise.
        quantised: share of the steps, the last ones, with quantisation in the loop; 0 fits a plain float network.
        normality: weight of the distance of z from N(0, 1), in nats a value, beside the mean squared error.
    """

    steps: int
    batch: int = 1
    seed: int = 0
    rep: bool = False
    muon_rate: float = 0.02
    adam_rate: float = 2e-3
    warmup: float = 0.05
    quantised: float = 0.2
    normality: float = 1e-4


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
    """The result: a decoder and what its forward pass takes for the whole clip.

    Attributes:
        decoder: with its quantisation steps set, unless ``FitOptions.quantised`` is 0.
        latents: the embeddings [frames, C0, h0, w0] and each f [frames, 1, height, width], in float.
        noise: z of each scale of the skip connection.
    """

    decoder: Decoder
    latents: list[torch.Tensor]
    noise: list[torch.Tensor]

    def picture(self, frame: int) -> torch.Tensor:
        """What the float network yields for a frame: [1, 3, height, width], about 0 to 1."""
        latents = [latent[frame : frame + 1].contiguous(memory_format=torch.channels_last) for latent in self.latents]
        picture: torch.Tensor = self.decoder(latents, self.noise)
        return picture


def schedule(share: float, warmup: float) -> float:
    """Learning-rate factor at ``share`` of the fit: linear warm-up, and a linear fall to 1 %."""
    rise = min(1.0, (share + 1e-3) / warmup) if warmup else 1.0
    return rise * max(0.01, 1 - share)


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

    The loss is the mean squared error of the picture that comes of the *sampled* z, the very one that decoders will
    have, so features recovered from it have to help; the encoder's own z only has to look as if it had been sampled.
    """
    with torch.random.fork_rng(devices=[]):  # the caller's generator stays as it is
        torch.manual_seed(options.seed)
        encoder, decoder = Encoder(shape), Decoder(shape, options.rep)
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
    noise = [z.to(device) for z in sampled(shape, options.seed % 2**32)]
    switch = options.steps - math.ceil(options.quantised * options.steps)
    order = torch.Generator().manual_seed(options.seed)
    queue: list[int] = []
    losses: list[torch.Tensor] = []
    start = time.monotonic()
    for step in range(options.steps):
        if step == switch:
            prepare(decoder, analyse_all(encoder, decoder, frames))
        while len(queue) < options.batch:
            queue += torch.randperm(len(frames), generator=order).tolist()
        chosen, queue = queue[: options.batch], queue[options.batch :]
        target = as_float(frames[chosen])
        factor = schedule(step / options.steps, options.warmup)
        with torch.enable_grad():
            latents, own_z = analyse(encoder, decoder, target)
            error = F.mse_loss(decoder(latents, noise), target)
            loss = error
            for z in own_z:
                loss = loss + options.normality * abnormality(z)
        network.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimiser, rate in optimisers:
            optimiser.param_groups[0]["lr"] = rate * factor
            optimiser.step()
        losses.append(error.detach())
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
    return Fitted(decoder, analyse_all(encoder, decoder, frames), noise)


REPORT_STEPS = 20  # steps between reports: each costs a synchronisation on a GPU


def as_float(frames: torch.Tensor) -> torch.Tensor:
    """uint8 pictures as float32 in 0 to 1, ``channels_last``."""
    return (frames.float() / 255).contiguous(memory_format=torch.channels_last)


def analyse(
    encoder: Encoder, decoder: Decoder, pictures: torch.Tensor
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """What is transmitted for ``pictures`` [batch, 3, height, width], the embedding and each f; and each own z."""
    embedding, features = encoder(pictures)
    split = [skip.split(x) for skip, x in zip(decoder.skips, features, strict=True)]
    return [embedding, *(f for f, _ in split)], [z for _, z in split if z is not None]


@torch.no_grad()
def analyse_all(encoder: Encoder, decoder: Decoder, frames: torch.Tensor) -> list[torch.Tensor]:
    """The latents of all frames, uint8 [frames, 3, height, width], one frame after the other."""
    latents = [analyse(encoder, decoder, as_float(frames[i : i + 1]))[0] for i in range(len(frames))]
    return [torch.cat(of_one_kind) for of_one_kind in zip(*latents, strict=True)]
