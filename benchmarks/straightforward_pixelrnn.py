"""The Diagonal BiLSTM as it is usually written in PyTorch: the peer that `pixelrnn.py` measures against.

The map is skewed row by row in Python, each column of the skewed map is one `conv2d`, the two directions are two
passes, and autograd differentiates it all. The mistakes that such code often has (see the tests of the autoregressive
plugin) are not in it: it computes what `DiagonalPixelRNN` computes.

Axes: B batch, H height, W width, S = H + W - 1 columns of the skewed map, h hidden features.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_autoregressive.pixelrnn import DiagonalBiLSTM, DiagonalPixelRNN


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


class Layer(nn.Module):
    """Two directions, the mirrored one moved down a row, and the residual connection; keeps [B, 2h, H, W]."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.left = Direction(hidden)
        self.right = Direction(hidden)
        self.up = nn.Conv2d(hidden, 2 * hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        left = self.left(x)
        right = self.right(x.flip(3)).flip(3)
        above = F.pad(right, (0, 0, 1, -1))  # row 0 becomes zero
        return x + self.up(left + above)


class StraightforwardPixelRNN(nn.Module):
    """Has the weights of `model` at the time it is made, and its logits: [B, C, H, W] -> [B, 1 or levels, C, H, W].

    NOTE: masks are applied once, to the copy. That is enough to train images of one channel, whose 1x1 masks hide
    nothing; the input convolution's mask is applied at every use.
    """

    def __init__(self, model: DiagonalPixelRNN) -> None:
        super().__init__()
        c = model.config
        width, outputs = 2 * c.hidden, model.output.out_features
        self.channels = c.channels
        self.register_buffer("mask", model.input_conv.mask.clone())
        self.input_conv = nn.Conv2d(c.channels, width, 7, padding=3)
        self.layers = nn.Sequential(*(Layer(c.hidden) for _ in range(c.layers)))
        self.head1 = nn.Conv2d(width, c.head, 1)
        self.head2 = nn.Conv2d(c.head, c.head, 1)
        self.output = nn.Conv2d(c.head, outputs, 1)
        self.to(model.input_conv.weight)  # same device and precision
        with torch.no_grad():
            self.input_conv.load_state_dict(model.input_conv.state_dict())
            for name in ("head1", "head2", "output"):
                copy_1x1(getattr(self, name), getattr(model, name).masked_weight(), getattr(model, name).bias)
            for layer, ours in zip(self.layers, model.layers, strict=True):
                copy_1x1(layer.up, ours.up.masked_weight(), ours.up.bias)
                copy_direction(layer.left, ours.lstm, 0)
                copy_direction(layer.right, ours.lstm, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = F.conv2d(x, self.input_conv.weight * self.mask, self.input_conv.bias, padding=3)
        maps = F.relu(self.layers(maps))
        logits = self.output(F.relu(self.head2(F.relu(self.head1(maps)))))  # [B, C * levels, H, W]
        return logits.unflatten(1, (self.channels, -1)).transpose(1, 2)


def copy_1x1(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    conv.weight.copy_(weight[:, :, None, None])
    conv.bias.copy_(bias)


def copy_direction(direction: Direction, lstm: DiagonalBiLSTM, k: int) -> None:
    copy_1x1(direction.input_to_state, lstm.masked_weight()[k], lstm.bias[k, :, 0])
    left, up = lstm.state_to_state[:, k]
    direction.state_to_state.weight.copy_(torch.stack([up, left], 2)[..., None])
