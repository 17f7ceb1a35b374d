"""The manifest entry of a release, as TOML.

python -m zoo_core.publishing.manifest_entry FOLDER [--default]
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

from zoo_core.hub.atomic import replacing
from zoo_core.hub.integrity import FileEntry, sha256_of
from zoo_core.interfaces.record import to_plain
from zoo_core.weights.manifest import read_manifest
from zoo_core.weights.release import CONFIG, read_release


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
    """Write an entry into a manifest file, in the place of the one of that name if there is one. "default" stays.

    Raises:
        WeightsError: the file would not be a manifest; it is left as it was.
    """
    head = entry.partition("\n")[0]  # ["model.tag"]
    text = path.read_text()
    name = json.loads(head[1:-1])
    mine = re.compile(rf"\[\[?{re.escape(json.dumps(name))}[\].]")
    kept: list[str] = []
    old: list[str] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("["):
            inside = mine.match(line) is not None
        (old if inside else kept).append(line)
    if "default = true" in old:
        entry = entry.replace(head, f"{head}\ndefault = true", 1)
    renewed = "\n".join(kept).strip() + "\n\n" + entry
    with replacing(path) as beside:
        beside.write_text(renewed)
        read_manifest(beside)


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
