"""How much of the class lies open in the latents: the accuracy of a linear classifier on them.

Alain and Bengio, "Understanding intermediate layers using linear classifier probes", 2016 (arXiv:1610.01644).
Axes: n examples, Z latent dimensions, K classes.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo_core import AnyModel, Dataset, UsageError
from zoo_metrics.per_example import MeanOverExamples
from zoo_metrics.train_split import train_batches

STEPS, TOLERANCE = 1000, 1e-6  # of L-BFGS: at most so many, and until no gradient is larger


class LinearProbe(MeanOverExamples):
    """The fraction of examples that multinomial logistic regression on their latents classifies rightly; it is
    fitted on the latents of the whole train split."""

    requires = "Encoder"
    on_request = True

    def begin(self, model: AnyModel, data: Dataset, split: str, n: int) -> None:
        if "label" not in data.features:
            raise UsageError(f"data set '{data.name}' has no field 'label', which a probe needs")
        self.label = data.features["label"]
        pairs = [self.latents_and_labels(model, batch) for batch in train_batches(model, data)]
        latents, labels = torch.cat([pair[0] for pair in pairs]), torch.cat([pair[1] for pair in pairs])
        self.weight, self.bias = logistic_regression(latents, labels)
        self.estimator = f"logistic regression on standardised codes, L2 1/n, fitted on train (n = {len(latents)})"

    def per_example(self, model: AnyModel, batch: Mapping[str, Tensor]) -> Tensor:
        latents, labels = self.latents_and_labels(model, batch)
        return (latents @ self.weight + self.bias).argmax(1) == labels

    def latents_and_labels(self, model: AnyModel, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """[n, Z] float64 and [n] int64, of the examples whose label counts."""
        latents, labels = model.encode(model.subject_of(batch)).flatten(1).cpu().double(), batch["label"].cpu()
        counted = self.label.counted(labels)
        return latents[counted], labels[counted]


def logistic_regression(latents: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Weight [Z, K] and bias [K] that minimise the mean cross-entropy plus |W|^2 / (2 n), where W is the weight on
    standardised latents: from latents [n, Z] float64 and labels [n] int64. The optimum is unique but for a constant
    that all classes share.

    Raises:
        UsageError: it was not reached.
    """
    n, width = latents.shape
    classes = int(labels.max()) + 1
    centre, spread = latents.mean(0), latents.std(0)
    spread = torch.where(spread > 0, spread, 1.0)  # a number of the latent that is always the same
    x = (latents - centre) / spread
    weight = torch.zeros(width, classes, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=STEPS, tolerance_grad=TOLERANCE, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        return F.cross_entropy(x @ weight + bias, labels) + weight.square().sum() / (2 * n)

    def closure() -> Tensor:
        value = loss()
        weight.grad, bias.grad = torch.autograd.grad(value, [weight, bias])
        return value

    with torch.enable_grad():
        optimizer.step(closure)
        gradients = torch.autograd.grad(loss(), [weight, bias])
    steepest = max(gradient.abs().max().item() for gradient in gradients)
    if not steepest <= 100 * TOLERANCE:
        raise UsageError(f"the linear classifier did not converge: a gradient of {steepest:.1g} is left")
    weight = weight.detach() / spread[:, None]
    return weight, bias.detach() - centre @ weight
