"""What data sets there are, and which of them are here; read without torch, and without decoding anything."""

from collections.abc import Mapping
from typing import NamedTuple

from zoo_core.datasets.getting import missing_files
from zoo_core.discovery.registry import Registry
from zoo_core.discovery.specs import DatasetSpec
from zoo_core.hub.cache import cache_folder
from zoo_core.hub.datafiles import is_in_hub_cache
from zoo_core.hub.packages import Package


class DatasetListing(NamedTuple):
    """One row of `zoo data list`.

    Attributes:
        name: the name of the data set.
        summary: what it holds, in one line.
        fields: for the name of each field, its shape and values in a few words.
        sizes: how many examples each split holds; None where that is only known after reading it.
        licence: its licence, an SPDX expression.
        source: where it comes from.
        here: whether it can be read now, without a network.
        packages: the packages from which `zoo data get` makes it.
        plugin: the distribution of its plugin.
    """

    name: str
    summary: str
    fields: Mapping[str, str]
    sizes: Mapping[str, int | None]
    licence: str
    source: str
    here: bool
    packages: tuple[Package, ...]
    plugin: str


def list_datasets(registry: Registry) -> list[DatasetListing]:
    """All data sets of all plugins, by name."""
    return [
        DatasetListing(
            name=spec.name,
            summary=spec.summary,
            fields=spec.fields,
            sizes={split: spec.sizes.get(split) for split in spec.splits},
            licence=spec.licence,
            source=spec.source,
            here=_is_here(spec),
            packages=spec.packages,
            plugin=plugin.distribution,
        )
        for spec, plugin in registry.datasets()
    ]


def _is_here(spec: DatasetSpec) -> bool:
    """Whether its files are here, or what was decoded from them."""
    if all(is_in_hub_cache(place) for place in missing_files(spec)):
        return True
    decoded = cache_folder() / "data"
    return all(any(decoded.glob(f"{spec.name}.{split}.*.safetensors")) for split in spec.splits)
