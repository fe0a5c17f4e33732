"""Put the table of licences and citations into docs/data.md, between its markers.

Usage: python docs/data_table.py
"""

import re
import sys
from pathlib import Path

from stiltgrid.licences import licence_table
from stiltgrid.tasks.registry import package_tasks

PAGE = Path(__file__).with_name("data.md")
PLACE = r"(<!-- tasks: begin -->\n).*(<!-- tasks: end -->)"


def with_table(text: str) -> str:
    """Return the page with its table as the rows have it now."""
    found, count = re.subn(
        PLACE, lambda m: m[1] + licence_table(package_tasks().values()) + m[2], text, flags=re.DOTALL
    )
    if count != 1:
        sys.exit(f"{PAGE}: {count} places for the table, expected 1")
    return found


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
