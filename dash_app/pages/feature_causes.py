"""What the change of an open incident is made of: a bar a part, with its interval, and the verdict in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from dash_app import formats
from dash_app.pages.feature_parts import Component
from quality_assets.domain.features.causes import CAUSE_WORDS, is_worth_a_bar
from quality_assets.domain.wording import value_text
from quality_assets.read.reader import Row


def causes_chart(fault: Row, parts: Sequence[Row]) -> Component | None:
    """The verdict on one incident and, where its change could be taken apart, its parts; None where there is none."""
    if not fault["verdict_sentence"]:
        return None
    children: list[Component] = [html.P(fault["verdict_sentence"], className="note")]
    change = sum(part["size"] for part in parts)
    if parts and change:
        told = [part for part in parts if is_worth_a_bar(part["part"], part["size"], change)]
        children += [
            html.P(
                f"{value_text(parts[0]['value_before'], parts[0]['unit'])} before,"
                f" {value_text(parts[0]['value_now'], parts[0]['unit'])} over the last days:"
                " what goes away when it is held fixed, and what remains"
                f" ({formats.whole(parts[0]['rows_used'])} events)",
                className="note",
            ),
            html.Div(
                [_bar(part, change) for part in told], className="bars", role="img", **{"aria-label": _said(told)}
            ),
        ]
    return html.Div(children, className="causes")


def _bar(part: Row, change: float) -> Component:
    share = part["size"] / change
    low, high = sorted((_within(part["low"] / change), _within(part["high"] / change)))
    return html.Div(
        [
            html.Span(CAUSE_WORDS[part["part"]].capitalize()),
            html.Div(
                [
                    html.I(
                        className="" if part["part"] == "real" else "grey",
                        style={"width": f"{100 * _within(share):.1f}%"},
                    ),
                    html.S(style={"left": f"{100 * low:.1f}%", "width": f"{100 * (high - low):.1f}%"}),
                ],
                className="bar-track",
            ),
            html.Span(formats.share(share), className="num"),
        ],
        className="bar-row",
    )


def _within(share: float) -> float:
    return min(max(share, 0.0), 1.0)


def _said(parts: Sequence[Row]) -> str:
    return "; ".join(f"{CAUSE_WORDS[part['part']]} {formats.share(part['share'])}" for part in parts)
