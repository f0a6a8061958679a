"""Drift of a model that is served: from the log of predictions and what came of them, to a report and an exit code.

Where nothing was asked lately, the last quarter of the rows that it learns from is judged instead, where they have an
order in time.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from quality_assets.clock import utc_now
from quality_assets.domain.models.learning.columns_of import columns_of_frame, columns_of_rows, row_count, taken
from quality_assets.domain.models.learning.drift_replay import WINDOW_DAYS, alternatives, looks
from quality_assets.domain.models.learning.served_drift import BLOCK, DriftLimits, moved, performance
from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.domain.plain import plain_value
from quality_assets.settings import Settings
from quality_assets.stores.frames import read_frame
from quality_assets.stores.landing import PREDICTIONS_KEPT_DAYS
from quality_assets.stores.logged_predictions import known_outcomes, served_rows
from quality_assets.stores.released import Released, load_released, manifest
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.drift_limits import limits_to_look_by
from quality_assets.tables.drift_reports import DriftReport, Status, read_report, write_report
from quality_assets.tables.learning import release_log

_RECENT_DAYS = 90


def check_drift(session: WarehouseSession, use_case: TabularUseCase, limits: DriftLimits | None = None) -> DriftReport:
    """Judge the model in use and write reports/drift/NAME.json and .html. Raises VersionUnavailableError."""
    settings, moment = session.settings, utc_now()
    limits = limits or limits_to_look_by(settings, use_case.name)
    released = load_released(settings.models_dir, use_case, release_log(settings).of(use_case.name))
    frame = read_frame(session, f"select * from {use_case.training_set.qualified_name}")
    answered = served_rows(settings, use_case.name, moment.date() - timedelta(days=PREDICTIONS_KEPT_DAYS))
    past, served = (_since(answered, moment - timedelta(days=days)) for days in (2 * WINDOW_DAYS, WINDOW_DAYS))
    if len(served) >= limits.least_rows:
        found = _of_served(use_case, released, frame, served, limits)
    else:
        found = _of_last_rows(session, use_case, released, frame, limits)
    found["days"] = _days(settings, use_case, released, frame, past, limits, moment)
    found["performance"] = _outcomes(settings, use_case, released, answered, limits, moment)
    report = _report(use_case, released, found, len(served), limits, moment)
    write_report(settings, report)
    return report


def _since(rows: pd.DataFrame, first: datetime) -> pd.DataFrame:
    return rows[pd.to_datetime(rows["at"]) >= first].reset_index(drop=True) if len(rows) else rows


def _days(
    settings: Settings, use_case: TabularUseCase, released: Released, frame: pd.DataFrame, rows: pd.DataFrame,
    limits: DriftLimits, moment: datetime,
) -> list[dict[str, Any]]:  # fmt: skip
    """A look for each of the last 30 days, as limits would be tried on it; those that were made before are kept."""
    version = released.release.version
    rows = rows[rows["model_version"] == version] if len(rows) else rows
    if len(rows) < limits.least_rows:
        return []
    inputs = use_case.contract.inputs
    before = read_report(settings, use_case.name) or {}
    known = before.get("days", []) if before.get("version") == version else []
    clean = columns_of_frame(inputs, frame[frame["quarantined_because"].isna()])
    asked = columns_of_rows(inputs, [json.loads(each) for each in rows["inputs"]])
    answered = rows["prediction"].to_numpy(dtype=float)
    return looks(released.model, clean, asked, answered, [at.date() for at in rows["at"]], moment.date(), limits, known)


def _of_served(
    use_case: TabularUseCase, released: Released, frame: pd.DataFrame, served: pd.DataFrame, limits: DriftLimits
) -> dict[str, Any]:
    inputs = use_case.contract.inputs
    clean = frame[frame["quarantined_because"].isna()]
    asked = columns_of_rows(inputs, [json.loads(each) for each in served["inputs"]])
    # What another version answered is no move of this one: of such rows it is asked anew.
    is_own = (served["model_version"] == released.release.version).to_numpy()
    answered = np.where(is_own, served["prediction"].to_numpy(dtype=float), released.model.predictions(asked)[0])
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
    settings: Settings, use_case: TabularUseCase, released: Released, answered: pd.DataFrame, limits: DriftLimits,
    moment: datetime,
) -> dict[str, Any]:  # fmt: skip
    """How the version in use does on the outcomes that came in the last 30 days, whenever they were predicted.

    By when they came: where an outcome takes a month, nothing predicted in the last 30 days has one.
    """
    outcomes = known_outcomes(settings)
    came = pd.to_datetime(outcomes["at_us"], unit="us") >= moment - timedelta(days=WINDOW_DAYS)
    own = answered[answered["model_version"] == released.release.version] if len(answered) else answered
    both = (
        own.merge(outcomes.loc[came, ["request_id", "y"]], on="request_id")
        if len(own)
        else pd.DataFrame(columns=["y", *_ANSWER])
    )
    told = manifest(settings.models_dir, use_case.name, released.release.version)["headline"]
    y, predicted, low, high = (both[name].to_numpy(dtype=float) for name in ("y", *_ANSWER))
    return performance(y, predicted, low, high, told, use_case.settings.coverage, limits)


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
        "replay": alternatives(found["days"], limits),
    }
    return DriftReport(use_case.name, released.release.version, status, content["words"], found["source"], content)
