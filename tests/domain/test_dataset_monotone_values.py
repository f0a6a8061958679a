"""More of a kind of error is never doubted less: what still tells it where errors are many, by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log

import numpy as np
import pytest
from text_blocks import suggested, text_block

from quality_assets.domain.quality.datasets import weights
from quality_assets.domain.quality.datasets.cell_tests import OutsideRange
from quality_assets.domain.quality.datasets.dependencies import Pairing, dependencies_within, pairing
from quality_assets.domain.quality.datasets.detectors import detect
from quality_assets.domain.quality.datasets.identities import identities_within
from quality_assets.domain.quality.datasets.tally import Tally
from quality_assets.domain.quality.datasets.values import Block


def _zips(wrong: dict[int, list[str]], zips: int = 10, rows: int = 10) -> Block:
    """Ten rows of each of ten zips, two zips to a city; by zip, what stands in its first rows instead."""
    cities = [f"c{zip_code // 2}" for zip_code in range(zips) for _ in range(rows)]
    for zip_code, names in wrong.items():
        cities[zip_code * rows : zip_code * rows + len(names)] = names
    return text_block(zip=[f"z{row // rows}" for row in range(zips * rows)], city=cities)


def _next(zip_code: int, count: int) -> list[str]:
    return [f"c{(zip_code // 2 + 1) % 5}"] * count


def _pairing(block: Block) -> Pairing:
    found = pairing(block.columns["zip"], block.columns["city"])
    assert found is not None
    return found


def test_exceptions_that_are_strewn_evenly_are_errors_and_heaped_ones_a_habit() -> None:
    # Two of ten in five zips and one in five: confidence .85; of five cities as frequent as each other lift .65 / .8.
    even = _pairing(_zips({zip_code: _next(zip_code, 1 + zip_code % 2) for zip_code in range(10)}))
    assert (even.confidence, even.lift, even.is_even) == (0.85, pytest.approx(0.8125), True)
    assert even.told_by_others == (0.85, pytest.approx(0.8125))
    assert even.weight == weights.DEPENDENCY
    # As many, five in each of three zips.
    heaped = _pairing(_zips({zip_code: _next(zip_code, 5) for zip_code in (0, 2, 4)}))
    # (3 · 3.5² + 7 · 1.5²) / 1.275 of nine degrees of freedom is 4.6, and 1 + 2 √(2 / 9) = 1.9 the most.
    assert (heaped.confidence, heaped.is_even) == (0.85, False)
    assert heaped.weight == weights.WEAK_DEPENDENCY


def test_a_quarter_of_wrong_cells_shows_where_several_groups_tell_the_others_well() -> None:
    def two_in_eight(zips: int) -> Pairing:
        names = {z: [f"c{(z // 2 + step) % 4}" for step in (1, 2)] for z in range(zips)}
        return _pairing(_zips(names, zips=zips, rows=8))

    # Of 56 rows 12 are of c0, c1 and c2 each, and 6 of c3; of those that are wrong 2, 4, 4 and 4 more.
    some = two_in_eight(7)
    assert (some.confidence, some.is_even, some.told_by_others[0]) == (0.75, True, 0.75)
    assert some.lift == pytest.approx((0.75 - 16 / 56) / (1 - 16 / 56))
    assert some.weight == weights.DEPENDENCY
    # Four groups, and 32 rows, are too few to say.
    assert two_in_eight(4).weight < weights.WEAK_DEPENDENCY


def test_a_second_column_of_two_values_is_told_where_errors_at_one_rate_explain_it_better_than_habits() -> None:
    def two_values(shares: Sequence[int], rows: int = 20) -> Pairing:
        """Zips that are of c0 and of c1 in turn, but for so many of the rows of each."""
        wrong = {z: [f"c{(z + 1) % 2}"] * count for z, count in enumerate(shares)}
        own = {z: [f"c{z % 2}"] * (rows - count) for z, count in enumerate(shares)}
        names = {z: [*wrong[z], *own[z]] for z in range(len(shares))}
        return _pairing(_zips(names, zips=len(shares), rows=rows))

    # 5 of 20 at a rate of a quarter: C(20, 5) / 4⁵ · (3/4)¹⁵ = .202, where any count from 0 to 10 alike would be
    # 1 / 11: each zip speaks for errors by ln(.202 · 11) = .80. Less ln(rows) / 2 for the rate, six are 4.79 - 2.39 =
    # 2.4, as if ten times as likely, and five 3.99 - 2.30 = 1.7: too little.
    six, five = two_values([5] * 6), two_values([5] * 5)
    assert (six.confidence, six.is_even, six.weight) == (0.75, True, weights.DEPENDENCY)
    assert (five.confidence, five.is_even) == (0.75, True)
    assert five.weight < weights.WEAK_DEPENDENCY
    # Rows of four a zip tell nothing, however many zips there are.
    assert two_values([1] * 60, rows=4).weight < weights.WEAK_DEPENDENCY
    # Each zip has a share of its own: so are people of two kinds spread over places.
    assert two_values([0, 2, 4, 6, 8, 9, 7, 5, 3, 1]).weight < weights.WEAK_DEPENDENCY
    # Three in four are of one kind, whatever the zip: the zips say nothing.
    assert two_values([5, 15] * 6).weight < weights.WEAK_DEPENDENCY


def test_what_lies_far_out_hides_nothing_that_columns_say_of_each_other() -> None:
    # Three rows of each of 40 people, who are of a group from 1 to 5. One row of 14 holds 900, and two rows of 7.
    people = [f"p{row // 3}" for row in range(120)]
    groups = [1 + person % 5 for person in range(40) for _ in range(3)]
    one, two = range(0, 40, 3), range(1, 40, 6)
    for row in [person * 3 for person in one] + [person * 3 + place for person in two for place in (0, 1)]:
        groups[row] = 900
    block = text_block(person=people, group=groups)
    # Of its own two in three hold 900 of seven people, as if these were of a group of that name: .82 are told.
    own = pairing(block.columns["person"], block.columns["group"])
    assert own is not None
    assert (own.confidence, own.weight < weights.WEAK_DEPENDENCY + 1e-9) == (pytest.approx(99 / 120), True)
    (found,) = (test for test in detect(block) if test.rule_id == "dependency(person, group)")
    assert found.weight == weights.DEPENDENCY
    assert np.flatnonzero(found.broken(block)).tolist() == [person * 3 for person in one]


def test_cells_without_some_rows_forget_what_stood_there_alone() -> None:
    cells = text_block(a=[7, None, 8, 7, 900]).columns["a"]
    left = cells.without(np.array([False, False, True, False, True]))
    assert (left.codes.tolist(), list(left.uniques), left.of_unique.tolist()) == ([0, -1, -1, 0, -1], ["7"], [7.0])
    assert (left.filled, left.form, left.has_text) == (2, cells.form, True)


def test_two_groups_show_no_scatter() -> None:
    found = _pairing(_zips({0: ["c1"], 2: ["c0"]}, zips=4))
    assert found.is_even
    assert not _pairing(_zips({0: ["c1"], 1: ["c1"]}, zips=2)).is_even
    assert not _pairing(_zips({})).is_even, "without an exception there is nothing to tell by"


def test_in_small_groups_rows_are_told_by_the_others() -> None:
    # Of three, two agree: each is told by one that agrees and one that does not, which is half a guess.
    block = text_block(zip=["1"] * 3 + ["2"] * 3 + ["3", "3"], city=list("AABBBCAB"))
    confidence, lift = _pairing(block).told_by_others
    # Base: four of eight are B.
    assert (confidence, lift) == (pytest.approx(2 * 0.5 * 2 / 6), pytest.approx((1 / 3 - 0.5) / 0.5))


def test_what_no_value_says_is_no_exception_of_the_rest() -> None:
    # Five in each of three zips hold what no zip says: of the other rows each is told.
    strange = _pairing(_zips({zip_code: ["x1", "x2", "x3", "x4", "x5"] for zip_code in (0, 2, 4)}))
    assert (strange.confidence, strange.is_even) == (0.85, False)
    assert strange.among_said == (1.0, 1.0)
    assert strange.weight == weights.DEPENDENCY
    # Where hardly more than one city is said, the others are its usual exceptions.
    one = ["c0"] * 90 + ["c1"] * 10
    block = text_block(zip=[f"z{row // 10}" for row in range(100)], city=one)
    assert _pairing(block).among_said == (1.0, 0.0)


def test_what_no_group_has_for_its_own_is_an_error_however_often_it_stands() -> None:
    # Four of ten in each zip hold a word that no zip says: confidence .6, of the rest each is told.
    strange = _pairing(_zips({zip_code: ["not known"] * 4 for zip_code in range(10)}))
    assert (strange.confidence, strange.is_told_by_said, strange.weight) == (0.6, True, weights.DEPENDENCY)
    assert strange.is_sure.all(), "that the word stands four times in a zip is no second habit of it"
    (test,) = (each for each in dependencies_within(_zips({z: ["not known"] * 4 for z in range(10)})))
    assert test.columns == ("zip", "city")
    assert int(test.broken(_zips({z: ["not known"] * 4 for z in range(10)})).sum()) == 40
    # What stands in one zip alone is another city of it.
    own = _pairing(_zips({zip_code: [f"x{zip_code}"] * 4 for zip_code in range(10)}))
    assert (own.confidence, own.among_said, own.is_told_by_said) == (0.6, (1.0, 1.0), False)
    # Where half a zip hold it, it is what that zip says.
    assert not _pairing(_zips({zip_code: ["not known"] * 5 for zip_code in range(10)})).is_told_by_said


def test_a_piece_of_several_values_is_held_against_all_of_them() -> None:
    # Both classes lost their ends in a quarter of the rows: 30 of each stand beside 20 that either may have been.
    found = suggested(["Class1", "Class2"] * 30 + ["Cla"] * 20)
    assert found["typo"][1] == list(range(60, 80))
    assert suggested(["Class1", "Other2"] * 30 + ["Cla"] * 20)["typo"][1] == [], "30 are not twice as many as 20"


def test_numbers_far_on_both_sides_of_a_constant_are_errors_though_each_comes_often() -> None:
    test, rows = suggested([900] * 60 + [-999, 9999, -1, 999999] * 4)["constant"]
    assert (test.weight, len(rows)) == (weights.STREWN, 16)
    # Of five others none may be more than three in ten: 5 of 17 are fewer, and 6 of 18 more.
    weight_of = {n: suggested([0] * 60 + [-3, -2, 2, 3] * 3 + [4] * n)["constant"][0].weight for n in (5, 6)}
    assert weight_of == {5: weights.STREWN, 6: weights.NEARLY_CONSTANT}
    # Steps beside a constant are a scale.
    assert suggested([3] * 60 + [1, 2, 4, 5] * 4)["constant"][0].weight == weights.NEARLY_CONSTANT


@pytest.mark.parametrize(
    "word", ["not known yet", "TBD", "to be done", "To be confirmed.", "todo", "???", "Lorem ipsum dolor"]
)
def test_what_is_still_to_be_filled_in_is_told_however_often_it_stands(word: str) -> None:
    for count in (1, 20):
        test, rows = suggested(["red", "green", "blue"] * 10 + [word] * count)["placeholder"]
        assert (test.kind, test.weight, rows) == ("missing", weights.PLACEHOLDER, list(range(30, 30 + count)))
    assert test.words == "hold the place of what is still to be filled in"


@pytest.mark.parametrize("word", ["unknown", "not applicable", "test", "Todorov", "to be", "set", "X", "tbds"])
def test_an_answer_is_no_placeholder(word: str) -> None:
    assert "placeholder" not in suggested(["red", "green", "blue"] * 10 + [word] * 5)


def test_a_faint_rule_comes_from_nothing() -> None:
    # Five of ten in five zips: .75 is half way from .7 to .8.
    faint = _pairing(_zips({zip_code: _next(zip_code, 5) for zip_code in (0, 2, 4, 6, 8)}))
    assert faint.confidence == 0.75
    assert faint.lift > 0.6
    assert faint.weight == pytest.approx(weights.WEAK_DEPENDENCY * 0.25)
    assert _pairing(_zips({zip_code: _next(zip_code, 5) for zip_code in range(0, 7)})).weight == 0
    assert list(dependencies_within(_zips({zip_code: _next(zip_code, 5) for zip_code in range(0, 7)}))) == []


def test_in_a_large_group_as_many_of_one_as_elsewhere_are_no_second_habit() -> None:
    # Two of ten are more than a tenth, yet no more than .2 · 10 + 2 √2, as in every other zip.
    even = _pairing(_zips({zip_code: _next(zip_code, 2) for zip_code in range(10)}))
    assert even.is_sure.all()
    # Heaped in four zips, with two of ten in each.
    assert _pairing(_zips({zip_code: _next(zip_code, 2) for zip_code in (0, 1)})).is_sure.tolist() == [
        False, False, *[True] * 8
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("below", "weight"),
    # Of 11 to 100 a tenth lie below 20 and a tenth above 91.
    [
        ([-50] * 10, weights.TURNED_SIGN),
        ([-50] * 11, None),
        ([-1] * 10, weights.RARE_SIGN),
        # What lies beyond a gap is told as that, and surer.
        ([-500], None),
    ],
)
def test_numbers_as_large_as_others_lost_their_sign_and_small_ones_may_not_have(
    below: list[int], weight: float | None
) -> None:
    found = suggested([*range(11, 101), *below]).get("rare_sign")
    if weight is None:
        assert found is None
    else:
        assert found is not None
        assert (found[0].weight, found[1]) == (weight, list(range(90, 90 + len(below))))


@pytest.mark.parametrize(
    ("values", "weight"),
    [
        # Steps of one: the least of all lies five above zero, and a tenth of the middle.
        ([*range(5, 45), 0, 0], weights.ODD_ZERO),
        ([*range(4, 44), 0, 0], None),
        ([*range(5, 45), *[0] * 17], weights.ODD_ZERO),
        ([*range(5, 45), *[0] * 18], None),
        # 5 is no tenth of the middle of 60 and more.
        ([5, *range(60, 100), 0], None),
        ([*range(5, 45), -1, 0], None),
        # Of few sizes they are so by the gap alone.
        ([*range(2, 9), 0] * 3, None),
        ([20, 24, 28, 32, 36, 0] * 4, weights.BEYOND_GAP),
        ([20, 24, 28, 32, 0] * 4, None),
        # As far from the others as half their range they lie beyond a gap, which few others would.
        ([*range(5, 13), 0] * 3, weights.BEYOND_GAP),
        ([*range(20, 60), *[0] * 13], weights.BEYOND_GAP),
        ([*range(19, 60), *[0] * 13], weights.ODD_ZERO),
    ],
)
def test_zeros_are_odd_where_all_others_lie_well_above(values: list[int], weight: float | None) -> None:
    found = suggested(values).get("odd_zero")
    if weight is None:
        assert found is None
    else:
        assert found is not None
        assert (found[0].weight, found[1]) == (weight, [n for n, value in enumerate(values) if value == 0])


@pytest.mark.parametrize(
    ("numbers", "words", "kind"),
    [
        # Of twenty sizes: two in three beside four words that come again, else nine in ten.
        (range(20), ["error", "none yet"] * 5, "number"),
        (range(20), ["error", "none yet"] * 5 + ["error"], "number"),
        (range(20), ["one", "two", "three", "four", "five"], "number"),
        # Words stand beside numbers, and codes of letters among them: .55 of all, of which two in three are words.
        (range(11), ["error"] * 9, "number"),
        (range(11), ["error"] * 10, "text"),
        (range(12), ["error"] * 4 + ["A1", "B2"], "number"),
        (range(12), ["error"] * 4 + ["A1", "B2", "C3"], "text"),
        (range(16), ["A1", "B2", "C3", "D4", "E5"], "text"),
        # However various words are, they are no codes; of two letters they may be, but not beside long numbers.
        (range(12), ["one", "two", "three", "four", "five", "six", "seven"], "number"),
        ([*range(12)] * 2, ["ON", "BC", "QC", "NS"] * 3, "text"),
        ([*range(1000, 1012)] * 2, ["ON", "BC", "QC", "NS"] * 3, "number"),
        ([*range(1000, 1012)] * 2, ["O1", "B2", "Q3", "N4"] * 3, "text"),
        # Amounts in several units are numbers, houses are none.
        (range(12), ["$ 3", "4 EUR", "£5", "6 kg", "7 %", "12 g"], "number"),
        (range(12), ["3a", "4b", "5 B", "6c", "7g", "8h"], "text"),
    ],
)
def test_a_column_of_many_sizes_is_one_of_numbers_though_many_are_words(
    numbers: Sequence[int], words: list[str], kind: str
) -> None:
    assert text_block(c=[*numbers, *words]).columns["c"].form.kind == kind


def test_the_cells_of_a_column_are_one_row_the_surest_first() -> None:
    block = text_block(a=range(20))
    sure = OutsideRange("range", "sure", ("a",), 0.5, high=15)
    wide = OutsideRange("range", "wide", ("a",), 0.1, high=9)
    tally = Tally([sure, wide])
    tally.add(block)

    def few(place: int, count: float) -> float:
        return weights.few(count, 20, (0.1, 0.4)[place])

    # Four above 15, six more above 9. The first two count whole as sure ones, and all up to the eighth as hardly sure
    # ones: the third and fourth as the larger of what both say of the four, the next six as the fifth to the tenth.
    first = 0.5 * 2 * (1 + 0.15 * log(2))
    beyond = 8 * (1 + 0.15 * log(10 / 8)) - 4
    assert tally.layered_doubt({0: 0.5, 1: 0.1}, few) == {"a": pytest.approx(first + 0.1 * beyond)}
    assert tally.layered_doubt({1: 0.1}, few) == {"a": pytest.approx(0.1 * 8 * (1 + 0.15 * log(10 / 8)))}
    assert tally.layered_doubt({}, few) == {"a": 0.0}


def test_more_cells_of_a_test_never_make_those_of_another_count_less() -> None:
    found, block = [], text_block(a=range(20))
    for high in range(19, 8, -1):
        tally = Tally(
            [OutsideRange("range", name, ("a",), 0.5, high=end) for name, end in (("sure", high), ("wide", 9))]
        )
        tally.add(block)
        found.append(tally.layered_doubt({0: 0.5, 1: 0.1}, lambda _, count: weights.few(count, 20, 0.1))["a"])
    assert np.diff(found).min() >= 0
    assert found[-1] > found[0]


def test_a_product_that_six_rows_in_ten_keep_is_doubted_where_the_others_are_off_by_no_habit() -> None:
    def weight(off: Callable[[int, float], float], many: int = 40) -> float:
        """What the total of a hundred lines is off by in the first of them, by the line and the right total."""
        count, price = [2 + row % 7 for row in range(100)], [11.37 + row * 1.91 for row in range(100)]
        right = [round(c * p, 2) for c, p in zip(count, price, strict=True)]
        total = [round(t + off(row, t), 2) if row < many else t for row, t in enumerate(right)]
        found = identities_within(text_block(count=count, price=price, total=total))
        return next(each.weight for each in found if each.columns == ("count", "price", "total"))

    assert weight(lambda row, total: total * (0.1 + row % 40 / 100)) == weights.IDENTITY, "by 10 to 49 %"
    assert weight(lambda row, _: 3.5 + row) == weights.IDENTITY
    assert weight(lambda row, total: total * (0.1 + row % 40 / 100), many=41) == 0.0, "59 of a hundred keep it"
    # A fee and a discount are one of a few; and a cent more is a way of rounding.
    assert weight(lambda row, _: (4.9, 7.9, 9.9)[row % 3]) == 0.0
    assert weight(lambda row, total: -total * (0.05, 0.1, 0.2)[row % 3]) == 0.0
    assert weight(lambda row, _: 0.01 + row % 2 / 100) == 0.0


def test_of_two_columns_that_decide_each_other_each_is_doubted_by_half() -> None:
    names = ["Berlin", "Bonn", "Rome", "Oslo"]
    codes = {name: name[:2].upper() + name[-1] for name in names}
    cities = [name for name in names for _ in range(20)]
    told = [codes[name] for name in cities]
    # Of 20 rows each two hold the code of the next one: which of the two cells is wrong, nobody knows.
    for place in range(4):
        told[20 * place : 20 * place + 2] = [codes[names[(place + 1) % 4]]] * 2
    both = {test.columns: test.weight for test in dependencies_within(text_block(city=cities, code=told))}
    assert both == {("city", "code"): weights.DEPENDENCY / 2, ("code", "city"): weights.DEPENDENCY / 2}
    # Two zips to a city: the city says nothing of the zip.
    assert [test.weight for test in dependencies_within(_zips({0: ["c1"]}))] == [weights.DEPENDENCY]


def test_many_beyond_a_gap_on_one_side_are_strewn_and_no_place_of_their_own() -> None:
    # 25 of 100 lie from 260 to 356 in steps of 4, beyond the 75 from 100 to 148: the gap is 112 of 48, more than half
    # as wide again.
    core = [100 + n * 48 // 74 for n in range(75)]
    assert suggested([*core, *range(260, 360, 4)])["beyond_gap"][1] == list(range(75, 100))
    assert "beyond_gap" not in suggested([*core, *range(218, 318, 4)]), "a gap of 70 is too narrow: 72 are asked"
    # In steps of less than one they lie as close together as the others.
    assert "beyond_gap" not in suggested([*core, *(260 + n / 2 for n in range(25))])
