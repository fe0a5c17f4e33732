"""reproducibility.md: the checklist for experiments that reviewers ask for, filled in from the manifests.

Its questions are those of the ACL Rolling Review's Responsible NLP Research checklist, sections B and C (artifacts and
computational experiments). What no file of a grid can answer is asked of the authors, in so many words.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stiltgrid.analysis.families import FAMILIES
from stiltgrid.artifacts import read_json
from stiltgrid.commit import described
from stiltgrid.grid import Arm, Grid, Run
from stiltgrid.paper.explorer.chains import settings
from stiltgrid.paper.findings import Findings, tested
from stiltgrid.paper.notes import model_title
from stiltgrid.paper.render import markdown_text, pipe_table
from stiltgrid.submission.export import parameter_count

AUTHORS = "**To be written by the authors:**"
Manifests = Mapping[Run | Arm, Mapping[str, Any]]


def read_manifests(grid: Grid) -> dict[Run | Arm, dict[str, Any]]:
    """Return the manifest of every checkpoint of a grid that is there.

    Raises:
        StiltgridError: if one is not whole.
    """
    paths = {arm: grid.paths.arm(arm) for arm in grid.arms} | {
        run: grid.paths.checkpoint(run) for run in grid.fine_tuned
    }
    return {run: read_json(path) for run, path in paths.items() if Path(path).exists()}


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int] = (0,)) -> list[str]:
    return [*pipe_table([head, *[[markdown_text(text) for text in row] for row in rows]], left=left), ""]


def _hours(manifest: Mapping[str, Any]) -> float | None:
    """Return a run's device hours: wall time times the devices that it held; None if its time was not noted."""
    seconds = (manifest.get("seconds") or {}).get("total")
    return None if seconds is None else seconds * (manifest.get("execution") or {}).get("devices", 1) / 3600


def _parameters(grid: Grid, model: str) -> str:
    """Return a model's number of parameters, counted or declared."""
    path = Path(grid.paths.pretrained(model))
    number, _ = parameter_count(grid, model, read_json(path) if path.exists() else {})
    return "not known" if number is None else f"{number:,}"


def models_table(grid: Grid, manifests: Manifests) -> list[str]:
    """Return what each model is and what its runs took."""
    rows = []
    for model, row in grid.config.models.items():
        own = [(run, found) for run, found in manifests.items() if run.model == model]
        execution = [found.get("execution") or {} for _, found in own]
        devices = sorted({str(e.get("device") or "not recorded") for e in execution})
        energy = [e.get("energy_joules") for e in execution]
        whole = bool(energy) and None not in energy
        hours = [_hours(found) for _, found in own]
        rows.append(
            (
                model_title(grid, model),
                f"{row.source} at {row.revision}" if row.revision else row.source,
                _parameters(grid, model),
                f"{len(own)}",
                "not known" if None in hours else f"{sum(hours):.2f}",  # type: ignore[arg-type]
                f"{sum(energy) / 3.6e6:.2f}" if whole else "not measured",  # type: ignore[arg-type]
                ", ".join(devices),
                ", ".join(sorted({f"{e.get('strategy', 'single')} x {e.get('devices', 1)}" for e in execution})),
                ", ".join(sorted({str(e.get("precision", "")) for e in execution})),
            )
        )
    head = ("model", "source", "parameters", "runs", "device hours", "kWh", "device", "strategy", "precision")
    return _table(head, rows, left=(0, 1, 6, 7, 8))


def hyperparameters(manifests: Manifests) -> list[str]:
    """Return the hyperparameters of all runs: those that are the same everywhere, then where others differ."""
    values: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for run, found in manifests.items():
        what = (
            f"{run.model} on {run.target}" if isinstance(run, Run) else f"{run.model} on {run.intermediate} (phase ii)"
        )
        for key, text in settings({"training": (found.get("recipe") or {}).get("training", {})}):
            if what not in values[key][text]:
                values[key][text].append(what)
    shared = {key: next(iter(by)) for key, by in values.items() if len(by) == 1}
    lines = ["The same in every run: " + ", ".join(f"{k} {v}" for k, v in sorted(shared.items())) + ".", ""]
    rows = [
        (key, text, ", ".join(where))
        for key, by in sorted(values.items())
        if key not in shared
        for text, where in by.items()
    ]
    return lines + (_table(("setting", "value", "runs"), rows, left=(0, 1, 2)) if rows else [])


def _versions(manifests: Manifests) -> list[str]:
    found: dict[str, set[str]] = defaultdict(set)
    code = set()
    for manifest in manifests.values():
        for name, version in (manifest.get("versions") or {}).items():
            found[name].add(version)
        code.add(described(manifest.get("code")))
    packages = ", ".join(f"{name} {' and '.join(sorted(own))}" for name, own in sorted(found.items()))
    return [
        f"- Packages that trained: {packages or 'not recorded'}. All others: `envs/lock.txt` at the commit.",
        f"- Commits that trained: {', '.join(sorted(code)) or 'none'}.",
        "- Metrics: the official evaluators' rules, tested against them to the last digit (`stiltgrid/metrics/`).",
    ]


def checklist(grid: Grid, findings: Findings, manifests: Manifests) -> str:
    """Return the checklist as Markdown.

    Args:
        grid: the expanded config.
        findings: what the analysis found.
        manifests: of `read_manifests`.
    """
    d, config = findings.declaration, grid.config
    seeds = [
        (model_title(grid, model), arm, str(len(grid.seeds(model, arm))))
        for model in config.models
        for arm in config.intermediates
    ]
    missing = len(grid.arms) + len(grid.fine_tuned) - len(manifests)
    families = [f"{name}: {tested(name, findings)}" for name in FAMILIES if findings.family(name)]
    lines = [f"# Reproducibility of {markdown_text(config.title or config.grid)}", ""]
    lines += [
        "Generated from the manifests of the runs. Letters: sections of ARR's Responsible NLP Research checklist.",
        "",
    ]
    if config.note:
        lines += [markdown_text(config.note), ""]
    if missing:
        lines += [f"**{missing} of {missing + len(manifests)} training runs are not done.**", ""]
    lines += ["## B. Artifacts", ""]
    lines += [
        "- Data sets, licences, sizes, languages, original files: [data_card.md](data_card.md).",
        "- Pretrained models at pinned revisions or by content: the table below.",
        f"- {AUTHORS} whether the use is consistent with the artifacts' intended use, and how data were anonymised.",
        "",
        "## C1. Parameters, budget, infrastructure",
        "",
        *models_table(grid, manifests),
        "Device hours: wall time of finished runs times their devices, phases (ii) and (iii); runs that failed or were "
        "made before are not in it. kWh: measured at the GPUs, without hosts and cooling.",
        "",
        "## C2. Set-up and hyperparameters",
        "",
        *hyperparameters(manifests),
        "- Search: the workflow tunes nothing; every value stands in the config. Within a run, `selection: best_dev` "
        "keeps the step that is best on dev rows of the training language, `last_step` the last.",
        f"- {AUTHORS} how the config's values were found: bounds, number of trials, on which rows.",
        "",
        "## C3. Statistics",
        "",
        f"- Fine-tuned target models: {len(grid.fine_tuned)}; intermediate checkpoints: {len(grid.arms)}; cells: "
        f"{sum(1 for _ in grid.cells())}. Every run counts, those that learned nothing among them.",
        f"- Scores are means over seeds; intervals are {100 * (1 - d.alpha):g} % intervals of test examples, resampled "
        f"by cluster ({d.replicates} draws), and of seeds (docs/analysis.md).",
        *(f"- Family {line}." for line in families),
        "",
        *_table(("model", "intermediate", "seeds"), seeds, left=(0, 1)),
        "## C4. Packages",
        "",
        *_versions(manifests),
        "",
        "## Where each number comes from",
        "",
        "`stiltgrid provenance NAME` prints the files, recipes and commits of any number of a table; `snakemake "
        "provenance` checks every link.",
    ]
    return "\n".join(lines) + "\n"
