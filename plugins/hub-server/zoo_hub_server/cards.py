"""The model card's front matter: YAML from strangers, turned into plain JSON data or refused."""

import math
import re
from functools import lru_cache
from typing import Any

import yaml

_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
MAX_YAML = 64 << 10  # characters
_MAX_DEPTH = 20


class CardError(ValueError):
    """A front matter that is not what a card may hold; one line."""


class _NoAliases(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
    """Aliases would make a small text a huge structure."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise CardError("YAML aliases are not allowed in a card.")
        return super().compose_node(parent, index)


def front_matter(text: str) -> tuple[dict[str, Any], str]:
    """The data at the head of a README, and the text below it.

    Raises:
        CardError: the data is damaged.
    """
    found = _FRONT_MATTER.match(text)
    if found is None:
        return {}, text
    if len(found[1]) > MAX_YAML:
        raise CardError(f"The front matter is longer than {MAX_YAML} characters.")
    try:
        data = yaml.load(found[1], Loader=_NoAliases)  # a SafeLoader
    except CardError:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" in line {mark.line + 2}"
        raise CardError(
            f"The front matter is no YAML{where}: {getattr(error, 'problem', None) or 'unreadable'}."
        ) from None
    except (ValueError, RecursionError, OverflowError):  # a date such as 2024-99-99, brackets without end
        raise CardError("The front matter holds a value that cannot be read.") from None
    if data is None:
        return {}, text[found.end() :]
    if not isinstance(data, dict):
        raise CardError("The front matter must be 'name: value' lines.")
    plain = _plain(data)
    assert isinstance(plain, dict)
    return plain, text[found.end() :]


@lru_cache(maxsize=256)
def card(text: str) -> tuple[dict[str, Any], str]:
    """As `front_matter`; a damaged one is empty."""
    try:
        return front_matter(text)
    except CardError:
        return {}, text


def model_index_faults(index: object) -> list[str]:
    """What is wrong with a card's model-index, the measured numbers, each a line that says where; empty if nothing is.

    It is a list of models, each with a name and results, each with a task and metrics, each with a type and a value:
    what `huggingface_hub.ModelCardData` writes, and cannot read otherwise.
    """
    if index is None:
        return []
    if not isinstance(index, list):
        return ['"model-index" must be an array']
    faults = []
    for at, model in enumerate(index):
        where = f'"model-index[{at}]'
        if not isinstance(model, dict) or not isinstance(model.get("name"), str):
            faults.append(f'{where}.name" is required')
            continue
        results = model.get("results")
        if not isinstance(results, list):
            faults.append(f'{where}.results" must be an array')
            continue
        for number, result in enumerate(results):
            faults += _result_faults(result, f"{where}.results[{number}]")
    return faults[:20]


def _result_faults(result: object, where: str) -> list[str]:
    task = result.get("task") if isinstance(result, dict) else None
    if not isinstance(result, dict) or not isinstance(task, dict) or not isinstance(task.get("type"), str):
        return [f'{where}.task.type" is required']
    metrics = result.get("metrics")
    if not isinstance(metrics, list):
        return [f'{where}.metrics" must be an array']
    return [
        f'{where}.metrics[{at}]" must have a type and a value'
        for at, metric in enumerate(metrics)
        if not isinstance(metric, dict) or not isinstance(metric.get("type"), str) or metric.get("value") is None
    ]


def tags(data: dict[str, Any]) -> list[str]:
    """What a card says, as the tags that lists are filtered by."""
    found = _texts(data.get("tags"))
    for key in ("library_name", "pipeline_tag"):
        found += _texts(data.get(key))
    found += _texts(data.get("language"))
    for key, name in (("license", "license"), ("datasets", "dataset"), ("base_model", "base_model")):
        found += [f"{name}:{one}" for one in _texts(data.get(key))]
    found += [f"{key}:{one}" for key in ("task_categories", "size_categories") for one in _texts(data.get(key))]
    return list(dict.fromkeys(found))


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str) and one]


def _plain(value: object, depth: int = 0) -> object:
    """What JSON can hold."""
    if depth > _MAX_DEPTH:
        raise CardError("The front matter is nested too deeply.")
    if isinstance(value, dict):
        return {str(_plain(key, depth + 1)): _plain(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(one, depth + 1) for one in value]
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else hex(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return str(value)  # dates
