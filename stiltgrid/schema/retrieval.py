"""How sentences are embedded and searched: for the tasks that have no training set."""

from typing import Literal

from pydantic import Field

from stiltgrid.schema.block import Block, overriding


class Retrieval(Block):
    """How retrieval targets are embedded and searched: these defaults, then the model's keys, then the target's."""

    layer: int | None = Field(
        None,
        ge=0,
        description="hidden states of this layer, 0 being the embeddings; null: seven twelfths of the encoder's depth, "
        "rounded (14 of 24, which XTREME takes for XLM-R Large, 7 of 12)",
    )
    pooling: Literal["mean", "first"] = Field("mean", description="mean of a sentence's tokens, or its first one")
    special_tokens: bool = Field(True, description="does the mean take in what the vocabulary puts around a sentence?")
    max_input_length: int = Field(256, ge=8, description="input tokens of a sentence; longer ones are cut at the end")
    neighbours: int = Field(4, ge=1, description="mining: neighbours that a margin is taken over")
    seed: int = Field(1, ge=0, description="mining on dev: of the two halves whose thresholds are tuned on each other")


RetrievalOverride = overriding(Retrieval, "RetrievalOverride")

RETRIEVAL_VERSION = 1
"""Raise when embedding or search change in a way that changes predictions."""


class ResolvedRetrieval(Retrieval):
    """A run's settings, all layers of the config merged: part of its predictions' identity."""

    version: int = RETRIEVAL_VERSION
