"""AAE and WAE: the distance between latents and prior, and gradients that reach only what they should."""

import math
from collections import defaultdict

import pytest
import torch

import zoo_core as zoo
from zoo_core import Optimizer, UsageError
from zoo_core.interfaces import capabilities
from zoo_core.interfaces.objectives import Loss
from zoo_latent.aae import AAE, AAEConfig
from zoo_latent.autoencoder import Autoencoder, AutoencoderConfig
from zoo_latent.matched_latents import discriminator_loss, generator_loss
from zoo_latent.wae import SCALES, WAEGAN, WAEMMD, WAEGANConfig, WAEMMDConfig, imq_mmd2

SMALL = {"height": 8, "width": 8, "convolutions": (4, 4), "hidden": (8,), "latent": 2}
MAKE = {
    "aae": lambda **more: AAE(AAEConfig(**(SMALL | {"critic": (8,)} | more))),
    "wae-mmd": lambda **more: WAEMMD(WAEMMDConfig(**(SMALL | more))),
    "wae-gan": lambda **more: WAEGAN(WAEGANConfig(**(SMALL | {"critic": (8,)} | more))),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made(name: str, **config):
    torch.manual_seed(0)
    return MAKE[name](**config)


def batch_for(model, n: int = 6) -> dict[str, torch.Tensor]:
    x = torch.rand(n, 1, 8, 8, generator=generator())
    return {"image": x, "label": torch.arange(n) % 5} | model.random_inputs("x", n, generator())


# --- the maximum mean discrepancy ---


def test_the_distance_of_a_case_computed_by_hand():
    latents, draws = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.0], [2.0]])
    expected = 0.0
    for scale in SCALES:
        c = 2 * scale  # Z = 1
        k = lambda d, c=c: c / (c + d * d)  # noqa: E731
        within_latents = (k(1) + k(3) + k(2)) * 2 / (3 * 2)
        within_draws = k(2) * 2 / (2 * 1)
        between = (k(0) + k(2) + k(1) + k(1) + k(3) + k(1)) / 6
        expected += within_latents + within_draws - 2 * between
    assert imq_mmd2(latents, draws).item() == pytest.approx(expected, rel=1e-5)


def test_it_is_zero_on_average_where_both_are_the_same_and_the_biased_estimate_is_not():
    draw, n = generator(), 32
    unbiased, biased = [], []
    for _ in range(225):
        x, y = torch.randn(n, 8, generator=draw), torch.randn(n, 8, generator=draw)
        unbiased.append(imq_mmd2(x, y))
        kernel = lambda a, b: sum(16 * s / (16 * s + torch.cdist(a, b).square()) for s in SCALES).mean()  # noqa: E731
        biased.append(kernel(x, x) + kernel(y, y) - 2 * kernel(x, y))
    unbiased, biased = torch.stack(unbiased), torch.stack(biased)
    error = unbiased.std() / 15
    assert unbiased.mean().abs() < 3 * error
    assert biased.mean() > 10 * error
    far = imq_mmd2(torch.randn(n, 8, generator=draw) + 1, torch.randn(n, 8, generator=draw))
    assert far > 5 * unbiased.std()


# --- who learns from what ---


def moved_by(model) -> dict[str, set[str]]:
    """For each objective, the submodules of its optimizer that its gradient reaches; and what it may never reach."""
    shared, found = {}, {}
    names, parameters = zip(*model.named_parameters(), strict=True)
    batches, optimizers = {"x": batch_for(model)}, model.optimizers()
    for objective in model.objectives():
        loss = objective.loss(batches, shared)
        value = loss.value if isinstance(loss, Loss) else loss
        gradients = torch.autograd.grad(value, parameters, allow_unused=True, retain_graph=True)
        reached = {name.split(".")[0] for name, g in zip(names, gradients, strict=True) if g is not None and g.any()}
        found[objective.name] = reached & set(optimizers[objective.optimizer].modules)
        if objective.name == "discriminate":
            assert reached == {"discriminator"}  # not even with everything allowed
        if objective.name == "regularise":
            assert "decoder" not in reached
    return found


def test_each_objective_teaches_its_own_modules():
    assert moved_by(made("aae")) == {
        "reconstruct": {"encoder", "decoder"},
        "discriminate": {"discriminator"},
        "regularise": {"encoder"},
    }
    assert moved_by(made("wae-gan")) == {"discriminate": {"discriminator"}, "autoencode": {"encoder", "decoder"}}


@pytest.mark.parametrize("name", ["aae", "wae-gan"])
def test_in_the_real_loop_a_step_moves_the_modules_of_its_optimizer_only(name, monkeypatch):
    from zoo_core.training.loop import Loop

    model = made(name)
    loop = Loop(model, zoo.default_registry().open_dataset("digits"), seed=0, steps=2)
    moved = defaultdict(set)
    step = type(next(iter(loop.optimizers.values()))).step

    def watched(self, closure, progress):
        before = {key: p.detach().clone() for key, p in model.named_parameters()}
        step(self, closure, progress)
        own = next(key for key, optimizer in loop.optimizers.items() if optimizer is self)
        moved[own] |= {key.split(".")[0] for key, p in model.named_parameters() if not torch.equal(p, before[key])}

    monkeypatch.setattr(type(next(iter(loop.optimizers.values()))), "step", watched)
    loop.step()
    assert moved == {key: set(optimizer.modules) for key, optimizer in model.optimizers().items()}


def test_the_encoder_is_pushed_towards_what_the_discriminator_takes_for_real():
    model = made("aae")
    batch, shared = batch_for(model), {}
    _, discriminate, regularise = model.objectives()
    discriminate.loss({"x": batch}, shared)
    weights = list(model.encoder.parameters())
    gradients = torch.autograd.grad(regularise.loss({"x": batch}, shared), weights)
    with torch.no_grad():
        before = model.discriminate(model.encode(batch["image"]), None).mean()
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= 0.01 * gradient
        assert model.discriminate(model.encode(batch["image"]), None).mean() > before


def test_the_penalty_is_the_squared_slope_where_the_prior_is():
    """Against differences, in double precision; and it teaches the discriminator to be flat there."""
    steep, plain = (made("aae", penalty=penalty).double() for penalty in (3.0, 0.0))
    plain.load_state_dict(steep.state_dict())
    batch = {name: tensor.double() for name, tensor in batch_for(steep).items()}
    values = [model.objectives()[1].loss({"x": batch}, {}) for model in (steep, plain)]
    z = batch["prior"]
    nudges = 1e-6 * torch.eye(z.shape[1], dtype=torch.float64)
    slopes = [(steep.discriminate(z + nudge, None) - steep.discriminate(z - nudge, None)) / 2e-6 for nudge in nudges]
    squared = torch.cat(slopes, 1).square().sum(1).mean()
    assert (values[0] - values[1]).item() == pytest.approx(1.5 * squared.item(), rel=1e-5)
    weights = list(steep.discriminator.parameters())
    gradients = torch.autograd.grad(values[0] - values[1], weights, allow_unused=True)
    assert gradients[0].any()


def test_with_weight_zero_the_wasserstein_autoencoder_is_an_autoencoder():
    wae = made("wae-mmd", weight=0.0)
    plain = Autoencoder(AutoencoderConfig(**SMALL, components=1))
    plain.load_state_dict(wae.state_dict() | {k: v for k, v in plain.state_dict().items() if k not in wae.state_dict()})
    batch = batch_for(wae)
    ours, theirs = wae.loss(batch), plain.loss(batch)
    assert ours.value == theirs.value
    for a, b in zip(
        torch.autograd.grad(ours.value, list(wae.parameters())),
        torch.autograd.grad(theirs.value, list(plain.parameters())),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_the_loss_of_wae_mmd_is_its_two_terms():
    model = made("wae-mmd", weight=7.0)
    batch = batch_for(model)
    loss = model.loss(batch)
    mmd2 = imq_mmd2(model.encode(batch["image"]), batch["prior"]).item()
    error = (model.reconstruct(batch["image"]) - batch["image"]).square().sum().item() / 6
    assert loss.value.item() / 6 == pytest.approx(error + 7 * mmd2, rel=1e-4)
    (gradient,) = torch.autograd.grad(loss.parts["mmd2"], [model.encoder[-1].weight], retain_graph=True)
    assert gradient.any()
    assert torch.autograd.grad(loss.parts["mmd2"], [model.decoder[0].weight], allow_unused=True) == (None,)
    assert torch.isfinite(model.loss({name: tensor[:1] for name, tensor in batch.items()}).value)


def test_a_discriminator_that_is_right_has_a_small_loss_and_a_fooled_one_a_large_one():
    right, wrong, unsure = torch.full((3, 1), 5.0), torch.full((3, 1), -5.0), torch.zeros(3, 1)
    assert discriminator_loss(right, wrong) < 0.02
    assert discriminator_loss(wrong, right) > 9
    assert discriminator_loss(unsure, unsure).item() == pytest.approx(2 * math.log(2))
    assert generator_loss(right) < 0.01
    assert generator_loss(wrong) > 4.9
    logit = torch.tensor([[-20.0]], requires_grad=True)  # found out, and the gradient does not vanish
    assert torch.autograd.grad(generator_loss(logit), logit)[0].item() == pytest.approx(-1)


def test_codes_come_to_follow_the_prior(monkeypatch):
    from zoo_core.training.loop import Loop

    torch.manual_seed(0)
    digits = zoo.default_registry().open_dataset("digits")
    config = {"latent": 2, "prior": "swiss-roll", "convolutions": [], "hidden": [32], "weight": 300.0}
    model = zoo.create("wae-mmd", features=digits.features, config=config)
    monkeypatch.setattr(model, "optimizers", lambda: {"main": Optimizer(lr=4e-3)})
    x = digits.batch("train", torch.arange(400))["image"]
    draws = model.sample_prior(400, generator=generator())

    @torch.no_grad()
    def distance() -> float:
        return imq_mmd2(model.encode(x), draws).item()

    before = distance()
    loop = Loop(model, digits, seed=0, steps=100, batch=64)
    for _ in range(100):
        loop.step()
    assert distance() < 0.1 * before


# --- conditions and inputs ---


def test_a_discriminator_that_is_told_sees_the_mode_of_a_draw_and_the_class_of_an_image():
    model = made("aae", conditioned=True, prior="ring", modes=5)
    batch = batch_for(model)
    assert set(model.signature()) == {"image", "label"}
    angle = torch.atan2(batch["prior"][:, 1], batch["prior"][:, 0])
    assert torch.equal((angle / (2 * torch.pi / 5)).round().long() % 5, batch["mode"])
    seen = []
    model.discriminator.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    shared = {}
    for objective in model.objectives():
        objective.loss({"x": batch}, shared)
    real, fake, fooling = seen
    assert real.shape == (6, 2 + 5)
    assert torch.equal(real[:, 2:].argmax(1), batch["mode"])
    assert torch.equal(fake[:, 2:].argmax(1), batch["label"])
    assert torch.equal(fooling, fake)
    batch["label"][0] = 7
    with pytest.raises(UsageError, match="5 modes"):
        model.objectives()[1].loss({"x": batch}, {})
    with pytest.raises(UsageError, match="no modes"):
        made("aae", conditioned=True)


def test_images_of_one_mode_can_be_drawn():
    model = made("aae", prior="ring", modes=5)
    z = model.sample_prior(50, mode=2, generator=generator())
    angle = torch.atan2(z[:, 1], z[:, 0])
    assert ((angle / (2 * torch.pi / 5)).round() == 2).all()
    assert torch.equal(model.sample(50, mode=2, generator=generator()), model.decode(z))
    with pytest.raises(UsageError, match="from 0 to 4"):
        model.sample(3, mode=5)
    with pytest.raises(UsageError, match=r"no condition 'mod'.*'mode'"):
        model.sample(3, mod=2)
    assert made("aae").conditions() == {}  # a Gaussian is one piece


@pytest.mark.parametrize("name", MAKE)
def test_what_they_can_do(name):
    model = made(name).eval()
    for capability in ("Encoder", "Decoder", "Prior", "Reconstructor", "Sampler"):
        assert isinstance(model, capabilities.PROTOCOLS[capability]), capability
    for capability in ("Density", "LowerBound", "Classifier"):
        assert not isinstance(model, capabilities.PROTOCOLS[capability]), capability
    x = batch_for(model)["image"]
    assert torch.equal(model.reconstruct(x), model.decode(model.encode(x)))
    assert torch.equal(
        model.sample(3, generator=generator()), model.decode(model.sample_prior(3, generator=generator()))
    )


@pytest.mark.parametrize("name", MAKE)
def test_a_trained_one_comes_back_from_its_folder(name, tmp_path):
    config = {"hidden": [16], "latent": 3, "convolutions": [8], "prior": "uniform"}
    zoo.train(name, data="digits", steps=3, output=tmp_path / "run", config=config)
    one, two = zoo.load(str(tmp_path / "run")), zoo.load(str(tmp_path / "run"))
    assert torch.equal(one.sample(4, generator=generator()), two.sample(4, generator=generator()))
    assert one.sample_prior(100, generator=generator()).abs().max() <= 1
