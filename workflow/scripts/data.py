"""Read one split of one task from its original release format into the example schema.

Writes results/<grid>/data/<suite>/<task>/<split>.<language>.parquet and its sidecar with the fingerprint.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from stiltgrid.config import expanded, load
from stiltgrid.errors import StiltgridError
from stiltgrid.examples import write_examples
from stiltgrid.grid import DataFile, Grid
from stiltgrid.hub import fetched
from stiltgrid.hub.repository import LAYOUT
from stiltgrid.hub.wanted import of_file
from stiltgrid.readers import read_source
from stiltgrid.readers.archive import check_unpacked
from stiltgrid.scripting import parser, run_main
from stiltgrid.tasks.registry import task
from stiltgrid.wiring.originals import DEMO, source_folder

EXAMPLES = "python workflow/scripts/data.py --config config.yaml --task xglue/xnli --split test --language de"


def main(argv: Sequence[str] | None) -> None:
    """Read, check, write."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--task", required=True, help="suite/task")
    options.add_argument("--split", required=True, choices=["train", "dev", "test"])
    options.add_argument("--language", required=True)
    args = options.parse_args(argv)
    grid = Grid(load(args.config))
    row, source = task(args.task), grid.source(args.task)
    if source is None:
        raise StiltgridError(
            f"sources: no folder for {row.name}; write in the config\n"
            f"  sources: {{{row.suite}: {{path: <folder of the original files>}}}}\n({row.title}: {row.url})"
            + (f"\nor fetch it: sources: {{{row.name}: {{hub: true}}}}" if LAYOUT in row.layouts else "")
        )
    folder = Path(source_folder(grid, source.path))
    if not source.path.startswith(DEMO) and not source.hub:
        check_unpacked(expanded(source.path))
    path = grid.paths.data(file := DataFile(row.name, args.split, args.language))
    needed = of_file(grid, file)
    manifest = None if needed is None else fetched.require(needed.repository, folder, needed.patterns)
    examples, about = read_source(
        row,
        source.layout_of(args.split),
        folder,
        args.split,
        args.language,
        files=source.files,
        rows=source.rows.get(args.split),
    )
    for warning in about.get("warnings", ()):
        logging.warning("%s", warning)
    for reason, count in about["dropped"].items():
        logging.info("%d rows left out: %s", count, reason)
    if needed is not None and manifest is not None:
        found = {one["file"]: one["sha256"] for one in about["source_files"]}
        fetched.check_content(needed.repository, folder, manifest, found)
    record = write_examples(path, examples, about)
    logging.info("%s: %d examples, fingerprint %s", path, record["examples"], record["fingerprint"][:12])


if __name__ == "__main__":
    run_main(main)
