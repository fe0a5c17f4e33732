"""The one exception that users are meant to read."""

import difflib
from collections.abc import Iterable


class StiltgridError(Exception):
    """Something that the user can mend: the message names the place, the value seen, what was expected, the remedy.

    Scripts print it without a traceback and exit with status 1 (`stiltgrid.scripting.main_guard`).
    """


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return a hint on the closest allowed name.

    Args:
        name: what was written.
        allowed: the valid names.

    Returns:
        `"did you mean 'x'? "` or an empty string, then `"allowed: a, b, c"` (all of them, sorted).
    """
    names = sorted(map(str, allowed))
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}allowed: {', '.join(names) or '(none)'}"
