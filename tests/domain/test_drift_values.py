"""Drift by value: each day against its reference the plain way, thresholds, p-values, verdicts, bins and baselines."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, timedelta
from statistics import median
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from quality_assets.domain.drift.distributions import MOST_BINS, distribution_rows
from quality_assets.domain.drift.judge import Judgement, _scanned_rate, judge, threshold
from quality_assets.domain.drift.null import null_p_values
from quality_assets.domain.drift.settings import DEFAULT_DRIFT_SETTINGS, DriftSettings
from quality_assets.domain.drift.sketches import (
    Sketch,
    event_sketch_sql,
    event_sketches,
    frame_sketches,
    performance_sketches,
    robust_deviation,
    tail_sketch,
)
from quality_assets.domain.drift.verdicts import drift_rows
from quality_assets.domain.models.effects import effects_on_predictions
from quality_assets.domain.series.normal import baseline_stats

START = date(2026, 1, 1)
NAN = math.nan
SETTINGS = DEFAULT_DRIFT_SETTINGS


def day(number: int) -> date:
    return START + timedelta(days=number)


def dates(count: int) -> tuple[date, ...]:
    return tuple(day(d) for d in range(count))


def test_the_settings_are_those_that_power_was_measured_with() -> None:
    assert DriftSettings(
        reference_weeks=8, turnover_days=3, null_days=56, minimum_reference_days=2, minimum_null_days=14,
        minimum_rows=20, null_mads=4.0, w1_floor=0.05, input_floor=0.10, rate_windows_days=(1, 3, 7),
        rate_lean_sd=1.0, pooled_discount=0.85, rate_floor_z=2.5, rate_floor_change=0.10, mix_floor=0.03,
        shift_floor=3.0, false_discovery_rate=0.02, thin_above=1.5,
    ) == SETTINGS  # fmt: skip
    assert SETTINGS.reference_offsets(False) == (7, 14, 21, 28, 35, 42, 49, 56)
    assert SETTINGS.reference_offsets(True) == (1, 2, 3)


# --- The plain way ----------------------------------------------------------------------------------------------------


def pool(counts: np.ndarray, at: int, is_turnover: bool) -> tuple[np.ndarray, int]:
    back = [at - o for o in ((1, 2, 3) if is_turnover else range(7, 57, 7)) if at - o >= 0]
    return sum((counts[b] for b in back), np.zeros(counts.shape[1])), sum(counts[b].sum() > 0 for b in back)


def distance(sketch: Sketch, at: int) -> float:
    """W1 or total variation of a day from its pool; NaN where either is too small."""
    counts = sketch.counts
    old, days = pool(counts, at, sketch.is_turnover)
    if counts[at].sum() < 20 or days < 2:
        return NAN
    gap = [float(v) for v in counts[at] / counts[at].sum() - old / old.sum()]
    if sketch.statistic == "total_variation":
        return sum(abs(g) for g in gap) / 2
    position, run, total = sketch.position, 0.0, 0.0
    for i in range(len(gap) - 1):
        run += gap[i]
        total += abs(run) * float(position[i + 1] - position[i])
    return total


def angle(bad: float, n: float) -> float:
    return 2 * math.asin(math.sqrt((bad + 0.375) / (n + 0.75)))


def plain_rates(sketch: Sketch, today: int) -> tuple[list[float], int]:
    """The scanned deviation of each day up to today from what 70 days before it allow to say, and today's window."""
    counts, first = sketch.counts, max(0, today - 70)
    days = range(first, today + 1)
    is_fair = {d: counts[d].sum() >= 20 and pool(counts, d, False)[1] >= 2 for d in days}
    scaled = {}
    for window in (1, 3, 7):
        z = []
        for d in days:
            own = range(d - window + 1, d + 1)
            if own[0] < first or not all(is_fair[o] for o in own):
                z.append(NAN)
                continue
            pools = {o: pool(counts, o, False)[0] for o in own}
            bad, n = sum(counts[o][0] for o in own), sum(counts[o].sum() for o in own)
            awaited = sum(counts[o].sum() * pools[o][0] / pools[o].sum() for o in own)
            m = sum(p.sum() for p in pools.values())
            z.append((angle(bad, n) - angle(awaited, n)) / math.sqrt(1 / (n + 0.5) + 1 / (m + 0.5)))
        past = [v * v for v in z[:-7] if math.isfinite(v)]
        cut = [min(v, 9 * median(past) + 1e-9) for v in past]
        scale = max(1.0, math.sqrt(sum(cut) / len(cut))) if cut else 1.0
        scaled[window] = [(1.0 if window == 1 else 0.85) * v / scale for v in z]
    found, best = [], 1
    for i in range(len(list(days))):
        own = scaled[1][i]
        sizes = {1: abs(own)}
        for window in (3, 7):
            z = scaled[window][i]
            sizes[window] = abs(z) if abs(own) >= 1 and own * z > 0 else NAN
        known = {w: v for w, v in sizes.items() if math.isfinite(v)}
        best = max(known, key=lambda w: known[w]) if known else 1
        found.append(max(known.values()) if known else NAN)
    return found, best


def latencies(days: int = 80, seed: int = 3, rows: int = 300) -> Sketch:
    rng = np.random.default_rng(seed)
    share = np.exp(0.1 * rng.standard_normal((days, 6))) * np.array([1.0, 4, 8, 5, 2, 1])
    counts = rng.multinomial(rows, share / share.sum(axis=1, keepdims=True)).astype(float)
    position = np.array([0.0, 0.1, 0.25, 0.3, 0.5, 1.0])
    return Sketch("data", "", "latency_ms", "w1", dates(days), counts, position, np.exp(position), 0.05, unit="ms")


def mixes(days: int = 80, *, is_turnover: bool = False) -> Sketch:
    made = latencies(days, 4)
    labels = tuple("abcdef")
    return replace(
        made, name="platform", statistic="total_variation", position=None, typical=None, floor=0.03, labels=labels,
        is_turnover=is_turnover,
    )  # fmt: skip


def rates(days: int = 90, seed: int = 5) -> Sketch:
    rng = np.random.default_rng(seed)
    bad = rng.binomial(2000, 0.02 * np.exp(0.15 * rng.standard_normal(days))).astype(float)
    counts = np.stack([bad, 2000 - bad], axis=1)
    return Sketch("data", "", "crash_rate", "binomial_z", dates(days), counts, floor=2.5, unit="fraction")


def with_rows(sketch: Sketch, **changed: Any) -> Sketch:
    counts = sketch.counts.copy()
    for name, row in changed.items():
        counts[int(name[1:])] = row
    return replace(sketch, counts=counts)


@pytest.mark.parametrize("sketch", [latencies(), mixes(), mixes(is_turnover=True)], ids=["w1", "mix", "turnover"])
def test_a_day_and_its_null_are_as_far_from_their_references_as_plain_python_says(sketch: Sketch) -> None:
    sketch = with_rows(sketch, d40=[0.0] * 6, d50=[1.0, 2, 3, 4, 5, 4], d60=[5.0, 3, 3, 3, 3, 3])
    for today in (79, 70, 30):
        found = judge(sketch, today)
        wanted = [distance(sketch, d) for d in range(max(0, today - 56), today)]
        assert found.observed == pytest.approx(distance(sketch, today))
        np.testing.assert_allclose(found.null, [w for w in wanted if math.isfinite(w)], rtol=1e-9)
        old, days = pool(sketch.counts, today, sketch.is_turnover)
        assert (found.n_reference, found.n_current, found.reference_days) == (old.sum(), 300, days)
        assert found.window_days == 1
        np.testing.assert_allclose(found.before, old / old.sum() * 300)
        np.testing.assert_allclose(found.now, sketch.counts[today])


@pytest.mark.parametrize("seed", [5, 6])
def test_a_rate_and_its_null_are_scanned_as_plain_python_scans(seed: int) -> None:
    sketch = with_rows(rates(seed=seed), d60=[0.0, 0.0], d66=[2.0, 10.0], d70=[150.0, 1850.0])
    sketch = with_rows(sketch, d87=[70.0, 1930.0], d88=[75.0, 1925.0], d89=[72.0, 1928.0])
    windows = set()
    for today in (89, 88, 85, 72, 40):
        found = judge(sketch, today)
        wanted, window = plain_rates(sketch, today)
        assert found.observed == pytest.approx(wanted[-1])
        np.testing.assert_allclose(found.null, [w for w in wanted[:-7] if math.isfinite(w)], rtol=1e-9)
        assert found.window_days == window
        own = range(today - window + 1, today + 1)
        pools = [pool(sketch.counts, o, False)[0] for o in own]
        awaited = sum(sketch.counts[o].sum() * p[0] / p.sum() for o, p in zip(own, pools, strict=True))
        n = sum(sketch.counts[o].sum() for o in own)
        assert found.reference_value == pytest.approx(awaited / n)
        assert found.current_value == pytest.approx(sum(sketch.counts[o][0] for o in own) / n)
        assert (found.n_current, found.n_reference) == (n, sum(p.sum() for p in pools))
        windows.add(window)
    assert 3 in windows


def test_a_day_judged_is_no_part_of_its_own_null() -> None:
    sketch = with_rows(latencies(), d79=[300.0, 0, 0, 0, 0, 0])
    found = judge(sketch, 79)
    assert len(found.null) == 56
    assert found.null.max() < 0.5 * found.observed
    crashes = with_rows(rates(), **{f"d{d}": [400.0, 1600.0] for d in range(83, 90)})
    assert judge(crashes, 89).null.max() < 0.5 * judge(crashes, 89).observed


@pytest.mark.parametrize(
    ("today", "rows", "reason"),
    [
        (79, 0, "no data"), (79, 19, "only 19 rows"), (79, 20, ""), (13, 300, "too little history for a reference"),
        (14, 300, "too little history to know how days differ"),
        (27, 300, "too little history to know how days differ"),
        (28, 300, ""),
    ],
)  # fmt: skip
def test_a_day_is_judged_from_twenty_rows_two_weeks_and_fourteen_nulls_on(today: int, rows: int, reason: str) -> None:
    found = judge(with_rows(latencies(), **{f"d{today}": [rows, 0.0, 0, 0, 0, 0]}), today)
    assert found.reason == reason
    assert (found.observed is None) == bool(reason)
    thin = np.zeros((80, 6))
    thin[[72, 65, 79]] = [[9.0, 0, 0, 0, 0, 0], [10.0, 0, 0, 0, 0, 0], [50.0, 0, 0, 0, 0, 0]]
    assert judge(replace(latencies(), counts=thin), 79).reason == "too little history for a reference"


def test_days_with_half_as_many_rows_again_are_thinned_for_the_null() -> None:
    large = latencies(rows=300)
    small = with_rows(large, d79=[10.0, 40, 70, 50, 20, 10])
    assert judge(small, 79).null.tolist() == judge(large, 79).null.tolist()
    thinned = judge(with_rows(large, d79=[10.0, 40, 70, 50, 20, 9]), 79)
    # Drawing 199 of 300 adds chance of its own: √(1 + 1.5) = 1.6 times, less what days differ by without it.
    assert 1.2 < np.mean(thinned.null) / np.mean(judge(large, 79).null) < 1.6
    assert judge(with_rows(large, d79=[10.0, 40, 70, 50, 20, 9]), 79).null.tolist() == thinned.null.tolist()


# --- Thresholds, p-values and what is told ----------------------------------------------------------------------------


def judgement(observed: float | None, null: list[float], **more: Any) -> Judgement:
    sketch = more.pop("sketch", latencies(2))
    return Judgement(
        sketch, observed, np.array(null, dtype=float), 10, 20, 8, *more.pop("values", (None, None)), **more
    )


def test_the_threshold_is_the_floor_or_four_deviations_above_the_null() -> None:
    # Median .04, deviations .03, .01, 0, .01, .02: their median is .01.
    null = [0.01, 0.03, 0.04, 0.05, 0.06]
    assert threshold(judgement(0.1, null)) == pytest.approx((0.08, 0.04, 0.01))
    assert threshold(judgement(0.1, [0.01] * 5)) == pytest.approx((0.05, 0.01, 0.0))
    assert threshold(judgement(0.1, [9.0, 10.0, 12.0], sketch=rates())) == pytest.approx((2.5, 10.0, 1.0))


def test_p_values_are_ranks_within_the_null_and_an_exponential_tail_beyond_it() -> None:
    # Median 10, MAD 5: standardised they are (v − 10) ÷ 7.413, and so is what was observed.
    null = [float(v) for v in range(21)]
    scale = 1.4826 * 5
    standard = [(v - 10) / scale for v in null]
    edge = standard[18]
    excess = max((standard[19] + standard[20]) / 2 - edge, 0.0) / math.log(2)
    mean_excess = max(excess, 0.25)
    value = (30 - 10) / scale
    share = 3 / 22
    tail = share * math.exp(-2 * math.log1p((value - edge) / (2 * mean_excess)))
    found = null_p_values([judgement(15.0, null), judgement(30.0, null), judgement(None, null)])
    alone = null_p_values([judgement(30.0, null)])
    assert alone[0] == pytest.approx(tail)
    assert null_p_values([judgement(15.0, null)])[0] == pytest.approx((21 - 15 + 1) / 22)
    # Two nulls pooled: 42 values, four of them beyond the edge.
    assert found[0] == pytest.approx((42 - 30 + 1) / 43)
    assert found[1] == pytest.approx(5 / 43 * math.exp(-4 * math.log1p((value - edge) / (4 * mean_excess))))
    assert math.isnan(found[2])
    assert np.isnan(null_p_values([judgement(None, [])])).all()
    # A null without spread is measured by a tenth of the floor: .01 more is two of .005.
    still = judgement(0.02, [0.01] * 30)
    assert null_p_values([still])[0] == pytest.approx(1 / 31 * math.exp(-math.log1p(2 / 0.25)))


def one_row(sketch: Sketch, at: int = -1, effects: dict[str, float] | None = None, **changes: Any) -> dict[str, Any]:
    (row,) = drift_rows([sketch], [sketch.dates[at]], effects, replace(SETTINGS, **changes)).to_dict("records")
    return row


def test_a_rate_is_told_over_the_days_that_show_it_most_whatever_is_known_of_the_first() -> None:
    # Ten of a hundred each day, as before; of the last three days sixteen. One day is 1.8 deviations off, three are 3.
    counts = np.array([[10.0, 90.0]] * 17 + [[16.0, 84.0]] * 3)
    pools = np.array([[NAN, NAN]] + [[1_000.0, 9_000.0]] * 19)
    strongest, window = _scanned_rate(counts, pools, SETTINGS)
    assert window == 3
    assert math.isnan(strongest[0])


def test_a_rate_must_have_moved_by_a_tenth_of_itself() -> None:
    # A million rows at exactly 2 %: everything is beyond chance, and every null is 0.
    def crashes(bad: float) -> dict[str, Any]:
        counts = np.tile([20_000.0, 980_000.0], (90, 1))
        counts[-1] = [bad, 1e6 - bad]
        return one_row(replace(rates(), counts=counts))

    assert crashes(22_100)["status"] == "drifted"
    assert crashes(21_900)["status"] == "ok"
    assert crashes(17_900)["status"] == "drifted"
    assert crashes(18_100)["status"] == "ok"
    assert crashes(21_900)["verdict"].endswith("; past its limit, but by no more than chance does to one of many")


def test_all_of_a_judged_day_is_in_its_row() -> None:
    sketch = with_rows(latencies(), d79=[0.0, 0, 0, 0, 300, 0])
    row = one_row(sketch, effects={"latency_ms": 0.0123})
    found = judge(sketch, 79)
    limit, middle, mad = threshold(found)
    assert (row["observed"], row["threshold"], row["null_median"], row["null_mad"]) == (
        found.observed,
        limit,
        middle,
        mad,
    )
    assert (row["n_reference"], row["n_current"], row["reference_days"], row["window_days"]) == (2400, 300, 8, 1)
    assert row["p_value"] == row["q_value"] == pytest.approx(null_p_values([found])[0])
    assert (row["status"], row["is_drifted"], row["rank"], row["kind"], row["statistic"]) == (
        "drifted", True, 1, "data", "w1",
    )  # fmt: skip
    assert row["current_value"] == pytest.approx(math.exp(0.5))
    assert row["effect_on_predictions"] == 0.0123
    times = row["observed"] / row["threshold"]
    assert row["verdict"] == (
        f"Latency has drifted: median 1.6 ms against 1.3 ms, {times:.1f} times what chance and relevance allow; "
        "alone it moves scores by 1.2 points"
    )
    assert one_row(sketch, effects={"latency_ms": 0.0009})["verdict"].endswith("; scores do not feel it")
    assert one_row(sketch, effects={"latency_ms": 0.001})["verdict"].endswith("by 0.1 points")
    assert one_row(sketch)["verdict"].endswith("relevance allow")
    assert one_row(replace(sketch, feature="pay"), effects={"latency_ms": 0.1})["effect_on_predictions"] is None
    assert one_row(replace(sketch, kind="prediction"), effects={"latency_ms": 0.1})["effect_on_predictions"] is None
    assert one_row(sketch, false_discovery_rate=row["q_value"])["status"] == "drifted"
    assert one_row(sketch, false_discovery_rate=row["q_value"] * 0.99)["status"] == "ok"
    assert one_row(replace(sketch, floor=9.0))["status"] == "ok"


def test_verdicts_say_what_moved() -> None:
    calm = one_row(latencies())
    assert re_dots(calm["verdict"]) == "Latency is as usual: median 1.3 ms as before, the distribution N away"
    mix = with_rows(mixes(), d79=[300.0, 0, 0, 0, 0, 0])
    old = pool(mix.counts, 79, False)[0]
    assert one_row(mix)["verdict"].startswith(
        f"Mix of platforms has drifted: {100 * distance(mix, 79):.0f} % of it moved between values, a most: 100 % "
        f"against {100 * old[0] / old.sum():.2g} %, "
    )
    assert one_row(replace(mix, labels=(), feature="pay"))["verdict"].startswith(
        f"Mix of platforms of pay has drifted: {100 * distance(mix, 79):.0f} % of it moved between values, "
    )
    several = with_rows(rates(), **{f"d{d}": [65.0, 1935.0] for d in (87, 88, 89)})
    assert " over 3 days against " in one_row(several)["verdict"]
    assert one_row(latencies(), 3)["verdict"] == "Latency: unknown, too little history for a reference"


def re_dots(text: str) -> str:
    head, _, tail = text.rpartition("distribution ")
    return f"{head}distribution N {tail.split(' ')[1]}"


def test_rows_are_ranked_by_status_effect_and_excess() -> None:
    moved = with_rows(latencies(), d79=[0.0, 0, 0, 0, 0, 300])
    less = with_rows(latencies(), d79=[0.0, 0, 0, 0, 300, 0])
    named = [
        replace(latencies(), name="calm"), replace(less, name="less"), replace(moved, name="more"),
        replace(less, name="felt"), with_rows(replace(latencies(), name="dark"), d79=[0.0] * 6),
    ]  # fmt: skip
    rows = drift_rows(named, [day(79), day(78)], {"felt": 0.3, "less": 0.0})
    assert rows["event_date"].tolist() == [day(78)] * 5 + [day(79)] * 5
    today = rows.iloc[5:]
    assert today["name"].tolist() == ["felt", "more", "less", "calm", "dark"]
    assert today["rank"].tolist() == [1, 2, 3, 4, 5]


def test_families_and_kinds_are_controlled_apart() -> None:
    moved = with_rows(latencies(), d79=[0.0, 0, 0, 0, 300, 0])
    crowd = [replace(latencies(seed=s), name=f"n{s}") for s in range(20, 30)]
    alone = one_row(moved)
    together = drift_rows([moved, *crowd], [day(79)]).set_index("name").loc["latency_ms"]
    apart = drift_rows([moved, *(replace(c, family="inputs") for c in crowd)], [day(79)]).set_index("name")
    kinds = drift_rows([moved, *(replace(c, kind="prediction") for c in crowd)], [day(79)]).set_index("name")
    assert apart.loc["latency_ms", "q_value"] == kinds.loc["latency_ms", "q_value"] == alone["q_value"]
    assert together["q_value"] > together["p_value"]


# --- Sketches ---------------------------------------------------------------------------------------------------------


def test_events_are_counted_into_bins_of_a_twentieth_of_e() -> None:
    events = pd.DataFrame(
        [
            (day(0), "a", "ok", 0.0, 4.4, "ios", "1", "DE"),
            (day(0), "a", "crash", 100.0, 5.0, "ios", "1", None),
            (day(0), "b", "crash", 100.1, None, "web", "1", None),
            (day(1), "a", "error", None, 1.0, "ios", "2", "FR"),
            (day(2), "a", "ok", 1.0, 1.0, "ios", "2", "FR"),
        ],
        columns=[
            "event_date",
            "feature",
            "status",
            "latency_ms",
            "feedback_score",
            "platform",
            "app_version",
            "country",
        ],
    )
    with duckdb.connect() as connection:
        connection.register("frame", events)
        nulls = ", ".join(
            f"case when isnan({c}) then null else {c} end as {c}" for c in ("latency_ms", "feedback_score")
        )
        connection.execute(f"create table events as select * replace ({nulls}) from frame")
        bounds = {"from_date": day(0), "to_date": day(1)}
        counted = connection.execute(event_sketch_sql("events"), bounds).df()
        by_feature = connection.execute(event_sketch_sql("events", True), bounds).df()
    found = {(r.event_date.date(), r.name, r.bin): r.n for r in counted.itertuples(index=False)}
    # floor(20 ln 101) = 92, of 101.1 too.
    assert found == {
        (day(0), "latency_ms", "0"): 1, (day(0), "latency_ms", "92"): 2,
        (day(0), "feedback_score", "4"): 1, (day(0), "feedback_score", "5"): 1, (day(1), "feedback_score", "1"): 1,
        (day(0), "status", "ok"): 1, (day(0), "status", "crash"): 2, (day(1), "status", "error"): 1,
        (day(0), "platform", "ios"): 2, (day(0), "platform", "web"): 1, (day(1), "platform", "ios"): 1,
        (day(0), "app_version", "1"): 3, (day(1), "app_version", "2"): 1,
        (day(0), "country", "DE"): 1, (day(0), "country", "(unknown)"): 2, (day(1), "country", "FR"): 1,
    }  # fmt: skip
    assert by_feature.loc[by_feature["name"] == "status"].groupby("feature")["n"].sum().to_dict() == {"a": 3, "b": 1}
    made = {s.name: s for s in event_sketches(counted, [day(-1), day(2)])}
    assert made["latency_ms"].dates == tuple(day(d) for d in range(-1, 3))
    assert made["latency_ms"].counts.tolist() == [[0, 0], [1, 2], [0, 0], [0, 0]]
    assert made["latency_ms"].position.tolist() == pytest.approx([0.025, 4.625])
    assert made["latency_ms"].typical.tolist() == pytest.approx([math.exp(0.025) - 1, math.exp(4.625) - 1])
    assert made["feedback_score"].position.tolist() == [1, 4, 5]
    assert made["crash_rate"].counts.tolist() == [[0, 0], [2, 1], [0, 1], [0, 0]]
    assert made["error_rate"].counts.tolist() == [[0, 0], [0, 3], [1, 0], [0, 0]]
    assert made["country"].labels == ("(unknown)", "DE", "FR")
    shape = {n: (s.statistic, s.floor, s.is_turnover, s.unit, s.family) for n, s in made.items()}
    assert shape == {
        "latency_ms": ("w1", 0.05, False, "ms", "events"),
        "latency_ms above its usual p95": ("binomial_z", 2.5, False, "fraction", "events"),
        "feedback_score": ("w1", 0.1, False, "score", "events"),
        "crash_rate": ("binomial_z", 2.5, False, "fraction", "events"),
        "error_rate": ("binomial_z", 2.5, False, "fraction", "events"),
        "platform": ("total_variation", 0.03, False, "", "events"),
        "app_version": ("total_variation", 0.03, True, "", "events"),
        "country": ("total_variation", 0.03, False, "", "events"),
    }


def test_the_tail_is_what_lies_above_the_95_percent_point_of_all_days() -> None:
    counts = np.array([[90.0, 5, 3, 2], [95.0, 0, 0, 5]])
    # In all 185, 190, 193, 200 of 200: .925, .95, .965, 1.
    tail = tail_sketch(Sketch("data", "", "latency_ms", "w1", dates(2), counts, np.arange(4.0), np.arange(4.0)))
    assert tail.counts.tolist() == [[5, 95], [5, 95]]
    assert (tail.name, tail.statistic, tail.floor, tail.unit) == (
        "latency_ms above its usual p95", "binomial_z", 2.5, "fraction",
    )  # fmt: skip
    assert tail.position is None
    assert tail.typical is None


def test_columns_of_a_frame_are_cut_at_quantiles() -> None:
    frame = pd.DataFrame({"event_date": [day(0)] * 4 + [day(2)] * 4, "x": [0.0, 1, 2, 3, 4, NAN, 2, 4], "flat": 7.0})
    x, missing, flat = frame_sketches(frame, ["x", "flat"], bins=4)
    # Quartiles of 0 1 2 2 3 4 4 are 0, 1.5, 2, 3.5, 4; a deviation is (3.5 − 1.5) ÷ 1.349.
    scale = 2 / 1.349
    assert x.counts.tolist() == [[2, 0, 2, 0], [0, 0, 0, 0], [0, 0, 1, 2]]
    assert x.typical.tolist() == pytest.approx([0.5, 1.75, 7 / 3, 4.0])
    assert x.position.tolist() == pytest.approx([v / scale for v in (0.5, 1.75, 7 / 3, 4.0)])
    assert (x.floor, x.family, x.unit, x.statistic) == (0.10, "inputs", "", "w1")
    assert missing.counts.tolist() == [[0, 4], [0, 0], [1, 3]]
    assert (missing.name, missing.family, missing.floor, missing.unit) == ("x is missing", "missing", 2.5, "fraction")
    assert (flat.counts.tolist(), flat.typical.tolist()) == ([[4], [0], [4]], [7])
    (score,) = frame_sketches(frame, ["x"], "prediction", bins=4)
    assert score.position.tolist() == score.typical.tolist()
    assert (score.floor, score.unit, score.kind) == (0.05, "probability", "prediction")
    (age,) = frame_sketches(frame.rename(columns={"flat": "age_days"}), ["age_days"])
    assert age.unit == "days"
    (empty,) = frame_sketches(frame.assign(x=NAN), ["x"])
    assert (empty.counts.tolist(), empty.family) == ([[0], [0], [0]], "inputs")
    assert frame_sketches(frame.iloc[:0], ["x"]) == []


def test_a_robust_deviation_is_of_the_middle_half() -> None:
    assert robust_deviation(np.array([0.0, 1, 2, 3, 100])) == pytest.approx(2 / 1.349)
    assert robust_deviation(np.array([5.0, 5, 5, 5, 5, 5, 5, 5, 8])) == pytest.approx(math.sqrt(8 / 81) * 3)
    assert robust_deviation(np.array([5.0, 5])) == 1.0


# --- Distributions ----------------------------------------------------------------------------------------------------


def test_few_values_stay_as_they_are_and_empty_ones_go() -> None:
    sketch = replace(
        latencies(15),
        counts=np.array([[0.0] * 6] * 7 + [[4.0, 0, 0, 4, 0, 0]] + [[0.0] * 6] * 6 + [[1.0, 0, 3, 0, 0, 0]]),
    )
    rows = distribution_rows([sketch], day(14))
    assert rows[["bin", "reference_share", "current_share"]].to_numpy().tolist() == [
        [0, 0.5, 0.25], [1, 0.0, 0.75], [2, 0.5, 0.0],
    ]  # fmt: skip
    assert rows["low"].tolist() == rows["high"].tolist() == pytest.approx([1.0, math.exp(0.25), math.exp(0.3)])
    assert rows["event_date"].tolist() == [day(14)] * 3
    # One without rows that day hides none that comes after it.
    silent = replace(sketch, counts=np.zeros((15, 6)))
    assert distribution_rows([silent, sketch], day(14)).equals(rows)
    assert distribution_rows([sketch], day(13)).empty
    assert distribution_rows([replace(sketch, statistic="mean_shift")], day(14)).empty
    assert distribution_rows([sketch], day(20)).empty


def test_many_numbers_are_cut_into_twenty_between_their_outermost_half_percents() -> None:
    counts = np.zeros((8, 41))
    counts[0, :21], counts[7, 20:] = 1.0, 1.0
    position = np.arange(41.0)
    sketch = Sketch("data", "", "x", "w1", dates(8), counts, position, position * 10)
    rows = distribution_rows([sketch], day(7))
    # Each 1 ÷ 42 of both: .005 is reached at 0, .995 at 40, so that a bin is two wide.
    assert len(rows) == MOST_BINS == 20
    assert rows["low"].tolist()[1:] == rows["high"].tolist()[:-1] == pytest.approx([20.0 * i for i in range(1, 20)])
    assert pd.isna(rows["low"][0])
    assert pd.isna(rows["high"][19])
    assert rows["reference_share"].tolist() == pytest.approx([2 / 21] * 10 + [1 / 21] + [0] * 9)
    assert rows["current_share"].tolist() == pytest.approx([0] * 10 + [2 / 21] * 9 + [3 / 21])
    twenty = replace(sketch, counts=counts[:, :20] + 1, position=position[:20], typical=None)
    assert distribution_rows([twenty], day(7))["low"].tolist() == list(range(20))


def test_a_mix_has_eight_values_by_size_and_the_rest() -> None:
    counts = np.zeros((8, 10))
    counts[0] = [30, 20, 10, 9, 8, 7, 6, 5, 5, 0]
    counts[7] = [1, 20, 10, 9, 8, 7, 6, 5, 34, 0]
    sketch = Sketch("data", "", "country", "total_variation", dates(8), counts, labels=tuple("abcdefghij"))
    rows = distribution_rows([sketch], day(7))
    assert rows["label"].tolist() == ["i", "a", "b", "c", "d", "e", "f", "g", "(others)"]
    assert rows["reference_share"].tolist() == pytest.approx([0.05, 0.3, 0.2, 0.1, 0.09, 0.08, 0.07, 0.06, 0.05])
    assert rows["current_share"].tolist() == pytest.approx([0.34, 0.01, 0.2, 0.1, 0.09, 0.08, 0.07, 0.06, 0.05])


# --- Effects, grades and baselines ------------------------------------------------------------------------------------


def test_the_effect_of_an_input_is_the_shift_of_the_score_at_equal_ranks() -> None:
    reference, current = pd.DataFrame({"x": [0.0, 1, 2, 3], "y": 1.0}), pd.DataFrame({"x": [10.0, 20, 30], "y": 1.0})
    # Ranks .125, .375, .625, .875 of 10 … 30 are 12.5, 17.5, 22.5, 27.5, which are 18.5 more on average.
    found = effects_on_predictions(reference, current, ["x", "y"], lambda f: f["x"] * 0.01)
    assert found == {"x": pytest.approx(0.185), "y": 0.0}
    holes = effects_on_predictions(reference.assign(x=[0.0, 1, NAN, NAN]), current, ["x"], lambda f: f["x"].fillna(0.0))
    # Ranks .25 and .75 are 15 and 25; what is unknown stays so.
    assert holes == {"x": pytest.approx((15 + 24) / 4)}
    sampled: list[int] = []
    frame = pd.DataFrame({"x": np.arange(9.0)})
    effects_on_predictions(frame, frame, ["x"], lambda f: (sampled.append(len(f)), f["x"])[1], most_rows=4)
    assert sampled == [6], "three rows as they are, and three with x swapped, in one go"
    assert effects_on_predictions(reference, current.assign(x=NAN), ["x"], lambda f: f["x"]) == {}
    assert effects_on_predictions(reference.iloc[:0], current, ["x"], lambda f: f["x"]) == {}


def test_grades_are_means_of_a_trailing_week() -> None:
    ledger = pd.DataFrame(
        {
            "event_date": [day(0), day(0), day(1), day(9), day(9)],
            "risk_probability": [0.5, 0.25, 0.75, 0.5, None],
            "label_any": [True, False, None, True, True],
        }
    )
    brier, bias = performance_sketches(ledger)
    assert brier.dates == dates(10)
    assert brier.counts[:, 1].tolist() == [2, 2, 2, 2, 2, 2, 2, 0, 0, 1]
    assert brier.counts[[0, 6, 7, 9], 0].tolist() == pytest.approx([0.3125, 0.3125, 0, 0.25], abs=1e-12)
    assert bias.counts[[0, 6, 7, 9], 0].tolist() == pytest.approx([-0.25, -0.25, 0, -0.5], abs=1e-12)
    assert [(s.kind, s.name, s.statistic, s.unit) for s in (brier, bias)] == [
        ("performance", "brier_score", "mean_shift", "score"),
        ("performance", "calibration_bias", "mean_shift", "score"),
    ]


def graded(last: float, rows: int = 20, days: int = 31) -> dict[str, Any]:
    """A grade of 10 ± 1 on alternating days, and `last` on the last one."""
    mean = np.where(np.arange(days) % 2, 11.0, 9.0)
    mean[-7:] = 50.0
    mean[-1] = last
    counts = np.stack([mean * 20, np.full(days, 20.0)], axis=1)
    counts[-1] = [last * rows, rows]
    return one_row(Sketch("performance", "", "brier_score", "mean_shift", dates(days), counts, unit="score"))


def test_a_grade_is_held_against_days_that_share_no_row_with_it() -> None:
    # 24 earlier days: median 10, and one MAD is 1.4826.
    row = graded(10 + 2 * 1.4826)
    assert (row["observed"], row["reference_value"]) == (pytest.approx(2.0), 10.0)
    assert (row["current_value"], row["n_current"], row["n_reference"], row["threshold"]) == (
        pytest.approx(12.9652), 20, 24, pytest.approx(3.0),
    )  # fmt: skip
    assert graded(10 - 2 * 1.4826)["observed"] == pytest.approx(2.0)
    assert row["verdict"] == "Squared error of the scores is as usual: mean 12.97 against 10.00"
    assert graded(10, rows=19)["verdict"] == "Squared error of the scores: unknown, too few matured labels"
    assert graded(10, days=21)["status"] == "ok"
    assert graded(10, days=20)["verdict"] == "Squared error of the scores: unknown, too little graded history"
    # The newest of them is a week old, and 56 lie before it.
    assert graded(10, days=80)["n_reference"] == 57


def stats(metric: str, values: list[float | None], **more: Any) -> dict[str, Any]:
    rows = [{"event_date": day(d), "feature": "pay", metric: v} for d, v in enumerate(values)]
    (row,) = baseline_stats(pd.DataFrame(rows), (metric,), dates(len(values)), **more).to_dict("records")
    return row


def test_a_baseline_has_its_level_its_weekdays_and_its_noise() -> None:
    values = [100.0 + (d % 7) * 10 + (d // 7 % 2) for d in range(70)]
    row = stats("latency_p95_ms", values)
    assert (row["days_observed"], row["reference_from"], row["as_of_date"]) == (56, day(14), day(69))
    assert row["level"] == pytest.approx(130.5)
    # Of 56 values the four least are 100 and the four largest 161.
    assert (row["p05"], row["p95"]) == (100.0, 161.0)
    # Monday first; day 0 is a Thursday.
    assert row["weekday_levels"] == [140.5, 150.5, 160.5, 100.5, 110.5, 120.5, 130.5]
    assert row["noise"] == pytest.approx(1.4826 * 0.5)
    assert (row["status"], row["unit"]) == ("ok", "ms")
    assert pd.isna(row["silent_days_to_tell"])
    short = stats("latency_p95_ms", values[:5])
    assert (short["reference_from"], short["noise"], short["weekday_levels"][0]) == (day(0), None, 140.0)
    assert short["weekday_levels"][1:3] == [None, None]


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ([5.0] * 12, "constant"),
        ([5.0, 6.0] * 6, "ok"),
        ([5.0, 6.0] * 5 + [7.0], "new"),
        ([NAN] * 50 + [5.0] * 11, "new"),
        ([5.0] * 11 + [NAN] * 6 + [NAN] * 6, "silent"),
        ([5.0] * 6 + [NAN] * 16 + [5.0], "new"),
        ([5.0] * 6 + [NAN] * 17 + [5.0], "too_little_history"),
        ([5.0, 6.0] * 10 + [0.0] * 6, "ok"),
        ([5.0, 6.0] * 10 + [0.0] * 7, "silent"),
        ([NAN] * 20, "silent"),
        ([0.0] * 20, "constant"),
    ],
)
def test_why_there_is_no_baseline(values: list[float | None], status: str) -> None:
    assert stats("latency_p95_ms", values)["status"] == status


def test_how_long_a_silence_must_be_follows_from_level_and_dispersion() -> None:
    # 28 days of exactly one event: 28 (e^(ln 10000 ÷ 28) − 1) = 10.9.
    assert stats("events", [1.0] * 28)["silent_days_to_tell"] == 11
    # 1 and 9 in turn, mean 5, by weekday 5 too: the variance of 16 is 3.2 times Poisson's.
    dispersion = 16 / 5
    allowance = math.log(dispersion) / (dispersion - 1)
    wanted = math.floor(56 * (math.exp(math.log(1e4) / (allowance * 5 * 56)) - 1)) + 1
    assert stats("events", [1.0, 9.0] * 28)["silent_days_to_tell"] == wanted
    assert pd.isna(stats("events", [1.0] * 11)["silent_days_to_tell"])
    assert stats("events", [1.0] * 12)["silent_days_to_tell"] == math.floor(12 * (1e4 ** (1 / 12) - 1)) + 1
    assert pd.isna(stats("events", [0.0] * 28)["silent_days_to_tell"])
