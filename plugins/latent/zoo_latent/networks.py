"""Encoders and decoders: strided convolutions, then fully connected layers, and the mirror image of both.

Without convolutions they are multilayer perceptrons; without hidden layers either, one linear map.
Axes: B batch, C channels, H height, W width, F features.
"""

import itertools
from collections.abc import Sequence

from torch import nn

from zoo_core import UsageError


def perceptron(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers from `sizes[0]` to `sizes[-1]` numbers with ReLU between them: [B, sizes[0]] -> [B, sizes[-1]]."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def encoder(shape: tuple[int, int, int], convolutions: Sequence[int], hidden: Sequence[int], out: int) -> nn.Sequential:
    """Images [B, *shape] -> [B, out]. Each convolution halves height and width."""
    height, width = smallest_map(shape, convolutions)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise([shape[0], *convolutions]):
        layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
    flat = [shape[0], *convolutions][-1] * height * width
    return nn.Sequential(*layers, nn.Flatten(), *perceptron([flat, *hidden, out]))


def decoder(
    shape: tuple[int, int, int], convolutions: Sequence[int], hidden: Sequence[int], latent: int
) -> nn.Sequential:
    """Latents [B, latent] -> [B, *shape]: the mirror image of the encoder with the same `hidden` and `convolutions`."""
    height, width = smallest_map(shape, convolutions)
    features = [shape[0], *convolutions][::-1]
    layers: list[nn.Module] = [
        *perceptron([latent, *reversed(hidden), features[0] * height * width]),
        nn.Unflatten(1, (features[0], height, width)),
    ]
    for before, after in itertools.pairwise(features):
        layers += [nn.ReLU(), nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
    return nn.Sequential(*layers)


def smallest_map(shape: tuple[int, int, int], convolutions: Sequence[int]) -> tuple[int, int]:
    """Height and width after all convolutions.

    Raises:
        UsageError: the image cannot be halved so often.
    """
    _, height, width = shape
    factor = 2 ** len(convolutions)
    if height % factor or width % factor:
        raise UsageError(
            f"images of {height}x{width} cannot be halved {len(convolutions)} times: both sides must be a multiple of "
            f"{factor}",
            "Resize them (--size 32), or have other convolutions: --set convolutions=[]",
        )
    return height // factor, width // factor
