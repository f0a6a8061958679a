"""How a batch lies beside those before it and how rows are ordered, at the edges of each rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from text_blocks import text_block

from quality_assets.domain.quality.datasets.drifting import (
    _apart,
    _distance,
    _factor,
    _likeness,
    _overlap,
    absent_findings,
    distribution_findings,
    freshness_finding,
    overdue,
    schema_findings,
    spike_findings,
    spikes,
    volume_finding,
    weekday_of,
)
from quality_assets.domain.quality.datasets.ordering import (
    Ordering,
    _agreement,
    _dependence,
    _ranks,
    _trend,
    is_new_group,
    ordering_of,
    reach,
    shown_by,
    stretches,
)
from quality_assets.domain.quality.datasets.profile import Profile
from quality_assets.domain.quality.datasets.table_findings import Finding
from quality_assets.domain.quality.datasets.values import Block


def _profile(*columns: str, rows: int = 40) -> Profile:
    return Profile("p", rows, columns, {})


def _of_rows(*rows: int) -> list[Profile]:
    return [_profile("a", rows=each) for each in rows]


def _strewn(low: int, count: int = 100) -> list[int]:
    """So many numbers from `low` on, in no order."""
    return [low + 37 * row % count for row in range(count)]


# --- Columns ----------------------------------------------------------------------------------------------------------


def test_columns_lost_new_and_renamed_are_told_whole() -> None:
    before = text_block(city=["Rom", "Bonn"] * 20, n=range(40), id=range(40))
    now = text_block(town=["Rom", "Bonn"] * 20, m=[f"x{i}" for i in range(40)], id=range(40))
    past = [_profile("city", "n", "id")]
    assert schema_findings(("town", "m", "id"), now, past, [before]) == [
        Finding(
            "rename", ("city", "town"), 1, 1 / 3,
            "Column city is gone, and town holds what it held: renamed, it seems",
            severity="high", is_alert=True, p_value=0.0,
        ),
        Finding(
            "schema", ("n",), 1, 1 / 3, "Column n, which past batches had, is gone", "lost_column",
            severity="high", is_alert=True, p_value=0.0,
        ),
        Finding("schema", ("m",), 1, 1 / 3, "Column m is new", "new_column", severity="low"),
    ]  # fmt: skip


def test_a_column_is_lost_that_the_last_three_batches_all_had() -> None:
    def lost(*past: Profile) -> list[str]:
        found = schema_findings(("a",), text_block(a=["x"] * 40), past, [])
        return [finding.columns[0] for finding in found if finding.detector == "lost_column"]

    both, one = _profile("a", "z"), _profile("a")
    assert lost(both) == lost(both, both, both) == ["z"]
    assert lost(one, both, both, both) == ["z"]
    assert lost(both, one, both, both) == lost(both, both, one) == []


def test_a_name_goes_on_where_half_of_what_it_held_does() -> None:
    def found(now: int, name: str = "m", *, old: str = "n") -> list[str]:
        block, before = text_block(**{name: range(now, now + 40)}), text_block(**{old: range(40)})
        return [finding.kind for finding in schema_findings((name,), block, [_profile(old)], [before])]

    assert found(20) == ["rename"]
    assert found(21) == ["schema", "schema"]


def test_a_name_that_is_written_otherwise_goes_on_whatever_it_holds() -> None:
    before = text_block(order_id=range(40), n=["a"] * 40)
    now = text_block(**{"Order ID": range(1000, 1040), "N": ["b"] * 40})
    found = schema_findings(("Order ID", "N"), now, [_profile("order_id", "n")], [before])
    assert [(f.kind, f.columns, f.sentence) for f in found] == [
        ("rename", ("order_id", "Order ID"), "Column order_id is written Order ID now"),
        ("rename", ("n", "N"), "Column n is written N now"),
    ]
    # Two that are written alike tell nothing by their names.
    twice = text_block(**{"N": range(1000, 1040), "n_": range(2000, 2040)})
    found = schema_findings(("N", "n_"), twice, [_profile("n")], [text_block(n=range(40))])
    assert [f.detector for f in found] == ["lost_column", "new_column", "new_column"]


def test_each_name_goes_on_once_and_of_the_last_three_batches_the_likest_counts() -> None:
    before = text_block(one=range(40), two=range(40))
    found = schema_findings(("m",), text_block(m=range(40)), [_profile("one", "two")], [before])
    assert [(f.kind, f.columns) for f in found] == [("rename", ("two", "m")), ("schema", ("one",))]
    other = text_block(n=range(500, 540))
    blocks = [text_block(n=range(40)), other, other]
    assert [f.kind for f in schema_findings(("m",), text_block(m=range(40)), [_profile("n")], blocks)] == ["rename"]
    older = [f.kind for f in schema_findings(("m",), text_block(m=range(40)), [_profile("n")], [*blocks, other])]
    assert older == ["schema", "schema"]


def test_how_alike_columns_are() -> None:
    def alike(one: Sequence[object], other: Sequence[object]) -> float:
        return _likeness(text_block(c=one).columns["c"], text_block(c=other).columns["c"])

    assert alike([1, 2, 3, 4], [1, 2, 3, 4]) == 1.0
    assert alike([1, 2, 3, 4], [3, 4, 5, 6]) == pytest.approx(0.5)
    assert alike(["a", "b"], ["a", "a", "a", "b"]) == pytest.approx(0.9), "one form, and three of four values"
    assert alike(["a", "b"], ["a", "b", "b", "b", "b"]) == pytest.approx(0.9)
    assert alike(["a", "bb"], ["a", "bb"]) == 1.0
    assert alike(["a", "bb"], ["c", "d", "d", "ee"]) == pytest.approx(0.9 * 0.75)
    assert alike(["a", "b"], [1, 2]) == alike(["a", "b"], ["", ""]) == alike(["", ""], ["a", "b"]) == 0.0
    assert alike(["2026-01-01", "2026-01-02"], ["2026-01-02", "2026-01-03"]) == pytest.approx(0.5)


def test_distances_of_spreads() -> None:
    assert _distance(np.array([3.0, 1, 2]), np.array([2.0, 4, 3])) == pytest.approx(1 / 3)
    assert _distance(np.array([1.0]), np.array([2.0, 3])) == 1.0
    assert _distance(np.array([2.0, 2]), np.array([2.0])) == 0.0
    assert _overlap(Counter(a=1, b=3), Counter(a=2, b=1, c=1)) == pytest.approx(0.25 + 0.25)
    assert _overlap(Counter(), Counter(a=1)) == _overlap(Counter(a=1), Counter()) == 0.0
    assert _apart(Counter(a=1, b=1), [Counter(a=1), Counter(b=2)]) == pytest.approx(1 - (1 / 3 + 1 / 2))
    assert _apart(Counter(), [Counter(a=1)]) == _apart(Counter(a=1), [Counter()]) == 0.0
    assert _apart(np.array([5.0, 6]), [np.array([1.0]), np.array([5.0])]) == pytest.approx(0.5)
    assert _apart(np.empty(0), [np.array([1.0])]) == _apart(np.array([1.0]), [np.empty(0)]) == 0.0


# --- Rows and times ---------------------------------------------------------------------------------------------------


def test_rows_are_held_against_the_scatter_of_batches() -> None:
    # Logarithms lie ln 1.25 from the middle: 4 × 1.4826 × .2231 = 1.3233, and e^1.3233 = 3.7559.
    assert volume_finding(375, _of_rows(80, 100, 125)) is None
    assert volume_finding(376, _of_rows(80, 100, 125)) == Finding(
        "volume", (), 276, 3.76, "It has 376 rows; 100 are usual", severity="medium", is_alert=True, p_value=0.0
    )
    # One of five is twice as large: the middle distance is none, the standard deviation .4 × ln 2; e^1.109 = 3.0314.
    assert volume_finding(303, _of_rows(100, 100, 100, 100, 200)) is None
    assert volume_finding(304, _of_rows(100, 100, 100, 100, 200)) is not None
    fewer = volume_finding(1_000, _of_rows(2_000, 2_000, 2_000))
    assert fewer == Finding(
        "volume", (), 1_000, 0.5, "It has 1,000 rows; 2,000 are usual", severity="high", is_alert=True, p_value=0.0
    )
    assert volume_finding(66, _of_rows(100, 100, 100)) is None
    assert volume_finding(65, _of_rows(100, 100, 100)) is not None
    assert volume_finding(2, _of_rows(0, 0, 0)) is not None


def test_a_lesser_change_is_told_beside_eight_batches_that_are_alike() -> None:
    # t = 3.89 + 62.754 / 28 + 5,407.2 / 4,704 = 7.2807 with seven degrees; times .02 × √(9/8): ± .15445.
    assert volume_finding(857, _of_rows(*[1_000] * 8)) is None
    assert volume_finding(856, _of_rows(*[1_000] * 7)) is None
    told = volume_finding(856, _of_rows(*[1_000] * 8))
    assert told == Finding(
        "volume", (), 144, 0.856, "It has 856 rows; 1,000 are usual", severity="medium", is_alert=True, p_value=0.0
    )
    assert volume_finding(1_167, _of_rows(*[1_000] * 8)) is None
    assert volume_finding(1_168, _of_rows(*[1_000] * 8)) is not None
    # Two days of a weekend among them: the standard deviation is .3256, and so much falls as far by chance.
    assert volume_finding(510, _of_rows(*[1_000] * 6, 500, 490)) is None


def test_three_of_a_weekday_scatter_at_least_as_the_others_do() -> None:
    day = 86_400.0
    mondays = [replace(_profile("a", rows=100), first_time=day * (4 + 7 * week)) for week in range(3)]
    tuesdays = [replace(_profile("a", rows=rows), first_time=day * 5) for rows in (100, 300)]
    assert volume_finding(154, mondays, weekday=0) is not None
    # ln 3 / 2 twice from the middle, by three degrees: √(2 × .3017 / 3) = .4485, and e^(4 × .4485) = 6.013.
    assert volume_finding(601, mondays + tuesdays, weekday=0) is None
    assert volume_finding(602, mondays + tuesdays, weekday=0) is not None


def test_monday_is_the_first_of_weekdays() -> None:
    assert [weekday_of(86_400.0 * day) for day in (0, 3, 4, 4.99, 5)] == [3, 6, 0, 0, 1]


def test_a_batch_is_late_beside_the_last_twenty_gaps() -> None:
    hour = 3600.0
    times = [0.0, *(hour * (100 + n) for n in range(21))]
    # The gap of a hundred hours is the twenty-first before.
    assert freshness_finding(times[-1] + 1.5 * hour, times) is None
    late = freshness_finding(times[-1] + 3 * hour, times)
    assert late == Finding(
        "freshness", (), 3, 2.0, "It ends 3 hours after the batch before it; 1 hours were the most so far",
        severity="medium", is_alert=True, p_value=0.0,
    )  # fmt: skip
    assert freshness_finding(times[-2] + 3 * hour, times[:-1]) is None
    assert freshness_finding(5 * hour, [0.0] * 4) is None, "of batches at one instant nothing is told"
    assert freshness_finding(hour, [0.0], 0.0) is None


def test_how_long_one_waits_beside_the_last_twenty_gaps() -> None:
    hour = 3600.0
    arrivals = [0.0, *(hour * (100 + n) for n in range(21))]
    assert overdue(arrivals, 1.6 * hour) == (1.5, "1.0 hours were the most so far")
    assert overdue(arrivals[:-1], 1.6 * hour) is None
    # Half an hour between deliveries: one waits an hour at least.
    half = [hour / 2 * n for n in range(6)]
    assert overdue(half, hour) is None
    assert overdue(half, hour + 1) == (1.0, "0.5 hours were the most so far")
    # What comes just five minutes later is the same delivery.
    assert overdue([300.0 * n for n in range(9)], 9 * hour) is None
    assert overdue([301.0 * n for n in range(9)], 9 * hour) is not None
    assert overdue([], 37 * hour, 24.0) == (36.0, "every 24 hours one is due")
    assert overdue([], 36 * hour, 24.0) is None


# --- Values -----------------------------------------------------------------------------------------------------------


def test_a_change_of_unit_or_of_sign() -> None:
    near, far = np.arange(1.0, 21), np.arange(100.0, 120)
    assert _factor(near * 1000, near) == 1000.0
    assert _factor(near / 60, near) == pytest.approx(1 / 60)
    assert _factor(-near, near) == -1.0
    assert _factor(far * 2.54, far) == 2.54
    assert _factor(far / 1.6093, far) == pytest.approx(1 / 1.6093)
    # Where it is not wholly apart only what is far larger or smaller is told by its factor.
    assert _factor(near * 2.2046, near) is None
    assert _factor(far * 1.3, far) is None
    assert _factor(near[:19] * 1000, near[:19]) is None, "of nineteen sizes nothing is told"
    # Three of twenty may lie elsewhere, and no more.
    assert _factor(np.array([-1e9, -1e9, -1e9, *near[3:] * 1000]), near) == 1000.0
    assert _factor(np.array([-1e9, -1e9, -1e9, -1e9, *near[4:] * 1000]), near) is None


def _found(now: Block, past: Sequence[Block], ordering: Ordering | None = None) -> list[Finding]:
    return list(distribution_findings(now, past, ordering or Ordering()))


def test_another_unit_is_an_alert_even_of_a_column_that_is_ordered() -> None:
    past = [text_block(v=_strewn(1)) for _ in range(3)]
    (found,) = _found(text_block(v=[1000 * value for value in _strewn(1)]), past, Ordering({"v": 0.99}))
    assert found == Finding(
        "distribution", ("v",), 100, 1.0,
        "Values of v have moved by 1.00, as if multiplied by 1000; 0.00 was the most so far",
        weight=0.1, expected_share=0.0, is_alert=True, p_value=0.0,
    )  # fmt: skip
    (of_all,) = distribution_findings(text_block(v=[1000 * v for v in _strewn(1)]), past, Ordering(), every=70_000)
    assert of_all.count == 70_000, "the rows judged were a sample of so many"


def test_a_change_that_is_explained_is_told_without_an_alert() -> None:
    past = [text_block(v=_strewn(0), w=["a", "b"] * 50) for _ in range(3)]
    now = text_block(v=_strewn(80), w=["a", "b"] * 50)

    def is_alert(ordering: Ordering) -> list[bool]:
        return [finding.is_alert for finding in _found(now, past, ordering) if finding.columns == ("v",)]

    assert is_alert(Ordering()) == [True]
    assert is_alert(Ordering(trends={"v": 3.0})) == [False]
    assert is_alert(Ordering({"v": 0.3})) == [False]
    assert is_alert(Ordering({"w": 0.3})) == [True], "the other column did not move"


def test_where_the_rows_of_a_group_are_others_all_else_is_as_that_group_is() -> None:
    past = [text_block(v=_strewn(0), g=["a", "b"] * 50) for _ in range(3)]
    now = text_block(v=_strewn(80), g=["b"] * 100)
    assert {f.columns[0]: f.is_alert for f in _found(now, past, Ordering({"g": 0.3}))} == {"v": False, "g": True}
    of_few = Ordering({"g": 0.3}, few=frozenset(["g"]))
    assert {f.columns[0]: f.is_alert for f in _found(now, past, of_few)} == {"v": False, "g": False}
    assert {f.columns[0]: f.is_alert for f in _found(now, past)} == {"v": True, "g": True}


def test_a_change_is_held_against_those_of_the_last_five_batches() -> None:
    # The middles of the past lie a fifth apart: twice that is let pass.
    past = [text_block(v=_strewn(low)) for low in (0, 20, 0)]
    assert _found(text_block(v=_strewn(45)), past) == []
    (found,) = _found(text_block(v=_strewn(60)), past)
    assert found.expected_share == pytest.approx(0.2)
    calm = [text_block(v=_strewn(0)) for _ in range(5)]
    wild = text_block(v=_strewn(500))
    assert _found(text_block(v=_strewn(50)), [wild, *calm]) != []
    assert _found(text_block(v=_strewn(50)), [*calm[:4], wild]) == []
    assert _found(text_block(v=_strewn(50)), [wild, *calm[:4]]) == []


def test_columns_that_were_not_always_there_or_cannot_be_compared_are_passed_over() -> None:
    past = [text_block(v=_strewn(0)) for _ in range(3)]
    assert _found(text_block(v=_strewn(50), w=_strewn(0)), [*past[:2], text_block(w=_strewn(0))]) == []
    fewer = [*_strewn(0)[:49], *[None] * 51]
    assert _found(text_block(v=_strewn(50)), [text_block(v=fewer), *past[1:]]) == []
    assert len(_found(text_block(v=[*_strewn(500)[:50], *[None] * 50]), past)) == 1
    assert _found(text_block(v=[*_strewn(500)[:49], *[None] * 51]), past) == []
    assert len(_found(text_block(v=_strewn(500, 50)), past)) == 1
    days = [f"2026-01-{1 + n % 28:02}" for n in range(100)]
    assert _found(text_block(v=[day.replace("2026", "2030") for day in days]), [text_block(v=days)] * 3) == []


@pytest.mark.parametrize(("count", "is_told"), [(200, True), (201, False)])
def test_of_two_hundred_texts_it_is_told_how_they_are_spread(count: int, is_told: bool) -> None:
    past = text_block(c=[f"old {n}" for n in range(count)] * 4)
    now = text_block(c=[f"new {n}" for n in range(count)] * 4)
    assert [finding.share for finding in _found(now, [past] * 3)] == [1.0] * is_told


def test_a_batch_may_wander_as_far_as_its_parts_did() -> None:
    # Sorted batches: of the 175 rows before the last quarter of the second batch 150 lie below it, .857 of them.
    past = [text_block(v=range(100)) for _ in range(3)]
    assert _found(text_block(v=_strewn(85)), past) == []
    assert len(_found(text_block(v=_strewn(86)), past)) == 1
    words = [text_block(c=["a"] * 25 + ["b"] * 25 + ["c"] * 25 + ["d"] * 25) for _ in range(3)]
    assert _found(text_block(c=["a"] * 90 + ["b"] * 10), words) == []
    assert len(_found(text_block(c=["e"] * 90 + ["a"] * 10), words)) == 1


def test_a_value_at_an_end_is_a_spike_three_times_as_frequent_as_five_beside_it() -> None:
    low = [*range(1, 20), *[0] * 3]
    assert spikes(text_block(v=low)) == {"v": (0.0, 3 / 22, 3)}
    assert spikes(text_block(v=low[:-1])) == {}
    assert spikes(text_block(v=low[1:])) == {}, "of nineteen values nothing is told"
    assert spikes(text_block(v=[*low, 5])) == {}
    assert spikes(text_block(v=[*low, 6])) == {"v": (0.0, 3 / 23, 3)}
    high = [*range(1, 20), *[20] * 3]
    assert spikes(text_block(v=high)) == {"v": (20.0, 3 / 22, 3)}
    assert spikes(text_block(v=[*high, 15])) == {}
    assert spikes(text_block(v=[*high, 14])) == {"v": (20.0, 3 / 23, 3)}
    assert spikes(text_block(v=[*high, 1, 1])) == {"v": (20.0, 3 / 24, 3)}, "the upper end is looked at first"
    assert spikes(text_block(v=[*range(1, 148), *[0] * 3])) == {"v": (0.0, 0.02, 3)}
    assert spikes(text_block(v=[*range(1, 149), *[0] * 3])) == {}
    assert spikes(text_block(v=[f"w{n}" for n in low])) == {}


def test_a_spike_is_told_whole() -> None:
    now = {"v": (1234.5, 0.1, 1_000)}
    (found,) = spike_findings(now, 10_000, [], Ordering())
    assert found == Finding(
        "spike", ("v",), 1_000, 0.1,
        "1,000 values of v (10 %) are 1234.5, an end of its range: cut off there, or filled in",
        examples=("1234.5",),
    )  # fmt: skip
    # As often as half as much again and two in a hundred is usual: of .04 it is .08.
    past = [text_block(v=[*range(96), *[200] * 4])]
    assert list(spike_findings({"v": (200.0, 0.08, 8)}, 100, past, Ordering())) == []
    (told,) = spike_findings({"v": (200.0, 0.0801, 8)}, 100, past, Ordering())
    assert (told.weight, told.expected_share) == (0.5, 0.04)
    # None of the past has it: a chance of four in a hundred is assumed.
    (new,) = spike_findings({"v": (500.0, 0.05, 1)}, 1, past, Ordering())
    assert new.p_value == pytest.approx(0.04)


# --- Order ------------------------------------------------------------------------------------------------------------


def test_what_a_row_of_an_ordered_column_is_worth() -> None:
    ordering = Ordering({"v": 0.5, "w": 1.0}, {"v": 0.6}, few=frozenset(["x"]))
    assert ordering.independent_share("v") == pytest.approx(1 / 3)
    assert ordering.independent_share("w") == pytest.approx(0.01 / 1.99)
    assert ordering.independent_missing("v") == pytest.approx(0.25)
    assert ordering.independent_share("x") == ordering.independent_missing("w") == 1.0
    assert not ordering.is_wandering
    assert Ordering({"x": 0.5}, few=frozenset(["x"])).is_wandering


def test_how_much_more_often_neighbours_agree_than_chance_has_it() -> None:
    # Of 20 rows half are a; one step in nineteen.
    assert _agreement(np.array([0] * 10 + [1] * 10)) == pytest.approx((18 / 19 - 0.5) / 0.5)
    assert _agreement(np.array([0, 1] * 10)) == pytest.approx(-1.0)
    assert _agreement(np.array([0] * 20)) == 0.0
    assert _agreement(np.array([0] * 7 + [1] * 7)) == 0.0
    assert _agreement(np.array([0] * 8 + [1] * 7)) == pytest.approx((13 / 14 - (64 + 49) / 225) / (1 - (64 + 49) / 225))


def test_the_dependence_of_numbers_is_that_of_their_ranks() -> None:
    assert _ranks(np.array([20.0, 10, 30, 20])).tolist() == [2.5, 1.0, 4.0, 2.5]

    def dependence(values: Sequence[object]) -> float:
        return _dependence(text_block(c=values).columns["c"])

    assert dependence([n**3 for n in range(20)]) == pytest.approx(1.0)
    zigzag = [n if n % 2 else 100 - n for n in range(20)]
    # Up and down: ranks of neighbours run against each other, and no two are equal.
    assert dependence(zigzag) == pytest.approx(0.0, abs=0.06)
    assert dependence([*range(14), None]) == 0.0
    assert dependence([5] * 20) == 0.0
    assert dependence([None, *range(15), None]) == pytest.approx(1.0)
    assert dependence([f"w{n}" for n in range(20)]) == pytest.approx(-0.05 / 0.95)


def test_the_order_of_several_batches() -> None:
    def batch(first: int) -> Block:
        return text_block(
            t=[first + row for row in range(20)], g=["a"] * 20, k=["x", "y"] * 10, m=[None] * 10 + [1] * 10,
            few=["p"] * 18 + ["q"] * 2,
        )  # fmt: skip

    found = ordering_of([batch(100 * n) for n in range(3)])
    assert found.values == {"t": pytest.approx(1.0, abs=1e-3), "few": pytest.approx(0.708, abs=1e-3)}
    # Of 60 rows, 5 of 59 steps change between missing and not: κ = (54/59 − .5) / .5.
    assert found.missing == {"m": pytest.approx(2 * 54 / 59 - 1)}
    assert found.few == {"g", "k", "m", "few"}
    assert found.trends == {"t": pytest.approx(200.0)}
    assert found.untold == {"g": frozenset(["a"]), "m": frozenset(["1"])}


def test_the_last_five_batches_of_fifteen_rows_are_looked_at() -> None:
    plain = [text_block(c=["x", "y"] * 10) for _ in range(5)]
    ordered = text_block(c=["x"] * 10 + ["y"] * 10)
    assert ordering_of([ordered] * 2).values == {"c": pytest.approx(2 * 18 / 19 - 1)}
    assert ordering_of([*[ordered] * 4, *plain]).values == {}
    assert ordering_of([*[ordered] * 3, *plain[:2]]).values == {"c": pytest.approx(2 * 18 / 19 - 1)}
    assert ordering_of([ordered, text_block(c=["x"] * 14)]) == Ordering()


def _steps(*lows: float, width: float = 1.0, count: int = 16) -> float:
    """The trend of batches of 16 numbers a step apart, each from its low on."""
    parts = [[low + width * n for n in range(count)] for low in lows]
    return _trend([text_block(c=part).columns["c"] for part in parts])


def test_a_trend_goes_farther_than_medians_do_by_chance() -> None:
    # Quartiles of 0 to 15 lie 7.5 apart: 2.5 × 7.5 / √16 = 4.6875.
    assert _steps(0, 2.5, 5) == pytest.approx(5.0)
    assert _steps(0, 2.25, 4.5) == 0.0
    assert _steps(5, 2.5, 0) == pytest.approx(-5.0)
    assert _steps(0, 5) == 0.0, "one step is no trend"
    assert _steps(0, 6, 5) == _steps(6, 0, 5) == 0.0
    assert _steps(0, 0, 9) == 0.0
    assert _steps(0, 0, 4, 8) == pytest.approx(8.0)
    assert _steps(0, 5, 10, width=2.0) == pytest.approx(10.0)
    assert _steps(0, 4, 8, width=2.0) == 0.0
    assert _steps(0, 5, 10, count=14) == 0.0
    assert _steps(0, 5, 10, count=15) == pytest.approx(10.0)
    # The wider of first and last counts: of quartiles 1.3 × 7.5 apart it is 6.09 from 3.75 to 9.75, and of 1.4 × 7.5
    # 6.56 to 10.5.
    first, second = [n / 2 for n in range(16)], [n + 0.5 for n in range(16)]

    def trend(width: float) -> float:
        parts = first, second, [width * n for n in range(16)]
        return _trend([text_block(c=part).columns["c"] for part in parts])

    assert (trend(1.3), trend(1.4)) == (0.0, pytest.approx(6.75))
    words = text_block(c=["a", "b"] * 10).columns["c"]
    assert _trend([words] * 3) == 0.0


def test_what_was_the_same_all_through_shows_its_order_when_it_changes() -> None:
    past = Ordering({"h": 0.4, "g": 0.5}, untold={"g": frozenset(["a"]), "gone": frozenset(["z"])})
    assert shown_by(text_block(g=["b"] * 20), past).values == {"h": 0.4, "g": 1.0}
    assert shown_by(text_block(g=["a"] * 20), past).values == {"h": 0.4, "g": 0.5}
    # κ = (14/19 − .5) / .5 = .474 is less than what the past shows, and 17/19 more.
    few = (["a"] * 4 + ["b"] * 4) * 2 + ["a"] * 2 + ["b"] * 2
    assert shown_by(text_block(g=few), past).values["g"] == pytest.approx(0.5)
    assert shown_by(text_block(g=["a"] * 10 + ["b"] * 10), past).values["g"] == pytest.approx(2 * 18 / 19 - 1)
    assert shown_by(text_block(h=["a"] * 20), past) == past


def test_a_new_group_is_asked_of_what_holds_something() -> None:
    ordering = Ordering({"g": 1.0, "x": 1.0}, few=frozenset(["g", "x"]))
    other = text_block(g=["z"] * 40, x=["a"] * 40)
    assert not is_new_group(other, ordering, [])
    assert is_new_group(other, ordering, [text_block(g=["a"] * 40), text_block(x=["a"] * 40)])
    assert not is_new_group(text_block(h=["z"] * 40), ordering, [text_block(g=["a"] * 40)])


def test_how_far_a_column_remembers() -> None:
    assert [reach(r) for r in (0.0, 0.5, 0.75, 0.995, 1.0)] == [1, 2, 4, 100, 100]
    assert reach(-1.0) == 1


def test_stretches_at_the_edge_of_being_strewn() -> None:
    def found(runs: Sequence[int], n: int, within: int = 1) -> int:
        """Runs of so many rows each, ten rows from the end of one to the next."""
        offending, place = np.zeros(n, bool), 0
        for length in runs:
            offending[place : place + length] = True
            place += length + 9
        return stretches(offending, within)

    # Of ten in a hundred .5 × 10 × .9 = 4.5 runs are enough to be strewn.
    assert found([2, 2, 2, 2, 2], 100) == 10
    assert found([3, 3, 2, 2], 100) == 4
    assert found([3, 3, 2, 2], 100, within=9) == 4
    assert found([3, 3, 2, 2], 100, within=10) == 1
    # Beside fewer than five others it cannot be told.
    few = np.array([True, False] * 4 + [True])
    assert (stretches(few, 1), stretches(np.array([*few, False]), 1)) == (5, 5)
    assert (stretches(few, 2), stretches(np.array([*few, False]), 2)) == (1, 5)
    assert stretches(np.zeros(0, bool), 1) == 0
    assert stretches(np.ones(10, bool), 1) == 1


def test_columns_that_a_dataset_is_said_to_have_and_lacks_are_told() -> None:
    block = text_block(a=["x"] * 3, t=["2026-01-01"] * 3)

    def told(key: tuple[str, ...], time: str | None, *before: Finding) -> list[tuple[str, tuple[str, ...], bool]]:
        found = absent_findings(block, ("a", "t"), key, time, before)
        return [(finding.kind, finding.columns, finding.is_alert) for finding in found]

    assert told(("a",), "t") == []
    assert told(("a", "id"), "at") == [("schema", ("id",), True), ("schema", ("at",), True)]
    assert told((), "a") == [("type", ("a",), False)], "it holds no times"
    assert told(("id",), None, Finding("rename", ("id", "a"), 1, 0.5, "")) == [], "that it is gone is told already"
