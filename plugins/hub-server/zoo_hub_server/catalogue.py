"""What the hub knows of the repositories it holds, read from their config.json, card and tensors; and finding some.

A release says what it is and what was measured. Whatever is missing or damaged is simply not known.
"""

import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

import msgspec

from zoo_hub_server.cards import card, tags
from zoo_hub_server.errors import Refusal
from zoo_hub_server.folder import HubFolder
from zoo_hub_server.git_objects import File, Listing
from zoo_hub_server.names import Kind, RepoId
from zoo_hub_server.protocol.reading import readme
from zoo_hub_server.repository import MAIN, Repository
from zoo_hub_server.tensors import Tensor, read_tensors

_CONFIG_UP_TO = 1 << 20
_KEPT = 10_000  # entries in memory
_TEXT_UP_TO = 80  # characters of a metric's name and the like
_MODEL = "model.safetensors"
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")


@dataclass(frozen=True)
class Number:
    """A measured number, as a release tells it.

    Attributes:
        metric: such as "nll".
        value: finite.
        stderr: its standard error, where one is told.
        unit: such as "nats/example"; may be empty.
        data: the data set it was measured on; may be empty.
        split: such as "test"; may be empty.
        n: how many examples; may be empty.
    """

    metric: str
    value: float
    stderr: float | None = None
    unit: str = ""
    data: str = ""
    split: str = ""
    n: str = ""

    def text(self) -> str:
        """`82.5495 ± 0.2`."""
        return f"{self.value:.6g}" + ("" if self.stderr is None else f" ± {self.stderr:.2g}")


@dataclass(frozen=True)
class Entry:
    """A repository, as lists show it.

    Attributes:
        repo: its name.
        commit: the head of main, which all the rest is read at.
        changed: the date of that commit, ISO 8601 in UTC.
        author: who made that commit.
        summary: one line; may be empty.
        tasks: what it is for, such as "density-estimation".
        data: the data sets that it was trained or measured on.
        numbers: what was measured.
        parameters: how many numbers model.safetensors holds; None is not known.
        picture: the file that shows what it does, if there is one.
        tags: of its card.
    """

    repo: RepoId
    commit: str
    changed: str
    author: str
    summary: str
    tasks: tuple[str, ...]
    data: tuple[str, ...]
    numbers: tuple[Number, ...]
    parameters: int | None
    picture: File | None
    tags: tuple[str, ...]

    def number(self, metric: str, data: str = "") -> Number | None:
        """The first number of a metric, on a data set where one is named."""
        wanted = (one for one in self.numbers if one.metric == metric and data in ("", one.data))
        return next(wanted, None)


def entry(repo: RepoId, repository: Repository) -> Entry:
    """What is known of a repository. Kept, for a commit never changes.

    Raises:
        Refusal: it was deleted meanwhile.
    """
    commit = repository.resolve(MAIN)
    key = (repository.about().id, str(repo), commit)
    with _lock:
        if key in _entries:
            _entries.move_to_end(key)
            return _entries[key]
    found = _read(repo, repository, commit)
    with _lock:
        _entries[key] = found
        while len(_entries) > _KEPT:
            _entries.popitem(last=False)
    return found


def entries(folder: HubFolder, kind: Kind, may_see: Callable[[RepoId, Repository], bool]) -> list[Entry]:
    """All repositories of a kind that `may_see` allows, by name."""
    found = []
    for repo in folder.ids(kind):
        repository = folder.find(repo)
        if repository is None or not may_see(repo, repository):
            continue
        try:
            found.append(entry(repo, repository))
        except Refusal:  # deleted meanwhile
            continue
    return found


def _read(repo: RepoId, repository: Repository, commit: str) -> Entry:
    listing = repository.listing(commit)
    config = config_of(repository, listing)
    data, text = card(readme(repository, commit))
    head = repository.revision(commit)
    numbers = tuple(numbers_of(config, data))
    tensors = tensors_of(repository, listing.files.get(_MODEL))
    summary = config.get("summary")
    return Entry(
        repo=repo,
        commit=commit,
        changed=head.date,
        author=head.author,
        summary=(summary if isinstance(summary, str) else _first_line(text))[:500],
        tasks=tuple(_tasks(config, data)),
        data=tuple(_data_sets(config, data, numbers)),
        numbers=numbers,
        parameters=None if tensors is None else sum(one.count for one in tensors.values()),
        picture=picture_of(listing),
        tags=tuple(tags(data)),
    )


def config_of(repository: Repository, listing: Listing) -> dict[str, Any]:
    """config.json of a release, as data; empty where there is none that can be read."""
    file = listing.files.get("config.json")
    if file is None or file.size > _CONFIG_UP_TO or file.lfs is not None:
        return {}
    try:
        return msgspec.json.decode(repository.read(file), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def tensors_of(repository: Repository, file: File | None) -> dict[str, Tensor] | None:
    """The tensors in a safetensors file, by name; None if it is none."""
    if file is None or not file.path.endswith(".safetensors"):
        return None
    return read_tensors(repository.read(file) if file.lfs is None else repository.objects.path(file.lfs.oid))


def picture_of(listing: Listing) -> File | None:
    """The picture that shows what the model does: samples.png, or the like, at the top or in pictures/."""
    found = [file for path, file in listing.files.items() if path.lower().endswith(_PICTURES) and path.count("/") < 2]
    found.sort(key=lambda file: ("sample" not in file.path.lower(), file.path.count("/"), file.path))
    return found[0] if found else None


def numbers_of(config: dict[str, Any], data: dict[str, Any]) -> list[Number]:
    """The measured numbers: of config.json, else of the card's model-index."""
    found = []
    for one in _dicts(config.get("metrics")):
        about = _dict(one, "protocol")
        value, error = _finite(one.get("value")), _finite(one.get("stderr"))
        if value is not None:
            words = _text(one, "metric"), value, error, _text(one, "unit"), _text(about, "dataset")
            found.append(Number(*words, _text(about, "split"), _text(about, "n")))
    if found:
        return found[:100]
    for result in _results(data):
        about = _dict(result, "dataset")
        for one in _dicts(result.get("metrics")):
            value = _finite(one.get("value"))
            if value is not None:
                name = _text(about, "name")
                found.append(Number(_text(one, "type"), value, data=name, split=_text(about, "split")))
    return found[:100]


def _tasks(config: dict[str, Any], data: dict[str, Any]) -> list[str]:
    """What the card says it is for; else what the installed plugin says that the model is for."""
    found = [_text(data, "pipeline_tag"), *(_text(_dict(result, "task"), "type") for result in _results(data))]
    found = [one for one in dict.fromkeys(found) if one not in ("", "other")]
    return found or [task for task in (_task_of(_text(_dict(config, "zoo"), "model")),) if task != "other"]


@cache
def _task_of(model: str) -> str:
    from zoo_core import ZooError, default_registry

    try:
        return str(default_registry().model(model).spec.task)
    except ZooError:  # no plugin here knows it
        return "other"


def _data_sets(config: dict[str, Any], data: dict[str, Any], numbers: Iterable[Number]) -> list[str]:
    listed = data.get("datasets")
    found = [_text(_dict(config, "training"), "data"), *(one.data for one in numbers)]
    found += [one[:_TEXT_UP_TO] for one in (listed if isinstance(listed, list) else [listed]) if isinstance(one, str)]
    return [one for one in dict.fromkeys(found) if one]


def _results(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [result for one in _dicts(data.get("model-index")) for result in _dicts(one.get("results"))]


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _dict(data: dict[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _text(data: dict[str, Any], key: str) -> str:
    value = data.get(key, "")
    return str(value)[:_TEXT_UP_TO] if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _finite(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer of 400 digits
        return None


def _first_line(text: str) -> str:
    """The first line of a card that is plain text."""
    lines = (line.strip() for line in text[:5000].splitlines())
    return next((line for line in lines if line and line[0].isalnum()), "")


# -- finding -------------------------------------------------------------------------------------------------------

_COMPARISON = re.compile(r"([A-Za-z][\w.-]*)(<=|>=|<|>|=)(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)([kM]?)")
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
    "=": lambda a, b: a == b,
}  # fmt: skip


def matches(found: Entry, search: str) -> bool:
    """Whether all words of a search hold: `digits nll<80 parameters<1M`.

    A word is looked for in the name, summary, tasks, data sets and tags; a comparison is of a number.
    """
    said = " ".join((str(found.repo), found.summary, *found.tasks, *found.data, *found.tags)).lower()
    for word in search.split():
        comparison = _COMPARISON.fullmatch(word)
        if comparison is None:
            if word.lower() not in said:
                return False
            continue
        name, sign, text, unit = comparison.groups()
        value = float(text) * {"": 1, "k": 1e3, "M": 1e6}[unit]
        values = [one.value for one in found.numbers if one.metric == name]
        if name == "parameters" and found.parameters is not None:
            values = [found.parameters]
        if not any(_SIGNS[sign](one, value) for one in values):
            return False
    return True


_entries: OrderedDict[tuple[str, str, str], Entry] = OrderedDict()
_lock = Lock()
