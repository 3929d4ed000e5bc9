"""From a target to a number of parameters, and from that to a network."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from conftest import moving_squares

from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.fit.losses import SQUARED_ERROR
from nvcodec.encoding.model.network_shape import FeatureGridShape, NetworkShape, SkipShape
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.encoding.sizing import Sizing, expected_bits, min_network_share, parameters_for_bytes
from nvcodec.errors import UsageError
from nvcodec.format.inference import MAX_WEIGHTS

CPU = torch.device("cpu")
CLIP = moving_squares(4, 32, 40)


@pytest.mark.parametrize(
    ("rd_lambda", "grid_bits", "latent_bits", "other_bits"), [(0.0, 3.0, 6.3, 6.3), (1.5, 2.0, 1.0, 4.2)]
)
def test_expected_bits(rd_lambda: float, grid_bits: float, latent_bits: float, other_bits: float) -> None:
    grids = FeatureGridShape(10, (2, 0), (4, 1))
    shape = NetworkShape(32, 16, 5, 8, (6, 4), (4, 2), (3, 3), SkipShape(1), grids)
    grid_values = 4 * 2 * 8 * 16  # knots, channels, height and width behind the first block
    latents = 10 * (5 * 2 * 4 + 4 * 8)  # embeddings, and f at the smallest scale above them
    weights = (5 * 8 + 8) + (8 * 96 * 9 + 96) + (6 * 16 * 9 + 16) + (4 * 3 * 9 + 3)  # stem, blocks, head
    weights += (1 * 6 + 6) + (2 * 6 + 6)  # of f and of the grid
    bits = expected_bits(shape, 10, rd_lambda)
    assert bits.grids == pytest.approx(grid_bits * grid_values)
    assert bits.latents == pytest.approx(latent_bits * latents)
    assert bits.network == pytest.approx(other_bits * weights)
    assert bits.total == pytest.approx(bits.grids + bits.latents + bits.network)


@pytest.mark.parametrize(
    ("bits_per_pixel", "share"), [(10.0, 0.25), (0.1, 0.25), (0.05, 0.25 * 2**0.4), (0.02, 0.25 * 5**0.4), (1e-4, 0.6)]
)
def test_the_networks_share(bits_per_pixel: float, share: float) -> None:
    assert min_network_share(bits_per_pixel) == pytest.approx(share)


@pytest.mark.parametrize("still", [True, False])
@pytest.mark.parametrize("parameters", [60_000, 200_000, 800_000])
@pytest.mark.parametrize("frames", [10, 60])
def test_grids_leave_the_network_its_share(frames: int, parameters: int, still: bool) -> None:
    sizing = Sizing(320, 160, frames, rd_lambda=1.5, still=still)
    shape = sizing.network(parameters)
    bits = expected_bits(shape, frames, 1.5)
    share = min_network_share(bits.total / (frames * 320 * 160))
    assert bits.network >= share * bits.total or not shape.feature_grids
    greedy = solve(parameters, 320, 160, frames, still=still)
    greedy_bits = expected_bits(greedy, frames, 1.5)
    too_many = greedy_bits.network < min_network_share(greedy_bits.total / (frames * 320 * 160)) * greedy_bits.total
    assert (shape.feature_grid_values < greedy.feature_grid_values) == too_many


def test_few_bits_per_pixel_take_fewer_grids() -> None:
    """Here the largest set would leave the network less than it needs, and the next smaller ones are taken."""
    few, many = (Sizing(320, 160, 60, rd_lambda=1.5, grids=grids).network(200_000) for grids in (0.85, 1.0))
    greedy = solve(200_000, 320, 160, 60)
    assert 0 < few.feature_grid_values < greedy.feature_grid_values
    assert few == many


def test_grids_keep_to_the_share_that_is_allowed() -> None:
    assert Sizing(320, 160, 10, rd_lambda=1.5, grids=0).network(200_000).feature_grids is None
    shape = Sizing(320, 160, 10, rd_lambda=1.5, grids=0.2).network(200_000)
    assert 0 < shape.feature_grid_values <= 0.2 * 200_000


def test_options_reach_the_network() -> None:
    shape = Sizing(320, 160, 10, 1.5, "invertible", 0.5, 0.5, False, 7).network(200_000)
    assert shape == solve(200_000, 320, 160, 10, "invertible", 0.5, 0.5, False, 7)


@pytest.mark.parametrize("rd_lambda", [0.0, 1.5])
@pytest.mark.parametrize("file_bytes", [8_000, 40_000])
def test_parameters_fill_the_bytes(file_bytes: int, rd_lambda: float) -> None:
    sizing = Sizing(64, 48, 6, rd_lambda)
    parameters = sizing.for_bytes(file_bytes)
    bits = expected_bits(sizing.network(parameters), 6, rd_lambda).total
    assert 0.9 * 8 * file_bytes < bits <= 8 * file_bytes
    assert expected_bits(sizing.network(round(1.02 * parameters)), 6, rd_lambda).total > 0.99 * 8 * file_bytes


def test_parameters_are_tried_from_the_top() -> None:
    """A number that no clip can be coded with is passed over."""
    tried: list[int] = []

    def network(parameters: int) -> NetworkShape:
        tried.append(parameters)
        if parameters > 3000:
            raise UsageError("not with so many")
        return NetworkShape(32, 16, 1, 3, (3,), (2,), (1,))

    assert parameters_for_bytes(1000, 1, 0.0, network) == pytest.approx(8000 / 3, abs=1)  # all of it in grids
    assert tried == sorted(tried, reverse=True)
    assert parameters_for_bytes(2**40, 1, 0.0, lambda parameters: network(0)) == MAX_WEIGHTS


def for_psnr(target_db: float, steps: int = 20) -> tuple[int, int]:
    """The parameters for a PSNR of the tiny clip, and the training steps that it took to find them."""
    seen: list[int] = []

    def counted(decoded: torch.Tensor, source: torch.Tensor, frames: Sequence[int]) -> torch.Tensor:
        seen.extend(frames)
        return SQUARED_ERROR(decoded, source, frames)

    parameters = Sizing(40, 32, 4, 1.5).for_psnr(target_db, CLIP, FitOptions(steps), CPU, counted)
    return parameters, len(seen)


def test_a_higher_psnr_takes_more_parameters() -> None:
    """Twice as many for two more dB: a short fit, three of twenty steps, tells how far it is to the target."""
    probe, steps = for_psnr(1.0)  # reached by the probe
    assert steps == 3
    assert probe == pytest.approx(2 * (4 * 32 * 40) ** 0.75, abs=1) or probe > 2 * (4 * 32 * 40) ** 0.75
    most = for_psnr(99.0)[0]
    assert most == pytest.approx(8 * probe, abs=4)
    between = [for_psnr(target)[0] for target in (18.0, 20.0)]
    assert probe < between[0] < between[1] < most
    assert between[1] == pytest.approx(2 * between[0], abs=2)


def test_a_probe_takes_at_least_one_step() -> None:
    assert for_psnr(10.0, steps=1)[1] == 1
