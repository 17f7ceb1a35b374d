"""`VectorDensity`: what densities over D real numbers share.

The model sees numbers standardised by the train split: mean 0, standard deviation 1. Its likelihood is that of
the numbers themselves, in nats, so that it depends on their units: only differences between models mean something.

Axes: B batch, D numbers of one example.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Generator, Tensor

from zoo_autoregressive.pixel_density import expand_known
from zoo_core import Dataset, Field, Loss, Model, Record, Stage, UsageError


class VectorConfig(Record, kw_only=True):
    """What the data decides."""

    dims: Annotated[int, Meta(ge=1, le=4096)] = 13  # D, numbers of one example


class VectorDensity(Model):
    """Writes `standard_log_prob` and `sample_next`; a Density, a Sampler and a Completer once it is fitted."""

    Config = VectorConfig
    config: VectorConfig
    batch = 50
    cpu_threads = 1
    mean: Tensor
    std: Tensor
    fitted: Tensor

    def __init__(self, config: VectorConfig) -> None:
        super().__init__(config)
        self.register_buffer("mean", torch.zeros(config.dims))
        self.register_buffer("std", torch.ones(config.dims))
        self.register_buffer("fitted", torch.tensor(False))

    @classmethod
    def config_for(cls, features: Mapping[str, Field]) -> dict[str, Any]:
        vector = features.get("vector")
        if vector is None or len(vector.shape) != 1 or vector.shape[0] is None:
            raise UsageError(f"{cls.__name__} needs rows of real numbers", "Choose a data set with a 'vector' field.")
        return {"dims": vector.shape[0]}

    def signature(self) -> dict[str, Field]:
        return {"vector": Field(kind="vector", shape=(self.config.dims,))}

    @abstractmethod
    def standard_log_prob(self, z: Tensor) -> Tensor:
        """Log-likelihood of standardised numbers: [B, D] -> [B]."""

    @abstractmethod
    def sample_next(self, z: Tensor, uniforms: Tensor) -> Tensor:
        """The next standardised number given those before it: z [B, i], uniforms [B, 2] -> [B]."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log-likelihood in nats: x [B, D] -> [B]."""
        self._require_fitted()
        self._check_size(x)
        return self.standard_log_prob((x - self.mean) / self.std) - self.std.log().sum()

    def loss(self, batch: Mapping[str, Tensor]) -> Loss:
        """Exact negative log-likelihood of a row, in nats."""
        x = batch["vector"]
        return Loss(-self.log_prob(x).sum(), weight=x.shape[0])

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n rows sampled from the model, [n, D]."""
        return self.sample_from(torch.rand(n, self.config.dims, 2, generator=generator))

    def complete(self, x: Tensor, known: Tensor, *, generator: Generator | None = None) -> Tensor:
        """x [B, D] with the places where `known` (bool, broadcastable) is False sampled, each given all before it.

        An exact conditional sample where the known numbers are the first ones.
        """
        self._check_size(x)
        return self.sample_from(torch.rand(*x.shape, 2, generator=generator), x=x, known=expand_known(known, x))

    @torch.no_grad()
    def sample_from(self, uniforms: Tensor, *, x: Tensor | None = None, known: Tensor | None = None) -> Tensor:
        """Rows [B, D] from uniforms [B, D, 2] in [0, 1); where `known` is True, the number of `x` is taken."""
        if (x is None) != (known is None):
            raise UsageError("x and known go together")
        self._require_fitted()
        uniforms = uniforms.to(self.mean)
        z = uniforms.new_zeros(len(uniforms), 0)
        for i in range(self.config.dims):
            value = self.sample_next(z, uniforms[:, i])
            if x is not None and known is not None:
                value = torch.where(known[:, i], ((x - self.mean) / self.std)[:, i], value)
            z = torch.cat([z, value[:, None]], 1)  # [B, i + 1]
        drawn = z * self.std + self.mean
        return drawn if x is None or known is None else torch.where(known, x, drawn)

    # Training: mean and standard deviation first.

    def stages(self) -> list[Stage]:
        return [Stage(name="standardise", share=0), Stage()]

    @torch.no_grad()
    def begin_stage(self, stage: str, data: Dataset) -> None:
        if stage == "standardise":
            rows = torch.cat([batch["vector"] for batch in self.train_batches(data)]).double()
            self.mean.copy_(rows.mean(0))
            self.std.copy_(rows.std(0, correction=0).clamp(min=1e-6))
            self.fitted.fill_(True)

    def _require_fitted(self) -> None:
        if not torch.compiler.is_compiling() and not self.fitted:
            raise UsageError(
                f"this {type(self).__name__} does not know the mean and the spread of any data yet",
                "Train it, or load a release.",
            )

    def _check_size(self, x: Tensor) -> None:
        if x.ndim != 2 or x.shape[1] != self.config.dims:
            raise UsageError(f"rows must be [B, {self.config.dims}], got {list(x.shape)}")


def standard_normal(uniforms: Tensor) -> Tensor:
    """The normal numbers at these values of their distribution function."""
    edge = torch.finfo(uniforms.dtype).eps / 2
    numbers: Tensor = torch.special.ndtri(uniforms.clamp(edge, 1 - edge))
    return numbers
