"""Masked convolutions: a pixel sees only what comes before it in raster order.

Follows van den Oord et al., "Pixel Recurrent Neural Networks", 2016 (arXiv:1601.06759) [1], section 3.4.

Pixels are ordered row by row, and the channels of one pixel R, then G, then B. Every feature map is split into as many
groups as the image has channels; group g holds what may be known when channel g of the pixel is drawn.
"""

from typing import Literal

import torch
from torch import Tensor, nn

Mask = Literal["A", "B"]  # A hides the value itself, for the first layer; B shows it, for all later ones ([1], fig. 2)


def group_mask(n_out: int, n_in: int, groups: int, mask: Mask) -> Tensor:
    """Which input maps an output map may see at its own pixel, [n_out, n_in] of 0 and 1."""
    group_out = torch.arange(n_out) * groups // n_out
    group_in = torch.arange(n_in) * groups // n_in
    allowed = group_in < group_out[:, None] if mask == "A" else group_in <= group_out[:, None]
    return allowed.float()


class MaskedConv2d(nn.Conv2d):
    """Convolution over the pixels above and to the left, and over the pixel itself as far as the mask allows.

    Maps [B, n_in, H, W] to [B, n_out, H, W]; `kernel` is odd; beyond the border is zero. `groups` are the colours that
    the features belong to, and not the groups of `nn.Conv2d`.
    """

    mask: Tensor
    bias: Tensor  # it always has one

    def __init__(self, n_in: int, n_out: int, kernel: int, *, groups: int, mask: Mask) -> None:
        super().__init__(n_in, n_out, kernel, padding=kernel // 2)
        centre = kernel // 2
        taps = torch.zeros(n_out, n_in, kernel, kernel)
        taps[:, :, :centre] = 1
        taps[:, :, centre, :centre] = 1
        taps[:, :, centre, centre] = group_mask(n_out, n_in, groups, mask)
        self.register_buffer("mask", taps, persistent=False)

    def masked_weight(self) -> Tensor:
        """The weight in use. Masked at every use: weight decay and Adam would move it otherwise."""
        return self.weight * self.mask

    def init_weights(self, gain: float) -> None:
        """Fill the weights so that outputs have `gain` times the mean square of the inputs, biases with zero."""
        _init_weights(self, gain)

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self._conv_forward(x, self.masked_weight(), self.bias)
        return maps


class MaskedLinear(nn.Linear):
    """The 1x1 convolution with mask B, over maps whose features come first: [n_in, …] to [n_out, …].

    Feature-first maps make every row of the matrix product contiguous, whatever the order of the pixels.
    """

    mask: Tensor

    def __init__(self, n_in: int, n_out: int, *, groups: int, repeat: int = 1) -> None:
        """`repeat`: the outputs are that many blocks (the gates of an LSTM), each split into groups on its own."""
        super().__init__(n_in, n_out)
        mask = group_mask(n_out // repeat, n_in, groups, "B").repeat(repeat, 1)
        self.register_buffer("mask", mask, persistent=False)

    def masked_weight(self) -> Tensor:
        """The weight in use."""
        return self.weight * self.mask

    def init_weights(self, gain: float) -> None:
        """Fill the weights so that outputs have `gain` times the mean square of the inputs, biases with zero."""
        _init_weights(self, gain)

    def forward(self, x: Tensor) -> Tensor:
        maps = torch.addmm(self.bias[:, None], self.masked_weight(), x.flatten(1))
        return torch.unflatten(maps, 1, x.shape[1:])


@torch.no_grad()
def _init_weights(layer: MaskedConv2d | MaskedLinear, gain: float) -> None:
    """As He et al., 2015 (arXiv:1502.01852), section 2.2, but counting only the weights that the mask leaves."""
    visible = layer.mask.flatten(1).sum(1).clamp(min=1)  # of each output, [n_out]
    nn.init.normal_(layer.weight)
    nn.init.zeros_(layer.bias)
    layer.weight.mul_((gain / visible).sqrt().view(-1, *[1] * (layer.weight.ndim - 1)))
