"""Metadata of mastering display and content light, from a source to every output that can hold them."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

import nvcodec
from nvcodec.cli.main import run
from nvcodec.format.extras import add_extras, extras_of
from nvcodec.format.stream_reader import read_stream
from nvcodec.tracks import NO_HDR, Extras, Hdr
from nvcodec.video.clip import Clip, Color, steady
from nvcodec.video.hdr import hdr_of, svt_parameters, x264_parameters
from nvcodec.video.sinks import open_sink
from nvcodec.video.source import read_clip

PQ = Color(9, 16, 9, 1)
#: Display P3 primaries and D65, 1000 to 0.005 cd/m^2; a brightest pixel of 987 cd/m^2, a brightest frame of 400.
HDR = Hdr((34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450, 10_000_000, 50), (987, 400))


def write(path: Path, hdr: Hdr = HDR, bits: int = 10) -> list[str]:
    """Write two grey pictures; returns the notes."""
    picture = np.full((32, 64, 3), 500 if bits == 10 else 125, np.uint16 if bits == 10 else np.uint8)
    about = {"time_base": Fraction(1, 25), "fps": Fraction(25), "bits": bits, "color": PQ, "extras": Extras(hdr=hdr)}
    with open_sink(str(path), width=64, height=32, overwrite=True, **about) as sink:  # type: ignore[arg-type]
        for index in range(1 if path.suffix == ".png" else 2):
            sink.put(picture, index, 1)
    return sink.notes


def close(found: Hdr) -> bool:
    """Whether metadata are these, as near as AV1's own units hold them."""
    near = [abs(a - b) <= 2 for a, b in zip(found.mastering[:8], HDR.mastering[:8], strict=True)]
    most, least = found.mastering[8:]
    return all(near) and abs(most - 10_000_000) <= 40 and abs(least - 50) <= 1 and found.light == HDR.light


def test_parameters() -> None:
    assert x264_parameters(HDR) == [
        "mastering-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)",
        "cll=987,400",
    ]
    assert svt_parameters(HDR) == [
        "mastering-display=G(0.26500,0.69000)B(0.15000,0.06000)R(0.68000,0.32000)WP(0.31270,0.32900)L(1000.0000,0.0050)",
        "content-light=987,400",
    ]
    assert x264_parameters(NO_HDR) == svt_parameters(NO_HDR) == []
    assert svt_parameters(Hdr(light=(5, 4))) == ["content-light=5,4"]


@pytest.mark.parametrize("name", ["x.mp4", "x.mov", "x.webm", "x.png"])
def test_outputs_that_hold_it(tmp_path: Path, name: str) -> None:
    """As FFmpeg reads it again."""
    assert write(tmp_path / name) == []
    assert close(read_clip(tmp_path / name).hdr)
    write(tmp_path / name, NO_HDR)
    assert read_clip(tmp_path / name).hdr == NO_HDR


@pytest.mark.parametrize("name", ["x.mkv", "x.gif"])
def test_outputs_that_do_not(tmp_path: Path, name: str) -> None:
    assert write(tmp_path / name) == ["lacks the metadata of display and light, which PyAV cannot write there"]
    assert write(tmp_path / name, NO_HDR) == []


def test_a_frame_without() -> None:
    assert hdr_of(av.VideoFrame(16, 16, "yuv420p")) == NO_HDR


@pytest.mark.parametrize("options", [{"crf": 40, "preset": "draft", "steps": 2}, {"size": 2500, "steps": 3}], ids=str)
def test_it_travels(tmp_path: Path, options: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    """From a file into METADATA, with an AV1 stream into that, too; from there to what `decode` and `extract` write."""
    write(tmp_path / "in.mp4")
    nvcodec.encode(tmp_path / "in.mp4", tmp_path / "x.sdmn", **options)  # type: ignore[arg-type]
    stream = read_stream((tmp_path / "x.sdmn").read_bytes())
    assert stream.metadata["hdr"] == {"mastering": list(HDR.mastering), "light": list(HDR.light)}
    assert extras_of(stream)[0].hdr == HDR
    assert run(["decode", str(tmp_path / "x.sdmn"), "-o", str(tmp_path / "out.mp4"), "-q"]) == 0
    assert read_clip(tmp_path / "out.mp4").hdr == HDR
    assert run(["info", str(tmp_path / "x.sdmn")]) == 0
    assert "mastered for 0.005 to 1000 cd/m2, content up to 987, 400 on average" in capsys.readouterr().out
    if "crf" in options:
        assert run(["extract", str(tmp_path / "x.sdmn"), "--base", "-o", str(tmp_path / "base.mp4")]) == 0
        assert close(read_clip(tmp_path / "base.mp4").hdr)


def test_it_does_not_change_other_bytes() -> None:
    """Without it, nothing is said."""
    clip = Clip(torch.full((1, 3, 16, 16), 9, dtype=torch.uint8), *steady(1, Fraction(25)))
    assert "hdr" not in read_stream(nvcodec.encode(clip, None, size=2500, steps=1).data).metadata


@pytest.mark.parametrize(
    "said",
    [
        {"mastering": [1] * 9, "light": [1]},
        {"mastering": "x", "light": {"a": 1}},
        {"mastering": [-1] * 10, "light": [1.5, 2]},
        {"mastering": [2**32] * 10, "light": [True, None]},
        [1, 2],
        "x",
    ],
    ids=str,
)
def test_metadata_that_say_something_else(said: object) -> None:
    clip = Clip(torch.full((1, 3, 16, 16), 9, dtype=torch.uint8), *steady(1, Fraction(25)))
    stream = read_stream(nvcodec.encode(clip, None, size=2500, steps=1).data)
    stream.metadata["hdr"] = said
    assert extras_of(stream)[0].hdr == NO_HDR


def test_a_part_keeps_it() -> None:
    assert Extras(hdr=HDR).within(Fraction(0), Fraction(1)).hdr == HDR
    assert Extras(hdr=HDR)


def test_added_to_a_file() -> None:
    clip = Clip(torch.full((1, 3, 16, 16), 9, dtype=torch.uint8), *steady(1, Fraction(25)))
    data = add_extras(nvcodec.encode(clip, None, size=2500, steps=1).data, Extras(hdr=Hdr(light=(3, 2))))
    assert extras_of(read_stream(io.BytesIO(data).getvalue()))[0].hdr == Hdr(light=(3, 2))
