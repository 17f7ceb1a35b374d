"""What masks A and B hide, and what a network learns when the first mask is the wrong one.

Van den Oord et al., "Pixel Recurrent Neural Networks", 2016 (arXiv:1601.06759), section 3.4 and figure 2.
"""

import math
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor

from zoo_autoregressive.masks import Mask, MaskedConv2d
from zoo_autoregressive.pixelcnn import PixelCNN, PixelCNNConfig
from zoo_core import Report, Study

MASKS: tuple[Mask, ...] = ("A", "B")
SIZE = 6  # pixels a side of the noise images


class Masks(Study, kw_only=True):
    steps: Annotated[int, Meta(ge=1)] = 300
    batch: Annotated[int, Meta(ge=1)] = 64

    def make(self, report: Report) -> None:
        report.say(
            "A masked convolution sees the rows above, what is left in its own row, and of its own pixel the colours "
            "that came before. Mask A hides the value itself, and must be in the first layer; mask B, of all later "
            "layers, shows it: there it holds only what the first layer let through."
        )
        with report.picture("kernels", "5x5 kernels of one channel.", columns=2) as axes:
            for mask, ax in zip(MASKS, axes[0], strict=True):
                taps = MaskedConv2d(1, 1, 5, groups=1, mask=mask).mask[0, 0]
                show(ax, taps)
                ax.set(title=f"mask {mask}", xticks=[], yticks=[])
        with report.picture(
            "colours", "Which input features (columns) an output feature (rows) sees at its own pixel, RGB.", columns=2
        ) as axes:
            for mask, ax in zip(MASKS, axes[0], strict=True):
                seen = MaskedConv2d(6, 6, 1, groups=3, mask=mask).mask[:, :, 0, 0]
                show(ax, seen)
                names = [f"{colour}{k}" for colour in "RGB" for k in (1, 2)]
                places = [k + 0.5 for k in range(6)]
                ax.set(title=f"mask {mask}", xticks=places, yticks=places, xticklabels=names, yticklabels=names)

        entropy = SIZE * SIZE * math.log(2)
        report.say(
            f"Fair coins cannot be predicted: no density has less than {entropy:.2f} nats for {SIZE}x{SIZE} of them. A "
            "network whose first mask is B reads each coin before it bets."
        )
        curves = {mask: self.train(mask) for mask in MASKS}
        with report.picture("leak", f"Trained on fresh noise, batch {self.batch}.", size=4.5) as axes:
            for mask, curve in curves.items():
                axes[0, 0].plot(curve, label=f"first mask {mask}")
            axes[0, 0].axhline(entropy, color="k", linestyle="--", label="entropy")
            axes[0, 0].set(xlabel="step", ylabel="nats/image")
            axes[0, 0].legend()
        last = max(1, self.steps // 10)
        report.table(
            ["first mask", f"nats/image, mean of the last {last} steps", "entropy"],
            [[mask, sum(curve[-last:]) / last, entropy] for mask, curve in curves.items()],
        )

    def train(self, first_mask: Mask) -> list[float]:
        """The loss of every step on noise that is never seen twice."""
        torch.manual_seed(self.seed)
        model = PixelCNN(PixelCNNConfig(height=SIZE, width=SIZE, hidden=8, layers=2, head=16))
        if first_mask == "B":
            model.input_conv.mask[:, :, 3, 3] = 1
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        curve = []
        for _ in range(self.steps):
            x = torch.randint(2, (self.batch, 1, SIZE, SIZE)).float()
            loss = -model.log_prob(x).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            curve.append(loss.item())
        return curve


def show(ax: Any, visible: Tensor) -> None:
    """A matrix of 0 and 1, [rows, columns], as white and grey cells with lines between them."""
    ax.pcolormesh(visible.numpy(), cmap="Greys", vmin=0, vmax=1.5, edgecolors="lightgrey", linewidth=1)
    ax.invert_yaxis()
    ax.set_aspect("equal")
