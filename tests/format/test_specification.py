"""The specification and the code agree."""

from __future__ import annotations

import dataclasses
import re
import runpy
from pathlib import Path

import reference_decoder

from nvcodec.format import metadata, runs, survey, units
from nvcodec.format import operations as o
from nvcodec.format.inference import MAX_LIVE, MAX_MULTIPLICATIONS, MAX_TENSOR, MAX_WEIGHTS
from nvcodec.format.limits import LEVELS
from nvcodec.format.stream_writer import write_stream

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "bitstream_spec.md").read_text()
EXAMPLE = runpy.run_path(str(ROOT / "tools" / "worked_example.py"))
TYPES = {"B": "u8", "H": "u16", "I": "u32", "Q": "u64", "h": "i16", "q": "i64"}


def test_the_worked_example_is_what_the_code_writes() -> None:
    start = TEXT.index(EXAMPLE["START"]) + len(EXAMPLE["START"])
    assert TEXT[start : TEXT.index(EXAMPLE["END"])] == EXAMPLE["section"]()


def test_the_hex_of_the_worked_example_decodes() -> None:
    whole = TEXT[TEXT.index(EXAMPLE["START"]) : TEXT.index(EXAMPLE["END"])]
    section, above = whole.split("### 11.2")
    for part, example in ((section, EXAMPLE["example"]()), (above, EXAMPLE["base_example"]())):
        rows = re.findall(r"^ {4} *\d+  ((?:[0-9a-f]{2} ?){1,16})(?:  |$)", part, re.MULTILINE)
        data = bytes.fromhex(" ".join(rows))
        assert data == write_stream(example, index=not example.compact)
        assert reference_decoder.checksum_ok(reference_decoder.parse(data))
    picture = reference_decoder.decode(reference_decoder.parse(data), 0)
    stated = re.findall(r"layer 1, 4 CROP +(?:red|green|blue) +([\d ]+)", above)
    assert [" ".join(map(str, picture[3, :, color].tolist())) for color in range(3)] == [row.strip() for row in stated]
    stream = reference_decoder.parse(write_stream(EXAMPLE["example"]()))
    last = re.findall(r"5 CONV +frame (\d): ([\d ]+)", section)
    for frame, values in last:
        picture = reference_decoder.decode(stream, int(frame)).transpose(2, 0, 1)
        assert picture.flatten().tolist() == list(map(int, values.split()))


def test_records_have_the_fields_of_the_specification() -> None:
    for record in (units.Video, units.SegmentHead, units.LatentsHead, units.BaseHead):
        for field in dataclasses.fields(record):
            assert re.search(rf"^\| {field.name} \| {TYPES[field.metadata['code']]} \|", TEXT, re.MULTILINE), field.name


def test_operations_have_the_codes_and_fields_of_the_specification() -> None:
    for code, kind in o.OPS.items():
        row = re.search(rf"^\| {code} \| {kind.NAME} \| ([^|]*) \|", TEXT, re.MULTILINE)
        assert row, kind.NAME
        assert [part.split()[0] for part in row[1].split(",")] == [field.name for field in dataclasses.fields(kind)]


def test_limits_are_those_of_the_specification() -> None:
    for name, value in (
        ("elements of one tensor", MAX_TENSOR),
        ("elements alive at once", MAX_LIVE),
        ("multiplications of all CONVs", MAX_MULTIPLICATIONS),
        ("latents of a stream", survey.MAX_STREAM_LATENTS),
        ("elements alive at once for a frame in all layers", MAX_LIVE),
        ("frames of a stream", units.MAX_FRAMES),
        ("frames, or knots, of a run", runs.MAX_RUN),
        ("units of a stream", units.MAX_UNITS),
        ("metadata, unpacked", metadata.MAX_METADATA),
        ("operations of all lists of a stream", o.MAX_REUSED_OPS),
    ):
        row = re.search(rf"^\| {name}.*\| 2\^(\d+)", TEXT, re.MULTILINE)
        assert row
        assert 2 ** int(row[1]) == value
    assert re.search(rf"^\| operations in a list \| {o.MAX_OPS} \|", TEXT, re.MULTILINE)
    assert "| weights of a list; of a stream (biases and steps not counted) | 2^25; 2^26 |" in TEXT
    assert (MAX_WEIGHTS, survey.MAX_STREAM_WEIGHTS) == (2**25, 2**26)


def test_levels_are_those_of_the_specification() -> None:
    for name, field in (
        ("width x height", "pixels"),
        ("multiplications per frame, all layers", "multiplications_per_pixel"),
        ("elements alive at once, all layers", "elements"),
        ("and which as a whole has: frames", "frames"),
        ("weights, biases and latents", "parameters"),
        ("bytes", "file_bytes"),
    ):
        row = re.search(rf"^\| {name}[^|]*\|[^|]*\|(.*)\|$", TEXT, re.MULTILINE)
        assert row
        assert re.findall(r"2\^(\d+)", row[1]) == [str(getattr(level, field).bit_length() - 1) for level in LEVELS]
        assert all(getattr(level, field).bit_count() == 1 for level in LEVELS)
