"""`Field`: what one named tensor of a batch holds."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from zoo_core.errors import UsageError
from zoo_core.interfaces.record import Record

if TYPE_CHECKING:
    from torch import Tensor

Kind = Literal["image", "label", "mask", "boxes", "tokens", "text", "vector", "row", "observation"]
TARGETS = ("label", "mask", "boxes")  # kinds that a model is taught, and does not take


class Field(Record, kw_only=True):
    """What one name of a batch holds, without the batch axis.

        Field(kind="image", shape=(1, 28, 28), range=(0.0, 1.0), levels=2)
        Field(kind="label", dtype="int64", classes=("cat", "dog"))

    For most fields a batch holds a tensor [B, *shape]. For a field of kind "text" it holds a list of B strings. A
    ragged field has any number of rows in each example; the rows of all examples stand one after the other in one
    tensor [N, *shape].

    Attributes:
        kind: what the values mean. For one example they are

            - "image": float [C, H, W], within `range`;
            - "label": int64 [], the number of a class;
            - "mask": int64 [H, W], the class of each pixel;
            - "boxes": float [4], xmin, ymin, xmax, ymax in pixels;
            - "tokens": int64 [T];
            - "text": a Python string;
            - "vector": float [D], numbers to predict, or to predict from;
            - "row": float [D], the values in one row of a table;
            - "observation": what an environment shows, of any shape.
        shape: the sizes of the axes, without the batch; None matches any size. By default (), a scalar.
        dtype: the name of the tensor's dtype, "float32" by default.
        range: the smallest and the largest value that can occur; None says nothing about them.
        levels: how many values a channel can take, evenly spaced over `range`; None for continuous values.
        classes: the names of the classes of a label or a mask, in the order of their numbers; for tokens, the
            vocabulary where it is small.
        columns: the names of the values of a vector or a row, as in the header of a table.
        target: True for what a model learns to predict, False for what it is given. None, the default, means True for
            labels, masks and boxes, and False for all other kinds.
        index: only for a ragged field: the name in the batch of a tensor [N] int64 that tells, for each row, to which
            example of the batch it belongs. Fields with the same index have their rows in the same order.
        pad: the value that fills short sequences up. Losses and metrics leave it out (see `counted`).
        ignore: the value of a label or a mask that losses and metrics leave out, such as "void" in a street scene.
            Steps also fill the new pixels of a mask with it.
    """

    kind: Kind
    shape: tuple[int | None, ...] = ()
    dtype: str = "float32"
    range: tuple[float, float] | None = None
    levels: Annotated[int, Meta(ge=2)] | None = None
    classes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    target: bool | None = None
    index: str | None = None
    pad: int | None = None
    ignore: int | None = None

    @property
    def ragged(self) -> bool:
        """Whether each example has any number of rows, and a batch holds the rows of all in one tensor."""
        return self.index is not None

    @property
    def is_target(self) -> bool:
        """Whether a model learns to predict it; False where it is given to the model."""
        return self.kind in TARGETS if self.target is None else self.target

    def counted(self, values: "Tensor") -> "Tensor":
        """Which values losses and metrics count: all that are neither `pad` nor `ignore`.

        Args:
            values: the field's tensor in a batch, of any shape.

        Returns:
            A bool tensor of the same shape.
        """
        import torch  # not above: listing models needs none

        counted = torch.ones_like(values, dtype=torch.bool)
        for left_out in (self.pad, self.ignore):
            if left_out is not None:
                counted &= values != left_out
        return counted

    def fits(self, wanted: "Field") -> bool:
        """Whether a model that wants `wanted` can take it: the sizes are equal, or one of them is any size."""
        if len(self.shape) != len(wanted.shape):
            return False
        sizes = zip(self.shape, wanted.shape, strict=True)
        return all(None in pair or pair[0] == pair[1] for pair in sizes)


def labelled_images(features: Mapping[str, Field], who: str) -> dict[str, Any]:
    """The Config values of a classifier that a data set of labelled images decides; for use in `Model.config_for`.

    Args:
        features: the fields of the data set after preprocessing, by name. It must have "image", of one size, and
            "label", with named classes.
        who: the name of the model, for the error.

    Returns:
        `channels`, `height` and `width` in pixels, `classes` (how many), and `class_names`.

    Raises:
        UsageError: the data set has no images of one size, or no label with at least two named classes.
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
