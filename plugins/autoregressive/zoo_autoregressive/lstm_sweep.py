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
        hidden = w_ss.shape[3]
        # One product a step: all that feeds the gates is stacked as [x; h of each neighbour].
        weight = torch.cat([w_is, *w_ss], 2)
        columns = _Columns(sweep, batch)
        inputs = columns.by_step(x.new_empty(directions * weight.shape[2] * cells), directions, weight.shape[2])
        gates = columns.by_step(x.new_empty(directions * 4 * hidden * cells), directions, 4 * hidden)
        tanh_c = columns.by_step(x.new_empty(directions * hidden * cells), directions, hidden)
        # The state after the last step, with a zero slot on either side; cs keeps every step's.
        h_now = x.new_zeros(directions, hidden, (sweep.slots + 2) * batch)
        cs = x.new_empty(len(sweep.steps) + 1, directions, hidden, (sweep.slots + 2) * batch)
        cs[0] = 0
        out = x.new_empty(directions, hidden, cells)
        steps = zip(columns.slots, x.split(columns.sizes, 2), out.split(columns.sizes, 2), inputs, gates, tanh_c, cs, cs[1:])

        for (lo, n), x_t, out_t, s, z, tc, c_prev, c_next in steps:
            s.narrow(1, 0, features).copy_(x_t)
            for tap, offset in enumerate(sweep.neighbours):
                s.narrow(1, features + tap * hidden, hidden).copy_(h_now.narrow(2, lo + offset * batch, n))
            torch.bmm(weight, s, out=z).add_(b)
            z.narrow(1, 0, 3 * hidden).sigmoid_()
            o, f, i, g = z.chunk(4, 1)
            g.tanh_()
            c = torch.mul(f, c_prev.narrow(2, lo, n), out=c_next.narrow(2, lo, n)).addcmul_(i, g)
            c_next.narrow(2, lo + n, batch).zero_()  # the slot that the next step may begin to use
            h_now.narrow(2, lo, n).copy_(torch.mul(o, torch.tanh(c, out=tc), out=out_t))

        ctx.save_for_backward(weight, cs, *inputs, *gates, *tanh_c)
        ctx.columns, ctx.sweep, ctx.batch, ctx.features = columns, sweep, batch, features
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        weight, cs, *saved = ctx.saved_tensors
        sweep, batch, features, columns = ctx.sweep, ctx.batch, ctx.features, ctx.columns
        directions, hidden, cells = grad.shape
        count = len(sweep.steps)
        inputs, gates, tanh_c = saved[:count], saved[count : 2 * count], saved[2 * count :]
        dx = grad.new_empty(directions, features, cells)
        d_weight = torch.zeros_like(weight)
        db = grad.new_zeros(directions, 4 * hidden, 1)
        weight_t = weight.transpose(1, 2).contiguous()
        widest = sweep.slots * batch
        # What the next step sends back to this one, in slots, with the same border as the states.
        dh_back, dc_back = (grad.new_zeros(directions, hidden, widest + 2 * batch) for _ in range(2))
        dz_full = grad.new_empty(directions * 4 * hidden * widest)
        ds_full = grad.new_empty(directions * weight.shape[2] * widest)
        s_t_full = grad.new_empty(weight.shape[2] * widest)
        steps = list(zip(columns.slots, grad.split(columns.sizes, 2), dx.split(columns.sizes, 2), inputs, gates, tanh_c, cs))

        for (lo, n), grad_t, dx_t, s, z, tc, c_prev in reversed(steps):
            dz, ds = dz_full[: z.numel()].view_as(z), ds_full[: s.numel()].view_as(s)
            o, f, i, g = z.chunk(4, 1)
            dz_o, dz_f, dz_i, dz_g = dz.chunk(4, 1)

            dh = grad_t + dh_back.narrow(2, lo, n)
            dc = torch.ops.aten.tanh_backward(dh * o, tc).add_(dc_back.narrow(2, lo, n))
            torch.mul(dh, tc, out=dz_o)
            torch.mul(dc, c_prev.narrow(2, lo, n), out=dz_f)
            torch.mul(dc, g, out=dz_i)
            torch.mul(dc, i, out=dz_g)
            sigmoids = dz.narrow(1, 0, 3 * hidden)
            torch.ops.aten.sigmoid_backward.grad_input(sigmoids, z.narrow(1, 0, 3 * hidden), grad_input=sigmoids)
            torch.ops.aten.tanh_backward.grad_input(dz_g, g, grad_input=dz_g)

            # A slot outside this step gets nothing back from it.
            dc_back.zero_()
            dh_back.zero_()
            torch.mul(dc, f, out=dc_back.narrow(2, lo, n))
            db += dz.sum(2, keepdim=True)
            s_t = s_t_full[: s[0].numel()].view(n, -1)
            d_weight.baddbmm_(dz, s.transpose(1, 2))
            torch.bmm(weight_t, dz, out=ds)
            dx_t.copy_(ds.narrow(1, 0, features))
            for tap, offset in enumerate(sweep.neighbours):
                dh_back.narrow(2, lo + offset * batch, n).add_(ds.narrow(1, features + tap * hidden, hidden))
        dw_is, *dw_ss = d_weight.split([features] + [hidden] * len(sweep.neighbours), 2)
        return dx, dw_is, db, torch.stack(dw_ss), None, None


class _Columns:
    """Where each step's columns are: among all cells, and in a state buffer."""

    def __init__(self, sweep: Sweep, batch: int) -> None:
        self.sizes = [(stop - start) * batch for start, stop in sweep.steps]
        self.slots = [((start + 1) * batch, (stop - start) * batch) for start, stop in sweep.steps]

    def by_step(self, flat: Tensor, directions: int, rows: int) -> list[Tensor]:
        """A buffer for all cells as one contiguous [directions, rows, n] a step."""
        parts = flat.split([directions * rows * n for n in self.sizes])
        return [part.view(directions, rows, n) for part, n in zip(parts, self.sizes, strict=True)]
