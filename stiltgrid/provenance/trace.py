r"""From the name of a printed number to the contrast that it is, the cells that it rests on, and every link between.

A number's name is one of:

- a macro of numbers.tex: `stiltgridDifference`, with or without its backslash;
- a comparison, as `\stiltgridNumber` names it: `gain/mt5-xxl/mnli/xnli/zero-shot`, `score/mt5-base/none/xnli/de`,
  `interaction/mean/mean/zero-shot`; `mean` stands for what is averaged over;
- a cell of a table: `main/MODEL/INTERMEDIATE/TARGET` and `languages_TARGET/MODEL/INTERMEDIATE/LANGUAGE`, with `avg` or
  `avg-zero-shot` in the last place for the columns of averages; `answer_table/ROW/COLUMN`, with `headline`, a target or
  an intermediate, and a model or `difference`; of any other table `TABLE/MODEL/INTERMEDIATE/TARGET`, which rests on all
  cells of these (`seeds/mt5-base/mnli/xnli`), and so without the last, or the last two.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fractions import Fraction
from pathlib import Path

from stiltgrid.analysis.contrast import Contrast, Place
from stiltgrid.analysis.evidence import Evidence
from stiltgrid.analysis.results import Question, questions
from stiltgrid.artifacts import file_sha256
from stiltgrid.errors import StiltgridError, nearest
from stiltgrid.grid import Arm, Cell, DataFile, Grid, Run
from stiltgrid.paper.built import built_tables
from stiltgrid.paper.findings import ZERO_SHOT, Finding, Findings, read_findings
from stiltgrid.paper.numbers import headline_macros, name, numbers_tex
from stiltgrid.paper.render import RENDERERS
from stiltgrid.provenance.links import (
    TOLERANCE,
    Link,
    cell_links,
    data_links,
    guarded,
    pretrained_links,
    run_links,
    same,
)
from stiltgrid.provenance.records import Records

AVERAGES = {"avg": "all", "avg-zero-shot": ZERO_SHOT}
PREFIX = "stiltgrid"


@dataclass
class Trace:
    """What a number rests on.

    Attributes:
        name: of the number, as asked.
        found: the comparison that it is; None for a number that is no comparison, such as a standard deviation.
        contrast: coefficients of cell means.
        cells: the cells that it rests on, every seed.
        links: every link, each file's once.
    """

    name: str
    found: Finding | None
    contrast: Contrast = field(default_factory=Contrast)
    cells: list[Cell] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)

    @property
    def broken(self) -> list[Link]:
        """The links that do not hold."""
        return [link for link in self.links if link.broken]


class Tracer:
    """Resolves and traces numbers of a finished grid.

    Args:
        records: of the grid.
    """

    def __init__(self, records: Records) -> None:
        self.records, self.grid = records, records.grid
        self.findings: Findings = read_findings(self.grid, Path(records.paths.contrasts).parent)
        self.declaration = self.findings.declaration
        self.scores = self._scores()
        present = self.declaration.present(Evidence(self.scores, {}))  # type: ignore[arg-type]
        asked = questions(self.declaration, present)
        self.questions: dict[tuple[str, ...], Question] = {}
        for question in asked:
            self.questions.setdefault(_key(question), question)
        self.by_name = {name(found): found for found in self.findings.rows}

    def _scores(self) -> dict[Place, list[float]]:
        """Return the scores by seed of every place whose seeds are all done: means of the declared metrics."""
        by_place: dict[Place, list[float]] = {}
        for cell, values in self.records.scores.items():
            chosen = self.declaration.metrics[cell.target]
            value = float(sum(Fraction(values[metric][0]) for metric in chosen) / len(chosen))
            by_place.setdefault(Place(*cell[:4]), []).append(value)
        return {p: v for p, v in by_place.items() if len(v) == len(self.grid.seeds(p.model, p.intermediate))}

    def resolve(self, asked: str) -> tuple[Finding, str]:
        """Return the comparison that a number is, and the table file that prints it.

        Raises:
            StiltgridError: if there is no number of that name, with the nearest.
        """
        plain = asked.strip().removeprefix("\\")
        if plain in self.by_name:
            return self.by_name[plain], "numbers.tex"
        macros = {PREFIX + key: key for key, _ in headline_macros(self.findings)}
        if plain in macros:
            return self._macro(macros[plain], asked), "numbers.tex"
        table, *parts = plain.split("/")
        if table == "answer_table" and len(parts) == 2:
            return self._answer_cell(*parts), "answer_table.csv"
        if (table == "main" or table.startswith("languages_")) and len(parts) == 3:
            return self._table_cell(table, *parts), f"{table}.csv"
        close = get_close_matches(plain, [*macros, *self.by_name], n=1, cutoff=0.5)
        raise StiltgridError(
            f"{asked!r}: no number of grid {self.grid.config.grid}"
            + (f", did you mean {close[0]!r}?" if close else "")
            + "; name a macro of numbers.tex, a comparison (gain/MODEL/INTERMEDIATE/TARGET/LANGUAGE), or a table's "
            "cell (main/MODEL/INTERMEDIATE/TARGET, languages_TARGET/MODEL/INTERMEDIATE/LANGUAGE)"
        )

    def _answer_cell(self, row: str, column: str) -> Finding:
        config = self.grid.config
        target, arm = (row, "") if row in config.targets else ("", row if row in config.intermediates else "")
        rows, columns = ["headline", *config.targets, *config.intermediates], ["difference", *config.models]
        for what, given, allowed in (("row", row, rows), ("column", column, columns)):
            if given not in allowed:
                raise StiltgridError(f"answer_table/{row}/{column}: no {what} {given!r}; {nearest(given, allowed)}")
        difference = column == "difference"
        found = self.findings.find("interaction" if difference else "gain", "" if difference else column, arm, target)
        if found is None:
            raise StiltgridError(f"answer_table/{row}/{column}: this grid asks for no such comparison")
        return found

    def _cells_of(self, asked: str) -> tuple[list[Cell], str] | None:
        """Return the cells that a number of a table without comparisons is of, and the file; None: no such table."""
        table, *parts = asked.strip().split("/")
        if table == "main" or table == "answer_table" or table.startswith("languages_") or not 1 <= len(parts) <= 3:
            return None
        if not (Path(self.records.paths.tables) / f"{table}.csv").exists():
            return None
        cells = [c for c in self.grid.cells() if c[: len(parts)] == tuple(parts) and c in self.records.scores]
        if not cells:
            raise StiltgridError(f"{asked!r}: no cell that is done has this model, intermediate and target")
        return cells, f"{table}.csv"

    def _macro(self, key: str, asked: str) -> Finding:
        d = self.declaration
        models = {"SmallGain": d.small, "LargeGain": d.large}
        stem = re.sub(r"(Interval|P)$", "", key)
        model = models.get(stem)
        found = self.findings.find("gain", model, "", "") if model else self.findings.find("interaction", "", "", "")
        if found is None:
            raise StiltgridError(f"{asked!r}: this grid has no headline, so the macro rests on nothing")
        return found

    def _table_cell(self, table: str, model: str, arm: str, last: str) -> Finding:
        config = self.grid.config
        for what, given, allowed in (("model", model, config.models), ("intermediate", arm, config.intermediates)):
            if given not in allowed:
                raise StiltgridError(f"{table}/{model}/{arm}/{last}: no {what} {given!r}; {nearest(given, allowed)}")
        kind = "score" if arm == self.declaration.baseline or self.declaration.baseline is None else "gain"
        if table == "main":
            target, language = ("", AVERAGES[last]) if last in AVERAGES else (last, "all")
        else:
            kind, target, language = "score", table.removeprefix("languages_"), AVERAGES.get(last, last)
        found = self.findings.find(kind, model, arm, target, language)
        if found is None:
            known = [*AVERAGES, *(config.targets if table == "main" else self.grid.languages(target))]
            raise StiltgridError(f"{table}/{model}/{arm}/{last}: no column {last!r}; {nearest(last, known)}")
        return found

    def trace(self, asked: str, *, deep: bool = False) -> Trace:
        """Return what a number rests on, every link checked.

        Args:
            asked: the number's name.
            deep: also read weights and rows.

        Raises:
            StiltgridError: if there is no such number, or it has no value.
        """
        if (whole := self._cells_of(asked)) is not None:
            cells, file = whole
            return Trace(asked, None, cells=cells, links=[*self.table_links(file), *self.cells_links(cells, deep)])
        found, file = self.resolve(asked)
        if not found.estimated:
            raise StiltgridError(f"{asked!r}: has no value: {found.reason}")
        question = self.question(found)
        if question is None:
            raise StiltgridError(f"{asked!r}: the config does not ask this any more; estimate the contrasts again")
        contrast = question.build().contrast
        result = Trace(asked, found, contrast)
        seeds = self.grid.seeds
        result.cells = [Cell(*p, seed) for p in contrast.coefficients for seed in seeds(p.model, p.intermediate)]
        result.links = [*self.table_links(file), self.value_link(found, contrast)]
        result.links += self.cells_links(result.cells, deep)
        return result

    def question(self, found: Finding) -> Question | None:
        """Return the question that a comparison answers; None if the config does not ask it any more."""
        return self.questions.get(_key(found))

    def value_link(self, found: Finding, contrast: Contrast) -> Link:
        """Return the link of a comparison's value to the scores: the same sum of the same means."""
        what, path = f"value of {name(found)}", self.records.paths.contrasts
        if lacking := [p for p in contrast.coefficients if p not in self.scores]:
            return Link(what, path, f"rests on {lacking[0]}, of which the tidy table has not every seed")
        means = {p: sum(map(Fraction, self.scores[p])) / len(self.scores[p]) for p in contrast.coefficients}
        total = float(contrast.constant + sum(c * means[p] for p, c in contrast.coefficients.items()))
        close = abs(total - found.value) <= TOLERANCE
        return Link(what, path, "" if close else f"is {found.value}, the scores give {total}")

    def table_links(self, file: str) -> list[Link]:
        """Return the links of a printed file: it is as it was made, and what scores and contrasts give."""
        path = Path(self.records.paths.tables) / file

        def links() -> Iterator[Link]:
            if not path.exists():
                raise StiltgridError("no such file; `snakemake tables` makes it")
            made = self.records.json(path.parent / "manifest.json")
            yield same("printed file", str(path), file_sha256(path), made["files"].get(file), "its folder's manifest")
            for source, sha in made["inputs"].items():
                yield same("what it was made from", str(path.parent), sha, file_sha256(source), source)
            equal = path.read_text(encoding="utf-8") == self._rendered(file)
            yield Link("rendering of the analysis", str(path), "" if equal else "is not what the analysis gives")

        return guarded("printed file", str(path), links)

    def _rendered(self, file: str) -> str:
        if file == "numbers.tex":
            return numbers_tex(self.findings)
        stem, suffix = Path(file).stem, Path(file).suffix
        for table in built_tables(self.grid, self.records.frame, self.findings):
            if table.name == stem:
                return RENDERERS[suffix](table)
        raise StiltgridError(f"{file}: no table of this grid")

    def cells_links(self, cells: list[Cell], deep: bool = False) -> list[Link]:
        """Return the links of cells, and of every run, model and data file that they rest on, each once."""
        records, found = self.records, []
        for cell in cells:
            found += cell_links(records, cell)
        for run in runs_of(self.grid, cells):
            found += run_links(records, run, deep)
        for model in dict.fromkeys(cell.model for cell in cells):
            found += pretrained_links(records, model, deep)
        for file in data_of(self.grid, cells):
            found += data_links(records, records.paths.data(file), deep)
        return found


def _key(found: Finding | Question) -> tuple[str, ...]:
    return found.kind, found.model, found.intermediate, found.target, found.language


def runs_of(grid: Grid, cells: list[Cell]) -> list[Run | Arm]:
    """Return the checkpoints that cells rest on: target runs, then what these start from."""
    runs: Mapping[Run, None] = dict.fromkeys(cell.run for cell in cells)
    arms = dict.fromkeys(Arm(r.model, r.intermediate, r.seed) for r in runs if grid.arm_tasks[r.intermediate])
    return [*(run for run in runs if not grid.retrieves(run.target)), *arms]


def data_of(grid: Grid, cells: list[Cell]) -> list[DataFile]:
    """Return the example files that cells rest on: those tested on, those trained on."""
    files: dict[DataFile, None] = {}
    for cell in cells:
        files[grid.evaluation(cell.target, cell.language)] = None
    for run in runs_of(grid, cells):
        target = run.target if isinstance(run, Run) else None
        for splits in grid.training_files(run.intermediate, target).values():
            files |= dict.fromkeys(file for own in splits.values() for file in own)
    return list(files)
