"""A release: one folder that describes and verifies itself, the same on disk, in a wheel and on the hub.

model.safetensors     the tensors
golden.safetensors    input.<field> and output.<method>: what the model must compute on this machine too
artifact.<name>.json  what belongs to the weights and is no tensor: a vocabulary
README.md             the model card
config.json           everything else, written last; it lists the size and sha256 of all the others
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from zoo_core.errors import RecordError, WeightsError
from zoo_core.hub.integrity import FileEntry, Sha256
from zoo_core.interfaces.conditions import Condition
from zoo_core.interfaces.record import Record, read_record
from zoo_core.releases.licence import Licence
from zoo_core.releases.recipe import RunArguments

CONFIG, MODEL, GOLDEN, CARD = "config.json", "model.safetensors", "golden.safetensors", "README.md"

Dtype = Literal["float32", "float16", "bfloat16", "float64"]


class Maker(Record, kw_only=True, omit_defaults=True):
    """Which code a release is for."""

    api: int
    model: str  # its name
    plugin: str  # the distribution
    plugin_version: str
    steps: dict[str, str] = {}  # the distribution of each step of `input` that is not the core's


class Protocol(Record, kw_only=True):
    """How a number was measured. Two numbers are comparable only if these are equal."""

    dataset: str
    split: str
    n: Annotated[int, Meta(ge=1)]
    data_sha256: Sha256
    estimator: str = "exact"
    input: list[dict[str, Any]] = []  # steps between the data and the model


class Reproduction(Record, kw_only=True):
    """What retraining with other seeds gave."""

    seeds: Annotated[int, Meta(ge=1)]
    mean: float
    std: Annotated[float, Meta(ge=0)]


class MetricEntry(Record, kw_only=True):
    """One measured number."""

    metric: str
    value: float
    unit: str
    stderr: Annotated[float, Meta(ge=0)] | None = None
    tolerance: Annotated[float, Meta(ge=0)]  # largest difference when the same weights are measured again
    protocol: Protocol
    reproduce: Reproduction | None = None

    def text(self) -> str:
        """The number as people read it, and on which data it was measured."""
        return f"{self.number()} ({self.on()})"

    def number(self) -> str:
        """The number as people read it: nll 79.03 ± 0.19 nats/example."""
        error = "" if self.stderr is None else f" ± {self.stderr:.2g}"
        return f"{self.metric} {self.value:.4g}{error} {self.unit}"

    def on(self) -> str:
        """The data that it was measured on: binarized-mnist test."""
        return f"{self.protocol.dataset} {self.protocol.split}"

    def __repr__(self) -> str:
        return f"<{self.text()}>"


class Golden(Record, kw_only=True):
    """The method that golden.safetensors holds inputs and output of, and the batch fields it is given."""

    method: Annotated[str, Meta(pattern="^[a-z_]+$")]
    arguments: tuple[str, ...]
    atol: Annotated[float, Meta(ge=0)]
    rtol: Annotated[float, Meta(ge=0)]


class PinnedRelease(Record, kw_only=True):
    """Another release that one was made with, and the bytes that it had then."""

    reference: str  # as it was asked for; of a hub, with the commit
    name: str  # model.tag where a manifest knows it, else the model
    model_sha256: Sha256  # of its model.safetensors
    config_sha256: Sha256  # of its config.json, which lists all its other files


class Ancestor(PinnedRelease, kw_only=True):
    """A release that another one's training started from, and what that left of it."""

    frozen: list[str] = []  # glob patterns of the parameters that kept their values
    new_head: bool = False  # whether its head was replaced by a fresh one


def exact_reference(reference: str, source: str) -> str:
    """`reference`, or where it names a repository on a hub, which moves on, the commit that `source` says."""
    commit = re.match(r"hf:[^@ ,]+(@[0-9a-f]{40})?", source)
    return commit[0] if commit and "/" in reference else reference


class ReleaseConfig(Record, kw_only=True, omit_defaults=True):
    """config.json."""

    zoo: Maker
    config: dict[str, Any]
    input: list[dict[str, Any]] = []
    dtype: Dtype
    summary: str
    licence: Licence
    recipe: RunArguments | str | None = None  # a text where a release is an old one
    training: dict[str, Any] = {}
    metrics: list[MetricEntry] = []
    golden: Golden | None = None
    dependencies: dict[str, PinnedRelease] = {}  # what the model holds frozen, by attribute; see `Model.dependencies`
    conditions: dict[str, Condition] = {}  # what can be told to sample and its like; see `Model.conditions`
    ancestors: list[Ancestor] = []  # what training started from, the nearest first: the parent, its parent, …
    files: dict[str, FileEntry]

    @property
    def recipe_text(self) -> str | None:
        """The command that trains it again; None where it was not trained here."""
        return self.recipe.command() if isinstance(self.recipe, RunArguments) else self.recipe

    def __repr__(self) -> str:
        return f"<release of {self.zoo.model}: {'; '.join([self.summary, *(entry.text() for entry in self.metrics)])}>"


def read_release(folder: Path) -> ReleaseConfig:
    """The config.json of a release.

    Raises:
        WeightsError: the folder or the file is missing, or is no release.
    """
    path = folder / CONFIG
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        what = "has no config.json" if folder.is_dir() else "does not exist"
        raise WeightsError(f"'{folder}' is not a release: it {what}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"'{path}' cannot be read: {error}") from None
    if not isinstance(data, dict) or "zoo" not in data:
        raise WeightsError(f"'{path}' is not a zoo release: it has no 'zoo' entry")
    try:
        release = read_record(ReleaseConfig, data, str(path))
    except RecordError as error:
        raise WeightsError(str(error)) from None
    if MODEL not in release.files:
        raise WeightsError(f"'{path}' lists no {MODEL}")
    for name in release.files:
        if "/" in name or "\\" in name or name.startswith("."):
            raise WeightsError(f"'{path}' lists a file outside the release: '{name}'")
    return release
