"""A whole paper's grid of made-up numbers: scores, findings and training runs that agree with each other."""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from stiltgrid.analysis.configured import configured
from stiltgrid.analysis.results import COLUMNS as CONTRAST_COLUMNS
from stiltgrid.analysis.results import questions
from stiltgrid.artifacts import digest
from stiltgrid.collect import COLUMNS
from stiltgrid.config import load
from stiltgrid.diagnostics import DIAGNOSTICS
from stiltgrid.grid import Arm, Grid
from stiltgrid.paper.figures.drawing import Material
from stiltgrid.paper.findings import Findings
from stiltgrid.paper.scores import Scores
from stiltgrid.paper.tables import Records
from stiltgrid.runs import RUN_COLUMNS, TRAINING_COLUMNS
from stiltgrid.tasks.registry import task

CONFIG = Path(__file__).resolve().parents[1] / "config.yaml"


def paper_grid(**changes) -> Grid:
    """Return the paper's grid with two seeds; every arm trains on MNLI, so that none is excluded."""
    config = load(CONFIG)
    arms = {
        name: row.model_copy(update={"tasks": row.tasks and ("mnli",)}) for name, row in config.intermediates.items()
    }
    return Grid(config.model_copy(update={"seeds": 2, "baseline_seeds": None, "intermediates": arms, **changes}))


def level(grid: Grid, model: str, arm: str, target: str, language: str) -> float:
    """Return a cell's score over seeds; a pure function of its names."""
    draw = int(digest([arm, target])[:6], 16) / 16**6 - 0.5
    far = int(digest([target, language])[:6], 16) / 16**6
    large = model == list(grid.config.models)[-1]
    base = (82 if large else 70) - (0 if language == "en" else 25 * far)
    base *= 0.15 if grid.tasks[target].kind == "generation" else 1
    return base + (0 if arm == "none" else (1.5 if large else 3.0) * draw + (0.2 if large else 1.0) + far)


def scores_frame(grid: Grid) -> pd.DataFrame:
    """Return the tidy scores; two seeds 0.6 points apart, all metrics of a task the same."""
    rows = []
    for cell in grid.cells(with_excluded=True):
        row = grid.tasks[cell.target]
        value = level(grid, *cell[:4]) + 0.6 * (cell.seed - 1.5)
        for k, metric in enumerate(row.metrics):
            sizes = row.sizes.get(f"test.{cell.language}", row.sizes.get("test", 1000))
            identity = (cell.model, cell.intermediate, cell.target, row.name, cell.language, cell.seed, metric, k == 0)
            rows.append((*identity, value, sizes, sizes, "done", "", digest(cell), digest(cell.target)))
    frame = pd.DataFrame(rows, columns=list(COLUMNS)[:15])
    return frame.assign(**dict.fromkeys(DIAGNOSTICS, 0.5), collapsed=False)[list(COLUMNS)].astype(COLUMNS)


def findings(grid: Grid) -> Findings:
    """Return every comparison with its true value and a made-up error; families are marked where t is above 2."""
    d = configured(grid)
    rows = []

    def mean_of(model: str, arm: str, targets, languages) -> float:
        by_target = [[level(grid, model, arm, t, x) for x in languages[t]] for t in targets]
        return math.fsum(math.fsum(own) / len(own) for own in by_target) / len(by_target)

    for q in questions(d):
        arms = [q.intermediate] if q.intermediate else list(d.singles)
        languages = {"all": d.languages, "zero-shot": d.zero_shot}.get(q.language) or {q.target: (q.language,)}
        targets = [q.target] if q.target else list(grid.config.targets)

        def gain(model: str, arms=arms, targets=targets, languages=languages) -> float:
            each = [
                mean_of(model, a, targets, languages) - mean_of(model, d.baseline, targets, languages) for a in arms
            ]
            return math.fsum(each) / len(each)

        if q.kind == "score":
            value = mean_of(q.model, q.intermediate, targets, languages)
        else:
            value = gain(q.model) if q.kind == "gain" else gain(d.large) - gain(d.small)
        half = 0.4 + 0.8 * (int(digest([q.name])[:4], 16) / 16**4)
        p = 0.01 if abs(value) > half else 0.4
        row = dict.fromkeys(CONTRAST_COLUMNS, "") | dict.fromkeys(
            [name for name, kind in CONTRAST_COLUMNS.items() if kind == "float64"], math.nan
        )
        row |= {"kind": q.kind, "family": q.family, "model": q.model, "intermediate": q.intermediate}
        row |= {"target": q.target, "language": q.language, "status": "estimated", "value": value, "se": half / 2}
        row |= {"low": value - half, "high": value + half, "p": p, "adjusted": p, "seed_status": "measured"}
        row |= {"logit": value / 20, "wilson": False, "marked": bool(q.family) and p < 0.05}
        rows.append(row)
    frame = pd.DataFrame(rows, columns=list(CONTRAST_COLUMNS)).astype(CONTRAST_COLUMNS)
    record = {"status": "incomplete", "reason": "these numbers are made up"}
    return Findings(grid, frame, record)


def records(grid: Grid, energy: float = 1.5) -> Records:
    """Return finished runs: a falling loss and a rising dev score in a hundred steps, half an hour each."""
    runs, training = [], []
    for run in (*grid.arms, *grid.runs):
        target = "" if isinstance(run, Arm) else run.target
        of = grid.arm_tasks[run.intermediate] if isinstance(run, Arm) else (grid.tasks[target].name,)
        row = dict.fromkeys(RUN_COLUMNS, 0) | {"model": run.model, "intermediate": run.intermediate, "target": target}
        row |= {"seed": run.seed, "status": "done", "recipe_hash": digest(run), "devices": 1, "device": "made-up GPU"}
        row |= {"device_hours": 0.5, "energy_kwh": energy, "weights_bytes": 2.5e9, "kept_bytes": 2.5e9}
        cells = len(grid.languages(target)) if target else 0
        row |= {"predicted": cells, "cells": cells, "predict_hours": 0.1, "predict_energy_kwh": energy / 5}
        runs.append(row | {"collapsed": False})
        identity = (run.model, run.intermediate, target, run.seed)
        lift = int(digest(run[:3])[:4], 16) / 16**4
        steps = np.arange(1, 101)
        losses = (2 + lift) * np.exp(-steps / 30) + 0.2
        training += [
            (*identity, int(s), s / 100, "loss", "", "loss", True, float(v)) for s, v in zip(steps, losses, strict=True)
        ]
        for kind, step in (*(("dev", s) for s in range(20, 101, 20)), ("chosen", 100)):
            for name in of:
                score = 80 - 30 * math.exp(-step / 30) + 4 * lift
                full = task(name)
                training.append((*identity, step, step / 100, kind, full.name, full.metrics[0], True, score))
    return Records(
        pd.DataFrame(runs, columns=list(RUN_COLUMNS)).astype(RUN_COLUMNS),
        pd.DataFrame(training, columns=list(TRAINING_COLUMNS)).astype(TRAINING_COLUMNS),
    )


def material(grid: Grid) -> Material:
    """Return all that figures are drawn from."""
    return Material(grid, Scores(grid, scores_frame(grid)), findings(grid), records(grid))
