"""How the weights of a linear layer begin, and what that does to activations.

Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010 [1] (xavier);
He et al., "Delving Deep into Rectifiers", 2015, arXiv:1502.01852 [2] (he).
"""

from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from zoo_basics.mlp import MLP

Initialisation = Literal["xavier", "he", "std1", "std001", "constant"]
CONSTANT = 0.01


@torch.no_grad()
def initialise(layer: nn.Linear, kind: Initialisation) -> None:
    """Fresh weights; biases are zero.

    xavier: normal with variance 2 / (n_in + n_out) ([1], equation 12), made for tanh: keeps the variance forwards and
    backwards as well as one number can. he: variance 2 / n_in ([2], equation 10), made for ReLU, which loses half.
    std1, std001: standard deviation 1 and 0.01, whatever the layer. constant: all weights alike.
    """
    fan_out, fan_in = layer.weight.shape
    if kind == "constant":
        layer.weight.fill_(CONSTANT)
    else:
        std = {"xavier": (2 / (fan_in + fan_out)) ** 0.5, "he": (2 / fan_in) ** 0.5, "std1": 1.0, "std001": 0.01}[kind]
        layer.weight.normal_(std=std)
    layer.bias.zero_()


class Activation(NamedTuple):
    """The outputs of one hidden layer over a batch."""

    mean: float
    rms: float  # root mean square
    saturated: float  # the part beyond 0.99 of the largest value of sigmoid or tanh; of ReLU, the part that is zero
    values: Tensor  # [B, n]


@torch.no_grad()
def activation_statistics(model: "MLP", x: Tensor) -> list[Activation]:
    """What every hidden layer of an MLP gives for rows x [B, D]."""
    found = []
    for layer in model.layers[:-1]:
        x = model.activation(layer(x))
        saturated = {
            "tanh": lambda a: a.abs() > 0.99,
            "sigmoid": lambda a: (a < 0.01) | (a > 0.99),
            "relu": lambda a: a == 0,
        }[model.config.activation](x)
        found.append(
            Activation(x.mean().item(), x.square().mean().sqrt().item(), saturated.float().mean().item(), x.clone())
        )
    return found
