"""Predictions of a model for the user's examples, as plain data for JSON, tables and pictures.

An answer is a dict. Of a Classifier, "classes" is a list of {"class", "probability"}; of a Segmenter, of {"class",
"share"}; of a Detector, "objects" is a list of {"class", "score", "box"}, a box being xmin, ymin, xmax, ymax in pixels
of the user's picture; of a Regressor, "prediction" has a number for each target.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.inputs import Inputs
from zoo_core.interfaces.any_model import AnyModel
from zoo_core.pictures.grids import Colour
from zoo_core.pictures.overlays import class_colour, with_boxes, with_classes
from zoo_core.pictures.reading import OpenPicture

Answer = dict[str, Any]

PREDICTORS = ("Classifier", "Regressor", "Segmenter", "Detector")  # the first that a model is, is asked


class Options(NamedTuple):
    """What can be asked for.

    Attributes:
        top: how many classes of an example.
        threshold: the lowest score of an object.
        samples, seed: of a model that is uncertain, so many functions, and from which seed they are drawn.
        pictures: whether what was found is drawn into the pictures.
    """

    top: int = 5
    threshold: float = 0.5
    samples: int = 1
    seed: int = 0
    pictures: bool = False


# What an option is for: only models that can do this have it.
NEEDED = {"top": ("Classifier", "Segmenter"), "threshold": ("Detector",), "samples": ("Uncertain",)}


def options_for(model: AnyModel, *, seed: int = 0, pictures: bool = False, **given: Any) -> Options:
    """The options for a model, with the defaults of those that are given as None.

    Raises:
        UsageError: an option is given that the model does not have.
    """
    options = Options(seed=seed, pictures=pictures)
    for name, value in given.items():
        if value is None:
            continue
        if not set(NEEDED[name]) & set(model.capabilities):
            raise UsageError(
                f"this model has no option --{name}",
                f"It is for models that are {' or '.join(NEEDED[name])}.",
            )
        options = options._replace(**{name: value})
    return options


def _asked(model: AnyModel) -> str:
    return next(name for name in PREDICTORS if name in model.capabilities)


@torch.no_grad()
def predict(model: AnyModel, inputs: Inputs, options: Options) -> tuple[list[Answer], list[Tensor]]:
    """The answer for each example, and on request the pictures [3 or C, H, W] that show it."""
    asked = _asked(model)
    pictures = [picture.shown for picture in inputs.pictures] if options.pictures else []
    if asked == "Segmenter":
        answers, pictures = _regions(model, inputs, options)
    elif asked == "Detector":
        answers, pictures = _objects(model, inputs, options)
    else:
        answers = _classes(model, inputs.x, options.top) if asked == "Classifier" else _numbers(model, inputs.x)
        if "Uncertain" in model.capabilities:
            _add_uncertainty(answers, model, inputs.x, options)
    return [{inputs.kind: name} | answer for name, answer in zip(inputs.names, answers, strict=True)], pictures


def _classes(model: AnyModel, x: Any, top: int) -> list[Answer]:
    """The likeliest classes of each example."""
    probabilities = model.logits(x).softmax(1).cpu()  # [N, K]
    best = probabilities.topk(min(top, probabilities.shape[1]))
    name = class_names(model)
    return [
        {"classes": [{"class": name(k), "probability": p} for k, p in zip(numbers, values, strict=True)]}
        for numbers, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def _numbers(model: AnyModel, x: Any) -> list[Answer]:
    """The predicted numbers of each example, by the names of the targets."""
    predicted = model.predict(x).flatten(1).cpu()  # [N, D]
    names = _target_names(model, predicted.shape[1])
    return [{"prediction": dict(zip(names, row, strict=True))} for row in predicted.tolist()]


def _add_uncertainty(answers: list[Answer], model: AnyModel, x: Any, options: Options) -> None:
    """Adds what is uncertain about each answer: in all, and the two parts of it; of several numbers, of each."""
    _, uncertainty = model.predict_with_uncertainty(x, samples=options.samples, seed=options.seed)
    for what in ("total", "aleatoric", "epistemic"):
        for answer, value in zip(answers, getattr(uncertainty, what).cpu().tolist(), strict=True):
            several = isinstance(value, list)
            answer[what] = dict(zip(answer["prediction"], value, strict=True)) if several else value
    for answer in answers:
        answer["unit"] = uncertainty.unit


def _regions(model: AnyModel, inputs: Inputs, options: Options) -> tuple[list[Answer], list[Tensor]]:
    """The shares that the largest classes have of each picture, and where they are."""
    masks = model.segment(inputs.x).cpu()  # [N, H, W]
    name = class_names(model)
    answers = []
    for mask in masks:
        shares = mask.flatten().bincount() / mask.numel()  # [K]
        largest = [k for k in shares.argsort(descending=True, stable=True).tolist() if shares[k] > 0]
        answers.append({"classes": [{"class": name(k), "share": shares[k].item()} for k in largest[: options.top]]})
    if not options.pictures:
        return answers, []
    return answers, [with_classes(p.shown, mask) for p, mask in zip(inputs.pictures, masks, strict=True)]


def _objects(model: AnyModel, inputs: Inputs, options: Options) -> tuple[list[Answer], list[Tensor]]:
    """The objects in each picture, the surest first, and where they are."""
    name = class_names(model)
    answers, pictures = [], []
    found = model.detect(list(inputs.x), threshold=options.threshold)
    for picture, (boxes, labels, scores) in zip(inputs.pictures, found, strict=True):
        names = [name(k) for k in labels.tolist()]
        places = _in_picture(boxes.cpu(), picture).tolist()
        objects = zip(names, scores.tolist(), places, strict=True)
        answers.append({"objects": [{"class": c, "score": score, "box": box} for c, score, box in objects]})
        if options.pictures:
            marks = [f"{c} {score:.2f}" for c, score in zip(names, scores.tolist(), strict=True)]
            pictures.append(with_boxes(picture.shown, boxes.cpu(), labels.tolist(), marks))
    return answers, pictures


def _in_picture(boxes: Tensor, picture: OpenPicture) -> Tensor:
    """Boxes [N, 4] in pixels of what the model saw, as boxes in the user's picture."""
    return boxes.double() * picture.scale.repeat(2) + picture.offset.repeat(2)


def legend_of(model: AnyModel, answers: list[Answer]) -> list[tuple[Colour, str]]:
    """The colours of the classes that a Segmenter found, with their names; none for other models."""
    found = {one["class"] for answer in answers for one in answer.get("classes", ()) if "share" in one}
    if not found:
        return []
    name = class_names(model)
    numbered = ((number, name(number)) for number in itertools.count())
    named = itertools.islice((pair for pair in numbered if pair[1] in found), len(found))
    return [(class_colour(number), name) for number, name in named]


def class_names(model: AnyModel) -> Callable[[int], str]:
    """The names of the model's classes by their numbers; where there is no name, the number."""
    names = next((field.classes for field in model.signature().values() if field.is_target and field.classes), ())
    return lambda number: names[number] if number < len(names) else str(number)


def _target_names(model: AnyModel, count: int) -> list[str]:
    """What the predicted numbers are called: as the model's field names them, else target1, target2, …"""
    fields = {name: field for name, field in model.signature().items() if name != model.subject}
    name, field = next(iter(fields.items()), ("prediction", None))
    if field is not None and len(field.columns) == count:
        return list(field.columns)
    return [name] if count == 1 else [f"{name}{k + 1}" for k in range(count)]
