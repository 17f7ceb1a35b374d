"""One convolutional LSTM swept over an image, with a hand-written backward pass.

Both PixelRNN layers (van den Oord et al., 2016, arXiv:1601.06759, section 3) are the same recurrence

    [o, f, i, g] = K_ss * h_prev + K_is * x + b            o, f, i: sigmoid, g: tanh
    c = f . c_prev + i . g,        h = o . tanh(c)         (equation 3)

over a sequence of *steps*; they differ in what a step is and which neighbours feed it:

    Row LSTM           a step is a row,       neighbours are 3 pixels of the row above
    Diagonal BiLSTM    a step is a diagonal,  neighbours are the left and the upper pixel

A step occupies a run of *slots* (columns of the row; rows of the diagonal), and a neighbour is the previous step's
state at a constant slot offset. The state buffer has a zero slot on either side of every step, which is the border
of the image. Only real pixels are stored: skewing the map, as in the paper's figure, would double the work.

Autograd through hundreds of small operations costs many times the operations themselves, so the gradient is
written out here; tests compare it with finite differences and with a scalar loop written from the equations.

Axes: D directions, K input features, h hidden features, N cells (pixels in the order of the steps) times batch.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Sweep(NamedTuple):
    """The order in which a map is visited: `steps` holds each step's first slot and one past its last."""

    steps: tuple[tuple[int, int], ...]
    slots: int
    neighbours: tuple[int, ...]  # slot offsets into the previous step, one for each tap of K_ss; c comes from offset 0


class LSTMSweep(torch.autograd.Function):
    """`apply(x, w_is, b, w_ss, sweep, batch)` -> h, all cells in the order of the steps.

    x [D, K, N], w_is [D, 4h, K], b [D, 4h, 1], w_ss [taps, D, 4h, h] -> h [D, h, N].
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, w_is: Tensor, b: Tensor, w_ss: Tensor, sweep: Sweep, batch: int) -> Tensor:
        directions, features, cells = x.shape
        taps, _, _, hidden = w_ss.shape
        # One product a step: all that feeds the gates is stacked as [x; 1; h of each neighbour].
        weight = torch.cat([w_is, b, *w_ss], 2)
        inputs = _StepMajor(x, weight.shape[2], cells)
        gates, tanh_c = _StepMajor(x, 4 * hidden, cells), _StepMajor(x, hidden, cells)
        # The state after the last step, with a zero slot on either side; cs keeps every step's.
        h_now = x.new_zeros(directions, hidden, (sweep.slots + 2) * batch)
        cs = x.new_empty(len(sweep.steps) + 1, directions, hidden, (sweep.slots + 2) * batch)
        cs[0] = 0
        out = x.new_empty(directions, hidden, cells)

        for t, (start, lo, hi) in enumerate(_columns(sweep, batch)):
            stop = start + hi - lo
            s, z, tc = inputs[start:stop], gates[start:stop], tanh_c[start:stop]
            s[:, :features] = x[:, :, start:stop]
            s[:, features] = 1
            for tap, offset in enumerate(sweep.neighbours):
                row = features + 1 + tap * hidden
                s[:, row : row + hidden] = h_now[:, :, lo + offset * batch : hi + offset * batch]
            torch.bmm(weight, s, out=z)
            z[:, : 3 * hidden].sigmoid_()
            z[:, 3 * hidden :].tanh_()
            o, f, i, g = z.chunk(4, 1)
            c = torch.mul(f, cs[t][:, :, lo:hi], out=cs[t + 1][:, :, lo:hi]).addcmul_(i, g)
            cs[t + 1][:, :, hi : hi + batch] = 0
            h = torch.mul(o, torch.tanh(c, out=tc), out=h_now[:, :, lo:hi])
            out[:, :, start:stop] = h

        ctx.save_for_backward(weight, inputs.flat, gates.flat, tanh_c.flat, cs)
        ctx.sweep, ctx.batch, ctx.features = sweep, batch, features
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        weight, inputs, gates, tanh_c, cs = ctx.saved_tensors
        sweep, batch, features = ctx.sweep, ctx.batch, ctx.features
        directions, hidden, cells = grad.shape
        taps = len(sweep.neighbours)
        columns = _columns(sweep, batch)
        inputs, gates, tanh_c = (
            _StepMajor(grad, n, cells, flat)
            for n, flat in ((weight.shape[2], inputs), (4 * hidden, gates), (hidden, tanh_c))
        )
        dx = grad.new_empty(directions, features, cells)
        d_weight = torch.zeros_like(weight)
        weight_t = weight.transpose(1, 2).contiguous()
        dh_back, dc_back = (grad.new_zeros(directions, hidden, (sweep.slots + 2) * batch) for _ in range(2))
        dz_full = grad.new_empty(directions * 4 * hidden * sweep.slots * batch)
        ds_full = grad.new_empty(directions * weight.shape[2] * sweep.slots * batch)

        for t in range(len(columns) - 1, -1, -1):
            start, lo, hi = columns[t]
            stop = start + hi - lo
            s, z, tc = inputs[start:stop], gates[start:stop], tanh_c[start:stop]
            dz = dz_full[: z.numel()].view_as(z)
            ds = ds_full[: s.numel()].view_as(s)
            o, f, i, g = z.chunk(4, 1)
            dz_o, dz_f, dz_i, dz_g = dz.chunk(4, 1)

            dh = grad[:, :, start:stop] + dh_back[:, :, lo:hi]
            dc = torch.ops.aten.tanh_backward(dh * o, tc).add_(dc_back[:, :, lo:hi])
            torch.mul(dh, tc, out=dz_o)
            torch.mul(dc, cs[t][:, :, lo:hi], out=dz_f)
            torch.mul(dc, g, out=dz_i)
            torch.mul(dc, i, out=dz_g)
            sigmoids = dz[:, : 3 * hidden]
            torch.ops.aten.sigmoid_backward.grad_input(sigmoids, z[:, : 3 * hidden], grad_input=sigmoids)
            torch.ops.aten.tanh_backward.grad_input(dz_g, g, grad_input=dz_g)

            # A slot outside this step gets nothing back from it.
            dc_back.zero_()
            dh_back.zero_()
            torch.mul(dc, f, out=dc_back[:, :, lo:hi])
            d_weight.baddbmm_(dz, s.transpose(1, 2))
            torch.bmm(weight_t, dz, out=ds)
            dx[:, :, start:stop] = ds[:, :features]
            for tap, offset in enumerate(sweep.neighbours):
                row = features + 1 + tap * hidden
                dh_back[:, :, lo + offset * batch : hi + offset * batch] += ds[:, row : row + hidden]
        dw_is, db, dw_ss = d_weight.split([features, 1, taps * hidden], 2)
        return dx, dw_is, db, torch.stack(dw_ss.split(hidden, 2)), None, None


class _StepMajor:
    """[D, rows, N] stored step by step, so that the rows of one step are contiguous."""

    def __init__(self, like: Tensor, rows: int, cells: int, flat: Tensor | None = None) -> None:
        self.shape = (like.shape[0], rows, -1)
        self.flat = like.new_empty(like.shape[0] * rows * cells) if flat is None else flat

    def __getitem__(self, columns: slice) -> Tensor:
        step = self.shape[0] * self.shape[1]
        return self.flat[step * columns.start : step * columns.stop].view(self.shape)


def _columns(sweep: Sweep, batch: int) -> list[tuple[int, int, int]]:
    """For each step: its first column among all cells, and where its slots begin and end in a state buffer."""
    columns, start = [], 0
    for lo, hi in sweep.steps:
        columns.append((start, (lo + 1) * batch, (hi + 1) * batch))
        start += (hi - lo) * batch
    return columns
