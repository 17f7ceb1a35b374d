"""Batches that are no block of numbers: texts with a tokenizer, and sequences packed one after the other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Generator, Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from zoo_core import Dataset, Field, Model, Optimizer, Record, Step, TensorDataset, digest

SIZES = {"train": 60, "validation": 25, "test": 130}
GOOD, BAD, OTHER = ("schön", "gut", "prima"), ("fad", "öde", "übel"), ("ein", "Film", "😀", "und", "Ton", "Bild")
LABEL = Field(kind="label", dtype="int64", classes=("bad", "good"))
PAD, UNKNOWN = 0, 1


class Reviews(TensorDataset):
    """Texts of none to eight words, some of which tell their label. Test has words that train has not."""

    name = "system-reviews"

    def __init__(self, *, data_file: Path | None = None) -> None:
        generator = torch.Generator().manual_seed(5)

        def text(label: int, new: bool) -> str:
            words = (GOOD if label else BAD) + OTHER + (("neu",) if new else ())
            count = int(torch.randint(0, 9, (), generator=generator))
            return " ".join(words[k] for k in torch.randint(len(words), (count,), generator=generator))

        splits: dict[str, dict[str, Any]] = {}
        for split, n in SIZES.items():
            labels = torch.randint(0, 2, (n,), generator=generator)
            texts = [text(label, split == "test") for label in labels.tolist()]
            splits[split] = {"text": texts, "label": labels}
        super().__init__({"text": Field(kind="text"), "label": LABEL}, splits)


class Replies(TensorDataset):
    """Texts of another author, who uses some of the same words in another order, and some of his own."""

    name = "system-replies"

    def __init__(self, *, data_file: Path | None = None) -> None:
        generator = torch.Generator().manual_seed(8)
        splits: dict[str, dict[str, Any]] = {}
        for split, n in SIZES.items():
            labels = torch.randint(0, 2, (n,), generator=generator)
            texts = []
            for label in labels.tolist():
                words = ("ach", "Film", *reversed(GOOD if label else BAD), "naja")
                texts.append(" ".join(words[k] for k in torch.randint(len(words), (4,), generator=generator)))
            splits[split] = {"text": texts, "label": labels}
        super().__init__({"text": Field(kind="text"), "label": LABEL}, splits)


class Tokens(Step, kw_only=True, tag="toy-tokens"):
    """The words of a text as numbers, padded. Which word is which number, and which number is no word, the field
    "tokens" of the model says: the vocabulary belongs to the weights, and is an artifact."""

    def fields(self, fields: Mapping[str, Field]) -> dict[str, Field]:
        others = {name: field for name, field in fields.items() if name != "text"}
        return {"tokens": Field(kind="tokens", shape=(None,), dtype="int64", pad=PAD), **others}

    def apply(
        self, batch: Mapping[str, Any], fields: Mapping[str, Field], generator: Generator | None
    ) -> dict[str, Any]:
        pad, number_of = fields["tokens"].pad, {word: number for number, word in enumerate(fields["tokens"].classes)}
        sequences = [torch.tensor([number_of.get(w, UNKNOWN) for w in text.split()] or [pad]) for text in batch["text"]]
        others = {name: values for name, values in batch.items() if name != "text"}
        return {"tokens": pad_sequence(sequences, batch_first=True, padding_value=pad), **others}  # [B, T]


class TextClassifierConfig(Record, kw_only=True):
    """Sizes."""

    words: Annotated[int, Meta(ge=2)] = 32  # words at most, padding and unknown ones among them


class TextClassifier(Model):
    """The class of a text by the mean of its words' vectors."""

    Config = TextClassifierConfig
    optimizer = Optimizer(lr=0.1)

    def __init__(self, config: TextClassifierConfig) -> None:
        super().__init__(config)
        self.vocabulary = ["", "?"]
        self.vectors = nn.EmbeddingBag(config.words, 4, mode="mean", padding_idx=PAD)
        self.classify = nn.Linear(4, 2)

    def signature(self) -> dict[str, Field]:
        tokens = Field(kind="tokens", shape=(None,), dtype="int64", classes=tuple(self.vocabulary), pad=PAD)
        return {"tokens": tokens, "label": LABEL}

    def begin_stage(self, stage: str, data: Dataset) -> None:
        texts = data.batch("train", torch.arange(data.size("train")))["text"]
        words = dict.fromkeys(word for text in texts for word in text.split())
        self.vocabulary = ["", "?", *list(words)[: self.config.words - 2]]

    def artifacts(self) -> dict[str, Any]:
        return {"vocabulary": self.vocabulary}

    def load_artifacts(self, artifacts: Mapping[str, Any]) -> None:
        self.vocabulary = list(artifacts["vocabulary"])

    def logits(self, x: Tensor) -> Tensor:
        return self.classify(self.vectors(x))  # [B, 2]

    def loss(self, batch: Mapping[str, Any]) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(self.logits(batch["tokens"]), batch["label"])


class Bags(Dataset):
    """Bags of none to five numbers, packed over the batch; a bag with many large numbers is of class 1."""

    name = "system-bags"
    splits = tuple(SIZES)

    def __init__(self, *, data_file: Path | None = None) -> None:
        generator = torch.Generator().manual_seed(6)
        self.features = {
            "numbers": Field(kind="tokens", dtype="int64", levels=10, index="bag"),
            "size": Field(kind="row", shape=(1,)),
            "label": Field(kind="label", dtype="int64", classes=("small", "large")),
        }
        self.bags = {
            split: [
                torch.randint(0, 10, (int(k),), generator=generator)
                for k in torch.randint(0, 6, (n,), generator=generator)
            ]
            for split, n in SIZES.items()
        }

    def size(self, split: str) -> int:
        return len(self.bags[split])

    def batch(self, split: str, indices: Tensor) -> dict[str, Any]:
        bags = [self.bags[split][index] for index in indices.tolist()]
        size = torch.tensor([len(bag) for bag in bags])
        return {
            "numbers": torch.cat(bags),
            "bag": torch.arange(len(bags)).repeat_interleave(size),
            "size": size[:, None].float(),
            "label": torch.tensor([int(bag.sum() > 12) for bag in bags]),
        }

    def data_sha256(self, split: str) -> str:
        return digest(self.batch(split, torch.arange(self.size(split))))


class BagClassifier(Model):
    """The class of a bag by the sum of its numbers' vectors. A bag is more than one tensor: methods take the batch."""

    optimizer = Optimizer(lr=0.1)

    def __init__(self, config: Record) -> None:
        super().__init__(config)
        self.vectors, self.classify = nn.Embedding(10, 4), nn.Linear(4, 2)

    def signature(self) -> dict[str, Field]:
        return {
            "numbers": Field(kind="tokens", dtype="int64", levels=10, index="bag"),
            "size": Field(kind="row", shape=(1,)),
            "label": Field(kind="label", dtype="int64"),
        }

    def subject_of(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        return batch

    def logits(self, x: Mapping[str, Tensor]) -> Tensor:
        vectors = self.vectors(x["numbers"])  # [N, 4]
        sums = vectors.new_zeros(len(x["size"]), 4).index_add(0, x["bag"], vectors)  # [B, 4]
        return self.classify(sums)  # [B, 2]

    def loss(self, batch: Mapping[str, Any]) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(self.logits(batch), batch["label"])
