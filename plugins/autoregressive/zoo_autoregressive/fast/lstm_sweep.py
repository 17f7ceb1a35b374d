"""The LSTMs of pixelrnn.py, fast: swept over an image step by step, with a hand-written backward pass.

Both PixelRNN layers (van den Oord et al., 2016, arXiv:1601.06759, section 3) are the same recurrence

    [o, f, i, g] = K_ss * h_prev + K_is * x + b            o, f, i: sigmoid, g: tanh
    c = f . c_prev + i . g,        h = o . tanh(c)         (equation 3)

over a sequence of *steps*; they differ in what a step is and which neighbours feed it:

    Row LSTM           a step is a row,       neighbours are 3 pixels of the row above
    Diagonal BiLSTM    a step is a diagonal,  neighbours are the left and the upper pixel

A step occupies a run of *slots* (columns of the row; rows of the diagonal), and a neighbour is the previous step's
state at a constant slot offset. Only real pixels are stored: skewing the map, as in the paper's figure, would double
the work.

Autograd through hundreds of small operations costs many times the operations themselves, so the gradient is written
out; tests compare it with finite differences, with the plain recurrence and with a scalar loop. What is left is the
number of operations a step, hence the shape of this code: everything that feeds the gates is one matrix, all that does
not wait for the previous step is done for all steps at once, and every view is cut in bulk.

Axes: D directions, K input features, h hidden features, P pixels, B batch, N = P * B cells in the order of the steps.
"""

from itertools import accumulate
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input  # (gradient, sigmoid(z), grad_input=out)
_tanh_backward = torch.ops.aten.tanh_backward.grad_input  # (gradient, tanh(z), grad_input=out)


class Sweep(NamedTuple):
    """The order in which a map is visited: `steps` holds each step's first slot and one past its last."""

    steps: tuple[tuple[int, int], ...]
    neighbours: tuple[int, ...]  # slot offsets into the previous step, one for each tap of K_ss; c comes from offset 0

    def sizes(self, batch: int) -> list[int]:
        """Columns of each step."""
        return [(stop - start) * batch for start, stop in self.steps]

    def links(self, offset: int, batch: int) -> tuple[list[int], list[int]]:
        """How the state goes from step to step at a slot offset: the sizes of two splits into gap, run, gap, run, ….

        The k-th run of the first is where step k + 1 receives what the k-th run of the second, in step k, sends.
        """
        starts = [0, *accumulate(self.sizes(batch))]
        received, sent = [], []
        for k, ((lo, hi), (next_lo, next_hi)) in enumerate(zip(self.steps, self.steps[1:], strict=False)):
            first, last = max(next_lo, lo - offset), min(next_hi, hi - offset)
            length = max(0, last - first) * batch
            received.append((starts[k + 1] + (first - next_lo) * batch, length))
            sent.append((starts[k] + (first + offset - lo) * batch, length))
        return _gaps_and_runs(received, starts[-1]), _gaps_and_runs(sent, starts[-1])


def _gaps_and_runs(runs: list[tuple[int, int]], total: int) -> list[int]:
    sizes, position = [], 0
    for start, length in runs:
        start = start if length else position
        sizes += [start - position, length]
        position = start + length
    return [*sizes, total - position]


def row_sweep(height: int, width: int) -> Sweep:
    """Of the Row LSTM: row by row, which is the raster order."""
    return Sweep(((0, width),) * height, neighbours=(-1, 0, 1))


def diagonal_sweep(height: int, width: int) -> tuple[Sweep, Tensor]:
    """Of the Diagonal BiLSTM: diagonal by diagonal, each from its top row down, and the same on the mirrored map. With
    the pixels in the order in which each direction visits them, [2, P].

    A slot is a row: the left pixel is in the same row of the diagonal before, the upper one in the row above.
    """
    diagonals = range(height + width - 1)
    steps = tuple((max(0, d - width + 1), min(d, height - 1) + 1) for d in diagonals)
    pixels = torch.arange(height * width)
    row, column = pixels // width, pixels % width
    order = torch.argsort((row + column) * height + row)
    mirrored = (row * width + (width - 1 - column))[order]
    return Sweep(steps, neighbours=(0, -1)), torch.stack([order, mirrored])


def sweep_lstm(x: Tensor, w_is: Tensor, b: Tensor, w_ss: Tensor, sweep: Sweep, order: Tensor | None = None) -> Tensor:
    """h of all pixels: x [K, P, B] -> [D, h, P, B], both in raster order.

    w_is [D, 4h, K], b [D, 4h, 1], w_ss [taps, D, 4h, h]; order [D, P]: the pixels as each direction visits them, None
    for raster order. Autocast is off inside: a state that is rounded at every step drifts.
    """
    if torch.compiler.is_compiling():  # a program is made of operations that give new tensors
        return _traceable_sweep(x, w_is, b, w_ss, sweep, order)
    with torch.autocast(w_is.device.type, enabled=False):
        states: Tensor = LSTMSweep.apply(  # type: ignore[no-untyped-call]  # torch does not annotate it
            x.to(w_is.dtype), w_is, b, w_ss, sweep, order
        )
    return states


def _traceable_sweep(x: Tensor, w_is: Tensor, b: Tensor, w_ss: Tensor, sweep: Sweep, order: Tensor | None) -> Tensor:
    """The same, step after step as the equations say."""
    directions = range(len(w_is))
    visited = torch.stack([x if order is None else x.index_select(1, order[d]) for d in directions])  # [D, K, P, B]
    inputs = torch.baddbmm(b, w_is, visited.flatten(2)).unflatten(2, (x.shape[1], -1)).permute(0, 3, 1, 2)
    weight = torch.cat(list(w_ss), 2)[:, None]  # [D, 1, 4h, taps * h]
    states: list[Tensor] = []
    cells: list[Tensor] = []
    for t, z in enumerate(inputs.split([stop - start for start, stop in sweep.steps], 3)):  # [D, B, 4h, slots]
        if t > 0:
            z = z + weight @ torch.cat([_received(states[-1], sweep, t, offset) for offset in sweep.neighbours], 2)
        sigmoids, g = z.split([3 * w_ss.shape[3], w_ss.shape[3]], 2)
        o, f, i = sigmoids.sigmoid().chunk(3, 2)
        c = i * g.tanh()
        if t > 0:
            c = c + f * _received(cells[-1], sweep, t, 0)
        cells.append(c)
        states.append(o * c.tanh())
    h = torch.cat(states, 3).permute(0, 2, 3, 1)  # [D, h, P, B]
    return h if order is None else torch.stack([h[d].index_select(1, torch.argsort(order[d])) for d in directions])


def _received(before: Tensor, sweep: Sweep, t: int, offset: int) -> Tensor:
    """What step t has from step t - 1 at a slot offset, [D, B, h, slots]; zero from outside the image."""
    (first, last), (start, stop) = sweep.steps[t - 1 : t + 1]
    return F.pad(before, (first - start - offset, stop + offset - last))


class LSTMSweep(torch.autograd.Function):
    """Forward and backward of `sweep_lstm`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w_is: Tensor, b: Tensor, w_ss: Tensor, sweep: Sweep, order: Tensor | None
    ) -> Tensor:
        directions, (features, pixels, batch), h = len(w_is), x.shape, w_ss.shape[3]
        cells = pixels * batch
        # What feeds the gates, as the rows of one matrix: [h of the other neighbours; x; h of neighbour 0]. Below it,
        # next to the h that comes from there too, stands c of neighbour 0. Outside the image all states are zero.
        own = sweep.neighbours.index(0)
        others = [tap for tap in range(len(w_ss)) if tap != own]
        weight = torch.cat([*w_ss[others], w_is, w_ss[own]], 2)
        rows, first = weight.shape[2], len(others) * h
        new = x.new_empty
        fed, state = new(directions, rows + h, cells), new(directions, 2 * h, cells)  # state: [h; c]
        gates, tanh_c = new(directions, 4 * h, cells), new(directions, h, cells)
        fed[:, :first], fed[:, first + features :] = 0, 0
        visited = _in_order(x.expand(directions, -1, -1, -1), order)
        fed[:, first : first + features].unflatten(2, (pixels, batch)).copy_(visited)

        sizes = sweep.sizes(batch)
        links = []
        for target, source, offset in (
            (fed[:, rows - h :], state, 0),
            *((fed[:, k * h : (k + 1) * h], state[:, :h], sweep.neighbours[tap]) for k, tap in enumerate(others)),
        ):
            received, sent = sweep.links(offset, batch)
            links.append((target.split(received, 2)[1::2], source.split(sent, 2)[1::2]))
        steps = zip(
            fed[:, :rows].split(sizes, 2),
            fed[:, rows:].split(sizes, 2),
            gates.split(sizes, 2),
            gates[:, : 3 * h].split(sizes, 2),
            *(gate.split(sizes, 2) for gate in gates.chunk(4, 1)),
            state[:, :h].split(sizes, 2),
            state[:, h:].split(sizes, 2),
            tanh_c.split(sizes, 2),
            strict=True,
        )
        for t, (s, c_prev, z, sigmoids, o, f, i, g, h_t, c, tc) in enumerate(steps):
            torch.baddbmm(b, weight, s, out=z)
            sigmoids.sigmoid_()
            g.tanh_()
            torch.mul(f, c_prev, out=c).addcmul_(i, g)
            torch.mul(o, torch.tanh(c, out=tc), out=h_t)
            if t + 1 < len(sizes):
                for received, sent in links:
                    received[t].copy_(sent[t])

        ctx.save_for_backward(weight, fed, gates, tanh_c, w_is, w_ss, order)
        ctx.sweep, ctx.first, ctx.others = sweep, first, others
        return _in_order(state[:, :h].unflatten(2, (pixels, batch)), order if order is None else torch.argsort(order))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weight, fed, gates, tanh_c, w_is, w_ss, order = ctx.saved_tensors
        sweep, (directions, h, pixels, batch) = ctx.sweep, grad.shape
        cells = pixels * batch
        rows = weight.shape[2]
        o, f, i, g = gates.chunk(4, 1)

        # For all steps at once: the factors that turn dh and dc into the gradients of the gates' inputs and of c_prev.
        #     dc += dh . o (1 - tanh(c)^2),     dc_prev = dc . f
        #     dz = [dh . tanh(c) o (1 - o);  dc . c_prev f (1 - f);  dc . g i (1 - i);  dc . i (1 - g^2)]
        c_by_h = torch.ops.aten.tanh_backward(o, tanh_c)
        dz = grad.new_empty(directions, 5 * h, cells)
        dz_o, dz_f, dz_i, dz_g, dc_prev = dz.chunk(5, 1)
        _sigmoid_backward(tanh_c, o, grad_input=dz_o)
        _sigmoid_backward(fed[:, rows:], f, grad_input=dz_f)
        _sigmoid_backward(g, i, grad_input=dz_i)
        _tanh_backward(i, g, grad_input=dz_g)
        dc_prev.copy_(f)

        sizes = sweep.sizes(batch)
        dh, dc = torch.empty_like(tanh_c), torch.zeros_like(tanh_c)
        dh.unflatten(2, (pixels, batch)).copy_(_in_order(grad, order))
        back = grad.new_empty(directions, len(w_ss) * h, cells)  # to the h of each neighbour
        w_back = torch.cat(list(w_ss), 2).transpose(1, 2).contiguous()  # [D, taps * h, 4h]
        links = []
        for target, source, offset in (
            *((dh, part, offset) for part, offset in zip(back.split(h, 1), sweep.neighbours, strict=True)),
            (dc, dc_prev, 0),
        ):
            received, sent = sweep.links(offset, batch)
            links.append((target.split(sent, 2)[1::2], source.split(received, 2)[1::2]))
        steps = list(
            zip(
                dh.split(sizes, 2),
                dc.split(sizes, 2),
                dc[:, None].split(sizes, 3),
                c_by_h.split(sizes, 2),
                dz_o.split(sizes, 2),
                dz[:, h:].unflatten(1, (4, h)).split(sizes, 3),
                dz[:, : 4 * h].split(sizes, 2),
                back.split(sizes, 2),
                strict=True,
            )
        )
        for t in range(len(sizes) - 1, -1, -1):
            dh_t, dc_t, dc_wide, by_h, dz_o_t, by_c, dz_t, back_t = steps[t]
            dc_t.addcmul_(dh_t, by_h)
            dz_o_t.mul_(dh_t)
            by_c.mul_(dc_wide)
            if t > 0:
                torch.bmm(w_back, dz_t, out=back_t)
                for target, source in links:
                    target[t - 1].add_(source[t - 1])

        dz = dz[:, : 4 * h]
        d_weight = torch.bmm(dz, fed[:, :rows].transpose(1, 2))
        dx = torch.bmm(w_is.transpose(1, 2), dz).unflatten(2, (pixels, batch))
        dx = _in_order(dx, order if order is None else torch.argsort(order)).sum(0)
        d_others, dw_is, d_own = d_weight.split([ctx.first, w_is.shape[2], h], 2)
        dw_ss = torch.empty_like(w_ss)
        own = sweep.neighbours.index(0)
        dw_ss[own] = d_own
        for k, tap in enumerate(ctx.others):
            dw_ss[tap] = d_others[:, :, k * h : (k + 1) * h]
        return dx, dw_is, dz.sum(2, keepdim=True), dw_ss, None, None


def _in_order(maps: Tensor, order: Tensor | None) -> Tensor:
    """The pixels order[d] of each direction's maps: [D, n, P, B], the same shape."""
    if order is None:
        return maps
    ordered = torch.empty_like(maps, memory_format=torch.contiguous_format)
    for each, pixels, out in zip(maps, order, ordered, strict=True):
        torch.index_select(each, 1, pixels, out=out)
    return ordered
