"""zoo search"""

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.printing import examples, print_json, talk
from zoo_core.cli.table import print_table, table_options


@click.command(epilog=examples("zoo search pixelrnn", "zoo search digits --limit 5 --json"))
@click.argument("words", nargs=-1)
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most this many.")
@hub_options
@table_options
def search(words: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List releases on the hub whose names contain WORDS, the plugin that each needs, and whether it is installed."""
    from zoo_core.catalogue.search import search as search_hub

    found = search_hub(" ".join(words), limit=limit)
    if as_json:
        print_json([row._asdict() for row in found])
        return
    if not found:
        talk("Nothing matches.")
        return
    print_table(
        ["repository", "model", "plugin", "here", "changed"],
        [[f"hf:{r.repo}", r.model or "?", r.plugin or "?", "yes" if r.here else "no", r.changed or "?"] for r in found],
    )
