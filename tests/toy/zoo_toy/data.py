"""Noise with a pattern, from a seed."""

from pathlib import Path

import torch
from torch import Tensor

from zoo_core import Dataset, Field, TensorDataset, digest

SIZES = {"train": 60, "validation": 25, "test": 130}


class Bits(TensorDataset):
    """Black and white, mostly white in the upper rows."""

    name = "toy-bits"

    def __init__(self, *, data_file: Path | None = None) -> None:
        generator = torch.Generator().manual_seed(0)
        chance = torch.linspace(0.9, 0.1, 16).view(1, 4, 4)
        splits = {
            split: {"image": (torch.rand(n, 1, 4, 4, generator=generator) < chance).to(torch.uint8)}
            for split, n in SIZES.items()
        }
        super().__init__({"image": Field(kind="image", shape=(1, 4, 4), range=(0, 1), levels=2)}, splits)


class Grey(TensorDataset):
    """Five grey levels, and a label."""

    name = "toy-grey"

    def __init__(self, *, data_file: Path | None = None) -> None:
        generator = torch.Generator().manual_seed(1)
        splits = {
            split: {
                "image": torch.randint(0, 5, (n, 1, 4, 4), generator=generator, dtype=torch.uint8),
                "label": torch.randint(0, 3, (n,), generator=generator),
            }
            for split, n in SIZES.items()
        }
        features = {
            "image": Field(kind="image", shape=(1, 4, 4), range=(0, 1), levels=5),
            "label": Field(kind="label", dtype="int64", classes=("a", "b", "c")),
        }
        super().__init__(features, splits)


class Shades(TensorDataset):
    """Grey images of four classes: the more, the lighter."""

    name = "toy-shades"

    def __init__(self, *, data_file: Path | None = None) -> None:
        generator = torch.Generator().manual_seed(7)
        splits = {}
        for split, n in SIZES.items():
            label = torch.randint(0, 4, (n,), generator=generator)
            noise = torch.randint(0, 2, (n, 1, 4, 4), generator=generator)
            splits[split] = {"image": (label[:, None, None, None] + noise).to(torch.uint8), "label": label}
        features = {
            "image": Field(kind="image", shape=(1, 4, 4), range=(0, 1), levels=5),
            "label": Field(kind="label", dtype="int64", classes=("black", "dark", "light", "white")),
        }
        super().__init__(features, splits)


class Domain(TensorDataset):
    """Fewer images than zoo-toy's others, and darker: the other domain of a translation."""

    name = "system-domain"

    def __init__(self, *, data_file: Path | None = None) -> None:
        generator = torch.Generator().manual_seed(2)
        images = torch.randint(0, 3, (42, 1, 4, 4), generator=generator, dtype=torch.uint8)
        features = {"image": Field(kind="image", shape=(1, 4, 4), range=(0, 1), levels=5)}
        super().__init__(features, {"train": {"image": images}})


class Sentences(TensorDataset):
    """Two to six words, each mostly the one after the last; short sentences are padded with 0."""

    name = "system-sentences"

    def __init__(self, *, data_file: Path | None = None) -> None:
        generator = torch.Generator().manual_seed(3)
        splits = {}
        for split, n in SIZES.items():
            first = torch.randint(0, 9, (n, 1), generator=generator)
            steps = 1 + (torch.rand(n, 5, generator=generator) < 0.2)
            words = torch.cat([first, first + steps.cumsum(1)], 1) % 9 + 1  # [n, 6], 1 to 9
            length = torch.randint(2, 7, (n, 1), generator=generator)
            splits[split] = {"tokens": torch.where(torch.arange(6) < length, words, 0)}
        super().__init__({"tokens": Field(kind="tokens", shape=(6,), dtype="int64", pad=0)}, splits)


class Boxes(Dataset):
    """Grey noise with none to three boxes an image, packed over the batch."""

    name = "system-boxes"
    splits = tuple(SIZES)

    def __init__(self, *, data_file: Path | None = None) -> None:
        generator = torch.Generator().manual_seed(4)
        self.features = {
            "image": Field(kind="image", shape=(1, 4, 4), range=(0, 1)),
            "boxes": Field(kind="boxes", shape=(4,), index="image_index"),
        }
        self.images = {split: torch.rand(n, 1, 4, 4, generator=generator) for split, n in SIZES.items()}
        self.boxes = {
            split: [torch.rand(int(k), 4, generator=generator) for k in torch.randint(0, 4, (n,), generator=generator)]
            for split, n in SIZES.items()
        }

    def size(self, split: str) -> int:
        return len(self.images[split])

    def batch(self, split: str, indices: Tensor) -> dict[str, Tensor]:
        boxes = [self.boxes[split][int(index)] for index in indices]
        counts = torch.tensor([len(own) for own in boxes])
        image_index = torch.arange(len(boxes)).repeat_interleave(counts)
        return {"image": self.images[split][indices], "boxes": torch.cat(boxes), "image_index": image_index}

    def data_sha256(self, split: str) -> str:
        return digest(self.batch(split, torch.arange(self.size(split))))
