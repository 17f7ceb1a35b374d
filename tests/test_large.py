"""Data larger than memory: what is read when, the order of training, resuming, and how much is held."""

import json
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.errors import DataError, UsageError
from zoo_core.interfaces.dataset import TensorDataset, digest
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.large import LargeDataset, Windows
from zoo_core.measuring.batches import chosen_examples, evaluation_batches
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.release import read_release
from zoo_core.steps.notation import read_steps
from zoo_core.training.loop import Loop
from zoo_core.training.opening import resume_run, start_run
from zoo_core.training.run import Run
from zoo_core.training.sampler import DatasetSource

Zoo = Callable[..., Any]
SIZES = [5, 3, 8, 1, 6, 4, 7, 2, 9, 5]  # of chunks


class Chunked(LargeDataset):
    """The examples 0 to 49: a grey pixel, its number, a text, and as many boxes as its number has digits' sum mod 3."""

    name = "chunked"
    splits = ("train", "test")
    buffer = 3

    def __init__(self) -> None:
        self.features = {
            "image": Field(kind="image", shape=(1, 1, 1), range=(0, 1), levels=51),
            "label": Field(kind="label", dtype="int64"),
            "text": Field(kind="text"),
            "boxes": Field(kind="boxes", shape=(4,), index="image_index"),
        }
        self.read: list[int] = []

    def chunk_sizes(self, split: str) -> Sequence[int]:
        return SIZES

    def read_chunk(self, split: str, number: int) -> dict[str, Any]:
        self.read.append(number)
        return plain(torch.arange(sum(SIZES[:number]), sum(SIZES[: number + 1])))

    def data_sha256(self, split: str) -> str:
        return digest(plain(torch.arange(sum(SIZES))))


def plain(numbers: Tensor) -> dict[str, Any]:
    """These examples as they are stored."""
    counts = numbers % 3
    index = torch.arange(len(numbers)).repeat_interleave(counts)
    return {
        "image": numbers.to(torch.uint8).view(-1, 1, 1, 1),
        "label": numbers,
        "text": [f"number {number}" for number in numbers.tolist()],
        "boxes": numbers.repeat_interleave(counts).float()[:, None] + torch.tensor([0.0, 0.1, 0.2, 0.3]),
        "image_index": index,
    }


def assert_same(found: Mapping[str, Any], numbers: Tensor) -> None:
    """The batch holds just these examples, in this order."""
    expected = plain(numbers)
    assert found.keys() == expected.keys() and found["text"] == expected["text"]
    torch.testing.assert_close(found["image"], expected["image"].float() / 50)
    assert all(torch.equal(found[name], expected[name]) for name in ("label", "boxes", "image_index"))


@pytest.fixture
def chunked() -> Chunked:
    return Chunked()


# A batch.


@pytest.mark.parametrize("indices", [[], [7], [49, 0, 7, 7, 31], list(range(50)), list(range(49, -1, -1))])
def test_a_batch_holds_what_is_asked_for_in_its_order_whichever_chunks_it_is_in(
    chunked: Chunked, indices: list[int]
) -> None:
    asked = torch.tensor(indices, dtype=torch.int64)
    assert_same(chunked.batch("train", asked), asked)


def test_what_is_not_there_is_refused(chunked: Chunked) -> None:
    for place in (-1, 50):
        with pytest.raises(IndexError, match="has examples 0 to 49"):
            chunked.batch("train", torch.tensor([3, place]))
    with pytest.raises(UsageError, match="no split 'dev'"):
        chunked.size("dev")


def test_a_chunk_that_cannot_be_read_says_so_and_is_tried_again(
    chunked: Chunked, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(chunked, "read_chunk", lambda split, number: plain(torch.arange(2)))
        with pytest.raises(DataError, match="chunk 2 of the train split of 'chunked' holds 2 of 'image', not 8"):
            chunked.batch("train", torch.tensor([10]))
    assert_same(chunked.batch("train", torch.tensor([10])), torch.tensor([10]))


def test_a_copy_for_a_worker_process_leaves_its_threads_behind(chunked: Chunked) -> None:
    asked = torch.tensor([4, 5])
    chunked.batch("train", asked)
    assert_same(pickle.loads(pickle.dumps(chunked)).batch("train", asked), asked)


# Order.


@pytest.mark.parametrize("buffer", [1, 3, 10, 99])
def test_an_order_has_every_example_once_and_any_slice_of_it_is_the_same(buffer: int) -> None:
    def made() -> Windows:
        return Windows(SIZES, buffer, torch.Generator().manual_seed(5))

    whole = made()[:]
    assert len(made()) == 50 and sorted(whole.tolist()) == list(range(50)) != whole.tolist()
    for start in range(0, 50, 7):
        for stop in (start, start + 1, start + 13, 50, 60):
            assert torch.equal(made()[start:stop], whole[start:stop])
    other = Windows(SIZES, buffer, torch.Generator().manual_seed(6))[:]
    assert not torch.equal(other, whole)


def test_a_window_mixes_the_examples_of_its_chunks_and_of_no_others() -> None:
    order = Windows([10] * 100, 4, torch.Generator().manual_seed(0))[:]
    windows = (order // 10).view(25, 40)
    assert all(len(window.unique()) == 4 for window in windows)
    assert len(windows[0][:10].unique()) > 1, "chunks do not come one after the other"


def test_every_epoch_and_seed_has_its_own_order_and_a_cursor_finds_its_place_in_it(chunked: Chunked) -> None:
    def batches(source: DatasetSource, count: int) -> list[list[int]]:
        return [chunked.batch("train", source.sampler.next(8))["label"].tolist() for _ in range(count)]

    whole = batches(DatasetSource(chunked, "train", 3, "x"), 14)
    assert [len(batch) for batch in whole] == [8, 8, 8, 8, 8, 8, 2] * 2
    epochs = [list(chain(*whole[:7])), list(chain(*whole[7:]))]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(50)) and epochs[0] != epochs[1]
    assert list(chain(*batches(DatasetSource(chunked, "train", 4, "x"), 7))) != epochs[0]
    for cut in range(14):
        first, second = DatasetSource(chunked, "train", 3, "x"), DatasetSource(chunked, "train", 3, "x")
        batches(first, cut)
        second.load_state(json.loads(json.dumps(first.state())))
        assert batches(second, 14 - cut) == whole[cut:]


def test_small_sets_keep_the_order_that_releases_record(registry: Registry) -> None:
    data = registry.open_dataset("toy-grey")
    order = torch.randperm(60, generator=torch.Generator().manual_seed(9))
    seen = torch.cat([batch["image"] for batch in data.batches("train", 8, shuffle=True, seed=9)])
    assert torch.equal(seen, data.batch("train", order)["image"])
    assert DatasetSource(data, "train", 0, "x").sampler.next(8).tolist() == [6, 58, 27, 24, 3, 10, 8, 45]


# Reading ahead.


def test_each_chunk_is_read_once_an_epoch_and_few_are_held(chunked: Chunked) -> None:
    for batch in chunked.batches("train", 4, shuffle=True, seed=1):
        assert len(batch["label"]) in (4, 2) and len(chunked._chunks().held) <= 2 * chunked.buffer
    assert sorted(chunked.read) == list(range(10))
    chunked.read.clear()
    for number, batch in enumerate(chunked.batches("test", 4)):
        assert_same(batch, torch.arange(50)[number * 4 : number * 4 + 4])
    assert sorted(chunked.read) == list(range(10))


def test_the_next_chunks_are_read_while_this_batch_is_used(chunked: Chunked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for one batch only finds that the next window is read without being asked for."""
    main, readers = threading.current_thread(), set()
    read = chunked.read_chunk

    def watched(split: str, number: int) -> dict[str, Any]:
        readers.add(threading.current_thread())
        return read(split, number)

    monkeypatch.setattr(chunked, "read_chunk", watched)
    for batches in (chunked.batches("train", 1, shuffle=True), chunked.walk("test", torch.arange(50), 1)):
        chunked.read.clear()
        next(batches)
        until = time.monotonic() + 20
        while len(set(chunked.read)) < 4 and time.monotonic() < until:
            time.sleep(0.01)
        assert len(set(chunked.read)) >= 4
    assert main not in readers


# Training and measuring.


class Bits(LargeDataset):
    """toy-bits, five examples a chunk."""

    name = "toy-bits"
    buffer = 2

    def __init__(self, whole: TensorDataset) -> None:
        self.whole, self.features, self.splits = whole, whole.features, whole.splits

    def chunk_sizes(self, split: str) -> Sequence[int]:
        return [5] * (self.whole.size(split) // 5)

    def read_chunk(self, split: str, number: int) -> dict[str, Any]:
        return {name: values[5 * number : 5 * number + 5] for name, values in self.whole.stored[split].items()}

    def data_sha256(self, split: str) -> str:
        return self.whole.data_sha256(split)


@pytest.fixture
def large_bits(registry: Registry) -> Bits:
    whole = registry.open_dataset("toy-bits")
    assert isinstance(whole, TensorDataset)
    return Bits(whole)


@pytest.fixture
def in_chunks(registry: Registry, large_bits: Bits, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """The registry, whose toy-bits are in chunks."""
    monkeypatch.setattr(registry, "open_dataset", lambda name, data_file=None: Bits(large_bits.whole))
    yield registry


def weights(run: Run) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in run.model.state_dict().items()}


def test_training_from_chunks_gives_the_weights_that_training_from_memory_gives(
    registry: Registry, large_bits: Bits
) -> None:
    def trained(data: Any) -> Tensor:
        torch.manual_seed(0)
        loop = Loop(zoo_core.create("toy", registry=registry), data, seed=2, epochs=2, batch=8)
        while loop.progress < 1:
            loop.step()
        return loop.model.logit.detach()

    class InTheSameOrder(TensorDataset):
        def shuffled(self, split: str, generator: torch.Generator) -> Windows:
            return Windows(large_bits.chunk_sizes(split), large_bits.buffer, generator)

    in_memory = InTheSameOrder(large_bits.features, large_bits.whole.stored)
    assert torch.equal(trained(large_bits), trained(in_memory))
    assert not torch.equal(trained(large_bits), trained(large_bits.whole)), "a full permutation is another order"


def test_a_run_that_is_interrupted_anywhere_goes_on_bit_by_bit(
    in_chunks: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = RunArguments(model="toy", data="toy-bits", epochs=2, batch=8)
    whole = start_run(tmp_path / "whole", arguments, in_chunks)
    whole.train()
    for steps in (1, 5, 8, 9, 13):
        folder = tmp_path / f"cut-{steps}"
        cut = start_run(folder, arguments, in_chunks)
        for _ in range(steps):
            cut.loop.step()
        cut._save()
        cut.close()
        again = resume_run(folder, in_chunks)
        again.train()
        again.close()
        assert all(torch.equal(tensor, weights(whole)[name]) for name, tensor in weights(again).items())


def test_a_large_set_is_measured_as_the_same_set_in_memory_is(registry: Registry, large_bits: Bits) -> None:
    model = zoo_core.create("toy", registry=registry)
    for size in (10, 130):
        assert torch.equal(chosen_examples(large_bits, "test", size), chosen_examples(large_bits.whole, "test", size))
        ours = list(evaluation_batches(model, large_bits, "test", size))
        theirs = list(evaluation_batches(model, large_bits.whole, "test", size))
        assert len(ours) == len(theirs)
        assert all(
            torch.equal(a[name], b[name]) for a, b in zip(ours, theirs, strict=True) for name in ("image", "index")
        )


@pytest.mark.parametrize("mode", ["threshold", "sample"])
def test_what_is_drawn_for_an_evaluation_does_not_depend_on_its_batch(registry: Registry, mode: str) -> None:
    data, model = registry.open_dataset("toy-grey"), zoo_core.create("toy", registry=registry)
    model.input = read_steps([{"step": "binarize", "mode": mode}], "model")
    usual = list(evaluation_batches(model, data, "test", 130))
    assert [len(batch["index"]) for batch in usual] == [100, 30]
    for size in (1, 30, 100, 1000):
        batches = list(evaluation_batches(model, data, "test", 130, size))
        assert max(len(batch["index"]) for batch in batches) <= size
        for name in ("image", "label", "index"):
            assert torch.equal(torch.cat([b[name] for b in batches]), torch.cat([b[name] for b in usual]))


@pytest.fixture
def sizes(toy_site: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many examples the toy was asked about, each time that it was."""
    import zoo_toy.models

    asked: list[int] = []
    given = zoo_toy.models.IndependentPixels.log_prob

    def watched(self: Any, x: Tensor) -> Tensor:
        asked.append(len(x))
        return given(self, x)

    monkeypatch.setattr(zoo_toy.models.IndependentPixels, "log_prob", watched)
    return asked


def test_zoo_eval_takes_as_many_examples_at_a_time_as_it_is_told(zoo: Zoo, sizes: list[int]) -> None:
    assert zoo("eval", "toy.bits", "--check", "--batch", 40).code == 0
    assert sizes == [40, 40, 40, 10]
    assert zoo("eval", "toy.bits", "--batch", 0).code == 2


def test_a_run_measures_by_as_many_as_it_is_told_and_its_recipe_says_so(
    zoo: Zoo, sizes: list[int], tmp_path: Path
) -> None:
    arguments = ["toy", "--data", "toy-bits", "--steps", 1, "--batch", 60, "--eval-batch", 20, "-o", tmp_path / "run"]
    assert zoo("train", *arguments, "--device", "cpu").code == 0
    measured = [size for size in sizes if size > 4]  # without the golden examples
    assert measured == [60, 20, 5, 20, 20, 20, 20, 20, 20, 10]
    recipe = read_release(tmp_path / "run").recipe
    assert recipe is not None and recipe.eval_batch == 20
    assert "--eval-batch 20" in recipe.command()


WATCHED = """
import sys
from itertools import islice
sys.path.append(sys.argv[1])
from zoo_core.cli.main import main
from zoo_core import dataset
try:
    main(sys.argv[2:])
except SystemExit as end:
    assert not end.code
huge = dataset("system-huge")
read = sum(len(batch["label"]) for batch in islice(huge.batches("train", 512, shuffle=True), 1050))
with open("/proc/self/status") as status:  # getrusage would count what pytest held when it made this process
    (peak,) = [line.split()[1] for line in status if line.startswith("VmHWM:")]
print(read, peak)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux alone tells how much a process held")
def test_fifty_gigabytes_train_in_less_than_two(toy_site: Path, registry: Registry, tmp_path: Path) -> None:
    """Once it is trained, more is read in that process than it may hold: what it does not let go of would be seen."""
    data = registry.open_dataset("system-huge")
    assert data.size("train") * 64 * 64 > 50e9  # bytes
    command = ["train", "toy", "--data", "system-huge", "--steps", "8", "--batch", "1024", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, toy_site, *command, "-o", tmp_path / "run"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    examples, peak = map(int, done.stdout.split()[-2:])
    assert examples * 64 * 64 > 2 * 2**30 and peak * 1024 < 2 * 2**30
