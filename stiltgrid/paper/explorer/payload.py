"""The explorer's data: one row a model, intermediate, target and language, as columns of numbers into dictionaries.

Scores, gains, intervals and p come from the analysis' contrasts, seeds' values from the tidy scores; nothing is
computed here. A column array with a dictionary is a tenth of a list of records, so 20,000 cells stay a few megabytes.
"""

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from stiltgrid.diagnostics import DIAGNOSTICS
from stiltgrid.grid import BASELINE, Grid, Run
from stiltgrid.paper.answer import confidence
from stiltgrid.paper.explorer.chains import Chain
from stiltgrid.paper.explorer.examples import Examples, Place
from stiltgrid.paper.findings import Finding, Findings
from stiltgrid.paper.notes import arm_title, metric_title, model_title, score_title, target_title

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
SEED_NOTES = {
    "measured": "seed noise measured",
    "borrowed": "seed noise borrowed from other cells of the grid",
    "none": "one seed, seed noise not measured: the interval holds test examples alone",
}


class Pool:
    """Values by number, each once."""

    def __init__(self) -> None:
        self.numbers: dict[Hashable, int] = {}
        self.values: list[Any] = []

    def __call__(self, value: Any, key: Hashable = None) -> int:
        """Return the number of a value; `key` stands for a value that cannot be hashed."""
        key = value if key is None else key
        if key not in self.numbers:
            self.numbers[key] = len(self.values)
            self.values.append(value)
        return self.numbers[key]


def _number(value: float | None, digits: int = 3) -> float | None:
    """Round a number for JSON, which has none for NaN and infinity."""
    return None if value is None or not math.isfinite(value) else round(float(value), digits)


def places(grid: Grid) -> Iterable[Place]:
    """Yield the page's rows in the grid's order, excluded ones among them."""
    for model in grid.config.models:
        for arm in grid.config.intermediates:
            for target in grid.config.targets:
                for language in grid.languages(target):
                    yield model, arm, target, language


def _by_place(frame: "pd.DataFrame") -> dict[Place, dict[int, dict[str, Any]]]:
    """Return the tidy scores by place and seed: status, reason, n, diagnostics, and values by metric."""
    names = ["model", "intermediate", "target", "language", "seed", "metric", "value", "status", "reason", "examples"]
    columns = [frame[name].tolist() for name in [*names, *DIAGNOSTICS]]
    found: dict[Place, dict[int, dict[str, Any]]] = {}
    for row in zip(*columns, strict=True):
        *place, seed, metric, value, status, reason, examples = row[: len(names)]
        # without a score the count is pandas' own missing value
        count = examples if isinstance(examples, int) else None
        shares = tuple(_number(share, 2) for share in row[len(names) :])
        entry = found.setdefault(tuple(place), {}).setdefault(
            seed, {"status": status, "reason": reason, "examples": count, "shares": shares, "values": {}}
        )
        entry["values"][metric] = value
    return found


def _estimated(found: Finding | None) -> tuple[float | None, float | None, float | None]:
    if found is None or not found.estimated:
        return None, None, None
    return _number(found.value), _number(found.low), _number(found.high)


def _state(seeds: Mapping[int, Mapping[str, Any]]) -> tuple[str, str]:
    """Return the status of a place: that of its least finished seed."""
    for status in ("excluded", "failed", "missing"):
        if found := [entry for entry in seeds.values() if entry["status"] == status]:
            return status, next((entry["reason"] for entry in found if entry["reason"]), "")
    return ("done", "") if seeds else ("missing", "")


def payload(
    grid: Grid, frame: "pd.DataFrame", findings: Findings, chains: Mapping[Run, Chain], examples: Examples
) -> dict[str, Any]:
    """Return what the page holds, as plain JSON.

    Args:
        grid: the expanded config.
        frame: the tidy score table.
        findings: what the analysis found.
        chains: what each run rests on.
        examples: example predictions.

    Returns:
        `rows`, `seeds`, `runs` and `examples` are tables as column arrays of one length each; `rows.seed` and
        `rows.example` hold the number of the first of a row's entries in `seeds` and `examples`, and end with the
        length of these. Everything else is a dictionary that they point into.
    """
    axes = {
        "model": {name: model_title(grid, name) for name in grid.config.models},
        "intermediate": {name: arm_title(grid, name) for name in grid.config.intermediates},
        "target": {name: target_title(grid, name) for name in grid.config.targets},
    }
    names = {axis: list(titles) for axis, titles in axes.items()}
    language = Pool()
    numbers = {axis: {name: k for k, name in enumerate(own)} for axis, own in names.items()}
    status, reason, notes, shares = Pool(), Pool(), Pool(), Pool()
    settings, run_of, text, said = Pool(), Pool(), Pool(), Pool()
    entries = _by_place(frame)
    rows: dict[str, list] = {
        name: []
        for name in (
            *("model", "intermediate", "target", "language", "status", "reason", "have", "of", "seed", "example"),
            *("score", "low", "high", "gain", "gain_low", "gain_high", "p", "note", "shown_seed"),
        )
    }
    seeds: dict[str, list] = {name: [] for name in ("seed", "run", "examples", "shares", "values")}
    shown: dict[str, list] = {name: [] for name in ("text", "said", "right")}
    runs: dict[str, list] = {name: [] for name in ("hash", "settings", "before", "before_hash", "commit", "trained")}
    runs |= {"source": [], "collapsed": []}
    by_run: dict[Run, int] = {}

    def number_of(run: Run) -> int | None:
        if run in by_run or (chain := chains.get(run)) is None:
            return by_run.get(run)
        by_run[run] = len(runs["hash"])
        for name, value in (
            ("hash", chain.recipe_hash),
            ("settings", settings(chain.settings)),
            ("before", settings(chain.before)),
            ("before_hash", chain.before_hash),
            ("commit", run_of(chain.commit)),
            ("trained", settings(chain.trained)),
            ("source", run_of(chain.source)),
            ("collapsed", chain.collapsed),
        ):
            runs[name].append(value)
        return by_run[run]

    for place in places(grid):
        model, arm, target, code = place
        own = entries.get(place, {})
        metrics = grid.tasks[target].metrics
        level, gain = (findings.find(kind, *place) for kind in ("score", "gain"))
        state, why = _state(own)
        rows["seed"].append(len(seeds["seed"]))
        rows["example"].append(len(shown["text"]))
        for k, entry in sorted(own.items()):
            if entry["status"] == "excluded":
                continue
            seeds["seed"].append(k)
            seeds["run"].append(number_of(Run(model, arm, target, k)))
            seeds["examples"].append(entry["examples"])
            seeds["shares"].append(shares(entry["shares"]))
            seeds["values"].append([_number(entry["values"].get(metric)) for metric in metrics])
        for example, answer, right in examples.shown.get(place, ()):
            where = (target, code, example)
            shown["text"].append(text(examples.texts[target, code][example], where))
            shown["said"].append(said(answer, tuple(answer) if isinstance(answer, list) else answer))
            shown["right"].append(right)
        cells = (
            *(numbers[axis][name] for axis, name in zip(numbers, place, strict=False)),
            language(code),
            status(state),
            reason(why),
            sum(entry["status"] == "done" for entry in own.values()),
            len(grid.seeds(model, arm)),
        )
        estimates = (*_estimated(level), *_estimated(gain))
        about = gain if gain is not None and gain.estimated else level
        note = SEED_NOTES.get(about.seed_status, "") if about is not None and about.estimated else ""
        p = _number(gain.shown_p, 5) if gain is not None and gain.estimated else None
        named = ("model", "intermediate", "target", "language", "status", "reason", "have", "of")
        for name, value in zip(named, cells, strict=True):
            rows[name].append(value)
        for name, value in zip(("score", "low", "high", "gain", "gain_low", "gain_high"), estimates, strict=True):
            rows[name].append(value)
        rows["p"].append(p)
        rows["note"].append(notes(note))
        rows["shown_seed"].append(examples.seed.get(place))
    rows["seed"].append(len(seeds["seed"]))
    rows["example"].append(len(shown["text"]))
    baseline = next((arm for arm, tasks in grid.arm_tasks.items() if not tasks), BASELINE)
    return {
        "schema_version": SCHEMA_VERSION,
        "grid": grid.config.grid,
        "title": grid.config.title or grid.config.grid,
        "note": grid.config.note or "",
        "confidence": confidence(findings),
        "baseline": baseline,
        "axes": names | {"language": language.values},
        "titles": {axis: list(titles.values()) for axis, titles in axes.items()},
        "metrics": {
            name: {
                "score": score_title(findings.declaration.metrics[name]),
                "all": [metric_title(metric) for metric in grid.tasks[name].metrics],
                "split": grid.config.targets[name].eval_split,
                "source": grid.config.targets[name].source_language,
                "kind": grid.tasks[name].kind,
            }
            for name in grid.config.targets
        },
        "diagnostics": [[name.replace("_", " "), meaning] for name, meaning in DIAGNOSTICS.items()],
        "rows": rows,
        "seeds": seeds,
        "runs": runs,
        "examples": shown,
        "statuses": status.values,
        "reasons": reason.values,
        "notes": notes.values,
        "shares": shares.values,
        "settings": settings.values,
        "run_texts": run_of.values,
        "texts": text.values,
        "said": said.values,
    }
