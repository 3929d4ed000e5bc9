"""A file's operations as a user shader for mpv and libplacebo: which tensors are textures, and the passes of each.

A pass yields four channels of a tensor; its code comes from :mod:`nvcodec.decoding.shader_code`. Integers are computed
in float32 by the formulas of the specification, so they are exact wherever a texture holds them exactly.
"""

from __future__ import annotations

from collections.abc import Sequence

from nvcodec.decoding.shader_code import LANES, Node, PassCode, Ref, groups_of, texture_name, texture_scale
from nvcodec.errors import UsageError
from nvcodec.format.operations import Add, Below, Conv, Crop, Function, Op, Picture, Subtract, Table
from nvcodec.format.stream import Layer, Stream

MAX_TEXTURES = 16  # that mpv and libplacebo bind in one pass


def shader_text(stream: Stream) -> str:
    """Return a user shader, in GLSL, that makes the pictures of the highest layer of a stream from its AV1 stream.

    It replaces the player's own conversion of luma and chroma, in videos of the stream's size.

    Raises:
        UsageError: the file has no AV1 stream, several segments, or operations that a shader cannot do.
    """
    if len(stream.segments) > 1:
        raise UsageError(
            f"the file has {len(stream.segments)} segments with networks of their own; a shader holds those of one"
        )
    segment = stream.segments[0]
    if not segment.has_base:
        raise UsageError("the file has no AV1 stream that a shader could correct: it is a network alone")
    nodes, result = _graph(segment.layers)
    size = segment.head.width, segment.head.height
    picture = next(node.op for node in nodes.values() if isinstance(node.op, Picture))
    if (picture.width, picture.height) != size:
        raise UsageError(
            f"the file shows {size[0]}x{size[1]} of AV1 pictures of {picture.width}x{picture.height}; "
            "a shader cannot cut them out"
        )
    read_by_convs = {source for node in nodes.values() if isinstance(node.op, Conv) for source in node.inputs}
    stored = frozenset(ref for ref in nodes if ref in read_by_convs or isinstance(nodes[ref].op, Picture))
    masked = _sees_zeros(nodes, nodes[result])
    return "\n".join(
        _pass(PassCode(nodes, stored, masked), ref, group, size, stream.video.peak)
        for ref in (*sorted(stored), result)
        for group in range(groups_of(nodes[ref].tensor))
    )


def _graph(layers: Sequence[Layer]) -> tuple[dict[Ref, Node], Ref]:
    """Return the operations that the picture of the highest layer takes, BELOWs resolved, and the one that yields it.

    Raises:
        UsageError: a shader cannot do one of them.
    """

    def resolved(ref: Ref) -> Ref:
        op = layers[ref[0]].ops[ref[1]]
        return resolved((op.layer, op.op)) if isinstance(op, Below) else ref

    nodes: dict[Ref, Node] = {}
    result = resolved((len(layers) - 1, len(layers[-1].ops) - 1))
    waiting = [result]
    while waiting:
        ref = waiting.pop()
        if ref in nodes:
            continue
        number, index = ref
        layer = layers[number]
        op = layer.ops[index]
        if not _can_do(op):
            name = getattr(op, "NAME", "an operation")
            raise UsageError(f"a shader cannot do operation {index} of layer {number}, {name}")
        inputs = tuple(resolved((number, source)) for source in op.inputs)
        nodes[ref] = Node(op, layer.tensors[index], inputs, layer.convs.get(index))
        waiting += inputs
    return nodes, result


def _can_do(op: Op) -> bool:
    """Whether there is code for an operation."""
    if isinstance(op, Table):
        return op.function == Function.IDENTITY
    return isinstance(op, (Picture, Conv, Add, Subtract, Crop))


def _sees_zeros(nodes: dict[Ref, Node], result: Node) -> bool:
    """Whether the shown picture may depend on the zeros that CONVs see beyond their inputs.

    It does not where the last operation crops as much as all convolutions together see, as in files of this encoder.
    """
    convs = [node.op for node in nodes.values() if isinstance(node.op, Conv)]
    rows, columns = (sum(sides) for sides in zip((0, 0), *map(_reach, convs), strict=True))
    if not isinstance(result.op, Crop):
        return rows + columns > 0
    crop, whole = result.op, nodes[result.inputs[0]].tensor
    below, beside = whole.height - crop.top - crop.height, whole.width - crop.left - crop.width
    return min(crop.top, below) < rows or min(crop.left, beside) < columns


def _reach(op: Conv) -> tuple[int, int]:
    """Return how many rows and columns a convolution sees to each side."""
    return op.kernel_height // 2, op.kernel_width // 2


def _pass(code: PassCode, ref: Ref, group: int, size: tuple[int, int], peak: int) -> str:
    """Return one pass: what the player has to know of it, and its function.

    Args:
        code: writes the function.
        ref: the operation whose result the pass yields: a texture for other passes, or the picture.
        group: which four channels of it.
        size: width and height of the video.
        peak: the largest sample of its pictures.

    Raises:
        UsageError: it reads too many textures.
    """
    node = code.nodes[ref]
    tensor = node.tensor
    value = code.define(ref, group)
    if len(code.textures) > MAX_TEXTURES:
        raise UsageError(
            f"the pass of operation {ref[1]} of layer {ref[0]} would read {len(code.textures)} textures; "
            f"players bind at most {MAX_TEXTURES}"
        )
    end = min(tensor.channels, LANES * (group + 1))
    lines = [
        f"//!DESC nvcodec: layer {ref[0]}, operation {ref[1]}, channels {LANES * group} to {end - 1}",
        "//!HOOK MAIN",
        *(f"//!BIND {texture}" for texture in code.textures),
    ]
    if ref in code.stored:
        lines.append(f"//!SAVE {texture_name(ref, group)}")
        lines += [f"//!WIDTH {tensor.width}", f"//!HEIGHT {tensor.height}"]
        code.lines.append(f"return {value} * {1 / texture_scale(tensor)};")
    else:
        code.lines.append(f"return vec4({value}.xyz * {1 / peak}, 1.0);")
    lines += ["//!COMPONENTS 4", f"//!WHEN HOOKED.w {size[0]} = HOOKED.h {size[1]} = *", "vec4 hook() {"]
    lines.append(f"    vec2 p = floor(HOOKED_pos * vec2({tensor.width}.0, {tensor.height}.0)) + 0.5;")
    return "\n".join([*lines, *(f"    {line}" for line in code.lines), "}", ""])
