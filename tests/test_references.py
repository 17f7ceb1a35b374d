"""References: how a model is named."""

from pathlib import Path

import pytest

from zoo_core.discovery.registry import Registry
from zoo_core.errors import UsageError, WeightsError, ZooError
from zoo_core.weights.reference import (
    FolderReference,
    HubReference,
    NameReference,
    PackageReference,
    UrlReference,
    parse_reference,
)
from zoo_core.weights.sources import locate


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


@pytest.mark.parametrize("text", ["hf:org/repo", "org/repo"])
def test_offline_nothing_is_fetched_and_the_message_says_so(text: str, registry: Registry) -> None:
    with pytest.raises(WeightsError, match="org/repo is not in the cache, and HF_HUB_OFFLINE forbids the download"):
        locate(text, registry)


def test_a_file_system_that_is_not_installed_is_named(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(ZooError, match=r"'s3://bucket/x' cannot be .*s3fs") as error:
        locate("s3://bucket/x", registry)
    assert "\n" not in error.value.message


def test_a_reference_reads_as_it_is_written() -> None:
    for text in ("pixelrnn", "autoregressive:pixelrnn.digits", "hf:org/repo@main", "package:a/b", "s3://b/c"):
        assert str(parse_reference(text)) == text
