"""ml.predictions: the log of the server of models, day by day, with what came of it; the daily look for drift."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd

from quality_assets.contracts.served import PREDICTIONS
from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.quality.alerting import Fault
from quality_assets.progress import Progress
from quality_assets.stores.frames import as_arrow, replace_rows
from quality_assets.stores.landing import PREDICTIONS_FOLDER
from quality_assets.stores.operations.store import operations_of
from quality_assets.stores.released import VersionUnavailableError
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.alerts import record_evaluation
from quality_assets.tables.model_drift import DriftReport, check_drift, known_outcomes

KIND = "model drift"


def build_predictions(session: WarehouseSession) -> int:
    """Read the days of the log that have more rows than were read, and the outcomes since; rows there are.

    What the log has forgotten stays here.
    """
    folder = session.settings.landing_dir / PREDICTIONS_FOLDER
    for day in sorted(folder.iterdir()) if folder.is_dir() else ():
        when = _date_of(day)
        if when is not None:
            _read_day(session, day, when)
    _add_outcomes(session)
    row = session.connection.execute(f"select count(*) from {PREDICTIONS.qualified_name}").fetchone()
    return int(row[0]) if row else 0


def _date_of(day: Path) -> date | None:
    try:
        return date.fromisoformat(day.name)
    except ValueError:
        return None


def _read_day(session: WarehouseSession, day: Path, when: date) -> None:
    import pyarrow.parquet as pq

    files = sorted(day.glob("*.parquet"))
    logged = sum(pq.read_metadata(file).num_rows for file in files)
    known = session.connection.execute(
        f"select count(*) from {PREDICTIONS.qualified_name} where event_date = $day", {"day": when}
    ).fetchone()
    if known is not None and known[0] == logged:
        return
    rows = pd.concat([pq.read_table(file).to_pandas() for file in files], ignore_index=True)
    rows = rows.drop_duplicates(["request_id", "model_version"]).assign(event_date=when)
    replace_rows(session, PREDICTIONS, rows, "event_date = $day", {"day": when})


def _add_outcomes(session: WarehouseSession) -> None:
    told = known_outcomes(session.settings)
    if not len(told):
        return
    told["outcome_at"] = pd.to_datetime(told.pop("at_us"), unit="us")
    connection = session.connection
    connection.register("outcomes_told", as_arrow(PREDICTIONS, told).select(["request_id", "y", "outcome_at"]))
    connection.execute(
        f"update {PREDICTIONS.qualified_name} as p set y = o.y, outcome_at = o.outcome_at from outcomes_told as o"
        " where p.request_id = o.request_id and p.y is null"
    )
    connection.unregister("outcomes_told")


def watch_models(session: WarehouseSession, progress: Progress, run_id: str = "") -> list[DriftReport]:
    """Look for drift of every model in use: a report each, and an alert where there is one."""
    found = []
    for use_case in TABULAR.values():
        progress(f"looking at {use_case.name}")
        try:
            report = check_drift(session, use_case)
        except VersionUnavailableError:
            continue
        found.append(report)
        faults = [_fault(report, run_id)] if report.status == "alert" else []
        with operations_of(session.settings).write() as connection:
            evaluation = run_id or datetime.now(UTC).isoformat()
            record_evaluation(connection, KIND, f"ml.{use_case.name}_model", faults, evaluation=evaluation)
    return found


def _fault(report: DriftReport, run_id: str) -> Fault:
    is_worse = bool(report.content["performance"]["is_drifted"])
    return Fault(
        kind=KIND,
        subject=f"ml.{report.model}_model",
        check_name="drift",
        title=f"{report.model} has drifted",
        message=f"Version {report.version}: {report.words}.",
        severity="high" if is_worse else "medium",
        action=f"Open /models/{report.model}; retrain where the change is to stay: quality train {report.model}.",
        evaluation=run_id,
        run_id=run_id,
    )
