"""The options of a fit: how long, which learning rates, and when its phases begin."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """How to fit. At least one of ``steps`` and ``seconds`` is required; the limit that is reached first ends the fit.

    Attributes:
        steps: training steps in all; each sees ``batch`` frames.
        seconds: time in all, including that for decoding and writing the files.
        files: how many files are made of the fit; each after the first has phase QUANTISED for itself.
        batch: frames per training step.
        seed: of initialisation, of the order of frames and of z.
        rep: whether the blocks are reparameterised.
        muon_lr, adam_lr: peak learning rates of convolution kernels with more than one input channel, and of everything
            else.
        warmup, warmup_steps: the learning rates rise over this share of the fit, or over so many training steps if
            these are fewer.
        encoder_share: share of the fit, its first part, in which the encoder is fitted. Long fits end this part after
            ``encoder_epochs``, but not before ``encoder_steps``. Then the latents are fixed: a training step costs
            less, and a decoder whose input no longer moves ends higher.
        quantised_share: share of the fit, its last part, with quantisation in the loop; 0 fits a float network.
        rd_lambda: rate-distortion trade-off while quantisation is in the loop: dB of PSNR that justify doubling the
            bytes. Above 0 the quantisation steps are learned; 0 ignores bytes and keeps the initial steps.
        bfloat16: whether the network and Muon's iterations compute in bfloat16.
        normality: weight of the distance of z from N(0, 1), in nats per value, beside the loss.
    """

    steps: int | None = None
    seconds: float | None = None
    files: int = 1
    batch: int = 1
    seed: int = 0
    rep: bool = False
    muon_lr: float = 0.02
    adam_lr: float = 2e-3
    warmup: float = 0.05
    warmup_steps: int = 50
    encoder_share: float = 0.25
    encoder_epochs: float = 2.0
    encoder_steps: int = 150
    quantised_share: float = 0.3
    rd_lambda: float = 0.0
    bfloat16: bool = False
    normality: float = 1e-4
