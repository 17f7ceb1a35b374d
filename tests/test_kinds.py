"""Commands for everything that is no image, and answers that are no class: rows, texts, masks, boxes."""

import io
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.interfaces.fields import Field
from zoo_core.measuring.prediction import _in_picture
from zoo_core.measuring.scoring import score
from zoo_core.pictures.grids import GAP, SMALLEST
from zoo_core.pictures.lettering import LINE_HEIGHT
from zoo_core.pictures.overlays import class_colour
from zoo_core.pictures.reading import open_picture
from zoo_core.steps.notation import read_steps

Zoo = Callable[..., Any]  # gives an Outcome(code, out, err)
Kind = Callable[[str], Path]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with rows."""
    monkeypatch.chdir(tmp_path)
    Path("people.csv").write_text("age,height,weight,name\n3,1,2,Ada\n3,2,2,Bob\n")
    Path("pairs.csv").write_text("a,b\n1,2\n3,5\n")
    return tmp_path


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a text into the standard input."""
    return lambda text: monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))


# Sampling rows.


def test_sampled_rows_go_to_stdout_and_the_talk_does_not(zoo: Zoo, kind: Kind) -> None:
    code, out, err = zoo("sample", kind("rows"), "-n", 5, "--seed", 3)
    lines = out.splitlines()
    assert (code, lines[0], len(lines)) == (0, "height,weight,age", 6) and err == "kind-rows: 5 samples, seed 3\n"
    model = zoo_core.load(str(kind("rows")))
    expected = model.sample(5, generator=torch.Generator().manual_seed(3))
    assert torch.equal(torch.tensor([list(map(float, line.split(","))) for line in lines[1:]]), expected)
    assert zoo("sample", kind("nameless"), "-n", 5, "--seed", 3).out.splitlines() == lines[1:]  # no names, no header


def test_sampled_rows_can_be_scored(zoo: Zoo, kind: Kind, desk: Path, stdin: Callable[[str], None]) -> None:
    """What one command writes, another reads: the same likelihood, from either form or through a pipe."""
    scores = []
    for name in ("drawn.csv", "drawn.jsonl"):
        code, out, err = zoo("sample", kind("rows"), "-n", 4, "-o", name)
        assert (code, out) == (0, "") and f"Wrote {name}: 4 samples" in err
        found = json.loads(zoo("score", kind("rows"), name, "--json").out)
        scores.append([row["log_prob"] for row in found["rows"]])
    stdin(zoo("sample", kind("rows"), "-n", 4).out)
    scores.append([row["log_prob"] for row in json.loads(zoo("score", kind("rows"), "-", "--json").out)["rows"]])
    assert scores[0] == scores[1] == scores[2]
    model = zoo_core.load(str(kind("rows")))
    expected = model.log_prob(model.sample(4, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(torch.tensor(scores[0]), expected)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("sample ROWS --each drawn", ("--each is for images", "-o FILE.csv")),
        ("sample ROWS -o drawn.png", ("must end in .csv or .jsonl",)),
        ("sample TOLD -o drawn.csv", ("must end in .png",)),
        ("sample TOLD", ("nowhere to write to",)),
        ("sample ROWS -o absent/drawn.csv", ("'absent' does not exist",)),
        ("sample SORTER", ("is no Sampler",)),
    ],
)
def test_samples_go_where_they_can(command: str, words: tuple[str, ...], zoo: Zoo, kind: Kind, desk: Path) -> None:
    before = sorted(desk.iterdir())
    code, out, err = zoo(*(kind(word.lower()) if word.isupper() else word for word in command.split()))
    assert (code, out) == (2, "") and all(word in err for word in words), err
    assert sorted(desk.iterdir()) == before


# Scoring rows.


def test_rows_are_scored_by_name_and_told_by_line(zoo: Zoo, kind: Kind, desk: Path) -> None:
    code, out, err = zoo("score", kind("rows"), "people.csv")
    best = -1.5 * math.log(2 * math.pi)
    assert code == 0 and [line.split("\t") for line in out.splitlines()] == [
        ["row", "log p(x), nats", "bits/dim", "outlier score", "more anomalous than"],
        ["people.csv:2", f"{best:.5g}", "-", f"{-best:.5g}", "-"],
        ["people.csv:3", f"{best - 0.5:.5g}", "-", f"{0.5 - best:.5g}", "-"],
    ]
    assert "Not used: name." in err and "no rank" in err


def test_rows_are_ranked_among_those_of_a_data_set(zoo: Zoo, desk: Path) -> None:
    """A trained density of table rows, beside the rows it was made for."""
    zoo("sample", "gaussian", "-n", 3, "-o", "own.csv")
    code, out, err = zoo("score", "gaussian", "own.csv", "--json", "--histogram", "h.png", "-n", 50)
    found = json.loads(out)
    assert code == 0 and found["against"]["dataset"] == "digits-dequantized" and (desk / "h.png").exists()
    assert all(0 <= row["more_anomalous_than"] <= 1 and row["bits_per_dim"] is None for row in found["rows"])
    code, _, err = zoo("score", "gaussian", "own.csv", "--map", "m.png")
    assert code == 2 and "--map is for images" in err


def test_scores_are_written_as_a_table(zoo: Zoo, kind: Kind, desk: Path) -> None:
    for suffix in (".csv", ".jsonl"):
        code, _, err = zoo("score", kind("rows"), "people.csv", "-o", f"scores{suffix}")
        assert code == 0 and f"Wrote scores{suffix}." in err
    rows = json.loads(zoo("score", kind("rows"), "people.csv", "--json").out)["rows"]
    assert [json.loads(line) for line in Path("scores.jsonl").read_text().splitlines()] == rows
    header, first, _ = Path("scores.csv").read_text().splitlines()
    assert header == "row,log_prob,bits_per_dim,outlier_score,more_anomalous_than"
    assert [first.split(",")[k] for k in (0, 2, 4)] == ["people.csv:2", "", ""]


def test_a_text_is_as_likely_as_its_letters_and_padding_is_none(registry: Registry) -> None:
    model: Any = zoo_core.create("kind-letters", registry=registry)
    found = score(model, torch.tensor([[0, 1, 2], [4, 5, -1]]))
    assert found.log_prob is not None
    expected = [-math.log(26) + 2 * math.log(0.9), -math.log(26) + math.log(0.9)]
    assert found.log_prob.tolist() == pytest.approx(expected, rel=1e-5)
    assert torch.equal(found.outlier_score, -found.log_prob)


# Predicting.


def test_numbers_are_predicted_by_the_names_of_the_targets(zoo: Zoo, kind: Kind, desk: Path) -> None:
    code, out, err = zoo("predict", kind("line"), "pairs.csv", "--samples", 4, "--no-header")
    assert (code, err) == (0, "The uncertainty is in units.\n")
    assert out == "pairs.csv:2\t3\t-1\t5\t6\t1\t2\t4\t4\npairs.csv:3\t8\t-2\t7\t9\t3\t5\t4\t4\n"
    first = json.loads(zoo("predict", kind("line"), "pairs.csv", "--json").out)[0]
    assert first == {
        "row": "pairs.csv:2",
        "prediction": {"sum": 3, "difference": -1},
        "total": {"sum": 2, "difference": 3},
        "aleatoric": {"sum": 1, "difference": 2},
        "epistemic": {"sum": 1, "difference": 1},
        "unit": "units",
    }


def test_predictions_are_written_as_a_table_or_as_the_answers(zoo: Zoo, kind: Kind, desk: Path) -> None:
    for name, command in {"sorter": ("--top", 1), "line": ()}.items():
        for suffix in (".csv", ".jsonl"):
            assert zoo("predict", kind(name), "pairs.csv", *command, "-o", f"{name}{suffix}").code == 0
        answers = json.loads(zoo("predict", kind(name), "pairs.csv", *command, "--json").out)
        assert [json.loads(line) for line in (desk / f"{name}.jsonl").read_text().splitlines()] == answers
    assert (desk / "sorter.csv").read_text().splitlines() == [
        "row,class_1,probability_1", "pairs.csv:2,positive,0.997527421", "pairs.csv:3,positive,0.999999881",
    ]  # fmt: skip
    assert 1 / (1 + math.exp(-6)) == pytest.approx(0.997527421, abs=1e-7)
    header, first, _ = (desk / "line.csv").read_text().splitlines()
    assert header.startswith("row,sum,difference,sum_total") and first.startswith("pairs.csv:2,3,-1,2,3,")


def test_what_was_found_in_pictures_is_written_as_a_table_too(zoo: Zoo, kind: Kind, spots: list[Path]) -> None:
    for name in ("threshold", "spot"):
        for suffix in (".csv", ".jsonl"):
            assert zoo("predict", kind(name), "patch.png", "dark.png", "-o", f"{name}{suffix}").code == 0
    assert Path("threshold.csv").read_text().splitlines() == [
        "image,class_1,share_1,class_2,share_2", "patch.png,dark,0.899999976,light,0.100000001", "dark.png,dark,1,,",
    ]  # fmt: skip
    assert Path("spot.csv").read_text() == "image,class,score,xmin,ymin,xmax,ymax\npatch.png,spot,1,8,4,18,12\n"
    found = [json.loads(line) for line in Path("spot.jsonl").read_text().splitlines()]
    assert [(one["image"], len(one["objects"])) for one in found] == [("patch.png", 1), ("dark.png", 0)]
    assert zoo("predict", kind("spot"), "dark.png", "-o", "none.csv").code == 0
    assert Path("none.csv").read_text() == "image,class,score,xmin,ymin,xmax,ymax\n"


def test_texts_are_classified_from_the_command_line_and_from_files(
    zoo: Zoo, kind: Kind, desk: Path, stdin: Callable[[str], None]
) -> None:
    Path("mail.txt").write_text("so good :)\n\nso bad :(\n")
    stdin("well :)\n")
    code, out, err = zoo("predict", kind("mood"), "hm", "mail.txt", "-", "--top", 1)
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "text\t#1", "hm\tsad 0.500", "so good :)\tcheerful 0.731", "so bad :(\tsad 0.731", "well :)\tcheerful 0.731",
    ]  # fmt: skip
    found = json.loads(zoo("predict", kind("mood"), "a :)", "--json").out)
    assert found[0]["text"] == "a :)" and [one["class"] for one in found[0]["classes"]] == ["cheerful", "sad"]


@pytest.mark.parametrize("name", ["linear-regression", "mlp-regressor"])
def test_a_trained_regressor_reads_a_table(name: str, zoo: Zoo, desk: Path) -> None:
    columns = 10
    Path("x.csv").write_text(",".join(str(k / 10) for k in range(columns)) + "\n")
    zoo_core.train(name, data="diabetes", steps=1, output=desk / "run")
    code, out, _ = zoo("predict", "./run", "x.csv", "--json")
    model: Any = zoo_core.load("./run")
    expected = model.predict(torch.arange(10.0)[None] / 10).item()
    assert code == 0 and json.loads(out) == [{"row": "x.csv:1", "prediction": {"target": pytest.approx(expected)}}]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("predict LINE people.csv", ("no column 'a'", "a, b")),
        ("predict LINE absent.csv", ("'absent.csv' does not exist",)),
        ("predict SORTER people.csv", ("people.csv', line 2: 4 numbers, and 2 are needed",)),
        ("predict LINE pairs.csv -o found.png", ("must end in .csv or .jsonl",)),
        ("predict LINE pairs.csv --top 2", ("this model has no option --top", "Classifier or Segmenter")),
        ("predict SORTER pairs.csv --samples 2", ("this model has no option --samples", "Uncertain")),
        ("predict SORTER pairs.csv --threshold nan", ("nan is not a finite number",)),
        ("predict MOOD absent.txt", ("'absent.txt' does not exist",)),
        ("predict ROWS people.csv", ("is no Classifier and no Regressor and no Segmenter and no Detector",)),
        ("predict LETTERS word", ("is no Classifier",)),
        ("score SORTER pairs.csv", ("no Density, no LanguageModel and no OutlierScorer",)),
        ("score ROWS pairs.csv", ("no column 'height'", "height, weight, age")),
        ("features LINE pairs.csv -o f.safetensors", ("is no FeatureExtractor",)),
    ],
)
def test_a_mistake_is_one_clear_line(command: str, words: tuple[str, ...], zoo: Zoo, kind: Kind, desk: Path) -> None:
    before = sorted(desk.iterdir())
    code, out, err = zoo(*(kind(word.lower()) if word.isupper() else word for word in command.split()))
    assert (code, out) == (2, "") and "Traceback" not in err and all(word in err for word in words), err
    assert sorted(desk.iterdir()) == before


def test_a_command_for_images_says_what_the_model_is_for(zoo: Zoo, desk: Path) -> None:
    code, _, err = zoo("complete", "gaussian", "pairs.csv", "-o", "x.png")
    assert code == 2 and "'gaussian' is for rows of numbers, and this command for images" in err
    assert "zoo load gaussian" in err


# The class of every pixel.


@pytest.fixture
def spots(desk: Path) -> list[Path]:
    """A dark picture with a light patch, and a smaller one without."""
    picture = Image.new("L", (40, 20), 10)
    picture.paste(250, (8, 4, 18, 12))
    picture.save("patch.png")
    Image.new("L", (10, 10), 10).save("dark.png")
    return [desk / "patch.png", desk / "dark.png"]


def test_a_segmenter_tells_the_shares_of_its_classes(zoo: Zoo, kind: Kind, spots: list[Path]) -> None:
    code, out, err = zoo("predict", kind("threshold"), "patch.png", "dark.png", "-o", "seen.png")
    assert (code, err) == (0, "Wrote seen.png.\n")
    assert out == "image\t#1\t#2\npatch.png\tdark 0.900\tlight 0.100\ndark.png\tdark 1.000\n"
    found = json.loads(zoo("predict", kind("threshold"), "patch.png", "--json", "--top", 1).out)
    assert found == [{"image": "patch.png", "classes": [{"class": "dark", "share": pytest.approx(0.9)}]}]
    with Image.open("seen.png") as file:
        seen = np.array(file.convert("RGB")).astype(int)
    dark, light = (0.65 * np.array(class_colour(k)) + 0.35 * level for k, level in enumerate((10, 250)))
    count = [(abs(seen - colour).max(2) <= 1).sum() for colour in (dark, light)]
    assert count[1] == 9 * 10 * 8 and count[0] == 9 * (40 * 20 - 80) + 9 * 100  # enlarged to three times the size
    swatch = [(abs(seen - np.array(class_colour(k))).max(2) == 0).sum() for k in (0, 1)]
    assert min(swatch) > 100  # the legend says which colour is which class


# Boxes.


def test_a_detector_tells_boxes_in_pixels_of_the_picture(zoo: Zoo, kind: Kind, spots: list[Path]) -> None:
    code, out, err = zoo("predict", kind("spot"), "patch.png", "dark.png", "-o", "seen.png")
    assert (code, err) == (0, "Wrote seen.png.\n")
    assert out == "image\tclass\tscore\tbox\npatch.png\tspot\t1.000\t8.0 4.0 18.0 12.0\ndark.png\t-\t-\t-\n"
    found = json.loads(zoo("predict", kind("spot"), "patch.png", "--json").out)
    assert found == [{"image": "patch.png", "objects": [{"class": "spot", "score": 1.0, "box": [8, 4, 18, 12]}]}]
    assert json.loads(zoo("predict", kind("spot"), "patch.png", "--json", "--threshold", 1.1).out)[0]["objects"] == []
    with Image.open("seen.png") as file:
        seen = np.array(file.convert("RGB")).astype(int)
    box = np.argwhere(abs(seen - np.array(class_colour(0))).max(2) == 0)
    (top, left), (bottom, _) = box.min(0), box.max(0)
    scale, above = 6, GAP + LINE_HEIGHT  # a picture of 40 pixels is enlarged to 240
    right = box[box[:, 0] == bottom].max(0)[1]  # the mark, which is above, is wider
    assert (left, right) == (GAP + 8 * scale, GAP + 18 * scale - 1)
    assert bottom == above + 12 * scale - 1 and top <= above + 4 * scale


def test_a_box_is_found_again_in_a_picture_that_was_fitted(registry: Registry, spots: list[Path]) -> None:
    model: Any = zoo_core.create("kind-spot", registry=registry)
    model.input = read_steps([{"step": "resize", "size": 20}], "test")
    picture = open_picture(spots[0], model)
    (found,) = model.detect(list(picture.x))
    assert found.boxes.tolist() == [[4, 4, 9, 12]]
    assert _in_picture(found.boxes, picture).tolist() == [pytest.approx([8, 4, 18, 12])]
    model.input = ()
    model.signature = lambda: {"image": Field(kind="image", shape=(1, 20, 20))}  # and what is at the sides is lost
    picture = open_picture(spots[0], model)
    (found,) = model.detect(list(picture.x))
    assert found.boxes.tolist() == [[0, 4, 8, 12]]
    assert _in_picture(found.boxes, picture).tolist() == [pytest.approx([10, 4, 18, 12])]


# Writing on, and other languages.


def test_a_language_model_writes_on_and_nothing_else_is_on_stdout(
    zoo: Zoo, kind: Kind, stdin: Callable[[str], None]
) -> None:
    likeliest = ("--top-k", 1, "--length", 4)
    assert zoo("generate", kind("letters"), "abc", *likeliest) == (0, "abcdefg\n", "")
    assert zoo("generate", kind("letters"), *likeliest).out == "abcd\n"
    stdin("xy\n")
    assert zoo("generate", kind("letters"), "-", *likeliest).out == "xyzabc\n"
    found = json.loads(zoo("generate", kind("letters"), "abc", *likeliest, "--json").out)
    assert found == {"prompt": "abc", "text": "defg"}
    assert zoo("generate", kind("letters"), "abc", *likeliest, "--stop", "f").out == "abcde\n"
    assert zoo("generate", kind("letters"), "abc", *likeliest, "--with", "case=upper").out == "abcDEFG\n"


def test_a_seed_decides_what_is_written(zoo: Zoo, kind: Kind) -> None:
    def written(*options: object) -> str:
        return str(zoo("generate", kind("letters"), "a", "--length", 60, *options).out)

    alphabet = ("abcdefghijklmnopqrstuvwxyz" * 4)[:61] + "\n"
    assert written() == written("--seed", 0) != written("--seed", 1)
    for sure in (("--temperature", 0.01), ("--top-p", 0.5), ("--top-k", 1)):
        assert written("--seed", 1, *sure) == alphabet
    wild = written("--temperature", 100)
    assert sum(b == chr(ord(a) + 1) for a, b in itertools.pairwise(wild)) < 15


def test_a_translator_says_each_text_in_its_language(
    zoo: Zoo, kind: Kind, desk: Path, stdin: Callable[[str], None]
) -> None:
    Path("lines.txt").write_text("two words\nmore\n")
    stdin("last\n")
    assert zoo("translate", kind("shout"), "first", "lines.txt", "-") == (
        0,
        "FIRST!\nTWO WORDS!\nMORE!\nLAST!\n",
        "",
    )
    found = zoo("translate", kind("shout"), "a", "--beam", 3, "--with", "mark=?", "--json")
    assert json.loads(found.out) == [{"text": "a", "translation": "A???"}]


def test_images_are_translated_into_a_picture(zoo: Zoo, kind: Kind, desk: Path) -> None:
    Image.new("L", (4, 4), 255).save("white.png")
    for to, levels in {"night": {0}, "day": {255}}.items():
        code, out, err = zoo("translate", kind("painter"), "white.png", "-o", f"{to}.png", "--with", f"to={to}")
        assert (code, out) == (0, "") and f"1 translation, to {to}." in err
        with Image.open(f"{to}.png") as file:
            above = 2 * LINE_HEIGHT + GAP + SMALLEST + GAP  # the title, the image and its name
            below = np.array(file.convert("L"))[above:, GAP:][:SMALLEST, :SMALLEST]
        assert set(below.flatten().tolist()) == levels


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("generate LETTERS a1", ("'1' is no letter",)),
        ("generate LETTERS a --with case=middle", ("case cannot be 'middle'", "lower, upper")),
        ("generate LETTERS a --with tone=high", ("no condition 'tone'",)),
        ("generate LETTERS a --length 0", ("--length",)),
        ("generate LETTERS a --top-p 1.5", ("--top-p",)),
        ("generate LETTERS a --temperature 0", ("--temperature",)),
        ("generate SHOUT a", ("is no LanguageModel",)),
        ("generate toy a", ("'toy' is no LanguageModel",)),
        ("translate LETTERS a", ("is no Translator and no ImageTranslator",)),
        ("translate SHOUT", ("Missing argument",)),
        ("translate SHOUT a -o x.png", ("-o and --input are for images",)),
        ("translate SHOUT a --with mark=!!", ("mark cannot be '!!'",)),
        ("translate PAINTER a.png", ("-o FILE.png",)),
        ("translate PAINTER a.png -o x.png", ("'a.png' does not exist",)),
        ("translate PAINTER a.png -o x.png --with to=noon", ("to cannot be 'noon'", "day, night")),
    ],
)
def test_a_wrong_request_is_one_clear_line(
    command: str, words: tuple[str, ...], zoo: Zoo, kind: Kind, desk: Path
) -> None:
    before = sorted(desk.iterdir())
    code, out, err = zoo(*(kind(word.lower()) if word.isupper() else word for word in command.split()))
    assert (code, out) == (2, "") and "Traceback" not in err and all(word in err for word in words), err
    assert sorted(desk.iterdir()) == before
