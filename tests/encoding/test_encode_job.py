"""An encode as a sequence of layers: their order, their time, their networks and their files."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from conftest import moving_squares

import nvcodec
from nvcodec import EncodeConfig, UsageError
from nvcodec.encoding import encode_job
from nvcodec.encoding.assembly import frames_per_checksum
from nvcodec.encoding.clip_header import base_stream
from nvcodec.encoding.encode_job import EncodeJob, output_names
from nvcodec.encoding.fit.fit import Fit
from nvcodec.encoding.fit.losses import SQUARED_ERROR
from nvcodec.encoding.layer_job import LayerJob
from nvcodec.encoding.model.decoder_network import ReferenceLayer
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.encoding.sizing import Sizing
from nvcodec.video.clip import Clip, Color, steady

FRAMES = moving_squares(4, 32, 40)
CLIP = Clip(FRAMES, *steady(4, Fraction(25)))


class Layer:
    """Stands in for a layer's job: its file is its size, and it takes a second."""

    made: list[Layer]
    interrupted_at: int | None
    now: float

    def __init__(
        self,
        task: Any,
        parameters: int | None,
        lower_layers: bytes,
        resume_from: Path | None = None,
        init: object = None,
    ) -> None:
        self.task, self.parameters, self.lower_layers = task, parameters, lower_layers
        self.seconds = 0.0
        self.resume_from, self.init = resume_from, init
        self.interrupted = len(self.made) == self.interrupted_at
        self.made.append(self)

    def run(self) -> list[Any]:
        self.seconds = self.task.clock.left
        Layer.now += 1
        return [types.SimpleNamespace(data=f"{self.parameters}".encode())]


def layers_of(
    monkeypatch: pytest.MonkeyPatch,
    config: EncodeConfig,
    lower_layers: bytes = b"",
    interrupted_at: int | None = None,
    output: Path | None = None,
) -> list[Layer]:
    """The layers that an encode fits."""
    Layer.made, Layer.interrupted_at, Layer.now = [], interrupted_at, 0.0
    monkeypatch.setattr("nvcodec.encoding.clock.time", types.SimpleNamespace(monotonic=lambda: Layer.now))
    monkeypatch.setattr(encode_job, "LayerJob", Layer)
    job = EncodeJob(CLIP, output, config)
    task = job.make_task(CLIP, SQUARED_ERROR, lambda: False)
    job.fit_layers(task, config.layer_sizes, lower_layers, cast(Any, "init"))
    assert [[file.data for file in files] for files in job.files] == [
        [f"{layer.parameters}".encode()] for layer in Layer.made
    ]
    return Layer.made


def test_each_layer_stands_on_the_file_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = layers_of(monkeypatch, EncodeConfig(size="9k,8k,7k"))
    assert [layer.parameters for layer in layers] == [9000, 8000, 7000]
    assert [layer.lower_layers for layer in layers] == [b"", b"9000", b"8000"]
    assert [layer.init for layer in layers] == ["init", None, None]
    assert [layer.seconds for layer in layers] == [math.inf] * 3


def test_layers_are_added_to_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = layers_of(monkeypatch, EncodeConfig(size="9k,8k", onto="below"), lower_layers=b"below")
    assert [layer.lower_layers for layer in layers] == [b"below", b"9000"]
    assert [layer.init for layer in layers] == [None, None]


def test_only_the_first_layer_is_resumed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    output = tmp_path / "out.sdmn"
    layers = layers_of(monkeypatch, EncodeConfig(size="9k,8k", resume=True), output=output)
    assert [layer.resume_from for layer in layers] == [Path(f"{output}.checkpoint"), None]


def test_an_interrupted_layer_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(layers_of(monkeypatch, EncodeConfig(size="9k,8k,7k"), interrupted_at=1)) == 2


@pytest.mark.parametrize(
    ("options", "shares"),
    [
        ({"size": "5k,3k,2k"}, [50.0, 0.6 * 99, 98.0]),  # by size, of what is left
        ({"size": "5k,5k", "joint": True}, [0.5 * 75, 74.0]),  # a quarter is kept for all layers together
        ({"size": "5k"}, [100.0]),
        ({"target_psnr": 30.0}, [100.0]),
    ],
)
def test_layers_share_the_time(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], shares: list[float]) -> None:
    """By their sizes; each layer here takes a second, and what it leaves goes to the others."""
    layers = layers_of(monkeypatch, EncodeConfig(time_limit=100.0, **options))
    assert [layer.seconds for layer in layers] == pytest.approx(shares)


def layer_job(config: EncodeConfig, parameters: int | None, lower_layers: bytes = b"") -> LayerJob:
    task = EncodeJob(CLIP, None, config).make_task(CLIP, SQUARED_ERROR, lambda: False)
    return LayerJob(task, parameters, lower_layers)


def test_a_layers_task() -> None:
    job = layer_job(EncodeConfig(size="8k", steps=9, seed=3, block="rep", rd_lambda=2.0), 8000)
    assert dataclasses.replace(job.options, bfloat16=False) == dataclasses.replace(
        job.task.options, seconds=None, steps=9, seed=3, rep=True, rd_lambda=2.0, batch=1, bfloat16=False
    )
    assert job.task.still  # the shading moves slowly
    noise = torch.randint(0, 256, (9, 3, 32, 40), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    clip = Clip(noise, *steady(9, Fraction(25)))
    task = EncodeJob(clip, None, EncodeConfig(size="8k")).make_task(clip, SQUARED_ERROR, lambda: False)
    assert not task.still


def test_one_network_serves_all_sizes_of_a_ladder() -> None:
    """That of their geometric mean."""
    asked: list[int] = []
    sizing = cast(Sizing, types.SimpleNamespace(for_bytes=lambda file_bytes: asked.append(file_bytes) or 5))
    assert layer_job(EncodeConfig(base="none", target_size=[4000, 9000, 5000]), None).choose_parameters(sizing) == 5
    layer_job(EncodeConfig(base="none", target_size=4000), None).choose_parameters(sizing)
    layer_job(EncodeConfig(base="none", bitrate=400_000.0), None).choose_parameters(sizing)
    assert asked == [6000, 4000, 8000]


@pytest.mark.parametrize(("options", "steps"), [({}, 700), ({"steps": 50}, 50), ({"time_limit": 9.0}, 700)])
def test_the_size_for_a_quality_is_that_of_a_fit_of_ordinary_length(options: dict[str, Any], steps: int) -> None:
    asked: list[Any] = []
    sizing = cast(Sizing, types.SimpleNamespace(for_psnr=lambda *arguments: asked.append(arguments) or 5))
    assert layer_job(EncodeConfig(base="none", target_psnr=30.0, **options), None).choose_parameters(sizing) == 5
    assert asked[0][0] == 30.0
    assert asked[0][2].steps == steps


class Ladder(LayerJob):
    """Records the state of the fit from which each file is made, and moves it on."""

    states: list[tuple[int, bytes]]

    def make_file(self, target: int | None, checkpointer: Any, shared: Any = None) -> Any:
        weights = torch.cat([parameter.detach().flatten() for parameter in self.fit.network.parameters()])
        self.states.append((self.fit.budget.step, weights.numpy().tobytes()))
        self.fit.advance()
        return target


def test_the_files_of_a_ladder_begin_with_the_same_fit() -> None:
    config = EncodeConfig(base="none", target_size=[4000, 5000, 6000], steps=20)
    task = EncodeJob(CLIP, None, config).make_task(CLIP, SQUARED_ERROR, lambda: False)
    job = Ladder(task, 8000, b"", None)
    job.fit, job.states = Fit(FRAMES, solve(8000, 40, 32, 4), job.options, torch.device("cpu")), []
    job.fit.advance()
    assert job.make_ladder(None) == [4000, 5000, 6000]
    assert len(set(job.states)) == 1
    assert job.states[0][0] == 1


def test_an_enhancement_layer_has_no_invertible_connection() -> None:
    features = torch.zeros(4, 6, 16, 20, dtype=torch.int16)
    reference = ReferenceLayer(FRAMES, features, 4, 0, 0, 1, bits=3000.0)
    config = EncodeConfig(size="20k", skip="invertible", z_gain=1.0)
    base, above = layer_job(config, 20_000).choose_network(None), layer_job(config, 20_000).choose_network(reference)
    assert base.skip is not None and base.skip.invertible and base.reference_channels == 0
    assert above.skip is not None and not above.skip.invertible and above.reference_channels == 6


def test_names_of_several_outputs() -> None:
    assert output_names("out.sdmn", []) == ["out.sdmn"]
    assert output_names("out-{}.sdmn", [9]) == ["out-{}.sdmn"]
    assert output_names("out-{}.sdmn", [9, 7]) == ["out-9.sdmn", "out-7.sdmn"]
    for output, sizes in (("out.sdmn", [9, 7]), ("out-{}.sdmn", [9, 9])):
        with pytest.raises(UsageError, match="several sizes make several files"):
            output_names(output, sizes)


def test_the_source_is_not_overwritten(tmp_path: Path) -> None:
    source = tmp_path / "source.mkv"
    source.write_bytes(b"something")
    with pytest.raises(UsageError, match="is the source"):
        nvcodec.encode(source, source, size="8k", overwrite=True, device="cpu")
    assert source.read_bytes() == b"something"


def header(
    ticks: Sequence[tuple[int, int]],
    time_base: Fraction = Fraction(1, 90),
    aspect: Fraction = Fraction(1),
    seed: int = 5,
) -> Any:
    clip = Clip(FRAMES[: len(ticks)], list(ticks), time_base, Color(9, 16, 8, 2), aspect)
    return base_stream(clip, cast(Any, None), seed)


def test_what_a_stream_says_of_its_clip() -> None:
    stream = header([(-7, 3), (-4, 3), (-1, 3)], aspect=Fraction(4, 3))
    head, video = stream.segments[0].head, stream.video
    assert (head.first_frame, head.frames, head.width, head.height) == (0, 3, 40, 32)
    assert (head.first_pts, head.constant_duration) == (-7, 3)
    assert (video.primaries, video.transfer, video.matrix, video.color_range) == (9, 16, 8, 2)
    assert (video.sample_aspect_num, video.sample_aspect_den) == (4, 3)
    assert (video.time_base_num, video.time_base_den, video.seed) == (1, 90, 5)
    assert header([(0, 1)], seed=2**32 + 6).video.seed == 6


def test_durations_that_differ_are_stored() -> None:
    stream = header([(0, 3), (3, 4), (7, 3)])
    assert stream.segments[0].head.constant_duration == 0
    assert np.array_equal(stream.segments[0].durations, [3, 4, 3])
    assert header([(0, 2**32)] * 2).segments[0].head.constant_duration == 0
    assert header([(0, 2**32 - 1)] * 2).segments[0].head.constant_duration == 2**32 - 1


@pytest.mark.parametrize(
    ("aspect", "stored"),
    [
        (Fraction(100_001, 100_000), Fraction(1)),  # the nearest with terms of 16 bits
        (Fraction(70_000, 3), Fraction(1)),  # none is near
        (Fraction(1, 70_000), Fraction(1, 65_535)),
        (Fraction(65_535, 2), Fraction(65_535, 2)),
    ],
)
def test_a_sample_aspect_has_terms_of_16_bits(aspect: Fraction, stored: Fraction) -> None:
    video = header([(0, 1)], aspect=aspect).video
    assert Fraction(video.sample_aspect_num, video.sample_aspect_den) == stored


@pytest.mark.parametrize(
    ("frames", "parameters", "group"),
    [
        (10, 80_000, 1),
        (10, 79_999, 2),
        (10, 40_000, 2),
        (10, 39_999, 4),
        (10, 100, 10),
        (1, 100, 1),
        (600, 300_000, 32),
    ],
)
def test_checksums_are_a_small_share_of_the_file(frames: int, parameters: int, group: int) -> None:
    """One per 8000 parameters at most."""
    assert frames_per_checksum(frames, parameters) == group
