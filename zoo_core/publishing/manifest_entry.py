"""The manifest entry of a release, as TOML.

python -m zoo_core.publishing.manifest_entry FOLDER [--default]
"""

import argparse
from pathlib import Path
from typing import Any

import tomlkit

from zoo_core.hub.atomic import replacing
from zoo_core.hub.integrity import FileEntry, sha256_of
from zoo_core.interfaces.record import to_plain
from zoo_core.releases.release import CONFIG, read_release
from zoo_core.weights.manifest import read_manifest


def manifest_entry(folder: Path, name: str, sources: list[str], *, default: bool = False) -> str:
    """The entry that pins the release in `folder` as `name` (model.tag)."""
    release = read_release(folder)
    config = FileEntry(sha256=sha256_of(folder / CONFIG), bytes=(folder / CONFIG).stat().st_size)
    version = ".".join(release.zoo.plugin_version.split(".")[:2])
    entry = tomlkit.table()
    if default:
        entry["default"] = True
    entry["summary"] = release.summary
    entry["plugin"] = f"{release.zoo.plugin}>={version}"
    entry["licence"] = _inline(to_plain(release.licence))
    entry["sources"] = sources
    if release.recipe_text:
        entry["recipe"] = release.recipe_text
    entry.add(tomlkit.nl())
    files = tomlkit.table()
    for file, pinned in (release.files | {CONFIG: config}).items():
        files[file] = _inline(to_plain(pinned))
    entry["files"] = files
    if release.metrics:
        files.add(tomlkit.nl())
        metrics = tomlkit.aot()
        for metric in release.metrics:
            row = tomlkit.table()
            for field, value in to_plain(metric).items():
                if value is not None:
                    row[field] = _inline(value)
            metrics.append(row)
        entry["metrics"] = metrics
    document = tomlkit.document()
    document[name] = entry
    return tomlkit.dumps(document)


def put_entry(path: Path, entry: str) -> None:
    """Write an entry into a manifest file, in the place of the one of that name if there is one.

    "default" stays. Where the old one pins the same files, all of it stays (the seeds that `reproduce` tells of are not
    in a release), and the new entry's source is added to its own.

    Raises:
        WeightsError: the file would not be a manifest; it is left as it was.
    """
    ((name, new),) = tomlkit.parse(entry).items()
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    read_manifest(path)
    if name not in document:
        text = tomlkit.dumps(document).rstrip("\n")
        text = f"{text}\n\n{entry}" if text else entry
    else:
        before = document[name]
        if before["files"] == new["files"]:
            before["sources"] += [source for source in new["sources"] if source not in before["sources"]]
        else:
            if before.get("default") and "default" not in new:
                new["default"] = True
            document[name] = new
        text = tomlkit.dumps(document)
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")
        read_manifest(beside)


def _inline(value: Any) -> Any:
    """A dict as a table on one line; all else as it is."""
    if not isinstance(value, dict):
        return value
    table = tomlkit.inline_table()
    table.update({key: _inline(item) for key, item in value.items()})
    return table


def main() -> None:
    """Print the entry of a release that lies in a plugin's package, under its folder's name."""
    parser = argparse.ArgumentParser(description="Print the manifest entry of a release in a plugin's weights folder.")
    parser.add_argument("folder", type=Path, help="…/zoo_family/weights/model.tag")
    parser.add_argument("--default", action="store_true", help="the default weights of its model")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    source = f"package:{folder.parents[1].name}/{folder.parent.name}/{folder.name}"
    print(manifest_entry(folder, folder.name, [source], default=arguments.default), end="")


if __name__ == "__main__":
    main()
