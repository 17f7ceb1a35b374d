"""Five ways down the same hill: SGD, SGD with decay, momentum, Adam and Muon.

Robbins and Monro, 1951 (the decay); Polyak, 1964 (momentum); Kingma and Ba, 2014, arXiv:1412.6980 (Adam); Jordan
et al., 2024 (Muon).
"""

from typing import Annotated

from msgspec import Meta

from zoo_basics.mlp import OPTIMIZERS
from zoo_core import Report, Study


class Optimizers(Study, kw_only=True):
    data: str = "mnist"
    epochs: Annotated[float, Meta(gt=0)] = 3

    def make(self, report: Report) -> None:
        report.say(
            f"The MLP 784-256-256-10 on {self.data}, {self.epochs:g} epochs from the same weights, with the same "
            "batches; the learning rates are the model's defaults, 0.1 for SGD and momentum, 0.001 for Adam, and 0.02 "
            "for Muon. Validation split; the test split is not touched."
        )
        rows = []
        with report.picture("curves", "Over the epochs.", columns=2, size=4) as axes:
            for name in OPTIMIZERS:
                run = report.train(
                    name, "mlp", data=self.data, epochs=self.epochs, seed=self.seed, config={"optimizer": name}
                )
                epochs = [row["epoch"] for row in run.curve]
                axes[0, 0].plot(epochs, [row["train"]["loss"] for row in run.curve], marker=".", label=name)
                axes[0, 1].plot(epochs, [row["validation"]["accuracy"] for row in run.curve], marker=".", label=name)
                last = run.curve[-1]
                rows.append([name, last["train"]["loss"], run.best["accuracy"]])
            axes[0, 0].set(yscale="log", xlabel="epoch", title="training loss, nats")
            axes[0, 1].set(xlabel="epoch", title="validation accuracy")
            axes[0, 1].legend()
        report.table(["optimizer", "training loss of the last epoch", "best validation accuracy"], rows)
