"""PixelRNN: the Diagonal BiLSTM and the Row LSTM.

Follows van den Oord et al., "Pixel Recurrent Neural Networks", 2016 (arXiv:1601.06759) [1]. In the paper's order: the
Row LSTM (3.1), the Diagonal BiLSTM (3.2), residual connections (3.3), masked convolutions (3.4, in masks.py), the whole
network (table 1).

NOTE, where this differs from [1]: the states before the first pixel are zero, not learned; pixel values enter in [0, 1]
as they are (the first bias centres them); no multi-scale variant; binary images use one logit and no 2-way softmax.

Axes: B batch, C channels, H height, W width, P = H * W pixels, h hidden features; a layer's input and output have 2h.
Inside the network maps are [features, P * B]: pixels in the order in which the LSTM visits them, the batch innermost,
so that a step of the LSTM is one contiguous run of columns.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Tensor, nn

from zoo_autoregressive.lstm_sweep import Sweep, sweep_lstm
from zoo_autoregressive.masks import MaskedConv2d, MaskedLinear, group_mask
from zoo_autoregressive.pixel_density import PixelConfig, PixelDensity
from zoo_core import Optimizer, RecordError, Stream, linear_to_zero


class PixelRNNConfig(PixelConfig, kw_only=True):
    """Sizes of the network ([1], table 1)."""

    hidden: Annotated[int, Meta(ge=1, le=1024)] = 16  # h, features of one LSTM; a multiple of the channels
    layers: Annotated[int, Meta(ge=1, le=64)] = 7  # LSTM layers
    head: Annotated[int, Meta(ge=1, le=4096)] = 32  # features of the two 1x1 layers before the logits

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("hidden", "head"):
            if getattr(self, name) % self.channels:
                raise RecordError(
                    f"{name} must be a multiple of the {self.channels} channels, got {getattr(self, name)}"
                )


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
        self.sweep = Sweep(((0, config.width),) * config.height, config.width, neighbours=(-1, 0, 1))
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
        both = torch.cat([left, x])[None]  # [1, 4h, P * B]
        return sweep_lstm(both, self.masked_weight(), self.bias, self.state_to_state, self.sweep, batch)[0]


# --- 3.2 Diagonal BiLSTM --------------------------------------------------------------------------------------------


class DiagonalBiLSTM(nn.Module):
    """A step is a diagonal: the state comes from the pixel to the left and the pixel above, so that a layer sees the
    whole image before each pixel. A second LSTM does the same on the mirrored map.

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
        self.sweep = Sweep(
            steps, slots=height, neighbours=(0, -1)
        )  # a slot is a row: left is the same row, up the one before
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
        both = torch.stack([cells, take(cells, self.to_mirrored)]).flatten(2)  # [2, 2h, P * B]
        states = sweep_lstm(both, self.masked_weight(), self.bias, self.state_to_state, self.sweep, batch)
        left, right = states.unflatten(2, (-1, batch))  # [h, P, B] each
        above = take(right, self.from_mirrored).index_fill(1, self.first_row, 0)
        return (left + above).flatten(1)


def diagonal_order(height: int, width: int) -> Tensor:
    """The pixels (as row * width + column), diagonal after diagonal, each from its top row down; [P]."""
    pixels = torch.arange(height * width)
    row, column = pixels // width, pixels % width
    return torch.argsort((row + column) * height + row)


def take(cells: Tensor, index: Tensor) -> Tensor:
    """cells [features, P, B] at `index` [P] along P."""
    return _Take.apply(cells, index)


class _Take(torch.autograd.Function):
    """index_select, with the gradient summed by one indexed addition over contiguous rows."""

    @staticmethod
    def forward(ctx: Any, cells: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        return cells.index_select(1, index)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (index,) = ctx.saved_tensors
        return torch.zeros_like(grad).index_add_(1, index, grad), None


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
    """x + up(LSTM(x)), where the 1x1 convolution `up` brings the h states to the 2h features of x ([1], figure 5)."""

    def __init__(self, lstm: RowLSTM | DiagonalBiLSTM, config: PixelRNNConfig) -> None:
        super().__init__()
        self.lstm = lstm
        self.up = MaskedLinear(config.hidden, 2 * config.hidden, groups=config.channels)

    def forward(self, x: Tensor, batch: int) -> Tensor:
        return x + self.up(self.lstm(x, batch))


class PixelRNN(PixelDensity):
    """7x7 convolution with mask A, residual LSTM layers, two 1x1 layers with ReLU, logits."""

    Config = PixelRNNConfig
    LSTM: type[RowLSTM] | type[DiagonalBiLSTM]
    order: Tensor
    ema = ("",)
    cpu_threads = 1  # many small operations: a second thread costs more than it gives

    def __init__(self, config: PixelRNNConfig) -> None:
        super().__init__(config)
        c, width = config.channels, 2 * config.hidden
        self.input_conv = MaskedConv2d(c, width, 7, groups=c, mask="A")
        self.layers = nn.ModuleList(ResidualLayer(self.LSTM(config), config) for _ in range(config.layers))
        self.head1 = MaskedLinear(width, config.head, groups=c)
        self.head2 = MaskedLinear(config.head, config.head, groups=c)
        self.output = MaskedLinear(config.head, c * (config.levels if config.levels > 2 else 1), groups=c)
        self.register_buffer("order", self.pixel_order(config.height, config.width), persistent=False)

    @staticmethod
    def pixel_order(height: int, width: int) -> Tensor:
        """The pixel that each cell of the maps holds, [P]."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        batch = len(x)
        maps = self.input_conv(x).flatten(2).permute(1, 2, 0)  # [2h, P, B]
        maps = take(maps, self.order).flatten(1)  # [2h, P * B]
        for layer in self.layers:
            maps = layer(maps, batch)
        logits = self.read_out(maps).unflatten(1, (-1, batch))  # [C * levels, P, B]
        logits = take(logits, torch.argsort(self.order))
        c = self.config
        return logits.reshape(c.channels, -1, c.height, c.width, batch).permute(4, 1, 0, 2, 3)  # [B, levels, C, H, W]

    def read_out(self, maps: Tensor) -> Tensor:
        """Logits from the last layer's features: [2h, N] -> [C * (1 or levels), N]."""
        return self.output(torch.relu(self.head2(torch.relu(self.head1(torch.relu(maps))))))

    def streams(self, progress: float) -> dict[str, Stream]:
        return {"x": Stream(batch=32)}

    def optimizers(self) -> dict[str, Optimizer]:
        # The clip is on the gradient of nats per image; the recurrent layers diverge without it now and then.
        return {"main": Optimizer(kind="adam", lr=3e-3, clip=50.0, decay=linear_to_zero)}


class DiagonalPixelRNN(PixelRNN):
    """PixelRNN with Diagonal BiLSTM layers: every pixel sees all pixels before it."""

    LSTM = DiagonalBiLSTM

    @staticmethod
    def pixel_order(height: int, width: int) -> Tensor:
        return diagonal_order(height, width)

    def begin_drawing(self, n: int) -> "DiagonalDrawing":
        return DiagonalDrawing(self, n)


class RowPixelRNN(PixelRNN):
    """PixelRNN with Row LSTM layers: faster, and blind to the far corners of the rows above."""

    LSTM = RowLSTM

    @staticmethod
    def pixel_order(height: int, width: int) -> Tensor:
        return torch.arange(height * width)

    def begin_drawing(self, n: int) -> "RowDrawing":
        return RowDrawing(self, n)


# --- Drawing pixel by pixel -----------------------------------------------------------------------------------------
#
# A naive sampler runs the network once for every pixel. Here every state is computed once: what the rows above
# contribute is one matrix product a row for all columns, and a pixel costs two small products a layer. The equations
# are those above; the result is the same to rounding, which the tests check on the final image with one full forward.
#
# What counts is the number of operations, so all of them write into buffers whose views are cut once. A layer at one
# pixel has a block of rows [left; x; h], batch last:
#     gates = here [left; x] + from the row above,     x of the next layer = [I | up] [x; h] + from the row above


class PixelRNNDrawing:
    """What both kinds share: the first convolution, the layers at one pixel, the read-out.

    Subclasses say what `left` is, and fill once a row what comes from the row above, `z_above` and `up_above`, each
    [L, features, W * B].
    """

    def __init__(self, model: PixelRNN, n: int) -> None:
        c = model.config
        self.n, self.hidden, self.width, self.channels = n, c.hidden, c.width, c.channels
        size, count = c.hidden, c.layers
        self.new = model.input_conv.weight.new_zeros
        weight = model.input_conv.masked_weight()  # [2h, C, 7, 7]
        self.conv_above = weight[:, :, :3].flatten(1)  # [2h, C * 3 * 7]
        self.conv_here = weight[:, :, 3, :4].flatten(1)  # [2h, C * 4]: three pixels to the left, and the pixel itself
        self.conv_bias = model.input_conv.bias[:, None]
        # The image with the border that the 7x7 convolution sees, [C, 3 + H, 3 + W + 3, B].
        self.image = self.new(c.channels, 3 + c.height, c.width + 6, n)
        self.from_above = self.new(c.width, 2 * size, n)
        lstms = [layer.lstm for layer in model.layers]
        self.input_to_state = torch.stack([lstm.masked_weight() for lstm in lstms], 1)  # [directions, L, 4h, inputs]
        self.state_to_state = torch.stack([lstm.state_to_state for lstm in lstms], 2)  # [taps, directions, L, 4h, h]
        self.bias = torch.stack([lstm.bias for lstm in lstms], 1)  # [directions, L, 4h, 1]
        self.up = torch.stack([layer.up.masked_weight() for layer in model.layers])  # [L, 2h, h]
        self.up_bias = torch.stack([layer.up.bias for layer in model.layers])[:, :, None]  # [L, 2h, 1]
        self.read_out = [(m.masked_weight(), m.bias[:, None]) for m in (model.head1, model.head2, model.output)]

        here = self.weights_here()
        identity = torch.eye(2 * size, dtype=here.dtype, device=here.device).expand(count, -1, -1)
        residual = torch.cat([identity, self.up], 2)  # [L, 2h, 3h]
        left = here.shape[2] - 2 * size
        self.blocks = self.new(count + 1, left + 3 * size, n)  # the last one holds only the features after all layers
        self.left, self.x, self.h = self.blocks[:-1].split([left, 2 * size, size], 1)
        self.c = self.new(count, size, n)
        self.z_above, self.up_above = self.new(count, 4 * size, c.width * n), self.new(count, 2 * size, c.width * n)
        z = self.new(4 * size, n)
        self.gates = (z, z[: 3 * size], *z.split(size), self.new(size, n))  # all, sigmoids, o, f, i, g; tanh(c)
        layers = [
            (here[k], self.blocks[k, : left + 2 * size], residual[k], self.blocks[k, left:], self.h[k], self.c[k])
            for k in range(count)
        ]
        after = [self.blocks[k + 1, left : left + 2 * size] for k in range(count)]
        from_row = zip(self.z_above.split(n, 2), self.up_above.split(n, 2), self.c_before(), strict=True)
        self.steps = [list(zip(layers, after, *at, strict=True)) for at in from_row]
        self.at = (-1, -1)  # the pixel whose features are being computed

    def weights_here(self) -> Tensor:
        """From [left; x] to the gates, [L, 4h, left + 2h]."""
        raise NotImplementedError

    def c_before(self) -> Sequence[Tensor]:
        """The c that each pixel's comes from: for every column a [L, h, B] that is kept up to date."""
        raise NotImplementedError

    def logits(self, row: int, column: int, channel: int) -> Tensor:
        if self.at != (row, column):
            if column == 0:
                self.begin_row(row)
            self.at = (row, column)
        maps = self.blocks[0, self.left.shape[1] : self.left.shape[1] + 2 * self.hidden]
        here = self.image[:, 3 + row, column : column + 4].flatten(0, 1)  # [C * 4, B]
        torch.addmm(self.from_above[column], self.conv_here, here, out=maps)
        z, sigmoids, o, f, i, g, tanh_c = self.gates
        for (weight, left_x, residual, x_h, h, c), after, z_above, up_above, c_prev in self.steps[column]:
            torch.addmm(z_above, weight, left_x, out=z)
            sigmoids.sigmoid_()
            g.tanh_()
            torch.mul(f, c_prev, out=c).addcmul_(i, g)
            torch.mul(o, torch.tanh(c, out=tanh_c), out=h)
            maps = torch.addmm(up_above, residual, x_h, out=after)
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

    def end_pixel(self, column: int) -> None:
        """Keep the states of the pixel that was drawn, for the next one and for the next row."""
        raise NotImplementedError

    def column(self, states: Tensor, column: int) -> Tensor:
        """[L, features, columns * B] at one column."""
        return states.narrow(2, column * self.n, self.n)


class DiagonalDrawing(PixelRNNDrawing):
    """`left` is h of the left pixel. The mirrored direction is needed only a row later: it runs once a finished row,
    all layers at once."""

    def __init__(self, model: DiagonalPixelRNN, n: int) -> None:
        c, self.c_left = model.config, model.input_conv.weight.new_zeros(model.config.layers, model.config.hidden, n)
        super().__init__(model, n)
        self.h_row = self.new(c.layers, c.hidden, c.width * n)
        # What feeds the mirrored direction, [h of the row above; x of this row]; its state ends with the border.
        self.mirrored = self.new(c.layers, 3 * c.hidden, c.width * n)
        self.h_mirrored, self.c_mirrored = (self.new(c.layers, c.hidden, (c.width + 1) * n) for _ in range(2))
        self.z_mirrored = self.new(c.layers, 4 * c.hidden, c.width * n)
        self.to_mirrored = torch.cat([self.state_to_state[1, 1], self.input_to_state[1]], 2)

    def weights_here(self) -> Tensor:
        return torch.cat([self.state_to_state[0, 0], self.input_to_state[0]], 2)

    def c_before(self) -> Sequence[Tensor]:
        return [self.c_left] * self.width

    def begin_row(self, row: int) -> None:
        super().begin_row(row)
        if row > 0:
            self.finish_mirrored()
        self.left.zero_()
        self.c_left.zero_()
        torch.baddbmm(self.bias[0], self.state_to_state[1, 0], self.h_row, out=self.z_above)
        above = self.h_mirrored[:, :, : self.width * self.n]
        torch.baddbmm(self.up_bias, self.up, above, out=self.up_above)
        self.mirrored[:, : self.hidden] = above

    def end_pixel(self, column: int) -> None:
        here = self.column(self.mirrored, column)
        here[:, self.hidden :] = self.x
        self.column(self.h_row, column).copy_(self.h)
        self.left.copy_(self.h)
        self.c_left.copy_(self.c)

    def finish_mirrored(self) -> None:
        """The mirrored LSTM, from right to left over the row that is now complete."""
        torch.baddbmm(self.bias[1], self.to_mirrored, self.mirrored, out=self.z_mirrored)
        for j in range(self.width - 1, -1, -1):
            z = self.column(self.z_mirrored, j).baddbmm_(self.state_to_state[0, 1], self.column(self.h_mirrored, j + 1))
            z[:, : 3 * self.hidden].sigmoid_()
            o, f, i, g = z.chunk(4, 1)
            c = torch.mul(f, self.column(self.c_mirrored, j + 1)).addcmul_(i, g.tanh_())
            self.column(self.c_mirrored, j).copy_(c)
            torch.mul(o, c.tanh_(), out=self.column(self.h_mirrored, j))


class RowDrawing(PixelRNNDrawing):
    """`left` is the input of the left pixel; states come from the row above only, known when a row begins."""

    def __init__(self, model: RowPixelRNN, n: int) -> None:
        c = model.config
        self.c_above = model.input_conv.weight.new_zeros(c.layers, c.hidden, c.width * n)
        super().__init__(model, n)
        # Of the row being drawn; h lies between two borders.
        self.h_row = self.new(c.layers, c.hidden, (c.width + 2) * n)
        self.c_row = torch.zeros_like(self.c_above)
        self.up_above.copy_(self.up_bias.expand_as(self.up_above))

    def weights_here(self) -> Tensor:
        return self.input_to_state[0]

    def c_before(self) -> Sequence[Tensor]:
        return self.c_above.split(self.n, 2)

    def begin_row(self, row: int) -> None:
        super().begin_row(row)
        self.left.zero_()
        self.c_above.copy_(self.c_row)
        self.z_above.copy_(self.bias[0].expand_as(self.z_above))
        for offset, tap in enumerate(self.state_to_state[:, 0]):
            self.z_above.baddbmm_(tap, self.h_row.narrow(2, offset * self.n, self.width * self.n))

    def end_pixel(self, column: int) -> None:
        self.column(self.h_row, column + 1).copy_(self.h)
        self.column(self.c_row, column).copy_(self.c)
        self.left.copy_(self.x)
