"""From a fit to a file: quantise, decode, write, then read the file again and compare."""

from __future__ import annotations

import copy

import numpy as np
import torch

from nvcodec import __version__
from nvcodec.encoding.clip_header import base_stream
from nvcodec.encoding.clock import Clock
from nvcodec.encoding.encoded import Encoded
from nvcodec.encoding.export.network_export import export_layer
from nvcodec.encoding.fit.fit import Fit, Fitted
from nvcodec.encoding.model.network_shape import NetworkShape
from nvcodec.encoding.quantizer.rounding import integers
from nvcodec.encoding.verification import decode_and_measure, verify
from nvcodec.format.describe import quality_key
from nvcodec.format.entropy.chunks import encode_chunk
from nvcodec.format.entropy.contexts import Rows
from nvcodec.format.payloads import pack_latents
from nvcodec.format.stream import Stream
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.stream_writer import append_layer, write_stream
from nvcodec.video.clip import Clip

MIN_PARAMETERS_PER_CHECKSUM = 8000  # so that checksums take about a thousandth of a file
MIN_INDEX_FRAMES = 2000  # a shorter video has so few units that an index would not help
PSNR_PLACEHOLDER = 99.999  # as long as any PSNR that a file states


class Assembler:
    """Makes files from the fits of one layer.

    Args:
        clip: what is coded.
        shape: the layer's network.
        seed: the stream's.
        device: where files are decoded.
        clock: the phases add their time to it.
        lower_layers: the file of the layers below; empty for a base layer.
    """

    def __init__(
        self, clip: Clip, shape: NetworkShape, seed: int, device: torch.device, clock: Clock, lower_layers: bytes
    ) -> None:
        self.clip, self.shape, self.seed, self.device, self.clock = clip, shape, seed, device, clock
        self.lower_layers = lower_layers

    def measure(self, fitted: Fitted, file_bytes: int) -> tuple[int, int]:
        """Return the bytes that weights, grids and latents take, and those that a file of ``file_bytes`` has for them.

        The values are really coded, and a file is really built around them. The second figure changes a little with the
        quantisation steps, because biases and tables do.
        """
        used = value_bytes(fitted)
        stream, metadata = self._stream(fitted)
        return used, file_bytes - (len(self._write(stream, metadata)) - used)

    def make(self, fit: Fit) -> Encoded:
        """Decode the fit's integers, write them as a file, read it again and compare; the fit may go on.

        Raises:
            VerificationError: the file does not decode to what was meant.
        """
        clock = self.clock
        with clock.phase("quantising"):
            fitted = copy.deepcopy(fit.finish())
            stream, metadata = self._stream(fitted)
            stream.segments[0].layers[-1].checksums, quality = decode_and_measure(stream, self.clip, self.device)
            stated = {quality_key(stream.layers - 1): round(quality, 3)}
            metadata.update(stated)
            stream.metadata.update(stated)
        with clock.phase("writing"):
            data = self._write(stream, metadata)
        with clock.phase("verifying"):
            verify(data, stream, self.clip)
        frames = len(self.clip.frames)
        return Encoded(
            data,
            stream.parameters,
            frames,
            self.clip.width,
            self.clip.height,
            quality,
            clock.seconds,
            fitted,
            self.shape,
        )

    def _stream(self, fitted: Fitted) -> tuple[Stream, dict[str, object]]:
        """Return the content of a file, the newest layer's checksums still zero, and that layer's own metadata."""
        lower = read_stream(self.lower_layers) if self.lower_layers else None
        lower_layers = lower.segments[0].layers if lower else []
        layer = export_layer(fitted.decoder, fitted.latents, fitted.noise, lower_layers)
        metadata: dict[str, object] = {quality_key(len(lower_layers)): PSNR_PLACEHOLDER}
        if lower is None:
            stream = base_stream(self.clip, layer, self.seed)
            stream.metadata = {"encoder": f"nvcodec {__version__}", **metadata}
        else:
            stream = lower
            stream.segments[0].layers.append(layer)
        layer.frames_per_checksum = frames_per_checksum(stream.frames, layer.parameters)
        layer.checksums = np.zeros(-(-stream.frames // layer.frames_per_checksum), np.uint32)
        return stream, metadata

    def _write(self, stream: Stream, metadata: dict[str, object]) -> bytes:
        index = stream.frames >= MIN_INDEX_FRAMES
        if self.lower_layers:
            return append_layer(self.lower_layers, stream, metadata, index=index)
        return write_stream(stream, index=index)


def value_bytes(fitted: Fitted) -> int:
    """Return the bytes of the coded weights, feature grids and latents of a network."""
    decoder = fitted.decoder
    assert decoder.latent_steps is not None
    total = 0
    for conv in decoder.convs():
        rows = conv.integers().detach().cpu().numpy().astype(np.int16).reshape(conv.out_channels, -1)
        total += len(encode_chunk(rows, Rows(conv.group)))
    for grid in decoder.grids.values():
        total += len(pack_latents(0, 0, grid.integers().detach().cpu().numpy().astype(np.int16)))
    for latent, step in zip(fitted.latents, decoder.latent_steps, strict=True):
        total += len(pack_latents(0, 0, integers(latent, step).detach().cpu().numpy().astype(np.int16)))
    return total


def frames_per_checksum(frames: int, parameters: int) -> int:
    """Return how many frames share a checksum: one, or as few as keep the checksums a small share of the file."""
    group = 1
    while group < frames and MIN_PARAMETERS_PER_CHECKSUM * -(-frames // group) > parameters:
        group *= 2
    return min(group, frames)
