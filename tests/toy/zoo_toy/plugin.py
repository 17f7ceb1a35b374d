"""What zoo-toy offers; imports no torch."""

from pathlib import Path

from zoo_core import CommandSpec, DatasetSpec, MetricSpec, ModelSpec, StepSpec, hookimpl

zoo_api = 1

SYSTEMS = [  # one for each way of training
    ("aae", "AdversarialAutoencoder", "Three objectives, and one module in two optimizers"),
    ("cyclegan", "CycleGan", "Two streams, and a pool of earlier fakes"),
    ("staged", "Staged", "Stages, the first ones without gradients"),
    ("wgan", "Wgan", "A gradient penalty, and an objective that rests"),
    ("lbfgs", "Lbfgs", "L-BFGS on a loss with dropout and noise"),
    ("averaged", "Averaged", "Batch-norm and a moving average"),
    ("calibrated", "Calibrated", "A temperature that is fitted after training"),
    ("words", "Words", "A loss by the word"),
    ("boxes", "Boxes", "A loss by the box, of packed fields"),
]

KINDS = [  # one for each kind of data and of answer
    ("told", "Told", "Shows what it was told", ("Sampler",)),
    ("rows", "Rows", "Three numbers with names", ("Density", "Sampler")),
    ("sorter", "Sorter", "A classifier of rows", ("Classifier",)),
    ("line", "Line", "Predicts two numbers, and how unsure it is", ("Regressor", "Uncertain")),
    ("mood", "Mood", "A classifier of texts", ("Classifier",)),
    ("letters", "Letters", "A language model that knows the alphabet", ("LanguageModel",)),
    ("shout", "Shout", "Translates into capitals", ("Translator",)),
    ("threshold", "Threshold", "Tells dark pixels from light ones", ("Segmenter",)),
    ("spot", "Spot", "A box around all light pixels", ("Detector",)),
    ("painter", "Painter", "Turns day into night", ("ImageTranslator",)),
]

CAPABILITIES = {
    "staged": ("Classifier",),
    "averaged": ("Classifier",),
    "calibrated": ("Classifier",),
    "boxes": ("Detector",),
}


@hookimpl
def zoo_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            name="toy",
            target="zoo_toy.models:IndependentPixels",
            summary="One Bernoulli for each pixel",
            task="density-estimation",
            capabilities=("Density", "Sampler", "Completer"),
            aliases=("toy-pixels",),
        ),
        ModelSpec(
            name="toy-wide",
            target="zoo_toy.models:IndependentPixels",
            summary="The same with a preset",
            task="density-estimation",
            capabilities=("Density", "Sampler", "Completer"),
            preset={"height": 2, "width": 6},
        ),
        ModelSpec(
            name="toy-classifier",
            target="zoo_toy.models:TiedClassifier",
            summary="A classifier with tied weights and a head",
            task="classification",
            capabilities=("Classifier",),
        ),
        ModelSpec(name="toy-gan", target="zoo_toy.models:Gan", summary="Two optimizers", capabilities=("Sampler",)),
        ModelSpec(
            name="system-player",
            target="zoo_toy.play:Player",
            summary="Q-learning on a chain of five places",
            capabilities=("Policy",),
        ),
        ModelSpec(
            name="system-whitening",
            target="zoo_toy.play:Whitening",
            summary="Learns from its own samples",
            capabilities=("Density", "Sampler"),
        ),
        *(
            ModelSpec(
                name=f"system-{name}",
                target=f"zoo_toy.systems:{target}",
                summary=summary,
                capabilities=CAPABILITIES.get(name, ()),
            )
            for name, target, summary in SYSTEMS
        ),
        ModelSpec(
            name="system-vocabulary",
            target="zoo_toy.parts:Vocabulary",
            summary="A table whose rows an artifact names",
            task="classification",
            capabilities=("Classifier",),
        ),
        ModelSpec(
            name="system-probe",
            target="zoo_toy.parts:Probe",
            summary="A linear layer on a release that is held frozen",
            task="classification",
            capabilities=("Classifier",),
        ),
        ModelSpec(
            name="system-texts",
            target="zoo_toy.texts:TextClassifier",
            summary="A classifier of texts with a vocabulary",
            task="classification",
            capabilities=("Classifier",),
        ),
        ModelSpec(
            name="system-bags",
            target="zoo_toy.texts:BagClassifier",
            summary="A classifier of packed sequences",
            task="classification",
            capabilities=("Classifier",),
        ),
        ModelSpec(
            name="system-masks",
            target="zoo_toy.scenes:PixelClassifier",
            summary="The class of every pixel",
            capabilities=("Segmenter",),
        ),
        ModelSpec(
            name="system-frozen",
            target="zoo_toy.scenes:Frozen",
            summary="A frozen layer, a slow one and a new one",
            task="classification",
            capabilities=("Classifier",),
        ),
        ModelSpec(
            name="system-by-class",
            target="zoo_toy.scenes:ByClass",
            summary="Pixels by class, and a condition",
            task="density-estimation",
            capabilities=("Density", "Sampler"),
        ),
        *(
            ModelSpec(name=f"kind-{name}", target=f"zoo_toy.kinds:{target}", summary=summary, capabilities=capabilities)
            for name, target, summary, capabilities in KINDS
        ),
        ModelSpec(
            name="kind-nameless",
            target="zoo_toy.kinds:Rows",
            summary="Three numbers without names",
            capabilities=("Density", "Sampler"),
            preset={"columns": []},
        ),
    ]


@hookimpl
def zoo_datasets() -> list[DatasetSpec]:
    splits = ("train", "validation", "test")
    source = "a seed"
    return [
        DatasetSpec(
            name="toy-bits",
            target="zoo_toy.data:Bits",
            summary="4x4 black and white noise",
            source=source,
            licence="CC0-1.0",
            splits=splits,
        ),
        DatasetSpec(
            name="toy-grey",
            target="zoo_toy.data:Grey",
            summary="4x4 grey noise with a label",
            source=source,
            licence="CC0-1.0",
            splits=splits,
        ),
        DatasetSpec(
            name="toy-shades",
            target="zoo_toy.data:Shades",
            summary="4x4 grey images of four classes",
            source=source,
            licence="CC-BY-4.0",
            splits=splits,
        ),
        DatasetSpec(
            name="system-domain",
            target="zoo_toy.data:Domain",
            summary="4x4 dark noise",
            source=source,
            licence="CC0-1.0",
            splits=("train",),
        ),
        DatasetSpec(
            name="system-sentences",
            target="zoo_toy.data:Sentences",
            summary="padded sentences of ten words",
            source=source,
            licence="CC0-1.0",
            splits=splits,
        ),
        DatasetSpec(
            name="system-boxes",
            target="zoo_toy.data:Boxes",
            summary="4x4 grey noise with boxes",
            source=source,
            licence="CC0-1.0",
            splits=splits,
        ),
        DatasetSpec(
            name="system-huge",
            target="zoo_toy.huge:Huge",
            summary="50 GB of black and white noise",
            source=source,
            licence="CC0-1.0",
            splits=splits,
        ),
        DatasetSpec(
            name="system-reviews",
            target="zoo_toy.texts:Reviews",
            summary="texts that praise or complain",
            source=source,
            licence="CC0-1.0",
            splits=splits,
        ),
        DatasetSpec(
            name="system-scenes",
            target="zoo_toy.scenes:Scenes",
            summary="4x4 grey noise with masks",
            source=source,
            licence="CC0-1.0",
            splits=splits,
        ),
        DatasetSpec(
            name="system-replies",
            target="zoo_toy.texts:Replies",
            summary="texts of another author",
            source=source,
            licence="CC0-1.0",
            splits=splits,
        ),
        DatasetSpec(
            name="system-bags",
            target="zoo_toy.texts:Bags",
            summary="bags of numbers",
            source=source,
            licence="CC0-1.0",
            splits=splits,
        ),
    ]


@hookimpl
def zoo_metrics() -> list[MetricSpec]:
    return [
        MetricSpec(
            name="toy_return",
            target="zoo_toy.play:Return",
            summary="Discounted prize of an episode",
            requires="Policy",
            unit="prize",
            higher_is_better=True,
        ),
        MetricSpec(
            name="toy_pixel_accuracy",
            target="zoo_toy.scenes:PixelAccuracy",
            summary="pixels that get their class",
            requires="Segmenter",
            unit="fraction",
            higher_is_better=True,
        ),
        MetricSpec(
            name="toy_box_distance",
            target="zoo_toy.scenes:BoxDistance",
            summary="squared distance of a box from the nearest one found",
            requires="Detector",
            unit="square pixels",
            higher_is_better=False,
        ),
    ]


@hookimpl
def zoo_steps() -> list[StepSpec]:
    return [StepSpec(name="toy-tokens", target="zoo_toy.texts:Tokens", summary="the words of texts as numbers")]


@hookimpl
def zoo_weights() -> list[Path]:
    return sorted(Path(__file__).parent.glob("*.toml"))


@hookimpl
def zoo_commands() -> list[CommandSpec]:
    return [CommandSpec(name="toy-hello", target="zoo_toy.command:hello", help="Say hello.")]
