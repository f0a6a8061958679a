"""Cards, badges, figures, states, small tables: what every page uses. Charts are in `charts`, the frame in `shell`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from dash import html

from dash_app import formats
from dash_app.components.markup import markup
from quality_assets.domain.features.status import Status
from quality_assets.domain.quality.health import CheckState
from quality_assets.read import links

Child = Any
Component = Any

_STATUS_LOOKS = {
    Status.CRITICAL: ("bad", "flame", "Critical"),
    Status.DEGRADED: ("warn", "triangle-alert", "Degraded"),
    Status.AT_RISK: ("risk", "half", "At risk"),
    Status.WATCH: ("watch", "eye", "Watch"),
    Status.HEALTHY: ("good", "circle-check", "Healthy"),
    Status.UNKNOWN: ("none", "circle-question-mark", "Unknown"),
}
_CHECK_LOOKS = {
    CheckState.FAILING: ("bad", "circle-x", "Failing"),
    CheckState.WARNING: ("warn", "half", "Warning"),
    CheckState.UNKNOWN: ("none", "circle-question-mark", "Unknown"),
    CheckState.PASSING: ("good", "circle-check", "Passing"),
}
_STRIP_WORDS = {3: "failed", 2: "warned", 1: "unknown", 0: "passed", -1: "not checked"}


def icon(name: str) -> Component:
    """An icon that stands beside a word and says nothing to a screen reader."""
    return html.Span(className=f"i i-{name}", **{"aria-hidden": "true"})


def badge(tone: str, icon_name: str, word: str) -> Component:
    """A status as colour, icon and word."""
    return html.Span([icon(icon_name), word], className=f"badge {tone}")


def status_badge(status: Status) -> Component:
    """The badge of a feature's status."""
    return badge(*_STATUS_LOOKS[status])


def status_looks() -> dict[str, tuple[str, str, str]]:
    """Tone, icon and word of each feature status, for tables that are drawn in the browser."""
    return {status.value: looks for status, looks in _STATUS_LOOKS.items()}


def check_badge(state: CheckState) -> Component:
    """The badge of a check's state."""
    return badge(*_CHECK_LOOKS[state])


def state_icon(state: CheckState) -> Component:
    """The icon of a check's state, coloured; a word must stand beside it."""
    tone, name, _ = _CHECK_LOOKS[state]
    return html.Span(className=f"i i-{name} tone-{tone}", **{"aria-hidden": "true"})


def card(*children: Child, label: str | None = None, class_name: str = "", **attributes: Any) -> Component:
    """A bordered region; `label` names it for assistive technology."""
    named = {"aria-label": label} if label else {}
    return html.Section(list(children), className=f"card {class_name}".strip(), **named, **attributes)


def card_head(title: str, note: Child = None, aside: Child = None) -> Component:
    """The heading of a card, with a line of explanation and something at its right."""
    words = [html.H2(title)] + ([html.P(note, className="note")] if note is not None else [])
    return html.Div(
        [html.Div(words), html.Div(aside, className="aside") if aside is not None else None], className="head"
    )


def page_head(title: Child, subtitle: Child, aside: Sequence[Child] = (), crumbs: Child = None) -> Component:
    """The heading of a page."""
    return html.Div(
        [
            html.Div([crumbs, html.H1(title), html.P(subtitle, className="lead")]),
            html.Div(list(aside), className="tools"),
        ],
        className="page-head",
    )


def window_links(request: links.Request) -> Component:
    """The choice of 7, 28 or 90 days. The state of the address beside the window is kept by the browser."""
    return html.Div(
        [
            html.A(
                f"{days} days",
                href=request.url(window=f"{days}d"),
                className="on" if days == request.days else "",
                **{"data-set-window": f"{days}d"} | ({"aria-current": "true"} if days == request.days else {}),
            )
            for days in links.WINDOWS
        ],
        className="segments",
        role="group",
        **{"aria-label": "Window"},
    )


def copy_link() -> Component:
    """Puts the address of what is shown on the clipboard."""
    return html.Button(
        [icon("link"), html.Span("Copy link")], className="button", type="button", **{"data-copy-link": ""}
    )


def csv_link(name: str, **query: str | int | None) -> Component:
    """The way to a table as CSV."""
    return html.A(
        [icon("download"), "CSV"],
        href=links.table_csv(name, **query),
        className="button quiet",
        download="",
        title="Download this table as CSV",
    )


def dagster_link(text: Child, href: str, class_name: str = "out") -> Component:
    """A link into the Dagster UI, in a new tab."""
    return html.A([text, icon("external-link")], href=href, target="_blank", rel="noreferrer", className=class_name)


def asset_link(asset: str) -> Component:
    """An asset's name, leading to its page in the Dagster UI."""
    return html.A(
        html.Code(asset), href=links.dagster_asset(asset), target="_blank", rel="noreferrer", className="asset"
    )


def run_link(run_id: str, text: Child = "Open run") -> Component:
    """The way to a run in the Dagster UI."""
    return dagster_link(text, links.dagster_run(run_id))


def delta(text: str, tone: str = "") -> Component:
    """A change beside a figure; `tone` is bad, warn, good or nothing."""
    return html.Span(text, className=f"delta {tone}".strip())


def figure_card(
    label: str,
    icon_name: str,
    value: str,
    *,
    change: Child = None,
    note: Child = "",
    spark: Child = None,
    href: str | None = None,
) -> Component:
    """A summary figure with its change, a line about it and a sparkline; the whole card leads to `href`.

    An address outside of the app, as that of the figure's asset in the Dagster UI, opens in a new tab.
    """
    body = [
        html.Div([icon(icon_name), label], className="figure-label"),
        html.Div([html.Span([html.Span(value, className="figure"), change]), spark], className="figure-row"),
        html.Div(note, className="note"),
    ]
    if href is None:
        return html.Div(body, className="card figure-card")
    outside = {} if href.startswith("/") else {"target": "_blank", "rel": "noreferrer", "title": "Its asset in Dagster"}
    return html.A(body, href=href, className="card figure-card", **outside)


def spark(values: Sequence[float | None], label: str, *, class_name: str = "") -> Component:
    """A small line without axes; gaps where there is no value. `label` says what it shows."""
    return html.Span(
        className=f"spark {class_name}".strip(),
        role="img",
        **{
            "data-spark": json.dumps({"v": [None if v is None else float(f"{v:.4g}") for v in values]}),
            "aria-label": label,
        },
    )


def strip(worsts: Iterable[int], label: str) -> Component:
    """Past results as cells: 3 failed, 2 warned, 1 unknown, 0 passed, −1 not checked."""
    found = list(worsts)
    said = ", ".join(f"{found.count(k)} {word}" for k, word in _STRIP_WORDS.items() if k in found)
    cells = markup([html.Span(className=f"cell w{w if w >= 0 else 'x'}") for w in found])
    told = f"{label}: {said or 'nothing'}"
    return html.Span(className="strip", role="img", **{"data-markup": cells, "aria-label": told})


MOST_ROWS = 2_000
"""A page draws so many rows of a table at the most: a browser takes long for more, and nobody reads them."""


def cut_note(rows: Sequence[object]) -> str:
    """That only the first of these rows are drawn, to be put behind a note; empty where all are."""
    return f" · the first {formats.whole(MOST_ROWS)} of {formats.whole(len(rows))}, all in the CSV" * (
        len(rows) > MOST_ROWS
    )


def table(
    headers: Sequence[Child],
    rows: Sequence[Sequence[Child]],
    *,
    label: str,
    numeric: Sequence[int] = (),
    class_name: str = "",
) -> Component:
    """A plain table. `numeric` names the right-aligned columns. It scrolls sideways by itself where it must.

    It goes to the browser as text, however few its rows are today.
    """

    def cell(index: int, child: Child, tag: Any) -> Component:
        extra = {"scope": "col"} if tag is html.Th else {}
        return tag(child, className="num" if index in numeric else "", **extra)

    head = html.Thead(html.Tr([cell(i, header, html.Th) for i, header in enumerate(headers)]))
    body = html.Tbody([html.Tr([cell(i, child, html.Td) for i, child in enumerate(row)]) for row in rows])
    whole = html.Table([html.Caption(label, className="unseen"), head, body], className=f"table {class_name}".strip())
    return html.Div(
        className="scroll-x",
        tabIndex="0",
        role="region",
        **{"aria-label": f"{label}, table", "data-markup": markup(whole)},
    )


def two_lines(first: Child, second: Child) -> Component:
    """A value with a smaller line under it."""
    return html.Div([html.Div(first), html.Div(second, className="note")], className="two")


def nothing(icon_name: str, title: str, text: Child, action: Child = None, *, is_page: bool = False) -> Component:
    """A designed empty state: what is missing, why, and what makes it."""
    heading = html.H1(title) if is_page else html.H2(title)
    return html.Div(
        [html.Span(icon(icon_name), className="nothing-icon"), heading, html.P(text), action],
        className="nothing card" if is_page else "nothing",
    )


def command(*lines: str) -> Component:
    """Commands to type, as they are typed."""
    return html.Pre("\n".join(lines), className="command", tabIndex="0")


def asked_again(name: str, address: str, each_ms: int) -> Component:
    """A place whose content `live.js` asks for at once, and again so often; not a callback, which costs far more."""
    return html.Div(id=name, **{"data-live": address, "data-each": str(each_ms), "aria-live": "off"})


def change_tone(is_worse: bool | None) -> str:
    """The tone of a change: coloured only where it is worse than what was expected."""
    return "bad" if is_worse else ""


def owner_line(team: str | None, owner: str | None) -> str:
    """Team and owner as one line; says so where nobody owns it."""
    return f"{team} · {formats.person(owner)}" if team else formats.person(owner)
