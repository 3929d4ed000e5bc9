"""Deliberate bugs in the decoder, which the conformance vectors, or tests, must catch. Each is a small change of its
source.

They were chosen from the specification alone, before there were vectors: an off-by-one in each arithmetic operation, a
dropped clamp, a wrong table entry, a missing check. ``tools/plant_bugs.py`` plants them one at a time. Changes
without effect are left out: limiting t to 65534 instead of 65535 gives the same results for every multiplier, GELU's
table continues seamlessly beyond its edge, numbers beyond a signed type are beyond the range of every field, and the
decoder itself detects a wrong library kernel and avoids it.
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
        tests: test files or functions, one of which has to fail; if there are none, it is the vectors that have to
            catch the bug.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = ()


NETWORK, KERNELS, VIDEO, CHECKSUMS = (
    f"decoding/{name}.py" for name in ("exact_network", "kernels", "decoded_video", "picture_checksums")
)
FUNCTIONS, GRIDS, NOISE, BOUNDS, STEPS = (
    f"format/arithmetic/{name}.py" for name in ("functions", "interpolation", "noise", "bounds", "step_indices")
)
TABLES, CONTEXTS, CODER = (f"format/entropy/{name}.py" for name in ("frequency_tables", "contexts", "chunks"))
FIELDS, UNITS, STREAM, PAYLOADS, READER, LAYERS, RUNS, HEADERS, INFERENCE = (
    f"format/{name}.py"
    for name in (
        *("fields", "units", "stream", "payloads", "stream_reader", "layer_reader", "runs", "av1_headers"),
        "inference",
    )
)
COLOR = "format/arithmetic/color.py"
BASE_DECODER, CONVERSION, STRIP = (f"decoding/{name}.py" for name in ("base_decoder", "picture_conversion", "strips"))

# For bugs after which vectors that have to be refused are refused for another reason, or that no vector can show.
HEADER_TESTS = ("tests/format/test_av1_headers.py",)
COLOR_TESTS = ("tests/format/test_color.py",)
BASE_TESTS = ("tests/decoding/test_base_decoder.py",)
DAMAGE_TESTS = ("tests/decoding/test_damaged_segments.py",)
CONVERSION_TESTS = ("tests/decoding/test_picture_conversion.py",)
STRIP_TESTS = ("tests/decoding/test_strips.py",)
SHADER, SHADER_CODE = "decoding/shader.py", "decoding/shader_code.py"
SHADER_TESTS = ("tests/decoding/test_shader.py",)

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
        "+ header_bytes + header.length]) == stated",
        "+ header_bytes + header.length]) >= 0",
    ),
    Bug("feature bits are not checked", UNITS, "if unknown:", "if False:"),
    Bug("reserved flags pass", UNITS, "if header.flags & ~ANCILLARY:", "if False:"),
    Bug("the hash of LAYER_END is not checked", READER, "if digest != self.hash.digest()[: len(digest)]:", "if False:"),
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

#: Sections 1, 3 and 4 in compact form.
COMPACT = [
    Bug(
        "compact form: numbers beyond an unsigned type pass",
        FIELDS,
        "return self.varint(high) if low == 0",
        "return self.varint(2**70) if low == 0",
    ),
    Bug(
        "compact form: negative numbers are one too high",
        FIELDS,
        "-(code >> 1) - 1 if code & 1",
        "-(code >> 1) if code & 1",
    ),
    Bug(
        "compact form: positive numbers are twice as large",
        FIELDS,
        "if code & 1 else code >> 1",
        "if code & 1 else code",
    ),
    Bug(
        "compact form: units have flags",
        FIELDS,
        'field.metadata.get("compact", compact) == compact',
        'field.metadata.get("compact", compact) in (compact, False)',
    ),
    Bug(
        "compact form: VIDEO has no order",
        FIELDS,
        'field.metadata.get("compact", compact) == compact',
        'not field.metadata.get("compact")',
    ),
    Bug("compact form: numbers end after five bytes", FIELDS, "range(0, 70, 7)", "range(0, 35, 7)"),
    Bug(
        "compact form: unknown units are never skipped",
        UNITS,
        "return ANCILLARY if kind >= UnitType.INDEX else 0",
        "return ANCILLARY if UnitType.INDEX <= kind <= UnitType.SUBTITLES else 0",
    ),
    Bug(
        "compact form: unknown units from 10 on are skipped",
        UNITS,
        "return ANCILLARY if kind >= UnitType.INDEX else 0",
        "return ANCILLARY if kind > UnitType.SEGMENT_END else 0",
    ),
    Bug(
        "compact form: a checksum does not cover the header",
        UNITS,
        "zlib.crc32(data[offset : offset + header_bytes",
        "zlib.crc32(data[offset + header_bytes * compact : offset + header_bytes",
    ),
    Bug(
        "BASE and SEGMENT_END are known in fixed form",
        UNITS,
        "self.compact or self.header.type not in COMPACT_ONLY",
        "self.compact or True",
    ),
    Bug(
        "hashes are whole in compact form", PAYLOADS, "COMPACT_HASH_BYTES if unit.compact else HASH_BYTES", "HASH_BYTES"
    ),
    Bug("steps and biases are chunks in compact form", PAYLOADS, "_numbers if unit.compact else _chunk", "_chunk"),
    Bug("steps and biases are not checked", PAYLOADS, "if values.min() < low or values.max() > high:", "if False:"),
    Bug("biases are unsigned", PAYLOADS, '"h" if low < 0 else "B"', '"H" if low < 0 else "B"'),
    Bug(
        "WEIGHTS without CONV in compact form",
        LAYERS,
        "if not self.compact or any(isinstance(op, Conv) for op in ops):",
        "if True:",
    ),
    Bug(
        "CHECKSUMS may not be missing",
        LAYERS,
        "stated = not self.compact or self.cursor",
        "stated = True or self.cursor",
    ),
    Bug(
        "CHECKSUMS may be missing in fixed form",
        LAYERS,
        "stated = not self.compact or self.cursor",
        "stated = self.cursor",
    ),
    Bug("PICTURE without its feature bit", LAYERS, '(Picture, self.compact, "1.2")', '(Picture, True, "1.2")'),
]

#: Sections 2, 4.1, 4.6, 6.1 and 6.9: pictures of 10 bits.
TEN_BITS = [
    Bug("PICTURE10 without its feature bit", LAYERS, '(Picture10, self.ten_bits, "1.3")', '(Picture10, True, "1.3")'),
    Bug(
        "10 bits without their feature bit",
        READER,
        "if video.sample_format and not self.features & FEATURE_1_3:",
        "if False:",
    ),
    Bug("sample_format 2 passes", UNITS, "sample_format: int = u8(0, 1)", "sample_format: int = u8()"),
    Bug("10 bits: samples up to 1024", "format/inference.py", "last.high > peak:", "last.high > peak + peak // 1023:"),
    Bug(
        "8 bits: samples up to 1023",
        "format/survey.py",
        "(head.height, head.width), peak)",
        "(head.height, head.width), 1023)",
    ),
    Bug("PICTURE10: white is 1020", "format/operations.py", "PEAK: ClassVar[int] = 1023", "PEAK: ClassVar[int] = 1020"),
    Bug("PICTURE10: white is 1024", "format/operations.py", "PEAK: ClassVar[int] = 1023", "PEAK: ClassVar[int] = 1024"),
    Bug(
        "10 bits: pictures of bytes",
        "decoding/exact_network.py",
        "self.dtype = sample_dtype(bits)",
        "self.dtype = torch.uint8",
    ),
    Bug("10 bits: strips of bytes", STRIP, "dtype=self.dtype, memory", "dtype=torch.uint8, memory"),
    Bug(
        "10 bits: the higher byte of a checksum first",
        "decoding/picture_checksums.py",
        'array.dtype.newbyteorder("<")',
        'array.dtype.newbyteorder(">")',
    ),
]

#: Section 3 and 4.12: segment after segment.
SEGMENTS = [
    Bug(
        "runs: one layer after the other",
        RUNS,
        "return self.done, self.layer, self.op_index",
        "return self.layer, self.done, self.op_index",
    ),
    Bug(
        "runs: by operation before layer",
        RUNS,
        "return (0 if isinstance(self.op, Grid) else self.done), self.layer, self.op_index",
        "return (0 if isinstance(self.op, Grid) else self.done), self.op_index, self.layer",
    ),
    Bug("runs: knots count as frames", RUNS, "(0 if isinstance(self.op, Grid) else self.done)", "self.done"),
    Bug("runs: in any order", LAYERS, "if lagging:", "if lagging or len(group) > 1:"),
    Bug("runs of more than 1024 frames pass", RUNS, "if frames > MAX_RUN:", "if False:"),
    Bug(
        "segments may have fewer layers",
        LAYERS,
        "for number in range(expected or 1)]\n        while expected is None and",
        "for number in range(1)]\n        while",
    ),
    Bug("segments may have more layers", LAYERS, "while expected is None and self", "while self"),
    Bug(
        "SEGMENT_END may have the number of another segment",
        READER,
        "self.ended(UnitType.SEGMENT_END, len(segments) - 1, 0)",
        "self.ended(UnitType.SEGMENT_END, self.cursor.peek().header.segment, 0)",
    ),
    Bug(
        "a file cut in a segment is refused",
        READER,
        'ends, noun = _ends(data, UnitType.SEGMENT_END), "segment"',
        "pass",
        ("tests/format/test_compact.py::test_cut_at_every_length",),
    ),
]

#: Section 4.11: the headers of AV1.
AV1 = [
    Bug("BASE: any codec passes", PAYLOADS, "if head.codec != CODEC_AV1:", "if False:"),
    Bug(
        "BASE: runs may have other sequence headers",
        RUNS,
        "if self.runs and run.sequence_header != self.runs[0].sequence_header:",
        "if False:",
    ),
    Bug("OBU: the forbidden bit passes", HEADERS, "head & 0b10000100 or", "head & 0b00000100 or", HEADER_TESTS),
    Bug("OBU: extensions pass", HEADERS, "head & 0b10000100 or", "head & 0b10000000 or", HEADER_TESTS),
    Bug("OBU: without a size passes", HEADERS, "or not head & 2 or", "or", HEADER_TESTS),
    Bug("OBU: the reserved bit does not pass", HEADERS, "head & 0b10000100 or", "head & 0b10000101 or"),
    Bug(
        "OBU: temporal delimiters pass",
        HEADERS,
        "    SEQUENCE_HEADER = 1\n",
        "    SEQUENCE_HEADER = 1\n    DELIMITER = 2\n",
    ),
    Bug("OBU: tile lists pass", HEADERS, "    PADDING = 15\n", "    PADDING = 15\n    TILE_LIST = 8\n", HEADER_TESTS),
    Bug(
        "OBU: redundant frame headers pass",
        HEADERS,
        "    PADDING = 15\n",
        "    PADDING = 15\n    REDUNDANT = 7\n",
        HEADER_TESTS,
    ),
    Bug("OBU: a size of nine bytes passes", HEADERS, "for index in range(8):", "for index in range(9):", HEADER_TESTS),
    Bug("OBU: a size of eight bytes does not pass", HEADERS, "for index in range(8):", "for index in range(7):"),
    Bug("sequence header: any profile", HEADERS, 'bits.require(3, 0, "seq_profile")', "bits.read(3)", HEADER_TESTS),
    Bug(
        "sequence header: reduced passes",
        HEADERS,
        'bits.require(1, 0, "reduced_still_picture_header")',
        "bits.read(1)",
        HEADER_TESTS,
    ),
    Bug(
        "sequence header: several points",
        HEADERS,
        'bits.require(5, 0, "operating_points_cnt_minus_1")',
        "bits.read(5)",
        HEADER_TESTS,
    ),
    Bug("sequence header: any point", HEADERS, 'bits.require(12, 0, "operating_point_idc")', "bits.read(12)"),
    Bug(
        "sequence header: film grain passes",
        HEADERS,
        'bits.require(1, 0, "film_grain_params_present")',
        "bits.read(1)",
        HEADER_TESTS,
    ),
    Bug("sequence header: the matrix of RGB passes", HEADERS, "if matrix == IDENTITY:", "if False:", HEADER_TESTS),
    Bug(
        "sequence header: a tier from level 7 on", HEADERS, "if bits.read(5) > 7:", "if bits.read(5) > 6:", HEADER_TESTS
    ),
    Bug("sequence header: a tier from level 9 on", HEADERS, "if bits.read(5) > 7:", "if bits.read(5) > 8:"),
    Bug(
        "sequence header: one delay of the model",
        HEADERS,
        "bits.read(2 * decoder_model_bits + 1)",
        "bits.read(decoder_model_bits + 1)",
    ),
    Bug(
        "sequence header: always parameters of the model",
        HEADERS,
        "if decoder_model_bits and bits.read(1):",
        "if decoder_model_bits and bits.read(1) | 1:",
    ),
    Bug(
        "sequence header: no display delay",
        HEADERS,
        "if display_delay and bits.read(1):",
        "if display_delay and not bits.read(1):",
    ),
    Bug("sequence header: no ticks", HEADERS, "        if equal_interval:\n", "        if not equal_interval:\n"),
    Bug("sequence header: 32 zeros are followed by bits", HEADERS, "if zeros < 32:", "if zeros < 33:", HEADER_TESTS),
    Bug(
        "sequence header: sides of 16 bits",
        HEADERS,
        "width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1",
        "width_bits, height_bits = bits.read(8) * 0 + 16, 16",
    ),
    Bug(
        "sequence header: height before width",
        HEADERS,
        "width, height = bits.read(width_bits) + 1, bits.read(height_bits) + 1",
        "height, width = bits.read(width_bits) + 1, bits.read(height_bits) + 1",
    ),
    Bug(
        "sequence header: frame ids a bit short",
        HEADERS,
        "frame_id_bits += bits.read(3) + 1",
        "frame_id_bits += bits.read(3)",
    ),
    Bug(
        "sequence header: no tools of order hints",
        HEADERS,
        "bits.read(2)  # enable_jnt_comp",
        "bits.read(0)  # enable_jnt_comp",
    ),
    Bug(
        "sequence header: no bits of order hints",
        HEADERS,
        "bits.read(3)  # order_hint_bits",
        "bits.read(0)  # order_hint_bits",
    ),
    Bug(
        "sequence header: screen content tools are never chosen",
        HEADERS,
        "SELECT if bits.read(1) else bits.read(1)",
        "bits.read(1)",
    ),
    Bug(
        "sequence header: motion vectors are never chosen",
        HEADERS,
        "if screen_content_tools and not bits.read(1):",
        "if screen_content_tools and bits.read(1):",
    ),
    Bug(
        "sequence header: depth is not read",
        HEADERS,
        "depth = 10 if bits.read(1) else 8",
        "depth = 8 + 0 * bits.read(1)",
    ),
    Bug(
        "sequence header: a position of chroma without chroma",
        HEADERS,
        "    if not monochrome:\n",
        "    if True:\n",
        HEADER_TESTS,
    ),
    Bug(
        "sequence header: colours are not described",
        HEADERS,
        "bits.read(16)  # color_primaries",
        "bits.read(8)  # color_primaries",
    ),
    Bug(
        "sequence header: sizes need not agree",
        HEADERS,
        "if found != (picture.width, picture.height, picture.depth, not picture.chroma):",
        "if False:",
        HEADER_TESTS,
    ),
    Bug(
        "frame header: times with equal intervals",
        HEADERS,
        "time_bits = 0 if equal_interval else time_bits",
        "time_bits = time_bits",
        HEADER_TESTS,
    ),
    Bug(
        "frame header: times of hidden frames",
        HEADERS,
        "    if shows:\n        bits.read(sequence.time_bits)\n",
        "    bits.read(sequence.time_bits)\n    if shows:\n        bits.read(0)\n",
    ),
    Bug(
        "frame header: showable_frame is not read",
        HEADERS,
        "bits.read(1)  # showable_frame",
        "bits.read(0)  # showable_frame",
        HEADER_TESTS,
    ),
    Bug(
        "frame header: error_resilient_mode of key frames",
        HEADERS,
        "if not (frame_type == KEY_FRAME and shows):",
        "if True:",
        HEADER_TESTS,
    ),
    Bug(
        "frame header: no error_resilient_mode of hidden key frames",
        HEADERS,
        "if not (frame_type == KEY_FRAME and shows):",
        "if frame_type != KEY_FRAME:",
        HEADER_TESTS,
    ),
    Bug(
        "frame header: force_integer_mv is not read",
        HEADERS,
        "bits.read(1)  # force_integer_mv",
        "bits.read(0)  # force_integer_mv",
        HEADER_TESTS,
    ),
    Bug(
        "frame header: screen content tools are always read",
        HEADERS,
        "tools = bits.read(1) if sequence.screen_content_tools == SELECT else",
        "tools = bits.read(1) if True else",
        HEADER_TESTS,
    ),
    Bug(
        "frame header: frame ids are not read",
        HEADERS,
        "bits.read(sequence.frame_id_bits)",
        "bits.read(0)",
        HEADER_TESTS,
    ),
    Bug(
        "frame header: other sizes pass",
        HEADERS,
        'bits.require(1, 0, "frame_size_override_flag")',
        "bits.read(1)",
        HEADER_TESTS,
    ),
    Bug("frame header: switch frames pass", HEADERS, "if frame_type == SWITCH_FRAME:", "if False:", HEADER_TESTS),
    Bug(
        "run: begins without a sequence header",
        HEADERS,
        "        elif sequence is None:\n",
        "        elif sequence is None and obu.kind == ObuType.FRAME:\n",
        HEADER_TESTS,
    ),
    Bug("run: sequence headers may differ", HEADERS, "elif bytes(obu.payload) != header:", "elif False:", HEADER_TESTS),
    Bug(
        "run: sizes of sequence headers are compared",
        HEADERS,
        "elif bytes(obu.payload) != header:",
        "elif bytes(obu.payload) != header or obu.end - obu.start != len(header) + 2:",
    ),
    Bug(
        "run: begins with any frame",
        HEADERS,
        "if not coded and (frame.repeats or not frame.key or not frame.shows):",
        "if False:",
        HEADER_TESTS,
    ),
    Bug(
        "run: begins with a hidden frame",
        HEADERS,
        "(frame.repeats or not frame.key or not frame.shows)",
        "(frame.repeats or not frame.key)",
        HEADER_TESTS,
    ),
    Bug(
        "run: OBU_FRAME may show another",
        HEADERS,
        "if frame.repeats and obu.kind == ObuType.FRAME:",
        "if False:",
        HEADER_TESTS,
    ),
    Bug("run: any number of hidden frames", HEADERS, "if coded > CODED_FRAMES_PER_SHOWN * frames:", "if False:"),
    Bug(
        "run: a hidden frame too few",
        HEADERS,
        "if coded > CODED_FRAMES_PER_SHOWN * frames:",
        "if coded >= CODED_FRAMES_PER_SHOWN * frames:",
    ),
    Bug("run: shown frames count twice", HEADERS, "coded += not frame.repeats", "coded += 1"),
    Bug("run: tiles without a frame", HEADERS, "if not tiles_may_follow:", "if False:", HEADER_TESTS),
    Bug(
        "run: tiles after padding",
        HEADERS,
        "        tiles_may_follow = False\n    if len",
        "        tiles_may_follow = tiles_may_follow and obu.kind != 1\n    if len",
    ),
    Bug(
        "run: tiles after a frame that is shown again",
        HEADERS,
        "tiles_may_follow = not frame.repeats",
        "tiles_may_follow = True",
        HEADER_TESTS,
    ),
    Bug("run: too few frames pass", HEADERS, "if len(ends) < frames:", "if not ends:", HEADER_TESTS),
    Bug(
        "run: frames after the last one",
        HEADERS,
        "if len(ends) == frames and obu.kind not in AFTER_LAST_FRAME:",
        "if False:",
        HEADER_TESTS,
    ),
    Bug(
        "run: nothing may follow the last frame",
        HEADERS,
        "AFTER_LAST_FRAME = (ObuType.TILE_GROUP, ObuType.METADATA, ObuType.PADDING)",
        "AFTER_LAST_FRAME = (ObuType.TILE_GROUP,)",
    ),
    Bug(
        "run: tiles belong to the next frame",
        HEADERS,
        "                ends[-1] = obu.end\n",
        "                ends[-1] = ends[-1]\n",
        HEADER_TESTS,
    ),
    Bug("run: what follows the last frame is dropped", HEADERS, "    ends[-1] = len(data)\n", "", HEADER_TESTS),
    Bug(
        "AV1: metadata go to dav1d",
        HEADERS,
        "if obu.kind not in (ObuType.METADATA, ObuType.PADDING)",
        "if True",
        ("tests/format/test_av1_headers.py", *BASE_TESTS),
    ),
]

#: Sections 4.11 and 10: decoding AV1.
BASE = [
    Bug(
        "AV1: an earlier frame is not decoded again",
        BASE_DECODER,
        "if opened is None or opened.position > frame:",
        "if opened is None:",
        BASE_TESTS,
    ),
    Bug(
        "AV1: runs are always opened anew",
        BASE_DECODER,
        "opened = self._open.pop(run.first, None)",
        "opened = None",
        BASE_TESTS,
    ),
    Bug("AV1: everything is kept", BASE_DECODER, "while len(self._kept) > most:", "while False:", BASE_TESTS),
    Bug(
        "AV1: the newest frames go first",
        BASE_DECODER,
        "self._kept.popitem(last=False)",
        "self._kept.popitem(last=True)",
        BASE_TESTS,
    ),
    Bug("AV1: what was asked for does not stay", BASE_DECODER, "self._kept.move_to_end(frame)", "pass", BASE_TESTS),
    Bug("AV1: any number of runs wait", BASE_DECODER, "if len(self._open) > OPEN_RUNS:", "if False:", BASE_TESTS),
    Bug(
        "AV1: threads are not kept apart", BASE_DECODER, "        with self._lock:\n", "        if True:\n", BASE_TESTS
    ),
    Bug(
        "AV1: the run before is decoded",
        BASE_DECODER,
        "if run.first <= frame < run.first + run.frames)",
        "if run.first < frame <= run.first + run.frames)",
    ),
    Bug(
        "AV1: missing frames pass",
        BASE_DECODER,
        "        if planes is None:\n",
        "        if planes is None and not self.position:\n",
        BASE_TESTS,
    ),
    Bug(
        "AV1: errors behind the last frame pass",
        BASE_DECODER,
        "if self.position == self.run.first + self.run.frames and",
        "if False and",
        BASE_TESTS,
    ),
    Bug(
        "AV1: errors of dav1d pass through",
        BASE_DECODER,
        "except (av.FFmpegError, ValueError) as error:",
        "except ZeroDivisionError as error:",
    ),
    Bug(
        "AV1: frames on the way are lost",
        BASE_DECODER,
        "for unit in (*run.temporal_units, None):",
        "for unit in run.temporal_units:",
        BASE_TESTS,
    ),
    Bug(
        "AV1: pictures of other sizes pass",
        BASE_DECODER,
        "if (frame.format.name, frame.width, frame.height) != (wanted, picture.width, picture.height):",
        "if False:",
        BASE_TESTS,
    ),
    Bug(
        "AV1: samples of 8 bits",
        BASE_DECODER,
        "sample = np.dtype(np.uint8 if picture.depth == 8 else np.uint16)",
        "sample = np.dtype(np.uint8)",
    ),
    Bug(
        "AV1: rows with their padding",
        BASE_DECODER,
        "rows[: plane.height, : plane.width].copy()",
        "rows[: plane.height].copy()",
    ),
    Bug(
        "AV1: lost runs are those before",
        BASE_DECODER,
        'raise CorruptStreamError(f"frame {frame} of the segment is lost")',
        "run = self.runs[0]",
        BASE_TESTS,
    ),
    Bug(
        "damage: undecodable runs end all",
        "decoding/concealment.py",
        "for frame in _undecodable(video) & set(frames):",
        "for frame in ():",
        DAMAGE_TESTS,
    ),
    Bug(
        "damage: undecodable frames of the first segment",
        "decoding/concealment.py",
        "first = segment.head.first_frame + run.first",
        "first = run.first + 1",
        DAMAGE_TESTS,
    ),
    Bug(
        "damage: what follows a SEGMENT_END is no end",
        UNITS,
        "(UnitType.LAYER_END, UnitType.SEGMENT_END, UnitType.INDEX)",
        "(UnitType.LAYER_END, UnitType.INDEX)",
        ("tests/format/test_compact.py",),
    ),
    Bug(
        "damage: a lost SEGMENT ends all",
        "format/survey.py",
        "                if keep_going:\n                    continue\n",
        "",
        DAMAGE_TESTS,
    ),
    Bug(
        "damage: a lost NETWORK ends all segments",
        READER,
        "if not (self.damage.keep_going and segments):",
        "if True:",
        DAMAGE_TESTS,
    ),
    Bug("damage: a lost run of AV1 ends all", LAYERS, "if lagging:", "if False:", DAMAGE_TESTS),
    Bug(
        "damage: WEIGHTS of a layer whose NETWORK is lost are passed over",
        LAYERS,
        "unit.header.type in (UnitType.NETWORK, UnitType.WEIGHTS):",
        "unit.header.type == UnitType.NETWORK:",
        DAMAGE_TESTS,
    ),
    Bug(
        "damage: lost runs of AV1 are not lost",
        RUNS,
        "            self.lost.append(range(self.done, until))\n            self.done = until\n",
        "            self.done = until\n",
        DAMAGE_TESTS,
    ),
    Bug(
        "pictures between those of AV1",
        "decoding/timeline.py",
        "if any(segment.has_base for segment in stream.segments):",
        "if False:",
        BASE_TESTS,
    ),
]

#: Section 6.9.
PICTURES = [
    Bug("PICTURE: depth 9 passes", INFERENCE, '_require(op.depth != 9, "the depth is 8 or 10")', "pass", COLOR_TESTS),
    Bug(
        "PICTURE: reserved matrices pass",
        INFERENCE,
        '_require(op.matrix in LUMA_SHARES, f"matrix {op.matrix} is reserved")',
        "op = op if op.matrix in LUMA_SHARES else dataclasses.replace(op, matrix=1)",
    ),
    Bug("PICTURE: twice", INFERENCE, "not in ([], [False]):", "not in ([], [False], [False, False]):", COLOR_TESTS),
    Bug("PICTURE: in a higher layer", INFERENCE, "not in ([], [False]):", "not in ([], [False], [True]):"),
    Bug(
        "PICTURE: margin above and below only",
        INFERENCE,
        "size = (op.height + 2 * op.margin, op.width + 2 * op.margin)",
        "size = (op.height + 2 * op.margin, op.width)",
    ),
    Bug("matrix: one share", COLOR, "7: (2120, 870)", "7: (2126, 870)"),
    Bug("matrix: BT.601 for FCC", COLOR, "4: (3000, 1100)", "4: (2990, 1140)"),
    Bug(
        "matrix: factors are cut",
        COLOR,
        "return math.floor(chroma_gain * share + Fraction(1, 2))",
        "return math.floor(chroma_gain * share)",
    ),
    Bug(
        "matrix: the factor of luma is cut",
        COLOR,
        "luma=math.floor(gain / luma_span + Fraction(1, 2))",
        "luma=math.floor(gain / luma_span)",
    ),
    Bug(
        "matrix: green of red's share",
        COLOR,
        "factor(Fraction(red * (SHARE_UNIT - red), green))",
        "factor(Fraction(red * (SHARE_UNIT - red), SHARE_UNIT))",
    ),
    Bug(
        "matrix: green of blue's share",
        COLOR,
        "factor(Fraction(blue * (SHARE_UNIT - blue), green))",
        "factor(Fraction(blue * (SHARE_UNIT - red), green))",
    ),
    Bug("range: limited chroma is 219 levels", COLOR, "(219 * scale, 224 * scale)", "(219 * scale, 219 * scale)"),
    Bug(
        "range: full is 2^depth levels",
        COLOR,
        "(2**op.depth - 1,) * 2 if op.full_range",
        "(2**op.depth,) * 2 if op.full_range",
    ),
    Bug(
        "range: black is 16 in 10 bits",
        COLOR,
        "black=0 if op.full_range else 16 * scale",
        "black=0 if op.full_range else 16",
    ),
    Bug("range: black is 16 in full range", COLOR, "black=0 if op.full_range else 16 * scale", "black=16 * scale"),
    Bug("10 bits: chroma is not rounded", CONVERSION, "factors.chroma_offset - half", "factors.chroma_offset"),
    Bug(
        "PICTURE: the range does not count chroma",
        COLOR,
        "low, high = (-CHROMA_PEAK, c.chroma_high) if op.chroma else (0, 0)",
        "low, high = 0, 0",
    ),
    Bug(
        "PICTURE: the range of grey counts chroma",
        COLOR,
        "low, high = (-CHROMA_PEAK, c.chroma_high) if op.chroma else (0, 0)",
        "low, high = -CHROMA_PEAK, c.chroma_high",
        COLOR_TESTS,
    ),
    Bug(
        "PICTURE: the range is not rounded",
        COLOR,
        "return (min(lows) + half) >> FRACTION_BITS, (max(highs) + half) >> FRACTION_BITS",
        "return min(lows) >> FRACTION_BITS, max(highs) >> FRACTION_BITS",
        COLOR_TESTS,
    ),
    Bug("colours are not rounded", CONVERSION, ".add_(1 << FRACTION_BITS - 1)", ".add_(0)"),
    Bug(
        "colours are cut towards 0",
        CONVERSION,
        "rgb.mul_(2.0**-FRACTION_BITS).floor_()",
        "rgb.mul_(2.0**-FRACTION_BITS).trunc_()",
    ),
    Bug(
        "u and v are swapped",
        CONVERSION,
        "u, v = self._chroma(samples.chroma, first, end).unbind(1)",
        "v, u = self._chroma(samples.chroma, first, end).unbind(1)",
    ),
    Bug(
        "green has the sign of red",
        CONVERSION,
        "v, alpha=-factors.green_v, out=green",
        "v, alpha=factors.green_v, out=green",
    ),
    Bug(
        "chroma: sited left in both directions",
        CONVERSION,
        "_doubled(part, 2, op.siting in (CENTRED, LEFT))",
        "_doubled(part, 2, op.siting == CENTRED)",
    ),
    Bug(
        "chroma: centred in each row",
        CONVERSION,
        "_doubled(rows, 3, op.siting == CENTRED)",
        "_doubled(rows, 3, op.siting in (CENTRED, LEFT))",
    ),
    Bug(
        "chroma: the nearest sample",
        CONVERSION,
        "pair = [torch.add(before, x, alpha=3), torch.add(after, x, alpha=3)]",
        "pair = [4 * x, 4 * x]",
    ),
    Bug(
        "chroma: weights of 1/2",
        CONVERSION,
        "pair = [torch.add(before, x, alpha=3), torch.add(after, x, alpha=3)]",
        "pair = [2 * (before + x), 2 * (after + x)]",
    ),
    Bug(
        "chroma: sited samples are shifted",
        CONVERSION,
        "pair = [4 * x, 2 * (x + after)]",
        "pair = [2 * (x + after), 4 * x]",
    ),
    Bug(
        "chroma: zeros beyond the right edge",
        CONVERSION,
        "x.narrow(axis, size - 1, 1)], axis)",
        "0 * x.narrow(axis, size - 1, 1)], axis)",
    ),
    Bug(
        "chroma: zeros beyond the left edge",
        CONVERSION,
        "torch.cat([x.narrow(axis, 0, 1), x",
        "torch.cat([0 * x.narrow(axis, 0, 1), x",
    ),
    Bug(
        "chroma: no row more above a strip",
        CONVERSION,
        "max(0, first // 2 - 1)",
        "max(0, first // 2)",
        CONVERSION_TESTS,
    ),
    Bug("chroma: no row more below a strip", CONVERSION, "(end + 1) // 2 + 1)", "(end + 1) // 2)", CONVERSION_TESTS),
    Bug("margin: reflected", CONVERSION, 'mode="replicate"', 'mode="constant"'),
    Bug(
        "margin: all of it above",
        CONVERSION,
        "above, below = first - (low - op.margin), (high - op.margin) - end",
        "above, below = first - (low - op.margin) + (high - op.margin) - end, 0",
    ),
]

#: What is computed strip by strip.
STRIPS = [
    Bug(
        "strips: a convolution's neighbours are too few",
        STRIP,
        "reach, height = op.kernel_height // 2,",
        "reach, height = op.kernel_height // 2 - 1,",
        STRIP_TESTS,
    ),
    Bug("strips: the reach of columns", STRIP, "op.kernel_height // 2", "op.kernel_width // 2", STRIP_TESTS),
    Bug(
        "strips: rows beyond the picture",
        STRIP,
        "low, high = max(0, low - reach), min(height, high + reach)",
        "low, high = max(0, low - reach), high + reach",
        STRIP_TESTS,
    ),
    Bug(
        "strips: CROP keeps its rows",
        STRIP,
        "low, high = low + op.top, high + op.top",
        "low, high = low, high",
        STRIP_TESTS,
    ),
    Bug(
        "strips: CROP keeps its columns",
        STRIP,
        "inputs[0][..., op.left : op.left + op.width]",
        "inputs[0][..., : op.width]",
    ),
    Bug(
        "strips: rows of the last reader alone",
        STRIP,
        "needs[source] = (min(low, known[0]), max(high, known[1]))",
        "needs[source] = (low, high)",
        STRIP_TESTS,
    ),
    Bug(
        "strips: a convolution's edges stay",
        STRIP,
        "return _rows_of(result, step.sources[0][1], step.rows) if isinstance(op, Conv) else result",
        "return result",
        STRIP_TESTS,
    ),
    Bug(
        "strips: BELOW reads the lowest layer",
        STRIP,
        "return [((op.layer, op.op), rows)]",
        "return [((0, min(op.op, len(self.layers[0].ops) - 1)), rows)]",
        STRIP_TESTS,
    ),
    Bug(
        "strips: the last one is missing",
        STRIP,
        "for strip in range(count)] + [tensor.height]",
        "for strip in range(count)]",
        STRIP_TESTS,
    ),
    Bug(
        "strips: what is not local as well",
        STRIP,
        "LOCAL = (Add, Below, Concat, Conv, Crop, Picture, Slice, Subtract, Table)",
        "LOCAL = (Op,)",
    ),
    Bug(
        "identity TABLE: ties go down",
        NETWORK,
        "torch.add(half, inputs[0], alpha=unit)",
        "torch.add(half - 2.0**-14, inputs[0], alpha=unit)",
    ),
]

SHADERS = [
    Bug(
        "shader: rounding of what a texture loses",
        SHADER_CODE,
        "node.weights.accumulator_bias(op) + half + 0.5",
        "node.weights.accumulator_bias(op) + half",
        SHADER_TESTS,
    ),
    Bug("shader: rows of a matrix as columns", SHADER_CODE, "weights.T.flatten()", "weights.flatten()", SHADER_TESTS),
    Bug("shader: no limit of t", SHADER_CODE, "self._clamped(shifted, -T_LIMIT, T_LIMIT)", "shifted", SHADER_TESTS),
    Bug("shader: edges instead of zeros", SHADER_CODE, "terms and self.masked", "False", SHADER_TESTS),
    Bug(
        "shader: columns beyond the crop",
        SHADER,
        "min(crop.top, below) < rows or min(crop.left, beside) < columns",
        "min(crop.top, below) < rows",
        SHADER_TESTS,
    ),
    Bug(
        "shader: one player's scale of samples",
        SHADER_CODE,
        "exp2(floor(log2(LUMA_mul) + 0.5)) / LUMA_mul * {65535 / 64}",
        "1023.0",
        SHADER_TESTS,
    ),
    Bug("shader: ranges beyond a texture", SHADER_CODE, "math.ceil(math.log2", "math.floor(math.log2", SHADER_TESTS),
    Bug("shader: white is 255 of 10 bits", SHADER, ".xyz * {1 / peak}", ".xyz * {1 / 255}", SHADER_TESTS),
    Bug("shader: any TABLE", SHADER, "op.function == Function.IDENTITY", "True", SHADER_TESTS),
]

BUGS = [
    *CONVOLUTION,
    *BOUND,
    *OPERATIONS,
    *TIMES,
    *GENERATOR,
    *ENTROPY,
    *CONTAINER,
    *COMPACT,
    *TEN_BITS,
    *SEGMENTS,
    *AV1,
    *BASE,
    *PICTURES,
    *STRIPS,
    *SHADERS,
]
