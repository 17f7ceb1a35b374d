"""The options of every command that may talk to a hub: its address, and the token."""

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
            help="Allow sending a token unencrypted, over plain http.",
        ),
        click.option(
            "--token",
            expose_value=False,
            callback=lambda context, parameter, given: _set("HF_TOKEN", given),
            help="The token; by default HF_TOKEN, or the one that 'hf auth login' saved for huggingface.co.",
        ),
        click.option(
            "--endpoint",
            metavar="URL",
            expose_value=False,
            is_eager=True,
            callback=lambda context, parameter, given: _set("HF_ENDPOINT", given),
            help="The address of the hub; by default HF_ENDPOINT or huggingface.co.",
        ),
    ):
        command = option(command)
    return command


def _set(name: str, value: str | None) -> None:
    if value is not None:
        os.environ[name] = value
