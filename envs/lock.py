"""Write lock.txt and stiltgrid.yaml beside this file from `pip freeze` on standard input.

The conda environment repeats the lock's pins, because Snakemake copies an environment file without its neighbours.
"""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
HEAD = "# Exact versions of everything; written by `make lock`, read by the Makefile, CI and stiltgrid.yaml.\n"


def main() -> None:
    """Read the pins, drop build tags such as torch's +cpu, write both files."""
    pins = sorted({re.sub(r"\+.*", "", line.strip()) for line in sys.stdin if "==" in line}, key=str.lower)
    (HERE / "lock.txt").write_text(HEAD + "\n".join(pins) + "\n", encoding="utf-8")
    body = "\n".join(f"      - {pin}" for pin in pins)
    (HERE / "stiltgrid.yaml").write_text(
        "# Written by `make lock` from lock.txt. conda env create -f envs/stiltgrid.yaml\n"
        f"name: stiltgrid\nchannels: [conda-forge]\ndependencies:\n  - python=3.11\n  - pip\n  - pip:\n{body}\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
