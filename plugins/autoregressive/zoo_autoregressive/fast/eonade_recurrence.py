"""The recurrence of EoNADE over a whole batch, a block of T values at a time.

    a_1 = b,   h_i = sigmoid(a_i),   logits_i = V_i h_i,   a_(i+1) = a_i + x_i W_i + M_i

Unlike in NADE every value changes the hidden layer of every image, so that all layers are computed.

Axes: B batch, D values in the order in which they come, h hidden features, L logits a value, T values of a block.
"""

import torch
from torch import Tensor

BLOCK = 16  # T; no result depends on it


def eonade_logits(x: Tensor, W: Tensor, M: Tensor, b: Tensor, V: Tensor) -> Tensor:
    """x [B, D], W [D, h], M [D, h], b [h], V [D, L, h] -> [B, L, D]."""
    if torch.compiler.is_compiling():  # a program has every block written out, and is short without blocks
        added = x[:, :, None] * W + M  # [B, D, h]
        return torch.einsum("bdh,dlh->bld", torch.sigmoid(b + added.cumsum(1) - added), V)
    a, logits = b.expand(x.shape[0], -1), []  # [B, h]
    for x_t, w, m, v in zip(*(each.split(BLOCK, d) for each, d in ((x, 1), (W, 0), (M, 0), (V, 0))), strict=True):
        before = torch.ones(len(w), len(w), dtype=x.dtype, device=x.device).tril(-1)  # [T, T]
        inputs = (x_t[:, None] * before) @ w + before @ m  # [B, T, h]
        hidden = torch.sigmoid(a[:, None] + inputs)
        logits.append(torch.einsum("bth,tlh->blt", hidden, v))
        a = torch.addmm(a, x_t, w) + m.sum(0)
    return torch.cat(logits, 2)
