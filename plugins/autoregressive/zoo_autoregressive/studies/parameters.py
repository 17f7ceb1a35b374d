"""Parameters against nats: what a better structure is worth, from 784 independent pixels to PixelRNN."""

import math

import torch

from zoo_core import Report, Study, listings, load

SIDE = 4  # drawn images a side of a square


class Parameters(Study, kw_only=True):
    data: str = "binarized-mnist"

    def make(self, report: Report) -> None:
        found = []
        for row in listings(data=self.data, capability="Sampler"):
            entry = row.metric("nll")
            # Smaller images are other data.
            if entry is None or entry.protocol.split != "test" or entry.protocol.input:
                continue
            found.append((row.reference, load(row.reference), entry))
        found.sort(key=lambda release: -release[2].value)
        rows: list[tuple[str, int, float, float | None]] = []
        for reference, model, entry in found:
            count = sum(parameter.numel() for parameter in model.parameters())
            rows.append((reference, count, entry.value, entry.stderr))
        labels = {reference: reference.replace(f".{self.data}", "") for reference, *_ in found}

        report.say(f"Every density with weights for {self.data}: its parameters, and its recorded test NLL.")
        caption = "Fewer nats are better. Names stand on the left of models than which no smaller one is better."
        with report.picture("parameters", caption, size=6) as axes:
            for name, count, nats, _ in rows:
                axes[0, 0].plot(count, nats, "o")
                best = all(nats < other_nats for _, other, other_nats, _ in rows if other < count)
                axes[0, 0].annotate(
                    labels[name],
                    (count, nats),
                    xytext=(-6 if best else 6, -3),
                    textcoords="offset points",
                    ha="right" if best else "left",
                    fontsize=8,
                )
            axes[0, 0].set(xscale="log", xlabel="parameters", ylabel="test NLL, nats/image")
            axes[0, 0].margins(x=0.25)
        report.table(["release", "parameters", "test NLL, nats/image", "standard error"], rows)

        columns = math.ceil(len(found) / 2)
        with report.picture("samples", "Drawn from each, with one seed.", rows=2, columns=columns) as axes:
            for ax in axes.flat:
                ax.axis("off")
            for ax, (reference, model, _) in zip(axes.flat, found, strict=False):
                images = model.sample(SIDE**2, generator=torch.Generator().manual_seed(self.seed))[:, 0]
                square = images.unflatten(0, (SIDE, SIDE)).transpose(1, 2).flatten(2).flatten(0, 1)
                ax.imshow(square.numpy(), cmap="gray")
                ax.set_title(labels[reference], fontsize=10)
