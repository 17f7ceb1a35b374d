"""Augmentation: each step beside a slow one, what is drawn, and that only training sees it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Generator, Tensor

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.errors import RecordError, UsageError
from zoo_core.interfaces.fields import Field
from zoo_core.interfaces.record import to_plain
from zoo_core.interfaces.step import Step
from zoo_core.measuring.batches import evaluation_batches
from zoo_core.releases.recipe import RunArguments, parse_augmentation, read_command
from zoo_core.releases.release import read_release
from zoo_core.steps.augmentation import Cutout, Flip, RandomCrop
from zoo_core.steps.notation import parse_step, read_steps, step_text
from zoo_core.training.finishing import finish, training_record
from zoo_core.training.loop import Loop
from zoo_core.training.opening import resume_run, start_run


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def numbered(b: int, c: int, h: int, w: int) -> Tensor:
    """Every pixel another number, none of them 0."""
    return torch.arange(1.0, b * c * h * w + 1).view(b, c, h, w)


def slow_crop(images: Tensor, padding: int, reflect: bool, generator: Generator) -> Tensor:
    b, _, h, w = images.shape
    top, left = torch.randint(2 * padding + 1, (2, b), generator=generator)
    cropped = torch.zeros_like(images)
    for i in range(b):
        for y in range(h):
            for x in range(w):
                v, u = y + int(top[i]) - padding, x + int(left[i]) - padding
                if reflect:
                    v, u = (abs(place) if place < n else 2 * (n - 1) - place for place, n in ((v, h), (u, w)))
                if 0 <= v < h and 0 <= u < w:
                    cropped[i, :, y, x] = images[i, :, v, u]
    return cropped


def slow_flip(images: Tensor, p: float, generator: Generator) -> Tensor:
    coins = torch.rand(len(images), generator=generator)
    return torch.stack([image[:, :, list(range(image.shape[2]))[:: -1 if coin < p else 1]]
                        for image, coin in zip(images, coins, strict=True)])  # fmt: skip


def slow_cutout(images: Tensor, size: int, generator: Generator) -> Tensor:
    b, _, h, w = images.shape
    centres = [torch.randint(side, (b, 1), generator=generator) for side in (h, w)]
    cut = images.clone()
    for i in range(b):
        top, left = (int(centre[i]) - size // 2 for centre in centres)
        for y in range(max(top, 0), min(top + size, h)):
            for x in range(max(left, 0), min(left + size, w)):
                cut[i, :, y, x] = 0
    return cut


class Case(NamedTuple):
    step: Step
    slow: Callable[[Tensor, Generator], Tensor]


CASES = {
    "crop": Case(RandomCrop(padding=2), lambda x, g: slow_crop(x, 2, False, g)),
    "crop-beyond": Case(RandomCrop(padding=9), lambda x, g: slow_crop(x, 9, False, g)),
    "crop-reflect": Case(RandomCrop(padding=3, mode="reflect"), lambda x, g: slow_crop(x, 3, True, g)),
    "flip": Case(Flip(), lambda x, g: slow_flip(x, 0.5, g)),
    "flip-rarely": Case(Flip(p=0.1), lambda x, g: slow_flip(x, 0.1, g)),
    "cutout-even": Case(Cutout(size=4), lambda x, g: slow_cutout(x, 4, g)),
    "cutout-odd": Case(Cutout(size=3), lambda x, g: slow_cutout(x, 3, g)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("shape", [(24, 3, 7, 5), (24, 1, 4, 8), (1, 2, 4, 4)])
def test_a_step_is_what_a_loop_over_pixels_does(case: Case, shape: tuple[int, int, int, int]) -> None:
    image, label = numbered(*shape), torch.arange(shape[0])
    before = image.clone()
    batch = case.step.apply({"image": image, "label": label}, {}, seeded(3))
    assert torch.equal(batch["image"], case.slow(before, seeded(3)))
    assert batch["label"] is label and torch.equal(image, before), "what came in is as it was"
    if shape[0] > 1:
        assert not torch.equal(batch["image"], before)
    assert batch["image"].shape == image.shape and batch["image"].dtype == image.dtype


def test_every_window_is_as_likely_as_another() -> None:
    """The place of one bright pixel tells the offset: 81 places, chi-squared below its 99.99 % quantile of 131."""
    image = torch.zeros(20_250, 1, 9, 9)
    image[:, :, 4, 4] = 1
    moved = RandomCrop(padding=4).apply({"image": image}, {}, seeded())["image"]
    found = moved.flatten(1).argmax(1).bincount(minlength=81)
    assert ((found - 250.0) ** 2 / 250).sum() < 131


def test_flips_and_holes_are_as_often_as_they_should_be() -> None:
    image = torch.zeros(20_000, 1, 1, 2)
    image[..., 0] = 1
    for p in (0.5, 0.1):
        share = Flip(p=p).apply({"image": image}, {}, seeded())["image"][..., 1].mean()
        assert abs(share - p) < 4 * (p * (1 - p) / 20_000) ** 0.5
    holes = (Cutout(size=1).apply({"image": torch.ones(20_000, 1, 4, 5)}, {}, seeded())["image"] == 0).float()
    assert (holes.sum((1, 2, 3)) == 1).all(), "in all channels, at one pixel"
    assert (holes.mean(0) - 1 / 20).abs().max() < 4 * (0.05 * 0.95 / 20_000) ** 0.5


def test_the_channels_of_an_image_stay_together_and_images_do_not() -> None:
    image = torch.rand(64, 1, 8, 8).expand(-1, 3, -1, -1).contiguous()
    for step in (RandomCrop(), Flip(), Cutout(size=3)):
        changed = step.apply({"image": image}, {}, seeded())["image"]
        assert torch.equal(changed[:, 0], changed[:, 1]) and torch.equal(changed[:, 0], changed[:, 2])
        same = step.apply({"image": image[:1].expand_as(image)}, {}, seeded())["image"]
        assert len({row.numpy().tobytes() for row in same}) > 1


# In a run.


@pytest.fixture
def loop(registry: Registry) -> Callable[..., Loop]:
    def make(augmentation: tuple[Step, ...] = (RandomCrop(padding=1), Flip()), **options: Any) -> Loop:
        torch.manual_seed(0)
        model = zoo_core.create("toy-classifier", registry=registry, config={"inputs": 16})
        data = registry.open_dataset("toy-grey")
        return Loop(model, data, augmentation=augmentation, **({"epochs": 2.0, "seed": 0, "batch": 16} | options))

    return make


def drawn(trained: Loop) -> Tensor:
    """The first images, as the model gets them at the step at hand."""
    return trained._prepared("x", trained.data.batch("train", torch.arange(16)))["image"]


def test_each_step_of_a_run_draws_anew_and_again_the_same(loop: Callable[..., Loop]) -> None:
    first, second = loop(), loop(accumulate=4)
    for trained in (first, second):
        trained.step()
    assert torch.equal(drawn(first), drawn(second)), "whatever the parts"
    now = drawn(first)
    first.step()
    assert not torch.equal(drawn(first), now)
    assert not torch.equal(drawn(loop(seed=1)), drawn(loop()))
    plain = loop(augmentation=())
    assert torch.equal(drawn(plain), plain.data.batch("train", torch.arange(16))["image"])


def test_the_input_steps_draw_the_same_with_augmentation(registry: Registry) -> None:
    """Augmentation draws from a generator of its own, so that turning it on changes nothing else."""
    draws = []
    for augmentation in ((), (Flip(p=1.0),)):
        model = zoo_core.create("toy", registry=registry, input=[{"step": "binarize"}])
        made = Loop(model, registry.open_dataset("toy-grey"), seed=0, epochs=1.0, augmentation=augmentation)
        made.data.stored["train"]["image"][:] = 2  # the same from both sides
        draws.append(drawn(made))
    assert torch.equal(*draws)


def arguments(**more: Any) -> RunArguments:
    asked = {"model": "toy-classifier", "data": "toy-grey", "epochs": 1.0, "batch": 16, "config": {"inputs": 16}}
    return RunArguments(**(asked | more))


def test_evaluation_never_augments(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start_run(tmp_path / "run", arguments(augment=[{"step": "cutout", "size": 4}]), registry)
    run.train()
    seen = torch.cat([batch["image"] for batch in evaluation_batches(run.model, run.data, "validation", 25)])
    assert torch.equal(seen, run.data.batch("validation", torch.arange(25))["image"])
    assert finish(run).input == []


def test_a_model_may_have_its_own_augmentation_that_the_user_replaces(
    registry: Registry, toy_models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy_models.TiedClassifier, "augmentation", ("crop:padding=1", "flip"))
    own = start_run(tmp_path / "own", arguments(), registry)
    assert own.augmentation == (RandomCrop(padding=1), Flip())
    own.train()
    finish(own)
    release = read_release(tmp_path / "own")
    assert release.training["augmentation"] == "crop:padding=1,mode=zero; flip:p=0.5"
    assert "--augment" not in (release.recipe_text or "")
    asked = start_run(tmp_path / "asked", arguments(augment=[{"step": "cutout", "size": 2}]), registry)
    assert asked.augmentation == (Cutout(size=2),)
    none = start_run(tmp_path / "none", arguments(augment=[]), registry)
    assert none.augmentation == () and training_record(none)["augmentation"] == "none"
    none.close()
    assert resume_run(tmp_path / "none", registry).augmentation == ()


@pytest.mark.parametrize("words", [(), ("none",), ("flip",), ("crop:padding=4,mode=reflect", "flip", "cutout:size=8")])
def test_the_recipe_says_what_was_asked_for(words: tuple[str, ...]) -> None:
    made = arguments(augment=parse_augmentation(words))
    assert read_command(made.command()) == made
    assert made.command().count("--augment") == len(words)
    for word in words:
        assert f"--augment {word}" in made.command()


@pytest.mark.parametrize("kind", (RandomCrop, Flip, Cutout))
def test_a_step_is_read_as_it_is_written(kind: type[Step]) -> None:
    plain = to_plain(kind())
    assert parse_step(step_text(plain)) == plain
    assert read_steps([plain], "here", option="augment") == (kind(),)


@pytest.mark.parametrize(
    ("augment", "words"),
    [
        (("flop",), ("no step named 'flop'", "'flip'")),
        (("crop:size=4",), ("toy-classifier", "size")),
        (("crop:padding=0",), ("padding", ">= 1")),
        (("crop:padding=4,mode=reflect",), ("cannot reflect 4 of 4 pixels",)),
        (("none", "flip"), ("none excludes",)),
        (("flip:p",), ("KEY=VALUE",)),
        (("binarize",), ("no step named 'binarize'",)),
    ],
)
def test_what_cannot_be_is_one_clear_line(
    augment: tuple[str, ...], words: tuple[str, ...], zoo: Callable[..., Any], tmp_path: Path
) -> None:
    options = [word for step in augment for word in ("--augment", step)]
    done = zoo("train", "toy-classifier", "--data", "toy-grey", "--set", "inputs=16", "-o", tmp_path / "new", *options)
    assert done.code == 2 and all(word in done.err for word in words), done.err
    assert not (tmp_path / "new").exists()


def test_data_without_images_and_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="needs a field 'image'"):
        Flip().fields({"vector": Field(kind="vector", shape=(3,))})
    with pytest.raises(RecordError):
        Cutout(size=0)


def test_a_batch_takes_milliseconds() -> None:
    """512 images of CIFAR's size; the processor time is printed (-s), and the bound is wide."""
    batch = {"image": torch.rand(512, 3, 32, 32)}
    for steps in ((RandomCrop(),), (Flip(),), (Cutout(),), (RandomCrop(), Flip(), Cutout())):
        best = float("inf")
        for _ in range(20):
            began = time.process_time()
            changed = batch
            for step in steps:
                changed = step.apply(changed, {}, seeded())
            best = min(best, time.process_time() - began)
        print(f"{'; '.join(type(step).__name__ for step in steps)}: {1000 * best:.1f} ms")
        assert best < 0.05
