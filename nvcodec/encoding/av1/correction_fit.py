"""The fit of a network above an AV1 stream, on crops: first in float, then with rounding and bytes in the loop."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from nvcodec.encoding.av1.correction_loss import CropLoss
from nvcodec.encoding.av1.correction_network import BORDER, Correction, CorrectionShape
from nvcodec.encoding.av1.crops import QUARTERS, Crops
from nvcodec.encoding.fit.budget import STEPS, Budget
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.losses import checked
from nvcodec.encoding.fit.optimisers import Optimisers
from nvcodec.encoding.fit.rate_control import rate_term
from nvcodec.encoding.quantizer.initial_steps import set_initial_steps
from nvcodec.encoding.quantizer.learned_steps import LearnedSteps

JUDGED_CROPS = 4  # one crop in so many tells how good a fit is
JUDGED_BATCH = 64
STEP_PASSES = 3  # a training step takes as long as decoding its crops so often: forward, and twice backward


class CorrectionFit:
    """A fit in progress: it advances one training step at a time.

    Args:
        crops: what it is fitted to, on the device.
        shape: the network.
        options: of the fit; ``batch`` counts crops.
        loss: what it is fitted for.
        lower_bits: size of all that is below, beside which the network's bits count.
        pixels: of all frames, which are decoded after the fit.

    Attributes:
        network: the network; rounded once quantisation is in the loop.
        budget: what may be spent and has been spent.
    """

    def __init__(
        self,
        crops: Crops,
        shape: CorrectionShape,
        options: FitOptions,
        loss: CropLoss,
        lower_bits: float,
        pixels: int = 0,
    ) -> None:
        self.crops, self.shape, self.options = crops, shape, options
        self.loss, self.lower_bits = loss, lower_bits
        self.device = crops.below.device
        with torch.random.fork_rng(devices=[]):  # the caller's generator stays as it is
            torch.manual_seed(options.seed)
            self.network = Correction(shape)
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.quant_steps = LearnedSteps(self.network).to(self.device).requires_grad_(options.rd_lambda > 0)
        everything = nn.ModuleList([self.network, self.quant_steps])
        self.optimisers = Optimisers(everything, [], list(self.quant_steps.parameters()), options)
        # Beside the pictures, the crops that judge the fit before and after it, and all crops for the export.
        decoded = pixels / crops.source[0, 0].numel() + len(crops) * (2 / JUDGED_CROPS + 1)
        self.budget = Budget(options, decoded / (STEP_PASSES * options.batch))
        self.random = torch.Generator().manual_seed(options.seed)

    @property
    def quantised(self) -> bool:
        """Whether quantisation is in the loop."""
        return self.network.latent_steps is not None

    def advance(self) -> torch.Tensor:
        """Do one training step; returns the mean squared error, of levels from 0 to 1, without waiting for it."""
        with self.budget.clock.phase(STEPS):
            if self.budget.spent(1) > (1 - self.options.quantised_share) * self.budget.end:
                self.start_quantisation()
            chosen = torch.randint(len(self.crops), (self.options.batch,), generator=self.random).to(self.device)
            with torch.enable_grad():
                if self.quantised and self.options.rd_lambda:
                    self.quant_steps.apply_to_decoder()
                decoded = self.decode(chosen)
                loss = self.loss_of(decoded, chosen)
                error = (decoded.detach() - self.crops.originals(chosen)).square().mean() / self.crops.peak**2
                if self.quantised and self.options.rd_lambda:
                    bits = self.quant_steps.bits()
                    loss = loss + rate_term(loss, bits, self.options.rd_lambda, self.lower_bits)
            self.optimisers.clear_gradients()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimisers.step(self.budget.lr_factor())
        self.budget.count_step()
        return error

    def loss_of(self, decoded: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Return the loss of decoded crops of these numbers; raises UsageError where it cannot be minimised."""
        return checked(self.loss(decoded, self.crops, chosen))

    def decode(self, chosen: torch.Tensor) -> torch.Tensor:
        """Return the corrected crops of these numbers in levels, [chosen, 3, side, side], clamped to what is shown."""
        below = (self.crops.below[chosen] / QUARTERS).contiguous(memory_format=torch.channels_last)
        border = BORDER
        picture: torch.Tensor = below[:, :, border:-border, border:-border] + self.network(below)
        return picture.clamp(0, self.crops.peak)

    def start_quantisation(self) -> None:
        """Put quantisation into the loop, unless it is."""
        if not self.quantised:
            set_initial_steps(self.network, [])
            self.quant_steps.start_from_decoder()
            self.quant_steps.apply_to_decoder()

    @torch.no_grad()
    def finish(self) -> Correction:
        """Make the network what a file would hold and return it."""
        self.start_quantisation()
        self.quant_steps.apply_to_decoder()
        return self.network

    def mean_loss(self) -> float:
        """Return the loss over some of the crops, the same for every fit, of pictures in whole samples, as shown."""
        return self._mean_loss(self.decode)

    def loss_below(self) -> float:
        """Return what :meth:`mean_loss` is of the pictures below themselves."""
        return self._mean_loss(self.crops.pictures_below)

    @torch.no_grad()
    def _mean_loss(self, pictures: Callable[[torch.Tensor], torch.Tensor]) -> float:
        chosen = torch.arange(0, len(self.crops), JUDGED_CROPS, device=self.device)
        step = self.crops.step
        losses = [
            float(self.loss_of((pictures(part) / step).round() * step, part)) * len(part)
            for part in torch.split(chosen, JUDGED_BATCH)
        ]
        return sum(losses) / len(chosen)
