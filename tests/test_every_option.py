"""Every model trains with whatever its options offer: two steps with each value, or one clear line that refuses it."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest
import torch

import zoo_core
from zoo_core import Field, Model, TensorDataset, ZooError
from zoo_core.discovery.registry import default_registry
from zoo_core.interfaces.batches import to_device
from zoo_core.measuring.batches import evaluation_batches
from zoo_core.measuring.evaluation import check_fields
from zoo_core.training.loop import Loop
from zoo_core.weights.create import create

LARGEST = 3_000_000  # parameters of a model that is trained at the upper bound of an option
CLASSES = tuple("abc")


def images(size: int, channels: int, levels: int, n: int = 8) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    splits = {
        split: {
            "image": torch.randint(levels, (n, channels, size, size), generator=generator, dtype=torch.uint8),
            "label": torch.arange(n) % len(CLASSES),
        }
        for split in ("train", "validation")
    }
    image = Field(kind="image", shape=(channels, size, size), range=(0, 1), levels=levels)
    return TensorDataset({"image": image, "label": Field(kind="label", dtype="int64", classes=CLASSES)}, splits)


def rows(n: int = 16) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    splits = {
        split: {
            "vector": torch.randn(n, 3, generator=generator),
            "target": torch.randn(n, 1, generator=generator),
        }
        for split in ("train", "validation")
    }
    vector, target = (Field(kind="vector", shape=(size,)) for size in (3, 1))
    return TensorDataset({"vector": vector, "target": target}, splits)


DATA = {
    "tiny bits": images(3, 1, 2), "bits": images(8, 1, 2), "rows": rows(), "grey": images(28, 1, 256),
    "colour": images(32, 3, 256), "photos": images(64, 3, 256),
}  # fmt: skip
for name, dataset in DATA.items():
    dataset.name = name


def built(name: str, config: Mapping[str, Any]) -> tuple[Model, TensorDataset]:
    """The model on the first data set that it takes."""
    first: ZooError | None = None
    for data in DATA.values():
        try:
            model = create(name, features=data.features, config=config)
            check_fields(model, data)
            return model, data
        except ZooError as error:
            first = first or error
    assert first is not None
    raise first


def train_two_steps(name: str, config: Mapping[str, Any] = {}, precision: str | None = None) -> None:
    """Two steps, each stage begun, and a validation; all losses are numbers."""
    torch.manual_seed(0)
    model, data = built(name, config)
    rate = 1e-6 if len(model.optimizers()) == 1 else None  # a deep network leaves the numbers on four examples
    loop = Loop(model, data, seed=0, steps=2, batch=4, lr=rate, precision=precision)
    loop.enter_stages()
    if any(stage.share for stage in model.stages()):
        for _ in range(2):
            assert all(math.isfinite(value) for value in loop.step().values())
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
    if type(model).loss is not Model.loss:
        model.eval()
        (batch,) = evaluation_batches(model, data, "validation", 4)
        with torch.no_grad():
            model.loss(to_device(batch, model.device))


def values_of(info: Any) -> Iterator[Any]:
    """What an option of this type offers: each value that is named, and the bounds of a number."""
    kind = type(info).__name__
    if kind == "BoolType":
        yield from (False, True)
    elif kind == "LiteralType":
        yield from info.values
    elif kind == "NoneType":
        yield None
    elif kind in ("IntType", "FloatType"):
        step = 1 if kind == "IntType" else 1e-3
        yield from (value for value in (info.ge, info.le) if value is not None)
        yield from (value for value in (info.gt is not None and info.gt + step,) if value is not False)
        yield from (value for value in (info.lt is not None and info.lt - step,) if value is not False)
    elif kind == "UnionType":
        for part in info.types:
            yield from values_of(part)
    elif kind in ("ListType", "VarTupleType"):
        yield from ([value] for value in values_of(info.item_type))


REGISTRATIONS = default_registry().models()  # as they are now: other tests add the toys
MODELS = [registration.spec.name for registration in REGISTRATIONS]
SMALLEST_OF_CLASS = {
    "alexnet-small", "vgg-small", "googlenet-small", "resnet18", "resnet20", "densenet-bc-40", "densenet121",
}  # fmt: skip


def options() -> Iterator[tuple[str, str, Any]]:
    """Of one model of each class, every value of every option."""
    seen: set[str] = set()
    for registration in sorted(REGISTRATIONS, key=lambda one: one.spec.name not in SMALLEST_OF_CLASS):
        if registration.spec.target in seen:
            continue
        seen.add(registration.spec.target)
        for field in msgspec.structs.fields(default_registry().model_class(registration).Config):
            for value in values_of(msgspec.inspect.type_info(field.type)):
                yield registration.spec.name, field.name, value


def is_large(name: str, config: Mapping[str, Any]) -> bool:
    try:
        with torch.device("meta"):
            model, _ = built(name, config)
    except (RuntimeError, NotImplementedError):  # what looks at its own numbers when it is built is small
        return False
    return sum(parameter.numel() for parameter in model.parameters()) > LARGEST


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_two_steps(name: str) -> None:
    train_two_steps(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_model_takes_two_steps_in_half_precision_or_refuses(name: str) -> None:
    try:
        train_two_steps(name, precision="bf16")
    except zoo_core.UsageError as error:
        assert "bf16" in error.message


@pytest.mark.slow
def test_every_value_that_an_option_offers_trains_or_is_refused() -> None:
    broken = []
    for name, option, value in options():
        config = {option: value}
        try:
            if not is_large(name, config):
                train_two_steps(name, config)
        except zoo_core.ZooError:
            pass
        except Exception as error:
            broken.append(f"{name} --set {option}={value}: {type(error).__name__}: {error}")
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_says_the_type_of_its_config(name: str) -> None:
    model = default_registry().model_class(default_registry().model(name))
    said = next(kind.__annotations__["config"] for kind in model.__mro__ if "config" in kind.__annotations__)
    assert said is model.Config
