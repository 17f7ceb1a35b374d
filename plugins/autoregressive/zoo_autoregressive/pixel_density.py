"""`PixelDensity`: what every autoregressive model of images shares.

p(x) = prod_i p(x_i | x_1 ... x_{i-1}): pixels in raster order, in each pixel the channels in order. A pixel has
`levels` values: with 2 its distribution is a Bernoulli and the network gives one logit, else a softmax over all
levels (van den Oord et al., 2016, arXiv:1601.06759, section 2.2).

A model writes `forward` (all logits at once, given the whole image) and `begin_sampling` (the same logits, one pixel at
a time, from cached state); likelihood, loss, sampling and completion follow.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Protocol

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Generator, Tensor

from zoo_core import Field, Loss, Model, Optimizer, Record, RecordError, UsageError, linear_to_zero


class PixelConfig(Record, kw_only=True):
    """What the data decides."""

    channels: Annotated[int, Meta(ge=1, le=4)] = 1  # 1 grey, 3 RGB
    height: Annotated[int, Meta(ge=1, le=1024)] = 28  # pixels
    width: Annotated[int, Meta(ge=1, le=1024)] = 28  # pixels
    levels: Annotated[int, Meta(ge=2, le=256)] = 2  # values a channel can take, evenly spaced in [0, 1]


def logits_per_value(levels: int) -> int:
    """Two levels need one logit."""
    return 1 if levels == 2 else levels


def pixel_optimizer(kind: str, adam_lr: float) -> Optimizer:
    """Of PixelCNN and PixelRNN. The clip is on the gradient of nats per image; recurrent layers diverge without it now
    and then. Without weight decay, Muon learns the train split by heart.
    """
    lr, options = {"adam": (adam_lr, {}), "muon": (5e-3, {"weight_decay": 0.1})}[kind]
    return Optimizer(kind=kind, lr=lr, clip=50.0, decay=linear_to_zero, options=options)


def check_groups(channels: int, **features: int) -> None:
    """RecordError unless every map can be split into one group a channel."""
    for name, count in features.items():
        if count % channels:
            raise RecordError(f"{name} must be a multiple of the {channels} channels, got {count}")


def expand_known(known: Tensor, x: Tensor) -> Tensor:
    """Which values of x are known: bool, in the shape of x.

    Raises:
        UsageError: another type, or a shape that does not broadcast to that of x.
    """
    if known.dtype != torch.bool:
        raise UsageError(f"known must be a bool tensor, got {known.dtype}")
    try:
        return known.expand(x.shape)
    except RuntimeError:
        raise UsageError(f"known must broadcast to {list(x.shape)}, got {list(known.shape)}") from None


class SamplingState(Protocol):
    """Images that are being sampled value by value. All tensors have the batch last."""

    def logits(self, row: int, column: int, channel: int) -> Tensor:
        """The logits of this value given all values before it, [1 or levels, B]."""

    def put(self, row: int, column: int, channel: int, value: Tensor) -> None:
        """The value [B] in [0, 1] that was sampled there."""


class PlainState:
    """Ancestral sampling as it is defined: one forward pass on all that was sampled before, for every value."""

    def __init__(self, model: "PixelDensity", n: int) -> None:
        c, like = model.config, next(model.parameters())
        self.model, self.x = model, like.new_zeros(n, c.channels, c.height, c.width)

    def logits(self, row: int, column: int, channel: int) -> Tensor:
        every: Tensor = self.model(self.x)
        return every[:, :, channel, row, column].T

    def put(self, row: int, column: int, channel: int, value: Tensor) -> None:
        self.x[:, channel, row, column] = value


class PixelDensity(Model):
    """Base of the autoregressive image models; a Density, a Sampler and a Completer.

    Attributes:
        plain: set it to True, and the model computes by what its own file says, as the paper writes it, and samples
            with one forward pass for each value. The numbers are the same, and come slowly; tests compare both.
    """

    Config = PixelConfig
    config: PixelConfig
    select_by = "nll"

    plain = False

    @classmethod
    def config_for(cls, features: Mapping[str, Field]) -> dict[str, Any]:
        image = features.get("image")
        if image is None or len(image.shape) != 3 or None in image.shape:
            raise UsageError(f"{cls.__name__} needs images of one size", "Choose a data set with an 'image' field.")
        if image.levels is None:
            raise UsageError(
                f"{cls.__name__} needs images whose pixels take a known number of levels",
                "Add --input binarize:mode=threshold, or --input quantize:levels=16.",
            )
        channels, height, width = image.shape
        return {"channels": channels, "height": height, "width": width, "levels": image.levels}

    def signature(self) -> dict[str, Field]:
        c = self.config
        return {"image": Field(kind="image", shape=(c.channels, c.height, c.width), range=(0, 1), levels=c.levels)}

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Logits of every value given those before it: x [B, C, H, W] -> [B, 1 or levels, C, H, W]."""

    @abstractmethod
    def begin_sampling(self, n: int) -> SamplingState:
        """The state from which n images are sampled."""

    def generation_order(self) -> list[tuple[int, int, int]]:
        """Every value as (channel, row, column), in the order in which it is sampled."""
        c = self.config
        return [(k, i, j) for i in range(c.height) for j in range(c.width) for k in range(c.channels)]

    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log-likelihood in nats: x [B, C, H, W] with values k / (levels - 1) -> [B].

        Raises:
            UsageError: images of another size, or values that are none of the levels, which have no likelihood.
        """
        return self.conditional_log_prob(x).flatten(1).sum(1)

    def conditional_log_prob(self, x: Tensor) -> Tensor:
        """Log-probability in nats of every value given those before it: x [B, C, H, W] -> [B, C, H, W].

        Raises:
            UsageError: as `log_prob`.
        """
        self.check_values(x)
        return -self.value_losses(self(x), x)

    def check_values(self, x: Tensor) -> None:
        """UsageError, as of `log_prob`. A program that is compiled or exported cannot look at values: there, the size
        alone is checked."""
        self._check_size(x)
        if torch.compiler.is_compiling():
            return
        scaled = x.detach() * (self.config.levels - 1)
        if not (((scaled - scaled.round()).abs() <= 1e-3) & (x >= 0) & (x <= 1)).all():  # NaN is refused, too
            raise UsageError(f"pixel values must be one of {self.config.levels} even levels in [0, 1]")

    def value_losses(self, logits: Tensor, x: Tensor) -> Tensor:
        """Negative log-probability of every value: logits [B, 1 or levels, …], x [B, …] -> [B, …]."""
        if self.config.levels == 2:
            return F.binary_cross_entropy_with_logits(logits[:, 0], x, reduction="none")
        return F.cross_entropy(logits, self.to_levels(x), reduction="none")

    def loss(self, batch: Mapping[str, Tensor]) -> Loss:
        """Exact negative log-likelihood of an image, in nats."""
        image = batch["image"]
        return Loss(-self.log_prob(image).sum(), weight=len(image))

    def to_levels(self, x: Tensor) -> Tensor:
        """Values in [0, 1] as level numbers, int64."""
        return (x * (self.config.levels - 1)).round().long()

    def sample(
        self,
        n: int,
        *,
        generator: Generator | None = None,
        temperature: float = 1.0,
        progress: Callable[[float], None] | None = None,
    ) -> Tensor:
        """n images sampled from the model, [n, C, H, W]. Logits are divided by `temperature`."""
        c = self.config
        uniforms = torch.rand(n, c.channels, c.height, c.width, generator=generator)
        return self.sample_from(uniforms, temperature=temperature, progress=progress)

    def complete(
        self,
        x: Tensor,
        known: Tensor,
        *,
        generator: Generator | None = None,
        temperature: float = 1.0,
        progress: Callable[[float], None] | None = None,
    ) -> Tensor:
        """x [B, C, H, W] with the places where `known` (bool, broadcastable) is False sampled in the model's order.

        Each new value is sampled given everything before it. Known values that come after it cannot steer it: the
        result is an exact conditional sample where the known part comes first in that order (in raster order: the
        top rows).

        Raises:
            UsageError: images of another size, known values that are none of the levels, or another kind of `known`.
        """
        known = self._check_known(x, known)
        uniforms = torch.rand(x.shape, generator=generator)
        return self.sample_from(uniforms, x=x, known=known, temperature=temperature, progress=progress)

    @torch.no_grad()
    def sample_from(
        self,
        uniforms: Tensor,
        *,
        x: Tensor | None = None,
        known: Tensor | None = None,
        temperature: float = 1.0,
        progress: Callable[[float], None] | None = None,
    ) -> Tensor:
        """Samples by inverting the distribution function at `uniforms` [B, C, H, W] in [0, 1).

        `x` and `known` go together: where `known` is True, the value of `x` is taken. The result is a function of these
        and the uniforms alone, so that one full forward on it can check every value.
        """
        if not temperature > 0:
            raise UsageError(f"temperature must be greater than 0, got {temperature}")
        if (x is None) != (known is None):
            raise UsageError("x and known go together")
        self._check_size(uniforms)
        if len(uniforms) == 0:
            return uniforms
        parameter = next(self.parameters())
        uniforms = uniforms.to(parameter.device, parameter.dtype).permute(1, 2, 3, 0).contiguous()  # [C, H, W, B]
        given: Tensor | None = None
        if x is not None and known is not None:
            given = torch.where(known, x, torch.zeros_like(x)).to(uniforms).permute(1, 2, 3, 0).contiguous()
            known = known.to(uniforms.device).permute(1, 2, 3, 0)
        values = self.sample_values(uniforms, given, known, temperature, progress or (lambda done: None))
        return values.permute(3, 0, 1, 2).contiguous()

    def sample_values(
        self,
        uniforms: Tensor,
        given: Tensor | None,
        known: Tensor | None,
        temperature: float,
        progress: Callable[[float], None],
    ) -> Tensor:
        """The part of `sample_from` after the checks. All tensors have the batch last: [C, H, W, B]."""
        values = torch.zeros_like(uniforms)
        _, height, _, n = uniforms.shape
        state = PlainState(self, n) if self.plain else self.begin_sampling(n)
        places = self.generation_order()
        for done, place in enumerate(places, start=1):
            channel, row, column = place
            value = self._invert(state.logits(row, column, channel) / temperature, uniforms[place])
            if given is not None and known is not None:
                value = torch.where(known[place], given[place], value)
            values[place] = value
            state.put(row, column, channel, value)
            if done % (len(places) // height) == 0:
                progress(done / len(places))
        return values

    def _check_size(self, x: Tensor) -> None:
        c = self.config
        if x.ndim != 4 or tuple(x.shape[1:]) != (c.channels, c.height, c.width):
            raise UsageError(f"images must be [B, {c.channels}, {c.height}, {c.width}], got {list(x.shape)}")

    def _check_known(self, x: Tensor, known: Tensor) -> Tensor:
        """`known` in the shape of x."""
        self._check_size(x)
        known = expand_known(known, x)
        self.check_values(torch.where(known, x, torch.zeros_like(x)))
        return known

    def _invert(self, logits: Tensor, u: Tensor) -> Tensor:
        """The value in [0, 1] whose cumulative probability first exceeds u: logits [1 or levels, B], u [B] -> [B]."""
        if self.config.levels == 2:
            return (u < torch.sigmoid(logits[0])).to(u.dtype)
        cumulative = torch.softmax(logits, 0).cumsum(0)
        level = (cumulative <= u).sum(0).clamp(max=self.config.levels - 1)
        return level.to(u.dtype) / (self.config.levels - 1)
