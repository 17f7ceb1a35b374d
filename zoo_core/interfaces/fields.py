"""`Field`: what one named tensor of a batch holds."""

from typing import Annotated, Literal

from msgspec import Meta

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
