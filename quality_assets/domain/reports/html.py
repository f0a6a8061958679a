"""The shell of HTML reports: one self-contained page, escaped text, tables, small inline SVG.

What a report says lives in `run_report`. Nothing is fetched: no script, font or image comes from elsewhere, and the
page says so to the browser.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from quality_assets.domain.escaping import html_text as escape

Tone = Literal["good", "warn", "bad", "muted", "plain"]

_STYLE = """
:root{color-scheme:light dark;--bg:#fbfbfa;--card:#fff;--text:#1c1d1f;--soft:#5d6168;--line:#e3e4e6;
--good:#1a7f4b;--warn:#9a6200;--bad:#b3261e;--accent:#2b5fc4}
@media (prefers-color-scheme:dark){:root{--bg:#15171a;--card:#1d2024;--text:#e8e9eb;--soft:#a1a6ae;--line:#33373d;
--good:#5ec48e;--warn:#e0a94a;--bad:#f2897f;--accent:#86aef5}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:15px/1.5 system-ui,sans-serif}
main{max-width:68rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .25rem}
h2{font-size:1.1rem;margin:2.25rem 0 .5rem}
p{margin:.35rem 0;max-width:46rem}
.lead{font-size:1.1rem}.soft{color:var(--soft)}
.facts{display:flex;flex-wrap:wrap;gap:.75rem;margin:1.25rem 0}
.fact{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.6rem .9rem;min-width:8.5rem}
.fact b{display:block;font-size:1.35rem;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;background:var(--card);border:1px solid var(--line)}
caption{text-align:left;color:var(--soft);padding:.25rem 0}
th,td{text-align:left;padding:.4rem .65rem;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;color:var(--soft);white-space:nowrap}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}.muted{color:var(--soft)}
.tag{font-weight:600}
svg{display:block}
ol,ul{padding-left:1.25rem;max-width:46rem}li{margin:.3rem 0}
summary{cursor:pointer;margin:.75rem 0;color:var(--soft)}
@media print{body{background:#fff}.fact,table{break-inside:avoid}}
"""


@dataclass(frozen=True)
class Markup:
    """HTML that is already safe. Everything else is text and gets escaped."""

    html: str


Content = str | int | float | None | Markup


def render(content: Content) -> str:
    """Content as safe HTML: text is escaped, numbers are written for people, nothing is an en dash."""
    if isinstance(content, Markup):
        return content.html
    return escape(number_text(content) if isinstance(content, int | float) or content is None else content)


def number_text(value: float | None) -> str:
    """A number as people read it; – where there is none."""
    if value is None or not isfinite(value):
        return "–"
    # From 999.5 on three digits would be said as 1e+03.
    if float(value).is_integer() or abs(value) >= 999.5:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def page(title: str, lead: Content, body: Iterable[Markup], tone: Tone = "plain") -> str:
    """A whole HTML document."""
    parts = "\n".join(part.html for part in body)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{escape(title)}</h1>\n<p class="lead {tone}">{render(lead)}</p>\n{parts}\n</main>\n</body>\n</html>\n'
    )


def section(title: str, *content: Content) -> Markup:
    """A heading and what stands below it; text becomes paragraphs."""
    parts = "\n".join(c.html if isinstance(c, Markup) else f"<p>{render(c)}</p>" for c in content)
    return Markup(f"<section>\n<h2>{escape(title)}</h2>\n{parts}\n</section>")


def facts(items: Iterable[tuple[str, Content]]) -> Markup:
    """A row of figures with their names."""
    boxes = "".join(
        f'<div class="fact"><b>{render(v)}</b><span class="soft">{escape(k)}</span></div>' for k, v in items
    )
    return Markup(f'<div class="facts">{boxes}</div>')


def tag(text: str, tone: Tone) -> Markup:
    """A word in a colour; the word carries the meaning, the colour only helps."""
    return Markup(f'<span class="tag {tone}">{escape(text)}</span>')


def table(headers: Sequence[str], rows: Iterable[Sequence[Content]], caption: str = "", empty: str = "None.") -> Markup:
    """A table; columns whose every value is a number are right-aligned. Says `empty` where there are no rows."""
    body = [list(row) for row in rows]
    if not body:
        return Markup(f'<p class="soft">{escape(empty)}</p>')
    numeric = [all(isinstance(row[i], int | float) or row[i] is None for row in body) for i in range(len(headers))]
    cell_class = [' class="number"' if is_number else "" for is_number in numeric]
    head = "".join(f'<th scope="col"{c}>{escape(h)}</th>' for h, c in zip(headers, cell_class, strict=True))
    lines = "\n".join(
        "<tr>" + "".join(f"<td{c}>{render(v)}</td>" for v, c in zip(row, cell_class, strict=True)) + "</tr>"
        for row in body
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return Markup(
        f'<div class="scroll"><table>{title}<thead><tr>{head}</tr></thead>\n<tbody>{lines}</tbody></table></div>'
    )


def bullets(items: Iterable[Content], is_ordered: bool = False) -> Markup:
    """A list."""
    name = "ol" if is_ordered else "ul"
    return Markup(f"<{name}>{''.join(f'<li>{render(item)}</li>' for item in items)}</{name}>")


def folded(summary: str, content: Markup) -> Markup:
    """Something to open, for those who want it."""
    return Markup(f"<details><summary>{escape(summary)}</summary>\n{content.html}</details>")


def histogram(before: Sequence[float], now: Sequence[float], label: str) -> Markup:
    """Two distributions over the same bins, the earlier one behind; `label` is what a screen reader says."""
    width, height = 120, 32
    highest = max(*before, *now) or 1.0
    paths = []
    for shares, colour, opacity in ((before, "--soft", 0.45), (now, "--accent", 0.6)):
        step = width / len(shares)
        steps = "".join(f"V{height - height * share / highest:.1f}h{step:.2f}" for share in shares)
        paths.append(f'<path d="M0 {height}{steps}V{height}Z" fill="var({colour})" opacity="{opacity}"/>')
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return Markup(f'<svg role="img" aria-label="{escape(label)}" {size}>{"".join(paths)}</svg>')


def bar(value: float | None, largest: float, label: str, tone: Tone = "plain", limit: float | None = None) -> Markup:
    """A horizontal bar from 0 to `largest`, with a mark at `limit`; `label` is what a screen reader says."""
    width, height = 120, 12
    scale = width / largest if largest > 0 and isfinite(largest) else 0.0
    length = min(max((value or 0.0) * scale, 0.0), width) if value is None or isfinite(value) else float(width)
    colour = {"good": "--good", "warn": "--warn", "bad": "--bad", "muted": "--soft", "plain": "--accent"}[tone]
    mark = ""
    if limit is not None and isfinite(limit):
        x = min(limit * scale, width - 1)
        mark = f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}" stroke="var(--text)" stroke-width="1.5"/>'
    size = f'width="{width}" height="{height}"'
    return Markup(
        f'<svg role="img" aria-label="{escape(label)}" {size} viewBox="0 0 {width} {height}">'
        f'<rect {size} fill="var(--line)"/>'
        f'<rect width="{length:.1f}" height="{height}" fill="var({colour})"/>{mark}</svg>'
    )
