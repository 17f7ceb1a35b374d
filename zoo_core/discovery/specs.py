"""Specs: what a plugin declares. Plain data that names classes as text, so that listing them imports none."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from zoo_core.hub.packages import Package
from zoo_core.interfaces.capability_table import CapabilityName
from zoo_core.interfaces.record import Record

Name = Annotated[str, Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", description="lower case, digits, single dashes")]
Target = Annotated[str, Meta(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", description="package.module:Attribute")]
Line = Annotated[str, Meta(min_length=1, pattern=r"^[^\n]*$", description="one line")]


class ModelSpec(Record, kw_only=True):
    """A model: a class, and the Config values that go with this name."""

    name: Name
    target: Target
    summary: Line
    task: Name = "other"  # what it is for, as `zoo list --task` shows it: density-estimation, classification, …
    paper: str = ""
    capabilities: tuple[CapabilityName, ...] = ()
    aliases: tuple[Name, ...] = ()
    preset: dict[str, Any] = {}  # Config values of this name
    parameter_count: str = ""  # a formula


class DatasetSpec(Record, kw_only=True):
    """A data set.

    Attributes:
        source: where it comes from.
        licence: SPDX.
        sizes: how many examples each split holds, where that is known beforehand.
        fields: what a batch holds: the name of each field, and its shape and values in a few words.
        files: what it is read from, `<repo id>/<path>` as on the hub and in a mirror; none where it comes with a
            package.
        packages: what `recipe` makes these files from, for `zoo data get`.
        recipe: "package.module:function", called with the file of each package by its name, where to write each of
            `files`, and what to call with the part that is done.
    """

    name: Name
    target: Target
    summary: Line
    source: str
    licence: str
    splits: tuple[str, ...]
    sizes: dict[str, int] = {}
    fields: dict[str, Line] = {}
    files: tuple[str, ...] = ()
    packages: tuple[Package, ...] = ()
    recipe: Target | None = None


class MetricSpec(Record, kw_only=True):
    """A metric, and the capability that a model must have for it."""

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*$")]
    target: Target
    summary: Line
    requires: CapabilityName
    unit: str
    higher_is_better: bool


class StudySpec(Record, kw_only=True):
    """A study: a class of `zoo_core.Study` that shows something with pictures and measured numbers."""

    name: Name
    target: Target
    summary: Line
    minutes: Annotated[float, Meta(gt=0)]  # about, on one CPU core


class CommandSpec(Record, kw_only=True):
    """A command for `zoo`: a click command, and the line that help shows for it."""

    name: Name
    target: Target
    help: Line


class StepSpec(Record, kw_only=True):
    """A step of preprocessing or augmentation: a class of `zoo_core.Step`, whose `tag=` is this name."""

    name: Name
    target: Target
    summary: Line
    option: Literal["input", "augment"] = "input"  # where it is named: at --input, it is part of the release
