"""What weights are worth to start from: few examples of new classes, and a network that has seen other ones.

Yosinski, Clune, Bengio and Lipson, "How transferable are features in deep neural networks?", 2014 (arXiv:1411.1792).
"""

from statistics import mean, stdev
from typing import Annotated, Any

from msgspec import Meta

from zoo_core import Report, Study, Trained, evaluate

WAYS: dict[str, dict[str, Any]] = {  # what is trained, and how; all but the first start from weights
    "from scratch": {},
    "all layers": {},
    "all but the convolutions": {"freeze": ["convolutions.*"]},
    "the new head alone": {"freeze": ["*"]},
}
RATES = (1e-3, 3e-3, 1e-2, 3e-2)  # learning rates, the highest of the cycle


class Transfer(Study, kw_only=True):
    start: str = "digit-classifier.mnist"  # weights to start from, of a digit-classifier
    data: str = "letters"
    per_class: Annotated[int, Meta(ge=1)] = 20  # examples of each class to learn from
    epochs: Annotated[float, Meta(gt=0)] = 30
    seeds: Annotated[int, Meta(ge=2)] = 3  # each draws other examples and another head

    def make(self, report: Report) -> None:
        report.say(
            f"A classifier of {self.data} learns from {self.per_class} examples of each class: from scratch, and from "
            f"the weights of {self.start} with a new head. {self.epochs:g} epochs, {self.seeds} seeds, each with other "
            f"examples; the epoch and the learning rate (of {', '.join(f'{rate:g}' for rate in RATES)}) are those with "
            "the best validation accuracy. Mean and standard deviation over the seeds."
        )
        rows, curves = [], {}
        for way in WAYS:
            runs = {rate: [self.train(report, way, rate, self.seed + k) for k in range(self.seeds)] for rate in RATES}
            rate = max(RATES, key=lambda rate: mean(run.best["accuracy"] for run in runs[rate]))
            chosen = curves[way] = runs[rate]
            validation, test = [run.best["accuracy"] for run in chosen], [self.test(run, report) for run in chosen]
            rows.append([way, rate, mean(validation), stdev(validation), mean(test), stdev(test)])
        caption = "Accuracy on the validation split after each epoch, the mean over the seeds, each at its best rate."
        with report.picture("transfer", caption, size=4.5) as axes:
            for way, chosen in curves.items():
                epochs = zip(*([row["validation"]["accuracy"] for row in run.curve] for run in chosen), strict=True)
                axes[0, 0].plot([row["epoch"] for row in chosen[0].curve], [mean(e) for e in epochs], label=way)
            axes[0, 0].set(xlabel="epoch", ylabel="validation accuracy")
            axes[0, 0].legend()
        header = ["trained", "rate", "validation accuracy", "its deviation", "test accuracy", "its deviation"]
        report.table(header, rows)

    def train(self, report: Report, way: str, rate: float, seed: int) -> Trained:
        """One run."""
        start = {} if way == "from scratch" else {"start": self.start, "head": True}
        return report.train(
            f"{way.replace(' ', '-')}-{rate:g}-{seed}",
            "digit-classifier",
            data=self.data,
            per_class=self.per_class,
            epochs=self.epochs,
            batch=32,
            lr=rate,
            seed=seed,
            **start,
            **WAYS[way],
        )

    def test(self, run: Trained, report: Report) -> float:
        """The accuracy on the test split."""
        found = evaluate(
            f"folder:{run.folder}", data=self.data, split="test", metrics=["accuracy"], registry=report.registry
        )
        return found.metrics[0].value
