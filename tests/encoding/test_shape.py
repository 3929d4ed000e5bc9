import pytest
from hypothesis import given
from hypothesis import strategies as st

from nvcodec.encoding.encode_config import SKIPS, parse_size
from nvcodec.encoding.model.decoder_network import Decoder
from nvcodec.encoding.model.shape_solver import PUBLISHED_KERNELS, choose_strides, solve
from nvcodec.errors import UsageError


@pytest.mark.parametrize(("text", "value"), [("3M", 3_000_000), ("0.75M", 750_000), ("300k", 300_000), ("1234", 1234)])
def test_sizes(text: str, value: int) -> None:
    assert parse_size(text) == value


@pytest.mark.parametrize("text", ["", "M", "-3M", "3G", "3 M x", "1e6"])
def test_bad_sizes(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


# Tables 3 and 1 of the paper; block weights and multiplications follow from them.
PUBLISHED = [
    (960, 480, 3_000_000, 16, 98, (82, 68, 57, 48, 40), (5, 4, 3, 2, 2), [(4, 8), (8, 16)], 2_341_544, 33.4),
    (1920, 960, 3_000_000, 16, 84, (70, 58, 48, 40, 33), (5, 4, 4, 3, 2), [(4, 8), (12, 24)], 2_409_240, 88.3),
    (1280, 640, 750_000, 12, 43, (36, 30, 24, 20, 17), (5, 4, 4, 2, 2), [(4, 8), (8, 16)], 564_220, 10.7),
]


@pytest.mark.parametrize("row", PUBLISHED)
def test_published_networks(row: tuple) -> None:
    width, height, size, embedding, stem, channels, strides, grids, weights, giga = row
    shape = solve(size, width, height, 132, "invertible")
    assert (shape.embedding_channels, shape.stem, shape.channels, shape.strides) == (embedding, stem, channels, strides)
    assert shape.kernels == PUBLISHED_KERNELS
    assert shape.embedding_size == (2, 4)
    assert shape.skip_feature_sizes == grids
    assert shape.skip is not None
    assert shape.skip.invertible
    assert shape.parameters(132) <= size
    assert shape.coded_size == (height, width)
    assert shape.block_weights == weights
    assert shape.trunk_multiplications / 1e9 == pytest.approx(giga, abs=0.1)


@given(
    st.integers(16, 2000),
    st.integers(16, 1200),
    st.integers(20_000, 4_000_000),
    st.integers(1, 150),
    st.sampled_from(SKIPS),
)
def test_size_is_met(width: int, height: int, size: int, frames: int, skip: str) -> None:
    try:
        shape = solve(size, width, height, frames, skip)
    except UsageError:  # not even the thinnest network
        assert size < 60_000
        return
    assert abs(shape.parameters(frames) / size - 1) < 0.02
    assert shape.coded_size[0] >= height
    assert shape.coded_size[1] >= width


@pytest.mark.parametrize(("width", "height"), [(320, 160), (1280, 640), (960, 480), (1920, 960)])
def test_strides_of_the_paper_follow_from_the_rule(width: int, height: int) -> None:
    total = {320: 80, 1280: 320, 960: 240, 1920: 480}[width]
    strides = choose_strides(width, height)
    assert strides[0] == 5
    assert strides[-1] == 2
    product = 1
    for stride in strides:
        product *= stride
    assert product == total


@pytest.mark.parametrize("skip", SKIPS)
def test_parameters_are_those_of_the_network(skip: str) -> None:
    shape = solve(50_000, 161, 121, 7, skip)
    decoder = Decoder(shape)
    assert sum(p.numel() for p in decoder.parameters()) == shape.decoder_parameters


@pytest.mark.parametrize(
    ("size", "width", "height", "frames", "scales"),
    [(300_000, 320, 160, 132, 2), (300_000, 416, 240, 101, 1), (300_000, 416, 240, 1000, 0), (20_000, 40, 32, 2, 1)],
)
def test_features_are_a_small_share(size: int, width: int, height: int, frames: int, scales: int) -> None:
    """Fewer scales where f would take more than a sixth of the size, or the network has too few blocks."""
    shape = solve(size, width, height, frames, "direct")
    assert len(shape.skip_feature_sizes) == scales
    assert frames * sum(rows * columns for rows, columns in shape.skip_feature_sizes) <= size / 6


def test_a_preset_gives_way_to_a_long_clip() -> None:
    stems = [solve(750_000, 1280, 640, frames).stem for frames in (400, 2000)]
    assert stems[0] == 43
    assert stems[1] != 43


def test_too_small() -> None:
    with pytest.raises(UsageError, match="need at least"):
        solve(100, 320, 160, 132)
