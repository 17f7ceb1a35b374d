"""NADE with several orderings of the pixels: any ordering gives a density, and each has its own difficulty.

Larochelle and Murray, "The Neural Autoregressive Distribution Estimator", AISTATS 2011, take a random one.
"""

from typing import Annotated

from msgspec import Meta

from zoo_core import Report, Study

ORDERINGS = {
    "raster": {"ordering": "raster"},
    "reverse": {"ordering": "reverse"},
    "random-0": {"ordering": "random", "ordering_seed": 0},
    "random-1": {"ordering": "random", "ordering_seed": 1},
}


class Orderings(Study, kw_only=True):
    data: str = "binarized-mnist"
    epochs: Annotated[float, Meta(gt=0)] = 4

    def make(self, report: Report) -> None:
        report.say(
            f"NADE (h = 500) on {self.data}, {self.epochs:g} epochs, the same seed and batches for every ordering; the "
            "validation NLL of the best epoch. The test split is not touched."
        )
        rows = []
        with report.picture("curves", "Validation NLL (nats/image) over the epochs.", size=4.5) as axes:
            for name, config in ORDERINGS.items():
                run = report.train(name, "nade", data=self.data, epochs=self.epochs, seed=self.seed, config=config)
                curve = [(row["epoch"], row["validation"]["nll"]) for row in run.curve]
                axes[0, 0].plot(*zip(*curve, strict=True), marker=".", label=name)
                rows.append([name, run.best["nll"]])
            axes[0, 0].set(xlabel="epoch", ylabel="nats/image")
            axes[0, 0].legend()
        report.table(["ordering", "validation NLL, nats/image"], rows)
