"""The manifest: every published release, pinned by sha256, with its measured numbers. TOML, one file a family."""

import re
import sys
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, NamedTuple

from msgspec import Meta

from zoo_core.discovery.registry import Registry, normalise, unknown
from zoo_core.errors import RecordError, UnknownName, WeightsError
from zoo_core.hub.integrity import FileEntry
from zoo_core.interfaces.record import Record, read_record
from zoo_core.releases.licence import Licence
from zoo_core.releases.release import CONFIG, MODEL, MetricEntry


class ManifestEntry(Record, kw_only=True):
    """One release in a manifest.

    Attributes:
        summary: what it is, in one line.
        plugin: the requirement that installs its plugin, such as "zoo-autoregressive>=0.1".
        licence: the licences of code, weights and data.
        sources: the places that have its files, in the order in which they are tried.
        files: the sha256 and the size of each of its files.
        default: True if the name of the model alone means this release.
        recipe: the command that trains it again, as people read it; None if there is none.
        metrics: its measured numbers.
    """

    summary: str
    plugin: str
    licence: Licence
    sources: Annotated[list[str], Meta(min_length=1)]
    files: dict[str, FileEntry]
    default: bool = False
    recipe: str | None = None
    metrics: list[MetricEntry] = []

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (MODEL, CONFIG):
            if name not in self.files:
                raise RecordError(f"files: '{name}' is not pinned")  # a ValueError, so decoding adds file and entry


class Pinned(NamedTuple):
    """A manifest entry with its name.

    Attributes:
        model: the name of the model.
        tag: the tag of the release.
        entry: the entry.
        path: the manifest file that holds it.
    """

    model: str
    tag: str
    entry: ManifestEntry
    path: Path

    @property
    def name(self) -> str:
        return f"{self.model}.{self.tag}"


class Manifest:
    """All entries of all manifest files."""

    def __init__(self, paths: Iterable[Path] = (), *, entries: Iterable[Pinned] = ()) -> None:
        self.pinned: dict[str, Pinned] = {}
        for pinned in (*entries, *(pinned for path in paths for pinned in read_manifest(path))):
            if (other := self.pinned.get(pinned.name)) is not None:
                raise WeightsError(f"'{pinned.name}' stands in two manifests: {other.path} and {pinned.path}")
            self.pinned[pinned.name] = pinned
        for model in {pinned.model for pinned in self.pinned.values()}:
            defaults = [pinned for pinned in self.of_model(model) if pinned.entry.default]
            if len(defaults) > 1:
                where = " and ".join(f"{pinned.name} ({pinned.path})" for pinned in defaults)
                raise WeightsError(f"'{model}' has more than one default release: {where}")

    def of_model(self, model: str) -> list[Pinned]:
        """The releases of a model, its default first."""
        found = [pinned for pinned in self.pinned.values() if pinned.model == model]
        return sorted(found, key=lambda pinned: (not pinned.entry.default, pinned.tag))

    def default(self, model: str) -> Pinned | None:
        """The release that the bare name means: the one that says so, or the only one."""
        found = self.of_model(model)
        return found[0] if found and (found[0].entry.default or len(found) == 1) else None

    def find(self, model: str, tag: str | None) -> Pinned:
        """The release `model.tag`; without a tag the default, which a single release is anyway.

        Raises:
            UnknownName: no such release; the message names those there are.
        """
        found = self.of_model(model)
        if not found:
            raise UnknownName(
                f"'{model}' has no published weights",
                f"Train it: zoo train {model} --data DATA -o runs/{model}",
            )
        if tag is None:
            if (default := self.default(model)) is not None:
                return default
            raise UnknownName(f"'{model}' has no default weights", f"Say which: {', '.join(p.name for p in found)}")
        for pinned in found:
            if pinned.tag == normalise(tag):
                return pinned
        raise unknown("weights", f"{model}.{tag}", (pinned.name for pinned in found))


def read_manifest(path: Path) -> list[Pinned]:
    """The entries of one manifest file.

    Raises:
        WeightsError: not TOML, or an entry that is wrong; the message names file and entry.
    """
    try:
        data = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise WeightsError(f"manifest '{path}' cannot be read: {error}") from None
    pinned = []
    for name, entry in data.items():
        model, _, tag = name.partition(".")
        if not tag or normalise(name) != name:
            raise WeightsError(f"manifest '{path}': '{name}' is not a lower-case model.tag")
        try:
            checked = read_record(ManifestEntry, entry, f"manifest '{path}', {name}")
        except RecordError as error:
            raise WeightsError(str(error)) from None
        pinned.append(Pinned(model, tag, checked, path))
    return pinned


def default_manifest(registry: Registry) -> Manifest:
    """The manifests of this repository and of all plugins. A plugin's that is wrong is reported, and left out."""
    entries = [pinned for path in own_manifests() for pinned in read_manifest(path)]
    for path, plugin in registry.manifests():
        try:
            entries += read_manifest(path)
        except WeightsError as error:
            warn_once(f"the weights of plugin {plugin.label} were skipped: {error.message}")
    return Manifest(entries=entries)


def own_manifests() -> list[Path]:
    """The manifest files of this repository."""
    import weights_manifest

    return sorted(Path(weights_manifest.__file__).parent.glob("*.toml"))


@cache
def warn_once(message: str) -> None:
    """A warning on stderr, the first time it is given."""
    print(f"Warning: {message}", file=sys.stderr)


def distribution_of(requirement: str) -> str:
    """The name in a requirement such as "zoo-basics>=0.1"."""
    return re.split(r"[<>=!~ ]", requirement)[0]


def install_hint(requirement: str) -> str:
    """How to install a plugin. The packages are on no index yet, so ours come from their folder, and for others no name
    is given that a stranger could own there."""
    distribution = distribution_of(requirement)
    ours = {re.split(r"[<>=!~ ]", p.entry.plugin)[0] for path in own_manifests() for p in read_manifest(path)}
    if distribution in ours:
        return f"pip install -e plugins/{distribution.removeprefix('zoo-')} in this repository"
    return f"get {distribution} from where the weights came from"
