"""Every declared quantity of a grid, estimated, in one tidy table: `analysis/contrasts.parquet`.

Columns of the table, schema version 1, one row a quantity. An empty string stands for "averaged over": a row with
`intermediate` empty is of the headline's intermediates, one with `target` empty of all targets. `language` is a
language, `zero-shot` (the mean over all but the training language) or `all`.

| column                  | type   | meaning                                                                          |
|-------------------------|--------|----------------------------------------------------------------------------------|
| kind                    | string | score, gain (with an intermediate minus without), interaction (large minus small)|
| family                  | string | of `families.FAMILIES`; empty: descriptive                                       |
| model, intermediate, target, language | string | what it is of; an interaction has no model                         |
| status                  | string | estimated, or incomplete (a cell that it needs is not)                           |
| reason                  | string | the cells that are lacking; empty if estimated                                   |
| value, se, low, high, freedom, p      | double | `estimate.Estimate`; NaN where there is none                       |
| examples, seeds         | double | variance components                                                              |
| seed_status             | string | measured, borrowed or none; empty if incomplete                                  |
| borrowed                | string | what was borrowed from where                                                     |
| tipping                 | double | the seed SD at which the interval would touch 0; NaN if seed noise is measured   |
| wilson                  | bool   | is the interval Wilson's?                                                        |
| adjusted                | double | p within the family; NaN without one                                             |
| marked                  | bool   | is the family's test rejected? never without a family                            |
| logit                   | double | the value in log odds; NaN for scores and languages                              |
| logit_low, logit_high   | double | its interval                                                                     |
| coverage                | string | `9/11 tasks` and so on; empty for whole averages                                 |
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stiltgrid.analysis.declaration import Declaration
from stiltgrid.analysis.estimate import Estimate, Estimator
from stiltgrid.analysis.evidence import Evidence, IncompleteError
from stiltgrid.analysis.families import FAMILIES, decide
from stiltgrid.analysis.quantities import Leaf, Present, Quantity, average, gain, interaction, score
from stiltgrid.analysis.scales import logits

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
TEXT = ("kind", "family", "model", "intermediate", "target", "language", "status", "reason", "seed_status", "borrowed")
NUMBERS = ("value", "se", "low", "high", "freedom", "p", "examples", "seeds", "tipping", "adjusted")
LOGIT = ("logit", "logit_low", "logit_high")
COLUMNS = {
    **dict.fromkeys(TEXT[:8], "string"),
    **dict.fromkeys(NUMBERS[:8], "float64"),
    **dict.fromkeys(TEXT[8:], "string"),
    "tipping": "float64",
    "wilson": "bool",
    "adjusted": "float64",
    "marked": "bool",
    **dict.fromkeys(LOGIT, "float64"),
    "coverage": "string",
}
"""Column -> pandas type."""


@dataclass(frozen=True, slots=True)
class Question:
    """A quantity that the paper reports.

    Attributes:
        kind: score, gain or interaction.
        family: of `FAMILIES`, or empty.
        model: empty for an interaction.
        intermediate: empty: averaged over the headline's.
        target: empty: averaged over all.
        language: a language, `zero-shot` or `all`.
        build: makes the quantity; raises `IncompleteError` where a partial average has nothing left.
    """

    kind: str
    family: str
    model: str
    intermediate: str
    target: str
    language: str
    build: Callable[[], Quantity]

    @property
    def name(self) -> str:
        """The question in words, for messages."""
        parts = [self.model, self.intermediate, self.target, self.language]
        return f"{self.kind} of {' / '.join(p for p in parts if p)}"


def questions(declaration: Declaration, present: Present | None = None) -> Iterator[Question]:
    """Yield every question of a grid: the headline first, then its families, gains, scores, and languages.

    Args:
        declaration: what is asked.
        present: of `Declaration.present`.
    """
    d = declaration

    def ask(kind: str, family: str, leaf: Leaf, model: str, arm: str, target: str, language: str) -> Question:
        arms = (arm,) if arm else d.singles
        ranges = {"zero-shot": d.zero_shot, "all": d.languages}.get(language)
        if ranges is None:
            chosen: Mapping[str, tuple[str, ...]] = {target: (language,)}
        else:
            chosen = {target: ranges[target]} if target else ranges
        question = f"{kind} of {' / '.join(p for p in (model, arm, target, language) if p)}"
        # only comparisons may be partial: a level of fewer tasks is comparable with nothing, one language is one cell
        taken = present if kind != "score" and ranges is not None else None

        def build() -> Quantity:
            try:
                return average(question, leaf, arms, chosen, taken)
            except IncompleteError:
                if kind == "gain" and arm and target:
                    # the other model has nothing here to be compared with: the gain stands for itself
                    return average(question, leaf, arms, chosen)
                raise

        return Question(kind, family, model, arm, target, language, build)

    targets = [t for t, own in d.zero_shot.items() if own]
    if d.baseline is not None and d.small is not None and d.large is not None:
        leaf = interaction(d.small, d.large, d.baseline)
        if d.singles and targets:
            yield ask("interaction", "headline", leaf, "", "", "", "zero-shot")
            yield from (ask("interaction", "targets", leaf, "", "", t, "zero-shot") for t in targets)
        if targets:
            yield from (ask("interaction", "intermediates", leaf, "", arm, "", "zero-shot") for arm in d.arms)
        for arm in d.arms:
            yield from (ask("interaction", "", leaf, "", arm, t, "zero-shot") for t in targets)
            yield from (ask("interaction", "", leaf, "", arm, t, x) for t, own in d.languages.items() for x in own)
    for model in d.models:
        if d.baseline is not None:
            leaf = gain(model, d.baseline)
            if d.singles and targets:
                yield ask("gain", "", leaf, model, "", "", "zero-shot")
                yield from (ask("gain", "", leaf, model, "", t, "zero-shot") for t in targets)
            for arm in d.arms:
                yield ask("gain", "", leaf, model, arm, "", "all")
                yield from (ask("gain", "", leaf, model, arm, t, "all") for t in d.languages)
                if targets:
                    yield ask("gain", "", leaf, model, arm, "", "zero-shot")
                yield from (ask("gain", "gains", leaf, model, arm, t, "zero-shot") for t in targets)
                yield from (ask("gain", "", leaf, model, arm, t, x) for t, own in d.languages.items() for x in own)
        leaf = score(model)
        for arm in (*([d.baseline] if d.baseline is not None else []), *d.arms):
            yield ask("score", "", leaf, model, arm, "", "all")
            if targets:
                yield ask("score", "", leaf, model, arm, "", "zero-shot")
            for target, own in d.languages.items():
                yield ask("score", "", leaf, model, arm, target, "all")
                if target in targets:
                    yield ask("score", "", leaf, model, arm, target, "zero-shot")
                yield from (ask("score", "", leaf, model, arm, target, x) for x in own)


def analyse(
    declaration: Declaration,
    evidence: Evidence,
    *,
    only: Callable[[Question], bool] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> "pd.DataFrame":
    """Estimate every question of a grid.

    Args:
        declaration: what is asked.
        evidence: scores and replicates.
        only: which questions; None: all. A family's correction needs all of its questions.
        progress: called with (done, total).

    Returns:
        The table of the module, the headline first.
    """
    import pandas as pd

    estimator, odds = Estimator(evidence, declaration.alpha), Estimator(logits(evidence), declaration.alpha)
    asked = [q for q in questions(declaration, declaration.present(evidence)) if only is None or only(q)]
    rows: list[dict[str, Any]] = []
    members: dict[str, list[tuple[dict[str, Any], Estimate | None]]] = {}
    for done, question in enumerate(asked):
        row, found = _row(question, estimator, odds)
        rows.append(row)
        if question.family:
            members.setdefault(question.family, []).append((row, found))
        if progress is not None and (done % 200 == 199 or done + 1 == len(asked)):
            progress(done + 1, len(asked))
    for name, group in members.items():
        family = FAMILIES[name]
        level = declaration.q if family.method == "benjamini-hochberg" else declaration.alpha
        for (row, found), decision in zip(group, decide(family, [e for _, e in group], level), strict=True):
            row["adjusted"] = decision.adjusted if found is not None else math.nan
            row["marked"] = decision.rejected
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _row(question: Question, estimator: Estimator, odds: Estimator) -> tuple[dict[str, Any], Estimate | None]:
    """Return a question's row, without what its family decides."""
    q = question
    row: dict[str, Any] = dict.fromkeys(COLUMNS, "") | dict.fromkeys((*NUMBERS, *LOGIT), math.nan)
    row |= {"kind": q.kind, "family": q.family, "model": q.model, "intermediate": q.intermediate}
    row |= {"target": q.target, "language": q.language, "wilson": False, "marked": False}
    try:
        quantity = q.build()
        found = estimator(q.name, quantity.contrast)
    except IncompleteError as error:
        return row | {"status": "incomplete", "reason": str(error)}, None
    row |= {name: getattr(found, name) for name in NUMBERS[:8]}
    row |= {"status": "estimated", "seed_status": found.status, "borrowed": "; ".join(found.borrowed)}
    row |= {"tipping": math.nan if found.tipping is None else found.tipping, "wilson": found.wilson}
    row["coverage"] = str(quantity.coverage)
    if q.kind != "score" and q.language == "zero-shot":
        bent = odds(q.name, quantity.contrast)
        row |= {"logit": bent.value, "logit_low": bent.low, "logit_high": bent.high}
    return row, found
