"""`ImageAutoencoder`: what all models of this family share, an encoder from images to latents and a decoder back.

Axes: B batch, C channels, H height, W width, Z latent dimensions.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from msgspec import Meta
from torch import Tensor

from zoo_core import Field, Model, Record, UsageError
from zoo_latent import networks

Count = Annotated[int, Meta(ge=1, le=65536)]


class CodesConfig(Record, kw_only=True):
    """The images, which the data decides, the size of a latent, and the networks."""

    channels: Annotated[int, Meta(ge=1, le=4)] = 1  # 1 grey, 3 RGB
    height: Annotated[int, Meta(ge=1, le=1024)] = 28  # pixels
    width: Annotated[int, Meta(ge=1, le=1024)] = 28  # pixels
    latent: Annotated[int, Meta(ge=1, le=4096)] = 8  # Z, latent dimensions
    convolutions: tuple[Count, ...] = (32, 64)  # features of each, stride 2; [] for none
    hidden: tuple[Count, ...] = (256,)  # features of the fully connected layers between image or maps and latent
    output: Literal["sigmoid", "linear"] = "sigmoid"  # of the decoder; linear may leave [0, 1]


class ImageAutoencoder(Model):
    """Base of the family: an Encoder, a Decoder and a Reconstructor."""

    Config = CodesConfig
    config: CodesConfig
    batch = 128
    channels_last = True

    def __init__(self, config: CodesConfig) -> None:
        super().__init__(config)
        self.encoder = networks.encoder(self.image_shape, config.convolutions, config.hidden, self.encoder_outputs)
        self.decoder = networks.decoder(self.image_shape, config.convolutions, config.hidden, config.latent)

    @classmethod
    def config_for(cls, features: Mapping[str, Field]) -> dict[str, Any]:
        image = features.get("image")
        if image is None or len(image.shape) != 3 or None in image.shape:
            raise UsageError(f"{cls.__name__} needs images of one size", "Choose a data set with images, or --size 28.")
        channels, height, width = image.shape
        return {"channels": channels, "height": height, "width": width}

    def signature(self) -> dict[str, Field]:
        return {"image": Field(kind="image", shape=self.image_shape, range=(0, 1))}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """[C, H, W]"""
        return self.config.channels, self.config.height, self.config.width

    @property
    def encoder_outputs(self) -> int:
        """How many numbers the encoder gives for an image."""
        return self.config.latent

    def encode(self, x: Tensor) -> Tensor:
        """The latent of each image: x [B, C, H, W] in [0, 1] -> [B, Z]."""
        self.check_images(x)
        z: Tensor = self.encoder(x)
        return z

    def decode(self, z: Tensor) -> Tensor:
        """The image of each latent: z [B, Z] -> [B, C, H, W] in [0, 1]."""
        if z.ndim != 2 or z.shape[1] != self.config.latent:
            raise UsageError(f"latents must be [B, {self.config.latent}], got {list(z.shape)}")
        out = self.raw(z)
        return torch.sigmoid(out) if self.config.output == "sigmoid" else out

    def raw(self, z: Tensor) -> Tensor:
        """What the decoder gives before its sigmoid: z [B, Z] -> [B, C, H, W], in full precision under autocast."""
        out: Tensor = self.decoder(z)
        return out.float() if out.dtype == torch.bfloat16 else out

    def reconstruct(self, x: Tensor) -> Tensor:
        """Each image decoded from its latent: x [B, C, H, W] -> [B, C, H, W]."""
        return self.decode(self.encode(x))

    def check_images(self, x: Tensor) -> None:
        """UsageError unless x is [B, C, H, W] with the sizes of the config."""
        if x.ndim != 4 or tuple(x.shape[1:]) != self.image_shape:
            c, h, w = self.image_shape
            raise UsageError(f"images must be [B, {c}, {h}, {w}], got {list(x.shape)}")


def squared_error(decoded: Tensor, x: Tensor) -> Tensor:
    """Summed over the values of an image, averaged over the batch: both [B, C, H, W] -> scalar."""
    return (decoded - x).square().sum() / len(x)
