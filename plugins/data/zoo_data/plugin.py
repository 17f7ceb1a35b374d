"""What zoo-data offers; imports no torch."""

from zoo_core import DatasetSpec, hookimpl

zoo_api = 1
_SPLITS = ("train", "validation", "test")


@hookimpl
def zoo_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            name="digits",
            target="zoo_data.digits:Digits",
            summary="Handwritten digits, 8x8, 17 grey levels; 1,797 with labels; needs no network",
            source="scikit-learn (UCI: Optical Recognition of Handwritten Digits, test part)",
            licence="CC-BY-4.0",
            splits=_SPLITS,
        ),
        DatasetSpec(
            name="mnist",
            target="zoo_data.mnist:Mnist",
            summary="Handwritten digits, 28x28, 256 grey levels; 70,000 with labels",
            source="https://huggingface.co/datasets/ylecun/mnist",
            licence="CC-BY-SA-3.0",
            splits=_SPLITS,
        ),
        DatasetSpec(
            name="binarized-mnist",
            target="zoo_data.binarized_mnist:BinarizedMnist",
            summary="MNIST as black and white, the static binarisation of the papers' tables; 70,000, no labels",
            source="https://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
            licence="CC-BY-SA-3.0",
            splits=_SPLITS,
        ),
        DatasetSpec(
            name="wine",
            target="zoo_data.tables:Wine",
            summary="Chemical measurements of 178 wines, 13 real numbers; needs no network",
            source="scikit-learn (UCI: Wine)",
            licence="CC-BY-4.0",
            splits=_SPLITS,
        ),
        DatasetSpec(
            name="breast-cancer",
            target="zoo_data.tables:BreastCancer",
            summary="Measurements of the cell nuclei of 569 tumours, 30 real numbers; needs no network",
            source="scikit-learn (UCI: Breast Cancer Wisconsin, Diagnostic)",
            licence="CC-BY-4.0",
            splits=_SPLITS,
        ),
        DatasetSpec(
            name="digits-dequantized",
            target="zoo_data.tables:DigitsDequantized",
            summary="digits as 64 real numbers: uniform noise fills the gaps between levels; needs no network",
            source="scikit-learn (UCI: Optical Recognition of Handwritten Digits, test part)",
            licence="CC-BY-4.0",
            splits=_SPLITS,
        ),
    ]
