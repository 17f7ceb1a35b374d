"""Sampling from a PixelRNN, pixel by pixel, exactly.

Every state is computed once: what the rows above contribute is one matrix product a row for all columns, and a pixel
costs two small products a layer. The equations are those of pixelrnn.py and lstm_sweep.py; the result is the same to
rounding, which the tests check on the final image with one full forward pass.

A layer at one pixel has a block of rows [left; x; h], batch last:

    gates = here [left; x] + from the row above,     x of the next layer = [I | up] [x; h] + from the row above

(without residual connections, 0 for I).

Axes: B images, L layers, W width, C channels, h hidden features; [L, features, W * B] is a row of pixels.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from zoo_autoregressive.sampling.pixels import PixelState

if TYPE_CHECKING:
    from zoo_autoregressive.pixelrnn import DiagonalPixelRNN, PixelRNN, ResidualLayer, RowPixelRNN


class PixelRNNState(PixelState):
    """The layers of both kinds at one pixel.

    Subclasses say what `left` is, and fill once a row what comes from the row above, `z_above` and `up_above`, each
    [L, features, W * B].
    """

    def __init__(self, model: "PixelRNN", n: int) -> None:
        super().__init__(model, n)
        c = model.config
        size, count = c.hidden, c.layers
        blocks = cast("list[ResidualLayer]", list(model.layers))
        lstms = [block.lstm for block in blocks]
        self.input_to_state = torch.stack([lstm.masked_weight() for lstm in lstms], 1)  # [directions, L, 4h, inputs]
        self.state_to_state = torch.stack([lstm.state_to_state for lstm in lstms], 2)  # [taps, directions, L, 4h, h]
        self.bias = torch.stack([lstm.bias for lstm in lstms], 1)  # [directions, L, 4h, 1]
        self.up = torch.stack([block.up.masked_weight() for block in blocks])  # [L, 2h, h]
        self.up_bias = torch.stack([block.up.bias for block in blocks])[:, :, None]  # [L, 2h, 1]

        here = self.weights_here()
        keep = c.residual * torch.eye(2 * size, dtype=here.dtype, device=here.device).expand(count, -1, -1)
        residual = torch.cat([keep, self.up], 2)  # [L, 2h, 3h]
        left = here.shape[2] - 2 * size
        self.blocks = self.new(count + 1, left + 3 * size, n)  # the last one holds only the features after all layers
        self.features = self.blocks[0, left : left + 2 * size]
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

    def weights_here(self) -> Tensor:
        """From [left; x] to the gates, [L, 4h, left + 2h]."""
        raise NotImplementedError

    def c_before(self) -> Sequence[Tensor]:
        """The c that each pixel's comes from: for every column a [L, h, B] that is kept up to date."""
        raise NotImplementedError

    def run_layers(self, column: int) -> Tensor:
        maps = self.features
        z, sigmoids, o, f, i, g, tanh_c = self.gates
        for (weight, left_x, residual, x_h, h, c), after, z_above, up_above, c_prev in self.steps[column]:
            torch.addmm(z_above, weight, left_x, out=z)
            sigmoids.sigmoid_()
            g.tanh_()
            torch.mul(f, c_prev, out=c).addcmul_(i, g)
            torch.mul(o, torch.tanh(c, out=tanh_c), out=h)
            maps = torch.addmm(up_above, residual, x_h, out=after)
        return maps

    def column(self, states: Tensor, column: int) -> Tensor:
        """[L, features, columns * B] at one column."""
        return states.narrow(2, column * self.n, self.n)


class DiagonalState(PixelRNNState):
    """`left` is h of the left pixel. The mirrored direction is needed only a row later: it runs once a finished row,
    all layers at once."""

    def __init__(self, model: "DiagonalPixelRNN", n: int) -> None:
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


class RowState(PixelRNNState):
    """`left` is the input of the left pixel; states come from the row above only, known when a row begins."""

    def __init__(self, model: "RowPixelRNN", n: int) -> None:
        c = model.config
        self.c_above = model.input_conv.weight.new_zeros(c.layers, c.hidden, c.width * n)
        super().__init__(model, n)
        # Of the row being sampled; h lies between two borders.
        self.h_row = self.new(c.layers, c.hidden, (c.width + 2) * n)
        self.c_row = torch.zeros_like(self.c_above)
        self.up_above.copy_(self.up_bias.expand_as(self.up_above))

    def weights_here(self) -> Tensor:
        return self.input_to_state[0]

    def c_before(self) -> Sequence[Tensor]:
        return torch.split(self.c_above, self.n, 2)

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
