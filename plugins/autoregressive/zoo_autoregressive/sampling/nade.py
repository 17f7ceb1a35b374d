"""Sampling from NADE: activations and hidden layers are kept, and change only where a value that is not 0 was sampled.

Axes: B batch, D values, h hidden features, L logits a value.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from zoo_autoregressive.sequence_density import SequenceState

if TYPE_CHECKING:
    from zoo_autoregressive.nade import NADE


class NADEState(SequenceState):
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


def sample_bits(model: "NADE", thresholds: Tensor, progress: Callable[[float], None]) -> Tensor:
    """Bits that are 1 where V_i h_i is greater than the threshold: [D, B] -> [D, B].

    In NumPy, on the CPU: a step is so little work that its calls take most of the time, and NumPy's take the least.
    """

    def array(x: Tensor) -> "np.ndarray[Any, Any]":
        x = x.detach().cpu()
        return x.to(torch.promote_types(x.dtype, torch.float32)).numpy()  # NumPy has no bfloat16

    W, V, b, limits = array(model.W), array(model.V[:, 0]), array(model.b), array(thresholds)
    bits = np.zeros_like(limits)
    with np.errstate(over="ignore"):  # of exp(-a) for a far below 0: 1 / inf is right
        a = np.tile(b, (limits.shape[1], 1))  # [B, h]
        hidden = 1 / (1 + np.exp(-a))
        for i in range(len(bits)):
            (ones,) = (hidden @ V[i] > limits[i]).nonzero()
            if len(ones):
                changed = a[ones] + W[i]
                a[ones], hidden[ones] = changed, 1 / (1 + np.exp(-changed))
                bits[i, ones] = 1
            if (i + 1) % (len(bits) // model.config.height) == 0:
                progress((i + 1) / len(bits))
    return torch.from_numpy(bits).to(thresholds)
