"""Provenance for people: what a number rests on, and the state of a whole grid's chain, as Markdown."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from stiltgrid.commit import described
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Arm, Cell, Run
from stiltgrid.paper.answer import confidence, equation, interval, points
from stiltgrid.paper.findings import Finding
from stiltgrid.paper.numbers import name
from stiltgrid.paper.render import pipe_table
from stiltgrid.provenance.links import Link
from stiltgrid.provenance.records import Records, parquet_record
from stiltgrid.provenance.trace import Trace, Tracer, data_of, runs_of


def _made(read: Callable[[], dict]) -> str:
    """Return the code that a record names; a file that cannot be read is among the broken links already."""
    try:
        return described(read().get("code"))
    except StiltgridError:
        return "cannot be read"


def _broken(links: Sequence[Link]) -> list[str]:
    broken = [link for link in links if link.broken]
    if not broken:
        return [f"All {len(links)} links hold."]
    lines = [f"**{len(broken)} of {len(links)} links are broken:**", ""]
    return lines + [f"- {link.what}: {link.file}: {link.broken}" for link in dict.fromkeys(broken)]


def _run_name(run: Run | Arm) -> str:
    return "/".join([*map(str, run[:-1]), f"seed{run.seed}"])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [*pipe_table([head, *rows], left=range(len(head))), ""]


def chain(records: Records, cells: Sequence[Cell]) -> list[str]:
    """Return the files, recipes and commits that cells rest on: scores, checkpoints, models, rows."""
    grid, paths, cells = records.grid, records.paths, list(cells)
    lines = ["## Scores and predictions", ""]
    rows = []
    for cell in cells:
        about = (_made(lambda c=cell: records.score(c)), _made(lambda c=cell: records.prediction(c)))
        rows.append((f"`{paths.score(cell)}`", about[0], f"`{paths.prediction(cell)}`", about[1]))
    lines += _table(("score", "commit", "predictions", "commit"), rows)
    lines += ["## Checkpoints", ""]
    rows = []
    for run in runs_of(grid, cells):
        try:
            found = records.checkpoint(run)
            hashes = f"`{found.get('recipe_hash', '')[:12]}`", f"`{found.get('digest', '')[:12]}`"
        except StiltgridError:
            hashes = "", ""
        rows.append((f"`{records.manifest(run)}`", *hashes, _made(lambda r=run: records.checkpoint(r))))
    lines += _table(("manifest", "recipe", "digest", "commit"), rows)
    lines += ["## Pretrained models", ""]
    rows = []
    for model in dict.fromkeys(cell.model for cell in cells):
        row = grid.config.models[model]
        try:
            what = records.pretrained(model)["digest"][:12]
        except (StiltgridError, KeyError):
            what = ""
        source = f"{row.source} at {row.revision}" if row.revision else row.source
        rows.append((model, source, f"`{what}`", _made(lambda m=model: records.pretrained(m))))
    lines += _table(("model", "source", "digest", "commit"), rows)
    lines += ["## Rows", ""]
    rows = []
    for file in data_of(grid, cells):
        path = paths.data(file)
        try:
            about = records.sidecar(path)
        except StiltgridError:
            about = {}
        source = ", ".join(f"{f['file']} ({f['sha256'][:12]})" for f in about.get("source_files", ()))
        named = about.get("fingerprint", "")[:12], source, _made(lambda p=path: parquet_record(p))
        rows.append((f"`{path}`", f"`{named[0]}`", *named[1:]))
    return lines + _table(("examples", "fingerprint", "original files (SHA-256)", "commit"), rows)


def _value(tracer: Tracer, found: Finding | None) -> str:
    """Return a comparison's value with its interval, on one line."""
    if found is None:
        return "No comparison of means; it rests on the cells below."
    signed = found.kind != "score"
    between = interval(found.low, found.high) if signed else interval(found.low, found.high).replace("+", "")
    tail = f", {equation(found.shown_p)}" if signed else ""
    level = confidence(tracer.findings)
    return f"`{name(found)}`: {points(found.value, signed=signed)}, {level} interval {between}{tail}."


def trace_page(tracer: Tracer, trace: Trace) -> str:
    """Return what one number rests on, as Markdown."""
    found, records = trace.found, tracer.records
    lines = [f"# {trace.name}", "", _value(tracer, found), "", *_broken(trace.links), ""]
    if found is not None:
        lines += [f"## The sum of {len(trace.contrast.coefficients)} cell means", ""]
        rows = [
            (f"{'+' if c > 0 else '−'}{abs(c)}", str(place), str(len(tracer.scores.get(place, ()))))
            for place, c in trace.contrast.coefficients.items()
        ]
        lines += _table(("weight", "model/intermediate/target/language", "seeds"), rows)
    lines += chain(records, trace.cells)
    made = _made(lambda: records.json(Path(records.paths.tables) / "manifest.json"))
    lines += ["## Analysis", ""]
    rows = [
        (f"`{path}`", _made(lambda p=path: parquet_record(p)))
        for path in (records.paths.scores, records.paths.contrasts)
    ]
    lines += _table(("file", "commit"), [*rows, (f"`{records.paths.tables}/`", made)])
    return "\n".join(lines)


def grid_page(tracer: Tracer, links: Sequence[Link], cells: Sequence[Cell]) -> str:
    """Return the state of a whole grid's chain, and what its headline rests on, as Markdown.

    Args:
        tracer: of the grid.
        links: every link of the grid.
        cells: every cell that has a score.
    """
    records, grid = tracer.records, tracer.grid
    files = {link.file for link in links}
    lines = [f"# Provenance of {grid.config.title or grid.config.grid}", ""]
    lines += [
        f"{len(cells)} cells, {len(tracer.findings.rows)} comparisons, {len(files)} files.",
        "",
        *_broken(links),
        "",
    ]
    commits: dict[str, Counter[str]] = defaultdict(Counter)
    for cell in cells:
        commits[_made(lambda c=cell: records.score(c))]["scores"] += 1
        commits[_made(lambda c=cell: records.prediction(c))]["predictions"] += 1
    for run in runs_of(grid, list(cells)):
        commits[_made(lambda r=run: records.checkpoint(r))]["checkpoints"] += 1
    for file in data_of(grid, list(cells)):
        commits[_made(lambda f=file: parquet_record(records.paths.data(f)))]["data files"] += 1
    kinds = ("data files", "checkpoints", "predictions", "scores")
    lines += ["## Code", ""]
    rows = [(commit, *(str(counts[kind]) for kind in kinds)) for commit, counts in sorted(commits.items())]
    lines += _table(("commit", *kinds), rows)
    lines += ["## Recipes", ""]
    rows = []
    for run in runs_of(grid, list(cells)):
        try:
            rows.append((_run_name(run), f"`{records.checkpoint(run).get('recipe_hash', '')}`"))
        except StiltgridError:
            rows.append((_run_name(run), "cannot be read"))
    lines += _table(("run", "recipe hash"), rows)
    lines += ["`stiltgrid provenance NAME` prints all of this for one number of a table or of numbers.tex."]
    return "\n".join(lines) + "\n"


def whole_grid(tracer: Tracer, *, deep: bool = False) -> tuple[list[Link], list[Cell]]:
    """Return every link of a grid, and the cells that have a score."""
    cells = [cell for cell in tracer.grid.cells() if cell in tracer.records.scores]
    links: list[Link] = []
    for path in sorted(Path(tracer.records.paths.tables).glob("*")):
        if path.name in ("numbers.tex", "main.csv") or (path.name.startswith("languages_") and path.suffix == ".csv"):
            links += tracer.table_links(path.name)
    for found in tracer.findings.rows:
        question = tracer.question(found)
        if found.estimated and question is not None:
            links.append(tracer.value_link(found, question.build().contrast))
    return links + tracer.cells_links(cells, deep), cells
