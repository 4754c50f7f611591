"""A self-contained HTML page that may load nothing and runs no script but its own, and tables in it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

SORT_SCRIPT = "\n" + files("noternn.pages").joinpath("sort.js").read_text("utf-8")


def html_page(
    title: str,
    body: str,
    *,
    style: str,
    scripts: Sequence[str] = (),
    inline_styles: bool = False,
    workers: bool = False,
) -> str:
    """A whole page.

    Its Content-Security-Policy names the style and the scripts by their SHA-256, so that nothing else can
    run, whatever a file is called, and forbids to load anything: pictures must stand in the page as `data:`.

    Args:
        title: plain text.
        body: HTML in which every text from elsewhere is escaped; `style=` and `onclick=` do nothing in it.
        style: CSS.
        scripts: JavaScript, run in this order when the body is there.
        inline_styles: allow `style=` and styles that scripts write, for a library of charts that draws with
            them. Scripts stay as bound as ever, and a style can load nothing either.
        workers: allow workers of scripts that stand in the page; they are as bound as the page.
    """
    allowed_style = "'unsafe-inline'" if inline_styles else _digest(style)
    allowed_scripts = " ".join(map(_digest, scripts)) or "'none'"
    policy = (
        f"default-src 'none'; style-src {allowed_style}; script-src {allowed_scripts}; "
        f"img-src data:;{' worker-src blob:;' if workers else ''} base-uri 'none'; form-action 'none'"
    )
    elements = "".join(f"<script>{script}</script>\n" for script in scripts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width">
<title>{escape(title)}</title>
<style>{style}</style>
</head>
<body>
{body}
{elements}</body>
</html>
"""


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def table(
    rows: Sequence[Mapping[str, object]],
    columns: Sequence[str],
    sortable: bool = False,
    classes: Sequence[str] = (),
) -> str:
    """A table, every text of it escaped; columns of numbers are of the class `n`.

    Args:
        rows: of each all columns.
        columns: their headings.
        sortable: by a click on a heading, in a page with `SORT_SCRIPT`.
        classes: of the rows, if they have any.
    """
    numeric = {name for name in columns if all(_is_number(str(row[name])) for row in rows)}

    def line(tag: str, texts: Mapping[str, object], kind: str = "") -> str:
        marks = (' class="n"' if name in numeric else "" for name in columns)
        cells = (
            f"<{tag}{mark}>{escape(str(texts[name]))}</{tag}>"
            for name, mark in zip(columns, marks, strict=True)
        )
        return f"<tr{kind}>{''.join(cells)}</tr>"

    head = line("th", {name: name for name in columns})
    kinds = [f' class="{name}"' for name in classes] or [""] * len(rows)
    body = "\n".join(line("td", row, kind) for row, kind in zip(rows, kinds, strict=True))
    mark = ' class="sortable"' if sortable else ""
    return f'<div class="wide"><table{mark}>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _is_number(text: str) -> bool:
    """Whether a cell is a number, a share, or nothing."""
    try:
        float(text.removesuffix(" %").replace(",", ""))
    except ValueError:
        return text in ("", "-")
    return True
