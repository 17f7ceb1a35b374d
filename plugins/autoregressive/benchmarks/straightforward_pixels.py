"""PixelCNN and both PixelRNNs as they are usually written in PyTorch: the peers that `pixels.py` measures against.

PixelCNN is the design of pytorch-generative, restated: plain convolutions whose weights are masked at every use. Of the
LSTMs there is no library: the Row LSTM is one `conv2d` a row; for the Diagonal BiLSTM the map is skewed row by row in
Python, each column of the skewed map is one `conv2d`, and the two directions are two passes. Autograd differentiates
it all. The mistakes that such code often has (see the tests of the autoregressive plugin) are not in it: it
computes what our models compute.

Axes: B batch, H height, W width, S = H + W - 1 columns of the skewed map, h hidden features.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_autoregressive.masks import MaskedConv2d
from zoo_autoregressive.pixelcnn import PixelCNN
from zoo_autoregressive.pixelcnn import ResidualBlock as OurBlock
from zoo_autoregressive.pixelrnn import DiagonalBiLSTM, PixelRNN, ResidualLayer, RowLSTM


def skewed(x: Tensor) -> Tensor:
    """Row i moved i places to the right: [B, n, H, W] -> [B, n, H, S]; what was not there is zero."""
    height = x.shape[2]
    return torch.stack([F.pad(x[:, :, i], (i, height - 1 - i)) for i in range(height)], 2)


def unskewed(x: Tensor, width: int) -> Tensor:
    """Takes `skewed` back: [B, n, H, S] -> [B, n, H, W]."""
    return torch.stack([x[:, :, i, i : i + width] for i in range(x.shape[2])], 2)


class Direction(nn.Module):
    """One LSTM along the diagonals, from the top left corner: [B, 2h, H, W] -> [B, h, H, W]."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.input_to_state = nn.Conv2d(2 * hidden, 4 * hidden, 1)
        self.state_to_state = nn.Conv2d(hidden, 4 * hidden, (2, 1), bias=False)  # over the upper and the left neighbour

    def forward(self, x: Tensor) -> Tensor:
        batch, _, height, width = x.shape
        # Skewed after the convolution: where there is no pixel, gates without a bias keep the state at zero.
        inputs = skewed(self.input_to_state(x))  # [B, 4h, H, S]
        h = c = x.new_zeros(batch, self.hidden, height, 1)
        columns = []
        for column in inputs.split(1, 3):
            z = column + self.state_to_state(F.pad(h, (0, 0, 1, 0)))  # [B, 4h, H, 1]
            o, f, i, g = z.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            columns.append(h)
        return unskewed(torch.cat(columns, 3), width)


class DiagonalLayer(nn.Module):
    """Two directions, the mirrored one moved down a row, and the residual connection; keeps [B, 2h, H, W]."""

    def __init__(self, ours: ResidualLayer, hidden: int) -> None:
        super().__init__()
        self.left = Direction(hidden)
        self.right = Direction(hidden)
        self.up = nn.Conv2d(hidden, 2 * hidden, 1)
        copy_1x1(self.up, ours.up.masked_weight(), ours.up.bias)
        copy_direction(self.left, ours.lstm, 0)
        copy_direction(self.right, ours.lstm, 1)

    def forward(self, x: Tensor) -> Tensor:
        left = self.left(x)
        right = self.right(x.flip(3)).flip(3)
        above = F.pad(right, (0, 0, 1, -1))  # row 0 becomes zero
        return x + self.up(left + above)


class RowLayer(nn.Module):
    """The LSTM from the top row down, and the residual connection; keeps [B, 2h, H, W]."""

    def __init__(self, ours: ResidualLayer, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.input_to_state = nn.Conv2d(2 * hidden, 4 * hidden, (1, 2))  # over the left pixel and the pixel itself
        self.state_to_state = nn.Conv2d(hidden, 4 * hidden, (1, 3), padding=(0, 1), bias=False)
        self.up = nn.Conv2d(hidden, 2 * hidden, 1)
        copy_1x1(self.up, ours.up.masked_weight(), ours.up.bias)
        lstm = ours.lstm
        assert isinstance(lstm, RowLSTM)
        with torch.no_grad():
            left, here = lstm.masked_weight()[0].chunk(2, 1)
            self.input_to_state.weight.copy_(torch.stack([left, here], 2)[:, :, None])
            self.input_to_state.bias.copy_(lstm.bias[0, :, 0])
            self.state_to_state.weight.copy_(lstm.state_to_state[:, 0].permute(1, 2, 0)[:, :, None])

    def forward(self, x: Tensor) -> Tensor:
        inputs = self.input_to_state(F.pad(x, (1, 0)))  # [B, 4h, H, W]
        h = c = x.new_zeros(len(x), self.hidden, 1, x.shape[3])
        rows = []
        for row in inputs.split(1, 2):
            o, f, i, g = (row + self.state_to_state(h)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            rows.append(h)
        return x + self.up(torch.cat(rows, 2))


class CausalConv2d(nn.Conv2d):
    """A convolution whose weight is masked at every use."""

    def __init__(self, ours: MaskedConv2d) -> None:
        super().__init__(ours.in_channels, ours.out_channels, ours.kernel_size, padding=ours.padding)
        self.register_buffer("mask", ours.mask.clone())
        self.load_state_dict(ours.state_dict(), strict=False)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight * self.mask, self.bias)


class ConvolutionBlock(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, a ReLU before each, and the residual connection."""

    def __init__(self, ours: OurBlock) -> None:
        super().__init__()
        convolutions = (CausalConv2d(conv) for conv in (ours.down, ours.conv, ours.up))
        self.layers = nn.Sequential(*(layer for conv in convolutions for layer in (nn.ReLU(), conv)))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Straightforward(nn.Module):
    """Has the weights of `model` at the time it is made, and its logits: [B, C, H, W] -> [B, 1 or levels, C, H, W].

    NOTE: the masks of LSTMs and 1x1 layers are applied once, to the copy. That is enough to train images of one
    channel, where they hide nothing.
    """

    def __init__(self, model: PixelRNN | PixelCNN) -> None:
        super().__init__()
        self.channels = model.config.channels
        self.input_conv = CausalConv2d(model.input_conv)
        self.layers = nn.Sequential(*(layer_like(ours, model.config.hidden) for ours in model.layers))
        self.head = nn.Sequential()
        for ours in (model.head1, model.head2, model.output):
            weight = ours.masked_weight()
            conv = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
            copy_1x1(conv, weight, ours.bias)
            self.head.extend([nn.ReLU(), conv])
        self.to(model.input_conv.weight)  # same device and precision

    def forward(self, x: Tensor) -> Tensor:
        logits = self.head(self.layers(self.input_conv(x)))  # [B, C * levels, H, W]
        return logits.unflatten(1, (self.channels, -1)).transpose(1, 2)


def layer_like(ours: ResidualLayer | OurBlock, hidden: int) -> nn.Module:
    """The peer of one layer, with its weights."""
    if isinstance(ours, OurBlock):
        return ConvolutionBlock(ours)
    return (DiagonalLayer if isinstance(ours.lstm, DiagonalBiLSTM) else RowLayer)(ours, hidden)


@torch.no_grad()
def copy_1x1(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    conv.weight.copy_(weight.reshape(conv.weight.shape))
    conv.bias.copy_(bias)


@torch.no_grad()
def copy_direction(direction: Direction, lstm: DiagonalBiLSTM, k: int) -> None:
    copy_1x1(direction.input_to_state, lstm.masked_weight()[k], lstm.bias[k, :, 0])
    left, up = lstm.state_to_state[:, k]
    direction.state_to_state.weight.copy_(torch.stack([up, left], 2)[..., None])
