"""The run report: complete, honest about what is unknown, and safe to open."""

import json
from datetime import date, datetime
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from quality_assets.contracts.drift import DATA_DRIFT, DRIFT_POWER
from quality_assets.contracts.incidents import INCIDENTS
from quality_assets.contracts.monitoring import RUN_REPORT
from quality_assets.domain.features.attention import features_that_need_attention, reasons_text
from quality_assets.domain.reports.drift_html import drift_report_html
from quality_assets.domain.reports.html import (
    Markup,
    bar,
    bullets,
    facts,
    folded,
    histogram,
    number_text,
    page,
    section,
    table,
    tag,
)
from quality_assets.domain.reports.run import RunInputs, Step, report_json, report_row, report_text, run_report
from quality_assets.domain.reports.run_html import report_html

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
                "reasons": [
                    '[{"words": "latency has grown 5 %", "size": 9.1}, {"words": "calm", "size": -4.0}]',
                    "[]",
                    "[]",
                ],
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


def test_attention_goes_by_severity_then_harm_then_risk():
    report = run_report(full_inputs())
    assert [(a["rank"], a["feature"]) for a in report["attention"]] == [(1, "pay"), (2, "search")]
    # What lowers the risk, as that it is calm, is no reason for it.
    assert report["attention"][1]["reasons"][-1] == "risk of degradation within 7 days 60 %: latency has grown 5 %"
    incidents = pd.DataFrame(
        [incident(f"f{i}", s, u) for i, (s, u) in enumerate([("low", 9e3), ("critical", 1), ("high", 5), ("high", 50)])]
    )
    assert [a["feature"] for a in features_that_need_attention(incidents, None, 3)] == ["f1", "f3", "f2"]
    assert features_that_need_attention(None, None) == []


def test_the_reasons_of_a_feature_are_one_sentence():
    reasons = [
        "Search: crash rate at 3 % since 1 Mar 2026, 120 users affected.",
        "risk of degradation 40 %: latency p95",
    ]
    assert reasons_text("Search", reasons) == (
        "Search: crash rate at 3 % since 1 Mar 2026, 120 users affected; risk of degradation 40 %: latency p95."
    )
    assert reasons_text("Search", reasons[:1]) == "Search: crash rate at 3 % since 1 Mar 2026, 120 users affected."


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


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5.0, "5"), (0.01234, "0.0123"), (12.345, "12.3"), (999.4, "999"), (999.6, "1,000"), (-999.6, "-1,000"),
        (1234.6, "1,235"), (True, "1"), (float("-inf"), "–"),
    ],
)  # fmt: skip
def test_numbers_are_written_for_people(value, text):
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("value", "largest", "limit", "length", "mark"),
    [
        (1.0, 4.0, None, "30.0", None),
        (9.0, 4.0, None, "120.0", None),
        (-1.0, 4.0, None, "0.0", None),
        (None, 4.0, None, "0.0", None),
        (float("inf"), 4.0, None, "120.0", None),
        (1.0, 0.0, None, "0.0", None),
        (1.0, float("inf"), None, "0.0", None),
        (1.0, 4.0, 2.0, "30.0", "60.0"),
        (1.0, 4.0, 4.0, "30.0", "119.0"),
        (1.0, 4.0, float("nan"), "30.0", None),
    ],
)
def test_a_bar_is_as_long_as_its_share(value, largest, limit, length, mark):
    drawn = bar(value, largest, "so & so", "bad", limit).html
    assert drawn.startswith('<svg role="img" aria-label="so &amp; so" width="120" height="12" viewBox="0 0 120 12">')
    assert f'<rect width="{length}" height="12" fill="var(--bad)"/>' in drawn
    assert ("<line" in drawn) == (mark is not None)
    if mark:
        assert f'<line x1="{mark}" x2="{mark}" y1="0" y2="12" ' in drawn


def test_parts_of_a_page_are_put_together_as_they_are_given():
    assert section("A & b", "x < y", Markup("<i>z</i>"), 3).html == (
        "<section>\n<h2>A &amp; b</h2>\n<p>x &lt; y</p>\n<i>z</i>\n<p>3</p>\n</section>"
    )
    assert facts([("rows", 1234), ("of", None)]).html == (
        '<div class="facts"><div class="fact"><b>1,234</b><span class="soft">rows</span></div>'
        '<div class="fact"><b>–</b><span class="soft">of</span></div></div>'
    )
    assert tag("a<b", "warn").html == '<span class="tag warn">a&lt;b</span>'
    assert bullets(["a", Markup("<b>b</b>")]).html == "<ul><li>a</li><li><b>b</b></li></ul>"
    assert bullets(["a"], is_ordered=True).html == "<ol><li>a</li></ol>"
    assert folded("m<n", Markup("x")).html == "<details><summary>m&lt;n</summary>\nx</details>"
    assert table(("Name", "N"), [("a", 1), ("b", None)], "Cap").html == (
        '<div class="scroll"><table><caption>Cap</caption><thead><tr><th scope="col">Name</th>'
        '<th scope="col" class="number">N</th></tr></thead>\n<tbody><tr><td>a</td><td class="number">1</td></tr>\n'
        '<tr><td>b</td><td class="number">–</td></tr></tbody></table></div>'
    )
    assert table(("N",), [("a",), (1,)]).html.count("number") == 0
    assert table(("N",), [], empty="No <b>").html == '<p class="soft">No &lt;b&gt;</p>'
    assert histogram([0.0, 0.0], [0.0, 0.0], "n").html.count("M0 32V32.0h60.00V32.0h60.00V32Z") == 2
    whole = page("T & t", "lead", [Markup("one"), Markup("two")], "bad")
    assert '<p class="lead bad">lead</p>\none\ntwo\n</main>' in whole
    assert whole.count("T &amp; t") == 2
    assert whole.startswith('<!doctype html>\n<html lang="en">')


class Said(HTMLParser):
    """What stands on a page, section by section: paragraphs and list items as they are, rows as cells between bars.

    A picture is its label, then the lengths of its bars and the place of its mark.
    """

    def __init__(self):
        super().__init__()
        self.sections, self.skipped, self.title = {"": [""]}, False, ""

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        lines = self.sections[self.title]
        self.skipped = tag in ("style", "title")
        if tag == "h2":
            self.title = None
        elif tag in ("p", "li", "tr", "caption", "summary") or values.get("class") == "fact":
            lines.append("")
        elif tag in ("td", "th") and lines[-1]:
            lines[-1] += " | "
        elif tag == "br":
            lines[-1] += " / "
        elif tag == "svg":
            lines[-1] += values["aria-label"]
        elif tag == "rect" and values["height"] == "12" and values["fill"] != "var(--line)":
            lines[-1] += f" [{values['width']} {values['fill'][6:-1]}]"
        elif tag == "line":
            lines[-1] += f" ({values['x1']})"

    def handle_data(self, data):
        if self.title is None:
            self.title = data
            self.sections[data] = [""]
        elif not self.skipped:
            self.sections[self.title][-1] += data.strip("\n")


def said(page_text):
    parser = Said()
    parser.feed(page_text)
    return {title: [line for line in lines if line] for title, lines in parser.sections.items()}


def check_row(asset, name, status, severity="WARN", is_blocking=False, partition=None):
    return {
        "asset": asset, "check_name": name, "partition_key": partition, "status": status, "severity": severity,
        "is_blocking": is_blocking, "observed": 2.0, "threshold": 1.0, "description": f"{name} said so",
    }  # fmt: skip


def drift_row(name, rank, status="drifted", kind="data", day=1, **more):
    known = {} if status == "unknown" else {"observed": 0.3, "threshold": 0.2, "q_value": 0.00123}
    return (
        dict.fromkeys(DATA_DRIFT.column_names)
        | {"event_date": date(2026, 3, day), "kind": kind, "feature": "", "name": name, "statistic": "w1"}
        | {"rank": rank, "status": status, "n_current": 2000, "verdict": f"{name} is {status}"}
        | known
        | more
    )


def busy_inputs(**changes):
    """A run in which of everything there is more than one."""
    files = [
        ("a.csv", "app", "loaded", None, 600, 1),
        ("b.csv", "app", "loaded", None, 300, 2),
        ("c.csv", "web", "loaded", None, 5000, 4),
        ("d.csv", None, "loaded", None, 100, 8),
        ("e.csv", None, "rejected", "is empty", 70, 70),
        ("f.csv", "app", "skipped", None, 9, 9),
    ]
    checks = [
        check_row("a.t", "warns", "failed"),
        check_row("b.t", "cannot", "unknown", "ERROR"),
        check_row("core.c", "stops", "failed", "ERROR", is_blocking=True, partition="2026-03-01"),
        check_row("d.t", "errs", "failed", "ERROR"),
        *(check_row("e.t", f"fine_{n}", "passed", "ERROR", is_blocking=True) for n in range(4)),
    ]
    steps = [
        Step("quick", 1.0, True, ["2026-03-01"]),
        Step("slow", 4.0, True, ["2026-02-27", "2026-03-01", "2026-02-28"]),
        Step("broken", None, False, ["2026-03-01"]),
        Step("half", 2.0, True),
    ]
    drift = [
        drift_row("third", 3, kind="prediction", observed=0.1),
        drift_row("first", 1, effect_on_predictions=0.05),
        drift_row("second", 2, observed=0.9),
        drift_row("calm", 4, "ok", observed=0.1),
        drift_row("dark", 5, "unknown", "performance"),
        drift_row("of old", 1, event_date=date(2026, 2, 28)),
    ]
    scores = pd.DataFrame(
        {
            "feature": ["likely", "likelier", "at the edge", "below it", "pay", "chat"],
            "risk_probability": [0.4, 0.5, 0.25, 0.24, 0.9, 0.26],
            "horizon_days": [7, None, 7, 7, 7, 7],
            "expected_users_affected": [np.nan, np.nan, 50.0, 900.0, 10.0, 60.0],
            "reasons": [None, '[{"words": "a", "size": 2.0}, {"words": "b", "size": 1.0}]', "[]", "[]", "[]", "[]"],
        }
    )
    incidents = [
        incident("cart", "medium", 7),
        incident("pay", "low", 900),
        incident("pay", "high", None) | {"sentence": "pay: error rate rose."},
        incident("old", "critical", 10_000, end=date(2026, 2, 28)),
        incident("feed", "critical", 3),
    ]
    values = {
        "run_id": "run-9", "reported_at": NOW, "data_through": date(2026, 3, 1), "valid_rows": 5600,
        "quarantined_rows": 400, "code_version": None, "data_versions": {"core.valid_events": "abc"},
        "files": pd.DataFrame(files, columns=["path", "source", "status", "reason", "rows", "rows_refused"]),
        "reasons": pd.DataFrame({"reason": ["few", "many_of_them"], "rows": [100, 400]}),
        "checks": pd.DataFrame(checks), "steps": steps, "drift": pd.DataFrame(drift),
        "incidents": pd.DataFrame(incidents), "scores": scores,
        "model": {"champion_model": "logistic", "model_version": 4},
    }  # fmt: skip
    return RunInputs(**(values | changes))


def test_of_a_busy_run_every_figure_is_right():
    report = run_report(busy_inputs())
    assert {name: report[name] for name in ("report_version", "reported_at", "data_through", "status")} == {
        "report_version": 1, "reported_at": "2026-03-02T06:00:00", "data_through": "2026-03-01", "status": "failed",
    }  # fmt: skip
    assert report["intake"] == {
        "is_known": True,
        "files": 6,
        "rows": 6000,
        "rows_valid": 5600,
        "by_source": [
            {"source": "web", "files": 1, "rows": 5000, "rows_refused": 4},
            {"source": "app", "files": 2, "rows": 900, "rows_refused": 3},
            {"source": "(unknown)", "files": 1, "rows": 100, "rows_refused": 8},
        ],
        "rejected": [{"path": "e.csv", "reason": "is empty"}],
    }
    reasons = [{"reason": "many_of_them", "rows": 400}, {"reason": "few", "rows": 100}]
    assert report["quarantine"] == {"is_known": True, "rows": 400, "reasons": reasons}
    checks = report["checks"]
    assert [checks[n] for n in ("is_known", "passed", "failed", "unknown", "blocking_failed")] == [True, 4, 3, 1, 1]
    assert [c["check_name"] for c in checks["not_passed"]] == ["stops", "cannot", "errs", "warns"]
    assert checks["not_passed"][0] == check_row("core.c", "stops", "failed", "ERROR", True, "2026-03-01")
    steps = report["steps"]
    assert [steps[n] for n in ("is_known", "partitions_built", "seconds", "failed")] == [True, 4, 7.0, ["broken"]]
    assert [s["step"] for s in steps["by_step"]] == ["slow", "half", "quick", "broken"]
    assert steps["by_step"][0] == {
        "step": "slow", "seconds": 4.0, "is_success": True, "partitions": 3, "first_partition": "2026-02-27",
        "last_partition": "2026-03-01",
    }  # fmt: skip
    drift = report["drift"]
    assert [drift[n] for n in ("is_known", "event_date", "watched", "drifted", "unknown")] == [
        True, "2026-03-01", 5, 3, 1,
    ]  # fmt: skip
    assert drift["by_kind"] == {"data": 2, "prediction": 1}
    assert [row["name"] for row in drift["worst"]] == ["first", "second", "third"]
    assert report["incidents"]["is_known"] is True
    assert report["incidents"]["open"] == 4
    assert [(i["feature"], i["severity"]) for i in report["incidents"]["list"]] == [
        ("feed", "critical"), ("pay", "high"), ("cart", "medium"), ("pay", "low"),
    ]  # fmt: skip
    assert report["headline"] == (
        "Failed in broken; 6,000 rows came in; 400 of 6,000 on the days built are quarantined (6.7 %); "
        "3 of 8 check results of this run failed, 1 could not be answered; 4 open incidents;"
        " 3 of 5 watched things drifted, 1 could not be judged."
    )


def test_attention_of_a_busy_run_goes_by_severity_harm_and_risk():
    report = run_report(busy_inputs(), most_features=9)
    assert [(a["rank"], a["feature"], a["severity"], a["affected_users"]) for a in report["attention"]] == [
        (1, "feed", "critical", 3), (2, "pay", "high", 900), (3, "cart", "medium", 7), (4, "chat", None, None),
        (5, "at the edge", None, None), (6, "likelier", None, None), (7, "likely", None, None),
    ]  # fmt: skip
    assert report["attention"][1] == {
        "feature": "pay",
        "severity": "high",
        "affected_users": 900,
        "real_share": 1.0,
        "harm_today": 900.0,
        "risk_probability": 0.9,
        "expected_users_affected": 10.0,
        "reasons": [
            "pay: error rate rose.",
            "pay: crash rate at 3 % instead of 1 %.",
            "risk of degradation within 7 days 90 %",
        ],
        "rank": 2,
    }
    assert [a["reasons"] for a in report["attention"][5:]] == [
        ["risk of degradation 50 %: a; b"],
        ["risk of degradation within 7 days 40 %"],
    ]
    assert [a["expected_users_affected"] for a in report["attention"][3:]] == [60.0, 50.0, None, None]
    assert len(run_report(busy_inputs())["attention"]) == 5
    assert len(features_that_need_attention(busy_inputs().incidents, busy_inputs().scores)) == 5


def test_equal_features_need_attention_by_name():
    same = pd.DataFrame([incident(name, "low", None) for name in ("b", "a")])
    assert [a["feature"] for a in features_that_need_attention(same, None)] == ["a", "b"]


CALM = {
    "files": busy_inputs().files.iloc[:4],
    "checks": busy_inputs().checks.iloc[4:],
    "steps": busy_inputs().steps[:2],
    "drift": busy_inputs().drift.iloc[3:5],
    "incidents": busy_inputs().incidents.iloc[3:4],
}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "ok"),
        ({"files": busy_inputs().files}, "attention"),
        ({"incidents": busy_inputs().incidents}, "attention"),
        ({"drift": busy_inputs().drift}, "attention"),
        ({"checks": busy_inputs().checks.iloc[[0, 4]]}, "attention"),
        ({"checks": busy_inputs().checks.iloc[[0, 1]]}, "attention"),
        ({"checks": busy_inputs().checks.iloc[[1, 4]]}, "unknown"),
        ({"checks": None}, "unknown"),
        ({"steps": None}, "unknown"),
        ({"checks": busy_inputs().checks.iloc[[2, 4]]}, "failed"),
        ({"steps": busy_inputs().steps}, "failed"),
        ({"drift": None, "incidents": None, "scores": None, "files": None}, "ok"),
    ],
)
def test_each_thing_alone_decides_what_a_run_is(changes, status):
    assert run_report(busy_inputs(**(CALM | changes)))["status"] == status


def test_headlines_say_what_is_unknown_and_what_is_none():
    assert run_report(busy_inputs(**CALM))["headline"] == (
        "6,000 rows came in; 400 of 6,000 on the days built are quarantined (6.7 %); 0 of 4 check results of"
        " this run failed; no open incident; 0 of 2 watched things drifted, 1 could not be judged."
    )
    unknown = {"checks": None, "drift": None, "incidents": None, "valid_rows": None}
    assert run_report(busy_inputs(**(CALM | unknown)))["headline"] == (
        "6,000 rows came in, how many are quarantined is unknown; checks are unknown; drift unknown."
    )
    refused = {"quarantined_rows": None, "files": busy_inputs().files.iloc[:0], "drift": busy_inputs().drift.iloc[:0]}
    many = [Step(name, 1.0, False) for name in "abcd"]
    assert run_report(busy_inputs(**(CALM | refused | {"steps": many})))["headline"] == (
        "Failed in a, b, c; 0 rows came in, how many are quarantined is unknown; 0 of 4 check results of"
        " this run failed; no open incident; drift unknown."
    )


def test_where_nothing_could_be_judged_nothing_is_said_to_be_as_it_was():
    young = busy_inputs().drift.assign(status="unknown")
    report = run_report(busy_inputs(drift=young))
    assert report["headline"].endswith("; whether anything drifted cannot be told: days or events are too few.")
    alone = "Whether anything drifted cannot be told: days or events are too few."
    assert said(report_html(report))["Drift"] == [alone]
    assert said(drift_report_html(young))[""][1] == (
        "Whether anything drifted on 2026-03-01 cannot be told: days or events are too few."
    )


def test_one_of_each_is_said_as_one_and_none_as_none():
    assert run_report(full_inputs())["headline"] == (
        "1,000 rows came in; 15 of 1,000 on the days built are quarantined (1.5 %); 1 of 3 check results of this"
        " run failed, 1 could not be answered; 1 open incident; 1 of 2 watched things drifted, 1 could not be judged."
    )
    failed = run_report(busy_inputs(checks=pd.DataFrame([check_row("a.t", "warns", "failed")])))["checks"]
    assert (failed["passed"], failed["failed"], failed["unknown"]) == (0, 1, 0)
    unknown = run_report(busy_inputs(checks=pd.DataFrame([check_row("a.t", "cannot", "unknown")])))["checks"]
    assert (unknown["passed"], unknown["failed"], unknown["unknown"]) == (0, 0, 1)
    steps = run_report(busy_inputs(steps=[Step("stopped", None, False), Step("quick", 0.5, True)]))["steps"]
    assert [step["step"] for step in steps["by_step"]] == ["quick", "stopped"]
    assert steps["seconds"] == 0.5


def test_what_is_not_known_is_marked_so_part_by_part():
    report = run_report(RunInputs("run-2", NOW, data_through=None))
    for part in ("intake", "quarantine", "checks", "steps", "drift", "incidents"):
        assert report[part]["is_known"] is False, part
    assert (report["drift"]["watched"], report["drift"]["drifted"], report["drift"]["unknown"]) == (0, None, None)
    assert report["steps"] == {
        "is_known": False, "partitions_built": None, "seconds": None, "failed": None, "by_step": [],
    }  # fmt: skip
    assert report_text(report).splitlines() == [
        "Run run-2 · unknown",
        "What came in is unknown, how many are quarantined is unknown; checks are unknown; drift unknown.",
    ]


def test_the_row_of_a_report_has_its_figures():
    row = report_row(run_report(busy_inputs()))
    del row["report"], row["headline"]
    assert row == {
        "run_id": "run-9", "reported_at": NOW, "data_through": date(2026, 3, 1), "status": "failed", "rows_in": 6000,
        "rows_valid": 5600, "rows_quarantined": 400, "checks_failed": 3, "checks_unknown": 1, "partitions_built": 4,
        "inputs_drifted": 3, "incidents_open": 4, "model_version": 4,
    }  # fmt: skip
    assert report_row(run_report(busy_inputs(model=None, data_through=None)))["model_version"] is None


def test_json_holds_plain_values_and_readable_letters():
    report = {"a": np.float64("nan"), "b": float("inf"), "c": pd.NaT, "d": pd.NA, "e": np.int64(3), "f": {"é"}}
    text = report_json(report | {"g": date(2026, 3, 1), "h": np.array([1.5]), "i": None, "j": 2.5, 4: (True,)})
    assert json.loads(text) == {
        "a": None, "b": None, "c": None, "d": None, "e": 3, "f": ["é"], "g": "2026-03-01", "h": [1.5], "i": None,
        "j": 2.5, "4": [True],
    }  # fmt: skip
    assert '\n  "f": [\n    "é"\n  ],\n' in text


def test_the_terminal_is_told_the_worst_ten_checks_and_five_drifts():
    checks = pd.DataFrame([check_row("a.t", f"no_{n:02}", "failed") for n in range(12)])
    drift = pd.DataFrame([drift_row(f"d{n}", n) for n in range(7)])
    lines = report_text(run_report(busy_inputs(checks=checks, drift=drift))).splitlines()
    assert lines[0] == "Run run-9 · failed"
    assert lines[2:12] == [f"  failed   a.t.no_{n:02}: no_{n:02} said so" for n in range(10)]
    assert lines[12:17] == [f"  drift    d{n} is drifted" for n in range(5)]
    assert lines[17:20] == ["Needs attention:", "  1. feed (critical)", "     feed: crash rate at 3 % instead of 1 %."]
    assert lines[24:26] == ["  3. cart (medium)", "     cart: crash rate at 3 % instead of 1 %."]
    assert lines[26] == "  4. chat"
    assert (
        len(run_report(busy_inputs(drift=pd.DataFrame([drift_row(f"d{n}", n) for n in range(12)])))["drift"]["worst"])
        == 10
    )


def test_the_page_of_a_busy_run_says_all_of_it():
    page_text = report_html(run_report(busy_inputs()))
    found = said(page_text)
    assert "<title>Quality run through 2026-03-01</title>" in page_text
    assert '<p class="lead bad">' in page_text
    assert [line.rstrip() for line in found[""][2:]] == [
        "failedstatus", "6,000rows in", "400quarantined", "3check results failed", "4open incidents", "3drifted",
    ]  # fmt: skip
    assert found["Needs attention"][:3] == [
        "feed critical / feed: crash rate at 3 % instead of 1 %.",
        "pay high / pay: error rate rose. / pay: crash rate at 3 % instead of 1 %."
        " / risk of degradation within 7 days 90 %",
        "cart medium / cart: crash rate at 3 % instead of 1 %.",
    ]
    assert found["Needs attention"][3] == "chat at risk / risk of degradation within 7 days 26 %"
    assert "<ol><li><b>feed</b>" in page_text
    assert found["Checks that did not pass"] == [
        "Status | Check | Partition | Weight | Finding",
        "failed | core.c · stops | 2026-03-01 | stops publication | stops said so",
        "unknown | b.t · cannot |  | ERROR | cannot said so",
        "failed | d.t · errs |  | ERROR | errs said so",
        "failed | a.t · warns |  | WARN | warns said so",
    ]
    assert found["What came in"] == [
        "Source | Files | Rows | Refused",
        "web | 1 | 5,000 | 4",
        "app | 2 | 900 | 3",
        "(unknown) | 1 | 100 | 8",
        "Rejected file | Why",
        "e.csv | is empty",
        "A row carries every reason that holds.",
        "Quarantined because | Rows | ",
        "many of them | 400 | 400 rows [120.0 accent]",
        "few | 100 | 100 rows [30.0 accent]",
    ]
    assert found["Drift"] == [
        "3 of 5 watched things drifted, 1 could not be judged.",
        "first is drifted",
        "second is drifted",
        "third is drifted",
    ]
    assert found["Steps"] == [
        "Step | Outcome | Partitions | Days | Seconds | ",
        "slow | done | 3 | 2026-02-27 – 2026-03-01 | 4 | 4 seconds [120.0 accent]",
        "half | done | 0 |  | 2 | 2 seconds [60.0 accent]",
        "quick | done | 1 | 2026-03-01 | 1 | 1 seconds [30.0 accent]",
        "broken | failed | 1 | 2026-03-01 | – | – seconds [0.0 accent]",
    ]
    assert found["Versions"] == [
        "What | Version",
        "Run | run-9",
        "Reported | 2026-03-02T06:00:00",
        "Code | unknown",
        "Risk model | 4",
        "champion model | logistic",
        "Data: core.valid_events | abc",
    ]


def test_a_page_says_of_each_part_whether_it_is_empty_or_unknown():
    unknown = said(report_html(run_report(RunInputs("run-2", NOW))))
    assert unknown["Needs attention"] == ["Nothing that is known of."]
    assert unknown["Checks that did not pass"] == ["Unknown: no check results were recorded."]
    assert unknown["What came in"] == ["Unknown: the ledger was not read."]
    assert unknown["Drift"] == ["Unknown: nothing was compared."]
    assert unknown["Steps"] == ["Unknown: the run's events were not read."]
    assert unknown["Versions"][4] == "Risk model | none"
    assert "<h1>Quality run through an unknown day</h1>" in report_html(run_report(RunInputs("run-2", NOW)))
    nothing = CALM | {"files": busy_inputs().files.iloc[:0], "steps": [], "scores": None, "reasons": None}
    empty = said(report_html(run_report(busy_inputs(**nothing))))
    assert empty["Checks that did not pass"] == ["All passed."]
    assert empty["What came in"] == ["No new file."]
    assert empty["Drift"] == ["0 of 2 watched things drifted, 1 could not be judged."]
    assert empty["Steps"] == ["None."]
    assert '<p class="lead plain">' in report_html(run_report(busy_inputs(**CALM)))


def test_the_drift_report_shows_the_latest_day_by_rank_with_all_its_figures():
    found = said(drift_report_html(busy_inputs().drift, title="Drift of March"))
    assert found[""][:2] == ["Drift of March", "3 of 5 watched things drifted on 2026-03-01, 1 could not be judged."]
    headers = "Status | Finding | Before and now |  | ÷ threshold | q | Effect on score | Rows"
    assert found["What comes in"][1:] == [
        headers,
        "drifted | first is drifted |  | 1.50 of the threshold [60.0 warn] (40.0) | 1.5 | 0.0012 | 0.05 | 2,000",
        "drifted | second is drifted |  | 4.50 of the threshold [120.0 warn] (40.0) | 4.5 | 0.0012 | – | 2,000",
        "ok | calm is ok |  | 0.50 of the threshold [20.0 soft] (40.0) | 0.5 | 0.0012 | – | 2,000",
    ]
    assert found["What is predicted"][2:] == [
        "drifted | third is drifted |  | 0.50 of the threshold [20.0 warn] (40.0) | 0.5 | 0.0012 | – | 2,000"
    ]
    assert found["How well it is predicted"][2:] == [
        "unknown | dark is unknown |  | unknown [0.0 soft] (40.0) | – | – | – | 2,000"
    ]
    calm = said(drift_report_html(busy_inputs().drift.iloc[3:4]))
    assert calm[""][:2] == ["Drift report", "0 of 1 watched things drifted on 2026-03-01."]
    assert calm["What is predicted"][1:] == ["Nothing of this kind is watched yet."]
    assert said(drift_report_html(busy_inputs().drift.iloc[:0]))[""][:2] == [
        "Drift report",
        "Nothing was compared: drift is unknown.",
    ]


def test_whatever_has_drifted_stands_open_and_twelve_rows_at_least():
    many = pd.DataFrame([drift_row(f"d{n}", n) for n in range(13)] + [drift_row("calm", 99, "ok")])
    assert "1 more, which matter less" in said(drift_report_html(many))["What comes in"]
    few = pd.DataFrame([drift_row(f"d{n}", n, "ok") for n in range(12)])
    assert not any("matter less" in line for line in said(drift_report_html(few))["What comes in"])


def test_the_power_of_the_monitor_stands_by_rows_a_day_in_the_order_it_came():
    rows = [("w1", "none", 10_000, 0.0), ("w1", "none", 2_000, 0.01), ("w1", "+10 %", 10_000, 0.75)]
    power = pd.DataFrame(
        [(*row, 100) for row in [*rows, ("w1", "+10 %", 2_000, 0.5)]], columns=DRIFT_POWER.column_names
    )
    found = said(drift_report_html(busy_inputs().drift, power))["What this monitor can see"]
    assert found[1:] == ["Change | 2,000 rows | 10,000 rows", "none | 0.01 | 0", "+10 % | 0.5 | 0.75"]
    assert "What this monitor can see" not in said(drift_report_html(busy_inputs().drift, power.iloc[:0]))


def test_what_has_no_threshold_is_over_none():
    page_text = drift_report_html(pd.DataFrame([drift_row("flat", 1, "ok", threshold=0.0)]))
    assert "ok | flat is ok |  | unknown [0.0 soft] (40.0) | – | 0.0012 | – | 2,000" in said(page_text)["What comes in"]
