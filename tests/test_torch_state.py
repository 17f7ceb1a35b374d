"""What torch keeps for the whole process is the caller's: no call of the library changes it, or is changed by it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.torch_state import torch_state_kept

CALLS: dict[str, Callable[[Registry, Path], Any]] = {
    "load": lambda registry, folder: zoo_core.load("toy", registry=registry).state_dict(),
    "evaluate": lambda registry, folder: zoo_core.evaluate("toy", registry=registry).metrics,
    "compare": lambda registry, folder: [
        row.numbers for row in zoo_core.compare(["toy", "toy"], registry=registry, limit=20).rows
    ],
    "train": lambda registry, folder: zoo_core.train(
        "toy", data="toy-bits", steps=3, output=folder, registry=registry
    ).model.state_dict(),
    "estimate": lambda registry, folder: zoo_core.estimate("toy", registry=registry).steps,
    "reproduce": lambda registry, folder: [found.values for found in zoo_core.reproduce("toy", registry=registry)],
}


@pytest.fixture
def odd_state(toy_models: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], tuple[Any, ...]]]:
    """Takes a state that nothing of ours works in: a device without values, another precision. Gives what it is now."""
    monkeypatch.setattr(toy_models.IndependentPixels, "cpu_threads", 2)
    monkeypatch.setattr("zoo_core.training.reproduce.ESTIMATE_SECONDS", 0.01)

    def state() -> tuple[Any, ...]:
        drawn = torch.rand(3, device="cpu", dtype=torch.float32).tolist()
        return torch.get_num_threads(), torch.get_default_dtype(), torch.get_default_device(), drawn

    with torch_state_kept():
        yield state
        torch.set_default_device(None)


@pytest.mark.parametrize("call", CALLS)
def test_a_call_leaves_the_state_of_torch_alone_and_does_not_depend_on_it(
    call: str, odd_state: Callable[[], tuple[Any, ...]], toy_release: Path, registry: Registry, tmp_path: Path
) -> None:
    usual = CALLS[call](registry, tmp_path / "usual")
    torch.set_num_threads(3)
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch.manual_seed(5)
    before = odd_state()
    torch.manual_seed(5)
    odd = CALLS[call](registry, tmp_path / "odd")
    assert odd_state() == before
    torch.set_default_device("cpu")
    assert str(odd) == str(usual)


def test_the_state_is_kept_when_a_call_fails(odd_state: Callable[[], tuple[Any, ...]], registry: Registry) -> None:
    torch.set_num_threads(3)
    torch.manual_seed(5)
    before = odd_state()
    torch.manual_seed(5)
    with pytest.raises(zoo_core.UnknownName):
        zoo_core.evaluate("no-such-model", registry=registry)
    assert odd_state() == before


def test_a_fresh_head_is_drawn_from_the_random_state_of_the_caller(
    write: Callable[..., Path], toy_models: Any, registry: Registry, tmp_path: Path
) -> None:
    """As every new layer is: two of them differ, and a seed gives the same again."""
    write(toy_models.TiedClassifier(toy_models.ClassifierConfig()), "toy-classifier", tmp_path / "tied")

    def head() -> torch.Tensor:
        weight: torch.Tensor = zoo_core.load(str(tmp_path / "tied"), head=5, registry=registry).classify.weight
        return weight

    with torch_state_kept():
        torch.manual_seed(5)
        first, second = head(), head()
        torch.manual_seed(5)
        assert not torch.equal(first, second)
        assert torch.equal(first, head())


@pytest.mark.parametrize("device", ["auto", "cuda:1"])
def test_the_generators_of_a_gpu_are_kept_too(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    states = [1, 2]  # of two GPUs, as it were
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_rng_state_all", states.copy)
    monkeypatch.setattr("torch.cuda.set_rng_state_all", lambda kept: states.__setitem__(slice(None), kept))
    with torch_state_kept(device):
        states[:] = 7, 7
    assert states == [1, 2]
