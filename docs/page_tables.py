"""Put the tables that are made from rows of data into their pages, between their markers.

docs/data.md: licences and citations, from the tasks' rows. docs/memory.md: memory of mT5-XXL, from config.yaml.

Usage: python docs/page_tables.py
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from stiltgrid.config import load
from stiltgrid.grid import Grid
from stiltgrid.licences import licence_table
from stiltgrid.memory_view import memory_markdown
from stiltgrid.tasks.registry import package_tasks

DOCS = Path(__file__).parent


def _licences() -> str:
    return licence_table(package_tasks().values())


def _memory() -> str:
    return memory_markdown(Grid(load(DOCS.parent / "config.yaml")), "mt5-xxl") + "\n"


TABLES: dict[str, tuple[str, Callable[[], str]]] = {"data.md": ("tasks", _licences), "memory.md": ("memory", _memory)}
"""Page -> the name of its markers, and what stands between them."""


def with_table(page: str, text: str) -> str:
    """Return a page's text with its table as the rows have it now."""
    name, table = TABLES[page]
    place = rf"(<!-- {name}: begin -->\n).*(<!-- {name}: end -->)"
    found, count = re.subn(place, lambda m: m[1] + table() + m[2], text, flags=re.DOTALL)
    if count != 1:
        sys.exit(f"{page}: {count} places for the table, expected 1")
    return found


if __name__ == "__main__":
    for name in TABLES:
        path = DOCS / name
        path.write_text(with_table(name, path.read_text(encoding="utf-8")), encoding="utf-8")
