"""Small questions of pages: what deserves a look, who passes, which days slices compare, what an address names."""

from __future__ import annotations

import base64
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from small_snapshots import THROUGH, Cells, ago, snapshot_of
from sqlalchemy.exc import OperationalError

from quality_assets.contracts.risk_inputs import INPUTS
from quality_assets.domain.features.status import Status
from quality_assets.read import alerts, feature, links, token
from quality_assets.read.drift import Fold, folds, share_of_limit
from quality_assets.read.links import Request
from quality_assets.read.overview import detected_by_day, features, open_incidents, passes_were_right, total
from quality_assets.read.slices import SlicePeriod, slice_filters, slice_period, sliced
from quality_assets.read.worse import worse_by

INCIDENTS = "product.incidents"
RISK_PAST = "product.feature_metrics_with_risk"
INPUT = INPUTS[0].name


def _watched(name: str, status: str = "steady", kind: str = "data", effect: float | None = None) -> Cells:
    return {"name": name, "status": status, "kind": kind, "effect_on_predictions": effect}


@pytest.mark.parametrize(
    ("row", "fold"),
    [
        (_watched(INPUT), Fold.STEADY), (_watched(INPUT, effect=0.0009), Fold.STEADY),
        (_watched(INPUT, effect=0.001), Fold.OPEN), (_watched("latency_ms"), Fold.OPEN),
        (_watched(INPUT, "unknown"), Fold.UNKNOWN), (_watched("latency_ms is missing", "unknown"), Fold.UNKNOWN),
        (_watched("latency_ms is missing"), Fold.MISSING), (_watched("is missing of latency_ms"), Fold.OPEN),
        (_watched("latency_ms is missing", "drifted"), Fold.OPEN), (_watched(INPUT, "drifted"), Fold.OPEN),
        (_watched(INPUT, "unknown", "prediction"), Fold.OPEN), (_watched("x is missing", kind="label"), Fold.OPEN),
    ],
)  # fmt: skip
def test_what_of_the_watched_deserves_a_look(row: Cells, fold: Fold) -> None:
    assert folds([row]) == {fold: [row]}


def test_rows_keep_their_order_in_their_fold_and_empty_folds_are_left_out() -> None:
    rows = [_watched("b"), _watched(INPUT), _watched("a")]
    found = folds(rows)
    assert list(found.items()) == [(Fold.OPEN, [rows[0], rows[2]]), (Fold.STEADY, [rows[1]])]
    assert folds([]) == {}


@pytest.mark.parametrize(
    ("observed", "threshold", "share"),
    [(0.3, 0.2, 1.5), (0.0, 0.2, 0.0), (None, 0.2, None), (0.3, None, None), (0.3, 0.0, None)],
)
def test_a_statistic_against_its_limit(observed: float | None, threshold: float | None, share: float | None) -> None:
    found = share_of_limit({"observed": observed, "threshold": threshold})
    assert found == (None if share is None else pytest.approx(share))


# --- All features -----------------------------------------------------------------------------------------------------


def _passes(graded: int) -> float | None:
    past: list[Cells] = []
    labels: list[Cells] = []

    def day(n: int, risk: float | None, label: bool | None, degraded: bool | None) -> None:
        past.append({"event_date": ago(n), "feature": "pay", "risk_probability": risk, "label_any": label})
        labels.append({"event_date": ago(n), "feature": "pay", "is_degraded_today": degraded})

    for n in range(graded):
        day(n, 0.2499, n < 5, True)
    # None of these is a degraded day of which it is known what came, and of which little risk was told.
    others = [(0.25, True, True), (0.1, True, False), (0.1, None, True), (None, True, True), (0.1, True, None)]
    for n, other in enumerate(others):
        day(100 + n, *other)
    past.append({"event_date": ago(200), "feature": "pay", "risk_probability": 0.1, "label_any": True})
    return passes_were_right(snapshot_of({RISK_PAST: past, "ml.degradation_labels": labels}))


def test_of_degraded_days_that_could_pass_so_many_did() -> None:
    assert (_passes(19), _passes(20), _passes(25)) == (None, 0.75, 0.8)
    assert passes_were_right(snapshot_of({RISK_PAST: []})) is None


def test_incidents_are_counted_on_the_day_that_they_were_found() -> None:
    rows = [{"incident_id": f"{n}", "detected_on": ago(days)} for n, days in enumerate((0, 3, 3))]
    assert detected_by_day(snapshot_of({INCIDENTS: rows})) == {THROUGH: 1, ago(3): 2}


def test_what_hits_most_of_the_product_is_of_each_state_and_told_once() -> None:
    wide = {
        "incident_id": "w", "feature": "pay", "features": ["pay", "maps"], "severity": "critical",
        "affected_users": 90, "start_date": ago(2),
    }  # fmt: skip
    described = [{"feature": name} for name in ("chat", "maps", "pay")]
    facts = [
        {"event_date": ago(days), "feature": "pay", "users": users, "adoption_rate": 0.5}
        for days, users in ((0, 30), (1, 20))
    ]
    reader = snapshot_of(
        {"product.dim_feature_metadata": described, INCIDENTS: [wide], "product.fact_feature_metrics": facts}
    )
    pay, maps, chat = features(reader, 1)
    assert [(row["feature"], row["status"], row["needs_attention"]) for row in (pay, maps, chat)] == [
        ("pay", Status.CRITICAL, True), ("maps", Status.CRITICAL, False), ("chat", Status.UNKNOWN, False),
    ]  # fmt: skip
    assert [[each["incident_id"] for each in row["incidents"]] for row in (pay, maps, chat)] == [["w"], [], []]
    assert (pay["users"], pay["users_change"], pay["adoption"]) == (30.0, 0.5, 0.5)
    assert (chat["users"], chat["users_change"], chat["risk"], chat["metrics"]) == (None, None, None, {})
    assert len(open_incidents(reader)) == 1


@pytest.mark.parametrize(("before", "change"), [(0.0, None), (None, None), (50.0, 1.0)])
def test_a_total_changes_against_something(before: float | None, change: float | None) -> None:
    rows = [
        {"event_date": ago(days), "feature": "pay", "users": 10, "latency_p95_ms": value}
        for days, value in ((0, 100.0), (1, before))
    ]
    reader = snapshot_of({"product.fact_feature_metrics": rows})
    assert total(reader, 1, "p95_ms").change == change
    assert total(snapshot_of({}), 1, "p95_ms").mean is None


def test_without_states_the_band_of_the_trend_says_what_is_worse() -> None:
    assert worse_by(snapshot_of({})) == {"is_worse": "trend.is_worse", "states": ""}
    known = worse_by(snapshot_of({"product.feature_states": []}))
    assert known["is_worse"].startswith("case when state.state is null then trend.is_worse")
    assert "product.feature_states" in known["states"]


# --- One feature ------------------------------------------------------------------------------------------------------


def test_incidents_of_the_whole_product_are_of_each_of_its_features() -> None:
    rows: list[Cells] = [
        {"incident_id": "own", "feature": "pay", "start_date": ago(9)},
        {"incident_id": "wide", "feature": "maps", "features": ["pay", "maps"], "start_date": ago(3)},
        {"incident_id": "ended", "feature": "pay", "start_date": ago(1), "end_date": ago(0)},
        {"incident_id": "over", "feature": "pay", "start_date": ago(5), "end_date": ago(4)},
        {"incident_id": "other", "feature": "maps", "start_date": ago(1)},
    ]
    found = feature.incidents(snapshot_of({INCIDENTS: rows}), "pay")
    assert sorted(row["incident_id"] for row in found[:2]) == ["own", "wide"]
    assert [row["incident_id"] for row in found[2:]] == ["ended", "over"]


def test_parts_of_a_change_stand_by_size_and_what_is_real_last() -> None:
    def part(incident: str, name: str, size: float | None) -> Cells:
        return {"incident_id": incident, "feature": "pay", "part": name, "size": size, "rows_used": 7}

    parts = [("1", "real", 9.0), ("1", "mix", 0.1), ("1", "release", -0.5), ("1", "a", 0.1), ("0", "b", 1.0)]
    rows = [part(*each) for each in parts] + [part("2", "x", 1.0) | {"feature": "maps"}]
    found = feature.causes(snapshot_of({feature.CAUSES: rows}), "pay")
    assert {key: [row["part"] for row in rows] for key, rows in found.items()} == {
        "0": ["b"], "1": ["release", "a", "mix", "real"],
    }  # fmt: skip


def test_the_past_of_a_risk_is_of_the_window_oldest_first() -> None:
    known = {
        "event_date": ago(1), "risk_probability": 0.5, "risk_low": 0.4, "risk_high": 0.6, "score_kind": "model",
        "is_backfilled": True, "model_version": "3", "label_any": False, "days_to_degradation": 2,
        "incident_ahead": "inc",
    }  # fmt: skip
    others: list[Cells] = [{"event_date": ago(days)} for days in (2, 0, -1)]
    rows = [{"feature": "pay"} | row for row in (known, *others)]
    reader = snapshot_of({RISK_PAST: [*rows, known | {"feature": "maps"}]})
    first, second = feature.risk_past(reader, "pay", 2)
    renamed = {name: value for name, value in known.items() if name not in ("risk_low", "risk_high")}
    assert first == renamed | {"low": 0.4, "high": 0.6, "is_graded": True}
    assert (second["event_date"], second["is_backfilled"], second["is_graded"]) == (THROUGH, False, False)


# --- Slices -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("starts", "wanted"),
    [
        ((), SlicePeriod(ago(6), ago(6))),
        ((27,), SlicePeriod(ago(27), ago(27), ago(27))),
        ((28,), SlicePeriod(ago(27), ago(28), ago(28))),
        ((3, 40), SlicePeriod(ago(27), ago(40), ago(40))),
        ((2, 5), SlicePeriod(ago(5), ago(5), ago(5))),
    ],
)
def test_which_days_slices_compare(starts: tuple[int, ...], wanted: SlicePeriod) -> None:
    rows: list[Cells] = [{"incident_id": f"{n}", "feature": "pay", "start_date": ago(n)} for n in starts]
    rows += [{"incident_id": "over", "feature": "pay", "start_date": ago(50), "end_date": ago(1)}]
    rows += [{"incident_id": "other", "feature": "maps", "start_date": ago(20)}]
    assert slice_period(snapshot_of({INCIDENTS: rows}), "pay", THROUGH) == wanted


def test_filters_are_what_the_address_says_of_dimensions() -> None:
    query = {"country": "DE", "platform": "ios", "app_version": "", "team": "x"}
    assert slice_filters(Request("/feature/pay", query)) == (("platform", "ios"), ("country", "DE"))
    assert sliced(snapshot_of({}), Request("/model")) == []
    assert sliced(snapshot_of({}, through=None), Request("/feature/pay")) == []


# --- Addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "read", "prefix"),
    [
        (links.funnel, links.funnel_of, "/funnels/"), (links.experiment, links.experiment_of, "/experiments/"),
        (links.alert, links.alert_of, "/alerts/"), (links.dataset, links.dataset_of, "/sources/"),
        (links.model, links.model_of, "/models/"),
    ],
)  # fmt: skip
def test_addresses_name_what_they_were_made_of(made: Any, read: Any, prefix: str) -> None:
    assert made("a/b c") == f"{prefix}a%2Fb%20c"
    assert read(made("a/b c")) == "a/b c"
    assert [read(path) for path in (prefix, prefix.rstrip("/"), "/", "/other/x")] == [None] * 4


def test_the_model_of_risk_has_a_page_of_its_own_and_ends_of_addresses_do_not_count() -> None:
    assert [links.model_of(path) for path in ("/models/feature_risk", "/models/feature_risk/")] == [None, None]
    assert links.model_of("/models/sales/") == "sales"
    assert (links.alert_of("/alerts/7/"), links.dataset_of("/sources/x/")) == ("7", "x")
    assert Request.parse(None, None) == Request("/", {})


# --- Alerts and news --------------------------------------------------------------------------------------------------


def _cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


def test_a_cursor_is_one_that_was_given_out() -> None:
    seen = datetime(2026, 3, 4, 12)
    made = alerts._cursor({"last_seen": seen, "alert_id": "a|b"})
    assert alerts._opened_cursor(made) == (seen, "a|b")
    wrong = ["x", _cursor("soon|a"), _cursor("2026-03-04T12:00:00|"), _cursor("2026-03-04T12:00:00Z|a"), _cursor("a")]
    for cursor in wrong:
        with pytest.raises(alerts.CursorError, match=r"^This cursor was not given out here; ask without one for the"):
            alerts._opened_cursor(cursor)


def test_weeks_of_alerts_begin_on_mondays_and_end_with_this_one() -> None:
    now = datetime(2026, 3, 4, 12)  # a Wednesday
    monday = date(2026, 3, 2)
    rows = [
        {"first_seen": datetime(2026, 3, 2), "resolved_at": None, "resolution": None},
        {"first_seen": datetime(2026, 3, 1, 23), "resolved_at": datetime(2026, 3, 3), "resolution": "fixed"},
        {"first_seen": datetime(2025, 12, 15), "resolved_at": datetime(2025, 12, 21), "resolution": "false_alarm"},
        {"first_seen": datetime(2025, 12, 14, 23), "resolved_at": None, "resolution": "false_alarm"},
    ]
    weeks = alerts._weeks(rows, now)
    assert [week["week"] for week in weeks] == [monday - timedelta(weeks=n) for n in range(11, -1, -1)]
    nothing = {"opened": 0, "resolved": 0, "false_alarms": 0}
    assert weeks[0] == {"week": date(2025, 12, 15), "opened": 1, "resolved": 1, "false_alarms": 1}
    assert [{name: week[name] for name in nothing} for week in weeks[1:10]] == [nothing] * 9
    assert weeks[10] == {"week": date(2026, 2, 23), "opened": 1, "resolved": 0, "false_alarms": 0}
    assert weeks[11] == {"week": monday, "opened": 1, "resolved": 1, "false_alarms": 0}
    assert alerts._mean_hours([timedelta(hours=1), timedelta(minutes=30)]) == 0.75
    assert alerts._mean_hours([]) is None
    assert [alerts._said(value) for value in (24.0, 0.25, 7, "x", True, {"ü": 1})] == [
        "24",
        "0.25",
        "7",
        "x",
        "true",
        '{"ü": 1}',
    ]


def test_news_are_of_the_snapshot_and_of_the_operations_store(monkeypatch: pytest.MonkeyPatch) -> None:
    store: Any = type("Store", (), {"token": lambda _: "v1|"})()
    counting = type("Operations", (), {"change_count": lambda _: 7})()
    settings: Any = "settings"
    monkeypatch.setattr(token, "operations_of", lambda given: counting if given == settings else None)
    assert token.page_token(store, settings) == "v1|#7"

    def gone(_: Any) -> Any:
        raise OperationalError("select", {}, Exception("gone"))

    monkeypatch.setattr(token, "operations_of", gone)
    assert token.page_token(store, settings) == "v1|#?"
