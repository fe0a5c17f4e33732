"""From the explorer's data to explorer.html: template, style and script in one file; the network is forbidden to it."""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SCRIPTS = ("table.js", "detail.js")
ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""What would end a script element, or a line of JavaScript, written as JSON may write it."""


def embedded(value: Any) -> str:
    r"""Return JSON that may stand in a script element, whatever its texts hold.

    Raises:
        ValueError: for NaN and infinity, which JSON does not have.

    >>> embedded("</script>")
    '"\\u003c/script\\u003e"'
    """
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for plain, escaped in ESCAPES.items():
        text = text.replace(plain, escaped)
    return text


def _source(text: str) -> str:
    """Return how a content security policy names an inline script or style: by its SHA-256."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page(payload: Mapping[str, Any]) -> str:
    """Return the page as HTML; equal data give equal bytes.

    Args:
        payload: of `payload.payload`.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(FOLDER)
    found = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    style = (FOLDER / "page.css").read_text(encoding="utf-8")
    script = "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
    policy = f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; img-src data:"
    return found.get_template("page.html.j2").render(
        title=payload["title"],
        note=payload["note"],
        confidence=payload["confidence"],
        policy=policy,
        style=style,
        script=script,
        data=embedded(payload),
    )
