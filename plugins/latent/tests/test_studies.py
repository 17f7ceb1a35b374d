"""The studies, each made whole with small values."""

import json
import os
from pathlib import Path

import pytest
import torch

from zoo_core import Report
from zoo_latent.studies.bound_terms import bound_terms
from zoo_latent.studies.gradient_estimators import GradientEstimators
from zoo_latent.studies.latent_size import LatentSize
from zoo_latent.studies.posterior_collapse import PosteriorCollapse
from zoo_latent.studies.why_not_an_autoencoder import WhyNotAnAutoencoder
from zoo_latent.vae import VAE, VAEConfig

SMALL = {"data": "digits", "hidden": (16,)}


def made(study, folder: Path) -> list[dict]:
    Report(folder).write("a study", study)
    text = (folder / "README.md").read_text()
    for picture in folder.glob("*.png"):
        assert f"({picture.name})" in text
    return json.loads((folder / "numbers.json").read_text())["tables"]


def test_the_terms_are_those_of_the_bound_and_a_unit_that_says_nothing_is_not_active():
    torch.manual_seed(0)
    model = VAE(VAEConfig(height=4, width=4, hidden=(8,), latent=3))
    with torch.no_grad():
        model.encoder[-1].weight[[0, 3]] = 0  # mean and log variance of the first unit
        model.encoder[-1].bias[[0, 3]] = 0
        model.encoder[-1].weight[1] *= 10
    x = (torch.rand(700, 1, 4, 4) < 0.5).float()
    terms = bound_terms(model, x, seed=0)
    assert terms.kl[0] == 0
    assert terms.active == 1 + (model.encode(x).var(0)[2] > 0.01)
    assert terms.elbo == pytest.approx(
        model.elbo(x, generator=torch.Generator().manual_seed(1)).mean().item(), abs=0.05
    )


def test_a_longer_code_says_more(tmp_path):
    (table,) = made(LatentSize(sizes=(1, 8), epochs=8, **SMALL), tmp_path)
    short, long = table["rows"]
    assert [short[0], long[0]] == [1, 8]
    assert long[3] > short[3]  # KL
    for _, elbo, reconstruction, kl, _ in table["rows"]:
        assert elbo == pytest.approx(reconstruction - kl)


def test_a_heavy_divergence_empties_the_code(tmp_path):
    (table,) = made(PosteriorCollapse(betas=(0.2, 30.0), warm_ups=(0.5,), latent=4, epochs=12, **SMALL), tmp_path)
    rows = {(beta, warm_up): row for beta, warm_up, *row in table["rows"]}
    light, heavy = rows["0.2", "50%"], rows["30", "50%"]
    assert heavy[2] < 0.1 < light[2]  # KL
    assert heavy[3] < light[3]  # active units
    assert heavy[1] < light[1]  # and images come back worse


def test_estimators_of_the_gradient_agree_on_its_mean_and_not_in_variance(tmp_path):
    study = GradientEstimators(latent=2, epochs=2, images=20, draws=400, **SMALL)
    (table,) = made(study, tmp_path)
    for state in ("fresh", "trained"):
        rows = {row[1]: row for row in table["rows"] if row[0] == state}
        variance = {name: row[2] for name, row in rows.items()}
        assert variance["score function"] > 3 * variance["score function, baseline"] > 3 * variance["analytic KL"]
        for name in ("Monte Carlo KL", "score function", "score function, baseline"):
            assert 0.2 < rows[name][4] < 3


@pytest.mark.slow
@pytest.mark.skipif("ZOO_MIRROR" not in os.environ, reason="ZOO_MIRROR is not set: no MNIST here")
def test_the_prior_of_an_autoencoder_is_not_where_its_codes_are(tmp_path):
    latents, samples = made(WhyNotAnAutoencoder(epochs=0.2, images=200, components=2), tmp_path)
    mmd2 = {row[0]: row[3] for row in latents["rows"]}
    assert mmd2["autoencoder"] > mmd2["VAE"] > abs(mmd2["N(0, I)"])
    distance = {row[0]: row[1] for row in samples["rows"]}
    assert distance["autoencoder, N(0, I)"] > distance["autoencoder, mixture"]
    assert all(value > row[2] for value, row in zip(distance.values(), samples["rows"], strict=True))
