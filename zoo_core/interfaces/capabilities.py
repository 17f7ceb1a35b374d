"""What a trained model can do, as protocols. Metrics and commands ask for a capability, never for a class.

A method takes x, the subject of a batch: a tensor [B, …], or what `Model.subject_of` gives. The table of all
capabilities is `zoo_core.interfaces.capability_table`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, cast, runtime_checkable

from torch import Generator, Tensor

from zoo_core.interfaces.capability_table import CAPABILITIES

C = TypeVar("C")


class Uncertainty(NamedTuple):
    """Total predictive uncertainty and its two parts, [B] or [B, …] each.

    Attributes:
        total: how uncertain the prediction is in all.
        aleatoric: what is due to noise in the data, and would stay with any amount of them.
        epistemic: what is due to not knowing the model.
        unit: "nats" of an entropy, or the unit of a variance.
    """

    total: Tensor
    aleatoric: Tensor
    epistemic: Tensor
    unit: str


class Detections(NamedTuple):
    """What was found in one image.

    Attributes:
        boxes: [N, 4] float, xmin, ymin, xmax, ymax in pixels of the image as it was given.
        labels: [N] int64, the number of the class.
        scores: [N] float in [0, 1], in falling order.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor


@runtime_checkable
class Density(Protocol):
    """Knows how likely an example is."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log-likelihood of each x, [B], in nats."""


@runtime_checkable
class Conditionals(Protocol):
    """What an autoregressive Density may tell besides. No model declares it, so it is not in the table."""

    def conditional_log_prob(self, x: Tensor) -> Tensor:
        """Log-probability of every value given those before it, the shape of x, in nats; they sum to `log_prob`."""


@runtime_checkable
class LowerBound(Protocol):
    """Knows a bound on how likely an example is."""

    def elbo(self, x: Tensor, *, samples: int = 1, generator: Generator | None = None) -> Tensor:
        """Lower bound on the log-likelihood, [B], in nats; more samples give the importance-weighted bound."""


@runtime_checkable
class Sampler(Protocol):
    """Makes new examples."""

    def sample(self, n: int, *, generator: Generator | None = None, **conditions: Any) -> Tensor:
        """n new examples, [n, …]; `conditions` are those that `Model.conditions` declares.

        Raises:
            UsageError: there is no such condition, or no such value of it.
        """


@runtime_checkable
class Completer(Protocol):
    """Fills in what is missing of an example."""

    def complete(self, x: Tensor, known: Tensor, *, generator: Generator | None = None) -> Tensor:
        """x [B, …] with the values where `known`, bool of the same shape, is False sampled anew."""


@runtime_checkable
class Classifier(Protocol):
    """Tells the class of an example."""

    def logits(self, x: Tensor) -> Tensor:
        """Class scores before the softmax, [B, K]."""


@runtime_checkable
class Encoder(Protocol):
    """Describes an example by a few numbers."""

    def encode(self, x: Tensor) -> Tensor:
        """The latent of each x, [B, Z]."""


@runtime_checkable
class Decoder(Protocol):
    """Makes an example of a few numbers."""

    def decode(self, z: Tensor) -> Tensor:
        """What each latent z [B, Z] stands for, [B, …]."""


@runtime_checkable
class Prior(Protocol):
    """Knows how its latents should be distributed."""

    def sample_prior(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n samples of the prior that the model's latents should follow, [n, Z]."""


@runtime_checkable
class Reconstructor(Protocol):
    """Gives back an example after it went through a bottleneck."""

    def reconstruct(self, x: Tensor) -> Tensor:
        """Each x after it went through the model, same shape."""


@runtime_checkable
class Regressor(Protocol):
    """Predicts numbers."""

    def predict(self, x: Tensor) -> Tensor:
        """The predicted values, [B, D], in the units of the target."""


@runtime_checkable
class OutlierScorer(Protocol):
    """Tells what does not belong to the data that the model was made for."""

    def outlier_score(self, x: Tensor, score: str | None = None) -> Tensor:
        """How anomalous each x is, [B]; larger is more anomalous. `score` is one of the model's scores, by name."""


@runtime_checkable
class Uncertain(Protocol):
    """Knows what it does not know."""

    def predict_with_uncertainty(self, x: Tensor, *, samples: int = 1, seed: int = 0) -> tuple[Tensor, Uncertainty]:
        """The prediction [B, K] or [B, D], and how uncertain it is, from so many functions sampled with `seed`."""


@runtime_checkable
class FeatureExtractor(Protocol):
    """Shows what its layers make of an example."""

    def extract_features(self, x: Tensor, names: list[str]) -> dict[str, Tensor]:
        """The outputs of the named submodules, [B, …] each."""


@runtime_checkable
class Segmenter(Protocol):
    """Tells the class of every pixel."""

    def segment(self, x: Tensor) -> Tensor:
        """The class of every pixel, x [B, C, H, W] -> [B, H, W] int64."""


@runtime_checkable
class Detector(Protocol):
    """Finds objects."""

    def detect(self, images: Sequence[Tensor], *, threshold: float = 0.05) -> list[Detections]:
        """The objects in each image [C, H, W], of whatever size, with a score of at least `threshold`."""


@runtime_checkable
class LanguageModel(Protocol):
    """Knows how likely a text is, and writes on."""

    def token_log_prob(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Log-probability of each token given those before it, tokens [B, T] int64 -> [B, T] nats; 0 where `mask`, bool
        [B, T], is False."""

    def generate(
        self,
        prompt: str,
        *,
        length: int = 100,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop: str | None = None,
        generator: Generator | None = None,
        **conditions: Any,
    ) -> str:
        """A continuation of `prompt` by at most `length` tokens, without the prompt; it ends before the text `stop`.

        Args:
            temperature: what logits are divided by; below 1 the likely becomes likelier.
            top_k: only so many of the likeliest tokens can come next.
            top_p: only the likeliest tokens that together have this probability can come next.
            conditions: those that `Model.conditions` declares.
        """


@runtime_checkable
class Translator(Protocol):
    """Says a text in another language."""

    def translate(self, texts: Sequence[str], *, beam: int = 1, **conditions: Any) -> list[str]:
        """Each text in the other language; `beam` hypotheses are kept, 1 is greedy; `conditions` as of a Sampler."""


@runtime_checkable
class ImageTranslator(Protocol):
    """Shows an image in another domain."""

    def translate_image(self, x: Tensor, **conditions: Any) -> Tensor:
        """Each image [B, C, H, W] in the domain that the conditions say, same shape."""


@runtime_checkable
class Stylizer(Protocol):
    """Paints an image in the style of another one."""

    def stylize(self, content: Tensor, style: Tensor) -> Tensor:
        """The content images [B, C, H, W] in the style of the style images [B or 1, C, H', W']."""


@runtime_checkable
class Policy(Protocol):
    """Acts in an environment."""

    def act(self, observation: Tensor, *, generator: Generator | None = None) -> Tensor:
        """The action to take at each observation [B, …], [B] int64 or [B, A]; without a generator, the best one."""


# By name. No model declares `Conditionals`.
PROTOCOLS: dict[str, type] = {spec.name: globals()[spec.name] for spec in CAPABILITIES}


def implemented_by(model: object) -> tuple[str, ...]:
    """The capabilities whose methods a model has, in the order of the table."""
    return tuple(name for name, protocol in PROTOCOLS.items() if isinstance(model, protocol))


def able(model: Any, capability: type[C]) -> C | None:
    """The model, typed as one of a capability: `if density := able(model, Density)`. None where it lacks that."""
    return cast(C, model) if capability.__name__ in model.capabilities else None
