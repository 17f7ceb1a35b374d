"""The manifest entry of a release, as TOML.

python -m zoo_core.publishing.manifest_entry FOLDER [--default]
"""

import argparse
import json
import re
import tomllib
from pathlib import Path
from typing import Any

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
    key = json.dumps(name)
    lines = [f"[{key}]"]
    if default:
        lines.append("default = true")
    lines += [
        f"summary = {json.dumps(release.summary)}",
        f"plugin = {json.dumps(f'{release.zoo.plugin}>={version}')}",
        f"licence = {_inline(to_plain(release.licence))}",
        f"sources = {json.dumps(sources)}",
    ]
    if release.recipe:
        lines.append(f"recipe = {json.dumps(release.recipe)}")
    lines += ["", f"[{key}.files]"]
    lines += [
        f"{json.dumps(file)} = {_inline(to_plain(entry))}" for file, entry in (release.files | {CONFIG: config}).items()
    ]
    for metric in release.metrics:
        lines += ["", f"[[{key}.metrics]]"]
        lines += [f"{field} = {_inline(value)}" for field, value in to_plain(metric).items() if value is not None]
    return "\n".join(lines) + "\n"


def put_entry(path: Path, entry: str) -> None:
    """Write an entry into a manifest file, in the place of the one of that name if there is one.

    "default" stays. Where the old one pins the same files, all of it stays (the seeds that `reproduce` tells of are not
    in a release), and the new entry's source is added to its own.

    Raises:
        WeightsError: the file would not be a manifest; it is left as it was.
    """
    name, new = next(iter(tomllib.loads(entry).items()))
    before = {pinned.name: pinned.entry for pinned in read_manifest(path)}.get(name)
    kept, old, place = _without(path.read_text(), name)
    lines = entry.splitlines()
    if before is not None and to_plain(before.files) == new["files"]:
        sources = [*before.sources, *(source for source in new["sources"] if source not in before.sources)]
        lines = [f"sources = {_inline(sources)}" if line.startswith("sources = [") else line for line in old]
    elif before is not None and before.default and "default" not in new:
        lines.insert(1, "default = true")
    blocks = ("\n".join(block).strip("\n") for block in (kept[:place], lines, kept[place:]))
    with replacing(path) as beside:
        beside.write_text("\n\n".join(block for block in blocks if block) + "\n")
        read_manifest(beside)


def _without(text: str, name: str) -> tuple[list[str], list[str], int]:
    """The lines of a manifest outside and inside the entry of that name, and after how many of the first it stood."""
    mine = re.compile(rf"\[\[?{re.escape(json.dumps(name))}[\].]")
    kept: list[str] = []
    old: list[str] = []
    place, inside = None, False
    for line in text.splitlines():
        if line.startswith("["):
            inside = mine.match(line) is not None
        if inside and place is None:
            place = len(kept)
        (old if inside else kept).append(line)
    return kept, old, len(kept) if place is None else place


def _inline(value: Any) -> str:
    """A TOML value on one line. JSON's strings, numbers and lists are TOML's too."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_inline(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


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
