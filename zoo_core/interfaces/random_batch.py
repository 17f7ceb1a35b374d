"""`random_batch`: a batch of random values that fits a signature, to run a model without data."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.interfaces.batches import Batch
from zoo_core.interfaces.fields import TARGETS, Field

FREE_SIZE = 64  # what an axis of any size gets
MOST_ROWS = 3  # of an example, in a ragged field; the fewest are 1
WORDS, LETTERS = 8, 6  # of a text; of a word


def random_batch(signature: Mapping[str, Field], batch: int) -> Batch:
    """Random values that fit the fields: [B, *shape] for each; for ragged fields [N, *shape], with their indices [N].

    An axis of any size gets 64. Boxes lie in the image, and texts are lists of made-up words.

    Raises:
        UsageError: a field of boxes does not have four numbers.
    """
    image = next((field for field in signature.values() if field.kind == "image" and len(field.shape) == 3), None)
    height, width = image.shape[1:] if image is not None else (None, None)
    corner = torch.tensor([width or FREE_SIZE, height or FREE_SIZE])
    owners = {field.index: _owners(batch) for field in signature.values() if field.index is not None}
    found: Batch = {}
    for name, field in signature.items():
        n = batch if field.index is None else len(owners[field.index])
        if field.kind == "text":
            found[name] = [_text() for _ in range(n)]
        elif field.kind == "boxes":
            found[name] = _boxes(name, field, n, corner)
        else:
            found[name] = _values(field, n)
    return found | owners


def shapes(batch: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shape of each field of a batch; for texts, how many there are."""
    return {name: tuple(x.shape) if isinstance(x, Tensor) else (len(x),) for name, x in batch.items()}


def _owners(batch: int) -> Tensor:
    """The index of a ragged field, [N]: which example each row belongs to."""
    return torch.arange(batch).repeat_interleave(torch.randint(1, MOST_ROWS + 1, (batch,)))


def _shape(field: Field, n: int) -> tuple[int, ...]:
    return (n, *(FREE_SIZE if size is None else size for size in field.shape))


def _text() -> str:
    letters = torch.randint(ord("a"), ord("z") + 1, (WORDS, LETTERS)).tolist()
    return " ".join("".join(map(chr, word)) for word in letters)


def _boxes(name: str, field: Field, n: int, corner: Tensor) -> Tensor:
    """xmin, ymin, xmax, ymax, between 0 and `corner`: its x and y."""
    *axes, numbers = _shape(field, n)
    if numbers != 4 or not field.shape:
        raise UsageError(f"boxes are of four numbers, and '{name}' is of shape {field.shape}")
    corners = torch.rand(*axes, 2, 2).sort(-2).values * corner  # [n, ..., the smaller or larger ones, x or y]
    return corners.flatten(-2).to(getattr(torch, field.dtype))


def _values(field: Field, n: int) -> Tensor:
    shape = _shape(field, n)
    low, high = field.range or (0.0, 1.0)
    if field.kind == "tokens":
        return torch.randint(len(field.classes) or field.levels or int(high) + 1, shape)
    if field.kind in TARGETS:
        values = torch.randint(len(field.classes) or 2, shape)
        return values if field.kind == "label" else values.to(getattr(torch, field.dtype))
    if field.kind == "vector" and field.range is None:
        return torch.randn(shape)
    units = torch.rand(shape)
    if field.levels is not None:
        units = torch.randint(field.levels, shape) / (field.levels - 1)
    return low + (high - low) * units
