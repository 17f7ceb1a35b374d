"""What users give to commands and to `Model.prepare`: pictures, rows of numbers, texts."""

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo_core.errors import OddInput, UsageError
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.step import Step, fields_after
from zoo_core.pictures.looks import said_of
from zoo_core.pictures.reading import OpenPicture, open_picture, prepare_pictures, sizes_text, to_model
from zoo_core.progress import talk
from zoo_core.row_files import STDIN, read_rows, read_text

BATCH = 100  # examples at a time

InputKind = Literal["image", "row", "text"]


class Inputs(NamedTuple):
    """Examples that a user gave, as a model takes them.

    Attributes:
        kind: what they are.
        names: what to call each: the file of a picture, the file and line of a row, a text itself.
        x: the preprocessed subject of the batch, for the methods of capabilities.
        pictures: of images, each as it was opened.
        unused: of tables, the columns that the model does not take.
        labels: what pictures call the examples: a file without its folder, and the frame where it has several; a text.
    """

    kind: InputKind
    names: list[str]
    x: Any
    pictures: tuple[OpenPicture, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def labels(self) -> list[str]:
        if self.kind == "text":
            return self.names
        names = [Path(name).name for name in self.names]
        frames = [picture.frames for picture in self.pictures] or [1] * len(names)
        return [f"{name}, frame 1 of {n}" if n > 1 else name for name, n in zip(names, frames, strict=True)]


def input_kind(model: Model) -> InputKind | None:
    """What kind of examples a user can give to the model; None if it takes something else, such as tokens that its
    preprocessing does not make from texts."""
    kind = model.signature()[model.subject].kind
    if kind in ("image", "text"):
        return "image" if kind == "image" else "text"
    if kind in ("vector", "row"):
        return "row"
    return "text" if model.subject in fields_after(model.input, {"text": Field(kind="text")}) else None


def open_inputs(model: Model, given: Sequence[str], steps: Sequence[Step] = ()) -> Inputs:
    """All examples that a user gave, opened for the model and preprocessed; see `input_batches`.

    Raises:
        UsageError: as in `input_batches`; or the pictures differ in size, and the model takes any size.
    """
    inputs, *others = input_batches(model, given, steps, size=None)
    if others:
        raise UsageError("the pictures differ in size", "Give pictures of one size, or one at a time.")
    return inputs


def input_batches(
    model: Model, given: Sequence[str], steps: Sequence[Step] = (), *, size: int | None = BATCH
) -> Iterator[Inputs]:
    """The examples that a user gave, opened for the model and preprocessed, at most `size` files or lines at a time.

    Args:
        given: for a model of images, picture files of any size; for one of rows, files of CSV or JSON lines; for one of
            texts, texts, or files with one text a line. "-" is the standard input.
        steps: what is done to pictures before everything else.

    Raises:
        UsageError: one cannot be read, or the model cannot take it.
    """
    kind = input_kind(model)
    if kind is None:
        raise UsageError(f"this model takes {model.signature()[model.subject].kind}, which no command can give it")
    if kind == "image":
        yield from _pictures(model, given, steps, size)
        return
    if steps:
        raise UsageError(
            f"--input is for images, and this model takes {'texts' if kind == 'text' else 'rows of numbers'}"
        )
    raw: list[Any]
    if kind == "row":
        names, raw, unused = _read_rows(model, given)
    else:
        names = raw = read_texts(given)
        unused = ()
    for start in range(0, len(raw), size or len(raw)):
        part = slice(start, start + (size or len(raw)))
        yield Inputs(kind, names[part], prepare(model, raw[part]), unused=unused)


def _pictures(model: Model, files: Sequence[str], steps: Sequence[Step], size: int | None) -> Iterator[Inputs]:
    """Pictures, those together that have the same size when they are preprocessed. At the end it is said what was done
    to them, and which are odd."""
    names: list[str] = []
    opened: list[OpenPicture] = []
    about: list[tuple[str, Sequence[str], str]] = []
    for file in files:
        picture = open_picture(Path(file), model, steps)
        about.append((file, picture.notes, picture.oddity))
        if opened and (len(opened) == size or picture.x.shape != opened[0].x.shape):
            yield _together(model, names, opened)
            names, opened = [], []
        names.append(file)
        opened.append(picture)
    yield _together(model, names, opened)
    say_about(about)


def say_about(pictures: Sequence[tuple[str, Sequence[str], str]]) -> None:
    """Say once what was done to pictures, and warn of those that are unlike what the model was trained on.

    Args:
        pictures: of each its name, its `OpenPicture.notes` and its `OpenPicture.oddity`.
    """
    for line in said_of((name, note) for name, notes, _ in pictures for note in notes):
        talk(f"{line}.")
    for line in said_of((name, oddity) for name, _, oddity in pictures if oddity):
        warnings.warn(f"{line}.", OddInput, stacklevel=2)


def _together(model: Model, names: list[str], opened: list[OpenPicture]) -> Inputs:
    x = model.subject_of({model.subject: torch.cat([picture.x for picture in opened])})
    return Inputs("image", names, x, tuple(opened))


def read_texts(given: Sequence[str]) -> list[str]:
    """Texts as they are given, and those of files, one a line; "-" is the standard input.

    Raises:
        UsageError: a file that ends in .txt does not exist, one is not UTF-8, or there is no text.
    """
    texts = []
    for source in given:
        if source == STDIN or os.path.isfile(source) or source.endswith(".txt"):
            texts += [line for line in read_text(source).splitlines() if line.strip()]
        else:
            texts.append(source)
    if not texts:
        raise UsageError(f"there is no text in {' and '.join(given)}")
    return texts


def _read_rows(model: Model, files: Sequence[str]) -> tuple[list[str], list[list[float]], tuple[str, ...]]:
    """The rows of all files: what to call each, its numbers, and the columns that the model does not take."""
    field = model.signature()[model.subject]
    names: list[str] = []
    values: list[list[float]] = []
    unused: dict[str, None] = {}
    for file in files:
        width = field.shape[0] or (len(values[0]) if values else None)
        rows = read_rows(file, width=width, columns=field.columns)
        names += [f"{file}:{line}" for line in rows.lines]
        values += rows.values
        unused |= dict.fromkeys(rows.unused)
    return names, values, tuple(unused)


def prepare(model: Model, x: Any) -> Any:
    """See `Model.prepare`."""
    field = model.signature()[model.subject]
    if field.kind == "image":
        return model.subject_of({model.subject: prepare_pictures(model, x)})
    if field.kind in ("text", "tokens") and not isinstance(x, (Tensor, np.ndarray)):
        name = model.subject if field.kind == "text" else "text"
        prepared = model.preprocess({name: [x] if isinstance(x, str) else list(x)})
    else:
        prepared = model.preprocess({model.subject: _numbers(field, x)})
    if model.subject not in prepared:
        raise UsageError(f"this model takes {field.kind}, and its preprocessing makes none of {', '.join(prepared)}")
    moved = {name: to_model(model, value) if isinstance(value, Tensor) else value for name, value in prepared.items()}
    return model.subject_of(moved)


def _numbers(field: Field, x: Any) -> Tensor:
    """Numbers of any kind as a batch of the field, [B, *shape]; a single example becomes a batch of one."""
    try:
        values = torch.as_tensor(x if isinstance(x, Tensor) else np.asarray(x)).to(getattr(torch, field.dtype))
    except (TypeError, ValueError) as error:
        raise UsageError(f"these are no numbers that a model could take: {error}") from None
    batch = values[None] if values.ndim == len(field.shape) else values
    if not field.fits(Field(kind=field.kind, shape=tuple(batch.shape[1:]))):
        raise UsageError(
            f"the model takes {sizes_text(field.shape)} for an example, and this is {sizes_text(values.shape)}"
        )
    return batch
