"""What is asked, fixed before any score is seen: two models, the arms of the headline, its languages, its levels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stiltgrid.analysis.contrast import Place
from stiltgrid.analysis.evidence import Evidence
from stiltgrid.analysis.quantities import Present
from stiltgrid.analysis.resampling import REPLICATES
from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.grid import Grid


@dataclass(frozen=True)
class Declaration:
    """The declared questions of a grid.

    Attributes:
        models: every model, in the config's order.
        small: the model whose gain is subtracted; None: the grid has one model and no interaction.
        large: the model whose gain it is subtracted from.
        baseline: the arm without intermediate training; None: the grid has none, so no gain.
        arms: every other arm.
        singles: the arms of the headline: intermediate tasks, not mixtures of them.
        languages: target -> all its languages.
        zero_shot: target -> its languages but the training language: what gains and interactions average.
        chance: target -> score of the trivial baseline.
        metrics: target -> the metrics whose mean is its score.
        alpha: level of the headline, of Holm's families, and of intervals.
        q: false discovery rate of the gains.
        allow_partial: whether an average may leave out what is not complete, and say so.
        replicates: bootstrap draws.
    """

    models: tuple[str, ...]
    small: str | None
    large: str | None
    baseline: str | None
    arms: tuple[str, ...]
    singles: tuple[str, ...]
    languages: Mapping[str, tuple[str, ...]]
    zero_shot: Mapping[str, tuple[str, ...]]
    chance: Mapping[str, float]
    metrics: Mapping[str, tuple[str, ...]]
    alpha: float = 0.05
    q: float = 0.05
    allow_partial: bool = False
    replicates: int = REPLICATES

    def present(self, evidence: Evidence) -> Present | None:
        """Return which (intermediate, target, language) a partial average takes; None: it is not declared.

        Those complete in both models, with the intermediate and without: a gain of the small model is averaged over the
        same tasks and languages as the large one's.
        """
        if not self.allow_partial:
            return None
        models = [m for m in (self.small, self.large) if m is not None] or list(self.models)
        base = [self.baseline] if self.baseline is not None else []

        def present(arm: str, target: str, language: str) -> bool:
            return all(Place(m, b, target, language) in evidence.scores for m in models for b in (arm, *base))

        return present


def mixtures(grid: Grid) -> set[str]:
    """Return the arms that hold every task of two or more other arms, as the multi-task arm does."""
    tasks = {arm: set(names) for arm, names in grid.arm_tasks.items() if names}
    return {arm for arm, own in tasks.items() if sum(other < own for name, other in tasks.items() if name != arm) > 1}


def declared(
    grid: Grid,
    *,
    small: str | None = None,
    large: str | None = None,
    singles: Sequence[str] | None = None,
    metrics: Mapping[str, Sequence[str]] | None = None,
    **levels: object,
) -> Declaration:
    """Return a grid's declaration.

    Args:
        grid: the expanded config.
        small: None: the config's first model.
        large: None: its last.
        singles: None: every arm but the baseline and mixtures of other arms.
        metrics: target -> metrics; None, or a target not named: its main one.
        levels: `alpha`, `q`, `allow_partial`, `replicates`.

    Raises:
        StiltgridError: if a name is none of the grid's.
    """
    models, targets = tuple(grid.config.models), grid.config.targets
    baseline = next((arm for arm, names in grid.arm_tasks.items() if not names), None)
    arms = tuple(arm for arm, names in grid.arm_tasks.items() if names)
    if len(models) > 1:
        small, large = small or models[0], large or models[-1]
    else:
        small = large = None
    found = set(mixtures(grid))
    chosen = tuple(singles) if singles is not None else tuple(arm for arm in arms if arm not in found)
    for key, name, allowed in (
        *(("models", name, models) for name in (small, large) if name is not None),
        *(("singles", name, arms) for name in chosen),
        *(("metrics", name, targets) for name in metrics or ()),
    ):
        if name not in allowed:
            raise StiltgridError(f"analysis.{key}: unknown name {name!r}; {nearest(name, allowed)}")
    if small is not None and small == large:
        raise StiltgridError(f"analysis.models: {small!r} is named twice; an interaction compares two models")
    for target, names in (metrics or {}).items():
        if not names or (unknown := [m for m in names if m not in grid.tasks[target].metrics]):
            seen = repr(unknown[0]) if names else "no metric"
            raise StiltgridError(f"analysis.metrics.{target}: {seen}; {nearest(seen, grid.tasks[target].metrics)}")
    languages = {target: grid.languages(target) for target in targets}
    return Declaration(
        models,
        small,
        large,
        baseline,
        arms,
        chosen,
        languages,
        {t: tuple(x for x in own if x != targets[t].source_language) for t, own in languages.items()},
        {t: grid.tasks[t].chance for t in targets},
        {t: tuple((metrics or {}).get(t, grid.tasks[t].metrics[:1])) for t in targets},
        **levels,  # type: ignore[arg-type]
    )
