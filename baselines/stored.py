"""The two networks as bytes: integers in the chunks of this codec's own files, and what decoding needs beside them.

In this order: the network's name and shape (JSON, preceded by its length); each latent, then each grid: its
quantisation step (float32) and the content of a LATENTS unit; each convolution: step indices, the shift of the biases'
unit, biases, weights.
"""

from __future__ import annotations

import dataclasses
import json
import math
import struct
from typing import Any, cast

import numpy as np
import torch

from baselines.dnerv import DNeRV, DNeRVShape
from baselines.ffnerv import FFNeRV, FFNeRVShape
from nvcodec.encoding.fit.fit import Fitted
from nvcodec.encoding.model.convolution import Conv
from nvcodec.encoding.model.decoder_network import Decoder
from nvcodec.encoding.quantizer.initial_steps import input_units
from nvcodec.encoding.quantizer.nearest_steps import factor_of, nearest_index
from nvcodec.encoding.quantizer.rounding import integers
from nvcodec.format.entropy.chunks import decode_chunk, encode_chunk
from nvcodec.format.entropy.contexts import Rows
from nvcodec.format.fields import Cursor, varint
from nvcodec.format.operations import BIAS_PEAK
from nvcodec.format.payloads import pack_latents
from nvcodec.format.units import LatentsHead

NETWORKS: dict[str, tuple[Any, Any]] = {"DNeRV": (DNeRVShape, DNeRV), "FFNeRV": (FFNeRVShape, FFNeRV)}
#: Names in the bytes of fields of a shape that have other names in the code.
STORED_NAMES = {"embedding_channels": "embedding", "feature_grids": "grids", "reference_channels": "below"}
MAX_BIAS_SHIFT = 14  # the unit of biases is at least 2^-14


def write(fitted: Fitted) -> bytes:
    """Return everything that decodes a network; it has to be fitted with quantisation in the loop."""
    decoder = fitted.decoder
    assert decoder.latent_steps is not None, "quantisation has to be in the loop"
    shape = {STORED_NAMES.get(field, field): size for field, size in dataclasses.asdict(decoder.shape).items()}
    head = json.dumps([type(decoder).__name__, shape], separators=(",", ":")).encode()
    out = bytearray(varint(len(head)) + head)
    stored = [(integers(latent, step), step) for latent, step in zip(fitted.latents, decoder.latent_steps, strict=True)]
    stored += [(grid.integers(), grid.quant_step) for grid in decoder.grids.values() if grid.quant_step is not None]
    for values, step in stored:
        array = values.detach().cpu().numpy().astype(np.int16)
        out += struct.pack("<f", step.item()) + pack_latents(0, 0, array)
    units = input_units(decoder)
    for conv in decoder.convs():
        assert conv.quant_step is not None
        steps = conv.quant_step.detach().double().flatten()[:: conv.group].cpu().numpy() * float(units.get(conv, 1.0))
        out += encode_chunk(nearest_index(steps))
        if conv.bias is not None:
            bias = conv.bias.detach().double().cpu().numpy()
            shift = min(MAX_BIAS_SHIFT, math.floor(math.log2(BIAS_PEAK / max(np.abs(bias).max(), 1e-9))))
            out += struct.pack("<b", shift) + encode_chunk(np.round(bias * 2.0**shift).astype(np.int32))
        weights = conv.integers().detach().cpu().numpy().astype(np.int16)
        out += encode_chunk(weights.reshape(len(weights), -1), Rows(conv.group))
    return bytes(out)


@torch.no_grad()
def read(data: bytes) -> Fitted:
    """Return the network that :func:`write` stored, on the CPU."""
    cursor = Cursor(data, "the network")
    network, sizes = json.loads(bytes(cursor.take(cursor.varint())))
    shape_of, network_of = NETWORKS[network]
    fields = {stored: field for field, stored in STORED_NAMES.items()}
    sizes = {fields.get(name, name): tuple(size) if isinstance(size, list) else size for name, size in sizes.items()}
    shape = shape_of(**sizes)
    decoder = network_of(shape)
    latents = [_read_values(cursor, plane) for plane in shape.latent_planes]
    decoder.latent_steps = [step for _, step in latents]
    for grid in decoder.grids.values():
        channels, height, width = grid.values.shape[1:]
        values, grid.quant_step = _read_values(cursor, (channels, height, width))
        grid.values.copy_(values)
    units = input_units(decoder)
    for conv in decoder.convs():
        _read_conv(cursor, conv, float(units.get(conv, 1.0)))
    cursor.end()
    return Fitted(cast(Decoder, decoder), [values for values, _ in latents], [])


def _read_values(cursor: Cursor, plane: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return latents or a grid, float32 [frames, *plane], and their quantisation step.

    Args:
        cursor: where to read.
        plane: channels, height and width.
    """
    step = torch.tensor(struct.unpack("<f", cursor.take(4))[0])
    head, size = LatentsHead.unpack(cursor), math.prod(plane)
    rows = np.empty((head.frames, size), np.int32)
    rows[0], _ = decode_chunk(cursor, (size,))
    if head.frames > 1:
        rows[1:], _ = decode_chunk(cursor, (head.frames - 1, size), Rows(plane=plane))
        if head.predictor:
            rows = rows.cumsum(0)
    return torch.from_numpy(rows.reshape(-1, *plane)).float() * step, step


def _read_conv(cursor: Cursor, conv: Conv, unit: float) -> None:
    """Read a convolution's quantisation steps, biases and weights; 1 stands for ``unit`` in its input."""
    count = len(conv.weight)
    indices, _ = decode_chunk(cursor, (-(-count // conv.group),))
    steps = torch.from_numpy(factor_of(indices.astype(np.int64)) / unit).repeat_interleave(conv.group)[:count]
    conv.quant_step = steps.float().view(-1, 1, 1, 1)
    if conv.bias is not None:
        shift = struct.unpack("<b", cursor.take(1))[0]
        biases, _ = decode_chunk(cursor, (count,))
        conv.bias.copy_(torch.from_numpy(biases * 2.0**-shift))
    weights, _ = decode_chunk(cursor, (count, conv.weight[0].numel()), Rows(conv.group))
    conv.weight.copy_(torch.tensor(weights).view_as(conv.weight) * conv.quant_step)
