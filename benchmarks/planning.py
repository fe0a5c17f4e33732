"""Planning time: `snakemake -n` on the paper's config and on the same grid with more seeds.

Everything is written to a temporary folder; the checkout is only read. For each size: CPU and wall of a dry run
without output and with the full list of jobs. With --profile, where the time goes (cProfile, which about doubles it).
With --complete, also a dry run of a finished grid: every file is faked (empty), `snakemake --touch` writes its records
(without its pauses), and nothing is left to do.
"""

import pstats
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure import CHECKOUT, Seconds, environment, machine, medians, parser, table, timed_command

EXAMPLES = """  python benchmarks/planning.py
  python benchmarks/planning.py --cells 500 2000 10000 --profile 2000
  python benchmarks/planning.py --cells --complete
"""
TOUCH = """import sys
from snakemake.cli import main
from snakemake.executors import touch

touch.Executor.SLEEPING_TIME = 0  # it waits for a tenth of a second before each job
main(sys.argv[1:])
"""
# parts of a dry run that do not contain each other: file of snakemake, function
PARTS = {
    "import of Snakemake": ("snakemake/cli.py", "<module>"),
    "Snakefile: parse, config, grid, rules": ("snakemake/workflow.py", "include"),
    "look-up of producers": ("snakemake/dag.py", "collect_potential_dependencies"),
    "DAG in all (look-up included)": ("snakemake/workflow.py", "_build_dag"),
    "input functions (part of the DAG)": ("snakemake/rules.py", "expand_input"),
    "params, recipes included": ("snakemake/rules.py", "expand_params"),
    "reasons to rerun (part of the DAG)": ("snakemake/dag.py", "update_needrun"),
    "printing jobs": ("snakemake/executors/dryrun.py", "printjob"),
    "this package's own code, self time": ("", ""),
}


def config_of(cells: int | None) -> tuple[dict[str, Any], int, int]:
    """Return the paper's config with as many seeds as give about `cells` cells (None: as it is), its cells and runs."""
    import yaml

    from stiltgrid.config import validate
    from stiltgrid.grid import Grid

    raw = yaml.safe_load((CHECKOUT / "config.yaml").read_text(encoding="utf-8"))
    if cells is not None:
        raw["baseline_seeds"] = raw["seeds"] = 1
        one = list(Grid(validate(raw)).cells())
        baseline = sum(cell.intermediate == "none" for cell in one)
        raw["seeds"] = max(1, cells // len(one))
        raw["baseline_seeds"] = raw["seeds"] + max(0, round((cells - raw["seeds"] * len(one)) / baseline))
    grid = Grid(validate(raw))
    return raw, len(list(grid.cells())), len(grid.runs)


def fake(folder: Path, raw: dict[str, Any]) -> None:
    """Make every file of a grid, empty, in the order in which a run would."""
    from stiltgrid.config import validate
    from stiltgrid.grid import Grid
    from stiltgrid.score_languages import statistics_file
    from stiltgrid.wiring.jobs import sidecars
    from stiltgrid.wiring.results import Results

    grid = Grid(validate(raw))
    results, paths = Results(grid), grid.paths
    pairs = {(None, run.target) for run in grid.runs} | {(arm.intermediate, None) for arm in grid.arms}
    data = {f for pair in pairs for splits in grid.training_files(*pair).values() for fs in splits.values() for f in fs}
    data |= {grid.evaluation(target, language) for target in grid.config.targets for language in grid.languages(target)}
    stages = [
        [paths.data(f) for f in data] + sidecars(grid, list(data)) + [paths.pretrained(m) for m in grid.config.models],
        [paths.arm(arm) for arm in grid.arms],
        [paths.checkpoint(run) for run in grid.runs],
        [paths.prediction(cell) for cell in grid.cells()],
        [paths.score(cell) for cell in grid.cells()],
        [str(statistics_file(paths.score(cell))) for cell in grid.cells()],
        [paths.scores, paths.runs, paths.training, *results.bootstraps()],
        [paths.contrasts, paths.headline],
        [*results.table_files(), *results.figure_files(), *results.report_files()],
    ]
    for name in (name for stage in stages for name in stage):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def record(folder: Path, snakefile: Path) -> None:
    """Write Snakemake's records of a faked grid, as if each job had run just now."""
    command = [sys.executable, "-c", TOUCH, "-s", str(snakefile), "--configfile", "grid.yaml"]
    command += ["--touch", "--forceall", "--cores", "1", "--quiet", "all"]
    timed_command(command, folder, environment(), folder / "log")


def shares(profile: Path) -> list[list[str]]:
    """Return rows of a table: part, seconds, share of the whole; this package's by self time."""
    stats: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = pstats.Stats(str(profile)).stats  # type: ignore[attr-defined]
    whole = sum(own for _, _, own, _, _ in stats.values())
    rows = []
    for part, (file, function) in PARTS.items():
        if file:
            called = [row[3] for (f, _, name), row in stats.items() if f.endswith(file) and name == function]
            spent = max(called, default=0.0)
        else:
            ours = (f"{CHECKOUT}/stiltgrid/", f"{CHECKOUT}/Snakefile", f"{CHECKOUT}/rules/")
            spent = sum(own for (f, _, _), (_, _, own, _, _) in stats.items() if f.startswith(ours))
        rows.append([part, f"{spent:.2f}", f"{100 * spent / whole:.0f} %"])
    return [*rows, ["whole, under the profiler", f"{whole:.2f}", "100 %"]]


def main() -> None:
    """Run every size and print the tables."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--cells", type=int, nargs="*", default=[500, 2000], help="grids' sizes (default 500 2000)")
    options.add_argument("--repeats", type=int, default=3, help="runs of the paper's config; others once (default 3)")
    options.add_argument("--profile", type=int, metavar="CELLS", help="profile a dry run of this size; 0: the paper's")
    options.add_argument("--complete", action="store_true", help="the paper's config with nothing left to do too")
    args = options.parse_args()
    import yaml

    rows = []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)

        def snakemake(raw: dict[str, Any], *flags: str, profile: Path | None = None) -> Seconds:
            (folder / "grid.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
            traced = ["-m", "cProfile", "-o", str(profile)] if profile else []
            command = [sys.executable, *traced, "-m", "snakemake", "-s", str(CHECKOUT / "Snakefile")]
            command += ["--configfile", "grid.yaml", *flags]
            return timed_command(command, folder, environment(), folder / "log")[0]

        for cells in (None, *args.cells):
            raw, number, runs = config_of(cells)
            repeats = args.repeats if cells is None else 1
            quiet = medians([snakemake(raw, "-n", "--quiet", "all") for _ in range(repeats)])
            loud = medians([snakemake(raw, "-n") for _ in range(repeats)])
            name = "config.yaml" if cells is None else f"{raw['seeds']} and {raw['baseline_seeds']} seeds"
            cost = [f"{s:.1f}" for s in (*quiet, *loud)]
            rows.append([name, number, runs, *cost, f"{1000 * quiet.cpu / number:.1f}"])
            print(f"{name}: {number} cells, {quiet.cpu:.1f} and {loud.cpu:.1f} CPU s", flush=True)
        profiled = None
        if args.profile is not None:
            raw, traced, _ = config_of(args.profile or None)
            snakemake(raw, "-n", profile=folder / "profile")
            profiled = shares(folder / "profile")
        if args.complete:
            raw, number, runs = config_of(None)
            fake(folder, raw)
            record(folder, CHECKOUT / "Snakefile")
            quiet, loud = snakemake(raw, "-n", "--quiet", "all"), snakemake(raw, "-n")
            if "Nothing to be done" not in (folder / "log").read_text():
                raise SystemExit("the faked grid is not complete:\n" + (folder / "log").read_text()[-2000:])
            cost = [f"{s:.1f}" for s in (*quiet, *loud)]
            rows.append(["config.yaml, all done", number, runs, *cost, f"{1000 * quiet.cpu / number:.1f}"])
    header = ["grid", "cells", "runs", "quiet: CPU s", "wall s", "full list: CPU s", "wall s", "quiet, ms a cell"]
    print("\n" + table(header, rows))
    if profiled is not None:
        print(f"\nWhere a dry run of {traced} cells spends its time (parts overlap where it says so):\n")
        print(table(["part", "s", "share"], profiled))
    print(f"\n{machine('snakemake', 'stiltgrid')}")


if __name__ == "__main__":
    main()
