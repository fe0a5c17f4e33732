"""The registry of tasks: YAML rows in, frozen records out.

A task is a row: where its files lie, its languages, labels, metrics, chance level, cluster key, licence.
Behaviour is named, not inherited: `reader` names a function of `stiltgrid.readers`, `metrics` names of
`stiltgrid.metrics`, `kind` a formulation of each model family.
"""

from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.tasks.added import in_force

Split = Literal["train", "dev", "test"]
Kind = Literal["classification", "ranking", "tagging", "span", "choice", "generation", "retrieval"]


class Row(BaseModel):
    """Shared strictness: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Decoding(Row):
    """How a text2text model writes an answer; part of a prediction's identity, not of training's."""

    beams: int = Field(1, ge=1, le=32, description="beams of beam search; 1: greedy")
    length_penalty: float = Field(1.0, description="log-likelihood is divided by length to this power; > 0: longer")


class Submission(Row):
    """How a benchmark wants a task's predictions."""

    file: str = Field(description="file below the submission's folder; `{lang}` and `{split}` are filled in")
    form: Literal["labels", "values", "tags", "answers", "texts", "pairs", "places"] = Field(
        description="`labels`, `values`, `texts`: a line an example; `tags`: a line a word; `answers`: JSON "
        "{id: text}; `pairs`: the ids of a mined pair a line; `places`: the row of the sentence found, from 0"
    )


class Layout(Row):
    """One release format of a task's files."""

    reader: str = Field(description="name of a function in `stiltgrid.readers.READERS`")
    files: dict[Split, str | tuple[str, ...]] = Field(
        description="file below the source folder by split, or several that are read one after the other; filled in: "
        "`{lang}`, `{name}` from `names`, and `{side}`, which stands for two parallel files, `src` and `tgt`"
    )
    names: dict[str, str] = Field(
        default={}, description="`{name}` by language, e.g. a treebank's file; `{split}` in it is filled in"
    )
    options: dict[str, Any] = Field(
        default={},
        description="keyword arguments of the reader; `splits: {train: {...}}` replaces some for a split, "
        "`languages: {th: {...}}` for a language",
    )
    sizes: dict[str, int] = Field(default={}, description="published row counts, where they are not the task's")


class TaskRow(Row):
    """One task.

    `labels` maps each gold label, in canonical order, to its English verbaliser for text2text models; tasks
    whose labels are told apart by the verbaliser's first token are scored from that token alone.
    """

    name: str = Field(description="suite/task, e.g. xglue/xnli")
    title: str = Field(description="the name printed in tables")
    kind: Kind
    languages: tuple[str, ...] = Field(description="evaluation languages in the official order")
    labels: dict[str, str] = Field(default={}, description="label -> verbaliser")
    fields: tuple[str, ...] = Field(default=(), description="names of an example's texts, in reading order")
    segments: tuple[tuple[str, ...], ...] = Field(
        default=(), description="heads family: fields joined by a space into one or two segments"
    )
    metrics: tuple[str, ...] = Field(description="main metric first")
    output_length: int | None = Field(default=None, ge=1, description="text2text: tokens of a written answer at most")
    decoding: Decoding = Field(default=Decoding(), description="text2text: how an answer is written")
    no_answer: str | None = Field(
        default=None,
        description="span: the context may hold no answer (SQuAD 2.0); what a text2text model then writes. Of answers "
        "that begin with its first piece none is ever written",
    )
    labels_from: Literal["train"] | None = Field(
        default=None, description="tagging: the labels are those of the training file, the most frequent first"
    )
    head: str | None = Field(
        default=None, description="heads family: tasks of one run that name the same head share it, and their labels"
    )
    by_hand: str | None = Field(
        default=None, description="why its files may be absent; its arms are excluded then, rather than failed"
    )
    submission: Submission | None = Field(default=None, description="the benchmark's form of predictions")
    search: Literal["nearest", "mining"] | None = Field(
        default=None,
        description="retrieval: `nearest`: each query's nearest sentence; `mining`: pairs of two texts by ratio margin",
    )
    chance: float = Field(description="score of the trivial baseline, 0 to 100")
    cluster: str = Field(description="what is resampled as one: row, premise, query, sentence ...")
    parallel: bool | Literal["ids"] = Field(
        default=False,
        description="do test rows correspond across languages? `ids`: in part; those with the same id do, while names "
        "of clusters do not correspond",
    )
    layouts: dict[str, Layout] = Field(default={}, description="release formats; the first is the default")
    sizes: dict[str, int] = Field(default={}, description="published row counts, `split` or `split.lang`")
    revision: str | None = Field(default=None, description="40-hex revision of the hub data set, if pinned")
    hub: str | None = Field(default=None, description="hub data set id, if there is one")
    licence: str
    citation: str = Field(description="paper, as it is cited")
    url: str
    pending: str | None = Field(default=None, description="why this version cannot run the task (excluded cells)")

    @property
    def suite(self) -> str:
        """The part of the name before the slash."""
        return self.name.split("/")[0]

    @property
    def formulation(self) -> str:
        """How the task is put to a model: its kind, or `span_or_none` where the context may hold no answer."""
        return self.kind if self.no_answer is None else f"{self.kind}_or_none"

    @model_validator(mode="after")
    def _consistent(self) -> "TaskRow":
        if self.name.count("/") != 1:
            raise ValueError(f"task name {self.name!r}: expected suite/task")
        if self.pending is None and not self.layouts:
            raise ValueError(f"{self.name}: a task that is not pending needs a layout")
        known = self.labels or self.labels_from
        if self.pending is None and self.kind in ("classification", "ranking", "tagging", "choice") and not known:
            raise ValueError(f"{self.name}: kind {self.kind} needs labels")
        if self.pending is None and self.kind in ("span", "generation") and self.output_length is None:
            raise ValueError(f"{self.name}: kind {self.kind} needs output_length")
        if (self.kind == "retrieval") != (self.search is not None):
            raise ValueError(f"{self.name}: kind retrieval, and no other, needs search")
        if self.kind == "choice" and list(self.labels) != [str(i) for i in range(len(self.labels))]:
            raise ValueError(f"{self.name}: labels of kind choice are places, '0', '1', ..., found {list(self.labels)}")
        if self.no_answer is not None and self.kind != "span":
            raise ValueError(f"{self.name}: no_answer is for kind span, this is {self.kind}")
        if self.labels_from is not None and (self.kind != "tagging" or self.labels):
            raise ValueError(f"{self.name}: labels_from is for kind tagging without labels of its own")
        if len(set(self.labels.values())) != len(self.labels):
            raise ValueError(f"{self.name}: two labels share a verbaliser")
        if unknown := {f for s in self.segments for f in s} - set(self.fields):
            raise ValueError(f"{self.name}: segments name unknown fields {sorted(unknown)}")
        return self


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Every job's own process reads all rows: in Python alone that is a third of a second."""


@cache
def package_tasks() -> dict[str, TaskRow]:
    """Return every task row of the package by name.

    Raises:
        ValueError: if a row is malformed or a name occurs twice (a fault of the package, found by its tests).
    """
    rows: dict[str, TaskRow] = {}
    for path in sorted(Path(__file__).parent.glob("*.yaml")):
        for name, row in yaml.load(path.read_text(encoding="utf-8"), LOADER).items():
            if name in rows:
                raise ValueError(f"{path}: task {name!r} is declared twice")
            rows[name] = TaskRow(name=name, **row)
    return rows


def tasks() -> dict[str, TaskRow]:
    """Return every task row by name: the package's, and those of the config's extensions."""
    added = in_force().rows
    return {**package_tasks(), **added} if added else package_tasks()


def task(name: str) -> TaskRow:
    """Return the row of a task.

    Args:
        name: `suite/task`; a bare name means the suite `intermediate`.

    Raises:
        StiltgridError: if there is none, with the nearest name.
    """
    full = name if "/" in name else f"intermediate/{name}"
    try:
        return tasks()[full]
    except KeyError:
        raise StiltgridError(f"unknown task {full!r}; {nearest(full, tasks())}") from None
