"""What users give to commands: pictures of any size, rows of numbers, texts; opened in one way for all commands."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageChops, ImageOps

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.errors import UsageError
from zoo_core.inputs import input_batches, input_kind, open_inputs, read_texts

Zoo = Callable[..., Any]  # gives an Outcome(code, out, err)
Kind = Callable[[str], Path]


def toy(name: str, registry: Registry, **config: Any) -> Any:
    return zoo_core.create(f"kind-{name}", registry=registry, config=config).eval()


# Of what kind they are.


def test_the_subject_of_a_model_says_what_it_can_be_given(registry: Registry) -> None:
    kinds = {"rows": "row", "mood": "text", "threshold": "image", "letters": None}  # no step makes tokens of texts
    assert {name: input_kind(toy(name, registry)) for name in kinds} == kinds


def test_texts_that_a_step_makes_tokens_of_can_be_given(registry: Registry) -> None:
    model = toy("letters", registry)

    class Numbered(zoo_core.Step, kw_only=True, tag="numbered"):
        """The places of letters in the alphabet, for texts of one length."""

        def fields(self, fields: Any) -> dict[str, zoo_core.Field]:
            return {"tokens": zoo_core.Field(kind="tokens", shape=(None,), dtype="int64")}

        def apply(self, batch: Any, fields: Any, generator: Any) -> dict[str, Any]:
            return {"tokens": torch.tensor([[ord(letter) - ord("a") for letter in text] for text in batch["text"]])}

    model.input = (Numbered(),)
    assert input_kind(model) == "text"
    assert open_inputs(model, ["abc", "cab"]).x.tolist() == [[0, 1, 2], [2, 0, 1]]


# Rows.


def test_rows_of_several_files_are_named_by_file_and_line(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("age,height,weight,city\n3,1,2,Ulm\n6,4,5,Rom\n")
    (tmp_path / "b.jsonl").write_text('{"height": 7, "weight": 8, "age": 9}\n')
    a, b = (str(tmp_path / name) for name in ("a.csv", "b.jsonl"))
    inputs = open_inputs(toy("rows", registry), [a, b])
    assert (inputs.kind, inputs.names, inputs.unused) == ("row", [f"{a}:2", f"{a}:3", f"{b}:1"], ("city",))
    assert inputs.x.dtype == torch.float32 and inputs.x.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    parts = list(input_batches(toy("rows", registry), [a, b], size=2))
    assert [part.names for part in parts] == [inputs.names[:2], inputs.names[2:]]
    assert torch.equal(torch.cat([part.x for part in parts]), inputs.x)


# Texts.


def test_a_text_is_itself_or_a_line_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lines.txt").write_text("one, \n\n   \nzwei, größer\n")
    assert read_texts(["first", "lines.txt", "a.b"]) == ["first", "one, ", "zwei, größer", "a.b"]
    Path("latin.txt").write_bytes("ok\ngrößer\n".encode("latin-1"))
    Path("empty.txt").write_text("\n")
    for wrong, words in {
        "absent.txt": "'absent.txt' does not exist",
        "latin.txt": "'latin.txt', line 2: this is not UTF-8",
        "empty.txt": "no text in empty.txt",
    }.items():
        with pytest.raises(UsageError, match=words):
            read_texts([wrong])
    assert len(read_texts(["x" * 100_000])[0]) == 100_000  # longer than a name may be


# Pictures.


@pytest.fixture
def desk(registry: Registry, write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a wide picture, its middle as the models see it, and the first with black and white exchanged."""
    torch.manual_seed(0)
    sizes = {"height": 4, "width": 4, "convolutions": [], "hidden": [8], "latent": 2}
    write(zoo_core.create("vae", registry=registry, config=sizes).eval(), "vae", tmp_path / "vae")
    wide = Image.effect_noise((12, 8), 90)
    fitted = ImageOps.fit(wide, (4, 4), Image.Resampling.BILINEAR)
    for name, picture in {"wide": wide, "fitted": fitted, "wide-inverted": ImageChops.invert(wide)}.items():
        (tmp_path / name).mkdir()
        picture.save(tmp_path / name / "a.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


COMMANDS = {
    "reconstruct": "reconstruct ./vae {} -o {}.png",
    "interpolate": "interpolate ./vae {} {} -o {}.png",
    "traverse": "traverse ./vae {} -o {}.png",
    "complete": "complete toy {} --keep-rows 2 -o {}.png",
    "translate": "translate PAINTER {} -o {}.png",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_fits_a_picture_and_takes_input_steps(command: str, zoo: Zoo, desk: Path, kind: Kind) -> None:
    """What is made of the wide picture is what is made of its middle; `--input invert` inverts it first."""

    def made(picture: str, output: str, *more: str) -> bytes:
        text = COMMANDS[command].replace("PAINTER", str(kind("painter")))
        paths = [f"{picture}/a.png"] * (text.count("{}") - 1)
        code, _, err = zoo(*text.format(*paths, output).split(), *more)
        assert code == 0, err
        return (desk / f"{output}.png").read_bytes()

    expected = made("fitted", "expected")
    assert made("wide", "wide") == expected
    assert made("wide-inverted", "again", "--input", "invert") == expected
    assert made("wide", "inverted", "--input", "invert") != expected


def test_scores_and_features_do_too(zoo: Zoo, desk: Path) -> None:
    def scores(*arguments: str) -> Any:
        found = json.loads(zoo("score", "toy", *arguments, "--json", "-n", 5).out)["images"][0]
        return {name: value for name, value in found.items() if name != "image"}

    expected = scores("fitted/a.png")
    assert scores("wide/a.png") == scores("wide-inverted/a.png", "--input", "invert") == expected
    assert scores("wide/a.png", "--input", "invert") != expected
    for name, more in {"plain": [], "twice": ["--input", "invert", "--input", "invert"]}.items():
        zoo("features", "digit-classifier", "wide/a.png", "-o", f"{name}.safetensors", *more)
    assert (desk / "plain.safetensors").read_bytes() == (desk / "twice.safetensors").read_bytes()


def test_a_mask_has_the_size_of_the_picture(zoo: Zoo, desk: Path) -> None:
    """It is fitted like the picture."""
    mask = Image.new("L", (12, 8), 255)
    mask.paste(0, (0, 4, 12, 8))
    mask.save("mask.png")
    assert zoo("complete", "toy", "wide/a.png", "--mask", "mask.png", "-o", "mask-out.png").code == 0
    assert zoo("complete", "toy", "wide/a.png", "--keep-rows", 2, "-o", "rows-out.png").code == 0
    assert (desk / "mask-out.png").read_bytes() == (desk / "rows-out.png").read_bytes()
    code, _, err = zoo("complete", "toy", "fitted/a.png", "--mask", "mask.png", "-o", "x.png")
    assert code == 2 and "'mask.png' is 12x8 pixels, and 'fitted/a.png' is 4x4" in err


@pytest.mark.parametrize("command", ["predict {} a.csv --input invert", "translate {} word --input invert"])
def test_steps_for_pictures_are_refused_elsewhere(command: str, zoo: Zoo, kind: Kind, desk: Path) -> None:
    (desk / "a.csv").write_text("1,2\n")
    name = "line" if command.startswith("predict") else "shout"
    code, _, err = zoo(*command.format(kind(name)).split())
    assert code == 2 and "--input" in err and "for images" in err


def test_pictures_of_several_sizes_are_refused_where_they_stand_in_one_batch(registry: Registry, desk: Path) -> None:
    model = toy("threshold", registry)
    sizes = [part.x.shape[2:] for part in input_batches(model, ["wide/a.png", "wide/a.png", "fitted/a.png"])]
    assert [list(size) for size in sizes] == [[8, 12], [4, 4]]
    with pytest.raises(UsageError, match="differ in size"):
        open_inputs(model, ["wide/a.png", "fitted/a.png"])
