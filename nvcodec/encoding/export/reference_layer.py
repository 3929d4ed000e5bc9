"""What an enhancement layer stands on: pictures and features of the layers below, as every decoder has them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.encoding.export.network_import import known_shifts
from nvcodec.encoding.model.decoder_network import Underlay
from nvcodec.errors import UsageError
from nvcodec.format.operations import Conv, Op
from nvcodec.format.stream import Stream
from nvcodec.video.frames import FrameCollector


def underlay_of(stream: Stream, device: torch.device, memory: int | None = None) -> Underlay:
    """The pictures of a stream's highest layer and the features that its last block reads, of every frame.

    ``memory`` is what both may take, in bytes; what is more goes to temporary files. None: half of what there is.

    Raises:
        InputError: the disk is full.
        UsageError: the stream has several segments, or a network that this encoder does not write.
    """
    if len(stream.segments) != 1:
        raise UsageError("the file has several segments; layers can be added to a file of one")
    level = stream.layers - 1
    ops = stream.segments[0].layers[level].ops
    place = _read_by_last_block(ops)
    shifts = known_shifts(ops)
    if place is None or place not in shifts:
        raise UsageError("the network is none that this encoder writes: it has no features to build on")
    wanted = [(level, len(ops) - 1), (level, place)]
    network = ExactNetwork(stream.segments[0], 0, stream.video.seed, device, stream.layers, wanted)
    half = None if memory is None else memory // 2
    pictures, features = FrameCollector(half), FrameCollector(half)
    for frame in range(stream.frames):
        picture, values = (result[0].cpu() for result in network.results([frame]))
        pictures.append(picture.to(torch.uint8))
        features.append(values)
    places = place, len(ops) - 1
    return Underlay(pictures.frames(), features.frames(), shifts[place], level, places, 8.0 * stream.file_bytes)


def _read_by_last_block(ops: Sequence[Op]) -> int | None:
    """What the convolution before the head reads, up the trunk."""
    head = max((place for place, op in enumerate(ops) if isinstance(op, Conv)), default=None)
    if head is None:
        return None
    place = ops[head].inputs[0]
    while not isinstance(ops[place], Conv):
        if not ops[place].inputs:
            return None
        place = ops[place].inputs[0]  # the trunk's own is the first of what is added
    return ops[place].inputs[0]
