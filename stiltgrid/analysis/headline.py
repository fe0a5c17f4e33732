"""The one declared number, and everything that says how far it carries: `analysis/headline.json`."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from stiltgrid.analysis.contrast import mean
from stiltgrid.analysis.declaration import Declaration
from stiltgrid.analysis.estimate import Estimate, Estimator
from stiltgrid.analysis.evidence import Evidence
from stiltgrid.analysis.families import FAMILIES, decide, replicability
from stiltgrid.analysis.generality import Generality, generality, middle
from stiltgrid.analysis.quantities import Coverage, average, gain, interaction
from stiltgrid.analysis.scales import chance_normalised, direction, logits, relative_interaction
from stiltgrid.errors import StiltgridError

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Headline:
    """The mean over singles, targets and zero-shot languages of the interaction, and its sensitivities.

    Attributes:
        points: the headline itself.
        coverage: what it covers.
        small_gain: the small model's mean gain.
        large_gain: the large one's.
        odds: the headline in log odds.
        relative: in relative error reduction, percent; None where a baseline has no error left.
        normalised: in chance-normalised points.
        middle: the mean over the middle half of the tasks, in points; the tasks are those that the data chose.
        direction: `scales.direction`.
        other_tasks: the targets' interactions as a sample of tasks.
        replicates_in: in at least how many targets there is an interaction (Holm's rejections).
        targets: target -> its interaction.
        notes: why a sensitivity is not there.
    """

    points: Estimate
    coverage: Coverage
    small_gain: Estimate
    large_gain: Estimate
    odds: Estimate
    relative: Estimate | None
    normalised: Estimate
    middle: Estimate
    direction: str
    other_tasks: Generality
    replicates_in: int
    targets: dict[str, Estimate]
    notes: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """Return the headline as JSON can hold it: what is not a finite number is null."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: plain(v) for key, v in value.items()}
            if isinstance(value, list | tuple):
                return [plain(v) for v in value]
            return None if isinstance(value, float) and not math.isfinite(value) else value

        return {"schema_version": SCHEMA_VERSION} | plain(asdict(self))


def headline(declaration: Declaration, evidence: Evidence) -> Headline:
    """Estimate the headline of a grid.

    Raises:
        IncompleteError: if a cell that it needs is not complete, naming it.
        StiltgridError: if the grid has no headline: one model, no baseline, or no zero-shot language.
    """
    d = declaration
    targets = {t: own for t, own in d.zero_shot.items() if own}
    if d.baseline is None or d.small is None or d.large is None or not d.singles or not targets:
        raise StiltgridError(
            "the headline compares the gain of two models over a baseline, in languages other than the training "
            f"language; the grid has {len(d.models)} models, {len(d.singles)} single intermediates, "
            f"{'a' if d.baseline else 'no'} baseline and {len(targets)} targets with such languages"
        )
    estimate, present = Estimator(evidence, d.alpha), d.present(evidence)
    leaf = interaction(d.small, d.large, d.baseline)
    whole = average("the headline", leaf, d.singles, targets, present)
    points = estimate("the headline", whole.contrast)
    gains = [
        average(f"{m}'s gain", gain(m, d.baseline), d.singles, targets, present).contrast for m in (d.small, d.large)
    ]
    # a partial headline may have lost a target; a whole one has all
    kept = [t for t in targets if any(place.target == t for place in whole.contrast.coefficients)]
    each = {t: average(f"the interaction on {t}", leaf, d.singles, {t: targets[t]}, present).contrast for t in kept}
    found = {t: estimate(f"the interaction on {t}", contrast) for t, contrast in each.items()}
    values = {t: e.value for t, e in found.items()}
    scaled = average("the headline", chance_normalised(leaf, d.chance), d.singles, targets, present).contrast
    odds = Estimator(logits(evidence), d.alpha)("the headline", whole.contrast)
    relative, notes = None, []
    try:
        bent = relative_interaction(evidence, d.small, d.large, d.baseline)
        relative = estimate("the headline", average("the headline", bent, d.singles, targets, present).contrast)
    except StiltgridError as error:
        notes.append(str(error))
    return Headline(
        points,
        whole.coverage,
        *(estimate("a gain", contrast) for contrast in gains),
        odds,
        relative,
        estimate("the headline", scaled),
        estimate("the headline", mean(each[t] for t in middle(values))),
        direction(points.value, odds.value),
        generality(values, d.alpha),
        replicability(decide(FAMILIES["targets"], [found.get(t) for t in targets], d.alpha)),
        found,
        tuple(notes),
    )
