"""`Registry`: everything the plugins offer, found by name."""

import difflib
import sys
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from zoo_core.discovery.core_steps import CORE_STEPS
from zoo_core.discovery.loader import Plugin, load_plugins
from zoo_core.discovery.specs import (
    CommandSpec,
    DatasetSpec,
    MetricSpec,
    ModelSpec,
    StepSpec,
    StudySpec,
)
from zoo_core.errors import UnknownName, UsageError, ZooError
from zoo_core.interfaces.capability_table import CAPABILITIES, CapabilitySpec

if TYPE_CHECKING:
    from zoo_core.interfaces.any_model import AnyModel
    from zoo_core.interfaces.dataset import Dataset
    from zoo_core.interfaces.metric import Metric
    from zoo_core.interfaces.record import Record
    from zoo_core.interfaces.step import Step
    from zoo_core.training.study import Study

Spec = TypeVar("Spec", ModelSpec, DatasetSpec, MetricSpec, StudySpec, CommandSpec, CapabilitySpec, StepSpec)

CORE = "core"  # the plugin, as it were, that has the steps of the core


class Registration(NamedTuple, Generic[Spec]):
    """A spec and the plugin that declares it."""

    spec: Spec
    plugin: Plugin


class Registry:
    """What a set of plugins offers. Tests build their own; commands use `default_registry()`."""

    def __init__(self, plugins: Iterable[Plugin]) -> None:
        self.plugins = list(plugins)

    @property
    def broken(self) -> list[Plugin]:
        """The plugins that could not be loaded."""
        return [plugin for plugin in self.plugins if plugin.error]

    def models(self) -> list[Registration[ModelSpec]]:
        """All models, by name."""
        return self._registrations("zoo_models")

    def datasets(self) -> list[Registration[DatasetSpec]]:
        """All data sets, by name."""
        return self._registrations("zoo_datasets")

    def metrics(self) -> list[Registration[MetricSpec]]:
        """All metrics, plugin by plugin, each in the order that it declares."""
        return [Registration(spec, plugin) for plugin in self.plugins for spec in plugin.declared["zoo_metrics"]]

    def studies(self) -> list[Registration[StudySpec]]:
        """All studies, by name."""
        return self._registrations("zoo_studies")

    def commands(self) -> list[Registration[CommandSpec]]:
        """All commands that plugins add, by name."""
        return self._registrations("zoo_commands")

    def capabilities(self) -> list[CapabilitySpec]:
        """What models can do: the table of the core, then what plugins add."""
        added = [spec for plugin in self.plugins for spec in plugin.declared["zoo_capabilities"]]
        return [*CAPABILITIES, *added]

    def steps(self, option: str | None = None) -> list[Registration[StepSpec]]:
        """All steps, or those of an option ("input", "augment"): the core's, then what plugins add, by name."""
        registrations = [Registration(spec, Plugin(CORE, "zoo-core", "")) for spec in CORE_STEPS] + self._registrations(
            "zoo_steps"
        )
        return [registration for registration in registrations if option in (None, registration.spec.option)]

    def manifests(self) -> list[tuple[Path, Plugin]]:
        """The manifest files that plugins bring along."""
        return [(path, plugin) for plugin in self.plugins for path in plugin.declared["zoo_weights"]]

    def model(self, name: str, distribution: str | None = None) -> Registration[ModelSpec]:
        """The model of this name or alias; `family:name` picks one plugin's, `distribution` is the one to prefer."""
        registrations = self.models()
        preferred = [o for o in registrations if o.spec.name == name and o.plugin.distribution == distribution]
        return preferred[0] if preferred else self._one("model", name, registrations)

    def dataset(self, name: str) -> Registration[DatasetSpec]:
        """The data set of this name; of `folder:PATH`, the one that is called folder."""
        return self._one("data set", split_path(name)[0], self.datasets())

    def metric(self, name: str) -> Registration[MetricSpec]:
        """The metric of this name."""
        return self._one("metric", name.replace("-", "_"), self.metrics())

    def study(self, name: str) -> Registration[StudySpec]:
        """The study of this name."""
        return self._one("study", name, self.studies())

    def step(self, name: str, option: str = "input") -> Registration[StepSpec]:
        """The step of this name at an option: "input" or "augment"."""
        registrations = self.steps(option)
        found = [registration for registration in registrations if registration.spec.name == name]
        if not found:
            raise unknown("step", name, (registration.spec.name for registration in registrations))
        if len(found) > 1:
            labels = [registration.plugin.label for registration in found]
            raise UsageError(
                f"step '{name}' is offered by {' and '.join(labels)}",
                f"Hide one: ZOO_DISABLE_PLUGINS={found[-1].plugin.name}",
            )
        return found[0]

    def step_class(self, registration: Registration[StepSpec]) -> "type[Step]":
        """The class behind a step's spec; this imports torch.

        Raises:
            ZooError: the class is called otherwise than its spec says.
        """
        step_class: type[Step] = _import_target(registration)
        if step_class.__struct_config__.tag != registration.spec.name:
            raise ZooError(
                f"{registration.plugin.label}: the step '{registration.spec.name}' is {registration.spec.target}, "
                f"whose tag is '{step_class.__struct_config__.tag}'"
            )
        return step_class

    def model_class(self, registration: Registration[ModelSpec]) -> "type[AnyModel]":
        """The class behind a model's spec; this imports torch."""
        model_class: type[AnyModel] = _import_target(registration)
        return model_class

    def build(self, registration: Registration[ModelSpec], config: "Record") -> "AnyModel":
        """The model of a spec with these Config values, which knows what its spec declares that it can do."""
        model = self.model_class(registration)(config)
        model.declare_capabilities(registration.spec.capabilities)
        return model

    def open_dataset(self, name: str, data_file: Path | None = None) -> "Dataset":
        """The data set of this name, ready to serve batches; `folder:PATH` and `parquet:PATH` say where its data are.
        "none" to learn from, or "episodes" to measure over, is no data set."""
        if normalise(name) in (NO_DATA, "episodes"):
            from zoo_core.interfaces.dataset import Episodes

            return Episodes()
        name, path = split_path(name)
        if path is not None and data_file is not None:
            raise UsageError(f"'{name}:{path}' says where the data are, and so does the data file '{data_file}'")
        dataset: Dataset = _import_target(self.dataset(name))(data_file=path or data_file)
        return dataset

    def new_metric(self, name: str) -> "Metric":
        """A metric of this name, with nothing taken in yet."""
        metric: Metric = _import_target(self.metric(name))()
        return metric

    def study_class(self, registration: Registration[StudySpec]) -> "type[Study]":
        """The class behind a study's spec; this imports torch."""
        study_class: type[Study] = _import_target(registration)
        return study_class

    def _registrations(self, hook: str) -> list[Registration[Any]]:
        registrations = [Registration(spec, plugin) for plugin in self.plugins for spec in plugin.declared[hook]]
        return sorted(registrations, key=lambda registration: (registration.spec.name, registration.plugin.name))

    def _one(self, kind: str, name: str, registrations: list[Registration[Spec]]) -> Registration[Spec]:
        family, _, wanted = normalise(name).rpartition(":")
        registrations = [r for r in registrations if not family or normalise(r.plugin.name) == family]
        found = [r for r in registrations if r.spec.name.replace("_", "-") == wanted or wanted in _aliases(r)]
        if not found:
            names, aliases = (r.spec.name for r in registrations), (a for r in registrations for a in _aliases(r))
            raise unknown(kind, name, names, aliases)
        if len(found) > 1:
            owners = " and ".join(
                f"{registration.plugin.label} ({registration.plugin.name}:{wanted})" for registration in found
            )
            raise UsageError(f"{kind} '{wanted}' is offered by {owners}", "Say which: family:name.")
        return found[0]


def _aliases(registration: Registration[Any]) -> tuple[str, ...]:
    return getattr(registration.spec, "aliases", ())


NO_DATA = "none"  # what a run learns from that needs no data set
WITH_PATH = ("folder", "parquet")  # data sets that read the user's own data, whose path follows: folder:PATH


def split_path(reference: str) -> tuple[str, Path | None]:
    """The name of a data set, and the path where it was written `folder:PATH` or `parquet:PATH`."""
    name, colon, path = normalise(reference).partition(":")
    return (name, Path(path)) if colon and name in WITH_PATH else (reference, None)


def normalise(name: str) -> str:
    """Names ignore case and take `_` for `-`; the path of `folder:PATH` stays as it is."""
    first, colon, path = name.strip().partition(":")
    if colon and first.lower() in WITH_PATH:
        return f"{first.lower()}:{path}"
    return name.strip().lower().replace("_", "-")


def unknown(kind: str, name: str, known: Iterable[str], aliases: Iterable[str] = ()) -> UnknownName:
    """The error for a name that nothing provides, with the nearest ones."""
    known = sorted(known)
    wanted = normalise(name).rpartition(":")[2]
    near = difflib.get_close_matches(wanted, sorted({*known, *aliases}), n=3, cutoff=0.5)
    guess = f". Did you mean {' or '.join(repr(match) for match in near)}?" if near else ""
    listing = {"model": "Run 'zoo list' to see all.", "command": "Run 'zoo --help' to see all."}
    hint = listing.get(kind, f"There are: {', '.join(known) or 'none'}.")
    if kind == "model" and Path(name).is_dir():
        hint = f"For the folder of that name: ./{name}"
    return UnknownName(f"no {kind} named '{name}'{guess}", hint)


@cache
def default_registry() -> Registry:
    """The plugins installed here. What is broken is reported once, on stderr."""
    registry = Registry(load_plugins())
    for plugin in registry.broken:
        print(
            f"Warning: plugin {plugin.label} was skipped: {plugin.error}\n"
            f"  Fix: {plugin.fix}    Hide: ZOO_DISABLE_PLUGINS={plugin.name}",
            file=sys.stderr,
        )
    return registry


def dataset(name: str, *, data_file: str | Path | None = None, registry: Registry | None = None) -> "Dataset":
    """The data set of this name, with its splits as tensors, batches or examples.

        mnist = zoo_core.dataset("mnist")
        x = mnist.tensors("train")["image"]                        # [50000, 1, 28, 28] in [0, 1]
        for batch in mnist.batches("train", 128, shuffle=True):
            ...                                                    # {"image": [128, 1, 28, 28], "label": [128]}
        DataLoader(mnist.examples("train"), batch_size=128)        # torch.utils.data

    Args:
        name: "mnist", "digits", …; or "folder:PATH", images of your own: "folder:PATH,size=28" resizes them; or
            "parquet:PATH", Parquet files of your own.
        data_file: the user's own file, for a data set that takes one.
        registry: the plugins; by default those that are installed.

    Raises:
        UnknownName: no data set has that name.
        DataError: the data are not on this machine, and cannot be downloaded.
    """
    registry = registry or default_registry()
    return registry.open_dataset(normalise(name), None if data_file is None else Path(data_file))


def _import_target(registration: Registration[Any]) -> Any:
    module, _, attribute = registration.spec.target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ZooError(
            f"{registration.plugin.label}: '{registration.spec.name}' cannot be imported from "
            f"{registration.spec.target}: {error}"
        ) from error
