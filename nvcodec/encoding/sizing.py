"""Before a fit: the network for a number of parameters, and the number of parameters for a target.

The path from ``size`` to the tensors' shapes: :meth:`Sizing.network` looks for the most feature grids that leave the
rest of the network its share of the file; for each candidate :func:`~nvcodec.encoding.model.shape_solver.solve` finds
the channels. :meth:`Sizing.for_bytes` and :meth:`Sizing.for_psnr` choose the number of parameters first.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable

import torch

from nvcodec.encoding.encode_config import DEFAULT_GRIDS, DEFAULT_SKIP, DEFAULT_Z_GAIN
from nvcodec.encoding.fit.fit import Fit
from nvcodec.encoding.fit.fit_loop import OnStep, ShouldStop, never, run
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.losses import Loss
from nvcodec.encoding.model.network_shape import NetworkShape
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.errors import UsageError
from nvcodec.format.inference import MAX_WEIGHTS
from nvcodec.video.frames import Frames

SIZE_RATIO = 1.01  # between two numbers of parameters that are tried
#: The share of a file, at least, for what is neither a feature grid nor a latent: 0.25 from 0.1 bits per pixel on, more
#: with fewer, up to 0.6. See :func:`min_network_share`.
MIN_NETWORK_SHARE, MAX_NETWORK_SHARE = 0.25, 0.6
AMPLE_BITS_PER_PIXEL, SCARCITY_EXPONENT = 0.1, 0.4
GRID_SHARE_STEP = 0.999  # a little less than the share of the grids that were too many: the next smaller set

#: Expected bits per stored value, while the fit ignores bytes and while it counts them (rd_lambda above 0).
GRID_BITS, LATENT_BITS, OTHER_BITS = (3.0, 2.0), (6.3, 1.0), (6.3, 4.2)

PROBE_STEPS_SHARE = 0.15  # of a fit's training steps tell what the whole fit would reach
PROBE_PARAMETERS_PER_PIXEL, PROBE_EXPONENT = 2.0, 0.75  # parameters of the probe: 2 * pixels^0.75
PROBE_GAIN_DB = 3.0  # PSNR that the whole fit reaches above the probe's
DB_PER_SIZE_DOUBLING = 2.0  # PSNR that twice the parameters gain
#: Octaves that a network may be larger than the probe's. A smaller one is not tried: it would be worse than the probe
#: tells, and bytes that it does not need are saved at the end anyway.
MAX_SIZE_OCTAVES = 3.0


@dataclasses.dataclass(frozen=True)
class ExpectedBits:
    """What feature grids, latents, and the rest of the network are expected to cost in a file, in bits.

    Headers, checksums and quantisation steps are not counted.
    """

    grids: float
    latents: float
    network: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.grids + self.latents + self.network


def expected_bits(shape: NetworkShape, frames: int, rd_lambda: float) -> ExpectedBits:
    """Return what a file with this network is expected to cost."""
    counts = int(rd_lambda > 0)
    grids, latents = shape.feature_grid_values, frames * shape.latents_per_frame
    others = shape.parameters(frames) - grids - latents
    return ExpectedBits(GRID_BITS[counts] * grids, LATENT_BITS[counts] * latents, OTHER_BITS[counts] * others)


def min_network_share(bits_per_pixel: float) -> float:
    """Return the share of a file that the network itself has to get, at so many bits per pixel."""
    scarcity = max(1.0, AMPLE_BITS_PER_PIXEL / bits_per_pixel)
    return min(MAX_NETWORK_SHARE, MIN_NETWORK_SHARE * scarcity**SCARCITY_EXPONENT)


def parameters_for_bytes(file_bytes: int, frames: int, rd_lambda: float, network: Callable[[int], NetworkShape]) -> int:
    """Return how many parameters a file of this size can hold.

    Args:
        file_bytes: size of the file.
        frames: number of frames.
        rd_lambda: the rate-distortion trade-off of the fit.
        network: the network for a number of parameters; raises UsageError if the clip cannot be coded with so few.
    """
    bits = 8 * file_bytes
    per_value = [each[int(rd_lambda > 0)] for each in (GRID_BITS, LATENT_BITS, OTHER_BITS)]
    fewest, wanted = bits / max(per_value), min(MAX_WEIGHTS, bits / min(per_value))
    # From the top down: with a larger set of grids the network beside it shrinks by more than they have grown.
    while wanted > fewest:
        with contextlib.suppress(UsageError):
            if expected_bits(network(round(wanted)), frames, rd_lambda).total <= bits:
                break
        wanted /= SIZE_RATIO
    return round(wanted)


@dataclasses.dataclass(frozen=True)
class Sizing:
    """The networks for one layer of one clip.

    Attributes:
        width, height, frames: of the clip.
        rd_lambda: the rate-distortion trade-off of the fit.
        skip, z_gain, grids, still, reference_channels: see :func:`~nvcodec.encoding.model.shape_solver.solve`.
    """

    width: int
    height: int
    frames: int
    rd_lambda: float
    skip: str = DEFAULT_SKIP
    z_gain: float = DEFAULT_Z_GAIN
    grids: float = DEFAULT_GRIDS
    still: bool = True
    reference_channels: int = 0

    def network(self, parameters: int) -> NetworkShape:
        """Return the network for a number of parameters: the most feature grids that leave the rest its share.

        Raises:
            UsageError: the clip cannot be coded with so few parameters, or no stream holds so many.
        """
        grid_share = self.grids
        while True:
            shape = solve(
                parameters,
                self.width,
                self.height,
                self.frames,
                self.skip,
                self.z_gain,
                grid_share,
                self.still,
                self.reference_channels,
            )
            bits = expected_bits(shape, self.frames, self.rd_lambda)
            bits_per_pixel = bits.total / (self.frames * self.width * self.height)
            if not shape.feature_grid_values or bits.network >= min_network_share(bits_per_pixel) * bits.total:
                return shape
            grid_share = GRID_SHARE_STEP * shape.feature_grid_values / parameters

    def for_bytes(self, file_bytes: int) -> int:
        """Return how many parameters a file of this size can hold."""
        return parameters_for_bytes(file_bytes, self.frames, self.rd_lambda, self.network)

    def for_psnr(
        self,
        target_db: float,
        frames: Frames,
        options: FitOptions,
        device: torch.device,
        loss: Loss,
        should_stop: ShouldStop = never,
        on_step: OnStep[Fit] | None = None,
    ) -> int:
        """Return how many parameters reach an RGB PSNR of ``target_db`` in about ``options.steps``: a short fit tells.

        Args:
            target_db: the target.
            frames: samples [frames, 3, height, width].
            options, device, loss: of the fit.
            should_stop: ends the short fit early.
            on_step: called after each of its training steps.
        """
        pixels = self.frames * self.width * self.height
        parameters = self._at_least(PROBE_PARAMETERS_PER_PIXEL * pixels**PROBE_EXPONENT)
        steps = max(1, round(PROBE_STEPS_SHARE * (options.steps or 1)))
        probe = Fit(frames, self.network(parameters), dataclasses.replace(options, steps=steps), device, loss)
        run(probe, on_step=on_step, should_stop=should_stop)
        octaves = (target_db - probe.finish().psnr(frames) - PROBE_GAIN_DB) / DB_PER_SIZE_DOUBLING
        return self._at_least(parameters * 2.0 ** min(MAX_SIZE_OCTAVES, max(0.0, octaves)))

    def _at_least(self, parameters: float) -> int:
        """Return about so many parameters, or as many more as the smallest network for the clip takes.

        Raises:
            UsageError: no stream holds as many.
        """
        wanted = min(MAX_WEIGHTS, round(parameters))
        while True:
            try:
                self.network(wanted)
            except UsageError:
                if wanted == MAX_WEIGHTS:
                    raise
                wanted = min(MAX_WEIGHTS, 2 * wanted)
            else:
                return wanted
