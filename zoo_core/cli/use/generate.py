"""zoo generate"""

import click

from zoo_core.cli.assignments import read_conditions, with_option
from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.loading import load_for, with_options
from zoo_core.cli.names import reference_argument
from zoo_core.cli.numbers import Finite, seed_option, temperature_option
from zoo_core.cli.printing import device_option, examples, json_option, print_json


@click.command(
    epilog=examples(
        'zoo generate ./my-model "Once upon a time" --length 50',
        'echo "To be" | zoo generate ./my-model - --top-k 20 --seed 1',
    )
)
@reference_argument()
@click.argument("prompt", default="")
@click.option(
    "--length", type=click.IntRange(min=1), default=100, show_default=True, help="The largest number of new tokens."
)
@temperature_option
@click.option("--top-k", type=click.IntRange(min=1), help="Only this many of the likeliest tokens can come next.")
@click.option(
    "--top-p",
    type=Finite(0, 1, min_open=True),
    help="Only the likeliest tokens that together have this probability can come next.",
)
@click.option("--stop", metavar="TEXT", help="Stop before this text.")
@seed_option()
@with_option
@json_option
@device_option
@hub_options
def generate(
    reference: str,
    prompt: str,
    length: int,
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    stop: str | None,
    seed: int,
    told: tuple[str, ...],
    as_json: bool,
    device: str,
) -> None:
    """Continue the text PROMPT with the language model REFERENCE. By default the prompt is empty.

    The prompt and its continuation are printed. "-" reads the prompt from the standard input, without the newline at
    its end.
    """
    import torch

    from zoo_core.row_files import STDIN, read_text

    if prompt == STDIN:
        prompt = read_text(STDIN).removesuffix("\n")
    model, _ = load_for("LanguageModel", reference, device, takes=None)
    text = with_options(
        model.generate,
        prompt,
        told=read_conditions(told, model, reference),
        length=length,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        stop=stop,
        generator=torch.Generator().manual_seed(seed),
    )
    if as_json:
        print_json({"prompt": prompt, "text": text})
    else:
        click.echo(prompt + text)
