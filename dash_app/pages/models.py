"""`/models` and `/models/<name>`: which models answer, how well, what they learnt from, what was in use; try one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

from dash_app import formats
from dash_app.components import ui
from dash_app.components.forms import choice, field, write_form
from dash_app.components.markup import drawn
from dash_app.pages import brought_models as brought
from dash_app.pages import model_watching as watching
from dash_app.pages.states import not_found
from quality_assets.read import links
from quality_assets.read import models as reading
from quality_assets.read.links import Request
from quality_assets.settings import Settings

Component = Any
Row = Mapping[str, Any]
TITLE = "Models"
_HEADLINE_METRICS = ("r2", "rmse", "mae")
_GUARDS = {
    "target_gives_input": "The target alone gives the input",
    "input_gives_target": "The input alone gives the target",
    "identity": "An arithmetic gives the target",
    "value_cap": "Values are cut off",
    "known_after": "Known only after the decision",
}


def build(settings: Settings, _request: Request) -> Component:
    """All models."""
    rows = reading.cards(settings)
    theirs = brought.reading.cards(settings)
    used = sum(row["version"] is not None for row in (*rows, *theirs))
    risk = ui.figure_card(
        "feature_risk", "brain", "Daily", note="Scores of every feature, made each day", href=links.RISK_MODEL
    )
    lead = [
        html.B(formats.plural(len(rows) + len(theirs) + 1, "model")),
        f"; {formats.count(used)} of those asked by row in use.",
    ]
    return html.Div(
        [
            ui.page_head(TITLE, lead, [ui.copy_link()]),
            html.Div([risk, *map(_card, rows), *map(brought.figure, theirs)], className="figures"),
            ui.card(
                ui.card_head("Models that are asked by row", "How well each does on rows that it had not seen."),
                _all(rows),
                label="Models that are asked by row",
            ),
            brought.listed(theirs),
            brought.deploy_form(),
        ],
        className="stack",
    )


def _card(row: Row) -> Component:
    fit = row["figures"].get("r2")
    note = f"version {row['version']} since {_day(row['since'])}" if row["version"] else "no version is in use"
    value = formats.UNKNOWN if fit is None else f"R² {formats.decimal(fit, 3)}"
    return ui.figure_card(row["name"], "brain", value, note=note, href=links.model(row["name"]))


def _day(text: str | None) -> str:
    return text.partition("T")[0] if text else formats.UNKNOWN


def _all(rows: Sequence[Row]) -> Component:
    headers = ["Model", "Predicts", "In use", "Learner", "Held out", "R²", "Mean error", "In p10–p90", "Drift"]
    body = [
        [
            html.A(row["name"], href=links.model(row["name"])),
            f"{row['predicts']} of {row['of']}",
            f"version {row['version']}" if row["version"] else "none",
            formats.words(row["candidate"]) if row["candidate"] else formats.UNKNOWN,
            row["split"] or formats.UNKNOWN,
            formats.decimal(row["figures"].get("r2"), 3),
            formats.number(row["figures"].get("mae")),
            formats.share(row["figures"].get("coverage")),
            ui.badge(*watching.DRIFT[row["drift"]]),
        ]
        for row in rows
    ]
    return ui.table(headers, body, label="Models", numeric=(5, 6, 7))


def build_one(settings: Settings, request: Request) -> Component:
    """One model."""
    name = links.model_of(request.path) or ""
    if brought.is_brought(settings, name):
        return brought.build(settings, name)
    if name not in reading.NAMES:
        return not_found(request.path)
    told = reading.told_of(settings, name)
    address = watching.address_of(name)
    buttons = watching.head_buttons(address)
    lead = f"Predicts {told['predicts']} of {told['of']}{_in_unit(told)}."
    if told["account"] is None:
        return html.Div([ui.page_head(name, lead, buttons[:1]), ui.card(_none_yet(name))], className="stack")
    version = told["account"]["version"]
    return html.Div(
        [
            ui.page_head(name, lead, buttons, html.A(TITLE, href="/models")),
            _figures(told),
            _try(told),
            _skill(reading.evidence(settings, name, version, "metrics"), told),
            html.Div([_inputs(told), _leaks(reading.evidence(settings, name, version, "leaks"))], className="grid-2"),
            watching.beside_card(settings, told),
            watching.drift_card(reading.drift_report(settings, name)),
            watching.limits_card(settings, name),
            _periods(reading.evidence(settings, name, version, "performance"), told),
            html.Div([_versions(told, address), watching.releases_card(told)], className="grid-2"),
        ],
        className="stack",
    )


def _in_unit(told: Row) -> str:
    return f", in {told['unit']}" if told["unit"] else ""


def _none_yet(name: str) -> Component:
    return ui.nothing(
        "brain", "No version yet", "A first one is learnt from a file:", ui.command(f"quality train {name} --data FILE")
    )


def _figures(told: Row) -> Component:
    figures = told["figures"] or told["account"]["headline"]
    coverage = told["coverage_last_30d"]
    held = told["split"] or told["account"]["headline_split"]
    cards = [
        ui.figure_card(
            "In use", "circle-check", f"version {told['version']}" if told["version"] else "none",
            note=f"since {_day(told['since'])}",
        ),
        ui.figure_card("R²", "target", formats.decimal(figures.get("r2"), 3), note=f"held out by {held}"),
        ui.figure_card("Mean error", "gauge", formats.number(figures.get("mae")), note=told["unit"] or ""),
        ui.figure_card(
            "In p10–p90", "chart-scatter", formats.share(figures.get("coverage")),
            note=f"of outcomes since: {formats.share(coverage)}" if coverage is not None else "80 % is meant",
        ),
        ui.figure_card(
            "Drift", "eye", watching.DRIFT[told["drift"]][2], note=told["drift_words"] or "nobody has looked yet"
        ),
    ]  # fmt: skip
    return html.Div(cards, className="figures")


def _try(told: Row) -> Component:
    reference = told["account"]["reference"]["row"]
    fields = [_field(each, reference.get(each["name"])) for each in told["inputs"] if each["is_used"]]
    form = write_form(
        fields,
        f"{watching.address_of(told['name'])}/predict?explain=true",
        "Predict",
        label="Try a prediction",
        done="Predicted",
    )
    note = "By the server of models, with p10 and p90 and what each input adds."
    return ui.card(ui.card_head("Try it", note), form, label="Try it")


def _field(each: Row, value: Any) -> Any:
    label = f"{each['name']} ({each['unit']})" if each["unit"] else each["name"]
    if each["allowed"]:
        return choice(each["name"], label, [(name, name) for name in each["allowed"]], str(value))
    is_number = each["type"] != "VARCHAR"
    shown = value if not is_number or value is None else f"{value:.10g}"
    return field(
        each["name"], label, kind="number" if is_number else "text", value=shown, is_required=not each["nullable"]
    )


def _skill(metrics: Sequence[Row], told: Row) -> Component:
    headline = told["account"]["headline_split"]
    shown = [row for row in metrics if row["metric"] in _HEADLINE_METRICS]
    first = [row for row in shown if row["split"] == headline and row["known"] == next(iter(told["account"]["chosen"]))]
    rest = [row for row in shown if row not in first]
    note = "; ".join(f"{known}: {each['words']}" for known, each in told["account"]["chosen"].items())
    more = (
        _folded(f"{formats.plural(len(rest), 'figure')} of other splits and inputs", _skill_table(rest))
        if rest
        else None
    )
    return ui.card(ui.card_head("Beside its baselines", note), _skill_table(first), more, label="Skill")


def _folded(title: str, table: Component) -> Component:
    """What is opened by who wants it."""
    return drawn(html.Details([html.Summary(title), table]))


def _skill_table(metrics: Sequence[Row]) -> Component:
    rows = [
        [
            formats.words(row["candidate"]), row["role"], row["split"], row["known"], row["metric"],
            formats.number(row["value"]), f"{formats.number(row['low'])} to {formats.number(row['high'])}",
        ]
        for row in metrics
    ]  # fmt: skip
    headers = ["Tried", "Role", "Held out by", "Known", "Metric", "Value", "90 % interval"]
    return ui.table(headers, rows, label="Skill", numeric=(5, 6))


def _inputs(told: Row) -> Component:
    rows = [
        [
            ui.two_lines(each["name"], each["description"]),
            each["known_at"],
            "yes" if each["is_used"] else "no",
        ]
        for each in told["inputs"]
    ]
    table = ui.table(["Input", "Known", "Used"], rows, label="Inputs")
    return ui.card(ui.card_head("What it is asked with", "When each is known: before, at or after the decision."),
                   table, label="Inputs")  # fmt: skip


def _leaks(leaks: Sequence[Row]) -> Component:
    rows = [
        [_GUARDS.get(row["guard"], row["guard"]), row["inputs"], formats.decimal(row["evidence"], 3), row["verdict"]]
        for row in leaks
    ]
    table = ui.table(["Question", "Input", "Evidence", "Verdict"], rows, label="Leaks", numeric=(2,))
    return ui.card(ui.card_head("What knows the target", "What does is refused."), table, label="Leaks")


def _periods(periods: Sequence[Row], told: Row) -> Component:
    main = next(iter(told["account"]["chosen"]))
    first, rest = ([row for row in periods if (row["known"] == main) is is_main] for is_main in (True, False))
    broken = told["account"]["quarantine"]
    note = f"Set aside: {'; '.join(broken)}" if broken else "On rows that it had not seen, 80 % of them within p10–p90."
    more = _folded("Where less is known", _periods_table(rest)) if rest else None
    return ui.card(ui.card_head("Over time", note), _periods_table(first), more, label="Over time")


def _periods_table(periods: Sequence[Row]) -> Component:
    rows = [
        [
            row["period"], row["known"], formats.count(row["rows"]), formats.decimal(row["r2"], 2),
            formats.number(row["rmse"]), formats.share(row["coverage"]), row["words"] or "",
        ]
        for row in periods
    ]  # fmt: skip
    headers = ["Period", "Known", "Rows", "R²", "Error", "In p10–p90", "Finding"]
    return ui.table(headers, rows, label="Periods", numeric=(2, 3, 4, 5))


def _versions(told: Row, address: str) -> Component:
    rows = [
        [
            f"{row['version']} (in use)" if row["is_in_use"] else row["version"],
            _day(row["created_at"]),
            formats.decimal(row["r2"], 3),
            "" if row["is_in_use"] else watching.put_in_use(address, row["version"]),
        ]
        for row in reversed(told["versions"])
    ]
    table = ui.table(["Version", "Made", "R²", "Release"], rows, label="Versions", numeric=(2,))
    return ui.card(ui.card_head("Versions", "Gates are passed before any is in use."), table, label="Versions")
