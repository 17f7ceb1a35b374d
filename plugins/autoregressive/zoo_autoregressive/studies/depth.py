"""Depth of a PixelRNN, with and without residual connections.

Van den Oord et al., "Pixel Recurrent Neural Networks", 2016 (arXiv:1601.06759), sections 3.3 and 5.4, tables 2 and 3.
"""

from typing import Annotated

from msgspec import Meta

from zoo_core import Report, Study

LAYERS = (1, 4, 7)


class Depth(Study, kw_only=True):
    model: str = "pixelrnn"  # or pixelrnn-row
    data: str = "digits"
    epochs: Annotated[float, Meta(gt=0)] = 30
    hidden: Annotated[int, Meta(ge=1)] = 16  # features of a layer

    def make(self, report: Report) -> None:
        report.say(
            f"{self.model} with h = {self.hidden} on {self.data}, {self.epochs:g} epochs, the same seed, batches and "
            "learning rate; the validation NLL of the best epoch. The test split is not touched."
        )
        rows: list[tuple[int, str, float]] = []
        with report.picture("curves", "Validation NLL (nats/image) over the epochs.", columns=2, size=4) as axes:
            for residual, ax in zip((True, False), axes[0], strict=True):
                for layers in LAYERS:
                    label = f"{layers}-{'residual' if residual else 'plain'}"
                    config = {"hidden": self.hidden, "layers": layers, "residual": residual}
                    run = report.train(
                        label, self.model, data=self.data, epochs=self.epochs, seed=self.seed, lr=4e-3, config=config
                    )
                    curve = [(row["epoch"], row["validation"]["nll"]) for row in run.curve]
                    ax.plot(*zip(*curve, strict=True), label=f"{layers} layer{'s' if layers > 1 else ''}")
                    rows.append((layers, "yes" if residual else "no", run.best["nll"]))
                ax.set(title="with residual connections" if residual else "without", xlabel="epoch")
                ax.legend()
            low, high = min(row[2] for row in rows), max(row[2] for row in rows)
            for ax in axes[0]:
                ax.set_ylim(low - 1, high + (high - low) + 2)
        report.table(["layers", "residual", "validation NLL, nats/image"], rows)
