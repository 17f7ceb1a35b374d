"""References: how a model is named."""

from pathlib import Path

import pytest

from zoo_core.errors import UsageError, WeightsError
from zoo_core.weights.reference import (
    FolderReference,
    HubReference,
    NameReference,
    PackageReference,
    UrlReference,
    parse_reference,
)
from zoo_core.weights.sources import folder_of


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pixelrnn", NameReference("pixelrnn")),
        ("PixelRNN_Row", NameReference("pixelrnn-row")),
        (" pixelrnn ", NameReference("pixelrnn")),
        ("pixelrnn.digits", NameReference("pixelrnn", "digits")),
        ("pixelrnn.binarized_mnist", NameReference("pixelrnn", "binarized-mnist")),
        ("resnet20.cifar10.v2", NameReference("resnet20", "cifar10.v2")),
        ("autoregressive:pixelrnn", NameReference("pixelrnn", None, "autoregressive")),
        ("autoregressive:pixelrnn.digits", NameReference("pixelrnn", "digits", "autoregressive")),
        ("org/repo", HubReference("org/repo")),
        ("org/repo@main", HubReference("org/repo", "main")),
        ("hf:org/repo@" + "a" * 40, HubReference("org/repo", "a" * 40)),
        ("package:zoo_toy/weights/toy.bits", PackageReference("zoo_toy", "weights/toy.bits")),
        ("./runs/mine", FolderReference(Path("runs/mine"))),
        ("../mine", FolderReference(Path("../mine"))),
        ("/runs/mine", FolderReference(Path("/runs/mine"))),
        (".", FolderReference(Path("."))),
        ("folder:mine", FolderReference(Path("mine"))),
        ("s3://bucket/pixelrnn", UrlReference("s3://bucket/pixelrnn")),
        ("file:///runs/mine", UrlReference("file:///runs/mine")),
    ],
)
def test_every_form_is_understood(text: str, expected: object) -> None:
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    "text", ["", "pixel rnn", "pixelrnn.", "a/b/c", "hf:pixelrnn", "hf:", "org/", "/@x", "pixelrnn@main", "a:b:c", "ü"]
)
def test_what_has_no_form_is_one_clear_line(text: str) -> None:
    try:
        reference = parse_reference(text)
    except UsageError as error:
        assert f"'{text}'" in error.message and "\n" not in error.message
    else:  # only what looks like a path may be left to the file system
        assert isinstance(reference, FolderReference) and text.startswith("/")


@pytest.mark.parametrize("text", ["package:", "package:zoo_toy", "package:zoo_toy/../../etc", "package:not a name/x"])
def test_a_package_source_cannot_leave_its_package(text: str) -> None:
    with pytest.raises(UsageError, match="package:NAME/PATH"):
        parse_reference(text)


def test_an_existing_folder_wins_over_a_repository(tmp_path: Path) -> None:
    (tmp_path / "org" / "repo").mkdir(parents=True)
    assert parse_reference("org/repo") == FolderReference(Path("org/repo"))
    assert parse_reference("hf:org/repo") == HubReference("org/repo")


def test_a_model_name_never_means_a_folder_that_is_no_release(tmp_path: Path) -> None:
    (tmp_path / "pixelrnn").mkdir()
    assert parse_reference("pixelrnn") == NameReference("pixelrnn")


@pytest.mark.parametrize("text", ["hf:org/repo", "org/repo", "s3://bucket/x"])
def test_the_network_is_not_fetched_from_and_the_message_says_so(text: str) -> None:
    with pytest.raises(WeightsError, match="network"):
        folder_of(parse_reference(text))


def test_a_reference_reads_as_it_is_written() -> None:
    for text in ("pixelrnn", "autoregressive:pixelrnn.digits", "hf:org/repo@main", "package:a/b", "s3://b/c"):
        assert str(parse_reference(text)) == text
