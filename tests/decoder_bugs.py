"""Deliberate bugs in the decoder, which the conformance vectors must catch. Each is a small change of its source.

They were chosen from the specification alone, before there were vectors: an off-by-one in each arithmetic operation, a
dropped clamp, a wrong table entry, a missing check. ``tools/plant_bugs.py`` plants them one at a time. Changes
without effect are left out: limiting t to 65534 instead of 65535 gives the same results for every multiplier, GELU's
table continues seamlessly beyond its edge, and the decoder itself detects a wrong library kernel and avoids it.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Bug:
    """A change of the source.

    Attributes:
        name: what it breaks.
        file: path within ``nvcodec/``.
        old: text that occurs exactly once in the file.
        new: its replacement.
    """

    name: str
    file: str
    old: str
    new: str


NETWORK, KERNELS, VIDEO, CHECKSUMS = (
    f"decoding/{name}.py" for name in ("exact_network", "kernels", "decoded_video", "picture_checksums")
)
FUNCTIONS, GRIDS, NOISE, BOUNDS, STEPS = (
    f"format/arithmetic/{name}.py" for name in ("functions", "interpolation", "noise", "bounds", "step_indices")
)
TABLES, CONTEXTS, CODER = (f"format/entropy/{name}.py" for name in ("frequency_tables", "contexts", "chunks"))
FIELDS, UNITS, STREAM, PAYLOADS, READER = (
    f"format/{name}.py" for name in ("fields", "units", "stream", "payloads", "stream_reader")
)

#: Section 6.3.
CONVOLUTION = [
    Bug("first rounding: ties go down", BOUNDS, "((1 << shifts) >> 1)", "np.maximum((1 << shifts) // 2 - 1, 0)"),
    Bug("first shift truncates", NETWORK, "convolve(inputs[0]).floor_()", "convolve(inputs[0]).trunc_()"),
    Bug("t is not clamped", NETWORK, "if saturates:", "if False:"),
    Bug("t is not clamped below", NETWORK, "t.clamp_(-T_LIMIT, T_LIMIT)", "t.clamp_(max=T_LIMIT)"),
    Bug("t is clamped to 15 bits", STEPS, "T_LIMIT = 65535", "T_LIMIT = 32767"),
    Bug("second rounding: ties go down", NETWORK, "(), 0.5 - origin", "(), 0.5 - 2.0**-12 - origin"),
    Bug("second shift truncates", NETWORK, "t.floor_().clamp_(low, high)", "t.trunc_().clamp_(low, high)"),
    Bug("one multiplier", STEPS, "181, 166, 152", "181, 165, 152"),
    Bug("second shift ends at 11", STEPS, "np.minimum(12, ", "np.minimum(11, "),
    Bug("result is not clamped above", NETWORK, "t.floor_().clamp_(low, high)", "t.floor_().clamp_(min=low)"),
    Bug(
        "result before a table is clamped one early",
        NETWORK,
        "return t.clamp_(low, high) if",
        "return t.clamp_(low, high - 1) if",
    ),
    Bug("bias without its first shift", STREAM, "(self.first_shifts(op) + op.bias_shift)", "op.bias_shift"),
    Bug("bias without bias_shift", STREAM, "(self.first_shifts(op) + op.bias_shift)", "self.first_shifts(op)"),
    Bug("steps go around instead of in groups", STREAM, "np.repeat(self.steps", "np.tile(self.steps"),
    Bug(
        "kernel centre a row too high",
        KERNELS,
        "shape = tuple(x.shape)",
        "x = F.pad(x, (0, 0, 1, -1)) if self.weight.shape[2] > 1 else x\n        shape = tuple(x.shape)",
    ),
    Bug("kernel is mirrored", KERNELS, "self.weight = weight.cont", "self.weight = weight.flip(3).cont"),
    Bug(
        "the edge is repeated, not zero",
        KERNELS,
        "return self._library(x) if self.trusted[shape] else unfold_convolution(x, self.weight, self.bias)",
        "top, left = self.weight.shape[2] // 2, self.weight.shape[3] // 2\n"
        '        wide = self._library(F.pad(x, (left, left, top, top), mode="replicate"))\n'
        "        return wide[:, :, top : top + shape[2], left : left + shape[3]]",
    ),
]

#: The proof of section 6.3.
BOUND = [
    Bug("the bound is not checked", PAYLOADS, 'prove(conv.weights, bias, shifts, tensors[op.input], f"', 'str(f"'),
    Bug("the bound is off by one", BOUNDS, "if worst.max() >= LIMIT:", "if worst.max() > LIMIT:"),
    Bug("the bound forgets the rounding", BOUNDS, "reach(weights, rounded_bias(bias, shifts),", "reach(weights, bias,"),
    Bug("the bound forgets negative sums", BOUNDS, "return np.maximum(above, below)", "return above"),
]

#: Sections 6.2 and 6.4 to 6.6.
OPERATIONS = [
    Bug(
        "TABLE: ties go down", FUNCTIONS, "return (2 * values + (1 << shift))", "return (2 * values + (1 << shift) - 1)"
    ),
    Bug(
        "TABLE is not clamped below",
        FUNCTIONS,
        "in_shift, out_shift), *clamp)",
        "in_shift, out_shift), None, clamp[1])",
    ),
    Bug("leaky ReLU: ties go down", FUNCTIONS, "(2 * numerators + denominator)", "(2 * numerators + denominator - 1)"),
    Bug("leaky ReLU: slope 1/4", FUNCTIONS, "5 << in_shift", "4 << in_shift"),
    Bug("GELU is the identity from 4 on", FUNCTIONS, "MASTER_REACH = 8 <<", "MASTER_REACH = 4 <<"),
    Bug("GELU goes on below -8", FUNCTIONS, "np.maximum(values, 0) << out_shift", "values << out_shift"),
    Bug(
        "GELU: one entry",
        FUNCTIONS,
        "masters = gelu_masters(in_shift, reach)[values[inside] + reach]",
        "masters = gelu_masters(in_shift, reach)[values[inside] + reach]\n"
        "        masters += (values[inside] == 1 << in_shift) * (1 << VALUE_SHIFT - out_shift)",
    ),
    Bug(
        "RESAMPLE takes corners, not centres",
        KERNELS,
        "((2 * torch.arange(new, device=x.device) + 1)",
        "(2 * torch.arange(new, device=x.device)",
    ),
    Bug(
        "SHUFFLE: columns before rows",
        NETWORK,
        "F.pixel_shuffle(inputs[0], op.factor)",
        "F.pixel_shuffle(inputs[0].mT, op.factor).mT",
    ),
    Bug(
        "UNSHUFFLE: columns before rows",
        NETWORK,
        "F.pixel_unshuffle(inputs[0], op.factor)",
        "F.pixel_unshuffle(inputs[0].mT, op.factor).mT",
    ),
    Bug(
        "CROP a row too high",
        NETWORK,
        "op.top : op.top + op.height,",
        "max(op.top - 1, 0) : max(op.top - 1, 0) + op.height,",
    ),
    Bug(
        "SLICE a channel early",
        NETWORK,
        "op.start : op.start + op.count",
        "max(op.start - 1, 0) : max(op.start - 1, 0) + op.count",
    ),
    Bug("CONCAT the wrong way round", NETWORK, "torch.cat(inputs, 1)", "torch.cat(inputs[::-1], 1)"),
    Bug("ADD is not clamped", NETWORK, "(inputs[0] + inputs[1]).clamp_(op.low, op.high)", "inputs[0] + inputs[1]"),
    Bug("SUBTRACT the wrong way round", NETWORK, "(inputs[0] - inputs[1])", "(inputs[1] - inputs[0])"),
    Bug("BELOW reads the lowest layer", NETWORK, "results[index] = lower[op.layer]", "results[index] = lower[0]"),
]

#: Sections 6.7 and 8.3.
TIMES = [
    Bug("GRID is not rounded", GRIDS, "(doubled + parts)", "doubled"),
    Bug("GRID: ties go down", GRIDS, "(doubled + parts)", "(doubled + parts - 1)"),
    Bug(
        "GRID: knots spread over one frame more",
        GRIDS,
        "divmod(frame * (knots - 1), max(1, frames - 1))",
        "divmod(frame * (knots - 1), frames)",
    ),
    Bug(
        "GRID: the last knot is not met",
        GRIDS,
        "min(knot + 1, len(knots) - 1)",
        "min(knot + 1, max(len(knots) - 2, 0))",
    ),
    Bug(
        "between frames: ties go down",
        GRIDS,
        "(2 * ((d - k) * before + k * after) + d)",
        "(2 * ((d - k) * before + k * after) + d - 1)",
    ),
    Bug("between frames: mirrored", GRIDS, "(d - k) * before + k * after", "k * before + (d - k) * after"),
]

#: Section 7.
GENERATOR = [
    Bug("NOISE: row in the wrong bits", NOISE, "quad | y << np.uint64(16)", "quad | y << np.uint64(15)"),
    Bug("NOISE: the layer is not in the key", NOISE, "(seed, segment | layer << 16)", "(seed, segment)"),
    Bug("NOISE: the segment is not in the key", NOISE, "(seed, segment | layer << 16)", "(seed, layer << 16)"),
    Bug("NOISE: gain rounds ties down", NOISE, "(z * op.gain + 128) >> 8", "(z * op.gain + 127) >> 8"),
    Bug("NOISE: one table entry", FUNCTIONS, "table.append(value)", "table.append(value + (i == 3000))"),
    Bug("NOISE: always by frame", NOISE, "op.per_frame and frame is not None", "frame is not None"),
    Bug("NOISE: c3 is always 0", NOISE, "int(per_frame), np.uint64", "0, np.uint64"),
    Bug("NOISE: nine rounds", NOISE, "for _ in range(10):", "for _ in range(9):"),
    Bug("NOISE: by frame between frames too", NETWORK, "int(frame) if frame == int(frame) else None", "int(frame)"),
]

#: Section 5 and its chunks in section 4.
ENTROPY = [
    Bug("Laplace weights are rounded", TABLES, "value * self.ratio >> 16", "(value * self.ratio + 32768) >> 16"),
    Bug("Student: one squaring too many", TABLES, "for _ in range(shape):", "for _ in range(shape + 1):"),
    Bug("Student weights: off by one", TABLES, "(spread + squares)\n", "(spread + squares + 1)\n"),
    Bug("histogram backwards", TABLES, "np.array(self.counts, np.int64)", "np.array(self.counts[::-1], np.int64)"),
    Bug(
        "cumulative counts are rounded",
        TABLES,
        "sums * ((1 << TOTAL_BITS) - n) //",
        "(sums * ((1 << TOTAL_BITS) - n) + sums[-1] // 2) //",
    ),
    Bug("a negative first symbol is one too high", TABLES, "-(packed + 1 >> 1)", "-(packed >> 1)"),
    Bug("family 4: the prior counts seven rows", CONTEXTS, "PRIOR = 8 ", "PRIOR = 7 "),
    Bug("family 4: a block counts as one row", CONTEXTS, "self.rows += len(rows)", "self.rows += 1"),
    Bug(
        "family 4: blocks without the group",
        CONTEXTS,
        "group * -(-LEAST_BLOCK // (group * columns))",
        "-(-LEAST_BLOCK // columns)",
    ),
    Bug("families 4, 5: symbols instead of values", CODER, "symbols[part] + table.first)", "symbols[part])"),
    Bug("families 4, 5: an edge belongs to the class below", CONTEXTS, 'side="right"', 'side="left"'),
    Bug("families 4, 5: spread of a class", CONTEXTS, "MAGNITUDES[number] ** 2 >> 14", "MAGNITUDES[number] ** 2 >> 13"),
    Bug(
        "family 5: four neighbours across, not five",
        CONTEXTS,
        "offsets = range(2 * REACH + 1)",
        "offsets = range(2 * REACH)",
    ),
    Bug(
        "family 5: the picture goes around at its edges",
        CONTEXTS,
        "np.clip(np.arange(-REACH, side + REACH), 0, side - 1)",
        "np.arange(-REACH, side + REACH) % side",
    ),
    Bug("family 5: 24 neighbours", CONTEXTS, "self.weight + NEIGHBOURS", "self.weight + NEIGHBOURS - 1"),
    Bug(
        "predictor 1: differences to the first frame",
        PAYLOADS,
        "rest = np.cumsum(rest, axis=0, dtype=np.int32)",
        "rest = rest.astype(np.int32)",
    ),
    Bug(
        "values are not checked against their range",
        PAYLOADS,
        "if least < low or most > high:",
        "if False:",
    ),
    Bug(
        "sums of differences are not checked", PAYLOADS, "if rest.min() < op.low or rest.max() > op.high:", "if False:"
    ),
    Bug("words after the last value pass", CODER, "if not coder.maybe_exhausted():", "if False:"),
    Bug("a needlessly long varint passes", FIELDS, "if byte == 0 and shift:", "if False:"),
]

#: Sections 2, 3 and 4, and the pictures' checksums.
CONTAINER = [
    Bug(
        "a unit's checksum is not checked",
        UNITS,
        "+ UNIT_HEADER_BYTES + header.length]) == stated",
        "+ UNIT_HEADER_BYTES + header.length]) >= 0",
    ),
    Bug("feature bits are not checked", UNITS, "if unknown:", "if False:"),
    Bug("reserved flags pass", UNITS, "if header.flags & ~ANCILLARY:", "if False:"),
    Bug("the hash of LAYER_END is not checked", READER, "if digest != self.hash.digest():", "if False:"),
    Bug("the count of LAYER_END is not checked", READER, "if units != unit.index:", "if False:"),
    Bug("the INDEX is not checked", READER, "if bytes(unit.payload) != payloads.pack_index(before):", "if False:"),
    Bug("bytes after a unit's fields pass", FIELDS, "if self.left:", "if False:"),
    Bug("fields are not checked against their range", FIELDS, "if not low <= value <= high:", "if False:"),
    Bug("pictures are not checked", CHECKSUMS, "if complete and crc != ", "if False and crc != "),
    Bug(
        "a segment's first frame is the one before's",
        VIDEO,
        "bisect.bisect_right(self._starts, frames[index])",
        "bisect.bisect_left(self._starts, frames[index])",
    ),
]

BUGS = [*CONVOLUTION, *BOUND, *OPERATIONS, *TIMES, *GENERATOR, *ENTROPY, *CONTAINER]
