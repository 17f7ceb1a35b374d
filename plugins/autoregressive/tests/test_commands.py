"""The command line with these models: options reach them, and the hint of an error is the way out."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from zoo_core import load
from zoo_core.cli.main import main
from zoo_core.pictures.lettering import LINE_HEIGHT


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs `zoo` in a folder of its own; gives what it says."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object, code: int = 0) -> str:
        with pytest.raises(SystemExit) as done:
            main([str(word) for word in words])
        said = capsys.readouterr().err
        assert (done.value.code or 0) == code, said
        return said

    return run


def values(path: Path) -> Tensor:
    with Image.open(path) as picture:
        return torch.from_numpy(np.array(picture.convert("L"))) / 255


@pytest.mark.parametrize("temperature", [0.5, 2])
def test_samples_are_drawn_at_the_temperature_that_is_given(zoo, tmp_path, temperature):
    zoo("sample", "markov", "-n", 3, "--seed", 5, "--temperature", temperature, "--each", "drawn")
    found = torch.stack([values(tmp_path / "drawn" / f"{k}.png") for k in range(3)])
    expected = load("markov").sample(3, temperature=temperature, generator=torch.Generator().manual_seed(5))
    assert torch.equal(found[:, None], expected)


def test_completions_are_a_function_of_seed_and_temperature(zoo, tmp_path):
    zoo("sample", "markov", "-n", 1, "--each", "drawn")

    def completed(*options: object) -> Tensor:
        zoo("complete", "markov", "drawn/0.png", "--keep-rows", 14, "-n", 2, "-o", "done.png", *options)
        return values(tmp_path / "done.png")[LINE_HEIGHT:]  # without the title, which names the seed

    first = completed()
    assert torch.equal(completed("--seed", 0), first) and torch.equal(completed("--temperature", 1), first)
    assert not torch.equal(completed("--seed", 1), first)
    assert not torch.equal(completed("--temperature", 0.5), first)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["joint-table"], r"a table of 17\^64 cells does not fit"),
        (["independent", "--input", "resize:size=4"], "needs images whose pixels take a known number of levels"),
    ],
    ids=["joint-table", "independent"],
)
def test_every_input_that_a_hint_gives_helps(zoo, words, message):
    train = ["train", *words, "--data", "digits", "--steps", 1, "-o"]
    said = zoo(*train, "refused", code=2)
    assert re.search(message, said)
    ways = [way.split() for way in re.findall(r"--input [\w:=]+(?: --input [\w:=]+)*", said)]
    assert ways
    for k, way in enumerate(ways):
        zoo(*train, f"run-{k}", *way)


def test_a_model_of_numbers_is_offered_commands_for_rows(zoo, capsys):
    with pytest.raises(SystemExit):
        main(["load", "gaussian"])
    offered = capsys.readouterr().out.partition("Next:")[2]
    for command in ("score gaussian rows.csv", "sample gaussian -n 64 -o out.csv", "eval gaussian --check"):
        assert f"zoo {command}" in offered
    zoo("sample", "gaussian", "-n", 2, "-o", "drawn.csv")
    zoo("score", "gaussian", "drawn.csv")
    said = zoo("complete", "gaussian", "drawn.csv", "-o", "done.png", code=2)
    assert "is for rows of numbers, and this command for images" in said
