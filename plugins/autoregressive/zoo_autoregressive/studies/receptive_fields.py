"""What a pixel depends on: the receptive fields of PixelCNN, the Row LSTM and the Diagonal BiLSTM.

Van den Oord et al., "Pixel Recurrent Neural Networks", 2016 (arXiv:1601.06759), figure 4.
"""

from typing import Annotated

import torch
from matplotlib.colors import LogNorm
from msgspec import Meta
from torch import Tensor

from zoo_autoregressive.pixel_density import PixelDensity
from zoo_autoregressive.pixelcnn import PixelCNN, PixelCNNConfig
from zoo_autoregressive.pixelrnn import DiagonalPixelRNN, PixelRNNConfig, RowPixelRNN
from zoo_core import Report, Study, UnknownName, load

NETWORKS = {
    "pixelcnn": (PixelCNN, PixelCNNConfig),
    "pixelrnn-row": (RowPixelRNN, PixelRNNConfig),
    "pixelrnn": (DiagonalPixelRNN, PixelRNNConfig),
}
LAYERS = (1, 2, 7)


class ReceptiveFields(Study, kw_only=True):
    size: Annotated[int, Meta(ge=5, le=28)] = 15  # pixels a side, of the images of the fresh networks
    samples: Annotated[int, Meta(ge=1)] = 16  # images over which gradients are averaged

    def make(self, report: Report) -> None:
        torch.manual_seed(self.seed)
        pixel = (self.size * 2 // 3, self.size // 2)
        before = pixel[0] * self.size + pixel[1]
        report.say(
            f"The gradient of one logit (row {pixel[0]}, column {pixel[1]} of {self.size}x{self.size}) with respect to "
            f"every pixel, in networks with fresh weights. What is not exactly zero is seen; {before} pixels come "
            "before. "
            "The Diagonal BiLSTM misses one: the last pixel of the row above. The features at a pixel do not hold its "
            "own value (mask A), so that the mirrored direction, which begins there, gets it only from the row below."
        )
        rows = []
        with report.picture(
            "fresh", "Seen by the marked pixel (dark), in networks of 1, 2 and 7 layers.", rows=3, columns=len(LAYERS)
        ) as axes:
            for name, line in zip(NETWORKS, axes, strict=True):
                for layers, ax in zip(LAYERS, line, strict=True):
                    seen = self.gradient(self.fresh(name, layers), pixel) > 0
                    rows.append([name, layers, int(seen.sum()), before])
                    ax.imshow(seen.numpy(), cmap="Greys", vmin=0, vmax=1.5)
                    ax.plot(pixel[1], pixel[0], "rx")
                    ax.set(title=f"{name}, {layers} layer{'s' if layers > 1 else ''}", xticks=[], yticks=[])
        report.table(["network", "layers", "pixels seen", "of"], rows)

        report.say("What trained networks look at: the mean absolute gradient over images that they drew themselves.")
        trained = {name: model for name in NETWORKS if (model := _released(name)) is not None}
        if not trained:
            report.say("(No weights of these networks are here.)")
            return
        with report.picture(
            "trained", "Trained on binarised MNIST; logarithmic, white is zero.", columns=len(trained)
        ) as axes:
            for (name, model), ax in zip(trained.items(), axes[0], strict=True):
                c = model.config
                centre = (c.height // 2, c.width // 2)
                strength = self.gradient(model, centre, model.sample(self.samples, generator=self.generator()))
                strength = strength / strength.max()
                ax.imshow(strength.where(strength > 0, torch.nan).numpy(), cmap="viridis", norm=LogNorm(1e-4, 1))
                ax.plot(centre[1], centre[0], "rx")
                ax.set(title=name, xticks=[], yticks=[])

    def fresh(self, name: str, layers: int) -> PixelDensity:
        """The network with fresh weights, in double precision."""
        kind, config = NETWORKS[name]
        model: PixelDensity = kind(config(height=self.size, width=self.size, hidden=8, head=16, layers=layers))
        return model.double()

    def gradient(self, model: PixelDensity, pixel: tuple[int, int], images: Tensor | None = None) -> Tensor:
        """Mean |d logit / d value| of the pixel's logit over images [N, C, H, W], by default noise; [H, W]."""
        c = model.config
        parameter = next(model.parameters())
        if images is None:
            images = torch.rand(self.samples, c.channels, c.height, c.width, generator=self.generator())
        x = images.to(parameter.dtype).requires_grad_()
        (gradient,) = torch.autograd.grad(model(x)[:, 0, 0, *pixel].sum(), x)
        return gradient.abs().mean((0, 1))

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)


def _released(name: str) -> PixelDensity | None:
    try:
        model = load(f"{name}.binarized-mnist")
    except UnknownName:
        return None
    return model if isinstance(model, PixelDensity) else None
