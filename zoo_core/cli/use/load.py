"""zoo load"""

import os

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.printing import bytes_bar, device_option, json_option, print_json, say_which


@click.command()
@click.argument("reference")
@device_option
@click.option("--dtype", help="float32, bfloat16, …; by default as stored; halves as float32.")
@click.option("--head", type=click.IntRange(min=1), help="Replace the head by a fresh one with so many outputs.")
@hub_options
@json_option
def load(reference: str, device: str, dtype: str | None, head: int | None, as_json: bool) -> None:
    """Verify and build the pretrained model REFERENCE, and say what it is.

    REFERENCE is a name (pixelrnn, pixelrnn.digits), the folder of a release, org/repo[@revision] on the hub, or a URL.
    """
    from zoo_core.discovery.registry import default_registry
    from zoo_core.interfaces.record import to_plain
    from zoo_core.weights.loading import load_located
    from zoo_core.weights.sources import locate

    say_which(reference)
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
    spec = registry.model(release.zoo.model, release.zoo.plugin).spec
    checked = (
        "every file is the one that the manifest pins" if report.pinned else "every file is as its config.json says"
    )
    if located.unfinished is not None:
        checked = "nothing, for training has not ended"
    click.echo(f"{report.name}: {release.summary}")
    click.echo(
        f"  model      {type(model).__name__} of {release.zoo.plugin}, {report.parameters:,} parameters, {report.dtype}"
    )
    click.echo(f"  paper      {spec.paper}" if spec.paper else "  paper      -")
    click.echo(f"  can        {', '.join(spec.capabilities)}")
    for name, condition in model.conditions().items():
        click.echo(f"  with       {condition.text(name)}")
    for entry in release.metrics[:3]:
        click.echo(f"  measured   {entry.text()}")
    click.echo(
        f"  licence    code {release.licence.code}, weights {release.licence.weights}, data {release.licence.data}"
    )
    click.echo(f"  from       {report.source}")
    click.echo(f"  verified   {checked}; {report.tensors} tensors")
    if report.new_head:
        click.echo(f"  new head   {report.new_head} outputs, not trained yet")
    click.echo("\nNext:")
    endpoint = os.environ.get("HF_ENDPOINT")
    from_there = f" --endpoint {endpoint}" if endpoint and located.source.startswith("hf:") else ""
    installed = {offer.spec.name for offer in registry.metrics()}
    recorded = [entry.metric for entry in release.metrics if entry.metric in installed]
    quick = [name for name in recorded if not registry.new_metric(name).on_request]
    only = f" --metric {quick[0]}" if 0 < len(quick) < len(recorded) else ""  # the others are slow to measure
    capabilities = spec.capabilities if "image" in model.signature() else ()
    check = f"zoo eval {reference}" + (f" --check{only}" if recorded else "")
    for command in _next(reference, capabilities, check):
        click.echo(f"  {command}{from_there}")


def _next(reference: str, capabilities: tuple[str, ...], check: str) -> list[str]:
    """Three commands for a model with these capabilities for images; `check` is the one that measures it again."""
    uses = {
        "Sampler": f"zoo sample {reference} -n 64 -o samples.png",
        "Classifier": f"zoo predict {reference} IMAGES…",
        "Reconstructor": f"zoo reconstruct {reference} IMAGES… -o back.png",
    }
    commands = [command for capability, command in uses.items() if capability in capabilities]
    return [*commands[:2], check, f"zoo info {reference}", f"zoo verify {reference}"][:3]
