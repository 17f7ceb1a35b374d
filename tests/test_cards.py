"""Model cards: whatever the names hold, the hub reads back what the release says."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from huggingface_hub import ModelCard

import zoo_core
from zoo_core.releases.card import evaluation_results, model_card
from zoo_core.releases.licence import Licence
from zoo_core.releases.release import MetricEntry, Protocol, ReleaseConfig, read_release

NAMES = [
    "folder:pets --size 6", "it's \"quoted\"", "[brackets]", "a # comment", "off", "2024-01-01", "1e3", "- x", "{}",
]  # fmt: skip
LICENCES = ["MIT", "CC-BY-SA-3.0", "MIT OR Apache-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"]


@pytest.fixture
def release() -> ReleaseConfig:
    folder = zoo_core.load("independent").load_report.folder  # type: ignore[union-attr]
    return read_release(Path(folder))


def named(release: ReleaseConfig, name: str, licence: str = "CC0-1.0") -> ReleaseConfig:
    protocol = Protocol(dataset=name, split="test", n=3, data_sha256="0" * 64, estimator="exact", input=[])
    entry = MetricEntry(metric="nll", value=1.5, unit="nats/example", stderr=None, tolerance=0.1, protocol=protocol)
    licences = Licence(code="MIT", weights=licence, data="NOASSERTION")
    return msgspec.structs.replace(release, metrics=[entry], licence=licences)


def front_matter(text: str) -> dict[str, Any]:
    return dict(yaml.safe_load(text.split("---\n")[1]))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_a_data_set_is_read_back_as_it_is(release: ReleaseConfig, name: str) -> None:
    card = ModelCard(model_card(named(release, name)))
    assert card.data.eval_results is not None
    (result,) = card.data.eval_results
    assert (result.dataset_name, result.dataset_type, result.metric_value) == (name, name, 1.5)
    ((path, text),) = evaluation_results(named(release, name)).items()
    assert yaml.safe_load(text)[0]["dataset"]["id"] == name and path.count("/") == 1


@pytest.mark.parametrize("licence", LICENCES)
def test_a_licence_is_an_identifier_of_the_hub_or_named(release: ReleaseConfig, licence: str) -> None:
    data = front_matter(model_card(named(release, "digits", licence)))
    if " " in licence:
        assert (data["license"], data["license_name"]) == ("other", licence)
    else:
        assert data["license"] == licence.lower() and "license_name" not in data
