"""PixelRNN: the Diagonal BiLSTM and the Row LSTM.

Follows van den Oord et al., "Pixel Recurrent Neural Networks", 2016 (arXiv:1601.06759) [1]. In the paper's order: the
Row LSTM (3.1), the Diagonal BiLSTM (3.2), residual connections (3.3), masked convolutions (3.4, in masks.py), the whole
network (table 1). The recurrence of both LSTMs is in lstm_sweep.py, drawing pixel by pixel in pixelrnn_drawing.py.

NOTE, where this differs from [1]: the states before the first pixel are zero, not learned; pixel values enter in [0, 1]
as they are (the first bias centres them); no multi-scale variant; the convolutions begin by He's rule; Adam or
Muon, clipped gradients, averaged weights and batches of 32 instead of RMSProp and batches of 16.

Axes: B batch, C channels, H height, W width, P = H * W pixels, h hidden features; a layer's input and output have 2h.
Inside the network maps are [features, P * B]: pixels in the order in which the LSTM visits them, the batch innermost,
so that a step of the LSTM is one contiguous run of columns.
"""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from zoo_autoregressive.lstm_sweep import Sweep, sweep_lstm
from zoo_autoregressive.masks import MaskedConv2d, MaskedLinear, group_mask
from zoo_autoregressive.pixel_density import PixelConfig, PixelDensity, check_groups, logits_per_value, pixel_optimizer
from zoo_autoregressive.pixelrnn_drawing import DiagonalDrawing, RowDrawing


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


class RowLSTM(nn.Module):
    """A step is a row: the state comes from three pixels of the row above, the input from the pixel and its left.

    Sees a triangle above each pixel. Maps [2h, P * B] in raster order to [h, P * B].
    """

    mask: Tensor

    def __init__(self, config: PixelRNNConfig) -> None:
        super().__init__()
        h = config.hidden
        self.width = config.width
        self.sweep = Sweep(((0, config.width),) * config.height, neighbours=(-1, 0, 1))
        # The 1x3 input-to-state convolution with mask B has two taps left, [left pixel, pixel itself].
        self.input_to_state = nn.Parameter(torch.empty(1, 4 * h, 4 * h))
        self.state_to_state = nn.Parameter(torch.empty(3, 1, 4 * h, h))  # 1x3, not masked: the row above is known
        self.bias = nn.Parameter(torch.empty(1, 4 * h, 1))
        own = group_mask(h, 2 * h, config.channels, "B").repeat(4, 1)
        self.register_buffer("mask", torch.cat([torch.ones_like(own), own], 1), persistent=False)
        _initialise(self, fan_in=7 * h)

    def masked_weight(self) -> Tensor:
        """Input-to-state weight in use, [1, 4h, 4h]."""
        return self.input_to_state * self.mask

    def forward(self, x: Tensor, batch: int) -> Tensor:
        rows = x.unflatten(1, (-1, self.width, batch))  # [2h, H, W, B]
        left = F.pad(rows, (0, 0, 1, -1)).flatten(1)  # the map, one pixel to the right
        both = torch.cat([left, x])  # [4h, P * B]
        return sweep_lstm([both], self.masked_weight(), self.bias, self.state_to_state, self.sweep, batch)[0]


# --- 3.2 Diagonal BiLSTM --------------------------------------------------------------------------------------------


class DiagonalBiLSTM(nn.Module):
    """A step is a diagonal: the state comes from the pixel to the left and the pixel above, so that a layer sees the
    features of the whole image before each pixel. A second LSTM does the same on the mirrored map.

    Maps [2h, P * B] in diagonal order to [h, P * B].
    """

    mask: Tensor
    to_mirrored: Tensor
    from_mirrored: Tensor
    first_row: Tensor

    def __init__(self, config: PixelRNNConfig) -> None:
        super().__init__()
        h, height, width = config.hidden, config.height, config.width
        diagonals = range(height + width - 1)
        steps = tuple((max(0, d - width + 1), min(d, height - 1) + 1) for d in diagonals)
        # A slot is a row: the left pixel is in the same row of the diagonal before, the upper one in the row above.
        self.sweep = Sweep(steps, neighbours=(0, -1))
        self.input_to_state = nn.Parameter(torch.empty(2, 4 * h, 2 * h))  # 1x1, one for each direction
        self.state_to_state = nn.Parameter(torch.empty(2, 2, 4 * h, h))  # [left or up, direction, …]
        self.bias = nn.Parameter(torch.empty(2, 4 * h, 1))
        own = group_mask(h, 2 * h, config.channels, "B").repeat(4, 1)
        self.register_buffer("mask", own, persistent=False)
        _initialise(self, fan_in=4 * h)

        # Cell k of a diagonal order is pixel order[k]; the mirrored order visits the mirrored map the same way.
        order = diagonal_order(height, width)
        row, column = order // width, order % width
        mirrored = row * width + (width - 1 - column)
        cell, mirrored_cell = torch.argsort(order), torch.argsort(mirrored)  # of each pixel
        self.register_buffer("to_mirrored", cell[mirrored], persistent=False)
        # The mirrored LSTM sees pixels to the right in its own row, which are not known yet. Moved down one row, it
        # only tells what lies above ([1], 3.2): pixel (i, j) gets the mirrored state of (i - 1, j).
        self.register_buffer("from_mirrored", mirrored_cell[(order - width).clamp(min=0)], persistent=False)
        self.register_buffer("first_row", (row == 0).nonzero()[:, 0], persistent=False)

    def masked_weight(self) -> Tensor:
        """Input-to-state weight in use, [2, 4h, 2h]."""
        return self.input_to_state * self.mask

    def forward(self, x: Tensor, batch: int) -> Tensor:
        cells = x.unflatten(1, (-1, batch))  # [2h, P, B]
        mirrored = cells.index_select(1, self.to_mirrored).flatten(1)
        states = sweep_lstm([x, mirrored], self.masked_weight(), self.bias, self.state_to_state, self.sweep, batch)
        left, right = states.unflatten(2, (-1, batch))  # [h, P, B] each
        above = right.index_select(1, self.from_mirrored).index_fill(1, self.first_row, 0)
        return (left + above).flatten(1)


def diagonal_order(height: int, width: int) -> Tensor:
    """The pixels (as row * width + column), diagonal after diagonal, each from its top row down; [P]."""
    pixels = torch.arange(height * width)
    row, column = pixels // width, pixels % width
    return torch.argsort((row + column) * height + row)


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

    def forward(self, x: Tensor, batch: int) -> Tensor:
        new = self.up(self.lstm(x, batch))
        return x + new if self.residual else new


class PixelRNN(PixelDensity):
    """7x7 convolution with mask A, residual LSTM layers, two 1x1 layers with ReLU, logits."""

    Config = PixelRNNConfig
    LSTM: type[RowLSTM] | type[DiagonalBiLSTM]
    order: Tensor
    ema = ("",)
    cpu_threads = 1  # many small operations: a second thread costs more than it gives

    def __init__(self, config: PixelRNNConfig) -> None:
        super().__init__(config)
        self.optimizer = pixel_optimizer(config.optimizer, adam_lr=3e-3)
        c, width = config.channels, 2 * config.hidden
        self.input_conv = MaskedConv2d(c, width, 7, groups=c, mask="A")
        self.layers = nn.ModuleList(ResidualLayer(self.LSTM(config), config) for _ in range(config.layers))
        self.head1 = MaskedLinear(width, config.head, groups=c)
        self.head2 = MaskedLinear(config.head, config.head, groups=c)
        self.output = MaskedLinear(config.head, c * logits_per_value(config.levels), groups=c)
        self.register_buffer("order", self.pixel_order(config.height, config.width), persistent=False)
        for layer, gain in ((self.input_conv, 1), (self.head1, 2), (self.head2, 2), (self.output, 1)):
            layer.start(gain)  # 2 after a ReLU, which halves the mean square
        for layer in self.layers:
            layer.up.start(1)

    @staticmethod
    def pixel_order(height: int, width: int) -> Tensor:
        """The pixel that each cell of the maps holds, [P]."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[0]
        maps = self.input_conv(x).flatten(2).permute(1, 2, 0)  # [2h, P, B]
        maps = maps.index_select(1, self.order).flatten(1)  # [2h, P * B]
        for layer in self.layers:
            maps = layer(maps, batch)
        logits = self.read_out(maps).unflatten(1, (-1, batch))  # [C * levels, P, B]
        logits = logits.index_select(1, torch.argsort(self.order))
        c = self.config
        return logits.reshape(c.channels, -1, c.height, c.width, batch).permute(4, 1, 0, 2, 3)  # [B, levels, C, H, W]

    def read_out(self, maps: Tensor) -> Tensor:
        """Logits from the last layer's features: [2h, N] -> [C * (1 or levels), N]."""
        return self.output(torch.relu(self.head2(torch.relu(self.head1(torch.relu(maps))))))


class DiagonalPixelRNN(PixelRNN):
    """PixelRNN with Diagonal BiLSTM layers: every pixel sees all pixels before it, but for one.

    That is the last pixel of the row above, where it is more than 3 columns away: the features at a pixel do not hold
    its own value (mask A), and the mirrored direction begins there.
    """

    LSTM = DiagonalBiLSTM

    @staticmethod
    def pixel_order(height: int, width: int) -> Tensor:
        return diagonal_order(height, width)

    def begin_drawing(self, n: int) -> DiagonalDrawing:
        return DiagonalDrawing(self, n)


class RowPixelRNN(PixelRNN):
    """PixelRNN with Row LSTM layers: faster, and blind to the far corners of the rows above."""

    LSTM = RowLSTM

    @staticmethod
    def pixel_order(height: int, width: int) -> Tensor:
        return torch.arange(height * width)

    def begin_drawing(self, n: int) -> RowDrawing:
        return RowDrawing(self, n)
