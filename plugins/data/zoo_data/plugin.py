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
            name="omniglot",
            target="zoo_data.omniglot:Omniglot",
            summary="Handwritten characters of eight alphabets, 105x105, black ink on white; 4,840 with labels",
            source="https://github.com/brendenlake/omniglot",
            licence="MIT",
            splits=_SPLITS,
        ),
        DatasetSpec(
            name="cifar10",
            target="zoo_data.cifar10:Cifar10",
            summary="Photographs of ten kinds of things, 32x32 RGB; 60,000 with labels",
            source="https://huggingface.co/datasets/uoft-cs/cifar10",
            licence="NOASSERTION",
            splits=_SPLITS,
        ),
        DatasetSpec(
            name="cifar10-jpeg75",
            target="zoo_data.cifar10:Cifar10Jpeg75",
            summary="CIFAR-10 after JPEG compression (quality 75): other data, other numbers; 60,000 with labels",
            source="https://www.cs.toronto.edu/~kriz/cifar.html, compressed",
            licence="NOASSERTION",
            splits=_SPLITS,
        ),
        DatasetSpec(
            name="folder",
            target="zoo_data.folder:Folder",
            summary="Your own images: folder:PATH[,size=N][,channels=1|3]; a subfolder is a class",
            source="a folder of images",
            licence="NOASSERTION",
            splits=_SPLITS,
        ),
        DatasetSpec(
            name="parquet",
            target="zoo_data.parquet:Parquet",
            summary="Your own Parquet files, however large: parquet:PATH[,size=N][,channels=1|3]",
            source="a folder of Parquet files",
            licence="NOASSERTION",
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
            name="diabetes",
            target="zoo_data.tables:Diabetes",
            summary="Ten measurements of 442 patients, and how far their disease went; needs no network",
            source="scikit-learn (Efron et al., 2004)",
            licence="NOASSERTION",
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
