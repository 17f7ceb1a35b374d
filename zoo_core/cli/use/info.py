"""zoo info"""

from typing import Any

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.names import reference_argument
from zoo_core.cli.printing import examples, json_option, print_json, talk


@click.command(epilog=examples("zoo info vae", "zoo info nade.binarized-mnist --json"))
@reference_argument(weights=False)
@hub_options
@json_option
def info(reference: str, as_json: bool) -> None:
    """Show all about REFERENCE: data, model, loss, optimizer, paper, config, files, licences, numbers, recipe."""
    from zoo_core.catalogue.information import info as collect

    found = collect(reference)
    if as_json:
        print_json(found)
        return
    if "unfinished" in found:
        talk(f"Note: {found['unfinished']}")
    for label, value in _lines(found):
        click.echo(f"{label:<12} {value}" if value else label)


def _lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    from zoo_core.interfaces.conditions import Condition
    from zoo_core.interfaces.record import read_record

    training = found.get("training", {})
    lines = [(found["reference"], found.get("summary") or found.get("description", ""))]
    lines += [
        ("data", str(training.get("data", "-"))),
        ("model", f"{found['model']}: {found.get('description', 'its plugin is not installed')}"),
        ("loss", str(training.get("loss", "-"))),
        ("optimizer", str(training.get("optimizer", "-"))),
        ("", ""),
        ("paper", found.get("paper") or "-"),
        ("can", ", ".join(found.get("capabilities", [])) or "-"),
        ("parameters", found.get("parameter_count") or "-"),
        ("aliases", ", ".join(found.get("aliases", [])) or "-"),
        ("plugin", found.get("plugin", "-")),
    ]
    if "files" not in found:
        return [*lines, ("weights", f"none published; train it: zoo train {found['model']} --data DATA -o runs/mine")]
    lines += [(f"  {name}", str(value)) for name, value in found.get("config", {}).items()]
    for name, condition in found.get("conditions", {}).items():
        lines.append(("with", read_record(Condition, condition, name).text(name)))
    lines += [("input", ", ".join(map(str, found.get("input", []))) or "as it is"), ("", "")]
    for name, dependency in found.get("dependencies", {}).items():
        pinned = f"{dependency['reference']}, model.safetensors sha256 {dependency['model_sha256']}"
        lines.append(("needs", f"{name}: {pinned}"))
    for number, ancestor in enumerate(found.get("ancestors", [])):
        lines.append(("from" if number == 0 else "  from", _ancestor(ancestor)))
    for entry in found["metrics"]:
        protocol = entry["protocol"]
        error = f" ± {entry['stderr']:.2g}" if entry.get("stderr") is not None else ""
        lines.append(
            (entry["metric"], f"{entry['value']:.6g}{error} {entry['unit']}, tolerance {entry['tolerance']:.2g}")
        )
        where = f"on {protocol['dataset']} {protocol['split']}, n = {protocol['n']}, {protocol['estimator']}"
        lines += [(" ", where), (" ", f"data sha256 {protocol['data_sha256']}")]
        if (spread := entry.get("reproduce")) is not None:
            again = f"{spread['mean']:.6g}, standard deviation {spread['std']:.2g}"
            lines.append((" ", f"trained again with {spread['seeds']} seeds: {again}"))
    licence = found["licence"]
    lines += [
        ("recipe", found.get("recipe") or "-"),
        ("trained", _training(training)),
        ("licences", f"code {licence['code']}, weights {licence['weights']}, data {licence['data']}"),
    ]
    for name, entry in found["files"].items():
        lines.append(("file", f"{name}  {entry['bytes']:,} bytes  sha256 {entry['sha256']}"))
    lines += [("source", source) for source in found.get("sources", [found.get("source", "-")])]
    return lines


def _ancestor(ancestor: dict[str, Any]) -> str:
    parts = [ancestor["reference"]]
    if ancestor["name"] != ancestor["reference"]:
        parts[0] += f" ({ancestor['name']})"
    if ancestor.get("new_head"):
        parts.append("with a new head")
    if ancestor.get("frozen"):
        parts.append(f"frozen {' '.join(ancestor['frozen'])}")
    return ", ".join([*parts, f"model.safetensors sha256 {ancestor['model_sha256']}"])


def _training(training: dict[str, Any]) -> str:
    if "imported" in training:
        return f"elsewhere; imported from {training['imported']}, sha256 {training['imported_sha256']}"
    if not training:
        return "-"
    versions = "".join(f", {name} {version}" for name, version in training.get("versions", {}).items())
    steps, epochs = f"{training.get('steps')} steps", training.get("epochs")
    done, best = (steps, "best_step") if epochs is None else (f"{epochs} epochs ({steps})", "best_epoch")
    return (
        f"{done} in {training.get('wall_seconds')} s on {training.get('device')}, seed {training.get('seed')}, "
        f"{best.replace('_', ' ')} {training.get(best)}{versions}"
    )
