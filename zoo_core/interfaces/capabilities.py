"""What a trained model can do, as protocols. Metrics and commands ask for a capability, never for a class.

A method takes x, the subject of a batch: a tensor [B, …], or what `Model.subject_of` returns. B is the number of
examples, and … is the shape of one. x is preprocessed: it fits the model's signature. Arguments of another shape, or
with values that the model does not know, are a `UsageError`. Random numbers come from `generator`, or from torch's
default generator. The table of all capabilities is `zoo_core.interfaces.capability_table`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, cast, runtime_checkable

from torch import Generator, Tensor

from zoo_core.interfaces.capability_table import CAPABILITIES

C = TypeVar("C")


class Uncertainty(NamedTuple):
    """How uncertain predictions are, in total and in two parts.

    Attributes:
        total: the uncertainty of each prediction, [B] or [B, D].
        aleatoric: the part that comes from noise in the data, of the same shape. More data would not make it smaller.
        epistemic: the part that comes from not knowing the right model, of the same shape. More data make it smaller.
        unit: the unit of all three: "nats" for an entropy, or the unit of a standard deviation or variance.
    """

    total: Tensor
    aleatoric: Tensor
    epistemic: Tensor
    unit: str


class Detections(NamedTuple):
    """The N objects that were found in one image.

    Attributes:
        boxes: [N, 4] float: xmin, ymin, xmax, ymax in pixels of the image that was given.
        labels: [N] int64: the number of each object's class.
        scores: [N] float in [0, 1], from the highest to the lowest: how sure the model is.
    """

    boxes: Tensor
    labels: Tensor
    scores: Tensor


@runtime_checkable
class Density(Protocol):
    """Knows how likely an example is."""

    def log_prob(self, x: Tensor) -> Tensor:
        """The exact log-likelihood of each example, log p(x), in nats: x [B, …] -> [B].

        It is the logarithm of a probability for discrete x, and of a density for continuous x; -inf where an example
        cannot occur.

        Raises:
            UsageError: x has another shape, or values between the model's levels.
        """


@runtime_checkable
class Conditionals(Protocol):
    """A Density that also knows the likelihood of each value. No model declares it, so it is not in the table."""

    def conditional_log_prob(self, x: Tensor) -> Tensor:
        """The log-probability of every value given all values before it in the model's order, in nats: x [B, …] -> the
        same shape. The sum over an example is `log_prob`."""


@runtime_checkable
class LowerBound(Protocol):
    """Knows a bound on how likely an example is."""

    def elbo(self, x: Tensor, *, samples: int = 1, generator: Generator | None = None) -> Tensor:
        """A lower bound on the log-likelihood of each example, in nats: log p(x) >= elbo in expectation.

        Args:
            x: examples, [B, …].
            samples: how many latents are sampled for each example, at least 1. More than one give the
                importance-weighted bound, which is tighter.
            generator: the source of random numbers.

        Returns:
            [B].

        Raises:
            UsageError: `samples` is less than 1.
        """


@runtime_checkable
class Sampler(Protocol):
    """Makes new examples."""

    def sample(self, n: int, *, generator: Generator | None = None, **conditions: Any) -> Tensor:
        """New examples.

        Args:
            n: how many.
            generator: the source of random numbers.
            conditions: what the examples shall be like; `Model.conditions` declares the names and values.

        Returns:
            [n, …] on the model's device. Images are in [0, 1].

        Raises:
            UsageError: there is no such condition, or no such value of it.
        """


@runtime_checkable
class Completer(Protocol):
    """Fills in what is missing of an example."""

    def complete(self, x: Tensor, known: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Examples whose unknown values are sampled, of the shape of x.

        Args:
            x: examples, [B, …]; what stands in the unknown places does not matter.
            known: bool, of the shape of x or one that broadcasts to it: True where a value stays as it is.
            generator: the source of random numbers.

        Raises:
            UsageError: `known` is not bool, or its shape does not fit.
        """


@runtime_checkable
class Classifier(Protocol):
    """Tells the class of an example."""

    def logits(self, x: Tensor) -> Tensor:
        """The scores of K classes before the softmax, that is, unnormalised log-probabilities: x [B, …] -> [B, K]. The
        classes have the order of the label field's `classes`."""


@runtime_checkable
class Encoder(Protocol):
    """Describes an example by a few numbers."""

    def encode(self, x: Tensor) -> Tensor:
        """The latent of each example, Z numbers that describe it: x [B, …] -> [B, Z]. A model with random latents
        returns their mean."""


@runtime_checkable
class Decoder(Protocol):
    """Makes an example of a few numbers."""

    def decode(self, z: Tensor) -> Tensor:
        """The example that each latent stands for, without added noise: z [B, Z] -> [B, …], images in [0, 1].

        Raises:
            UsageError: z has another shape.
        """


@runtime_checkable
class Prior(Protocol):
    """Knows how its latents should be distributed."""

    def sample_prior(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n samples from the prior, the distribution that the model's latents should follow: [n, Z] on its device."""


@runtime_checkable
class Reconstructor(Protocol):
    """Gives back an example after it went through a bottleneck."""

    def reconstruct(self, x: Tensor) -> Tensor:
        """Each example as the model gives it back: x [B, …] -> the same shape, in the units of x."""


@runtime_checkable
class Regressor(Protocol):
    """Predicts numbers."""

    def predict(self, x: Tensor) -> Tensor:
        """D predicted numbers for each example: x [B, …] -> [B, D], in the units of the target field and the order of
        its `columns`."""


@runtime_checkable
class OutlierScorer(Protocol):
    """Tells what does not belong to the data that the model was made for."""

    def outlier_score(self, x: Tensor, score: str | None = None) -> Tensor:
        """How anomalous each example is; larger means more anomalous. The unit is the model's own.

        Args:
            x: examples, [B, …].
            score: the name of one of the model's scores; None for its default.

        Returns:
            [B].

        Raises:
            UnknownName: the model has no such score.
        """


@runtime_checkable
class Uncertain(Protocol):
    """Knows what it does not know."""

    def predict_with_uncertainty(self, x: Tensor, *, samples: int = 1, seed: int = 0) -> tuple[Tensor, Uncertainty]:
        """Predictions, and how uncertain they are.

        Args:
            x: examples, [B, …].
            samples: how many functions are sampled from the model, at least 1; models that sample none ignore it.
            seed: decides which functions are sampled.

        Returns:
            The prediction, [B, K] probabilities or [B, D] numbers, and its `Uncertainty`.

        Raises:
            UsageError: the model cannot say how uncertain it is, or `samples` is less than 1.
        """


@runtime_checkable
class FeatureExtractor(Protocol):
    """Shows what its layers make of an example."""

    def extract_features(self, x: Tensor, names: list[str]) -> dict[str, Tensor]:
        """The outputs of some layers.

        Args:
            x: examples, [B, …].
            names: names of submodules, such as "features.12", or others that the model documents.

        Returns:
            By name, the output of each layer, [B, …].

        Raises:
            UnknownName: the model has no such layer, or the forward pass does not use it.
        """


@runtime_checkable
class Segmenter(Protocol):
    """Tells the class of every pixel."""

    def segment(self, x: Tensor) -> Tensor:
        """The number of the class of every pixel: x [B, C, H, W] -> [B, H, W] int64. The classes have the order of the
        mask field's `classes`."""


@runtime_checkable
class Detector(Protocol):
    """Finds objects."""

    def detect(self, images: Sequence[Tensor], *, threshold: float = 0.05) -> list[Detections]:
        """The objects in each image.

        Args:
            images: a tensor [C, H, W] in [0, 1] for each image; they may differ in size.
            threshold: objects with a lower score are left out; from 0 to 1.

        Returns:
            The `Detections` of each image, in the order of the images.
        """


@runtime_checkable
class LanguageModel(Protocol):
    """Knows how likely a text is, and writes on."""

    def token_log_prob(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """The log-probability of each token given all tokens before it, in nats.

        Args:
            tokens: [B, T] int64, numbers of the vocabulary.
            mask: [B, T] bool, False at tokens that do not count, such as padding; None: all count.

        Returns:
            [B, T]; 0 where `mask` is False.

        Raises:
            UsageError: a token is not in the vocabulary.
        """

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
        """A sampled continuation of a text.

        Args:
            prompt: the text to continue; it may be empty.
            length: how many tokens are sampled at most.
            temperature: what the logits are divided by, greater than 0; below 1 makes likely tokens likelier.
            top_k: only the k likeliest tokens can come next; None: all can.
            top_p: only the likeliest tokens that together have this probability can come next; None: all can.
            stop: the continuation ends before this text, if it occurs.
            generator: the source of random numbers.
            conditions: further arguments that `Model.conditions` declares.

        Returns:
            The continuation, without the prompt.

        Raises:
            UsageError: an argument is out of bounds, or the prompt cannot be written in the model's vocabulary.
        """


@runtime_checkable
class Translator(Protocol):
    """Says a text in another language."""

    def translate(self, texts: Sequence[str], *, beam: int = 1, **conditions: Any) -> list[str]:
        """Each text in the other language.

        Args:
            texts: texts in the language that the model reads.
            beam: how many hypotheses the beam search keeps; 1 takes the likeliest token each time.
            conditions: further arguments that `Model.conditions` declares, such as the language.
        """


@runtime_checkable
class ImageTranslator(Protocol):
    """Shows an image in another domain."""

    def translate_image(self, x: Tensor, **conditions: Any) -> Tensor:
        """Each image in another domain, such as a photo as a painting: x [B, C, H, W] -> the same shape and range. The
        `conditions` say which domain; `Model.conditions` declares their names and values.

        Raises:
            UsageError: there is no such condition, or no such value of it.
        """


@runtime_checkable
class Stylizer(Protocol):
    """Paints an image in the style of another one."""

    def stylize(self, content: Tensor, style: Tensor) -> Tensor:
        """Images painted in the style of others.

        Args:
            content: images that say what is shown, [B, C, H, W] in [0, 1].
            style: images that say how, [B, C, H', W']; or one for all, [1, C, H', W'].

        Returns:
            [B, C, H, W] in [0, 1].
        """


@runtime_checkable
class Policy(Protocol):
    """Acts in an environment."""

    def act(self, observation: Tensor, *, generator: Generator | None = None) -> Tensor:
        """The action to take at each observation.

        Args:
            observation: what the environments show, [B, …].
            generator: the source of random numbers for a sampled action; without one, the best action is taken.

        Returns:
            The number of an action, [B] int64; or an action of A numbers, [B, A].
        """


# By name. No model declares `Conditionals`.
PROTOCOLS: dict[str, type] = {spec.name: globals()[spec.name] for spec in CAPABILITIES}


def implemented_by(model: object) -> tuple[str, ...]:
    """The capabilities whose methods a model has, in the order of the table."""
    return tuple(name for name, protocol in PROTOCOLS.items() if isinstance(model, protocol))


def able(model: Any, capability: type[C]) -> C | None:
    """The model itself, if it has a capability, and None otherwise; a type checker then knows its methods.

        if density := able(model, Density):
            density.log_prob(x)

    Args:
        model: a `Model`.
        capability: the protocol, such as `zoo_core.interfaces.capabilities.Density`.
    """
    return cast(C, model) if capability.__name__ in model.capabilities else None
