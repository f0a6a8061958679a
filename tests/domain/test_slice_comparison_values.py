"""Slices of now beside those of before, by value: what is new, gone, worse beyond chance, and what it costs."""

from __future__ import annotations

from typing import Any

import pytest

from quality_assets.domain.features.comparison import SliceComparison, _pooled, _standard_error

Row = dict[str, Any]


def row(is_now: bool, name: str, events: int, crash: float | None = 0.0, **more: Any) -> Row:
    """A slice of its platform; more: error, p95, p99, dimension, and a second dimension with its slice."""
    return {
        "is_now": is_now, "dimension": more.get("dimension", "platform"), "slice": name, "events": events,
        "dimension_2": more.get("dimension_2"), "slice_2": more.get("slice_2"), "crash_rate": crash,
        "error_rate": more.get("error", 0.0), "latency_p95_ms": more.get("p95"), "latency_p99_ms": more.get("p99"),
    }  # fmt: skip


def test_slices_of_now_stand_by_their_events() -> None:
    rows = [row(True, "web", 5), row(False, "ios", 90), row(True, "ios", 20), row(True, "tv", 9)]
    assert [each["slice"] for each in SliceComparison(rows).now] == ["ios", "tv", "web"]
    assert SliceComparison([]).now == []


def test_what_had_less_than_half_of_its_events_before_is_new() -> None:
    now = [row(True, "ios", 100), row(True, "web", 100), row(True, "tv", 100)]
    found = SliceComparison([*now, row(False, "ios", 50), row(False, "web", 49)])
    assert [found.is_new(each) for each in now] == [False, True, True]
    # The same name in another dimension, or beside another second one, is another slice.
    others = [
        row(False, "tv", 900, dimension="country"),
        row(False, "tv", 900, dimension_2="country", slice_2="DE"),
    ]
    assert SliceComparison([*now, *others]).is_new(now[2])


def test_what_is_new_is_held_against_all_of_its_kind() -> None:
    old = [
        row(False, "ios", 300, 0.02, error=0.1, p95=100.0, p99=200.0),
        row(False, "web", 100, 0.1, error=None, p95=300.0, p99=400.0),
        row(False, "DE", 700, 0.9, dimension="country"),
        row(False, "ios", 500, 0.8, dimension_2="country", slice_2="DE"),
    ]
    known, new, other = row(True, "ios", 400), row(True, "tv", 10), row(True, "1", 10, dimension="app_version")
    found = SliceComparison([*old, known, new, other])
    assert found.before(known) == old[0]
    # 6 and 10 crashes, 30 errors and none that are known, of 400.
    assert found.before(new) == {
        "events": 400, "latency_p95_ms": None, "latency_p99_ms": None, "crash_rate": pytest.approx(0.04),
        "error_rate": pytest.approx(0.075),
    }  # fmt: skip
    assert found.before(other) is None
    assert _pooled(old[2:3])["crash_rate"] == pytest.approx(0.9)


def test_shares_are_of_the_same_time_and_kind() -> None:
    rows = [
        row(True, "ios", 30), row(True, "web", 70), row(False, "ios", 60), row(False, "web", 140),
        row(True, "DE", 900, dimension="country"), row(True, "ios", 500, dimension_2="country", slice_2="DE"),
    ]  # fmt: skip
    found = SliceComparison(rows)
    assert [found.share(each) for each in rows] == [0.3, 0.7, 0.3, 0.7, 1.0, 1.0]
    assert SliceComparison([row(True, "ios", 0)]).share(row(True, "ios", 0)) == 0


def test_a_share_that_was_another_is_told() -> None:
    rows = [row(True, "ios", 50), row(True, "web", 50), row(True, "tv", 0)]
    before = [row(False, "ios", 55), row(False, "web", 40), row(False, "tv", 5)]
    found = SliceComparison([*rows, *before])
    # 55 of 100 and 50 of them; 5 of 100 and none of them; in between nothing is said.
    assert [found.share_before(each) for each in rows] == [0.55, 0.4, 0.05]
    near = SliceComparison([*rows, row(False, "ios", 54), row(False, "web", 42), row(False, "tv", 4)])
    assert [near.share_before(each) for each in rows] == [None, 0.42, None]
    assert SliceComparison(rows).share_before(rows[0]) is None


def test_what_had_a_share_and_has_no_event_is_gone() -> None:
    rows = [
        row(True, "ios", 50), row(False, "ios", 80), row(False, "web", 5), row(False, "tv", 4), row(False, "", 11),
        row(False, "DE", 100, dimension="country"),
    ]  # fmt: skip
    found = SliceComparison(rows)
    assert found.gone("platform") == [("web", 0.05)]
    assert found.gone("country") == [("DE", 1.0)]
    assert found.gone("app_version") == []


# --- Worse beyond chance ----------------------------------------------------------------------------------------------


def is_worse(now: Row, before: Row | None, metric: str = "crash_rate", beside: int = 0) -> bool:
    """Whether one slice is worse, where so many others are compared too."""
    pad = [row(True, f"{number}", 1, dimension="app_version") for number in range(beside)]
    return SliceComparison([now, *([before] if before else []), *pad]).is_worse(now, metric)


def test_errors_of_a_rate_and_of_a_quantile() -> None:
    # 50 and 20 of 1,000 each are .035; of 4,000 and 1,000 they are 220 of 5,000.
    now, before = row(True, "ios", 1000, 0.05), row(False, "ios", 1000, 0.02)
    assert _standard_error(now, before, "crash_rate") == pytest.approx((0.035 * 0.965 / 1000) ** 0.5)
    more = now | {"events": 4000}
    assert _standard_error(more, before, "crash_rate") == pytest.approx((0.044 * 0.956 / 4000) ** 0.5)
    # The density between p95 and p99 is .04 over 160 ms.
    slow = row(True, "ios", 900, p95=240.0, p99=400.0)
    assert _standard_error(slow, slow, "latency_p95_ms") == pytest.approx((0.95 * 0.05 / 900) ** 0.5 * 160 / 0.04)


def test_a_rate_is_worse_beyond_what_so_many_comparisons_may_show() -> None:
    now, before = row(True, "ios", 1000, 0.05), row(False, "ios", 1000, 0.02)
    # .03 are 3.650 deviations: of 3 × 121 comparisons the limit is 3.638, of 3 × 141 it is 3.676.
    assert is_worse(now, before)
    assert is_worse(now, before, beside=120)
    assert not is_worse(now, before, beside=140)
    assert not is_worse(now | {"crash_rate": 0.02}, before)
    assert not is_worse(row(True, "ios", 1000, 0.02), row(False, "ios", 1000, 0.05))
    assert is_worse(row(True, "ios", 1000, error=0.05), row(False, "ios", 1000, error=0.02), "error_rate")


def test_a_quantile_is_worse_beyond_the_limit_of_three_comparisons() -> None:
    # √(29.06² + 7.26²) = 29.95, and 2.128 of them are 63.7.
    before = row(False, "ios", 900, p95=150.0, p99=190.0)
    assert is_worse(row(True, "ios", 900, p95=214.0, p99=374.0), before, "latency_p95_ms")
    assert not is_worse(row(True, "ios", 900, p95=213.0, p99=373.0), before, "latency_p95_ms")
    # Without any spread nothing is known of chance.
    flat = row(True, "ios", 900, p95=214.0, p99=214.0)
    assert not is_worse(flat, row(False, "ios", 900, p95=150.0, p99=150.0), "latency_p95_ms")


def test_worse_is_more_than_a_fifth() -> None:
    many = 10_000_000
    assert not is_worse(row(True, "ios", many, 0.75), row(False, "ios", many, 0.625))
    assert is_worse(row(True, "ios", many, 0.7505), row(False, "ios", many, 0.625))


def test_fewer_than_fifty_events_on_either_side_or_no_value_tell_nothing() -> None:
    assert is_worse(row(True, "ios", 50, 0.5), row(False, "ios", 50, 0.1))
    assert not is_worse(row(True, "ios", 49, 0.5), row(False, "ios", 50, 0.1))
    assert not is_worse(row(True, "ios", 50, 0.5), row(False, "ios", 49, 0.1))
    assert not is_worse(row(True, "ios", 5000, None), row(False, "ios", 5000, 0.1))
    assert not is_worse(row(True, "ios", 5000, 0.5), row(False, "ios", 5000, None))
    assert not is_worse(row(True, "ios", 5000, 0.5), None)
    # A new slice has the rates of its kind, but no quantile of it.
    new = SliceComparison([row(True, "tv", 5000, 0.5, p95=900.0, p99=999.0), row(False, "ios", 5000, 0.1, p95=1.0)])
    assert [new.is_worse(new.now[0], metric) for metric in ("crash_rate", "latency_p95_ms")] == [True, False]


def test_harm_is_what_failed_beyond_before_and_a_twentieth_of_what_is_slow() -> None:
    before = row(False, "ios", 1000, 0.02, error=0.1, p95=100.0, p99=110.0)
    now = row(True, "ios", 2000, 0.06, error=0.2, p95=500.0, p99=510.0)
    assert SliceComparison([now, before]).harm(now) == pytest.approx(2000 * (0.04 + 0.1 + 0.05))
    failing = now | {"latency_p95_ms": 100.0, "error_rate": 0.1}
    assert SliceComparison([failing, before]).harm(failing) == pytest.approx(2000 * 0.04)
    slow = now | {"crash_rate": 0.02, "error_rate": 0.1}
    assert SliceComparison([slow, before]).harm(slow) == pytest.approx(2000 * 0.05)
    assert SliceComparison([now]).harm(now) == 0
