"""zoo load"""

import os
import re
from typing import TYPE_CHECKING

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.names import reference_argument
from zoo_core.cli.printing import bytes_bar, device_option, examples, json_option, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zoo_core.discovery.registry import Registry
    from zoo_core.interfaces.capability_table import CapabilitySpec
    from zoo_core.interfaces.model import Model
    from zoo_core.releases.release import ReleaseConfig
    from zoo_core.weights.sources import Located

USES = 3  # at most so many commands are proposed for what the model can do

# What commands that are proposed call the user's examples, and a file that is written.
EXAMPLES = {
    "image": {"file": "IMAGES…", "images": "IMAGES…", "out": "out.png"},
    "row": {"file": "rows.csv", "out": "out.csv"},
    "text": {"file": "TEXT"},
}


@click.command(epilog=examples("zoo load pixelrnn", "zoo load nade.mnist-dynamic --device cuda"))
@reference_argument()
@device_option
@click.option(
    "--dtype", help="float32, bfloat16, …; by default as stored, but float32 if the stored weights have half precision."
)
@click.option("--head", type=click.IntRange(min=1), help="Replace the head by a fresh one with this many outputs.")
@hub_options
@json_option
def load(reference: str, device: str, dtype: str | None, head: int | None, as_json: bool) -> None:
    """Verify and build the pretrained model REFERENCE, and describe it.

    REFERENCE is a name (pixelrnn, pixelrnn.digits), the folder of a release, org/repo[@revision] on the hub, or a URL.
    """
    from zoo_core.discovery.registry import default_registry
    from zoo_core.interfaces.record import to_plain
    from zoo_core.weights.loading import load_located
    from zoo_core.weights.sources import locate

    registry = default_registry()
    with bytes_bar("fetching") as on_bytes:
        located = locate(reference, registry, unfinished=True, on_bytes=on_bytes)
    model = load_located(located, reference, device=device, dtype=dtype, head=head, registry=registry)
    report, release = model.load_report, located.release
    assert report is not None
    if as_json:
        described = {
            "summary": release.summary,
            "config": release.config,
            "conditions": to_plain(model.conditions()),
            "metrics": to_plain(release.metrics),
        }
        print_json(to_plain(report) | described)
        return
    for line in _description(model, located, registry):
        click.echo(line)
    click.echo("\nNext:")
    endpoint = os.environ.get("HF_ENDPOINT")
    from_there = f" --endpoint {endpoint}" if endpoint and located.source.startswith("hf:") else ""
    commands = proposed(model, reference, registry.capabilities())[:USES]
    commands += [_check(reference, release, registry)] if release.metrics else []
    commands += [f"zoo info {reference}"]
    commands += [f"zoo verify {reference}"] if located.unfinished is None else []
    for command in commands[: USES + 1]:
        click.echo(f"  {command}{from_there}")


def _description(model: "Model", located: "Located", registry: "Registry") -> list[str]:
    """A description of what was loaded, line by line."""
    report, release = model.load_report, located.release
    assert report is not None
    spec = registry.model(release.zoo.model, release.zoo.plugin).spec
    checked = (
        "every file is the one that the manifest pins" if report.pinned else "every file is as its config.json says"
    )
    if located.unfinished is not None:
        checked = "nothing, for training has not ended"
    licence = release.licence
    lines = [
        ("model", f"{type(model).__name__} of {release.zoo.plugin}, {report.parameters:,} parameters, {report.dtype}"),
        ("paper", spec.paper or "-"),
        ("can", ", ".join(model.capabilities)),
        *(("with", condition.text(name)) for name, condition in model.conditions().items()),
        *(("measured", entry.text()) for entry in release.metrics[:3]),
        ("licence", f"code {licence.code}, weights {licence.weights}, data {licence.data}"),
        ("from", report.source),
        ("verified", f"{checked}; {report.tensors} tensors"),
    ]
    if report.new_head:
        lines.append(("new head", f"{report.new_head} outputs, not trained yet"))
    return [f"{report.name}: {release.summary}", *(f"  {label:<10} {value}" for label, value in lines)]


def proposed(model: "Model", reference: str, table: "Sequence[CapabilitySpec]") -> list[str]:
    """Commands for what the model can do; first those that need no file of the user."""
    from zoo_core.inputs import input_kind

    kind = input_kind(model)
    words = {"ref": reference, **(EXAMPLES[kind] if kind else {})}
    commands = [command for spec in table if spec.name in model.capabilities for command in spec.commands]
    fitting = [command for command in commands if set(re.findall(r"{(\w+)}", command)) <= words.keys()]
    fitting.sort(key=lambda command: "{file}" in command)  # first what can be tried at once
    return list(dict.fromkeys(command.format(**words) for command in fitting))


def _check(reference: str, release: "ReleaseConfig", registry: "Registry") -> str:
    """The command that measures it again; only one metric, if the others are slow."""
    installed = {registration.spec.name for registration in registry.metrics()}
    recorded = [entry.metric for entry in release.metrics if entry.metric in installed]
    quick = [name for name in recorded if not registry.new_metric(name).on_request]
    only = f" --metric {quick[0]}" if 0 < len(quick) < len(recorded) else ""
    return f"zoo eval {reference}" + (f" --check{only}" if recorded else "")
