"""Means over seeds, languages and targets that never silently cover less than they claim.

A mean that lacks a part is withheld and says how many of its parts it has: a mean over what happens to be
there would change with the state of the queue. What the config *excludes* is another matter: it is left out
by declaration and counted apart, and two means are subtracted only if they cover the same parts.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Status = Literal["done", "incomplete", "missing", "failed", "excluded", "incomparable"]


@dataclass(frozen=True, slots=True)
class Mean:
    """A score, or a mean of scores, in points (0 to 100).

    Attributes:
        value: the mean; None where it is withheld. A seed mean that lacks seeds keeps that of those present.
        status: `done` if every declared part is; `incomplete` if some are; `missing` or `failed` if none is
            (`failed` if at least one failed); `excluded` if no part is declared to run; `incomparable` for a
            gain between means over different parts.
        have: number of complete parts.
        of: number of declared parts, excluded ones not counted.
        excluded: names of the parts that the config excludes.
        over: names of the declared parts.
    """

    value: float | None
    status: Status
    have: int = 1
    of: int = 1
    excluded: frozenset[str] = frozenset()
    over: frozenset[str] = frozenset()


def score(value: float | None, status: Status) -> Mean:
    """Return one run's score in one language as a mean of one part; done without a value is missing."""
    if status == "done" and (value is None or math.isnan(value)):
        status = "missing"
    done = status == "done"
    return Mean(value if done else None, status, int(done), int(status != "excluded"))


def mean(parts: Mapping[str, Mean]) -> Mean:
    """Return the unweighted mean of named parts, withheld unless every declared part is complete.

    Args:
        parts: name (a language, a target) -> its mean.
    """
    declared = {name: part for name, part in parts.items() if part.status != "excluded"}
    left_out = frozenset(parts) - frozenset(declared)
    done = [part.value for part in declared.values() if part.status == "done" and part.value is not None]
    counts = {"have": len(done), "of": len(declared), "excluded": left_out, "over": frozenset(declared)}
    if not declared:
        return Mean(None, "excluded", **counts)
    if len(done) == len(declared):
        # fsum: the same last digit whatever the order of the rows
        return Mean(math.fsum(done) / len(done), "done", **counts)
    states = {part.status for part in declared.values()}
    if states <= {"missing", "failed"}:
        return Mean(None, "failed" if "failed" in states else "missing", **counts)
    return Mean(None, "incomplete", **counts)


def seed_mean(parts: Mapping[str, Mean]) -> Mean:
    """Return the mean over declared seeds; with only some of them, the mean of those, marked `incomplete`."""
    result = mean(parts)
    if result.status == "incomplete":
        done = [part.value for part in parts.values() if part.status == "done" and part.value is not None]
        return replace(result, value=math.fsum(done) / len(done))
    return result


def gain(row: Mean, baseline: Mean) -> Mean:
    """Return `row` minus `baseline` in points, withheld unless both are complete and cover the same parts."""
    if row.status != "done":
        return replace(row, value=None)
    if baseline.status != "done" or row.over != baseline.over or row.value is None or baseline.value is None:
        return replace(row, value=None, status="incomparable")
    return replace(row, value=row.value - baseline.value)


def deviation(parts: Mapping[str, Mean]) -> Mean:
    """Return the sample standard deviation (n - 1) over seeds, withheld unless complete and at least two."""
    result = mean(parts)
    if result.status != "done" or result.value is None:
        return replace(result, value=None)
    if result.of < 2:
        return replace(result, value=None, status="incomparable")
    squares = [(part.value - result.value) ** 2 for part in parts.values() if part.value is not None]
    return replace(result, value=math.sqrt(math.fsum(squares) / (len(squares) - 1)))
