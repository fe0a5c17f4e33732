"""What every script under workflow/scripts shares: its parser, its logging, its exit status."""

import argparse
import logging
import os
import shlex
import sys
import textwrap
from collections.abc import Callable, Sequence

from stiltgrid.commit import code, described
from stiltgrid.errors import StiltgridError


def parser(doc: str, examples: str) -> argparse.ArgumentParser:
    """Return a parser whose `--help` shows the script's docstring and worked examples."""
    first, _, rest = textwrap.dedent(doc).strip().partition("\n")
    epilog = f"{rest.strip()}\n\nexamples:\n{textwrap.indent(textwrap.dedent(examples).strip(), '  ')}"
    return argparse.ArgumentParser(
        description=first, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def run_main(main: Callable[[Sequence[str] | None], None], *, announce: bool = True) -> None:
    """Run a script's main: errors for users without a traceback, exit status 1; others with theirs.

    With `announce` the log begins with the command that repeats the job by hand.

    The environment variable STILTGRID_LOG_LEVEL (default INFO) sets the level of the log on standard error.
    """
    logging.basicConfig(
        level=os.environ.get("STILTGRID_LOG_LEVEL", "INFO"),
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stderr,
    )
    if announce and not {"-h", "--help"} & set(sys.argv):
        logging.info("by hand: %s", shlex.join(["python", *sys.argv]))
        logging.info("code: %s", described(code()))
    try:
        main(None)
    except StiltgridError as error:
        print(f"error: {error}", file=sys.stderr)
        for note in getattr(error, "__notes__", ()):
            print(note, file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
