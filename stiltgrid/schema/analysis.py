"""What is asked of scores and predictions once they are there."""

from typing import Annotated, Literal

from pydantic import Field

from stiltgrid.schema.block import Block, Name


class SubmissionOptions(Block):
    """What `snakemake submission` exports for a benchmark's leaderboard."""

    split: Literal["test", "dev"] = Field(
        "test", description="the split that every exported target must be evaluated on (`eval_split`)"
    )
    partial: bool = Field(
        False, description="export although tasks or languages of the leaderboard are lacking; marked PARTIAL"
    )


class Power(Block):
    """What `snakemake power` reckons with before there are scores."""

    seed_sd: dict[Name, Annotated[float, Field(ge=0)]] = Field(
        {}, description="model -> standard deviation between seeds of a target's mean over languages, in points"
    )
    baseline_sd: dict[Name, Annotated[float, Field(ge=0)]] = Field(
        {}, description="the same for the `none` row; a model that is not named: as `seed_sd`"
    )
    disagreement: float = Field(
        0.1, ge=0, le=1, description="share of the test examples that two seeds answer differently"
    )
    checkpoint: float = Field(
        0.0, ge=0, le=1, description="share of the seed variance that targets share: the intermediate checkpoint's"
    )


class Analysis(Block):
    """What is asked of the scores, declared before there are any. Changing it reruns no training and no prediction."""

    small: str | None = Field(None, description="the model whose gain is subtracted; null: the first of `models`")
    large: str | None = Field(None, description="the model whose gain it is subtracted from; null: the last")
    singles: tuple[str, ...] | None = Field(
        None, min_length=1, description="intermediates of the headline; null: all but the baseline and mixtures"
    )
    metrics: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        {}, description="target -> metrics whose mean is its score; a target that is not named: its main metric"
    )
    alpha: float = Field(0.05, gt=0, lt=1, description="level of the headline and of Holm's families; 1 - coverage")
    q: float = Field(0.05, gt=0, lt=1, description="false discovery rate of the gains' daggers")
    allow_partial: bool = Field(
        False, description="averages over what is complete in both models, and say of how much; else they are refused"
    )
    replicates: int = Field(2000, ge=100, description="bootstrap draws of the test examples")
    power: Power = Field(default_factory=Power, description="for `snakemake power`")
