"""What was tried to make the fit faster, each alone against the fit as it is: equal time, also what failed.

    python benchmarks/fit_trials.py CLIPS_FOLDER benchmarks/fit_trials.json [--steps 500] [--jobs 2] [--only TRIAL]

First the time that a trial's step takes, as a ratio: a short fit of it and one of the fit as it is take turns step by
step, so that whatever else the machine does meets both. A trial then gets as many steps as --steps of the fit as it is
would take. All run on one thread, --jobs at a time. What a trial needs beside the fit's options is in this file alone:
what does not help is not in the package. Results are added to the JSON as they come.
"""

from __future__ import annotations

import concurrent.futures
import functools
import json
import math
import multiprocessing
import statistics
import time
from pathlib import Path
from typing import Any

import click
import torch
import torch.nn.functional as F
from machine import provenance
from torch import nn

from nvcodec.decoding.kernels import resample
from nvcodec.encoding.fit import fit as loop
from nvcodec.encoding.fit import muon
from nvcodec.encoding.fit.fit import Fit, analyse
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.muon import Muon
from nvcodec.encoding.fit.schedule import schedule
from nvcodec.encoding.model.convolution import Conv
from nvcodec.encoding.model.decoder_network import HEAD_UNIT
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.video.source import Selection, read_clip

SIZE = 285_000
CLIPS: dict[str, tuple[str, Selection]] = {
    "bunny 320x160": ("bigbuckbunny.mp4", Selection((1280, 640), (320, 160), 0, 66)),
    "blackswan 320x160": ("davis480/blackswan", Selection((854, 427), (320, 160), 0, 50)),
}
AS_IT_IS = "as it is"
PROBE_STEPS = 40


class Learned(Fit):
    """The latents go on being learned, each frame's by itself, after the encoder's part."""

    def fix_latents(self) -> None:
        if self.fixed_latents is None:
            super().fix_latents()
            assert self.fixed_latents is not None
            self.own = [nn.ParameterList(latent[:, None].unbind()) for latent in self.fixed_latents]
            self.network.extend(self.own)
            flat = [parameter for of_one_kind in self.own for parameter in of_one_kind]
            self.optimisers.append((torch.optim.Adam(flat, betas=(0.9, 0.99)), self.options.adam_lr))

    def reconstruct(self, pictures: torch.Tensor, frames: list[int]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        if self.fixed_latents is None:
            return super().reconstruct(pictures, frames)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.options.bfloat16):
            latents = [torch.cat([of_one_kind[frame] for frame in frames]) for of_one_kind in self.own]
            return self.decoder(latents, self.noise).float(), []

    def latents(self) -> list[torch.Tensor]:
        if self.fixed_latents is None:
            return super().latents()
        return [torch.cat([parameter.detach() for parameter in of_one_kind]) for of_one_kind in self.own]


class EncoderToTheEnd(Fit):
    """The encoder is fitted until quantisation comes in."""

    def fix_latents(self) -> None:
        if self.budget.spent(1) > 1 - self.options.quantised:
            super().fix_latents()


class EncoderByAdam(Fit):
    """Muon on the decoder's kernels alone."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        decoder = loop.optimisers(self.decoder.parameters(), self.options)
        adam = torch.optim.Adam(self.encoder.parameters(), betas=(0.9, 0.99), foreach=True)
        self.optimisers = [*decoder, (adam, self.options.adam_lr)]


class AdamAlone(Fit):
    """No Muon."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        adam = torch.optim.Adam(self.network.parameters(), betas=(0.9, 0.99), foreach=True)
        self.optimisers = [(adam, 3e-3)]


class Progressive(Fit):
    """The first fifth without the last block, on pictures shrunken by its stride, with a head of its own."""

    until = 0.2

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        torch.manual_seed(self.options.seed)
        self.small_head = Conv(self.shape.channels[-2], 3, 3).to(memory_format=torch.channels_last)
        self.network.append(self.small_head)
        self.optimisers += loop.optimisers(self.small_head.parameters(), self.options)

    def objective(self, pictures: torch.Tensor, frames: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        if self.budget.spent() >= self.until or self.quantised:
            return super().objective(pictures, frames)
        decoder, stride = self.decoder, self.shape.strides[-1]
        with torch.autocast("cpu", torch.bfloat16, enabled=self.options.bfloat16):
            latents, _ = analyse(self.encoder, decoder, pictures)
            x = before_last_block(decoder, latents)
            small = (self.small_head(x) * HEAD_UNIT + 0.5).float()
        target = F.avg_pool2d(pictures, stride)
        loss = F.mse_loss(small[:, :, : target.shape[2], : target.shape[3]], target)
        return loss, loss.detach()


class Crops(Fit):
    """The last block and the head see one of four quarters a step, with a margin."""

    def objective(self, pictures: torch.Tensor, frames: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        if self.quantised:
            return super().objective(pictures, frames)
        decoder, stride = self.decoder, self.shape.strides[-1]
        margin = self.shape.kernels[-1] // 2 + 1
        with torch.autocast("cpu", torch.bfloat16, enabled=self.options.bfloat16):
            if self.fixed_latents is None:
                latents, _ = analyse(self.encoder, decoder, pictures)
            else:
                latents = [
                    latent[frames].contiguous(memory_format=torch.channels_last) for latent in self.fixed_latents
                ]
            x = before_last_block(decoder, latents)
            height, width = x.shape[2] // 2, x.shape[3] // 2
            down, across = divmod(int(torch.randint(4, (1,), generator=self.order)), 2)
            top, left = down * height, across * width
            outer_top, outer_left = max(0, top - margin), max(0, left - margin)
            part = x[:, :, outer_top : top + height + margin, outer_left : left + width + margin]
            part = F.pixel_shuffle(
                F.gelu(decoder.blocks[-1](part.contiguous(memory_format=torch.channels_last))), stride
            )
            picture = (decoder.head(part) * HEAD_UNIT + 0.5).float()
        top_out, left_out = (top - outer_top) * stride, (left - outer_left) * stride
        target = pictures[:, :, top * stride : (top + height) * stride, left * stride : (left + width) * stride]
        inner = picture[:, :, top_out : top_out + target.shape[2], left_out : left_out + target.shape[3]]
        loss = F.mse_loss(inner, target)
        return loss, loss.detach()


def before_last_block(decoder: loop.Decoder, latents: list[torch.Tensor]) -> torch.Tensor:
    """The decoder up to where its last block begins."""
    x = F.gelu(decoder.stem(latents[0]))
    for place, block in enumerate(decoder.blocks[:-1]):
        x = F.pixel_shuffle(F.gelu(block(x)), decoder.shape.strides[place])
        if place < len(decoder.skips):
            x = x + resample(decoder.skips[place](latents[1 + place], None), x.shape[2], x.shape[3])
    return x


class Averaged(Fit):
    """The result is a running average of the weights over the last 50 steps, about."""

    def advance(self) -> torch.Tensor:
        error = super().advance()
        if self.quantised:
            if not hasattr(self, "average"):
                self.average = [p.detach().clone() for p in self.decoder.parameters()]
            for kept, now in zip(self.average, self.decoder.parameters(), strict=True):
                kept.lerp_(now.detach(), 1 / 50)
        return error

    def result(self) -> loop.Fitted:
        with torch.no_grad():
            for kept, now in zip(self.average, self.decoder.parameters(), strict=True):
                now.copy_(kept)
        return super().result()


class HardFrames(Fit):
    """Frames are drawn in proportion to the square root of their last error."""

    def draw(self) -> list[int]:
        if not hasattr(self, "errors"):
            self.errors = torch.full((len(self.frames),), math.inf)
        if self.errors.isinf().any():
            return super().draw()
        return torch.multinomial(self.errors.sqrt(), self.options.batch, generator=self.order).tolist()

    def objective(self, pictures: torch.Tensor, frames: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        loss, error = super().objective(pictures, frames)
        self.errors[frames] = error
        return loss, error


class Orthogonal(Fit):
    """Kernels of the decoder start orthogonal, as matrices."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        torch.manual_seed(self.options.seed)
        for conv in self.decoder.convs():
            with torch.no_grad():
                conv.weight.copy_(nn.init.orthogonal_(torch.empty(conv.weight.shape), math.sqrt(2)))


class Cosine(Fit):
    """Rates fall along a cosine."""

    def factor(self) -> float:
        share = min(1.0, self.budget.spent())
        return schedule(share / self.options.warmup, 0.5 * (1 + math.cos(math.pi * share)))


class ThreeIterations(Fit):
    """Newton-Schulz with 3 iterations in place of 5."""

    def advance(self) -> torch.Tensor:
        five = muon.orthogonalise
        muon.orthogonalise = functools.partial(five, steps=3)
        try:
            return super().advance()
        finally:
            muon.orthogonalise = five


class Momentum(Fit):
    """Muon's momentum is another one."""

    momentum = 0.95

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for optimiser, _ in self.optimisers:
            if isinstance(optimiser, Muon):
                optimiser.param_groups[0]["momentum"] = self.momentum


class LessMomentum(Momentum):
    """Less."""

    momentum = 0.8


TRIALS: dict[str, tuple[type[Fit], dict[str, Any]]] = {
    AS_IT_IS: (Fit, {}),
    "float32 throughout": (Fit, {"bfloat16": False}),
    "encoder fitted for 80 %": (EncoderToTheEnd, {}),
    "encoder fitted for 30 %": (Fit, {"encoder": 0.3, "encoder_epochs": 1e9}),
    "encoder fitted for 5 %": (Fit, {"encoder": 0.05}),
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
    "quantisation in the last 10 %": (Fit, {"quantised": 0.1}),
    "first 20 % at half size": (Progressive, {}),
    "last block on quarters": (Crops, {}),
    "weights averaged": (Averaged, {}),
    "hard frames more often": (HardFrames, {}),
    "orthogonal initialisation": (Orthogonal, {}),
}


def prepare(folder: Path, name: str, trial: str, steps: int, seed: int = 0) -> Fit:
    """A fit on one thread."""
    torch.set_num_threads(1)
    source, selection = CLIPS[name]
    frames = read_clip(folder / source, selection).frames
    shape = solve(SIZE, frames.shape[3], frames.shape[2], len(frames))
    kind, changed = TRIALS[trial]
    cpu = torch.device("cpu")
    options = FitOptions(**{"steps": steps, "seed": seed, "bfloat16": loop.has_fast_bfloat16(cpu), **changed})
    return kind(frames, shape, options, cpu)


def step_ratio(folder: Path, trial: str) -> float:
    """Time of a step of a trial over that of a step of the fit as it is: the mean over five parts of a short fit, the
    median of each."""
    name = next(iter(CLIPS))  # the clips have one size
    fits = [prepare(folder, name, AS_IT_IS, PROBE_STEPS), prepare(folder, name, trial, PROBE_STEPS)]
    times: list[list[float]] = [[], []]
    for _ in range(PROBE_STEPS):
        for fit, taken in zip(fits, times, strict=True):
            began = time.perf_counter()
            fit.advance()
            taken.append(time.perf_counter() - began)
    part = PROBE_STEPS // 5
    ours, theirs = (
        statistics.mean(statistics.median(taken[i * part : (i + 1) * part]) for i in range(5)) for taken in times
    )
    return theirs / ours


def one_fit(folder: Path, name: str, trial: str, steps: int, seed: int) -> dict[str, Any]:
    """Figures of one fit."""
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
    """Measure whatever OUTPUT does not hold yet."""
    torch.set_num_threads(1)
    results: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {"clips": {n: {} for n in CLIPS}}
    # The fit as it is, run with two seeds, tells how much chance is in these figures.
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
