"""Training that starts from weights: what is taken, what is fresh, what stays frozen, and who the ancestors are."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.errors import UnfinishedRun, UsageError, WeightsError, ZooError
from zoo_core.hub.integrity import sha256_of
from zoo_core.publishing.bundle import bundle, unbundle
from zoo_core.releases.card import model_card
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.release import read_release
from zoo_core.releases.run_folder import checkpoints
from zoo_core.training.few_examples import FewExamples
from zoo_core.training.finishing import finish
from zoo_core.training.interrupt import Interrupted
from zoo_core.training.observer import Observer
from zoo_core.training.opening import resume_run, start_run
from zoo_core.training.reproduce import reproduce
from zoo_core.training.run import Run

Trained = Callable[..., Path]

SOURCE = {  # what a parent learned from
    "toy": "toy-bits",
    "toy-classifier": "toy-grey",
    "toy-gan": "toy-grey",
    "system-aae": "toy-grey",
    "system-cyclegan": "toy-grey",
    "system-staged": "toy-grey",
    "system-lbfgs": "toy-grey",
    "system-averaged": "toy-grey",
    "system-calibrated": "toy-grey",
    "system-vocabulary": "toy-grey",
    "system-words": "system-sentences",
    "system-boxes": "system-boxes",
    "system-bags": "system-bags",
    "system-texts": "system-reviews",
    "system-player": "none",
    "system-whitening": "none",
}
NEW: dict[str, dict[str, Any]] = {  # what its child learns from, where that is something else, and how
    "toy": {"data": "toy-shades", "input": [{"step": "binarize", "mode": "sample"}]},
    "toy-classifier": {"data": "toy-shades", "head": True, "freeze": ["first.*"]},
    "toy-gan": {"data": "toy-bits"},
    "system-aae": {"data": "toy-bits"},
    "system-averaged": {"freeze": ["hidden.*", "norm.*"]},
    "system-texts": {"data": "system-replies"},
}
children = pytest.mark.parametrize("name", SOURCE)


def length(name: str) -> dict[str, Any]:
    return {"steps": 8} if SOURCE[name] == "none" else {"epochs": 2}


@pytest.fixture(scope="module")
def parent(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Trains a model on its first data, once."""
    known: dict[str, Path] = {}

    def train(name: str) -> Path:
        if name not in known:
            folder = known[name] = tmp_path_factory.mktemp(name) / "parent"
            steps = [{"step": "toy-tokens"}] if name == "system-texts" else []
            asked = RunArguments(
                model=name, data=SOURCE[name], input=steps, batch=16, seed=3, licence="CC0-1.0", **length(name)
            )
            run = start_run(folder, asked, registry)
            run.train()
            finish(run)
        return known[name]

    return train


@pytest.fixture
def own(parent: Trained, own_cache: Path, tmp_path: Path) -> Trained:
    """A parent that a test may damage."""
    return lambda name: shutil.copytree(parent(name), tmp_path / "own")


def asked(name: str, start: Path | str, **more: Any) -> RunArguments:
    given = {"model": name, "start": str(start), "data": SOURCE[name], "batch": 16, **length(name)}
    return RunArguments(**(given | NEW.get(name, {}) | more))


def tensors(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


# What is taken.


@children
def test_a_run_begins_with_the_tensors_config_steps_and_artifacts_of_its_parent(
    name: str, parent: Trained, registry: Registry, tmp_path: Path
) -> None:
    source = zoo_core.load(str(parent(name)), registry=registry)
    arguments = asked(name, parent(name))
    run = start_run(tmp_path / "run", arguments, registry)
    run.loop.enter_stages()  # what a stage fits without gradients is the parent's too
    for key, tensor in run.model.state_dict().items():
        fresh = arguments.head and key.startswith("classify.")
        assert fresh or torch.equal(tensor, source.state_dict()[key]), key
    assert run.model.artifacts() == source.artifacts()
    assert [type(step).__name__ for step in run.model.input][len(arguments.input) :] == [
        type(step).__name__ for step in source.input
    ]


@children
def test_a_child_that_is_stopped_and_resumed_ends_with_the_same_bytes(
    name: str, parent: Trained, registry: Registry, tmp_path: Path
) -> None:
    class Stop(Observer):
        def __init__(self, run: Run, step: int) -> None:
            self.run, self.step = run, step

        def on_step(self, progress: float, seconds: float, report: dict[str, float]) -> None:
            if self.run.loop.step_number == self.step:
                self.run.loop.requests["stop"] = True

    arguments = asked(name, parent(name))
    whole = start_run(tmp_path / "whole", arguments, registry)
    whole.train()
    finish(whole)
    for step in (1, 5):
        folder = tmp_path / f"cut-{step}"
        run = start_run(folder, arguments, registry)
        with pytest.raises(Interrupted):
            run.train(Stop(run, step))
        assert checkpoints(folder)
        torch.manual_seed(step)
        again = resume_run(folder, registry)
        again.train()
        finish(again)
        assert (folder / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
        assert again.curve == whole.curve
    release = read_release(tmp_path / "whole")
    assert release.recipe == whole.arguments and release.recipe.start == str(parent(name))
    zoo_core.load(str(tmp_path / "whole"), registry=registry)  # strict


def test_a_new_head_has_the_classes_of_the_data_and_the_layers_below_are_the_parents(
    parent: Trained, registry: Registry, tmp_path: Path
) -> None:
    folder = parent("toy-classifier")
    trained = zoo_core.train(
        data="toy-shades", start=str(folder), head=True, epochs=30, lr=0.01, output=tmp_path / "run", registry=registry
    )
    assert trained.release.zoo.model == "toy-classifier"
    assert tensors(tmp_path / "run")["classify.weight"].shape == (4, 16)
    (accuracy,) = (entry.value for entry in trained.metrics if entry.metric == "accuracy")
    assert accuracy > 0.9  # its four classes, of which the parent knew none


def test_what_is_frozen_keeps_its_values_to_the_bit_and_the_rest_learns(
    parent: Trained, registry: Registry, tmp_path: Path
) -> None:
    folder = parent("system-averaged")
    frozen = ("hidden", "norm")  # with the running statistics of the norm, which are buffers
    run = start_run(tmp_path / "run", asked("system-averaged", folder, batch=8), registry)
    run.train()
    finish(run)
    was, now = tensors(folder), tensors(tmp_path / "run")
    assert {key for key in was if not torch.equal(was[key], now[key])} == {"classify.weight", "classify.bias"}
    assert all(key.startswith(frozen) for key in was if torch.equal(was[key], now[key]))


def test_a_pattern_that_matches_all_leaves_a_new_head_to_train(
    parent: Trained, registry: Registry, tmp_path: Path
) -> None:
    run = start_run(tmp_path / "run", asked("toy-classifier", parent("toy-classifier"), freeze=["*"]), registry)
    left = [name for name, parameter in run.model.named_parameters() if parameter.requires_grad]
    assert left == ["classify.weight", "classify.bias"]


def test_without_frozen_layers_everything_learns(parent: Trained, registry: Registry, tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", asked("toy-classifier", parent("toy-classifier"), freeze=[]), registry)
    run.train()
    was = tensors(parent("toy-classifier"))
    moved = {key for key, tensor in run.model.state_dict().items() if not torch.equal(tensor, was.get(key, tensor))}
    assert {"first.weight", "first.bias", "second.bias"} <= moved


# Who the ancestors are.


@pytest.fixture(scope="module")
def line(parent: Trained, registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Three generations."""
    folder = tmp_path_factory.mktemp("line")
    first = parent("toy-classifier")
    for name, start, more in (
        ("second", first, {"head": True, "data": "toy-shades"}),
        ("third", folder / "second", {"freeze": ["first.*", "second.*"], "data": "toy-shades"}),
    ):
        zoo_core.train(start=str(start), epochs=1, output=folder / name, registry=registry, **more)  # type: ignore[arg-type]
    return first, folder / "second", folder / "third"


def test_a_release_names_its_ancestors_with_their_hashes(line: tuple[Path, Path, Path]) -> None:
    first, second, third = line
    parent, grandparent = read_release(third).ancestors
    assert (parent.reference, parent.model_sha256) == (str(second), sha256_of(second / "model.safetensors"))
    assert (grandparent.reference, grandparent.config_sha256) == (str(first), sha256_of(first / "config.json"))
    assert (parent.frozen, parent.new_head) == (["first.*", "second.*"], False)
    assert (grandparent.frozen, grandparent.new_head) == ([], True)


def test_info_and_the_card_show_the_line(line: tuple[Path, Path, Path], zoo: Callable[..., Any]) -> None:
    first, second, third = line
    out = zoo("info", third).out
    for folder in (first, second):
        assert str(folder) in out and sha256_of(folder / "model.safetensors")[:12] in out
    origin = [line.strip() for line in out.splitlines() if line.strip().startswith("from ")]
    assert [str(folder) in each for folder, each in zip((second, first), origin, strict=True)] == [True, True]
    assert "first.*" in origin[0] and "new head" in origin[1]
    assert [each["reference"] for each in json.loads(zoo("info", third, "--json").out)["ancestors"]] == [
        str(second), str(first),
    ]  # fmt: skip
    assert str(first) in (third / "README.md").read_text()


def test_the_card_names_a_parent_on_a_hub_as_the_hub_reads_it(line: tuple[Path, Path, Path]) -> None:

    release = read_release(line[1])
    front = yaml.safe_load(model_card(release).split("---\n")[1])
    assert "base_model" not in front  # a folder is nothing that a hub could link to
    (ancestor,) = release.ancestors
    on_hub = msgspec.structs.replace(ancestor, reference="hf:me/digits@" + "0" * 40)
    front = yaml.safe_load(model_card(msgspec.structs.replace(release, ancestors=[on_hub])).split("---\n")[1])
    assert (front["base_model"], front["base_model_relation"]) == ("me/digits", "finetune")


def test_the_weights_have_the_licence_of_their_parent_and_come_of_both_data(
    line: tuple[Path, Path, Path], parent: Trained, registry: Registry, tmp_path: Path
) -> None:
    licence = read_release(line[2]).licence
    assert (licence.weights, licence.data) == ("CC0-1.0", "CC0-1.0 AND CC-BY-4.0")
    run = start_run(tmp_path / "run", asked("toy", parent("toy"), licence="MIT"), registry)
    run.train()
    assert finish(run).licence.weights == "MIT"


def test_an_interrupted_child_is_a_model_to_look_at(
    parent: Trained, registry: Registry, tmp_path: Path, zoo: Callable[..., Any]
) -> None:
    run = start_run(tmp_path / "run", asked("system-texts", parent("system-texts")), registry)
    run.loop.step()
    run._save()
    run.close()
    assert str(parent("system-texts")) in zoo("info", tmp_path / "run").out
    with pytest.warns(UnfinishedRun):
        model = zoo_core.load(str(tmp_path / "run"), registry=registry)
    assert [type(step).__name__ for step in model.input] == ["Tokens"]  # which only the parent's recipe names


def test_reproducing_verifies_the_parent_before_anything_is_trained(
    parent: Trained, registry: Registry, own: Trained, tmp_path: Path
) -> None:
    start = own("toy-classifier")
    run = start_run(tmp_path / "run", asked("toy-classifier", start), registry)
    run.train()
    finish(run)
    found = reproduce(str(tmp_path / "run"), registry=registry)
    assert {result.verdict for result in found} == {"same"}
    config = json.loads((start / "config.json").read_text())
    (start / "config.json").write_text(json.dumps(config | {"summary": "another"}))
    with pytest.raises(WeightsError, match=r"another release now: the sha256 of its config\.json was"):
        reproduce(str(tmp_path / "run"), registry=registry, run_one=lambda run: pytest.fail("it was trained"))
    shutil.rmtree(start)
    with pytest.raises(WeightsError, match="cannot be had here"):
        reproduce(str(tmp_path / "run"), registry=registry, run_one=lambda run: pytest.fail("it was trained"))


@pytest.fixture
def child(own: Trained, registry: Registry, tmp_path: Path) -> tuple[Path, Path]:
    """A release and the one that it was trained from, of the same model."""
    start = own("toy-classifier")
    run = start_run(tmp_path / "run", asked("toy-classifier", start, epochs=1), registry)
    run.train()
    finish(run)
    return tmp_path / "run", start


def test_a_bundle_is_enough_to_train_again_what_was_trained_from_a_folder(
    child: tuple[Path, Path], registry: Registry, tmp_path: Path, zoo: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder, start = child
    contents = bundle([str(folder)], tmp_path / "lab.tar", registry=registry)
    digest = sha256_of(start / "config.json")
    assert list(contents.releases) == ["toy-classifier", f"toy-classifier-{digest[:12]}"] and not contents.orphans
    assert f"parent {start}\tok" in zoo("doctor", folder).out
    for gone in (folder, start):
        shutil.rmtree(gone)
    unbundle(tmp_path / "lab.tar", tmp_path / "lab")
    there = str(tmp_path / "lab" / "toy-classifier")
    assert zoo_core.load(there, registry=registry)  # which does not take its parent
    assert f"parent\tMISSING\t'{there}' was trained from '{start}', which cannot be had" in zoo("doctor", there).out
    monkeypatch.setenv("ZOO_MIRROR", str(tmp_path / "lab"))
    assert f"parent {start}\tok" in zoo("doctor", there).out
    assert {found.verdict for found in reproduce(there, registry=registry)} == {"same"}


def test_a_release_whose_parent_is_gone_is_packed_without_it_and_that_is_told(
    child: tuple[Path, Path], tmp_path: Path, zoo: Callable[..., Any]
) -> None:
    folder, start = child
    shutil.rmtree(start)
    tar = tmp_path / "lab.tar"
    for arguments in (["bundle", folder, "-o", tar], ["unbundle", tar, tmp_path / "lab"]):
        code, _, err = zoo(*arguments)
        assert code == 0 and f"Note: zoo reproduce toy-classifier will not work there: '{folder}' was" in err
    assert zoo("load", tmp_path / "lab" / "toy-classifier").code == 0


@pytest.mark.parametrize("damage", ["gone", "altered", "retrained"])
def test_a_run_whose_parent_is_gone_or_altered_is_not_resumed(
    damage: str, own: Trained, registry: Registry, tmp_path: Path
) -> None:
    start = own("toy-classifier")
    start_run(tmp_path / "run", asked("toy-classifier", start), registry).close()
    words = "another release now"
    if damage == "gone":
        shutil.rmtree(start)
        words = "cannot be had here"
    elif damage == "altered":
        content = bytearray((start / "model.safetensors").read_bytes())
        content[-1] ^= 1
        (start / "model.safetensors").write_bytes(content)
        words = "sha256"
    else:
        shutil.rmtree(start)
        zoo_core.train("toy-classifier", data="toy-grey", epochs=1, output=start, registry=registry)
    with pytest.raises(WeightsError, match=words) as caught:
        resume_run(tmp_path / "run", registry)
    assert str(start) in caught.value.message and caught.value.hint


def test_a_run_is_resumed_from_another_folder_than_it_was_started_in(
    own: Trained, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own("toy-classifier")
    monkeypatch.chdir(tmp_path)
    start_run(tmp_path / "run", asked("toy-classifier", "./own"), registry).close()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = resume_run(tmp_path / "run", registry)
    run.train()
    (ancestor,) = finish(run).ancestors
    assert ancestor.reference == "./own"  # as it was asked for: a release tells nobody where a home folder is


# Bad input.

BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "another model": ("toy-classifier", {"model": "toy"}, "is a release of toy-classifier, not of toy"),
    "no head": ("system-averaged", {"head": True, "freeze": []}, "has no head that could be replaced"),
    "head without classes": ("toy-classifier", {"data": "toy-bits"}, "needs labels with named classes"),
    "other classes": ("system-vocabulary", {"data": "toy-shades"}, "has other classes of 'label' than"),
    "a head that is missing": ("toy-classifier", {"head": False}, r"'classify\.weight' has shape \(3, 16\)"),
    "other images": ("toy", {"data": "digits"}, r"'logit' has shape \(1, 4, 4\) in .*height is 8, not 4"),
    "another size by --set": ("toy", {"config": {"height": 5}}, r"height is 5, not 4"),
    "frozen name": ("toy-classifier", {"freeze": ["fist.*"]}, r"no parameter has a name like 'fist\.\*'"),
    "a frozen new head": ("toy-classifier", {"freeze": ["classify.*"]}, "freezes the new head only"),
    "everything frozen": ("toy-classifier", {"data": "toy-grey", "head": False, "freeze": ["*"]}, "leaves nothing to"),
    "one optimizer frozen": ("toy-gan", {"freeze": ["generator.*"]}, "of the optimizer 'g' are frozen"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_started_from_is_refused_with_what_to_do(
    case: str, parent: Trained, registry: Registry, tmp_path: Path
) -> None:
    name, change, words = BAD[case]
    with pytest.raises(ZooError, match=words) as caught:
        start_run(tmp_path / "run", asked(name, parent(name), **change), registry)
    assert "\n" not in caught.value.message and not (tmp_path / "run").exists()
    if case == "frozen name":
        assert caught.value.hint is not None and "first.weight" in caught.value.hint


def test_a_head_and_frozen_names_need_weights_to_start_from() -> None:
    for change in ({"head": True}, {"freeze": ["*"]}):
        with pytest.raises(ZooError, match="need weights to start from: --from REFERENCE"):
            RunArguments(model="toy", epochs=1, **change)


def test_a_model_that_is_fitted_at_once_does_not_start_from_weights(registry: Registry, tmp_path: Path) -> None:
    zoo_core.train("markov-chain", data="toy-bits", epochs=1, output=tmp_path / "parent", registry=registry)
    with pytest.raises(UsageError, match="is fitted to its data at once"):
        zoo_core.train(
            start=str(tmp_path / "parent"), data="toy-bits", epochs=1, output=tmp_path / "run", registry=registry
        )


def test_a_run_that_has_not_ended_is_no_parent(registry: Registry, tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", RunArguments(model="toy", data="toy-bits", epochs=1), registry)
    run.loop.step()
    run._save()
    run.close()
    with pytest.raises(WeightsError, match="is not a release yet") as caught:
        zoo_core.train(
            start=str(tmp_path / "run"), data="toy-bits", epochs=1, output=tmp_path / "child", registry=registry
        )
    assert caught.value.hint and "--resume" in caught.value.hint


# The command.


def test_the_command_starts_from_weights_and_says_so(zoo: Callable[..., Any], parent: Trained, tmp_path: Path) -> None:
    start, run = parent("toy-classifier"), tmp_path / "run"
    code, _, err = zoo(
        "train", "--from", start, "--head", "--freeze", "first.*", "--data", "toy-shades", "--epochs", 1, "-o", run,
    )  # fmt: skip
    assert code == 0 and "a new head" in err and "parameters frozen" in err and "licence" in err
    assert f"--from {start} --head --freeze 'first.*' --data toy-shades" in zoo("info", run).out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ("train --from nowhere --data toy-grey -o OUT", 2, "nowhere"),
        ("train toy --head --data toy-bits -o OUT", 2, "--from REFERENCE"),
        ("train toy --from PARENT --data toy-shades -o OUT", 2, "not of toy"),
        ("train --from PARENT --freeze fist.* --head --data toy-shades -o OUT", 2, "first"),
    ],
)
def test_the_command_refuses_in_one_line(
    words: str, code: int, message: str, zoo: Callable[..., Any], parent: Trained, tmp_path: Path
) -> None:
    text = words.replace("PARENT", str(parent("toy-classifier"))).replace("OUT", str(tmp_path / "run"))
    done = zoo(*text.split())
    assert done.code == code and message in done.err and "Traceback" not in done.err
    assert not (tmp_path / "run").exists()


# A model that holds another release.


def test_a_child_holds_the_same_release_as_its_parent(parent: Trained, registry: Registry, tmp_path: Path) -> None:
    def train(name: str, **more: Any) -> zoo_core.Trained:
        return zoo_core.train(data="toy-grey", steps=2, output=tmp_path / name, registry=registry, **more)

    backbone = f"folder:{parent('system-averaged')}"
    release = train("parent", model="system-probe", config={"backbone": backbone}).release
    child = train("child", start=str(tmp_path / "parent"))
    assert child.release.dependencies == release.dependencies and child.model.config.backbone == backbone
    with pytest.raises(UsageError, match="keeps what it depends on, and --set cannot change that"):
        train("other", start=str(tmp_path / "parent"), config={"backbone": "system-averaged"})


# Some examples of each class.


def test_of_each_class_so_many_examples_are_drawn_with_the_seed(registry: Registry) -> None:
    data = registry.open_dataset("toy-shades")
    few = FewExamples(data, 3, seed=0)
    batch = few.batch("train", torch.arange(few.size("train")))
    assert few.size("train") == 12 and batch["label"].bincount().tolist() == [3, 3, 3, 3]
    assert few.data_sha256("train") == FewExamples(data, 3, seed=0).data_sha256("train")
    assert few.data_sha256("train") != FewExamples(data, 3, seed=1).data_sha256("train")
    assert few.data_sha256("validation") == data.data_sha256("validation") and few.size("test") == data.size("test")
    with pytest.raises(UsageError, match=r"--per-class 60: 'toy-shades' has .* examples of 'black'"):
        FewExamples(data, 60, seed=0)
    assert few.chosen.unique().equal(few.chosen)
    with pytest.raises(UsageError, match="no labels with named classes"):
        FewExamples(registry.open_dataset("toy-bits"), 1, seed=0)


def test_a_run_on_some_examples_of_each_class_is_made_again_from_its_recipe(
    zoo: Callable[..., Any], registry: Registry, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = zoo(
        "train", "toy-classifier", "--data", "toy-shades", "--per-class", 2, "--epochs", 2, "--seed", 4, "-o", run
    )
    assert done.code == 0, done.err
    assert "--per-class 2" in zoo("info", run).out and read_release(run).training["steps"] == 2
    assert {result.verdict for result in reproduce(str(run), registry=registry)} == {"same"}
