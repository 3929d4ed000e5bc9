"""The fit: batches, schedule, the switch to quantisation in the loop, and how it ends."""

from __future__ import annotations

import copy
import dataclasses
import functools
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from nvcodec.encoding.fit.losses import SQUARED_ERROR, Loss
from nvcodec.encoding.fit.muon import Muon
from nvcodec.encoding.model.decoder_network import GREY, Decoder, Underlay
from nvcodec.encoding.model.encoder_network import Encoder
from nvcodec.encoding.model.network_shape import NetworkShape
from nvcodec.encoding.model.skip_connection import abnormality, sampled
from nvcodec.encoding.quantizer.initial_steps import prepare
from nvcodec.encoding.quantizer.learned_steps import PARTS, Rounding, price
from nvcodec.errors import UsageError
from nvcodec.metrics import psnr
from nvcodec.video.frames import Frames, checksum

FINISHING = 1.2  # what follows the fit takes about as long as this part of an epoch of it
#: To meet a size: octaves of worth, and of steps, that an octave too much moves in all its time; and of worth, where it
#: is too little: steps then soon are as fine as they can be, and weights grow slowly.
GAIN, SWING, RELEASE = 6.0, 4.0, 24.0
GRID_RATE = 0.02  # Adam's for grids
FIRST = 10  # steps until the machine has warmed up
LEVEL_RATE = 1.6  # Adam's for the steps of rounding, in eighths of an octave
WORTH = (0.02, 50.0)  # dB of quality, at least and at most, for twice the bytes, to meet a size
LATENT_RATE = 0.03  # Adam's for latents, of their root mean square
LAST_RATE = 0.01  # of the peak
RESIDUAL_GAIN = 4.0  # of what an enhancement layer's encoder sees
PROLONGED_RATE = 0.04  # of the peak, where a fit goes on after its end


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """How to fit. One of ``steps`` and ``seconds`` is needed; with both, the one that is reached first ends the fit.

    Attributes:
        steps: updates in all; each sees ``batch`` frames.
        seconds: time in all, that for the file's writing and verification included.
        batch: frames a step.
        seed: of initialisation, of the frames' order and of z.
        rep: whether the blocks are reparameterised.
        muon_rate, adam_rate: peak learning rates of convolution kernels with more than one channel in, and of
            everything else.
        warmup, warmup_steps: the rates rise over this share of the fit, at most over so many steps.
        encoder: share of the fit, its first part, in which the encoder is fitted; long fits end it after
            ``encoder_epochs``, but not before ``encoder_steps``. Then the latents stay as they are: a step costs less,
            and a decoder whose input no longer moves ends higher.
        quantised: share of the fit, its last part, with quantisation in the loop; 0 fits a plain float network.
        rate: dB of quality that twice the bytes for weights are worth, while quantisation is in the loop; the steps of
            rounding are then learned. 0: bytes do not count, and steps stay as they were chosen.
        bfloat16: whether the network and Muon's iterations compute in bfloat16.
        normality: weight of the distance of z from N(0, 1), in nats a value, beside the loss.
    """

    steps: int | None = None
    seconds: float | None = None
    batch: int = 1
    seed: int = 0
    rep: bool = False
    muon_rate: float = 0.02
    adam_rate: float = 2e-3
    warmup: float = 0.05
    warmup_steps: int = 50
    encoder: float = 0.25
    encoder_epochs: float = 2.0
    encoder_steps: int = 150
    quantised: float = 0.3
    rate: float = 0.0
    bfloat16: bool = False
    normality: float = 1e-4


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
        picture: torch.Tensor = self.decoder(_of_frames(self.latents, [frame]), self.noise, [frame])
        return picture

    @torch.no_grad()
    def psnr(self, frames: Frames) -> float:
        """Mean RGB PSNR, dB, of its pictures in 8 bits and ``frames``, uint8 [frames, 3, height, width]."""
        values = []
        for place, frame in enumerate(frames):
            picture = (self.picture(place)[0] * 255).round().clamp(0, 255)
            values.append(psnr(picture, frame.to(picture.device)))
        return statistics.mean(values)


def schedule(risen: float, left: float) -> float:
    """Learning-rate factor: a linear rise, over at ``risen`` 1, and a linear fall with what is ``left``, to 1 %."""
    return min(1.0, risen) * max(LAST_RATE, left)


class Fit:
    """A fit under way: it goes on a step at a time, can be wound down early, saved, and restored.

    Args:
        frames: uint8 [frames, 3, height, width]; they stay bytes, on the device if they are in memory.
        shape: the network; its width and height are the frames'.
        options: see :class:`FitOptions`.
        device: where to fit.
        loss: see :data:`~nvcodec.encoding.fit.losses.Loss`.
        underlay: what an enhancement layer stands on; None for a base layer.

    The loss judges the picture that comes of the *sampled* z, the very one that decoders will have, so features
    recovered from it have to help; the encoder's own z only has to look as if it had been sampled.

    Attributes:
        step: updates made.
        seconds: time they took.
        lost: other time: fixing latents, a warm start, judging the network.
        fixed: the latents of all frames, once the encoder is fitted.
        quantised: whether quantisation is in the loop.
    """

    def __init__(
        self,
        frames: Frames,
        shape: NetworkShape,
        options: FitOptions,
        device: torch.device,
        loss: Loss = SQUARED_ERROR,
        underlay: Underlay | None = None,
    ) -> None:
        self.options, self.shape, self.loss, self.device = options, shape, loss, device
        with torch.random.fork_rng(devices=[]):  # the caller's generator stays as it is
            torch.manual_seed(options.seed)
            self.encoder, self.decoder = self.build(underlay)
        for half in (self.encoder, self.decoder):
            half.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.rounding = Rounding(self.decoder).to(device).requires_grad_(options.rate > 0)
        self.network = nn.ModuleList([self.encoder, self.decoder, self.rounding])
        levels = list(self.rounding.parameters())
        grids = [grid.values for grid in self.decoder.grids.values()]
        learned = [p for p in self.network.parameters() if all(p is not own for own in [*grids, *levels])]
        self.optimisers = [*optimisers(learned, options), (_adam(levels), LEVEL_RATE)]
        if grids:
            self.optimisers.append((_adam(grids), GRID_RATE))
        self.own = len(self.optimisers)  # those of the network
        self.latent_rates: list[float] = []
        self.frames = frames.to(device) if isinstance(frames, torch.Tensor) else frames
        self.noise = [z.to(device) for z in sampled(shape, options.seed % 2**32)]
        self.order = torch.Generator().manual_seed(options.seed)
        self.queue: list[int] = []
        self.step = 0
        self.seconds = self.first = 0.0
        self.lost = 0.0
        self.fixed: list[torch.Tensor] | None = None
        self.quantised = False
        self.tail: tuple[float, float] | None = None  # from and to which spent() the fit winds down
        self.allowed: list[float] = []  # bits of weights and grids; the last one counts
        self.costs: list[float] = []  # bits, by the last steps
        self.worth = options.rate  # what the rate weighs now: more or less than it should, to meet these
        self.length = options.quantised  # of the part of the budget in which they are to be met

    def build(self, underlay: Underlay | None) -> tuple[Encoder, Decoder]:
        """The halves of the network; with :meth:`analyse` all that another network has to replace."""
        return Encoder(self.shape), Decoder(self.shape, self.options.rep, underlay)

    def analyse(self, pictures: torch.Tensor, frames: list[int]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """What is transmitted for ``pictures`` [batch, 3, height, width], those of ``frames``, and each own z."""
        return analyse(self.encoder, self.decoder, pictures, frames)

    @functools.cached_property
    def clip(self) -> int:
        """A checksum of the frames."""
        return checksum(self.frames)

    @property
    def encoder_end(self) -> float:
        """After how many pictures the encoder's part ends at the latest."""
        return max(self.options.encoder_steps * self.options.batch, self.options.encoder_epochs * len(self.frames))

    def spent(self, steps_more: float = 0) -> float:
        """The share of the budget that is spent, or will be after ``steps_more`` steps; 1 at its end."""
        options = self.options
        share = (self.step + steps_more) / options.steps if options.steps else 0.0
        if options.seconds and self.step:
            fitting = options.seconds - self.pace * FINISHING * len(self.frames)
            taken = self.lost + self.seconds + self.pace * steps_more
            share = max(share, taken / max(fitting, 1e-9))
        return share

    @property
    def pace(self) -> float:
        """Seconds a step; the first few, which take longer, tell nothing."""
        return (self.seconds - self.first) / (self.step - FIRST) if self.step > FIRST else 0.0

    @property
    def end(self) -> float:
        """What :meth:`spent` is at the end of the fit."""
        return self.tail[1] if self.tail else 1.0

    @property
    def done(self) -> bool:
        """Whether the end is reached."""
        return self.step > 0 and self.spent(0.5) > self.end

    def wind_down(self, part: float) -> None:
        """End soon: ``part`` as much as is spent now remains, at least a step, while rates fall."""
        now = self.spent()
        self.tail = self.tail[0] if self.tail else now, min(self.end, max(self.spent(1), now * (1 + part)))

    def allow(self, bits: float) -> None:
        """From now on, while quantisation is in the loop, weights and grids cost ``bits`` by :meth:`Rounding.bits`."""
        self.allowed.append(bits)

    def prolong(self, part: float) -> None:
        """Go on after the end, for ``part`` of what is spent, with rates that fall once more from near their end."""
        now = self.spent()
        end = now * (1 + part)
        self.tail = end - (end - now) / PROLONGED_RATE, end
        self.length = end - now

    def climb(self) -> None:
        """Take winding down back: rates are high again, and nothing is rounded."""
        self.tail = None
        self.quantised = False
        self.decoder.release()
        for latent in self.fixed or ():
            latent.requires_grad_(False)

    def factor(self) -> float:
        """Of the learning rates, now."""
        now, options = self.spent(), self.options
        risen = max(now / options.warmup, (self.step + 1) / options.warmup_steps)
        start, end = self.tail or (0.0, 1.0)
        return schedule(risen, (1 - start) * (end - now) / max(end - start, 1e-9))

    def advance(self) -> torch.Tensor:
        """One update; returns its mean squared error, without waiting for it."""
        began = time.monotonic()
        options = self.options
        if self.spent(1) > (1 - options.quantised) * self.end:
            self.quantise()
        elif self.spent() >= options.encoder or self.step * options.batch >= self.encoder_end:
            self.fix_latents()
        ready = time.monotonic()
        self.lost += ready - began  # no part of a step's pace: fixing latents takes as long as many steps
        chosen = self.draw()
        target = as_float(self.frames[chosen].to(self.device))
        factor = self.factor()
        with torch.enable_grad():
            loss, error = self.objective(target, chosen)
        self.clear_gradients()
        loss.backward()  # type: ignore[no-untyped-call]
        self.update(factor)
        if self.quantised and self.allowed:
            self.meet(self.allowed[-1], (self.spent(1) - self.spent()) / self.length)
        self.step += 1
        self.seconds += time.monotonic() - ready
        if self.step == FIRST:
            self.first = self.seconds
        return error

    def clear_gradients(self) -> None:
        """Of all that is learned."""
        self.network.zero_grad(set_to_none=True)
        for latent in self.fixed or ():
            latent.grad = None

    def update(self, factor: float) -> None:
        """Move all that has a gradient, at ``factor`` of the peak rates."""
        for optimiser, rate in self.optimisers:
            optimiser.param_groups[0]["lr"] = rate * factor
            optimiser.step()

    def meet(self, bits: float, share: float) -> None:
        """Towards weights and grids that cost ``bits``: let the rate weigh more or less, and move all steps a little.

        ``share`` is what the update is of the time there is for that.

        Steps alone would do, but then bytes would go where the rate, as it was, wants them.
        """
        now, reach = self.rounding.bits().item() if not self.worth else statistics.mean(self.costs), 1.0
        if self.worth:
            self.weigh(bits, share)
            reach = SWING * share
        # A bit a value is an octave.
        self.rounding.shift(8 * min(reach, max(-reach, (bits - now) / self.rounding.values)))

    def weigh(self, bits: float, share: float) -> None:
        """Let the rate weigh more where the last steps cost more than ``bits``, less where they cost less; ``share`` as
        in :meth:`meet`."""
        now = statistics.mean(self.costs)
        gain = GAIN if now > bits else RELEASE
        self.worth = min(WORTH[1], max(WORTH[0], self.worth * (now / bits) ** (gain * share)))

    def objective(self, pictures: torch.Tensor, frames: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """What a step makes small, and the mean squared error beside it, for ``pictures`` [batch, 3, height, width],
        those of ``frames``."""
        if self.quantised and self.options.rate:  # else steps stay as they are
            self.rounding.apply_steps()
        decoded, own_z = self.reconstruct(pictures, frames)
        loss = self.loss(decoded, pictures, frames)
        if loss.ndim:
            raise UsageError(f"the loss must be one number, got a tensor of shape {tuple(loss.shape)}")
        for z in own_z:
            loss = loss + self.options.normality * abnormality(z)
        if self.quantised and self.options.rate:
            bits = self.rounding.bits(self.step % PARTS)
            self.costs = [*self.costs, bits.item()][-PARTS:]
            below = self.decoder.underlay.bits if self.decoder.underlay else 0.0
            loss = loss + price(loss, bits, self.worth, below)
        return loss, F.mse_loss(decoded.detach(), pictures)

    def draw(self) -> list[int]:
        """The next step's frames: all in random order, then all again."""
        while len(self.queue) < self.options.batch:
            self.queue += torch.randperm(len(self.frames), generator=self.order).tolist()
        chosen, self.queue = self.queue[: self.options.batch], self.queue[self.options.batch :]
        return chosen

    def reconstruct(self, pictures: torch.Tensor, frames: list[int]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """What the network makes of ``pictures``, and each own z while the encoder is fitted."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.bfloat16):
            if self.fixed is None:
                latents, own_z = self.analyse(pictures, frames)
            else:
                latents, own_z = _of_frames(self.fixed, frames), []
            return self.decoder(latents, self.noise, frames).float(), own_z

    def decode(
        self, frames: list[int], below: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Pictures and features of ``frames``, once latents are fixed; see
        :meth:`~nvcodec.encoding.model.decoder_network.Decoder.picture_and_features`."""
        assert self.fixed is not None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.bfloat16):
            latents = _of_frames(self.fixed, frames)
            picture, features = self.decoder.picture_and_features(latents, self.noise, frames, below)
            return picture.float(), features

    def fix_latents(self) -> None:
        """End the encoder's part of the fit, if that has not been done."""
        if self.fixed is None:
            latents = self.latents()
            self.hold(latents, [LATENT_RATE * float(latent.square().mean().sqrt()) for latent in latents])
            self.encoder.zero_grad(set_to_none=True)  # optimisers leave alone what has no gradient

    def hold(self, latents: list[torch.Tensor], rates: list[float]) -> None:
        """Take these latents from now on, which are learned at these rates while quantisation is in the loop."""
        self.fixed = self.rounding.latents = latents
        self.latent_rates = rates
        self.optimisers += [(_adam([latent]), rate) for latent, rate in zip(latents, rates, strict=True)]  # type: ignore[list-item]

    def quantise(self) -> None:
        """Put quantisation into the loop, if it is not there and is wanted; the latents are fixed before."""
        if not self.quantised and self.options.quantised:
            self.fix_latents()
            prepare(self.decoder, self.latents())
            self.rounding.begin()
            self.rounding.apply_steps()
            self.quantised = True
            self.learn_latents()

    def learn_latents(self) -> None:
        """From now on the latents are fitted, too, but for those whose steps have to be powers of two."""
        for latent in self.rounding.latents[: self.rounding.learned]:
            latent.requires_grad_(True)

    def result(self) -> Fitted:
        """The network as it is now, quantised if that is wanted."""
        self.quantise()
        if self.quantised:
            with torch.no_grad():
                self.rounding.apply_steps()
        return Fitted(self.decoder, self.latents(), self.noise)

    @torch.no_grad()
    def latents(self) -> list[torch.Tensor]:
        """The embeddings and each f of all frames: those that are fixed, or what the encoder makes of them now."""
        if self.fixed is not None:
            return [latent.detach() for latent in self.fixed]
        latents = [
            self.analyse(as_float(self.frames[[place]].to(self.device)), [place])[0]
            for place in range(len(self.frames))
        ]
        plain = torch.contiguous_format  # even where, of one channel, a tensor passes for any format
        return [torch.cat(of_one_kind).clone(memory_format=plain) for of_one_kind in zip(*latents, strict=True)]

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """All that is needed to go on: tensors, and what JSON holds."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        for number, (optimiser, _) in enumerate(self.optimisers):
            for place, kept in optimiser.state_dict()["state"].items():
                tensors.update({f"optimiser.{number}.{place}.{name}": value for name, value in kept.items()})
        for place, latent in enumerate(self.fixed or ()):
            tensors[f"latents.{place}"] = latent.detach()
        tensors["order"] = self.order.get_state()
        plain = {
            "step": self.step,
            "seconds": self.seconds,
            "first": self.first,
            "lost": self.lost,
            "queue": self.queue,
            "tail": self.tail,
            "allowed": list(self.allowed),
            "costs": list(self.costs),
            "worth": self.worth,
            "length": self.length,
            "latent_steps": [step.item() for step in self.decoder.latent_steps or ()],
            "latent_rates": self.latent_rates,
        }
        return tensors, plain

    def restore(self, tensors: Mapping[str, torch.Tensor], plain: Mapping[str, Any]) -> None:
        """Go back to a state of a fit of the same frames, shape and options.

        Raises:
            KeyError, ValueError, RuntimeError: it is of another fit.
        """
        self.step, self.seconds, self.first, self.lost = (plain[n] for n in ("step", "seconds", "first", "lost"))
        self.queue = list(plain["queue"])
        self.tail = tuple(plain["tail"]) if plain["tail"] else None
        self.allowed = list(plain["allowed"])
        self.costs = list(plain["costs"])
        self.worth, self.length = plain["worth"], plain["length"]
        self.decoder.release()
        steps = [torch.tensor(step, device=self.device) for step in plain["latent_steps"]]
        self.decoder.latent_steps = steps or None
        self.quantised = bool(steps)
        if not any(".branches." in name for name in tensors):
            for conv in self.decoder.convs():
                conv.fold()
        self.network.load_state_dict(_below(tensors, "network."))
        if self.quantised:
            self.rounding.apply_steps()
        latents = _below(tensors, "latents.")
        self.optimisers = self.optimisers[: self.own]
        self.fixed = None
        if latents:
            kept = [latents[str(place)].to(self.device, copy=True) for place in range(len(latents))]
            self.hold(kept, plain["latent_rates"])
            if self.quantised:
                self.learn_latents()
        for number, (optimiser, _) in enumerate(self.optimisers):
            state: dict[int, dict[str, torch.Tensor]] = {}
            parameters = dict(enumerate(optimiser.param_groups[0]["params"]))
            for name, value in _below(tensors, f"optimiser.{number}.").items():
                place, kind = name.split(".")
                parameter = parameters[int(place)]
                # Fused Adam goes through memory: what it keeps has to lie there as the parameter does.
                if value.shape == parameter.shape:
                    value = torch.empty_like(parameter).copy_(value)
                state.setdefault(int(place), {})[kind] = value
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        self.order.set_state(tensors["order"])


def snapshot(fit: Fit) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The state of a fit as it is now, to go back to with :meth:`Fit.restore`."""
    tensors, plain = fit.state()
    return {name: tensor.clone() for name, tensor in tensors.items()}, copy.deepcopy(plain)


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Those whose name starts with ``prefix``, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _of_frames(latents: list[torch.Tensor], frames: list[int]) -> list[torch.Tensor]:
    """The latents of some frames, in the layout that the network works in."""
    return [latent[frames].contiguous(memory_format=torch.channels_last) for latent in latents]


def optimisers(parameters: Iterable[nn.Parameter], options: FitOptions) -> list[tuple[torch.optim.Optimizer, float]]:
    """Muon for kernels with more than one channel in, Adam for everything else; each with its peak rate."""
    kernels: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in parameters:
        (kernels if parameter.ndim == 4 and parameter.size(1) > 1 else others).append(parameter)
    return [
        (Muon(kernels, dtype=torch.bfloat16 if options.bfloat16 else torch.float32), options.muon_rate),
        (_adam(others), options.adam_rate),
    ]


def _adam(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, betas=(0.9, 0.99), fused=True)  # in one call: the tensors are small


def fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    wide, tiles = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return bool((wide and wide()) or (tiles and tiles()))


def as_float(frames: torch.Tensor) -> torch.Tensor:
    """uint8 pictures as float32 in 0 to 1, ``channels_last``."""
    return (frames.float() / 255).contiguous(memory_format=torch.channels_last)


def analyse(
    encoder: Encoder, decoder: Decoder, pictures: torch.Tensor, frames: Sequence[int] = ()
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """What is transmitted for ``pictures`` [batch, 3, height, width], those of ``frames``: the embedding and each f;
    and each own z. An enhancement layer looks at what the layers below have left over."""
    if below := decoder.below(frames):
        pictures = RESIDUAL_GAIN * (pictures - below[0]) + GREY
    embedding, features = encoder(pictures)
    split = [skip.split(x) for skip, x in zip(decoder.skips, features, strict=True)]
    return [embedding, *(f for f, _ in split)], [z for _, z in split if z is not None]
