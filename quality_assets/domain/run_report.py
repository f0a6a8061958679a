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
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from quality_assets.contracts.drift import RUN_REPORT
from quality_assets.contracts.incidents import INCIDENT_SEVERITIES
from quality_assets.domain import html_report as html
from quality_assets.domain.html_report import Markup, Tone
from quality_assets.domain.wording import plural, share_text

REPORT_VERSION = 1
_SEVERITY_TONES: dict[str, Tone] = {"critical": "bad", "high": "bad", "medium": "warn", "low": "muted"}
_STATUS_TONES: dict[str, Tone] = {
    "ok": "good",
    "passed": "good",
    "attention": "warn",
    "drifted": "warn",
    "failed": "bad",
    "unknown": "muted",
}


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
        "model": None if inputs.model is None else _plain(dict(inputs.model)),
        "versions": {"code": inputs.code_version, "data": dict(inputs.data_versions)},
        "drift": _drift(inputs.drift),
        "incidents": _incidents(inputs.incidents),
        "attention": features_that_need_attention(inputs.incidents, inputs.scores, most_features),
    }
    report["status"] = _status(report)
    report["headline"] = _headline(report)
    return report


def report_json(report: Mapping[str, Any]) -> str:
    """The report as JSON text; never NaN."""
    return json.dumps(_plain(report), ensure_ascii=False, indent=2, allow_nan=False)


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


def _plain(value: Any) -> Any:
    """Numpy, pandas and dates as JSON values; NaN and infinities as null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value.isoformat() if isinstance(value, date) else value


def _records(frame: pd.DataFrame, columns: Sequence[str], most: int | None = None) -> list[dict[str, Any]]:
    known = [c for c in columns if c in frame]
    rows = frame[known].head(most) if most is not None else frame[known]
    return [{str(c): _plain(v) for c, v in row.items()} for row in rows.to_dict("records")]


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
        "by_source": _records(by_source, ("source", "files", "rows", "rows_refused")),
        "rejected": _records(files[files["status"] == "rejected"], ("path", "reason")),
    }


def _quarantine(inputs: RunInputs) -> dict[str, Any]:
    reasons = (
        []
        if inputs.reasons is None
        else _records(inputs.reasons.sort_values("rows", ascending=False), ("reason", "rows"))
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
        "not_passed": _records(bad, _CHECK_COLUMNS),
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


def _drift(drift: pd.DataFrame | None) -> dict[str, Any]:
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
        "event_date": _plain(latest["event_date"].iloc[0]),
        "watched": len(latest),
        "drifted": len(drifted),
        "unknown": int((latest["status"] == "unknown").sum()),
        "by_kind": {str(k): int(v) for k, v in drifted["kind"].value_counts().items()},
        "worst": _records(drifted, _DRIFT_COLUMNS, 10),
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
    )
    rows = (
        incidents[is_open]
        .assign(level=lambda f: f["severity"].map(_severity_level))
        .sort_values("level", ascending=False)
    )
    return {"is_known": True, "open": int(is_open.sum()), "list": _records(rows, columns)}


def _severity_level(severity: Any) -> int:
    return INCIDENT_SEVERITIES.index(severity) + 1 if severity in INCIDENT_SEVERITIES else 0


def features_that_need_attention(
    incidents: pd.DataFrame | None, scores: pd.DataFrame | None, most: int = 5, minimum_risk: float = 0.2
) -> list[dict[str, Any]]:
    """The features to look at first, with the reasons: open incidents by severity and users, then risk by users hit.

    `scores` are rows of ml.risk_scores of one day, `reasons` being JSON with `words`. Features without an open incident
    come in from `minimum_risk` on, which is about the base rate: below it there is nothing to look at. An empty list
    means that nothing is known to be wrong.
    """
    found: dict[str, dict[str, Any]] = {}
    if incidents is not None and len(incidents):
        for row in _rows(incidents[incidents["end_date"].isna()]):
            entry = found.setdefault(row["feature"], _attention(row["feature"]))
            entry["reasons"].append(row["sentence"])
            entry["severity"] = max(entry["severity"], row["severity"], key=_severity_level)
            entry["affected_users"] = _largest(entry["affected_users"], row["affected_users"])
    if scores is not None and len(scores):
        for row in _rows(scores[scores["risk_probability"] >= minimum_risk]):
            entry = found.setdefault(row["feature"], _attention(row["feature"]))
            entry["risk_probability"] = float(row["risk_probability"])
            entry["expected_users_affected"] = _plain(row.get("expected_users_affected"))
            entry["reasons"].append(_risk_text(row))
    ordered = sorted(found.values(), key=_attention_order)[:most]
    return [_plain(entry | {"rank": rank}) for rank, entry in enumerate(ordered, start=1)]


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def _attention(feature: str) -> dict[str, Any]:
    return {
        "feature": feature,
        "severity": None,
        "affected_users": None,
        "risk_probability": None,
        "expected_users_affected": None,
        "reasons": [],
    }


def _attention_order(entry: Mapping[str, Any]) -> tuple[int, float, float, float, str]:
    return (
        -_severity_level(entry["severity"]),
        -float(entry["affected_users"] or 0),
        -float(entry["expected_users_affected"] or 0),
        -float(entry["risk_probability"] or 0),
        entry["feature"],
    )


def _largest(a: Any, b: Any) -> int | None:
    known = [int(v) for v in (a, b) if v is not None and not pd.isna(v)]
    return max(known, default=None)


def _risk_text(row: Mapping[str, Any]) -> str:
    causes = [str(reason["words"]) for reason in json.loads(row.get("reasons") or "[]")]
    why = f": {'; '.join(causes)}" if causes else ""
    horizon = row.get("horizon_days")
    within = f" within {int(horizon)} days" if horizon is not None and not pd.isna(horizon) else ""
    return f"risk of degradation{within} {100 * float(row['risk_probability']):.0f} %{why}"


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
    drifted = report["drift"]["drifted"]
    parts.append(
        "drift unknown" if drifted is None else f"{drifted} of {report['drift']['watched']} watched things drifted"
    )
    if report["steps"]["failed"]:
        parts.insert(0, f"failed in {', '.join(report['steps']['failed'][:3])}")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "."


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
    text = f"{checks['failed']} of {checks['passed'] + checks['failed'] + checks['unknown']} checks failed"
    return text + (f", {checks['unknown']} could not run" if checks["unknown"] else "")


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


def report_html(report: Mapping[str, Any]) -> str:
    """The report as one self-contained page."""
    through = report["data_through"] or "an unknown day"
    tone = _STATUS_TONES[report["status"]]
    body = [
        html.facts(
            [
                ("status", html.tag(report["status"], tone)),
                ("rows in", report["intake"]["rows"]),
                ("quarantined", report["quarantine"]["rows"]),
                ("checks failed", report["checks"]["failed"]),
                ("open incidents", report["incidents"]["open"]),
                ("drifted", report["drift"]["drifted"]),
            ]
        ),
        html.section("Needs attention", _attention_html(report["attention"])),
        html.section("Checks that did not pass", _checks_html(report["checks"])),
        html.section("What came in", *_intake_html(report)),
        html.section("Drift", *_drift_html(report["drift"])),
        html.section("Steps", _steps_html(report["steps"])),
        html.section("Versions", _versions_html(report)),
    ]
    return html.page(f"Quality run through {through}", report["headline"], body, tone if tone == "bad" else "plain")


def _attention_html(entries: Sequence[Mapping[str, Any]]) -> Markup:
    if not entries:
        return Markup('<p class="soft">Nothing that is known of.</p>')
    items = []
    for entry in entries:
        severity = entry["severity"]
        label = html.tag(severity, _SEVERITY_TONES[severity]).html if severity else html.tag("at risk", "muted").html
        reasons = "<br>".join(html.render(reason) for reason in entry["reasons"])
        items.append(Markup(f"<b>{html.render(entry['feature'])}</b> {label}<br>{reasons}"))
    return html.bullets(items, is_ordered=True)


def _checks_html(checks: Mapping[str, Any]) -> Markup:
    rows = [
        (
            html.tag(c["status"], _STATUS_TONES[c["status"]]),
            f"{c['asset']} · {c['check_name']}",
            c.get("partition_key") or "",
            "stops publication" if c["is_blocking"] else str(c["severity"]),
            c["description"],
        )
        for c in checks["not_passed"]
    ]
    empty = "All passed." if checks["is_known"] else "Unknown: no check results were recorded."
    return html.table(("Status", "Check", "Partition", "Weight", "Finding"), rows, empty=empty)


def _intake_html(report: Mapping[str, Any]) -> list[html.Content]:
    intake, quarantine = report["intake"], report["quarantine"]
    if not intake["is_known"]:
        return ["Unknown: the ledger was not read."]
    parts: list[html.Content] = [
        html.table(
            ("Source", "Files", "Rows", "Refused"),
            [(s["source"], s["files"], s["rows"], s["rows_refused"]) for s in intake["by_source"]],
            empty="No new file.",
        )
    ]
    if intake["rejected"]:
        rejected = [(r["path"], r.get("reason") or "") for r in intake["rejected"]]
        parts.append(html.table(("Rejected file", "Why"), rejected))
    if quarantine["reasons"]:
        most = max(r["rows"] for r in quarantine["reasons"])
        rows = [
            (r["reason"].replace("_", " "), r["rows"], html.bar(r["rows"], most, f"{r['rows']} rows"))
            for r in quarantine["reasons"]
        ]
        parts.append(html.table(("Quarantined because", "Rows", ""), rows, "A row carries every reason that holds."))
    return parts


def _drift_html(drift: Mapping[str, Any]) -> list[html.Content]:
    if not drift["is_known"]:
        return ["Unknown: nothing was compared."]
    lead = f"{drift['drifted']} of {drift['watched']} watched things drifted; {drift['unknown']} could not be judged."
    return [lead, html.bullets([row["verdict"] for row in drift["worst"]])] if drift["worst"] else [lead]


def _steps_html(steps: Mapping[str, Any]) -> Markup:
    longest = max((s["seconds"] or 0.0 for s in steps["by_step"]), default=0.0)
    rows = [
        (
            s["step"],
            "done" if s["is_success"] else html.tag("failed", "bad"),
            s["partitions"],
            _range_text(s),
            s["seconds"],
            html.bar(s["seconds"], longest, f"{html.number_text(s['seconds'])} seconds"),
        )
        for s in steps["by_step"]
    ]
    empty = "None." if steps["is_known"] else "Unknown: the run's events were not read."
    return html.table(("Step", "Outcome", "Partitions", "Days", "Seconds", ""), rows, empty=empty)


def _range_text(step: Mapping[str, Any]) -> str:
    first, last = step["first_partition"], step["last_partition"]
    return "" if first is None else first if first == last else f"{first} – {last}"


def _versions_html(report: Mapping[str, Any]) -> Markup:
    model = report["model"] or {}
    rows: list[tuple[str, html.Content]] = [("Run", report["run_id"]), ("Reported", report["reported_at"])]
    rows.append(("Code", report["versions"]["code"] or "unknown"))
    rows.append(("Risk model", str(model.get("model_version") or "none")))
    rows += [(str(k).replace("_", " "), str(v)) for k, v in model.items() if k != "model_version"]
    rows += [(f"Data: {name}", version) for name, version in report["versions"]["data"].items()]
    return html.table(("What", "Version"), rows)


_KIND_TITLES = {
    "data": (
        "What comes in",
        "Distributions of events and of model inputs, each day against the same weekdays before.",
    ),
    "prediction": (
        "What is predicted",
        "The distribution of the risk scores. It moves when inputs do, and when the world gets worse.",
    ),
    "performance": (
        "How well it is predicted",
        "Errors of past scores whose future is known by now. Only this says that a model has aged.",
    ),
}


def drift_report_html(
    drift: pd.DataFrame,
    power: pd.DataFrame | None = None,
    distributions: pd.DataFrame | None = None,
    title: str = "Drift report",
) -> str:
    """One page of rows of `monitoring.data_drift` (the latest day), `.drift_power` and `.drift_distributions`."""
    summary = _drift(drift)
    if not summary["is_known"]:
        return html.page(title, "Nothing was compared: drift is unknown.", [])
    latest = drift[drift["event_date"] == drift["event_date"].max()].sort_values("rank")
    lead = f"{summary['drifted']} of {summary['watched']} watched things drifted on {summary['event_date']}"
    lead += f"; {summary['unknown']} could not be judged." if summary["unknown"] else "."
    pictures = _pictures(distributions)
    body = [_kind_html(kind, latest[latest["kind"] == kind], pictures) for kind in _KIND_TITLES]
    body.append(_reading_html())
    if power is not None and len(power):
        body.append(_power_html(power))
    return html.page(title, lead, body)


def _pictures(distributions: pd.DataFrame | None) -> dict[tuple[str, str, str], Markup]:
    if distributions is None or not len(distributions):
        return {}
    grouped = distributions.sort_values("bin").groupby(["kind", "feature", "name"])
    return {
        (str(kind), str(feature), str(name)): html.histogram(
            list(rows["reference_share"]), list(rows["current_share"]), f"{name}: the reference and the day"
        )
        for (kind, feature, name), rows in grouped
    }


_OPEN_ROWS = 12


def _kind_html(kind: str, rows: pd.DataFrame, pictures: Mapping[tuple[str, str, str], Markup]) -> Markup:
    title, text = _KIND_TITLES[kind]
    lines: list[tuple[html.Content, ...]] = []
    for raw in rows.to_dict("records"):
        row = _plain(raw)
        over = row["observed"] / row["threshold"] if row["observed"] is not None and row["threshold"] else None
        label = "unknown" if over is None else f"{over:.2f} of the threshold"
        tone = _STATUS_TONES[row["status"]]
        shown = html.bar(over, 3.0, label, "muted" if tone == "good" else tone, limit=1.0)
        effect = row["effect_on_predictions"]
        picture = pictures.get((row["kind"], row["feature"], row["name"]), "")
        q = None if row["q_value"] is None else round(row["q_value"], 4)
        lines.append((html.tag(row["status"], tone), row["verdict"], picture, shown, over, q, effect, row["n_current"]))
    headers = ("Status", "Finding", "Before and now", "", "÷ threshold", "q", "Effect on score", "Rows")
    open_rows = max(_OPEN_ROWS, int((rows["status"] == "drifted").sum()))
    first, rest = lines[:open_rows], lines[open_rows:]
    parts = [html.table(headers, first, empty="Nothing of this kind is watched yet.")]
    parts += [html.folded(f"{len(rest)} more, which matter less", html.table(headers, rest))] if rest else []
    return html.section(title, text, *parts)


def _reading_html() -> Markup:
    return html.section(
        "How to read this",
        "Grey is the reference, the same weekdays of eight weeks; blue is the day. "
        "The mark in each bar is the threshold: what days of this size differ by when nothing is wrong, or the "
        "smallest change that matters, whichever is larger. "
        "q is the share of false alarms to expect among alarms this strong. "
        "Effect on score is how far predictions move, on average, when this input alone takes today's distribution: "
        "drift without it does not hurt the model. Unknown means that there is too little data or history to say.",
    )


def _power_html(power: pd.DataFrame) -> Markup:
    sizes = sorted(power["rows_per_day"].unique())
    wide = power.pivot_table(index=["statistic", "change"], columns="rows_per_day", values="power", sort=False)
    rows: list[list[html.Content]] = [
        [str(index[1]), *(float(v) for v in line)]
        for index, line in zip(wide.index, wide[sizes].to_numpy(), strict=True)
    ]
    return html.section(
        "What this monitor can see",
        "Share of simulated days on which a change is found, by rows a day; for no change, the share of false alarms.",
        html.table(("Change", *(f"{n:,} rows" for n in sizes)), rows),
    )
