"""One feature, one day, one word: cards, feature page, report, command line, alerts and API told of the same rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from services import alert_rows

from dash_app.pages import feature as feature_page
from dash_app.pages import overview as overview_page
from quality_assets.cli.summary import first_to_look_at, summary_lines, worse_features
from quality_assets.contracts.incidents import INCIDENTS
from quality_assets.contracts.ml import RISK_SCORES
from quality_assets.contracts.product import DIM_FEATURE_METADATA, FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.contracts.states import FEATURE_STATES
from quality_assets.contracts.table import Column, Table
from quality_assets.domain.features.attention import features_that_need_attention, has_eased
from quality_assets.domain.reports.run import RunInputs, report_text, run_report
from quality_assets.read import feature, overview
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader
from quality_assets.serve.api import features as api
from quality_assets.settings import Settings
from quality_assets.stores.snapshots import Snapshot
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables.faults import tell_of_incidents

DAY = date(2026, 3, 2)
# Severity comes first, then users whom the real part hits on the last day: 300 × .5 is fewer than 200.
TOLD: tuple[dict[str, Any], ...] = (
    {"incident_id": "a", "feature": "Maps", "severity": "medium", "users_today": 300, "affected_users": 400,
     "real_share": 0.5, "verdict": "partly", "verdict_sentence": "Half of it is real."},
    {"incident_id": "b", "feature": "Pay", "severity": "medium", "users_today": 200, "affected_users": 900},
    {"incident_id": "c", "feature": "Chat", "severity": "high", "users_today": 3, "affected_users": 8},
    {"incident_id": "d", "feature": "Pay", "severity": "low", "users_today": 9, "affected_users": 9},
    {"incident_id": "e", "feature": "Feed", "severity": "critical", "users_today": 5, "end_date": DAY,
     "end_kind": "recovered"},
    # A fifth as far off as at its worst: it goes on no more, and speaks beside a risk alone.
    {"incident_id": "f", "feature": "Search", "severity": "critical", "users_today": 2, "size": 0.05,
     "current_size": 0.01},
    {"incident_id": "g", "feature": "Dull", "severity": "high", "users_today": 4, "size": -0.05, "current_size": 0.01},
)  # fmt: skip
IN_ORDER = ["c", "b", "a", "d", "f", "g"]
SAID = {
    "a": "Maps: crash rate at 5 % instead of 1 % since 1 Mar 2026. Half of it is real.",
    **{row["incident_id"]: f"{row['feature']}: crash rate at 5 % instead of 1 % since 1 Mar 2026." for row in TOLD[1:]},
}
FEATURES = ("Chat", "Pay", "Maps", "Search", "Dull")


def incident(**cells: Any) -> dict[str, Any]:
    return {
        "metric": "crash_rate", "metrics": ["crash_rate"], "kind": "step", "scope": "feature", "start_date": DAY,
        "detected_on": DAY, "unit": "fraction", "baseline_value": 0.01, "peak_value": 0.05, "score": 9.0,
        "slice_status": "unknown", "end_kind": "open",
        "sentence": f"{cells['feature']}: crash rate at 5 % instead of 1 % since 1 Mar 2026.",
    } | cells  # fmt: skip


def _empty(column: Column) -> Any:
    if column.nullable:
        return None
    blank: dict[str, Any] = {"VARCHAR": "", "BOOLEAN": False, "DATE": DAY, "TIMESTAMP": datetime(2026, 3, 2)}
    return [] if column.type.endswith("[]") else blank.get(column.type, 0)


def put(session: WarehouseSession, table: Table, *rows: dict[str, Any]) -> None:
    marks = ", ".join("?" * len(table.columns))
    values = [[row.get(column.name, _empty(column)) for column in table.columns] for row in rows]
    session.connection.executemany(f"insert into {table.qualified_name} values ({marks})", values)


@pytest.fixture
def session(data_root: Settings) -> Iterator[WarehouseSession]:
    """A warehouse of five features: three with open incidents, one likely to degrade, one of which little is said."""
    scores = {"Search": 0.4, "Pay": 0.9, "Dull": 0.24}
    with open_warehouse(data_root) as opened:
        put(opened, FACT_FEATURE_METRICS, {"event_date": DAY, "feature": "Maps"})
        put(opened, INCIDENTS, *(incident(**row) for row in TOLD))
        put(opened, DIM_FEATURE_METADATA, *({"feature": name, "last_seen_date": DAY} for name in FEATURES))
        put(
            opened,
            RISK_SCORES,
            *(
                {"event_date": DAY, "feature": name, "risk_probability": risk, "model_version": "1", "horizon_days": 7}
                for name, risk in scores.items()
            ),
        )
        yield opened


def reader_of(session: WarehouseSession) -> Reader:
    snapshot = Snapshot("20260303T060000", datetime(2026, 3, 3, 6), DAY, "run-1", "fingerprint", Path("nowhere"))
    with patch.dict(Reader.__init__.__globals__, open_snapshot=lambda _: session.connection.cursor()):
        return Reader(snapshot)


def words_of(component: Any) -> str:
    """All text of a page's part, as a reader sees it."""
    if component is None:
        return ""
    if isinstance(component, str | int | float):
        return str(component)
    if isinstance(component, list | tuple):
        return " ".join(map(words_of, component))
    return words_of(getattr(component, "children", None))


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace(" .", ".")


def test_incidents_stand_in_one_order_on_pages_in_the_report_and_in_the_api(session: WarehouseSession) -> None:
    reader = reader_of(session)
    assert [row["incident_id"] for row in overview.open_incidents(reader)] == IN_ORDER
    assert [row["incident_id"] for row in json.loads(api.incidents(reader).body)] == IN_ORDER
    assert [row["incident_id"] for row in feature.incidents(reader, "Pay")] == ["b", "d"]
    frame = session.connection.execute(f"select * from {INCIDENTS.qualified_name}").df()
    report = run_report(RunInputs("run-1", datetime(2026, 3, 3, tzinfo=UTC), DAY, incidents=frame))
    assert [row["incident_id"] for row in report["incidents"]["list"]] == IN_ORDER


def test_features_stand_in_one_order_and_for_the_same_reasons(session: WarehouseSession) -> None:
    reader = reader_of(session)
    reasons = {
        "Chat": [SAID["c"]],
        "Pay": [SAID["b"], SAID["d"], "risk of degradation within 7 days 90 %"],
        "Maps": [SAID["a"]],
        "Search": [SAID["f"], "risk of degradation within 7 days 40 %"],
    }
    cards = [row for row in overview.features(reader, 7) if row["needs_attention"]]
    assert {row["feature"]: row["attention"]["reasons"] for row in cards} == reasons
    assert [row["feature"] for row in cards] == list(reasons)
    assert first_to_look_at(session.connection) == list(reasons.items())
    incidents, scores = (
        session.connection.execute(f"select * from {table.qualified_name}").df() for table in (INCIDENTS, RISK_SCORES)
    )
    made = run_report(RunInputs("run-1", datetime(2026, 3, 3, tzinfo=UTC), DAY, incidents=incidents, scores=scores))
    assert [(entry["feature"], entry["reasons"]) for entry in made["attention"]] == list(reasons.items())
    assert [entry["affected_users"] for entry in made["attention"]] == [3, 200, 300, 2]
    assert [row["impact"] for row in cards] == [3, 200, 300, 2]
    listed = json.loads(api.features(reader).body)
    assert [row["feature"] for row in listed][:4] == list(reasons)
    text = report_text(made)
    assert [text.index(f"{n}. {name}") for n, name in enumerate(reasons, 1)] == sorted(
        text.index(f"{n}. {name}") for n, name in enumerate(reasons, 1)
    )


def test_an_incident_reads_alike_on_its_card_its_page_in_its_alert_and_on_the_command_line(
    session: WarehouseSession, data_root: Settings
) -> None:
    reader = reader_of(session)
    card = squeezed(words_of(overview_page.build(reader, Request("/"))))
    page = squeezed(words_of(feature_page.build(reader, Request("/feature/Maps"))))
    what = SAID["a"].removeprefix("Maps: ")
    assert f"C{what[1:]}" in card
    assert "300 users hit on the last day" in card
    assert SAID["a"].split(". ")[0] in page
    assert "Half of it is real." in page
    assert "300 users on the last day" in page
    tell_of_incidents(session, "run-1")
    alerts = {alert["check_name"]: alert for alert in alert_rows(data_root)}
    assert {key: alert["message"] for key, alert in alerts.items()} == {key: SAID[key] for key in IN_ORDER}
    assert {key: (alert["severity"], alert["users"]) for key, alert in alerts.items()} == {
        "a": ("medium", 300), "b": ("medium", 200), "c": ("high", 3), "d": ("low", 9), "f": ("critical", 2),
        "g": ("high", 4),
    }  # fmt: skip
    lines = list(summary_lines(session.connection))
    assert lines[lines.index("Needs attention first:") + 3] == f"  {SAID['a']}"


@pytest.mark.parametrize(
    ("state", "is_counted", "is_worse"),
    [
        ("worse", True, True), ("breached", True, True), ("recovering", True, False), ("ok", True, False),
        ("unknown", True, None), ("worse", False, False), (None, None, True),
    ],
)  # fmt: skip
def test_a_metric_is_worse_where_its_state_says_so_whatever_the_band_says(
    session: WarehouseSession, state: str | None, is_counted: bool | None, is_worse: bool | None
) -> None:
    session.connection.execute(f"delete from {INCIDENTS.qualified_name}")
    key = {"event_date": DAY, "feature": "Dull", "metric": "crash_rate"}
    put(session, FEATURE_DAILY_TRENDS, key | {"value": 0.5, "expected": 0.1, "is_worse": True})
    if state is not None:
        put(session, FEATURE_STATES, key | {"state": state, "is_counted": is_counted})
        put(session, FEATURE_STATES, key | {"state": "worse", "is_counted": True, "platform": "Web"})
    reader = reader_of(session)
    assert overview.current_metrics(reader)["Dull"]["crash_rate"]["is_worse"] is is_worse
    assert [row["is_worse"] for row in feature.trends(reader, "Dull", 7)["crash_rate"]] == [is_worse]
    assert [line.split(":")[0] for line in worse_features(session.connection)] == (["Dull"] if is_worse else [])
    dull = next(row for row in overview.features(reader, 7) if row["feature"] == "Dull")
    assert dull["status"] == ("watch" if is_worse else "healthy")


@pytest.mark.parametrize(
    ("cells", "eased"),
    [
        ({"size": 0.04, "current_size": 0.011}, False), ({"size": 0.04, "current_size": 0.009}, True),
        ({"size": -0.04, "current_size": -0.03}, False), ({"size": -0.04, "current_size": 0.001}, True),
        ({"size": 0.04, "current_size": None}, False), ({"size": 0.0, "current_size": 0.0}, False),
        ({"size": 0.04, "current_size": 0.0, "kind": "objective"}, False),
        ({"size": 0.04, "current_size": 0.0, "metrics": ["crash_rate", "latency_p95_ms"]}, False),
        ({"size": 0.04, "current_size": 0.0, "metrics": ["latency_p50_ms", "latency_p95_ms"]}, True),
    ],
)  # fmt: skip
def test_what_is_hardly_off_any_more_has_eased(cells: dict[str, Any], eased: bool) -> None:
    assert has_eased(incident(feature="Pay", **cells)) is eased


def test_what_is_degraded_without_an_incident_is_told_alike(session: WarehouseSession) -> None:
    session.connection.execute(f"delete from {INCIDENTS.qualified_name}")
    session.connection.execute(f"update {RISK_SCORES.qualified_name} set is_degraded_today = feature = 'Dull'")
    scores = session.connection.execute(f"select * from {RISK_SCORES.qualified_name}").df()
    (card,) = [row for row in overview.features(reader_of(session), 7) if row["feature"] == "Dull"]
    assert card["attention"]["reasons"] == ["degraded today by more than its own noise"]
    assert card["needs_attention"]
    assert features_that_need_attention(None, scores)[-1]["reasons"] == card["attention"]["reasons"]
    assert "Degraded today by more than its own noise." in squeezed(
        words_of(overview_page.build(reader_of(session), Request("/")))
    )
