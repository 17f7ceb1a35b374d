"""Publishing: a release passes the gate and arrives whole, in one commit, or nothing is changed."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo_core
from zoo_core.discovery.registry import Registry
from zoo_core.errors import UsageError, WeightsError, ZooError
from zoo_core.hub.integrity import sha256_of
from zoo_core.publishing.manifest_entry import put_entry
from zoo_core.publishing.push import Pushed, push
from zoo_core.releases.card import evaluation_results, model_card
from zoo_core.releases.release import read_release
from zoo_core.weights.manifest import Manifest, read_manifest

# The client's own, of its HTTP library.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

MODEL = "model.safetensors"
WRITES = "POST|PUT|DELETE"
Zoo = Callable[..., Any]


@pytest.fixture
def marker() -> str:
    """A token that may write."""
    return "hf_theMarkerThatNobodyElseMaySee"


@pytest.fixture
def hub(peer: Any, gate_here: None, marker: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A hub with an empty repository me/toy, to which the token opens the door."""
    monkeypatch.setenv("HF_TOKEN", marker)
    peer.add("me/toy", {".gitattributes": b""})
    return peer


@pytest.fixture
def publish(registry: Registry, toy_release: Path) -> Callable[..., Pushed]:
    def pushed(reference: object = None, target: str = "hf:me/toy", **options: Any) -> Pushed:
        return push(str(reference or toy_release), target, registry=registry, **options)

    return pushed


def is_right(reference: str, registry: Registry, toy_release: Path, **options: Any) -> bool:
    model = zoo_core.load(reference, registry=registry, **options)
    return torch.equal(model.logit.detach(), load_file(toy_release / MODEL)["logit"])


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads((folder / "config.json").read_text())
    change(data)
    (folder / "config.json").write_text(json.dumps(data))


def pin(folder: Path, name: str) -> None:
    entry = {"sha256": sha256_of(folder / name), "bytes": (folder / name).stat().st_size}
    edit(folder, lambda data: data["files"].update({name: entry}))


# To a hub.


def test_what_is_pushed_is_loaded_elsewhere(
    hub: Any, publish: Callable[..., Pushed], registry: Registry, toy_release: Path, elsewhere: Callable[[], Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    done = publish(message="First")
    head = hub.repos["me/toy"].branches["main"]
    assert done.done and done.source == f"hf:me/toy@{head}"
    assert {c.name: c.what for c in done.plan.changes}[MODEL] == "new" and done.plan.changes[-1].name == "config.json"
    assert hub.repos["me/toy"].log == ["", "First"]  # one commit
    published = hub.files("me/toy")
    assert set(published) == {
        "samples.png",
        ".gitattributes", ".eval_results/toy-bits.yaml", "README.md", "config.json", "golden.safetensors", MODEL,
    }  # fmt: skip
    elsewhere()
    for reference in ("hf:me/toy", done.source):
        assert is_right(reference, registry, toy_release)
    manifest = tmp_path / "new.toml"
    manifest.write_text(done.entry or "")
    (pinned,) = read_manifest(manifest)
    assert pinned.name == "toy.toy" and pinned.entry.sources == [done.source]
    assert is_right("toy.toy", registry, toy_release, manifest=Manifest([manifest]))


def test_what_is_there_already_is_not_sent_again(hub: Any, publish: Callable[..., Pushed]) -> None:
    first = publish()
    hub.heal()
    again = publish()
    assert again.done and not again.plan.sends and again.source == first.source and again.entry == first.entry
    assert not hub.asked(WRITES) and all(request.body == 0 for request in hub.requests)


def test_only_what_has_changed_is_sent(hub: Any, publish: Callable[..., Pushed], release: Path) -> None:
    publish(release)
    hub.heal()
    edit(release, lambda data: data.update(summary="Better said"))
    done = publish(release)
    assert [change.name for change in done.plan.changes if change.what == "changed"] == ["config.json"]
    assert not hub.asked("PUT|batch")


def test_a_conflict_is_explained_and_nothing_overwritten(
    hub: Any, publish: Callable[..., Pushed], files_of: Callable[[Path], dict[str, bytes]], toy_release: Path
) -> None:
    others = {**files_of(toy_release), "README.md": b"mine was first"}
    hub.before_commit = lambda: hub.repos["me/toy"].commit(others)
    with pytest.raises(ZooError) as error:
        publish()
    assert "newer commit" in error.value.message and "push again" in (error.value.hint or "")
    assert hub.files("me/toy") == others
    hub.before_commit = lambda: None
    assert publish().done and hub.files("me/toy")["README.md"] == (toy_release / "README.md").read_bytes()


def test_what_arrived_is_compared(hub: Any, publish: Callable[..., Pushed]) -> None:
    repository = hub.repos["me/toy"]
    honest = repository.commit

    def forgetful(files: dict[str, bytes], *more: Any) -> str:
        return str(honest({**files, MODEL: files[MODEL][:-1] + b"?", "README.md": b"?"}, *more))

    repository.commit = forgetful
    with pytest.raises(WeightsError, match=r"not what was sent: .*README\.md"):
        publish()


def test_a_repository_is_made_only_when_asked_for(hub: Any, publish: Callable[..., Pushed]) -> None:
    with pytest.raises(UsageError, match="there is no repository me/new"):
        publish(target="hf:me/new")
    assert "me/new" not in hub.repos
    assert publish(target="hf:me/new", create=True, private=True).plan.creates
    assert hub.repos["me/new"].private and MODEL in hub.files("me/new")
    assert publish(target="hf:me/new", private=True).done
    with pytest.raises(UsageError, match="everybody may see it"):
        publish(private=True)


def test_a_private_release_is_for_those_with_the_token(
    hub: Any, publish: Callable[..., Pushed], registry: Registry, toy_release: Path, elsewhere: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    publish(target="hf:me/secret", create=True, private=True)
    elsewhere()
    assert is_right("hf:me/secret", registry, toy_release)
    elsewhere()
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ZooError, match=r"there is no me/secret .*or it is private"):
        is_right("hf:me/secret", registry, toy_release)


def test_another_branch_grows_from_main(hub: Any, publish: Callable[..., Pushed], release: Path) -> None:
    publish()
    before = hub.files("me/toy")
    edit(release, lambda data: data.update(summary="An experiment"))
    plans = []
    publish(release, branch="dev", confirm=lambda plan: plans.append(plan) or False)
    assert "dev" not in hub.repos["me/toy"].branches
    assert "(dev)" in plans[0].target and {c.what for c in plans[0].changes} == {"same", "changed"}
    publish(release, target="hf:me/toy@dev")
    assert hub.files("me/toy") == before and json.loads(hub.files("me/toy", "dev")["config.json"]) != json.loads(
        before["config.json"]
    )


@pytest.mark.parametrize(
    ("token", "fault", "words"),
    [
        ("hf_wrong", None, "does not know this token"),
        ("hf_reader", None, r"does not let this token do that .*\(403\)"),
        ("", None, r"wants a token for that \(401\)"),
        (None, ("GET /api/models", 503), "out of order"),
        (None, ("POST .*commit", 503), "out of order"),
        (None, ("POST .*commit", 429), "too many requests"),
        (None, ("PUT", 400), "answered 400"),
        (None, ("PUT", 503), "out of order"),
        (None, ("POST .*preupload", 403), r"\(403\)"),
    ],
)
def test_a_push_that_fails_is_one_clear_line_and_changes_nothing(
    token: str | None, fault: tuple[str, int] | None, words: str, hub: Any, zoo: Zoo, toy_release: Path,
    marker: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    if fault:
        hub.fail(fault[0], "status", at=fault[1])
    before = hub.files("me/toy")
    code, out, err = zoo("push", toy_release, "hf:me/toy", "--yes")
    assert (code, out) == (1, "") and re.search(words, err), err
    assert [line for line in err.splitlines() if line.startswith("Error")] == err.splitlines()[-2:-1]
    assert "Traceback" not in err and marker not in err and hub.files("me/toy") == before


def test_a_line_that_breaks_while_weights_are_sent_is_mended(hub: Any, publish: Callable[..., Pushed]) -> None:
    hub.fail("PUT", "reset", times=1)
    hub.fail("POST .*batch", "status", at=503, times=1)
    assert publish().done and MODEL in hub.files("me/toy")


# The command.


def test_push_shows_what_it_does_and_prints_the_entry(hub: Any, zoo: Zoo, toy_release: Path) -> None:
    code, out, err = zoo("push", toy_release, "hf:me/toy")
    assert code == 0, err
    assert out.startswith('["toy.toy"]\n') and f"hf:me/toy@{hub.repos['me/toy'].branches['main']}" in out
    assert re.search(rf"new +{MODEL} +[\d,]+ bytes", err) and "Published: hf:me/toy@" in err
    assert "%|" not in err and "Warning" not in err  # the client draws nothing of its own
    code, again, err = zoo("push", toy_release, "hf:me/toy")
    assert (code, again) == (0, out) and re.search(rf"same +{MODEL}", err) and "Already there" in err


def test_a_dry_run_changes_nothing(hub: Any, zoo: Zoo, toy_release: Path, tmp_path: Path) -> None:
    before = hub.files("me/toy")
    for target in ("hf:me/toy", "hf:me/new", f"file://{tmp_path}/hub/toy"):
        code, out, err = zoo("push", toy_release, target, "--dry-run", "--create")
        assert (code, out) == (0, "") and "new      model.safetensors" in err and "Nothing was sent" in err
    assert not hub.asked(WRITES) and hub.files("me/toy") == before and not (tmp_path / "hub").exists()


def test_it_asks_at_a_terminal_only(hub: Any, zoo: Zoo, toy_release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    terminal = SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr("zoo_core.cli.share.push.sys", SimpleNamespace(stdin=terminal, stderr=terminal))
    monkeypatch.setattr("click.confirm", lambda question, err: asked.append(question))
    code, out, err = zoo("push", toy_release, "hf:me/toy")
    assert (code, out) == (0, "") and "Nothing was sent" in err and asked == ["Publish this?"]
    assert not hub.asked(WRITES)
    assert zoo("push", toy_release, "hf:me/toy", "--yes").out and len(asked) == 1


def test_update_manifest_gives_a_manifest_that_loads(
    hub: Any, zoo: Zoo, toy_release: Path, registry: Registry, tmp_path: Path, elsewhere: Callable[[], Path]
) -> None:
    path = tmp_path / "family.toml"
    path.write_text("# ours\n")
    assert zoo("push", toy_release, "hf:me/toy", "--unmeasured", "--update-manifest", path).code == 0
    elsewhere()
    assert path.read_text().startswith("# ours\n")
    assert is_right("toy.toy", registry, toy_release, manifest=Manifest([path]))


def test_an_entry_that_pins_the_same_files_gets_a_source_more(
    hub: Any, publish: Callable[..., Pushed], toy_release: Path, toy_site: Path, tmp_path: Path, registry: Registry
) -> None:
    path = tmp_path / "family.toml"
    other = '["toy.other"]\n' + "\n".join((toy_site / "zoo_toy" / "toy.toml").read_text().splitlines()[2:]).replace(
        '"toy.bits"', '"toy.other"'
    )
    mine = (toy_site / "zoo_toy" / "toy.toml").read_text().strip() + "\nreproduce = {seeds = 3, mean = 9.0, std = 0.1}"
    path.write_text(f"{mine}\n\n{other}\n")
    done = publish("toy.bits")
    put_entry(path, done.entry or "")
    bits, kept = read_manifest(path)
    assert bits.entry.default and bits.entry.metrics[-1].reproduce and kept.name == "toy.other"
    assert bits.entry.sources == ["package:zoo_toy/weights/toy.bits", done.source]
    put_entry(path, (done.entry or "").replace('summary = "', 'summary = "x').replace("README", "README2"))
    bits, kept = read_manifest(path)
    assert bits.entry.default and bits.entry.sources == [done.source] and bits.entry.summary.startswith("x")
    text = path.read_text()
    put_entry(
        path, (done.entry or "").replace('summary = "', 'default = true\nsummary = "x').replace("README", "README2")
    )
    assert path.read_text() == text  # a default that says so is one too
    with pytest.raises(ZooError):
        put_entry(path, (done.entry or "").replace("sha256", "sha257"))
    assert path.read_text() == text


# The gate.


def not_finite(folder: Path) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(folder / MODEL).items()}
    tensors["logit"][0, 0, 0] = float("nan")
    save_file(tensors, folder / MODEL, metadata={"format": "pt"})
    pin(folder, MODEL)


def pickled(folder: Path) -> None:
    torch.save({"logit": torch.zeros(1, 4, 4)}, folder / MODEL)
    pin(folder, MODEL)


def extra(name: str) -> Callable[[Path], None]:
    def add(folder: Path) -> None:
        (folder / name).write_bytes(b"{}")
        pin(folder, name)

    return add


def other_golden(folder: Path) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(folder / "golden.safetensors").items()}
    tensors["output.log_prob"] += 1
    save_file(tensors, folder / "golden.safetensors", metadata={"format": "pt"})
    pin(folder, "golden.safetensors")


def linked(name: str) -> Callable[[Path], None]:
    def link(folder: Path) -> None:
        (folder / name).rename(folder.parent / f"secret-{name}")
        (folder / name).symlink_to(folder.parent / f"secret-{name}")

    return link


def licence(what: str) -> Callable[[Path], None]:
    return lambda folder: edit(folder, lambda data: data["licence"].update({what: "NOASSERTION"}))


GATE: list[tuple[Callable[[Path], object], str]] = [
    (not_finite, "holds NaN or infinity"),
    (pickled, "looks like a pickle"),
    (extra("weights.pkl"), "'weights.pkl', which is not a file of a release"),
    (extra("weights.bin"), "'weights.bin', which is not a file of a release"),
    (extra("a b.json"), "'a b.json', which is not a file of a release"),
    (extra("ü.md"), "'ü.md', which is not a file of a release"),
    (other_golden, "golden test"),
    (linked(MODEL), "is a link"),
    (linked("config.json"), "is a link"),
    (licence("weights"), "no licence of the weights"),
    (licence("data"), "no licence of the data"),
    (lambda f: edit(f, lambda d: d["licence"].update(weights="")), "licence"),
    (lambda f: edit(f, lambda d: d["metrics"][0].update(value=1.0)), "does not give the numbers"),
    (lambda f: edit(f, lambda d: [m["protocol"].update(n=7) for m in d["metrics"]]), "--unmeasured publishes without"),
    (lambda f: edit(f, lambda d: d["config"].update(height=5)), "does not fit the model"),
    (lambda f: (f / MODEL).write_bytes(b""), "truncated"),
    (lambda f: (f / "README.md").unlink(), "is missing"),
]


@pytest.mark.parametrize(("damage", "words"), GATE, ids=[words for _, words in GATE])
def test_what_does_not_pass_the_gate_is_one_line_and_not_sent(
    damage: Callable[[Path], object], words: str, hub: Any, zoo: Zoo, release: Path
) -> None:
    damage(release)
    code, out, err = zoo("push", release, "hf:me/toy", "--yes")
    assert (code, out) == (1, ""), err
    (line,) = (line for line in err.splitlines() if line.startswith("Error: "))
    assert words in line and "Traceback" not in err
    assert not hub.asked(WRITES)


def unlicensed(folder: Path) -> None:
    """As training leaves it where nobody stated a licence."""
    edit(folder, lambda data: data["licence"].update(code="NOASSERTION", weights="NOASSERTION", data="NOASSERTION"))
    edit(folder, lambda data: data["recipe"].update(licence="NOASSERTION"))


def test_licences_that_are_missing_are_told_at_once_and_can_be_given(
    zoo: Zoo, release: Path, gate_here: None, tmp_path: Path
) -> None:
    unlicensed(release)
    before = (release / "config.json").read_bytes()
    command = ("push", release, f"file://{tmp_path}/share", "--yes")
    code, _, err = zoo(*command)
    assert code == 1 and "no licence of the weights and no licence of the data is stated" in err
    assert "--licence" in err and "--data-licence" in err and not (tmp_path / "share").exists()
    code, out, err = zoo(*command, "--licence", "MIT", "--data-licence", "CC-BY-4.0")
    assert code == 0, err
    assert 'weights = "MIT"' in out and (release / "config.json").read_bytes() == before
    sent = read_release(tmp_path / "share")
    assert (sent.licence.weights, sent.licence.data, sent.licence.code) == ("MIT", "CC-BY-4.0", "Apache-2.0")
    assert "--licence MIT" in (sent.recipe_text or "")
    card = (tmp_path / "share" / "README.md").read_text()
    assert "license: mit" in card and "weights MIT, training data CC-BY-4.0" in card
    assert zoo("verify", tmp_path / "share")[0] == 0


def test_a_stated_licence_is_not_changed_by_pushing(publish: Callable[..., Pushed], hub: Any, release: Path) -> None:
    with pytest.raises(UsageError, match=r"CC0-1\.0, not MIT"):
        publish(release, licence="MIT")
    with pytest.raises(UsageError, match="not an SPDX"):
        publish(release, data_licence="free-for-all!")
    assert not hub.asked(WRITES)
    assert publish(release, licence="CC0-1.0").done


def test_unmeasured_is_told_in_the_card_and_all_hashes_fit(
    hub: Any, publish: Callable[..., Pushed], release: Path, registry: Registry, elsewhere: Callable[[], Path]
) -> None:
    edit(release, lambda data: data["metrics"][0].update(value=1.0))
    before = {path.name: path.read_bytes() for path in release.iterdir()}
    done = publish(release, unmeasured=True)
    published = hub.files("me/toy")
    assert b"not measured again" in published["README.md"] and b"not measured again" not in before["README.md"]
    assert {path.name: path.read_bytes() for path in release.iterdir()} == before
    elsewhere()
    zoo_core.load("hf:me/toy", registry=registry)  # which checks every hash
    assert json.loads(published["config.json"])["files"]["README.md"]["bytes"] == len(published["README.md"])
    assert f"bytes = {len(published['config.json'])}" in (done.entry or "")
    hub.heal()
    assert not publish(release, unmeasured=True).plan.sends


def test_a_data_set_whose_name_leads_elsewhere_is_refused(
    hub: Any, publish: Callable[..., Pushed], release: Path
) -> None:
    edit(release, lambda data: data["metrics"][0]["protocol"].update(dataset="../../evil"))
    with pytest.raises(WeightsError, match="name of no file"):
        publish(release, unmeasured=True)
    assert not hub.asked(WRITES)


def test_the_card_is_what_the_hub_reads(toy_release: Path, registry: Registry) -> None:
    from huggingface_hub import ModelCard

    release = read_release(toy_release)
    data = ModelCard(model_card(release)).data
    assert (data.library_name, data.license, data.tags) == ("zoo", "cc0-1.0", ["zoo", "toy", "zoo-toy"])
    assert data.eval_results is not None
    found = {result.metric_type: (result.dataset_name, result.metric_value) for result in data.eval_results}
    assert found == {entry.metric: ("toy-bits", entry.value) for entry in release.metrics}
    import yaml

    (results,) = evaluation_results(release).values()
    assert [entry["value"] for entry in yaml.safe_load(results)] == [entry.value for entry in release.metrics]
    assert "toy.png" in model_card(zoo_with_picture(toy_release))


def zoo_with_picture(folder: Path) -> Any:
    import msgspec

    release = read_release(folder)
    return msgspec.structs.replace(release, files={**release.files, "toy.png": release.files["README.md"]})


def test_a_release_without_a_card_gets_one(
    hub: Any, publish: Callable[..., Pushed], release: Path, registry: Registry, toy_release: Path
) -> None:
    edit(release, lambda data: data["files"].pop("README.md"))
    publish(release)
    assert hub.files("me/toy")["README.md"].startswith(b"---\nlibrary_name: zoo")
    assert is_right("hf:me/toy", registry, toy_release)


# A folder is a hub too.


@pytest.fixture(params=["file", "memory", "path"])
def place(request: pytest.FixtureRequest, tmp_path: Path, gate_here: None, own_cache: Path) -> Iterator[str]:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.store.clear()
    yield {"file": f"file://{tmp_path}/the share/toy", "memory": "memory://share/toy", "path": f"{tmp_path}/p/toy"}[
        request.param
    ]
    memory.store.clear()


def test_a_folder_is_a_hub(
    place: str, publish: Callable[..., Pushed], registry: Registry, toy_release: Path, release: Path, own_cache: Path
) -> None:
    done = publish(target=place)
    assert done.done and is_right(place, registry, toy_release)
    assert done.source is not None and f'sources = ["{done.source}"]' in (done.entry or "")
    assert not publish(target=place).plan.sends
    edit(release, lambda data: data.update(summary="Replaced"))
    assert [c.name for c in publish(release, place).plan.changes if c.what != "same"] == ["config.json"]
    report = zoo_core.load(done.source, registry=registry).load_report
    assert report is not None and read_release(Path(report.folder)).summary == "Replaced"


def test_a_folder_that_is_away_leaves_what_was_seen_last(
    publish: Callable[..., Pushed], registry: Registry, toy_release: Path, tmp_path: Path, gate_here: None,
    own_cache: Path,
) -> None:  # fmt: skip
    url = f"file://{tmp_path}/share/toy"
    publish(target=url)
    assert is_right(url, registry, toy_release)
    (tmp_path / "share").rename(tmp_path / "away")
    report = zoo_core.load(url, registry=registry).load_report
    assert report is not None and report.source == f"{url}, as last seen"
    with pytest.raises(ZooError, match="it does not exist"):
        zoo_core.load(f"file://{tmp_path}/share/never", registry=registry)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ZooError, match=r"has no config\.json"):
        zoo_core.load(f"file://{tmp_path}/empty", registry=registry)
    with pytest.raises(ZooError, match="HF_HUB_OFFLINE forbids it"):
        zoo_core.load("s3://x/y", registry=registry)


def test_a_folder_with_wrong_bytes_is_refused_and_nothing_kept(
    publish: Callable[..., Pushed], registry: Registry, toy_release: Path, tmp_path: Path, gate_here: None,
    own_cache: Path,
) -> None:  # fmt: skip
    share = tmp_path / "share"
    publish(target=f"file://{share}")
    good = {path.read_bytes() for path in share.rglob("*") if path.is_file()}
    for name in (MODEL, "golden.safetensors", "README.md"):
        whole = (share / name).read_bytes()
        for tenth in range(10):
            place = len(whole) * tenth // 10
            for bad in (whole[:place], whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]):
                (share / name).write_bytes(bad)
                with pytest.raises(ZooError, match=f"share/{name}"):
                    zoo_core.load(f"file://{share}", registry=registry)
                kept = [path for path in (own_cache / "releases").rglob("*") if path.is_file()]
                assert {path.read_bytes() for path in kept} <= good
        (share / name).write_bytes(whole)
    assert is_right(f"file://{share}", registry, toy_release)


def test_a_push_to_a_folder_that_fails_leaves_the_old_release(
    publish: Callable[..., Pushed], registry: Registry, toy_release: Path, release: Path, tmp_path: Path,
    gate_here: None, own_cache: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    url = f"file://{tmp_path}/share"
    publish(target=url)
    edit(release, lambda data: data.update(summary="Replaced"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zoo_core.publishing.push.shutil", SimpleNamespace(copyfileobj=full))
    with pytest.raises(ZooError, match="No space left"):
        publish(release, url)
    assert is_right(url, registry, toy_release)


def test_readers_never_see_a_mix(
    publish: Callable[..., Pushed], registry: Registry, toy_release: Path, release: Path, tmp_path: Path,
    gate_here: None, own_cache: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """After every single step of a push that replaces a release: one of the two, or one clear line."""
    from fsspec.implementations.local import LocalFileSystem

    share = tmp_path / "share"
    publish(target=f"file://{share}")
    tensors = {name: tensor + 1 for name, tensor in load_file(release / MODEL).items()}
    (release / MODEL).unlink()
    save_file(tensors, release / MODEL, metadata={"format": "pt"})
    pin(release, MODEL)
    edit(release, lambda data: data.update(metrics=[], golden=None))
    seen = []

    def look() -> None:
        try:
            model = zoo_core.load(f"file://{share}", registry=registry)
        except ZooError:
            seen.append("error")
        else:
            seen.append("old" if torch.equal(model.logit, load_file(toy_release / MODEL)["logit"]) else "new")
            assert seen[-1] == "old" or torch.equal(model.logit, tensors["logit"])

    for name in ("mv", "rm_file"):
        step = getattr(LocalFileSystem, name)

        def and_look(*arguments: Any, step: Any = step, **options: Any) -> None:
            step(*arguments, **options)
            look()

        monkeypatch.setattr(LocalFileSystem, name, and_look)
    publish(release, f"file://{share}")
    look()
    assert seen[-1] == "new" and set(seen) <= {"old", "error", "new"}
    assert seen == sorted(seen, key=["old", "error", "new"].index)  # once gone, the old one does not come back


@pytest.mark.parametrize("target", ["toy", "package:zoo_toy/x", "nonsense://x/y", "a/b/c"])
def test_a_target_that_is_none_is_told(target: str, hub: Any, zoo: Zoo, toy_release: Path) -> None:
    code, _, err = zoo("push", toy_release, target, "--yes")
    assert code == 2 and "Traceback" not in err


# With processes.


def zoo_run(options: dict[str, Any]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(**options, capture_output=True, timeout=120)


@pytest.mark.slow
def test_the_gate_is_another_process(
    peer: Any, toy_release: Path, release: Path, zoo_process: Callable[..., dict[str, Any]], marker: str
) -> None:
    peer.add("me/toy", {})
    not_finite(release)
    for folder, code, words in ((release, 1, "Error: not published: "), (toy_release, 0, "Published: hf:me/toy@")):
        done = zoo_run(zoo_process("push", folder, "hf:me/toy", "--token", marker, "--yes"))
        assert done.returncode == code and words in done.stderr, done.stderr
        assert "Traceback" not in done.stderr and marker not in done.stderr + done.stdout
        assert code == 0 or ("NaN" in done.stderr and not peer.asked(WRITES))
    assert MODEL in peer.files("me/toy") and "%|" not in done.stderr


DRIVER = """
import sys
import zoo_core.publishing.push as push
push.pass_gate = lambda *a, **k: None
from zoo_core.cli.main import main
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_killed_push_leaves_nothing_half_visible(
    peer: Any, big_release: Callable[[int], Path], zoo_process: Callable[..., dict[str, Any]], marker: str,
    tmp_path: Path, registry: Registry, own_cache: Path,
) -> None:  # fmt: skip
    folder, share = big_release(20), tmp_path / "share"
    peer.add("me/big", {"README.md": b"before"})

    def start(target: str) -> "subprocess.Popen[str]":
        options = zoo_process("push", folder, target, "--token", marker, "--yes")
        options["args"] = [sys.executable, "-c", DRIVER, *options["args"][3:]]
        return subprocess.Popen(**options, stdout=-1, stderr=-1)

    def kill_when(process: "subprocess.Popen[str]", condition: Callable[[], object]) -> None:
        until = time.monotonic() + 60
        while not condition():
            assert process.poll() is None and time.monotonic() < until, process.communicate()
            time.sleep(0.002)
        process.kill()
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL

    for pattern in ("preupload", "POST .*verify", "PUT"):
        peer.heal()
        peer.objects.clear()
        peer.fail(pattern, "slow", seconds=1.0)
        kill_when(start("hf:me/big"), lambda pattern=pattern: peer.asked(pattern))
        assert peer.files("me/big") == {"README.md": b"before"}
    peer.heal()
    process = start("hf:me/big")
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 0 and set(peer.files("me/big")) >= {MODEL, "config.json"}, err

    kill_when(start(f"file://{share}"), lambda: list(share.glob(f"{MODEL}.part")))
    assert not (share / "config.json").exists() and not (share / MODEL).exists()
    with pytest.raises(ZooError, match=r"has no config\.json"):
        zoo_core.load(f"file://{share}", registry=registry)
    process = start(f"file://{share}")
    assert process.communicate(timeout=60)[0] and process.returncode == 0
    assert sha256_of(share / MODEL) == sha256_of(folder / MODEL) and not list(share.rglob("*.part"))


@pytest.mark.slow
@pytest.mark.skipif(find_spec("zoo_hub_server") is None, reason="plugins/hub-server is not installed")
def test_from_end_to_end_with_the_hub_of_a_lab(
    peer: Any, toy_release: Path, zoo_process: Callable[..., dict[str, Any]], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, elsewhere: Callable[[], Path],
) -> None:  # fmt: skip
    folder = tmp_path / "lab"

    def hub(*arguments: object) -> dict[str, Any]:
        options = zoo_process(*arguments)
        options["args"] = [sys.executable, "-c", "from zoo_hub_server.commands import hub; hub()", *options["args"][3:]]
        return options

    server = subprocess.Popen(**hub("serve", folder, "--port", 0), stdout=-1, stderr=-1)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:"), server.communicate()
        token = zoo_run(hub("add-user", folder, "alice")).stdout.split()[-1]
        reader = zoo_run(hub("add-user", folder, "bob", "--role", "read")).stdout.split()[-1]
        monkeypatch.setenv("HF_ENDPOINT", url)

        def zoo(*arguments: object, token: str | None = None, **environment: str) -> Any:
            options = zoo_process(*arguments)
            options["env"] |= {**({"HF_TOKEN": token} if token else {}), **environment}
            return zoo_run(options)

        push = ("push", toy_release, "hf:alice/toy", "--yes")
        assert zoo(*push, "--create", "--private", token="hf_wrong").returncode == 1
        assert zoo(*push, "--create", "--private", token=reader).returncode == 1
        done = zoo(*push, "--create", "--private", token=token)
        assert done.returncode == 0 and "Published: hf:alice/toy@" in done.stderr, done.stderr
        again = zoo(*push, token=token)
        assert "Already there" in again.stderr and again.stdout == done.stdout, again.stderr
        elsewhere()
        refused = zoo("load", "hf:alice/toy")
        assert refused.returncode == 2 and "private" in refused.stderr
        assert zoo("load", "hf:alice/toy", token=token).returncode == 0
        server.terminate()
        server.communicate(timeout=30)
        offline = zoo("load", "hf:alice/toy", HF_HUB_OFFLINE="1")
        assert offline.returncode == 0 and offline.stdout.startswith("toy: "), offline.stderr
        assert token not in "".join(str(run) for run in (done, again, refused, offline)).replace(str(push), "")
    finally:
        server.kill()
        server.communicate()
