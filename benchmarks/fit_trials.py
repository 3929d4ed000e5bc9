"""Attempts to make the fit faster, each alone against the fit as it is, in equal time; failed ones included.

    python benchmarks/fit_trials.py CLIPS_FOLDER benchmarks/fit_trials.json [--steps 500] [--jobs 2] [--only TRIAL]

First the duration of a trial's training step is measured, relative to the fit as it is: short fits of both take turns
step by step, so that whatever else the machine does affects both. A trial then gets as many steps as take the time of
--steps of the fit as it is. Every fit runs on one thread, --jobs at a time. What a trial needs beyond the fit's options
is in this file alone: what does not help is not in the package. Results are added to the JSON as they come.
"""

from __future__ import annotations

import concurrent.futures
import functools
import json
import math
import multiprocessing
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import click
import torch
import torch.nn.functional as F
from machine import provenance
from torch import nn

from nvcodec.decoding.kernels import resample
from nvcodec.encoding.fit import muon
from nvcodec.encoding.fit.budget import Budget
from nvcodec.encoding.fit.fit import Fit, Fitted, analyse, has_fast_bfloat16, latents_of
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.frame_sampler import FrameSampler
from nvcodec.encoding.fit.optimisers import ScheduledOptimiser, network_optimisers
from nvcodec.encoding.fit.schedule import lr_factor
from nvcodec.encoding.model.convolution import Conv
from nvcodec.encoding.model.decoder_network import MID_GREY, Decoder, head_unit
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.video.selection import Selection
from nvcodec.video.source import read_clip

PARAMETERS = 285_000
CLIPS: dict[str, tuple[str, Selection]] = {
    "bunny 320x160": ("bigbuckbunny.mp4", Selection((1280, 640), (320, 160), 0, 66)),
    "blackswan 320x160": ("davis480/blackswan", Selection((854, 427), (320, 160), 0, 50)),
}
AS_IT_IS = "as it is"
PROBE_STEPS, PROBE_PARTS = 40, 5


def unfused_adam(parameters: Iterable[nn.Parameter], peak_lr: float) -> ScheduledOptimiser:
    """Return an Adam optimiser as the trials were measured with it; the fit's own is fused."""
    return ScheduledOptimiser(torch.optim.Adam(parameters, betas=(0.9, 0.99), foreach=True), peak_lr)


class Learned(Fit):
    """The latents go on being learned, those of each frame separately, once the encoder's part is over."""

    def fix_latents(self) -> None:
        if self.fixed_latents is None:
            super().fix_latents()
            assert self.fixed_latents is not None
            self.by_frame = [nn.ParameterList(latent[:, None].unbind()) for latent in self.fixed_latents]
            self.network.extend(self.by_frame)
            flat = [parameter for of_one_kind in self.by_frame for parameter in of_one_kind]
            self.optimisers.of_network.append(unfused_adam(flat, self.options.adam_lr))

    def reconstruct(self, pictures: torch.Tensor, frames: list[int]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        if self.fixed_latents is None:
            return super().reconstruct(pictures, frames)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.options.bfloat16):
            latents = [torch.cat([of_one_kind[frame] for frame in frames]) for of_one_kind in self.by_frame]
            return self.decoder(latents, self.noise, frames).float(), []

    def latents(self) -> list[torch.Tensor]:
        if self.fixed_latents is None:
            return super().latents()
        return [torch.cat([parameter.detach() for parameter in of_one_kind]) for of_one_kind in self.by_frame]


class EncoderToTheEnd(Fit):
    """The encoder is fitted until quantisation enters."""

    def fix_latents(self) -> None:
        if self.budget.spent(1) > 1 - self.options.quantised_share:
            super().fix_latents()


class EncoderByAdam(Fit):
    """Muon for the decoder's kernels only."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        encoder = unfused_adam(self.encoder.parameters(), self.options.adam_lr)
        self.optimisers.of_network = [*network_optimisers(self.decoder.parameters(), self.options), encoder]


class AdamAlone(Fit):
    """No Muon."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.optimisers.of_network = [unfused_adam(self.network.parameters(), 3e-3)]


class Progressive(Fit):
    """The first fifth has no last block: its pictures are smaller by that block's stride and have their own head."""

    until = 0.2

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        torch.manual_seed(self.options.seed)
        self.small_head = Conv(self.shape.channels[-2], 3, 3).to(memory_format=torch.channels_last)
        self.network.append(self.small_head)
        self.optimisers.of_network += network_optimisers(self.small_head.parameters(), self.options)

    def objective(self, pictures: torch.Tensor, frames: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        if self.budget.spent() >= self.until or self.quantised:
            return super().objective(pictures, frames)
        decoder, stride = self.decoder, self.shape.strides[-1]
        with torch.autocast("cpu", torch.bfloat16, enabled=self.options.bfloat16):
            latents, _ = analyse(self.encoder, decoder, pictures)
            x = last_block_input(decoder, latents)
            small = (self.small_head(x) * head_unit(8) + MID_GREY).float()
        target = F.avg_pool2d(pictures, stride)
        loss = F.mse_loss(small[:, :, : target.shape[2], : target.shape[3]], target)
        return loss, loss.detach()


class Crops(Fit):
    """The last block and the head see one quarter of the picture per training step, with a margin."""

    def objective(self, pictures: torch.Tensor, frames: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        if self.quantised:
            return super().objective(pictures, frames)
        decoder, stride = self.decoder, self.shape.strides[-1]
        margin = self.shape.kernels[-1] // 2 + 1
        with torch.autocast("cpu", torch.bfloat16, enabled=self.options.bfloat16):
            if self.fixed_latents is None:
                latents, _ = analyse(self.encoder, decoder, pictures)
            else:
                latents = latents_of(self.fixed_latents, frames)
            x = last_block_input(decoder, latents)
            height, width = x.shape[2] // 2, x.shape[3] // 2
            down, across = divmod(int(torch.randint(4, (1,), generator=self.sampler.generator)), 2)
            top, left = down * height, across * width
            outer_top, outer_left = max(0, top - margin), max(0, left - margin)
            part = x[:, :, outer_top : top + height + margin, outer_left : left + width + margin]
            part = F.gelu(decoder.blocks[-1](part.contiguous(memory_format=torch.channels_last)))
            picture = (decoder.head(F.pixel_shuffle(part, stride)) * head_unit(8) + MID_GREY).float()
        top_out, left_out = (top - outer_top) * stride, (left - outer_left) * stride
        target = pictures[:, :, top * stride : (top + height) * stride, left * stride : (left + width) * stride]
        inner = picture[:, :, top_out : top_out + target.shape[2], left_out : left_out + target.shape[3]]
        loss = F.mse_loss(inner, target)
        return loss, loss.detach()


def last_block_input(decoder: Decoder, latents: list[torch.Tensor]) -> torch.Tensor:
    """Return what the decoder's last block reads, but without the feature grids."""
    x = F.gelu(decoder.stem(latents[0]))
    for number, block in enumerate(decoder.blocks[:-1]):
        x = F.pixel_shuffle(F.gelu(block(x)), decoder.shape.strides[number])
        if number < len(decoder.skips):
            x = x + resample(decoder.skips[number](latents[1 + number], None), x.shape[2], x.shape[3])
    return x


class Averaged(Fit):
    """The result is a running average of the weights over about the last 50 training steps."""

    def advance(self) -> torch.Tensor:
        error = super().advance()
        if self.quantised:
            if not hasattr(self, "averages"):
                self.averages = [parameter.detach().clone() for parameter in self.decoder.parameters()]
            for average, parameter in zip(self.averages, self.decoder.parameters(), strict=True):
                average.lerp_(parameter.detach(), 1 / 50)
        return error

    def finish(self) -> Fitted:
        with torch.no_grad():
            for average, parameter in zip(self.averages, self.decoder.parameters(), strict=True):
                parameter.copy_(average)
        return super().finish()


class HardFrameSampler(FrameSampler):
    """Once every frame has been seen, draws frames in proportion to the square root of their last error."""

    def __init__(self, frames: int, seed: int) -> None:
        super().__init__(frames, seed)
        self.errors = torch.full((frames,), math.inf)

    def draw(self, count: int) -> list[int]:
        if self.errors.isinf().any():
            return super().draw(count)
        return torch.multinomial(self.errors.sqrt(), count, generator=self.generator).tolist()


class HardFrames(Fit):
    """Frames with a larger error are drawn more often."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.sampler: HardFrameSampler = HardFrameSampler(len(self.frames), self.options.seed)

    def objective(self, pictures: torch.Tensor, frames: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        loss, error = super().objective(pictures, frames)
        self.sampler.errors[frames] = error
        return loss, error


class Orthogonal(Fit):
    """The decoder's kernels start orthogonal, as matrices."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        torch.manual_seed(self.options.seed)
        for conv in self.decoder.convs():
            with torch.no_grad():
                conv.weight.copy_(nn.init.orthogonal_(torch.empty(conv.weight.shape), math.sqrt(2)))


class CosineBudget(Budget):
    """A budget whose learning rates fall along a cosine."""

    def lr_factor(self) -> float:
        share = min(1.0, self.spent())
        return lr_factor(share / self.options.warmup, 0.5 * (1 + math.cos(math.pi * share)))


class Cosine(Fit):
    """Learning rates fall along a cosine."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.budget = CosineBudget(self.options, len(self.frames))


class ThreeIterations(Fit):
    """Three Newton-Schulz iterations instead of five."""

    def advance(self) -> torch.Tensor:
        with mock.patch.object(muon, "orthogonalise", functools.partial(muon.orthogonalise, iterations=3)):
            return super().advance()


class Momentum(Fit):
    """More momentum in Muon."""

    momentum = 0.95

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for scheduled in self.optimisers.of_network:
            if isinstance(scheduled.optimiser, muon.Muon):
                scheduled.optimiser.param_groups[0]["momentum"] = self.momentum


class LessMomentum(Momentum):
    """Less momentum in Muon."""

    momentum = 0.8


TRIALS: dict[str, tuple[type[Fit], dict[str, Any]]] = {
    AS_IT_IS: (Fit, {}),
    "float32 throughout": (Fit, {"bfloat16": False}),
    "encoder fitted for 80 %": (EncoderToTheEnd, {}),
    "encoder fitted for 30 %": (Fit, {"encoder_share": 0.3, "encoder_epochs": 1e9}),
    "encoder fitted for 5 %": (Fit, {"encoder_share": 0.05}),
    "latents learned after the encoder": (Learned, {}),
    "encoder by Adam": (EncoderByAdam, {}),
    "Adam 3e-3 alone, no Muon": (AdamAlone, {}),
    "batch 2": (Fit, {"batch": 2}),
    "Muon rate 0.03": (Fit, {"muon_lr": 0.03}),
    "Muon rate 0.014": (Fit, {"muon_lr": 0.014}),
    "Muon momentum 0.95": (Momentum, {}),
    "Muon momentum 0.8": (LessMomentum, {}),
    "Newton-Schulz 3 iterations": (ThreeIterations, {}),
    "Adam rate 4e-3": (Fit, {"adam_lr": 4e-3}),
    "warm-up 2 %": (Fit, {"warmup": 0.02}),
    "warm-up 10 %": (Fit, {"warmup": 0.1}),
    "cosine schedule": (Cosine, {}),
    "quantisation in the last 10 %": (Fit, {"quantised_share": 0.1}),
    "first 20 % at half size": (Progressive, {}),
    "last block on quarters": (Crops, {}),
    "weights averaged": (Averaged, {}),
    "hard frames more often": (HardFrames, {}),
    "orthogonal initialisation": (Orthogonal, {}),
}


def prepare(folder: Path, name: str, trial: str, steps: int, seed: int = 0) -> Fit:
    """Return a new fit; from here on everything runs on one thread."""
    torch.set_num_threads(1)
    source, selection = CLIPS[name]
    frames = read_clip(folder / source, selection).frames
    shape = solve(PARAMETERS, frames.shape[3], frames.shape[2], len(frames))
    kind, changed = TRIALS[trial]
    cpu = torch.device("cpu")
    options = FitOptions(**{"steps": steps, "seed": seed, "bfloat16": has_fast_bfloat16(cpu), **changed})
    return kind(frames, shape, options, cpu)


def step_ratio(folder: Path, trial: str) -> float:
    """Return the duration of a trial's training step relative to one of the fit as it is.

    Each duration is the mean over five parts of a short fit of the part's median.
    """
    name = next(iter(CLIPS))  # all clips have the same picture size
    fits = [prepare(folder, name, AS_IT_IS, PROBE_STEPS), prepare(folder, name, trial, PROBE_STEPS)]
    durations: list[list[float]] = [[], []]
    for _ in range(PROBE_STEPS):
        for fit, seconds in zip(fits, durations, strict=True):
            start = time.perf_counter()
            fit.advance()
            seconds.append(time.perf_counter() - start)
    part = PROBE_STEPS // PROBE_PARTS
    ours, theirs = (
        statistics.mean(statistics.median(seconds[i * part : (i + 1) * part]) for i in range(PROBE_PARTS))
        for seconds in durations
    )
    return theirs / ours


def one_fit(folder: Path, name: str, trial: str, steps: int, seed: int) -> dict[str, Any]:
    """Return the figures of one fit."""
    fit = prepare(folder, name, trial, steps, seed)
    while not fit.budget.done:
        fit.advance()
    return {"steps": steps, "seed": seed, "psnr_rgb": fit.finish().psnr(fit.frames)}


@click.command()
@click.argument("folder", type=Path)
@click.argument("output", type=Path)
@click.option("--steps", default=500)
@click.option("--jobs", default=2)
@click.option("--only", multiple=True)
def main(folder: Path, output: Path, steps: int, jobs: int, only: tuple[str, ...]) -> None:
    """Measure what OUTPUT does not hold yet."""
    torch.set_num_threads(1)
    results: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {"clips": {n: {} for n in CLIPS}}
    # A second seed of the fit as it is shows how much these figures vary by chance.
    wanted = [(name, trial, 0) for trial in only or TRIALS for name in CLIPS] + [(n, AS_IT_IS, 1) for n in CLIPS]
    missing = [row for row in wanted if _key(row[1], row[2]) not in results["clips"][row[0]]]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, context, max_tasks_per_child=1) as pool:
        trials = sorted({trial for _, trial, _ in missing})
        ratios = dict(zip(trials, pool.map(functools.partial(step_ratio, folder), trials), strict=True))
        ratios[AS_IT_IS] = 1.0
        fits = {
            pool.submit(one_fit, folder, name, trial, round(steps / ratios[trial]), seed): (name, trial, seed)
            for name, trial, seed in missing
        }
        for task in concurrent.futures.as_completed(fits):
            name, trial, seed = fits[task]
            row = {**task.result(), "step_ratio": ratios[trial], "provenance": provenance()}
            results["clips"][name][_key(trial, seed)] = row
            click.echo(f"{name}: {_key(trial, seed)}: {row['psnr_rgb']:.2f} dB, {row['steps']} steps", err=True)
            output.write_text(json.dumps(results, indent=1) + "\n")


def _key(trial: str, seed: int) -> str:
    return f"{trial}, seed {seed}" if seed else trial


if __name__ == "__main__":
    main()
