"""A release that an older zoo wrote, described as this one describes a new release: its card, the conditions that its
model declares, and what its training images look like, if the data are here.

python -m zoo_core.publishing.renew FOLDER [--manifest FILE]

Weights, golden outputs, numbers and recipe stay as they are.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import tomlkit

from zoo_core.discovery.registry import Registry, default_registry
from zoo_core.errors import ZooError
from zoo_core.hub.atomic import replacing, write_atomically
from zoo_core.hub.integrity import FileEntry, sha256_of
from zoo_core.interfaces.image_statistics import ImageStatistics
from zoo_core.pictures.looks import image_statistics
from zoo_core.publishing.manifest_entry import manifest_entry
from zoo_core.releases.card import model_card
from zoo_core.releases.release import CARD, CONFIG, ReleaseConfig, read_release
from zoo_core.weights.loading import load
from zoo_core.weights.manifest import read_manifest


def renew(folder: Path, registry: Registry | None = None) -> ReleaseConfig:
    """Write README.md and config.json of a release again, config.json last.

    Raises:
        WeightsError: the folder is no release, or a damaged one.
    """
    registry = registry or default_registry()
    model = load(f"folder:{folder}", registry=registry)
    release = msgspec.structs.replace(read_release(folder), conditions=model.conditions())
    if release.images is None:
        images = _images(release.training, model.subject, registry)
        release = msgspec.structs.replace(release, images=images)
    write_atomically(folder / CARD, model_card(release))
    card = FileEntry(sha256=sha256_of(folder / CARD), bytes=(folder / CARD).stat().st_size)
    release = msgspec.structs.replace(release, files=release.files | {CARD: card})
    write_atomically(folder / CONFIG, msgspec.json.format(msgspec.json.encode(release), indent=1))
    return release


def _images(training: Mapping[str, Any], subject: str, registry: Registry) -> ImageStatistics | None:
    """What the images look like that a release was trained on; None if those data are not here."""
    try:
        data = registry.open_dataset(training["data"])
    except (KeyError, ZooError):
        return None
    same = "train" in data.splits and data.data_sha256("train") == training.get("data_sha256", {}).get("train")
    return image_statistics(data, subject) if same else None


def pin_again(path: Path, folder: Path) -> None:
    """Give the entry of a release, which has the name of its folder, the hashes of its files as they are now.

    Raises:
        WeightsError: the file would not be a manifest; it is left as it was.
    """
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    fresh = tomlkit.parse(manifest_entry(folder, folder.name, []))
    document[folder.name]["files"].update(fresh[folder.name]["files"])
    with replacing(path) as beside:
        beside.write_text(tomlkit.dumps(document), encoding="utf-8")
        read_manifest(beside)


def main() -> None:
    """Renew a release, and pin it again in the manifest of its plugin."""
    parser = argparse.ArgumentParser(description="Describe a release as this version describes a new one.")
    parser.add_argument("folder", type=Path, help="…/zoo_family/weights/model.tag")
    parser.add_argument("--manifest", type=Path, help="the file that pins it: weights_manifest/family.toml")
    arguments = parser.parse_args()
    renew(arguments.folder)
    if arguments.manifest is not None:
        pin_again(arguments.manifest, arguments.folder.resolve())


if __name__ == "__main__":
    main()
