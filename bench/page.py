"""A self-contained page of a run: its style, tables, and plots that fit any width."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.plots import Plot

STYLE = """
:root { color-scheme: light dark; --ink: #1d2125; --faint: #5a6068; --paper: #fff; --line: #ddd;
  --good: #0a7d4f; --bad: #b3261e }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6e8; --faint: #9aa; --paper: #16181b;
  --line: #3a3d42; --good: #5fd3a2; --bad: #ff8a80 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; margin: .5rem 0 } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem } summary { cursor: pointer; padding: .2rem 0 }
.faint, caption, figcaption { color: var(--faint); font-size: .85rem }
.wide { overflow-x: auto } .scrolls::before { content: "scroll sideways for more \u2192";
  position: sticky; left: 0; color: var(--faint); font-size: .8rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85rem }
th, td { padding: .2rem .55rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0;
  background: var(--paper); white-space: normal; min-width: 6.5rem }
.words td, .words th { text-align: left; white-space: normal; position: static }
thead th { border-bottom: 2px solid var(--line) }
code { font-size: .85rem }
.plot { background: #fff; color: #1d2125; border-radius: 6px; padding: .4rem }
.panels { display: grid; gap: .4rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 16.5rem), 1fr)) }
.panels svg { width: 100%; max-width: 26rem; height: auto; display: block; margin: auto }
.keys { display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; padding: .3rem .5rem; font-size: .85rem }
.keys i { display: inline-block; width: 1.6rem; border-top-width: 3px; vertical-align: middle;
  border-width: 3px 0 0; margin-right: .4rem }
.gallery { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)) }
figure { margin: 0 } figure img { width: 100%; border-radius: 4px; display: block }
figure.large { grid-column: 1 / -1 }
select { font: inherit; margin: 0 .5rem .3rem 0; max-width: 100% }
dd { margin-left: 1rem }
.better { color: var(--good) } .worse { color: var(--bad) }
"""

SCRIPT = """
const figures = [...document.querySelectorAll('.gallery figure')];
const selects = [...document.querySelectorAll('select')];
function show() { for (const f of figures) f.hidden =
  selects.some(s => s.value && f.dataset[s.name] !== s.value); }
for (const s of selects) s.addEventListener('change', show);
for (const f of figures) f.addEventListener('click', () => f.classList.toggle('large'));
const look = new ResizeObserver(entries => { for (const { target: t } of entries)
  t.classList.toggle('scrolls', t.scrollWidth > t.clientWidth + 1); });
for (const t of document.querySelectorAll('.wide')) look.observe(t);
"""


def page(title: str, parts: Sequence[str]) -> str:
    """The page: its title, and its parts as HTML."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + f"\n<script>{SCRIPT}</script></body></html>\n"
    )


def html_plot(name: str, plot: Plot) -> str:
    """A plot's panels, as many side by side as there is room for, above their legend."""
    from bench import plots

    inline = []
    for place, figure in enumerate(plot.panels):
        text = plots.svg(figure, f"{name}-{place}")
        inline.append(f"<div>{text[text.index('<svg') :]}</div>")
    keys = "".join(
        f'<span><i style="border-color:{key.colour};border-style:'
        f'{"dashed" if key.dashed else "solid"}"></i>{escape(key.label)}</span>'
        for key in plot.keys
    )
    note = f'<p class="faint">{escape(plot.note)}</p>' if plot.note else ""
    return (
        f'<div class="plot"><div class="panels">{"".join(inline)}</div>'
        f'<div class="keys">{keys}</div></div>{note}'
    )


def html_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, raw: bool = False, words: bool = False
) -> str:
    """A table; `raw`: cells are HTML already; `words`: they are no numbers."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell if raw else escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    rows_html = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    kind = ' class="words"' if words else ""
    return f'<div class="wide"><table{kind}>{rows_html}</table></div>'
