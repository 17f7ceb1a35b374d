"""R first, then G, then B: what the order of pixels and channels is worth on colour photographs.

Van den Oord et al., "Pixel Recurrent Neural Networks", 2016 (arXiv:1601.06759), sections 2.2 and 5.6, which compare
with a Gaussian as well. Axes: N images, D values of an image.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor

from zoo_core import Dataset, Model, Report, Study, UsageError, batches

LEVELS = 256
CHANNELS = 3
SIDE = 6  # the picture shows so many images, squared, of each kind


class Colours(Study, kw_only=True):
    data: str = "cifar10-jpeg75"
    size: Annotated[int, Meta(ge=2)] = 8  # pixels a side, to which the images are reduced
    epochs: Annotated[float, Meta(gt=0)] = 10  # of the two networks
    hidden: Annotated[int, Meta(ge=3, multiple_of=3)] = 48  # their features
    head: Annotated[int, Meta(ge=3, multiple_of=3)] = 96
    pixelcnn_layers: Annotated[int, Meta(ge=1)] = 5
    pixelrnn_layers: Annotated[int, Meta(ge=1)] = 3

    def make(self, report: Report) -> None:
        data = report.registry.open_dataset(self.data)
        image = data.features.get("image")
        if image is None or image.shape[0] != CHANNELS:
            raise UsageError(
                f"colours needs images in R, G and B, which '{self.data}' does not have",
                "Choose such data: --set data=cifar10.",
            )
        network = {"hidden": self.hidden, "head": self.head}
        runs: dict[str, tuple[str, float, Mapping[str, Any]]] = {
            "one histogram a channel": ("independent", 1, {"shared": True}),
            "one histogram a value": ("independent", 1, {}),
            "PixelCNN": ("pixelcnn", self.epochs, {**network, "layers": self.pixelcnn_layers}),
            "Diagonal BiLSTM": ("pixelrnn", self.epochs, {**network, "layers": self.pixelrnn_layers}),
        }
        report.say(
            f"Images of {self.data} reduced to {self.size}x{self.size}, {LEVELS} levels a value; bits per value on the "
            "validation split, the best epoch. The Gaussian, of full covariance, is fitted to the train split, where a "
            "value is spread evenly over its level; its number is an upper bound."
        )
        rows: list[list[Any]] = [["all values equally likely", "0", math.log2(LEVELS)]]
        images = {}
        for name, (model, epochs, config) in runs.items():
            run = report.train(
                model + ("-shared" if config.get("shared") else ""),
                model,
                data=self.data,
                epochs=epochs,
                seed=self.seed,
                config=dict(config),
                input=[{"step": "resize", "size": self.size}, {"step": "quantize", "levels": LEVELS}],
                select="bits_per_dim",
            )
            rows.append([name, f"{sum(p.numel() for p in run.model.parameters()):,}", run.best["bits_per_dim"]])
            if model in ("pixelcnn", "pixelrnn"):
                images[name] = run.model.sample(SIDE**2, generator=torch.Generator().manual_seed(self.seed))
        train, validation = (values_of(run.model, data, split) for split in ("train", "validation"))
        d = train.shape[1]
        rows.insert(3, ["Gaussian", f"{d + d * (d + 1) // 2:,}", gaussian_bits(train, validation)])
        real = validation[: SIDE**2] / (LEVELS - 1)  # [N, D]
        images["validation images"] = real.unflatten(1, (CHANNELS, self.size, self.size))
        report.table(["model", "parameters", "validation bits/dim"], rows)
        with report.picture("samples", "Drawn with one seed, and real ones.", columns=len(images), size=3.6) as axes:
            for ax, (name, drawn) in zip(axes[0], images.items(), strict=True):
                rows_of_images = drawn.permute(0, 2, 3, 1).unflatten(0, (SIDE, SIDE))  # [SIDE, SIDE, H, W, C]
                ax.imshow(rows_of_images.transpose(1, 2).flatten(2, 3).flatten(0, 1).numpy())
                ax.set(title=name, xticks=[], yticks=[])


def values_of(model: Model, data: Dataset, split: str) -> Tensor:
    """All images of a split as the model takes them, in levels, [N, D] float64."""
    images = (batch["image"] for batch in batches(model, data, split))
    return torch.cat([(x * (LEVELS - 1)).round().double().flatten(1) for x in images])


def gaussian_bits(train: Tensor, validation: Tensor) -> float:
    """Bits per value of one Gaussian, from level numbers [N, D].

    Values are dequantised by u ~ U(-1/2, 1/2): the mean of -log p(x + u) bounds that of the discrete -log P(x) from
    above (Theis et al., 2016, arXiv:1511.01844, section 3.1). Over u it is in closed form: u has covariance I / 12.
    """
    d = train.shape[1]
    spread = torch.eye(d, dtype=torch.float64) / 12
    mean = train.mean(0)
    covariance = train.T.cov(correction=0) + spread
    precision = covariance.inverse()
    centred = validation - mean
    square = torch.einsum("nd,de,ne->n", centred, precision, centred).mean() + (precision * spread).sum()
    nats = 0.5 * (d * math.log(2 * math.pi) + covariance.logdet() + square)
    return (nats / d / math.log(2)).item()
