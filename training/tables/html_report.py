"""Tables and pictures as one HTML file that refers to nothing outside itself."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from training.tables.layout import Table
from training.tables.markdown_report import RESEARCH_NOTICE


@dataclass(frozen=True)
class Picture:
    """An SVG document with its caption and the words for those who cannot see it."""

    svg: str
    caption: str
    words: str

    @property
    def address(self) -> str:
        """The picture itself, as a data address."""
        return "data:image/svg+xml;base64," + b64encode(self.svg.encode()).decode()


def html_report(title: str, tables: Sequence[Table], pictures: Sequence[Picture] = ()) -> str:
    """The document; every text is escaped. Wide tables scroll on a phone and shrink on paper."""
    from jinja2 import Environment, StrictUndefined  # comes with torch

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE).render(
        title=title, notice=RESEARCH_NOTICE, tables=tables, pictures=pictures
    )


TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
body { font: 16px/1.45 sans-serif; color: #1a1a1a; background: #fff; max-width: 76rem;
  margin: 0 auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .3rem; }
.notice { border: 2px solid #b00020; color: #b00020; font-weight: bold; padding: .4rem .8rem; }
.wide { overflow-x: auto; }
.caption, .notes, figcaption { font-size: .85rem; color: #444; max-width: 60rem; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; margin: .5rem 0; }
th, td { padding: .25rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #ddd; }
thead th { border-bottom: 2px solid #555; vertical-align: bottom; white-space: normal; min-width: 5rem; }
tbody th { font-weight: normal; }
.label { text-align: left; }
.long { white-space: normal; overflow-wrap: anywhere; min-width: 13rem; text-align: left; }
figure { margin: 1rem 0; } figure img { display: block; width: 100%; min-width: 44rem; height: auto; }
ol.notes { margin: .2rem 0; padding-left: 1.4rem; }
@media print {
  @page { size: A4 landscape; margin: 12mm; }
  body { font-size: 11px; max-width: none; padding: 0; } .wide { overflow: visible; }
  table { font-size: 9px; } th, td { padding: 2px 5px; white-space: normal; } thead th { min-width: 0; }
  .long { min-width: 8rem; }
  h2 { break-after: avoid; } tr, figure { break-inside: avoid; } figure img { min-width: 0; max-height: 95mm; }
}
</style>
</head>
<body>
<h1>{{ title }}</h1>
<p class="notice">{{ notice }}</p>
{% for table in tables %}
<section>
<h2>{{ table.title }}</h2>
<p class="caption">{{ table.caption }}</p>
<div class="wide">
<table>
<thead><tr>
{% for column in table.columns %}
<th scope="col"{% if loop.index <= table.labels %} class="label"{% endif %}>{{ column }}</th>
{% endfor %}
</tr></thead>
<tbody>
{% for row in table.rows %}
<tr>
{% for cell in row %}
{% set note = table.mark(cell) %}
{% set mark %}{% if note %}<sup>{{ note }}</sup>{% endif %}{% endset %}
{% set text %}{% if cell.bold %}<strong>{{ cell.text }}</strong>{% else %}{{ cell.text }}{% endif %}{% endset %}
{% if loop.index <= table.labels %}
<th scope="row" class="label">{{ text }}{{ mark }}</th>
{% else %}
<td{% if cell.text|length > 30 %} class="long"{% endif %}>{{ text }}{{ mark }}</td>
{% endif %}
{% endfor %}
</tr>
{% endfor %}
</tbody>
</table>
</div>
{% if table.notes %}
<ol class="notes">
{% for note in table.notes %}
<li>{{ note }}</li>
{% endfor %}
</ol>
{% endif %}
</section>
{% endfor %}
{% for picture in pictures %}
<figure>
<div class="wide"><img src="{{ picture.address }}" alt="{{ picture.words }}"></div>
<figcaption>{{ picture.caption }}</figcaption>
</figure>
{% endfor %}
<p class="notice">{{ notice }}</p>
</body>
</html>
"""
