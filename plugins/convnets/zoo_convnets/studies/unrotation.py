"""What a spatial transformer learns from class labels alone: to turn digits back.

Jaderberg, Simonyan, Zisserman and Kavukcuoglu, "Spatial Transformer Networks", 2015 (arXiv:1506.02025), section 4.1.
Axes: N images; angles are in degrees.
"""

import math
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor

from zoo_convnets.stn import STN, affine_grid, sample
from zoo_core import Report, Study

SHOWN = 7  # digits in the picture
ANGLES = torch.arange(-75.0, 76, 25)  # by which each of them is turned
MEASURED = 1000  # digits whose turns are measured


class Unrotation(Study, kw_only=True):
    data: str = "mnist"
    range: Annotated[float, Meta(gt=0, le=180)] = 90  # images are turned by up to so much, either way
    epochs: Annotated[float, Meta(gt=0)] = 30
    filters: Annotated[int, Meta(ge=1)] = 4  # channels of the classifier's first convolution

    def make(self, report: Report) -> None:
        report.say(
            f"The same classifier with and without a spatial transformer before it, on {self.data} with every image "
            f"turned by up to {self.range:g} degrees either way, {self.epochs:g} epochs, the same seed and batches. "
            "The test split is not touched."
        )
        runs = {
            placement: report.train(
                placement,
                "stn",
                data=self.data,
                epochs=self.epochs,
                seed=self.seed,
                config={"placement": placement, "filters": self.filters},
                input=[{"step": "rotate", "range": self.range}],
            )
            for placement in ("none", "input")
        }
        names = {"none": "without", "input": "with"}
        rows = [[names[placement], 1 - run.best["accuracy"]] for placement, run in runs.items()]
        report.table(["transformer", "validation error"], rows)
        model = runs["input"].model
        assert isinstance(model, STN)
        data = report.registry.open_dataset(self.data)
        x = data.batch("validation", torch.arange(min(MEASURED, data.size("validation"))))["image"]
        undone = share_undone(model, x, ANGLES)
        report.say(
            f"Of a turn between {ANGLES[0]:g} and {ANGLES[-1]:g} degrees the transformer undoes {undone:.0%}: the mean "
            f"over {len(x):,} digits of the slope of its own angle against the turn."
        )
        caption = "Digits turned by several angles, and what the classifier sees of them."
        with report.picture("unrotation", caption, columns=2, size=4) as axes, torch.no_grad():
            shown = [turned(x[:SHOWN], angle) for angle in ANGLES]
            for ax, title, images in (
                (axes[0, 0], "input", shown),
                (axes[0, 1], "transformed", [model.transform(image) for image in shown]),
            ):
                sheet = torch.cat([torch.cat(list(image[:, 0]), 0) for image in images], 1)  # a digit a row
                ax.imshow(sheet.clamp(0, 1).numpy(), cmap="gray", vmin=0, vmax=1)
                ax.set(title=title, xticks=[], yticks=[])


def turned(x: Tensor, degrees: Tensor) -> Tensor:
    """Images [N, C, H, W] turned about their centre by one angle, the same shape; zero comes in."""
    angle = degrees * (math.pi / 180)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros(())
    theta = torch.stack([cos, -sin, zero, sin, cos, zero]).view(1, 2, 3)
    return sample(x, affine_grid(theta, *x.shape[2:]).expand(len(x), -1, -1, -1))


def angle_of(theta: Tensor) -> Tensor:
    """The angle of the rotation that is nearest to each transformation [N, 2, 3]: [N]."""
    return torch.atan2(theta[:, 1, 0] - theta[:, 0, 1], theta[:, 0, 0] + theta[:, 1, 1]) * (180 / math.pi)


@torch.no_grad()
def share_undone(model: STN, x: Tensor, angles: Tensor) -> float:
    """How much of a turn the transformer takes back, from 0 to 1: its angle falls by as much as the turn grows."""
    own = torch.stack([angle_of(model.theta(turned(x, angle))[:, 0]) for angle in angles])  # [angles, N]
    centred = angles - angles.mean()
    return -(centred @ own / centred.square().sum()).mean().item()
