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
            unit="nats/image",
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
            name="ece",
            target="zoo_metrics.classification:CalibrationError",
            summary="expected calibration error: how far confidence is from accuracy",
            requires="Classifier",
            unit="fraction",
            higher_is_better=False,
        ),
    ]
