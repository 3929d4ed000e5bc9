"""The skip connection: invertible in float and in integers, f and z where Table 1 has them."""

import numpy as np
import pytest
import reference_decoder
import torch
from conftest import moving_squares

import nvcodec
from nvcodec.decoding.exact_network import ExactNetwork
from nvcodec.encoding.encode_config import SKIPS
from nvcodec.encoding.export.network_export import Exporter, export_layer
from nvcodec.encoding.export.observed_ranges import ObservedRanges
from nvcodec.encoding.export.operation_builder import OperationBuilder, Value
from nvcodec.encoding.fit.fit import Fit, analyse
from nvcodec.encoding.fit.fit_loop import run
from nvcodec.encoding.fit.fit_options import FitOptions
from nvcodec.encoding.model.decoder_network import Decoder
from nvcodec.encoding.model.encoder_network import Encoder
from nvcodec.encoding.model.network_shape import NetworkShape, SkipShape
from nvcodec.encoding.model.shape_solver import solve
from nvcodec.encoding.model.skip_connection import Coupling, abnormality, noise_operations, sample_noise
from nvcodec.encoding.quantizer.initial_steps import set_initial_steps
from nvcodec.format import operations as o
from nvcodec.format.accounting import bytes_by_kind
from nvcodec.format.stream import Layer, Segment
from nvcodec.format.stream_reader import read_stream
from nvcodec.format.units import SegmentHead

CPU = torch.device("cpu")
WIDTH, HEIGHT = 111, 63  # three blocks, so that f has its two scales


def some_latents(shape: NetworkShape) -> list[torch.Tensor]:
    return [
        torch.randn(2, shape.embedding_channels, *shape.embedding_size),
        *(torch.randn(2, 1, *grid) for grid in shape.skip_feature_sizes),
    ]


def scramble(module: torch.nn.Module, spread: float) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(spread * torch.randn(parameter.shape))


@pytest.mark.parametrize(("width", "growth"), [(2, 1), (8, 4), (36, 8)])
def test_float_round_trip(width: int, growth: int) -> None:
    torch.manual_seed(0)
    coupling = Coupling(width, growth)
    assert sum(p.numel() for p in coupling.parameters()) == SkipShape(1, width, growth).coupling_parameters
    x = torch.randn(2, width, 5, 7)
    f, z = coupling(x)
    assert torch.equal(f, x[:, :1])  # the last convolutions start at zero: a new layer changes nothing
    scramble(coupling, 0.2)
    f, z = coupling(x)
    assert (f.shape, z.shape) == ((2, 1, 5, 7), (2, width - 1, 5, 7))
    assert (f - x[:, :1]).abs().mean() > 0.1
    torch.testing.assert_close(coupling.inverse(f, z), x, rtol=1e-4, atol=1e-4)


def numpy_forward(builder: OperationBuilder, target: int, x: np.ndarray) -> np.ndarray:
    """The result of the dense block that ends at place ``target`` for its input ``x``, by the independent decoder's
    arithmetic."""
    ops = builder.ops
    first = target - 12  # five convolutions, four tables, four concatenations
    results = {ops[first].inputs[0]: x}
    for place in range(first, target + 1):
        op = ops[place]
        inputs = [results[source] for source in op.inputs]
        if isinstance(op, o.Conv):
            conv = builder.convs[place]
            integers = (conv.channel_steps(op), conv.biases.astype(np.int64), conv.weights.astype(np.int64))
            same_op = reference_decoder.Op(3, {"bias_shift": op.bias_shift}, low=op.low, high=op.high)
            results[place] = reference_decoder.convolve(same_op, integers, inputs[0])
        elif isinstance(op, o.Table):
            fields = {"function": op.function, "in_shift": op.in_shift, "out_shift": op.out_shift}
            results[place] = reference_decoder.look_up(
                reference_decoder.Op(6, fields, low=op.low, high=op.high), inputs[0]
            )
        else:
            assert isinstance(op, o.Concat)
            results[place] = np.concatenate(inputs)
    return results[target]


@pytest.mark.parametrize("scale", [0, 1])
def test_integer_round_trip(scale: int) -> None:
    """NumPy maps integers forward, f = x1 + phi(x2), z = x2 + eta(f), and the exact network gives them back."""
    torch.manual_seed(3)
    shape = solve(60_000, WIDTH, HEIGHT, 2, "invertible", 1.0, grids=0)
    assert shape.skip
    decoder = Decoder(shape)
    scramble(decoder.skips[scale], 0.08)
    latents = some_latents(shape)
    set_initial_steps(decoder, latents)
    builder = OperationBuilder()
    exporter = Exporter(decoder, builder, ObservedRanges(decoder, latents, sample_noise(shape, 0)))
    (height, width), channels = shape.skip_feature_sizes[scale], shape.skip.width
    places = [builder.add(o.Latent(count, height, width, -128, 127, 1)) for count in (1, channels - 1)]
    # The latents' own unit, so that nothing is rounded between them and the coupling layer.
    made = exporter.invert(decoder.skips[scale], *(Value(place, 5) for place in places), shift=5)
    minus_eta, minus_phi = (op for op in builder.ops if isinstance(op, o.Subtract))

    rng = np.random.default_rng(0)
    x = rng.integers(-40, 41, (channels, height, width))
    f = x[:1] + numpy_forward(builder, minus_phi.second, x[1:])
    z = x[1:] + numpy_forward(builder, minus_eta.second, f)
    assert max(np.abs(f).max(), np.abs(z).max()) <= 127
    assert np.abs(f - x[:1]).mean() > 1
    assert np.abs(z - x[1:]).mean() > 1

    held = {place: values[None].astype(np.int16) for place, values in zip(places, (f, z), strict=True)}
    layer = Layer(tuple(builder.ops), tuple(builder.tensors), builder.convs, held, 1, np.zeros(1, np.uint32))
    segment = Segment(SegmentHead(0, 1, width, height, 0, 1), np.ones(1), [layer])
    (recovered,) = ExactNetwork(segment, 0, 0, CPU, wanted=[(0, len(builder.ops) - 1)]).results([0])
    assert made.op == len(builder.ops) - 1
    assert np.array_equal(recovered[0].numpy(), x)


def test_the_fit_sees_the_decoders_noise() -> None:
    shape = solve(60_000, WIDTH, HEIGHT, 2, "invertible", z_gain=0.5, grids=0)
    assert len(shape.skip_feature_sizes) == 2
    tensors = sample_noise(shape, 77)
    for op, tensor in zip(noise_operations(shape), tensors, strict=True):
        fields = {name: getattr(op, name) for name in ("channels", "height", "width", "scale", "gain", "per_frame")}
        wanted = reference_decoder.noise(
            reference_decoder.Op(2, fields, (op.channels, op.height, op.width)), 77, 0, 0, 1
        )
        assert np.array_equal(tensor[0].numpy() * 64, wanted)
    spread = torch.cat([tensor.flatten() for tensor in tensors]).std()
    assert 0.4 < spread < 0.6


def test_abnormality() -> None:
    torch.manual_seed(0)
    normal = torch.randn(4, 3, 50, 50)
    assert abs(float(abnormality(normal))) < 0.01
    for wrong in (normal + 1, normal * 3, normal * 0.1):
        assert float(abnormality(wrong)) > 0.3


def test_shapes_at_every_step() -> None:
    shape = solve(100_000, WIDTH, HEIGHT, 3, "invertible", 1.0, grids=0)
    encoder, decoder = Encoder(shape), Decoder(shape)
    assert shape.skip
    assert len(shape.skip_feature_sizes) == 2
    latents, own_z = analyse(encoder, decoder, torch.rand(2, 3, 63, 111))
    assert latents[0].shape == (2, shape.embedding_channels, *shape.embedding_size)
    assert [f.shape for f in latents[1:]] == [(2, 1, *grid) for grid in shape.skip_feature_sizes]
    assert [z.shape for z in own_z] == [(2, shape.skip.width - 1, *grid) for grid in shape.skip_feature_sizes]
    assert decoder(latents, sample_noise(shape, 0)).shape == (2, 3, 63, 111)


@pytest.mark.parametrize("bias", [0.0, -12.0])
@pytest.mark.parametrize("z_gain", [0.0, 1.0])
@pytest.mark.parametrize("skip", SKIPS)
def test_integers_follow_the_float_network(skip: str, z_gain: float, bias: float) -> None:
    """Units, offsets, ranges and the order of operations: only rounding of activations tells the two apart."""
    torch.manual_seed(1)
    shape = solve(25_000, WIDTH, HEIGHT, 2, skip, z_gain, grids=0)
    decoder = Decoder(shape)
    for module in decoder.skips:
        scramble(module, 0.1)
        if module.coupling:
            with torch.no_grad():
                module.coupling.eta.convs[1].bias[0] = bias  # far below where GELU would have ended
    latents, noise = some_latents(shape), sample_noise(shape, 9)
    set_initial_steps(decoder, latents)
    layer = export_layer(decoder, latents, noise)
    segment = Segment(SegmentHead(0, 2, WIDTH, HEIGHT, 0, 1), np.ones(2), [layer])
    exact = ExactNetwork(segment, 0, 9, CPU).decode([0, 1]).float()
    with torch.no_grad():
        wanted = (decoder(latents, noise) * 255).clamp(0, 255)
        with_other = (decoder(latents, sample_noise(shape, 10)) * 255).clamp(0, 255)
    assert wanted.std() > 5
    assert (exact - wanted).abs().mean() < 0.5
    assert (exact - wanted).abs().max() < 3
    assert ((with_other - wanted).abs().mean() > 0.5) == (skip == "invertible" and z_gain > 0)


def test_the_loss_wants_help_from_sampled_z(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture gets worse without the features or with another z; ``normality`` draws the encoder's z to N(0, 1)."""
    clip = moving_squares(4, HEIGHT, WIDTH)
    shape = solve(25_000, WIDTH, HEIGHT, 4, "invertible", 1.0, grids=0)
    ends = {}
    for normality in (0.0, 1e-2):
        values: list[float] = []

        def watched(z: torch.Tensor, values: list[float] = values) -> torch.Tensor:
            values.append(float(abnormality(z.detach())))
            return abnormality(z)

        monkeypatch.setattr("nvcodec.encoding.fit.fit.abnormality", watched)
        fit = Fit(clip, shape, FitOptions(steps=150, normality=normality), CPU)
        run(fit)
        fitted = fit.finish()
        ends[normality] = values[-1]
    assert ends[1e-2] < 0.5 * ends[0.0]

    def quality(noise: list[torch.Tensor]) -> float:
        fitted.noise = noise
        return fitted.psnr(clip)

    own, other = quality(fitted.noise), quality(sample_noise(shape, 12345))
    for skip in fitted.decoder.skips:
        torch.nn.init.zeros_(skip.merge.weight)
    without = quality(sample_noise(shape, 0))
    assert own > other + 0.2
    assert own > without + 1


@pytest.mark.parametrize("skip", SKIPS)
def test_every_switch_gives_a_file(skip: str) -> None:
    """The independent decoder agrees, and ``info`` shows f and the connection's weights by themselves."""
    clip = moving_squares(3, HEIGHT, WIDTH)
    options = {"size": "25k", "steps": 20, "device": "cpu", "skip": skip, "grids": 0.0}
    encoded = nvcodec.encode(clip, block="plain", z_gain=0.7, **options)
    stream = read_stream(encoded.data)
    kinds = bytes_by_kind(stream)
    assert (kinds["skip_features"] > 0, kinds["skip_weights"] > 0) == (skip != "none", skip != "none")
    ops = stream.segments[0].layers[0].ops
    counts = [sum(isinstance(op, kind) for op in ops) for kind in (o.Noise, o.Subtract, o.Add)]
    assert counts == {"invertible": [2, 4, 2], "direct": [0, 0, 2], "none": [0, 0, 0]}[skip]
    assert {op.gain for op in ops if isinstance(op, o.Noise)} == ({179} if skip == "invertible" else set())
    assert stream.parameters == encoded.parameters == encoded.shape.parameters(3)
    independent = reference_decoder.parse(encoded.data)
    for frame, picture in enumerate(nvcodec.open(stream, device="cpu")):
        assert np.array_equal(picture.permute(1, 2, 0).numpy(), reference_decoder.decode(independent, frame))
    assert nvcodec.encode(clip, block="rep", z_gain=0.7, **options).data != encoded.data


@pytest.mark.parametrize("skip", SKIPS)
def test_weights_of_the_skip_are_told_from_others(skip: str) -> None:
    shape = solve(25_000, WIDTH, HEIGHT, 2, skip, grids=0)
    decoder, latents = Decoder(shape), some_latents(shape)
    set_initial_steps(decoder, latents)
    layer = export_layer(decoder, latents, sample_noise(shape, 0))
    convs = [layer.convs[place] for place in o.skip_connection_ops(layer.ops) if place in layer.convs]
    assert sum(conv.weights.size + conv.biases.size for conv in convs) == shape.skip_parameters


@pytest.mark.parametrize("z_gain", [0, 16])
def test_extreme_gains(z_gain: float) -> None:
    clip = moving_squares(2, HEIGHT, WIDTH)
    encoded = nvcodec.encode(clip, size="25k", steps=8, skip="invertible", z_gain=z_gain, device="cpu")
    assert nvcodec.open(read_stream(encoded.data), device="cpu")[:].shape == clip.shape


@pytest.mark.parametrize("when", ["before the switch", "after it"])
@pytest.mark.parametrize("skip", SKIPS)
def test_a_diverged_fit_is_one_sentence(skip: str, when: str) -> None:
    shape = solve(25_000, WIDTH, HEIGHT, 2, skip, grids=0)
    decoder, latents = Decoder(shape), some_latents(shape)
    if when == "after it":
        set_initial_steps(decoder, latents)
    with torch.no_grad():
        decoder.trunk[1].bias[0] = float("nan")
    with pytest.raises(nvcodec.NvcodecError, match="diverged"):
        if when == "after it":
            export_layer(decoder, latents, sample_noise(shape, 0))
        else:
            set_initial_steps(decoder, latents)
