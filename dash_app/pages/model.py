"""`/model`: how good the risk model is against doing without it, whether to believe its numbers, what drives it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import html

from dash_app import formats
from dash_app.components import charts, ui
from dash_app.pages.feature_risk import no_model
from quality_assets.domain.models.risk.use_case import BASE_RATES
from quality_assets.read import links
from quality_assets.read import model as queries
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, Row

Component = Any
TITLE = "Model"

_METRICS = {
    "pr_auc": ("PR-AUC", "Area under precision and recall; the base rate is what a guess gets"),
    "roc_auc": ("ROC-AUC", "0.5 is a guess"),
    "brier_skill": ("Brier skill", "1 − Brier ÷ Brier of the base rate; above 0 is better than it"),
    "ece": ("Calibration error", "Mean gap between said and observed, lower is better"),
    "precision_at_k": ("Precision at k", "Of the k riskiest a day, the share that degraded"),
    "lead_days_median": ("Lead", "Median days between warning and degradation"),
}
_MOST_INPUTS = 12
_FRACTIONS = ("precision_at_k", "recall_at_k", "warned_share")
_ROLES = {
    "champion": ("good", "check", "Champion"),
    "candidate": ("none", "circle-dashed", "Candidate"),
    "baseline": ("none", "target", "Baseline"),
}
_ALIASES = {
    "champion": ("good", "check", "Champion"),
    "challenger": ("watch", "eye", "Challenger"),
    "retired": ("none", "history", "Retired"),
}


def build(reader: Reader, request: Request) -> Component:
    """The page."""
    versions = queries.versions(reader)
    if not versions:
        head = ui.page_head(TITLE, "How good is the risk model, and should you believe it?", [ui.copy_link()])
        return html.Div([head, ui.card(no_model())])
    asked = request.query.get("version")
    shown = next((row for row in versions if row["model_version"] == asked), versions[0])
    version = shown["model_version"]
    metrics = queries.metrics(reader, version)
    head = ui.page_head(
        html.Span([TITLE, *_version_chips(shown)], className="title"),
        [
            html.B(formats.model(shown["champion_model"])),
            f", trained through {formats.day(shown['trained_through'], year=True)}."
            f" {_stands_in(shown)}{formats.about_models(shown['decision']).rstrip('.')}.",
        ],
        [ui.copy_link()],
    )
    is_found = asked in (None, version)
    missing = f"There is no version {asked}. This is version {version}."
    return html.Div(
        [
            head,
            None if is_found else html.P([ui.icon("circle-question-mark"), missing], className="hint"),
            _figures(metrics, shown),
            _comparison(metrics, shown),
            html.Div(
                [
                    html.Div([_calibration(reader, version), _ledger(reader)], className="stack"),
                    html.Div([_importance(reader, shown), _outcomes(reader)], className="stack"),
                ],
                className="grid-2",
            ),
            html.Div([_history(versions, version, request), _card(shown)], className="with-side"),
        ],
        className="stack",
    )


def _stands_in(row: Row) -> str:
    """Says of a baseline that it is one: a candidate may look better in the table, and not by enough."""
    if not row["is_baseline"]:
        return ""
    if row["champion_model"] in BASE_RATES:
        return "Base rates are shown, because no model was better than them on held-out days. "
    return "A baseline makes the scores, because no candidate was enough better on held-out days to be trusted. "


def _version_chips(row: Row) -> list[Component]:
    looks = _ALIASES.get(row["alias"] or "", ("none", "circle-dashed", "Never live"))
    return [html.Span(f"version {row['model_version']}", className="chip"), ui.badge(*looks)]


def _of(metrics: Sequence[Row], target: str, metric: str, model: str | None = None) -> Row | None:
    """One metric's row: of a model, or of the champion."""
    for row in metrics:
        is_it = row["model"] == model if model else row["role"] == "champion"
        if row["target"] == target and row["metric"] == metric and is_it:
            return row
    return None


def _write(metric: str, value: float | None) -> str:
    if metric == "lead_days_median":
        return formats.UNKNOWN if value is None else f"{formats.decimal(value, 1)} d"
    return formats.share(value) if metric in _FRACTIONS else formats.decimal(value, 3)


def _interval(row: Row) -> str:
    if row["low"] is None or row["high"] is None:
        return "no interval"
    return f"{_write(row['metric'], row['low'])} to {_write(row['metric'], row['high'])}"


def _figures(metrics: Sequence[Row], shown: Row) -> Component:
    icons = {
        "pr_auc": "target",
        "brier_skill": "gauge",
        "ece": "activity",
        "precision_at_k": "users",
        "lead_days_median": "clock",
    }
    cards = []
    for metric, icon in icons.items():
        row, (label, explained) = _of(metrics, "any", metric), _METRICS[metric]
        if row is None:
            cards.append(ui.figure_card(label, icon, formats.UNKNOWN, note="not measured"))
            continue
        label = label.replace("at k", f"at {row['k']}") if row["k"] else label
        note = html.Span(f"90{formats.NARROW}% interval {_interval(row)}", title=explained)
        bar = ui.delta(f"bar {formats.decimal(shown['best_baseline_pr_auc'], 3)}") if metric == "pr_auc" else None
        cards.append(ui.figure_card(label, icon, _write(metric, row["value"]), change=bar, note=note))
    return html.Div(cards, className="figures")


def _comparison(metrics: Sequence[Row], shown: Row) -> Component:
    note = html.Span(
        [
            "On days later than any that were trained on, with 90",
            formats.NARROW,
            "% intervals. From ",
            ui.asset_link("ml.model_metrics"),
            ".",
        ]
    )
    head = ui.card_head("Against doing without it", note, ui.csv_link("model_metrics", version=shown["model_version"]))
    if not metrics:
        return ui.card(
            head,
            ui.nothing("inbox", "Not measured", "This version has no held-out metrics in the snapshot."),
            label="Comparison",
        )
    parts = []
    for target, words in (
        ("any", f"Degraded on any of the next {shown['horizon_days']} days"),
        ("onset", "A new degradation of a healthy feature"),
    ):
        rows = _comparison_rows(metrics, target)
        if rows:
            first = next(row for row in metrics if row["target"] == target)
            sizes = f"{formats.whole(first['rows'])} feature-days, {formats.share(first['base_rate'])} of them degraded"
            skill = (
                ""
                if target == "any" or shown["has_onset_skill"]
                else " No skill: this probability is not shown anywhere."
            )
            headers = ["Model", "Role", *(html.Span(words_[0], title=words_[1]) for words_ in _METRICS.values())]
            table = ui.table(headers, rows, label=words, numeric=tuple(range(2, 2 + len(_METRICS))))
            parts.append(html.Div([html.H3(words), html.P(f"{sizes}.{skill}", className="note"), table]))
    return ui.card(head, html.Div(parts, className="stack"), label="Comparison")


def _comparison_rows(metrics: Sequence[Row], target: str) -> list[list[Component]]:
    found: dict[str, str] = {row["model"]: row["role"] for row in metrics if row["target"] == target}
    rows = []
    for model, role in found.items():
        cells: list[Component] = [
            html.B(formats.model(model)) if role == "champion" else formats.model(model),
            ui.badge(*_ROLES[role]),
        ]
        for metric in _METRICS:
            row = _of(metrics, target, metric, model)
            cells.append(formats.UNKNOWN if row is None else ui.two_lines(_write(metric, row["value"]), _interval(row)))
        rows.append(cells)
    return rows


def _calibration(reader: Reader, version: str) -> Component:
    rows = [
        row
        for row in queries.calibration(reader, version)
        if row["predicted"] is not None and row["observed"] is not None
    ]
    head = ui.card_head(
        "When it says 30 %, is it 30 %?",
        html.Span(["Said against observed, on held-out days. From ", ui.asset_link("ml.calibration"), "."]),
        ui.csv_link("calibration", version=version),
    )
    if not rows:
        return ui.card(
            head,
            ui.nothing("gauge", "Not measured", "Calibration needs held-out days with an outcome."),
            label="Calibration",
        )
    inside = queries.bins_within(rows)
    words = f"In {inside} of {len(rows)} bins of risk, what it said lies within the interval of what was observed."
    legend = charts.legend(("line", "Observed, with interval"), ("dash", "Perfect"))
    return ui.card(
        head,
        charts.chart(charts.calibration_chart(rows), words, height=260),
        legend,
        html.P(words, className="hint"),
        label="Calibration",
    )


def _importance(reader: Reader, shown: Row) -> Component:
    version = shown["model_version"]
    rows = queries.importance(reader, version)
    head = ui.card_head(
        "What drives it",
        html.Span(["Loss of PR-AUC when an input is shuffled. From ", ui.asset_link("ml.feature_importance"), "."]),
        ui.csv_link("importance", version=version),
    )
    if not rows:
        return ui.card(
            head, ui.nothing("brain", "No importances", "A baseline has no inputs to shuffle."), label="Importance"
        )
    # A baseline looks at one input or none: what is worth most to the best that learns says more.
    candidate = rows[0].get("candidate_model")
    is_of_candidate = shown["is_baseline"] and candidate is not None
    if is_of_candidate:
        rows = queries.of_candidate(rows)
    helpful = queries.helpful_inputs(rows)
    useful = helpful[:_MOST_INPUTS]
    largest = max(max(row["high"] or 0, row["importance"] or 0) for row in useful) or 1
    items = []
    for row in useful:
        value, low, high = (max(row[key] or 0, 0) / largest for key in ("importance", "low", "high"))
        bar = html.Span(
            [
                html.I(style={"width": f"{100 * value:.1f}%"}),
                html.S(style={"left": f"{100 * low:.1f}%", "width": f"{100 * max(high - low, 0):.1f}%"}),
            ],
            className="bar-track",
            **{"aria-hidden": "true"},
        )
        what, _, how = row["description"].partition(", ")
        items.append(
            html.Li(
                [
                    html.Span(ui.two_lines(formats.words(what), how), title=row["input"]),
                    bar,
                    html.Span(formats.decimal(row["importance"], 3), className="num"),
                ],
                className="bar-row",
            )
        )
    said = [
        f"{formats.plural(len(helpful) - len(useful), 'lesser input')} in the CSV."
        if len(helpful) > len(useful)
        else None,
        f"Shuffling {formats.plural(len(rows) - len(helpful), 'other input')} loses nothing."
        if len(rows) > len(helpful)
        else None,
    ]
    if is_of_candidate:
        said.insert(0, f"To {formats.model(str(candidate)).lower()}, the best that learns, beside the baseline in use.")
    rest = html.P(" ".join(filter(None, said)), className="hint")
    return ui.card(head, html.Ul(items, className="bars"), rest, label="Importance")


def _ledger(reader: Reader) -> Component:
    rows = list(reversed(queries.ledger_by_week(reader)))
    head = ui.card_head(
        "How past scores turned out",
        html.Span(["By week of the score, once its future is known. From ", ui.asset_link("ml.score_ledger"), "."]),
        ui.csv_link("scores_by_week"),
    )
    if not rows:
        return ui.card(
            head,
            ui.nothing("history", "Nothing is graded yet", "A score is graded when its days have passed."),
            label="Ledger",
        )
    weeks = [row["week"] for row in rows]
    series = {"Said": [row["predicted"] for row in rows], "Degraded": [row["observed"] for row in rows]}
    texts = {name: [formats.share(value) for value in values] for name, values in series.items()}
    figure = charts.line_chart(
        weeks, series, "fraction", texts=texts, yaxis={"tickformat": ".0%", "rangemode": "tozero"}
    )
    scores = sum(row["scores"] for row in rows)
    words = f"{formats.plural(scores, 'graded score')}, Brier score {formats.decimal(queries.mean_brier(rows), 3)}."
    return ui.card(
        head,
        charts.chart(figure, words),
        charts.legend(("line", "Mean risk said"), ("s2", "Share that degraded")),
        html.P(words, className="hint"),
        label="Ledger",
    )


def _outcomes(reader: Reader) -> Component:
    top, recent = queries.ledger_top(reader), queries.recent_scores(reader)
    head = ui.card_head("The first three of each day, by users at risk", _top_words(top), ui.csv_link("scores"))
    if not recent:
        return ui.card(
            head, ui.nothing("history", "No scores yet", "They come with the first model."), label="Outcomes"
        )
    waiting, graded = [row for row in recent if not row["is_graded"]], [row for row in recent if row["is_graded"]]
    body = [
        [
            formats.day(row["event_date"]),
            html.A(row["feature"], href=links.feature(row["feature"])),
            formats.probability(row["risk_probability"]),
            _outcome(row),
        ]
        for row in [*waiting[:3], *graded[:9]]
    ]
    return ui.card(
        head,
        ui.table(["Day", "Feature", "Said", "What happened"], body, label="Outcomes", numeric=(2,)),
        label="Outcomes",
    )


def _top_words(top: Row | None) -> str:
    if not top or not top["named"]:
        return "Nothing is graded yet"
    known = top["named"] - top["unknown"]
    lead = f", {formats.decimal(top['lead_days'], 0)} days ahead in the median" if top["lead_days"] is not None else ""
    return f"Of {formats.whole(known)} that were named, {formats.share(queries.hit_share(top))} degraded{lead}"


def _outcome(row: Row) -> Component:
    if not row["is_graded"]:
        return html.Span(f"known on {formats.day(row['graded_date'])}", className="note")
    if row["label_any"] is None:
        return html.Span([ui.icon("circle-question-mark"), "cannot be told"], className="row tight note")
    if not row["label_any"]:
        return html.Span([ui.icon("circle-check"), "stayed well"], className="row tight")
    what = f": {row['degraded_metrics_ahead'].replace(',', ', ')}" if row["degraded_metrics_ahead"] else ""
    after = f" after {formats.plural(row['days_to_degradation'], 'day')}" if row["days_to_degradation"] else ""
    return html.Span([ui.icon("triangle-alert"), f"degraded{after}{what}"], className="row tight")


def _history(versions: Sequence[Row], shown: str, request: Request) -> Component:
    body = [
        [
            html.A(
                f"Version {row['model_version']}",
                href=request.url(version=row["model_version"]),
                **({"aria-current": "true"} if row["model_version"] == shown else {}),
            ),
            ui.badge(*_ALIASES.get(row["alias"] or "", ("none", "circle-dashed", "Never live"))),
            formats.model(row["champion_model"]),
            ui.two_lines(formats.decimal(row["pr_auc"], 3), f"bar {formats.decimal(row['best_baseline_pr_auc'], 3)}"),
            _live(row),
            html.Span(formats.about_models(row["decision"]), className="note"),
        ]
        for row in versions[:20]
    ]
    head = ui.card_head(
        "Every model there was", "Which one was in use on which day, and why", ui.csv_link("model_versions")
    )
    table = ui.table(
        ["Version", "Stands", "Kind", "PR-AUC", "Live", "Decision"], body, label="Model versions", numeric=(3,)
    )
    return ui.card(head, table, label="Model versions")


def _live(row: Row) -> Component:
    if row["live_from"] is None:
        return html.Span("never", className="note")
    return formats.span(row["live_from"].date(), row["live_until"].date() if row["live_until"] else None)


def _card(row: Row) -> Component:
    facts = {
        "Predicts": f"P(degraded within {row['horizon_days']} days)",
        "Trained through": formats.day(row["trained_through"], year=True),
        "Saved": formats.moment(row["created_at"]),
        "Is a baseline": "yes" if row["is_baseline"] else "no",
        "New degradations": "predicted" if row["has_onset_skill"] else "no skill, not shown",
        "Training data": html.Code(row["data_fingerprint"][:16]),
        "Inputs contract": html.Code(row["inputs_fingerprint"][:16]),
        "Code": html.Code(row["code_version"][:16]),
        "Model file": html.Code(row["artifact_sha256"][:16]),
    }
    pairs = [part for name, value in facts.items() for part in (html.Dt(name), html.Dd(value))]
    return ui.card(
        ui.card_head("What it was made of", html.Span(["From ", ui.asset_link("ml.model_versions")])),
        html.Dl(pairs, className="facts"),
        label="Model card",
    )
