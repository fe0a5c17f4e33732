"""Linear contrasts of cell means: what every number of the paper is (statistics.md 1.1).

A cell mean is the mean over seeds of one (model, intermediate, target, language). Coefficients are exact fractions, so
that contrasts that are equal on paper are equal here, and a point estimate is rounded once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

Number = int | float | Fraction


class Place(NamedTuple):
    """What a cell mean is of."""

    model: str
    intermediate: str
    target: str
    language: str

    def __str__(self) -> str:
        return "/".join(self)


@dataclass(frozen=True)
class Contrast:
    """A constant plus a weighted sum of cell means.

    Contrasts are added, subtracted, and multiplied or divided by numbers.

    Attributes:
        coefficients: place -> coefficient, none of them 0.
        constant: 0 but where a scale is moved (chance-normalised scores) or bent (relative error).
    """

    coefficients: Mapping[Place, Fraction] = field(default_factory=dict)
    constant: Fraction = Fraction(0)

    @classmethod
    def of(cls, place: Place, coefficient: Number = 1) -> "Contrast":
        """Return a coefficient times one cell mean."""
        return cls({place: Fraction(coefficient)} if coefficient else {})

    def __add__(self, other: "Contrast") -> "Contrast":
        return total((self, other))

    def __neg__(self) -> "Contrast":
        return self * -1

    def __sub__(self, other: "Contrast") -> "Contrast":
        return total((self, -other))

    def __mul__(self, factor: Number) -> "Contrast":
        factor = Fraction(factor)
        if not factor:
            return Contrast()
        return Contrast({place: factor * c for place, c in self.coefficients.items()}, factor * self.constant)

    __rmul__ = __mul__

    def __truediv__(self, divisor: Number) -> "Contrast":
        return self * (1 / Fraction(divisor))

    def plus(self, constant: Number) -> "Contrast":
        """Return the contrast with a constant added."""
        return Contrast(self.coefficients, self.constant + Fraction(constant))


def total(contrasts: Iterable[Contrast]) -> Contrast:
    """Return the sum of contrasts."""
    coefficients: dict[Place, Fraction] = {}
    constant = Fraction(0)
    for contrast in contrasts:
        constant += contrast.constant
        for place, c in contrast.coefficients.items():
            coefficients[place] = coefficients[place] + c if place in coefficients else c
    return Contrast({place: c for place, c in coefficients.items() if c}, constant)


def mean(contrasts: Iterable[Contrast]) -> Contrast:
    """Return the unweighted mean of contrasts.

    Raises:
        ValueError: if there is none.
    """
    contrasts = list(contrasts)
    if not contrasts:
        raise ValueError("the mean of no contrasts")
    return total(contrasts) / len(contrasts)
