"""What a trained model can do. Metrics and commands ask for a capability, never for a class."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Generator, Tensor


class Uncertainty(NamedTuple):
    """Total predictive uncertainty and its two parts, [B] or [B, …], in `unit`."""

    total: Tensor
    aleatoric: Tensor
    epistemic: Tensor
    unit: str


class Detections(NamedTuple):
    """What was found in one image: boxes [N, 4] as xmin, ymin, xmax, ymax in pixels, labels [N], scores [N]."""

    boxes: Tensor
    labels: Tensor
    scores: Tensor


@runtime_checkable
class Density(Protocol):
    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log-likelihood of each x, [B], in nats."""


@runtime_checkable
class Conditionals(Protocol):
    """What an autoregressive Density may tell besides. No model declares it, so it is not among the PROTOCOLS."""

    def conditional_log_prob(self, x: Tensor) -> Tensor:
        """Log-probability of every value given those before it, the shape of x, in nats; they sum to `log_prob`."""


@runtime_checkable
class LowerBound(Protocol):
    def elbo(self, x: Tensor, *, samples: int = 1, generator: Generator | None = None) -> Tensor:
        """Lower bound on the log-likelihood, [B], in nats; more samples give the importance-weighted bound."""


@runtime_checkable
class Sampler(Protocol):
    def sample(self, n: int, *, generator: Generator | None = None, **conditions: Any) -> Tensor:
        """n new examples, [n, …]."""


@runtime_checkable
class Completer(Protocol):
    def complete(self, x: Tensor, known: Tensor, *, generator: Generator | None = None) -> Tensor:
        """x with the places where `known` is False drawn anew."""


@runtime_checkable
class Classifier(Protocol):
    def logits(self, x: Tensor) -> Tensor:
        """Class scores before the softmax, [B, K]."""


@runtime_checkable
class Encoder(Protocol):
    def encode(self, x: Tensor) -> Tensor:
        """The code of each x, [B, Z]."""


@runtime_checkable
class Decoder(Protocol):
    def decode(self, z: Tensor) -> Tensor:
        """What each code stands for, [B, …]."""


@runtime_checkable
class Prior(Protocol):
    def sample_prior(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n codes drawn from the prior that the model's codes should follow, [n, Z]."""


@runtime_checkable
class Reconstructor(Protocol):
    def reconstruct(self, x: Tensor) -> Tensor:
        """Each x after it went through the model, same shape."""


@runtime_checkable
class Regressor(Protocol):
    def predict(self, x: Tensor) -> Tensor:
        """The predicted values, [B, D]."""


@runtime_checkable
class OutlierScorer(Protocol):
    def outlier_score(self, x: Tensor, score: str | None = None) -> Tensor:
        """How strange each x is, [B]; larger is stranger."""


@runtime_checkable
class Uncertain(Protocol):
    def predict_with_uncertainty(self, x: Tensor, *, samples: int = 1, seed: int = 0) -> tuple[Tensor, Uncertainty]:
        """The prediction and how sure it is."""


@runtime_checkable
class FeatureExtractor(Protocol):
    def extract_features(self, x: Tensor, names: list[str]) -> dict[str, Tensor]:
        """The named inner activations."""


@runtime_checkable
class Segmenter(Protocol):
    def segment(self, x: Tensor) -> Tensor:
        """The class of every pixel, [B, H, W]."""


@runtime_checkable
class Detector(Protocol):
    def detect(self, images: list[Tensor]) -> list[Detections]:
        """The objects in each image."""


@runtime_checkable
class LanguageModel(Protocol):
    def generate(self, prompt: str) -> str:
        """A continuation of the prompt."""


@runtime_checkable
class Translator(Protocol):
    def translate(self, text: str) -> str:
        """The text in the other language."""


@runtime_checkable
class ImageTranslator(Protocol):
    def translate_image(self, x: Tensor, to: str) -> Tensor:
        """Each image in the named other domain."""


@runtime_checkable
class Stylizer(Protocol):
    def stylize(self, content: Tensor, style: Tensor) -> Tensor:
        """The content images in the style of the style image."""


@runtime_checkable
class Policy(Protocol):
    def act(self, observation: Tensor) -> Tensor:
        """The action to take, [B]."""


# The names, torch-free, stand in `zoo_core.discovery.specs.CAPABILITIES`; a test keeps the two equal.
PROTOCOLS: dict[str, type] = {
    protocol.__name__: protocol
    for protocol in (
        Density, LowerBound, Sampler, Completer, Classifier, Encoder, Decoder, Prior, Reconstructor, Regressor,
        OutlierScorer, Uncertain, FeatureExtractor, Segmenter, Detector, LanguageModel, Translator, ImageTranslator,
        Stylizer, Policy,
    )
}  # fmt: skip
