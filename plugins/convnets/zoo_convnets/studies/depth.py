"""Deeper is not better by itself: plain networks degrade with depth, residual ones do not.

He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", 2015 (arXiv:1512.03385), section 4.2, figure 6.
"""

from typing import Annotated

from msgspec import Meta

from zoo_core import Report, Study

DEPTHS = (20, 56)
SPLITS = ("train", "validation")


class Depth(Study, kw_only=True):
    data: str = "cifar10-jpeg75"
    epochs: Annotated[float, Meta(gt=0)] = 4
    filters: Annotated[int, Meta(ge=1)] = 8  # channels of the first stage; the paper has 16

    def make(self, report: Report) -> None:
        report.say(
            f"Plain and residual networks of {DEPTHS[0]} and {DEPTHS[1]} layers with {self.filters} filters on "
            f"{self.data}, {self.epochs:g} epochs, the same seed, batches, augmentation and schedule of the learning "
            "rate. A deeper network that is worse on the images it is trained with does not overfit: it is harder to "
            "train. The test split is not touched."
        )
        rows = []
        caption = "Loss on the train batches (nats/image), each epoch's mean."
        with report.picture("curves", caption, columns=2, size=4) as axes:
            for kind, ax in zip(("plain", "resnet"), axes[0], strict=True):
                for depth in DEPTHS:
                    name = f"{kind}{depth}"
                    run = report.train(
                        name, name, data=self.data, epochs=self.epochs, seed=self.seed, config={"filters": self.filters}
                    )
                    ax.plot([r["epoch"] for r in run.curve], [r["train"]["loss"] for r in run.curve], ".-", label=name)
                    last = run.curve[-1]
                    rows.append([name, depth, last["train"]["loss"], *(last[s]["accuracy"] for s in SPLITS)])
                ax.set(title=kind, xlabel="epoch")
                ax.legend()
            low, high = zip(*(ax.get_ylim() for ax in axes[0]), strict=True)
            for ax in axes[0]:
                ax.set_ylim(min(low), max(high))
        report.table(["network", "layers", "train loss", "train accuracy", "validation accuracy"], rows)
