"""Models that people bring: the form that deploys one, their list, and the page of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

from dash_app import formats
from dash_app.components import ui
from dash_app.components.forms import choice, field, write_form
from dash_app.components.markup import Element, drawn
from dash_app.pages import model_watching as watching
from quality_assets.read import brought_models as reading
from quality_assets.read import links
from quality_assets.serve.api.user_models import DEPLOY_PATH
from quality_assets.settings import Settings
from quality_assets.stores.user_models import AlteredModelError
from quality_assets.tables.brought_models import is_brought
from quality_assets.tables.drift_reports import read_report

__all__ = ["build", "deploy_form", "figure", "is_brought", "listed", "reading"]

Component = Any
Row = Mapping[str, Any]
_FIGURES = {"accuracy": "Accuracy", "r2": "R²", "mae": "Mean error"}


def on_sample(row: Row) -> str:
    """How well it does on its sample, in words; the sample may be what it learnt from."""
    found = row["on_sample"] or {}
    return ", ".join(f"{_FIGURES.get(name, name)} {formats.number(value)}" for name, value in found.items())


def figure(row: Row) -> Component:
    """The figure of one."""
    return ui.figure_card(
        row["name"],
        "inbox",
        f"version {row['version']}" if row["version"] else formats.UNKNOWN,
        note=f"brought; {row['candidate'] or 'cannot be read'}",
        href=links.model(row["name"]),
    )


def listed(rows: Sequence[Row]) -> Component:
    """All of them; nothing where there is none."""
    if not rows:
        return None
    headers = ["Model", "Predicts", "Kind", "In use", "Learner", "On its sample", "Drift"]
    body = [
        [
            html.A(row["name"], href=links.model(row["name"])),
            row["predicts"] or formats.UNKNOWN,
            row["kind"] or formats.UNKNOWN,
            f"version {row['version']} of {row['versions']}" if row["version"] else "none",
            row["candidate"] or formats.UNKNOWN,
            on_sample(row) or "no target in it",
            ui.badge(*watching.DRIFT[row["drift"]]),
        ]
        for row in rows
    ]
    head = ui.card_head("Models that people brought", "Each is read and asked in a process of its own.")
    return ui.card(head, ui.table(headers, body, label="Models that people brought"), label="Brought models")


def deploy_form() -> Component:
    """Two steps: the contract is learnt and shown, then confirmed. `deploys.js` sends both."""
    fields = [
        field("name", "Name", hint="small letters, digits, _", is_required=True),
        choice("kind", "Kind", [("classification", "classification"), ("regression", "regression")], "classification"),
        _file("model", "Model (.skops)", ".skops"),
        _file("sample", "Sample of its rows (CSV, Parquet)", ".csv,.parquet"),
        field("target", "Target column", hint="if the sample has one"),
    ]
    learn = Element("button", {"type": "submit", "className": "button"}, "Learn the contract")
    keep = Element("button", {"type": "button", "className": "button primary", "data-keep": "1", "hidden": True},
                   "Confirm and deploy")  # fmt: skip
    said = Element("p", {"className": "form-said", "role": "alert"}, None)
    contract = Element("div", {"className": "deploy-contract", "aria-live": "polite"}, None)
    attributes = {"data-deploy": DEPLOY_PATH, "className": "write-form", "aria-label": "Bring a model"}
    form = drawn(Element("form", attributes, [*fields, learn, keep, said, contract]), "forms")
    note = (
        "A model of scikit-learn saved by skops, and a sample of its rows, from which the contract and the reference of"
        " drift are learnt. Pickle and joblib files run what their author wrote as they are read, and are refused."
    )
    examples = html.Div([_example("classification"), _example("regression")], className="row below")
    return ui.card(ui.card_head("Bring a model", note), form, examples, label="Bring a model")


def _file(name: str, label: str, accept: str) -> Element:
    chosen = Element("input", {"type": "file", "name": name, "accept": accept, "required": True})
    return Element("label", {"className": "field file"}, [html.Span(label), chosen])


def _example(kind: str) -> Component:
    return html.Button(
        f"fill in the {kind} example", type="button", className="button quiet", **{"data-deploy-example": kind}
    )


def build(settings: Settings, name: str) -> Component:
    """The page of one."""
    try:
        told = reading.told_of(settings, name)
    except AlteredModelError as error:
        return ui.nothing(
            "circle-x", f"{name} cannot be read", str(error), html.A("Models", href="/models"), is_page=True
        )
    address = watching.address_of(name)
    buttons = watching.head_buttons(address)
    lead = f"Predicts {told['predicts']}. A model that was brought, of kind {told['kind']}."
    return html.Div(
        [
            ui.page_head(name, lead, buttons, html.A("Models", href="/models")),
            _figures(told),
            _try(told, address),
            html.Div([_contract(told), watching.drift_card(read_report(settings, name))], className="grid-2"),
            watching.limits_card(settings, name),
            html.Div([_versions(told, address), watching.releases_card(told)], className="grid-2"),
        ],
        className="stack",
    )


def _figures(told: Row) -> Component:
    cards = [
        ui.figure_card("In use", "circle-check", f"version {told['version']}", note=f"since {_day(told['since'])}"),
        ui.figure_card("Learner", "brain", told["candidate"], note=told["kind"]),
        *(
            ui.figure_card(
                _FIGURES.get(name, name), "target", formats.number(value), note="on its sample, which it may know"
            )
            for name, value in (told["on_sample"] or {}).items()
        ),
        ui.figure_card(
            "Drift", "eye", watching.DRIFT[told["drift"]][2], note=told["drift_words"] or "nobody has looked yet"
        ),
    ]
    return html.Div(cards, className="figures")


def _day(text: str | None) -> str:
    return text.partition("T")[0] if text else formats.UNKNOWN


def _try(told: Row, address: str) -> Component:
    form = write_form(
        [_field(each) for each in told["inputs"]],
        f"{address}/predict",
        "Predict",
        label="Try a prediction",
        done="Predicted",
    )
    note = "Confidence is said where the model was calibrated on rows of its own, and never made up."
    return ui.card(ui.card_head("Try it", note), form, label="Try it")


def _field(each: Row) -> Any:
    if each["type"] == "category" and each["values"]:
        return choice(each["name"], each["name"], [(value, value) for value in each["values"]], each["values"][0])
    is_number = each["type"] == "number"
    middle = f"{(each['minimum'] + each['maximum']) / 2:.6g}" if is_number else None
    kind = "number" if is_number else "text"
    return field(each["name"], each["name"], kind=kind, value=middle, is_required=not each["nullable"])


def _contract(told: Row) -> Component:
    rows = [
        [each["name"], each["type"], _values(each), "may be unknown" if each["nullable"] else "needed"]
        for each in told["inputs"]
    ]
    table = ui.table(["Input", "Type", "Seen in the sample", "Presence"], rows, label="Contract")
    note = f"Learnt from {formats.plural(told['sample_rows'], 'row')}, and confirmed when it was deployed."
    return ui.card(ui.card_head("What it is asked with", note), table, label="Contract")


def _values(each: Row) -> str:
    if each["type"] == "number":
        return f"{formats.number(each['minimum'])} to {formats.number(each['maximum'])}"
    return "any text" if each["values"] is None else ", ".join(each["values"])


def _versions(told: Row, address: str) -> Component:
    rows = [
        [
            f"{row['version']} (in use)" if row["is_in_use"] else row["version"],
            _day(row["created_at"]),
            row["actor"],
            on_sample(row) or "no target in it",
            "" if row["is_in_use"] else watching.put_in_use(address, row["version"]),
        ]
        for row in reversed(told["versions"])
    ]
    table = ui.table(["Version", "Deployed", "By", "On its sample", "Release"], rows, label="Versions")
    return ui.card(ui.card_head("Versions", "The newest that was deployed is in use, unless somebody said otherwise."),
                   table, label="Versions")  # fmt: skip
