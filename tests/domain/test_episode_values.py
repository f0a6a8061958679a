"""Where an episode begins and ends, at each edge; what evidence of several days makes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from math import inf, log
from typing import Any

import numpy as np
import pytest

from quality_assets.domain.series.dating import date_change, date_end
from quality_assets.domain.series.detection import (
    Detections,
    Episode,
    _dated,
    _finite,
    _has_calmed,
    _Memory,
    _silence_start,
    detect,
    episodes,
)
from quality_assets.domain.series.panel import Panel
from quality_assets.domain.series.settings import DEFAULT_SETTINGS, DetectionSettings
from quality_assets.domain.series.walk import Switch

NAN = float("nan")


def panel(value: Any, family: str = "count", sample: Any = NAN, metric: str = "events", worse: int = -1) -> Panel:
    amount = np.atleast_2d(np.asarray(value, dtype=float))
    samples = np.broadcast_to(np.asarray(sample, dtype=float), amount.shape).copy()
    shown = amount / samples if family == "rate" else amount
    dates = tuple(date(2026, 1, 1) + timedelta(days=d) for d in range(amount.shape[1]))
    names = tuple("abc"[: len(amount)])
    return Panel(metric, family, worse, names, dates, shown, amount, samples)  # type: ignore[arg-type]


def found(z: Any, active: Any, start: int, **more: Any) -> Detections:
    """One series; more: silent, adopted, pooled (days), run (one for all days), value, ewma, family."""
    z = np.atleast_2d(np.asarray(z, dtype=float))
    days = z.shape[1]
    blank = np.zeros((1, days))

    def flags(which: Any) -> np.ndarray:
        return np.isin(np.arange(days), list(which))[None, :]

    return Detections(
        panel=panel(more.get("value", np.full(days, 9.0)), more.get("family", "count")), expected=blank, z=z,
        ewma=blank + more.get("ewma", 0.5), change=blank, noise=blank, silence_log_p=blank, is_active=flags(active),
        is_start=flags([start]), is_silence=flags(more.get("silent", ())), is_adopted=flags(more.get("adopted", ())),
        run_start=np.full((1, days), more.get("run", start)),
        is_pooled=flags(more["pooled"]) if "pooled" in more else None,
    )  # fmt: skip


def only(detections: Detections) -> Episode:
    (episode,) = episodes(detections)
    return episode


@pytest.mark.parametrize(("run", "detected", "start"), [(20, 22, 14), (30, 22, 16), (22, 22, 16), (15, 22, 13)])
def test_a_change_is_looked_for_from_six_days_before_its_run(run: int, detected: int, start: int) -> None:
    z = np.where(np.arange(31) >= 13, 5.0, 0.0)
    assert _dated(found(z, range(22, 31), 22, run=run), 0, detected, 30) == (start, "step")


def test_a_change_that_runs_from_the_first_days_is_looked_for_from_the_first() -> None:
    z = [0.0, 5.0, NAN, 5.0, 5.0, 5.0]
    assert _dated(found(z, [3, 4, 5], 3, run=2), 0, 3, 5) == (1, "step")
    # Only what came until its last day counts.
    late = [0.0, 0.0, 0.0, 3.0, 0.0, 0.0, *[9.0] * 5]
    assert _dated(found(late, [3, 4, 5], 3, run=3), 0, 3, 5) == (3, "step")


def test_a_ramp_must_be_better_by_more_than_two_and_last_five_days() -> None:
    # A ramp of 1 to 4 has Σ i z = 30 over Σ i² = 30, the step of its last three 9² ÷ 3 = 27; but it is no five days.
    assert date_change(np.array([0.0, 1, 2, 3, 4]), 4) == (2, "step")
    ramp = np.array([0.5, 1.0, 1.5, 2.0, 2.5])
    # A ramp from the first day: Σ i² ÷ 2 = 27.5 over 55, 13.75; the best step 7² ÷ 4 = 12.25: not two more.
    assert date_change(ramp, 4)[1] == "step"
    # Twice as high 55 and 49: five days are enough.
    assert date_change(2 * ramp, 4) == (0, "creep")
    assert date_change(np.array([0.0, 0.0, *(2 * ramp)]), 6) == (2, "creep")
    # What is far off counts for ten, on either side.
    assert date_change(np.array([0.0, 99.0, 10.0, 10.0]), 3) == (1, "step")
    # A change of less than one began where it fits best too.
    assert date_change(np.array([-1.0, 0.8]), 1) == (1, "step")
    assert date_change(np.array([-99.0, 10.0, 0.0]), 2) == (1, "step")
    # Until 14 days after the day on which it was found: the sixteenth counts, the next does not.
    assert date_change(np.array([0, 3.0, *[0.0] * 13, *[9.0] * 5]), 1) == (1, "creep")
    assert date_change(np.array([0, 3.0, *[0.0] * 14, *[9.0] * 5]), 1) == (1, "step")


def test_an_end_holds_days_against_half_of_the_change_and_three_quarters_at_least() -> None:
    # Half of the median 1.0 is .5: three quarters stand in.
    assert date_end(np.array([1.0, 1.0, 0.8, 0.7])) == 2
    assert date_end(np.array([1.0, 1.0, 0.7, 0.74])) == 1
    # Half of the median 2 is 1.
    assert date_end(np.array([2.0, 2.0, 2.0, 0.9])) == 2
    assert date_end(np.array([2.0, 2.0, 2.0, 1.1])) == 3
    assert date_end(np.array([NAN, NAN])) == 0
    assert date_end(np.array([4.0, -30.0, *[12.0] * 4])) == 5
    assert date_end(np.array([2.0, -10.0, 9.0])) == 0


def test_calm_is_three_known_days_after_the_last_bad_one() -> None:
    z = np.array([5.0, 0.0, 0.0, NAN, 0.0, 0.0])
    assert [_has_calmed(z, 0, stop, DEFAULT_SETTINGS) for stop in (3, 4, 5, 6)] == [False, False, True, True]
    assert (_finite(2.5), _finite(NAN), _finite(inf)) == (2.5, 0.0, 0.0)


def test_a_silence_goes_back_over_days_without_events() -> None:
    value = [0, 0, 5, 0, NAN, 0, 0, 0]
    each = found(np.zeros(8), [5, 6, 7], 5, silent=[6, 7], value=value)
    assert _silence_start(each, 0, 5, 7) == 3
    # From the first day of the data on, and unknown days before it are not of it.
    assert _silence_start(found(np.zeros(3), [1, 2], 1, silent=[2], value=[NAN, 0, 0]), 0, 1, 2) == 1
    assert _silence_start(found(np.zeros(3), [1, 2], 1, silent=[1], value=[0, 0, 0]), 0, 1, 2) == 0


def test_what_several_days_tell_is_a_step_since_their_evidence() -> None:
    z = [0.0] * 8 + [0.5, 0.5, 2.0, 0.5, 0.0, 0.0]
    each = found(z, [10, 11], 10, run=8, pooled=[10, 11])
    assert only(each) == Episode(0, "events", 10, 8, 11, 11, "step", 2.0)
    # Days on which it is told are bad whatever their own deviation; else it ends with the last that is.
    assert only(replace(each, is_pooled=np.zeros((1, 14), bool))).end_day == 10
    late = found(z, [10, 11], 10, run=12, pooled=[10, 11])
    assert only(late).start_day == 10


def test_scores_are_the_most_of_deviation_and_first_evidence() -> None:
    z = [0.0] * 10 + [5.0, 6.0, 4.0, 0.0]
    assert only(found(z, [10, 11, 12], 10, ewma=7.5)).score == 7.5
    assert only(found(z, [10, 11, 12], 10, ewma=NAN)).score == 6.0
    assert only(found([NAN] * 14, [10, 11, 12], 10, ewma=-1.0)).score == -1.0


def test_a_silence_that_is_over_ends_with_its_last_silent_day() -> None:
    value = [*[9.0] * 10, 0, 0, 9, 9, 9]
    z = [0.0] * 10 + [6.0, 6.0, 5.0, 0.0, 0.0]
    assert only(found(z, range(10, 14), 11, silent=[11], value=value)) == Episode(
        0, "events", 11, 10, 11, 11, "dead", 6.0
    )
    # While it goes on, its last bad day is the last.
    going = found(z[:13], range(11, 13), 11, silent=[11], value=value[:13])
    assert only(going) == Episode(0, "events", 11, 10, None, 12, "dead", 6.0)


# --- What evidence it takes -------------------------------------------------------------------------------------------


def test_counts_know_after_how_many_days_silence_tells() -> None:
    each = detect(panel(np.full(40, 4.0)))
    assert each.days_pooled is not None
    assert each.events_to_tell is not None
    # ln 10,000 = 9.21: three days of four events. Over 28 days .33 a day.
    np.testing.assert_array_equal(each.days_pooled[0], [inf] * 12 + [3.0] * 28)
    np.testing.assert_array_equal(each.events_to_tell, np.full((1, 40), 0.33))
    assert each.is_pooled is not None
    assert not each.is_pooled.any()


@pytest.mark.parametrize(
    ("metric", "family", "least"),
    [("latency_p95_ms", "positive", 20.0), ("latency_p50_ms", "positive", 5.0), ("feedback_mean", "score", 2.0)],
)
def test_quantiles_and_means_rest_on_a_day_of_enough_values(metric: str, family: str, least: float) -> None:
    each = detect(panel(np.full(20, 4.0), family, 100.0, metric, 1))
    np.testing.assert_array_equal(each.days_pooled, np.ones((1, 20)))
    np.testing.assert_array_equal(each.events_to_tell, np.full((1, 20), least))


def test_rates_of_few_events_are_told_since_their_evidence_began() -> None:
    amount = [1.0 if d == 0 else 0.0 for d in range(40)] + [3.0] * 4
    each = detect(panel(amount, "rate", 10.0, "crash_rate", 1))
    assert each.is_pooled is not None
    assert each.days_pooled is not None
    assert np.flatnonzero(each.is_pooled[0]).tolist() == [42, 43]
    assert each.days_pooled[0, 42:].tolist() == [3.0, 4.0]
    without = detect(panel(amount, "rate", 10.0, "crash_rate", 1), DetectionSettings(rare=None))
    assert without.is_pooled is not None
    assert not without.is_pooled.any()
    np.testing.assert_array_equal(without.events_to_tell, np.ones((1, 44)))


# --- What a baseline may be made of -----------------------------------------------------------------------------------


def told(active: bool, start: bool, adopted: bool, begin: int, calm: int) -> Switch:
    one = np.array([False, active])
    return Switch(
        one,
        np.array([False, start]),
        one & False,
        np.array([False, adopted]),
        np.array([0, begin]),
        np.array([5, calm]),
    )


def test_abnormal_days_are_left_out_until_they_are_normal() -> None:
    known = np.ones((2, 60), bool)
    known[1, 22] = False
    amount = np.full((2, 60), 4.0)
    memory = _Memory("count", amount, amount, known, np.arange(60) % 7, DEFAULT_SETTINGS)

    def kept() -> list[int]:
        assert memory.is_kept[0].all()
        return np.flatnonzero(~memory.is_kept[1]).tolist()

    assert kept() == [22]
    memory.take(30, told(True, True, False, 27, 0))
    assert kept() == [22, 27, 28, 29, 30]
    memory.take(31, told(True, False, False, 27, 0))
    memory.take(32, told(True, False, False, 27, 1))
    memory.take(33, told(False, False, False, 27, 0))
    assert kept() == [22, 27, 28, 29, 30, 31]
    # Adopted since day 21: history begins there, with all that is known.
    memory.take(34, told(True, False, True, 21, 1))
    assert kept() == [22]
    assert memory.history_start.tolist() == [0, 21]


def test_a_baseline_is_of_the_days_before_the_lag_or_of_all_where_these_are_few() -> None:
    amount = np.array([[100.0] * 40 + [16.0] * 20])
    memory = _Memory("count", amount, amount, np.ones((1, 60), bool), np.arange(60) % 7, DEFAULT_SETTINGS)
    # Of day 48 the 35 days up to day 39; of day 20 twelve, of day 19 only eleven are older, so that all count.
    assert (memory.baseline(48).level[0], memory.baseline(48).days[0]) == (100.0, 35)
    assert [memory.baseline(day).days[0] for day in (20, 19, 12, 11)] == [12, 19, 12, 11]
    assert np.isfinite([memory.baseline(day).level[0] for day in (12, 11)]).tolist() == [True, False]
    memory.history_start[0] = 40
    assert (memory.baseline(60 - 1).days[0], memory.baseline(52).days[0]) == (19, 12)
    assert log(memory.baseline(59).level[0]) == pytest.approx(log(16.0))
