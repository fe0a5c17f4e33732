"""How often each of several tasks is drawn.

With n inputs a task: `proportional` draws it in proportion to n; `{cap: c}` to min(n, c), as jiant's
`train_examples_cap` and T5's limit (Raffel et al. 2020, section 3.5.2); `{temperature: T}` to n ** (1 / T); `uniform`
draws all tasks alike. An input is what the model takes at once: an example, or one window of a long one.

An epoch has as many inputs as the tasks have together, with a cap as many as the tasks have below it; so `epochs` means
the same number of steps under `proportional`, `temperature` and `uniform`. Within an epoch every task has its exact
share, what rounding leaves being carried to the next epoch, and a task's inputs come in passes: none is drawn again
before all were.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Rule = str | Mapping[str, Any]


def weights(sizes: Sequence[int], rule: Rule) -> list[float]:
    """Return what each task's share is proportional to.

    Args:
        sizes: inputs of each task.
        rule: `proportional`, `uniform`, {"temperature": T} or {"cap": c}.
    """
    if rule == "proportional":
        return [float(n) for n in sizes]
    if rule == "uniform":
        return [1.0] * len(sizes)
    assert isinstance(rule, Mapping)
    if "cap" in rule:
        return [float(min(n, rule["cap"])) for n in sizes]
    return [n ** (1 / rule["temperature"]) for n in sizes]


def shares(sizes: Sequence[int], rule: Rule) -> list[float]:
    """Return each task's share of the inputs; they sum to 1. Arguments as `weights`."""
    found = weights(sizes, rule)
    return [w / sum(found) for w in found]


def epoch_size(sizes: Sequence[int], rule: Rule) -> int:
    """Return the inputs of an epoch. Arguments as `weights`."""
    return sum(min(n, rule["cap"]) for n in sizes) if isinstance(rule, Mapping) and "cap" in rule else sum(sizes)


class Mixture:
    """Which inputs an epoch consists of; a function of seed and epoch, so that a resumed run draws the same.

    Args:
        sizes: inputs of each task; task after task they are numbered from 0.
        rule: as `weights`.
        seed: the run's.
    """

    def __init__(self, sizes: Sequence[int], rule: Rule, seed: int) -> None:
        self.sizes = tuple(sizes)
        self.shares = shares(sizes, rule)
        self.per_epoch = epoch_size(sizes, rule)
        self.seed = seed
        self._starts = [sum(self.sizes[:i]) for i in range(len(self.sizes))]
        self._quotas: list[list[int]] = []
        self._owed = [0.0] * len(self.sizes)
        self._before = [[0] * len(self.sizes)]  # of each epoch: inputs drawn in those before it

    def quotas(self, epochs: int) -> list[list[int]]:
        """Return how many inputs of each task the epochs 0 to `epochs` - 1 draw."""
        while len(self._quotas) < epochs:
            owed = [rest + self.per_epoch * share for rest, share in zip(self._owed, self.shares, strict=True)]
            got = [max(0, int(value)) for value in owed]
            # what rounding leaves goes to those that are owed most
            order = sorted(range(len(owed)), key=lambda i: (got[i] - owed[i], i))
            for i in order[: self.per_epoch - sum(got)]:
                got[i] += 1
            self._owed = [value - number for value, number in zip(owed, got, strict=True)]
            self._quotas.append(got)
            self._before.append([done + number for done, number in zip(self._before[-1], got, strict=True)])
        return self._quotas[:epochs]

    def drawn(self, epoch: int) -> np.ndarray:
        """Return the numbers of an epoch's inputs, task after task; an input may occur more than once."""
        self.quotas(epoch + 1)
        found = []
        for index, size in enumerate(self.sizes):
            begin, end = self._before[epoch][index], self._before[epoch + 1][index]
            passes = [self._pass(index, number) for number in range(begin // size, -(-end // size))]
            if passes:
                found.append(np.concatenate(passes)[begin % size : begin % size + end - begin])
        return np.concatenate(found)

    def _pass(self, index: int, number: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, index, number, 1])
        return rng.permutation(self.sizes[index]) + self._starts[index]
