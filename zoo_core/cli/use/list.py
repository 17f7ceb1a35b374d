"""zoo list"""

import click

from zoo_core.cli.printing import json_option, print_json, print_table, talk


@click.command("list")
@click.argument("pattern", default="*")
@click.option("--task", help="density-estimation, classification, …")
@click.option("--data", help="Only releases measured on this data set.")
@click.option("--capability", help="Only models that can do this: Sampler, Classifier, …")
@click.option("--sort", metavar="METRIC", help="Best first; numbers of different protocols apart.")
@json_option
def list_command(
    pattern: str, task: str | None, data: str | None, capability: str | None, sort: str | None, as_json: bool
) -> None:
    """List every model, with or without pretrained weights; PATTERN is a glob such as 'pixel*'."""
    from zoo_core.catalogue.listing import listings
    from zoo_core.interfaces.record import to_plain

    rows = listings(pattern, task=task, data=data, capability=capability, sort=sort)
    if as_json:
        print_json([to_plain(row._asdict()) for row in rows])
        return
    if not rows:
        talk("Nothing matches. Run 'zoo list' to see all.")
        return
    table = []
    for row in rows:
        entry = row.metric(sort.replace("-", "_")) if sort else next(iter(row.metrics), None)
        weights = "default" if row.default else "yes" if row.tag else "no weights"
        if row.install:
            weights = f"not installed: {row.install}"
        table.append([row.reference, entry.text() if entry else "-", weights, row.summary])
    print_table(["reference", "measured", "weights", "summary"], table)
