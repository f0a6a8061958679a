"""What past batches teach: the edges of each kind of rule, of trends and of records, worked out by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from text_blocks import text_block

from quality_assets.domain.quality.datasets import weights
from quality_assets.domain.quality.datasets.cell_tests import (
    CellTest,
    Dependency,
    NotAmong,
    OddCharacters,
    OddShape,
    OutsideRange,
    Ratio,
    Typo,
    WrongType,
)
from quality_assets.domain.quality.datasets.numbers import NumberFormat
from quality_assets.domain.quality.datasets.profile import Profile, learnt_from
from quality_assets.domain.quality.datasets.rules import (
    Record,
    Rules,
    _goes_on,
    _has_trend,
    _Surprises,
    learn,
    live_rules,
    pool,
)
from quality_assets.domain.quality.datasets.values import Cells, ColumnForm


def _learnt(*batches: Sequence[object]) -> dict[str, CellTest]:
    return {rule.detector: rule for rule in learn([text_block(c=batch) for batch in batches])}


BESIDE = ("past_alone", "past_heaped")
DAYS = [str(np.datetime64("1970-01-01") + n) for n in range(40)]


# --- Records ----------------------------------------------------------------------------------------------------------


def test_batches_scatter_as_far_as_their_counts_differ() -> None:
    assert Record().plus(1, 100).scatter == 1.0
    # 1 and 9 of 100: .01 + .81 less 10 × .05, over .05 × .95.
    assert Record().plus(1, 100).plus(9, 100).scatter == pytest.approx(0.32 / 0.0475)
    assert Record().plus(10, 10).plus(10, 10).scatter == 1.0
    assert Record().plus(0, 10).plus(0, 10).scatter == 1.0
    assert Record().plus(1, 2).plus(1, 3).plus(1, 2).scatter == 1.0, "closer than chance is chance"
    assert Record().plus(2, 4) == Record(2, 4, 1, 1.0)
    assert Record(2, 4).share == pytest.approx(2.5 / 5)


def test_what_broke_by_surprise_is_three_cells_and_more_than_one_in_forty() -> None:
    def found(*counts: tuple[int, int]) -> dict[str, list[float]]:
        rule, seen = NotAmong("closed_set", "d", ("c",), 0.9), _Surprises()
        for broken, cells in counts:
            seen.see(rule, broken, cells)
        return seen.found

    assert found((0, 100), (3, 100)) == {"d": [0.03]}
    assert found((0, 100), (2, 10)) == {}
    assert found((0, 100), (3, 120)) == {}
    assert found((2, 10), (3, 119)) == {"d": [pytest.approx(3 / 119)]}
    assert found((3, 100), (3, 100)) == {}, "what never held surprises nobody"
    assert found((0, 100), (3, 100), (50, 100)) == {"d": [0.03]}
    assert found((0, 100), (3, 100), (0, 100), (9, 100)) == {"d": [0.03, 0.09]}


# --- Which columns go on ----------------------------------------------------------------------------------------------


def numbered(numbers: Iterable[float]) -> Cells:
    """A column of numbers, a unique each."""
    of_unique = np.array(list(numbers))
    return Cells(ColumnForm("number"), np.arange(len(of_unique)), list(map(str, of_unique)), of_unique)


def test_batches_go_on_where_each_begins_behind_the_last() -> None:
    # Of eleven numbers in steps of one, a tenth lies one from the first and nine tenths nine.
    first = np.arange(11.0)
    assert numbered(first).bulk == (1, 9)
    assert _goes_on([numbered(first), numbered(first + 8.5)])
    assert not _goes_on([numbered(first), numbered(first + 8.0)])
    assert not _goes_on([numbered(first)])
    assert not _goes_on([numbered(first), numbered([np.nan])])
    assert not _goes_on([numbered([np.nan]), numbered(first)])
    assert not _goes_on([numbered(first), numbered(first + 20), numbered(first + 20)])
    assert _goes_on([numbered(first), numbered([np.nan, *first + 20]), numbered(first + 40)])


@pytest.mark.parametrize(
    ("middles", "is_one"),
    [
        ((1, 2, 3), True),
        ((3, 2, 1), True),
        ((1, 2), False),
        ((1, 2, 2), False),
        ((1, 1, 2, 3), True),
        ((3, 3, 2, 1), True),
        ((1, 3, 2), False),
        ((1, 2, 3, 2), False),
        # Five batches are looked at.
        ((9, 1, 2, 3, 4, 5), True),
        ((1, 2, 3, 3, 3), True),
        ((0, 1, 2, 3, 3, 3, 3), False),
        # One of which nothing is known is passed over.
        ((1, None, 2, 3), True),
        ((1, None, 2), False),
    ],
)
def test_a_column_has_a_trend_where_two_steps_went_one_way_and_none_the_other(
    middles: Sequence[float | None], is_one: bool
) -> None:
    numbers = [["1"] * 2 + ["x"] if m is None else [m - 1, m, m, m + 1, ""] for m in middles]
    past = [text_block(n=each) for each in numbers]
    for middle, block in zip(middles, past, strict=True):
        if middle is None:
            block.columns["n"].of_unique = np.full(len(block.columns["n"].uniques), np.nan)
    assert _has_trend(past, "n") is is_one
    assert not _has_trend(past, "other")


# --- Rules ------------------------------------------------------------------------------------------------------------


def test_the_rules_of_a_column_of_numbers() -> None:
    found = _learnt([*range(-20, 20), *range(-20, 20)])
    assert set(found) == {"past_type", "past_range", "past_far_range", "past_closed_set", "past_decimals", *BESIDE}
    kind, near, far = found["past_type"], found["past_range"], found["past_far_range"]
    assert isinstance(kind, WrongType)
    assert isinstance(near, OutsideRange)
    assert isinstance(far, OutsideRange)
    assert (kind.kind, kind.weight, kind.of_kind) == ("type", weights.PAST_TYPE, "number")
    # Of 80 numbers the ninth is the fifth from the end, four beyond it; a quarter of the way to −.5 is 4.875.
    assert (near.low, near.high, near.is_far) == (-20 - 4.875, 19 + 4.875, False)
    assert (far.low, far.high, far.is_far) == (-20 - 4.875 - 39, 19 + 4.875 + 39, True)
    assert (near.kind, near.weight, far.kind, far.weight) == ("range", weights.PAST_RANGE) * 2
    assert near.words == "lie outside −24.875 to 23.875"


def test_times_may_lie_before_1970_and_are_told_without_numbers() -> None:
    found = _learnt(DAYS)
    near, far = found["past_range"], found["past_far_range"]
    assert isinstance(near, OutsideRange)
    assert isinstance(far, OutsideRange)
    # Of 40 days the seventh lies six from the first; a quarter of the way to the middle is 4.875.
    assert (near.low, near.high) == (-6 * 86_400, 45 * 86_400)
    assert (far.low, far.high) == (-45 * 86_400, 84 * 86_400)
    assert near.words == far.words == "lie outside the times that past batches had"
    assert found["past_type"].words == "cannot be read as a date or time"
    assert set(found) == {"past_type", "past_range", "past_far_range", "past_format", "past_shape", "past_characters"}
    ahead = _learnt(DAYS[:20], DAYS[20:])["past_range"]
    assert isinstance(ahead, OutsideRange)
    assert ahead.high == (39 + 39) * 86_400


def test_what_was_parsed_before_has_no_rules_of_its_writing() -> None:
    block = text_block(c=range(40))
    block.columns["c"].has_text = False
    assert [rule.detector for rule in learn([block])] == ["past_type", "past_range", "past_far_range", "past_alone"]


def test_a_thousand_texts_may_be_closed() -> None:
    def is_closed(count: int) -> bool:
        return "past_closed_set" in _learnt([f"v{n}" for n in range(count)] * 2)

    assert (is_closed(1000), is_closed(1001)) == (True, False)
    assert "past_closed_set" not in _learnt([*DAYS, *DAYS])


def test_a_text_that_stood_three_times_is_one_to_slip_from() -> None:
    rule = _learnt(["Berlin"] * 20 + ["Rome"] * 3 + ["Bonn"] * 2)["past_typo"]
    assert isinstance(rule, Typo)
    assert (rule.kind, rule.weight, rule.of_words) == ("typo", weights.TYPO, False)
    assert (rule.common, rule.fine) == (frozenset(["Berlin", "Rome"]), frozenset(["Berlin", "Rome", "Bonn"]))
    assert "past_typo" not in _learnt(range(30))
    assert "past_decimals" not in _learnt(["Berlin"] * 20)


def test_forms_with_their_lengths_and_without() -> None:
    found = _learnt([*["AB1", "AB2"] * 15, *["ABC1", "ABC2"] * 10, *["x-1", "x-2"] * 5])
    loose, exact = found["past_format"], found["past_shape"]
    assert isinstance(loose, OddShape)
    assert isinstance(exact, OddShape)
    assert (loose.weight, exact.weight) == (weights.PAST_FORMAT, weights.PAST_SHAPE)
    assert (loose.shapes, exact.shapes) == (frozenset(["A9", "a-9"]), frozenset(["AA9", "AAA9", "a-9"]))
    assert (loose.is_exact, loose.common, exact.is_exact, exact.common) == (False, "A9", True, "AA9")


def test_two_rows_in_a_hundred_may_be_the_only_ones_of_their_form() -> None:
    def has_forms(*odd: str) -> bool:
        return "past_format" in _learnt([*[f"K{n}" for n in range(1, 50)] * 2, *odd])

    assert has_forms("7/x", "x-7")
    assert not has_forms("7/x", "x-7", "x.7")


def test_signs_that_were_seen_once_are_one_in_two_hundred() -> None:
    rule = _learnt(["abc"] * 199 + ["a#c"])["past_characters"]
    assert isinstance(rule, OddCharacters)
    assert (rule.weight, rule.known) == (weights.PAST_CHARACTERS, frozenset("a#"))
    assert "past_characters" not in _learnt(["abc"] * 198 + ["a#c"])
    assert "past_characters" not in _learnt(["abc"] * 198 + ["a#c", "a!c"])


@pytest.mark.parametrize(
    ("plain", "signs", "is_known"),
    [(35, "!#$%&", False), (34, "!#$%&", True), (36, "!#$%", True), (46, "!#$%&;", False)],
)
def test_of_forty_values_four_may_have_a_sign_of_their_own(plain: int, signs: str, is_known: bool) -> None:
    values = [*[f"n{n}" for n in range(10, 10 + plain)], *[f"n{sign}" for sign in signs]]
    assert ("past_characters" in _learnt(values * 2)) is is_known


def test_what_one_column_says_of_another_by_rule_and_by_single_values() -> None:
    def found(zips: Sequence[str], cities: Sequence[str]) -> dict[str, Dependency]:
        rules = learn([text_block(zip=zips, city=cities)])
        return {rule.rule_id: rule for rule in rules if isinstance(rule, Dependency) and rule.column == "city"}

    # A hundred rows of ten zips: one that says otherwise leaves a rule, and of its zip nothing sure is known.
    zips, cities = [f"z{n // 10}" for n in range(100)], [f"c{n // 20}" for n in range(100)]
    (rule,) = found(zips, cities).values()
    assert (rule.detector, rule.weight) == ("past_dependency", weights.PAST_DEPENDENCY)
    assert rule.expected == {f"z{n}": f"c{n // 2}" for n in range(10)}
    (rule,) = found(zips, ["c4", *cities[1:]]).values()
    assert (rule.detector, sorted(rule.expected)) == ("past_dependency", [f"z{n}" for n in range(1, 10)])
    # Two leave none but those of values that always agree.
    (rule,) = found(zips, ["c4", "c4", *cities[2:]]).values()
    assert (rule.detector, rule.weight) == ("past_local_dependency", weights.PAST_LOCAL_DEPENDENCY)
    assert sorted(rule.expected) == [f"z{n}" for n in range(1, 10)]


def test_a_local_dependency_asks_five_rows_of_a_value_and_three_tenths_of_all() -> None:
    def says(*held: tuple[str, str, int]) -> list[str]:
        """The zips of which a local dependency says the city; each as often as told."""
        zips = [zip_code for zip_code, _, count in held for _ in range(count)]
        cities = [city for _, city, count in held for _ in range(count)]
        rules = learn([text_block(zip=zips, city=cities)])
        (found,) = [r for r in rules if r.rule_id == "past_local_dependency(zip, city)"] or [None]
        return sorted(found.expected) if isinstance(found, Dependency) else []

    mixed = [("m", "A", 10), ("m", "B", 10)]
    assert says(("s", "A", 20), ("t", "B", 20), *mixed) == ["s", "t"]
    # A value that stands four times is not known well enough.
    assert says(("s", "A", 20), ("t", "B", 20), ("u", "B", 4), ("v", "A", 5), *mixed) == ["s", "t", "v"]
    # 12 of 40 rows are sure, and 12 of 41.
    loose = [("m", "A", 14), ("m", "C", 1), ("n", "B", 12), ("n", "C", 1)]
    assert says(("s", "C", 12), *loose) == ["s"]
    assert says(("s", "C", 12), ("m", "A", 1), *loose) == []


def test_batches_are_pooled_in_the_order_of_their_values() -> None:
    one, two = text_block(a=["y", "x", "y"]), text_block(a=["z", None, "x"])
    cells = pool([one, two]).columns["a"]
    assert (list(cells.uniques), cells.codes.tolist()) == (["y", "x", "z"], [0, 1, 0, 2, -1, 1])
    assert pool([one]).columns["a"] is one.columns["a"]
    empty = pool([text_block(a=[None, None]), text_block(a=[None])])
    assert (empty.rows, empty.columns["a"].codes.tolist(), list(empty.columns["a"].uniques)) == (3, [-1] * 3, [])


def test_rules_that_cannot_be_tried_are_none() -> None:
    assert live_rules([]) == live_rules([text_block(a=range(30))]) == Rules()
    # A column that the last batch has no longer is tried on nothing.
    past = [text_block(a=["x"] * 20, b=["y"] * 20), text_block(a=["x"] * 20, b=["y"] * 20), text_block(a=["x"] * 20)]
    assert {rule.column for rule in live_rules(past).alive} == {"a"}


def test_a_rule_must_have_been_learnt_before_each_batch_that_is_held_out() -> None:
    # Of five batches the last two are held out: b comes with the fourth, so that nothing was known of it before.
    narrow, wide = {"a": ["x"] * 20}, {"a": ["x"] * 20, "b": ["y"] * 20}
    late = live_rules([text_block(**narrow) for _ in range(3)] + [text_block(**wide), text_block(**wide)])
    assert {rule.column for rule in late.alive} == {"a"}
    found = live_rules([text_block(**wide) for _ in range(5)])
    assert {rule.column for rule in found.alive} == {"a", "b"}
    assert found.records["past_closed_set(b)"] == Record(0, 40, 2, 0.0)
    assert found.dead == ()


# --- Which batches teach ----------------------------------------------------------------------------------------------


def _profile(batch: str, *alerts: str, is_normal: bool | None = None) -> Profile:
    return Profile(batch, 10, ("a",), {}, is_normal=not alerts if is_normal is None else is_normal, alerts=alerts)


def test_what_three_batches_on_end_say_is_how_it_is_now() -> None:
    def taught(*profiles: Profile, most: int = 10) -> str:
        return "".join(profile.batch for profile in learnt_from(profiles, most))

    odd = [_profile(name, "missing(a)") for name in "345"]
    assert taught(_profile("1"), *odd) == "1345"
    assert taught(_profile("1"), *odd[:2]) == "1"
    assert taught(*odd[:2]) == ""
    # What only one of them says besides keeps that one out.
    assert taught(_profile("1"), *odd[:2], _profile("5", "missing(a)", "r(b)")) == "134"
    assert taught(_profile("1"), odd[0], _profile("4"), odd[2]) == "14"
    assert taught(*odd, _profile("6")) == "6"
    assert taught(*map(_profile, "123456789"), most=3) == "789"
    assert taught(*map(_profile, "abcdefghijkl")) == "cdefghijkl"


def test_a_profile_is_kept_whole() -> None:
    form = ColumnForm("time", "%d.%m.%Y", frozenset(("b", "a")), NumberFormat(",", ".", "€"), ("ISO8601",))
    kept = Profile(
        "b1", 7, ("a", "b"), {"a": form}, {"a": 0.5}, 0.25, {"r(a)": (1, 7)}, {"a": 0.1}, {"key(a)": 2},
        {"a": {"kind": "time"}}, 1.5, 2.5, False, ("r(a)",), 0.75,
    )  # fmt: skip
    told = kept.as_dict()
    assert told["forms"] == {
        "a": {
            "kind": "time", "time_format": "%d.%m.%Y", "missing_tokens": ["a", "b"],
            "number_format": {"decimal": ",", "thousands": ".", "unit": "€"}, "other_time_formats": ("ISO8601",),
        }
    }  # fmt: skip
    told |= {"columns": ["a", "b"], "alerts": ["r(a)"], "tested": {"r(a)": [1.0, 7.0]}}
    assert Profile.from_dict(told) == kept


@pytest.mark.parametrize(("has_commas", "written"), [(True, NumberFormat(thousands=",")), (False, None)])
def test_a_profile_of_before_said_of_numbers_whether_they_have_commas(
    has_commas: bool, written: NumberFormat | None
) -> None:
    told = Profile("b1", 1, ("a",), {"a": ColumnForm("number")}).as_dict()
    told["forms"]["a"] = {"kind": "number", "time_format": None, "missing_tokens": [""], "has_commas": has_commas}
    assert Profile.from_dict(told).forms["a"] == ColumnForm(
        "number", missing_tokens=frozenset(("",)), number_format=written
    )


def test_a_set_of_numbers_says_how_likely_the_next_one_is_new() -> None:
    counts = [0] * 150 + [1] * 40 + [2] * 8 + [5, 9]
    (rule,) = (rule for rule in learn([text_block(c=counts)]) if isinstance(rule, NotAmong))
    # Two of two hundred stand there once.
    assert rule.unseen == 0.01
    (named,) = (r for r in learn([text_block(c=[f"v{count}" for count in counts])]) if isinstance(r, NotAmong))
    assert named.unseen == 0.0


# --- Forms that are known, and lengths --------------------------------------------------------------------------------


def test_a_past_of_one_known_form_or_length_teaches_it() -> None:
    names = [f"{n:08x}-0000-4000-8000-{n * 7919:012x}" for n in range(100)]
    rules = _learnt(names[:50], names[50:])
    now = text_block(c=[*names[:3], names[3][:20], "none yet"])
    assert np.flatnonzero(rules["past_known_form"].broken(now)).tolist() == [3, 4]
    assert rules["past_known_form"].weight == weights.PAST_FORMAT
    assert np.flatnonzero(rules["past_length"].broken(now)).tolist() == [3, 4]
    assert rules["past_length"].weight == weights.PAST_FORMAT
    # Of 250 one is .4 %.
    many = [f"{n:08x}-0000-4000-8000-{n:012x}" for n in range(249)]
    assert "past_known_form" in _learnt([*many, "none yet"])
    assert "past_known_form" not in _learnt([*many[:248], "none yet"])
    assert "past_length" not in _learnt([*many, "none yet"]), "all were of one length"


# --- Ratios -----------------------------------------------------------------------------------------------------------


def _sales(rows: int, low: float = 0.8, high: float = 1.2, step: int = 7) -> dict[str, list[float]]:
    """List prices from 40 to 139, quantities from 10 to 58, and their product times what goes from end to end."""
    price = [40.0 + n * 37 % 100 for n in range(rows)]
    quantity = [10.0 + n * 11 % 49 for n in range(rows)]
    part = [low + (high - low) * (n * step % rows) / (rows - 1) for n in range(rows)]
    return {"price": price, "quantity": quantity, "sales": list(np.multiply(np.multiply(price, quantity), part))}


def test_a_past_teaches_the_band_that_a_ratio_to_two_others_keeps_to() -> None:
    (rule,) = (r for r in learn([text_block(**_sales(200))]) if r.detector == "past_ratio" and r.column == "sales")
    assert isinstance(rule, Ratio)
    assert (rule.kind, rule.columns, rule.weight) == ("ratio", ("price", "quantity", "sales"), weights.PAST_RATIO)
    # From .8 to 1.2 in 199 steps; beyond an end as far as the 15th lies from it, or a quarter of the way to the middle.
    logs = np.log([0.8 + 0.4 * n / 199 for n in range(200)])
    below = max(logs[14] - logs[0], (np.median(logs) - logs[0]) / 4)
    above = max(logs[199] - logs[185], (logs[199] - np.median(logs)) / 4)
    assert (rule.low, rule.high) == (pytest.approx(0.8 * np.exp(-below)), pytest.approx(1.2 * np.exp(above)))
    told = text_block(price=[100, 100, 100, 100], quantity=[20, 20, 20, 20], sales=[2000, 1600, 900, 5000])
    assert rule.broken(told).tolist() == [False, False, True, True]


def test_a_ratio_that_is_an_identity_or_has_no_band_is_not_taught() -> None:
    def taught(**columns: Sequence[object]) -> list[str]:
        return [rule.column for rule in learn([text_block(**columns)]) if rule.detector == "past_ratio"]

    assert "sales" in taught(**_sales(200))
    assert "sales" not in taught(**_sales(200, 1.0, 1.005)), "eight in ten within a two hundred and fiftieth"
    assert "sales" not in taught(**_sales(200, 0.01, 30.0)), "no narrower than the column is"
    wild = _sales(200)
    wild["sales"][:2] = [wild["sales"][0] * 9, wild["sales"][1] / 9]
    assert "sales" not in taught(**wild), "it thins out far beyond"
