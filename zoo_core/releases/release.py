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
from zoo_core.interfaces.image_statistics import ImageStatistics
from zoo_core.interfaces.record import Record, read_record
from zoo_core.releases.licence import Licence
from zoo_core.releases.recipe import RunArguments

CONFIG, MODEL, GOLDEN, CARD = "config.json", "model.safetensors", "golden.safetensors", "README.md"

Dtype = Literal["float32", "float16", "bfloat16", "float64"]


class Maker(Record, kw_only=True, omit_defaults=True):
    """The code that a release is for.

    Attributes:
        api: the version of the plugin interface.
        model: the name of the model.
        plugin: the distribution that has it.
        plugin_version: the version of that distribution.
        steps: for each step of `input` that is not the core's, its distribution.
    """

    api: int
    model: str
    plugin: str
    plugin_version: str
    steps: dict[str, str] = {}


class Protocol(Record, kw_only=True):
    """How a number was measured. Two numbers are comparable only if their protocols are equal.

    Attributes:
        dataset: the name of the data set.
        split: the name of the split.
        n: how many examples.
        data_sha256: the digest of the split.
        estimator: how the number was computed; "exact" by default.
        input: the preprocessing steps between the data and the model.
    """

    dataset: str
    split: str
    n: Annotated[int, Meta(ge=1)]
    data_sha256: Sha256
    estimator: str = "exact"
    input: list[dict[str, Any]] = []


class Reproduction(Record, kw_only=True):
    """What training again with other seeds gave.

    Attributes:
        seeds: how many runs.
        mean: the mean of their numbers.
        std: the standard deviation between them.
    """

    seeds: Annotated[int, Meta(ge=1)]
    mean: float
    std: Annotated[float, Meta(ge=0)]


class MetricEntry(Record, kw_only=True):
    """One measured number.

    Attributes:
        metric: the name of the metric.
        value: the number.
        unit: its unit.
        stderr: its standard error; None where there is none.
        tolerance: the largest difference that may occur when the same weights are measured again.
        protocol: how it was measured.
        reproduce: what training again gave; None if nobody did.
    """

    metric: str
    value: float
    unit: str
    stderr: Annotated[float, Meta(ge=0)] | None = None
    tolerance: Annotated[float, Meta(ge=0)]
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
    """What golden.safetensors holds: what a method must compute on any machine.

    Attributes:
        method: the name of the method.
        arguments: the names of the batch fields that it is called with.
        atol: the largest absolute difference that is allowed.
        rtol: the largest relative difference that is allowed.
    """

    method: Annotated[str, Meta(pattern="^[a-z_]+$")]
    arguments: tuple[str, ...]
    atol: Annotated[float, Meta(ge=0)]
    rtol: Annotated[float, Meta(ge=0)]


class PinnedRelease(Record, kw_only=True):
    """Another release that this one was made with, and its exact content then.

    Attributes:
        reference: what was asked for; for a hub, with the commit.
        name: MODEL.TAG if a manifest knows it, otherwise the name of the model.
        model_sha256: sha256 of its model.safetensors.
        config_sha256: sha256 of its config.json, which lists all its other files.
    """

    reference: str
    name: str
    model_sha256: Sha256
    config_sha256: Sha256


class Ancestor(PinnedRelease, kw_only=True):
    """A release that training started from, and what training left unchanged.

    Attributes:
        frozen: glob patterns of the parameters that kept their values.
        new_head: whether the head was replaced by a fresh one.
    """

    frozen: list[str] = []
    new_head: bool = False


def exact_reference(reference: str, source: str) -> str:
    """`reference`, or where it names a repository on a hub, which moves on, the commit that `source` says."""
    commit = re.match(r"hf:[^@ ,]+(@[0-9a-f]{40})?", source)
    return commit[0] if commit and "/" in reference else reference


class ReleaseConfig(Record, kw_only=True, omit_defaults=True):
    """The content of config.json: everything about a release that is not a tensor.

    Attributes:
        zoo: the code that the release is for.
        config: the Config values of the model.
        input: the preprocessing steps that belong to the weights.
        dtype: the dtype of the stored tensors.
        summary: what it is, in one line.
        licence: the licences of code, weights and data.
        recipe: the arguments of the run that made it; a text in old releases; None if it was not trained here.
        training: what is known of the run: data, epochs, seconds, device, versions, …
        metrics: the measured numbers.
        images: what the images of the train split look like; None for other data, and in old releases.
        golden: what golden.safetensors holds; None if there is no such file.
        dependencies: the releases that the model uses and keeps frozen, by attribute; see `Model.dependencies`.
        conditions: the further arguments of `sample` and its like; see `Model.conditions`.
        ancestors: what training started from, the nearest first: the parent, its parent, …
        files: the sha256 and the size of each other file.
    """

    zoo: Maker
    config: dict[str, Any]
    input: list[dict[str, Any]] = []
    dtype: Dtype
    summary: str
    licence: Licence
    recipe: RunArguments | str | None = None
    training: dict[str, Any] = {}
    metrics: list[MetricEntry] = []
    images: ImageStatistics | None = None
    golden: Golden | None = None
    dependencies: dict[str, PinnedRelease] = {}
    conditions: dict[str, Condition] = {}
    ancestors: list[Ancestor] = []
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
