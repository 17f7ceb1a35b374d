"""Drawing from NADE: activations and hidden layers are kept, and change only where a value that is not 0 was drawn.

Axes: B batch, D values, h hidden features, L logits a value.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo_autoregressive.sequence_density import SequenceDrawing

if TYPE_CHECKING:
    from zoo_autoregressive.nade import NADE

AHEAD = 14  # bits that are tried at once; no result depends on it


class NADEDrawing(SequenceDrawing):
    """Any number of levels, value by value."""

    def __init__(self, model: "NADE", n: int) -> None:
        self.model = model
        self.a = model.b.detach().repeat(n, 1)  # [B, h]
        self.hidden = torch.sigmoid(self.a)

    def next_logits(self, i: int) -> Tensor:
        return torch.addmm(self.model.c[i, :, None], self.model.V[i], self.hidden.T)  # [L, B]

    def take(self, i: int, value: Tensor) -> None:
        changed = value.nonzero().view(-1)
        a = torch.addr(self.a.index_select(0, changed), value[changed], self.model.W[i])
        self.a.index_copy_(0, changed, a)
        self.hidden.index_copy_(0, changed, a.sigmoid_())


def draw_bits(model: "NADE", thresholds: Tensor, progress: Callable[[float], None]) -> Tensor:
    """Bits that are 1 where V_i h_i is greater than the threshold: [D, B] -> [D, B].

    A few bits ahead are tried with the layers as they are: up to the first that is 1 in some image, they are right.
    """
    W, V, b = model.W.detach(), model.V.detach()[:, 0], model.b.detach()
    a = b.repeat(thresholds.shape[1], 1)  # [B, h]
    hidden = torch.sigmoid(a)
    bits = []
    for w, v, threshold in zip(W.split(AHEAD), V.split(AHEAD), thresholds.split(AHEAD), strict=True):
        tried = v @ hidden.T > threshold  # [T, B]
        zeros = int(tried.any(1).int().cumsum(0).eq(0).sum())
        bits += tried[:zeros].unbind()
        for w_i, v_i, threshold_i in zip(
            w[zeros:].unbind(), v[zeros:].unbind(), threshold[zeros:].unbind(), strict=True
        ):
            bit = torch.mv(hidden, v_i) > threshold_i  # [B]
            changed = bit.nonzero().view(-1)
            if changed.numel():
                a_changed = a.index_select(0, changed).add_(w_i)
                a.index_copy_(0, changed, a_changed)
                hidden.index_copy_(0, changed, a_changed.sigmoid_())
            bits.append(bit)
        progress(len(bits) / len(thresholds))
    return torch.stack(bits).to(thresholds)
