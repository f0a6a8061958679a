"""Tests of cells, one by one: what each flags, and its words; and findings as they are given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from text_blocks import text_block

from quality_assets.domain.quality.datasets.cell_tests import (
    Dependency,
    Identity,
    NotAmong,
    OddShape,
    OutsideRange,
    Ratio,
    TooManyDecimals,
    Typo,
    WrongType,
    agrees,
    ratio_of,
    signs,
    words_of,
)
from quality_assets.domain.quality.datasets.numbers import decimals
from quality_assets.domain.quality.datasets.table_findings import DIMENSION_OF, Finding, rule_id


def test_what_is_of_another_type_by_row_and_by_value() -> None:
    block = text_block(n=[*range(10), "x", None])
    test = WrongType("type", "t", ("n",), 0.5)
    cells = block.columns["n"]
    assert np.flatnonzero(test.broken(block)).tolist() == [10]
    assert np.flatnonzero(test.of_unique(cells)).tolist() == [10]
    assert replace(test, of_kind="time").words == "cannot be read as a date or time"
    near = OutsideRange("range", "r", ("n",), 0.5, low=2, high=7)
    assert near.of_unique(cells).tolist() == [True, True, *[False] * 6, True, True, False]
    assert near.applies(block)
    assert not near.applies(text_block(m=[1]))


def test_ends_grow_by_half_of_their_width_and_zero_stays() -> None:
    near = OutsideRange("range", "r", ("n",), 0.5, low=2, high=6)
    assert (near.widened(0.25).low, near.widened(0.25).high) == (1, 7)
    floor = replace(near, low=0, high=4)
    assert (floor.widened().low, floor.widened().high) == (0, 6)
    far = replace(floor, is_far=True)
    assert (far.widened().low, far.widened().high, far.widened().is_far) == (-2, 6, True)
    assert near.without_values() is near
    assert replace(near, low=6).without_values().words == "are not the value that nearly all have"
    assert NotAmong("closed_set", "n", ("c",), 0.9, frozenset("ab")).without_values().words == (
        "are none of the 2 values that it has had"
    )


def test_how_many_digits_stand_behind_the_point() -> None:
    assert decimals(["1", "1.50", "2.125", "3.", "x.yz", "4.00"]).tolist() == [0, 1, 3, 0, 2, 0]
    test = TooManyDecimals("format", "d", ("n",), 0.5, 1)
    block = text_block(n=["1", "1.5", "2.125", *range(3, 20), "1.2.345"])
    assert np.flatnonzero(test.broken(block)).tolist() == [2]
    assert (test.words, replace(test, most=0).words) == (
        "have more than 1 decimals",
        "have decimals, and all others are whole",
    )


def test_words_have_five_letters_and_signs_are_one_each() -> None:
    assert words_of("The quick-brown fox2jumps über Ölmühle_x") == ["quick", "brown", "jumps", "Ölmühle"]
    assert signs("aB3-é") == {"a", "A", "9", "-", "é"}
    assert signs("") == set()


def test_words_that_are_slips_and_values_that_are() -> None:
    words = Typo("typo", "w", ("c",), 0.5, frozenset(["castle"]), frozenset(["castle", "castel"]), of_words=True)
    values = ["my castel", "my castlle", "castle", "a cas tle", "Cäsar castlee"]
    block = text_block(c=values)
    assert np.flatnonzero(words.broken(block)).tolist() == [1, 4]
    whole = Typo("typo", "v", ("c",), 0.5, frozenset(["castle", "cattle"]), frozenset(["castel"]))
    found = text_block(c=["castel", "castlle", "castle", "cattle", "other"])
    assert np.flatnonzero(whole.broken(found)).tolist() == [1]


def test_forms_that_are_odd_with_lengths_and_without() -> None:
    block = text_block(c=["AB-1", "ABC-12", "AB1", "ab-1"])
    loose = OddShape("format", "f", ("c",), 0.5, frozenset(["A-9"]))
    exact = replace(loose, is_exact=True, shapes=frozenset(["AA-9"]), common="AA-9")
    assert (loose.broken(block).tolist(), exact.broken(block).tolist()) == (
        [False, False, True, True],
        [False, True, True, True],
    )
    assert exact.words == "are written in another form than the usual 'AA-9'"


def test_what_another_column_says_of_cells_that_hold_something() -> None:
    test = Dependency("dependency", "d", ("k", "v"), 0.5, {"p": "X", "q": "gone"})
    block = text_block(k=["p", "p", "p", "q", "r", None], v=["X", "Y", None, "X", "Y", "X"])
    assert test.broken(block).tolist() == [False, True, False, True, False, False]
    assert test.words == "are not what k says they are"


def test_results_agree_as_far_as_they_are_rounded() -> None:
    one, other = np.array([2.0, 2, 2, 2e6, 2e6]), np.array([3.0, 3, 3, 3e6, 3e6])
    product = np.array([6.005, 6.006, 5.994, 6e12 + 6.1e6, 6e12 + 5.9e6])
    assert agrees(one, other, product, "*").tolist() == [True, False, False, False, True]
    assert agrees(one[:1], other[:1], np.array([5.0]), "+").tolist() == [True]
    assert agrees(one[:1], other[:1], np.array([-1.0]), "-").tolist() == [True]
    assert agrees(one[:1], other[:1], np.array([5.0]), "-").tolist() == [False]
    block = text_block(a=[2, 2, None], b=[3, 3, 3], c=[6, 7, 7])
    test = Identity("identity", "i", ("a", "b", "c"), 0.5)
    assert (test.broken(block).tolist(), test.words) == ([False, True, False], "are not a × b")
    assert replace(test, operation="-").words == "are not a - b"


def test_ratios_of_what_lies_above_zero() -> None:
    block = text_block(a=[2, 2, 0, -1, 4, None], b=[3, 0, 3, -3, 1, 1], c=[12, 12, 12, 12, -4, 5], d=[6, 1, 1, 1, 1, 1])
    ratio = ratio_of(block, ("a", "b", "c"))
    assert np.nan_to_num(ratio, nan=-1).tolist() == [2, -1, -1, 4, -1, -1]
    test = Ratio("ratio", "q", ("a", "c"), 0.5, low=6, high=7)
    assert test.broken(block).tolist() == [False, False, False, False, False, False]
    assert replace(test, low=6.5).broken(block).tolist() == [True, True, False, False, False, False]
    assert replace(test, high=5).broken(block).tolist() == [True, True, False, False, False, False]
    assert test.words == "divided by a lie outside 6 to 7, where the others lie"


# --- Findings ---------------------------------------------------------------------------------------------------------


def test_a_finding_as_scripts_are_given_it() -> None:
    found = Finding("range", ("a",), 3, 1 / 3, "s", "past_range", expected_share=2 / 3, examples=("x", "y"))
    assert found.as_dict() == {
        "kind": "range", "dimension": "validity", "columns": ["a"], "count": 3, "share": 0.333333, "sentence": "s",
        "rule": "past_range(a)", "expected_share": 0.666667, "examples": ["x", "y"],
    }  # fmt: skip
    bare = Finding("custom", (), 0, 0.0, "", own_dimension="timeliness")
    assert (bare.dimension, bare.as_dict()["expected_share"], bare.rule_id) == ("timeliness", None, "custom")
    assert rule_id("key", ("a", "b")) == "key(a, b)"
    assert {kind: name for kind, name in DIMENSION_OF.items() if name == "plausibility"} == dict.fromkeys(
        ("outlier", "spike", "distribution"), "plausibility"
    )
