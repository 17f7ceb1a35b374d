"""What zoo-latent offers."""

from zoo_core import ModelSpec, StudySpec, hookimpl

zoo_api = 1

_CODES = ("Encoder", "Decoder", "Reconstructor", "Sampler")
_MATCHED = (*_CODES, "Prior")
_TASK = "representation-learning"
_LAYERS = "sum over the layers of n_out (n_in + 1), and over convolutions of n_out (16 n_in + 1)"
_WAE = "Tolstikhin et al., 2018, Wasserstein auto-encoders, arXiv:1711.01558"


@hookimpl
def zoo_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="autoencoder",
            target="zoo_latent.autoencoder:Autoencoder",
            summary="Autoencoder: a short latent that the image can be reconstructed from",
            task=_TASK,
            paper="Hinton and Salakhutdinov, 2006, Reducing the dimensionality of data with neural networks, Science",
            capabilities=_CODES,
            parameter_count=_LAYERS,
            aliases=("ae",),
        ),
        ModelSpec(
            name="vae",
            target="zoo_latent.vae:VAE",
            summary="Variational autoencoder: a distribution of latents for each image, and a bound on its likelihood",
            task=_TASK,
            paper="Kingma and Welling, 2014, Auto-encoding variational Bayes, arXiv:1312.6114",
            capabilities=(*_MATCHED, "LowerBound"),
            parameter_count=f"{_LAYERS}; one more for a learned sigma",
        ),
        ModelSpec(
            name="aae",
            target="zoo_latent.aae:AAE",
            summary="Adversarial autoencoder: a discriminator makes latents follow any prior that can be drawn from",
            task=_TASK,
            paper="Makhzani et al., 2015, Adversarial autoencoders, arXiv:1511.05644",
            capabilities=_MATCHED,
            parameter_count=_LAYERS,
            aliases=("adversarial-autoencoder",),
        ),
        ModelSpec(
            name="wae-mmd",
            target="zoo_latent.wae:WAEMMD",
            summary="Wasserstein autoencoder whose latents follow the prior by maximum mean discrepancy",
            task=_TASK,
            paper=_WAE,
            capabilities=_MATCHED,
            parameter_count=_LAYERS,
            aliases=("wae",),
        ),
        ModelSpec(
            name="wae-gan",
            target="zoo_latent.wae:WAEGAN",
            summary="Wasserstein autoencoder whose latents follow the prior by a discriminator",
            task=_TASK,
            paper=_WAE,
            capabilities=_MATCHED,
            parameter_count=_LAYERS,
        ),
    ]


@hookimpl
def zoo_studies() -> list[StudySpec]:
    return [
        StudySpec(
            name="why-not-an-autoencoder",
            target="zoo_latent.studies.why_not_an_autoencoder:WhyNotAnAutoencoder",
            summary="what an autoencoder and a VAE make of samples of N(0, I), and where their latents lie",
            minutes=3,
        ),
        StudySpec(
            name="latent-size",
            target="zoo_latent.studies.latent_size:LatentSize",
            summary="VAEs with latents of 2, 5, 10 and 20 numbers",
            minutes=4,
        ),
        StudySpec(
            name="gradient-estimators",
            target="zoo_latent.studies.gradient_estimators:GradientEstimators",
            summary="the variance of three estimators of the gradient of the ELBO",
            minutes=1,
        ),
        StudySpec(
            name="posterior-collapse",
            target="zoo_latent.studies.posterior_collapse:PosteriorCollapse",
            summary="how units of a VAE's latent come to carry nothing, with and without warm-up",
            minutes=5,
        ),
    ]
