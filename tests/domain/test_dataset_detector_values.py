"""What a table suggests of itself: the edges of each detector, of dependencies, identities and ratios."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from text_blocks import suggested, text_block

from quality_assets.domain.quality.datasets import weights
from quality_assets.domain.quality.datasets.cell_tests import (
    Dependency,
    NotAmong,
    OddCharacters,
    OddShape,
    OutsideRange,
    Typo,
)
from quality_assets.domain.quality.datasets.dependencies import (
    candidates,
    dependencies_within,
    first_rows,
    pairing,
)
from quality_assets.domain.quality.datasets.detectors import column_detectors, detect
from quality_assets.domain.quality.datasets.identities import (
    _band_of,
    _before_gap,
    _is_cliff,
    _is_measure,
    _width,
    identities_within,
    numbers_of_block,
    ratios_within,
)
from quality_assets.domain.quality.datasets.values import Block


def _broken(values: Sequence[object], detector: str) -> list[int] | None:
    """The rows that break a test, None where it is not suggested."""
    found = suggested(values).get(detector)
    return None if found is None else found[1]


# --- Columns ----------------------------------------------------------------------------------------------------------


def test_twenty_cells_suggest_something_and_so_do_twenty_rows() -> None:
    assert [test.rule_id for test in detect(text_block(a=range(20), b=[*range(19), None]))] == [
        "type(a)",
        "outlier(a)",
        "far_outlier(a)",
    ]
    assert detect(text_block(a=range(19))) == []
    zips, cities = [f"z{row // 5}" for row in range(20)], [f"c{row // 10}" for row in range(20)]
    assert "dependency(zip, city)" in {test.rule_id for test in detect(text_block(zip=zips, city=cities))}
    assert detect(text_block(zip=zips[:19], city=cities[:19])) == []


def test_each_kind_of_column_has_its_detectors() -> None:
    days = [f"2026-{month:02}-{day:02}" for month in (1, 2) for day in range(1, 29)]
    found = suggested([*days, "2026-1-1x"])
    (kind, rows) = found["type"]
    assert (kind.weight, kind.words, rows) == (weights.WRONG_TYPE, "cannot be read as a date or time", [56])
    assert found["format"][1] == found["exact_shape"][1] == [56]
    assert "outlier" not in found
    number, broken = suggested([*range(30), "many"])["type"]
    assert (number.words, broken) == ("cannot be read as a number", [30])
    parsed = text_block(c=[*days, "2026-1-1x"]).columns["c"]
    parsed.has_text = False
    assert [test.detector for test in column_detectors("c", parsed)] == ["type"]


def test_a_slip_is_of_a_value_that_stands_five_times_and_five_times_as_often() -> None:
    rest = [f"town {n}" for n in range(20)]
    assert _broken(["Berlin"] * 5 + ["Berlni", *rest], "typo") == [5]
    assert _broken(["Berlin"] * 4 + ["Berlni", *rest], "typo") is None
    many = [f"town {n}" for n in range(100)]
    assert _broken(["Berlin"] * 10 + ["Berlni"] * 2 + many, "typo") == [10, 11]
    assert _broken(["Berlin"] * 9 + ["Berlni"] * 2 + many, "typo") == []
    # A slip of one of a few is up to three in ten of the cells: 45 of 150, and no longer of 149.
    assert _broken(["Berlin"] * 105 + ["Berlni"] * 45, "typo") == list(range(105, 150))
    assert _broken(["Berlin"] * 104 + ["Berlni"] * 45, "typo") == []


def test_where_many_values_have_slips_these_need_not_be_as_rare() -> None:
    def cut(*names: str) -> list[str]:
        return [name for name in names for _ in range(6)] + [name[:4] for name in names[:3] for _ in range(3)]

    # Each is a twelfth of the cells, no large part: its pieces are half as frequent, of three in four or more.
    others = [f"t{n} {n}" for n in range(48)]
    names = ("Hamburg", "Frankfurt", "Stuttgart")
    assert _broken([*cut(*names), *others], "typo") == list(range(18, 27))
    assert _broken([*cut(*names, *(f"{letter * 9}" for letter in "abcdefghi")), *others], "typo") == list(range(72, 81))
    many = (f"{letter * 9}" for letter in "abcdefghij")
    assert _broken([*cut(*names, *many), *others], "typo") == []


def test_a_slip_of_one_of_a_few_values_is_half_as_frequent_at_most() -> None:
    assert _broken(["Berlin"] * 20 + ["Hamburg"] * 70 + ["Berlni"] * 10, "typo") == list(range(90, 100))
    assert _broken(["Berlin"] * 19 + ["Hamburg"] * 71 + ["Berlni"] * 10, "typo") == []


def test_a_value_in_other_capitals_is_half_as_frequent_at_most() -> None:
    assert _broken(["Berlin"] * 20 + ["BERLIN"] * 10, "typo") == list(range(20, 30))
    assert _broken(["Berlin"] * 19 + ["BERLIN"] * 10, "typo") == []


def test_a_piece_of_a_common_value_is_cut_off_within_a_word_by_two_letters_or_more() -> None:
    rest = [f"town {n}" for n in range(20)]
    assert _broken(["Hamburg"] * 10 + ["Hambu", "Ham", "Ha", *rest], "typo") == [10, 11]
    assert _broken(["Bad Homburg"] * 10 + ["Bad", "Bad ", "Bad Hom", *rest], "typo") == [12]
    assert _broken(["Hamburg"] * 4 + ["Hambu", *rest], "typo") is None
    # Of words, one may well be the beginning of another.
    names = [f"{word} {n}" for n, word in enumerate(["Northern"] * 10 + ["North"])]
    assert _broken([*names, *rest], "word_typo") == []


def test_two_letters_are_a_piece_where_half_of_the_common_values_are_cut() -> None:
    # Of each of two, a quarter of the cells lost its end.
    both = ["Alive"] * 30 + ["Dead"] * 30 + ["Al"] * 10 + ["De"] * 10
    assert _broken(both, "typo") == list(range(60, 80))
    # Two of five alone: "In" and "Am" may be codes beside them.
    more = [name for name in ("Norway", "Sweden", "Poland") for _ in range(30)]
    two = ["India"] * 30 + ["America"] * 30 + ["In", "Am"]
    assert _broken([*two, *more], "typo") == []
    # Two of four are half of them.
    assert _broken([*two, *more[:60]], "typo") == [60, 61]
    assert _broken(["Alive"] * 30 + ["Dead"] * 30 + ["Al"] * 10, "typo") == [], "one piece alone"
    assert _broken(["None"] * 30 + ["Not sure"] * 30 + ["No"] * 20, "typo") == []


def test_a_typo_knows_what_is_common_and_what_is_fine() -> None:
    test, _ = suggested(["Berlin"] * 15 + ["Bonn"] * 5 + ["Rome"] * 4 + ["Berlni"])["typo"]
    assert isinstance(test, Typo)
    assert (test.kind, test.weight, test.of_words) == ("typo", weights.TYPO, False)
    assert (test.common, test.fine) == (frozenset(["Berlin", "Bonn"]), frozenset(["Berlin", "Bonn", "Rome"]))
    assert test.words == "are a slip or a piece of a common value"


def test_a_word_that_begins_a_sentence_is_no_slip() -> None:
    titles = [f"red castle {n}" for n in range(30)]
    test, rows = suggested([*titles, "Castle 30", "CASTLE 31", "castel 32"])["word_typo"]
    assert rows == [31, 32], "shouted, and mistyped"
    assert isinstance(test, Typo)
    # Of all rows, of which these were a sample, one may hold a word that none of those did.
    later = text_block(c=["Castle", "castel", "red castle"]).columns["c"]
    assert test.of_unique(later).tolist() == [False, True, False]


def test_codes_in_other_capitals_are_told_where_several_have_both() -> None:
    upper = ["DE", "FR", "E1"] * 20
    assert _broken([*upper, "de", "fr"], "variant") == [60, 61]
    assert _broken([*upper, *["de", "fr", "e1"] * 9], "variant") == list(range(60, 87))
    assert "variant" not in suggested([*upper, *["de"] * 9]), "one may be another code"
    assert "variant" not in suggested([*["DE", "fr"] * 20, "de", "FR"]), "neither way is that of the column"
    assert _broken([*["t", "f"] * 20, *["T", "F"] * 10], "variant") == list(range(40, 60))
    # A blank within a word is none of the code; between figures it may be.
    assert _broken([*["Class1", "Class2"] * 20, *["Cl ass1", "Cla ss2"] * 10], "variant") == list(range(40, 60))
    assert "variant" not in suggested([*["A1 12", "A1 22"] * 20, *["A11 2", "A12 2"] * 10])
    assert _broken([*["ja", "nein"] * 20, *["1", "0"] * 10], "other_way") == list(range(40, 60))


def test_codes_of_most_of_one_length_have_lost_signs_where_they_are_shorter() -> None:
    # Digits and letters in no form of their own.
    codes = [f"{n * 2_654_435_761 % 2**32:08x}" for n in range(1, 101)]
    whole, cut = codes[:70], [code[:5] for code in codes[70:]]
    assert _broken([*whole, *cut], "length") == list(range(70, 100))
    assert "length" not in suggested([*whole, *cut, "00fe"]), "fewer than seven in ten"
    assert "length" not in suggested(whole)
    test, _ = suggested([*whole, *cut])["length"]
    assert (test.kind, test.weight) == ("format", weights.RARE_FORMAT)
    assert test.words == "are not 8 signs long, as the others are"
    assert _broken([*(f"{n:08}" for n in range(70)), *cut], "length") == list(range(70, 100)), "zeros were lost"
    assert "format" not in suggested([*whole, *cut]), "digits and letters stand in any order"
    assert "length" not in suggested([*whole[:28], "00fe"]), "thirty values at least"
    assert "length" not in suggested([*whole[:40], *whole[:40], *whole[:40], "00fe"]), (
        "names that come again are no codes"
    )
    names = ["quite", "words", "seven", "eight", "there", "other", "whole", "those", "which", "where"]
    assert "length" not in suggested([f"{a} {b}" for a in names for b in names[:4]] + ["word"]), "no digits"


def test_a_day_that_stands_for_none_is_told_nearer_to_the_others() -> None:
    born = [f"{1950 + n}-06-15" for n in range(50)]
    assert _broken([*born, *["1900-01-01"] * 20], "far_times") == list(range(50, 70))
    assert "far_times" not in suggested([*born, *["1900-01-02"] * 20]), "a day as any other"
    assert "far_times" not in suggested([*born, *["1900-01-01"] * 22]), "more than three in ten"
    assert _broken([*born, "2099-12-31"], "far_times") == [50]
    assert "far_times" not in suggested([*born, "2000-01-01"]), "within a year of the others"
    # A quarter of the 49 years from first to last is 12.25.
    assert _broken([f"{year + 31}-06-15" for year in range(1950, 2000)] + ["1970-01-01"], "far_times") is None
    assert _broken([f"{year + 32}-06-15" for year in range(1950, 2000)] + ["1970-01-01"], "far_times") == [50]


def test_a_word_is_a_slip_of_a_word_that_many_values_hold() -> None:
    titles = [f"red castle {n}" for n in range(30)]
    test, rows = suggested([*titles, "red castel 30"])["word_typo"]
    assert isinstance(test, Typo)
    assert (test.kind, test.weight, test.of_words, rows) == ("typo", weights.WORD_TYPO, True, [30])
    assert (test.common, test.fine) == (frozenset(["castle"]), frozenset(["castle"]))
    assert test.words == "are one slip of the hand from a common word"
    assert _broken(titles, "word_typo") is None, "of one word none is a slip"
    assert _broken([f"castle-{n}" for n in range(30)] + ["castel-30"], "word_typo") is None, "no words but codes"
    assert _broken(["red castle 1"] * 4 + ["red castel"] + [f"x {n}" for n in range(20)], "word_typo") is None
    assert _broken(["red castle 1"] * 5 + ["red castel"] + [f"x {n}" for n in range(20)], "word_typo") == [5]


def test_what_nearly_all_are_is_named_up_to_forty_signs() -> None:
    long = "x" * 41
    test, _ = suggested([long] * 98 + ["a", "b"])["dominant"]
    assert isinstance(test, NotAmong)
    assert (test.kind, test.weight, test.allowed) == ("closed_set", weights.DOMINANT, frozenset([long]))
    assert test.words == f"are not '{'x' * 40}', as most are"
    assert test.without_values().words == "are not the value that nearly all have"


def _of_lengths(lengths: int, each: int) -> list[str]:
    return ["K" * length for length in range(1, lengths + 1) for _ in range(each)]


def test_four_exact_forms_are_few_and_so_are_twelve_loose_ones() -> None:
    four, five = [*_of_lengths(4, 25), "7"], [*_of_lengths(5, 20), "7"]
    assert (_broken(four, "exact_shape"), _broken(four, "format")) == ([100], [100])
    assert (_broken(five, "exact_shape"), _broken(five, "format")) == (None, [100])
    forms = [f"K{sign}" for sign in "-.:;,!$%&/()"]
    assert _broken([*forms * 10, "7"], "format") == [120]
    assert _broken([*[*forms, "K="] * 10, "7"], "format") is None


def test_of_a_hundred_values_ninety_seven_are_of_the_usual_forms() -> None:
    keys = [f"K{n:02}" for n in range(97)]
    assert _broken([*keys, "7", "7-", "7."], "format") == [97, 98, 99]
    # So it is up to twelve in a hundred.
    odd = [f"{sign}{n}" for n, sign in enumerate("!#$%&()*+-./:"[:12])]
    assert _broken([*keys[:88], *odd], "format") == list(range(88, 100))
    assert _broken([*keys[:87], *odd, ":13"], "format") is None


def test_values_of_two_lengths_are_of_any_up_to_the_longest() -> None:
    counted = [f"station {n}" for n in range(1, 301)]
    assert _broken(counted, "exact_shape") is None or _broken(counted, "exact_shape") == []
    # Of one length, a shorter one is odd; and so is a longer one than any.
    assert _broken([*(f"A{n}" for n in range(100, 200)), "A7"], "exact_shape") == [100]
    assert _broken([*counted, "station 1234"], "exact_shape") == [300]
    # Each part of a version is of one digit or two.
    versions = [f"{a}.{b}.1" for a in range(5, 12) for b in range(5, 12)]
    assert _broken([*versions, "100.1.1"], "exact_shape") == [49]
    assert not _broken(versions, "exact_shape")


def test_what_thins_out_through_zero_is_below_it_as_a_rule() -> None:
    degrees = [*range(-5, 0), *range(1, 6), *range(6, 60), *range(10, 40)]
    assert "rare_sign" not in suggested(degrees)
    # Nothing lies just above zero, or one value stands for none: those are errors.
    assert _broken([*range(-5, 0), *range(20, 100)], "rare_sign") == list(range(5))
    assert _broken([*[-1] * 5, *range(1, 90)], "rare_sign") == list(range(5))


def test_a_word_in_other_capitals_is_the_more_frequent_one_however_often_it_stands() -> None:
    values = [*["Red"] * 30, *["red"] * 25, *["Blue"] * 30, *["BLUE "] * 2, *["Dark-Red"] * 9, *["dark red"] * 8]
    assert _broken(values, "variant") == [*range(30, 55), *range(85, 87), *range(96, 104)]
    assert "variant" not in suggested([*["AA"] * 30, *["Aa"] * 30, *["aa"] * 30]), (
        "of two letters capitals may be codes"
    )
    assert "variant" not in suggested([*["part 1"] * 30, *["Part 1"] * 30]), "what is numbered is a name"
    assert "variant" not in suggested([f"{a}{b}{c}" for a in "xX" for b in "yY" for c in "zabcdefg"]), (
        "each stands once"
    )


def test_blanks_beside_values_are_told_where_others_have_none() -> None:
    assert _broken([*["Red"] * 30, "Red ", " Red", "Red\u00a0"], "padded") == [30, 31, 32]
    assert "padded" not in suggested(["Red"] * 30)
    assert "padded" not in suggested([*["Red  "] * 15, *["Green"] * 15]), "filled up to one width"
    assert "padded" not in suggested([*["Red "] * 27, *["Blue"] * 3, *["Green "] * 3]), (
        "nine in ten are how it is written"
    )
    assert "padded" in suggested([*["Red "] * 26, *["Blue"] * 4, *["Green "] * 3])


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ([f"u{n}.x@web{n}.co.uk" for n in range(40)], ["u1.web.de", "u@x", "u@@web.de", "u@web,de"]),
        ([f"https://x.org/p/{n}" for n in range(40)], ["x.org/p/1", "https//x.org"]),
        ([f"192.168.{n}.1" for n in range(39)] + ["2001:db8::1"], ["300.1.2.3", "1.2.3", "host"]),
        (
            [f"{n:08}-0000-4000-8000-00000000abcd" for n in range(40)],
            ["00000001-0000-4000-8000-00000000abc", "none yet"],
        ),
        ([f"{n:032x}" for n in range(40)], ["g" * 32, "abc"]),
    ],
)
def test_what_is_written_in_one_way_the_world_over_is_known(good: list[str], bad: list[str]) -> None:
    assert _broken([*good, *bad], "known_form") == list(range(40, 40 + len(bad)))
    assert "known_form" not in suggested(good)
    assert _broken([*good, *["something else"] * 26], "known_form") == list(range(40, 66))
    assert "known_form" not in suggested([*good, *["something else"] * 27]), "fewer than six in ten"


def test_of_two_ways_of_writing_the_same_the_rarer_is_told() -> None:
    points, commas = [f"{n}.5" for n in range(26)], [f"{n},5" for n in range(24)]
    assert _broken([*points, *commas, "7"], "other_way") == list(range(26, 50))
    assert "other_way" not in suggested([*points, *(f"{n},500" for n in range(24))]), "thousands may be parted so"
    assert _broken([*["true", "FALSE"] * 20, *["1", "0"] * 10], "other_way") == list(range(40, 60))
    assert "other_way" not in suggested([*["true", "false"] * 20, *["perhaps"] * 10])
    assert "other_way" not in suggested(["true", "false"] * 20)
    # One in twenty is a way, fewer are slips.
    assert _broken([*["yes"] * 38, *["y"] * 2], "other_way") == [38, 39]
    assert "other_way" not in suggested([*["yes"] * 39, *["y"] * 2])


def test_a_form_is_odd_up_to_one_in_ten_unless_one_of_few_values_comes_again_and_again() -> None:
    keys = [f"K{n:03}" for n in range(298)]
    assert _broken([*keys[:295], *["7"] * 5], "format") == [295, 296, 297, 298, 299]
    few = keys[:59] * 5
    assert _broken([*few, "7", "7"], "format") == [295, 296]
    assert _broken([*few, "7", "7", "7"], "format") == []
    assert _broken([*keys[:198], "7", "8"], "format") == [198, 199]
    assert _broken([*keys[:180], *range(20)], "format") == list(range(180, 200))
    assert _broken([*keys[:179], *range(21)], "format") == []
    test, _ = suggested([*keys[:198], "7", "8"])["format"]
    assert isinstance(test, OddShape)
    assert (test.kind, test.shapes, test.is_exact, test.common) == ("format", frozenset(["A9"]), False, "A9")
    assert test.words == "are written in another form than the usual 'A9'"
    exact, _ = suggested([*["AB"] * 10, *["ABC"] * 20])["exact_shape"]
    assert isinstance(exact, OddShape)
    assert (exact.shapes, exact.is_exact, exact.common) == (frozenset(["AA", "AAA"]), True, "AAA")


def test_times_of_another_century_lie_far_from_all_others() -> None:
    hours = [f"2026-03-{1 + n // 24:02} {n % 24:02}:00:00" for n in range(100)]
    odd = ["2062-01-01 00:00:00", "1970-01-01 00:00:00", "2199-12-31 00:00:00"]
    assert _broken([*hours, *odd], "far_times") == [100, 101, 102]
    assert _broken([*hours, *["1900-01-01 00:00:00"] * 8], "far_times") == list(range(100, 108))
    test, _ = suggested([*hours, odd[0]])["far_times"]
    assert test.words == "lie far from all others, before 2026-03-01 or after 2026-03-05"
    # As far again as all others lie: they thin out.
    days = [f"2026-01-{1 + n:02}" for n in range(30)]
    assert _broken([*days, "2026-03-30"], "far_times") is None
    assert _broken([*days, "2026-05-30"], "far_times") == [30]
    assert _broken([*["2020-01-01"] * 50, "2062-01-01"], "far_times") is None, "of one day nothing lies far"


def test_longer_decimals_than_five_are_of_no_fixed_length() -> None:
    assert _broken([*[f"{n}.12345" for n in range(98)], "3.1234567", "4.1234567"], "decimals") == [98, 99]
    assert _broken([*[f"{n}.123456" for n in range(98)], "3.1234567", "4.1234567"], "decimals") is None
    test, rows = suggested([*range(99), "3.5"])["decimals"]
    assert (test.kind, test.weight, test.words, rows) == (
        "format",
        weights.ODD_DECIMALS,
        "have decimals, and all others are whole",
        [99],
    )
    longer, _ = suggested([*[f"{n}.5" for n in range(99)], "3.25"])["decimals"]
    assert longer.words == "have more than 1 decimals"


def test_a_sign_of_language_is_odd_up_to_five_in_a_thousand_and_others_up_to_five_in_a_hundred() -> None:
    assert _broken(["abc"] * 398 + ["a-c"] * 2, "characters") == [398, 399]
    assert _broken(["abc"] * 397 + ["a-c"] * 2, "characters") is None
    assert _broken(["abc"] * 38 + ["a#c"] * 2, "characters") == [38, 39]
    assert _broken(["abc"] * 37 + ["a#c"] * 2, "characters") is None
    test, _ = suggested(["abC9"] * 100 + ["a#c"])["characters"]
    assert isinstance(test, OddCharacters)
    assert (test.kind, test.weight, test.known) == ("format", weights.ODD_CHARACTERS, frozenset(["a", "A", "9"]))
    assert test.words == "hold characters that the others do not"
    # Where each sign is there once, none is odd beside the others.
    assert _broken([chr(0x4E00 + n) for n in range(20)], "characters") is None
    assert _broken([chr(0x4E00 + n) for n in range(20)] + ["x", "y"], "characters") == list(range(20))


def test_what_lies_out_is_told_with_its_ends() -> None:
    found = suggested(range(1, 41))
    outlier, far = found["outlier"][0], found["far_outlier"][0]
    assert outlier.words == "lie more than 1.5 interquartile ranges outside the quartiles, below −18.5 or above 59.5"
    assert far.words == "lie far from all others, below −68.456 or above 109.456"
    assert ((outlier.kind, outlier.weight), (far.kind, far.weight)) == (
        ("outlier", weights.OUTLIER),
        ("outlier", weights.FAR_OUTLIER),
    )
    assert "outlier" not in suggested([*range(19), "x"])
    assert "outlier" not in suggested([7] * 30 + list(range(1, 11))), "the quartiles are one"


def test_distances_are_counted_on_a_logarithmic_scale_where_the_upper_half_is_much_the_wider() -> None:
    def high(values: Sequence[float]) -> float:
        test, _ = suggested(values)["far_outlier"]
        assert isinstance(test, OutsideRange)
        return test.high

    # Of 1, 2 and 10, seven of each: a tenth is 1, half 2, nine tenths 10: eight above and one below. Logarithms lie
    # ln 2 below and ln 5 above the middle, which is half of all within ln 2.
    assert high([1, 2, 10] * 7) == pytest.approx(2 * np.exp(6 * 1.4826 * np.log(2)))
    assert high([1, 2, 5] * 7) == pytest.approx(2 * np.exp(6 * 1.4826 * np.log(2)))
    # 1, 2 and 4: two above are twice the one below, and no more.
    assert high([1, 2, 4] * 7) == pytest.approx(2 + 6 * 1.4826)
    assert high([0, 2, 10] * 7) == pytest.approx(2 + 6 * 1.4826 * 2), "of zero there is no logarithm"


@pytest.mark.parametrize(("fives", "weight"), [(192, weights.STREWN), (191, weights.NEARLY_CONSTANT)])
def test_of_each_strewn_number_there_are_two_or_two_in_a_hundred(fives: int, weight: float) -> None:
    test, rows = suggested([*[5] * fives, *[3] * 4, *[9] * 4])["constant"]
    assert isinstance(test, OutsideRange)
    assert (test.kind, test.weight, test.low, test.high, rows) == ("outlier", weight, 5, 5, [*range(fives, fives + 8)])
    assert test.words == "are not 5, as most are"
    assert test.without_values().words == "are not the value that nearly all have"
    assert suggested([*[5] * 60, 3, 4])["constant"][0].weight == weights.NEARLY_CONSTANT
    assert set(suggested([*[5] * 60, 3, 9])) == {"type", "constant"}


# --- Dependencies -----------------------------------------------------------------------------------------------------


def test_what_a_pairing_holds() -> None:
    block = text_block(zip=["1", "1", "1", "2", "2", "3", None, "2"], city=["A", "A", "B", "C", "C", "D", "A", None])
    found = pairing(block.columns["zip"], block.columns["city"])
    assert found is not None
    assert (found.codes.tolist(), found.says.tolist()) == ([0, 1, 2], [0, 2, 3])
    assert (found.held.tolist(), found.second.tolist(), found.total.tolist()) == ([2, 2, 1], [1, 0, 0], [3, 2, 1])
    assert (found.grouped_share, found.confidence) == (pytest.approx(5 / 6), 0.8)
    assert found.is_sure.tolist() == [True, False, False]
    same = pairing(block.columns["zip"], text_block(city=["A"] * 8).columns["city"])
    assert same is not None
    assert (same.confidence, same.lift) == (1.0, 0.0)


def test_too_few_rows_tell_nothing() -> None:
    keys, empty = text_block(k=range(4), e=["", "", "x", "y"]), text_block(e=[None, None, None, None])
    assert pairing(keys.columns["k"], keys.columns["e"]) is None
    assert pairing(keys.columns["k"], empty.columns["e"]) is None


@pytest.mark.parametrize(
    ("cities", "is_sure"),
    [
        ("AA", False),
        ("AAA", True),
        ("AAABB", False),  # three of five are no more than six tenths, and two are a second habit
        ("AAAB", True),
        ("A" * 18 + "BB", True),
        ("A" * 17 + "BBB", False),
        ("A" * 6 + "BCDE", False),
        ("A" * 7 + "BCD", True),
    ],
)
def test_what_a_value_says_is_sure_where_no_other_has_a_habit(cities: str, is_sure: bool) -> None:
    block = text_block(zip=["1"] * len(cities), city=list(cities))
    found = pairing(block.columns["zip"], block.columns["city"])
    assert found is not None
    assert found.is_sure.tolist() == [is_sure]


def test_columns_that_may_decide() -> None:
    def is_candidate(values: Sequence[object]) -> bool:
        return candidates(text_block(c=values)) == ["c"]

    assert is_candidate(["a", "b", "c", "d", "e", "f", "g", "a", "a", "a"])
    assert not is_candidate(["a", "b", "c", "d", "e", "f", "g", "h", "a", "a"])
    assert is_candidate(["a", "a", "b", "b"])
    assert not is_candidate(["a", "a", "a", "a"])
    assert is_candidate(["a", "a", "b", "b", *[None] * 16])
    assert not is_candidate(["a", "a", "b", "b", *[None] * 17])
    many = text_block(**{f"c{n:02}": ["a", "a", "b", "b"] for n in range(41)})
    assert candidates(many) == [f"c{n:02}" for n in range(40)]


def test_the_first_rows_of_a_block() -> None:
    block = text_block(a=["x", None, "y"], b=[1, 2, 3])
    assert first_rows(block, 3) is block
    head = first_rows(block, 2)
    assert (head.rows, head.columns["a"].codes.tolist(), head.columns["b"].numbers.tolist()) == (2, [0, -1], [1, 2])


def test_a_dependency_says_what_each_value_decides() -> None:
    zips = [f"z{row // 5}" for row in range(50)]
    cities = [f"c{row // 10}" for row in range(50)]
    (found,) = dependencies_within(text_block(zip=zips, city=cities))
    assert isinstance(found, Dependency)
    assert (found.kind, found.detector, found.rule_id) == ("dependency", "dependency", "dependency(zip, city)")
    assert found.expected == {f"z{n}": f"c{n // 2}" for n in range(10)}
    assert found.words == "are not what zip says they are"
    now = text_block(zip=["z0", "z9", "z8", None, "new", "z1"], city=["c4", "c4", None, "c0", "c0", "other"])
    assert found.broken(now).tolist() == [True, False, False, False, False, True]
    assert found.broken(text_block(zip=[None, None], city=["c0", "c1"])).tolist() == [False, False]


def test_pairs_of_rows_decide_but_single_ones_do_not() -> None:
    pairs = [f"z{row // 2}" for row in range(40)]
    thirds = [f"c{row // 8}" for row in range(40)]
    # Each zip stands twice, and of two rows none is sure.
    assert list(dependencies_within(text_block(zip=pairs, city=thirds))) == []
    zips, cities = [f"z{n // 3}" for n in range(39)], [f"c{n // 6}" for n in range(39)]
    (found,) = dependencies_within(text_block(zip=[*zips, "z12"], city=[*cities, "c6"]))
    assert found.columns == ("zip", "city")


def test_a_column_that_is_half_names_of_their_own_still_speaks_of_groups_and_no_more_than_half() -> None:
    zips = [*["z0"] * 6, *["z1"] * 6, *(f"own{n}" for n in range(8))]
    cities = [*["c0"] * 6, *["c1"] * 6, *["c0", "c1"] * 4]
    # Ten names of twenty cells, then eleven of twenty-one.
    (found,) = dependencies_within(text_block(zip=zips, city=cities))
    assert found.columns == ("zip", "city")
    assert list(dependencies_within(text_block(zip=[*zips, "own8"], city=[*cities, "c0"]))) == []


# --- Identities and ratios --------------------------------------------------------------------------------------------


def _ints(count: int, factor: int, modulus: int, least: int = 2) -> list[int]:
    return [n * factor % modulus + least for n in range(count)]


def test_what_ends_before_it_began_is_told_of_times_where_one_in_twenty_does() -> None:
    day = np.datetime64("2026-01-01")
    begun = [day + 37 * n % 300 for n in range(100)]

    def broken(wrong: int) -> list[list[int]]:
        ended = [at - 9 if n < wrong else at + n % 60 + 1 for n, at in enumerate(begun)]
        block = text_block(begun=begun, ended=ended)
        orders = [test for test in detect(block) if test.detector == "order"]
        assert all(test.columns == ("begun", "ended") for test in orders)
        return [np.flatnonzero(test.broken(block)).tolist() for test in orders]

    assert (broken(5), broken(6)) == ([list(range(5))], [])
    numbers = text_block(a=[7 * n % 100 for n in range(100)], b=[7 * n % 100 + n % 60 + 1 for n in range(100)])
    assert not any(test.detector == "order" for test in detect(numbers)), "numbers may lie so by chance"


def test_a_part_of_a_sum_is_not_decided_by_it() -> None:
    base = [[3200, 4100, 5200, 6900][n % 4] for n in range(200)]
    bonus = [0 if n % 5 else 100 * (n % 9 + 1) for n in range(200)]
    paid = text_block(base=base, bonus=bonus, gross=[a + b for a, b in zip(base, bonus, strict=True)])
    assert {test.columns for test in dependencies_within(paid)} >= {("gross", "base")}
    kinds = {test.kind: test.columns for test in detect(paid) if test.kind in ("dependency", "identity")}
    assert kinds == {"identity": ("base", "bonus", "gross")}


def test_a_column_that_is_the_sum_of_two_is_told_once() -> None:
    one, other = list(range(100, 140)), _ints(40, 17, 41, 500)
    block = text_block(one=one, other=other, total=[a + b for a, b in zip(one, other, strict=True)])
    (found,) = identities_within(block)
    assert (found.kind, found.detector, found.columns) == ("identity", "identity+", ("one", "other", "total"))
    assert (found.operation, found.weight) == ("+", weights.IDENTITY)
    assert found.words == "are not one + other"


@pytest.mark.parametrize(("broken", "count"), [(24, 1), (25, 0)])
def test_an_identity_is_shown_from_four_tenths_on(broken: int, count: int) -> None:
    one, other = list(range(100, 140)), _ints(40, 17, 41, 500)
    total = [a + b + (1_000 + n * n if n < broken else 0) for n, (a, b) in enumerate(zip(one, other, strict=True))]
    found = list(identities_within(text_block(one=one, other=other, total=total)))
    assert [identity.weight for identity in found] == [0.0] * count
    assert list(identities_within(text_block(one=one, other=other, total=total), least=0.9)) == []


@pytest.mark.parametrize(("ones", "is_found"), [(10, True), (11, False)])
def test_rows_times_one_tell_nothing_of_a_product(ones: int, is_found: bool) -> None:
    count = [1 if n < ones else n for n in range(40)]
    price = _ints(40, 17, 41, 30)
    block = text_block(count=count, price=price, total=[c * p for c, p in zip(count, price, strict=True)])
    found = [identity.columns for identity in identities_within(block) if identity.operation == "*"]
    assert found == ([("count", "price", "total")] if is_found else [])


def test_columns_of_numbers_take_more_than_two_values() -> None:
    block = text_block(two=[1, 2, 1, None], three=[1, 2, 3, None], text=["a", "b", "c", "d"], more=[4, 5, 6, 7])
    assert list(numbers_of_block(block)) == ["three", "more"]
    assert list(numbers_of_block(block, 1)) == ["three"]
    many = text_block(**{f"c{n:02}": [1, 2, 3] for n in range(15)})
    assert list(numbers_of_block(many)) == [f"c{n:02}" for n in range(14)]


def test_amounts_are_above_zero_and_of_many_sizes() -> None:
    assert _is_measure(np.array([*map(float, range(10, 30)), np.nan]))
    assert not _is_measure(np.arange(10.0, 29.0)), "nineteen sizes"
    assert not _is_measure(np.arange(0.0, 30.0))
    assert not _is_measure(np.arange(-1.0, 30.0))
    # From 71 to 91: 72 and 90 a twentieth from the ends, a quarter as much again and no more.
    assert not _is_measure(np.arange(71.0, 92.0))
    # From 70 to 90 it is 71 and 89: 1.254 times.
    assert _is_measure(np.arange(70.0, 91.0))


def test_how_wide_logarithms_lie() -> None:
    assert _width(np.arange(30.0)) == pytest.approx(0.8 * 29)
    assert _width(np.arange(29.0)) == 0.0


def _with_far(dense: int, far: int) -> np.ndarray:
    return np.array([*range(dense), *range(500, 500 + far)], float)


def test_a_band_ends_where_values_thin_out() -> None:
    # Eight in ten of a hundred are 0 to 79; beyond, values lie as dense up to 89.
    assert _band_of(_with_far(90, 10)) == (0.0, 89.0)
    assert _band_of(-_with_far(90, 10)) == (-89.0, 0.0)
    assert _band_of(_with_far(80, 20)) == (0.0, 79.0), "two in ten lie beyond"
    assert _band_of(_with_far(79, 21)) is None
    assert _band_of(_with_far(100, 0)) is None, "none lies beyond"
    assert _band_of(_with_far(29, 1)) == (0.0, 28.0)
    assert _band_of(_with_far(28, 1)) is None, "of 29 nothing is told"
    assert _band_of(np.array([5.0] * 50 + [9.0])) is None


def test_a_cliff_is_three_times_as_dense_within_as_beyond() -> None:
    # Two steps before the end: (6, 10]; two behind it: (10, 14].
    assert _is_cliff(np.array([7, 8, 9, 11.0]), 10, 2)
    assert not _is_cliff(np.array([7, 8, 9, 11, 12.0]), 10, 2)
    assert _is_cliff(np.array([6, 7, 8, 9, 10, 14, 14.5]), 10, 2) is True
    assert not _is_cliff(np.array([6, 8, 9.0]), 10, 2), "two are no three"


def test_the_last_value_before_a_gap() -> None:
    values = np.array([0, 1, 2, 3, 9.0])
    assert _before_gap(values, 3.5, 6, 0.1) == 3.0
    assert _before_gap(values, 3.5, 6, 0.2) == 9.0, "six are no more than thirty usual gaps of .2"
    assert _before_gap(np.array([0, 1, 8, 9.0]), 8.5, 10, 0.1) == 9.0, "a gap well within is none at the end"
    assert _before_gap(values, 20.0, 1, 0.1) == 20.0
    assert _before_gap(values, 5.0, 2, 0.1) == 3.0
    assert _before_gap(values, 7.0, 2, 0.1) == 9.0


def _priced(count: int, far: int) -> Block:
    """Prices that are 1.0 to 1.2 times their costs but for some that are five times."""
    cost = [100 + 37 * n % 400 for n in range(count)]
    factor = [1 + 0.2 * (n * 7 % count) / count for n in range(count)]
    price = [c * (5 if n < far else f) for n, (c, f) in enumerate(zip(cost, factor, strict=True))]
    return text_block(cost=cost, price=[f"{p:.4f}" for p in price])


def test_a_ratio_that_keeps_to_a_band_but_for_a_few() -> None:
    block = _priced(200, 10)
    (found,) = [ratio for ratio in ratios_within(block) if ratio.columns == ("cost", "price")]
    assert (found.kind, found.detector, found.weight) == ("ratio", "ratio", 0.0)
    assert (round(found.low, 2), round(found.high, 2)) == (1.0, 1.2)
    assert np.flatnonzero(found.broken(block)).tolist() == list(range(10))
    assert list(ratios_within(_priced(200, 0))) == []
    # By weight a price varies less than as it stands, and more than by cost alone: the product says nothing new.
    weight = [f"{100 + 70 * (31 * n % 200) / 200:.3f}" for n in range(200)]
    weighed = Block(200, {**block.columns, **text_block(weight=weight).columns})
    assert [ratio.columns for ratio in ratios_within(weighed)] == [("cost", "price")]
    constant = text_block(cost=[100] * 60, price=[100 + n for n in range(60)])
    assert list(ratios_within(constant)) == []
