"""A table as a page of HTML, for Snakemake's report, whose viewer shows pages and pictures."""

from stiltgrid.paper.cells import Cell
from stiltgrid.paper.render import Table

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, "Noto Sans", Arial, sans-serif; margin: 16px; }
table { border-collapse: collapse; margin: 12px 0; }
th, td { padding: 4px 12px; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; font-weight: normal; }
thead th { border-bottom: 1px solid; font-weight: 600; vertical-align: bottom; }
thead small { display: block; font-weight: normal; }
tbody tr:first-child th { padding-top: 14px; font-style: italic; }
.apart { padding-left: 28px; }
td[style] { color: #000; }
p { max-width: 110ch; }
.notes { font-size: 13px; }
"""

TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ table.title }}: {{ table.name }}</title>
<style>{{ style | safe }}</style>
</head>
<body>
<p>{{ table.caption }}</p>
<table>
<thead><tr><td></td>
{%- for column in table.columns %}<th scope="col"{% if column.apart %} class="apart"{% endif %}>{{ column.title -}}
{% if column.subtitle %}<small>{{ column.subtitle }}</small>{% endif %}</th>{% endfor -%}
</tr></thead>
{%- for panel in table.panels %}
<tbody>
<tr><th scope="rowgroup" colspan="{{ table.columns | length + 1 }}">{{ panel.title }}</th></tr>
{%- for row in panel.rows %}
<tr><th scope="row">{{ row.title }}</th>
{%- for cell in row.cells %}<td{% if table.columns[loop.index0].apart %} class="apart"{% endif %}
{%- if cell.shade %} style="background:#{{ cell.shade }}"{% endif %}>{{ content(cell) }}</td>{% endfor -%}
</tr>
{%- endfor %}
</tbody>
{%- endfor %}
</table>
{%- for note in table.notes %}
<p class="notes">{{ note }}</p>
{%- endfor %}
</body>
</html>
"""


def html(table: Table) -> str:
    """Return a table as a page of HTML that needs no other file; the cells are those of the other formats."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    def content(cell: Cell) -> Markup:
        text = Markup("<b>{}</b>").format(cell.text) if cell.bold else Markup("{}").format(cell.text)
        return text + (Markup("<sup>{}</sup>").format(cell.marker) if cell.marker else "")

    found = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    return found.from_string(TEMPLATE).render(table=table, style=STYLE, content=content)
