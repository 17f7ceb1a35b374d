"""`CountedDensity`: models whose whole training is to count, once, over the train split.

The counts n_l of the levels at some place become probabilities (n_l + 1/2) / (n + levels / 2): the posterior mean under
Jeffreys' prior, so that what was never seen is improbable and not impossible. The model holds their logits.
"""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from zoo_autoregressive.pixel_density import PixelConfig
from zoo_autoregressive.sequence_density import SequenceDensity
from zoo_core import Dataset, Stage, UsageError

PSEUDOCOUNT = 0.5
BATCH = 1000  # examples that are counted at a time


def counted_logits(counts: Tensor) -> Tensor:
    """Logits from counts [N, levels]: [L, N], where L is 1 for two levels."""
    logs = (counts.double() + PSEUDOCOUNT).log().T  # [levels, N]
    return logs[1:] - logs[:1] if len(logs) == 2 else logs.log_softmax(0)


def level_batches(model: SequenceDensity, data: Dataset) -> Iterator[Tensor]:
    """The train split as level numbers in the model's order, [B, D] int64 at a time."""
    for batch in model.train_batches(data):
        yield model.to_levels(model.to_sequence(batch["image"]))


def count_levels(batches: Iterable[Tensor], groups: int, levels: int) -> Tensor:
    """How often each level is there, [groups, levels]; value i of a row belongs to group i mod `groups`."""
    counts = torch.zeros(groups * levels, dtype=torch.int64)
    for x in batches:
        group = torch.arange(x.shape[1], device=x.device) % groups
        counts = counts.to(x.device) + torch.bincount((group * levels + x).flatten(), minlength=len(counts))
    return counts.view(groups, levels)


def marginal_logits(model: SequenceDensity, data: Dataset) -> Tensor:
    """The logits of every value if it depended on no other, [L, D] in the model's order: where biases may begin."""
    return counted_logits(count_levels(level_batches(model, data), len(model.order), model.config.levels))


class CountedDensity(SequenceDensity):
    """Writes `fit`. A `Density` once it is fitted, and an error before."""

    fitted: Tensor

    batch = BATCH
    optimizer = None  # it counts

    def __init__(self, config: PixelConfig) -> None:
        super().__init__(config)
        self.register_buffer("fitted", torch.tensor(False))

    @abstractmethod
    def fit(self, batches: Iterable[Tensor]) -> None:
        """Count over all `batches` of level numbers, [B, D] int64."""

    def conditional_log_prob(self, x: Tensor) -> Tensor:
        self._require_fitted()
        return super().conditional_log_prob(x)

    def sample_from(self, uniforms: Tensor, **arguments: Any) -> Tensor:
        self._require_fitted()
        return super().sample_from(uniforms, **arguments)

    def _require_fitted(self) -> None:
        if not torch.compiler.is_compiling() and not self.fitted:
            raise UsageError(
                f"this {type(self).__name__} has not counted anything yet",
                "Train it (one pass: zoo train MODEL --data DATA --steps 1), or load a release.",
            )

    # Training: one stage, no step.

    def stages(self) -> list[Stage]:
        return [Stage(name="count", share=0)]

    @torch.no_grad()
    def begin_stage(self, stage: str, data: Dataset) -> None:
        self.fit(level_batches(self, data))
        self.fitted.fill_(True)
