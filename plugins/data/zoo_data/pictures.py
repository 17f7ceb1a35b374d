"""Pictures that `zoo data get` makes from packages: drawn, cut out or photographed, most of them with captions.

avatars: drawn faces with seven known attributes, 64x64: rendered, not photographs. Test are pairs: 204 faces in five
colours of hair, with and without glasses, all else equal ("face" tells which belong together), so that the true answer
of a translation exists. Design by Pablo Stanley; the parts recur in all splits: they prove nothing about memorising.
emoji: 1,906 emoji by two designers, 64x64: "image" is Noto's, "image_twemoji" Twemoji's. "half" cuts the names in two:
with the images of A in one style and of B in the other, no true pair is ever seen in training.
sprites: tiles of a dungeon game, 32x32 on black, with names.
letters: A to J from 1,063 fonts, 28x28, after the recipe of notMNIST; no family is in two splits.
stamps: things, most of them cut out of photographs, 96x96 on white, with captions of people in three languages.
photos: 118 photographs and 8 paintings by van Gogh, the middle of each at 256x256, with author and licence of each.

Test is what the recipe makes it, from a hash of a stable key (of sprites, a list of names; of avatars, the pairs).
Validation is a tenth of the rest by such a hash, so that what belongs together (a family of fonts, sprites of one name)
is never in both.
The files are sorted, so each split is permuted with seed 0.

Found in a mirror (datasets/NAME/….parquet); `zoo data get NAME` makes them.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from zoo_core import DataError, Field, find_in_mirror, missing_data
from zoo_data._images import read_images
from zoo_data._pinned import PinnedDataset

VALIDATION = 0.1  # of what is not test


def hashed_share(key: str) -> float:
    """A number in [0, 1) that follows from the key alone."""
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 2**32


class Pictures(PinnedDataset):
    """Images with labels and texts, read from the parquet files of a mirror.

    Attributes:
        shape: channels, height and width of the images.
        images: the columns that hold images.
        classes: the columns that hold labels, and the names of their classes; a number in a file means that place.
        numbers: the columns that hold numbers without names.
        texts: the columns that hold texts, or lists of words.
        key: the column whose hash says what is validation.
        train: the file of the train split, and of the validation split.
        test: the file of the test split; None where it is cut from train, too.
    """

    shape: ClassVar[tuple[int, int, int]]
    images: ClassVar[tuple[str, ...]] = ("image",)
    classes: ClassVar[Mapping[str, tuple[str, ...]]]
    numbers: ClassVar[tuple[str, ...]] = ()
    texts: ClassVar[tuple[str, ...]] = ()
    key: ClassVar[str]
    train: ClassVar[str] = "train"
    test: ClassVar[str | None] = "test"

    def __init__(self, *, data_file: Path | None = None) -> None:
        image = Field(kind="image", shape=self.shape, range=(0.0, 1.0), levels=256)
        features = dict.fromkeys(self.images, image)
        features |= {name: Field(kind="label", dtype="int64", classes=names) for name, names in self.classes.items()}
        features |= {name: Field(kind="label", dtype="int64") for name in self.numbers}
        features |= {name: Field(kind="text", target=False) for name in self.texts}
        super().__init__(features, data_file)

    def decode(self, split: str) -> dict[str, Any]:
        file = self._file(self.test if split == "test" and self.test else self.train)
        columns = self._columns(file)
        rows = torch.tensor([k for k, key in enumerate(columns[self.key]) if self._split_of(key, file) == split])
        rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]
        decoded: dict[str, Any] = {name: self.read(file, rows, name) for name in self.images}
        for name, names in self.classes.items():
            values = [columns[name][row] for row in rows.tolist()]
            decoded[name] = torch.tensor([names.index(value) if isinstance(value, str) else value for value in values])
        decoded |= {name: torch.tensor([columns[name][row] for row in rows.tolist()]) for name in self.numbers}
        for name in self.texts:
            values = [columns[name][row] for row in rows.tolist()]
            decoded[name] = [value if isinstance(value, str) else ", ".join(value) for value in values]
        return decoded

    def read(self, file: Path, rows: Tensor, column: str) -> Tensor:
        """The images of these rows, uint8 [N, C, H, W]."""
        return read_images(file, rows=rows, column=column)["image"]

    def _split_of(self, key: object, file: Path) -> str | None:
        """In which split of its file an example is; None: in none."""
        if file.stem == self.test:
            return "test"
        share = hashed_share(f"{self.name} {key}")
        if self.test is None and share >= 1 - VALIDATION:
            return "test"
        return "validation" if share < VALIDATION else "train"

    def _file(self, name: str) -> Path:
        file = find_in_mirror(self.name, f"{name}.parquet")
        if file is None:
            raise missing_data(f"{self.name}/{name}.parquet", "and no hub has it", published=False, get=self.name)
        return file

    def _columns(self, file: Path) -> dict[str, list[Any]]:
        """All but the images."""
        import pyarrow as arrow
        from pyarrow import parquet

        try:
            names = list(dict.fromkeys([*self.classes, *self.numbers, *self.texts, self.key]))
            table = parquet.read_table(file, columns=names)
            return {name: table.column(name).to_pylist() for name in names}
        except (arrow.ArrowException, OSError, KeyError, ValueError) as error:
            raise DataError(f"'{file}' cannot be read as a table of images: {str(error).splitlines()[0]}") from error


class Emoji(Pictures):
    """1,538 / 186 / 182 examples."""

    name = "emoji"
    shape = (3, 64, 64)
    images = ("image", "image_twemoji")
    classes = {
        "label": (
            "Activities", "Animals & Nature", "Component", "Flags", "Food & Drink", "Objects", "People & Body",
            "Smileys & Emotion", "Symbols", "Travel & Places",
        ),
        "half": ("A", "B"),
    }  # fmt: skip
    texts = ("caption", "keywords", "emoji")
    key = "emoji"
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "6fdfc97351eede63d04985ad5f78ca624982b09140fd3ca8e0f8b37e918d862c",
        "validation": "a161b9461d9cd571a18b249cc48ceeab6a8890f66481e661ec7c20251a88704a",
        "test": "dbc7bb613c03402f26c1b7be570c5ed7edafef955a3a0993e5bbcc6306ccd7e2",
    }


class Sprites(Pictures):
    """2,857 / 296 / 415 examples."""

    name = "sprites"
    shape = (3, 32, 32)
    classes = {"label": ("creature", "item", "dungeon", "effect")}
    texts = ("caption",)
    key = "caption"
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "3794daf5501ae5e7124d46acc4de2c6b37a4459451d09f98e2c4edeb9bc01c4d",
        "validation": "914b4283f3045eb918f202e297bd67b1c5da68ddf5e699fcf9398a994f3b0242",
        "test": "9e422f6ed9fc3ba285633ff218b927fe6532d7b6406fd8800b44623e628e5769",
    }


class Letters(Pictures):
    """7,740 / 700 / 2,190 examples."""

    name = "letters"
    shape = (1, 28, 28)
    classes = {"label": tuple("ABCDEFGHIJ")}
    texts = ("family", "style")
    key = "family"
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "1b741ff6376a3c190307f59855786dc1b9a7cee0c22bf7dca5122b8955ac31c6",
        "validation": "b8328672ddb83e67f1e9245e0a6feee5879473c6cfdbd36e2fde2839bd8dd2e4",
        "test": "314324c32bb94d887e8ace7115a1137917af3ac980d6a7aeceb3d3f014862842",
    }


class Stamps(Pictures):
    """578 / 56 / 65 examples.

    Two drawings of the package are left out, for the text in them would look as the fonts of the machine do.
    """

    name = "stamps"
    shape = (3, 96, 96)
    classes = {
        "label": (
            "animals", "clothes", "food", "hobbies", "household", "medical", "military", "naturalforces", "people",
            "plants", "seasonal", "space", "sports", "town", "vehicles",
        )
    }  # fmt: skip
    texts = ("caption", "caption_de", "caption_fr")
    key = "path"
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "fc79ce4a14d0db4bcc0754c6e810dfd050fc5185b2810fa9db207d22d86a9794",
        "validation": "298fcf9aebea577ac93cca17deff4482451c56c6cc5dbd6f4e327f57ba3f5d78",
        "test": "5959b6f14560b2d0d810065cb68159e5b717bf873178e37b9d727e9ff84d9019",
    }

    def _split_of(self, key: object, file: Path) -> str | None:
        return None if key in LEFT_OUT else super()._split_of(key, file)


LEFT_OUT = ("sports/stopwatch", "military/vehicles/mustang")  # of stamps


class Photos(Pictures):
    """104 / 10 / 12 examples. In the files the pictures are whole, at most 512 pixels wide and high."""

    name = "photos"
    shape = (3, 256, 256)
    classes = {"label": ("photo", "painting")}
    texts = ("caption", "author", "licence", "source")
    key = "path"
    train = "photos"
    test = None
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "5e088ee8490686abd6e0dd965619e58362a45ddd7df97e75de1eb60a2ee4cc0e",
        "validation": "5f84f705389e614b8bcc4d3386090efdc9105cd07f4fdf2beebf36ab4243a86d",
        "test": "aab78a2a947cbda3237552b59063adf633049da7312600174079d0165cc70c99",
    }

    def read(self, file: Path, rows: Tensor, column: str) -> Tensor:
        return read_images(file, rows=rows, column=column, size=256)["image"]


class Avatars(Pictures):
    """5,417 / 583 / 2,040 examples."""

    name = "avatars"
    shape = (3, 64, 64)
    classes = {
        "hair_color": ("black", "blond", "brown", "gray", "red"),
        "skin": ("brown", "dark", "light", "pale", "tanned"),
        "hair": ("long", "none", "short"),
        "glasses": ("none", "prescription02", "round", "sunglasses"),
        "beard": ("beardLight", "beardMajestic", "beardMedium", "moustacheFancy", "none"),
        "mouth": ("neutral", "open", "sad", "smile"),
        "background": ("blue", "cream", "green", "pink", "violet"),
    }
    numbers = ("face",)
    texts = ("caption",)
    key = "face"
    test = "test_pairs"
    sha256: ClassVar[Mapping[str, str]] = {
        "train": "ae7f1f6b854dec9c6f005cacf234cd1672f7f40ba67088f43825dee976ebdfb3",
        "validation": "6dda49c99bb4abaa87631342437cd66608aead08644fe5ef02b89cb514f9d007",
        "test": "ba472a2f37fff6394ae2f99d3c20bd0a7f9ba4ae9a26101a92c5bdd6d2d841b2",
    }
