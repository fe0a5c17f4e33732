"""Where original files lie, and where fetched ones go."""

from typing import Literal

from pydantic import Field, model_validator

from stiltgrid.hub.repository import LAYOUT
from stiltgrid.schema.block import Block


class Source(Block):
    """Where a suite's or a task's original files lie: at `path`, or fetched from the `hub`."""

    path: str | None = Field(
        None,
        description="folder, or archive (.tar.gz, .tgz, .tar, .zip), relative to the working folder or absolute; "
        "`${VARIABLE}` is filled in",
    )
    hub: bool = Field(False, description="instead of `path`: the hub's files, which `snakemake fetch` brings")
    revision: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{40}$",
        description="with `hub`, for one task: a commit of its data set, 40 hex digits; null: the task's row has it",
    )
    layout: str | dict[Literal["train", "dev", "test"], str] | None = Field(
        None, description="release format, or one a split; null: the task's first"
    )
    files: dict[Literal["train", "dev", "test"], str] = Field(
        {}, description="file patterns that replace the layout's, `{lang}` is filled in"
    )
    rows: dict[Literal["train", "dev", "test"], tuple[int, int | None]] = Field(
        {},
        description="half-open slice of data rows, e.g. [0, 1600], or [1600, null] for all others, where a release "
        "lacks a split of its own",
    )

    @model_validator(mode="after")
    def _one_place(self) -> "Source":
        if self.hub == (self.path is not None):
            found = "both" if self.hub else "neither"
            raise ValueError(f"expected `path: <folder or archive>` or `hub: true`, found {found}")
        if self.revision is not None and not self.hub:
            raise ValueError("`revision` is a data set's of the hub; it needs `hub: true`")
        return self

    def layout_of(self, split: str) -> str | None:
        """Return the release format of a split; None: the task's first, or of the hub `hub`."""
        named = self.layout.get(split) if isinstance(self.layout, dict) else self.layout  # type: ignore[call-overload]
        return LAYOUT if named is None and self.hub else named


class Hub(Block):
    """Where `snakemake fetch` puts models and data sets of the hub; no part of any recipe."""

    folder: str = Field(
        "data/hub", description="folder, relative to the working folder or absolute; `${VARIABLE}` is filled in"
    )
    endpoint: str | None = Field(
        None, description="address of the hub or a mirror; null: the environment's HF_ENDPOINT, else the public one"
    )
