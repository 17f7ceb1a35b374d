"""Comparison: the numbers of `zoo eval` side by side, and tests on the same examples that find what is really there."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import zoo_core
from zoo_core.cli.measure.compare import escape, latex_table, plain_table, with_error
from zoo_core.discovery.registry import Registry
from zoo_core.errors import NotComparable, UsageError
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.record import read_record, to_plain
from zoo_core.measuring.comparison import Comparison, _Timed, compare, count_flops, paired_difference
from zoo_core.measuring.evaluation import entries, evaluate, fitting_metrics, measure
from zoo_core.measuring.summary import flop_counter

Write = Callable[..., Path]
Zoo = Callable[..., Any]  # gives an Outcome(code, out, err)


@pytest.fixture(scope="module")
def trained(toy_release: Path, registry: Registry) -> Model:
    return zoo_core.load("toy", registry=registry)


@pytest.fixture
def scaled(trained: Model, registry: Registry, write: Write, tmp_path: Path) -> Callable[..., str]:
    """The reference of the trained toy with its logits multiplied: too sure of itself, or not sure enough."""

    def release(factor: float, *, measured_on: str | None = None, **options: Any) -> str:
        model: Any = zoo_core.create("toy", registry=registry, **options)
        with torch.no_grad():
            model.logit.copy_(trained.logit * factor)
        numbers = []
        if measured_on:
            data = registry.open_dataset(measured_on)
            numbers = entries(
                model, data, "test", measure(model, data, "test", fitting_metrics(model, registry)), registry
            )
        folder = tmp_path / f"scaled_{factor}_{len(list(tmp_path.iterdir()))}"
        return str(write(model, "toy", folder, metrics=numbers))

    return release


@pytest.fixture
def classifiers(registry: Registry, write: Write, tmp_path: Path) -> list[str]:
    """Two classifiers with random weights."""
    references = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = zoo_core.create("toy-classifier", registry=registry)
        references.append(str(write(model, "toy-classifier", tmp_path / f"classifier-{seed}")))
    return references


# Numbers.


def test_the_numbers_are_those_of_eval(scaled: Callable[..., str], registry: Registry) -> None:
    references = ["toy", scaled(2.0)]
    found = compare(references, data="toy-bits", registry=registry)
    assert found.metrics == ["nll", "bits_per_dim"] and found.best == {"bits_per_dim": 0, "nll": 0}
    for reference, row in zip(references, found.rows, strict=True):
        evaluated = evaluate(reference, data="toy-bits", registry=registry).metrics
        assert row.numbers == {entry.metric: entry for entry in evaluated}
        assert (row.reference, row.parameters, row.flops) == (reference, 16, 0)  # its work is elementwise
        assert row.examples_per_second is not None and row.examples_per_second > 0
    assert [row.name for row in found.rows] == ["toy.bits", "toy"]


def test_split_limit_and_metric_are_kept_to(scaled: Callable[..., str], registry: Registry) -> None:
    found = compare(["toy", scaled(2.0)], data="toy-bits", split="train", limit=40, metrics=["NLL"], registry=registry)
    assert found.metrics == ["nll"]
    for row in found.rows:
        protocol = row.numbers["nll"].protocol
        assert (protocol.split, protocol.n) == ("train", 40)
        assert row.examples_per_second is None  # one batch, which is left out
    assert found.rows[1].differences["nll"].n == 40


def test_the_data_is_what_all_have_recorded(scaled: Callable[..., str], registry: Registry) -> None:
    grey = {"input": [{"step": "binarize", "mode": "sample", "seed": 5}]}
    on_bits, on_grey, on_none = (
        scaled(1.5, measured_on="toy-bits"),
        scaled(1.5, measured_on="toy-grey", **grey),
        scaled(1.5),
    )
    found = compare(["toy", on_bits], registry=registry)
    assert found.rows[1].numbers["nll"].protocol.dataset == "toy-bits"
    with pytest.raises(UsageError, match=r"no one data set .*'toy' on toy-bits.* on toy-grey\n.*--data"):
        compare(["toy", on_grey], registry=registry)
    with pytest.raises(UsageError, match=r"on none\n.*--data"):
        compare(["toy", on_none], registry=registry)


def test_the_best_classifier_has_the_highest_accuracy(classifiers: list[str], registry: Registry) -> None:
    found = compare(classifiers, data="toy-grey", registry=registry)
    assert found.metrics == ["accuracy", "log_loss", "brier", "ece"]
    accuracy = [row.numbers["accuracy"].value for row in found.rows]
    log_loss = [row.numbers["log_loss"].value for row in found.rows]
    assert accuracy[0] != accuracy[1]
    assert found.best["accuracy"] == accuracy.index(max(accuracy))
    assert found.best["log_loss"] == log_loss.index(min(log_loss))
    tested = {metric for row in found.rows for metric in row.differences}
    assert tested == {"accuracy", "brier", "log_loss"}  # a calibration error is no mean of examples


def test_flops_are_those_of_one_example(registry: Registry) -> None:
    model = zoo_core.create("toy-classifier", registry=registry).eval()
    data, metric = registry.open_dataset("toy-grey"), registry.new_metric("log_loss")
    assert count_flops(model, data, "test", metric) == 2 * (16 * 16 + 16 * 16 + 16 * 3)


def test_speed_is_the_median_batch_without_the_first(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 20.0, 21.0, 30.0, 32.0, 40.0, 44.0])  # batches of 10, 1, 2 and 4 seconds
    monkeypatch.setattr("zoo_core.measuring.comparison.time.perf_counter", lambda: next(clock))
    timed, model = _Timed(registry.new_metric("nll")), zoo_core.create("toy", registry=registry)
    for _ in range(4):
        timed.update(model, {"image": torch.zeros(8, 1, 4, 4), "index": torch.arange(8)})
    assert timed.examples_per_second() == 4.0
    assert timed.compute().n == 32


def test_progress_goes_over_all_models(scaled: Callable[..., str], registry: Registry) -> None:
    seen: list[tuple[int, int]] = []
    compare(["toy", "toy"], registry=registry, on_batch=lambda done, total: seen.append((done, total)))
    assert seen == [(100, 260), (130, 260), (230, 260), (260, 260)]


def test_each_model_has_its_own_number_of_threads(
    toy_models: Any, toy_release: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(toy_models.IndependentPixels, "cpu_threads", 2)
    monkeypatch.setattr("torch.set_num_threads", asked.append)
    monkeypatch.setattr("torch.get_num_threads", lambda: (asked or [1])[-1])
    compare(["toy", "toy"], registry=registry)
    assert asked == [2, 1, 2, 1]  # and back


# The paired test.


def test_the_paired_test_is_what_its_definition_gives() -> None:
    generator = torch.Generator().manual_seed(0)
    best = torch.randn(50, generator=generator, dtype=torch.float64)
    values = best + 0.1 + 0.5 * torch.randn(50, generator=generator, dtype=torch.float64)
    d = [a - b for a, b in zip(values.tolist(), best.tolist(), strict=True)]
    mean = sum(d) / 50
    stderr = math.sqrt(sum((x - mean) ** 2 for x in d) / 49 / 50)
    # the tails of the standard normal beyond |z|, by the trapezium rule
    z, step = abs(mean / stderr), 1e-4
    tail = sum(math.exp(-((z + step * i) ** 2) / 2) for i in range(100_000)) * step / math.sqrt(2 * math.pi)
    found = paired_difference(values, best)
    assert found.mean == pytest.approx(mean) and found.stderr == pytest.approx(stderr)
    assert found.p == pytest.approx(2 * tail, rel=1e-3)
    assert found.n == 50 and not found.identical


def test_p_is_uniform_where_there_is_no_difference() -> None:
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randn(1000, 2, 100, generator=generator, dtype=torch.float64)
    p = torch.tensor([paired_difference(values, best).p for values, best in pairs])
    for level in (0.05, 0.2, 0.5, 0.8):
        assert (p < level).double().mean().item() == pytest.approx(level, abs=0.05)


def test_a_small_consistent_difference_is_found(scaled: Callable[..., str], registry: Registry) -> None:
    """One that neither standard error would let anybody see."""
    found = compare([scaled(2.0), scaled(2.02)], data="toy-bits", metrics=["nll"], registry=registry)
    better, worse = found.rows
    difference = worse.differences["nll"]
    assert found.best == {"nll": 0} and better.differences == {}
    gap = worse.numbers["nll"].value - better.numbers["nll"].value
    assert difference.mean == pytest.approx(gap) and gap > 0
    assert better.numbers["nll"].stderr is not None and gap < better.numbers["nll"].stderr
    assert difference.p is not None and difference.p < 0.001


def test_a_model_is_the_same_as_itself(toy_release: Path, registry: Registry) -> None:
    found = compare(["toy", "toy.bits"], registry=registry)
    assert found.best == {"bits_per_dim": 0, "nll": 0}
    for difference in found.rows[1].differences.values():
        assert difference.identical and (difference.mean, difference.stderr, difference.p) == (0, 0, 1)


@pytest.mark.parametrize(
    ("values", "mean", "p"),
    [
        ([1.0, 1.0], 1.0, 0.0),  # always the same: no chance
        ([1.0], 1.0, None),  # one example says nothing
        ([math.inf, 0.0], math.inf, None),
        ([-1.0, 1.0], 0.0, 1.0),
    ],
)
def test_edges_of_the_paired_test(values: list[float], mean: float, p: float | None) -> None:
    found = paired_difference(torch.tensor(values), torch.zeros(len(values)))
    assert (found.mean, found.p, found.identical) == (mean, p, False)


# What cannot be compared.


def test_other_input_is_not_comparable(scaled: Callable[..., str], registry: Registry) -> None:
    drawn = scaled(1.0, input=[{"step": "binarize", "mode": "sample", "seed": 5}])
    redrawn = scaled(1.0, input=[{"step": "binarize", "mode": "sample", "seed": 6}])
    with pytest.raises(NotComparable, match=r"input of one is binarize:mode=sample,seed=5.*other binarize:.*seed=6"):
        compare([drawn, redrawn], data="toy-grey", registry=registry)
    with pytest.raises(NotComparable, match=r"of the other the data as it is"):
        compare([drawn, scaled(1.0)], data="toy-bits", registry=registry)
    same = compare([drawn, drawn], data="toy-grey", registry=registry)
    assert all(difference.identical for difference in same.rows[1].differences.values())


THRESHOLD = [{"step": "binarize", "mode": "threshold"}]


def test_what_a_model_cannot_do_is_left_out(
    toy_models: Any,
    scaled: Callable[..., str],
    registry: Registry,
    write: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    density = scaled(1.0, input=THRESHOLD)
    classifier = write(
        zoo_core.create("toy-classifier", registry=registry, input=THRESHOLD), "toy-classifier", tmp_path / "classifier"
    )
    references = [density, str(classifier)]
    with pytest.raises(
        UsageError, match=r"no metric that all .* has nll, bits_per_dim; .* has accuracy, log_loss, brier, ece"
    ):
        compare(references, data="toy-grey", registry=registry)
    with pytest.raises(UsageError, match="no metric that all"):
        compare(references, data="toy-grey", metrics=["accuracy"], registry=registry)

    def log_prob(self: Model, x: torch.Tensor) -> torch.Tensor:
        return -x.flatten(1).sum(1)

    monkeypatch.setattr(toy_models.TiedClassifier, "log_prob", log_prob, raising=False)
    monkeypatch.setattr(toy_models.TiedClassifier, "capabilities", ("Classifier", "Density"))
    found = compare(references, data="toy-grey", metrics=["accuracy", "nll"], registry=registry)
    assert found.metrics == ["accuracy", "nll"] and list(found.best) == ["nll"]
    assert [sorted(row.numbers) for row in found.rows] == [["nll"], ["accuracy", "nll"]]
    assert found.rows[1].flops == 0  # of the metric that both have
    header, rows = plain_table(found)
    assert header[4:] == ["accuracy [fraction]", "nll [nats/example]", "minus the best"]
    assert [row[4] == "-" for row in rows] == [True, False]
    assert sum(line.count(r"\mathbf") for line in latex_table(found).splitlines()) == 1  # nothing to be better than


def test_another_way_of_measuring_is_not_comparable(
    scaled: Callable[..., str], registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def estimators(model: Model, *rest: Any) -> list[Any]:
        ways.append(f"k = {len(ways)}")
        data, split, measured, known = rest
        changed = {name: zoo_core.Measurement(**to_plain(m) | {"estimator": ways[-1]}) for name, m in measured.items()}
        return entries(model, data, split, changed, known)

    ways: list[str] = []
    monkeypatch.setattr("zoo_core.measuring.comparison.entries", estimators)
    with pytest.raises(NotComparable, match=r"was not measured in one way: k = 0, n = 130 and k = 1, n = 130"):
        compare(["toy", scaled(2.0)], data="toy-bits", registry=registry)


# The command.


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("compare", 2, ("two references",)),
        ("compare toy", 2, ("two references",)),
        ("compare toy toyy", 2, ("no model named 'toyy'", "'toy'")),
        ("compare toy toy-gan", 2, ("'toy-gan' has no published weights",)),
        ("compare toy toy --metric nlll", 2, ("no metric named 'nlll'", "'nll'")),
        ("compare toy toy --metric accuracy", 2, ("no metric that all",)),
        ("compare toy toy --data toy-bit", 2, ("no data set named 'toy-bit'", "'toy-bits'")),
        ("compare toy toy --data toy-grey", 2, ("'toy': data set 'toy-grey' does not fit the model", "5 levels")),
        ("compare toy toy --split tests", 2, ("no split 'tests'",)),
        ("compare toy toy --limit 1", 2, ("--limit",)),
        ("compare toy toy --json --latex", 2, ("exclude each other",)),
        ("compare toy toy --device toaster", 2, ("device 'toaster'",)),
        ("compare toy pixelrnn", 2, ("no one data set", "'toy' on toy-bits", "--data")),
        ("compare toy ./absent", 1, ("'absent' is not a release",)),
    ],
)
def test_a_mistake_is_one_clear_line(command: str, code: int, words: tuple[str, ...], zoo: Zoo) -> None:
    found, out, err = zoo(*command.split())
    assert (found, out) == (code, ""), err
    assert err.count("Error: ") == 1 and "Traceback" not in err
    for word in words:
        assert word in err


def test_other_protocols_exit_with_3(scaled: Callable[..., str], zoo: Zoo) -> None:
    drawn = scaled(1.0, input=[{"step": "binarize", "mode": "sample", "seed": 5}])
    code, out, err = zoo("compare", drawn, scaled(1.0, input=THRESHOLD), "--data", "toy-grey")
    assert (code, out) == (3, "")
    assert "mode=sample" in err and "mode=threshold" in err and "Traceback" not in err


def test_the_table_has_one_line_a_reference(scaled: Callable[..., str], zoo: Zoo) -> None:
    other = scaled(2.0)
    code, out, err = zoo("compare", "toy", other, "toy", "--data", "toy-bits")
    assert code == 0, err
    rows = [line.split("\t") for line in out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["toy", other, "toy"]
    assert [row[-1].partition(",")[0] for row in rows][::2] == ["best", "same"]
    assert rows[1][-1].startswith("+") and "p < 0.0001" in rows[1][-1]
    for word in ("toy-bits test, n = 130", "nll: exact", "data as it is", "normal approximation"):
        assert word in err
    assert "too small" not in err
    assert "too small for so few" in zoo("compare", "toy", other, "--data", "toy-bits", "--limit", 20).err


def test_json_is_exact_and_reads_back(scaled: Callable[..., str], zoo: Zoo) -> None:
    other = scaled(2.0)
    code, out, err = zoo("compare", "toy", other, "--data", "toy-bits", "--json")
    assert (code, err) == (0, "")
    found = read_record(Comparison, json.loads(out), "stdout")
    assert to_plain(found) == json.loads(out)
    evaluated = evaluate(other, data="toy-bits").metrics
    assert found.rows[1].numbers == {entry.metric: entry for entry in evaluated}


def test_latex_is_a_tabular_that_escapes_names(scaled: Callable[..., str], zoo: Zoo) -> None:
    other = scaled(2.0)
    code, out, err = zoo("compare", "toy", other, "--data", "toy-bits", "--latex")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    comments = [line for line in lines if line.startswith("%")]
    assert lines[: len(comments)] == comments and "toy-bits test, n = 130" in comments[0]
    assert lines[len(comments)] == r"\begin{tabular}{lrrrrr}" and lines[-1] == r"\end{tabular}"
    assert [line for line in lines if line.endswith("rule")] == [r"\toprule", r"\midrule", r"\bottomrule"]
    title, first, second = (line for line in lines if line.endswith(r"\\"))
    assert r"bits\_per\_dim [bits/dim]" in title
    assert second.startswith(other.replace("_", r"\_") + " & 16 & 0 & ")
    assert first.count(r"$\mathbf{") == 2 and r"\mathbf" not in second
    assert second.count(r" \pm ") == 2
    assert {line.count(" & ") for line in (title, first, second)} == {5}


def test_text_is_escaped_for_latex() -> None:
    assert escape("50%_a&b {x} #1 $2 ~/c^2\\") == (
        r"50\%\_a\&b \{x\} \#1 \$2 \textasciitilde{}/c\textasciicircum{}2\textbackslash{}"
    )


@pytest.mark.parametrize(
    ("value", "stderr", "text"),
    [
        (82.5512, 0.195, "82.55 ± 0.20"),
        (0.98123, 0.00135, "0.9812 ± 0.0014"),
        (81234.5, 120.0, "81234 ± 120"),
        (80.123456, None, "80.1235"),
        (1.9459101, 0.0, "1.94591"),
    ],
)
def test_numbers_are_rounded_to_their_standard_error(value: float, stderr: float | None, text: str) -> None:
    assert with_error(value, stderr) == text


def test_flops_are_counted_as_the_summary_counts_them() -> None:
    """torch's own counter takes a fused LSTM for no work at all."""
    lstm = torch.nn.LSTM(3, 5, batch_first=True)
    with torch.no_grad(), flop_counter() as counter:
        lstm(torch.zeros(1, 7, 3))
    assert counter.get_total_flops() == 2 * 7 * 4 * 5 * (3 + 5)
