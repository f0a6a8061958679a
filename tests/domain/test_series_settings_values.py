"""Every limit that series, incidents and causes are judged by, as it was tuned; and what follows from them."""

from __future__ import annotations

from math import inf

import pytest

from quality_assets.domain.features.causes import DEFAULT_CAUSES, CauseSettings
from quality_assets.domain.features.severity import DEFAULT_SEVERITY, SeveritySettings
from quality_assets.domain.series.settings import (
    DEFAULT_BAND,
    DEFAULT_OBJECTIVES,
    DEFAULT_RARE,
    DEFAULT_SETTINGS,
    MAD_TO_SIGMA,
    WEEKS_TO_TRUST,
    BandSettings,
    DetectionSettings,
    Limits,
    ObjectiveSettings,
    Past,
    RareSettings,
    WalkRules,
)


def test_limits_are_those_that_were_tuned_together() -> None:
    assert RareSettings(
        evidence=10.0, recovery=3.0, most_a_day=4.5, multiples=(3.0, 10.0), failure_share=0.3, few=1.5,
        prior_variance=3.0, longest_days=28, window_days=120, minimum_days=12,
    ) == DEFAULT_RARE  # fmt: skip
    assert (
        BandSettings(
            past=Past(window_days=28, minimum_days=7, lag_days=0), min_same_weekdays=3, sigmas=4.0, relative_floor=0.01
        )
        == DEFAULT_BAND
    )
    assert ObjectiveSettings(
        short_days=3, long_days=28, chance_sd=3.0, allowed_days=0.05, least_allowed=1e-6,
        by_tier={"crash_rate": (0.02, 0.05, 0.1), "error_rate": (0.1, 0.2, 0.3), "feedback_mean": (3.0, 2.5, 2.0)},
    ) == DEFAULT_OBJECTIVES  # fmt: skip
    assert SeveritySettings(
        steps={
            "latency": (0.25, 0.75, 4.0), "crash": (1.0, 4.0, inf), "error": (1.0, 4.0, inf),
            "feedback": (0.3, 0.8, 2.0), "volume": (0.3, 0.6, 0.9),
        },
        failing_share=0.5, many_users=0.1, few_users=0.01, default_overspent=10.0,
    ) == DEFAULT_SEVERITY  # fmt: skip
    assert CauseSettings(
        least_rows=40, least_users=20, least_shared=0.15, least_moved=0.03, least_flagged=0.002, most_weight=20.0,
        groups=10, t=1.833, measurement_below=0.5, real_from=0.75,
    ) == DEFAULT_CAUSES  # fmt: skip
    assert (MAD_TO_SIGMA, WEEKS_TO_TRUST, DEFAULT_SETTINGS.minimum_median_sample) == (1.4826, 3, 5)
    assert DEFAULT_SETTINGS.rare == DEFAULT_RARE


def test_a_walk_is_plain_unless_it_is_told_otherwise() -> None:
    limits = Limits(1.0, 2.0, 3.0, 4.0)
    assert WalkRules(limits, 0.3, 4.0, 1.5, 3, 42) == WalkRules(
        limits=limits, smoothing=0.3, winsor_sd=4.0, calm_sd=1.5, calm_days=3, adopt_after_days=42, change_limit=inf,
        calm_change=-inf, hold_days=None, is_settled=False, needs_fading=False, ends_inside=False, since="episode",
    )  # fmt: skip


def test_series_of_a_family_are_walked_by_the_limits_of_the_family() -> None:
    own = DetectionSettings(smoothing=0.25, winsor_sd=5.0, calm_sd=1.25, calm_days=4, adopt_after_days=30)
    assert own.rules_of("rate") == WalkRules(
        limits=Limits(3.8, 4.6, 0.25, 0.5), smoothing=0.25, winsor_sd=5.0, calm_sd=1.25, calm_days=4,
        adopt_after_days=30, change_limit=10.0, calm_change=-inf, hold_days=None, is_settled=True, needs_fading=True,
        ends_inside=True, since="run",
    )  # fmt: skip
    assert own.limits_of("count") == Limits(3.5, 4.3, 0.1, 0.25)
    assert own.of_silence.limits == tuple(
        (family, Limits(inf, inf, inf, inf)) for family in ("count", "rate", "positive", "score")
    )
    assert own.of_silence.smoothing == 0.25


@pytest.mark.parametrize(
    ("metric", "family", "least"),
    [
        ("feedback_mean", "score", 2), ("latency_p50_ms", "positive", 5), ("latency_p95_ms", "positive", 20),
        ("latency_p50_ms", "score", 2), ("crash_rate", "rate", 1), ("events", "count", 1),
    ],
)  # fmt: skip
def test_how_many_values_a_day_must_rest_on(metric: str, family: str, least: int) -> None:
    assert DEFAULT_SETTINGS.least_sample(metric, family) == least  # type: ignore[arg-type]


def test_the_past_of_a_day_by_hand() -> None:
    past = Past(window_days=5, minimum_days=2, lag_days=3)
    assert [past.first(day) for day in (0, 7, 8, 9, 20)] == [0, 0, 0, 1, 12]
    assert past.days(20).tolist() == [12, 13, 14, 15, 16]
    assert past.days(4).tolist() == [0]
    assert past.days(2).tolist() == []
    assert past.sql_range == "range between interval 8 days preceding and interval 4 days preceding"
    assert Past(28, 7).sql_range == "range between interval 28 days preceding and interval 1 days preceding"
    assert DEFAULT_SETTINGS.past == Past(35, 12, 8)
    assert DEFAULT_BAND.history_days == 56
    assert BandSettings(past=past).history_days == 10
