"""`/sources/<name>`: one watched table: its batches, what was found in the last, its columns, what is said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from dash import html

from dash_app import formats
from dash_app.components import ui
from dash_app.components.forms import actor_field, field, write_button, write_form
from dash_app.pages import source_history
from dash_app.pages.sources import drop_zone, score_text, state_badge, usual, wrong_files
from dash_app.pages.states import not_found
from quality_assets.domain.wording import capitalised, figure_text
from quality_assets.read import links
from quality_assets.read.links import Request
from quality_assets.settings import Settings
from quality_assets.stores.operations.store import operations_of
from quality_assets.tables.datasets.reading import state_of, told_of
from quality_assets.tables.datasets.registering import UnknownDatasetError
from quality_assets.tables.own_files import wrong_datasets

Component = Any
_NEWEST = 10
_API = "/api/v1/data-quality/sources/"


def build(settings: Settings, request: Request) -> Component:
    """The page."""
    name = links.dataset_of(request.path) or ""
    try:
        with operations_of(settings).read() as connection:
            told = told_of(connection, name)
    except UnknownDatasetError:
        return not_found(request.path)
    check = write_button("Check now", f"{_API}{quote(name)}/check", {}, done="Asked: it is checked in a moment")
    return html.Div(
        [
            ui.page_head(name, _lead(told), [actor_field(), check], html.A("Sources", href="/sources")),
            wrong_files(wrong_datasets(settings, name)),
            _figures(told),
            ui.card(
                ui.card_head("What was found", _batch_note(told)),
                _findings(told) if told["findings"] else _nothing_found(told),
                label="Findings",
            ),
            source_history.scores(told["batches"]),
            _columns(told["judged"]),
            _batches(told["batches"]),
            source_history.schema(told["schema_history"]),
            ui.card(
                ui.card_head("Another batch", "It is judged beside those before it."), drop_zone(name), label="Upload"
            ),
            _said(told),
        ],
        className="stack",
    )


def _lead(told: Mapping[str, Any]) -> Component:
    where = told["path"] or told["query"] or told["table"] or ""
    owner = f"of {told['owner']}" if told["owner"] else ""
    parts = [told["unreadable"] or told["late"] or "", (told["description"] or "").rstrip(". "), owner, f"from {where}"]
    return " · ".join(filter(None, parts))


def _figures(told: Mapping[str, Any]) -> Component:
    dimensions = (told["judged"] or {}).get("dimensions") or {}
    cards = [
        ui.figure_card("Score", "shield-check", score_text(told["score"]), note=f"usual: {usual(told)}"),
        *(ui.figure_card(formats.words(name), "circle-check", score_text(value)) for name, value in dimensions.items()),
    ]
    return html.Div(cards, className="figures")


def _batch_note(told: Mapping[str, Any]) -> str:
    judged, newest = told["judged"], _not_judged(told)
    title, why = newest or ("", "")
    # Else it is said where the findings would stand.
    after = f" {title}: {why}" if newest and told["findings"] else ""
    if judged is None:
        return "No batch was judged yet."
    learning = (judged["details"] or {}).get("learning")
    said = f"In {judged['name']}, {formats.plural(judged['rows'] or 0, 'row')}."
    return f"{said} {capitalised(learning)}.{after}" if learning else f"{said}{after}"


def _not_judged(told: Mapping[str, Any]) -> tuple[str, str] | None:
    """What became of the newest batch where it is not the one that was judged last, and why; None where it is."""
    newest = told["batches"][-1] if told["batches"] else None
    if newest is None or newest["status"] == "checked":
        return None
    if newest["status"] == "refused":
        return f"{newest['name']} cannot be read", f"{capitalised(newest['reason'] or 'no reason is known')}."
    hint = f"Servers do it by themselves; without any, `quality check {told['dataset']}` does."
    return f"{newest['name']} waits to be judged", hint


def _nothing_found(told: Mapping[str, Any]) -> Component:
    newest = _not_judged(told)
    if newest is not None:
        return ui.nothing("circle-x" if told["batches"][-1]["status"] == "refused" else "clock", *newest)
    if told["judged"] is None:
        return ui.nothing("circle-dashed", "No batch yet", "What is found in the first one is told here.")
    return ui.nothing("circle-check", "Nothing is unusual", "All that was asked of the last batch is as it was.")


def _findings(told: Mapping[str, Any]) -> Component:
    rows = [
        [
            ui.badge("bad", "circle-x", "Alert") if row["is_alerting"] else ui.badge("none", "eye", "To see"),
            formats.words(row["kind"]),
            row["sentence"],
            formats.count(row["cells"]),
            formats.share(row["expected_share"]) if row["expected_share"] is not None else formats.UNKNOWN,
            write_button(
                "Not a problem",
                f"{_API}{quote(told['dataset'])}/rules/{quote(row['rule_id'], safe='')}",
                {"state": "muted"},
                class_name="button quiet",
                done="The next batch is quiet about it",
            ),
        ]
        for row in told["findings"]
    ]
    headers = ["State", "Kind", "Finding", "Count", "Usual share", "Answer"]
    return ui.table(headers, rows, label="Findings", numeric=(3, 4))


def _batches(batches: Sequence[Mapping[str, Any]]) -> Component:
    rows = [
        [
            ui.two_lines(batch["name"], formats.moment(batch["arrived_at"])),
            ui.badge("bad", "circle-x", "Cannot be read")
            if batch["status"] == "refused"
            else state_badge(state_of(batch)),
            score_text(batch["score"]),
            formats.count(batch["rows"]),
            _found(batch),
        ]
        for batch in reversed(batches)
    ]
    head = ui.card_head("Batches", "The newest first.")
    newest, older = rows[:_NEWEST], rows[_NEWEST:]
    if not rows:
        return ui.card(head, ui.nothing("history", "No batch yet", "Each file is one."), label="Batches")
    headers = ["Batch", "State", "Score", "Rows", "What was found"]
    table = ui.table(headers, newest, label="Batches", numeric=(2, 3))
    if not older:
        return ui.card(head, table, label="Batches")
    before = ui.table(headers, older, label="Older batches", numeric=(2, 3))
    summary = html.Summary(formats.plural(len(older), "older batch", "older batches"))
    return ui.card(head, table, html.Details([summary, before], className="fold"), label="Batches")


def _found(batch: Mapping[str, Any]) -> Component | str:
    """What is worst in a batch, and beneath it which threshold it fails, or why it cannot be read."""
    worst, reason = batch["worst_finding"] or "", capitalised(batch["reason"] or "")
    return ui.two_lines(worst, reason) if worst and reason else worst or reason


def _columns(judged: Mapping[str, Any] | None) -> Component:
    head = ui.card_head("Columns", "As they are in the last batch.")
    summary = ((judged or {}).get("details") or {}).get("summary") or {}
    if not summary:
        return ui.card(
            head, ui.nothing("circle-dashed", "Nothing yet", "They are told by the first batch."), label="Columns"
        )
    rows = [
        [
            html.Code(name),
            about["kind"],
            formats.count(about["missing"]),
            formats.count(about["distinct"]),
            _range(about),
        ]
        for name, about in summary.items()
    ]
    headers = ["Column", "Kind", "Missing", "Distinct", "Range, or most frequent"]
    return ui.card(head, ui.table(headers, rows, label="Columns", numeric=(2, 3)), label="Columns")


def _range(about: Mapping[str, Any]) -> str:
    quantiles = about.get("quantiles")
    if about["kind"] == "number" and quantiles:
        # Whole to the last digit: ends of keys differ in that alone; keys and years have no thousands.
        return " to ".join(figure_text(end).replace(",", "") for end in (quantiles[0], quantiles[-1]))
    return ", ".join(str(value) for value, _ in about["top"][:3])


def _said(told: Mapping[str, Any]) -> Component:
    by_yaml = ", ".join(told["yaml_keys"])
    note = f"Its YAML file says, and wins for: {by_yaml}." if by_yaml else "What people say of it."
    form = write_form(
        [
            field("owner", "Owner", value=told["owner"], hint="who is told"),
            field("cadence", "A batch is due", value=told["cadence"] or "", hint="daily, weekly, 6h"),
            *_threshold_fields(told["thresholds"]),
        ],
        f"{_API}{quote(told['dataset'])}",
        "Keep",
        method="PUT",
        label="What is said of it",
        done="Kept",
    )
    what_if = f"{_API}{quote(told['dataset'])}/what-if"
    return ui.card(
        ui.card_head("What is said of it", note),
        html.Div([form, source_history.effect(told)], **{"data-what-if": what_if}),
        label="What is said of it",
    )


def _threshold_fields(said: Mapping[str, Any]) -> list[Component]:
    return [
        field("thresholds.score", "Fails below a score of", kind="number", value=said["score"]),
        field("thresholds.alerts", "Fails with more alerts than", kind="number", value=said["alerts"], step="1"),
        field("thresholds.missing_share", "Fails above a missing share of", kind="number", value=said["missing_share"]),
        field("thresholds.rows_at_least", "Fails below so many rows", kind="number", value=said["rows_at_least"]),
    ]
