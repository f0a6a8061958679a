"""The run report: what came in, what was refused, what failed, what moved, and which features need attention.

Here: the report as a plain dict (run_report.json), as a row of `monitoring.run_report`, as text for the terminal, and
as HTML; and the drift report as HTML. Everything comes in as frames and mappings; where something is missing the report
says unknown. How pages look lives in `html_report`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import pandas as pd

from quality_assets.contracts.monitoring import RUN_REPORT
from quality_assets.domain.drift.verdicts import drifted_text
from quality_assets.domain.features.attention import features_that_need_attention, incident_order
from quality_assets.domain.plain import plain_records, plain_value, rows_of_frame
from quality_assets.domain.quality.health import UNANSWERED
from quality_assets.domain.reports import html as html
from quality_assets.domain.wording import capitalised, plural, share_text

REPORT_VERSION = 1


@dataclass(frozen=True)
class Step:
    """One step of a run. `seconds` is None where it did not end."""

    name: str
    seconds: float | None
    is_success: bool
    partitions: Sequence[str] = ()


@dataclass(frozen=True)
class RunInputs:
    """Everything a report is made from; None = not known, which is not the same as empty.

    files: rows of raw.log_files that this run loaded (source, status, reason, rows, rows_refused, path).
    valid_rows, quarantined_rows: of the partitions that were built. reasons: columns reason, rows.
    checks: rows of monitoring.check_results of this run. steps: what ran, with the partitions each step built.
    drift, incidents, scores: rows of monitoring.data_drift, product.incidents, ml.risk_scores, of the latest day.
    data_versions: name → fingerprint. code_version: of the program.
    """

    run_id: str
    reported_at: datetime
    data_through: date | None = None
    files: pd.DataFrame | None = None
    valid_rows: int | None = None
    quarantined_rows: int | None = None
    reasons: pd.DataFrame | None = None
    checks: pd.DataFrame | None = None
    steps: Sequence[Step] | None = None
    drift: pd.DataFrame | None = None
    incidents: pd.DataFrame | None = None
    scores: pd.DataFrame | None = None
    model: Mapping[str, Any] | None = None
    data_versions: Mapping[str, str] = field(default_factory=dict)
    code_version: str | None = None


def run_report(inputs: RunInputs, most_features: int = 5) -> dict[str, Any]:
    """The report as plain values, ready for JSON: the content of run_report.json."""
    report: dict[str, Any] = {
        "report_version": REPORT_VERSION,
        "run_id": inputs.run_id,
        "reported_at": inputs.reported_at.isoformat(),
        "data_through": None if inputs.data_through is None else inputs.data_through.isoformat(),
        "intake": _intake(inputs),
        "quarantine": _quarantine(inputs),
        "checks": _checks(inputs.checks),
        "steps": _steps(inputs.steps),
        "model": None if inputs.model is None else plain_value(dict(inputs.model)),
        "versions": {"code": inputs.code_version, "data": dict(inputs.data_versions)},
        "drift": drift_section(inputs.drift),
        "incidents": _incidents(inputs.incidents),
        "attention": features_that_need_attention(inputs.incidents, inputs.scores, most_features),
    }
    report["status"] = _status(report)
    report["headline"] = _headline(report)
    return report


def report_json(report: Mapping[str, Any]) -> str:
    """The report as JSON text; never NaN."""
    return json.dumps(plain_value(report), ensure_ascii=False, indent=2, allow_nan=False)


def report_row(report: Mapping[str, Any]) -> dict[str, Any]:
    """The report as one row of `monitoring.run_report`."""
    through = report["data_through"]
    values = {
        "run_id": report["run_id"],
        "reported_at": datetime.fromisoformat(report["reported_at"]).replace(tzinfo=None),
        "data_through": None if through is None else date.fromisoformat(through),
        "status": report["status"],
        "headline": report["headline"],
        "rows_in": report["intake"]["rows"],
        "rows_valid": report["intake"]["rows_valid"],
        "rows_quarantined": report["quarantine"]["rows"],
        "checks_failed": report["checks"]["failed"],
        "checks_unknown": report["checks"]["unknown"],
        "partitions_built": report["steps"]["partitions_built"],
        "inputs_drifted": report["drift"]["drifted"],
        "incidents_open": report["incidents"]["open"],
        "model_version": None if report["model"] is None else report["model"].get("model_version"),
        "report": report_json(report),
    }
    return {name: values[name] for name in RUN_REPORT.column_names}


def _intake(inputs: RunInputs) -> dict[str, Any]:
    files = inputs.files
    if files is None:
        return {
            "is_known": False,
            "files": None,
            "rows": None,
            "rows_valid": inputs.valid_rows,
            "by_source": [],
            "rejected": [],
        }
    loaded = files[files["status"] == "loaded"]
    by_source = (
        loaded.assign(source=loaded["source"].fillna("(unknown)"))
        .groupby("source", as_index=False)
        .agg(files=("rows", "size"), rows=("rows", "sum"), rows_refused=("rows_refused", "sum"))
        .sort_values("rows", ascending=False)
    )
    return {
        "is_known": True,
        "files": len(files),
        "rows": int(loaded["rows"].sum()),
        "rows_valid": inputs.valid_rows,
        "by_source": plain_records(by_source, ("source", "files", "rows", "rows_refused")),
        "rejected": plain_records(files[files["status"] == "rejected"], ("path", "reason")),
    }


def _quarantine(inputs: RunInputs) -> dict[str, Any]:
    reasons = (
        []
        if inputs.reasons is None
        else plain_records(inputs.reasons.sort_values("rows", ascending=False), ("reason", "rows"))
    )
    return {"is_known": inputs.quarantined_rows is not None, "rows": inputs.quarantined_rows, "reasons": reasons}


_CHECK_COLUMNS = (
    "asset",
    "check_name",
    "partition_key",
    "status",
    "severity",
    "is_blocking",
    "observed",
    "threshold",
    "description",
)


def _checks(checks: pd.DataFrame | None) -> dict[str, Any]:
    if checks is None:
        return {
            "is_known": False,
            "passed": None,
            "failed": None,
            "unknown": None,
            "blocking_failed": None,
            "not_passed": [],
        }
    # What blocks comes first: the first cause before its consequences.
    bad = checks[checks["status"] != "passed"].sort_values(["is_blocking", "severity"], ascending=[False, True])
    count = checks["status"].value_counts()
    return {
        "is_known": True,
        "passed": int(count.get("passed", 0)),
        "failed": int(count.get("failed", 0)),
        "unknown": int(count.get("unknown", 0)),
        "blocking_failed": int(((checks["status"] == "failed") & checks["is_blocking"].astype(bool)).sum()),
        "not_passed": plain_records(bad, _CHECK_COLUMNS),
    }


def _steps(steps: Sequence[Step] | None) -> dict[str, Any]:
    if steps is None:
        return {"is_known": False, "partitions_built": None, "seconds": None, "failed": None, "by_step": []}
    slowest = sorted(steps, key=lambda s: -(s.seconds or 0.0))
    return {
        "is_known": True,
        "partitions_built": sum(len(s.partitions) for s in steps if s.is_success),
        "seconds": sum(s.seconds or 0.0 for s in steps),
        "failed": [s.name for s in steps if not s.is_success],
        "by_step": [
            {
                "step": s.name,
                "seconds": s.seconds,
                "is_success": s.is_success,
                "partitions": len(s.partitions),
                "first_partition": min(s.partitions, default=None),
                "last_partition": max(s.partitions, default=None),
            }
            for s in slowest
        ],
    }


_DRIFT_COLUMNS = (
    "kind",
    "feature",
    "name",
    "statistic",
    "observed",
    "threshold",
    "q_value",
    "effect_on_predictions",
    "verdict",
)


def drift_section(drift: pd.DataFrame | None) -> dict[str, Any]:
    if drift is None or not len(drift):
        return {
            "is_known": False,
            "event_date": None,
            "watched": 0,
            "drifted": None,
            "unknown": None,
            "by_kind": {},
            "worst": [],
        }
    latest = drift[drift["event_date"] == drift["event_date"].max()]
    drifted = latest[latest["status"] == "drifted"].sort_values("rank")
    return {
        "is_known": True,
        "event_date": plain_value(latest["event_date"].iloc[0]),
        "watched": len(latest),
        "drifted": len(drifted),
        "unknown": int((latest["status"] == "unknown").sum()),
        "by_kind": {str(k): int(v) for k, v in drifted["kind"].value_counts().items()},
        "worst": plain_records(drifted, _DRIFT_COLUMNS, 10),
    }


def _incidents(incidents: pd.DataFrame | None) -> dict[str, Any]:
    if incidents is None:
        return {"is_known": False, "open": None, "list": []}
    is_open = incidents["end_date"].isna()
    columns = (
        "incident_id",
        "feature",
        "metric",
        "kind",
        "severity",
        "start_date",
        "detected_on",
        "affected_users",
        "sentence",
        "verdict_sentence",
    )
    rows = sorted(rows_of_frame(incidents[is_open]), key=incident_order)
    told = [{name: plain_value(row.get(name)) for name in columns} for row in rows]
    return {"is_known": True, "open": int(is_open.sum()), "list": told}


def _status(report: Mapping[str, Any]) -> str:
    checks, steps = report["checks"], report["steps"]
    if checks["blocking_failed"] or steps["failed"]:
        return "failed"
    if checks["failed"] or report["incidents"]["open"] or report["intake"]["rejected"] or report["drift"]["drifted"]:
        return "attention"
    if not checks["is_known"] or not steps["is_known"] or checks["unknown"]:
        return "unknown"
    return "ok"


def _headline(report: Mapping[str, Any]) -> str:
    parts = [_intake_text(report), _checks_text(report["checks"])]
    opened = report["incidents"]["open"]
    if opened is not None:
        parts.append(f"{opened} open incident{'' if opened == 1 else 's'}" if opened else "no open incident")
    drift = report["drift"]
    parts.append(
        drifted_text(drift["drifted"], drift["watched"], drift["unknown"]) if drift["is_known"] else "drift unknown"
    )
    if report["steps"]["failed"]:
        parts.insert(0, f"failed in {', '.join(report['steps']['failed'][:3])}")
    text = "; ".join(parts)
    return capitalised(text) + "."


def _intake_text(report: Mapping[str, Any]) -> str:
    """What came in, and the quarantine of the days built: those hold rows of earlier files too."""
    rows, valid, refused = report["intake"]["rows"], report["intake"]["rows_valid"], report["quarantine"]["rows"]
    came = "what came in is unknown" if rows is None else f"{plural(rows, 'row')} came in"
    if refused is None or valid is None:
        return f"{came}, how many are quarantined is unknown"
    total = valid + refused
    if not total:
        return f"{came}, no day was built"
    return f"{came}; {refused:,} of {total:,} on the days built are quarantined ({share_text(refused / total)})"


def _checks_text(checks: Mapping[str, Any]) -> str:
    if not checks["is_known"]:
        return "checks are unknown"
    # A check has a result a date, so that these are more than there are checks.
    asked = checks["passed"] + checks["failed"] + checks["unknown"]
    text = f"{checks['failed']} of {plural(asked, 'check result')} of this run failed"
    return text + (f", {checks['unknown']} {UNANSWERED}" if checks["unknown"] else "")


def report_text(report: Mapping[str, Any]) -> str:
    """The report for the terminal: plain lines."""
    lines = [f"Run {report['run_id']} · {report['status']}", report["headline"]]
    lines += [
        f"  {check['status']:<8} {check['asset']}.{check['check_name']}: {check['description']}"
        for check in report["checks"]["not_passed"][:10]
    ]
    lines += [f"  drift    {row['verdict']}" for row in report["drift"]["worst"][:5]]
    if report["attention"]:
        lines.append("Needs attention:")
    for entry in report["attention"]:
        lines.append(
            f"  {entry['rank']}. {entry['feature']}" + (f" ({entry['severity']})" if entry["severity"] else "")
        )
        lines += [f"     {reason}" for reason in entry["reasons"]]
    return "\n".join(lines)
