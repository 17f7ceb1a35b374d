"""Specs: what a plugin declares. They are plain data and name classes as text, so that listing imports no class."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from zoo_core.hub.packages import Package
from zoo_core.interfaces.capability_table import CapabilityName
from zoo_core.interfaces.record import Record

Name = Annotated[str, Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", description="lower case, digits, single dashes")]
Target = Annotated[str, Meta(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", description="package.module:Attribute")]
Line = Annotated[str, Meta(min_length=1, pattern=r"^[^\n]*$", description="one line")]


class ModelSpec(Record, kw_only=True):
    """Declares a model: a class, and the Config values that go with this name.

    Attributes:
        name: what users call it: lower case, digits and single dashes.
        target: "package.module:Class" of the `Model`.
        summary: what it is, in one line.
        task: what it is for, as `zoo list --task` takes it: "density-estimation", "classification", …; "other" by
            default.
        paper: a link to the paper, or its title; empty by default.
        capabilities: what it can do, such as ("Density", "Sampler").
        aliases: other names for it.
        preset: the Config values of this name; all others have the defaults of Config.
        parameter_count: a formula for the number of parameters, for people to read; empty by default.
    """

    name: Name
    target: Target
    summary: Line
    task: Name = "other"
    paper: str = ""
    capabilities: tuple[CapabilityName, ...] = ()
    aliases: tuple[Name, ...] = ()
    preset: dict[str, Any] = {}
    parameter_count: str = ""


class DatasetSpec(Record, kw_only=True):
    """Declares a data set.

    Attributes:
        name: what users call it: lower case, digits and single dashes.
        target: "package.module:Class" of the `Dataset`. It is called with `data_file=`, a path or None.
        summary: what it holds, in one line.
        source: where it comes from.
        licence: its licence, an SPDX expression.
        splits: the names of its splits.
        sizes: how many examples each split holds, if that is known before it is read.
        fields: what a batch holds: for the name of each field, its shape and values in a few words.
        files: the files that it is read from, "<repo id>/<path>" as on the hub and in a mirror; empty for data that
            come with a package.
        published: False if no hub and no public place has these files, so that only who has a copy can use it.
        packages: packages of pip, npm or apt that `recipe` makes these files from, for `zoo data get`.
        recipe: "package.module:function" that makes the files. It is called with three arguments: the file of each
            package by the package's name; the path to write to for each of `files`; and a function to call with the
            part that is done, in [0, 1].
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
    published: bool = True
    packages: tuple[Package, ...] = ()
    recipe: Target | None = None


class MetricSpec(Record, kw_only=True):
    """Declares a metric.

    Attributes:
        name: what users call it: lower case, digits and underscores.
        target: "package.module:Class" of the `Metric`. It is called without arguments.
        summary: what it measures, in one line.
        requires: the capability that a model must have, such as "Density".
        unit: the unit of the number, such as "nats/example".
        higher_is_better: whether a larger number is a better one.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]*$")]
    target: Target
    summary: Line
    requires: CapabilityName
    unit: str
    higher_is_better: bool


class StudySpec(Record, kw_only=True):
    """Declares a study, which shows something with pictures and measured numbers.

    Attributes:
        name: what users call it: lower case, digits and single dashes.
        target: "package.module:Class" of the `Study`.
        summary: what it shows, in one line.
        minutes: about how long it takes on one CPU core, in minutes.
    """

    name: Name
    target: Target
    summary: Line
    minutes: Annotated[float, Meta(gt=0)]


class CommandSpec(Record, kw_only=True):
    """Declares a command of `zoo`.

    Attributes:
        name: what users type after `zoo`: lower case, digits and single dashes.
        target: "package.module:function" of a click command.
        help: the line that `zoo --help` shows for it.
    """

    name: Name
    target: Target
    help: Line


class StepSpec(Record, kw_only=True):
    """Declares a step of preprocessing or augmentation.

    Attributes:
        name: what users call it; the same as the `tag=` of the class.
        target: "package.module:Class" of the `Step`.
        summary: what it does, in one line.
        option: the option at which users name it. "input", the default: a step of preprocessing, which is saved with
            the weights. "augment": a step of augmentation, which only training uses.
    """

    name: Name
    target: Target
    summary: Line
    option: Literal["input", "augment"] = "input"
