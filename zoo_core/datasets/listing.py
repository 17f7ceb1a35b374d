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
    """One data set."""

    name: str
    summary: str
    fields: Mapping[str, str]  # name -> shape and values, in a few words
    sizes: Mapping[str, int | None]  # split -> examples; None where that shows only when it is read
    licence: str
    source: str  # where it comes from
    here: bool  # whether it can be read now, without a network
    packages: tuple[Package, ...]  # what `zoo data get` makes it from
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
