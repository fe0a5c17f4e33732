"""Which code made an artifact: the commit of the checkout, and whether the checkout differs from it.

It stands in manifests and files' metadata, outside of everything that is hashed: another commit reruns nothing.
"""

import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import stiltgrid

CODE = ("Snakefile", "rules", "stiltgrid", "workflow/scripts")
"""What makes results; other files of the checkout may differ."""
VARIABLE = "STILTGRID_COMMIT"
"""Environment variable that names the commit where the code was installed without its repository, as in an image."""


def _git(folder: Path, *arguments: str) -> str | None:
    """Return what git prints, None if there is no git, or no repository that it trusts."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=30
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def code_of(checkout: Path | str) -> dict[str, Any]:
    """Return the code's version, commit (40 hex digits) and `dirty`, whether it differs from the commit.

    Args:
        checkout: folder of `Snakefile` and the package.

    Returns:
        `version`, `commit` and `dirty`; the last two are None where they are not known: a checkout that is no
        repository of its own, without `VARIABLE` in the environment.
    """
    checkout = Path(checkout).resolve()
    found: dict[str, Any] = {"version": stiltgrid.__version__, "commit": None, "dirty": None}
    top = _git(checkout, "rev-parse", "--show-toplevel")
    # a copy of the code within somebody's own repository is none of that repository's commits
    if top is not None and Path(top).resolve() == checkout and (commit := _git(checkout, "rev-parse", "HEAD")):
        changed = _git(checkout, "status", "--porcelain", "--", *CODE)
        return found | {"commit": commit, "dirty": None if changed is None else bool(changed)}
    if re.fullmatch(r"[0-9a-f]{40}", named := os.environ.get(VARIABLE, "")):
        found["commit"] = named
    return found


@cache
def code() -> dict[str, Any]:
    """Return `code_of` the checkout that this process runs; asked once a process."""
    return code_of(Path(__file__).parents[1])


def described(found: dict[str, Any] | None) -> str:
    """Return what an artifact says of its code, for people: `0123456789ab`, with a mark for a changed checkout.

    >>> described({"version": "0.1.0", "commit": None, "dirty": None}), described(None)
    ('0.1.0, commit not known', 'not recorded')
    """
    if not found:
        return "not recorded"
    if not found.get("commit"):
        return f"{found.get('version')}, commit not known"
    return found["commit"][:12] + (" with changes" if found.get("dirty") else "")
