"""What was found of a model's drift, as files: reports/drift/NAME.json for programs, .html for people."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from quality_assets.domain.plain import plain_value
from quality_assets.domain.reports import html
from quality_assets.domain.wording import capitalised
from quality_assets.settings import Settings
from quality_assets.stores.files import write_atomically

Status = Literal["ok", "alert", "unknown"]


@dataclass(frozen=True)
class DriftReport:
    """What was found of a model. `rows`: what is told of each input and of the predictions; `words`: the finding."""

    model: str
    version: str
    status: Status
    words: str
    source: str
    content: dict[str, Any]


def report_path(settings: Settings, name: str, ending: str = "json") -> Path:
    """Where the report on a model lies."""
    return settings.reports_dir / "drift" / f"{name}.{ending}"


def read_report(settings: Settings, name: str) -> dict[str, Any] | None:
    """The last report on a model; None where there is none that can be read."""
    try:
        found = json.loads(report_path(settings, name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write_report(settings: Settings, report: DriftReport) -> None:
    """reports/drift/NAME.json and .html, each whole or not at all."""
    path = report_path(settings, report.model)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(report.content, indent=1, default=plain_value, allow_nan=False))
    write_atomically(report_path(settings, report.model, "html"), drift_page(report.content))


def drift_page(content: dict[str, Any]) -> str:
    """The same as a page that needs nothing beside it."""
    tones: dict[str, html.Tone] = {"alert": "bad", "ok": "good", "unknown": "muted"}
    known = content["performance"]
    body = [
        html.facts(
            [
                ("state", html.tag(content["status"], tones[content["status"]])),
                ("version", content["version"]),
                ("rows now", content["current_rows"]),
                ("rows it is held against", content["reference_rows"]),
                ("outcomes", known["outcomes"]),
                ("share in p10–p90", known["coverage"]),
            ]
        ),
        html.section(
            "What is asked and answered",
            "A distance matters from the limit on, where it is beyond chance. The stability index decides nothing.",
            html.table(
                ["what", "kind", "moved", "distance", "q", "PSI", "effect on the mean prediction", "before and now"],
                [
                    (
                        each["input"], each["kind"], "yes" if each["is_drifted"] else "no", each["distance"],
                        each["q_value"], each["psi"], each["effect"],
                        html.histogram(each["histogram"]["reference"], each["histogram"]["current"], each["input"]),
                    )
                    for each in content["rows"]
                ],
            ),
        ),
        html.section("How well it is predicted", known["words"] or "As well as was promised.", _performance(known)),
    ]  # fmt: skip
    if content.get("periods"):
        told = [(each["period"], each["rows"], each["rmse"], each["words"]) for each in content["periods"]]
        body.append(html.section("Periods that were worse", html.table(["period", "rows", "error", "finding"], told)))
    if content.get("replay"):
        body.append(html.section("What other limits would have told", _REPLAY, _replay(content["replay"])))
    title = f"Drift of {content['model']}"
    return html.page(title, f"{capitalised(content['words'])}.", body, tones[content["status"]])


_REPLAY = (
    "Of the looks of the last 30 days. The first line is in force. False share: of what is told to have moved, how much"
    " may not have. A shorter distance does not matter."
)


def _replay(rows: list[dict[str, Any]]) -> html.Markup:
    return html.table(
        ["false share", "least distance", "looks", "days on which it was told", "first", "what had moved"],
        [
            (
                each["false_share"], each["least_distance"], each["days_looked"], each["days_told"],
                each["first_told"] or "–", ", ".join(each["inputs"]) or "nothing",
            )
            for each in rows
        ],
    )  # fmt: skip


def _performance(known: dict[str, Any]) -> html.Markup:
    return html.table(
        ["figure", "now", "from", "to", "promised"],
        [
            ("mean absolute error", known["mae"], known["mae_low"], known["mae_high"], known["mae_held_out"]),
            ("share in p10–p90", known["coverage"], known["coverage_low"], known["coverage_high"],
             known["coverage_wanted"]),
            *([("share of wrong classes", known["error_share"], known["error_share_low"], known["error_share_high"],
                known.get("error_share_before"))] if known.get("error_share") is not None else []),
        ],
    )  # fmt: skip
