"""zoo summary"""

from typing import TYPE_CHECKING

import click

from zoo_core.cli.assignments import read_assignments, set_option
from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.names import data_option, reference_argument
from zoo_core.cli.printing import examples, print_json, talk
from zoo_core.cli.table import print_table, table_options

if TYPE_CHECKING:
    from zoo_core.interfaces.model import Model
    from zoo_core.measuring.summary import Layer, Summary


@click.command(epilog=examples("zoo summary pixelrnn", "zoo summary vae --data mnist --set latent=2"))
@reference_argument("model", weights=False)
@data_option("The data set that decides the Config values, as in training.")
@set_option
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="How many examples are run.")
@click.option(
    "--depth", type=click.IntRange(min=0), help="Show layers down to this depth; 0 shows the whole model in one line."
)
@hub_options
@table_options
def summary(
    model: str, data: str | None, assignments: tuple[str, ...], batch: int, depth: int | None, as_json: bool
) -> None:
    """Show the layers of MODEL: output shapes, parameters, FLOPs, receptive fields.

    MODEL is the name of a model, which is built with fresh weights, or a reference to pretrained weights.
    """
    from zoo_core.interfaces.record import to_plain
    from zoo_core.measuring.summary import summarise

    found = summarise(_model(model, data, assignments), batch=batch)
    if as_json:
        print_json(to_plain(found))
        return
    layers = [layer for layer in found.layers if depth is None or _depth(layer) <= depth]
    print_table(
        ["layer", "type", "calls", "output", "parameters", "FLOPs", "sees"],
        [_row(layer, found) for layer in layers],
        drop=["calls", "sees", "type"],
    )
    print_table(["total", "exactly", "about"], _totals(found))
    for line in _notes(found):
        talk(line)


def _model(model: str, data: str | None, config: tuple[str, ...]) -> "Model":
    """The model: a name alone means fresh weights, anything else a release."""
    from zoo_core.discovery.registry import default_registry
    from zoo_core.errors import UsageError
    from zoo_core.weights.create import create
    from zoo_core.weights.loading import load
    from zoo_core.weights.reference import NameReference, parse_reference

    reference = parse_reference(model)
    if isinstance(reference, NameReference) and reference.tag is None:
        registry = default_registry()
        registry.model(str(reference))  # a wrong name is told before the data is opened
        features = None if data is None else registry.open_dataset(data).features
        values = read_assignments(config, registry.model_class(registry.model(str(reference))).Config)
        return create(str(reference), registry=registry, features=features, config=values)
    if data is not None or config:
        raise UsageError(f"'{model}' has its Config already; --data and --set are for the name of a model")
    return load(model)


def _depth(layer: "Layer") -> int:
    return layer.name.count(".") + 1 if layer.name else 0


def _row(layer: "Layer", found: "Summary") -> list[str]:
    return [
        layer.name or found.model,
        layer.type,
        str(layer.calls or "-"),
        "x".join(map(str, layer.output)) if layer.output else "-",
        _short(layer.parameters) + ("*" if layer.shared else ""),
        "-" if layer.flops is None else _short(layer.flops),
        "{} x {}".format(*layer.receptive_field) if layer.receptive_field else "-",
    ]


def _totals(found: "Summary") -> list[list[str]]:
    """The totals; the second cell of each is the exact number, for programs."""
    totals = {
        "parameters": found.parameters,
        "trainable": found.trainable,
        "buffer_bytes": found.buffer_bytes,
        "flops_per_example": found.flops_per_example,
    }
    return [
        [name, "-" if value is None else f"{value:.15g}", "" if value is None else _short(value)]
        for name, value in totals.items()
    ]


def _notes(found: "Summary") -> list[str]:
    if found.measured is None:
        return [f"Nothing was run: {found.model} has no method that takes a batch."]
    inputs = ", ".join(f"{name} {list(shape)}" for name, shape in found.input.items())
    notes = [
        f"Measured: {found.measured}, on random {inputs}.",
        "FLOPs: 2 for a multiply-add, of matrix products and convolutions; a layer has those of the layers in it.",
        "Sees: height x width of the receptive field of the central location, in pixels.",
    ]
    if found.no_receptive_fields:
        notes[-1] = f"Receptive fields were not measured: {found.no_receptive_fields}."
    if any(layer.shared for layer in found.layers):
        notes.append("*: some of them are shared with a layer above, and count once in the total.")
    return notes


def _short(number: float) -> str:
    """A number with three digits and a unit: 1234567 -> "1.23 M"."""
    units = iter(("", " k", " M", " G", " T", " P"))
    unit = next(units)
    while number >= 999.5:
        number, unit = number / 1000, next(units)
    return f"{number:.3g}{unit}"
