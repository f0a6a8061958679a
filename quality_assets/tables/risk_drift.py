"""Drift of feature_risk, as the daily monitor has judged it: the report, and what other limits would have told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from quality_assets.clock import utc_now
from quality_assets.domain.drift.verdicts import distance_of, least_distance_of
from quality_assets.domain.models.learning.drift_replay import WINDOW_DAYS, alternatives
from quality_assets.domain.models.learning.served_drift import DriftLimits
from quality_assets.domain.plain import plain_value
from quality_assets.domain.reports import html
from quality_assets.domain.wording import capitalised
from quality_assets.stores.files import write_atomically
from quality_assets.stores.frames import read_frame
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.drift_limits import RISK, limits_to_look_by, shown
from quality_assets.tables.drift_reports import DriftReport, Status, report_path

_DRIFT = "monitoring.data_drift"


def risk_report(session: WarehouseSession, limits: DriftLimits | None = None) -> DriftReport:
    """What the monitor found on its last day, judged by the limits in force or by others, beside the 29 days before.

    As files: reports/drift/feature_risk.json and .html.
    """
    limits = limits or limits_to_look_by(session.settings, RISK)
    frame = read_frame(
        session,
        f"select * from {_DRIFT} where event_date > (select max(event_date) from {_DRIFT}) - cast($days as integer)"
        " order by event_date, rank",
        {"days": WINDOW_DAYS},
    )
    looks = [_look(str(day), rows) for day, rows in frame.groupby(frame["event_date"].astype(str), sort=True)]
    told = frame[frame["event_date"] == frame["event_date"].max()] if len(frame) else frame
    rows = [{str(k): plain_value(v) for k, v in each.items()} for each in told.to_dict("records")]
    drifted = _moved(looks[-1:], limits)
    status: Status = "unknown" if not looks else "alert" if drifted else "ok"
    words = f"moved beyond chance: {', '.join(drifted)}" if drifted else "nothing has moved beyond chance"
    words = words if looks else "nothing was compared yet"
    content: dict[str, Any] = {
        "model": RISK, "version": "in use", "status": status, "alert": status == "alert",
        "words": words,
        "checked_at": f"{utc_now().isoformat(timespec='seconds')}Z", "drifted": drifted,
        "limits": shown(limits), "rows": rows, "days": looks, "replay": alternatives(looks, limits),
    }  # fmt: skip
    report = DriftReport(RISK, "in use", status, words, "monitor", content)
    _write(session, report)
    return report


def _look(day: str, rows: pd.DataFrame) -> dict[str, Any]:
    """A day as it was judged, so that other limits can be tried on it; what was unknown tells nothing by any."""
    known = rows[rows["status"] != "unknown"]
    found = [_compared(each) for each in known.to_dict("records")]
    return {"day": day, "rows": int(rows["n_current"].max()), "found": found}


def _compared(row: Mapping[Any, Any]) -> dict[str, Any]:
    statistic, observed = str(row["statistic"]), float(row["observed"])
    reference, current = (plain_value(row[name]) for name in ("reference_value", "current_value"))
    distance = distance_of(statistic, observed, reference, current)
    return {
        "input": f"{row['name']} of {row['feature']}" if row["feature"] else row["name"],
        "kind": row["kind"],
        "distance": distance,
        "q_value": float(row["q_value"]),
        "is_beyond": bool(observed > row["threshold"] and distance >= least_distance_of(statistic)),
    }


def _moved(looks: list[dict[str, Any]], limits: DriftLimits) -> list[str]:
    return [name for each in alternatives(looks, limits)[:1] for name in each["inputs"]] if looks else []


def _write(session: WarehouseSession, report: DriftReport) -> None:
    path = report_path(session.settings, RISK)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(report.content, indent=1, default=plain_value))
    names = ("kind", "name", "feature", "status", "verdict")
    table = html.table(list(names), [[row[each] for each in names] for row in report.content["rows"]])
    page = html.page(f"Drift of {RISK}", f"{capitalised(report.words)}.", [table])
    write_atomically(report_path(session.settings, RISK, "html"), page)
