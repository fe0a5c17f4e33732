"""Unpack a source that is an archive (.tar.gz, .tgz, .tar, .zip) where every grid looks for it.

Writes results/sources/<name>-<digest of the path>/files/ and, last of all, manifest.json beside it. A config names the
archive itself: `sources: {xglue: {path: data/xglue_full_dataset.tar.gz}}`.
"""

from collections.abc import Sequence
from pathlib import Path

from stiltgrid.errors import StiltgridError
from stiltgrid.readers.archive import ENDINGS, is_archive, unpack, unpacked_folder
from stiltgrid.scripting import parser, run_main

EXAMPLES = """
python workflow/scripts/unpack.py --archive data/xglue_full_dataset.tar.gz
python workflow/scripts/unpack.py --archive /archive/MLQA_V1.zip
"""


def main(argv: Sequence[str] | None) -> None:
    """Unpack, once, whole or not at all."""
    options = parser(__doc__, EXAMPLES)
    options.add_argument("--archive", required=True, help="the file, spelt as in the config, variables filled in")
    args = options.parse_args(argv)
    if not is_archive(args.archive):
        raise StiltgridError(f"{args.archive}: expected a file that ends in one of {', '.join(ENDINGS)}")
    unpack(Path(args.archive), Path(unpacked_folder(args.archive)))


if __name__ == "__main__":
    run_main(main)
