"""Families, sides and parts of every metric; panels of stored and of derived values; what descriptions refuse."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quality_assets.contracts.metrics import METRICS_BY_NAME
from quality_assets.domain.features.descriptions import (
    FeatureDescriptionsError,
    read_feature_descriptions,
    with_seen_dates,
)
from quality_assets.domain.series.panel import (
    MONITORED_METRICS,
    build_grid,
    columns_behind,
    has_metric,
    metric_family,
    panel_from_facts,
    panel_of,
    sample_column,
    worse_side,
)

NAN = float("nan")


def on(day: int) -> date:
    return date(2026, 1, 1) + timedelta(days=day)


@pytest.mark.parametrize(
    ("metric", "family", "worse", "sample"),
    [
        ("events", "count", -1, None), ("users", "count", -1, None), ("crashes", "count", 1, None),
        ("crash_rate", "rate", 1, "events"), ("error_rate", "rate", 1, "events"),
        ("crash_free_sessions", "rate", 1, "sessions"), ("latency_p50_ms", "positive", 1, "latency_count"),
        ("latency_p95_ms", "positive", 1, "latency_count"), ("latency_p99_ms", "positive", 1, "latency_count"),
        ("apdex", "score", -1, "apdex_count"), ("feedback_mean", "score", -1, "feedback_count"),
    ],
)  # fmt: skip
def test_every_metric_has_its_noise_its_side_and_its_sample(
    metric: str, family: str, worse: int, sample: str | None
) -> None:
    each = METRICS_BY_NAME[metric]
    assert (metric_family(each), worse_side(each), sample_column(each)) == (family, worse, sample)


def test_what_is_watched_and_what_it_is_made_of() -> None:
    assert MONITORED_METRICS == (
        "events", "crash_rate", "error_rate", "latency_p95_ms", "latency_p50_ms", "feedback_mean",
    )  # fmt: skip
    assert columns_behind(["error_rate", METRICS_BY_NAME["crash_rate"], "events"]) == (
        "error_rate", "errors", "events", "crash_rate", "crashes",
    )  # fmt: skip
    assert columns_behind([]) == ()


def test_a_rate_is_its_stored_value_else_that_of_its_parts() -> None:
    rows = pd.DataFrame(
        {
            "event_date": [on(0), on(1), on(2), on(3)], "feature": "pay", "crashes": [1, 2, 0, NAN],
            "events": [10, 10, 0, 10], "crash_rate": [0.5, NAN, NAN, NAN],
        }
    )  # fmt: skip
    panel = panel_from_facts(rows, "crash_rate")
    np.testing.assert_array_equal(panel.value, [[0.5, 0.2, NAN, NAN]])
    np.testing.assert_array_equal(panel.amount, [[1, 2, 0, NAN]])
    np.testing.assert_array_equal(panel.sample, [[10, 10, 0, 10]])
    derived = panel_from_facts(rows.drop(columns="crash_rate"), "crash_rate")
    np.testing.assert_array_equal(derived.value, [[0.1, 0.2, NAN, NAN]])
    free = rows.rename(columns={"crashes": "crashed_sessions", "events": "sessions"})
    complement = panel_from_facts(free, "crash_free_sessions")
    np.testing.assert_allclose(complement.value, [[0.1, 0.2, NAN, NAN]])
    assert (complement.worse, complement.family) == (1, "rate")
    mean = panel_from_facts(rows.assign(feedback_sum=[8, 9, 0, 1], feedback_count=[2, 3, 0, NAN]), "feedback_mean")
    np.testing.assert_array_equal(mean.value, [[4, 3, NAN, NAN]])
    np.testing.assert_array_equal(mean.sample, [[2, 3, 0, NAN]])


def test_a_grid_has_a_metric_by_itself_or_by_all_of_its_parts() -> None:
    def has(metric: str, *columns: str) -> bool:
        row = {"event_date": [on(0)], "feature": ["pay"]} | {name: [1.0] for name in columns}
        return has_metric(build_grid(pd.DataFrame(row), columns), metric)

    assert has("crash_rate", "crash_rate")
    assert has("crash_rate", "crashes", "events")
    assert not has("crash_rate", "crashes")
    assert not has("crash_rate", "events")
    assert not has("users", "events")
    assert has("users", "users")


def test_a_gap_is_unknown_and_a_silent_day_has_no_events() -> None:
    rows = pd.DataFrame(
        {"event_date": [on(0), on(3), on(1)], "feature": ["a", "a", "b"], "events": [5, 6, 7], "latency_p95_ms": 9.0}
    )
    grid = build_grid(rows, ["events", "latency_p95_ms", "absent"], known_dates=[on(0), on(1), on(3), on(4)])
    assert (grid.keys.tolist(), grid.is_gap.tolist()) == (["a", "b"], [False, False, True, False, False])
    assert grid.is_seen.tolist() == [[True] * 5, [False, True, True, True, True]]
    np.testing.assert_array_equal(panel_of(grid, "events").value, [[5, 0, NAN, 6, 0], [NAN, 7, NAN, 0, 0]])
    np.testing.assert_array_equal(
        panel_of(grid, "latency_p95_ms").value, [[9, NAN, NAN, 9, NAN], [NAN, 9, NAN, NAN, NAN]]
    )
    assert list(grid.values) == ["events", "latency_p95_ms"]
    assert panel_of(grid, "events").dates == tuple(on(d) for d in range(5))
    # Cells by day, then key.
    long = grid.long_keys(np.array([[1, 0, 0, 1, 0], [1, 0, 0, 0, 1]], bool))
    assert long.to_dict("list") == {
        "event_date": [pd.Timestamp(on(d)) for d in (0, 0, 3, 4)], "feature": ["a", "b", "a", "b"],
    }  # fmt: skip
    np.testing.assert_array_equal(
        grid.spread(
            pd.DataFrame(
                {"event_date": [on(4), on(5), on(-1), on(1)], "feature": ["b", "a", "a", "z"], "x": [1, 2, 3, 4]}
            ),
            "x",
        ),
        [[NAN] * 5, [*[NAN] * 4, 1]],
    )


# --- feature_metadata.csv ---------------------------------------------------------------------------------------------


def read(tmp_path: Path, text: str) -> pd.DataFrame:
    path = tmp_path / "feature_metadata.csv"
    path.write_text(text, encoding="utf-8")
    return read_feature_descriptions(path)


def test_values_at_the_ends_of_their_range_are_read(tmp_path: Path) -> None:
    frame = read(
        tmp_path,
        "feature,tier,slo_crash_rate,uncounted_metrics\na,1,0,all\nb,3,1,events crash_rate\nc,2.0,0.5\n",
    )
    assert frame["tier"].tolist() == [1, 3, 2]
    assert frame["slo_crash_rate"].tolist() == [0.0, 1.0, 0.5]
    assert frame["uncounted_metrics"].tolist() == ["all", "events crash_rate", None]
    assert frame["feature"].tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("feature,tier\na,0\n", "line 2: tier '0' is not between 1 and 3"),
        ("feature,slo_crash_rate\na,1\nb,-0.1\n", "line 3: slo_crash_rate '-0.1' is not between 0 and 1"),
        (
            "feature,uncounted_metrics\na,\nb,events crash\n",
            "line 3: uncounted_metrics 'events crash' names what is no",
        ),
        ("feature,team,team\na,b,c\n", "has the column 'team' twice"),
        ("tier,,team\n1,2,3\n", "has no column 'feature'; its columns are tier, , team"),
    ],
)
def test_values_beyond_it_are_refused_with_their_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(FeatureDescriptionsError) as error:
        read(tmp_path, text)
    assert str(error.value).startswith(str(tmp_path / "feature_metadata.csv"))
    assert said in str(error.value)


def test_features_that_are_described_or_seen_are_in_their_order(tmp_path: Path) -> None:
    described = read(tmp_path, "feature,tier\nb,1\nc,\n")
    seen = pd.DataFrame({"feature": ["c", "a"], "first_seen_date": [1, 2], "last_seen_date": [3, 4]})
    found = with_seen_dates(described, seen)[["feature", "tier", "is_described", "first_seen_date", "last_seen_date"]]
    assert [[None if pd.isna(v) else v for v in row] for row in found.to_numpy().tolist()] == [
        ["a", None, False, 2, 4], ["b", 1, True, None, None], ["c", None, True, 1, 3],
    ]  # fmt: skip
    assert found.index.tolist() == [0, 1, 2]
