"""The retention page: who comes back to a feature, always by one kind of return, cohort by cohort."""

from __future__ import annotations

from datetime import date

from dash import html

from dash_app import formats
from dash_app.components import charts, ui
from dash_app.components.markup import drawn
from dash_app.pages.feature_parts import Component
from dash_app.pages.impact import doubt, no_impact
from quality_assets.contracts.impact import RETENTION_KINDS
from quality_assets.domain.impact import impact_words as words
from quality_assets.read import impact as queries
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, Row

TITLE = "Retention"
_DAYS = (1, 2, 3, 4, 5, 6, 7, 14, 21, 28, 30)
_COHORTS = 40
_FIRST_FEATURES = 24
_KIND_NAMES = {"exact": "On the day", "within_30": "From the day to day 30", "on_or_after": "On the day or later"}


def build(reader: Reader, request: Request) -> Component:
    """The page."""
    features = queries.retained_features(reader)
    head = ui.page_head(TITLE, "Who comes back, by what counts as coming back.", [ui.copy_link()])
    if not features and queries.adoption(reader):
        young = ui.nothing(
            "history", "Not known yet", "Nobody's first use is a whole day ago: returns are told from then on."
        )
        return html.Div([head, ui.card(young)], className="stack")
    if not features:
        return html.Div([head, ui.card(no_impact(reader))], className="stack")
    asked = request.query.get("feature", "*")
    feature = asked if asked in features else "*"
    kind = queries.retention_kind(request.query.get("kind"))
    return html.Div(
        [
            head,
            _choice(request, features, feature, kind),
            _said(reader, feature, kind),
            triangle(reader, feature, kind),
            doubt(reader),
        ],
        className="stack",
    )


def _choice(request: Request, features: list[str], feature: str, kind: str) -> Component:
    kinds = html.Div(
        [
            html.A(
                _KIND_NAMES[each],
                href=request.url(kind=each),
                className="on" if each == kind else "",
                **({"aria-current": "true"} if each == kind else {}),
            )
            for each in RETENTION_KINDS
        ],
        className="segments",
        role="group",
        **{"aria-label": "What counts as a return"},
    )
    shown, folded = features[:_FIRST_FEATURES], features[_FIRST_FEATURES:]
    if feature in folded:
        shown = [*shown, feature]
    row = html.Div([_feature_link(request, name, name == feature) for name in shown], className="filter-row")
    links = html.Div([_feature_link(request, name) for name in folded if name != feature], className="filter-row")
    more = html.Details(
        [html.Summary(formats.plural(len(features) - len(shown), "more feature")), drawn(links)], className="fold"
    )
    return html.Div([kinds, row, more if len(features) > len(shown) else None], className="stack")


def _feature_link(request: Request, name: str, is_chosen: bool = False) -> Component:
    return html.A(
        "The product" if name == "*" else name,
        href=request.url(feature=name),
        className="chip-filter" if is_chosen else "chip",
        **({"aria-current": "true"} if is_chosen else {}),
    )


def _said(reader: Reader, feature: str, kind: str) -> Component:
    means = queries.retention_means(reader, feature, kind)
    figure = charts.line_chart(
        [row["day_n"] for row in means],
        {_KIND_NAMES[kind]: [row["rate"] for row in means]},
        "fraction",
        xaxis=charts.whole_days([row["day_n"] for row in means]),
    )
    sentence = queries.retention_sentence(reader, feature, kind)
    return ui.card(
        html.P(html.B(formats.typeset(sentence))),
        charts.chart(figure, f"Share that returns by day: {sentence}") if means else None,
        html.P(queries.left_out_note(reader, feature, kind), className="note"),
        label="In a sentence",
    )


def triangle(reader: Reader, feature: str, kind: str) -> Component:
    """The last cohorts by day; what is not over yet is empty, and what came first is greyed."""
    rows = queries.retention_rows(reader, feature, kind)
    cohorts: dict[date, dict[int, Row]] = {}
    for row in rows:
        cohorts.setdefault(row["cohort_date"], {})[row["day_n"]] = row
    body = []
    for cohort in sorted(cohorts, reverse=True)[:_COHORTS]:
        cells = cohorts[cohort]
        first = next(iter(cells.values()))
        was_there = str(first["verdict"]).startswith(words.ALREADY_THERE)
        name = formats.day(cohort)
        body.append(
            [
                ui.two_lines(name, "already there") if was_there else name,
                formats.whole(first["eligible"]),
                *(_cell(cells.get(n)) for n in _DAYS),
            ]
        )
    note = html.Span(["Empty where the days are not over. From ", ui.asset_link(queries.RETENTION)])
    return ui.card(
        ui.card_head("Cohorts by day of first use", note, ui.csv_link("retention", feature=feature, kind=kind)),
        ui.table(
            ("First use", "New users", *(f"Day {n}" for n in _DAYS)),
            body,
            label="Retention by cohort",
            numeric=tuple(range(1, len(_DAYS) + 2)),
        ),
        label="Cohorts",
    )


def _cell(row: Row | None) -> str:
    return formats.share(row["rate"]) if row and row["is_final"] else ""
