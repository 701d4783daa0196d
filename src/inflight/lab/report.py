"""The report: one HTML file that needs nothing else, tables first, so that it reads with scripts off too."""

import html
from typing import Any

import msgspec

from inflight.lab.page import static_text
from inflight.lab.results import PolicyRow, cells, column_names
from inflight.lab.story import Story


def render_report(story: Story, rows: list[PolicyRow], headline: str, caption: str, hpas: dict[str, str]) -> str:
    """The whole file's text. `hpas` are the HPA manifests by policy, shown as they ran."""
    setup = {**story.setup, "report": True}
    data = {**story.whole(), "setup": setup}
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(setup['title'])}</title>",
        '<link rel="icon" href="data:,">',
        f"<style>{static_text('uplot.min.css')}\n{static_text('lab.css')}</style></head><body>",
        f"<main><h1>{_text(setup['title'])}</h1><p class=lead>{_text(setup['lead'])}</p>",
        f'<section class="card" id="results-table"><h2>{_text(headline)}</h2>',
        _table(rows, caption),
        "</section>",
        "<noscript><p class=notice>The plots draw with scripts; the numbers above need none.</p></noscript>",
        '<div id="lab"></div>',
        _manifests(hpas),
        "</main>",
        f'<script type="application/json" id="lab-data">{_embedded(data)}</script>',
        f"<script>{static_text('uplot.min.js')}</script>",
        f"<script>{static_text('lab.js')}</script>",
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _table(rows: list[PolicyRow], caption: str) -> str:
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in column_names())
    body = []
    simulated = False
    for row in rows:
        first = row.source != "live" and not simulated
        simulated = simulated or first
        classes = f"{row.source} {row.name}{' first-simulated' if first else ''}"
        body.append(
            f'<tr class="{_text(classes)}">' + "".join(f"<td>{_text(cell)}</td>" for cell in cells(row)) + "</tr>"
        )
    return (
        f'<div class="scroll"><table><caption>{_text(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _manifests(hpas: dict[str, str]) -> str:
    if not hpas:
        return ""
    blocks = "".join(f"<div><h2>{_text(name)}</h2><pre>{_text(text)}</pre></div>" for name, text in hpas.items())
    return (
        '<section class="card"><details><summary>The two HorizontalPodAutoscalers as they ran</summary>'
        f'<div class="two">{blocks}</div></details></section>'
    )


def _embedded(data: dict[str, Any]) -> str:
    # "<" never stands in the script element, so no text of a user's file can end it.
    return msgspec.json.encode(data).decode().replace("<", "\\u003c")


def _text(value: Any) -> str:
    return html.escape(str(value))
