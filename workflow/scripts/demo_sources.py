"""Write the miniature's data in the original layouts of XGLUE (all eleven tasks), MNLI and QQP.

A toy world of four languages; its numbers say nothing about the research question.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from stiltgrid.artifacts import file_sha256, write_json
from stiltgrid.demo.world import write_sources
from stiltgrid.scripting import parser, run_main

EXAMPLES = "python workflow/scripts/demo_sources.py --out results/demo/source"


def main(argv: Sequence[str] | None) -> None:
    """Write the files and a manifest of their hashes."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--out", required=True, type=Path, help="folder for the sources")
    options.add_argument("--seed", type=int, default=0, help="seed of the toy world (default: 0)")
    args = options.parse_args(argv)
    write_sources(args.out, seed=args.seed)
    manifest = args.out / "manifest.json"
    files = {
        str(p.relative_to(args.out)): file_sha256(p)
        for p in sorted(args.out.rglob("*"))
        if p.is_file() and p != manifest
    }
    write_json(manifest, {"schema_version": 1, "kind": "demo sources", "seed": args.seed, "files": files})
    logging.info("%s: %d files", args.out, len(files))


if __name__ == "__main__":
    run_main(main)
