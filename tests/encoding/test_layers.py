"""Quality layers: fitted one on the other, added to a file, cut off, and what is left of a file that was cut."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path

import pytest
import torch
from conftest import InterruptAt, moving_squares, write_clip

import nvcodec
from nvcodec.cli.main import run as command
from nvcodec.decoding.decoded_video import Video
from nvcodec.encoding.encoded import Encoded
from nvcodec.encoding.export.reference_layer import decode_reference
from nvcodec.encoding.fit import joint_fit
from nvcodec.encoding.fit.fit import Fit
from nvcodec.errors import CorruptStreamError, InputError, Interrupted, UsageError
from nvcodec.format.operations import Below
from nvcodec.format.stream_reader import layer_ends, read_stream
from nvcodec.metrics import psnr
from nvcodec.video.frames import StoredFrames

NOISE = torch.randn(6, 3, 45, 61, generator=torch.Generator().manual_seed(0))
CLIP = (moving_squares(6, 45, 61) + 8 * NOISE).clamp(0, 255).round().to(torch.uint8)  # coded sides are larger


@pytest.fixture(scope="module")
def three() -> Encoded:
    return nvcodec.encode(CLIP, size="8k,8k,8k", steps=120, device="cpu")


def another_file(folder: Path) -> Path:
    """A file of another encode."""
    path = folder / "other.sdmn"
    path.write_bytes(nvcodec.encode(CLIP, size="9k", steps=3, device="cpu").data)
    return path


def digest(data: bytes, layers: int | None = None) -> str:
    video = Video(read_stream(data), device="cpu", layers=layers)
    return hashlib.sha256(video[:].numpy().tobytes()).hexdigest()


def test_each_layer_is_better_and_leaves_what_is_below(three: Encoded) -> None:
    ends = layer_ends(three.data)
    assert len(three.layers) == len(ends) == 3
    for number, layer in enumerate(three.layers):
        assert len(layer.data) == ends[number]
        assert three.data.startswith(layer.data)
        assert digest(three.data, number + 1) == digest(layer.data)
        video = Video(read_stream(layer.data), device="cpu")
        quality = sum(psnr(a, b) for a, b in zip(video, CLIP, strict=True)) / len(CLIP)
        assert quality == pytest.approx(layer.psnr)
        assert read_stream(layer.data).metadata[f"psnr_rgb_{number}"] == round(layer.psnr, 3)
    base, middle, top = (layer.psnr for layer in three.layers)
    assert top > middle + 0.3 > base + 1
    ops = read_stream(three.data).segments[0].layers[2].ops
    assert {op.layer for op in ops if isinstance(op, Below)} == {1}


def test_the_float_network_is_what_the_file_holds(three: Encoded) -> None:
    assert three.fitted.psnr(CLIP) == pytest.approx(three.psnr, abs=0.1)


def test_a_layer_is_added(three: Encoded, tmp_path: Path) -> None:
    below = tmp_path / "below.sdmn"
    below.write_bytes(three.layers[1].data)
    made = nvcodec.encode(CLIP, size="8k", onto=below, steps=120, device="cpu")
    assert made.data == three.data
    assert len(made.layers) == 1


def test_cut_anywhere(three: Encoded) -> None:
    ends = layer_ends(three.data)
    known = [digest(layer.data) for layer in three.layers]
    shown: set[tuple[int, str]] = set()
    for place in range(200):
        end = ends[0] + place * (len(three.data) - ends[0]) // 199
        whole = sum(end >= layer for layer in ends)
        stream = read_stream(three.data[:end])
        assert stream.layers == whole
        assert bool(stream.note) == (end not in ends)
        if place % 20 == 0 or end in ends:
            shown.add((whole, digest(three.data[:end])))
    assert shown == {(1, known[0]), (2, known[1]), (3, known[2])}
    for end in (30, ends[0] // 2, ends[0] - 1):
        with pytest.raises(CorruptStreamError):
            read_stream(three.data[:end])


def test_a_cut_file_warns(three: Encoded, tmp_path: Path) -> None:
    path = tmp_path / "cut.sdmn"
    path.write_bytes(three.data[:-5])
    with pytest.warns(UserWarning, match="2 layer"):
        assert nvcodec.open(path, device="cpu").layers == 2


def test_damage_is_no_cut(three: Encoded) -> None:
    ends = layer_ends(three.data)
    for place in (ends[0] + 40, ends[1] - 10):
        damaged = bytearray(three.data)
        damaged[place] ^= 16
        with pytest.raises(CorruptStreamError, match="damaged"):
            read_stream(bytes(damaged))


@pytest.mark.parametrize("step", [60, 100])
def test_interrupted_in_the_second_layer(tmp_path: Path, three: Encoded, step: int) -> None:
    """Before and after quantisation has come in, which is at step 84."""
    options = {"size": "8k,8k,8k", "steps": 120, "device": "cpu"}
    out = tmp_path / "out.sdmn"
    with pytest.raises(Interrupted):
        nvcodec.encode(CLIP, out, progress=InterruptAt(step, fit=1), **options)
    for other in ({"size": "8k"}, {"size": "8k", "onto": another_file(tmp_path)}):
        with pytest.raises(UsageError, match="other layers"):
            nvcodec.encode(CLIP, out, resume=True, steps=120, device="cpu", **other)  # type: ignore[arg-type]
    again = nvcodec.encode(CLIP, out, resume=True, **options)  # type: ignore[arg-type]
    assert again.data == three.data
    assert out.read_bytes() == again.data
    assert not list(tmp_path.glob("*.checkpoint"))


def test_joint_fitting_keeps_the_layers_and_changes_all() -> None:
    options = {"size": "8k,8k", "steps": 120, "device": "cpu"}
    apart, together = (nvcodec.encode(CLIP, joint=wanted, **options) for wanted in (False, True))  # type: ignore[arg-type]
    ends = layer_ends(together.data)
    assert [len(layer.data) for layer in together.layers] == ends
    for layer, before, number in zip(together.layers, apart.layers, (1, 2), strict=True):
        assert digest(together.data, number) == digest(layer.data) != digest(before.data)
        assert layer.psnr > before.psnr - 0.3
        assert 0.8 < len(layer.data) / len(before.data) < 1.25
    assert together.psnr > apart.psnr  # thirty steps more


def test_an_interrupted_joint_fit_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    step = joint_fit.joint_step

    def interrupted_step(fits: list[Fit], *arguments: float) -> None:
        step(fits, *arguments)
        steps.append(len(fits))
        if len(steps) == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(joint_fit, "joint_step", interrupted_step)
    out = tmp_path / "out.sdmn"
    made = nvcodec.encode(CLIP, out, size="8k,8k", steps=20, joint=True, device="cpu")
    assert steps == [2, 2, 2]
    assert made.interrupted
    assert out.read_bytes() == made.data
    for options in ({"size": "8k"}, {"size": "8k,8k", "resume": True}, {"size": "8k,8k", "onto": out}):
        with pytest.raises(UsageError, match="`joint`"):
            nvcodec.encode(CLIP, tmp_path / "new.sdmn", joint=True, **options)  # type: ignore[arg-type]


def test_what_a_layer_stands_on_may_lie_in_a_file(three: Encoded) -> None:
    stream = read_stream(three.layers[0].data)
    held, stored = (decode_reference(stream, torch.device("cpu"), memory) for memory in (None, 0))
    assert isinstance(held.features, torch.Tensor) and isinstance(stored.features, StoredFrames)
    for name in ("pictures", "features"):
        assert torch.equal(getattr(held, name)[[4, 1]], getattr(stored, name)[[4, 1]])
    assert held.features.dtype == torch.int16


def test_refused(three: Encoded, tmp_path: Path) -> None:
    below, old = tmp_path / "below.sdmn", tmp_path / "old.sdmn"
    below.write_bytes(three.data)
    old.write_bytes((Path(__file__).parents[1] / "golden" / "1.0" / "fitted.sdmn").read_bytes())
    for options in (
        {"size": "8k,8k", "target_psnr": 30.0},
        {"size": "8k,8k", "target_size": 9000},
        {"onto": below},
        {"size": "8k", "onto": below, "init": below},
        {"size": "8k,x"},
    ):
        with pytest.raises(UsageError):
            nvcodec.encode(CLIP, device="cpu", **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="holds 6 frames"):
        nvcodec.encode(CLIP[:5], size="8k", onto=below, device="cpu")
    with pytest.raises(InputError):
        nvcodec.encode(CLIP, size="8k", onto=tmp_path / "none.sdmn", device="cpu")
    below.write_bytes(three.data[:-1])
    with pytest.raises(InputError, match=r"2 layer\(s\), can be used"):
        nvcodec.encode(CLIP, size="8k", onto=below, device="cpu")
    frames = Video(old, device="cpu")[:]
    with pytest.raises(UsageError, match="earlier version"):
        nvcodec.encode(frames, size="30k", onto=old, steps=3, device="cpu")
    with pytest.raises(UsageError, match="3 layer"):
        Video(read_stream(three.data), layers=4)


def test_on_the_command_line(three: Encoded, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = str(write_clip(tmp_path / "source.mkv", CLIP))
    two, base, again = (str(tmp_path / name) for name in ("two.sdmn", "base.sdmn", "again.sdmn"))
    common = ["-j", "1", "--device", "cpu", "--steps", "40", "-q"]
    assert command(["encode", source, "-o", two, "--size", "8k,8k", *common]) == 0
    assert command(["extract", two, "--layers", "1", "-o", base]) == 0
    assert command(["encode", source, "-o", again, "--add-layer", "8k", base, *common]) == 0
    assert Path(again).read_bytes() == Path(two).read_bytes()
    assert Path(two).read_bytes().startswith(Path(base).read_bytes())
    assert command(["extract", two, "--layers", "1", "-o", base]) == 2  # it exists
    assert command(["extract", two, "--layers", "3", "-o", base, "-y"]) == 2
    assert command(["encode", source, "-o", again, "-y", "--size", "8k", "--add-layer", "8k", base, *common]) == 2
    capfd.readouterr()
    digests = []
    for arguments in ([two, "--layers", "1"], [base], [two], [two, "--layers", "2"]):
        assert command(["decode", *arguments, "--md5", "--device", "cpu"]) == 0
        digests.append(capfd.readouterr().out)
    assert digests[0] == digests[1] != digests[2] == digests[3]
    assert command(["decode", two, "--layers", "3", "--md5"]) == 2
    assert command(["info", two, "--json"]) == 0
    rows = json.loads(capfd.readouterr().out)["by_layer"]
    assert [row["file_bytes"] for row in rows] == layer_ends(Path(two).read_bytes())
    assert sum(row["bytes"] for row in rows) == len(Path(two).read_bytes())
    for number, row in enumerate(rows, 1):
        assert command(["compare", source, two, "--layers", str(number), "--json", "--device", "cpu"]) == 0
        found = json.loads(capfd.readouterr().out)
        assert found["psnr_rgb"] == pytest.approx(row["psnr_rgb"], abs=0.001)
        assert found["file_bytes"] == row["file_bytes"]
    Path(two).write_bytes(Path(two).read_bytes()[:-3])
    assert command(["info", two]) == 0
    captured = capfd.readouterr()
    assert "1 layer(s), can be used" in captured.err
    assert "1 layer(s)" in captured.out
