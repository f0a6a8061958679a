"""What a table suggests of itself and how batches lie beside each other, on values worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log

import numpy as np
import pyarrow as pa
import pytest
from text_blocks import suggested, text_block

from quality_assets.contracts.sources.datasets import Thresholds
from quality_assets.domain.quality.datasets import weights
from quality_assets.domain.quality.datasets.cell_tests import (
    NotAmong,
    OutsideRange,
    Ratio,
    TooManyDecimals,
    WrongType,
)
from quality_assets.domain.quality.datasets.dependencies import dependencies_within, is_measure
from quality_assets.domain.quality.datasets.drifting import (
    distribution_findings,
    freshness_finding,
    overdue,
    schema_findings,
    spike_findings,
    volume_finding,
)
from quality_assets.domain.quality.datasets.edits import SlipIndex, changed_part, is_slip
from quality_assets.domain.quality.datasets.identities import identities_within
from quality_assets.domain.quality.datasets.ordering import Ordering, is_new_group, ordering_of
from quality_assets.domain.quality.datasets.plugins import Offence, PluginCheck, finding_of, with_plugins
from quality_assets.domain.quality.datasets.profile import Profile
from quality_assets.domain.quality.datasets.table_findings import Finding
from quality_assets.domain.quality.datasets.table_score import Verdict
from quality_assets.domain.quality.datasets.tails import binomial_tail
from quality_assets.domain.quality.datasets.tally import Tally
from quality_assets.domain.quality.datasets.thresholds import Measured, failures, what_if
from quality_assets.domain.quality.datasets.values import Block, cells_of, exact_shape, form_of

MONDAY = 4 * 86_400.0  # 1970-01-05


def _range(values: Sequence[object], detector: str) -> tuple[float, float]:
    test = suggested(values)[detector][0]
    assert isinstance(test, OutsideRange)
    return test.low, test.high


def test_numbers_lie_outside_the_fences_of_the_quartiles_and_far_from_the_median() -> None:
    # Of 1 to 40 the quartiles are 10.75 and 30.25, the median 20.5, and half of all lie within 10 of it.
    plain = list(range(1, 41))
    assert _range(plain, "outlier") == (10.75 - 29.25, 30.25 + 29.25)
    reach = 6 * 1.4826 * 10
    assert _range(plain, "far_outlier") == pytest.approx((20.5 - reach, 20.5 + reach))
    # Powers of two: the upper half is much the wider, and distances are counted in doublings.
    powers = [2**k for k in range(10)] * 4
    doublings = 6 * 1.4826 * 2.5
    assert _range(powers, "far_outlier") == pytest.approx((2 ** (4.5 - doublings), 2 ** (4.5 + doublings)))
    assert "outlier" not in suggested(range(1, 20))
    # More than half the same: there is no distance to count in.
    assert set(suggested([7] * 25 + list(range(1, 16)))) >= {"type"}
    assert "far_outlier" not in suggested([7] * 25 + list(range(1, 16)))


@pytest.mark.parametrize(
    ("others", "weight"),
    [([3, 9], weights.STREWN), ([3, 3, 9], weights.STREWN), ([9, 10], weights.NEARLY_CONSTANT),
     ([3, 3, 3, 9], weights.NEARLY_CONSTANT)],
)  # fmt: skip
def test_a_constant_with_others_on_both_sides(others: list[int], weight: float) -> None:
    found, rows = suggested([*[5] * 60, *others])["constant"]
    assert (found.weight, rows) == (weight, list(range(60, 60 + len(others))))


def test_three_in_four_alike_are_a_constant_and_fewer_where_errors_are_strewn_about_it() -> None:
    assert set(suggested([5] * 36 + [1, 2, 8, 9])) == {"type", "constant"}
    assert suggested([5] * 28 + list(range(-6, 0)) + list(range(10, 16)))["constant"][0].weight == weights.STREWN
    # One that is no error where others are is asked what a column is asked besides.
    assert suggested([5] * 34 + [1] * 6)["constant"][0].weight == weights.NEARLY_CONSTANT
    assert set(suggested([5] * 34 + [6] * 4 + [-1] * 2)) >= {"constant", "rare_sign"}
    # 25 of 38 are .658, and of 39 .641.
    assert "constant" in suggested([5] * 25 + list(range(-6, 0)) + list(range(10, 17)))
    assert "constant" not in suggested([5] * 25 + list(range(-6, 0)) + list(range(10, 18)))
    assert "constant" in suggested([5] * 30 + [6] * 10)
    assert "constant" not in suggested([5] * 29 + [6] * 11)
    assert "constant" not in suggested([5] * 40)


def test_a_value_five_times_rarer_than_what_it_slips_from_is_a_typo() -> None:
    cities = ["Berlin"] * 30 + ["Bonn"] * 20 + ["Hamburg"] * 10
    assert suggested([*cities, "Berlni", "Hamburk", "Hamburk"])["typo"][1] == [60, 61, 62]
    # Ten of 63 are a category, whose slip is half as frequent at most; nine of 104 are none.
    assert suggested([*cities[:-1], "Hamburk", "Hamburk", "Berlni"])["typo"][1] == [59, 60, 61]
    more = [*cities[:-1], *["Rome"] * 42]
    assert suggested([*more, "Hamburk", "Hamburk", "Berlni"])["typo"][1] == [103]
    assert SlipIndex(["Rome"]).origins("Rme") == ["Rome"]
    assert SlipIndex([]).origins("Rome") == []
    assert changed_part("Berlni", "Berlin") == ("ni", "in")
    assert not is_slip("Berlliin", "Berlin")


def test_what_nearly_all_are_and_how_nearly_all_are_written() -> None:
    assert suggested(["EUR"] * 98 + ["USD"] * 2)["dominant"][1] == [98, 99]
    assert suggested(["EUR"] * 90 + ["USD"] * 10)["dominant"][1] == list(range(90, 100))
    assert "dominant" not in suggested(["EUR"] * 89 + ["USD"] * 11)
    assert "dominant" not in suggested(["EUR"] * 100)
    keys = [f"K{n:02}" for n in range(99)]
    assert suggested([*keys, "77"])["format"][1] == [99]
    # One digit instead of two is another form with lengths, and none without.
    found = suggested([*keys, "K7"])
    assert (found["format"][1], found["exact_shape"][1]) == ([], [99])
    assert (found["format"][0].weight, found["exact_shape"][0].weight) == (weights.RARE_FORMAT, weights.EXACT_SHAPE)
    assert suggested(["abc"] * 100 + ["abd"] * 99 + ["a#c"])["characters"][1] == [199]
    assert "characters" not in suggested(["abc"] * 100 + ["a-c"] * 2)


def test_more_decimals_than_all_but_ten_in_a_hundred() -> None:
    plain, longer = [f"{n}.5" for n in range(98)], [f"{n}.125" for n in range(11)]
    found, rows = suggested([*plain, *longer[:2]])["decimals"]
    assert isinstance(found, TooManyDecimals)
    assert (found.most, rows) == (1, [98, 99])
    assert suggested([*plain[:90], *longer[:10]])["decimals"][1] == list(range(90, 100))
    assert "decimals" not in suggested([*plain[:89], *longer])
    assert "decimals" not in suggested([*plain, "3.5000", "4.5"])


def _zips_and_cities(wrong: int) -> Block:
    """Five rows of each of ten zips, two zips to a city; one row of each of some zips says a city that none is in."""
    zips = [f"z{row // 5}" for row in range(50)]
    cities = [f"c{row // 10}" for row in range(50)]
    for n in range(wrong):
        cities[n * 5 % 50 + n // 10] = f"w{n}"
    return text_block(zip=zips, city=cities)


@pytest.mark.parametrize("wrong", [1, 5, 6, 7])
def test_what_no_value_says_is_doubted_though_it_is_often_so(wrong: int) -> None:
    block = _zips_and_cities(wrong)
    (found,) = dependencies_within(block)
    assert (found.columns, found.weight) == (("zip", "city"), weights.DEPENDENCY)
    assert np.flatnonzero(found.broken(block)).tolist() == [5 * n for n in range(wrong)]


def test_columns_that_cannot_decide_decide_nothing() -> None:
    assert is_measure(text_block(c=["1.5", "2", "3"]).columns["c"])
    assert not is_measure(text_block(c=["1", "2", "3"]).columns["c"])
    assert not is_measure(text_block(c=["a1.5", "b", "c"]).columns["c"])
    measured = [f"{row // 5}.5" for row in range(50)]
    cities = [f"c{row // 10}" for row in range(50)]
    assert [found.columns for found in dependencies_within(text_block(size=measured, city=cities))] == []
    assert list(dependencies_within(text_block(key=range(50), city=cities))) == []
    assert list(dependencies_within(text_block(same=["x"] * 50, city=cities))) == []


@pytest.mark.parametrize(
    ("broken", "times", "weight"),
    [
        (0, 2.5, weights.IDENTITY),
        (4, 2.5, weights.IDENTITY),
        # A discount or a fee is no error; what lies three times as far is, up to four in ten.
        (5, 2.5, 0.0),
        (5, 3.5, weights.IDENTITY),
        (5, 0.3, weights.IDENTITY),
        (5, -1, weights.IDENTITY),
        (16, 0, weights.IDENTITY),
        (17, 0, 0.0),
    ],
)
def test_a_column_that_is_the_product_of_two(broken: int, times: float, weight: float) -> None:
    count = range(2, 42)
    price = [n * 7 % 11 + 2 for n in count]
    total = [n * p * (times if n - 2 < broken else 1) for n, p in zip(count, price, strict=True)]
    block = text_block(count=count, price=price, total=total)
    (found,) = identities_within(block)
    assert (found.columns, found.operation, found.weight) == (("count", "price", "total"), "*", weight)
    assert np.flatnonzero(found.broken(block)).tolist() == list(range(broken))
    assert list(identities_within(text_block(count=count[:29], price=price[:29], total=total[:29]))) == []


def test_how_many_cells_are_no_wandering_on() -> None:
    cells = text_block(c=[f"v{n}" for n in range(10)]).columns["c"]
    among = NotAmong("closed_set", "n", ("c",), 0.9, frozenset(["a", "b"]))
    assert [among.counts_cells(count, cells) for count in (8, 9)] == [False, True]
    assert not among.counts_cells(10, cells, is_varied=False)
    assert WrongType("type", "t", ("c",), 0.9).counts_cells(1, cells)
    near = OutsideRange("range", "r", ("c",), 0.9, low=2, high=4)
    far = replace(near, is_far=True)
    assert (near.counts_cells(1, cells), far.counts_cells(1, cells)) == (False, True)
    assert not far.counts_cells(1, cells, is_varied=False)
    assert (near.widened().low, near.widened().high) == (1, 5)
    assert near.words == "lie outside 2 to 4"
    assert among.words == "are none of the 2 values that it has had"
    ratio = Ratio("ratio", "q", ("a", "b", "c"), 0.9, low=0.8, high=1.2)
    assert ratio.words == "divided by a × b lie outside 0.8 to 1.2, where the others lie"
    assert (Finding("volume", (), 1, 1.0, "").rule_id, near.rule_id) == ("volume", "r(c)")


# --- Beside the batches before ----------------------------------------------------------------------------------------


def _profiles(*rows: int, first_times: Sequence[float] = ()) -> list[Profile]:
    times = first_times or [None] * len(rows)
    return [Profile(str(n), of, ("a",), {}, first_time=time) for n, (of, time) in enumerate(zip(rows, times))]  # noqa: B905


def test_rows_are_many_or_few_beside_how_far_batches_differ() -> None:
    assert volume_finding(300, _profiles(50, 100, 200)) is None, "three times as many, where twice as many are usual"
    none = volume_finding(0, _profiles(50, 100, 200))
    assert none is not None
    assert (none.count, none.share, none.severity, none.p_value) == (100, 0.0, "high", 0.0)
    assert none.sentence == "It has 0 rows; 100 are usual"
    assert volume_finding(1, _profiles(1, 1, 1)) is None
    many = volume_finding(200, _profiles(100, 100, 100))
    assert many is not None
    assert (many.count, many.share, many.severity, many.is_alert) == (100, 2.0, "medium", True)
    assert volume_finding(200, _profiles(100, 100)) is None
    # e^0.43 = 1.54.
    assert volume_finding(153, _profiles(100, 100, 100)) is None
    assert volume_finding(154, _profiles(100, 100, 100)) is not None


def test_a_weekday_is_held_against_its_own() -> None:
    days = [MONDAY + 86_400 * n for n in range(15)]
    past = _profiles(*(10 if n % 7 == 0 else 100 for n in range(15)), first_times=days)
    assert volume_finding(10, past, weekday=0) is None
    assert volume_finding(100, past, weekday=0) is not None
    assert volume_finding(100, past) is None
    assert volume_finding(100, past[:14], weekday=0) is None, "of two Mondays nothing is known"


def test_how_late_a_batch_is_told() -> None:
    late = freshness_finding(3600.0 * 10_000, [0.0], 24)
    assert late is not None
    assert (late.count, late.share, late.p_value) == (10_000, pytest.approx(10_000 / 36), 0.0)
    assert late.sentence == "It ends 10,000 hours after the batch before it; every 24 hours one is due"
    assert freshness_finding(3600.0 * 36, [0.0], 24) is None
    assert freshness_finding(None, [0.0], 24) is None
    assert freshness_finding(3600.0, [], 24) is None
    told = freshness_finding(3600.0 * 100, [0.0, 3600.0, 7200.0, 3 * 7200.0])
    assert told is not None
    # Four hours were the most, and six are let pass.
    assert (told.count, told.share) == (94, pytest.approx(94 / 6))


def test_how_long_one_waits_for_a_batch() -> None:
    hourly = [3600.0 * n for n in range(6)]
    assert overdue(hourly, 1.5 * 3600) is None
    assert overdue(hourly, 1.6 * 3600) == (1.5, "1.0 hours were the most so far")
    assert overdue(hourly[:5], 9 * 3600) is None, "four gaps are no cadence"
    assert overdue(hourly[:1], 2 * 3600, 1.0) == (1.5, "every 1 hours one is due")
    # What comes within five minutes is one delivery.
    assert overdue([*hourly, hourly[-1] + 299], 1.6 * 3600) is not None
    assert overdue([n * 299.0 for n in range(9)], 9 * 3600) is None
    quick = [600.0 * n for n in range(9)]
    assert overdue(quick, 3600) is None
    assert overdue(quick, 3601) == (1.0, "0.2 hours were the most so far")


def test_a_column_of_numbers_or_words_goes_on_under_another_name() -> None:
    past = [Profile("1", 40, ("n", "code", "old_name"), {})]
    before = text_block(n=range(40), code=[f"A-{n}" for n in range(40)], old_name=["x", "y"] * 20)
    now = text_block(m=[n + 8 for n in range(40)], key=[f"B-{n}" for n in range(40)], OldName=["q", "q", "q", "x"] * 10)
    found = schema_findings(("m", "key", "OldName"), now, past, [before])
    # Likest first: names of one letter each, under nearly the same name (.9 + .05); codes of the same forms (.9);
    # numbers of which eight in forty are others (.8).
    assert [(f.kind, f.columns, f.count, f.share) for f in found] == [
        ("rename", ("old_name", "OldName"), 1, 1 / 3),
        ("rename", ("code", "key"), 1, 1 / 3),
        ("rename", ("n", "m"), 1, 1 / 3),
    ]
    gone = schema_findings(("n", "new"), text_block(n=range(40), new=range(500, 540)), past, [before])
    assert [(f.kind, f.columns, f.count, f.share, f.detector, f.severity, f.is_alert) for f in gone] == [
        ("schema", ("code",), 1, 1 / 3, "lost_column", "high", True),
        ("schema", ("old_name",), 1, 1 / 3, "lost_column", "high", True),
        ("schema", ("new",), 1, 1 / 2, "new_column", "low", False),
    ]
    assert schema_findings(("n",), before, [], [before]) == []


def _strewn(low: int, count: int = 100) -> list[int]:
    """So many numbers from `low` on, in no order."""
    return [low + 37 * row % count for row in range(count)]


def test_values_that_have_moved_are_told_with_how_far() -> None:
    past = [text_block(v=_strewn(0), w=["a", "b"] * 50) for _ in range(3)]
    now = text_block(v=_strewn(50), w=["a"] * 10 + ["b"] * 90)
    moved, shifted = distribution_findings(now, past, Ordering())
    assert (moved.columns, moved.count, moved.share, moved.expected_share) == (("v",), 50, pytest.approx(0.5), 0.0)
    assert moved.sentence == "Values of v have moved by 0.50; 0.00 was the most so far"
    assert (moved.is_alert, moved.p_value) == (True, 0.0)
    # Of a tenth and nine tenths, where half and half were, four tenths have moved.
    assert (shifted.columns, shifted.count, shifted.share) == (("w",), 40, pytest.approx(0.4))
    again = distribution_findings(now, past, Ordering(), is_new_group=True)
    assert [(f.is_alert, f.p_value) for f in again] == [(False, None)] * 2
    # Three tenths of a hundred rows are chance: 2.5 √(2 / 100) = .354.
    assert list(distribution_findings(text_block(v=_strewn(30), w=["a"] * 20 + ["b"] * 80), past, Ordering())) == []
    assert list(distribution_findings(now, past[:2], Ordering())) == []
    few = text_block(v=_strewn(50, 49), w=["a"] * 49)
    assert list(distribution_findings(few, past, Ordering())) == []
    # Neighbours that are alike make fewer rows of many: at .5 a third of them, and .61 would be needed.
    assert list(distribution_findings(text_block(v=_strewn(50)), past, Ordering({"v": 0.5}))) == []


def test_a_spike_is_one_that_was_not_there_before() -> None:
    now = {"v": (100.0, 0.1, 10)}
    (first,) = spike_findings(now, 100, [], Ordering())
    assert (first.weight, first.expected_share, first.p_value, first.examples) == (0.0, None, None, ("100",))
    # Whether or not it stood at an end there.
    past = [text_block(v=[*range(50, 150 - count), *[100] * (count - 1)]) for count in (2, 4)]
    (told,) = spike_findings(now, 100, past, Ordering())
    assert (told.count, told.share, told.weight, told.expected_share) == (10, 0.1, 0.5, pytest.approx(4 / 99))
    assert told.p_value == pytest.approx(binomial_tail(10, 100, 4 / 99))
    (ordered,) = spike_findings(now, 100, past, Ordering({"v": 0.9}))
    assert ordered.p_value is None
    (elsewhere,) = spike_findings(now, 100, [text_block(w=range(50))], Ordering())
    assert (elsewhere.weight, elsewhere.expected_share) == (0.5, None)
    # 1.5 × .06 + .02 = .11.
    assert list(spike_findings(now, 100, [text_block(v=[*range(94), *[100] * 6])], Ordering())) == []
    (hushed,) = spike_findings(now, 100, [], Ordering(), keeps_examples=False)
    assert hushed.examples == ()
    assert "10 values of v (10 %) are one and the same, an end of its range" in hushed.sentence


def test_order_is_told_of_two_batches_of_fifteen_rows() -> None:
    def batches(rows: int) -> list[Block]:
        return [text_block(t=[100 * n + row for row in range(rows)]) for n in range(2)]

    assert ordering_of(batches(15)).values == {"t": pytest.approx(1.0)}
    assert ordering_of(batches(14)) == Ordering()
    assert ordering_of(batches(15)[:1]) == Ordering()


@pytest.mark.parametrize(
    ("was", "now"),
    [("2026-W10", "2026-W11"), ("2026-Q1", "2026-Q2"), ("2026-03", "2026-04"), ("2026-03-02", "2026-03-09"),
     ("KW 10/2026", "KW 11/2026")],
)  # fmt: skip
def test_a_week_or_month_that_several_batches_have_names_them_and_is_no_group(was: str, now: str) -> None:
    past = [text_block(week=[was] * 20, x=[*"ab"] * 10) for _ in range(5)]
    named = ordering_of(past)
    assert named.labels == {"week"}
    assert not is_new_group(text_block(week=[now] * 20, x=[*"ab"] * 10), named, past)
    mixed = [text_block(week=[was] * 10 + [now] * 10, x=[*"ab"] * 10) for _ in range(5)]
    assert ordering_of(mixed).labels == frozenset(), "in a batch of two they name none"


@pytest.mark.parametrize("value", ["north", "7", "2026", "A-10"])
def test_what_is_no_part_of_a_year_and_the_same_in_all_batches_names_none(value: str) -> None:
    past = [text_block(group=[value] * 20, x=[*"ab"] * 10) for _ in range(5)]
    assert ordering_of(past).labels == frozenset()


def test_a_column_that_is_another_all_through_each_batch_names_it_and_is_no_group() -> None:
    def batches(*months: str) -> list[Block]:
        return [text_block(month=[month] * 20, x=[*"ab"] * 10) for month in months]

    named = ordering_of(batches("01", "02", "03"))
    assert (named.labels, named.is_wandering) == ({"month"}, False)
    (now,) = batches("04")
    assert not is_new_group(now, named, batches("01", "02", "03"))
    # Of two batches it is not known yet, and what came twice is a group.
    for months in (("01", "02"), ("01", "02", "01")):
        grouped = ordering_of(batches(*months))
        assert (grouped.labels, grouped.is_wandering) == (frozenset(), True)
        assert is_new_group(now, grouped, batches(*months))


def test_a_column_that_held_the_same_values_in_each_batch_goes_on_to_no_others() -> None:
    def batch(*sites: str) -> Block:
        return text_block(site=[site for site in sites for _ in range(10)] * 2)

    settled = ordering_of([batch("north", "south")] * 3)
    assert (settled.settled, settled.is_wandering) == ({"site"}, False)
    assert settled.values["site"] > 0.5
    other = batch("east", "west")
    assert not is_new_group(other, settled, [batch("north", "south")] * 3)
    # Ten rows in one stretch hold what was never there: of a column that goes on they are one event.
    test = NotAmong("closed_set", "past_closed_set", ("site",), 0.99, frozenset(["north", "south"]))
    now = text_block(site=["north"] * 10 + ["Zzyzx"] * 10 + ["south"] * 20)
    for ordering, events in ((settled, 10), (replace(settled, settled=frozenset()), 1)):
        tally = Tally([test], ordering)
        tally.add(now)
        assert (tally.broken[0], tally.events[0]) == (10, events)
    # Two batches are too few to tell, and what some of them lack may come and go.
    assert ordering_of([batch("north", "south")] * 2).settled == frozenset()
    assert ordering_of([batch("north", "south"), batch("north"), batch("north", "south")]).settled == frozenset()


def test_a_group_in_other_capitals_is_no_new_one() -> None:
    ordering, past = Ordering({"g": 1.0}, few=frozenset(["g"])), [text_block(g=["north"] * 40)]
    assert not is_new_group(text_block(g=["NORTH"] * 40), ordering, past)
    assert is_new_group(text_block(g=["south"] * 40), ordering, past)


def test_a_group_is_new_that_the_last_five_batches_hardly_held() -> None:
    ordering = Ordering({"g": 1.0}, few=frozenset(["g"]))
    plain, other = text_block(g=["a"] * 40), text_block(g=["z"] * 40)
    assert is_new_group(other, ordering, [other, *[plain] * 5])
    assert not is_new_group(other, ordering, [other, *[plain] * 4])
    assert not is_new_group(other, Ordering({"g": 1.0}), [plain] * 5)
    assert not is_new_group(text_block(g=["z", "a"] * 20), ordering, [plain] * 5), "half are of the group before"
    assert is_new_group(text_block(g=["z", "z", "a"] * 20), ordering, [plain] * 5)
    # Four of two hundred rows are hardly any, five are some.
    assert is_new_group(other, ordering, [*[plain] * 4, text_block(g=["a"] * 36 + ["z"] * 4)])
    assert not is_new_group(other, ordering, [*[plain] * 4, text_block(g=["a"] * 35 + ["z"] * 5)])


# --- What it comes to -------------------------------------------------------------------------------------------------


def test_chances_at_their_ends() -> None:
    assert binomial_tail(3, 4, 0.25) == pytest.approx(4 * 0.25**3 * 0.75 + 0.25**4)
    assert (binomial_tail(2, 3, 1.0), binomial_tail(0, 3, 0.5)) == (1.0, 1.0)
    assert (binomial_tail(1, 3, 0.0), binomial_tail(4, 3, 0.5)) == (0.0, 0.0)


def test_beyond_a_few_cells_more_count_for_a_trifle() -> None:
    assert weights.few(1, 100, 0.02) == 1
    assert weights.few(10, 100, 0.02) == pytest.approx(2 * (1 + 0.15 * log(5)))
    assert weights.few(0, 100, 0.02) == weights.few(0, 0, 0.02) == 0
    # Of what several columns show the largest counts whole, the others a fifth.
    assert (weights.of_habits([1, 4, 2]), weights.of_habits([])) == (pytest.approx(4 + 0.2 * 3), 0.0)
    assert weights.missing_doubt(0.02) == pytest.approx(0.15 * 0.02)
    assert weights.missing_doubt(0.5) == pytest.approx(0.15 * 0.03 + 0.01 * 0.47)


def test_the_thresholds_that_a_batch_fails() -> None:
    measured = Measured(0.75, 2, 99, {"a": 0.1, "b": 0.05})
    strict = Thresholds(score=0.8, alerts=1, missing_share=0.05, rows_at_least=100)
    assert list(failures(measured, strict)) == [
        "its score is 0.7500, below 0.8",
        "it raised 2 alerts; 1 is let pass",
        "it has 99 rows; 100 are the least",
        "10 % of a are missing; 5 % are let pass",
    ]
    assert list(failures(measured, Thresholds(score=0.75, alerts=2, missing_share=0.1, rows_at_least=99))) == []
    assert list(failures(measured, Thresholds(score=None, alerts=None))) == []
    assert list(failures(replace(measured, score=None), Thresholds(alerts=None))) == []
    batch = {"batch_id": "1", "name": "a.csv"}
    told = what_if([(batch, measured), (batch, replace(measured, score=0.9))], Thresholds(alerts=None))
    assert (told["batches"], told["would_fail"], told["sentence"]) == (2, 1, "They fail 1 of the last 2 batches.")
    assert what_if([(batch, measured)], strict)["sentence"] == "They fail 1 of the last batch."
    assert what_if([], strict)["sentence"] == "They fail no batch: none was judged yet."


def test_what_checks_of_ones_own_find_counts_once_beside_what_was_found() -> None:
    asked = PluginCheck("prices", sql="from {batch}", at_most=0.05, sentence="prices are above zero")
    assert finding_of(asked, ("a",), 100, Offence(0)) is None
    assert finding_of(asked, ("a",), 100, Offence(5)) is None
    found = finding_of(asked, ("a",), 100, Offence(6, ("-1",)))
    assert found is not None
    assert (found.count, found.share, found.doubt, found.expected_share, found.is_alert) == (6, 0.06, 6.0, 0.05, True)
    assert found.sentence == "6 of 100 rows offend against prices of a: prices are above zero, such as -1"
    whole = finding_of(asked, (), 100, Offence(None))
    assert whole is not None
    assert (whole.count, whole.share, whole.doubt, whole.sentence) == (1, 0.0, 0.0, "prices: prices are above zero")

    before = Finding("type", ("a",), 3, 0.03, "", doubt=3.0)
    verdict = Verdict(0.9, {"validity": 0.8, "volume": None}, (before,))
    # Three of the six are doubted already; then all of them are. Of 200 cells three more are .015.
    once, twice = (
        with_plugins(verdict, found_here, 100, 2) for found_here in ([found], [found, replace(found, doubt=5.0)])
    )
    assert (once.score, twice.score) == (pytest.approx(0.885), pytest.approx(0.885))
    assert once.dimensions == {"validity": pytest.approx(0.785), "volume": None}
    assert [f.doubt for f in twice.findings if f.kind == "custom"] == [3.0, 0.0]
    # Of the table as a whole no more can be doubted than its rows.
    all_rows = with_plugins(verdict, [replace(found, columns=(), doubt=500.0)], 100, 2)
    assert all_rows.score == pytest.approx(0.4)
    assert with_plugins(replace(verdict, score=None), [found], 100, 2).score is None
    assert with_plugins(verdict, [], 100, 2) is verdict


# --- How values are read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (pa.array(["b", "a", "b"]).dictionary_encode(), ["b", "a", "b"]),
        (pa.array([3.0, 2.5, float("nan")]), ["3", "2.5", None]),
        (pa.array([1, None, 3]), ["1", None, "3"]),
        (pa.array([b"\x0f", None], pa.binary()), ["0f", None]),
        (pa.array([0], pa.timestamp("s")), ["1970-01-01T00:00:00"]),
        (pa.array([[1, 2]]), ["[1, 2]"]),
        (pa.array(["  x ", "", "n/a"]), ["x", None, None]),
    ],
)
def test_columns_of_all_types_are_read_as_people_write_them(column: pa.Array, texts: list[str | None]) -> None:
    cells = cells_of(column)
    assert [cells.uniques[code] if code >= 0 else None for code in cells.codes] == texts
    assert cells.filled == sum(text is not None for text in texts)


def test_words_among_numbers_that_measure_something_are_what_is_filled_in() -> None:
    def kind(told: Sequence[str], counts: Sequence[int]) -> str:
        return form_of(told, np.array(counts)).kind

    assert kind(["-1", "2", "3", "x"], [10, 10, 10, 30]) == "number"
    assert kind(["1", "2", "3", "x"], [10, 10, 10, 30]) == "text"
    assert kind(["1.5", "2", "3", "x"], [10, 10, 10, 30]) == "number"
    # Up to four different words are fillings, of which half and more may be; five are not.
    assert kind(["-1", "2", "3", *"stuv"], [10, 10, 10, 7, 7, 7, 7]) == "number"
    assert kind(["-1", "2", "3", *"stuvw"], [10, 10, 10, 6, 6, 6, 6, 6]) == "text"
    assert exact_shape("a\tB\n7\r") == "a A 9 "
