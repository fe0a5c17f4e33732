"""A rule's wildcards, as Snakemake hands them to functions."""

from typing import Protocol


class Wildcards(Protocol):
    """A rule's wildcards: model, intermediate, target, seed, task, split, language, where the rule has them."""

    def __getattr__(self, name: str) -> str: ...
