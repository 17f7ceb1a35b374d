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

    A batch holds a tensor [B, *shape] for most fields, [N, *shape] for a ragged one (packed: all rows of all examples
    one after the other), and a list of B texts for a field of kind "text".

    Attributes:
        kind: image: float in `range`, [C, H, W]. label: one int64. mask: int64 classes of pixels, [H, W]. boxes: xmin,
            ymin, xmax, ymax in pixels, [4]. tokens: int64 [T]. text: a Python string. vector: float [D], what is
            predicted from or predicted. row: the values of a table's row, float [D]. observation: what an environment
            shows.
        shape: sizes of the axes; None matches any size.
        dtype: of the tensor.
        range: the smallest and the largest value.
        levels: how many values a channel can take, evenly spaced over `range`.
        classes: of a label or a mask, in the order of their numbers; of tokens, the vocabulary where it is small.
        columns: of a vector or a row, the names of its values, as the header of a table has them.
        target: whether it is what a model is taught, and not what it takes; None: labels, masks and boxes are.
        index: of a ragged field, the name in the batch of the tensor [N] int64 that says to which example of the batch
            each of its rows belongs. Fields of one index are packed alike.
        pad: the value that fills a short sequence up; losses and metrics leave it out (see `counted`).
        ignore: the value of a label or a mask that losses and metrics leave out, and that steps fill new pixels of a
            mask with: "void" of a street scene.
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
        """Whether its rows are packed over the batch."""
        return self.index is not None

    @property
    def is_target(self) -> bool:
        """Whether it is what a model is taught, and not what it takes."""
        return self.kind in TARGETS if self.target is None else self.target

    def counted(self, values: "Tensor") -> "Tensor":
        """Which of the values losses and metrics count: those that are neither `pad` nor `ignore`; bool, of the shape
        of `values`."""
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
