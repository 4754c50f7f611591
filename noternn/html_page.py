"""A self-contained HTML page that may load nothing and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
from html import escape


def html_page(title: str, body: str, *, style: str, script: str = "") -> str:
    """A whole page.

    Its Content-Security-Policy names the style and the script by their SHA-256, so that nothing else can run,
    whatever a file is called, and forbids to load anything: pictures must stand in the page as `data:`.

    Args:
        title: plain text.
        body: HTML in which every text from elsewhere is escaped; `style=` and `onclick=` do nothing in it.
        style: CSS.
        script: JavaScript, run when the body is there.
    """
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    scripts = f"<script>{script}</script>\n" if script else ""
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
{scripts}</body>
</html>
"""


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
