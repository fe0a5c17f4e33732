"""What the paper asks for, as contrasts: scores, gains, interactions, and their averages (statistics.md 1.1).

A gain is a model's mean with an intermediate task minus its mean without; an interaction is the large model's gain
minus the small one's. Averages are over languages first, then over intermediates, then over targets: each target
weighs the same whatever the number of its languages. In a full grid the order of the last two does not matter; in a
partial one this order makes the headline the mean of the targets' interactions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from stiltgrid.analysis.contrast import Contrast, Place, mean
from stiltgrid.analysis.evidence import IncompleteError

Leaf = Callable[[str, str, str], Contrast]
"""Of an intermediate, a target and a language."""
Present = Callable[[str, str, str], bool]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What an average covers: (have, of) of its targets, its intermediates, and the leaves that it is a mean of."""

    targets: tuple[int, int]
    intermediates: tuple[int, int]
    leaves: tuple[int, int]

    @property
    def partial(self) -> bool:
        """Whether something declared is left out."""
        return self.leaves[0] < self.leaves[1]

    def __str__(self) -> str:
        """Return `9/11 tasks` and so on, empty for a whole average.

        >>> str(Coverage((9, 11), (10, 10), (600, 670)))
        '9/11 tasks, 600/670 languages'
        """
        names = ("tasks", "intermediates", "languages")
        counts = zip(names, (self.targets, self.intermediates, self.leaves), strict=True)
        return ", ".join(f"{have}/{of} {name}" for name, (have, of) in counts if have < of)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A contrast and what it covers."""

    contrast: Contrast
    coverage: Coverage


def score(model: str) -> Leaf:
    """Return the leaf that is a model's cell mean."""
    return lambda arm, target, language: Contrast.of(Place(model, arm, target, language))


def gain(model: str, baseline: str) -> Leaf:
    """Return the leaf that is a model's mean with an intermediate minus its mean without."""
    of = score(model)
    return lambda arm, target, language: of(arm, target, language) - of(baseline, target, language)


def interaction(small: str, large: str, baseline: str) -> Leaf:
    """Return the leaf that is the large model's gain minus the small one's."""
    less, more = gain(small, baseline), gain(large, baseline)
    return lambda arm, target, language: more(arm, target, language) - less(arm, target, language)


def average(
    name: str,
    leaf: Leaf,
    arms: Sequence[str],
    languages: Mapping[str, Sequence[str]],
    present: Present | None = None,
) -> Quantity:
    """Return the mean over targets of the mean over intermediates of the mean over languages of a leaf.

    Args:
        name: for messages.
        leaf: what is averaged.
        arms: intermediates.
        languages: target -> languages; a target without any (evaluated in its training language alone, say) has no
            average and is passed over.
        present: which leaves are taken, where a partial average is declared; None: all of them.

    Raises:
        IncompleteError: if no leaf is left.
    """
    languages = {target: own for target, own in languages.items() if own}
    kept: dict[str, dict[str, list[str]]] = {}
    for target, own in languages.items():
        for arm in arms:
            there = [x for x in own if present is None or present(arm, target, x)]
            if there:
                kept.setdefault(target, {})[arm] = there
    if not kept:
        raise IncompleteError(
            f"{name}: no cell of its targets and intermediates is complete in every model that it compares"
        )
    contrast = mean(
        mean(mean(leaf(arm, target, x) for x in own) for arm, own in by_arm.items()) for target, by_arm in kept.items()
    )
    taken = sum(len(own) for by_arm in kept.values() for own in by_arm.values())
    coverage = Coverage(
        (len(kept), len(languages)),
        (len({arm for by_arm in kept.values() for arm in by_arm}), len(arms)),
        (taken, len(arms) * sum(map(len, languages.values()))),
    )
    return Quantity(contrast, coverage)
