"""What a grid's size costs Snakemake: planning, a job's own process, one missing cell, submitting many jobs.

For each size the paper's config with more seeds. Everything is written to a temporary folder. A finished grid is faked
as in planning.py (empty files, `snakemake --touch` writes the records); the scripts are a few lines that write their
outputs empty, so that what is measured is Snakemake and the rules, not scoring. CPU seconds include all children.

- plan: `snakemake -n --quiet all`, nothing there yet; seconds and peak memory.
- own process: one job asked for, as each cluster job begins (twice: the job and its step).
- nothing to do, one missing: the finished grid, then without one cell's score: the dry run, and the run that makes it.
- submitted: score jobs that do nothing, all at once missing; CPU seconds and wall time of one.
"""

import resource
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import CHECKOUT, Seconds, environment, machine, most_held, parser, table, timed_command
from planning import config_of, fake, record

EXAMPLES = """  python benchmarks/grid_scale.py
  python benchmarks/grid_scale.py --cells 2000 10000 50000 --jobs 1000
  python benchmarks/grid_scale.py --cells 50000 --plan-only"""
COPIED = ("rules", "stiltgrid", "envs", "profiles", "workflow")
STAND_IN = """
import sys
from pathlib import Path
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
if sys.argv[0].endswith("score.py"):
    run = "/".join([given["--model"], given["--intermediate"], given["--target"], "seed" + given["--seed"]])
    for path in sorted(Path("results").glob(f"*/predictions/{run}/*.parquet")):
        out = Path(str(path.parent).replace("/predictions/", "/scores/"))
        out.mkdir(parents=True, exist_ok=True)
        for end in (".json", ".stats.parquet"):
            (out / (path.stem + end)).touch()
"""


class Place:
    """A working folder with a copy of the checkout whose scripts do nothing.

    Args:
        folder: an empty folder.
        raw: the config.
    """

    def __init__(self, folder: Path, raw: dict[str, Any]) -> None:
        import yaml

        self.folder, self.raw = folder, raw
        for name in COPIED:
            shutil.copytree(CHECKOUT / name, folder / "checkout" / name)
        shutil.copy2(CHECKOUT / "Snakefile", folder / "checkout" / "Snakefile")
        for script in (folder / "checkout" / "workflow" / "scripts").glob("*.py"):
            script.write_text(STAND_IN, encoding="utf-8")
        (folder / "grid.yaml").write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")

    def snakemake(self, *arguments: str) -> tuple[Seconds, str]:
        """Run Snakemake; return its time and what it printed."""
        command = [sys.executable, "-m", "snakemake", "-s", "checkout/Snakefile", "--configfile", "grid.yaml"]
        spent, _ = timed_command([*command, *arguments], self.folder, environment(), self.folder / "log")
        return spent, (self.folder / "log").read_text(encoding="utf-8")


def measure(folder: Path, cells: int | None, jobs: int, plan_only: bool) -> list[str]:
    """Return a row of the table: a grid's size and its costs."""
    from stiltgrid.grid import Cell, Grid
    from stiltgrid.schema import Config

    raw, number, runs = config_of(cells)
    place, grid = Place(folder, raw), Grid(Config.model_validate(raw))
    plan, _ = place.snakemake("-n", "--quiet", "all")
    # the largest child so far: sizes are measured from small to large
    memory = most_held(by=resource.RUSAGE_CHILDREN) / 1e6
    model = next(iter(grid.config.models))
    own, _ = place.snakemake("-n", "--quiet", "all", "--", grid.paths.pretrained(model))
    row = [f"{number:,}", f"{runs:,}", f"{plan.cpu:.1f}", f"{1000 * plan.cpu / number:.2f}", f"{memory:.0f}"]
    row.append(f"{own.cpu:.2f}")
    print(f"{number} cells: plan {plan.cpu:.1f} CPU s, {memory:.0f} MB; own process {own.cpu:.2f} CPU s", flush=True)
    if plan_only:
        return [*row, "", "", "", ""]
    fake(folder, raw)
    record(folder, folder / "checkout" / "Snakefile")
    nothing, said = place.snakemake("-n", "--quiet", "rules")
    if "Nothing to be done" not in said:
        raise SystemExit(f"the faked grid is not complete:\n{said[-2000:]}")
    cell = next(grid.cells())
    target = grid.paths.score(cell)
    (folder / target).unlink()
    one, said = place.snakemake("-n", "--quiet", "host", "--until", f"score_{cell.target}")
    if f"score_{cell.target}" not in said:
        raise SystemExit(f"one missing score is not one job:\n{said[-2000:]}")
    made, _ = place.snakemake("--cores", "1", "--quiet", "all", "--", target)
    wanted = grid.runs[:jobs]
    cells_of = {run: Cell(*run[:3], grid.languages(run.target)[0], run.seed) for run in wanted}
    targets = [grid.paths.score(each) for each in cells_of.values()]
    for path in targets:
        shutil.rmtree((folder / path).parent)
    alone, _ = place.snakemake("-n", "--quiet", "all", "--", *targets)
    many, _ = place.snakemake("--cores", "2", "--quiet", "all", "--", *targets)
    each = 1000 * (many.cpu - alone.cpu) / len(wanted)
    print(
        f"  nothing to do {nothing.cpu:.1f}, one missing {one.cpu:.1f}, made {made.cpu:.1f} CPU s; {len(wanted)} jobs: "
        f"{each:.0f} CPU ms each, {len(wanted) / many.wall:.1f} a second",
        flush=True,
    )
    return [*row, f"{nothing.cpu:.1f}", f"{one.cpu:.1f}", f"{made.cpu:.1f}", f"{each:.0f}"]


def main() -> None:
    """Measure every size and print the table."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--cells", type=int, nargs="*", default=[2000, 10000], help="sizes (default 2000 10000)")
    options.add_argument("--jobs", type=int, default=200, help="score jobs that are submitted (default 200)")
    options.add_argument("--plan-only", action="store_true", help="planning and a job's own process alone")
    args = options.parse_args()
    rows = []
    for cells in sorted(args.cells):
        with tempfile.TemporaryDirectory() as made:
            rows.append(measure(Path(made), cells, args.jobs, args.plan_only))
    header = ["cells", "runs", "plan: CPU s", "ms a cell", "MB", "own process: CPU s"]
    header += ["nothing to do: CPU s", "one missing, -n: CPU s", "made: CPU s", "a job: CPU ms"]
    print("\n" + table(header, rows))
    print(f"\n{machine('snakemake', 'stiltgrid')}")


if __name__ == "__main__":
    main()
