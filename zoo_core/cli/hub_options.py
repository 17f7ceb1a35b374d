"""Options of every command that may talk to a hub: which one, and with which token."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def hub_options(command: Command) -> Command:
    """Adds --endpoint, --token and --insecure. They stand for HF_ENDPOINT and HF_TOKEN, which libraries read too."""
    for option in (
        click.option(
            "--insecure",
            is_flag=True,
            expose_value=False,
            callback=lambda context, parameter, given: _set("ZOO_INSECURE", "1" if given else None),
            help="Allow a token to travel over plain http.",
        ),
        click.option(
            "--token",
            expose_value=False,
            callback=lambda context, parameter, given: _set("HF_TOKEN", given),
            help="By default HF_TOKEN, and for huggingface.co what 'hf auth login' saved.",
        ),
        click.option(
            "--endpoint",
            metavar="URL",
            expose_value=False,
            is_eager=True,
            callback=lambda context, parameter, given: _set("HF_ENDPOINT", given),
            help="The hub; by default HF_ENDPOINT, else huggingface.co.",
        ),
    ):
        command = option(command)
    return command


def _set(name: str, value: str | None) -> None:
    if value is not None:
        os.environ[name] = value
