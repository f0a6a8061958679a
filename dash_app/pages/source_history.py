"""A watched table's past on its page: scores with their usual band, columns, thresholds and their effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

from dash_app import formats
from dash_app.components import charts, ui

Component = Any
_TITLE, _SCHEMA = "Score over time", "Schema history"


def scores(batches: Sequence[Mapping[str, Any]]) -> Component:
    """The scores of the last batches, with the band of those before each, and what each dimension took away."""
    judged = [batch for batch in batches if batch["status"] == "checked" and batch["score"] is not None]
    head = ui.card_head(
        _TITLE, "The band is where nine of ten scores before a batch lay. Below, what each dimension took."
    )
    if len(judged) < 2:
        return ui.card(head, ui.nothing("history", "Not yet", "It takes two batches."), label=_TITLE)
    names = [batch["name"] for batch in judged]
    lowest = min(min(batch["score"], _low(batch)) for batch in judged)
    label = f"Scores of {formats.plural(len(judged), 'batch', 'batches')}, the last {judged[-1]['score']:.4f}"
    return ui.card(
        head,
        charts.chart(charts.score_chart(judged, lowest), label),
        charts.chart(
            charts.stacked_shares(names, _taken(judged)), "What each dimension took away from the score", height=120
        ),
        charts.series_legend(map(formats.words, _taken(judged))),
        label=_TITLE,
    )


def _low(batch: Mapping[str, Any]) -> float:
    return 1.0 if batch["usual_low"] is None else float(batch["usual_low"])


def _taken(judged: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """By dimension, what it took away in each batch."""
    names = dict.fromkeys(name for batch in judged for name in (batch["dimensions"] or {}))
    return {
        name: [max(0.0, 1 - value) if (value := (b["dimensions"] or {}).get(name)) is not None else 0.0 for b in judged]
        for name in names
    }


def schema(history: Sequence[Mapping[str, Any]]) -> Component:
    """How the columns came, went and changed."""
    head = ui.card_head(_SCHEMA, "Renames are proposals: nothing is renamed here.")
    if not history:
        return ui.card(head, ui.nothing("history", "Nothing yet", "The first batch begins it."), label=_SCHEMA)
    rows = [
        [ui.two_lines(each["batch"], formats.moment(each["arrived_at"])), html.Ul([html.Li(s) for s in _said(each)])]
        for each in history
    ]
    return ui.card(head, ui.table(["Batch", "What changed"], rows, label=_SCHEMA), label=_SCHEMA)


def _said(change: Mapping[str, Any]) -> list[str]:
    if change["is_first"]:
        return [f"The first: {formats.plural(len(change['added']), 'column')}."]
    said = list(change["renames"])
    said += [f"New: {', '.join(change['added'])}"] * bool(change["added"])
    said += [f"Gone: {', '.join(change['lost'])}"] * bool(change["lost"])
    said += [f"{name} is {now or 'nothing'}, was {was}" for name, was, now in change["kinds"]]
    return said + ["The same columns in another order"] * change["order"]


def effect(told: Mapping[str, Any]) -> Component:
    """What the thresholds did to the last batches, as they are and as they are typed."""
    found = told["what_if"]
    named = ", ".join(each["batch"] for each in found["failing"][-3:])
    said = f"{found['sentence']}{f' The last: {named}.' if named else ''}"
    return html.P(said, className="hint", role="status", **{"data-what-if-said": "1"})
