"""Cards of a model's page that say how it is watched: drift and its limits, shadows and canary, releases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from dash import html

from dash_app import formats
from dash_app.components import ui
from dash_app.components.forms import actor_field, choice, field, write_button, write_form
from dash_app.components.markup import drawn
from quality_assets.settings import Settings
from quality_assets.tables import drift_limits
from quality_assets.tables.shadow_verdicts import canary_verdict, verdicts

Component = Any
Row = Mapping[str, Any]
API = "/api/v1/model-monitoring/models/"
DRIFT = {
    "ok": ("good", "circle-check", "As it was"),
    "alert": ("bad", "circle-x", "Drifted"),
    "unknown": ("none", "circle-dashed", "Drift unknown"),
}


def address_of(name: str) -> str:
    """Where the API is asked about a model."""
    return f"{API}{quote(name)}"


def head_buttons(address: str) -> list[Component]:
    """What stands in the head of a model's page: who one is, and what may be done with the model as a whole."""
    return [
        actor_field(),
        write_button("Look for drift", f"{address}/drift-check", {}, done="Looked"),
        write_button("Roll back", f"{address}/rollback", {}, done="The version before is in use again"),
    ]


def put_in_use(address: str, version: str) -> Component:
    """The button that puts a version in use."""
    return write_button("Put in use", f"{address}/promote", {"version": version}, done=f"Version {version} is in use")


def limits_card(settings: Settings, name: str) -> Component:
    """When drift of a model is told, a form to change that, and what other limits would have told."""
    told = drift_limits.tried(settings, name)
    share, least = f"{told['false_share']:g}", f"{told['least_distance']:g}"
    form = write_form(
        [
            field("false_share", "False share of what is told", kind="number", value=share),
            field("least_distance", "Smallest distance that matters", kind="number", value=least),
        ],
        f"{address_of(name)}/limits",
        "Set limits",
        label="Limits of drift",
        method="PUT",
        done="The limits are set",
    )
    head = ui.card_head("When drift is told", told["words"])
    return ui.card(head, form, _folded(told) if told["days"] else None, label="Limits of drift")


def limits_of_risk(settings: Settings) -> Component:
    """The same below the page of feature_risk, which is kept with its snapshot and has nobody to write."""
    return html.Div([actor_field(), limits_card(settings, drift_limits.RISK)], className="stack live-parts")


def _folded(told: Row) -> Component:
    return drawn(html.Details([html.Summary("What other limits would have told"), _replay(told["replay"])]))


def _replay(rows: Sequence[Row]) -> Component:
    body = [
        [
            f"{formats.share(row['false_share'])}{' (in force)' if at == 0 else ''}",
            formats.decimal(row["least_distance"], 2),
            f"{row['days_told']} of {row['days_looked']}",
            row["first_told"] or "never",
            ", ".join(row["inputs"]) or "nothing",
        ]
        for at, row in enumerate(rows)
    ]
    headers = ["False share", "Smallest distance", "Days on which it was told", "First", "What had moved"]
    return ui.table(headers, body, label="What other limits would have told", numeric=(1,))


def drift_card(report: Row | None) -> Component:
    """What the last look found, input by input."""
    found = f"Version {report['version']}: {report['words']}." if report else "Nobody has looked yet."
    head = ui.card_head("What moved", found)
    rows = report["rows"] if report else []
    if not rows:
        return ui.card(head, label="What moved")
    body = [
        [
            row["input"], row["kind"], "moved" if row["is_drifted"] else "as it was",
            formats.decimal(row["distance"], 2), formats.decimal(row["q_value"], 3), formats.decimal(row["psi"], 2),
            formats.number(row["effect"]),
        ]
        for row in rows
    ]  # fmt: skip
    headers = ["What", "Kind", "Finding", "Distance", "q", "PSI", "Effect on the mean prediction"]
    note = html.P("The stability index (PSI) is shown and decides nothing.", className="hint")
    return ui.card(head, ui.table(headers, body, label="What moved", numeric=(3, 4, 5, 6)), note, label="What moved")


def releases_card(told: Row) -> Component:
    """Every release, the newest first."""
    rows = [
        [
            row["at"].partition(".")[0].replace("T", " "),
            f"{row['action']} {row['version']}",
            row["actor"],
            row["reason"],
        ]
        for row in reversed(told["releases"])
    ]
    table = ui.table(["When (UTC)", "What", "Who", "Why"], rows, label="Releases")
    return ui.card(ui.card_head("What was in use when", "The last release counts until the next."), table,
                   label="Releases")  # fmt: skip


_VERDICTS = {
    "better": ("good", "circle-check", "Better"),
    "worse": ("bad", "circle-x", "Worse"),
    "undecided": ("watch", "half", "No difference beyond chance"),
    "unknown": ("none", "circle-dashed", "Too little is known"),
}


def beside_card(settings: Settings, told: Row) -> Component:
    """Versions that are asked beside the one in use, the canary, their verdicts, and what is missing to decide."""
    name, address = told["name"], address_of(told["name"])
    rows = [_beside_row(each, "shadow", address) for each in verdicts(settings, name)]
    canary = canary_verdict(settings, name)
    if canary is not None:
        rows.insert(0, _beside_row(canary, f"canary, {formats.share(canary['share'])} of the keys", address))
    others = [(each["version"], f"version {each['version']}") for each in told["versions"] if not each["is_in_use"]]
    forms = [
        write_form([choice("version", "Ask too", others)], f"{address}/shadow", "Start a shadow", label="Shadow",
                   done="It is asked too"),
        write_form([choice("version", "Answer with", others),
                    field("share", "Share of the keys", kind="number", value="0.1")],
                   f"{address}/canary", "Start a canary", label="Canary", done="It answers its share"),
    ] if others and told["version"] else []  # fmt: skip
    note = (
        "A shadow is asked, and nobody sees its answers. A canary answers some keys, always the same, and is taken back"
        " by itself where it fails, is slow, or is worse on outcomes that are known."
    )
    headers = ["Version", "As", "Verdict", "Requests", "Outcomes", "Mean difference", "Asked last", ""]
    table = ui.table(headers, rows, label="Beside the version in use", numeric=(3, 4, 5)) if rows else None
    return ui.card(ui.card_head("Beside the version in use", note), table, *forms, label="Beside the version in use")


def _beside_row(row: Row, role: str, address: str) -> list[Any]:
    is_canary = role != "shadow"
    body = {"action": "stop"} | ({} if is_canary else {"version": row["version"]})
    silent = " Nothing was asked of it for an hour." if row["is_silent"] else ""
    return [
        row["version"],
        role,
        ui.two_lines(ui.badge(*_VERDICTS[row["verdict"]]), f"{row['words']}.{silent}"),
        formats.count(row["requests"]),
        formats.count(row["pairs"]),
        formats.number(row["mean_difference"]),
        row["last_asked"].partition(".")[0].replace("T", " ") if row["last_asked"] else "never",
        write_button("Take back" if is_canary else "Stop", f"{address}/{'canary' if is_canary else 'shadow'}", body),
    ]
