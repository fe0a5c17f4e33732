"""Check every link from printed numbers back to pretrained weights and rows; with NAME, show what one number rests on.

A name is a macro of numbers.tex (stiltgridDifference), a comparison (gain/mt5-xxl/mnli/xnli/zero-shot), or a table's
cell (main/MODEL/INTERMEDIATE/TARGET, languages_TARGET/MODEL/INTERMEDIATE/LANGUAGE). Exit status 1 if a link is broken.
"""

import logging
from collections.abc import Sequence

from stiltgrid.artifacts import write_text
from stiltgrid.config import load
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Grid
from stiltgrid.provenance.records import Records
from stiltgrid.provenance.trace import Tracer
from stiltgrid.provenance.view import grid_page, trace_page, whole_grid
from stiltgrid.scripting import parser, run_main

EXAMPLES = """
snakemake provenance --configfile config/demo.yaml
python workflow/scripts/provenance.py --config config/demo.yaml --deep
python workflow/scripts/provenance.py --config config/demo.yaml stiltgridDifference
"""


def main(argv: Sequence[str] | None) -> None:
    """Trace and write."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("name", nargs="?", help="a number; without it: the whole grid")
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--out", help="file (default: results/<grid>/provenance.md; of one number: printed)")
    options.add_argument("--deep", action="store_true", help="also read weights and rows, and hash them again")
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    tracer = Tracer(Records(grid))
    if args.name is not None:
        trace = tracer.trace(args.name, deep=args.deep)
        text, links = trace_page(tracer, trace), trace.links
    else:
        links, cells = whole_grid(tracer, deep=args.deep)
        text = grid_page(tracer, links, cells)
    out = args.out or (None if args.name is not None else f"{grid.paths.root}/provenance.md")
    if out is None:
        print(text)
    else:
        write_text(out, text)
        logging.info("%s: %d links", out, len(links))
    if broken := [link for link in links if link.broken]:
        shown = "\n".join(f"  {link.what}: {link.file}: {link.broken}" for link in dict.fromkeys(broken[:10]))
        more = f"\n  … and {len(broken) - 10} more" if len(broken) > 10 else ""
        raise StiltgridError(f"{len(broken)} of {len(links)} links are broken:\n{shown}{more}")


if __name__ == "__main__":
    run_main(main, announce=False)
