"""Opening a training run: a new folder, or one that goes on at its last checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from zoo_core.discovery.registry import Registry, split_path
from zoo_core.interfaces.record import to_plain
from zoo_core.processes import Processes
from zoo_core.releases.recipe import RunArguments
from zoo_core.releases.release import PinnedRelease
from zoo_core.releases.run_folder import (
    RunRecord,
    check_resumable,
    check_startable,
    checkpoints,
    hold,
    make_run_folder,
    read_run,
)
from zoo_core.releases.writing import pinned_dependencies
from zoo_core.steps.notation import plain_step
from zoo_core.training.few_examples import for_run
from zoo_core.training.from_weights import ancestors
from zoo_core.training.logs import check_logs
from zoo_core.training.method import method_of
from zoo_core.training.run import Run


def start_run(
    folder: Path,
    arguments: RunArguments,
    registry: Registry,
    *,
    data_file: Path | None = None,
    device: str = "cpu",
    dependencies: Mapping[str, PinnedRelease] | None = None,
    parent: PinnedRelease | None = None,
    log: Sequence[str] = (),
) -> Run:
    """A new run, held by this process. Its folder is absent, empty, or of a run that has trained nothing yet.
    `dependencies` and `parent` are those that a release recorded, if it is to be made again.

    Args:
        log: what the curve is written as besides: "csv", "tensorboard".

    Raises:
        UsageError: the folder holds something else, or a log cannot be written. ZooError: it is being trained.
    """
    check_logs(log)
    processes = Processes(device)
    if processes.is_main:
        check_startable(folder)
    data = for_run(registry.open_dataset(arguments.data, data_file), arguments)
    data_file = data_file or split_path(arguments.data)[1]
    run = Run(folder, arguments, registry, data, processes, dependencies, parent)
    run.choose_precision()
    record = RunRecord(
        arguments=run.arguments,
        data_file=None if data_file is None else str(data_file.expanduser().resolve()),
        device=processes.device.type if device == "auto" else device,
        data_sha256=run.digests(),
        config=to_plain(run.model.config),
        method=method_of(run),
        dependencies=pinned_dependencies(run.model),
        log=list(log),
        ancestors=ancestors(run.parent, arguments, from_anywhere=True),
        input=[plain_step(step) for step in run.model.input],
    )
    run.log = record.log
    if processes.is_main:
        run.lock = make_run_folder(folder, record)
    processes.wait()
    return run


def resume_run(folder: Path, registry: Registry) -> Run:
    """The run in `folder` at its last checkpoint, or at its beginning where there is none yet. This process holds it,
    unless it is a release already.

    Raises:
        UsageError: it is no run, or was begun with other data or code. ZooError: it is being trained.
    """
    record = read_run(folder)
    check_logs(record.log)
    arguments = record.arguments
    data_file = None if record.data_file is None else Path(record.data_file)
    name = split_path(arguments.data)[0]  # from wherever it is resumed
    data = for_run(registry.open_dataset(name, data_file), arguments)
    processes = Processes(record.device)
    parent = record.ancestors[0] if record.ancestors else None
    run = Run(folder, arguments, registry, data, processes, record.dependencies, parent)
    run.log = record.log
    check_resumable(folder, record, run.digests(), to_plain(run.model.config))
    if processes.is_main and not run.released:
        run.lock = hold(folder)
    if found := checkpoints(folder):
        run.load(found[-1])
    return run
