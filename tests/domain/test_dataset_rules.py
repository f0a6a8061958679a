"""What past batches teach, and what a batch then comes to, on values worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log, sqrt

import numpy as np
import pytest
from text_blocks import text_block

from quality_assets.domain.quality.datasets import weights
from quality_assets.domain.quality.datasets.cell_tests import CellTest, NotAmong, OutsideRange, TooManyDecimals
from quality_assets.domain.quality.datasets.profile import Profile
from quality_assets.domain.quality.datasets.rules import Record, Rules, learn, live_rules, pool
from quality_assets.domain.quality.datasets.table_findings import Finding
from quality_assets.domain.quality.datasets.table_score import Counted, Verdict, judge
from quality_assets.domain.quality.datasets.tails import binomial_tail, scattered_tail
from quality_assets.domain.quality.datasets.tally import Tally
from quality_assets.domain.quality.datasets.values import Block


def _learnt(*batches: Sequence[object]) -> dict[str, CellTest]:
    return {rule.detector: rule for rule in learn([text_block(c=batch) for batch in batches])}


def _ends(rules: dict[str, CellTest], detector: str) -> tuple[float, float]:
    rule = rules[detector]
    assert isinstance(rule, OutsideRange)
    return rule.low, rule.high


def test_a_record_adds_up() -> None:
    record = Record().plus(3, 100).plus(1, 100).plus(0, 0)
    assert (record.broken, record.cells, record.batches, record.squares) == (4, 200, 3, pytest.approx(0.1))
    assert record.share == pytest.approx(4.5 / 201)
    assert Record().share == 0.0


def test_a_range_reaches_beyond_its_ends_by_a_quarter_of_its_tail() -> None:
    # Of 0 to 99 the eleventh lies 10 from the end, and a quarter of the way to the median is 12.375.
    rules = _learnt(range(100))
    assert _ends(rules, "past_range") == (0.0, 111.375), "what never was below zero has no business there"
    assert _ends(rules, "past_far_range") == (-12.375 - 99, 111.375 + 99)
    assert _ends(_learnt(range(-50, 50)), "past_range") == (-62.375, 61.375)
    # Of 25 squares the sixth is 25, and a quarter of the way to the median, 144, is 36; at the upper end, of 576, the
    # sixth from there lies 215 below, and a quarter of the way is 108.
    assert _ends(_learnt([n * n for n in range(25)]), "past_range") == (0.0, 576 + 215)
    # Batches that go on reach as far ahead as all of them do behind.
    assert _ends(_learnt(range(100), range(200, 300)), "past_range") == (0.0, 299 + 299)
    assert "past_range" not in _learnt(range(14))
    assert "past_range" in _learnt(range(15))


def test_a_set_is_closed_where_hardly_a_value_is_new() -> None:
    def closed(values: Sequence[object]) -> bool:
        return "past_closed_set" in _learnt(values)

    assert closed(["a"] * 98 + ["b", "c"])
    assert not closed(["a"] * 97 + ["b", "c", "d"])
    assert closed([*range(40)] * 3)
    assert not closed([*range(41)] * 3)
    rule = _learnt(["a"] * 50 + ["b"] * 50)["past_closed_set"]
    assert isinstance(rule, NotAmong)
    assert (rule.allowed, rule.weight) == (frozenset("ab"), weights.PAST_CLOSED_SET)


def test_decimals_forms_and_signs_that_were_seen() -> None:
    rule = _learnt([*range(20), "1.25", "1.5"])["past_decimals"]
    assert isinstance(rule, TooManyDecimals)
    assert rule.most == 2
    assert "past_decimals" in _learnt([*range(20), "0.123456"])
    assert "past_decimals" not in _learnt([*range(20), "0.1234567"])
    # One in ten values may be the only one of its form, however often it stands there.
    keys = [f"K{n}" for n in range(1, 10)] * 10
    assert "past_format" in _learnt([*keys, *["7/x"] * 5])
    assert "past_format" not in _learnt([*[f"K{n}" for n in range(1, 9)] * 10, *["7/x"] * 5])
    assert "past_format" not in _learnt([*[f"K{n}" for n in range(1, 10)] * 2, "7/x"]), "one row in nineteen is new"
    known = _learnt([*keys, *["7/x"] * 5])["past_characters"]
    assert np.flatnonzero(known.broken(text_block(c=["K8", "x/1", "K-1", "8A"]))).tolist() == [2]


def test_what_one_column_always_said_of_another() -> None:
    batch = text_block(k=["p"] * 30 + ["q"] * 30, city=["X"] * 30 + ["Y"] * 15 + ["Z"] * 15)
    found = {rule.rule_id: rule for rule in learn([batch]) if rule.kind == "dependency"}
    # Each city has one k; of k only p says which city.
    assert set(found) == {"past_dependency(city, k)", "past_local_dependency(k, city)"}
    sure, local = found["past_dependency(city, k)"], found["past_local_dependency(k, city)"]
    assert (sure.weight, local.weight) == (weights.PAST_DEPENDENCY, weights.PAST_LOCAL_DEPENDENCY)
    now = text_block(k=["p", "p", "q"], city=["X", "Z", "X"])
    assert (np.flatnonzero(sure.broken(now)).tolist(), np.flatnonzero(local.broken(now)).tolist()) == ([1, 2], [1])


def test_batches_become_one() -> None:
    whole = pool([text_block(a=["x", None, "y"], b=[1, 2, 3]), text_block(a=["y", "z"])])
    cells = whole.columns["a"]
    assert (whole.rows, list(whole.columns), cells.codes.tolist()) == (5, ["a"], [0, -1, 1, 1, 2])
    numbers = pool([text_block(n=[1, 2]), text_block(n=[None, None]), text_block(n=[2, 3])]).columns["n"].numbers
    assert np.nan_to_num(numbers, nan=-1).tolist() == [1, 2, -1, -1, 2, 3]
    assert pool([]).rows == 0
    text, parsed = text_block(n=[1, 2]), text_block(n=[3, 4])
    parsed.columns["n"].has_text = False
    assert (pool([text, text]).columns["n"].has_text, pool([text, parsed]).columns["n"].has_text) == (True, False)


def _colours(*blue: int) -> list[Block]:
    return [text_block(kind=["red"] * 125 + ["green"] * (125 - n) + ["blue"] * n) for n in blue]


def test_a_rule_is_alive_where_no_more_than_four_in_a_thousand_broke_it() -> None:
    rules = live_rules(_colours(0, 0, 0, 0, 1))
    assert "past_closed_set(kind)" in {rule.rule_id for rule in rules.alive}
    # Of five batches it was tried on the last two.
    record = rules.records["past_closed_set(kind)"]
    assert (record.broken, record.cells, record.batches) == (1, 500, 2)
    # Of seven on three, which is less than half; of nine, half of which are four, on three too.
    assert live_rules(_colours(*[0] * 7)).records["past_closed_set(kind)"].batches == 3
    assert live_rules(_colours(*[0] * 9)).records["past_closed_set(kind)"].batches == 3
    assert live_rules(_colours(0, 0)).records["past_closed_set(kind)"].batches == 1
    dead = live_rules(_colours(0, 0, 0, 0, 2))
    assert "past_closed_set(kind)" in dead.dead
    assert "past_closed_set(kind)" not in {rule.rule_id for rule in dead.alive}

    # What gave way at once in one of the last five steps is dead though it has held since; by one in twenty it is not.
    def is_dead(*blue: int) -> bool:
        return "past_closed_set(kind)" in live_rules(_colours(*blue)).dead

    assert is_dead(0, 0, 13, 0, 0, 0, 0)
    assert not is_dead(0, 0, 12, 0, 0, 0, 0)
    assert not is_dead(0, 0, 13, 0, 0, 0, 0, 0)
    assert not is_dead(0, 13, 0, 0, 0, 0), "one batch alone does not show that a column goes on"


def test_a_column_that_falls_from_batch_to_batch_has_no_far_end() -> None:
    falling = [text_block(n=[j - 10 * batch for j in range(100)]) for batch in range(5)]
    assert "past_far_range(n)" not in {rule.rule_id for rule in live_rules(falling).alive}


# --- What it comes to -------------------------------------------------------------------------------------------------

PLAIN = Profile("p", 100, ("a", "b"), {}, missing={"a": 0.0, "b": 0.0})


def _counted(tests: Sequence[CellTest] = (), rows: int = 100, **more: object) -> Counted:
    """A hundred rows of a, from 1 on, and b."""
    tally = Tally(list(tests))
    tally.add(text_block(a=range(1, rows + 1), b=["x"] * rows))
    return Counted(rows, ("a", "b"), tally, **more)  # type: ignore[arg-type]


def _above(high: float, kind: str = "range", detector: str = "r", weight: float = 0.5) -> OutsideRange:
    return OutsideRange(kind, detector, ("a",), weight, high=high)


def _doubt(verdict: Verdict, cells: int = 200) -> float:
    assert verdict.score is not None
    return (1 - verdict.score) * cells


@pytest.mark.parametrize(
    ("test", "doubt"),
    [
        # Up to a tenth of the rows count in full, of outliers and of what is hardly sure two in a hundred.
        (_above(90), 0.5 * 10),
        (_above(80), 0.5 * 10 * (1 + 0.15 * log(2))),
        (_above(90, kind="outlier"), 0.5 * 2 * (1 + 0.15 * log(5))),
        (_above(90, weight=0.08), 0.08 * 2 * (1 + 0.15 * log(5))),
        (_above(90, weight=0.09), 0.09 * 10),
    ],
)
def test_what_a_table_shows_of_itself(test: CellTest, doubt: float) -> None:
    verdict = judge(_counted([test]), Rules(), [], [])
    assert _doubt(verdict) == pytest.approx(doubt)
    dimension = "plausibility" if test.kind == "outlier" else "validity"
    assert verdict.dimensions[dimension] == verdict.score
    assert verdict.dimensions["completeness"] == 1.0


@pytest.mark.parametrize(
    ("detector", "batches", "doubt"), [("r", 1, 5.0), ("r", 2, 0.75), ("typo", 2, 9.5), ("type", 3, 3.0)]
)
def test_with_a_past_what_looks_odd_by_itself_is_worth_what_no_past_batch_showed(
    detector: str, batches: int, doubt: float
) -> None:
    verdict = judge(_counted([_above(90, detector=detector)]), Rules(), [PLAIN] * batches, [])
    assert _doubt(verdict) == pytest.approx(doubt)


def test_a_rule_with_a_record_is_held_against_it() -> None:
    rule = _above(90)
    rules = Rules((rule,), {rule.rule_id: Record(2, 200, 2)})
    past = [replace(PLAIN, tested={rule.rule_id: (1, 100)})] * 3
    (found,) = (f for f in judge(_counted([rule]), rules, past, []).findings if f.kind == "range")
    # Five of five hundred cells: one in a hundred is usual, and up to three are within its scatter.
    assert (found.count, found.share, found.expected_share, found.weight) == (10, 0.1, pytest.approx(0.01), 0.5)
    # Of seven things that are asked.
    chance = binomial_tail(10, 100, 5.5 / 501)
    doubt = 0.5 * (7 + weights.WITHIN_USUAL * 2 + weights.USUAL) / (1 + 7 * chance)
    assert found.doubt == pytest.approx(doubt)
    assert found.p_value == pytest.approx(chance)
    assert (found.is_alert, found.severity) == (True, "high")
    assert found.sentence == "10 values of a lie above 90, such as '91', '92', '93'"
    calm = judge(_counted([rule]), rules, past[:2], [])
    assert not calm.alerts, "two batches are too few to be told by"
    unsure = judge(_counted([replace(rule, weight=0.49)]), rules, past, [])
    assert not unsure.alerts
    strange = judge(_counted([rule], is_new_group=True), rules, past, [])
    assert _doubt(strange) == pytest.approx(0.1 * doubt)
    assert not strange.alerts


def test_a_lost_column_is_a_column_of_wrong_cells() -> None:
    lost = Finding("schema", ("z",), 1, 0.5, "gone", "lost_column")
    verdict = judge(_counted(), Rules(), [], [lost])
    assert (verdict.score, verdict.dimensions["schema"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert judge(_counted(), Rules(), [], [replace(lost, detector="new_column")]).score == 1.0
    renamed = judge(_counted(), Rules(), [], [replace(lost, kind="rename", detector="")])
    assert renamed.score == pytest.approx(2 / 3)
    nothing = judge(replace(_counted(), rows=0), Rules(), [], [lost])
    assert (nothing.score, nothing.findings) == (None, (lost,))


def test_lines_that_are_no_rows_have_lost_all_their_cells() -> None:
    alone = judge(_counted(refused_rows=25), Rules(), [], [])
    assert (alone.score, alone.dimensions["schema"], alone.dimensions["validity"]) == (0.8, 0.8, 1.0)
    (found,) = alone.findings
    said = "25 of 125 lines cannot be read as rows, and are not among them"
    assert found.sentence == said
    (named,) = judge(_counted(refused_rows=25, refused_lines=(7, 19, 1200)), Rules(), [], []).findings
    assert named.sentence == f"{said}: lines 7, 19, 1,200, …"
    (one,) = judge(_counted(refused_rows=1, refused_lines=(7,)), Rules(), [], []).findings
    assert one.sentence == "1 of 101 lines cannot be read as rows, and is not among them: line 7"
    assert (found.kind, found.count, found.share, found.doubt) == ("schema", 25, 0.2, 50.0)
    assert (found.expected_share, found.is_alert) == (None, False)
    never = [PLAIN] * 3
    assert [f.is_alert for f in judge(_counted(refused_rows=1), Rules(), never, []).findings] == [True]
    assert [f.is_alert for f in judge(_counted(refused_rows=1), Rules(), never[:2], []).findings] == [False]
    # Of a footer each time, up to three lines are within the scatter of one.
    often = [replace(PLAIN, refused_share=1 / 101)] * 3
    footer = judge(_counted(refused_rows=1), Rules(), often, [])
    assert (footer.findings, footer.score) == ((), pytest.approx(1 - weights.USUAL / 101, abs=1e-9))
    many = judge(_counted(refused_rows=10), Rules(), often, [])
    usual = 110 / 101
    beyond = 10 - (usual + 2 * sqrt(usual)) + weights.WITHIN_USUAL * 2 * sqrt(usual) + weights.USUAL * usual
    assert many.score == pytest.approx(1 - beyond * 2 / 220)
    assert [f.is_alert for f in many.findings] == [True]
    assert judge(_counted(refused_rows=25, muted=frozenset(["refused_rows"])), Rules(), [], []).score == 1.0


def test_copied_rows_and_keys_that_come_again() -> None:
    first = judge(_counted(copied_rows=3), Rules(), [], [])
    assert _doubt(first) == pytest.approx(0.45 * (1 + 0.05 * 2) * 2)
    assert first.dimensions["uniqueness"] == first.score
    assert [f.sentence for f in first.findings] == ["3 of 100 rows are copies of another row"]
    past = [replace(PLAIN, copied_share=0.01)] * 3
    # Of one that is usual up to three are within its scatter.
    within, beyond = (judge(_counted(copied_rows=count), Rules(), past, []) for count in (3, 10))
    chances = [scattered_tail(count, 100, 0.015, 1) for count in (3, 10)]
    trifle = weights.WITHIN_USUAL * 2 + weights.USUAL
    assert (_doubt(within), within.findings) == (pytest.approx(0.9 * trifle * 2 / (1 + 6 * chances[0])), ())
    assert _doubt(beyond) == pytest.approx(0.9 * (7 + trifle) * 2 / (1 + 6 * chances[1]))
    assert judge(_counted(copied_rows=3, muted=frozenset(["copied_rows"])), Rules(), [], []).score == 1.0

    keys = {"copied_rows": 1, "repeats": {("a",): 4}}
    one = _doubt(judge(_counted(copied_rows=1), Rules(), [], []))
    declared = judge(_counted(**keys, declared_key=("a",)), Rules(), [], [])
    assert _doubt(declared) - one == pytest.approx(0.9 * 3)
    (found,) = (f for f in declared.findings if f.columns == ("a",))
    assert found.sentence == "4 rows repeat a value of a, which no two rows should share"
    assert (found.count, found.share, found.p_value) == (4, 0.04, None)
    assert _doubt(judge(_counted(**keys), Rules(), [], [])) == pytest.approx(one)
    unique = [replace(PLAIN, copied_share=0.02, repeats={"key(a)": 0})] * 2
    told = judge(_counted(**keys), Rules(), unique, [])
    assert [f.columns for f in told.findings] == [("a",)]
    assert told.findings[0].p_value == pytest.approx(binomial_tail(4, 100, 0.5 / 201))
    broken = [*unique[:1], replace(PLAIN, copied_share=0.02, repeats={"key(a)": 1})]
    assert judge(_counted(**keys), Rules(), broken, []).findings == ()


def test_missing_cells_beyond_the_usual() -> None:
    counted = _counted()
    counted.tally.missing["a"] = counted.tally.missing_events["a"] = 30
    plain = judge(counted, Rules(), [], [])
    assert _doubt(plain) == pytest.approx(weights.missing_doubt(0.3) * 100)
    past = [replace(PLAIN, missing={"a": share}) for share in (0.05, 0.1, 0.09)]
    verdict = judge(counted, Rules(), past, [])
    (found,) = verdict.findings
    # Eight are usual, ten were most: up to 10 + 2 √10 are within the scatter.
    upper = 10 + 2 * 10**0.5
    assert found.doubt == pytest.approx(30 - upper + weights.WITHIN_USUAL * (upper - 8) + weights.USUAL * 8)
    assert _doubt(verdict) == pytest.approx(found.doubt)
    assert found.sentence == "30 of 100 values of a are missing (30 %; 8 % are usual)"
    assert found.p_value == pytest.approx(binomial_tail(30, 100, 0.105))
    assert (found.expected_share, found.is_alert) == (pytest.approx(0.08), True)
    assert judge(replace(counted, muted=frozenset(["missing(a)"])), Rules(), past, []).score == 1.0
    counted.tally.missing["a"] = counted.tally.missing_events["a"] = 16
    assert judge(counted, Rules(), past, []).findings == ()
