"""How a run of Snakemake starts: the config that counts, what its jobs find in their environment, names of rules."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stiltgrid.artifacts import digest, read_json
from stiltgrid.config import parse
from stiltgrid.paths import Paths

OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
"""No job asks the hub: what it needs is fetched before (`snakemake fetch`, the one exception)."""


def started_with(config: dict[str, Any], files: Iterable[Path | str], remote: bool) -> tuple[dict[str, Any], str]:
    """Return the config that a run was started with, and the snapshot file that its jobs read.

    Args:
        config: what Snakemake loaded now.
        files: the files that it came from, read again for what Snakemake's loader lets pass: a key written twice.
        remote: whether this is a job's own Snakemake process on a cluster node. There the snapshot that the submitting
            process exported counts, because the config file may have been edited since.
    """
    exported = os.environ.get("STILTGRID_CONFIG")
    if remote and exported and Path(exported).exists():
        return read_json(exported), exported
    for file in files:
        parse(file)
    return config, f"{Paths(str(config.get('grid'))).root}/config/{digest(config)[:12]}.json"


def environment(checkout: Path | str, snapshot: str) -> dict[str, str]:
    """Return the variables that the shell commands read: where scripts, package and config are, and no network."""
    checkout = str(checkout)
    return OFFLINE | {
        "PYTHONPATH": os.pathsep.join(filter(None, [checkout, os.environ.get("PYTHONPATH")])),
        "STILTGRID_SCRIPTS": f"{checkout}/workflow/scripts",
        "STILTGRID_CONFIG": snapshot,
    }


def rule_name(stage: str, target: str) -> str:
    """A rule name for one target: letters, digits, underscores."""
    # other characters by their code, so that `a-b` and `a.b` stay two rules
    return f"{stage}_" + "".join(c if (c.isalnum() and c.isascii()) or c == "_" else f"x{ord(c):x}" for c in target)
