"""The run report as a page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quality_assets.contracts.catalog import may_refuse_publication
from quality_assets.domain.drift.verdicts import drifted_text
from quality_assets.domain.reports import html as html
from quality_assets.domain.reports.html import Markup, Tone
from quality_assets.domain.wording import capitalised

_SEVERITY_TONES: dict[str, Tone] = {"critical": "bad", "high": "bad", "medium": "warn", "low": "muted"}


STATUS_TONES: dict[str, Tone] = {
    "ok": "good",
    "passed": "good",
    "attention": "warn",
    "drifted": "warn",
    "failed": "bad",
    "unknown": "muted",
}


def report_html(report: Mapping[str, Any]) -> str:
    """The report as one self-contained page."""
    through = report["data_through"] or "an unknown day"
    tone = STATUS_TONES[report["status"]]
    body = [
        html.facts(
            [
                ("status", html.tag(report["status"], tone)),
                ("rows in", report["intake"]["rows"]),
                ("quarantined", report["quarantine"]["rows"]),
                ("check results failed", report["checks"]["failed"]),
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
            html.tag(c["status"], STATUS_TONES[c["status"]]),
            f"{c['asset']} · {c['check_name']}",
            c.get("partition_key") or "",
            "stops publication" if c["is_blocking"] and may_refuse_publication(c["asset"]) else str(c["severity"]),
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
    lead = capitalised(drifted_text(drift["drifted"], drift["watched"], drift["unknown"])) + "."
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
