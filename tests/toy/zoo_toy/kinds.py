"""One small model for each kind of data and of answer; what each says can be worked out by hand."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from zoo_core import Condition, Detections, Field, Model, Record, Uncertainty, UsageError

IMAGE = Field(kind="image", shape=(1, 4, 4), range=(0, 1))
ANY_IMAGE = Field(kind="image", shape=(1, None, None), range=(0, 1))


class Toy(Model):
    """A model that learns nothing; a release holds at least one tensor."""

    optimizer = None

    def __init__(self, config: Record) -> None:
        super().__init__(config)
        self.register_buffer("one", torch.ones(()))


class Told(Toy):
    """Images 4x4 that show what the sampler was told: the row of a name is bright, and the last row measures a word."""

    def signature(self) -> dict[str, Field]:
        return {"image": IMAGE}

    def conditions(self) -> dict[str, Condition]:
        return {
            "row": Condition(kind="class", values=("first", "second", "third"), help="which row is bright"),
            "brightness": Condition(kind="number", low=0, high=1, default=0.5, help="of that row"),
            "word": Condition(kind="text", default="", help="a pixel of the last row for each of its letters"),
        }

    def sample(self, n: int, *, generator: Generator | None = None, **conditions: Any) -> Tensor:
        told = self.check_conditions(conditions)
        row = torch.randint(3, (n,), generator=generator) if told["row"] is None else torch.full((n,), told["row"])
        images = torch.zeros(n, 1, 4, 4)
        images[torch.arange(n), 0, row] = told["brightness"]
        images[:, 0, 3, : len(told["word"])] = 1
        return images


# Rows of numbers.


class RowsConfig(Record, kw_only=True):
    """What the numbers are called."""

    columns: tuple[str, ...] = ("height", "weight", "age")


class Rows(Toy):
    """Three independent numbers with the standard deviation 1 about 1, 2 and 3."""

    Config = RowsConfig
    config: RowsConfig
    means = torch.tensor([1.0, 2.0, 3.0])

    def signature(self) -> dict[str, Field]:
        return {"vector": Field(kind="vector", shape=(3,), columns=self.config.columns)}

    def log_prob(self, x: Tensor) -> Tensor:
        return (-0.5 * (x - self.means).square() - 0.5 * math.log(2 * math.pi)).sum(1)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        return self.means + torch.randn(n, 3, generator=generator)


class Sorter(Toy):
    """Tells whether two numbers have a negative or a positive sum."""

    def signature(self) -> dict[str, Field]:
        label = Field(kind="label", dtype="int64", classes=("negative", "positive"))
        return {"vector": Field(kind="vector", shape=(2,)), "label": label}

    def logits(self, x: Tensor) -> Tensor:
        return torch.stack([-x.sum(1), x.sum(1)], 1)


class Line(Toy):
    """Predicts the sum and the difference of two numbers, and is unsure by their sizes."""

    def signature(self) -> dict[str, Field]:
        target = Field(kind="vector", shape=(2,), columns=("sum", "difference"), target=True)
        return {"vector": Field(kind="vector", shape=(2,), columns=("a", "b")), "target": target}

    def predict(self, x: Tensor) -> Tensor:
        return torch.stack([x[:, 0] + x[:, 1], x[:, 0] - x[:, 1]], 1)

    def predict_with_uncertainty(self, x: Tensor, *, samples: int = 1, seed: int = 0) -> tuple[Tensor, Uncertainty]:
        epistemic = torch.full_like(x, samples)
        return self.predict(x), Uncertainty(x.abs() + epistemic, x.abs(), epistemic, "units")


# Texts.


class Mood(Toy):
    """Finds a text cheerful by its smileys."""

    def signature(self) -> dict[str, Field]:
        label = Field(kind="label", dtype="int64", classes=("sad", "cheerful"))
        return {"text": Field(kind="text"), "label": label}

    def logits(self, x: Sequence[str]) -> Tensor:
        return torch.tensor([[text.count(":("), text.count(":)")] for text in x], dtype=torch.float32)


class Letters(Toy):
    """Knows the alphabet: after a letter comes the next one with probability 0.9, else any of the others."""

    ALPHABET = "abcdefghijklmnopqrstuvwxyz"

    def signature(self) -> dict[str, Field]:
        return {"tokens": Field(kind="tokens", shape=(None,), dtype="int64", classes=tuple(self.ALPHABET), pad=-1)}

    def conditions(self) -> dict[str, Condition]:
        return {"case": Condition(kind="choice", values=("lower", "upper"), default="lower", help="of the letters")}

    def next_logits(self, token: Tensor) -> Tensor:
        """[...] int64 -> [..., 26]"""
        following = torch.nn.functional.one_hot((token + 1) % 26, 26).bool()
        return torch.where(following, math.log(0.9), math.log(0.1 / 25))

    def token_log_prob(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        known = self.next_logits(tokens[:, :-1].clamp(min=0)).gather(2, tokens[:, 1:, None].clamp(min=0))[..., 0]
        first = torch.full_like(known[:, :1], -math.log(26))
        found = torch.cat([first, known], 1)
        return found if mask is None else torch.where(mask, found, 0.0)

    def generate(
        self,
        prompt: str,
        *,
        length: int = 100,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        stop: str | None = None,
        generator: Generator | None = None,
        **conditions: Any,
    ) -> str:
        upper = self.check_conditions(conditions)["case"] == "upper"
        if odd := [letter for letter in prompt.lower() if letter not in self.ALPHABET]:
            raise UsageError(f"'{odd[0]}' is no letter of this model")
        token = torch.tensor(self.ALPHABET.index(prompt.lower()[-1]) if prompt else 25)
        text = ""
        for _ in range(length):
            logits = self.next_logits(token) / temperature
            if top_k is not None:
                logits[logits.argsort(descending=True)[top_k:]] = -math.inf
            if top_p is not None:
                order = logits.argsort(descending=True)
                before = logits[order].softmax(0).cumsum(0) - logits[order].softmax(0)
                logits[order[before >= top_p]] = -math.inf
            token = torch.multinomial(logits.softmax(0), 1, generator=generator)[0]
            text += self.ALPHABET[int(token)]
            if stop and stop in text:
                text = text[: text.index(stop)]
                break
        return text.upper() if upper else text


class Shout(Toy):
    """Translates into capitals; says how many hypotheses it kept."""

    def signature(self) -> dict[str, Field]:
        return {"text": Field(kind="text")}

    def conditions(self) -> dict[str, Condition]:
        return {"mark": Condition(kind="choice", values=("!", "?"), default="!", help="what a text ends with")}

    def translate(self, texts: Sequence[str], *, beam: int = 1, **conditions: Any) -> list[str]:
        mark = self.check_conditions(conditions)["mark"]
        return [text.upper() + mark * beam for text in texts]


# Pictures, and what is in them.


class Threshold(Toy):
    """Tells dark pixels from light ones, in images of any size."""

    def signature(self) -> dict[str, Field]:
        mask = Field(kind="mask", shape=(None, None), dtype="int64", classes=("dark", "light"))
        return {"image": ANY_IMAGE, "mask": mask}

    def segment(self, x: Tensor) -> Tensor:
        return (x[:, 0] > 0.5).long()


class Spot(Toy):
    """Draws one box around all light pixels; its score is their share of the box."""

    def signature(self) -> dict[str, Field]:
        return {
            "image": ANY_IMAGE,
            "boxes": Field(kind="boxes", shape=(4,), index="box_index"),
            "label": Field(kind="label", dtype="int64", classes=("spot",), index="box_index"),
        }

    def detect(self, images: Sequence[Tensor], *, threshold: float = 0.05) -> list[Detections]:
        return [self.spot(image[0] > 0.5, threshold) for image in images]

    def spot(self, light: Tensor, threshold: float) -> Detections:
        """[H, W] bool"""
        rows, columns = light.nonzero(as_tuple=True)
        boxes, scores = torch.zeros(0, 4), torch.zeros(0)
        if len(rows):
            top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
            boxes = torch.stack([left, top, right, bottom])[None].float()
            scores = light[top:bottom, left:right].float().mean()[None]
        kept = scores >= threshold
        return Detections(boxes[kept], torch.zeros(int(kept.sum()), dtype=torch.int64), scores[kept])


class Painter(Toy):
    """Shows an image by day, as it is, or by night, as its negative."""

    def signature(self) -> dict[str, Field]:
        return {"image": IMAGE}

    def conditions(self) -> dict[str, Condition]:
        return {"to": Condition(kind="choice", values=("day", "night"), default="night", help="the time of day")}

    def translate_image(self, x: Tensor, **conditions: Any) -> Tensor:
        return 1 - x if self.check_conditions(conditions)["to"] == "night" else x


# A raw batch for each model's release, of which its golden output is made.
PIXELS = torch.linspace(0, 1, 32).view(2, 1, 4, 4)
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "told": {},
    "rows": {"vector": torch.arange(6.0).view(2, 3)},
    "nameless": {"vector": torch.arange(6.0).view(2, 3)},
    "sorter": {"vector": torch.arange(4.0).view(2, 2)},
    "line": {"vector": torch.arange(4.0).view(2, 2)},
    "mood": {"text": ["good :)", "bad :("]},
    "letters": {"tokens": torch.arange(8).view(2, 4)},
    "shout": {"text": ["hello", "you"]},
    "threshold": {"image": PIXELS},
    "spot": {"image": PIXELS},
    "painter": {"image": PIXELS},
}
