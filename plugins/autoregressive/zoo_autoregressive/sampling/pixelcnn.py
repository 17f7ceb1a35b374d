"""Sampling from a PixelCNN, pixel by pixel, exactly.

A block's 3x3 convolution sees three pixels of the row above and two of its own row, so that two rows of its input
are all that must be kept. What the row above contributes is one product a row for all columns and blocks; a pixel
costs three small products a block. The equations are those of pixelcnn.py; the tests check the result with one full
forward pass on the final image.

Axes: B images, L blocks, W width, h hidden features; [L, features, columns * B] is a row of pixels.
"""

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from zoo_autoregressive.sampling.pixels import PixelState

if TYPE_CHECKING:
    from zoo_autoregressive.pixelcnn import PixelCNN, ResidualBlock


class PixelCNNState(PixelState):
    """`seen` holds the two pixels of its own row that a block's 3x3 convolution sees: [left; this one]."""

    def __init__(self, model: "PixelCNN", n: int) -> None:
        super().__init__(model, n)
        count, h = model.config.layers, self.hidden
        layers = cast("list[ResidualBlock]", list(model.layers))
        conv = torch.stack([layer.conv.masked_weight() for layer in layers])  # [L, h, h, 3, 3]
        self.above = conv[:, :, :, 0].transpose(2, 3).flatten(2)  # [L, h, 3h]: the columns left, here and right
        here = conv[:, :, :, 1, :2].transpose(2, 3).flatten(2)  # [L, h, 2h]
        self.bias = torch.stack([layer.conv.bias for layer in layers])[:, :, None]
        self.row = self.new(count, h, (self.width + 2) * n)  # the 3x3 convolutions' input, between two borders
        self.from_row = self.new(count, h, self.width * n)
        x = self.new(count + 1, 2 * h, n)  # before each block, and after the last
        self.features, self.last = x[0], x[-1]
        self.positive = self.new(2 * h, n)
        self.seen = self.new(count, 2 * h, n)
        # With a row of ones below it, a block's inner state brings the bias of `up` along: one operation less.
        self.inner = self.new(h + 1, n)
        self.inner[h] = 1
        blocks = [
            (
                layer.down.masked_weight().flatten(1),
                layer.down.bias[:, None],
                here[k],
                torch.cat([layer.up.masked_weight().flatten(1), layer.up.bias[:, None]], 1),
                self.seen[k],
                self.seen[k, h:],
                x[k],
                x[k + 1],
            )
            for k, layer in enumerate(layers)
        ]
        self.steps = [list(zip(blocks, columns, strict=True)) for columns in self.from_row.split(n, 2)]

    def run_layers(self, column: int) -> Tensor:
        positive, inner, middle = self.positive, self.inner, self.inner[:-1]
        for (down, bias, here, up, seen, this, x, after), from_row in self.steps[column]:
            torch.clamp_min(x, 0, out=positive)
            torch.addmm(bias, down, positive, out=this).relu_()
            torch.addmm(from_row, here, seen, out=middle).relu_()
            torch.addmm(x, up, inner, out=after)
        return self.last

    def begin_row(self, row: int) -> None:
        super().begin_row(row)
        self.seen.zero_()
        three = torch.cat([self.row.narrow(2, k * self.n, self.width * self.n) for k in range(3)], 1)  # [L, 3h, W * B]
        torch.baddbmm(self.bias, self.above, three, out=self.from_row)

    def end_pixel(self, column: int) -> None:
        left, this = self.seen.chunk(2, 1)
        self.row.narrow(2, (column + 1) * self.n, self.n).copy_(this)
        left.copy_(this)
