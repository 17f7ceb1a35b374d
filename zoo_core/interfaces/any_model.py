"""`AnyModel`: the type of a model that was asked for by its name."""

from typing import TYPE_CHECKING

from zoo_core.interfaces.model import Model

if TYPE_CHECKING:
    from zoo_core.interfaces import capabilities

    class AnyModel(
        Model,
        capabilities.Density,
        capabilities.LowerBound,
        capabilities.Sampler,
        capabilities.Completer,
        capabilities.Classifier,
        capabilities.Encoder,
        capabilities.Decoder,
        capabilities.Prior,
        capabilities.Reconstructor,
        capabilities.Regressor,
        capabilities.OutlierScorer,
        capabilities.Uncertain,
        capabilities.FeatureExtractor,
        capabilities.Segmenter,
        capabilities.Detector,
        capabilities.LanguageModel,
        capabilities.Translator,
        capabilities.ImageTranslator,
        capabilities.Stylizer,
        capabilities.Policy,
    ):
        """A model that was asked for by its name, which does not tell a type checker what the model can do.

        It lets the methods of all capabilities through, with their types. What a model can do `zoo info` tells;
        `isinstance(model, Density)` asks in a program.
        """
else:
    AnyModel = Model
