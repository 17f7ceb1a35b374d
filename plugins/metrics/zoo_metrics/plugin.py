"""What zoo-metrics offers."""

from zoo_core import MetricSpec, hookimpl

zoo_api = 1


@hookimpl
def zoo_metrics() -> list[MetricSpec]:
    return [
        MetricSpec(
            name="nll",
            target="zoo_metrics.likelihood:NegativeLogLikelihood",
            summary="mean negative log-likelihood of an exact density",
            requires="Density",
            unit="nats/example",
            higher_is_better=False,
        ),
        MetricSpec(
            name="bits_per_dim",
            target="zoo_metrics.likelihood:BitsPerDim",
            summary="mean negative log-likelihood per value, in bits",
            requires="Density",
            unit="bits/dim",
            higher_is_better=False,
        ),
        MetricSpec(
            name="omniglot_auroc",
            target="zoo_metrics.outliers:OmniglotAuroc",
            summary="how well the likelihood tells the examples from characters of Omniglot: 0.5 is chance",
            requires="Density",
            unit="fraction",
            higher_is_better=True,
        ),
        MetricSpec(
            name="rotated_auroc",
            target="zoo_metrics.outliers:RotatedAuroc",
            summary="how well the likelihood tells the examples from themselves turned by 90 degrees: 0.5 is chance",
            requires="Density",
            unit="fraction",
            higher_is_better=True,
        ),
        MetricSpec(
            name="accuracy",
            target="zoo_metrics.classification:Accuracy",
            summary="fraction of examples whose most likely class is the right one",
            requires="Classifier",
            unit="fraction",
            higher_is_better=True,
        ),
        MetricSpec(
            name="log_loss",
            target="zoo_metrics.classification:LogLoss",
            summary="mean cross-entropy of the predicted class probabilities",
            requires="Classifier",
            unit="nats/example",
            higher_is_better=False,
        ),
        MetricSpec(
            name="brier",
            target="zoo_metrics.classification:BrierScore",
            summary="squared distance of the predicted class probabilities from the label's one-hot row",
            requires="Classifier",
            unit="per example",
            higher_is_better=False,
        ),
        MetricSpec(
            name="mse",
            target="zoo_metrics.regression:MeanSquaredError",
            summary="mean squared error of the predictions",
            requires="Regressor",
            unit="squared units",
            higher_is_better=False,
        ),
        MetricSpec(
            name="ece",
            target="zoo_metrics.classification:CalibrationError",
            summary="expected calibration error: how far confidence is from accuracy",
            requires="Classifier",
            unit="fraction",
            higher_is_better=False,
        ),
        MetricSpec(
            name="elbo",
            target="zoo_metrics.bounds:Elbo",
            summary="mean evidence lower bound on the log-likelihood",
            requires="LowerBound",
            unit="nats/example",
            higher_is_better=True,
        ),
        MetricSpec(
            name="iwae_nll",
            target="zoo_metrics.bounds:ImportanceWeightedNll",
            summary="mean negative log-likelihood, its importance-weighted estimate",
            requires="LowerBound",
            unit="nats/example",
            higher_is_better=False,
        ),
        MetricSpec(
            name="reconstruction_mse",
            target="zoo_metrics.reconstruction:ReconstructionError",
            summary="mean squared error of the reconstruction",
            requires="Reconstructor",
            unit="squared error/value",
            higher_is_better=False,
        ),
        MetricSpec(
            name="prior_mmd2",
            target="zoo_metrics.prior_fit:PriorMmd",
            summary="how far the latents of the data are from the prior",
            requires="Prior",
            unit="MMD^2",
            higher_is_better=False,
        ),
        MetricSpec(
            name="linear_probe",
            target="zoo_metrics.linear_probe:LinearProbe",
            summary="accuracy of a linear classifier on the latents",
            requires="Encoder",
            unit="fraction",
            higher_is_better=True,
        ),
        MetricSpec(
            name="frechet_classifier",
            target="zoo_metrics.generated:FrechetClassifier",
            summary="Fréchet distance of generated images in a zoo classifier's features",
            requires="Sampler",
            unit="squared distance",
            higher_is_better=False,
        ),
        MetricSpec(
            name="classifier_score",
            target="zoo_metrics.generated:ClassifierScore",
            summary="how sure and how varied a zoo classifier finds generated images",
            requires="Sampler",
            unit="classes",
            higher_is_better=True,
        ),
    ]
