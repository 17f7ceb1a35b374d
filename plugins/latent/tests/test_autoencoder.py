"""The autoencoder: PCA as its linear special case, latents and images, and a distribution fitted to latents."""

import pytest
import torch

import zoo_core as zoo
from zoo_core import UsageError
from zoo_core.interfaces import capabilities
from zoo_latent.autoencoder import Autoencoder, AutoencoderConfig


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(**config) -> Autoencoder:
    torch.manual_seed(0)
    defaults = {"height": 8, "width": 8, "convolutions": (4, 4), "hidden": (8,), "latent": 3, "components": 2}
    return Autoencoder(AutoencoderConfig(**(defaults | config)))


def test_what_it_can_do_and_that_it_has_no_prior():
    model = small()
    for name in ("Encoder", "Decoder", "Reconstructor", "Sampler"):
        assert isinstance(model, capabilities.PROTOCOLS[name]), name
    for name in ("Prior", "LowerBound", "Density", "Classifier"):
        assert not isinstance(model, capabilities.PROTOCOLS[name]), name


def test_a_linear_one_learns_what_pca_computes():
    torch.manual_seed(0)
    x = (torch.randn(100, 5) * torch.tensor([3.0, 2.0, 1.0, 0.5, 0.2])) @ torch.linalg.qr(torch.randn(5, 5))[0]
    x = x.double() + 0.3
    model = Autoencoder(
        AutoencoderConfig(height=1, width=5, convolutions=(), hidden=(), latent=2, output="linear", components=1)
    ).double()
    batch = {"image": x.view(100, 1, 1, 5)}
    parameters = list(model.parameters())
    optimizer = torch.optim.LBFGS(parameters, max_iter=150, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        loss = model.loss(batch)
        value = loss.value / loss.weight
        for parameter, gradient in zip(parameters, torch.autograd.grad(value, parameters), strict=True):
            parameter.grad = gradient
        return value

    optimizer.step(closure)
    eigenvalues, vectors = torch.linalg.eigh(torch.cov(x.T, correction=0))  # ascending
    with torch.no_grad():
        error = (model.reconstruct(batch["image"]) - batch["image"]).square().flatten(1).sum(1).mean()
        projector = model.decoder[0].weight @ model.encoder[1].weight
    assert error.item() == pytest.approx(eigenvalues[:3].sum().item(), rel=1e-4)
    assert torch.allclose(projector, vectors[:, 3:] @ vectors[:, 3:].T, atol=1e-2)


def test_a_reconstruction_is_the_decoded_code_and_the_loss_sums_its_errors():
    model, x = small().eval(), torch.rand(5, 1, 8, 8, generator=generator())
    assert model.encode(x).shape == (5, 3)
    assert torch.equal(model.reconstruct(x), model.decode(model.encode(x)))
    loss = model.loss({"image": x})
    assert loss.weight == 5
    assert loss.value.item() == pytest.approx((model.reconstruct(x) - x).square().sum().item(), rel=1e-5)


def test_without_a_fitted_distribution_there_is_nothing_to_draw_from():
    with pytest.raises(UsageError, match="fit_prior"):
        small().sample(3)


def test_after_fitting_it_draws_codes_like_those_it_was_shown(monkeypatch):
    model = small(components=1)
    scale = torch.tensor([[1.0, 0, 0], [0.8, 0.5, 0], [-0.3, 0.2, 2.0]])
    latents = torch.randn(5000, 3, generator=generator()) @ scale.T + torch.tensor([1.0, -2.0, 0.5])
    model.fit_prior(latents)
    drawn = []
    monkeypatch.setattr(model, "decode", lambda z: drawn.append(z) or z)
    model.sample(20_000, generator=generator(1))
    assert (drawn[0].mean(0) - latents.mean(0)).abs().max() < 0.06
    assert (torch.cov(drawn[0].T) - torch.cov(latents.T)).abs().max() < 0.15
    monkeypatch.undo()
    images = model.sample(4, generator=generator())
    assert images.shape == (4, 1, 8, 8)
    assert torch.equal(images, model.sample(4, generator=generator()))
    assert not torch.equal(images, model.sample(4, generator=generator(1)))


def test_a_mixture_finds_clusters_with_their_weights():
    model, draw = small(latent=2), generator()
    wide = torch.randn(1000, 2, generator=draw) * torch.tensor([1.0, 0.2])
    model.fit_prior(torch.cat([torch.randn(3000, 2, generator=draw) * 0.3 + 3, wide - 3]))
    order = model.mixture_weights.argsort()
    assert torch.allclose(model.mixture_weights[order], torch.tensor([0.25, 0.75]), atol=0.01)
    assert torch.allclose(model.mixture_means[order], torch.tensor([[-3.0, -3.0], [3.0, 3.0]]), atol=0.1)
    covariances = (model.mixture_scales @ model.mixture_scales.transpose(1, 2))[order]
    expected = torch.stack([torch.diag(torch.tensor([1.0, 0.04])), 0.09 * torch.eye(2)])
    assert torch.allclose(covariances, expected, atol=0.1)


def test_fitting_twice_gives_the_same_and_the_seed_decides():
    latents, scales = torch.randn(60, 3, generator=generator()), []
    for seed in (0, 0, 1):
        model = small(components=5)
        model.fit_prior(latents, seed=seed)
        scales.append(model.mixture_scales)
    assert torch.equal(scales[0], scales[1])
    assert not torch.equal(scales[0], scales[2])


def test_codes_that_lie_on_a_line_or_all_in_one_place_can_be_fitted():
    line = torch.randn(100, 1, generator=generator()) @ torch.ones(1, 3)
    for latents in (line, 1e-3 * line, torch.ones(20, 3)):
        model = small(components=3)
        model.fit_prior(latents)
        assert torch.isfinite(model.sample(50, generator=generator())).all()


@pytest.mark.parametrize("latents", [torch.zeros(1, 3), torch.zeros(10, 4), torch.zeros(10)])
def test_codes_that_nothing_can_be_fitted_to_are_refused(latents):
    with pytest.raises(UsageError, match="needs latents"):
        small().fit_prior(latents)


def test_a_trained_one_can_draw_and_comes_back_from_its_folder(tmp_path):
    settings = {"hidden": [16], "latent": 4, "convolutions": [8]}
    zoo.train("autoencoder", data="digits", steps=3, output=tmp_path / "run", config=settings)
    one, two = zoo.load(str(tmp_path / "run")), zoo.load(str(tmp_path / "run"))
    assert torch.equal(one.sample(4, generator=generator()), two.sample(4, generator=generator()))
    assert (tmp_path / "run" / "samples.png").exists()
