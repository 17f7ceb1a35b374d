"""How well an example comes back."""

from collections.abc import Mapping

from torch import Tensor

from zoo_core import AnyModel
from zoo_metrics.per_example import MeanOverExamples


class ReconstructionError(MeanOverExamples):
    """The squared difference between x and its reconstruction, averaged over the values of an example, then over the
    examples. Of images in [0, 1], 1 is the worst."""

    requires = "Reconstructor"

    def per_example(self, model: AnyModel, batch: Mapping[str, Tensor]) -> Tensor:
        x: Tensor = model.subject_of(batch)
        return (model.reconstruct(x).double() - x.double()).square().flatten(1).mean(1)
