"""A fit of one network to one clip: its phases, its training step, and the network that it yields."""

from __future__ import annotations

import dataclasses
import enum
import functools
import statistics
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from nvcodec.encoding.fit.budget import OVERHEAD, STEPS, Budget
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.frame_sampler import FrameSampler
from nvcodec.encoding.fit.losses import SQUARED_ERROR, Loss, checked
from nvcodec.encoding.fit.optimisers import Optimisers, adam
from nvcodec.encoding.fit.rate_control import RateController, rate_term
from nvcodec.encoding.model.decoder_network import MID_GREY, Decoder, Reference, ReferenceLayer
from nvcodec.encoding.model.encoder_network import Encoder
from nvcodec.encoding.model.network_shape import NetworkShape
from nvcodec.encoding.model.skip_connection import abnormality, sample_noise
from nvcodec.encoding.quantizer.initial_steps import set_initial_steps
from nvcodec.encoding.quantizer.learned_steps import LearnedSteps
from nvcodec.metrics import psnr
from nvcodec.samples import bits_of, peak_of, signed
from nvcodec.video.frames import Frames, checksum

RELATIVE_LATENT_LR = 0.03  # Adam's for latents, relative to their root mean square
RESIDUAL_GAIN = 4.0  # amplification of the residual that the encoder of an enhancement layer sees


class Phase(enum.Enum):
    """The phases of a fit, in order. Cancelling a cooldown leads from QUANTISED back to DECODER."""

    ENCODER = "encoder and decoder are fitted in float"
    DECODER = "the latents are fixed, the decoder is fitted in float"
    QUANTISED = "the decoder and the latents are fitted with quantisation in the loop"


@dataclasses.dataclass
class Fitted:
    """The result of a fit: a decoder, and the inputs of its forward pass for the whole clip.

    Attributes:
        decoder: with its quantisation steps set, unless ``FitOptions.quantised_share`` is 0.
        latents: the embeddings [frames, C0, h0, w0] and each f [frames, 1, height, width], in float.
        noise: z for each scale of the skip connection.
    """

    decoder: Decoder
    latents: list[torch.Tensor]
    noise: list[torch.Tensor]

    def picture(self, frame: int) -> torch.Tensor:
        """Return the float network's picture of a frame: [1, 3, height, width], about 0 to 1."""
        picture: torch.Tensor = self.decoder(latents_of(self.latents, [frame]), self.noise, [frame])
        return picture

    @torch.no_grad()
    def psnr(self, frames: Frames) -> float:
        """Return the mean RGB PSNR in dB of its rounded pictures against ``frames``, [frames, 3, height, width]."""
        peak = peak_of(self.decoder.bits)
        values = []
        for number, frame in enumerate(frames):
            picture = (self.picture(number)[0] * peak).round().clamp(0, peak) * (255 / peak)
            values.append(psnr(picture, frame.to(picture.device)))
        return statistics.mean(values)


class Fit:
    """A fit in progress: it advances one training step at a time, and can be cooled down early, saved and restored.

    The loss judges the picture made from the *sampled* z, the one that decoders will have, so recovered features have
    to help with that one; the encoder's own z only has to look as if it had been sampled.

    Args:
        frames: samples [frames, 3, height, width]; they stay integers, on the device if they are in memory.
        shape: the network; its width and height are those of the frames.
        options: see :class:`FitOptions`.
        device: where to fit.
        loss: see :data:`~nvcodec.encoding.fit.losses.Loss`.
        reference: what an enhancement layer is predicted from; None for a base layer.

    Attributes:
        phase: see :class:`Phase`.
        bits: of a sample of the frames.
        budget: what may be spent and has been spent; ``budget.step`` counts the training steps.
        rate_control: steers lambda and the quantisation steps to a target.
        quant_steps: the quantisation steps, learned if ``options.rd_lambda`` is above 0.
        fixed_latents: the latents of all frames, from phase DECODER on.
    """

    def __init__(
        self,
        frames: Frames,
        shape: NetworkShape,
        options: FitOptions,
        device: torch.device,
        loss: Loss = SQUARED_ERROR,
        reference: ReferenceLayer | None = None,
    ) -> None:
        self.options, self.shape, self.loss, self.device = options, shape, loss, device
        self.bits = bits_of(frames)
        with torch.random.fork_rng(devices=[]):  # the caller's generator stays as it is
            torch.manual_seed(options.seed)
            self.encoder, self.decoder = self.build(reference)
        for half in (self.encoder, self.decoder):
            half.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.quant_steps = LearnedSteps(self.decoder).to(device).requires_grad_(options.rd_lambda > 0)
        self.network = nn.ModuleList([self.encoder, self.decoder, self.quant_steps])
        grids = [grid.values for grid in self.decoder.grids.values()]
        self.optimisers = Optimisers(self.network, grids, list(self.quant_steps.parameters()), options)
        self.latent_lrs: list[float] = []
        self.frames = signed(frames).to(device) if isinstance(frames, torch.Tensor) else frames
        self.noise = [z.to(device) for z in sample_noise(shape, options.seed % 2**32)]
        self.sampler = FrameSampler(len(frames), options.seed)
        self.budget = Budget(options, len(frames))
        self.rate_control = RateController(self.quant_steps, options.rd_lambda, window=options.quantised_share)
        self.phase = Phase.ENCODER
        self.fixed_latents: list[torch.Tensor] | None = None

    def build(self, reference: ReferenceLayer | None) -> tuple[Encoder, Decoder]:
        """Return the two halves of the network. Another network overrides this and :meth:`analyse`."""
        return Encoder(self.shape), Decoder(self.shape, self.options.rep, reference, self.bits)

    def analyse(self, pictures: torch.Tensor, frames: list[int]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return the latents of ``pictures`` [batch, 3, height, width] with these frame numbers, and each own z."""
        return analyse(self.encoder, self.decoder, pictures, frames)

    @property
    def quantised(self) -> bool:
        """Whether quantisation is in the loop."""
        return self.phase is Phase.QUANTISED

    @functools.cached_property
    def frames_crc(self) -> int:
        """A checksum of the frames."""
        return checksum(self.frames)

    def advance(self) -> torch.Tensor:
        """Do one training step; returns its mean squared error without waiting for it."""
        clock = self.budget.clock
        with clock.phase(OVERHEAD):  # fixing the latents takes as long as many steps, and is not part of their pace
            self.enter_due_phase()
        with clock.phase(STEPS):
            frames = self.sampler.draw(self.options.batch)
            pictures = as_float(signed(self.frames[frames]).to(self.device))
            lr_factor = self.budget.lr_factor()
            with torch.enable_grad():
                loss, error = self.objective(pictures, frames)
            self.optimisers.clear_gradients()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimisers.step(lr_factor)
            if self.quantised:
                self.rate_control.steer(self.budget.step_share / self.rate_control.window)
        self.budget.count_step()
        return error

    def enter_due_phase(self) -> None:
        """Enter the phase that is due at the present share of the budget."""
        options, budget = self.options, self.budget
        encoder_frames = max(options.encoder_steps * options.batch, options.encoder_epochs * len(self.frames))
        if budget.spent(1) > (1 - options.quantised_share) * budget.end:
            self.start_quantisation()
        elif budget.spent() >= options.encoder_share or budget.step * options.batch >= encoder_frames:
            self.fix_latents()

    def objective(self, pictures: torch.Tensor, frames: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what a training step minimises, and the mean squared error beside it.

        Args:
            pictures: the source, [batch, 3, height, width].
            frames: their frame numbers.
        """
        if self.quantised and self.rate_control.active:
            self.quant_steps.apply_to_decoder()
        decoded, own_z = self.reconstruct(pictures, frames)
        loss = checked(self.loss(decoded, pictures, frames))
        for z in own_z:
            loss = loss + self.options.normality * abnormality(z)
        if self.quantised and self.rate_control.active:
            lower_layer_bits = self.decoder.reference.bits if self.decoder.reference else 0.0
            bits = self.rate_control.measure_bits(self.budget.step)
            loss = loss + rate_term(loss, bits, self.rate_control.rd_lambda, lower_layer_bits)
        return loss, F.mse_loss(decoded.detach(), pictures)

    def reconstruct(self, pictures: torch.Tensor, frames: list[int]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Return the network's version of ``pictures``, and each own z while the encoder is fitted."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.bfloat16):
            if self.fixed_latents is None:
                latents, own_z = self.analyse(pictures, frames)
            else:
                latents, own_z = latents_of(self.fixed_latents, frames), []
            return self.decoder(latents, self.noise, frames).float(), own_z

    def decode(self, frames: list[int], reference: Reference | None) -> Reference:
        """Return pictures and features of ``frames`` once the latents are fixed.

        See :meth:`~nvcodec.encoding.model.decoder_network.Decoder.picture_and_features`.
        """
        assert self.fixed_latents is not None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.options.bfloat16):
            latents = latents_of(self.fixed_latents, frames)
            picture, features = self.decoder.picture_and_features(latents, self.noise, frames, reference)
            return picture.float(), features

    def fix_latents(self) -> None:
        """Enter phase DECODER, unless it has been entered."""
        if self.phase is Phase.ENCODER:
            latents = self.latents()
            lrs = [RELATIVE_LATENT_LR * float(latent.square().mean().sqrt()) for latent in latents]
            self.hold_latents(latents, lrs)
            self.phase = Phase.DECODER
            self.encoder.zero_grad(set_to_none=True)  # optimisers leave alone what has no gradient

    def hold_latents(self, latents: list[torch.Tensor], lrs: list[float]) -> None:
        """Use these latents from now on; they are learned, at these rates, while quantisation is in the loop."""
        self.fixed_latents = self.quant_steps.latents = latents
        self.latent_lrs = lrs
        self.optimisers.of_latents = [adam([latent], lr) for latent, lr in zip(latents, lrs, strict=True)]

    def start_quantisation(self) -> None:
        """Enter phase QUANTISED, unless it has been entered or is not wanted; fixes the latents first."""
        if self.quantised or not self.options.quantised_share:
            return
        self.fix_latents()
        set_initial_steps(self.decoder, self.latents())
        self.quant_steps.start_from_decoder()
        self.quant_steps.apply_to_decoder()
        self.phase = Phase.QUANTISED
        self.learn_latents()

    def learn_latents(self) -> None:
        """From now on also fit the latents, except those whose quantisation steps have to be powers of two."""
        for latent in self.quant_steps.latents[: self.quant_steps.learned_latents]:
            latent.requires_grad_(True)

    def cancel_cooldown(self) -> None:
        """Take a cooldown back: learning rates are high again, and nothing is rounded."""
        self.budget.cancel_cooldown()
        if self.quantised:
            self.phase = Phase.DECODER
        self.decoder.release()
        for latent in self.fixed_latents or ():
            latent.requires_grad_(False)

    def extend(self, part: float) -> None:
        """Go on after the end for ``part`` of what has been spent, and meet rate control's target within that time."""
        self.rate_control.window = self.budget.extend(part)

    def finish(self) -> Fitted:
        """Make the network what a file would hold, quantised if that is wanted, and return it; the fit may go on."""
        self.start_quantisation()
        if self.quantised:
            with torch.no_grad():
                self.quant_steps.apply_to_decoder()
        return Fitted(self.decoder, self.latents(), self.noise)

    @torch.no_grad()
    def latents(self) -> list[torch.Tensor]:
        """Return the embeddings and each f of all frames: the fixed ones, or the encoder's present output."""
        if self.fixed_latents is not None:
            return [latent.detach() for latent in self.fixed_latents]
        by_frame = [
            self.analyse(as_float(signed(self.frames[[frame]]).to(self.device)), [frame])[0]
            for frame in range(len(self.frames))
        ]
        plain = torch.contiguous_format  # with one channel a tensor would pass for any memory format
        return [torch.cat(of_one_kind).clone(memory_format=plain) for of_one_kind in zip(*by_frame, strict=True)]


def latents_of(latents: list[torch.Tensor], frames: list[int]) -> list[torch.Tensor]:
    """Return the latents of some frames, in the memory layout that the network works in."""
    return [latent[frames].contiguous(memory_format=torch.channels_last) for latent in latents]


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 faster than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    wide, tiles = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return bool((wide and wide()) or (tiles and tiles()))


def as_float(frames: torch.Tensor) -> torch.Tensor:
    """Return pictures as float32, 0 to 1, in ``channels_last`` layout."""
    return (frames.float() / peak_of(bits_of(frames))).contiguous(memory_format=torch.channels_last)


def analyse(
    encoder: Encoder, decoder: Decoder, pictures: torch.Tensor, frames: Sequence[int] = ()
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the latents of ``pictures`` (the embedding and each f), and each own z.

    The encoder of an enhancement layer sees the residual of the layers below.

    Args:
        encoder, decoder: the network.
        pictures: [batch, 3, height, width].
        frames: their frame numbers.
    """
    if reference := decoder.reference_for(frames):
        pictures = RESIDUAL_GAIN * (pictures - reference[0]) + MID_GREY
    embedding, features = encoder(pictures)
    split = [skip.split(x) for skip, x in zip(decoder.skips, features, strict=True)]
    return [embedding, *(f for f, _ in split)], [z for _, z in split if z is not None]
