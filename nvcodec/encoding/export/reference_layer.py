"""What an enhancement layer is predicted from: pictures and features of the layers below, as every decoder has them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.encoding.export.network_import import unit_shifts
from nvcodec.encoding.model.decoder_network import ReferenceLayer
from nvcodec.errors import UsageError
from nvcodec.format.operations import Conv, Op
from nvcodec.format.stream import Stream
from nvcodec.samples import sample_dtype
from nvcodec.video.frames import FrameCollector


def decode_reference(stream: Stream, device: torch.device, memory: int | None = None) -> ReferenceLayer:
    """Decode the pictures of a stream's highest layer, and the features that its last block reads, for every frame.

    Args:
        stream: the layers below.
        device: where to decode.
        memory: bytes that pictures and features may take together; what exceeds them goes to temporary files. None:
            half of the machine's memory.

    Raises:
        InputError: the disk is full.
        UsageError: the stream has several segments, or a network that this encoder did not write.
    """
    if len(stream.segments) != 1:
        raise UsageError("the file has several segments; layers can be added to a file of one")
    layer = stream.layers - 1
    ops = stream.segments[0].layers[layer].ops
    feature_op, picture_op = _input_of_last_block(ops), len(ops) - 1
    shifts = unit_shifts(ops, stream.video.bits)
    if feature_op is None or feature_op not in shifts:
        raise UsageError("this encoder did not write the network: it has no features to build on")
    wanted = [(layer, picture_op), (layer, feature_op)]
    network = ExactNetwork(stream.segments[0], 0, stream.video.seed, device, stream.layers, wanted)
    half = None if memory is None else memory // 2
    pictures, features = FrameCollector(half), FrameCollector(half)
    for frame in range(stream.frames):
        picture, values = (result[0].cpu() for result in network.results([frame]))
        pictures.append(picture.to(sample_dtype(stream.video.bits)))
        features.append(values)
    return ReferenceLayer(
        pictures.frames(),
        features.frames(),
        shifts[feature_op],
        layer,
        feature_op,
        picture_op,
        bits=8.0 * stream.file_bytes,
    )


def _input_of_last_block(ops: Sequence[Op]) -> int | None:
    """Return the operation that the convolution before the head reads, up the trunk; None if there is none."""
    head = max((index for index, op in enumerate(ops) if isinstance(op, Conv)), default=None)
    if head is None:
        return None
    index = ops[head].inputs[0]
    while not isinstance(ops[index], Conv):
        if not ops[index].inputs:
            return None
        index = ops[index].inputs[0]  # of the operands of a sum, the first is the trunk's
    return ops[index].inputs[0]
