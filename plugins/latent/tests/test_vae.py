"""The VAE's bound: closed forms, a toy whose likelihood is known, and no dependence on batches."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal, kl_divergence

import zoo_core as zoo
import zoo_latent.vae as vae_module
from zoo_core import UsageError
from zoo_core.interfaces import capabilities
from zoo_latent.likelihoods import bernoulli_log_likelihood, gaussian_log_likelihood, kl_to_standard_normal
from zoo_latent.vae import VAE, VAEConfig


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small(**config) -> VAE:
    torch.manual_seed(0)
    return VAE(VAEConfig(**({"height": 8, "width": 8, "convolutions": (4, 4), "hidden": (8,), "latent": 3} | config)))


def bits(n: int, side: int = 8) -> torch.Tensor:
    return (torch.rand(n, 1, side, side, generator=generator()) < 0.3).float()


def test_it_is_a_lower_bound_and_no_density():
    model = small()
    for name in ("Encoder", "Decoder", "Prior", "Reconstructor", "Sampler", "LowerBound"):
        assert isinstance(model, capabilities.PROTOCOLS[name]), name
    assert not isinstance(model, capabilities.Density)


def test_the_divergence_in_closed_form_is_what_draws_estimate():
    for mean, log_variance in ([0.0, 0.0], [0.0, 0.0]), ([1.0, -2.0], [0.5, -1.5]), ([0.3, 0.1], [-3.0, 1.0]):
        mean, log_variance = torch.tensor(mean), torch.tensor(log_variance)
        q = Independent(Normal(mean, (0.5 * log_variance).exp()), 1)
        p = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
        closed = kl_to_standard_normal(mean, log_variance)
        assert torch.allclose(closed, kl_divergence(q, p))
        torch.manual_seed(0)
        z = q.sample((100_000,))
        terms = q.log_prob(z) - p.log_prob(z)
        assert (terms.mean() - closed).abs() <= 4 * terms.std() / math.sqrt(len(terms)) + 1e-6
    assert kl_to_standard_normal(torch.zeros(2), torch.zeros(2)) == 0


@pytest.mark.parametrize("values", [784, 48, 9, 1])
def test_log_likelihoods_and_their_gradients_are_those_of_torch(values):
    torch.manual_seed(0)
    x = (torch.rand(3, 1, values) < 0.4).double()
    logits = (6 * torch.randn(3, 5, values, dtype=torch.double)).requires_grad_()
    before = logits.detach().clone()
    ours, theirs = bernoulli_log_likelihood(logits, x), Bernoulli(logits=logits).log_prob(x).sum(-1)
    assert torch.allclose(ours, theirs)
    assert torch.equal(logits, before)
    assert torch.allclose(*(torch.autograd.grad(total.sum(), logits)[0] for total in (ours, theirs)))
    log_sigma = torch.tensor(-1.3, dtype=torch.double)
    theirs = Normal(before, log_sigma.exp()).log_prob(x).sum(-1)
    assert torch.allclose(gaussian_log_likelihood(before, log_sigma, x), theirs)


def test_surprising_images_have_finite_likelihoods():
    logits = torch.full((2, 784), 200.0)
    assert bernoulli_log_likelihood(logits, torch.zeros(2, 784)).tolist() == [-156_800.0] * 2
    assert bernoulli_log_likelihood(-logits, torch.zeros(2, 784)).tolist() == [0.0] * 2


def test_with_all_weights_zero_every_image_costs_one_bit_a_pixel():
    model = small(height=28, width=28)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    for samples in (1, 7):
        elbo = model.elbo(bits(3, 28), samples=samples, generator=generator())
        assert torch.allclose(elbo, torch.full((3,), -784 * math.log(2)))


def linear_gaussian(spread: float = 1.0, tilt: bool = False) -> tuple[VAE, MultivariateNormal]:
    """A VAE set by hand: p(z) = N(0, I_2), p(x|z) = N(Wz + b, s^2 I_4), q(z|x) with the exact means and the exact
    variances times `spread`; and log p(x) in closed form. With `tilt`, the exact posterior is not diagonal."""
    s = 0.5
    w = torch.tensor([[1.0, 0.0], [0.5, 0.6 if tilt else 0.0], [0.0, 0.7], [0.0, -0.2]])
    b = torch.tensor([0.1, 0.2, 0.3, 0.4])
    model = VAE(
        VAEConfig(
            height=2, width=2, convolutions=(), hidden=(), latent=2, likelihood="gaussian", sigma=s, output="linear"
        )
    )
    covariance = torch.linalg.inv(torch.eye(2) + w.T @ w / s**2)  # of the exact posterior
    to_mean = covariance @ w.T / s**2
    with torch.no_grad():
        model.decoder[0].weight.copy_(w)
        model.decoder[0].bias.copy_(b)
        model.encoder[1].weight.copy_(torch.cat([to_mean, torch.zeros(2, 4)]))
        variance = spread / torch.linalg.inv(covariance).diagonal()
        model.encoder[1].bias.copy_(torch.cat([-to_mean @ b, variance.log()]))
    return model, MultivariateNormal(b, w @ w.T + s**2 * torch.eye(4))


X = torch.tensor([[0.9, 0.1, 0.4, 0.7], [0.0, 1.0, 1.0, 0.2]]).view(2, 1, 2, 2)


@torch.no_grad()
def test_with_the_exact_posterior_every_bound_is_the_likelihood():
    model, p = linear_gaussian()
    exact = p.log_prob(X.flatten(1))
    for samples in (2, 5, 50):  # every weight is p(x)
        assert torch.allclose(model.elbo(X, samples=samples, generator=generator()), exact, atol=1e-4)
    many = model.elbo(X.repeat_interleave(20_000, 0), generator=generator()).view(2, -1)
    assert ((many.mean(1) - exact).abs() < 4 * many.std(1) / math.sqrt(20_000)).all()


@torch.no_grad()
@pytest.mark.parametrize("settings", [{"spread": 2.0}, {"spread": 0.5}, {"tilt": True}], ids=str)
def test_bounds_rise_with_the_number_of_draws_and_stay_below_the_likelihood(settings):
    model, p = linear_gaussian(**settings)
    exact = p.log_prob(X.flatten(1))
    bounds = []
    for samples, times in ((1, 10_000), (5, 5000), (50, 600), (2000, 10)):
        found = model.elbo(X.repeat_interleave(times, 0), samples=samples, generator=generator()).view(2, times)
        bounds.append(found.mean(1))
    gaps = exact[:, None] - torch.stack(bounds, 1)  # [2, bounds]
    assert (gaps.diff(dim=1) < 0).all()
    assert (gaps[:, 0] > 0.02).all()
    assert (gaps[:, -1].abs() < 0.01).all()


@torch.no_grad()
def test_no_bound_depends_on_how_images_and_draws_are_cut(monkeypatch):
    model, x = small(), bits(7)
    for samples in (1, 6):
        whole = model.elbo(x, samples=samples, generator=generator())
        draw = generator()
        parts = [model.elbo(part, samples=samples, generator=draw) for part in x.split([1, 4, 2])]
        assert torch.allclose(torch.cat(parts), whole, atol=1e-4)
        assert torch.equal(whole, model.elbo(x, samples=samples, generator=generator()))
        assert not torch.equal(whole, model.elbo(x, samples=samples, generator=generator(1)))
    one_round = model.elbo(x, samples=50, generator=generator())
    monkeypatch.setattr(vae_module, "ROWS", 120)  # two images at a time
    assert torch.allclose(model.elbo(x, samples=50, generator=generator()), one_round, atol=1e-4)


@torch.no_grad()
def test_draws_in_several_rounds_count_alike(monkeypatch):
    model, p = linear_gaussian(spread=2.0)
    monkeypatch.setattr(vae_module, "ROWS", 64)  # 500 draws in rounds of 64 and a rest
    exact = p.log_prob(X.flatten(1))
    assert (
        model.elbo(X.repeat(20, 1, 1, 1), samples=500, generator=generator()).view(20, 2).mean(0) - exact
    ).abs().max() < 0.03


@torch.no_grad()
def test_the_importance_weighted_bound_of_one_draw_has_the_mean_of_the_elbo():
    model, x = small(), bits(1)
    mean, log_variance = model.posterior(x)
    q = Normal(mean, (0.5 * log_variance).exp())
    torch.manual_seed(0)
    z = q.sample((20_000,))  # [S, 1, Z]
    weights = model.log_likelihood(x, z.transpose(0, 1))[0] + (Normal(0, 1).log_prob(z) - q.log_prob(z)).sum(2)[:, 0]
    elbo = model.elbo(x.repeat(20_000, 1, 1, 1), generator=generator())
    assert (weights.mean() - elbo.mean()).abs() < 4 * (weights.std() + elbo.std()) / math.sqrt(20_000)


def test_the_gradient_flows_through_mean_and_variance():
    model = small().double()
    x, noise = bits(5).double(), torch.randn(5, 3, generator=generator(), dtype=torch.double)
    batch = {"image": x, "noise": noise}
    bias = model.encoder[-1].bias  # of mean and log variance
    (gradient,) = torch.autograd.grad(model.loss(batch).value, bias)
    for i in range(6):
        with torch.no_grad():
            bias[i] += 1e-5
            above = model.loss(batch).value
            bias[i] -= 2e-5
            below = model.loss(batch).value
            bias[i] += 1e-5
        assert gradient[i].item() == pytest.approx((above - below).item() / 2e-5, rel=1e-4, abs=1e-6)
    assert (gradient != 0).all()


def test_the_loss_is_the_negative_elbo_and_beta_weighs_its_divergence():
    x = bits(400)
    model = small()
    batch = {"image": x} | model.random_inputs("x", 400, generator())
    loss = model.loss(batch)
    assert loss.value.item() == pytest.approx(loss.parts["reconstruction"].item() + loss.parts["kl"].item(), rel=1e-5)
    elbo = model.elbo(x, generator=generator()).sum()
    assert loss.value.item() == pytest.approx(-elbo.item(), rel=0.01)
    model = small(beta=4.0, warm_up=0.5)
    model.load_state_dict(small().state_dict())
    values = {}
    for progress in (0.0, 0.25, 0.5, 0.9):
        model.on_progress(progress)
        model.train()
        values[progress] = (model.loss(batch).value - loss.parts["reconstruction"]) / loss.parts["kl"]
        model.eval()  # epochs are compared on the same scale
        assert model.loss(batch).value.item() == pytest.approx(
            (loss.parts["reconstruction"] + 4 * loss.parts["kl"]).item(), rel=1e-4
        )
    assert [round(value.item(), 2) for value in values.values()] == [0.0, 2.0, 4.0, 4.0]


def test_a_gaussian_decoder_learns_its_sigma_or_keeps_it():
    learned, fixed = small(likelihood="gaussian"), small(likelihood="gaussian", sigma=0.3)
    assert learned.log_sigma.requires_grad
    assert not fixed.log_sigma.requires_grad
    assert fixed.log_sigma.exp().item() == pytest.approx(0.3)
    x = bits(4)
    assert torch.isfinite(learned.elbo(x, samples=3, generator=generator())).all()
    with pytest.raises(UsageError, match="Gaussian decoder"):
        small(sigma=0.3)


def test_images_are_means_and_draws_come_from_the_generator():
    model, x = small().eval(), bits(4)
    assert torch.equal(model.reconstruct(x), model.decode(model.encode(x)))
    samples = model.sample(5, generator=generator())
    assert samples.shape == (5, 1, 8, 8)
    assert samples.min() >= 0 and samples.max() <= 1
    assert torch.equal(samples, model.decode(model.sample_prior(5, generator=generator())))
    assert torch.equal(
        model.sample(5, generator=generator(), temperature=0.5),
        model.decode(0.5 * model.sample_prior(5, generator=generator())),
    )


@torch.no_grad()
def test_a_code_is_the_mean_or_with_a_generator_a_draw():
    model, x = small(), bits(1)
    mean, log_variance = model.posterior(x)
    assert torch.equal(model.encode(x), mean)
    draws = model.encode(x.expand(20_000, -1, -1, -1), generator=generator())
    assert (draws.mean(0) - mean).abs().max() < 0.05
    assert torch.allclose(draws.var(0), log_variance.exp()[0], rtol=0.05)
    assert torch.equal(model.encode(x, generator=generator()), model.encode(x, generator=generator()))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda m: m.elbo(bits(2), samples=0),
        lambda m: m.encode(bits(2, 12)),
        lambda m: m.sample(2, temperature=0.0),
        lambda m: m.decode(torch.zeros(2, 4)),
    ],
)
def test_bad_input_is_a_usage_error(wrong):
    with pytest.raises(UsageError):
        wrong(small())


def test_data_decide_the_size_and_sizes_that_cannot_be_halved_are_refused():
    digits = zoo.default_registry().open_dataset("digits")
    model = zoo.create("vae", features=digits.features)
    assert model.config.height == 8
    colour = VAE(VAEConfig(channels=3, height=32, width=32, convolutions=(8, 8), hidden=(16,)))
    assert colour.sample(2).shape == (2, 3, 32, 32)
    with pytest.raises(UsageError, match="multiple of 4"):
        VAE(VAEConfig(height=30, width=28, convolutions=(8, 8)))
    assert VAE(VAEConfig(height=7, width=9)).sample(1).shape == (1, 1, 7, 9)


@pytest.mark.parametrize("name", ["autoencoder", "vae", "aae", "wae-mmd", "wae-gan"])
def test_parameters_are_as_many_as_the_plugin_says(name):
    """sum over the layers of n_out (n_in + 1), and over convolutions of n_out (16 n_in + 1)"""
    settings = {"channels": 3, "height": 8, "width": 16, "convolutions": [5, 7], "hidden": [11], "latent": 2}
    encoded = 4 if name == "vae" else 2
    count = 5 * (16 * 3 + 1) + 7 * (16 * 5 + 1) + 11 * (7 * 8 + 1) + encoded * (11 + 1)
    count += 11 * (2 + 1) + 7 * 8 * (11 + 1) + 5 * (16 * 7 + 1) + 3 * (16 * 5 + 1)
    if name in ("aae", "wae-gan"):
        settings["critic"] = [13]
        count += 13 * (2 + 1) + 1 * (13 + 1)
    model = zoo.create(name, config=settings)
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    said = zoo.default_registry().model(name).spec.parameter_count
    assert "n_out (n_in + 1)" in said and "n_out (16 n_in + 1)" in said


def test_a_trained_model_comes_back_from_its_folder(tmp_path):
    settings = {"hidden": [16], "latent": 4, "convolutions": [8]}
    zoo.train(
        "vae",
        data="digits",
        steps=3,
        output=tmp_path / "run",
        config=settings,
        input=[{"step": "binarize", "mode": "sample"}],
    )
    one, two = zoo.load(str(tmp_path / "run")), zoo.load(str(tmp_path / "run"))
    x = bits(3)
    assert torch.equal(one.elbo(x, samples=4, generator=generator()), two.elbo(x, samples=4, generator=generator()))
