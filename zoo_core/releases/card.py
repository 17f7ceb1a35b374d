"""The model card: README.md of a release, generated from its config.json alone."""

import json
import re

import yaml
from huggingface_hub import EvalResult, ModelCardData

from zoo_core.releases.release import ReleaseConfig


def model_card(release: ReleaseConfig, *, unmeasured: bool = False) -> str:
    """Markdown with the front matter that the hub reads; `unmeasured` says that nobody has checked the numbers."""
    name = release.zoo.model
    lines = [
        "---",
        _front_matter(release),
        "---",
        "",
        f"# {name}",
        "",
        f"{release.summary}. A release of `{release.zoo.plugin}` {release.zoo.plugin_version}.",
        "",
        "```",
        "zoo load .        # in this folder: verify and build it",
        "zoo eval . --check",
        "```",
        "",
        *(line for name in release.files if name.endswith(".png") for line in (f"![{name}]({name})", "")),
        "## Numbers",
        "",
        *_table(release),
        "",
        *(["They were **not measured again** when this was published.", ""] if unmeasured else []),
        "## How it was made",
        "",
        f"    {release.recipe_text or 'not recorded'}",
        "",
        *_ancestors(release),
        *(f"* {key}: {value}" for key, value in release.training.items() if isinstance(value, str | int | float)),
        "",
        "Config: `" + json.dumps(release.config) + "`",
        "",
        f"Preprocessing: `{json.dumps(release.input)}`" if release.input else "Preprocessing: none.",
        "",
        *_dependencies(release),
        *_conditions(release),
        "## Licences",
        "",
        f"code {release.licence.code}, weights {release.licence.weights}, training data {release.licence.data} (SPDX).",
    ]
    return "\n".join(lines) + "\n"


def _front_matter(release: ReleaseConfig) -> str:
    """What the hub reads of the card, as YAML."""
    licence = release.licence.weights
    plain = re.fullmatch(r"[A-Za-z0-9.+-]+", licence) is not None
    parent = _parent_on_hub(release)
    data = ModelCardData(
        library_name="zoo",
        license=licence.lower() if plain else "other",
        license_name=None if plain else licence,  # an expression such as "MIT OR Apache-2.0"
        tags=["zoo", release.zoo.model, release.zoo.plugin],
        base_model=parent,
        base_model_relation="finetune" if parent else None,
        model_name=release.zoo.model,
        eval_results=[
            EvalResult(
                task_type="other",
                dataset_type=entry.protocol.dataset,
                dataset_name=entry.protocol.dataset,
                dataset_split=entry.protocol.split,
                metric_type=entry.metric,
                metric_value=entry.value,
            )
            for entry in release.metrics
        ]
        or None,
    )
    return data.to_yaml(line_break="\n").rstrip("\n")


def evaluation_results(release: ReleaseConfig) -> dict[str, str]:
    """The numbers once more as the hub's own files, `.eval_results/<data set>.yaml`, from the same source."""
    by_data: dict[str, list[dict[str, object]]] = {}
    for entry in release.metrics:
        by_data.setdefault(entry.protocol.dataset, []).append(
            {
                "dataset": {"id": entry.protocol.dataset, "split": entry.protocol.split},
                "metric": entry.metric,
                "value": entry.value,
            }
        )
    return {
        f".eval_results/{data.replace('/', '_').replace(':', '_')}.yaml": yaml.safe_dump(results, sort_keys=False)
        for data, results in by_data.items()
    }


def _parent_on_hub(release: ReleaseConfig) -> str | None:
    """The repository that training started from, where that is on a hub."""
    found = re.match(r"hf:([^@]+)", release.ancestors[0].reference) if release.ancestors else None
    return found and found[1]


def _ancestors(release: ReleaseConfig) -> list[str]:
    lines = []
    for ancestor in release.ancestors:
        head = ", with a new head" if ancestor.new_head else ""
        frozen = f", `{' '.join(ancestor.frozen)}` frozen" if ancestor.frozen else ""
        lines.append(f"* trained from `{ancestor.reference}`{head}{frozen}; sha256 `{ancestor.model_sha256}`")
    return lines


def _dependencies(release: ReleaseConfig) -> list[str]:
    if not release.dependencies:
        return []
    lines = [
        f"* {name}: `{dependency.reference}`, model.safetensors with sha256 `{dependency.model_sha256}`"
        for name, dependency in release.dependencies.items()
    ]
    return ["## Needs", "", "Other releases that it holds as they are, and that are loaded with it:", "", *lines, ""]


def _conditions(release: ReleaseConfig) -> list[str]:
    if not release.conditions:
        return []
    lines = [f"* {condition.text(name)}" for name, condition in release.conditions.items()]
    return ["## What it can be told", "", "With `--with NAME=VALUE`:", "", *lines, ""]


def _table(release: ReleaseConfig) -> list[str]:
    if not release.metrics:
        return ["Not measured."]
    rows = ["| metric | value | standard error | unit | data | n | estimator |", "|---|---|---|---|---|---|---|"]
    for entry in release.metrics:
        error = "" if entry.stderr is None else f"{entry.stderr:.3g}"
        protocol = entry.protocol
        rows.append(
            f"| {entry.metric} | {entry.value:.6g} | {error} | {entry.unit} "
            f"| {protocol.dataset} {protocol.split} | {protocol.n} | {protocol.estimator} |"
        )
    return rows
