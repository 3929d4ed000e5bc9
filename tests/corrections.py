"""A clip, its AV1 stream, and crops of them, for the tests of networks above an AV1 stream; also as fixtures."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from conftest import few_crops, moving_squares

from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.encoding.av1 import crops
from nvcodec.encoding.av1.base_job import CROPS_PER_STEP
from nvcodec.encoding.av1.correction_export import export_base
from nvcodec.encoding.av1.correction_job import runs_of
from nvcodec.encoding.av1.correction_network import BORDER, CorrectionShape
from nvcodec.encoding.av1.crops import QUARTERS, Crops, take_crops
from nvcodec.encoding.av1.svt_encoder import BaseSettings, TemporalUnit, encode_av1
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.format.operations import Picture
from nvcodec.format.stream import Layer, Segment
from nvcodec.format.units import SegmentHead

CPU = torch.device("cpu")
HEIGHT, WIDTH = 75, 102  # an odd side, and larger than a crop
SHAPE = CorrectionShape(6)
MARGIN = BORDER + 1
NOISE = torch.randn(3, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
CLIP = (moving_squares(3, HEIGHT, WIDTH) + 6 * NOISE).clamp(0, 255).round().to(torch.uint8)
SETTINGS = BaseSettings(42.0, 8, Fraction(25))


@functools.cache
def stream_of_clip() -> list[TemporalUnit]:
    """The AV1 stream of the clip."""
    return encode_av1(CLIP, SETTINGS)


def base_layer(units: list[TemporalUnit], height: int = HEIGHT) -> Layer:
    """Layer 0 of a stream."""
    picture = Picture(height, WIDTH, 10, 1, 0, 6, 0, MARGIN)
    return export_base(picture, runs_of(units, picture), (height, WIDTH))


def network_of(*layers: Layer) -> ExactNetwork:
    """The exact network of some layers; what is wanted of it is the picture below, with its margin."""
    head = SegmentHead(0, len(CLIP), WIDTH, HEIGHT, 0, 1)
    segment = Segment(head, np.ones(len(CLIP), np.int64), list(layers))
    return ExactNetwork(segment, 0, 0, CPU, len(layers), [(0, 0)])


@functools.cache
def some_crops() -> Crops:
    """Sixty crops of the clip."""
    with few_crops(60):
        return take_crops(network_of(base_layer(stream_of_clip())), CLIP, None, BORDER, MARGIN, 3)


@pytest.fixture(scope="module")
def sixty_crops() -> Iterator[None]:
    """Whoever takes crops takes so many."""
    with few_crops(60):
        yield


@pytest.fixture(scope="session")
def units() -> list[TemporalUnit]:
    return stream_of_clip()


@pytest.fixture(scope="session")
def base(units: list[TemporalUnit]) -> Layer:
    return base_layer(units)


@pytest.fixture(scope="session")
def taken() -> Crops:
    return some_crops()


def whole_pictures(weights: torch.Tensor | None = None) -> Crops:
    """Crops that are whole frames, of the clip without its odd last row."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crops, "CROP_SIDE", 2 * WIDTH)
        patch.setattr(crops, "MAX_CROPS", len(CLIP))
        even = CLIP[..., : HEIGHT - 1, :]
        layer = base_layer(encode_av1(even, SETTINGS), HEIGHT - 1)
        masks = None if weights is None else weights[..., : HEIGHT - 1, :]
        return take_crops(network_of(layer), even, masks, 0, MARGIN, 0)


def shown_of(taken: Crops, border: int) -> torch.Tensor:
    """The pictures below, without their borders, in levels."""
    inner = slice(border, -border or None)
    return (taken.below[:, :, inner, inner] / QUARTERS).clamp(0, 255)


def options(**changes: Any) -> FitOptions:
    """Options of a short fit."""
    given = {"steps": 60, "batch": CROPS_PER_STEP, "seed": 0, "quantised_share": 0.4, "rd_lambda": 0.5}
    return FitOptions(**{**given, **changes})
