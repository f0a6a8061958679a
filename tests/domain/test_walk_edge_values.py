"""Each limit of a walk just below, at, and just above it; objectives and rare events at theirs."""

from __future__ import annotations

from dataclasses import replace
from math import inf, log
from typing import Any

import numpy as np
import pytest

from quality_assets.domain.series.objectives import _burn, _hold, _trailing, judge_objective
from quality_assets.domain.series.rare import (
    RareWatch,
    _log_ratio,
    days_to_tell,
    divergence,
    events_to_tell,
    failure_rate,
)
from quality_assets.domain.series.settings import Limits, ObjectiveSettings, RareSettings, WalkRules
from quality_assets.domain.series.walk import Walk

NAN = float("nan")
# With a weight of a half the first day's strength is its z, and half of its change is smoothed.
LIMITS = Limits(ewma=2.0, spike_sd=8.0, sustained=0.25, one_day=4.0)
RULES = WalkRules(LIMITS, smoothing=0.5, winsor_sd=16.0, calm_sd=1.0, calm_days=2, adopt_after_days=9)


def walked(days: list[tuple[float, float]], rules: WalkRules = RULES, silent: tuple[int, ...] = ()) -> list[Any]:
    """What each day of (z, change) did to one series, and the walk at the end."""
    walk, out = Walk(1, rules), []
    for day, (z, change) in enumerate(days):
        now, moved = np.array([z]), np.array([change])
        told = walk.switch(day, now, moved, walk.smooth(day, now, moved), np.array([day in silent]))
        out.append(
            tuple(
                each[0].item()
                for each in (told.is_active, told.is_start, told.is_ended, told.is_adopted, told.begin, told.calm)
            )
        )
    return [*out, walk]


def days_of(what: int, days: list[tuple[float, float]], rules: WalkRules = RULES, **more: Any) -> list[int]:
    """Days on which an episode was active (0), began (1), ended (2) or was adopted (3)."""
    return [day for day, told in enumerate(walked(days, rules, **more)[:-1]) if told[what]]


@pytest.mark.parametrize(
    ("z", "change", "is_start"),
    [
        (2.0, 1.0, False), (2.125, 1.0, True), (2.5, 0.5, False), (2.5, 0.75, True),
        (-9.0, 1.0, False), (NAN, NAN, False), (9.0, NAN, False),
    ],
)  # fmt: skip
def test_a_shift_is_beyond_its_deviations_and_its_change(z: float, change: float, is_start: bool) -> None:
    assert days_of(1, [(z, change)]) == ([0] if is_start else [])


@pytest.mark.parametrize(
    ("z", "change", "is_start"), [(8.0, 5.0, False), (8.5, 4.0, False), (8.5, 4.5, True), (7.0, 4.5, False)]
)
def test_a_day_alone_is_beyond_its_own_limits(z: float, change: float, is_start: bool) -> None:
    rules = replace(RULES, limits=replace(LIMITS, ewma=inf))
    assert days_of(1, [(z, change)], rules) == ([0] if is_start else [])


def test_a_shift_begins_on_no_calm_day() -> None:
    # Of the first day .125 are smoothed, too little; the second is strong enough by what came before it.
    assert days_of(1, [(8.0, 0.25), (1.0, 4.0)]) == []
    assert days_of(1, [(8.0, 0.25), (1.125, 4.0)]) == [1]


def test_no_day_counts_for_more_than_it_may() -> None:
    rules = replace(RULES, winsor_sd=4.0, change_limit=2.0)
    for z, change in ((100.0, 50.0), (-100.0, -50.0)):
        walk = Walk(1, rules)
        strength = walk.smooth(0, np.array([z]), np.array([change]))
        assert (strength[0], walk.smooth_z[0], walk.smooth_change[0]) == (z / 25, z / 50, change / 50)
        walk.smooth(1, np.array([0.0]), np.array([0.0]))
        assert (walk.smooth_z[0], walk.smooth_change[0]) == (z / 100, change / 100)


def test_a_run_begins_the_day_after_the_last_at_one_deviation() -> None:
    run = replace(RULES, since="run", limits=Limits(inf, inf, inf, inf))
    for z, begin in ((1.0, 1), (1.125, 0), (-3.0, 1)):
        assert walked([(z, 0.0)], run)[0][4] == begin
    # Strengths: ½ ÷ .5, (¼ + ¾) ÷ √(5/16), then below 1 again.
    assert [told[4] for told in walked([(1.0, 0), (1.5, 0), (1.5, 0), (-3.0, 0), (3.0, 0)], run)[:-1]] == [
        1,
        1,
        1,
        4,
        4,
    ]
    assert walked([(1.0, 0.0)], replace(run, since="episode"))[0][4] == 0


BAD, CALM = (9.0, 9.0), (0.0, 9.0)


def test_calm_days_in_a_row_end_an_episode_that_they_are_not_in() -> None:
    assert days_of(0, [BAD, CALM, BAD, CALM, CALM, CALM]) == [0, 1, 2, 3]
    assert days_of(2, [BAD, CALM, BAD, CALM, CALM, CALM]) == [4]
    # At the limit a day is not calm; below it, or of a small change, it is.
    for day, ends in (((1.0, 9.0), []), ((0.875, 9.0), [2]), ((5.0, 0.25), []), ((5.0, 0.125), [2])):
        rules = replace(RULES, calm_change=0.25, limits=Limits(inf, 8.0, inf, 4.0))
        assert days_of(2, [BAD, day, day], rules) == ends
    # Unknown days are neither calm nor bad.
    assert days_of(2, [BAD, CALM, (NAN, NAN), CALM, CALM]) == [3]


def test_the_day_that_ends_an_episode_may_be_in_it() -> None:
    inside = replace(RULES, ends_inside=True)
    told = walked([CALM, BAD, CALM, CALM, CALM], inside)
    assert [each[:4] for each in told[:-1]] == [
        (False, False, False, False), (True, True, False, False), (True, False, False, False),
        (True, False, True, False), (False, False, False, False),
    ]  # fmt: skip
    assert [each[5] for each in told[:-1]] == [1, 0, 1, 2, 3]
    walk = told[-1]
    assert (walk.active.tolist(), walk.smooth_z[0], walk.smooth_change[0]) == ([False], 0.0, 4.5)
    # The beginning itself is no calm day, even where its own deviation is.
    silent = days_of(2, [CALM, CALM, CALM], inside, silent=(0,))
    assert silent == [2]


def test_an_episode_ends_only_once_its_strength_has_faded_by_half() -> None:
    rules = replace(RULES, is_settled=True, needs_fading=True, calm_days=1, limits=Limits(2.0, 8.0, inf, 4.0))
    # √(.5 ÷ 1.5) = .577: half of 2 are below .577 smoothed. Of 9: 4.5, 2.25, 1.125, .5625.
    assert days_of(2, [BAD, *[CALM] * 5], rules) == [3]
    assert days_of(2, [BAD, *[CALM] * 5], replace(rules, needs_fading=False)) == [1]
    assert days_of(2, [BAD, CALM, CALM, (NAN, NAN), CALM], rules) == [4]


def test_what_lasts_is_the_new_normal_and_begins_anew() -> None:
    rules = replace(RULES, adopt_after_days=3)
    told = walked([CALM, BAD, BAD, BAD, BAD, BAD], rules)
    # Since day 1; three days later it is normal, and the next day begins another.
    assert [each[3] for each in told[:-1]] == [False] * 4 + [True, False]
    assert [each[0] for each in told[:-1]] == [False, True, True, True, False, True]
    assert [each[4] for each in told[:-1]] == [0, 1, 1, 1, 1, 5]
    inside = walked([CALM, BAD, BAD, BAD, BAD, CALM], replace(rules, ends_inside=True))
    assert [each[0] for each in inside[:-1]] == [False, True, True, True, True, False]
    assert inside[-1].smooth_z[0] == 0.0


def test_what_is_not_known_for_too_long_is_over() -> None:
    rules = replace(RULES, hold_days=2)
    assert days_of(2, [BAD, (NAN, NAN), (NAN, NAN), (NAN, NAN)], rules) == [3]
    assert days_of(2, [BAD, (NAN, NAN), (NAN, NAN), BAD, (NAN, NAN), (NAN, NAN)], rules) == []
    assert days_of(2, [BAD, *[(NAN, NAN)] * 20]) == []


def test_a_silent_day_is_bad_whatever_its_deviation_is() -> None:
    assert days_of(1, [CALM, (NAN, NAN), CALM], silent=(1,)) == [1]
    assert days_of(2, [BAD, CALM, CALM, CALM, CALM], silent=(2,)) == [4]


# --- Objectives -------------------------------------------------------------------------------------------------------


def test_sums_of_the_last_days_and_what_they_use() -> None:
    values = np.array([[1.0, 2.0, 4.0, 8.0], [0.0, 1.0, 0.0, 3.0]])
    assert _trailing(values, 3).tolist() == [[1, 3, 7, 14], [0, 1, 1, 4]]
    assert _trailing(values, 1).tolist() == values.tolist()
    assert _trailing(values, 9).tolist() == [[1, 3, 7, 15], [0, 1, 1, 4]]
    burn = _burn(np.array([[3.0, 1.0, 1.0]]), np.array([[10.0, 0.0, 4.0]]), np.array([[0.5]]))
    np.testing.assert_array_equal(burn, [[0.6, NAN, 0.5]])


def test_a_breach_is_held_from_the_day_that_enters_to_the_day_that_leaves() -> None:
    enters = np.array([[0, 1, 0, 0, 0, 1, 0, 0, 1, 1], [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]], bool)
    leaves = np.array([[0, 0, 0, 1, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]], bool)
    known = np.array([[1, 1, 1, 1, 1, 1, 1, 0, 1, 1], [1] * 10], bool)
    held, begin = _hold(enters, leaves, known)
    assert held.astype(int).tolist() == [[0, 1, 1, 0, 0, 1, 1, 0, 1, 1], [0, 0, 1, 1, 1, 1, 1, 1, 1, 1]]
    assert begin.tolist() == [[0, 1, 1, 1, 1, 5, 5, 5, 8, 8], [0, 0, 2, 2, 2, 2, 2, 2, 2, 2]]


def judged(bad: Any, total: Any, allowed: float, **settings: Any) -> Any:
    one, rules = np.array([allowed]), ObjectiveSettings(**settings)
    bad, total = np.asarray(bad, dtype=float)[None, :], np.asarray(total, dtype=float)[None, :]
    return judge_objective(bad, total, one, one * 7, one > 1, rules)


def test_a_breach_uses_more_than_is_allowed_now_and_beyond_chance() -> None:
    # A quarter may be bad: at 25 of 100 just as much is used, and nothing is breached however many there are.
    assert not judged([25_000] * 9, [100_000] * 9, 0.25).is_breach.any()
    assert judged([26_000] * 9, [100_000] * 9, 0.25).is_breach.all()
    # 34 where 25 are allowed: √2(33.5 ln(33.5 ÷ 25) − 8.5) = 1.62 deviations; after three days 2.9, of 28 days 9.
    few = judged([34] * 28, [100] * 28, 0.25)
    assert np.flatnonzero(few.is_breach[0])[0] == 3
    assert not judged([34] * 3, [100] * 3, 0.25).is_breach.any()
    assert judged([34] * 3, [100] * 3, 0.25, chance_sd=2.0).is_breach[0].tolist() == [False, True, True]


def test_where_the_last_days_are_empty_longer_ones_stand_in() -> None:
    bad = [10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    found = judged(bad, [20, *[0] * 19], 0.25)
    # All of the allowance of one day twice over, as long as any window holds it.
    np.testing.assert_array_equal(found.burn_short, [[2.0] * 20])
    mixed = judged([10, *[0] * 6, 1, *[0] * 22], [20, *[0] * 6, 20, *[0] * 22], 0.25)
    # The eighth day: three and seven days hold 1 of 20, a fortnight and the month 11 of 40.
    assert mixed.burn_short[0, [0, 6, 7, 9, 13, 14, 27, 28]].tolist() == [2, 2, 0.2, 0.2, 0.2, 0.2, 1.1, 0.2]
    assert mixed.burn_long[0, [0, 6, 7, 9, 27, 28]].tolist() == [2, 2, 1.1, 1.1, 1.1, 0.2]
    np.testing.assert_array_equal(mixed.budget_left, 1 - mixed.burn_long)
    assert (mixed.limit.tolist(), mixed.is_default.tolist()) == ([1.75], [False])


def test_days_without_a_number_are_no_days_and_no_failure_at_all_may_be_allowed() -> None:
    found = judged([NAN, 5, 5], [10, 0, 10], 0.25)
    np.testing.assert_array_equal(found.burn_long, [[NAN, NAN, 2.0]])
    assert found.begin.dtype == np.int64
    assert judged([1], [100], 0.0).burn_long[0, 0] == pytest.approx(0.01 / 1e-6)


# --- Rare events ------------------------------------------------------------------------------------------------------


def test_what_a_count_says_for_one_rate_against_another() -> None:
    x, n = np.array([3.0]), np.array([10.0])
    wanted = 3 * log(0.5 / 0.2) + 7 * log(0.5 / 0.8)
    assert _log_ratio(x, n, np.array([0.5]), np.array([0.2]))[0] == pytest.approx(wanted)
    assert divergence(np.array([1.0]), np.array([0.5]))[0] == pytest.approx(log(2), abs=1e-6)
    assert divergence(np.array([0.0]), np.array([0.5]))[0] == pytest.approx(log(2), abs=1e-6)
    assert divergence(np.array([0.5]), np.array([0.0]))[0] == pytest.approx(0.5 * log(0.5 / 1e-9) + 0.5 * log(0.5))


def test_a_failure_is_three_times_the_usual_and_three_tenths_at_least() -> None:
    assert failure_rate(np.array([0.05, 0.1, 0.2, 0.3, 0.9])).tolist() == pytest.approx([0.3, 0.3, 0.6, 0.9, 0.95])
    own = RareSettings(multiples=(5.0, 2.0), failure_share=0.5)
    assert failure_rate(np.array([0.05, 0.125]), own).tolist() == [0.5, 0.625]
    gain = 0.5 * log(0.5 / 0.05) + 0.5 * log(0.5 / 0.95)
    one = np.ones(1)
    assert days_to_tell(0.05 * one, 2 * one, 4 * one, own)[0] == np.ceil(10 / (gain * 2 / 4))
    assert events_to_tell(0.05 * one, 4 * one, replace(own, longest_days=7))[0] == pytest.approx(10 / (gain / 4 * 7))


def rare(amount: list[float], sample: float = 10.0, **settings: Any) -> tuple[RareWatch, list[bool]]:
    """One series after forty quiet days with one bad event in the first."""
    rules = replace(RareSettings(), **settings)
    amounts = np.array([[*[1.0 if d == 0 else 0.0 for d in range(40)], *amount]])
    watch = RareWatch(amounts, np.full(amounts.shape, sample), rules)
    kept, start = np.ones(amounts.shape, bool), np.zeros(1, dtype=np.int64)
    return watch, [bool(watch.listen(day, kept, 8, start)[0]) for day in range(amounts.shape[1])][40:]


def test_evidence_adds_up_by_what_each_day_says_and_no_more_than_it_may() -> None:
    # Usual: 1 of 320 and √1 more; failing is .3. Of ten, three say far more than the 4.5 that a day may.
    watch, told = rare([3.0, 3.0])
    assert told == [False, False]
    assert watch._evidence.max() == 9.0
    watch, told = rare([3.0, 3.0, 3.0])
    assert told == [False, False, True]
    assert (watch.begin[0], watch._evidence.max(), watch.days(42)[0]) == (40, 13.5, 3.0)
    # What it is active for is the run since it began.
    assert watch._run[:, 0].tolist() == [9.0, 30.0]
    # With exactly as much as is needed it is not told yet.
    assert rare([3.0, 3.0], evidence=9.0)[1] == [False, False]
    assert rare([3.0, 3.0], evidence=8.9)[1] == [False, True]


def test_each_rate_that_is_looked_for_has_evidence_of_its_own() -> None:
    watch, _ = rare([1.0])
    usual = (1 + 1) / 320
    assert watch.usual[0] == pytest.approx(usual)
    assert (watch.clumping[0], watch.a_day[0]) == (1.0, 10.0)

    def said(rate: float) -> float:
        return log(rate / usual) + 9 * log((1 - rate) / (1 - usual))

    wanted = [said(3 * usual), said(10 * usual), max(said(0.3), 0.0)]
    assert watch._evidence[:, 0].tolist() == pytest.approx(wanted)
    assert watch._since[:2, 0].tolist() == [40, 40]
    # A good day takes back what it says; what falls to nothing begins with the next day.
    watch, _ = rare([1.0, 0.0])
    later = 2 / 330
    less = [10 * log((1 - rate) / (1 - later)) for rate in (3 * later, 10 * later)]
    assert watch._evidence[:2, 0].tolist() == pytest.approx([wanted[0] + less[0], wanted[1] + less[1]])
    watch, _ = rare([1.0, *[0.0] * 40])
    assert watch._evidence[:, 0].tolist() == [0.0, 0.0, 0.0]
    assert watch._since[:, 0].tolist() == [81, 81, 81]


def test_a_run_is_over_when_the_usual_rate_explains_what_came_since() -> None:
    watch, told = rare([3.0, 3.0, 3.0, *[0.0] * 3])
    # After 9 of 30 a good day of ten says 10 ln((1 − 1 ÷ 170) ÷ (1 − 9.5 ÷ 41)), the next the same of 9.5 ÷ 51.
    usual = 2 / 340
    first, second = (10 * log((1 - usual) / (1 - 9.5 / made)) for made in (41, 51))
    assert first < 3 < first + second
    assert told == [False, False, True, True, False, False]
    assert (watch._evidence.max(), watch._recovery[0], watch._run.sum()) == (0.0, 0.0, 0.0)
    assert rare([3.0, 3.0, 3.0, 0.0], recovery=first - 0.01)[1][-1] is False
    assert rare([3.0, 3.0, 3.0, 0.0], recovery=first + 0.01)[1][-1] is True


def test_many_usual_bad_events_a_day_or_none_at_all_are_not_pooled() -> None:
    watch, told = rare([30.0] * 5, sample=240.0, few=0.0)
    assert (told, watch.days(44)[0]) == ([False] * 5, 1.0)
    amounts, samples = np.zeros((1, 40)), np.full((1, 40), 10.0)
    samples[0, 20:] = 0.0
    watch = RareWatch(amounts, samples)
    for day in range(40):
        watch.listen(day, np.ones((1, 40), bool), 8, np.zeros(1, dtype=np.int64))
    # The last 28 days: eight of ten events.
    assert watch.a_day[0] == pytest.approx(80 / 28)
    assert watch.known[0].tolist() == [True] * 20 + [False] * 20
