"""PixelCNN: the whole image at once, through convolutions that see the past only.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    pixelcnn.binarized-mnist: nll 82.36 ± 0.2 nats/example (binarized-mnist test), n = 10,000, exact; 1 run, 2.6 h
    pixelcnn.cifar10-jpeg75-8x8: bits_per_dim 4.709 ± 0.0052 bits/dim (cifar10-jpeg75 test), n = 10,000, exact, after
        resize and quantize; 1 run, 0.23 h

Follows van den Oord et al., "Pixel Recurrent Neural Networks", 2016 (arXiv:1601.06759) [1]. In the paper's order:
residual connections (3.3), masked convolutions (3.4, in masks.py), PixelCNN (3.5), the whole network (table 1).
Sampling pixel by pixel is in sampling/pixelcnn.py.

Departs from [1]:
    * pixel values enter in [0, 1] as they are; the first bias centres them
    * weights are initialised as in He et al., 2015; torch's own are so small that the blocks do nothing at first
    * Adam or Muon, clipped gradients, averaged weights and batches of 32 instead of RMSProp and batches of 16

Axes: B batch, C channels, H height, W width, h hidden features; maps between the blocks have 2h features.
"""

from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from zoo_autoregressive.masks import MaskedConv2d
from zoo_autoregressive.pixel_density import PixelConfig, PixelDensity, check_groups, logits_per_value, pixel_optimizer
from zoo_autoregressive.sampling.pixelcnn import PixelCNNState


class PixelCNNConfig(PixelConfig, kw_only=True):
    """Sizes of the network ([1], table 1)."""

    hidden: Annotated[int, Meta(ge=1, le=1024)] = 32  # h, features inside a block; a multiple of the channels
    layers: Annotated[int, Meta(ge=1, le=64)] = 15  # residual blocks
    head: Annotated[int, Meta(ge=1, le=4096)] = 32  # features of the two 1x1 layers before the logits
    optimizer: Literal["adam", "muon"] = "adam"  # Muon needs fewer steps

    def __post_init__(self) -> None:
        super().__post_init__()
        check_groups(self.channels, hidden=self.hidden, head=self.head)


class ResidualBlock(nn.Module):
    """x + 1x1(3x3(1x1(x))), a ReLU before each: 2h features to h and back to 2h ([1], figure 5, left).

    Maps [B, 2h, H, W] to the same shape. A 3x3 convolution looks one pixel to the right only in the row above, so a
    pixel k columns to the right is visible only k or more rows further down. All blocks together have a blind spot: a
    wedge above and to the right of each pixel.
    """

    def __init__(self, config: PixelCNNConfig) -> None:
        super().__init__()
        h, c = config.hidden, config.channels
        self.down = MaskedConv2d(2 * h, h, 1, groups=c, mask="B")
        self.conv = MaskedConv2d(h, h, 3, groups=c, mask="B")
        self.up = MaskedConv2d(h, 2 * h, 1, groups=c, mask="B")

    def forward(self, x: Tensor) -> Tensor:
        inner = self.down(torch.relu(x))
        new: Tensor = self.up(self.conv(inner.relu_()).relu_())
        return x + new


class PixelCNN(PixelDensity):
    """7x7 convolution with mask A, residual blocks, two 1x1 layers with ReLU, logits."""

    Config = PixelCNNConfig
    config: PixelCNNConfig
    ema = ("",)
    precision = "bf16"
    channels_last = True

    def __init__(self, config: PixelCNNConfig) -> None:
        super().__init__(config)
        self.optimizer = pixel_optimizer(config.optimizer, adam_lr=5e-3)
        c, width = config.channels, 2 * config.hidden
        self.input_conv = MaskedConv2d(c, width, 7, groups=c, mask="A")
        blocks = [ResidualBlock(config) for _ in range(config.layers)]
        self.layers = nn.ModuleList(blocks)
        self.head1 = MaskedConv2d(width, config.head, 1, groups=c, mask="B")
        self.head2 = MaskedConv2d(config.head, config.head, 1, groups=c, mask="B")
        self.output = MaskedConv2d(config.head, c * logits_per_value(config.levels), 1, groups=c, mask="B")
        for block in blocks:
            for conv, gain in ((block.down, 2), (block.conv, 2), (block.up, 2 / config.layers)):
                conv.init_weights(gain)  # the sum of all blocks is then as large as what comes in
        for conv, gain in ((self.input_conv, 1), (self.head1, 2), (self.head2, 2), (self.output, 1)):
            conv.init_weights(gain)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.input_conv(x)  # [B, 2h, H, W]
        for layer in self.layers:
            maps = layer(maps)
        maps = self.head1(torch.relu(maps))
        logits: Tensor = self.output(self.head2(maps.relu_()).relu_())  # [B, C * levels, H, W]
        logits = torch.unflatten(logits, 1, (self.config.channels, -1))
        return logits.transpose(1, 2)  # [B, levels, C, H, W]

    def begin_sampling(self, n: int) -> PixelCNNState:
        return PixelCNNState(self, n)
