"""The shape of a network: sizes of all its tensors, and how many parameters they make (paper, Tables 1 and 3)."""

from __future__ import annotations

import dataclasses
import math

HEAD_KERNEL = 3
DENSE_CONVS = 5  # convolutions in a dense block (section 1.2), all 3x3


@dataclasses.dataclass(frozen=True)
class SkipShape:
    """The skip connection (section 1.2): what the stream carries beside the embedding.

    Attributes:
        scales: number of scales above the embedding that have a feature f of one channel: 1 or 2.
        width: channels of the features that are recovered from f: 1 (f itself) if the connection is direct; otherwise
            f's channel plus those of z.
        growth: channels of a dense block's hidden convolutions; 0 if the connection is direct.
        z_gain: standard deviation of the sampled z in units of 1/256, 0 to 4096.
    """

    scales: int
    width: int = 1
    growth: int = 0
    z_gain: int = 0

    @property
    def invertible(self) -> bool:
        """Whether an invertible network recovers the features."""
        return self.growth > 0

    @property
    def coupling_parameters(self) -> int:
        """Weights and biases of one scale's coupling layer (two dense blocks); 0 if direct."""
        return self._dense(self.width - 1, 1) + self._dense(1, self.width - 1) if self.invertible else 0

    def _dense(self, channels_in: int, channels_out: int) -> int:
        hidden = DENSE_CONVS - 1
        first = sum(9 * (channels_in + i * self.growth) + 1 for i in range(hidden)) * self.growth
        return first + (9 * (channels_in + hidden * self.growth) + 1) * channels_out


@dataclasses.dataclass(frozen=True)
class FeatureGridShape:
    """Feature grids: learned values stored for some times of the clip and interpolated between them.

    Attributes:
        frames: number of frames in the clip.
        channels: channels of the grid behind each block; 0 for no grid.
        knots: number of times each grid is stored for, evenly spaced from the first frame to the last; 1 to ``frames``.
    """

    frames: int
    channels: tuple[int, ...]
    knots: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class NetworkShape:
    """All sizes that determine the decoder's tensors.

    Attributes:
        width, height: the shown picture, pixels.
        embedding_channels: channels C0 of the embedding E_t.
        stem: channels Cinit after the first convolution (1x1).
        channels: channels after each block.
        strides: factor by which each block enlarges both sides.
        kernels: kernel side of each block's convolution.
        skip: the skip connection; None without one.
        feature_grids: the feature grids; None without any.
        reference_channels: channels of the reference layer's features that an enhancement layer reads; 0 in a base
            layer.
    """

    width: int
    height: int
    embedding_channels: int
    stem: int
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    kernels: tuple[int, ...]
    skip: SkipShape | None = None
    feature_grids: FeatureGridShape | None = None
    reference_channels: int = 0

    @property
    def inter_layer_block(self) -> int:
        """The block behind which an enhancement layer adds the reference layer's features.

        It is the last but one, whose output is half the picture's size.
        """
        return max(0, len(self.strides) - 2)

    @property
    def embedding_size(self) -> tuple[int, int]:
        """Height and width of the embedding."""
        total = math.prod(self.strides)
        return -(-self.height // total), -(-self.width // total)

    @property
    def coded_size(self) -> tuple[int, int]:
        """Height and width of the network's output before it is cropped to the picture."""
        total = math.prod(self.strides)
        return self.embedding_size[0] * total, self.embedding_size[1] * total

    @property
    def block_weights(self) -> int:
        """Weights of the blocks' convolutions alone, without biases."""
        inputs = (self.stem, *self.channels[:-1])
        return sum(
            i * o * s * s * k * k for i, o, s, k in zip(inputs, self.channels, self.strides, self.kernels, strict=True)
        )

    @property
    def skip_feature_sizes(self) -> list[tuple[int, int]]:
        """Height and width of each f, smallest first: the encoder's scales just above the embedding (Table 1)."""
        height, width = self.embedding_size
        sizes = []
        for stride in self.strides[::-1][: self.skip.scales if self.skip else 0]:
            height, width = height * stride, width * stride
            sizes.append((height, width))
        return sizes

    @property
    def feature_grid_sizes(self) -> dict[int, tuple[int, int, int, int]]:
        """Knots, channels, height and width of the feature grid behind each block that has one."""
        sizes = {}
        height, width = self.embedding_size
        for block, stride in enumerate(self.strides if self.feature_grids else ()):
            height, width = height * stride, width * stride
            if self.feature_grids and self.feature_grids.channels[block]:
                sizes[block] = (self.feature_grids.knots[block], self.feature_grids.channels[block], height, width)
        return sizes

    @property
    def feature_grid_values(self) -> int:
        """Stored values of all feature grids."""
        return sum(math.prod(size) for size in self.feature_grid_sizes.values())

    @property
    def feature_grid_parameters(self) -> int:
        """Values of the feature grids, and weights and biases of the convolutions that add them."""
        sizes = self.feature_grid_sizes.items()
        return sum(math.prod(size) + (size[1] + 1) * self.channels[block] for block, size in sizes)

    @property
    def skip_parameters(self) -> int:
        """Weights and biases of the decoder's side of the skip connection."""
        if not self.skip:
            return 0
        merges = sum((self.skip.width + 1) * channels for channels in self.channels[: self.skip.scales])
        return self.skip.scales * self.skip.coupling_parameters + merges

    @property
    def decoder_parameters(self) -> int:
        """Weights and biases of the whole decoder, and values of its feature grids."""
        stem = self.stem * (self.embedding_channels + 1)
        biases = sum(o * s * s for o, s in zip(self.channels, self.strides, strict=True))
        head = 3 * (self.channels[-1] * HEAD_KERNEL**2 + 1)
        inter_layer = (self.reference_channels + 1) * self.channels[self.inter_layer_block]
        total = stem + self.block_weights + biases + head + (inter_layer if self.reference_channels else 0)
        return total + self.skip_parameters + self.feature_grid_parameters

    @property
    def latents_per_frame(self) -> int:
        """Integers stored per frame: its embedding and its features f."""
        return self.embedding_channels * math.prod(self.embedding_size) + sum(
            height * width for height, width in self.skip_feature_sizes
        )

    def parameters(self, frames: int) -> int:
        """Return how many numbers are stored for a clip of ``frames`` frames, everything counted."""
        return self.decoder_parameters + frames * self.latents_per_frame

    @property
    def activations(self) -> int:
        """Values that the blocks' convolutions yield to decode one frame."""
        height, width = self.embedding_size
        total = 0
        for channels, stride in zip(self.channels, self.strides, strict=True):
            height, width = height * stride, width * stride
            total += channels * height * width
        return total

    @property
    def trunk_multiplications(self) -> int:
        """Multiplications of stem, blocks and head to decode one frame."""
        height, width = self.embedding_size
        total = height * width * self.embedding_channels * self.stem
        inputs = (self.stem, *self.channels[:-1])
        for i, o, s, k in zip(inputs, self.channels, self.strides, self.kernels, strict=True):
            total += height * width * i * o * s * s * k * k
            height, width = height * s, width * s
        return total + height * width * 3 * self.channels[-1] * HEAD_KERNEL**2
