"""The one table of what a trained model can do.

Everything that depends on a capability follows from its row: which method metrics and commands call, whether its answer
may be remembered, how a release's golden output is made, what `zoo load` says can be done next. A plugin adds rows by
the hook `zoo_capabilities`. This module imports no torch, so that listing models needs none.
"""

from typing import Annotated, Literal

from msgspec import Meta

from zoo_core.interfaces.record import Record

CapabilityName = Annotated[str, Meta(pattern=r"^[A-Z][A-Za-z]*$", description="words run together: TextToImage")]

# How a golden output is asked for; x is the subject of a batch, z a latent.
GoldenCall = Literal["x", "x, seed", "x, generator", "x, known, generator", "n, generator", "z", "images", "x, x"]


class CapabilitySpec(Record, kw_only=True):
    """One thing that a trained model can do.

        CapabilitySpec(name="Pricer", protocol="zoo_coins.pricing:Pricer", method="price", summary="what coins cost")

    A plugin declares such a row by the hook `zoo_capabilities`. Then its models may list the name in
    `ModelSpec.capabilities`, and its metrics may require it.

    Attributes:
        name: what specs call it, words run together: "TextToImage".
        protocol: "package.module:Class" of the protocol, a `typing.Protocol` marked `runtime_checkable`. Its docstring
            says shapes, units and errors.
        method: the name of the method that metrics and commands call.
        summary: what the method returns, in one line.
        exact: True if the method returns the same for the same x each time, without a seed; by default False.
        golden: the arguments with which a release's golden output is computed, in their order: "x" is the subject of a
            batch, "z" a latent, "n" a number of samples, and "known" a mask. None, the default, means that this
            method makes no golden output.
        commands: the command lines that `zoo load` proposes. {ref} stands for the reference, {file} for files or texts
            of the user, and {out} for a file that is written. {images} stands for picture files where a command takes
            nothing else; such a command is proposed only for models of images.
    """

    name: CapabilityName
    protocol: str
    method: str
    summary: str
    exact: bool = False
    golden: GoldenCall | None = None
    commands: tuple[str, ...] = ()


def _row(
    name: str, method: str, summary: str, *commands: str, exact: bool = False, golden: GoldenCall | None = None
) -> CapabilitySpec:
    protocol = f"zoo_core.interfaces.capabilities:{name}"
    return CapabilitySpec(
        name=name, protocol=protocol, method=method, summary=summary, exact=exact, golden=golden, commands=commands
    )


# A release's golden output is that of the first capability in this order that its model has.
CAPABILITIES: tuple[CapabilitySpec, ...] = (
    _row("Density", "log_prob", "exact log-likelihood in nats", "zoo score {ref} {file}", exact=True, golden="x"),
    _row("Classifier", "logits", "class scores", "zoo predict {ref} {file}", exact=True, golden="x"),
    _row("Regressor", "predict", "predicted values", "zoo predict {ref} {file}", exact=True, golden="x"),
    _row("Segmenter", "segment", "the class of every pixel", "zoo predict {ref} {file}", exact=True, golden="x"),
    _row("Detector", "detect", "boxes of objects", "zoo predict {ref} {file}", golden="images"),
    _row(
        "Reconstructor", "reconstruct", "x through a bottleneck", "zoo reconstruct {ref} {images} -o back.png",
        exact=True, golden="x",
    ),
    _row("Encoder", "encode", "the latent of each x", exact=True, golden="x"),
    _row("OutlierScorer", "outlier_score", "how anomalous each x is", "zoo score {ref} {file}", golden="x"),
    _row(
        "LanguageModel", "token_log_prob", "log-likelihood of tokens",
        "zoo generate {ref} TEXT", "zoo score {ref} {file}", golden="x",
    ),
    _row("Translator", "translate", "text in another language", "zoo translate {ref} TEXT", golden="x"),
    _row(
        "ImageTranslator", "translate_image", "images in another domain", "zoo translate {ref} {images} -o {out}",
        golden="x",
    ),
    _row("Policy", "act", "the action to take", golden="x"),
    _row("Uncertain", "predict_with_uncertainty", "predictions with their uncertainty", golden="x, seed"),
    _row("LowerBound", "elbo", "lower bound on the log-likelihood in nats", golden="x, generator"),
    _row("Stylizer", "stylize", "content in the style of another image", golden="x, x"),
    _row("Completer", "complete", "x with its unknown part sampled", golden="x, known, generator"),
    _row("Decoder", "decode", "what latents stand for", exact=True, golden="z"),
    _row("Sampler", "sample", "new examples", "zoo sample {ref} -n 64 -o {out}", golden="n, generator"),
    _row("Prior", "sample_prior", "latents of the prior", golden="n, generator"),
    _row(
        "FeatureExtractor", "extract_features", "inner activations",
        "zoo features {ref} {images} -o features.safetensors",
    ),
)  # fmt: skip
