"""Feature grids: interpolation in integers, the shape they take, and a fit with them to the file and back."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from conftest import moving_squares
from hypothesis import given
from hypothesis import strategies as st

import nvcodec
from nvcodec.decoding.decoded_video import Video
from nvcodec.encoding.export.network_import import import_network
from nvcodec.encoding.model.decoder_network import Decoder
from nvcodec.encoding.model.feature_grid import FeatureGrid
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.errors import CorruptStreamError
from nvcodec.format.accounting import bytes_by_kind
from nvcodec.format.arithmetic.interpolation import interpolate, position
from nvcodec.format.operations import Grid as GridOp
from nvcodec.format.stream_reader import read_stream

CLIP = moving_squares(9, 48, 64)


@given(st.data(), st.integers(1, 40), st.integers(0, 8))
def test_interpolation_is_the_nearest_integer(data: st.DataObject, frames: int, shift: int) -> None:
    knots = data.draw(st.integers(1, frames))
    values = np.array(data.draw(st.lists(st.integers(-128, 127), min_size=knots, max_size=knots)), np.int16)
    made = interpolate(values.reshape(-1, 1, 1, 1), range(frames), frames, shift)[:, 0, 0, 0].tolist()
    for frame, got in enumerate(made):
        at = Fraction(frame * (knots - 1), max(1, frames - 1))
        low = math.floor(at)
        high = min(low + 1, knots - 1)
        exact = 2**shift * (int(values[low]) + (at - low) * (int(values[high]) - int(values[low])))
        assert got == math.floor(exact + Fraction(1, 2))
        assert min(values) << shift <= got <= max(values) << shift


def test_first_and_last_frames_are_knots() -> None:
    assert [position(frame, 9, 3) for frame in (0, 4, 7, 8)] == [(0, 0), (1, 0), (1, 6), (2, 0)]
    values = np.arange(5, dtype=np.int16).reshape(-1, 1, 1, 1)
    assert interpolate(values, [0, 1, 2, 3, 4], 5, 3).ravel().tolist() == [0, 8, 16, 24, 32]
    assert interpolate(values[:1], [0, 3], 5, 0).ravel().tolist() == [0, 0]
    assert interpolate(values[:1], [0], 1, 0).ravel().tolist() == [0]


def test_the_fit_interpolates_as_the_decoder_does() -> None:
    grid = FeatureGrid((4, 2, 3, 5), 10, 7)
    grid.values.data.normal_(0, 3)
    grid.quant_step = torch.tensor(0.5)
    integers = interpolate(grid.integers().detach().numpy().astype(np.int16), range(10), 10, 8)
    assert torch.allclose(grid.at(range(10)), torch.from_numpy(integers).float() * 0.5 / 256, atol=0.5 / 256)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_grids_keep_to_their_share(share: float) -> None:
    shape = solve(200_000, 320, 160, 40, grids=share)
    values = shape.feature_grid_values
    assert values <= share * 200_000
    assert (values > 0) == (share > 0)
    assert abs(shape.parameters(40) / 200_000 - 1) < 0.01
    assert sum(p.numel() for p in Decoder(shape).parameters()) == shape.decoder_parameters
    richer = solve(2_000_000, 320, 160, 40, grids=share)
    assert len(richer.feature_grid_sizes) >= len(shape.feature_grid_sizes)


def test_a_fit_with_grids() -> None:
    """Better than the same network without; what the file says is what the float network meant."""
    made = {
        share: nvcodec.encode(CLIP, size=size, steps=200, grids=share, device="cpu", rd_lambda=1.0)
        for share, size in ((0.0, 12_000), (0.8, 29_000))
    }
    assert made[0.8].shape.stem <= made[0.0].shape.stem + 1
    assert made[0.8].psnr > made[0.0].psnr + 1
    assert abs(made[0.8].psnr - made[0.8].fitted.psnr(CLIP)) < 0.1
    kinds = {share: bytes_by_kind(read_stream(encoded.data)) for share, encoded in made.items()}
    assert kinds[0.0]["grids"] == 0
    assert kinds[0.8]["grids"] > 0.2 * len(made[0.8].data)
    ops = read_stream(made[0.8].data).segments[0].layers[0].ops
    assert sum(isinstance(op, GridOp) for op in ops) == len(made[0.8].shape.feature_grid_sizes)


def test_restored_grids_are_those_of_the_file() -> None:
    encoded = nvcodec.encode(CLIP, size=20_000, steps=60, device="cpu")
    video = Video(read_stream(encoded.data), device="cpu")
    restored = import_network(video.stream.segments[0].layers[0])
    grids = encoded.fitted.decoder.grids
    assert len(grids) == len(restored.grids) > 0
    for grid, (values, conv) in zip(grids.values(), restored.grids, strict=True):
        # Their unit is not in the file; the product with the convolution behind it is.
        ours = torch.einsum(
            "kchw,ocij->kohw", grid.integers() * grid.quant_step, grid.merge.integers() * grid.merge.quant_step
        )
        theirs = np.einsum("kchw,ocij->kohw", values, conv.weight)
        assert np.allclose(ours.detach().numpy(), theirs, atol=1e-4)


def test_more_knots_than_frames_are_refused() -> None:
    assert GridOp(1, 2, 2, -3, 3, 4, 0).transmitted(4) == 4
    with pytest.raises(CorruptStreamError, match="4 knots for 3 frames"):
        GridOp(1, 2, 2, -3, 3, 4, 0).transmitted(3)
