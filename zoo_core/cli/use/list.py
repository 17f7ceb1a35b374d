"""zoo list"""

import click

from zoo_core.cli.printing import examples, print_json, talk
from zoo_core.cli.table import print_table, table_options


@click.command("list", epilog=examples("zoo list 'pixel*'", "zoo list --capability Sampler --sort nll"))
@click.argument("pattern", default="*")
@click.option("--task", help="Only models for this task: density-estimation, classification, …")
@click.option("--data", help="Only releases measured on this data set.")
@click.option("--capability", help="Only models that can do this: Sampler, Classifier, …")
@click.option(
    "--sort", metavar="METRIC", help="Sort by this metric, best first. Numbers of different protocols are kept apart."
)
@table_options
def list_command(
    pattern: str, task: str | None, data: str | None, capability: str | None, sort: str | None, as_json: bool
) -> None:
    """List models, with and without pretrained weights. PATTERN is a glob such as 'pixel*'; by default all match."""
    from zoo_core.catalogue.listing import listings
    from zoo_core.interfaces.record import to_plain

    found = listings(pattern, task=task, data=data, capability=capability, sort=sort)
    if as_json:
        print_json([to_plain(row._asdict()) for row in found])
        return
    if not found:
        talk("Nothing matches. Run 'zoo list' to see all.")
        return
    table = []
    for row in found if sort else sorted(found, key=lambda row: row.family):
        entry = row.metric(sort.replace("-", "_")) if sort else next(iter(row.metrics), None)
        weights = "default" if row.default else "yes" if row.tag else "-"
        if row.install:
            weights = f"not installed: {row.install}"
        measured = (entry.number(), entry.on()) if entry else ("-", "-")
        table.append([row.reference, weights, *measured, row.summary, row.family])
    header = ["reference", "weights", "measured", "on", "summary", "family"]
    print_table(header, table, group_by=None if sort else "family", one_line=True, drop=["on"])
