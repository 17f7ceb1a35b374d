"""Latents on the command line: reconstruct, interpolate, latents; and which metrics `zoo eval` takes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import zoo_core
from zoo_core.cli.use.latents import SIDE, decode_region, principal_components
from zoo_core.discovery.registry import Registry
from zoo_core.interfaces.model import Model
from zoo_core.measuring.evaluation import evaluate, fitting_metrics, measure
from zoo_core.pictures.grids import GAP, SMALLEST
from zoo_core.pictures.lettering import LINE_HEIGHT
from zoo_core.pictures.reading import to_pil
from zoo_core.releases.release import MetricEntry, Protocol

Zoo = Callable[..., Any]
SIZES = {"height": 4, "width": 4, "convolutions": [], "hidden": [8]}


@pytest.fixture
def vae(registry: Registry) -> Model:
    torch.manual_seed(0)
    return zoo_core.create("vae", registry=registry, config={**SIZES, "latent": 2}).eval()


@pytest.fixture
def desk(vae: Model, write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a release and some images, in which the commands are run."""
    write(vae, "vae", tmp_path / "vae")
    for name, seed in {"a.png": 0, "b.png": 1}.items():
        to_pil(image(seed)).save(tmp_path / name)
    Image.new("L", (6, 5)).save(tmp_path / "big.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def image(seed: int) -> Tensor:
    """Grey levels that survive a PNG, [1, 4, 4]."""
    return torch.randint(256, (1, 4, 4), generator=torch.Generator().manual_seed(seed)) / 255


def cell(path: Path, column: int, row: int = 0, label: bool = True) -> Tensor:
    """One image of a grid of 4x4 ones, [1, 4, 4]."""
    scale = SMALLEST // 4
    left, top = GAP + column * (SMALLEST + GAP), LINE_HEIGHT + GAP + row * (SMALLEST + GAP + LINE_HEIGHT * label)
    with Image.open(path) as file:
        levels = np.asarray(file.convert("L"))[top : top + SMALLEST : scale, left : left + SMALLEST : scale]
    return torch.from_numpy(levels.copy())[None] / 255


def shown(path: Path, column: int, expected: Tensor, row: int = 0) -> None:
    torch.testing.assert_close(cell(path, column, row), expected.detach(), rtol=0, atol=0.5 / 255 + 1e-6)


# Pictures.


def test_reconstructions_stand_below_the_images(zoo: Zoo, desk: Path, vae: Any) -> None:
    code, out, err = zoo("reconstruct", "./vae", "a.png", "b.png", "-o", "r.png")
    assert (code, out) == (0, "")
    x = torch.stack([image(0), image(1)])
    back = vae.reconstruct(x)
    for k in range(2):
        shown(desk / "r.png", k, x[k])
        shown(desk / "r.png", k, back[k], row=1)
    assert f"2 reconstructions, squared error per pixel {(back - x).square().mean():.4g}" in err
    assert ": 1 reconstruction, squared" in zoo("reconstruct", "./vae", "a.png", "-o", "r.png").err


def test_a_traversal_moves_one_number_and_nothing_else(zoo: Zoo, desk: Path, vae: Any) -> None:
    assert (
        zoo("traverse", "./vae", "a.png", "--steps", 3, "--span", 2, "--unit", 1, "--unit", 0, "-o", "t.png").code == 0
    )
    (code,) = vae.encode(image(0)[None])
    rows = {unit: [code.clone() for _ in range(3)] for unit in (0, 1)}
    for unit, latents in rows.items():
        for z, value in zip(latents, (-2.0, 0.0, 2.0), strict=True):
            z[unit] = value
    decoded = {unit: vae.decode(torch.stack(latents)) for unit, latents in rows.items()}
    order = sorted(decoded, key=lambda unit: -decoded[unit].var(0).mean().item())
    for row, unit in enumerate(order):
        for k in range(3):
            shown(desk / "t.png", k, decoded[unit][k], row=row)
    assert "3 images for each of 2 of 2 numbers" in zoo("traverse", "./vae", "a.png", "--steps", 3, "-o", "t.png").err


@pytest.mark.parametrize("steps", [2, 5])
def test_an_interpolation_goes_straight_from_code_to_code(steps: int, zoo: Zoo, desk: Path, vae: Any) -> None:
    assert zoo("interpolate", "./vae", "a.png", "b.png", "--steps", steps, "-o", "i.png").code == 0
    x = torch.stack([image(0), image(1)])
    a, b = vae.encode(x)
    for k in range(steps):
        shown(desk / "i.png", k + 1, vae.decode((a + (b - a) * k / (steps - 1))[None])[0])
    for column, expected in {0: x[0], 1: vae.reconstruct(x)[0], steps: vae.reconstruct(x)[1], steps + 1: x[1]}.items():
        shown(desk / "i.png", column, expected)


@pytest.fixture
def maps(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was drawn."""
    from zoo_core.pictures import plots

    drawn: list[dict[str, Any]] = []
    original = plots.save_latent_map

    def save(latents: Tensor, path: Path, **options: Any) -> None:
        drawn.append({"latents": latents, **options})
        original(latents, path, **options)

    monkeypatch.setattr(plots, "save_latent_map", save)
    return drawn


def test_a_map_shows_the_validation_split_by_class(
    zoo: Zoo, desk: Path, vae: Any, registry: Registry, maps: list[dict[str, Any]]
) -> None:
    assert zoo("latents", "./vae", "--data", "toy-grey", "-o", "m.png").code == 0
    data = registry.open_dataset("toy-grey")
    everything = data.batch("validation", torch.arange(data.size("validation")))
    (drawn,) = maps
    order = drawn["latents"][:, 0].argsort()
    latents = vae.encode(everything["image"])
    expected = latents[:, 0].argsort()
    torch.testing.assert_close(drawn["latents"][order].float(), latents[expected].detach())
    assert torch.equal(drawn["labels"][order], everything["label"][expected])
    assert drawn["axes"] == ("latent 1", "latent 2") and "toy-grey validation" in drawn["title"]
    assert drawn["decoded"][1].shape == (SIDE, SIDE, 1, 4, 4)
    with Image.open(desk / "m.png") as file:
        assert file.format == "PNG" and file.width > file.height


def test_a_part_of_a_split_is_not_its_first_rows(zoo: Zoo, desk: Path, maps: list[dict[str, Any]]) -> None:
    for seed in (0, 0, 1):
        options = ("--data", "toy-grey", "--split", "test", "-n", 9, "--seed", seed)
        assert zoo("latents", "./vae", *options, "-o", "m.png").code == 0
    first, again, other = (drawn["latents"] for drawn in maps)
    assert len(first) == 9 and torch.equal(first, again) and not torch.equal(first, other)
    assert "toy-grey test" in maps[0]["title"]


def test_a_map_without_labels_and_with_more_numbers(
    zoo: Zoo, desk: Path, registry: Registry, write: Callable[..., Path], maps: list[dict[str, Any]]
) -> None:
    write(zoo_core.create("vae", registry=registry, config={**SIZES, "latent": 6}), "vae", desk / "wide")
    assert zoo("latents", "./wide", "--data", "toy-bits", "-o", "m.png").code == 0
    (drawn,) = maps
    assert drawn["labels"] is None and drawn["decoded"] is None and drawn["latents"].shape[1] == 2
    assert "first two principal components of 6 numbers" in drawn["title"] and "% of the variance" in drawn["axes"][0]


def test_principal_components_are_those_of_the_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    turned, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    latents = torch.randn(5000, 3, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 3.0, 0.1]) @ turned.T
    points, (first, second) = principal_components(latents + 7)
    assert points.std(0).tolist() == pytest.approx([3, 1], rel=0.05)
    assert abs(torch.corrcoef(points.T)[0, 1]) < 1e-9 and points.mean(0).abs().max() < 1e-9
    assert "90%" in first and "10%" in second
    torch.testing.assert_close(principal_components(-latents)[0], -points, rtol=1e-6, atol=1e-9)


def test_what_is_decoded_stands_where_its_code_does() -> None:
    class Identity:
        """Its image is the code."""

        device = torch.device("cpu")

        def decode(self, z: Tensor) -> Tensor:
            return z.view(-1, 1, 1, 2)

    latents = torch.tensor([[-1.0, 10.0], [1.0, 30.0]], dtype=torch.float64).repeat_interleave(500, 0)
    corners, images = decode_region(Identity(), latents)
    assert corners.tolist() == [[-1, 10], [1, 30]]
    across, up = images[..., 0, 0, 0], images[..., 0, 0, 1]
    assert (across.diff(dim=1) > 0).all() and (across.diff(dim=0) == 0).all()
    assert (up.diff(dim=0) > 0).all() and (up.diff(dim=1) == 0).all()
    assert across[0, 0].item() == pytest.approx(-1 + 1 / SIDE) and up[-1, 0].item() == pytest.approx(30 - 10 / SIDE)


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("reconstruct toy a.png -o x.png", 2, ("'toy' is no Reconstructor", "--capability Reconstructor")),
        ("reconstruct ./vae -o x.png", 2, ("IMAGE",)),
        ("reconstruct ./vae a.png", 2, ("--output",)),
        ("reconstruct ./vae a.png -o x.jpg", 2, ("'x.jpg' must end in .png",)),
        ("reconstruct ./vae a.png -o absent/x.png", 2, ("'absent' does not exist",)),
        ("reconstruct ./vae a.png --input blur -o x.png", 2, ("no step named 'blur'",)),
        ("reconstruct ./vae none.png -o x.png", 2, ("'none.png' does not exist",)),
        ("interpolate toy a.png b.png -o x.png", 2, ("'toy' is no Encoder",)),
        ("interpolate ./vae a.png -o x.png", 2, ("LAST",)),
        ("traverse toy a.png -o x.png", 2, ("'toy' is no Encoder",)),
        ("traverse ./vae a.png --unit 2 -o x.png", 2, ("no unit 2", "2 numbers")),
        ("interpolate ./vae a.png b.png --steps 1 -o x.png", 2, ("--steps",)),
        ("latents toy --data toy-grey -o x.png", 2, ("'toy' is no Encoder",)),
        ("latents ./vae -o x.png", 2, ("--data",)),
        ("latents ./vae --data toy-gray -o x.png", 2, ("no data set named 'toy-gray'", "'toy-grey'")),
        ("latents ./vae --data toy-grey --split valid -o x.png", 2, ("has no split 'valid'", "validation")),
        ("latents ./vae --data digits -o x.png", 2, ("'image' is (1, 8, 8), not (1, 4, 4)\n",)),
        ("latents ./vae --data toy-grey -n 1 -o x.png", 2, ("--number",)),
        ("latents ./vae --data toy-grey -o x.svg", 2, ("must end in .png",)),
    ],
)
def test_bad_input_is_one_clear_line(command: str, code: int, said: tuple[str, ...], zoo: Zoo, desk: Path) -> None:
    outcome = zoo(*command.split())
    assert outcome.code == code and outcome.out == ""
    for words in said:
        assert words in outcome.err
    assert "Traceback" not in outcome.err and not list(desk.glob("x.*"))


def test_a_code_of_one_number_has_no_map(zoo: Zoo, desk: Path, registry: Registry, write: Callable[..., Path]) -> None:
    write(zoo_core.create("vae", registry=registry, config={**SIZES, "latent": 1}), "vae", desk / "narrow")
    code, _, err = zoo("latents", "./narrow", "--data", "toy-grey", "-o", "x.png")
    assert code == 2 and "'./narrow' have one number" in err and not (desk / "x.png").exists()


# Which metrics are measured.


def test_of_a_part_of_a_split_every_code_counts(vae: Model, registry: Registry) -> None:
    """The part is drawn from the whole split, and so must be the examples whose latents are compared."""
    data = registry.open_dataset("toy-grey")
    found = measure(vae, data, "test", fitting_metrics(vae, registry, ["prior_mmd2"]), limit=20)["prior_mmd2"]
    assert found.n == 20


def test_slow_metrics_are_measured_on_request(vae: Model, registry: Registry) -> None:
    assert sorted(fitting_metrics(vae, registry)) == ["elbo", "prior_mmd2", "reconstruction_mse"]
    assert sorted(fitting_metrics(vae, registry, ["iwae_nll"])) == ["iwae_nll"]
    assert "iwae_nll" in fitting_metrics(vae, registry, recorded=["iwae_nll", "nll"])


@pytest.fixture
def recorded(vae: Model, registry: Registry, write: Callable[..., Path], tmp_path: Path) -> Path:
    """A release that records two numbers that are slow, of which one needs a classifier of larger images."""
    data = registry.open_dataset("toy-grey")
    ways = {
        "iwae_nll": "importance-weighted, k = 1000, seed 0",
        "frechet_classifier": "a classifier",
    }

    def entry(metric: str, value: float) -> MetricEntry:
        protocol = Protocol(
            dataset="toy-grey", split="test", n=130, data_sha256=data.data_sha256("test"), estimator=ways[metric]
        )
        return MetricEntry(metric=metric, value=value, unit="nats/example", tolerance=1e-3, protocol=protocol)

    write(vae, "vae", tmp_path / "unmeasured")
    found = evaluate(str(tmp_path / "unmeasured"), data="toy-grey", metrics=["iwae_nll"], registry=registry)
    entries = [entry("iwae_nll", found.metrics[0].value), entry("frechet_classifier", 3.0)]
    return write(vae, "vae", tmp_path / "recorded", metrics=entries)


def test_what_is_recorded_is_measured_again_and_what_cannot_be_is_said(recorded: Path, registry: Registry) -> None:
    found = evaluate(str(recorded), registry=registry)
    verdicts = {check.measured.metric: check.verdict for check in found.checks}
    assert verdicts["iwae_nll"] == "same" and verdicts["elbo"] == "not recorded"
    assert list(found.unmeasurable) == ["frechet_classifier"]
    (mmd,) = (check for check in found.checks if check.measured.metric == "prior_mmd2")
    assert mmd.beside["null sd"] > 0
    elsewhere = evaluate(str(recorded), split="validation", registry=registry)
    assert "iwae_nll" not in {check.measured.metric for check in elsewhere.checks} and not elsewhere.unmeasurable


def test_zoo_eval_shows_what_cannot_be_measured_in_one_line(recorded: Path, zoo: Zoo) -> None:
    code, out, err = zoo("eval", str(recorded), "--check")
    assert code == 0, err
    rows = {row.split("\t")[1]: row.split("\t") for row in out.splitlines()}
    assert rows["frechet_classifier"][2] == "-" and rows["frechet_classifier"][-1] == "not measurable"
    assert "digit-classifier" in rows["frechet_classifier"][4]
    assert "(null sd " in rows["prior_mmd2"][2]
    (row,) = (row for row in json.loads(zoo("eval", str(recorded), "--json").out) if row["metric"] == "prior_mmd2")
    assert row["beside"]["null sd"] > 0 and row["verdict"] == "not recorded"


def test_the_only_metric_that_was_asked_for_must_be_measurable(recorded: Path, zoo: Zoo) -> None:
    code, out, err = zoo("eval", str(recorded), "--metric", "frechet_classifier")
    assert code != 0 and out == "" and "digit-classifier" in err and "Traceback" not in err


def test_a_probe_needs_labels(recorded: Path, zoo: Zoo) -> None:
    found = zoo("eval", str(recorded), "--data", "toy-bits", "--metric", "linear_probe", "--metric", "elbo")
    assert found.code == 0 and "no field 'label'" in found.out and "not measurable" in found.out
    found = zoo("eval", str(recorded), "--metric", "linear_probe")
    assert found.code == 0 and "fitted on train (n = 60)" in found.out
