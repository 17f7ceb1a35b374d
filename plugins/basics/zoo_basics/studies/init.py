"""What the first weights do: activations of a deep MLP before any training.

1,000 rows of 100 standard normal numbers go through 5 layers of 100 units, for each activation and initialisation.
Glorot and Bengio, 2010, figure 6, show the same for their network.
"""

from itertools import product
from typing import Annotated, get_args

import numpy as np
import torch
from msgspec import Meta
from torch import Tensor

from zoo_basics.initialisation import Initialisation, activation_statistics
from zoo_basics.mlp import ACTIVATIONS, ActivationName, MLPRegressor, MLPRegressorConfig
from zoo_core import Report, Study

KINDS: tuple[Initialisation, ...] = get_args(Initialisation)


class Init(Study, kw_only=True):
    rows: Annotated[int, Meta(ge=2)] = 1000
    width: Annotated[int, Meta(ge=2)] = 100  # inputs, and units of every layer
    depth: Annotated[int, Meta(ge=2)] = 5  # hidden layers; the gradient of the second is looked at

    def make(self, report: Report) -> None:
        x = torch.randn(self.rows, self.width, generator=torch.Generator().manual_seed(self.seed))
        report.say(
            f"{self.rows} rows of {self.width} standard normal numbers through {self.depth} layers of {self.width} "
            "units. rms is the root mean square of the activations, 1 for the input; saturated is the part that is "
            "within 0.01 of the end of sigmoid or tanh, or that ReLU has cut to zero. A gradient fades where rms or "
            "slope fades."
        )
        found = {case: activation_statistics(self.network(*case), x) for case in product(ACTIVATIONS, KINDS)}
        report.table(
            ["activation", "init", *(f"rms {k + 1}" for k in range(self.depth)), f"saturated {self.depth}"],
            [[*case, *(layer.rms for layer in layers), layers[-1].saturated] for case, layers in found.items()],
        )
        for activation in ACTIVATIONS:
            with report.picture(
                activation,
                f"Activations of layers 1 to {self.depth} with {activation}.",
                rows=len(KINDS),
                columns=self.depth,
                size=2.2,
            ) as axes:
                for kind, line in zip(KINDS, axes, strict=True):
                    for k, (ax, layer) in enumerate(zip(line, found[activation, kind], strict=True)):
                        values = layer.values.flatten().numpy()
                        ax.hist(values, bins=40, range=extent(values))
                        ax.set_yticks([])
                        ax.set_title(f"{kind}, layer {k + 1}\nrms {layer.rms:.2g}", fontsize=8)
                        ax.tick_params(labelsize=6)
        report.say(
            "With constant weights all units of a layer compute the same, and get the same gradient: however long "
            "they are trained, they stay one unit. Below, how many rows of the gradient of the second layer differ."
        )
        kinds: tuple[Initialisation, ...] = ("constant", "xavier")
        report.table(
            ["init", "different rows", "of"], [[kind, self.different_gradients(kind), self.width] for kind in kinds]
        )

    def network(self, activation: ActivationName, kind: Initialisation) -> MLPRegressor:
        torch.manual_seed(self.seed)
        hidden = (self.width,) * self.depth
        return MLPRegressor(MLPRegressorConfig(inputs=self.width, hidden=hidden, activation=activation, init=kind))

    def different_gradients(self, kind: Initialisation) -> int:
        """The number of different rows in the gradient of the second layer's weight, [units, units]."""
        model = self.network("tanh", kind)
        x = torch.randn(self.rows, self.width, generator=torch.Generator().manual_seed(self.seed))
        loss = model.loss({"vector": x, "target": x.sum(1, keepdim=True)})
        (gradient,) = torch.autograd.grad(loss.value, model.layers[1].get_parameter("weight"))
        return count_different(gradient)


def extent(values: np.ndarray) -> tuple[float, float]:
    """From the least value to the largest; where they are equal but for rounding, wide enough to be cut into bins."""
    low, high = float(values.min()), float(values.max())
    missing = max(0.0, 1e-3 * max(abs(low), abs(high)) - (high - low))
    return low - missing / 2, high + missing / 2


def count_different(rows: Tensor) -> int:
    """How many rows [N, D] differ by more than rounding."""
    kept: list[Tensor] = []
    for row in rows:
        if not any(torch.allclose(row, other, rtol=1e-4, atol=1e-6 * float(rows.abs().max())) for other in kept):
            kept.append(row)
    return len(kept)
