"""Bring every hub model and hub data set of a grid, at their pinned revisions, into the folder `hub.folder`.

Run where there is a network. What is complete is skipped, what was interrupted goes on. HF_ENDPOINT names a mirror.
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from stiltgrid.artifacts import write_json
from stiltgrid.config import expanded, load
from stiltgrid.errors import StiltgridError
from stiltgrid.grid import Grid
from stiltgrid.hub.download import fetch
from stiltgrid.hub.wanted import wanted
from stiltgrid.pretrained import model_files
from stiltgrid.scripting import parser, run_main

EXAMPLES = """
python workflow/scripts/fetch.py --config config.yaml
HF_ENDPOINT=https://mirror.example.org python workflow/scripts/fetch.py --config config.yaml --out fetched.json
"""


def main(argv: Sequence[str] | None) -> None:
    """Fetch one repository after the other; one that fails does not keep the others from being fetched."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--config", required=True, help="config file")
    options.add_argument("--out", help="file for the list of what is there now")
    args = options.parse_args(argv)
    hub = (grid := Grid(load(args.config))).config.hub
    needed, root = wanted(grid), Path(expanded(hub.folder))
    record, faults = [], []
    for one in needed:
        folder = Path(one.repository.folder(str(root)))
        try:
            manifest = fetch(one, folder, hub.endpoint)
            if one.repository.kind == "model":
                model_files(folder)
        except StiltgridError as error:
            logging.error("%s", error)
            faults.append(str(error))
        else:
            record.append(one.repository._asdict() | {"folder": str(folder), "files": manifest["files"]})
    if args.out:
        write_json(args.out, record)
    if faults:
        raise StiltgridError(f"{len(faults)} of {len(needed)} repositories are not fetched:\n" + "\n".join(faults))
    size = sum(file["bytes"] for one in record for file in one["files"].values())
    print(
        f"{root}: {len(record)} repositories of grid {grid.config.grid}, {size / 1e6:.1f} MB, complete", file=sys.stderr
    )


if __name__ == "__main__":
    run_main(main)
