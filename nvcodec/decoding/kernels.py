"""Convolutions over integers held in float32, exact on every device.

As long as every partial sum is below 2^24 (``format/arithmetic/bounds.py``), float32 multiply-accumulate is exact in
any order. Two kinds of kernels could still break that: those of reduced precision (autocast, TF32, bf16) and those that
leave the integers (Winograd, FFT). :func:`exact_arithmetic` switches off the first; :class:`Convolution` uses the
library's kernel only after it has reproduced unfold + matrix product for the very shape and batch.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F

from nvcodec.format.limits import UNFOLDED_STRIP

FEW_CHANNELS = 4  # of a result


class _Flags:
    """The process-wide switches of torch, set while any thread decodes and restored when the last one is done.

    They are not thread-local, hence the count under a lock: two threads that decode at once must not restore each
    other's state.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.saved: list[tuple[Callable[[Any], Any], Any]] = []

    @staticmethod
    def switches() -> list[tuple[Callable[[], Any], Callable[[Any], Any], Any]]:
        """For each switch a getter, a setter, and the value for decoding.

        Torch has two interfaces for precision and complains where they disagree. The older one comes first, because
        setting it sets the newer one as well.
        """
        backends: Any = torch.backends

        def attribute(owner: Any, name: str, value: Any) -> tuple[Callable[[], Any], Callable[[Any], Any], Any]:
            return (lambda: getattr(owner, name)), (lambda value: setattr(owner, name, value)), value

        return [
            (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
            attribute(backends.cudnn, "allow_tf32", False),
            attribute(backends.cuda.matmul, "fp32_precision", "ieee"),
            attribute(backends.cudnn.conv, "fp32_precision", "ieee"),
            attribute(backends.cudnn.rnn, "fp32_precision", "ieee"),
            attribute(backends.mkldnn.matmul, "fp32_precision", "ieee"),
            attribute(backends.mkldnn.conv, "fp32_precision", "ieee"),
            attribute(backends.cudnn, "benchmark", False),
            # NNPACK's kernels are Winograd and FFT.
            (torch._C._get_nnpack_enabled, torch._C._set_nnpack_enabled, False),
        ]

    def enter(self) -> None:
        with self.lock:
            if self.users == 0:
                self.saved = []
                for get, put, _ in self.switches():
                    # The older interface cannot be read if only the newer one has been used; then it is at its default.
                    with contextlib.suppress(RuntimeError):
                        self.saved.append((put, get()))
            self.users += 1
            for _, put, value in self.switches():
                put(value)

    def leave(self) -> None:
        with self.lock:
            self.users -= 1
            if self.users == 0:
                for put, value in self.saved:
                    put(value)

    def after_fork(self) -> None:
        """Restore the switches in a child process, in which only the thread that forked is left."""
        self.lock = threading.Lock()
        if self.users:
            self.users = 1
            self.leave()


_FLAGS = _Flags()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_FLAGS.after_fork)


@contextlib.contextmanager
def exact_arithmetic(device: torch.device) -> Iterator[None]:
    """Compute in full float32 precision, without gradients, whatever the caller has set for autocast, TF32 and bf16."""
    _FLAGS.enter()
    try:
        with (
            torch.inference_mode(),
            torch.autocast("cpu", enabled=False),
            torch.autocast(device.type, enabled=False),
        ):
            yield
    finally:
        _FLAGS.leave()


def _by_fours(weight: torch.Tensor) -> torch.Tensor:
    """Return the weights of a convolution that yields 2x2 pixels at once.

    The library computes 16 output channels at once, wanted or not: this way four times as many are wanted.

    Args:
        weight: [out, in, 3, 3].

    Returns:
        [4 * out, in, 4, 4] for stride 2; channels in the order of row, column, channel.
    """
    out, channels, height, width = weight.shape
    pixels = weight.new_zeros((2, 2, out, channels, height + 1, width + 1))
    for row, column in itertools.product(range(2), repeat=2):
        pixels[row, column, :, :, row : row + height, column : column + width] = weight
    return pixels.flatten(0, 2).contiguous(memory_format=torch.channels_last)


def unfold_convolution(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Convolve with stride 1 and zero padding, as unfold + matrix product.

    Args:
        x: [batch, in, height, width].
        weight: [out, in, kernel height, kernel width], odd kernel sides.
        bias: [out].

    Unfolds strips of rows of at most ``UNFOLDED_STRIP`` elements each, or of one row.
    """
    batch, _, height, width = x.shape
    out, channels, kernel_height, kernel_width = weight.shape
    top, left = kernel_height // 2, kernel_width // 2
    padded = F.pad(x, (left, left, top, top))
    rows = max(1, UNFOLDED_STRIP // (channels * kernel_height * kernel_width * width))
    flat = weight.reshape(out, -1)
    result = x.new_empty((batch, out, height, width))
    for frame in range(batch):
        for row in range(0, height, rows):
            count = min(rows, height - row)
            strip = padded[frame : frame + 1, :, row : row + count + kernel_height - 1]
            columns = F.unfold(strip, (kernel_height, kernel_width))[0]
            result[frame, :, row : row + count] = (flat @ columns).view(out, count, width)
            del columns  # before the next strip is unfolded
    return result + bias.view(1, -1, 1, 1)


class Convolution:
    """One convolution of integers in float32.

    Args:
        weight: float32 [out, in, kernel height, kernel width]; integers times a power of two per output channel.
        bias: float32 [out], likewise.
        low, high: range of the input's integers.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, low: int, high: int) -> None:
        self.weight = weight.contiguous(memory_format=torch.channels_last)
        self.bias = bias
        self.low, self.high = low, high
        self.trusted: dict[tuple[int, ...], bool] = {}
        backends: Any = torch.backends
        on_cpu = weight.device.type == "cpu" and backends.mkldnn.is_available()
        kernel = tuple(weight.shape[2:])
        self._pointwise = on_cpu and kernel == (1, 1)
        self._by_fours = on_cpu and kernel == (3, 3) and len(weight) <= FEW_CHANNELS
        if self._by_fours:
            self._weight_by_fours, self._bias_by_fours = _by_fours(self.weight), bias.repeat(4)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve ``x``, float32 [batch, in, height, width]. Call it inside :func:`exact_arithmetic`."""
        shape = tuple(x.shape)
        if shape not in self.trusted:
            probe = self._probe(x)
            self.trusted[shape] = torch.equal(self._library(probe), unfold_convolution(probe, self.weight, self.bias))
        return self._library(x) if self.trusted[shape] else unfold_convolution(x, self.weight, self.bias)

    def _library(self, x: torch.Tensor) -> torch.Tensor:
        batch, _, height, width = x.shape
        if self._pointwise:
            # What F.conv2d takes on one thread is half as fast.
            once, nothing = [1, 1], [0, 0]
            return torch.ops.aten.mkldnn_convolution(x, self.weight, self.bias, nothing, once, once, 1)
        if self._by_fours and height % 2 == 0 and width % 2 == 0:
            fours = F.conv2d(x, self._weight_by_fours, self._bias_by_fours, stride=2, padding=1)
            pairs = fours.permute(0, 2, 3, 1).reshape(batch, height // 2, width // 2, 2, -1)
            return pairs.transpose(2, 3).reshape(batch, height, width, -1).permute(0, 3, 1, 2)
        padding = (self.weight.shape[2] // 2, self.weight.shape[3] // 2)
        return F.conv2d(x, self.weight, self.bias, padding=padding)

    def _probe(self, x: torch.Tensor) -> torch.Tensor:
        """Random integers over the whole input range, most at its ends, so that sums become as large as they can."""
        generator = torch.Generator(device=x.device).manual_seed(x.numel())
        wide = torch.rand(x.shape, generator=generator, device=x.device, dtype=torch.float32)
        middle = (self.low + self.high) / 2
        spread = (wide * 2 - 1) * (self.high - self.low)
        return (spread + middle).round_().clamp_(self.low, self.high).contiguous(memory_format=torch.channels_last)


def resample(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Resample [batch, channels, h, w] to the nearest neighbours (specification, section 6.6)."""
    rows, columns = (
        ((2 * torch.arange(new, device=x.device) + 1) * old).div(2 * new, rounding_mode="floor")
        for old, new in ((x.shape[2], height), (x.shape[3], width))
    )
    return x.index_select(2, rows).index_select(3, columns)
