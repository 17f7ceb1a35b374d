"""How far back should a value look? A table of contexts against a logistic regression, of the same order.

A table of order k holds every regression on k bits, and more; but it must see each of its 2^k contexts often enough.
"""

from typing import Annotated

from msgspec import Meta

from zoo_core import Report, Study


class Orders(Study, kw_only=True):
    data: str = "binarized-mnist"
    tables: tuple[Annotated[int, Meta(ge=1, le=24)], ...] = (1, 2, 4, 8, 12, 14, 16)  # k
    regressions: tuple[Annotated[int, Meta(ge=1)], ...] = (1, 2, 4, 8, 12, 14, 16, 28, 56, 112, 783)  # n
    epochs: Annotated[float, Meta(gt=0)] = 5  # of a regression; a table is counted

    def make(self, report: Report) -> None:
        report.say(
            f"Markov chains, counted, and logistic regressions, {self.epochs:g} epochs with the same seed and batches, "
            f"on {self.data}; the validation NLL of the best epoch. The test split is not touched."
        )
        nats: dict[str, dict[int, float]] = {"markov": {}, "ar": {}}
        for order in self.tables:
            run = report.train(f"markov-{order}", "markov", data=self.data, epochs=1, config={"order": order})
            nats["markov"][order] = run.best["nll"]
        for order in self.regressions:
            run = report.train(
                f"ar-{order}", "ar", data=self.data, epochs=self.epochs, seed=self.seed, config={"past": order}
            )
            nats["ar"][order] = run.best["nll"]
        with report.picture("orders", "Validation NLL (nats/image) of tables and of regressions.", size=4.5) as axes:
            for name, found in nats.items():
                axes[0, 0].plot(found.keys(), found.values(), marker=".", label=name)
            axes[0, 0].set(xscale="log", xlabel="values that a value sees", ylabel="nats/image")
            axes[0, 0].legend()
        orders = sorted({*nats["markov"], *nats["ar"]})
        rows = [[order, *(found.get(order, "-") for found in nats.values())] for order in orders]
        report.table(["order", *nats], rows)
