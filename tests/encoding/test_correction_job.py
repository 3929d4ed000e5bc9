"""The choice among networks above an AV1 stream, what a file says of itself, and the way to a target."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import time
import types
from fractions import Fraction
from typing import Any

import pytest
import torch
from corrections import (
    BORDER,
    CLIP,
    CPU,
    HEIGHT,
    SHAPE,
    WIDTH,
    options,
)

from nvcodec import __version__
from nvcodec.decoding.decoded_video import Video
from nvcodec.encoding.av1 import base_job, correction_job
from nvcodec.encoding.av1.base_job import CROPS_PER_STEP, BaseJob, said_of_itself
from nvcodec.encoding.av1.correction_fit import CorrectionFit
from nvcodec.encoding.av1.correction_job import (
    MAX_HIDDEN,
    MIN_HIDDEN,
    CorrectionJob,
    CorrectionTask,
    frames_per_checksum,
    gain_db,
    runs_of,
    shape_of_size,
)
from nvcodec.encoding.av1.correction_loss import (
    balanced_loss,
    planes_loss,
    rgb_loss,
    ssim_loss,
)
from nvcodec.encoding.av1.correction_network import CorrectionShape
from nvcodec.encoding.av1.svt_encoder import BaseSettings, TemporalUnit, encode_av1
from nvcodec.encoding.clock import Clock
from nvcodec.encoding.encode_config import AV1_LAMBDA_DB, CORRECTION_STEPS, EncodeConfig
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.verification import decode_and_measure
from nvcodec.errors import CorruptStreamError, UsageError
from nvcodec.format.operations import Picture
from nvcodec.format.stream import Stream
from nvcodec.format.stream_reader import read_stream
from nvcodec.metrics import psnr
from nvcodec.video.clip import Clip, steady

pytestmark = pytest.mark.usefixtures("sixty_crops")


def test_frames_per_checksum() -> None:
    assert frames_per_checksum(100, 10**9) == 1
    assert frames_per_checksum(100, 100 * 8000) == 1
    assert frames_per_checksum(100, 100 * 8000 - 1) == 2
    assert frames_per_checksum(100, 25 * 8000) == 4
    assert frames_per_checksum(100, 25 * 8000 - 1) == 8
    assert frames_per_checksum(100, 1) == 100
    assert frames_per_checksum(1, 1) == 1
    for frames, size in itertools.product((1, 2, 3, 7, 64, 65, 1000), (500, 8000, 30_000, 10**6)):
        group = frames_per_checksum(frames, size)
        assert 1 <= group <= frames
        bytes_of = 4 * -(-frames // group)
        assert bytes_of == 4 or bytes_of <= size / 2000


def test_shape_of_size() -> None:
    least, most = (CorrectionShape(hidden).parameters for hidden in (MIN_HIDDEN, MAX_HIDDEN))
    for parameters in (least, least + 1, (least + most) // 2, most):
        shape = shape_of_size(parameters)
        assert shape.parameters <= parameters < CorrectionShape(shape.hidden + 1).parameters
    for parameters in (0, least - 1, most + 1, 10**7):
        with pytest.raises(UsageError, match=f"has {least} to {most} parameters, `size` asks for {parameters}"):
            shape_of_size(parameters)


def test_gains() -> None:
    assert gain_db(1.0, 0.5) == pytest.approx(3.0103)
    assert gain_db(0.5, 1.0) == pytest.approx(-3.0103)
    assert gain_db(1.0, 0.0) == 90
    assert gain_db(0.0, 0.0) == gain_db(-1.0, -1.0) == gain_db(-1.0, 0.0) == -math.inf
    assert gain_db(-1.0, -2.0) == math.inf


def test_runs_are_cut_at_key_frames() -> None:
    units = encode_av1(CLIP, BaseSettings(50.0, 8, Fraction(2, 5)))  # a key frame every second frame
    assert [unit.key for unit in units] == [True, False, True]
    picture = Picture(HEIGHT, WIDTH, 10, 1, 0, 6, 0, 0)
    runs = runs_of(units, picture)
    assert [(run.first, run.frames) for run in runs] == [(0, 2), (2, 1)]
    assert runs[0].data == units[0].data + units[1].data
    assert [bytes(unit) for run in runs for unit in run.temporal_units] == [unit.data for unit in units]
    assert runs[0].sequence_header == runs[1].sequence_header
    with pytest.raises(CorruptStreamError, match="the AV1 stream's frames 0 to 1"):
        runs_of(units, dataclasses.replace(picture, width=WIDTH + 1))


def task_of(clip: torch.Tensor, **changes: Any) -> CorrectionTask:
    given: dict[str, Any] = {
        "clip": Clip(clip, *steady(len(clip), Fraction(25))),
        "weights": None,
        "loss": planes_loss,
        "picture": Picture(HEIGHT, WIDTH, 10, 1, 0, 6, 0, 0),
        "shapes": [lambda size: [SHAPE]],
        "fixed_size": False,
        "options": options(),
        "device": CPU,
        "threads": 1,
        "clock": Clock(),
        "on_progress": None,
        "should_stop": lambda: False,
    }
    return CorrectionTask(**{**given, **changes})


def test_margin_is_what_all_layers_see() -> None:
    for layers in range(3):
        job = CorrectionJob(task_of(CLIP, shapes=[lambda size: [SHAPE]] * layers))
        assert job.margin == layers * BORDER
        assert job.size == (HEIGHT, WIDTH)


def test_the_stream_alone(units: list[TemporalUnit]) -> None:
    job = CorrectionJob(task_of(CLIP, shapes=[]))
    stream = job.stream_of(units)
    assert stream.layers == 1
    quality = job.base_psnr(units)
    assert quality == pytest.approx(sum(map(psnr, Video(stream, device="cpu"), CLIP)) / 3)
    [file] = job.files(units, lambda layers, quality_of, size: {"layers": layers, "quality": quality_of(0)})
    assert read_stream(file.data).metadata == {"layers": 1, "quality": quality}
    assert file.psnr == quality
    assert file.parameters == 0


def test_the_stream_is_measured_only_where_that_is_said(
    units: list[TemporalUnit], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures of the stream alone are decoded only if the file says how good they are."""
    decoded: list[int] = []

    def measured(stream: Stream, clip: Clip, device: torch.device) -> Any:
        decoded.append(stream.layers)
        return decode_and_measure(stream, clip, device)

    monkeypatch.setattr(correction_job, "decode_and_measure", measured)
    task = task_of(CLIP, fixed_size=True, options=options(steps=1))
    [file] = CorrectionJob(task).files(units, lambda layers, quality_of, size: {"layers": layers})
    assert decoded == [2]
    [file] = CorrectionJob(task).files(units, lambda layers, quality_of, size: {"quality": quality_of(0)})
    assert decoded == [2, 2, 1]
    assert read_stream(file.data).metadata == {"quality": CorrectionJob(task).base_psnr(units)}


def test_time_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the seconds that are left, fits that run one after the other get their parts, decoding is left out."""
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    for threads, fits, seconds, expected in (
        (1, 1, 100.0, 80.0),
        (1, 2, 100.0, 40.0),
        (2, 2, 100.0, 80.0),
        (7, 2, 100.0, 80.0),
        (2, 3, 100.0, 40.0),
        (1, 2, 21.0, 1.0),
    ):
        job = CorrectionJob(task_of(CLIP, threads=threads, clock=Clock(seconds)))
        assert job.options(fits, 20.0) == options(seconds=expected)
    assert CorrectionJob(task_of(CLIP)).options(2, 0.0) == options()


def test_only_the_first_file_is_refused(units: list[TemporalUnit], monkeypatch: pytest.MonkeyPatch) -> None:
    """For lack of time to decode it: later ones would take it with them."""
    now = itertools.count(step=0.5)
    monkeypatch.setattr("nvcodec.encoding.clock.time", types.SimpleNamespace(monotonic=lambda: next(now)))
    job = CorrectionJob(task_of(CLIP, clock=Clock(2.0), options=options(steps=2)))
    with pytest.raises(UsageError, match="`time_limit` is too short: decoding and writing the pictures take about"):
        job.files(units, lambda layers, quality_of, size: {})
    job.made = 1
    assert len(job.files(units, lambda layers, quality_of, size: {})) == 1
    assert job.made == 2


def test_candidates() -> None:
    """More channels for more bytes; a draft tries fewer."""
    sizes = [limit - 1 for limit, _ in base_job.CANDIDATES]
    tried = [[shape.hidden for shape in base_job.candidates("normal", size)] for size in sizes]
    assert tried == [list(hidden) for _, hidden in base_job.CANDIDATES]
    for before, after in itertools.pairwise(tried):
        assert sum(before) < sum(after)
    assert base_job.candidates("normal", sizes[0] + 1) == base_job.candidates("normal", sizes[1])
    for size, whole in zip(sizes, tried, strict=True):
        assert [shape.hidden for shape in base_job.candidates("draft", size)] == whole[: base_job.DRAFT_CANDIDATES]
    sized = base_job._shapes(EncodeConfig(size=f"{SHAPE.parameters},{CorrectionShape(9).parameters}", base="av1"))
    assert [[shape.hidden for shape in shapes(size)] for shapes in sized for size in (0, 10**9)] == [[6], [6], [9], [9]]
    [shapes] = base_job._shapes(EncodeConfig(preset="draft"))
    assert shapes(sizes[1]) == base_job.candidates("draft", sizes[1])


def test_a_size_that_was_asked_for_stays(units: list[TemporalUnit], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it brings; one that was not asked for has to pay."""
    monkeypatch.setattr(CorrectionFit, "mean_loss", lambda _: 2.0)
    for fixed, layers in ((True, 2), (False, 1)):
        task = task_of(CLIP, fixed_size=fixed, options=options(steps=1))
        [file] = CorrectionJob(task).files(units, lambda layers, quality_of, size: {})
        assert read_stream(file.data).layers == layers


def test_options_of_a_fit() -> None:
    def options_of(**given: Any) -> FitOptions:
        return base_job._options(EncodeConfig(**given))

    assert options_of().steps == CORRECTION_STEPS["normal"]
    assert options_of(preset="fine").steps == CORRECTION_STEPS["fine"]
    assert options_of(preset="fine", steps=7).steps == 7
    assert options_of(time_limit=9.0).steps is None
    assert options_of(time_limit=9.0, preset="draft").steps == CORRECTION_STEPS["draft"]
    assert options_of(time_limit=9.0, steps=3).steps == 3
    assert options_of(seed=5).seed == 5
    assert options_of().rd_lambda == AV1_LAMBDA_DB
    assert options_of(rd_lambda=0.0).rd_lambda == 0
    assert options_of().batch == CROPS_PER_STEP


def test_losses_by_option() -> None:
    assert base_job._loss(EncodeConfig()) is balanced_loss
    assert base_job._loss(EncodeConfig(tune="rgb")) is rgb_loss
    assert base_job._loss(EncodeConfig(tune="ssim")) is ssim_loss


def said(settings: BaseSettings | None, qualities: list[float], most_bytes: int) -> dict[str, Any]:
    return said_of_itself(settings, len(qualities), qualities.__getitem__, most_bytes)


def test_said_of_itself() -> None:
    settings = BaseSettings(35.0, 4, Fraction(25))
    assert said(settings, [31.234, 32.567], 10**6) == {
        "av1": [35, 4],
        "psnr_rgb_1": 32.57,
        "psnr_rgb_0": 31.23,
        "encoder": f"nvcodec {__version__}",
    }
    assert json.dumps(said(settings, [31.2], 0)) == '{"av1": [35, 4]}'
    assert said(dataclasses.replace(settings, crf=35.25), [31.2], 0) == {"av1": [35.25, 4]}
    assert list(said(None, [31.2, 32.5], 10**6)) == ["psnr_rgb_1", "psnr_rgb_0", "encoder"]
    lengths = set()
    for crf, most in itertools.product((0.0, 35.0, 62.75), range(200)):
        found = said(dataclasses.replace(settings, crf=crf), [31.234, 32.567], most)
        size = len(json.dumps(found, separators=(",", ":")))
        assert size <= max(most, base_job.MIN_METADATA)
        assert "av1" in found
        lengths.add(len(found))
    assert lengths == {1, 2, 3, 4}


def test_only_a_quality_that_may_fit_is_measured() -> None:
    settings, asked = BaseSettings(35.0, 4, Fraction(25)), []

    def quality_of(layer: int) -> float:
        asked.append(layer)
        return 31.234

    with_both = len('{"av1":[35,4],"psnr_rgb_1":31.23,"psnr_rgb_0":31.23}')
    least = with_both - len("31.23") + len("0.0")  # for which the lower layer has to be measured
    for most, measured, names in (
        (least - 1, [1], ["av1", "psnr_rgb_1"]),
        (least, [1, 0], ["av1", "psnr_rgb_1"]),
        (with_both, [1, 0], ["av1", "psnr_rgb_1", "psnr_rgb_0"]),
    ):
        asked.clear()
        assert list(said_of_itself(settings, 2, quality_of, most)) == names
        assert asked == measured


class FakeJob(BaseJob):
    """A job whose files are known: base bytes and PSNR fall with the rate factor, networks add what is said."""

    def __init__(self, config: EncodeConfig, above: int = 900, gain: float = 0.7) -> None:
        self.config, self.above, self.gain = config, above, gain
        self.made: list[float] = []
        self.last = None
        self.task = task_of(CLIP)

    def base_bytes(self, crf: float) -> int:
        return round(100_000 * 2 ** (-crf / 10))

    def base_psnr(self, crf: float) -> float:
        return 50 - 0.3 * crf

    def stream(self, crf: float) -> Any:
        return crf, None

    def files(self, units: Any, settings: Any) -> Any:
        crf = units
        self.made.append(crf)
        data = bytes(self.base_bytes(crf) + self.above)
        self.task.clock.seconds["fitting"] = 0.0
        encoded = correction_job.Encoded(data, 0, 1, 1, 1, self.base_psnr(crf) + self.gain, {}, crf=crf)
        return [encoded]


@pytest.mark.parametrize("target", [3000, 9000, 60_000])
def test_the_way_to_a_size(target: int) -> None:
    """What networks added to the first file tells how large the second may be."""
    job = FakeJob(EncodeConfig(target_size=target))
    file = job.to_size(target)
    assert file.target_bytes == target
    assert 0.98 * target <= len(file.data) <= target
    assert len(job.made) <= 2
    assert len(set(job.made)) == len(job.made)


def test_the_best_of_all_files() -> None:
    """Where none meets its target, it is not the last one that counts."""
    sizes = iter([4100, 3900, 4200, 3700, 4000])

    class Erratic(FakeJob):
        def files(self, units: Any, settings: Any) -> Any:
            self.above = next(sizes) - self.base_bytes(units)
            return super().files(units, settings)

    job = Erratic(EncodeConfig())
    assert len(job.to_size(4000).data) == 3900
    assert len(job.made) == base_job.MAX_FILES


def test_no_other_file_after_an_interruption() -> None:
    class Interrupted(FakeJob):
        def files(self, units: Any, settings: Any) -> Any:
            return [dataclasses.replace(file, interrupted=True) for file in super().files(units, settings)]

    job = Interrupted(EncodeConfig())
    assert not job.to_size(4000).on_size
    assert len(job.made) == 1


def test_a_size_between_two_steps() -> None:
    """Bytes jump from far above to far below: the file is the one that is not too large."""
    job = FakeJob(EncodeConfig())
    job.base_bytes = lambda crf: 5000 if crf < 31.5 else 2000  # type: ignore[method-assign]
    file = job.to_size(4000)
    assert len(file.data) == 2900
    assert not file.on_size


@pytest.mark.parametrize("target", [33.0, 40.0, 49.0])
def test_the_way_to_a_quality(target: float) -> None:
    job = FakeJob(EncodeConfig(target_psnr=target))
    file = job.to_quality(target)
    assert target <= file.psnr <= target + 0.1
    assert len(job.made) <= 2


def test_a_quality_between_two_steps() -> None:
    job = FakeJob(EncodeConfig())
    job.base_psnr = lambda crf: 40.0 if crf < 31.5 else 30.0  # type: ignore[method-assign]
    assert job.to_quality(35.0).psnr == 40.7


class TimedJob(FakeJob):
    """A stream takes 10 s, a file 5 s and what its share of the time leaves for fits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        super().__init__(EncodeConfig(time_limit=seconds), above=2000)
        self.now = 0.0
        monkeypatch.setattr("nvcodec.encoding.clock.time", types.SimpleNamespace(monotonic=lambda: self.now))
        self.task = task_of(CLIP, clock=Clock(seconds))
        self.streams: set[float] = set()

    def base_bytes(self, crf: float) -> int:
        if crf not in self.streams:
            self.streams.add(crf)
            self.now += 10
        return super().base_bytes(crf)

    def files(self, units: Any, settings: Any) -> Any:
        clock = self.task.clock
        made = super().files(units, settings)
        with clock.phase("verifying"):
            self.now += 5
        with clock.phase("fitting"):
            self.now += max(1.0, clock.left)
        return made


@pytest.mark.parametrize(
    ("seconds", "streams", "files", "meets"),
    [(1000.0, 3, 2, True), (60.0, 3, 2, True), (40.0, 1, 1, False), (12.0, 1, 1, False)],
)
def test_the_way_to_a_size_in_so_many_seconds(
    monkeypatch: pytest.MonkeyPatch, seconds: float, streams: int, files: int, meets: bool
) -> None:
    """Streams and files are begun only if there is time for them; one of each is made anyway."""
    job = TimedJob(monkeypatch, seconds)
    file = job.to_size(9000)
    assert (len(job.streams), len(job.made), file.on_size) == (streams, files, meets)
    assert job.now <= max(seconds, 16.0)


def test_sizes_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    job = TimedJob(monkeypatch, 200.0)
    ended = []

    def to_size(target: int) -> Any:
        ended.append(job.task.clock.left)
        job.now += 20
        return target

    monkeypatch.setattr(job, "to_size", to_size)
    job.config = EncodeConfig(target_size=[1, 2, 3], base="av1")
    job.given = None
    assert job.run() == [[1, 2, 3]]
    assert ended == pytest.approx([200 / 3, 180 / 2, 160])
