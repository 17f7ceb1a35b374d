"""PixelRNN: the Diagonal BiLSTM and the Row LSTM.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    pixelrnn.binarized-mnist: nll 79.03 ± 0.19 nats/example (binarized-mnist test), n = 10,000, exact; 1 run, 2 h with 2
        processes
    pixelrnn.digits: nll 77.92 ± 0.69 nats/example (digits test), n = 300, exact; 1 run, and 3 more with mean 77.89 ±
        0.041, 0.033 h
    pixelrnn-row.binarized-mnist: nll 82.45 ± 0.2 nats/example (binarized-mnist test), n = 10,000, exact; 1 run, 1.8 h
    pixelrnn-row.digits: nll 78.84 ± 0.69 nats/example (digits test), n = 300, exact; 1 run, and 3 more with mean 78.65
        ± 0.21, 0.034 h
    pixelrnn.cifar10-jpeg75-8x8: bits_per_dim 4.661 ± 0.0053 bits/dim (cifar10-jpeg75 test), n = 10,000, exact, after
        resize and quantize; 1 run, 0.62 h
    pixelrnn.mnist-dynamic: nll 79.87 ± 0.2 nats/example (mnist test), n = 10,000, exact, after binarize; 1 run, 1.4 h

Follows van den Oord et al., "Pixel Recurrent Neural Networks", 2016 (arXiv:1601.06759) [1]. In the paper's order: the
LSTM's cell (equation 3), the Row LSTM (3.1), the Diagonal BiLSTM (3.2), residual connections (3.3), masked convolutions
(3.4, in masks.py), the whole network (table 1). Each LSTM is written twice: plainly, as in the paper, which
`model.plain = True` runs, and as one call of the same recurrence in fast/lstm_sweep.py. Sampling pixel by pixel is in
sampling/pixelrnn.py.

Departs from [1]:
    * the states before the first pixel are zero, not learned
    * pixel values enter in [0, 1] as they are; the first bias centres them
    * no multi-scale variant
    * the convolutions are initialised as in He et al., 2015; the bias of forget gates begins at 1
    * Adam or Muon, clipped gradients, averaged weights and batches of 32 instead of RMSProp and batches of 16

Axes: C channels, H height, W width, P = H * W pixels, B batch, h hidden features; a layer's input and output have 2h.
Inside the network maps are [features, P, B]: features first and the batch innermost, pixels in raster order.
"""

from itertools import product
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from zoo_autoregressive.fast.lstm_sweep import diagonal_sweep, row_sweep, sweep_lstm
from zoo_autoregressive.masks import MaskedConv2d, MaskedLinear, group_mask
from zoo_autoregressive.pixel_density import PixelConfig, PixelDensity, check_groups, logits_per_value, pixel_optimizer
from zoo_autoregressive.sampling.pixelrnn import DiagonalState, RowState


class PixelRNNConfig(PixelConfig, kw_only=True):
    """Sizes of the network ([1], table 1)."""

    hidden: Annotated[int, Meta(ge=1, le=1024)] = 16  # h, features of one LSTM; a multiple of the channels
    layers: Annotated[int, Meta(ge=1, le=64)] = 7  # LSTM layers
    head: Annotated[int, Meta(ge=1, le=4096)] = 32  # features of the two 1x1 layers before the logits
    residual: bool = True  # whether a layer adds to its input ([1], 3.3), or replaces it
    optimizer: Literal["adam", "muon"] = "adam"  # Muon needs fewer steps

    def __post_init__(self) -> None:
        super().__post_init__()
        check_groups(self.channels, hidden=self.hidden, head=self.head)


# --- 3.1 Row LSTM ---------------------------------------------------------------------------------------------------


def lstm_cell(gates: Tensor, c_before: Tensor) -> tuple[Tensor, Tensor]:
    """Equation 3 of [1], after the convolutions: gates [4h, …], c of the step before [h, …] -> h and c, [h, …] each."""
    o, f, i, g = gates.chunk(4)
    c = torch.sigmoid(f) * c_before + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


class RowLSTM(nn.Module):
    """A step is a row: the state comes from three pixels of the row above, the input from the pixel and its left.

    Sees a triangle above each pixel. Maps [2h, P, B] to [h, P, B].
    """

    mask: Tensor

    def __init__(self, config: PixelRNNConfig) -> None:
        super().__init__()
        h = config.hidden
        self.width = config.width
        # The 1x3 input-to-state convolution with mask B has two taps left, [left pixel, pixel itself].
        self.input_to_state = nn.Parameter(torch.empty(1, 4 * h, 4 * h))
        self.state_to_state = nn.Parameter(torch.empty(3, 1, 4 * h, h))  # 1x3, not masked: the row above is known
        self.bias = nn.Parameter(torch.empty(1, 4 * h, 1))
        own = group_mask(h, 2 * h, config.channels, "B").repeat(4, 1)
        self.register_buffer("mask", torch.cat([torch.ones_like(own), own], 1), persistent=False)
        _initialise(self, fan_in=7 * h)
        self.sweep = row_sweep(config.height, config.width)

    def masked_weight(self) -> Tensor:
        """Input-to-state weight in use, [1, 4h, 4h]."""
        return self.input_to_state * self.mask

    def forward(self, x: Tensor, plain: bool = False) -> Tensor:
        rows = x.unflatten(1, (-1, self.width))  # [2h, H, W, B]
        left = F.pad(rows, (0, 0, 1, -1)).flatten(1, 2)  # the map, one pixel to the right
        both = torch.cat([left, x])  # [4h, P, B]
        if plain:
            return self.recurrence(both.unflatten(1, (-1, self.width))).flatten(1, 2)
        return sweep_lstm(both, self.masked_weight(), self.bias, self.state_to_state, self.sweep)[0]

    def recurrence(self, both: Tensor) -> Tensor:
        """Row after row: left pixel and pixel itself, [4h, H, W, B] -> [h, H, W, B]."""
        inputs = torch.einsum("oi,ihwb->howb", self.masked_weight()[0], both) + self.bias[0, :, :, None]
        h = c = both.new_zeros(self.state_to_state.shape[3], *both.shape[2:])  # [h, W, B], above the image
        rows = []
        for gates in inputs:  # [4h, W, B]
            above = F.pad(h, (0, 0, 1, 1)).unfold(1, 3, 1)  # [h, W, B, 3], the three pixels above each
            h, c = lstm_cell(gates + torch.einsum("koi,iwbk->owb", self.state_to_state[:, 0], above), c)
            rows.append(h)
        return torch.stack(rows, 1)


# --- 3.2 Diagonal BiLSTM --------------------------------------------------------------------------------------------


class DiagonalBiLSTM(nn.Module):
    """A step is a diagonal: the state comes from the pixel to the left and the pixel above. A second LSTM does the same
    on the mirrored map. Together they see the features of all pixels before each pixel, but for one: see
    `DiagonalPixelRNN`.

    Maps [2h, P, B] to [h, P, B].
    """

    mask: Tensor
    order: Tensor

    def __init__(self, config: PixelRNNConfig) -> None:
        super().__init__()
        h = config.hidden
        self.height, self.width = config.height, config.width
        self.input_to_state = nn.Parameter(torch.empty(2, 4 * h, 2 * h))  # 1x1, one for each direction
        self.state_to_state = nn.Parameter(torch.empty(2, 2, 4 * h, h))  # [left or up, direction, …]
        self.bias = nn.Parameter(torch.empty(2, 4 * h, 1))
        own = group_mask(h, 2 * h, config.channels, "B").repeat(4, 1)
        self.register_buffer("mask", own, persistent=False)
        _initialise(self, fan_in=4 * h)
        self.sweep, order = diagonal_sweep(config.height, config.width)
        self.register_buffer("order", order, persistent=False)

    def masked_weight(self) -> Tensor:
        """Input-to-state weight in use, [2, 4h, 2h]."""
        return self.input_to_state * self.mask

    def forward(self, x: Tensor, plain: bool = False) -> Tensor:
        if plain:
            maps = x.unflatten(1, (self.height, self.width))
            left = self.recurrence(maps, 0).flatten(1, 2)
            right = self.recurrence(maps.flip(2), 1).flip(2).flatten(1, 2)
        else:
            left, right = sweep_lstm(x, self.masked_weight(), self.bias, self.state_to_state, self.sweep, self.order)
        # The mirrored LSTM sees pixels to the right in its own row, which are not known yet. Moved down one row, it
        # only tells what lies above ([1], 3.2): pixel (i, j) gets the mirrored state of (i - 1, j).
        return left + F.pad(right, (0, 0, self.width, -self.width))

    def recurrence(self, x: Tensor, direction: int) -> Tensor:
        """From the top left corner: [2h, H, W, B] -> [h, H, W, B]. Pixel by pixel. The pixels of a diagonal are
        independent of each other: the paper skews the map to compute them at once, as fast/lstm_sweep.py does."""
        to_left, to_up = self.state_to_state[:, direction]
        inputs = torch.einsum("oi,ihwb->hwob", self.masked_weight()[direction], x) + self.bias[direction]
        border = x.new_zeros(to_up.shape[1], x.shape[3])  # [h, B]
        h: dict[tuple[int, int], Tensor] = {}
        c: dict[tuple[int, int], Tensor] = {}
        for i, j in product(range(self.height), range(self.width)):
            left, up = (i, j - 1), (i - 1, j)
            gates = inputs[i, j] + to_left @ h.get(left, border) + to_up @ h.get(up, border)  # [4h, B]
            h[i, j], c[i, j] = lstm_cell(gates, c.get(left, border))
        return torch.unflatten(torch.stack(list(h.values()), 1), 1, (self.height, self.width))


def _initialise(lstm: RowLSTM | DiagonalBiLSTM, fan_in: int) -> None:
    bound = fan_in**-0.5
    nn.init.uniform_(lstm.input_to_state, -bound, bound)
    nn.init.uniform_(lstm.state_to_state, -bound, bound)
    bias = torch.zeros_like(lstm.bias)
    bias.chunk(4, 1)[1].fill_(1)  # the gates are o, f, i, g; a new LSTM remembers
    with torch.no_grad():
        lstm.bias.copy_(bias)


# --- 3.3 Residual connections, and the whole network (table 1) ------------------------------------------------------


class ResidualLayer(nn.Module):
    """x + up(LSTM(x)), where the 1x1 convolution `up` brings the h states to the 2h features of x ([1], figure 5).

    Without residual connections, up(LSTM(x)).
    """

    def __init__(self, lstm: RowLSTM | DiagonalBiLSTM, config: PixelRNNConfig) -> None:
        super().__init__()
        self.lstm = lstm
        self.residual = config.residual
        self.up = MaskedLinear(config.hidden, 2 * config.hidden, groups=config.channels)

    def forward(self, x: Tensor, plain: bool = False) -> Tensor:
        new: Tensor = self.up(self.lstm(x, plain))
        return x + new if self.residual else new


class PixelRNN(PixelDensity):
    """7x7 convolution with mask A, residual LSTM layers, two 1x1 layers with ReLU, logits."""

    Config = PixelRNNConfig
    config: PixelRNNConfig
    LSTM: type[RowLSTM] | type[DiagonalBiLSTM]
    ema = ("",)
    cpu_threads = 1  # many small operations: a second thread costs more than it gives

    def __init__(self, config: PixelRNNConfig) -> None:
        super().__init__(config)
        self.optimizer = pixel_optimizer(config.optimizer, adam_lr=3e-3)
        c, width = config.channels, 2 * config.hidden
        self.input_conv = MaskedConv2d(c, width, 7, groups=c, mask="A")
        blocks = [ResidualLayer(self.LSTM(config), config) for _ in range(config.layers)]
        self.layers = nn.ModuleList(blocks)
        self.head1 = MaskedLinear(width, config.head, groups=c)
        self.head2 = MaskedLinear(config.head, config.head, groups=c)
        self.output = MaskedLinear(config.head, c * logits_per_value(config.levels), groups=c)
        for layer, gain in ((self.input_conv, 1), (self.head1, 2), (self.head2, 2), (self.output, 1)):
            layer.init_weights(gain)  # 2 after a ReLU, which halves the mean square
        for block in blocks:
            block.up.init_weights(1)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.input_conv(x).flatten(2).permute(1, 2, 0).contiguous()  # [2h, P, B]
        for layer in self.layers:
            maps = layer(maps, self.plain)
        logits, c = self.read_out(maps), self.config  # [C * levels, P, B]
        logits = torch.unflatten(logits, 1, (c.height, c.width))
        logits = torch.unflatten(logits, 0, (c.channels, -1))  # [C, levels, H, W, B]
        return logits.permute(4, 1, 0, 2, 3)  # [B, levels, C, H, W]

    def read_out(self, maps: Tensor) -> Tensor:
        """Logits from the last layer's features: [2h, P, B] -> [C * (1 or levels), P, B]."""
        logits: Tensor = self.output(torch.relu(self.head2(torch.relu(self.head1(torch.relu(maps))))))
        return logits


class DiagonalPixelRNN(PixelRNN):
    """PixelRNN with Diagonal BiLSTM layers: every pixel sees all pixels before it, with one exception.

    That is the last pixel of the row above, if it is more than 3 columns away. The mirrored LSTM starts there, and the
    features at a pixel do not contain its own value (mask A).
    """

    LSTM = DiagonalBiLSTM

    def begin_sampling(self, n: int) -> DiagonalState:
        return DiagonalState(self, n)


class RowPixelRNN(PixelRNN):
    """PixelRNN with Row LSTM layers: faster, and blind to the far corners of the rows above."""

    LSTM = RowLSTM

    def begin_sampling(self, n: int) -> RowState:
        return RowState(self, n)
