"""zoo toy-hello"""

import click


@click.command()
def hello() -> None:
    """Say hello."""
    click.echo("hello")
