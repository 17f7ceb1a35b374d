"""Does a density know its own kind? Outliers that it should find unlikely, and simple images that it should not prefer.

Nalisnick et al., "Do deep generative models know what they don't know?", 2019 (arXiv:1810.09136): they often do not.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from zoo_core import AnyModel, Dataset, Report, Study, batches, default_registry, evaluate, listings, load

METRICS = ("nll", "omniglot_auroc", "rotated_auroc")
BATCH = 500


class Outliers(Study, kw_only=True):
    data: str = "binarized-mnist"
    releases: tuple[str, ...] = ()  # by default all densities that were measured on the data as it is

    def make(self, report: Report) -> None:
        report.say(
            f"All numbers are over the whole test split of {self.data}. AUROC is that of -log p(x): the chance that an "
            "outlier is less likely than a digit, 0.5 for a coin. Outliers are Omniglot's characters (test split, ink "
            "made bright, 28x28, cut at 0.5), and the same digits turned by 90 degrees."
        )
        found = listings(data=self.data, capability="Density", sort="nll")
        entries = {listing.reference: listing.metric("nll") for listing in found}
        whole = [name for name, entry in entries.items() if entry is not None and not entry.protocol.input]
        references = self.releases or whole
        measured = {name: self.measured(name) for name in references}
        report.table(
            ["release", "NLL, nats", "AUROC, Omniglot", "AUROC, turned by 90°"],
            [[f"`{name}`", *cells] for name, cells in measured.items()],
        )
        report.say(
            "A high likelihood is no proof of being normal: simple images are likely, whether they are digits or not. "
            "Thinner is every digit without the pixels whose right neighbour is black; blank is the image without ink."
        )
        data = default_registry().open_dataset(self.data)
        rows = []
        for name in references:
            says = simpler(load(name), data)
            cells = (f"{says.thinner_nll:.2f}", f"{says.thinner_wins:.1%}", f"{says.blank_nll:.2f}")
            rows.append([f"`{name}`", *cells, f"{says.blank_wins:.1%}"])
        report.table(
            [
                "release",
                "thinner digits: NLL",
                "more likely than before",
                "blank: NLL",
                "more likely than so many digits",
            ],
            rows,
        )

    def measured(self, reference: str) -> list[str]:
        """The cells of `METRICS`, with standard errors."""
        entries = {e.metric: e for e in evaluate(reference, data=self.data, split="test", metrics=METRICS).metrics}
        cells = []
        for metric, places in zip(METRICS, (2, 3, 3), strict=True):
            entry = entries.get(metric)
            cells.append(f"{entry.value:.{places}f} ± {entry.stderr:.{places}f}" if entry else "-")
        return cells


class Simpler(NamedTuple):
    """What a model says of simpler images than those that it was trained on."""

    thinner_nll: float  # mean, in nats
    thinner_wins: float  # the share of digits that are less likely than the same digit made thinner
    blank_nll: float  # in nats
    blank_wins: float  # the share of digits that are less likely than a blank image


@torch.no_grad()
def simpler(model: AnyModel, data: Dataset) -> Simpler:
    """Over the whole test split."""
    digits, thinned = [], []
    for batch in batches(model, data, "test", size=BATCH):
        x = batch["image"]
        digits.append(model.log_prob(x).double())
        thinned.append(model.log_prob(thinner(x)).double())
    before, after = torch.cat(digits), torch.cat(thinned)
    blank = model.log_prob(torch.zeros_like(x[:1])).double()
    return Simpler(
        -after.mean().item(),
        (after > before).double().mean().item(),
        -blank.item(),
        (blank > before).double().mean().item(),
    )


def thinner(x: Tensor) -> Tensor:
    """Bits [B, 1, H, W] without those whose right neighbour is 0."""
    return x * torch.nn.functional.pad(x[..., 1:], (0, 1))
