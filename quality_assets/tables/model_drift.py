"""Drift of a model that is served: from the log of predictions and what came of them, to a report and an exit code.

Where nothing was asked lately, the last quarter of the rows that it learns from is judged instead, where they have an
order in time.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from quality_assets.clock import utc_now
from quality_assets.domain.models.learning.columns_of import columns_of_frame, columns_of_rows, row_count, taken
from quality_assets.domain.models.learning.served_drift import BLOCK, DriftLimits, moved, performance
from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.domain.plain import plain_value
from quality_assets.domain.reports import html
from quality_assets.domain.wording import capitalised
from quality_assets.settings import Settings
from quality_assets.stores.files import write_atomically
from quality_assets.stores.frames import read_frame
from quality_assets.stores.landing import PREDICTIONS_FOLDER
from quality_assets.stores.released import Released, load_released, manifest
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.learning import release_log

WINDOW_DAYS = 30
_RECENT_DAYS = 90

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


def check_drift(
    session: WarehouseSession, use_case: TabularUseCase, limits: DriftLimits | None = None, now: datetime | None = None
) -> DriftReport:
    """Judge the model in use and write reports/drift/NAME.json and .html. Raises VersionUnavailableError."""
    limits, moment = limits or DriftLimits(), now or utc_now()
    settings = session.settings
    released = load_released(settings.models_dir, use_case, release_log(settings).of(use_case.name))
    frame = read_frame(session, f"select * from {use_case.training_set.qualified_name}")
    served = served_rows(settings, use_case.name, moment.date() - timedelta(days=WINDOW_DAYS))
    if len(served) >= limits.least_rows:
        found = _of_served(use_case, released, frame, served, limits)
    else:
        found = _of_last_rows(session, use_case, released, frame, limits)
    found["performance"] = _outcomes(settings, use_case, released, served, limits)
    report = _report(use_case, released, found, len(served), limits, moment)
    write_report(settings, report)
    return report


def served_rows(settings: Settings, model: str, first: date) -> pd.DataFrame:
    """What a model answered since a day, without what shadows said; empty where there is none."""
    rows = logged_rows(settings, model, first)
    return rows[rows["role"] == "prod"].reset_index(drop=True) if len(rows) else rows


def logged_rows(settings: Settings, model: str, first: date) -> pd.DataFrame:
    """The log of predictions of a model since a day, shadows too; empty where there is none."""
    import pyarrow.parquet as pq

    folder = settings.landing_dir / PREDICTIONS_FOLDER
    days = sorted(path for path in folder.iterdir() if path.name >= first.isoformat()) if folder.is_dir() else []
    tables = [pq.read_table(file).to_pandas() for day in days for file in sorted(day.glob("*.parquet"))]
    if not tables:
        return pd.DataFrame()
    rows = pd.concat(tables, ignore_index=True)
    rows = rows[rows["model"] == model]
    return rows.drop_duplicates(["request_id", "model_version"]).reset_index(drop=True)


def _of_served(
    use_case: TabularUseCase, released: Released, frame: pd.DataFrame, served: pd.DataFrame, limits: DriftLimits
) -> dict[str, Any]:
    inputs = use_case.contract.inputs
    clean = frame[frame["quarantined_because"].isna()]
    asked = columns_of_rows(inputs, [json.loads(each) for each in served["inputs"]])
    answered = served["prediction"].to_numpy(dtype=float)
    rows = moved(released.model, columns_of_frame(inputs, clean), asked, answered, limits)
    return {"source": "predictions", "reference_rows": len(clean), "current_rows": len(served), "rows": rows}


def _of_last_rows(
    session: WarehouseSession, use_case: TabularUseCase, released: Released, frame: pd.DataFrame, limits: DriftLimits
) -> dict[str, Any]:
    """The last quarter of a year of the training set against what came before it."""
    time = use_case.contract.time_column
    none = {"source": "nothing", "reference_rows": len(frame), "current_rows": 0, "rows": [], "periods": []}
    if time is None or not len(frame):
        return none
    day = pd.to_datetime(frame[time])
    is_now = (day > day.max() - pd.Timedelta(days=_RECENT_DAYS)).to_numpy()
    if min(is_now.sum(), (~is_now).sum()) < limits.least_rows:
        return none
    columns = columns_of_frame(use_case.contract.inputs, frame)
    # What the day alone decides, such as its month, says nothing.
    calendar = [name for name in columns if (frame.groupby(day)[name].nunique(dropna=False) == 1).all()]
    if use_case.group is not None:
        columns[BLOCK] = frame[use_case.group].to_numpy()
    now = taken(columns, is_now)
    answered = released.model.predictions(now)[0]
    rows = moved(released.model, taken(columns, ~is_now), now, answered, limits, passed=calendar)
    periods = read_frame(
        session,
        "select period, starts, rows, rmse, words from ml.model_performance where model = $model"
        " and model_version = $version and is_alarm order by starts",
        {"model": use_case.name, "version": released.release.version},
    )
    told = [{name: plain_value(value) for name, value in each.items()} for each in periods.to_dict("records")]
    return {
        "source": "training set",
        "reference_rows": int((~is_now).sum()),
        "current_rows": row_count(now),
        "rows": rows,
        "periods": told,
    }


def _outcomes(
    settings: Settings, use_case: TabularUseCase, released: Released, served: pd.DataFrame, limits: DriftLimits
) -> dict[str, Any]:
    outcomes = known_outcomes(settings).drop(columns="model")
    both = served.merge(outcomes, on="request_id") if len(served) else pd.DataFrame(columns=["y", *_ANSWER])
    told = manifest(settings.models_dir, use_case.name, released.release.version)["headline"]
    y, predicted, low, high = (both[name].to_numpy(dtype=float) for name in ("y", *_ANSWER))
    return performance(y, predicted, low, high, told, use_case.settings.coverage, limits)


def known_outcomes(settings: Settings) -> pd.DataFrame:
    """What came of predictions: request_id, model, y, at_us; empty where nothing was told."""
    from quality_assets.stores.outcomes import Outcomes

    folder = settings.data_dir / "predictions"
    rows = Outcomes(folder).rows() if (folder / "outcomes.db").is_file() else []
    return pd.DataFrame(rows, columns=["request_id", "model", "y", "at_us"])


_ANSWER = ("prediction", "p10", "p90")


def _report(
    use_case: TabularUseCase, released: Released, found: dict[str, Any], served: int, limits: DriftLimits,
    moment: datetime,
) -> DriftReport:  # fmt: skip
    drifted = [each["input"] for each in found["rows"] if each["is_drifted"]]
    words = []
    if drifted:
        words.append(f"moved beyond chance: {', '.join(drifted)}")
    if found["performance"]["is_drifted"]:
        words.append(found["performance"]["words"])
    is_known = bool(found["rows"]) or found["performance"]["outcomes"] >= limits.least_rows
    status: Status = "alert" if words else "ok" if is_known else "unknown"
    if not words:
        words.append(
            "nothing has moved beyond chance"
            if is_known
            else f"{served} predictions of the last {WINDOW_DAYS} days are known, and {limits.least_rows} are needed"
        )
    content = {
        "model": use_case.name,
        "version": released.release.version,
        "release_seq": released.release.seq,
        "checked_at": f"{moment.isoformat(timespec='seconds')}Z",
        "window_days": WINDOW_DAYS,
        "status": status,
        "alert": status == "alert",
        "words": "; ".join(words),
        "drifted": drifted,
        "limits": asdict(limits),
        **found,
    }
    return DriftReport(use_case.name, released.release.version, status, content["words"], found["source"], content)


def report_path(settings: Settings, name: str, ending: str = "json") -> Path:
    """Where the report on a model lies."""
    return settings.reports_dir / "drift" / f"{name}.{ending}"


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
    title = f"Drift of {content['model']}"
    return html.page(title, f"{capitalised(content['words'])}.", body, tones[content["status"]])


def _performance(known: dict[str, Any]) -> html.Markup:
    return html.table(
        ["figure", "now", "from", "to", "promised"],
        [
            ("mean absolute error", known["mae"], known["mae_low"], known["mae_high"], known["mae_held_out"]),
            ("share in p10–p90", known["coverage"], known["coverage_low"], known["coverage_high"],
             known["coverage_wanted"]),
        ],
    )  # fmt: skip


def risk_drift(session: WarehouseSession) -> tuple[Status, list[dict[str, Any]]]:
    """What the daily monitor says of feature_risk: its state, and rows of monitoring.data_drift of the last day."""
    frame = read_frame(
        session,
        "select * from monitoring.data_drift where event_date = (select max(event_date) from monitoring.data_drift)",
    )
    rows = [{str(k): plain_value(v) for k, v in each.items()} for each in frame.to_dict("records")]
    if not rows:
        return "unknown", rows
    return ("alert" if any(row["status"] == "drifted" for row in rows) else "ok"), rows
