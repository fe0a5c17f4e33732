"""Put the miniature's and the sample's main tables into README.md, between their markers.

Usage: python docs/readme_tables.py demo=results/demo/tables/main.md sample=results/sample/tables/main.md
"""

import re
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def main(arguments: list[str]) -> None:
    """Replace what stands between `<!-- NAME table: begin -->` and `end` by a file's content, headings dropped."""
    text = README.read_text(encoding="utf-8")
    for argument in arguments:
        name, _, path = argument.partition("=")
        lines = [x for x in Path(path).read_text(encoding="utf-8").splitlines() if not x.startswith("# ")]
        block = f"<!-- {name} table: begin -->\n" + "\n".join(lines).strip() + f"\n<!-- {name} table: end -->"
        pattern = rf"<!-- {name} table: begin -->.*<!-- {name} table: end -->"
        text, count = re.subn(pattern, lambda _, block=block: block, text, flags=re.DOTALL)
        if count != 1:
            sys.exit(f"{README}: {count} places for table {name!r}, expected 1")
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
