"""``base`` names an AV1 file: its stream is kept bit for bit, and what an SDMN file cannot hold is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from conftest import InterruptAt, few_crops, moving_squares, write_clip

import nvcodec
from nvcodec.cli.main import run as command
from nvcodec.encoding.av1 import foreign_base
from nvcodec.encoding.av1.foreign_base import CENTRED, LEFT, TOP_LEFT, read_av1
from nvcodec.encoding.av1.svt_encoder import BaseSettings, TemporalUnit, encode_av1
from nvcodec.encoding.encoded import Encoded
from nvcodec.errors import InputError, UsageError
from nvcodec.format.operations import Picture
from nvcodec.format.stream_reader import read_stream
from nvcodec.metrics import psnr
from nvcodec.video.av1_files import FORMATS, TimedUnit, write_av1
from nvcodec.video.svt_av1 import restrained
from nvcodec.video.yuv import planes_to_frame, rgb_to_yuv420

CLIP = moving_squares(6, 34, 46)
DELIMITER = b"\x12\x00"


@pytest.fixture(autouse=True, scope="module")
def fast() -> Iterator[None]:
    with few_crops():
        yield


def encode(**options: Any) -> Encoded:
    return nvcodec.encode(CLIP, **{"preset": "draft", "steps": 20, "rd_lambda": 0.0, "device": "cpu", **options})


def units_of(frames: torch.Tensor, fps: Fraction = Fraction(25)) -> list[TemporalUnit]:
    return encode_av1(frames, BaseSettings(40.0, 8, fps))


def write_units(path: Path, units: list[TemporalUnit]) -> Path:
    timed = [TimedUnit(unit.data, index, 1, unit.key) for index, unit in enumerate(units)]
    write_av1(path, timed, Fraction(1, 25), Fraction(1))
    return path


def write_by_pyav(path: Path, frames: torch.Tensor, bits: int = 8, **attributes: Any) -> Path:
    """Write an AV1 file as others do: SVT-AV1 by its options, PyAV's muxer."""
    parameters = attributes.pop("parameters", "lp=1")
    with restrained(), av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libsvtav1", rate=25)
        stream.height, stream.width = frames.shape[2:]
        stream.pix_fmt = "yuv420p" if bits == 8 else "yuv420p10le"
        stream.options = {"preset": "8", "crf": "40", "svtav1-params": parameters}
        for name, value in attributes.items():
            setattr(stream.codec_context, name, value)
        for index, picture in enumerate(frames):
            frame = planes_to_frame(rgb_to_yuv420(picture, bits), bits)
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def packets_of(path: Path) -> list[bytes]:
    """The packets of a file, as FFmpeg's demuxer yields them, without temporal delimiters."""
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    return [packet.removeprefix(DELIMITER) for packet in packets]


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    """From what ``extract --base`` writes."""
    made = encode(crf=40.0)
    source, base, back = tmp_path / "made.sdmn", tmp_path / f"base{suffix}", tmp_path / f"back{suffix}"
    source.write_bytes(made.data)
    assert command(["extract", str(source), "--base", "-o", str(base)]) == 0
    encoded = encode(base=base)
    assert encoded.crf is None
    assert "av1" not in read_stream(encoded.data).metadata
    run = read_stream(encoded.data).segments[0].layers[0].base[0]
    assert run.data == read_stream(made.data).segments[0].layers[0].base[0].data
    assert list(map(bytes, run.temporal_units)) == packets_of(base)
    assert list(nvcodec.open(encoded.data, device="cpu").stream.ticks) == read_stream(made.data).ticks
    again = tmp_path / "again.sdmn"
    again.write_bytes(encoded.data)
    assert command(["extract", str(again), "--base", "-o", str(back)]) == 0
    assert packets_of(back) == packets_of(base)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ivf"])
@pytest.mark.parametrize("bits", [8, 10])
def test_a_file_of_pyav(tmp_path: Path, suffix: str, bits: int) -> None:
    path = write_by_pyav(tmp_path / f"other{suffix}", CLIP, bits)
    encoded = encode(base=path, size="800")
    stream = read_stream(encoded.data)
    run = stream.segments[0].layers[0].base[0]
    assert [bytes(unit) for unit in run.temporal_units] == packets_of(path)
    op = stream.segments[0].layers[0].ops[0]
    assert isinstance(op, Picture)
    assert (op.width, op.height, op.depth, op.chroma, op.siting, op.matrix, op.full_range) == (
        *(46, 34, bits, 1),
        *(LEFT, 6, 0),
    )
    video = nvcodec.open(encoded.data, device="cpu")
    assert sum(map(psnr, video, CLIP)) / len(CLIP) == pytest.approx(encoded.psnr)
    alone = nvcodec.open(encoded.data, device="cpu", layers=1) if stream.layers > 1 else video
    # FFmpeg shows about the same pictures of it.
    with av.open(str(path)) as container:
        theirs = [torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1) for frame in container.decode()]
    assert all(psnr(a, b) > 30 for a, b in zip(alone, theirs, strict=True))


def test_several_runs_and_a_header_of_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key frame without a sequence header gets the container's; the others keep theirs."""
    units = units_of(CLIP, Fraction(3, 5))  # a key frame every 3 frames
    assert [unit.key for unit in units] == [True, False, False] * 2
    size = units[0].data[1] + 2
    header = units[0].data[:size]
    assert units[3].data.startswith(header)
    assert header[0] >> 3 & 15 == 1
    path = write_units(tmp_path / "base.mp4", units)
    assert read_av1(str(path), 2)[0] == units
    bare = [unit.data.removeprefix(header) if unit.key else unit.data for unit in units]
    for extradata in (b"\x81\x00\x0c\x00" + header, header):
        found, picture = foreign_base._units_of(bare, extradata, "base.mp4", 2)
        assert found == units
        assert (picture.width, picture.height, picture.depth) == (46, 34, 10)
    monkeypatch.setattr(foreign_base, "MAX_RUN", 3)  # of each run, not of the stream
    assert read_av1(str(path), 2)[0] == units
    # The header of the first frame does for the others, too.
    assert foreign_base._units_of([units[0].data, *bare[1:]], b"", "base.mp4", 2)[0] == units


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, (LEFT, 9, 0)),  # nothing declared: the matrix that the source declares
        ({"colorspace": 1}, (LEFT, 1, 0)),
        ({"colorspace": 1, "color_range": 2}, (LEFT, 1, 1)),
        ({"parameters": "lp=1:chroma-sample-position=topleft"}, (TOP_LEFT, 9, 0)),
        ({"parameters": "lp=1:chroma-sample-position=left"}, (LEFT, 9, 0)),
    ],
)
def test_colours_of_a_stream(tmp_path: Path, attributes: dict[str, Any], expected: tuple[int, int, int]) -> None:
    path = write_by_pyav(tmp_path / "other.mkv", CLIP[:1], **attributes)
    picture = read_av1(str(path), 9)[1]
    assert (picture.siting, picture.matrix, picture.full_range) == expected
    assert picture.margin == 0


def test_our_own_streams_are_centred(tmp_path: Path) -> None:
    op = read_stream(encode().data).segments[0].layers[0].ops[0]
    assert isinstance(op, Picture)
    assert op.siting == CENTRED


def refusal(path: Path, capfd: pytest.CaptureFixture[str], clip: torch.Tensor = CLIP) -> tuple[int, str]:
    """The exit code and the sentence of an encode with a base file."""
    source = path.parent / "source.mkv"
    source.unlink(missing_ok=True)
    write_clip(source, clip)
    output = path.parent / "out.sdmn"
    capfd.readouterr()
    code = command(["encode", str(source), "-o", str(output), "--base", str(path), "--preset", "draft"])
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("nvcodec: ")
    assert err.count("\n") == 1
    assert not output.exists()
    return code, err


def test_other_frames(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_units(tmp_path / "base.mkv", units_of(CLIP))
    for clip in (CLIP[:5], CLIP[..., :-2], CLIP[:, :, :-1]):
        code, sentence = refusal(path, capfd, clip)
        assert code == 2
        assert f"has 6 frames of 46x34, the source {len(clip)} of {clip.shape[3]}x{clip.shape[2]}" in sentence


def test_no_av1(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    other = write_clip(tmp_path / "other.mkv", CLIP)
    code, sentence = refusal(other, capfd)
    assert (code, "has no AV1 stream, but one of ffv1" in sentence or "libx264rgb" in sentence) == (3, True), sentence
    for name, content in {"text.mp4": b"no video at all", "empty.obu": b""}.items():
        (tmp_path / name).write_bytes(content)
        code, sentence = refusal(tmp_path / name, capfd)
        assert (code, f"cannot read an AV1 stream from {tmp_path / name}" in sentence) == (3, True)
    code, sentence = refusal(tmp_path / "missing.mp4", capfd)
    assert (code, "cannot read an AV1 stream from" in sentence) == (3, True)
    assert sentence.endswith("missing.mp4: No such file or directory\n")


def test_sound_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame(format="s16", layout="mono", samples=800)
        frame.sample_rate, frame.pts = 8000, 0
        container.mux(stream.encode(frame))
    code, sentence = refusal(path, capfd)
    assert (code, f"{path} has no video track" in sentence) == (3, True)


def test_film_grain(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_by_pyav(tmp_path / "grain.mkv", CLIP, parameters="lp=1:film-grain=30")
    code, sentence = refusal(path, capfd)
    assert (code, "film_grain_params_present is 1; only 0 is allowed" in sentence) == (3, True)
    assert sentence.startswith("nvcodec: the AV1 stream cannot be the base of an SDMN file: ")


def test_no_key_frame_first(tmp_path: Path) -> None:
    units = units_of(CLIP)
    header = units[0].data[: units[0].data[1] + 2]
    (tmp_path / "cut.ivf").write_bytes(b"")
    with pytest.raises(InputError, match="does not begin with a key frame"):
        read_units(tmp_path, [TemporalUnit(header + units[1].data, False), *units[2:]])


def read_units(folder: Path, units: list[TemporalUnit]) -> Any:
    """Read units that no muxer would write."""
    path = folder / "raw.obu"
    path.write_bytes(b"".join(DELIMITER + unit.data for unit in units))
    return read_av1(str(path), 2)


def test_streams_that_break_a_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units = units_of(CLIP)
    assert read_units(tmp_path, units)[0] == units
    other = encode_av1(CLIP, BaseSettings(40.0, 8, Fraction(25), matrix=1))
    for broken, message in (
        ([*units, *other], "the sequence headers of .* differ"),
        ([TemporalUnit(units[0].data + units[1].data, True), *units[2:]], "goes on after the 5 AV1 frames"),
    ):
        with pytest.raises(InputError, match=f"cannot be the base of an SDMN file: .*{message}"):
            read_units(tmp_path, broken)
    monkeypatch.setattr(foreign_base, "MAX_RUN", 5)
    with pytest.raises(InputError, match="has more than 5 frames without a key frame"):
        read_units(tmp_path, units)


def test_the_stream_of_a_file_is_not_interrupted(tmp_path: Path) -> None:
    """There is nothing that could be kept for later."""
    path = write_units(tmp_path / "base.ivf", units_of(CLIP))
    with pytest.raises(KeyboardInterrupt):
        encode(base=path, steps=400, progress=InterruptAt(20))
    with pytest.raises(KeyboardInterrupt):
        nvcodec.encode(
            CLIP, tmp_path / "out.sdmn", base=path, preset="draft", steps=400, device="cpu", progress=InterruptAt(20)
        )
    assert sorted(file.name for file in tmp_path.iterdir()) == ["base.ivf"]


@pytest.mark.parametrize(("mode", "codec"), [("w", "libsvtav1"), ("r", "libdav1d")])
def test_a_pyav_that_lacks_a_codec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], mode: str, codec: str
) -> None:
    create = av.CodecContext.create

    class Lacking:
        @staticmethod
        def create(name: str, *arguments: Any) -> Any:
            if name == codec:
                raise ValueError(f"codec {name} is not available")
            return create(name, *arguments)

    monkeypatch.setattr(av, "CodecContext", Lacking)
    source = write_clip(tmp_path / "source.mkv", CLIP)
    output = tmp_path / "out.sdmn"
    assert command(["encode", str(source), "-o", str(output), "--preset", "draft", "--steps", "1"]) == 3
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "this PyAV cannot" in err
    assert 'pip install --force-reinstall "av>=15" installs one that can' in err
    assert ("SVT-AV1" in err, "dav1d" in err) == (mode == "w", mode == "r")
    assert ("--base none does without" in err) == (mode == "w")
    assert not output.exists()


def test_options_that_a_given_stream_excludes(tmp_path: Path) -> None:
    for options in ({"crf": 30.0}, {"target_size": 9}, {"bitrate": 9.0}, {"target_psnr": 30.0}):
        with pytest.raises(UsageError, match="the AV1 stream of a file is kept as it is; leave out `crf` and targets"):
            encode(base=tmp_path / "any.mp4", **options)
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "any.mp4"))):
        encode(base=tmp_path / "any.mp4")
