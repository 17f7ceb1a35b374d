"""The whole table: one probability for every possible image.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    joint-table.binarized-mnist-4x4: nll 4.554 ± 0.021 nats/example (binarized-mnist test), n = 10,000, exact, after
        resize and binarize; 1 run, under 0.01 h

The only model that can be any distribution at all, and one that cannot be learned: n bits need 2^n - 1 parameters, one
RGB pixel 256^3 - 1 (against 3 * 255 if its colours were independent), and almost all cells of such a table stay empty
whatever the size of the train split. `occupied` tells how many are not.

Axes: B batch, D values, N = levels^D cells; the first value is the highest digit of a cell's number.
"""

from collections.abc import Iterable
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from zoo_autoregressive.counting import CountedDensity
from zoo_autoregressive.pixel_density import PixelConfig
from zoo_autoregressive.sequence_density import SequenceState
from zoo_core import RecordError

LARGEST_TABLE = 2**24  # cells: one RGB pixel


class JointTableConfig(PixelConfig, kw_only=True):
    """A tiny image, at most 20 bits or one RGB pixel of 256 levels."""

    height: Annotated[int, Meta(ge=1, le=1024)] = 4  # pixels
    width: Annotated[int, Meta(ge=1, le=1024)] = 4  # pixels
    pseudocount: Annotated[float, Meta(gt=0)] = 0.5  # examples that every cell is given before counting

    def __post_init__(self) -> None:
        super().__post_init__()
        values = self.height * self.width * self.channels
        if (self.levels == 2 and values > 20) or self.levels**values > LARGEST_TABLE:
            raise RecordError(
                f"a table of {self.levels}^{values} cells does not fit: at most 20 bits or {LARGEST_TABLE:,} cells. "
                "Choose smaller images: --input resize:size=4 --input binarize:mode=threshold"
            )


class JointTable(CountedDensity):
    """p(x) is the softmax of one logit a cell."""

    Config = JointTableConfig
    config: JointTableConfig
    occupied: Tensor

    def __init__(self, config: JointTableConfig) -> None:
        super().__init__(config)
        self.logit = nn.Parameter(torch.zeros(config.levels ** len(self.order)))  # [N]
        self.register_buffer("occupied", torch.tensor(0))  # cells that some training example fell into

    def cells(self, x: Tensor) -> Tensor:
        """The cell of each sequence of level numbers: [B, D] -> [B]."""
        digits: Tensor = self.config.levels ** torch.arange(x.shape[1] - 1, -1, -1, device=x.device)
        return (x * digits).sum(1)

    def fit(self, batches: Iterable[Tensor]) -> None:
        counts = torch.zeros(len(self.logit), dtype=torch.int64, device=self.order.device)
        for x in batches:
            counts += torch.bincount(self.cells(x), minlength=len(counts))
        self.occupied.copy_((counts > 0).sum())
        logs = (counts.double() + self.config.pseudocount).log()
        self.logit.copy_(logs - logs.logsumexp(0))

    def beginnings(self) -> list[Tensor]:
        """Log-probability, up to one constant, of every beginning: the i-th tensor is [levels^i], for i = 0 … D."""
        tables: list[Tensor] = [self.logit]
        for _ in self.order:
            tables.append(tables[-1].view(-1, self.config.levels).logsumexp(1))
        return tables[::-1]

    def sequence_logits(self, x: Tensor) -> Tensor:
        state, logits = JointTableState(self, x.shape[0]), []
        for i, value in enumerate(x.unbind(1)):
            logits.append(state.next_logits(i))  # [L, B]
            state.take(i, value)
        return torch.stack(logits, 2).transpose(0, 1)  # [B, L, D]

    def begin_sampling(self, n: int) -> "JointTableState":
        return JointTableState(self, n)


class JointTableState(SequenceState):
    """p(x_i | x_1 … x_(i-1)) is one beginning's share of another."""

    def __init__(self, model: JointTable, n: int) -> None:
        self.model, self.tables = model, model.beginnings()
        self.past = torch.zeros(n, dtype=torch.int64, device=model.order.device)  # [B], the beginning's number

    def next_logits(self, i: int) -> Tensor:
        levels = self.model.config.levels
        logits = self.tables[i + 1].view(-1, levels)[self.past].T  # [levels, B]
        return logits[1:] - logits[:1] if levels == 2 else logits

    def take(self, i: int, value: Tensor) -> None:
        self.past = self.past * self.model.config.levels + self.model.to_levels(value)
