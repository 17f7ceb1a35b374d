"""What a loss believes about noise: squared error, absolute error, and Gaussian likelihoods.

Bishop, "Pattern Recognition and Machine Learning", 2006, sections 1.5.5 and 3.1.1; Nix and Weigend, "Estimating the
mean and variance of the target probability distribution", 1994, for the predicted variance.
"""

from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor

from zoo_basics.mlp import MLPRegressor, MLPRegressorConfig
from zoo_core import Report, Study

OUTLIERS = 0.1  # the part of the targets that is replaced
GRID = torch.linspace(-3, 3, 200)[:, None]  # [200, 1]


class Losses(Study, kw_only=True):
    rows: Annotated[int, Meta(ge=10)] = 400
    steps: Annotated[int, Meta(ge=1)] = 1500

    def make(self, report: Report) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        x = torch.rand(self.rows, 1, generator=generator) * 6 - 3
        noise = torch.randn(x.shape, generator=generator)
        clean = torch.sin(x)
        outlier = torch.rand(x.shape, generator=generator) < OUTLIERS
        y = torch.where(outlier, clean + 5, clean + 0.1 * noise)

        report.say(
            f"{self.rows} points of a sine with a little noise, of which a tenth lies 5 too high. The squared error "
            "seeks the mean, and is drawn to the outliers; the absolute error seeks the median, which they hardly "
            "move. A Gaussian likelihood of variance 1 is half the squared error and a constant: the same curve."
        )
        fits = {
            "mse": self.fit(x, y, loss="mse"),
            "l1": self.fit(x, y, loss="l1"),
            "gaussian, variance 1": self.fit(x, y, loss="gaussian"),
        }
        truth = torch.sin(GRID)
        with report.picture("outliers", "The fits, and the sine in black.", size=5) as axes, torch.no_grad():
            ax = axes[0, 0]
            ax.plot(x.numpy(), y.numpy(), ".", color="0.8")
            for (name, model), style in zip(fits.items(), ("-", "-", "--"), strict=True):
                ax.plot(GRID.numpy(), model.predict(GRID).numpy(), style, label=name)
            ax.plot(GRID.numpy(), truth.numpy(), "k:", label="sine")
            ax.legend()
        with torch.no_grad():
            errors = {name: (model.predict(GRID) - truth).abs().mean().item() for name, model in fits.items()}
            apart = (fits["mse"].predict(GRID) - fits["gaussian, variance 1"].predict(GRID)).abs().max().item()
        report.table(["loss", "mean distance from the sine"], [[name, error] for name, error in errors.items()])
        report.say(f"Squared error and Gaussian of variance 1 are at most {apart:.2g} apart.")

        report.say("Without outliers, but with noise that grows to the right, a predicted variance finds the noise.")
        x, y = noisy_rows(self.rows, generator).values()
        model = self.fit(x, y, loss="gaussian", variance="predicted")
        fixed = self.fit(x, y, loss="gaussian")
        with torch.no_grad():
            mean, std = (values[:, 0].numpy() for values in model.distribution(GRID))
            fresh = noisy_rows(10_000, generator)
            nats = {name: m.loss(fresh).value.item() / 10_000 for name, m in (("1", fixed), ("predicted", model))}
        with report.picture("variance", "Mean and two standard deviations, as predicted.", size=5) as axes:
            ax = axes[0, 0]
            ax.plot(x.numpy(), y.numpy(), ".", color="0.8")
            ax.plot(GRID.numpy(), mean, "C0")
            ax.fill_between(GRID[:, 0].numpy(), mean - 2 * std, mean + 2 * std, alpha=0.3)
        report.table(["variance", "NLL of fresh points, nats"], [[name, value] for name, value in nats.items()])

    def fit(
        self,
        x: Tensor,
        y: Tensor,
        loss: Literal["mse", "l1", "gaussian"],
        variance: Literal["fixed", "predicted"] = "fixed",
    ) -> MLPRegressor:
        """An MLP trained on all rows at once."""
        torch.manual_seed(self.seed)
        config = MLPRegressorConfig(hidden=(32, 32), activation="tanh", init="xavier", loss=loss, variance=variance)
        model = MLPRegressor(config)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for step in range(self.steps):
            for group in optimizer.param_groups:
                group["lr"] = 1e-2 * (1 - step / self.steps)
            found = model.loss({"vector": x, "target": y})
            optimizer.zero_grad()
            (found.value / found.weight).backward()
            optimizer.step()
        return model.eval()


def noisy_rows(n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Points of a sine whose noise grows to the right, from a standard deviation of 0.05 to one of 0.95."""
    x = torch.rand(n, 1, generator=generator) * 6 - 3
    noise = torch.randn(x.shape, generator=generator)
    return {"vector": x, "target": torch.sin(x) + (0.05 + 0.15 * (x + 3)) * noise}
