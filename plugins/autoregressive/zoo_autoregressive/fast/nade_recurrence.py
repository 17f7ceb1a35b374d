"""The recurrence of NADE over a whole batch, exact and fast.

    a_1 = b,   h_i = sigmoid(a_i),   logits_i = V_i h_i,   a_(i+1) = a_i + x_i W_i

Where x_i = 0, the hidden layer of i + 1 is that of i. An image of black and white digits so has about a hundred
different layers, not 784. They are computed a block of T values at a time: one matrix product gives their activations
(what each layer has seen of the block, times W), one the logits of every layer for every value of the block, of which
each value takes that of its own layer. The second product computes more than is needed, and is cheap all the same.

The backward pass is written by hand, since autograd would fill a tensor for each block's part of every gradient.

Axes: B batch, D values, h hidden features, L logits a value, T values of a block, S different layers in a block.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 32  # T; no result depends on it. With 16 or 56 a step of 64 digits takes 1.2 times as long


def nade_logits(x: Tensor, W: Tensor, b: Tensor, V: Tensor) -> Tensor:
    """x [B, D], W [D, h], b [h], V [D, L, h] -> [B, D, L]. Autocast is off inside: long sums need all digits.

    NOTE: the derivative with respect to an x_i that is exactly 0 is not complete, since its layer is not computed.
    """
    if torch.compiler.is_compiling():  # a program has the same shapes whatever the values
        return every_layer(x, W, b, V)
    with torch.autocast(x.device.type, enabled=False):
        logits: Tensor = _Recurrence.apply(x, W, b, V)  # type: ignore[no-untyped-call]  # torch does not annotate it
    return logits


def every_layer(x: Tensor, W: Tensor, b: Tensor, V: Tensor) -> Tensor:
    """The same, by the definition: the hidden layer of every value is computed, [B, D, h] of them."""
    seen = x[:, :, None] * W  # [B, D, h]
    hidden = torch.sigmoid(b + seen.cumsum(1) - seen)  # of the values before
    return torch.einsum("bdh,dlh->bdl", hidden, V)


class _Layers(NamedTuple):
    """The different hidden layers of a block."""

    example: Tensor  # [S], whose each is
    sees: Tensor  # [S, T] bool, which values of the block it has seen
    before: Tensor  # [S, T], and what they are
    hidden: Tensor  # [S, h]
    own: Tensor  # [T, L, B], which layer a value's logits come from


def _layers(a: Tensor, x: Tensor, w: Tensor, logits: int) -> _Layers:
    """Of a block x [B, T] with weights w [T, h], before which the activations are a [B, h]."""
    is_new = torch.ones_like(x, dtype=torch.bool)  # [B, T], whether the layer of value t differs from that of t - 1
    is_new[:, 1:] = x[:, :-1] != 0
    example, place = is_new.nonzero(as_tuple=True)
    sees = torch.arange(x.shape[1], device=x.device) < place[:, None]
    before = x.index_select(0, example) * sees
    hidden = a.index_select(0, example).addmm_(before, w).sigmoid_()
    own = is_new.flatten().cumsum(0).view_as(x) - 1  # [B, T]
    return _Layers(example, sees, before, hidden, own.T[:, None].expand(-1, logits, -1))


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, W: Tensor, b: Tensor, V: Tensor) -> Tensor:
        a, logits = b.expand(x.shape[0], -1), []
        kept: list[Tensor] = []
        for x_t, w, v in _blocks(x, W, V):
            layers = _layers(a, x_t, w, v.shape[1])
            kept += layers
            every = (v.flatten(0, 1) @ layers.hidden.T).unflatten(0, v.shape[:2])  # [T, L, S]
            logits.append(every.gather(2, layers.own))
            a = torch.addmm(a, x_t, w)
        ctx.save_for_backward(x, W, V, *kept)
        return torch.cat(logits).permute(2, 0, 1)  # [B, D, L]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
        x, W, V, *kept = ctx.saved_tensors
        wants_x = ctx.needs_input_grad[0]
        grad_x, grad_W, grad_V = torch.zeros_like(x), torch.empty_like(W), torch.empty_like(V)
        grad_a = grad.new_zeros(len(x), W.shape[1])  # [B, h], of the activations after the block
        grads = grad.permute(1, 2, 0).split(BLOCK)  # [T, L, B] each
        layers = [_Layers(*kept[k : k + len(_Layers._fields)]) for k in range(0, len(kept), len(_Layers._fields))]
        blocks = zip(layers, _blocks(x, W, V), _blocks(grad_x, grad_W, grad_V), grads, strict=True)
        for (example, sees, before, hidden, own), (x_t, w, v), (grad_x_t, grad_w, grad_v), grad_t in [*blocks][::-1]:
            every = grad.new_zeros(*v.shape[:2], len(hidden)).scatter_(2, own, grad_t).flatten(0, 1)  # [T * L, S]
            torch.mm(every, hidden, out=grad_v.flatten(0, 1))
            grad_hidden = every.T @ v.flatten(0, 1)  # [S, h]
            grad_layers = torch.ops.aten.sigmoid_backward(grad_hidden, hidden)  # times h (1 - h)
            torch.mm(before.T, grad_layers, out=grad_w).addmm_(x_t.T, grad_a)
            if wants_x:
                grad_x_t.copy_(grad_a @ w.T).index_add_(0, example, (grad_layers @ w.T) * sees)
            grad_a = grad_a.index_add_(0, example, grad_layers)
        return (grad_x if wants_x else None), grad_W, grad_a.sum(0), grad_V


def _blocks(x: Tensor, W: Tensor, V: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    return list(zip(x.split(BLOCK, 1), W.split(BLOCK), V.split(BLOCK), strict=True))
