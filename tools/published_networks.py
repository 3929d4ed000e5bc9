"""The three networks that the paper publishes, as the solver yields them: Tables 1 and 3, and what a file stores.

    python tools/published_networks.py [--steps S --frames F]

With --steps each network is also fitted for S training steps to F synthetic frames, written, and decoded again.
"""

from __future__ import annotations

import math

import click
import torch
import torch.nn.functional as F

import nvcodec
from nvcodec.encoding.model.network_shape import NetworkShape
from nvcodec.encoding.model.shape_solver import PUBLISHED_SHAPES, solve
from nvcodec.format.accounting import bytes_by_kind
from nvcodec.format.stream_reader import read_stream

CLIP_FRAMES = 132  # Big Buck Bunny's, for the count of what is stored


def table(rows: list[list[str]]) -> str:
    """Return rows of text, aligned in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def words(numbers: tuple[int, ...]) -> str:
    """Return numbers separated by spaces."""
    return " ".join(map(str, numbers))


def published(shapes: dict[str, NetworkShape]) -> str:
    """Return Tables 1 and 3, with the block weights and multiplications that follow from them."""
    rows = [["network", "C0", "Cinit", "Channels", "Strides", "Ks", "E", "f", "block weights", "GMAC/frame"]]
    for name, shape in shapes.items():
        features = shape.skip_feature_sizes[::-1]  # the paper has the larger one first
        rows.append(
            [
                name,
                str(shape.embedding_channels),
                str(shape.stem),
                words(shape.channels),
                words(shape.strides),
                words(shape.kernels),
                f"{shape.embedding_channels}x{shape.embedding_size[0]}x{shape.embedding_size[1]}",
                ", ".join(f"1x{height}x{width}" for height, width in features),
                f"{shape.block_weights:,}",
                f"{shape.trunk_multiplications / 1e9:.1f}",
            ]
        )
    return table(rows)


def stored(shapes: dict[str, NetworkShape], frames: int) -> str:
    """Return how many integers a file of ``frames`` frames holds."""
    rows = [["network", "stem, blocks, head", "skip connection", "E", "f", "all"]]
    for name, shape in shapes.items():
        embeddings = frames * shape.embedding_channels * math.prod(shape.embedding_size)
        features = frames * shape.latents_per_frame - embeddings
        trunk = shape.decoder_parameters - shape.skip_parameters
        counts = (trunk, shape.skip_parameters, embeddings, features, shape.parameters(frames))
        rows.append([name, *(f"{count:,}" for count in counts)])
    return table(rows)


def synthetic_clip(frames: int, width: int, height: int) -> torch.Tensor:
    """Return smooth moving pictures: uint8 [frames, 3, height, width]."""
    noise = torch.rand(1, 3, frames + 1, 7, 12, generator=torch.Generator().manual_seed(0))
    smooth = F.interpolate(noise, (frames, height, width), mode="trilinear", align_corners=False)
    return (smooth[0].transpose(0, 1) * 255).round().byte()


@click.command()
@click.option("--steps", type=click.IntRange(1), help="Fit, write and decode each, with so many steps.")
@click.option("--frames", type=click.IntRange(1, CLIP_FRAMES), default=2, show_default=True, help="Frames to fit.")
def main(steps: int | None, frames: int) -> None:
    """Print the tables; with --steps, the files too."""
    shapes = {
        f"{width}x{height} {size / 1e6:g}M": solve(size, width, height, CLIP_FRAMES, "invertible", 1.0)
        for width, height, size in PUBLISHED_SHAPES
    }
    click.echo(published(shapes))
    click.echo(f"\nStored for a clip of {CLIP_FRAMES} frames:\n")
    click.echo(stored(shapes, CLIP_FRAMES))
    if not steps:
        return
    click.echo(f"\nFitted to {frames} frames for {steps} steps, written, and decoded:\n")
    rows = [["network", "parameters in the file", "bytes", "weights", "skip weights", "E", "f", "decoded", "PSNR"]]
    for name, (width, height, size) in zip(shapes, PUBLISHED_SHAPES, strict=True):
        clip = synthetic_clip(frames, width, height)
        encoded = nvcodec.encode(clip, size=size, steps=steps, device="cpu", skip="invertible", z_gain=1.0)
        stream = read_stream(encoded.data)
        kinds = bytes_by_kind(stream)
        pictures = nvcodec.open(stream, device="cpu")[:]  # every frame's checksum is compared
        of_kind = [f"{kinds[kind]:,}" for kind in ("weights", "skip_weights", "embeddings", "skip_features")]
        counts = [f"{stream.parameters:,}", f"{len(encoded.data):,}", *of_kind]
        rows.append([name, *counts, "x".join(map(str, pictures.shape)), f"{encoded.psnr:.2f} dB"])
    click.echo(table(rows))


if __name__ == "__main__":
    main()
