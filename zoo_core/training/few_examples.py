"""A data set of which only some examples of each class are learned from."""

import torch
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.interfaces.dataset import Dataset, digest
from zoo_core.releases.recipe import RunArguments
from zoo_core.training.sampler import derived_generator

AT_ONCE = 10_000  # examples that are decoded to see their labels


def for_run(data: Dataset, arguments: RunArguments) -> Dataset:
    """What a run learns from: all of a data set, or some examples of each class."""
    return data if arguments.per_class is None else FewExamples(data, arguments.per_class, arguments.seed)


class FewExamples(Dataset):
    """`data` with `per_class` examples of each class that its train split shows, drawn with a seed; the other splits
    stay."""

    def __init__(self, data: Dataset, per_class: int, seed: int) -> None:
        """
        Raises:
            UsageError: the data have no labels with classes, or a class has fewer examples than that.
        """
        self.data, self.name, self.features, self.splits = data, data.name, data.features, data.splits
        labels = [name for name, field in data.features.items() if field.kind == "label" and field.classes]
        if not labels:
            raise UsageError(f"'{data.name}' has no labels with named classes", "--per-class needs them.")
        parts = torch.split(torch.arange(data.size("train")), AT_ONCE)
        label = torch.cat([data.batch("train", part)[labels[0]] for part in parts])  # [N]
        order = torch.randperm(len(label), generator=derived_generator(seed, "per class"))
        chosen = []
        for number, name in enumerate(data.features[labels[0]].classes):
            own = order[label[order] == number][:per_class]
            if 0 < len(own) < per_class:
                raise UsageError(
                    f"--per-class {per_class}: '{data.name}' has {len(own)} examples of '{name}' to learn from"
                )
            chosen.append(own)
        self.chosen = torch.cat(chosen).sort().values  # places in the train split, [classes * per_class]

    def size(self, split: str) -> int:
        return len(self.chosen) if split == "train" else self.data.size(split)

    def batch(self, split: str, indices: Tensor) -> dict[str, Tensor]:
        return self.data.batch(split, self.chosen[indices] if split == "train" else indices)

    def data_sha256(self, split: str) -> str:
        if split != "train":
            return self.data.data_sha256(split)
        return digest(self.batch("train", torch.arange(len(self.chosen))))
