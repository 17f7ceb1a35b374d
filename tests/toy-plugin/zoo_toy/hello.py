"""zoo toy-hello"""

import click


@click.command("toy-hello")
@click.option("--name", default="zoo", show_default=True)
def hello(name: str) -> None:
    """Say hello."""
    click.echo(f"Hello, {name}.")
