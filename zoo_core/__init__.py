"""`import zoo_core as zoo`: the public names of the core.

    model = zoo.load("pixelrnn")             # verified, in eval mode
    x = model.sample(16)                     # [16, 1, 28, 28]
    nats = -model.log_prob(x)                # [16]

Names are loaded when they are first used. So importing this package, or declaring a plugin, imports neither torch nor
numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Literal, because a type checker takes for public what it can read here. A test keeps it equal to the two lists below.
__all__ = [
    "AnyModel", "CapabilitySpec", "CommandSpec", "Condition", "DataError", "Dataset", "DatasetSpec", "Detections",
    "Field", "GeometricStep", "Group", "LargeDataset", "Loss", "Measurement", "Metric", "MetricSpec", "Model",
    "ModelSpec", "NotComparable", "Objective", "Optimizer", "Package", "Record", "RecordError", "Registry",
    "Report", "Source", "Stage", "Step", "StepSpec", "Stream", "Study", "StudySpec", "TensorDataset", "Trained",
    "Uncertainty", "UnknownName", "UsageError", "WeightsError", "ZooError", "able", "batches", "cache_folder",
    "cached_tensors", "chosen_examples", "compare", "constant", "create", "dataset", "default_registry", "digest",
    "estimate", "evaluate", "export", "file_sha256", "find_data_file", "find_in_mirror", "hookimpl", "info",
    "is_offline", "labelled_images", "linear_to_zero", "list_models", "listings", "load", "missing_data",
    "replacing", "reproduce", "show", "summarise", "sync_folder", "to_device", "train", "write_atomically",
]  # fmt: skip

if TYPE_CHECKING:
    from zoo_core.catalogue.information import info
    from zoo_core.catalogue.listing import list_models, listings
    from zoo_core.discovery.hookspecs import hookimpl
    from zoo_core.discovery.registry import Registry, dataset, default_registry
    from zoo_core.discovery.specs import CommandSpec, DatasetSpec, MetricSpec, ModelSpec, StepSpec, StudySpec
    from zoo_core.errors import DataError, NotComparable, RecordError, UnknownName, UsageError, WeightsError, ZooError
    from zoo_core.exporting.export import export
    from zoo_core.hub.atomic import replacing, sync_folder, write_atomically
    from zoo_core.hub.cache import cache_folder, cached_tensors
    from zoo_core.hub.datafiles import find_data_file, find_in_mirror, is_offline, missing_data
    from zoo_core.hub.integrity import file_sha256
    from zoo_core.hub.packages import Package
    from zoo_core.interfaces.any_model import AnyModel
    from zoo_core.interfaces.batches import batches, to_device
    from zoo_core.interfaces.capabilities import Detections, Uncertainty, able
    from zoo_core.interfaces.capability_table import CapabilitySpec
    from zoo_core.interfaces.conditions import Condition
    from zoo_core.interfaces.dataset import Dataset, TensorDataset, digest
    from zoo_core.interfaces.fields import Field, labelled_images
    from zoo_core.interfaces.large import LargeDataset
    from zoo_core.interfaces.metric import Measurement, Metric
    from zoo_core.interfaces.model import Model
    from zoo_core.interfaces.objectives import (
        Group,
        Loss,
        Objective,
        Optimizer,
        Stage,
        Stream,
        constant,
        linear_to_zero,
    )
    from zoo_core.interfaces.record import Record
    from zoo_core.interfaces.source import Source
    from zoo_core.interfaces.step import Step
    from zoo_core.measuring.batches import chosen_examples
    from zoo_core.measuring.comparison import compare
    from zoo_core.measuring.evaluation import evaluate
    from zoo_core.measuring.summary import summarise
    from zoo_core.pictures.grids import show
    from zoo_core.steps.geometry import GeometricStep
    from zoo_core.training.reproduce import estimate, reproduce
    from zoo_core.training.study import Report, Study
    from zoo_core.training.train import Trained, train
    from zoo_core.weights.create import create
    from zoo_core.weights.loading import load

_HOME = {
    "zoo_core.catalogue.information": ("info",),
    "zoo_core.catalogue.listing": ("list_models", "listings"),
    "zoo_core.discovery.hookspecs": ("hookimpl",),
    "zoo_core.discovery.registry": ("Registry", "dataset", "default_registry"),
    "zoo_core.discovery.specs": ("CommandSpec", "DatasetSpec", "MetricSpec", "ModelSpec", "StepSpec", "StudySpec"),
    "zoo_core.errors": (
        "DataError", "NotComparable", "RecordError", "UnknownName", "UsageError", "WeightsError", "ZooError",
    ),
    "zoo_core.exporting.export": ("export",),
    "zoo_core.hub.atomic": ("replacing", "sync_folder", "write_atomically"),
    "zoo_core.hub.cache": ("cache_folder", "cached_tensors"),
    "zoo_core.hub.datafiles": ("find_data_file", "find_in_mirror", "is_offline", "missing_data"),
    "zoo_core.hub.integrity": ("file_sha256",),
    "zoo_core.hub.packages": ("Package",),
    "zoo_core.interfaces.any_model": ("AnyModel",),
    "zoo_core.interfaces.batches": ("batches", "to_device"),
    "zoo_core.interfaces.capabilities": ("Detections", "Uncertainty", "able"),
    "zoo_core.interfaces.capability_table": ("CapabilitySpec",),
    "zoo_core.interfaces.conditions": ("Condition",),
    "zoo_core.interfaces.dataset": ("Dataset", "TensorDataset", "digest"),
    "zoo_core.interfaces.fields": ("Field", "labelled_images"),
    "zoo_core.interfaces.large": ("LargeDataset",),
    "zoo_core.interfaces.metric": ("Measurement", "Metric"),
    "zoo_core.interfaces.model": ("Model",),
    "zoo_core.interfaces.objectives": (
        "Group", "Loss", "Objective", "Optimizer", "Stage", "Stream", "constant", "linear_to_zero",
    ),
    "zoo_core.interfaces.record": ("Record",),
    "zoo_core.interfaces.source": ("Source",),
    "zoo_core.interfaces.step": ("Step",),
    "zoo_core.measuring.comparison": ("compare",),
    "zoo_core.measuring.batches": ("chosen_examples",),
    "zoo_core.measuring.evaluation": ("evaluate",),
    "zoo_core.measuring.summary": ("summarise",),
    "zoo_core.steps.geometry": ("GeometricStep",),
    "zoo_core.pictures.grids": ("show",),
    "zoo_core.training.reproduce": ("estimate", "reproduce"),
    "zoo_core.training.study": ("Report", "Study"),
    "zoo_core.training.train": ("Trained", "train"),
    "zoo_core.weights.create": ("create",),
    "zoo_core.weights.loading": ("load",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

if not TYPE_CHECKING:  # a type checker would believe that there is every name

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module 'zoo_core' has no attribute '{name}'")
        value = getattr(import_module(_MODULE_OF[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
