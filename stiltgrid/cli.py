"""`stiltgrid`: what is asked of a grid outside of Snakemake.

check validates a config; gc removes predictions that nothing refers to; reference prints the page of all keys.
"""

from collections.abc import Sequence

from stiltgrid.scripting import parser, run_main

EXAMPLES = """
stiltgrid check config.yaml
stiltgrid gc config/demo.yaml             # list unreferenced entries of the prediction store
stiltgrid gc config/demo.yaml --delete    # and remove them
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
        f"{len(grid.runs)} phase iii runs"
    )
    for reason in sorted(set(grid.excluded.values())):
        print(f"  excluded: {reason}")


def gc(config: str, delete: bool) -> None:
    """List or remove unreferenced store entries."""
    from stiltgrid.config import load
    from stiltgrid.garbage import sweep
    from stiltgrid.grid import Grid

    grid = Grid(load(config))
    found = sweep(grid, delete=delete)
    for key, size in found:
        print(f"{key}  {size} bytes")
    total = sum(size for _, size in found) / 1e6
    verb = "removed" if delete else "unreferenced (remove them with --delete)"
    print(f"{grid.paths.store}: {len(found)} entries, {total:.1f} MB {verb}")


def main(argv: Sequence[str] | None = None) -> None:
    """Dispatch a subcommand."""
    options = parser(__doc__, EXAMPLES)
    commands = options.add_subparsers(dest="command", required=True)
    one = commands.add_parser("check", help="validate a config")
    one.add_argument("config")
    two = commands.add_parser("gc", help="remove predictions that nothing refers to")
    two.add_argument("config")
    two.add_argument("--delete", action="store_true", help="remove what is listed")
    commands.add_parser("reference", help="print docs/config.md")
    args = options.parse_args(argv)
    if args.command == "check":
        check(args.config)
    elif args.command == "gc":
        gc(args.config, args.delete)
    else:
        from stiltgrid.reference import config_page

        print(config_page(), end="")


def entry() -> None:
    """Console script."""
    run_main(main, announce=False)
