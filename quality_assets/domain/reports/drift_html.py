"""The drift report as a page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from quality_assets.domain.drift.verdicts import drifted_text
from quality_assets.domain.plain import plain_value
from quality_assets.domain.reports import html as html
from quality_assets.domain.reports.html import Markup
from quality_assets.domain.reports.run import drift_section
from quality_assets.domain.reports.run_html import STATUS_TONES
from quality_assets.domain.wording import capitalised

_KIND_TITLES = {
    "data": (
        "What comes in",
        "Distributions of events and of model inputs, each day against the same weekdays before.",
    ),
    "prediction": (
        "What is predicted",
        "The distribution of the risk scores. It moves when inputs do, and when the world gets worse.",
    ),
    "performance": (
        "How well it is predicted",
        "Errors of past scores whose future is known by now. Only this says that a model has aged.",
    ),
}


def drift_report_html(
    drift: pd.DataFrame,
    power: pd.DataFrame | None = None,
    distributions: pd.DataFrame | None = None,
    title: str = "Drift report",
) -> str:
    """One page of rows of `monitoring.data_drift` (the latest day), `.drift_power` and `.drift_distributions`."""
    summary = drift_section(drift)
    if not summary["is_known"]:
        return html.page(title, "Nothing was compared: drift is unknown.", [])
    latest = drift[drift["event_date"] == drift["event_date"].max()].sort_values("rank")
    when = f" on {summary['event_date']}"
    lead = capitalised(drifted_text(summary["drifted"], summary["watched"], summary["unknown"], when)) + "."
    pictures = _pictures(distributions)
    body = [_kind_html(kind, latest[latest["kind"] == kind], pictures) for kind in _KIND_TITLES]
    body.append(_reading_html())
    if power is not None and len(power):
        body.append(_power_html(power))
    return html.page(title, lead, body)


def _pictures(distributions: pd.DataFrame | None) -> dict[tuple[str, str, str], Markup]:
    if distributions is None or not len(distributions):
        return {}
    grouped = distributions.sort_values("bin").groupby(["kind", "feature", "name"])
    return {
        (str(kind), str(feature), str(name)): html.histogram(
            list(rows["reference_share"]), list(rows["current_share"]), f"{name}: the reference and the day"
        )
        for (kind, feature, name), rows in grouped
    }


_OPEN_ROWS = 12


def _kind_html(kind: str, rows: pd.DataFrame, pictures: Mapping[tuple[str, str, str], Markup]) -> Markup:
    title, text = _KIND_TITLES[kind]
    lines: list[tuple[html.Content, ...]] = []
    for raw in rows.to_dict("records"):
        row = plain_value(raw)
        over = row["observed"] / row["threshold"] if row["observed"] is not None and row["threshold"] else None
        label = "unknown" if over is None else f"{over:.2f} of the threshold"
        tone = STATUS_TONES[row["status"]]
        shown = html.bar(over, 3.0, label, "muted" if tone == "good" else tone, limit=1.0)
        effect = row["effect_on_predictions"]
        picture = pictures.get((row["kind"], row["feature"], row["name"]), "")
        q = None if row["q_value"] is None else round(row["q_value"], 4)
        lines.append((html.tag(row["status"], tone), row["verdict"], picture, shown, over, q, effect, row["n_current"]))
    headers = ("Status", "Finding", "Before and now", "", "÷ threshold", "q", "Effect on score", "Rows")
    open_rows = max(_OPEN_ROWS, int((rows["status"] == "drifted").sum()))
    first, rest = lines[:open_rows], lines[open_rows:]
    parts = [html.table(headers, first, empty="Nothing of this kind is watched yet.")]
    parts += [html.folded(f"{len(rest)} more, which matter less", html.table(headers, rest))] if rest else []
    return html.section(title, text, *parts)


def _reading_html() -> Markup:
    return html.section(
        "How to read this",
        "Grey is the reference, the same weekdays of eight weeks; blue is the day. "
        "The mark in each bar is the threshold: what days of this size differ by when nothing is wrong, or the "
        "smallest change that matters, whichever is larger. "
        "q is the share of false alarms to expect among alarms this strong. "
        "Effect on score is how far predictions move, on average, when this input alone takes today's distribution: "
        "drift without it does not hurt the model. Unknown means that there is too little data or history to say.",
    )


def _power_html(power: pd.DataFrame) -> Markup:
    sizes = sorted(power["rows_per_day"].unique())
    wide = power.pivot_table(index=["statistic", "change"], columns="rows_per_day", values="power", sort=False)
    rows: list[list[html.Content]] = [
        [str(index[1]), *(float(v) for v in line)]
        for index, line in zip(wide.index, wide[sizes].to_numpy(), strict=True)
    ]
    return html.section(
        "What this monitor can see",
        "Share of simulated days on which a change is found, by rows a day; for no change, the share of false alarms.",
        html.table(("Change", *(f"{n:,} rows" for n in sizes)), rows),
    )
