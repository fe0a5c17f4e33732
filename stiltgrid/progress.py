"""Progress of long work: a bar on a terminal, a line every ten seconds in a log."""

import logging
import sys
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds between lines where there is no terminal."""


def reporter(label: str, unit: str = "inputs") -> Callable[[int, int], None]:
    """Return a function to call with (done, total) after each piece of work.

    Args:
        label: what is worked on, e.g. a language.
        unit: what is counted.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        bar = tqdm(desc=label, unit=f" {unit}", dynamic_ncols=True)

        def draw(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)
            if done >= total:
                bar.close()

        return draw

    started = last = time.monotonic()

    def write(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= EVERY and done < total:
            last = now
            left = (now - started) / done * (total - done)
            log.info("%s: %d of %d %s, about %.0f s left", label, done, total, unit, left)

    return write
