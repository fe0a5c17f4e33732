"""`stiltgrid`: what is asked of a grid outside of Snakemake.

check validates a config; gc removes predictions that nothing refers to, and weights that `storage` does not keep;
memory prints what a model's training takes on each device; safetensors writes a model folder's old weights anew;
score-submission scores a folder of predictions in a leaderboard's layout (docs/submission.md); provenance prints what a
printed number rests on (docs/report.md); reference prints the page of all keys.
"""

import sys
from collections.abc import Sequence

from stiltgrid.scripting import parser, run_main

EXAMPLES = """
stiltgrid check config.yaml
stiltgrid gc config/demo.yaml             # list unreferenced entries of the prediction store
stiltgrid gc config/demo.yaml --delete    # and remove them
stiltgrid memory config.yaml --model mt5-xxl
stiltgrid safetensors models/mt5-xxl      # beside its pytorch_model.bin
stiltgrid score-submission results/xglue/submission/mt5-base/none/seed1 --gold data/xglue_full_dataset
stiltgrid score-submission theirs --gold data/xglue_full_dataset --tasks NER,POS --split dev --json scores.json
stiltgrid score-submission theirs --suite xtreme --gold data/original --layout original
stiltgrid provenance --config config/demo.yaml gain/tiny-base/mnli/xnli/zero-shot
stiltgrid reference > docs/config.md
"""


def check(config: str) -> None:
    """Validate a config and say what it spans."""
    from stiltgrid.config import load
    from stiltgrid.grid import Grid

    grid = Grid(load(config))
    cells, everything = sum(1 for _ in grid.cells()), sum(1 for _ in grid.cells(with_excluded=True))
    print(
        f"{config}: valid. grid {grid.config.grid}: {len(grid.config.models)} models x "
        f"{len(grid.config.intermediates)} intermediates x {len(grid.config.targets)} targets; "
        f"{everything} cells, {everything - cells} excluded; {len(grid.arms)} phase ii runs, "
        f"{len(grid.fine_tuned)} phase iii runs"
    )
    for reason in sorted(set(grid.excluded.values())):
        print(f"  excluded: {reason}")


def gc(config: str, delete: bool) -> None:
    """List or remove unreferenced store entries, and weights that the models' `storage` does not keep."""
    from stiltgrid.config import load
    from stiltgrid.garbage import sweep
    from stiltgrid.grid import Grid
    from stiltgrid.storage import Storage

    grid = Grid(load(config))
    found = sweep(grid, delete=delete)
    for key, size in found:
        print(f"{key}  {size} bytes")
    total = sum(size for _, size in found) / 1e6
    verb = "removed" if delete else "unreferenced (remove them with --delete)"
    print(f"{grid.paths.store}: {len(found)} entries, {total:.1f} MB {verb}")
    weights = Storage(grid).sweep(delete=delete)
    for folder, size in weights:
        print(f"{folder}/weights  {size} bytes")
    verb = "removed" if delete else "not kept by `storage` (remove them with --delete)"
    total = sum(removed.bytes for removed in weights) / 1e6
    print(f"{grid.paths.root}/checkpoints: weights of {len(weights)} runs, {total:.1f} MB {verb}")


def memory(config: str, model: str) -> None:
    """Print what a model's training takes on the config's machines and on others."""
    from rich.console import Console

    from stiltgrid.config import load
    from stiltgrid.errors import StiltgridError, nearest
    from stiltgrid.grid import Grid
    from stiltgrid.memory_view import render_memory

    grid = Grid(load(config))
    if model not in grid.config.models:
        raise StiltgridError(f"--model {model!r}: {nearest(model, grid.config.models)}")
    render_memory(grid, model, Console())


def score_submission(
    folder: str, gold: str, tasks: str | None, split: str, suite: str, layout: str | None, out: str | None
) -> bool:
    """Print the scores of a folder of predictions; return whether nothing was refused."""
    from rich.console import Console

    from stiltgrid.artifacts import write_json
    from stiltgrid.progress import reporter
    from stiltgrid.submission import scoring
    from stiltgrid.submission.view import show

    named = None if tasks is None else [name for name in tasks.split(",") if name.strip()]
    progress = reporter(f"{suite} {split}", "files")
    report = scoring.score_submission(
        folder, gold, tasks=named, split=split, suite=suite, layout=layout, progress=progress
    )
    if out is not None:
        write_json(out, scoring.as_json(report))
    show(report, Console())
    return not report.having("refused")


def provenance(config: str, name: str | None, deep: bool) -> bool:
    """Print what a number, or the whole grid, rests on; return whether every link holds."""
    from stiltgrid.config import load
    from stiltgrid.grid import Grid
    from stiltgrid.provenance.records import Records
    from stiltgrid.provenance.trace import Tracer
    from stiltgrid.provenance.view import grid_page, trace_page, whole_grid

    tracer = Tracer(Records(Grid(load(config))))
    if name is not None:
        trace = tracer.trace(name, deep=deep)
        print(trace_page(tracer, trace))
        return not trace.broken
    links, cells = whole_grid(tracer, deep=deep)
    print(grid_page(tracer, links, cells), end="")
    return not any(link.broken for link in links)


def main(argv: Sequence[str] | None = None) -> None:
    """Dispatch a subcommand."""
    options = parser(__doc__, EXAMPLES)
    commands = options.add_subparsers(dest="command", required=True)
    one = commands.add_parser("check", help="validate a config")
    one.add_argument("config")
    two = commands.add_parser("gc", help="remove predictions that nothing refers to")
    two.add_argument("config")
    two.add_argument("--delete", action="store_true", help="remove what is listed")
    memory_parser = commands.add_parser("memory", help="device and host memory of a model's training")
    memory_parser.add_argument("config")
    memory_parser.add_argument("--model", required=True, help="a name of `models`")
    rewrite_parser = commands.add_parser("safetensors", help="write pytorch_model.bin anew, to be read in parts")
    rewrite_parser.add_argument("folder", metavar="DIR", help="a model's folder")
    three = commands.add_parser(
        "score-submission",
        help="score predictions in a leaderboard's layout",
        description="Score a folder of predictions, anybody's, in a leaderboard's layout (docs/submission.md). Exit "
        "status 1 if a file was refused; missing files are listed, and averages that need them are withheld.",
    )
    three.add_argument("folder", metavar="DIR", help="the predictions, e.g. with NER/en.prediction")
    three.add_argument("--gold", metavar="DIR", required=True, help="the released archive: folder, or unpacked file")
    three.add_argument("--tasks", help="some tasks, e.g. NER,POS (default: all of the suite)")
    three.add_argument("--split", choices=("test", "dev"), default="test", help="default: test")
    three.add_argument("--suite", default="xglue", help="the benchmark (default: xglue)")
    three.add_argument(
        "--layout",
        help="the gold's release format, for the tasks that have it, e.g. original (default: each task's first)",
    )
    three.add_argument("--json", metavar="FILE", help="also write the scores, with all their digits, to this file")
    four = commands.add_parser(
        "provenance",
        help="what a printed number rests on",
        description="Print the files, recipes and commits that a printed number rests on, every link checked "
        "(docs/report.md); without NAME, check the whole grid. Exit status 1 if a link is broken.",
    )
    four.add_argument("name", nargs="?", help="macro, comparison or table cell, e.g. main/mt5-base/mnli/xnli")
    four.add_argument("--config", default="config.yaml", help="config file (default: config.yaml)")
    four.add_argument("--deep", action="store_true", help="also read weights and rows, and hash them again")
    commands.add_parser("reference", help="print docs/config.md")
    args = options.parse_args(argv)
    if args.command == "check":
        check(args.config)
    elif args.command == "gc":
        gc(args.config, args.delete)
    elif args.command == "memory":
        memory(args.config, args.model)
    elif args.command == "safetensors":
        from stiltgrid.rewrite import to_safetensors

        for path in to_safetensors(args.folder):
            print(path)
    elif args.command == "score-submission":
        if not score_submission(args.folder, args.gold, args.tasks, args.split, args.suite, args.layout, args.json):
            sys.exit(1)
    elif args.command == "provenance":
        if not provenance(args.config, args.name, args.deep):
            sys.exit(1)
    else:
        from stiltgrid.reference import config_page

        print(config_page(), end="")


def entry() -> None:
    """Console script."""
    run_main(main, announce=False)
