"""What stands out beside others: rows between their neighbours, ends before beginnings, gaps, heaps, odd encodings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from text_blocks import suggested, text_block

from quality_assets.domain.quality.datasets import examine, weights
from quality_assets.domain.quality.datasets.apart import beyond_few, filled_in
from quality_assets.domain.quality.datasets.beside import alone_within, as_rough_as_any, orders_within
from quality_assets.domain.quality.datasets.cell_tests import Heaped
from quality_assets.domain.quality.datasets.neighbour_tests import (
    Alone,
    apart_from_both,
    interrupting,
    usually_apart,
)
from quality_assets.domain.quality.datasets.rules import learn


def test_a_row_interrupts_where_both_neighbours_share_another_value() -> None:
    codes = np.array([0, 0, 1, 0, 0, 1, 1, -1, 1, 0, -1, 0])
    assert np.flatnonzero(interrupting(codes)).tolist() == [2]
    assert not interrupting(np.array([0])).any()


def test_how_far_a_number_lies_from_both_neighbours() -> None:
    apart = apart_from_both(np.array([1.0, 2.0, 9.0, 4.0, 3.0, 3.5, np.nan, 1.0]))
    assert np.isnan(apart[[0, 5, 6, 7]]).all()
    assert apart[1:5].tolist() == [0.0, 5.0, 0.0, 0.5]
    assert np.isnan(apart_from_both(np.array([1.0, 2.0]))).all()


def test_what_stands_alone_between_equal_texts() -> None:
    groups = [f"g{n // 10}" for n in range(60)]
    one = [*groups[:15], "g5", *groups[16:]]
    test, rows = suggested(one)["alone"]
    assert (test.kind, test.weight, rows) == ("outlier", weights.ALONE, [15])
    assert "alone" not in suggested([f"g{n % 6}" for n in range(60)]), "neighbours that differ"


def test_beside_what_is_missing_nothing_stands_alone() -> None:
    # One in eight rows with neighbours interrupts them, which are no stretches then; so many as without a gap.
    gaps: list[str | None] = [*"aaaabaaaaa", None] * 6
    assert "alone" not in suggested(gaps)
    # One in nine.
    assert suggested([*"aaaabaaaaaa", None] * 6)["alone"][1] == list(range(4, 72, 12))


def test_what_stands_alone_in_a_series() -> None:
    series: list[object] = list(range(100, 160))
    series[30] = 0
    # The quartiles are nearly 30 apart, and a quarter of that is the least; 0 lies 129 from both neighbours.
    assert suggested(series)["alone"][1] == [30]
    series[30] = 134
    assert suggested(series)["alone"][1] == [], "4 from one neighbour, and 3 from the other"
    assert "alone" not in suggested([n * 37 % 60 for n in range(60)]), "a step of 37 is no series"


def test_an_end_is_not_below_its_beginning() -> None:
    start = [n * 37 % 100 for n in range(100)]
    block = text_block(start=start, end=[n + 1 + n % 7 for n in start], late=[n + 200 for n in start])
    (order,) = orders_within(block, 0.9, "past_order")
    assert (order.columns, order.kind, order.weight) == (("start", "end"), "identity", 0.9), "late is never near"
    assert order.words == "are below start, and no others are"
    ends = [n + 1 for n in start]
    ends[7], ends[8] = start[7] - 1, start[8]
    assert np.flatnonzero(order.broken(text_block(start=start, end=ends))).tolist() == [7]
    # Two in a hundred are too many for a rule.
    ends[9] = start[9] - 1
    assert list(orders_within(text_block(start=start, end=ends), 0.9, "past_order")) == []


def test_many_ends_before_their_beginnings_show_where_they_lie_far_before_them() -> None:
    start = [n * 37 % 100 for n in range(100)]

    def found(by: int, many: int = 25) -> list[tuple[str, ...]]:
        # Of 75 and more that end 1 to 7 later, nine in ten do so 7 later at most: three times as far is 21.
        ends = [n - by if row < many else n + 1 + row % 7 for row, n in enumerate(start)]
        return [
            test.columns for test in orders_within(text_block(start=start, end=ends), 0.8, "order", least_if_wild=0.6)
        ]

    assert found(21) == [("start", "end")]
    assert found(20) == [], "as far before as after it: the columns have no order"
    assert found(21, many=40) == [("start", "end")]
    assert found(21, many=41) == []


@pytest.mark.parametrize(
    ("odd", "rows"),
    [
        ([250, 300], [100, 101]),
        ([-80, 250], [100, 101]),
        ([140, 300], [101]),
        # Of a group of three that say the same nothing is told, unless it is 0 or very far.
        ([250, 250, 250], None),
        ([-999, -999, -999], [100, 101, 102]),
    ],
)
def test_numbers_beyond_a_gap_half_as_wide_as_all_others(odd: list[int], rows: list[int] | None) -> None:
    found = suggested([*range(20, 120), *odd]).get("beyond_gap")
    assert (found and found[1]) == rows
    assert found is None or found[0].weight == weights.BEYOND_GAP


def test_many_beyond_a_gap_are_told_where_it_is_three_times_as_wide() -> None:
    many = [*range(100), *range(500, 530)]
    assert suggested(many)["beyond_gap"][1] == list(range(100, 130))
    assert "beyond_gap" not in suggested([*range(100), *range(250, 280)])


def test_many_strewn_on_both_sides_leave_few_sizes_in_the_middle_and_are_told() -> None:
    # Two to four are the middle four in ten of 130; between the gaps lie five sizes, 4 wide, and both gaps are 3.
    five = [1, 2, 3, 4, 5] * 20
    assert suggested([*five, *range(-16, -1), *range(8, 23)])["beyond_gap"][1] == list(range(100, 130))
    # Those between come 20 times each, and are twice as often as any beyond, or one beyond is a value as they are.
    again = [*five, *range(-16, -12), *range(8, 23)]
    assert suggested([*again, *[-4] * 10])["beyond_gap"][1] == list(range(100, 129))
    assert "beyond_gap" not in suggested([*again, *[-4] * 11])
    # Beyond lie three in ten in all.
    assert suggested([*five, *range(-22, -1), *range(8, 29)])["beyond_gap"][1] == list(range(100, 142))
    assert "beyond_gap" not in suggested([*five, *range(-23, -1), *range(8, 29)])
    assert "beyond_gap" not in suggested([*five, *range(8, 23), *range(30, 45)]), "on one side"
    # A step of one is no gap, where most are 2 and 3: the gaps are those of 3 beside 1 to 5.
    most = [1] * 11 + [2] * 32 + [3] * 56 + [4] * 12 + [5] * 2
    odd = [-6, -5, -4, -3, -2] * 3 + [8, 9, 10, 11] * 5
    assert suggested([*most, *odd])["beyond_gap"][1] == list(range(113, 148))


def test_what_is_filled_in_on_both_sides_of_numbers_that_stand_there_once_is_told() -> None:
    assert suggested([*range(100, 180), *[10] * 10, *[400] * 10])["beyond_gap"][1] == list(range(80, 100))
    assert "beyond_gap" not in suggested([*range(100, 180), *[400] * 10]), "on one side"
    # Where each stands there twice, these may be groups.
    assert "beyond_gap" not in suggested([*range(100, 140), *range(100, 140), *[60] * 10, *[250] * 10])


def test_numbers_of_nines_apart_from_all_others_are_filled_in() -> None:
    ids = list(range(1, 71))
    odd = [-999, 9999, 999_999, -1] * 7
    assert suggested([*ids, *odd])["beyond_gap"][1] == list(range(70, 98))
    assert suggested([*ids, *odd[:6]])["beyond_gap"][1] == list(range(70, 76))
    assert filled_in(np.array([*ids, *[999.0] * 30])) == (1, 70)
    assert filled_in(np.array([*ids, *[999.0] * 31])) is None, "more than three in ten"
    # A quarter of the 799 from first to last is 199.75, and of 800 it is 200.
    assert filled_in(np.array([0.0, 200, 400, 600, 799, 999])) == (0, 799)
    assert filled_in(np.array([0.0, 200, 400, 600, 800, 999])) is None
    assert filled_in(np.array([1.0, 2, 3, 4, 5, -999])) == (1, 5)
    assert filled_in(np.array([1.0, 2, 3, 4, 5, -1])) is None, "alone it may be one of them"
    assert filled_in(np.array([-5.0, 2, 3, 4, 5, -1, 9999] * 2)) == (-5, 5)
    assert filled_in(np.array([1.0, 2, 3, 4, 999] * 2)) is None, "four sizes are too few"
    assert filled_in(np.array([1.0, 2, 3, 4, 5, 99] * 2)) is None, "two nines are a number as any other"


def test_many_that_lie_as_close_as_what_is_between_the_gaps_are_a_place() -> None:
    # Between are 60 in 59, a little more than one in each; beyond are 15 in 14 x .9, and a few below.
    between, below = list(range(100, 160)), [0, 1, 3, 4]
    dense, loose = [[round(300 + step * n, 3) for n in range(15)] for step in (0.9, 1.2)]
    assert "beyond_gap" not in suggested([*between, *below, *dense])
    assert suggested([*between, *below, *loose])["beyond_gap"][1] == list(range(60, 79))
    # A few that come again and again are filled in: three in 20, fewer than one in each of those between.
    assert suggested([*between, *below, *[300, 310, 320] * 5])["beyond_gap"][1] == list(range(60, 79))
    # Of a tenth in all, that they lie close is chance.
    assert suggested([*between, *below, *dense[:7]])["beyond_gap"][1] == list(range(60, 71))


def test_between_gaps_on_both_sides_numbers_are_not_skewed() -> None:
    # The middle is 103.5; three in ten lie below 100.54, and three in ten above 123.
    core = [round(100 + 0.03 * n, 2) for n in range(35)] + list(range(101, 136))
    above = list(range(200, 236, 2))
    assert suggested([*core, *range(20, 44, 2), *above])["beyond_gap"][1] == list(range(70, 100))
    assert "beyond_gap" not in suggested([*core, *range(76, 100, 2), *above]), "none below"


def test_skewed_numbers_have_a_gap_where_one_is_four_times_the_next() -> None:
    sizes = [round(1.1**n, 3) for n in range(60)]
    assert "beyond_gap" not in suggested([*sizes, sizes[-1] * 2])
    assert suggested([*sizes, sizes[-1] * 4])["beyond_gap"][1] == [60]


def test_numbers_strewn_far_beyond_a_few_values_that_most_have() -> None:
    # Three in five are 0 or 1; those beyond lie 2 from them in the middle, which is more than one and a half.
    few = [0] * 40 + [1] * 20
    assert suggested([*few, *[-2, 3] * 10])["beyond_gap"][1] == list(range(60, 80))

    def ends(others: Sequence[int]) -> tuple[float, float] | None:
        return beyond_few(np.array([*few, *others], float))

    assert ends([-2, 3] * 10) == (0, 1)
    assert ends([-1, 2] * 10) is None, "1 from them"
    assert ends([-2, 2] * 10) is None, "1 from them on one side"
    assert ends(range(3, 23)) is None, "on one side alone"
    assert ends([1000] * 13) == (0, 1), "beyond an endless gap"
    assert ends([1000] * 14) is None, "1 is not one and a half times as frequent"
    assert ends([*range(3, 23), *range(-22, -2)]) == (0, 1), "three in five"
    assert ends([*range(3, 24), *range(-22, -2)]) is None, "fewer"
    # The others may lie between them: they are no more than beside them.
    assert beyond_few(np.array([0] * 40 + [2] * 20 + [1] * 9)) is None


def test_of_two_sizes_those_below_zero_lost_their_sign() -> None:
    lost = suggested([1, 2] * 35 + [-1, -2] * 15)["rare_sign"]
    assert (lost[0].weight, lost[1]) == (weights.TURNED_SIGN, list(range(70, 100)))
    assert "rare_sign" not in suggested([1] * 70 + [-1] * 30), "of one size it is a direction"
    assert suggested([0] * 60 + [1] * 90 + [-1] * 50)["rare_sign"][1] == list(range(150, 200)), "beside 0 it is none"


def test_of_sizes_that_stand_above_as_well_chance_may_part_those_below_farther() -> None:
    # Up to 2 lie 3 of 15 and 20 of 40: .3 apart.
    above = [0] * 45 + [1, 2, 3, 4] * 10
    below = [-1, *[-2] * 2, *[-3] * 4, *[-4] * 8]
    assert suggested([*above, *below])["rare_sign"][1] == list(range(85, 100))
    # Up to 2 lie none of 15: .5 apart.
    assert "rare_sign" not in suggested([*above, *[-3] * 7, *[-4] * 8])
    # Of 1.5 and 2.5 none is above.
    assert "rare_sign" not in suggested([*above, -1.5, -1.5, *[-2.5] * 5, *[-3.5] * 8])


def test_no_measure_leaps_over_zero() -> None:
    # Those below are the smaller third: by their sizes alone they are no mirror.
    lost = suggested([*range(60, 160), *range(-90, -60)])["rare_sign"]
    assert (lost[0].weight, lost[1]) == (weights.TURNED_SIGN, list(range(100, 130)))
    # 40 is less than half of what the others are wide.
    assert "rare_sign" not in suggested([*range(40, 140), *range(-70, -40)])


def test_a_few_numbers_below_zero_are_doubted() -> None:
    test, rows = suggested([*range(11, 101), *range(-10, 0)])["rare_sign"]
    assert (test.weight, rows) == (weights.RARE_SIGN, list(range(90, 100)))
    assert "rare_sign" not in suggested([*range(12, 101), *range(-11, 0)])


def test_values_that_hardly_stand_there_beside_a_few_that_all_do() -> None:
    values = ["left"] * 50 + ["right"] * 45 + ["qqq"] * 3 + ["zzz"] * 2
    test, rows = suggested(values)["rare_value"]
    assert (test.weight, rows) == (weights.RARE_VALUE, [95, 96, 97, 98, 99])
    assert "rare_value" not in suggested(["left"] * 50 + ["right"] * 38 + ["qqq"] * 12), "more than one in twenty"
    assert "rare_value" not in suggested(["left"] * 95 + ["qqq"] * 5), "beside one value it is the dominant one"


def test_letters_that_were_read_in_another_encoding() -> None:
    names = ["MÃ¼ller", "CafÃ©", "itâ€™s", "lost\ufffd", "Müller", "São Paulo", "MAÇÃ", "naïve"]
    test, rows = suggested([*names, *[f"name {n}" for n in range(20)]])["encoding"]
    assert (test.weight, rows) == (weights.BROKEN_ENCODING, [0, 1, 2, 3])
    assert test.words == "were written in one encoding and read in another"


def test_one_number_that_comes_far_oftener_than_any_did() -> None:
    rules = {
        rule.detector: rule for rule in learn([text_block(c=[n + 0.5 for n in range(100)]), text_block(c=range(100))])
    }
    heaped = rules["past_heaped"]
    assert isinstance(heaped, Heaped)
    assert (heaped.kind, heaped.most) == ("spike", 0.01)
    # Of a hundred cells one is usual: 1 + 2 × √1 + 1 are not far more, and five are.
    block = text_block(c=[0] * 5 + [7] * 4 + list(range(20, 111)))
    assert np.flatnonzero(heaped.broken(block)).tolist() == [0, 1, 2, 3, 4]
    often = text_block(c=[0] * 6 + list(range(94)))
    assert "past_heaped" not in {rule.detector for rule in learn([often, often])}


def test_alone_needs_thirty_rows_between_others() -> None:
    assert list(alone_within("c", text_block(c=range(31)).columns["c"], 0.9, "alone")) == []
    assert len(list(alone_within("c", text_block(c=range(32)).columns["c"], 0.9, "alone"))) == 1


def _steps(height: int) -> list[object]:
    """Sixty numbers that rise by ones, where every other lies so much higher."""
    return [n + height * (n % 2) for n in range(60)]


def test_what_is_alone_lies_farther_off_where_all_rows_lie_farther_apart() -> None:
    test = Alone("outlier", "past_alone", ("c",), 0.9, farthest=6.0, usual=1.0)
    # Each number lies as far above, or below, both neighbours as the next.
    calm, rough = (text_block(c=[0, height] * 30).columns["c"] for height in (1, 2))
    assert (usually_apart(calm.numbers), usually_apart(rough.numbers)) == (1.0, 2.0)
    assert test.as_rough_as(calm) == test
    assert test.as_rough_as(rough).farthest == 12.0
    # A third of the rows may be errors, and move nothing; where nothing is usual nothing is rougher.
    wrong = text_block(c=[n + (500 if n % 6 == 0 else 0) for n in range(60)]).columns["c"]
    assert test.as_rough_as(wrong) == test
    never = Alone("outlier", "past_alone", ("c",), 0.9, farthest=6.0)
    assert never.as_rough_as(rough) == never
    assert usually_apart(np.array([1.0, np.nan, 2.0])) == 0.0


def test_a_series_is_as_rough_as_the_roughest_of_its_batches() -> None:
    past = [text_block(c=_steps(height)).columns["c"] for height in (3, 4)]
    # Each lies 2 above, or below, the nearer of both neighbours, and 3: six times as far is alone.
    tests = [test for cells in past for test in alone_within("c", cells, 0.9, "past_alone")]
    assert tests == [
        Alone("outlier", "past_alone", ("c",), 0.9, farthest, usual) for farthest, usual in ((12, 2), (18, 3))
    ]
    assert as_rough_as_any(tests[0], past).farthest == 18
    assert as_rough_as_any(tests[1], past) == tests[1]
    assert as_rough_as_any(tests[0], [text_block(c=["x"] * 60).columns["c"]]) == tests[0]


def test_a_batch_that_is_rough_all_over_has_no_rows_alone() -> None:
    generator = np.random.default_rng(1)

    def series(scale: float) -> list[object]:
        return np.cumsum(generator.normal(0, scale, 300)).round(3).tolist()

    def flagged(values: list[object]) -> int:
        block = text_block(c=values)
        made = examine.plan(block, past, examine.Asked())
        return sum(int(t.broken(block).sum()) for t in made.tests if t.detector == "past_alone")

    past = examine.Past((), [text_block(c=series(1)) for _ in range(4)])
    assert [rule.detector for rule in past.rules.alive if rule.detector == "past_alone"] == ["past_alone"]
    calm = series(1)
    assert flagged(series(20)) == 0
    calm[100] = float(str(calm[100])) + 400
    assert flagged(calm) == 1


def test_a_past_is_learnt_once() -> None:
    past = examine.Past((), [text_block(c=range(40)), text_block(c=range(40))])
    assert past.rules is past.rules
    assert past.ordering is past.ordering
