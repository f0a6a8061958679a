"""ml.predictions: the log of the server of models, day by day, with what came of it; the daily look for drift."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd

from quality_assets.contracts.served import PREDICTIONS
from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.quality.alerting import Fault
from quality_assets.progress import Progress
from quality_assets.settings import Settings
from quality_assets.stores.frames import as_arrow, replace_rows
from quality_assets.stores.landing import PREDICTIONS_FOLDER
from quality_assets.stores.logged_predictions import known_outcomes
from quality_assets.stores.operations.store import operations_of
from quality_assets.stores.released import VersionUnavailableError
from quality_assets.stores.user_models import AlteredModelError, BusyError, RefusedModelError, UnknownModelError
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables import brought_models
from quality_assets.tables.alerts import record_evaluation
from quality_assets.tables.drift_reports import DriftReport
from quality_assets.tables.model_drift import check_drift
from quality_assets.tables.recalibration import recalibrate
from quality_assets.tables.risk_drift import risk_report

log = logging.getLogger(__name__)

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
    if known is not None and known[0] >= logged:
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
    """Look for drift of every model in use, and learn its intervals from what came: a report each, an alert where there
    is one."""
    found = []
    for use_case in TABULAR.values():
        progress(f"looking at {use_case.name}")
        try:
            report = check_drift(session, use_case)
            recalibrate(session.settings, use_case)
        except VersionUnavailableError:
            continue
        found.append(report)
        _tell(session.settings, report, run_id)
    # What the monitor finds of feature_risk is an alert of its own; here is the report beside those of other models.
    of_risk = risk_report(session)
    if of_risk.content["days"]:
        found.append(of_risk)
    return [*found, *_watch_brought(session.settings, progress, run_id)]


def _watch_brought(settings: Settings, progress: Progress, run_id: str) -> list[DriftReport]:
    """The same of the models that people brought; one that cannot be asked is told of, and holds up no other."""
    found = []
    for name in brought_models.names(settings):
        progress(f"looking at {name}")
        try:
            report = brought_models.look_for_drift(settings, name)
        except (AlteredModelError, RefusedModelError, UnknownModelError, BusyError) as error:
            log.warning("%s cannot be looked at: %s", name, error)
            continue
        found.append(report)
        _tell(settings, report, run_id)
    return found


def _tell(settings: Settings, report: DriftReport, run_id: str) -> None:
    """Raise an alert where a model has drifted, or note that it has not; where nothing is known the alert stays."""
    faults = [_fault(report, run_id)] if report.status == "alert" else []
    with operations_of(settings).write() as connection:
        evaluation = run_id or datetime.now(UTC).isoformat()
        record_evaluation(connection, KIND, f"ml.{report.model}_model", faults, evaluation=evaluation)


def _fault(report: DriftReport, run_id: str) -> Fault:
    is_worse = bool(report.content["performance"]["is_drifted"])
    return Fault(
        kind=KIND,
        subject=f"ml.{report.model}_model",
        check_name="drift",
        title=f"{report.model} has drifted",
        message=f"Version {report.version}: {report.words}.",
        severity="high" if is_worse else "medium",
        action=f"Open /models/{report.model}; {_mend(report.model)}",
        evaluation=run_id,
        run_id=run_id,
    )


def _mend(name: str) -> str:
    verb = f"retrain where the change is to stay: quality train {name}."
    return verb if name in TABULAR else "deploy a version that has learnt from such rows where the change is to stay."
