"""The run report: complete, honest about what is unknown, and safe to open."""

import json
from datetime import date, datetime
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from quality_assets.contracts.drift import DATA_DRIFT, DRIFT_POWER, RUN_REPORT
from quality_assets.contracts.incidents import INCIDENTS
from quality_assets.domain.html_report import bar, number_text, page, table
from quality_assets.domain.run_report import (
    RunInputs,
    Step,
    drift_report_html,
    features_that_need_attention,
    report_html,
    report_json,
    report_row,
    report_text,
    run_report,
)

EVIL = '<script>alert("x")</script>'
NOW = datetime(2026, 3, 2, 6, 0)


class Balance(HTMLParser):
    """Collects tags that never close, and every address that a page would fetch."""

    def __init__(self):
        super().__init__()
        self.open, self.addresses = [], []

    def handle_starttag(self, tag, attrs):
        self.addresses += [v for k, v in attrs if k in ("src", "href", "action")]
        if tag not in ("meta", "br", "rect", "line"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("rect", "line"):
            assert self.open.pop() == tag


def parsed(text):
    parser = Balance()
    parser.feed(text)
    assert parser.open == []
    assert parser.addresses == []
    return parser


def incident(feature, severity="high", users=100, end=None):
    row = dict.fromkeys(INCIDENTS.column_names)
    row |= {
        "incident_id": f"inc-{feature}",
        "feature": feature,
        "metric": "crash_rate",
        "kind": "step",
        "severity": severity,
        "start_date": date(2026, 2, 27),
        "end_date": end,
        "detected_on": date(2026, 2, 27),
        "affected_users": users,
        "sentence": f"{feature}: crash rate at 3 % instead of 1 %.",
    }
    return row


def drift_frame():
    row = dict.fromkeys(DATA_DRIFT.column_names)
    row |= {"event_date": date(2026, 3, 1), "kind": "data", "feature": "", "statistic": "w1", "n_current": 2000}
    drifted = row | {
        "name": "latency_ms", "observed": 0.2, "threshold": 0.05, "q_value": 0.001, "is_drifted": True, "rank": 1,
        "status": "drifted", "verdict": f"latency_ms: has drifted {EVIL}", "effect_on_predictions": 0.03,
    }  # fmt: skip
    unknown = row | {"name": "score", "kind": "prediction", "rank": 2, "status": "unknown", "verdict": "score: unknown"}
    return pd.DataFrame([drifted, unknown])


def full_inputs(**changes):
    values = {
        "run_id": "run-1",
        "reported_at": NOW,
        "data_through": date(2026, 3, 1),
        "files": pd.DataFrame(
            {
                "path": ["a.csv", f"{EVIL}.csv"],
                "source": ["app", None],
                "status": ["loaded", "rejected"],
                "reason": [None, "not a log"],
                "rows": [1000, 0],
                "rows_refused": [12, 0],
            }
        ),
        "valid_rows": 985,
        "quarantined_rows": 15,
        "reasons": pd.DataFrame({"reason": ["invalid_latency", "duplicate_event_id"], "rows": [12, 3]}),
        "checks": pd.DataFrame(
            {
                "asset": ["core.valid_events", "product.fact", "raw.raw_logs"],
                "check_name": ["rows_add_up", "volume", "fresh"],
                "partition_key": ["2026-03-01", "", ""],
                "status": ["passed", "failed", "unknown"],
                "severity": ["ERROR", "WARN", "WARN"],
                "is_blocking": [True, False, False],
                "observed": [0.0, np.nan, np.nan],
                "threshold": [0.0, 1.0, 1.0],
                "description": ["adds up", f"low {EVIL}", "could not run"],
            }
        ),
        "steps": [Step("raw__raw_logs", 2.5, True, ["2026-03-01", "2026-02-28"]), Step("ml__scores", 0.5, True)],
        "drift": drift_frame(),
        "incidents": pd.DataFrame([incident("pay"), incident("chat", end=date(2026, 2, 28))]),
        "scores": pd.DataFrame(
            {
                "feature": ["search", "pay", "quiet"],
                "risk_probability": [0.6, 0.3, 0.05],
                "horizon_days": [7, 7, 7],
                "expected_users_affected": [300.0, np.nan, 1.0],
                "reasons": ['[{"words": "latency has grown 5 %"}]', "[]", "[]"],
            }
        ),
        "model": {"model_version": "3", "champion_model": "random_forest"},
        "data_versions": {"core.valid_events": "abc"},
        "code_version": "0.1.0",
    }
    return RunInputs(**(values | changes))


def test_the_report_says_what_happened():
    report = run_report(full_inputs())
    assert report["status"] == "attention"
    assert report["intake"]["rows"] == 1000
    assert report["intake"]["rejected"][0]["reason"] == "not a log"
    assert report["quarantine"]["reasons"][0] == {"reason": "invalid_latency", "rows": 12}
    assert (report["checks"]["failed"], report["checks"]["unknown"]) == (1, 1)
    assert report["steps"]["partitions_built"] == 2
    assert report["steps"]["by_step"][0]["step"] == "raw__raw_logs"
    assert report["drift"]["worst"][0]["name"] == "latency_ms"
    assert report["incidents"]["open"] == 1
    assert "1,000 rows came in; 15 of 1,000 on the days built are quarantined (1.5 %)" in report["headline"]


def test_a_late_file_is_not_charged_with_what_its_days_had_before():
    late = run_report(full_inputs(valid_rows=60_000, quarantined_rows=600))
    assert "1,000 rows came in; 600 of 60,600 on the days built are quarantined (0.99 %)" in late["headline"]
    idle = run_report(full_inputs(valid_rows=0, quarantined_rows=0))
    assert "1,000 rows came in, no day was built" in idle["headline"]
    unknown = run_report(full_inputs(files=None, valid_rows=None, quarantined_rows=None))
    assert unknown["headline"].startswith("What came in is unknown, how many are quarantined is unknown")


def test_attention_goes_by_severity_then_users_then_risk():
    report = run_report(full_inputs())
    assert [(a["rank"], a["feature"]) for a in report["attention"]] == [(1, "pay"), (2, "search")]
    assert any("risk of degradation within 7 days 60 %" in r for r in report["attention"][1]["reasons"])
    incidents = pd.DataFrame(
        [incident(f"f{i}", s, u) for i, (s, u) in enumerate([("low", 9e3), ("critical", 1), ("high", 5), ("high", 50)])]
    )
    assert [a["feature"] for a in features_that_need_attention(incidents, None, 3)] == ["f1", "f3", "f2"]
    assert features_that_need_attention(None, None) == []


def test_unknown_is_not_ok():
    report = run_report(RunInputs("run-2", NOW))
    assert report["status"] == "unknown"
    assert report["intake"]["rows"] is None
    assert report["checks"]["failed"] is None
    assert "unknown" in report["headline"]
    assert "Unknown" in report_html(report)
    row = report_row(report)
    assert row["rows_in"] is None
    assert row["incidents_open"] is None


@pytest.mark.parametrize("what", ["step", "check"])
def test_a_failed_step_or_blocking_check_fails_the_run(what):
    checks = full_inputs().checks.assign(is_blocking=True)
    changed = {"steps": [Step("ml__risk_model", None, False)]} if what == "step" else {"checks": checks}
    report = run_report(full_inputs(**changed))
    assert report["status"] == "failed"


def test_a_quiet_run_is_ok():
    inputs = full_inputs()
    quiet = full_inputs(
        files=inputs.files[inputs.files["status"] == "loaded"],
        checks=inputs.checks[inputs.checks["status"] == "passed"],
        drift=inputs.drift[inputs.drift["status"] != "drifted"],
        incidents=inputs.incidents[inputs.incidents["feature"] == "chat"],
    )
    assert run_report(quiet)["status"] == "ok"


def test_row_and_json_keep_the_contract():
    report = run_report(full_inputs())
    row = report_row(report)
    assert tuple(row) == RUN_REPORT.column_names
    assert row["model_version"] == "3"
    assert json.loads(row["report"]) == json.loads(report_json(report))
    assert "NaN" not in row["report"]
    assert report["status"] in report_text(report)


def test_pages_are_whole_escaped_and_fetch_nothing():
    report = run_report(full_inputs())
    power = pd.DataFrame(
        [("w1", "no change", 2000, 0.01, 100), ("w1", EVIL, 2000, 1.0, 100)], columns=DRIFT_POWER.column_names
    )
    for text in (
        report_html(report),
        drift_report_html(drift_frame(), power),
        drift_report_html(drift_frame().iloc[:0]),
    ):
        parsed(text)
        assert EVIL not in text
        assert "prefers-color-scheme:dark" in text
        assert "default-src 'none'" in text
    assert "&lt;script&gt;" in report_html(report)
    assert "What this monitor can see" in drift_report_html(drift_frame(), power)


def test_the_drift_report_draws_distributions_and_folds_what_matters_less():
    drift = drift_frame()
    first = drift.iloc[0]
    bins = pd.DataFrame(
        {
            "kind": first["kind"],
            "feature": first["feature"],
            "name": first["name"],
            "bin": [1, 0],
            "reference_share": [0.25, 0.75],
            "current_share": [1.0, 0.0],
        }
    )
    said = drift_report_html(drift, None, bins)
    assert said.count("<path") == 2
    assert 'd="M0 32V8.0h60.00V24.0h60.00V32Z"' in said
    assert "<details>" not in said
    many = drift_report_html(pd.concat([drift] * 20, ignore_index=True).assign(kind="data", status="ok"))
    assert f"{20 * len(drift) - 12} more, which matter less" in many


def test_parts_of_a_page():
    assert number_text(None) == number_text(float("nan")) == "–"
    assert number_text(1234567) == "1,234,567"
    assert "None." in table(("a",), []).html
    parsed(page(EVIL, EVIL, [bar(None, 1, "none"), bar(5, 0, "zero"), bar(float("inf"), 1, "all", limit=0.5)]))
