"""`ImageStatistics`: what the images look like that a model was trained on, as its release records it."""

from typing import Annotated

from msgspec import Meta

from zoo_core.interfaces.record import Record

Share = Annotated[float, Meta(ge=0, le=1)]


class ImageStatistics(Record, kw_only=True):
    """What training images look like, before preprocessing, with values in [0, 1]: black is 0.

    Commands compare a user's picture with them, and warn if it looks unlike what the model knows.

    Attributes:
        n: how many images were looked at.
        brightness: the mean over all images of their mean value.
        brightness_std: the standard deviation between the mean values of the images.
        contrast: the mean over all images of the standard deviation between their pixels.
        constant: the share of images in which all pixels are alike.
        dark_ground: the share of images on a dark ground: more than half of the pixels are nearer to the darkest pixel
            than to the brightest.
        coloured: the share of images in colour.
    """

    n: Annotated[int, Meta(ge=1)]
    brightness: Share
    brightness_std: Share
    contrast: Share
    constant: Share
    dark_ground: Share
    coloured: Share
