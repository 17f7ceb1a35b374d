"""Finding and loading plugins, each by itself: a broken one is reported, and all others work."""

import os
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from zoo_core.discovery import hookspecs
from zoo_core.discovery.core_steps import CORE_STEPS
from zoo_core.discovery.specs import (
    CommandSpec,
    DatasetSpec,
    MetricSpec,
    ModelSpec,
    StepSpec,
    StudySpec,
)
from zoo_core.interfaces.capability_table import CAPABILITIES, CapabilitySpec

GROUP = "zoo.plugins"
RESERVED = ("hf", "folder", "package", "core")  # in `hf:org/repo`; no plugin may have such a name

# What each hook returns a list of.
HOOKS: dict[str, type] = {
    "zoo_models": ModelSpec,
    "zoo_datasets": DatasetSpec,
    "zoo_metrics": MetricSpec,
    "zoo_weights": Path,
    "zoo_studies": StudySpec,
    "zoo_commands": CommandSpec,
    "zoo_capabilities": CapabilitySpec,
    "zoo_steps": StepSpec,
}


class Plugin:
    """One installed plugin: what it declares, or why it could not be loaded."""

    def __init__(self, name: str, distribution: str, version: str) -> None:
        self.name = name  # of the entry point; the family in `family:model`
        self.distribution = distribution
        self.version = version
        self.hooks: tuple[str, ...] = ()
        self.declared: dict[str, list[Any]] = {hook: [] for hook in HOOKS}
        self.error: str | None = None
        self.fix: str | None = None

    @property
    def label(self) -> str:
        """Distribution and version, as messages name a plugin."""
        return f"{self.distribution} {self.version}".strip()


def load_plugins(found: Iterable[EntryPoint] | None = None) -> list[Plugin]:
    """Every plugin that is installed and not disabled (ZOO_DISABLE_PLUGINS=a,b or *), by name."""
    disabled = {name.strip() for name in os.environ.get("ZOO_DISABLE_PLUGINS", "").split(",")}
    plugins: dict[str, Plugin] = {}
    loaded = []
    for entry in sorted(entry_points(group=GROUP) if found is None else found, key=lambda e: (e.name, e.value)):
        distribution = entry.dist.name if entry.dist else "(unknown)"
        if "*" in disabled or entry.name in disabled or distribution in disabled:
            continue  # before the import: a disabled plugin costs nothing
        plugin = Plugin(entry.name, distribution, entry.dist.version if entry.dist else "")
        if entry.name in RESERVED:
            plugin.error = f"the plugin name '{entry.name}' is reserved"
            plugin.fix = "name its entry point otherwise"
        elif (other := plugins.get(entry.name)) is not None:
            if other.distribution == distribution:
                continue  # one distribution seen twice on sys.path, as editable installs can be
            plugin.error = f"the plugin name '{entry.name}' is taken by {other.label}"
            plugin.fix = f"pip uninstall {distribution}, or {other.distribution}"
        else:
            plugins[entry.name] = plugin
            _load(plugin, entry.load)
        loaded.append(plugin)
    _check_capabilities(loaded)
    _check_steps(loaded)
    return loaded


def _check_capabilities(plugins: Iterable[Plugin]) -> None:
    """A plugin whose models or metrics name a capability that nobody declares is broken."""
    known = {spec.name for spec in CAPABILITIES}
    known |= {spec.name for plugin in plugins for spec in plugin.declared["zoo_capabilities"]}
    for plugin in plugins:
        named = [(spec.name, name) for spec in plugin.declared["zoo_models"] for name in spec.capabilities]
        named += [(spec.name, spec.requires) for spec in plugin.declared["zoo_metrics"]]
        for who, name in named:
            if name not in known and plugin.error is None:
                import difflib  # for a mistake only

                near = difflib.get_close_matches(name, known, n=1)
                guess = f". Did you mean '{near[0]}'?" if near else ""
                plugin.error = f"'{who}' names the capability '{name}', which nothing declares{guess}"
                plugin.fix = f"install {plugin.distribution} again, or update it"
                plugin.declared = {hook: [] for hook in HOOKS}


def _check_steps(plugins: Iterable[Plugin]) -> None:
    """A plugin with a step that is called like one of the core is broken: releases that name it mean the core's."""
    taken = {(spec.name, spec.option) for spec in CORE_STEPS}
    for plugin in plugins:
        for spec in plugin.declared["zoo_steps"]:
            if (spec.name, spec.option) in taken:
                plugin.error = f"its step '{spec.name}' is called like one of the core"
                plugin.fix = f"install {plugin.distribution} again, or update it"
        if plugin.error is not None:
            plugin.declared = {hook: [] for hook in HOOKS}


def _load(plugin: Plugin, import_module: Callable[[], ModuleType]) -> None:
    try:
        module = import_module()
        api = getattr(module, "zoo_api", None)
        if api != hookspecs.API:
            plugin.error = f"it is for zoo API {api}, and this zoo has API {hookspecs.API}"
            newer = isinstance(api, int) and api > hookspecs.API
            plugin.fix = f"pip install --upgrade {'zoo-core' if newer else plugin.distribution}"
            return
        # A manager for each plugin: a hook that raises takes nobody else's declarations with it.
        manager = pluggy.PluginManager("zoo")
        manager.add_hookspecs(hookspecs)
        manager.register(module, plugin.name)
        manager.check_pending()  # refuses hooks that do not exist
        for hook, kind in HOOKS.items():
            caller = getattr(manager.hook, hook)
            if caller.get_hookimpls():
                plugin.hooks += (hook,)
                plugin.declared[hook] = [_checked(item, kind, hook) for item in _returned(caller(), kind, hook)]
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        plugin.error = f"{type(error).__name__}: {error}".splitlines()[0]
        plugin.declared = {hook: [] for hook in HOOKS}
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        plugin.fix = (
            f"install the module '{missing}'" if missing else f"install {plugin.distribution} again, or update it"
        )


def _returned(results: list[Any], kind: type, hook: str) -> Iterable[object]:
    if not results:  # pluggy leaves None out
        raise TypeError(f"{hook} must return a list of {kind.__name__}, and it returned None")
    declared: Iterable[object] = results[0]
    return declared


def _checked(item: object, kind: type, hook: str) -> object:
    if not isinstance(item, kind):
        raise TypeError(f"{hook} must return a list of {kind.__name__}, and it holds {item!r}")
    return item
