"""What zoo-convnets offers."""

from typing import Any

from zoo_core import ModelSpec, StudySpec, hookimpl

zoo_api = 1

_ALEXNET = (
    "Krizhevsky, Sutskever and Hinton, 2012, ImageNet Classification with Deep Convolutional Neural Networks, NIPS"
)
_VGG = (
    "Simonyan and Zisserman, 2014, Very Deep Convolutional Networks for Large-Scale Image Recognition, arXiv:1409.1556"
)
_GOOGLENET = "Szegedy et al., 2014, Going Deeper with Convolutions, arXiv:1409.4842"
_RESNET = "He, Zhang, Ren and Sun, 2015, Deep Residual Learning for Image Recognition, arXiv:1512.03385"
_DENSENET = "Huang et al., 2016, Densely Connected Convolutional Networks, arXiv:1608.06993"
_STN = "Jaderberg, Simonyan, Zisserman and Kavukcuoglu, 2015, Spatial Transformer Networks, arXiv:1506.02025"


def _model(
    name: str, target: str, summary: str, paper: str, parameters: str, *aliases: str, **preset: Any
) -> ModelSpec:
    return ModelSpec(
        name=name,
        target=f"zoo_convnets.{target}",
        summary=summary,
        task="classification",
        paper=paper,
        capabilities=("Classifier", "FeatureExtractor"),
        aliases=aliases,
        preset=preset,
        parameter_count=parameters,
    )


_SMALL = {"height": 32, "width": 32, "classes": 10}


def _alexnets() -> list[ModelSpec]:
    target = "alexnet:AlexNet"
    return [
        _model(
            "alexnet",
            target,
            "AlexNet: five convolutions and three linear layers",
            _ALEXNET,
            "61,100,840; 60,965,224 with variant=2012",
        ),
        _model(
            "alexnet-small",
            target,
            "AlexNet for images of 32 x 32",
            _ALEXNET,
            "1,892,810 for RGB and 10 classes",
            variant="small",
            **_SMALL,
        ),
    ]


def _vggs() -> list[ModelSpec]:
    target, models = "vgg:VGG", []
    for depth, convolutions, plain, normalised in (
        (11, (1, 1, 2, 2, 2), "132,863,336", "132,868,840"),
        (13, (2, 2, 2, 2, 2), "133,047,848", "133,053,736"),
        (16, (2, 2, 3, 3, 3), "138,357,544", "138,365,992"),
        (19, (2, 2, 4, 4, 4), "143,667,240", "143,678,248"),
    ):
        summary = f"VGG with {depth} layers: blocks of 3x3 convolutions"
        models += [
            _model(f"vgg{depth}", target, summary, _VGG, plain, f"vgg-{depth}", convolutions=convolutions),
            _model(
                f"vgg{depth}-bn",
                target,
                f"{summary}, with batch normalisation",
                _VGG,
                normalised,
                convolutions=convolutions,
                batch_norm=True,
            ),
        ]
    small = _model(
        "vgg-small",
        target,
        "VGG for images of 32 x 32: ten convolutions with batch normalisation, one linear layer",
        _VGG,
        "7,645,770 for RGB and 10 classes",
        convolutions=(2, 2, 3, 3),
        batch_norm=True,
        hidden=0,
        **_SMALL,
    )
    return [*models, small]


def _googlenets() -> list[ModelSpec]:
    target = "googlenet:GoogLeNet"
    return [
        _model(
            "googlenet",
            target,
            "GoogLeNet: nine modules with filters of several sizes side by side",
            _GOOGLENET,
            "13,004,888, of which 6,379,984 serve training only; 13,378,280 and 6,379,728 with variant=2014",
            "inception-v1",
        ),
        _model(
            "googlenet-small",
            target,
            "GoogLeNet for images of 32 x 32: seven modules of half the width",
            _GOOGLENET,
            "1,393,044 for RGB and 10 classes, of which 546,442 serve training only",
            variant="small",
            **_SMALL,
        ),
    ]


def _resnets() -> list[ModelSpec]:
    target, models = "resnet:ResNet", []
    for depth, blocks, bottleneck, parameters in (
        (18, (2, 2, 2, 2), False, "11,689,512"),
        (34, (3, 4, 6, 3), False, "21,797,672"),
        (50, (3, 4, 6, 3), True, "25,557,032"),
        (101, (3, 4, 23, 3), True, "44,549,160"),
        (152, (3, 8, 36, 3), True, "60,192,808"),
    ):
        models.append(
            _model(
                f"resnet{depth}",
                target,
                f"ResNet with {depth} layers",
                _RESNET,
                parameters,
                f"resnet-{depth}",
                blocks=blocks,
                bottleneck=bottleneck,
            )
        )
    narrow = {"bottleneck": False, "filters": 16, "small_images": True, **_SMALL}
    for depth, parameters in ((20, "269,722"), (32, "464,154"), (44, "658,586"), (56, "853,018"), (110, "1,727,962")):
        each = ((depth - 2) // 6,) * 3
        models.append(
            _model(
                f"resnet{depth}",
                target,
                f"ResNet with {depth} layers for images of 32 x 32",
                _RESNET,
                f"{parameters} for RGB and 10 classes",
                f"resnet-{depth}",
                blocks=each,
                shortcut="padding",
                **narrow,
            )
        )
        if depth in (20, 56):
            models.append(
                _model(
                    f"plain{depth}",
                    target,
                    f"resnet{depth} without its shortcuts, to compare with",
                    _RESNET,
                    f"{parameters} for RGB and 10 classes",
                    f"plain-{depth}",
                    blocks=each,
                    shortcut="none",
                    **narrow,
                )
            )
    fast = _model(
        "resnet9",
        "resnet9:ResNet9",
        "ResNet-9: a small residual network that trains fast",
        "Page, 2018, How to train your ResNet, myrtle.ai",
        "1,646,112 for RGB and 10 classes",
        "resnet-9",
        **_SMALL,
    )
    return [*models, fast]


def _densenets() -> list[ModelSpec]:
    target, models = "densenet:DenseNet", []
    for depth, blocks, growth, parameters in (
        (121, (6, 12, 24, 16), 32, "7,978,856"),
        (161, (6, 12, 36, 24), 48, "28,681,000"),
        (169, (6, 12, 32, 32), 32, "14,149,480"),
        (201, (6, 12, 48, 32), 32, "20,013,928"),
    ):
        models.append(
            _model(
                f"densenet{depth}",
                target,
                f"DenseNet with {depth} layers, each of which adds {growth} channels",
                _DENSENET,
                parameters,
                f"densenet-{depth}",
                blocks=blocks,
                growth=growth,
            )
        )
    for depth, parameters in ((40, "176,122"), (100, "769,162")):
        models.append(
            _model(
                f"densenet-bc-{depth}",
                target,
                f"DenseNet-BC with {depth} layers, each of which adds 12 channels, for images of 32 x 32",
                _DENSENET,
                f"{parameters} for RGB and 10 classes",
                blocks=((depth - 4) // 6,) * 3,
                growth=12,
                small_images=True,
                **_SMALL,
            )
        )
    return models


@hookimpl
def zoo_models() -> list[ModelSpec]:
    return [
        *_alexnets(),
        *_vggs(),
        *_googlenets(),
        *_resnets(),
        *_densenets(),
        _model(
            "stn",
            "stn:STN",
            "Spatial transformer network: a classifier that learns to turn, shift and scale what it looks at",
            _STN,
            "591,804 for MNIST",
            "spatial-transformer",
        ),
        _model(
            "digit-classifier",
            "digit_classifier:DigitClassifier",
            "Three convolutions and 64 features, for distances between sets of digits",
            "",
            "93,322 for MNIST",
        ),
    ]


@hookimpl
def zoo_studies() -> list[StudySpec]:
    return [
        StudySpec(
            name="depth",
            target="zoo_convnets.studies.depth:Depth",
            summary="plain networks degrade with depth, residual ones do not",
            minutes=40,
        ),
        StudySpec(
            name="transfer",
            target="zoo_convnets.studies.transfer:Transfer",
            summary="what weights are worth to start from, with few examples of new classes",
            minutes=8,
        ),
        StudySpec(
            name="unrotation",
            target="zoo_convnets.studies.unrotation:Unrotation",
            summary="what a spatial transformer learns: to turn digits back",
            minutes=15,
        ),
    ]
