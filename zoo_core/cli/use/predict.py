"""zoo predict"""

from pathlib import Path

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.printing import device_option, json_option, print_json, print_table, talk


@click.command()
@click.argument("reference")
@click.argument("images", nargs=-1, required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="So many classes an image.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A PNG of the images, labelled.")
@json_option
@device_option
@hub_options
def predict(
    reference: str, images: tuple[Path, ...], top: int, output: Path | None, as_json: bool, device: str
) -> None:
    """Say which classes the classifier REFERENCE sees in IMAGES, and how sure it is.

    Images may have any size: where the model's own preprocessing does not make it fit, the short side is resized, and
    the middle is cut out.
    """
    import torch

    from zoo_core.cli.loading import load_for
    from zoo_core.interfaces.reading import open_any
    from zoo_core.pictures.grids import check_output, save_grid

    if output is not None:
        check_output(output)
    model, name = load_for("Classifier", reference, device)
    found, shown = [], []
    with torch.no_grad():
        for path in images:
            picture, x = open_any(path, model)
            probabilities = model.logits(x).softmax(1)[0].cpu()
            best = probabilities.topk(min(top, len(probabilities)))
            classes = [_class_name(model, k) for k in best.indices.tolist()]
            found.append((path, list(zip(classes, best.values.tolist(), strict=True))))
            shown.append(picture)
    if as_json:
        classes_of = [[{"class": c, "probability": p} for c, p in rows] for _, rows in found]
        print_json([{"image": str(path), "classes": c} for (path, _), c in zip(found, classes_of, strict=True)])
    else:
        header = ["image", *(f"#{k + 1}" for k in range(max(len(rows) for _, rows in found)))]
        print_table(header, [[str(path), *(f"{c} {p:.3f}" for c, p in rows)] for path, rows in found])
    if output is not None:
        labels = [f"{rows[0][0]} {rows[0][1]:.2f}" for _, rows in found]
        save_grid(torch.stack(shown), output, title=name, labels=labels)
        talk(f"Wrote {output}.")


def _class_name(model: object, number: int) -> str:
    label = model.signature().get("label")  # type: ignore[attr-defined]
    return label.classes[number] if label is not None and label.classes else str(number)
