"""Sampling pixel by pixel: what PixelRNN and PixelCNN share.

A naive sampler runs the network once for every pixel. Here what the rows above contribute is computed once a row for
all columns, and a pixel costs what is new there. The first convolution, the order of things and the read-out are the
same for both networks; what stands between is the subclasses'.

What counts is the number of operations, so all of them write into buffers whose views are cut once.

Axes: B images, C channels, W width; the batch is last.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from zoo_autoregressive.pixelcnn import PixelCNN
    from zoo_autoregressive.pixelrnn import PixelRNN


class PixelState:
    """Images that are being sampled. Subclasses compute the layers at one pixel, from `features` on.

    Attributes:
        features: [2h, B], where the first convolution at one pixel is written; the subclass makes it.
        image: the image with the border that the 7x7 convolution sees, [C, 3 + H, 3 + W + 3, B].
    """

    features: Tensor

    def __init__(self, model: "PixelCNN | PixelRNN", n: int) -> None:
        c = model.config
        self.n, self.hidden, self.width, self.channels = n, c.hidden, c.width, c.channels
        self.new = model.input_conv.weight.new_zeros
        weight = model.input_conv.masked_weight()  # [2h, C, 7, 7]
        self.conv_above = weight[:, :, :3].flatten(1)  # [2h, C * 3 * 7]
        self.conv_here = weight[:, :, 3, :4].flatten(1)  # [2h, C * 4]: three pixels to the left, and the pixel itself
        self.conv_bias = model.input_conv.bias[:, None]
        self.image = self.new(c.channels, 3 + c.height, c.width + 6, n)
        self.from_above = self.new(c.width, 2 * c.hidden, n)
        heads = (model.head1, model.head2, model.output)
        self.read_out = [(head.masked_weight().flatten(1), head.bias[:, None]) for head in heads]
        self.at = (-1, -1)  # the pixel whose features are being computed

    def logits(self, row: int, column: int, channel: int) -> Tensor:
        if self.at != (row, column):
            if column == 0:
                self.begin_row(row)
            self.at = (row, column)
        here = self.image[:, 3 + row, column : column + 4].flatten(0, 1)  # [C * 4, B]
        torch.addmm(self.from_above[column], self.conv_here, here, out=self.features)
        maps = self.run_layers(column)
        for weight, bias in self.read_out:
            maps = torch.addmm(bias, weight, maps.relu_())
        levels = maps.shape[0] // self.channels
        return maps[channel * levels : (channel + 1) * levels]

    def put(self, row: int, column: int, channel: int, value: Tensor) -> None:
        self.image[channel, 3 + row, 3 + column] = value
        if channel == self.channels - 1:
            self.end_pixel(column)

    def begin_row(self, row: int) -> None:
        """What the image above contributes to the first convolution, for all columns."""
        above = self.image[:, row : row + 3].unfold(2, 7, 1)  # [C, 3, W, B, 7]
        above = above.permute(2, 0, 1, 4, 3).flatten(1, 3)  # [W, C * 3 * 7, B]
        torch.baddbmm(self.conv_bias, self.conv_above.expand(self.width, -1, -1), above, out=self.from_above)

    def run_layers(self, column: int) -> Tensor:
        """The features after all layers at this column, [2h, B], in a buffer that may be written over."""
        raise NotImplementedError

    def end_pixel(self, column: int) -> None:
        """Keep the states of the pixel that was sampled, for the next one and for the next row."""
        raise NotImplementedError
