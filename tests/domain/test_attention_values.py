"""What needs attention first, by value: whole entries, their order, and what has eased."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
import pytest

from quality_assets.domain.features.attention import (
    attention,
    attention_order,
    features_that_need_attention,
    harm_today,
    has_eased,
    incident_order,
    model_reasons,
    needs_attention,
    raising_reasons,
    reasons_text,
    severity_level,
    users_hit,
)

NAN = float("nan")
REASONS = '[{"words": "rows rise", "size": 0.4}, {"words": "none", "size": 0}, {"words": "it is calm", "size": -0.2},'
REASONS += ' {"words": "a release", "size": 0.1}]'
NOTHING = {
    "severity": None, "affected_users": None, "real_share": None, "harm_today": None, "risk_probability": None,
    "expected_users_affected": None, "reasons": [],
}  # fmt: skip


def incident(feature: str, **more: Any) -> dict[str, Any]:
    """An open incident of latency that is half as slow again for 100 users."""
    return {
        "incident_id": f"inc-{feature}", "feature": feature, "features": None, "kind": "step", "severity": "medium",
        "metric": "latency_p95_ms", "metrics": ["latency_p95_ms"], "sentence": f"{feature}: slow.", "end_date": None,
        "verdict_sentence": None, "real_share": None, "real_change": 0.5, "users_today": 100, "affected_users": 900,
        "size": 80.0, "current_size": 40.0,
    } | more  # fmt: skip


def score(feature: str, probability: float | None, **more: Any) -> dict[str, Any]:
    return {
        "feature": feature, "risk_probability": probability, "expected_users_affected": 12.5, "horizon_days": 7,
        "is_degraded_today": False, "reasons": REASONS,
    } | more  # fmt: skip


# --- Single features --------------------------------------------------------------------------------------------------


def test_levels_of_severity() -> None:
    assert [severity_level(each) for each in (None, NAN, "low", "medium", "high", "critical")] == [0, 0, 1, 2, 3, 4]


def test_a_feature_with_nothing_against_it_needs_none() -> None:
    entry = attention("Search", [], None)
    assert entry == {"feature": "Search", **NOTHING}
    assert not needs_attention(entry)
    assert attention("Search", [], score("Search", 0.2499)) == {"feature": "Search", **NOTHING}
    assert attention("Search", [], score("Search", None)) == {"feature": "Search", **NOTHING}


def test_incidents_add_up_to_the_worst_of_each() -> None:
    rows = [
        incident("Search", severity="high", users_today=50, real_share=0.25, real_change=1.0),
        incident("Search", severity="critical", users_today=30, real_share=0.75, verdict_sentence="Real."),
        incident("Search", severity="low", users_today=None, affected_users=None, real_share=0.5),
    ]
    entry = attention("Search", rows, score("Search", 0.2499, is_degraded_today=True))
    assert entry == {
        "feature": "Search", "severity": "critical", "affected_users": 50, "real_share": 0.75,
        # 50 × 1 × ¼ and 30 × ½ × ¾.
        "harm_today": 12.5, "risk_probability": None, "expected_users_affected": None,
        "reasons": ["Search: slow.", "Search: slow. Real.", "Search: slow."],
    }  # fmt: skip
    assert needs_attention(entry)


def test_a_risk_counts_from_a_quarter_on_with_what_raises_it() -> None:
    said = "risk of degradation within 7 days 25 %: rows rise; a release"
    entry = attention("Search", [], score("Search", 0.25))
    assert entry == {"feature": "Search", **NOTHING} | {
        "risk_probability": 0.25, "expected_users_affected": 12.5, "reasons": [said],
    }  # fmt: skip
    assert attention("Search", [], score("Search", 0.25), 0.26)["reasons"] == []
    for horizon in (None, NAN):
        lone = attention("Search", [], score("Search", 0.876, horizon_days=horizon, reasons=None))
        assert lone["reasons"] == ["risk of degradation 88 %"]


def test_degraded_by_its_noise_is_told_where_no_incident_is() -> None:
    found = attention("Search", [], score("Search", 0.1, is_degraded_today=True))
    assert found == {"feature": "Search", **NOTHING} | {"reasons": ["degraded today by more than its own noise"]}
    both = attention("Search", [], score("Search", 0.5, is_degraded_today=True, reasons="[]"))
    assert both["reasons"] == ["degraded today by more than its own noise", "risk of degradation within 7 days 50 %"]


def test_what_has_eased_speaks_beside_a_risk_alone_and_has_no_severity() -> None:
    eased = incident("Search", current_size=19.0)
    assert attention("Search", [eased], score("Search", 0.1)) == {"feature": "Search", **NOTHING}
    assert attention("Search", [eased], None) == {"feature": "Search", **NOTHING}
    beside = attention("Search", [eased], score("Search", 0.5, reasons="[]"))
    assert beside == {
        "feature": "Search", "severity": None, "affected_users": 100, "real_share": 1.0, "harm_today": 50.0,
        "risk_probability": 0.5, "expected_users_affected": 12.5,
        "reasons": ["Search: slow.", "risk of degradation within 7 days 50 %"],
    }  # fmt: skip
    both = attention("Search", [eased, incident("Search", severity="low")], None)
    assert (both["severity"], both["reasons"]) == ("low", ["Search: slow."])


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"current_size": 19.9}, True),
        ({"current_size": 20.0}, False),
        ({"current_size": -40.0}, True),
        ({"size": -80.0, "current_size": -30.0}, False),
        ({"size": -80.0, "current_size": -10.0}, True),
        ({"current_size": None}, False),
        ({"current_size": 1.0, "size": None}, False),
        ({"current_size": 1.0, "size": 0.0}, False),
        ({"current_size": 1.0, "kind": "objective"}, False),
        # Another kind of metric goes on; two metrics of one kind are one.
        ({"current_size": 1.0, "metrics": ["latency_p95_ms", "crash_rate"]}, False),
        ({"current_size": 1.0, "metrics": ["latency_p95_ms", "latency_p50_ms"]}, True),
        ({"current_size": 1.0, "metrics": None}, True),
    ],
)
def test_eased_is_below_a_quarter_of_its_worst(changes: dict[str, Any], wanted: bool) -> None:
    assert has_eased(incident("Search", **changes)) is wanted


def test_users_of_the_last_day_are_hit_else_those_of_the_worst() -> None:
    assert [users_hit({"users_today": today, "affected_users": 9.0}) for today in (0, 3.0, None, NAN)] == [0, 3, 9, 9]
    assert users_hit({"affected_users": NAN}) is None
    assert users_hit({}) is None


@pytest.mark.parametrize(
    ("changes", "harm"),
    [
        ({"metric": "crash_rate", "real_change": 3.0}, 75.0), ({"metric": "error_rate", "real_change": 1.0}, 50.0),
        ({"metric": "latency_p95_ms", "real_change": 0.5}, 50.0), ({"metric": "apdex", "real_change": 1.5}, 100.0),
        ({"metric": "feedback_mean", "real_change": 0.5}, 25.0), ({"metric": "feedback_mean", "real_change": 3}, 100.0),
        ({"metric": "events", "real_change": 0.5}, 100.0), ({"metric": "latency_p95_ms", "real_change": None}, 100.0),
        ({"metric": "somewhat", "real_change": 0.25}, 25.0), ({"real_share": 0.5}, 25.0), ({"users_today": 0}, 0.0),
    ],
)  # fmt: skip
def test_harm_is_users_by_how_bad_it_is(changes: dict[str, Any], harm: float) -> None:
    assert harm_today(incident("Search", **changes)) == pytest.approx(harm)


# --- Order ------------------------------------------------------------------------------------------------------------


def test_incidents_are_listed_by_what_goes_on_then_severity_then_harm_then_name() -> None:
    rows = [
        incident("eased", severity="critical", current_size=1.0),
        incident("low", severity="low", users_today=900),
        incident("high-b", severity="high"),
        incident("high-a", severity="high"),
        incident("high-more", severity="high", users_today=101),
        incident("high-unknown", severity="high", users_today=None, affected_users=None),
    ]
    assert [row["feature"] for row in sorted(rows, key=incident_order)] == [
        "high-more", "high-a", "high-b", "high-unknown", "low", "eased",
    ]  # fmt: skip
    assert incident_order(rows[4]) == (False, -3, -50.5, "inc-high-more")
    assert incident_order(rows[5])[2] == 0.0


def test_features_go_by_severity_harm_expected_users_risk_and_name() -> None:
    entry = {"feature": "Search", **NOTHING}
    full = {"severity": "high", "harm_today": 2.5, "expected_users_affected": 7.0, "risk_probability": 0.5}
    assert attention_order(entry) == (0, 0.0, 0.0, 0.0, "Search")
    assert attention_order(entry | full) == (-3, -2.5, -7.0, -0.5, "Search")


def test_of_the_features_the_worst_are_told_with_their_rank() -> None:
    incidents = pd.DataFrame(
        [
            incident("B", severity="high"),
            incident("A", severity="low", incident_id="inc-2"),
            incident("A", severity="critical", features=["A", "F"], sentence="2 features at once: slow."),
            incident("Z", severity="critical", end_date=date(2026, 1, 4)),
            incident("E", current_size=1.0),
        ]
    )
    scores = pd.DataFrame(
        [
            score("C", 0.25, reasons="[]"), score("D", 0.9, reasons="[]", expected_users_affected=3.0),
            score("F", 0.99), score("G", 0.2), score("E", 0.1), score("B", 0.5, reasons="[]"),
        ]
    )  # fmt: skip
    told = features_that_need_attention(incidents, scores)
    assert told == [
        {
            "feature": "A", "severity": "critical", "affected_users": 100, "real_share": 1.0, "harm_today": 50.0,
            "risk_probability": None, "expected_users_affected": None,
            "reasons": ["2 features at once: slow.", "A: slow."], "rank": 1,
        },
        {
            "feature": "B", "severity": "high", "affected_users": 100, "real_share": 1.0, "harm_today": 50.0,
            "risk_probability": 0.5, "expected_users_affected": 12.5,
            "reasons": ["B: slow.", "risk of degradation within 7 days 50 %"], "rank": 2,
        },
        {"feature": "C", **NOTHING} | {
            "risk_probability": 0.25, "expected_users_affected": 12.5,
            "reasons": ["risk of degradation within 7 days 25 %"], "rank": 3,
        },
        {"feature": "D", **NOTHING} | {
            "risk_probability": 0.9, "expected_users_affected": 3.0,
            "reasons": ["risk of degradation within 7 days 90 %"], "rank": 4,
        },
    ]  # fmt: skip
    assert [each["feature"] for each in features_that_need_attention(incidents, scores, most=2)] == ["A", "B"]
    assert [each["feature"] for each in features_that_need_attention(incidents, scores, minimum_risk=0.2)] == list(
        "ABCGD"
    )
    assert [each["feature"] for each in features_that_need_attention(None, scores)] == ["F", "B", "C", "D"]
    assert [each["feature"] for each in features_that_need_attention(incidents, None)] == ["A", "B"]
    assert features_that_need_attention(None, None) == []
    assert features_that_need_attention(incidents.iloc[:0], scores.iloc[:0]) == []


def test_five_are_told() -> None:
    rows = pd.DataFrame([incident(name) for name in "ABCDEFG"])
    assert [each["feature"] for each in features_that_need_attention(rows, None)] == list("ABCDE")


# --- Words ------------------------------------------------------------------------------------------------------------


def test_reasons_of_a_feature_name_it_once() -> None:
    said = reasons_text("Search", ["Search: slow. Real.", "Cart: slow", "risk of degradation 30 %"])
    assert said == "Search: slow. Real; Cart: slow; risk of degradation 30 %."


def test_reasons_of_a_model_are_those_that_raise_it() -> None:
    assert raising_reasons(score("Search", 0.5)) == ["rows rise", "a release"]
    assert len(model_reasons(score("Search", 0.5))) == 4
    assert model_reasons(None) == model_reasons({"reasons": None}) == model_reasons({}) == []
