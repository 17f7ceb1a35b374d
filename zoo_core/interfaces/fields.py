"""`Field`: what one named tensor of a batch holds."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from zoo_core.errors import UsageError
from zoo_core.interfaces.record import Record

Kind = Literal["image", "label", "mask", "boxes", "tokens", "text", "vector"]


class Field(Record, kw_only=True):
    """One named tensor of a batch, without its batch axis.

    An image is float in [0, 1], [C, H, W]; a label is one int64.
    """

    kind: Kind
    shape: tuple[int | None, ...] = ()  # None: any size
    dtype: str = "float32"
    range: tuple[float, float] | None = None
    levels: Annotated[int, Meta(ge=2)] | None = None  # how many values a channel can take, evenly spaced over `range`
    classes: tuple[str, ...] = ()  # of a label or a mask, in the order of their numbers
    ragged: bool = False  # packed over the batch, with an index beside it
    pad: int | None = None  # the value that fills a short sequence
    ignore: int | None = None  # the value that a loss leaves out


def labelled_images(features: Mapping[str, Field], who: str) -> dict[str, Any]:
    """What images of one size with named classes decide of a classifier: `channels`, `height`, `width`, `classes`,
    `class_names`, for `Model.config_for`.

    Raises:
        UsageError: the data set is not of that kind; `who` needs it to be.
    """
    image, label = features.get("image"), features.get("label")
    if image is None or len(image.shape) != 3 or None in image.shape:
        raise UsageError(f"{who} needs images of one size", "Choose a data set with an 'image' field.")
    if label is None or not label.classes:
        raise UsageError(f"{who} needs labels with named classes", "Choose a data set that has them.")
    if len(label.classes) == 1:
        raise UsageError(
            f"{who} needs two classes or more, and there is only '{label.classes[0]}'",
            "Choose data with more; of folder:PATH each subfolder is a class.",
        )
    sizes = dict(zip(("channels", "height", "width"), image.shape, strict=True))
    return {**sizes, "classes": len(label.classes), "class_names": label.classes}
