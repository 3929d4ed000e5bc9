"""The options of an encode: what is refused, in which words, and what follows from them."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import moving_squares, write_clip

from nvcodec import EncodeConfig, UsageError
from nvcodec.cli.main import run as command

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"size": None, "base": "none"}, "give one of `size`, `target_size`, `bitrate` and `target_psnr`"),
    *[
        ({"size": None, **two}, "three ways to end; give one of them")
        for two in (
            {"target_size": 9, "bitrate": 9.0},
            {"target_size": 9, "target_psnr": 9.0},
            {"bitrate": 9.0, "target_psnr": 9.0},
        )
    ],
    *[({"target_size": bad}, "`target_size` takes bytes, at least 1, got") for bad in (0, -1, [], [9, 0], 2**40)],
    *[({"bitrate": bad}, "`bitrate` must be positive, got") for bad in (0.0, -1.0, math.inf, math.nan)],
    *[({"target_psnr": bad}, "`target_psnr` takes dB between 0 and 100") for bad in (0.0, -1.0, 100.0, math.nan)],
    *[
        ({"size": "8k,8k", "base": base, **target}, "layers are made by `size` alone, without a target")
        for base in ("none", "av1")
        for target in ({"target_size": 9}, {"bitrate": 9.0}, {"target_psnr": 9.0})
    ],
    ({"onto": "below.sdmn", "target_psnr": 9.0}, "layers are made by `size` alone"),
    ({"onto": "below.sdmn", "size": None, "base": "none", "target_psnr": 9.0}, "layers are made by `size` alone"),
    (
        {"size": None, "onto": "below.sdmn"},
        '`onto` means nothing with an AV1 stream; `base="none"` makes a network alone',
    ),
    *[
        ({"size": None, name: value}, f"`{name}` means nothing with an AV1 stream")
        for name, value in (
            ("epochs", 9.0),
            ("skip", "none"),
            ("block", "rep"),
            ("z_gain", 1.0),
            ("grids", 0.5),
            ("init", "x"),
        )
    ],
    ({"crf": 30.0}, '`crf` means nothing without an AV1 stream; `base="av1"` makes one'),
    ({"tune": "rgb"}, "`tune` means nothing without an AV1 stream"),
    *[
        ({"size": None, "crf": bad}, "`crf` takes 0 to 63 in steps of 0.25, got")
        for bad in (-1.0, 63.25, 30.1, math.nan)
    ],
    ({"size": None, "tune": "vmaf"}, "`tune` is one of ycc, rgb, ssim; got 'vmaf'"),
    ({"base": "some.mp4", "crf": 30.0}, "the AV1 stream of a file is kept as it is; leave out `crf` and targets"),
    ({"base": "some.mp4", "target_psnr": 30.0}, "the AV1 stream of a file is kept as it is"),
    ({"size": "8k,x"}, "`size` takes a number of parameters such as 300k or 0.75M, got 'x'"),
    *[
        (two, "`preset`, `epochs` and `steps` say the same thing")
        for two in ({"preset": "draft", "steps": 9}, {"preset": "draft", "epochs": 9}, {"epochs": 9, "steps": 9})
    ],
    *[
        ({name: bad}, f"`{name}` must be positive, got")
        for name in ("epochs", "steps", "time_limit", "fps")
        for bad in (0, -1, math.inf, math.nan)
    ],
    ({"preset": "fast"}, "`preset` is one of draft, normal, fine, finest; got 'fast'"),
    *[({"rd_lambda": bad}, "`rd_lambda` takes dB from 0 to 20, got") for bad in (-0.1, 20.1, math.nan)],
    *[
        ({name: "?"}, f"`{name}` is one of {choices}; got '\\?'")
        for name, choices in (
            ("on_interrupt", "checkpoint, write"),
            ("skip", "invertible, direct, none"),
            ("block", "rep, plain"),
            ("loss", "l2, l1, l1-ssim"),
        )
    ],
    *[({"z_gain": bad}, "`z_gain` takes a number from 0 to 16, got") for bad in (-0.1, 16.1, math.nan)],
    *[({"grids": bad}, "`grids` takes a share from 0 to 1, got") for bad in (-0.1, 1.1, math.nan)],
    ({"joint": True}, "`joint` goes with several sizes in `size`, and not with `onto` or `resume`"),
    ({"joint": True, "size": "8k,8k", "onto": "below.sdmn"}, "`joint` goes with several sizes"),
    ({"joint": True, "size": "8k,8k", "resume": True}, "`joint` goes with several sizes"),
    ({"weights": "masks", "loss": lambda a, b, frames: (a - b).mean()}, "`weights` go with a loss that has a name"),
    ({"onto": "below.sdmn", "init": "other.sdmn"}, "`init` starts a base layer; `onto` adds layers"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        EncodeConfig(**{"size": "8k", **options})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"crf": 0.0},
        {"crf": 62.75, "tune": "rgb", "size": "2k,3k", "base": "av1"},
        {"base": "some.mp4", "size": "2k"},
        {"target_size": 1},
        {"target_size": [9, 2**40 - 1]},
        {"bitrate": 0.1},
        {"target_psnr": 99.9},
        {"size": "8k", "target_size": 9},
        {"size": "8k,8k", "joint": True},
        {"size": "8k", "onto": "below.sdmn"},
        {"size": "8k", "init": "other.sdmn", "weights": "masks"},
        {"size": 8000, "rd_lambda": 0, "z_gain": 0, "grids": 0},
        {"size": 8000, "rd_lambda": 20, "z_gain": 16, "grids": 1},
        {"size": 8000, "steps": 9, "time_limit": 9.0},
    ],
)
def test_accepted(options: dict[str, Any]) -> None:
    EncodeConfig(**options)


@pytest.mark.parametrize(
    ("options", "frames", "steps"),
    [
        ({}, 10, 1750),  # short clips are seen 175 times,
        ({}, 16, 2800),
        ({}, 50, 2800),  # up to 2800 steps,
        ({}, 100, 2800),
        ({}, 132, 3696),  # long ones 28 times
        ({"preset": "draft"}, 100, 700),
        ({"preset": "normal"}, 100, 2800),
        ({"preset": "fine"}, 100, 11_200),
        ({"preset": "finest"}, 100, 44_800),
        ({"epochs": 2.5}, 100, 250),
        ({"epochs": 0.001}, 100, 1),
        ({"steps": 7}, 100, 7),
        ({"time_limit": 60.0}, 100, None),
        ({"time_limit": 60.0, "preset": "draft"}, 100, 700),
        ({"time_limit": 60.0, "steps": 7}, 100, 7),
        ({"target_psnr": 30.0}, 100, 44_800),  # as long as the longest preset
        ({"target_psnr": 30.0, "preset": "draft"}, 100, 700),
        ({"target_psnr": 30.0, "time_limit": 60.0}, 100, None),
    ],
)
def test_training_steps(options: dict[str, Any], frames: int, steps: int | None) -> None:
    assert EncodeConfig(**{"size": "8k", **options}).training_steps(frames) == steps


def test_sizes_of_files() -> None:
    assert EncodeConfig(bitrate=250_000.0).file_sizes(4.0) == [125_000]
    assert EncodeConfig(bitrate=1.0).file_sizes(0.1) == [1]
    assert EncodeConfig(target_size=900).file_sizes(4.0) == [900]
    assert EncodeConfig(target_size=[900, 700]).file_sizes(4.0) == [900, 700]
    assert EncodeConfig(size="8k").file_sizes(4.0) == []


def test_sizes_of_layers() -> None:
    assert EncodeConfig(size="3M, 0.5M,120k,7").layer_sizes == (3_000_000, 500_000, 120_000, 7)
    assert EncodeConfig(size=8000).layer_sizes == (8000,)
    assert EncodeConfig(target_psnr=30.0).layer_sizes == (None,)


def test_the_frame_rate_fits_into_a_file() -> None:
    assert EncodeConfig(size=8, fps=Fraction(30000, 1001)).frame_rate == Fraction(30000, 1001)
    assert EncodeConfig(size=8, fps=29.97).frame_rate == Fraction(2997, 100)
    assert EncodeConfig(size=8).frame_rate is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "8k", "--lambda", "30"], "--lambda takes dB from 0 to 20, got 30.0"),
        (["--size", "x"], "--size takes a number of parameters"),
        (["--base", "none"], "give one of --size, --target-size, --bitrate and --target-psnr"),
        (["--size", "8k", "--crf", "30"], "--crf means nothing without an AV1 stream; --base av1 makes one"),
        (["--bitrate", "9k", "--target-psnr", "9"], "--target-size, --bitrate and --target-psnr are three ways to end"),
        (["--size", "8k", "--steps", "9", "--epochs", "9"], "--preset, --epochs and --steps say the same thing"),
        (["--size", "8k", "--z-gain", "17"], "--z-gain takes a number from 0 to 16, got 17.0"),
        (
            ["--size", "8k", "--joint"],
            "--joint goes with several sizes in --size, and not with --add-layer or --resume",
        ),
        (["--add-layer", "8k", "BELOW", "--init", "BELOW"], "--init starts a base layer; --add-layer adds layers"),
        (["--add-layer", "8k", "BELOW", "--size", "8k"], "--add-layer says the size of the layer; leave --size out"),
        (["--size", "8k", "-o", "BELOW"], "BELOW exists; -y replaces it"),
        (["--size", "8k", "-o", "-", "--resume"], "--resume needs an output that is a file"),
        (["--size", "8k", "-o", "SOURCE", "-y"], "SOURCE is the source; give the output another name"),
        (
            ["--size", "8k", "-o", "OLD"],
            "OLD.checkpoint is of an interrupted encode; --resume goes on with it, -y starts",
        ),
        (["--size", "40M"], "--size may be at most 33554432, got 40000000"),
        (["--size", "8k", "--weights", "ONE"], "--weights gives 1 frames of 40x32, the source 2 frames of 40x32"),
    ],
)
def test_the_command_line_speaks_of_flags(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    clip = moving_squares(2, 32, 40)
    names = {name: str(tmp_path / name) for name in ("BELOW", "OLD", "OLD.checkpoint", "OUT")}
    names["SOURCE"] = str(write_clip(tmp_path / "source.mkv", clip))
    names["ONE"] = str(write_clip(tmp_path / "one.mkv", torch.cat([clip[:1]])))
    for name in ("BELOW", "OLD.checkpoint"):
        Path(names[name]).write_bytes(b"something")
    output = [] if "-o" in arguments else ["-o", names["OUT"]]
    line = [names.get(argument, argument) for argument in arguments]
    assert command(["encode", names["SOURCE"], *output, *line, "--device", "cpu"]) == 2
    said = capfd.readouterr().err
    for name in sorted(names, key=len, reverse=True):
        said = said.replace(names[name], name)
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "kind", "file", "trade_off"),
    [
        ({}, True, None, 4.0),
        ({"target_psnr": 30.0}, True, None, 4.0),
        ({"size": "8k"}, False, None, 1.5),
        ({"size": "8k", "target_size": 9000}, False, None, 1.5),
        ({"size": "2k", "base": "av1", "rd_lambda": 1.0}, True, None, 1.0),
        ({"base": "none", "target_size": 9000}, False, None, 1.5),
        ({"base": "some.mp4"}, True, "some.mp4", 4.0),
        ({"base": Path("some.ivf")}, True, "some.ivf", 4.0),
    ],
)
def test_kinds_of_file(options: dict[str, Any], kind: bool, file: str | None, trade_off: float) -> None:
    config = EncodeConfig(**options)
    assert (config.has_av1, config.base_file, config.lambda_db) == (kind, file, trade_off)
