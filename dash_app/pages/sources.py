"""`/sources`: the tables that people watch, the worst first, and where a file is dropped to be judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

from dash_app import formats
from dash_app.components import ui
from dash_app.components.forms import actor_field, field, write_form
from dash_app.components.markup import Element, drawn
from quality_assets.domain.wording import capitalised
from quality_assets.read import links
from quality_assets.read.links import Request
from quality_assets.serve.api.datasets import SOURCES_PATH, UPLOAD_PATH
from quality_assets.settings import Settings
from quality_assets.stores.operations.store import operations_of
from quality_assets.tables.datasets.reading import cards
from quality_assets.tables.own_files import wrong_datasets

Component = Any
TITLE = "Sources"
_LOOKS = {
    "passed": ("good", "circle-check", "As usual"),
    "failed": ("bad", "circle-x", "Needs a look"),
    "refused": ("bad", "circle-x", "Cannot be read"),
    "learning": ("none", "circle-dashed", "Learning"),
    "waiting": ("none", "clock", "Waiting"),
    "checking": ("none", "clock", "Being checked"),
    "none yet": ("none", "circle-dashed", "No batch yet"),
}


def build(settings: Settings, _request: Request) -> Component:
    """The page."""
    with operations_of(settings).read() as connection:
        rows = cards(connection)
    return html.Div(
        [
            ui.page_head(TITLE, _lead(rows), [actor_field(), ui.copy_link()]),
            wrong_files(wrong_datasets(settings)),
            ui.card(
                ui.card_head("Drop a table", "CSV, JSON lines, Parquet, Excel; plain or compressed."),
                drop_zone(),
                label="Upload",
            ),
            ui.card(
                ui.card_head("Or watch what arrives elsewhere", "Each file is a batch; a query's result is one."),
                _watch_form(),
                label="Watch a table",
            ),
            ui.card(
                ui.card_head("Watched tables", "The worst score first."),
                _table(rows) if rows else _none(),
                label="Watched tables",
            ),
        ],
        className="stack",
    )


def wrong_files(wrong: Sequence[str]) -> Component:
    """What is wrong with files that register tables; nothing where nothing is."""
    if not wrong:
        return None
    said = [html.P([ui.icon("triangle-alert"), f" {capitalised(sentence)}"]) for sentence in wrong]
    return ui.card(*said, label="Files that cannot be used")


def _watch_form() -> Component:
    fields = [
        field("name", "Name", is_required=True),
        field("path", "Files: a path, a folder, a glob", hint="/data/orders/*.csv"),
        field("query", "Or one SELECT", hint="one statement that reads"),
        field("secret", "Which database: a reference", hint="env:SHOP_DB or file:PATH"),
        field("key[]", "Columns that no two rows share", hint="order_id"),
        field("time", "Column of times", hint="ordered_at"),
        field("owner", "Owner", hint="who is told"),
        field("cadence", "A batch is due", hint="daily, weekly, 6h"),
    ]
    return write_form(fields, SOURCES_PATH, "Watch it", label="Watch a table", done="It is watched from now on")


def _lead(rows: Sequence[Mapping[str, Any]]) -> Component:
    if not rows:
        return "Any table that a team depends on is judged here at each arrival."
    wrong = sum(row["status"] in ("failed", "refused") or bool(row["unreadable"]) for row in rows)
    watched = html.B(formats.plural(len(rows), "watched table"))
    return [
        watched,
        f", {formats.count(wrong)} of which need{'s' if wrong == 1 else ''} a look."
        if wrong
        else ", none of which needs a look.",
    ]


def _none() -> Component:
    return ui.nothing(
        "circle-dashed", "No table is watched yet", "Drop a file above, or say where its files arrive.",
        ui.command("quality dataset add NAME --path 'folder/*.csv'"),
    )  # fmt: skip


def drop_zone(dataset: str | None = None) -> Component:
    """Where a file is dropped or chosen; how far it is, and what became of it, is said below."""
    attributes = {"data-drop": UPLOAD_PATH, "data-dataset": dataset or "", "className": "drop-zone", "tabIndex": "0"}
    choose = Element("input", {"type": "file", "aria-label": "Choose a file", "multiple": "multiple"})
    children = [
        html.Span("Drop files here, or choose them: "),
        choose,
        html.Div("", className="form-said note", role="status"),
    ]
    return drawn(Element("div", attributes, children))


def state_badge(status: str) -> Component:
    """The state of a batch as colour, icon and word."""
    return ui.badge(*_LOOKS.get(status, ("none", "circle-dashed", formats.words(status))))


def late_badge(row: Mapping[str, Any]) -> Component:
    """That the next batch is overdue, where it is."""
    if row["unreadable"]:
        word = "Cannot be read" if row["score"] is None else "Cannot be read: an old score"
        return html.Span(ui.badge("bad", "circle-x", word), title=row["unreadable"])
    return html.Span(ui.badge("warn", "clock", "Late"), title=row["late"]) if row["late"] else None


def score_text(score: float | None) -> str:
    """A score with the digits that tell batches apart."""
    return formats.UNKNOWN if score is None else f"{score:.4f}"


def _table(rows: Sequence[Mapping[str, Any]]) -> Component:
    headers = ["Table", "State", "Score", "Usual", "Last 30", "Rows", "Worst finding", "Checked"]
    return ui.table(headers, [_row(row) for row in rows], label="Watched tables", numeric=(2, 5))


def _row(row: Mapping[str, Any]) -> list[Any]:
    return [
        ui.two_lines(html.A(row["dataset"], href=links.dataset(row["dataset"])), row["owner"] or row["kind"]),
        html.Div([state_badge(row["status"]), late_badge(row)]),
        score_text(row["score"]),
        usual(row),
        ui.spark(row["scores"], f"Scores of {row['dataset']}"),
        formats.count(row["rows"]),
        row["unreadable"] or row["worst_finding"] or "",
        formats.moment(row["checked_at"]) if row["checked_at"] else "",
    ]


def usual(row: Mapping[str, Any]) -> str:
    """The usual band of the score."""
    if row["usual_low"] is None:
        return formats.UNKNOWN
    return f"{row['usual_low']:.4f} to {row['usual_high']:.4f}"
