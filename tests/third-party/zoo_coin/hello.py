"""zoo coin-hello"""

import click


@click.command("coin-hello")
@click.option("--name", default="zoo", show_default=True)
def hello(name: str) -> None:
    """Say hello."""
    click.echo(f"Hello, {name}.")
