"""Metrics of codes and of generated images: against closed forms, slow references and scikit-learn."""

import copy
import hashlib
import math
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.distributions import MultivariateNormal

from zoo_core import (
    Dataset,
    Field,
    Metric,
    Model,
    Record,
    TensorDataset,
    UsageError,
    ZooError,
    create,
    default_registry,
)
from zoo_metrics import bounds, generated, prior_fit
from zoo_metrics.bounds import Elbo, ImportanceWeightedNll
from zoo_metrics.generated import ClassifierScore, FrechetClassifier, divergences, frechet_distance, gaussian
from zoo_metrics.linear_probe import LinearProbe, logistic_regression
from zoo_metrics.prior_fit import SCALES, PriorMmd, mmd2, null_estimates, squared_size
from zoo_metrics.reconstruction import ReconstructionError

D, Z = 4, 2


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Blobs(TensorDataset):
    """Vectors of four numbers in [0, 1] and their class: sorted by class, as some published sets are."""

    name: ClassVar[str] = "blobs"

    def __init__(self, n: int = 300, labels: bool = True) -> None:
        features = {"image": Field(kind="image", shape=(1, 2, 2), range=(0, 1))}
        splits: dict[str, dict[str, Tensor]] = {}
        for seed, split in enumerate(("train", "test")):
            label = torch.arange(n) * 3 // n
            image = 0.2 + 0.3 * label[:, None] + 0.05 * noise(n, 4, seed=seed)
            splits[split] = {"image": image.float().view(n, 1, 2, 2), "label": label}
            if not labels:
                del splits[split]["label"]
        if labels:
            features["label"] = Field(kind="label", dtype="int64", classes=("a", "b", "c"))
        super().__init__(features, splits)


class LinearGaussian(Model):
    """p(z) = N(0, I), p(x|z) = N(W z + m, s^2 I) and q(z|x) = N(A (x - m), t^2 I): log p(x) is known."""

    def __init__(self, widened: float = 1.0) -> None:
        super().__init__(Record())
        self.register_buffer("W", noise(D, Z, seed=5))
        self.register_buffer("m", torch.full((D,), 0.5, dtype=torch.float64))
        self.s = 0.5
        precision = torch.eye(Z, dtype=torch.float64) + self.W.T @ self.W / self.s**2
        self.covariance = torch.linalg.inv(precision)  # of the exact posterior
        self.A = self.covariance @ self.W.T / self.s**2
        self.t = widened * self.covariance.diagonal().mean().sqrt()

    def signature(self) -> dict[str, Field]:
        return {"image": Field(kind="image", shape=(1, 2, 2))}

    def encode(self, x: Tensor) -> Tensor:
        return (x.flatten(1).double() - self.m) @ self.A.T

    def decode(self, z: Tensor) -> Tensor:
        return (z @ self.W.T + self.m).view(-1, 1, 2, 2)

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    def sample_prior(self, n: int, *, generator: Generator | None = None) -> Tensor:
        return torch.randn(n, Z, generator=generator, dtype=torch.float64)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        return self.decode(self.sample_prior(n, generator=generator))

    def log_prob(self, x: Tensor) -> Tensor:
        covariance = self.W @ self.W.T + self.s**2 * torch.eye(D)
        return MultivariateNormal(self.m, covariance).log_prob(x.flatten(1).double())

    def elbo(self, x: Tensor, *, samples: int = 1, generator: Generator | None = None) -> Tensor:
        mean = self.encode(x)
        z = mean[:, None] + self.t * self.draws(len(x), samples, generator)
        normal = torch.distributions.Normal
        log_p = normal(0, 1).log_prob(z).sum(2)
        log_p += normal(z @ self.W.T + self.m, self.s).log_prob(x.flatten(1).double()[:, None]).sum(2)
        log_q = normal(mean[:, None], self.t).log_prob(z).sum(2)
        return (log_p - log_q).logsumexp(1) - math.log(samples)

    def draws(self, n: int, samples: int, generator: Generator | None) -> Tensor:
        return torch.randn(n, samples, Z, generator=generator, dtype=torch.float64)


def measured(
    metric: Any, model: Model, data: Dataset, sizes: int = 100, n: int | None = None, begun: bool = False
) -> Any:
    """The metric after it has seen the first n of the test split in batches of this size."""
    n = n or data.size("test")
    if not begun:
        metric.begin(model, data, "test", n)
    with torch.no_grad():
        for indices in torch.arange(n).split(sizes):
            metric.update(model, data.batch("test", indices) | {"index": indices})
    return metric


def in_two_processes(kind: Callable[[], Metric], model: Model, data: Dataset) -> Any:
    """Each takes every second batch, and the metrics travel as bytes."""
    n = data.size("test")
    ranks = [kind(), kind()]
    for rank, metric in enumerate(ranks):
        metric.begin(model, data, "test", n)
        with torch.no_grad():
            for number, indices in enumerate(torch.arange(n).split(100)):
                if number % 2 == rank:
                    metric.update(model, data.batch("test", indices) | {"index": indices})
    first, second = pickle.loads(pickle.dumps(ranks))
    first.merge(second)
    return first


# Bounds.


def test_bounds_come_up_to_the_likelihood_and_never_pass_it() -> None:
    model, data = LinearGaussian(widened=2.0), Blobs(200)
    nll = -model.log_prob(data.batch("test", torch.arange(200))["image"]).mean().item()
    elbo = measured(Elbo(), model, data).compute()
    bound = {k: measured(ImportanceWeightedNll(k), model, data).compute() for k in (10, 1000)}
    assert nll < bound[10].value < -elbo.value
    assert bound[1000].value == pytest.approx(nll, abs=0.01) and bound[10].value > nll + 0.02
    assert elbo.n == 200 and elbo.stderr > 0
    assert bound[1000].estimator == "importance-weighted, k = 1000, seed 0"


def test_the_elbo_is_the_likelihood_less_the_divergence_to_the_posterior() -> None:
    model, data = LinearGaussian(), Blobs(3000)
    x = data.batch("test", torch.arange(3000))["image"]
    q = MultivariateNormal(torch.zeros(Z).double(), model.t**2 * torch.eye(Z).double())
    p = MultivariateNormal(torch.zeros(Z).double(), model.covariance)
    expected = (model.log_prob(x) - torch.distributions.kl_divergence(q, p)).mean().item()
    found = measured(Elbo(), model, data).compute()
    assert found.value == pytest.approx(expected, abs=0.1)  # 3,000 draws


def test_the_estimate_with_many_codes_in_parts_is_that_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Averaging the bounds of the parts, instead of the weights, would give the one of fewer codes."""
    seen: list[int] = []

    class OneByOne(LinearGaussian):
        def draws(self, n: int, samples: int, generator: Generator | None) -> Tensor:
            seen.append(samples)
            one_by_one = [torch.randn(Z, generator=generator, dtype=torch.float64) for _ in range(samples)]
            return torch.stack(one_by_one)[None]

    model, data, k = OneByOne(widened=2.0), Blobs(50), 21
    at_once = measured(ImportanceWeightedNll(k), model, data).examples()
    assert seen == [k] * 50
    seen.clear()
    monkeypatch.setattr(bounds, "ROWS", 4)
    in_parts = measured(ImportanceWeightedNll(k), model, data).examples()
    torch.testing.assert_close(in_parts, at_once, rtol=1e-9, atol=1e-9)
    assert sum(seen) == 50 * k and min(seen) > 1 and max(seen) <= 4


def test_an_importance_weighted_number_does_not_depend_on_batches() -> None:
    model, data = LinearGaussian(), Blobs(30)
    whole, cut = (measured(ImportanceWeightedNll(20), model, data, sizes=size).examples() for size in (30, 7))
    torch.testing.assert_close(whole, cut, rtol=1e-12, atol=1e-12)


def test_images_that_are_alike_get_different_noise() -> None:
    model, data = LinearGaussian(), Blobs(200)
    data.stored["test"]["image"][:] = 0.3
    assert len(measured(Elbo(), model, data).examples().unique()) == 200


# Reconstruction.


def test_the_error_of_a_reconstruction_is_per_value() -> None:
    model, data = LinearGaussian(), Blobs(150)
    x = data.batch("test", torch.arange(150))["image"]
    found = measured(ReconstructionError(), model, data).compute()
    loop = [sum((a - b) ** 2 for a, b in zip(one, two, strict=True)) / D for one, two in pairs(model.reconstruct(x), x)]
    assert found.value == pytest.approx(sum(loop) / 150, rel=1e-9) and found.n == 150


def pairs(*images: Tensor) -> Any:
    return zip(*(i.flatten(1).tolist() for i in images), strict=True)


# The fit of codes to a prior.


def test_mmd_of_three_points_worked_by_hand() -> None:
    """x = {0, 1}, y = {0, 2, 3} on a line: squared distances 1 within x; 4, 9, 1 within y; 0, 4, 9, 1, 1, 4 between."""

    def k(squared: float) -> float:
        return sum(s * 2.0 / (s * 2.0 + squared) for s in SCALES)

    within_y = (k(4) + k(9) + k(1)) / 3
    between = (k(0) + k(4) + k(9) + k(1) + k(1) + k(4)) / 6
    x, y = (torch.tensor(points, dtype=torch.float64)[:, None] for points in ([0, 1], [0, 2, 3]))
    assert mmd2(x, y, 2.0) == pytest.approx(k(1) + within_y - 2 * between, rel=1e-12)


def test_the_estimate_is_unbiased() -> None:
    """With the pairs of a point with itself it would be 7 (1/n + 1/m) or so too large: far outside the spread."""
    found = torch.tensor([mmd2(noise(20, 3, seed=i), noise(30, 3, seed=1000 + i), 6.0) for i in range(400)])
    assert abs(found.mean()) < 4 * found.std() / 20 and found.min() < 0


def test_the_null_is_that_of_fresh_draws() -> None:
    n, generator = 100, torch.Generator().manual_seed(3)
    fresh = torch.tensor([mmd2(noise(n, 3, seed=i), noise(n, 3, seed=1000 + i), 6.0) for i in range(200)])
    halves = null_estimates(noise(2 * n, 3, seed=9), 6.0, generator)
    assert halves.std().item() == pytest.approx(fresh.std().item(), rel=0.3)
    assert abs(halves.mean()) < 4 * halves.std() / math.sqrt(len(halves))


def test_a_half_of_the_pool_gives_the_estimate_between_the_halves() -> None:
    pool, n = noise(12, 2), 6
    order = torch.rand(12, prior_fit.SPLITS, generator=torch.Generator().manual_seed(1)).argsort(0)
    found = null_estimates(pool, 4.0, torch.Generator().manual_seed(1))
    for split in range(5):
        mine = order[:, split] < n
        assert found[split].item() == pytest.approx(mmd2(pool[mine], pool[~mine], 4.0), abs=1e-12)


def test_the_size_of_a_gaussian_prior_is_that_of_the_paper() -> None:
    assert squared_size(3 * noise(20000, 5)) == pytest.approx(2 * 5 * 9, rel=0.03)
    x = noise(7, 3)
    distances = [(x[i] - x[j]).square().sum().item() for i in range(7) for j in range(7) if i != j]
    assert squared_size(x) == pytest.approx(sum(distances) / 42)


class Coded(LinearGaussian):
    """Its code is the image itself, as far as the prior of the test goes."""

    shift = 0.0

    def encode(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :Z].double() + self.shift


def normal_blobs(n: int) -> Blobs:
    data = Blobs(n)
    data.stored["test"]["image"] = noise(n, 1, 2, 2, seed=77)
    return data


def test_codes_that_follow_the_prior_are_inside_the_null() -> None:
    model, data = Coded(), normal_blobs(800)
    found = measured(PriorMmd(), model, data).compute()
    assert abs(found.value) < 3 * found.beside["null sd"] and (found.n, found.stderr) == (800, None)
    model.shift = 0.3
    assert measured(PriorMmd(), model, data).compute().value > 10 * found.beside["null sd"]


def test_the_examples_are_drawn_with_a_seed_and_not_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prior_fit, "N", 100)
    metric = measured(PriorMmd(), LinearGaussian(), Blobs(300))
    found = metric.compute()
    assert found.n == 100 and torch.equal(metric.chosen, measured(PriorMmd(), LinearGaussian(), Blobs(300)).chosen)
    assert (Blobs(300).stored["test"]["label"][metric.chosen].bincount() > 20).all()  # the first 100 are of one class
    assert measured(PriorMmd(), LinearGaussian(), Blobs(300), sizes=7).compute().value == pytest.approx(found.value)


def test_an_encoder_with_noise_gives_draws() -> None:
    """The mean of every code is 0, and the draws follow the prior."""

    class Noisy(Coded):
        def encode(self, x: Tensor, *, generator: Generator | None = None) -> Tensor:
            return (
                torch.zeros(len(x), Z).double() if generator is None else self.sample_prior(len(x), generator=generator)
            )

    found = measured(PriorMmd(), Noisy(), normal_blobs(500)).compute()
    assert abs(found.value) < 4 * found.beside["null sd"]


def test_a_prior_without_an_encoder_cannot_be_measured() -> None:
    class Generating(Model):
        def sample_prior(self, n: int, *, generator: Generator | None = None) -> Tensor:
            return torch.zeros(n, Z)

    with pytest.raises(UsageError, match="no encoder"):
        PriorMmd().begin(Generating(Record()), Blobs(), "test", 10)


# The probe.


def test_codes_that_a_line_separates_are_all_right() -> None:
    found = measured(LinearProbe(), LinearGaussian(), Blobs(300)).compute()
    assert found.value == 1.0 and found.n == 300
    assert found.estimator == "logistic regression on standardised codes, L2 1/n, fitted on train (n = 300)"


def test_the_probe_learns_from_train_and_not_from_what_it_measures() -> None:
    data = Blobs(300)
    data.stored["train"]["label"] = (data.stored["train"]["label"] + 1) % 3
    assert measured(LinearProbe(), LinearGaussian(), data).compute().value == 0.0


def test_a_probe_learns_from_no_label_that_is_to_be_ignored_and_is_measured_by_none() -> None:
    data = Blobs(300)
    expected = measured(LinearProbe(), LinearGaussian(), data).compute()
    data.features = data.features | {"label": Field(kind="label", dtype="int64", ignore=9)}
    for split, fields in data.stored.items():
        void = torch.arange(40)
        data.stored[split] = {
            "image": torch.cat([fields["image"], fields["image"][void]]),
            "label": torch.cat([fields["label"], torch.full((40,), 9)]),
        }
    found = measured(LinearProbe(), LinearGaussian(), data).compute()
    assert found.value == expected.value and found.n == expected.n == 300 and found.estimator == expected.estimator


def test_the_probe_is_the_optimum_that_scikit_learn_finds() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    labels = torch.arange(400) % 4
    codes = noise(400, 5) * torch.tensor([1.0, 10, 0.1, 1, 0]) + torch.nn.functional.one_hot(labels, 5) + 3
    weight, bias = logistic_regression(codes, labels)
    spread = codes.std(0)
    spread[4] = codes[:, 4].std()
    standardised = (codes - codes.mean(0)) / torch.where(spread > 0, spread, 1.0)
    theirs = linear_model.LogisticRegression(C=1.0, tol=1e-8, max_iter=10000).fit(standardised.numpy(), labels.numpy())
    p = torch.from_numpy(theirs.predict_proba(standardised.numpy()))
    torch.testing.assert_close((codes @ weight + bias).softmax(1), p, rtol=1e-4, atol=1e-4)


def test_a_number_that_is_always_the_same_does_no_harm() -> None:
    codes = torch.cat([noise(60, 1), torch.full((60, 1), 5.0)], 1)
    weight, bias = logistic_regression(codes, (codes[:, 0] > 0).long())
    assert torch.isfinite(weight).all() and torch.isfinite(bias).all()
    assert ((codes @ weight + bias).argmax(1) == (codes[:, 0] > 0)).all()


def test_a_probe_needs_labels_and_a_train_split() -> None:
    with pytest.raises(UsageError, match="'blobs' has no field 'label'"):
        LinearProbe().begin(LinearGaussian(), Blobs(labels=False), "test", 10)
    data = Blobs()
    data.splits = ("test",)
    with pytest.raises(UsageError, match="'blobs' has no train split"):
        LinearProbe().begin(LinearGaussian(), data, "test", 10)


# Generated images.


def test_the_distance_between_two_gaussians_that_do_not_commute() -> None:
    """Against the definition with the root of the product; a shortcut by the two roots would be wrong here."""
    a, b = noise(3, 3), noise(3, 3, seed=1)
    s1, s2 = a @ a.T + 0.1 * torch.eye(3), b @ b.T
    m1, m2 = noise(3, seed=2), noise(3, seed=3)
    values = torch.linalg.eigvals(s1 @ s2)
    expected = (m1 - m2).square().sum() + s1.trace() + s2.trace() - 2 * values.real.sqrt().sum()
    found = frechet_distance(m1, s1, m2, s2)
    assert found == pytest.approx(expected.item(), rel=1e-9)
    assert found == pytest.approx(frechet_distance(m2, s2, m1, s1), rel=1e-9)
    assert frechet_distance(m1, s1, m1, s1) == pytest.approx(0, abs=1e-9)

    def root(s: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(s)
        return vectors * values.clamp(min=0).sqrt() @ vectors.T

    shortcut = ((m1 - m2).square().sum() + (root(s1) - root(s2)).square().sum()).item()
    assert abs(shortcut - found) > 0.01


def test_the_distance_in_one_dimension_and_of_a_covariance_without_full_rank() -> None:
    one = torch.ones(1, dtype=torch.float64)
    assert frechet_distance(one, 4 * one[None], 3 * one, 9 * one[None]) == pytest.approx((1 - 3) ** 2 + (2 - 3) ** 2)
    few = gaussian(noise(3, 8))  # rank 2 of 8
    assert frechet_distance(*few, *few) == pytest.approx(0, abs=1e-6)


def test_the_score_of_sure_and_of_clueless_classifiers() -> None:
    sure = 1e4 * torch.nn.functional.one_hot(torch.arange(50) % 5, 5).double()
    assert math.exp(divergences(sure).mean()) == pytest.approx(5)
    assert math.exp(divergences(torch.zeros(50, 5).double()).mean()) == pytest.approx(1)
    assert math.exp(divergences(sure[:1].expand(50, 5)).mean()) == pytest.approx(1)  # sure, and always of the same


def test_the_standard_error_of_the_score_is_its_spread_over_fresh_images() -> None:
    def score(seed: int) -> Any:
        metric = ClassifierScore()
        metric.generated = metric.real = [2 * noise(400, 5, seed=seed)]
        return metric.compute()

    found = [score(seed) for seed in range(60)]
    spread = torch.tensor([one.value for one in found]).std().item()
    assert sum(one.stderr for one in found) / 60 == pytest.approx(spread, rel=0.35)


class Judge(Model):
    """Sees three features, and as many classes, in 2 x 2 images; it wants them between -1 and 1."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Record())
        self.layer = nn.Linear(4, 3).double()
        with torch.no_grad():
            self.layer.weight.copy_(noise(3, 4))
        self.load_report: Any = SimpleNamespace(folder=str(folder), name="digit-classifier.toy")
        (folder / "model.safetensors").write_bytes(b"weights")

    def signature(self) -> dict[str, Field]:
        return {"image": Field(kind="image", shape=(1, 2, 2))}

    def preprocess(self, batch: Mapping[str, Tensor], *, generator: Generator | None = None) -> dict[str, Tensor]:
        return {"image": 2 * batch["image"] - 1}

    def logits(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(1).double())

    def extract_features(self, x: Tensor, names: list[str]) -> dict[str, Tensor]:
        return {name: self.logits(x).relu() for name in names}


@pytest.fixture
def classify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    classify = Judge(tmp_path)
    monkeypatch.setattr(generated, "load", lambda reference, device: classify)
    return classify


def test_generated_images_are_compared_with_the_examples(classify: Judge) -> None:
    model, data = LinearGaussian(), Blobs(300)
    found = measured(FrechetClassifier(), model, data).compute()
    with torch.no_grad():
        seeds = [torch.Generator().manual_seed(start) for start in (0, 100, 200)]
        fake = torch.cat([model.sample(100, generator=seed) for seed in seeds])
        features = [classify.logits(2 * x - 1).relu() for x in (fake, data.batch("test", torch.arange(300))["image"])]
    assert found.value == pytest.approx(frechet_distance(*map_gaussian(features)), rel=1e-9)
    sha256 = hashlib.sha256(b"weights").hexdigest()
    assert found.n == 300
    assert found.estimator == f"3 features of digit-classifier.toy (sha256 {sha256}), as many generated, seed 0"
    assert 0 <= found.beside["train against the split"] < 0.05 < found.value


def map_gaussian(features: list[Tensor]) -> list[Tensor]:
    return [part for one in features for part in gaussian(one)]


def test_samples_that_are_the_train_split_reach_the_floor(classify: Judge) -> None:
    data = Blobs(400)

    class Memory(LinearGaussian):
        def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
            return data.batch("train", torch.randint(400, (n,), generator=generator))["image"]

    found = measured(FrechetClassifier(), Memory(), data).compute()
    assert found.value < 10 * found.beside["train against the split"] + 1e-3
    score = measured(ClassifierScore(), Memory(), data).compute()
    assert score.value == pytest.approx(score.beside["of the split"], rel=0.05)


def test_the_train_split_has_no_floor_against_itself(classify: Judge) -> None:
    metric, data = FrechetClassifier(), Blobs(100)
    metric.begin(LinearGaussian(), data, "train", 100)
    assert measured(metric, LinearGaussian(), data, begun=True).compute().beside == {}


def test_what_cannot_be_judged_is_told_before_it_begins(classify: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    class Large(LinearGaussian):
        def signature(self) -> dict[str, Field]:
            return {"image": Field(kind="image", shape=(3, 32, 32))}

    class Vectors(LinearGaussian):
        def signature(self) -> dict[str, Field]:
            return {"vector": Field(kind="vector", shape=(4,))}

    class Unfitted(LinearGaussian):
        def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
            raise UsageError("no distribution of codes was fitted")

    for kind, why in ((Large, r"\(3, 32, 32\)"), (Vectors, "no images"), (Unfitted, "was fitted")):
        with pytest.raises(UsageError, match=why):
            ClassifierScore().begin(kind(), Blobs(), "test", 10)

    def absent(reference: str, device: str) -> Model:
        raise ZooError(f"no weights of {reference}")

    monkeypatch.setattr(generated, "load", absent)
    with pytest.raises(ZooError, match="no weights of digit-classifier"):
        FrechetClassifier().begin(LinearGaussian(), Blobs(), "test", 10)


# All of them.

KINDS = [Elbo, lambda: ImportanceWeightedNll(5), ReconstructionError, PriorMmd, LinearProbe]
KINDS += [FrechetClassifier, ClassifierScore]


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_find_what_one_finds(kind: Callable[[], Metric], classify: Judge) -> None:
    model, data = LinearGaussian(), Blobs(450)
    state = torch.get_rng_state()
    alone, together = measured(kind(), model, data).compute(), in_two_processes(kind, model, data).compute()
    assert torch.equal(torch.get_rng_state(), state)
    assert together.n == alone.n and together.estimator == alone.estimator
    assert together.value == pytest.approx(alone.value, rel=1e-9, abs=1e-12)
    assert together.beside == pytest.approx(alone.beside, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_no_example_is_told(kind: Callable[[], Metric]) -> None:
    with pytest.raises(UsageError, match="no example was measured"):
        kind().compute()


@pytest.mark.parametrize("kind", [FrechetClassifier, ClassifierScore])
def test_the_classifier_does_not_travel(kind: type[Any], classify: Judge) -> None:
    metric = measured(kind(), LinearGaussian(), Blobs(100))
    assert not hasattr(copy.copy(metric), "classifier") and metric.classifier is classify


def test_a_vae_is_measured_by_samples_of_its_posterior_also_where_several_metrics_ask_it() -> None:
    """While it is measured, methods of a model remember their answers; what they can be given must still show."""
    from zoo_core.measuring.evaluation import measure

    registry = default_registry()
    data, asked = registry.open_dataset("digits"), []
    model = create("vae", registry=registry, features=data.features).eval()
    encode = type(model).encode

    def noted(self: Any, x: Tensor, *, generator: Generator | None = None) -> Tensor:
        asked.append(generator is not None)
        return encode(self, x, generator=generator)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model), "encode", noted)
        measure(model, data, "validation", {"prior_mmd2": PriorMmd()})
    assert asked and all(asked)
