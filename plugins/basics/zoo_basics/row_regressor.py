"""`RowRegressor`: what models of rows of numbers share: standardised inputs and targets.

Mean 0 and variance 1 over the train split make the curvature of a squared error alike in all directions. What a model
takes and predicts is in the data's own units.

Axes: B batch, D inputs, T targets.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zoo_core import Dataset, Field, Model, Stage, UsageError


class RowRegressor(Model):
    """Base of the Regressors."""

    input_mean: Tensor
    input_std: Tensor
    target_mean: Tensor
    target_std: Tensor

    def register_statistics(self, inputs: int, targets: int) -> None:
        """The buffers of means and standard deviations, [D] and [T]: 0 and 1 until training begins."""
        for name, size in (("input", inputs), ("target", targets)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))

    @classmethod
    def config_for(cls, features: Mapping[str, Field]) -> dict[str, Any]:
        return {"inputs": _size(features, "vector", cls), "targets": _size(features, "target", cls)}

    def signature(self) -> dict[str, Field]:
        return {
            "vector": Field(kind="vector", shape=tuple(self.input_mean.shape)),
            "target": Field(kind="vector", shape=tuple(self.target_mean.shape)),
        }

    def standard_inputs(self, x: Tensor) -> Tensor:
        """Inputs in the data's units to standardised ones, [B, D]."""
        return (x - self.input_mean) / self.input_std

    def standard_targets(self, y: Tensor) -> Tensor:
        """Targets in the data's units to standardised ones, [B, T]."""
        return (y - self.target_mean) / self.target_std

    def stages(self) -> list[Stage]:
        return [Stage(name="standardise", share=0), Stage()]

    @torch.no_grad()
    def begin_stage(self, stage: str, data: Dataset) -> None:
        if stage == "standardise":
            rows = list(self.train_batches(data))
            for name, field in (("input", "vector"), ("target", "target")):
                values = torch.cat([batch[field] for batch in rows]).double()
                spread = values.std(0, unbiased=False)
                getattr(self, f"{name}_mean").copy_(values.mean(0))
                getattr(self, f"{name}_std").copy_(torch.where(spread > 0, spread, 1))


def _size(features: Mapping[str, Field], name: str, model: type[Model]) -> int:
    field = features.get(name)
    if field is None or field.kind != "vector" or len(field.shape) != 1 or field.shape[0] is None:
        raise UsageError(
            f"{model.__name__} needs rows of numbers with targets, fields 'vector' and 'target'",
            "Choose such a data set: diabetes.",
        )
    return field.shape[0]
