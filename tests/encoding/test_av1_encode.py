"""Encodes to an AV1 stream with networks above it, end to end: what each option does to the file."""

from __future__ import annotations

import functools
import itertools
import json
import signal
import types
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import InterruptAt, few_crops, moving_squares, write_clip

import nvcodec
from nvcodec.decoding.decoded_video import Video
from nvcodec.encoding.av1 import base_job, correction_job
from nvcodec.encoding.av1.correction_network import BORDER, CorrectionShape
from nvcodec.encoding.encode_config import CORRECTION_STEPS, DEFAULT_CRF, SVT_PRESETS
from nvcodec.encoding.encoded import Encoded
from nvcodec.encoding.fit.fit_loop import Progress
from nvcodec.errors import InputError, Interrupted, UsageError
from nvcodec.format.operations import Add, Below, Picture
from nvcodec.format.stream import Stream
from nvcodec.format.stream_reader import read_stream
from nvcodec.metrics import measure, psnr
from nvcodec.video import frames as stored_frames
from nvcodec.video.clip import Clip, Color

NOISE = torch.randn(6, 3, 38, 50, generator=torch.Generator().manual_seed(0))
CLIP = (moving_squares(6, 38, 50) + 6 * NOISE).clamp(0, 255).round().to(torch.uint8)
FAST = {"preset": "draft", "steps": 20, "rd_lambda": 0.0, "device": "cpu"}
SMALL, LARGE = CorrectionShape(5), CorrectionShape(7)


@pytest.fixture(autouse=True, scope="module")
def fast() -> Iterator[None]:
    with few_crops():
        yield


@functools.cache
def shared(**options: Any) -> Encoded:
    """An encode of the clip that several tests look at."""
    return encode(CLIP, **options)


def encode(source: Any, *arguments: Any, **options: Any) -> Encoded:
    return nvcodec.encode(source, *arguments, **{**FAST, **options})


def base_of(data: bytes) -> list[bytes]:
    """The runs of a file's AV1 stream."""
    return [run.data for segment in read_stream(data).segments for run in segment.layers[0].base]


def check(encoded: Encoded, clip: torch.Tensor) -> Stream:
    """A file decodes to what its encode says of it: frames, PSNR, bytes."""
    stream = read_stream(encoded.data)
    video = Video(stream, device="cpu")
    qualities = [psnr(picture, original) for picture, original in zip(video, clip, strict=True)]
    assert sum(qualities) / len(qualities) == pytest.approx(encoded.psnr)
    assert (encoded.frames, encoded.height, encoded.width) == (len(clip), *clip.shape[2:])
    assert encoded.parameters == stream.parameters
    assert stream.version == (1, 2)
    assert isinstance(stream.segments[0].layers[0].ops[0], Picture)
    return stream


def try_networks(monkeypatch: pytest.MonkeyPatch, *hidden: int) -> None:
    """Let an encode try networks with so many hidden channels."""
    monkeypatch.setattr(base_job, "candidates", lambda speed, size: list(map(CorrectionShape, hidden)))


def test_no_option_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CORRECTION_STEPS, "normal", 20)
    try_networks(monkeypatch, 4, 6)
    encoded = nvcodec.encode(CLIP)
    stream = check(encoded, CLIP)
    assert (encoded.crf, encoded.target_bytes, encoded.interrupted) == (DEFAULT_CRF, None, False)
    assert stream.metadata["av1"] == [DEFAULT_CRF, SVT_PRESETS["normal"]]
    assert {"reading", "AV1", "fitting", "quantising", "writing", "verifying"} == set(encoded.seconds)
    assert stream.time_base == Fraction(1, 25)


def test_a_network_pays() -> None:
    """It comes after layer 0, improves the picture, and takes few bytes; what the stream shows alone stays."""
    encoded = shared(steps=60)
    stream = check(encoded, CLIP)
    assert stream.layers == 2
    assert sum(map(len, base_of(encoded.data))) > len(encoded.data) - 1500
    alone = Video(stream, device="cpu", layers=1)
    assert sum(map(psnr, alone, CLIP)) / len(CLIP) < encoded.psnr - 0.2
    without = encode(CLIP, rd_lambda=20.0)  # a doubling would have to bring 20 dB
    assert check(without, CLIP).layers == 1
    assert base_of(without.data) == base_of(encoded.data)
    assert torch.equal(Video(read_stream(without.data), device="cpu")[:], alone[:])


def test_crf_in_quarters() -> None:
    files = {crf: shared(crf=crf) for crf in (20.0, 35.0, 35.25, 35.5, 50.0)}
    for crf, file in files.items():
        assert file.crf == crf
        assert json.loads(json.dumps(check(file, CLIP).metadata))["av1"][0] == crf
    bases = {crf: base_of(file.data) for crf, file in files.items()}
    assert len({b"".join(base) for base in bases.values()}) == len(files)
    assert files[20.0].psnr - 1 > files[35.0].psnr > files[50.0].psnr + 1
    assert len(files[20.0].data) > 1.5 * len(files[35.0].data) > 2 * len(files[50.0].data)
    assert shared(crf=35.0).data == encode(CLIP).data  # the default


def test_preset_is_that_of_svt_av1() -> None:
    draft, normal = shared(), encode(CLIP, preset="normal", size=SMALL.parameters, base="av1")
    assert base_of(draft.data) != base_of(normal.data)
    assert read_stream(normal.data).metadata["av1"] == [DEFAULT_CRF, SVT_PRESETS["normal"]]


def test_a_network_alone() -> None:
    options: dict[str, Any] = {"size": "6k", "steps": 4, "device": "cpu"}
    alone = nvcodec.encode(CLIP, base="none", **options)
    assert nvcodec.encode(CLIP, **options).data == alone.data
    stream = read_stream(alone.data)
    assert stream.version == (1, 1)
    assert alone.crf is None
    assert not any(isinstance(op, Picture) for op in stream.segments[0].layers[0].ops)


def test_several_layers() -> None:
    encoded = encode(CLIP, size=f"{SMALL.parameters},{LARGE.parameters}", base="av1", steps=40)
    stream = check(encoded, CLIP)
    assert stream.layers == 3
    assert len(encoded.layers) == 2
    assert encoded.layers[-1].data == encoded.data
    # Each adds to the picture of the layer below; checksums are those of the last one.
    layers = stream.segments[0].layers
    for number in (1, 2):
        below = layers[number].ops[0]
        assert isinstance(below, Below)
        assert below.layer == number - 1
        assert isinstance(layers[number - 1].ops[below.op], (Picture, Add)[number - 1])
    assert [bool(len(layer.checksums)) for layer in layers] == [False, False, True]
    lower = encoded.layers[0]
    assert (lower.parameters, encoded.parameters) == (SMALL.parameters, SMALL.parameters + LARGE.parameters)
    check(lower, CLIP)
    assert torch.equal(Video(read_stream(lower.data), device="cpu")[:], Video(stream, device="cpu", layers=2)[:])
    base = Video(stream, device="cpu", layers=1)
    qualities = [sum(map(psnr, base, CLIP)) / len(CLIP), lower.psnr, encoded.psnr]
    assert qualities == sorted(qualities)
    assert qualities[0] < qualities[1] - 0.1


@pytest.mark.parametrize("shape", [SMALL, LARGE])
def test_size_of_the_network(shape: CorrectionShape) -> None:
    for parameters in (shape.parameters, CorrectionShape(shape.hidden + 1).parameters - 1):
        encoded = encode(CLIP, size=parameters, base="av1", steps=40)
        assert encoded.parameters == shape.parameters
        assert check(encoded, CLIP).layers == 2


@pytest.mark.parametrize("parameters", [correction_job.MIN_HIDDEN, 10**6])
def test_sizes_that_no_network_has(parameters: int) -> None:
    with pytest.raises(UsageError, match=f'`size` asks for {parameters}; `base="none"` makes a network alone'):
        encode(CLIP, size=parameters, base="av1")


def test_as_many_layers_as_the_margin_allows() -> None:
    most = base_job.MAX_MARGIN // BORDER
    encoded = encode(CLIP[:1], size=",".join([str(SMALL.parameters)] * most), base="av1", steps=1)
    assert check(encoded, CLIP[:1]).layers == most + 1
    with pytest.raises(UsageError, match=f"there are at most {most} layers"):
        encode(CLIP, size=",".join([str(SMALL.parameters)] * (most + 1)), base="av1")


def test_custom_loss() -> None:
    """It sees crops from 0 to 1 and their frames, and decides what gets better."""
    seen: set[int] = set()

    def red(decoded: torch.Tensor, source: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        assert decoded.shape == source.shape
        assert len(decoded) == len(frames)
        assert 0 <= decoded.min() <= decoded.max() <= 1
        # Crops have the size of the whole picture here.
        for crop, frame in zip(source, frames, strict=True):
            assert torch.equal((255 * crop).round().to(torch.uint8), CLIP[frame])
        seen.update(frames)
        return (decoded[:, 0] - source[:, 0]).square().mean()

    video = Video(read_stream(encode(CLIP, loss=red, steps=60).data), device="cpu")
    below = Video(video.stream, device="cpu", layers=1)
    assert seen == set(range(len(CLIP)))

    def error(decoded: Video, channel: int) -> float:
        return float((decoded[:][:, channel].float() - CLIP[:, channel]).square().mean())

    assert error(video, 0) < 0.97 * error(below, 0)
    assert error(video, 0) / error(below, 0) < min(error(video, other) / error(below, other) for other in (1, 2))


def test_a_loss_below_zero() -> None:
    """Its gain has no decibels; it counts if it falls at all."""
    assert read_stream(encode(CLIP, loss=lambda a, b, _: (a - b).square().mean() - 1).data).layers == 2
    assert read_stream(encode(CLIP, loss=lambda a, b, _: 0 * (a - b).mean() - 1).data).layers == 1


def test_a_loss_of_many_numbers() -> None:
    with pytest.raises(UsageError, match=r"the loss must be one number, got a tensor of shape \(\d+, 3, 38, 50\)"):
        encode(CLIP, loss=lambda a, b, _: (a - b).square())


def test_losses_by_name() -> None:
    files = {name: shared(loss=name, steps=40) for name in ("l1", "l2", "l1-ssim")}
    assert len({file.data for file in files.values()}) == 3
    for file in files.values():
        stream = check(file, CLIP)
        assert stream.layers == 2
        assert sum(map(psnr, Video(stream, device="cpu", layers=1), CLIP)) / len(CLIP) < file.psnr


def test_weights(tmp_path: Path) -> None:
    left = torch.zeros_like(CLIP)
    left[..., : CLIP.shape[3] // 2] = 200
    # What helps one half hurts the other: red is too low in the left one, and too high in the right one.
    shift = torch.where(left > 0, 25, -25)
    clip = (CLIP.float().mean((1,), keepdim=True) / 4 + 96 + shift * torch.tensor([1, -1, 1]).view(1, 3, 1, 1)).round()
    clip = clip.clamp(0, 255).to(torch.uint8)
    errors: dict[str, list[float]] = {}
    for name, mask in {"left": left, "right": 200 - left}.items():
        for given in (mask, write_clip(tmp_path / f"{name}.mkv", mask)) if name == "left" else (mask,):
            file = encode(clip, weights=given, crf=60.0, steps=60)
            check(file, clip)
            squares = (Video(read_stream(file.data), device="cpu")[:].float() - clip).square()
            here = [float(squares[part > 0].mean()) for part in (left, 200 - left)]
            assert errors.setdefault(name, here) == here
    assert errors["left"][0] < 0.95 * errors["right"][0]
    assert errors["right"][1] < 0.95 * errors["left"][1]
    with pytest.raises(UsageError, match="all `weights` are zero"):
        encode(CLIP, weights=torch.zeros_like(CLIP))
    with pytest.raises(UsageError, match="a picture is needed for every frame"):
        encode(CLIP, weights=left[:3])


def test_tune() -> None:
    """Fitted for a measure, a network improves it more than if it is fitted for another one."""
    figures: dict[str, dict[str, float]] = {}
    names = {"rgb": "psnr_rgb", "ycc": "psnr_611", "ssim": "ssim"}
    for tune in names:
        video = Video(read_stream(shared(tune=tune, steps=120, crf=45.0).data), device="cpu")
        rows = [measure(picture, original) for picture, original in zip(video, CLIP, strict=True)]
        figures[tune] = {name: sum(row[name] or 0 for row in rows) / len(rows) for name in names.values()}
    for tune, name in names.items():
        assert max(figures, key=lambda other: figures[other][name]) == tune


def test_ladder_of_sizes(tmp_path: Path) -> None:
    sizes = [len(shared(crf=crf).data) for crf in (35.25, 20.0)]  # there are such files
    encoded = encode(CLIP, tmp_path / "{}.sdmn", target_size=sizes)
    assert [file.target_bytes for file in encoded.ladder] == sizes
    for file, size in zip(encoded.ladder, sizes, strict=True):
        assert file.on_size
        assert 0.98 * size <= len(file.data) <= size
        assert (tmp_path / f"{size}.sdmn").read_bytes() == file.data
        check(file, CLIP)
    assert encoded.data == encoded.ladder[0].data


def test_bitrate() -> None:
    size = len(shared(crf=35.5).data)
    encoded = encode(CLIP, bitrate=8 * size / (len(CLIP) / 25))
    assert encoded.target_bytes == size
    assert encoded.on_size
    assert encoded.ladder == ()


def test_target_psnr() -> None:
    target = shared(crf=35.0).psnr - 0.3
    encoded = encode(CLIP, target_psnr=target)
    assert target <= encoded.psnr <= target + 0.1
    check(encoded, CLIP)


def test_targets_out_of_reach() -> None:
    """The nearest file on the right side of the target, if there is one."""
    smallest, largest = encode(CLIP, target_size=50), encode(CLIP, target_size=10**6)
    assert (smallest.crf, largest.crf) == (63.0, 0.0)
    assert not smallest.on_size
    assert not largest.on_size
    assert len(largest.data) > 10 * len(smallest.data)


def test_steps_and_reports() -> None:
    reports: list[Progress] = []
    encode(CLIP, steps=37, progress=reports.append)
    av1, fit = ([report for report in reports if report.phase == phase] for phase in ("AV1", "fit"))
    assert [*av1, *fit] == reports
    assert [report.step for report in av1] == list(range(1, len(CLIP) + 1))
    assert {report.steps for report in av1} == {len(CLIP)}
    assert [(report.step, report.steps) for report in fit] == [(20, 37), (37, 37)]
    assert all(20 < report.psnr < 50 and report.loss > 0 for report in fit)


def test_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends a fit that would take its preset's steps, or as many as it likes."""
    now = itertools.count(step=0.5)  # every question takes half a second
    monkeypatch.setattr("nvcodec.encoding.clock.time", types.SimpleNamespace(monotonic=lambda: next(now)))
    try_networks(monkeypatch, 4)
    for options in ({"preset": "draft"}, {"preset": None}):
        reports: list[Progress] = []
        encode(CLIP, steps=None, time_limit=25.0, progress=reports.append, **options)
        assert 1 <= reports[-1].step < CORRECTION_STEPS["draft"]
        assert reports[-1].phase == "fit"


def test_seed_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    try_networks(monkeypatch, 4, 6)
    files = [encode(CLIP, seed=seed, threads=threads).data for seed, threads in ((5, 1), (5, 2), (6, 1))]
    assert files[0] == files[1]
    assert files[0] != files[2]
    assert read_stream(files[0]).video.seed == 5
    assert base_of(files[0]) == base_of(files[2])


def test_the_best_of_several_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a dear byte the smaller one, with a cheap one that which gains most."""
    gains = {4: 1.0, 9: 1.2}
    try_networks(monkeypatch, *gains)
    monkeypatch.setattr("nvcodec.encoding.av1.correction_fit.CorrectionFit.loss_below", lambda _: 1.0)
    monkeypatch.setattr(
        "nvcodec.encoding.av1.correction_fit.CorrectionFit.mean_loss",
        lambda fit: 10 ** (-gains[fit.shape.hidden] / 10),
    )
    for rd_lambda, hidden in ((0.01, 9), (2.0, 4)):
        assert encode(CLIP, rd_lambda=rd_lambda).parameters == CorrectionShape(hidden).parameters


def test_interrupted_in_the_stream(tmp_path: Path) -> None:
    """Nothing is kept of a stream that is not complete."""
    for output in (tmp_path / "out.sdmn", None):
        with pytest.raises(KeyboardInterrupt):
            encode(CLIP, output, progress=InterruptAt(3, phase="AV1"))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt):  # nor of one that no file keeps
        encode(CLIP, progress=InterruptAt(20))
    # The streams before it are kept.
    with pytest.raises(Interrupted):
        encode(CLIP, tmp_path / "out.sdmn", target_size=1000, crf=30.0, progress=InterruptAt(3, fit=1, phase="AV1"))
    assert [path.name for path in tmp_path.iterdir()] == ["out.sdmn.checkpoint"]


def test_interrupted_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream is not made again."""
    expected = shared().data
    out = tmp_path / "out.sdmn"
    checkpoint = tmp_path / "out.sdmn.checkpoint"
    with pytest.raises(Interrupted) as raised:
        encode(CLIP, out, steps=400, progress=InterruptAt(20))
    assert [path.name for path in tmp_path.iterdir()] == [checkpoint.name]
    assert str(checkpoint) in str(raised.value)
    assert raised.value.exit_code == 130
    with pytest.raises(UsageError, match="`resume=True` goes on with it"):
        encode(CLIP, out)
    with pytest.raises(UsageError, match="of another clip or set of options"):
        encode(255 - CLIP, out, resume=True)
    with pytest.raises(UsageError, match="of another clip or set of options"):
        encode(CLIP, out, resume=True, preset="normal")
    monkeypatch.setattr(base_job, "encode_av1", None)
    encoded = encode(CLIP, out, resume=True)
    assert encoded.data == out.read_bytes() == expected
    assert not checkpoint.exists()


def test_resumed_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no checkpoint"):
        encode(CLIP, tmp_path / "out.sdmn", resume=True)


def test_interrupted_and_written(tmp_path: Path) -> None:
    reports: list[Progress] = []
    press = InterruptAt(40)

    def report(progress: Progress) -> None:
        reports.append(progress)
        press(progress)

    out = tmp_path / "out.sdmn"
    encoded = encode(CLIP, out, steps=4000, on_interrupt="write", progress=report)
    assert encoded.interrupted
    assert out.read_bytes() == encoded.data
    assert check(encoded, CLIP).layers == 2
    assert reports[-1].step < 1000
    assert not list(tmp_path.glob("*.checkpoint"))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupted_in_a_later_stream(tmp_path: Path) -> None:
    """The file that there is is written, also for further targets."""
    sizes = [len(shared(crf=crf).data) for crf in (50.0, 20.0)]
    phases: list[str] = []

    def report(progress: Progress) -> None:
        if progress.phase == "AV1" and phases[-1:] == ["fit"]:
            signal.raise_signal(signal.SIGINT)
        phases.append(progress.phase)

    try:
        encoded = encode(CLIP, tmp_path / "{}.sdmn", target_size=sizes, on_interrupt="write", progress=report)
    except KeyboardInterrupt:
        pytest.fail("nothing was written")
    assert encoded.ladder[-1].interrupted
    assert [file.target_bytes for file in encoded.ladder] == sizes
    for file, size in zip(encoded.ladder, sizes, strict=True):
        assert (tmp_path / f"{size}.sdmn").read_bytes() == file.data
        check(file, CLIP)


def test_interrupted_on_the_way_to_a_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """What there is then is written, although it misses."""
    target = len(shared(crf=50.0).data)
    made: list[int] = []
    finished = correction_job.CorrectionJob.finished

    def count(*arguments: Any) -> Any:
        made.append(1)
        return finished(*arguments)

    monkeypatch.setattr(correction_job.CorrectionJob, "finished", count)
    try:
        encoded = encode(CLIP, target_size=target, steps=4000, on_interrupt="write", progress=InterruptAt(20))
    except KeyboardInterrupt:
        pytest.fail("nothing was written")
    assert encoded.interrupted
    assert not encoded.on_size
    assert made == [1]
    check(encoded, CLIP)


def test_frames_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With little memory frames are not kept in it, and the bytes are the same."""
    source = write_clip(tmp_path / "source.mkv", CLIP)
    made: list[int] = []
    stored = stored_frames.StoredFrames.__init__

    def count(self: Any, *arguments: Any) -> None:
        made.append(1)
        stored(self, *arguments)

    monkeypatch.setattr(stored_frames.StoredFrames, "__init__", count)
    encoded = encode(source, max_memory=1)
    assert made == [1]
    assert encode(source).data == encoded.data
    assert made == [1]


@pytest.mark.parametrize(
    "ticks",
    [
        (1001, 30000),  # 29.97 frames per second
        (33366667, 10**9),
        (1, 1000),  # more than SVT-AV1 takes
        (100, 1),
        (1, 100000),
        (0, 1),
    ],
)
def test_any_frame_rate(ticks: tuple[int, int]) -> None:
    duration, units = ticks
    clip = Clip(CLIP[:2], [(index * duration, duration) for index in range(2)], Fraction(1, units))
    stream = read_stream(encode(clip).data)
    assert stream.ticks == clip.ticks
    assert stream.time_base == clip.time_base


@pytest.mark.parametrize(("matrix", "used"), [(1, 1), (9, 9), (2, 6), (0, 6)])
def test_a_source_says_its_matrix(matrix: int, used: int) -> None:
    """The stream is made by the matrix that the source declares, and PICTURE converts by it: strong colours stay."""
    flat = torch.tensor([[230, 20, 20], [20, 230, 20], [20, 20, 230]], dtype=torch.uint8)
    frames = flat.repeat_interleave(16, 0).T[None, :, None].expand(2, 3, 32, 48)
    clip = Clip(frames.contiguous(), [(0, 1), (1, 1)], Fraction(1, 25), Color(9, 16, matrix, 1))
    stream = read_stream(encode(clip, crf=5.0, rd_lambda=20.0).data)
    picture = stream.segments[0].layers[0].ops[0]
    assert isinstance(picture, Picture)
    assert picture.matrix == used
    assert (stream.video.primaries, stream.video.transfer, stream.video.matrix) == (9, 16, matrix)
    differences = (Video(stream, device="cpu")[:].float() - clip.frames).abs()
    for stripe in range(3):  # inside; at their edges colours mix
        assert differences[..., 16 * stripe + 5 : 16 * stripe + 11].max() <= 4
