"""What was counted in a batch and what that comes to: tallies, doubts, alerts and their words, worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import log

import numpy as np
import pytest
from text_blocks import text_block

from quality_assets.domain.quality.datasets import weights
from quality_assets.domain.quality.datasets.cell_tests import (
    CellTest,
    Dependency,
    NotAmong,
    OutsideRange,
    Typo,
    WrongType,
)
from quality_assets.domain.quality.datasets.copies import copies_by_chance
from quality_assets.domain.quality.datasets.ordering import Ordering
from quality_assets.domain.quality.datasets.profile import Profile
from quality_assets.domain.quality.datasets.rules import Record, Rules
from quality_assets.domain.quality.datasets.table_findings import Finding
from quality_assets.domain.quality.datasets.table_score import Counted, Verdict, beyond_chance, excess, judge
from quality_assets.domain.quality.datasets.tails import binomial_tail, scattered_tail
from quality_assets.domain.quality.datasets.tally import Tally
from quality_assets.domain.quality.datasets.values import Block, Cells, ColumnForm
from quality_assets.domain.quality.score import share_left


def _above(high: float, column: str = "a", kind: str = "range", detector: str = "r", weight: float = 0.5) -> CellTest:
    return OutsideRange(kind, detector, (column,), weight, high=high)


PLAIN = Profile("p", 100, ("a", "b"), {}, missing={"a": 0.0, "b": 0.0})


def _counted(tests: Sequence[CellTest] = (), block: Block | None = None, **more: object) -> Counted:
    """A hundred rows of a, from 1 on, and b; or a block."""
    counted = block or text_block(a=range(1, 101), b=["x"] * 100)
    tally = Tally(list(tests), more.pop("ordering", Ordering()))  # type: ignore[arg-type]
    tally.add(counted, more.pop("clock", None))  # type: ignore[arg-type]
    return Counted(counted.rows, tuple(counted.columns), tally, **more)  # type: ignore[arg-type]


def _doubt(verdict: Verdict, cells: int = 200) -> float:
    assert verdict.score is not None
    return (1 - verdict.score) * cells


# --- Tallies ----------------------------------------------------------------------------------------------------------


def test_blocks_add_up() -> None:
    wide, narrow = _above(3, weight=0.4), _above(5, detector="n", weight=0.9)
    tally = Tally([wide, narrow, _above(1, column="gone", detector="g")])
    tally.add(text_block(a=[1, 4, 6, None], b=["x", None, "x", "x"]))
    tally.add(text_block(a=[4, 4, 7, 2], b=["x"] * 4))
    assert tally.rows == 8
    assert (dict(tally.broken), dict(tally.missing), dict(tally.filled)) == (
        {0: 5, 1: 2}, {"a": 1, "b": 1}, {"a": 7, "b": 7},
    )  # fmt: skip
    # The surest has the first bit: three rows break the wide one alone, two both.
    assert tally.by_column == {"a": [1, 0], "gone": [2]}
    assert tally.together == {"a": {2: 3, 3: 2}}
    assert tally.examples == {0: ["4", "6", "4", "7"], 1: ["6", "7"]}
    assert tally.doubt({0: 0.4, 1: 0.9}) == {"a": pytest.approx(3 * 0.4 + 2 * 0.9), "gone": 0.0}
    assert tally.doubt({0: 0.4}) == {"a": pytest.approx(5 * 0.4), "gone": 0.0}


def test_examples_are_at_most_as_many_as_asked_for() -> None:
    tally = Tally([_above(0)], most_examples=2)
    tally.add(text_block(a=[1, 1, 2, 3]))
    tally.add(text_block(a=[7]))
    assert tally.examples == {0: ["1", "2"]}
    silent = Tally([_above(0)], most_examples=0)
    silent.add(text_block(a=[1, 2]))
    assert (silent.examples.get(0, []), silent.broken[0]) == ([], 2)
    five = Tally([_above(0)])
    five.add(text_block(a=range(1, 9)))
    assert five.examples == {0: ["1", "2", "3", "4", "5"]}


def test_breaches_are_dated_by_the_clock() -> None:
    days = ["2026-01-01", "2026-01-02", "2026-01-03", None]
    tally = Tally([_above(0)])
    tally.add(text_block(a=[-1, 5, 6, 7], at=days), "at")
    tally.add(text_block(a=[-1, -1, -1, 8], at=days), "at")
    first = np.datetime64("2026-01-02").astype("datetime64[s]").astype(float)
    assert tally.spans == {0: (first, first + 86_400)}
    tally.add(text_block(a=[9, -1, -1, -1], at=days), "at")
    assert tally.spans == {0: (first - 86_400, first + 86_400)}
    unclocked = Tally([_above(0)])
    unclocked.add(text_block(a=[1], at=days[:1]))
    unclocked.add(text_block(a=[1]), "at")
    assert unclocked.spans == {}


def test_what_stands_together_in_an_ordered_column_is_one_event() -> None:
    values = [*range(1, 31), *range(101, 111), *range(31, 61)]
    assert _events(values, Ordering()) == (10, 10)
    assert _events(values, Ordering({"a": 0.5})) == (10, 1)
    # Where it is strewn, each is one.
    strewn = [100 + n if n % 6 == 0 else n for n in range(1, 61)]
    assert _events(strewn, Ordering({"a": 0.5})) == (10, 10)
    # A type is no way on.
    tally = Tally([WrongType("type", "t", ("a",), 0.5)], Ordering({"a": 0.5}))
    tally.add(text_block(a=[*range(90), *["x"] * 5]))
    assert (tally.broken[0], tally.events[0]) == (5, 5)


def _events(values: Sequence[object], ordering: Ordering) -> tuple[int, int]:
    tally = Tally([_above(99)], ordering)
    tally.add(text_block(a=values))
    return tally.broken[0], tally.events[0]


def test_a_text_that_comes_again_in_an_ordered_column_is_the_same_event() -> None:
    test = NotAmong("closed_set", "n", ("a",), 0.5, frozenset(["x"]))
    tally = Tally([test], Ordering({"a": 0.5}))
    # Three stretches, of two values.
    between = ["x"] * 10
    tally.add(text_block(a=[*between, *["y"] * 4, *between, *["z"] * 4, *between, *["y"] * 4, *between]))
    assert (tally.broken[0], tally.events[0]) == (12, 2)


def test_a_name_one_slip_from_a_known_one_is_one_event_in_a_stretch_and_each_is_one_where_it_is_strewn() -> None:
    test = Typo("typo", "past_typo", ("a",), 0.9, frozenset(["Niger"]), frozenset(["Niger", "Oman"]))

    def events(values: list[str], r: float) -> tuple[int, int]:
        tally = Tally([test], Ordering({"a": r} if r else {}))
        tally.add(text_block(a=values))
        return tally.broken[0], tally.events[0]

    goes_on = ["Niger"] * 12 + ["Nigera"] * 12 + ["Oman"] * 12
    assert (events(goes_on, 0.9), events(goes_on, 0.0)) == ((12, 1), (12, 12))
    strewn = [value for slip in ("Nigr", "Nger", "Niegr", "Nigeer") for value in (*["Niger"] * 5, slip, *["Niger"] * 5)]
    assert events(strewn, 0.5) == (4, 4)


def test_missing_cells_that_stand_together() -> None:
    def events(ordering: Ordering, missing: int = 10, rows: int = 40) -> int:
        tally = Tally([], ordering)
        tally.add(text_block(a=[*[None] * missing, *["x"] * (rows - missing)]))
        assert tally.missing["a"] == missing
        return tally.missing_events["a"]

    assert events(Ordering()) == 10
    assert events(Ordering(missing={"a": 0.5})) == 1
    assert events(Ordering({"g": 0.5}, few=frozenset(["g"]))) == 1, "a group may lack what others have"
    # Nine in ten are no stretch but all of it.
    assert events(Ordering(missing={"a": 0.5}), 35) == 1
    assert events(Ordering(missing={"a": 0.5}), 36) == 36


# --- Verdicts ---------------------------------------------------------------------------------------------------------


def test_a_share_of_cells() -> None:
    assert [share_left(doubt, 4) for doubt in (-1, 0, 1, 4, 5)] == [1.0, 1.0, 0.75, 0.0, 0.0]
    assert share_left(3, 0) == 1.0
    # Of at most 4, 4 + 2 × 2 are within the scatter; the usual counts where it is more.
    assert excess(9, 1, 4) == pytest.approx(1 + weights.WITHIN_USUAL * 7)
    assert excess(9, 10, 0) == pytest.approx(9 * weights.USUAL)
    assert excess(12, 10, 0) == pytest.approx(2.0 + 10 * weights.USUAL)


@pytest.mark.parametrize(
    ("p_value", "weight", "share", "batches", "told"),
    [
        (0.01 / 6, 0.5, 0.05, 3, (True, "high")),
        (0.01 / 6, 0.5, 0.0499, 3, (True, "medium")),
        (0.0101 / 6, 0.5, 0.05, 3, (False, "low")),
        (0.0, 0.49, 0.05, 3, (False, "low")),
        (0.0, 0.5, 0.05, 2, (False, "medium")),
        (None, 0.5, 0.05, 3, (False, "medium")),
    ],
)
def test_what_chance_hardly_explains_is_an_alert(
    p_value: float | None, weight: float, share: float, batches: int, told: tuple[bool, str]
) -> None:
    # Of two columns without rules six things are asked: one in a hundred is shared among them.
    found = Finding("spike", ("a",), 5, share, "s", weight=weight, p_value=p_value)
    (finding,) = judge(_counted(), Rules(), [PLAIN] * batches, [found]).findings
    assert (finding.is_alert, finding.severity) == told


def test_the_more_is_asked_the_less_may_be_chance() -> None:
    found = Finding("spike", ("a",), 5, 0.1, "s", weight=0.5, p_value=0.01 / 8)

    def is_alert(rules: int) -> bool:
        alive = tuple(_above(1000, detector=f"r{n}") for n in range(rules))
        return bool(judge(_counted(), Rules(alive), [PLAIN] * 3, [found]).alerts)

    assert (is_alert(2), is_alert(3)) == (True, False)
    own = replace(found, is_alert=True, p_value=1.0, severity="low")
    assert judge(_counted(is_new_group=True), Rules(), [PLAIN] * 3, [own]).findings == (own,)
    assert judge(_counted(is_new_group=True), Rules(), [PLAIN] * 3, [found]).alerts == ()


def test_alerts_come_first_and_then_what_is_doubted_most() -> None:
    def named(name: str, doubt: float = 0.0, weight: float = 0.0, *, is_alert: bool = False) -> Finding:
        return Finding("spike", (name,), 1, 0.0, "", weight=weight, doubt=doubt, is_alert=is_alert)

    every = [named("z"), named("y"), named("x", 1, 1), named("w", 1, 2), named("v", 2), named("u", is_alert=True)]
    found = judge(_counted(), Rules(), [], every).findings
    assert [finding.columns[0] for finding in found] == ["u", "v", "w", "x", "y", "z"]


def test_a_finding_is_dated_and_gives_three_examples() -> None:
    def sentence(values: Sequence[object], days: Sequence[str]) -> str:
        block = text_block(a=values, at=days)
        (found,) = judge(_counted([_above(50)], block, clock="at"), Rules(), [], []).findings
        return found.sentence

    same, later = "2026-01-01", "2026-01-02"
    assert sentence([60, 61, 62, 63, *range(40)], [same] * 4 + [later] * 40) == (
        "4 values of a lie above 50, such as '60', '61', '62', all on 2026-01-01"
    )
    assert sentence([60, 61, *range(40)], [same, later] + [later] * 40) == (
        "2 values of a lie above 50, such as '60', '61', all between 2026-01-01 and 2026-01-02"
    )
    assert sentence([60, *range(40)], [same] * 41) == "1 value of a lies above 50, such as '60'"
    long = "x" * 41
    test = NotAmong("closed_set", "n", ("a",), 0.5, frozenset(["y"]))
    (found,) = judge(_counted([test], text_block(a=[long, *["y"] * 40])), Rules(), [], []).findings
    assert found.sentence == f"1 value of a is none of the 1 value that it has had, such as '{'x' * 40}'"
    assert found.examples == (long,)
    quiet = _counted([test], text_block(a=["q", *["y"] * 40]))
    quiet.tally.examples.clear()
    (found,) = judge(quiet, Rules(), [], []).findings
    assert found.sentence == "1 value of a is none of the 1 value that it has had"


def test_of_columns_that_decide_one_the_surest_is_told() -> None:
    block = text_block(p=["1"] * 10 + ["2"] * 10, q=["1"] * 20, c=["X"] * 9 + ["Y"] + ["X"] * 10)
    tests = [
        Dependency("dependency", "d", ("p", "c"), 0.5, {"1": "X"}),
        Dependency("dependency", "d", ("q", "c"), 0.9, {"1": "X"}),
        NotAmong("closed_set", "n", ("c",), 0.5, frozenset("X")),
        NotAmong("closed_set", "m", ("c",), 0.4, frozenset("X")),
    ]
    found = judge(_counted(tests, block), Rules(), [], []).findings
    assert [(f.rule_id, f.weight) for f in found] == [("d(q, c)", 0.9), ("n(c)", 0.5)]
    again = judge(_counted(list(reversed(tests)), block), Rules(), [], []).findings
    assert [(f.rule_id, f.weight) for f in again] == [("d(q, c)", 0.9), ("n(c)", 0.5)]


def test_of_a_set_that_is_not_all_seen_yet_so_many_new_values_are_usual() -> None:
    def told(unseen: float) -> list[tuple[float | None, float]]:
        test = NotAmong("closed_set", "n", ("a",), 0.5, frozenset(map(str, range(5, 101))), unseen=unseen)
        rules = Rules((test,), {test.rule_id: Record(1, 400, 2)})
        return [(f.expected_share, f.doubt) for f in judge(_counted([test]), rules, [PLAIN] * 2, []).findings]

    # Of 100 cells four are new, and of 400 past ones one was: .25 are usual, .25 + 2 × √.25 = 1.25 within the scatter.
    (share, doubt), *_ = told(0.0)
    assert share == pytest.approx(0.0025)
    assert 1 < doubt < 0.5 * (4 - 1.25 + 0.002)
    # Where one in fifty is expected to be new, 2 of 100: 2 + 2 × √2 = 4.83 are within it.
    assert told(0.02) == []


def test_what_past_batches_showed_of_a_test_without_a_record_is_usual() -> None:
    test = _above(80)
    past = [replace(PLAIN, tested={test.rule_id: (broken, 100)}) for broken in (2, 4)]
    (found,) = judge(_counted([test]), Rules(), past, []).findings
    # Three are usual, four were most: up to 4 + 2 × 2 are within the scatter; and it weighs .15 of what it did.
    record = Record().plus(2, 100).plus(4, 100)
    by_chance = scattered_tail(20, 100, 6.5 / 201, record.scatter)
    doubt = 0.5 * 0.15 * (12 + weights.WITHIN_USUAL * 5 + weights.USUAL * 3) / (1 + 6 * by_chance)
    assert (found.count, found.share, found.expected_share) == (20, 0.2, pytest.approx(0.03))
    assert (found.weight, found.doubt) == (pytest.approx(0.075), pytest.approx(doubt))
    assert found.p_value == pytest.approx(by_chance)
    # A batch in which it was not tested had none of it.
    (other,) = judge(_counted([test]), Rules(), [past[1], PLAIN], []).findings
    assert other.expected_share == pytest.approx(0.02)
    empty = replace(PLAIN, tested={test.rule_id: (0, 0)})
    (beside_none,) = judge(_counted([test]), Rules(), [past[1], empty], []).findings
    assert beside_none.expected_share == pytest.approx(0.02)
    (first,) = judge(_counted([test]), Rules(), [], []).findings
    assert (first.expected_share, first.p_value, first.weight) == (None, None, 0.5)
    assert first.doubt == pytest.approx(0.5 * 10 * (1 + 0.15 * log(2)))


def test_where_like_rules_gave_way_one_is_worth_three_tenths() -> None:
    test = _above(90)
    records = {test.rule_id: Record(0, 200, 2)}
    past = [PLAIN] * 3

    def found(*shares: float, detector: str = "r") -> Finding:
        rules = Rules((test,), records, surprises={detector: shares})
        (finding,) = judge(_counted([test]), rules, past, []).findings
        return finding

    sure, given_way = found(), found(0.05)
    assert (sure.weight, sure.doubt, sure.is_alert) == (0.5, pytest.approx(5.0), True)
    assert sure.p_value == pytest.approx(binomial_tail(10, 100, 0.5 / 201))
    assert (given_way.weight, given_way.doubt, given_way.p_value) == (pytest.approx(0.15), pytest.approx(1.5), None)
    assert found(0.049) == found(0.05, detector="other") == sure
    assert found(0.01, 0.06) == given_way


def test_of_a_column_that_is_spread_otherwise_so_many_cells_are_doubted_as_moved() -> None:
    past = [PLAIN] * 3
    moved = Finding("distribution", ("a",), 50, 0.5, "", "", 0.5, 0.1, is_alert=True, p_value=0.0)

    def judged(*whole: Finding, tests: Sequence[CellTest] = (), is_new_group: bool = False) -> Verdict:
        records = {test.rule_id: Record(0, 200, 2) for test in tests}
        counted = replace(_counted(tests), is_new_group=is_new_group)
        return judge(counted, Rules(tuple(tests), records), past, whole)

    # Half of the hundred values of a, of which a tenth is usual, at .5 each, of two columns.
    verdict = judged(moved)
    assert _doubt(verdict) == pytest.approx(20)
    assert verdict.dimensions["plausibility"] == pytest.approx(0.9)
    assert verdict.findings[0].doubt == pytest.approx(20)
    # Ten are doubted for themselves, at .5 as well; of the other 95 a fifth each.
    assert _doubt(judged(moved, tests=[_above(90)])) == pytest.approx(5 + 0.2 * 95)
    explained = replace(moved, is_alert=False, p_value=None)
    assert _doubt(judged(explained)) == 0
    assert _doubt(judged(moved, is_new_group=True)) == 0
    # A spike counts as far as chance does not explain it, of six questions: three of each column.
    spike = replace(moved, kind="spike", is_alert=False, p_value=0.5)
    assert _doubt(judged(spike)) == pytest.approx(20 / (1 + 6 * 0.5))
    assert _doubt(judged(spike, moved)) == pytest.approx(20), "the same cells"


def test_what_comes_in_stretches_is_rather_the_way_on() -> None:
    block = text_block(a=[*range(1, 31), *range(101, 111), *range(31, 61)])
    test = _above(99)
    rules = Rules((test,), {test.rule_id: Record(1, 200, 2)})
    counted = _counted([test], block, ordering=Ordering({"a": 0.5}))
    past = [replace(PLAIN, rows=70, columns=("a",))] * 3
    verdict = judge(counted, rules, past, [])
    # One event of ten rows, where 70 × 1 / 200 = .35 is usual and up to .35 + 2 √.35 within the scatter.
    within = 1 - 0.35
    assert verdict.findings == ()
    # Of 70 rows a third are worth one each: one of ⌈70 / 3⌉ where ⌈1 / 3⌉ of ⌈200 / 3⌉ were; four things are asked.
    chance = binomial_tail(1, 24, 1.5 / 68)
    doubt = 0.5 * 0.3 * (weights.WITHIN_USUAL * within + weights.USUAL * 0.35) / (1 + 4 * chance)
    assert _doubt(verdict, 70) == pytest.approx(doubt)


def test_events_are_held_against_rows_that_are_independent() -> None:
    # Ten stretches of three, of rows of which three are worth one.
    values = [v for n in range(10) for v in (*range(1, 31), 101 + n, 102 + n, 103 + n)]
    test = _above(99)
    rules = Rules((test,), {test.rule_id: Record(10, 1000, 2)})
    block = text_block(a=values)
    counted = _counted([test], block, ordering=Ordering({"a": 0.5}))
    assert (counted.tally.broken[0], counted.tally.events[0]) == (30, 10)
    past = [replace(PLAIN, rows=330, columns=("a",))] * 3
    (found,) = judge(counted, rules, past, []).findings
    # ⌈10 / 3⌉ of ⌈1000 / 3⌉, and ten of 330 / 3 rows.
    assert found.p_value == pytest.approx(binomial_tail(10, 110, 4.5 / 335))
    assert found.expected_share == pytest.approx(0.01)


def test_a_finding_that_so_many_questions_bring_by_chance_counts_for_little() -> None:
    # Of 200 questions with a chance of one in a hundred each, two such findings are there anyway: one in three is more.
    assert beyond_chance(0.01, 200) == pytest.approx(1 / 3)
    assert (beyond_chance(None, 200), beyond_chance(0.0, 200), beyond_chance(1.0, 9)) == (1.0, 1.0, 0.1)
    test = _above(99)
    rules = Rules((test,), {test.rule_id: Record(0, 200, 2)})

    def doubt(count: int) -> float:
        block = text_block(a=[*range(100 - count), *[200] * count], b=["x"] * 100)
        return _doubt(judge(_counted([test], block), rules, [PLAIN] * 2, []))

    # One of a hundred is likely where none of two hundred was, of seven questions (a rule, and three a column).
    assert doubt(1) == pytest.approx(0.5 / (1 + 7 * binomial_tail(1, 100, 0.5 / 201)))
    assert doubt(5) == pytest.approx(2.5, rel=1e-3)
    found = [doubt(count) for count in range(30)]
    assert found == sorted(found)


def test_what_past_rows_show_of_the_same_test_is_usual() -> None:
    test = _above(80)
    # Past batches were not asked it, and their rows show as much.
    shown = _doubt(judge(_counted([test], before={0: [(20, 100), (18, 100)]}), Rules(), [PLAIN] * 2, []))
    never = _doubt(judge(_counted([test], before={0: [(0, 100), (0, 100)]}), Rules(), [PLAIN] * 2, []))
    assert never == pytest.approx(0.5 * 0.15 * 20)
    within = weights.WITHIN_USUAL * 1 + weights.USUAL * 19
    assert shown == pytest.approx(0.5 * 0.15 * within / (1 + 6 * binomial_tail(20, 100, 38.5 / 201)))
    # The same of a rule that held lately, and did not in all of them.
    rules = Rules((test,), {test.rule_id: Record(0, 200, 2)})
    lately = judge(_counted([test], before={0: [(30, 100), (0, 100), (0, 100)]}), rules, [PLAIN] * 3, [])
    assert _doubt(lately) < 0.5 * weights.WITHIN_USUAL * 20


def test_a_value_that_now_says_another_throughout_changed_once() -> None:
    test = Dependency("dependency", "d", ("p", "c"), 0.5, {"1": "X", "2": "X"})

    def events(now: str, of: str) -> tuple[int, int]:
        tally = Tally([test])
        tally.add(text_block(p=list(of), c=[None if each == "-" else each for each in now]))
        return tally.broken[0], tally.events[0]

    assert events("YYYYXX", "111122") == (4, 1)
    assert events("YYYXXX", "111122") == (3, 3), "one of its rows says as before"
    assert events("YYYZXX", "111122") == (4, 4), "they do not agree"
    assert events("YYXXXX", "112222") == (2, 2), "two rows are no habit"
    assert events("YYYYYY", "111222") == (6, 2)
    assert events("YYY-", "1119") == (3, 1), "of the last value no row says anything"


def test_missing_cells_of_a_batch_whole() -> None:
    counted = _counted(block=text_block(a=[None] * 10 + list(range(90)), b=["x"] * 100))
    (found,) = judge(counted, Rules(), [], []).findings
    assert found == Finding(
        "missing", ("a",), 10, 0.1, "10 of 100 values of a are missing (10 %)", "missing", 1.0,
        doubt=pytest.approx(weights.missing_doubt(0.1) * 100),  # type: ignore[arg-type]
    )  # fmt: skip
    past = [replace(PLAIN, missing={"a": 0.01})] * 2 + [replace(PLAIN, missing={"b": 0.0})]
    (told,) = judge(counted, Rules(), past, []).findings
    assert told.sentence == "10 of 100 values of a are missing (10 %; 1 % are usual)"
    # At most one, and so three within its scatter; under the most that was, and half a cell, .015.
    chance = binomial_tail(10, 100, 0.015)
    assert told.doubt == pytest.approx((7 + weights.WITHIN_USUAL * 2 + weights.USUAL) / (1 + 6 * chance))
    assert told.p_value == pytest.approx(chance)
    assert (told.expected_share, told.is_alert, told.severity) == (0.01, True, "high")


def test_what_is_often_missing_in_stretches_is_worth_fewer_rows() -> None:
    counted = _counted(
        block=text_block(a=[1 if n % 2 else None for n in range(100)], b=["x"] * 100),
        ordering=Ordering(missing={"a": 0.5}),
    )
    assert (counted.tally.missing["a"], counted.tally.missing_events["a"]) == (50, 50)

    def p_value(usual: float) -> float | None:
        (found,) = judge(counted, Rules(), [replace(PLAIN, missing={"a": usual})] * 2, []).findings
        return found.p_value

    # A third of a hundred rows, rounded up, above five in a hundred.
    assert p_value(0.06) == pytest.approx(binomial_tail(17, 34, 0.06 + 0.5 / 34))
    assert p_value(0.05) == pytest.approx(binomial_tail(50, 100, 0.055))


def test_habits_are_those_of_tables_without_a_past() -> None:
    block = text_block(a=[*range(99), 500], b=[*range(98), 500, 501])
    tests = [_above(400, kind="outlier"), _above(400, column="b", kind="outlier", detector="s")]
    assert _doubt(judge(_counted(tests, block), Rules(), [], [])) == pytest.approx(0.5 * 2 + 0.2 * 0.5)
    records = {test.rule_id: Record(0, 1000, 2) for test in tests}
    with_past = judge(_counted(tests, block), Rules((), records), [PLAIN] * 2, [])
    # One of a hundred where none of a thousand was, and two; six things are asked.
    one, two = (1 / (1 + 6 * binomial_tail(count, 100, 0.5 / 1001)) for count in (1, 2))
    assert _doubt(with_past) == pytest.approx(0.5 * (one + 2 * two))


def test_copied_rows_held_against_the_past_and_against_chance() -> None:
    past = [replace(PLAIN, copied_share=share) for share in (0.0, 0.02)]
    (found,) = judge(_counted(copied_rows=10), Rules(), past, []).findings
    # One is usual; of at most two 2 + 2 √2 are within the scatter.
    upper = 2 + 2 * 2**0.5
    record = Record().plus(0, 100).plus(2, 100)
    by_chance = max(scattered_tail(10, 100, 2.5 / 201, record.scatter), scattered_tail(10, 100, 0.025, record.scatter))
    beyond = 10 - upper + weights.WITHIN_USUAL * (upper - 1) + weights.USUAL
    doubt = 0.9 * beyond * 2 / (1 + 6 * by_chance)
    assert found == Finding(
        "duplicate", (), 10, 0.1, "10 of 100 rows are copies of another row", "copied_rows", 0.9,
        doubt=pytest.approx(doubt), p_value=pytest.approx(by_chance),  # type: ignore[arg-type]
    )  # fmt: skip
    # Nine by chance are nine at most.
    (chance,) = judge(_counted(copied_rows=18, copies_by_chance=9.0), Rules(), past, []).findings
    by_chance = scattered_tail(18, 100, 0.095, record.scatter)
    beyond = 18 - 15 + weights.WITHIN_USUAL * 14 + weights.USUAL
    assert chance.doubt == pytest.approx(0.9 * beyond * 2 / (1 + 6 * by_chance))
    assert chance.p_value == pytest.approx(by_chance)
    plain = judge(_counted(copied_rows=12, copies_by_chance=9.0), Rules(), [], [])
    assert _doubt(plain) == pytest.approx(0.45 * (1 + 0.05 * 2 + 0.0003 * 9) * 2)


def test_keys_that_come_again() -> None:
    keys: Mapping[tuple[str, ...], int] = {("a", "b"): 4}
    unique = replace(PLAIN, repeats={"key(a, b)": 0})
    (found,) = judge(_counted(repeats=keys), Rules(), [unique] * 2, []).findings
    chance = binomial_tail(4, 100, 0.5 / 201)
    assert found == Finding(
        "duplicate", ("a", "b"), 4, 0.04, "4 rows repeat a value of a, b, which no two rows should share", "key", 0.9,
        expected_share=0.0, doubt=pytest.approx(0.9 * 4 * 2 / (1 + 6 * chance)),  # type: ignore[arg-type]
        p_value=pytest.approx(chance),  # type: ignore[arg-type]
    )  # fmt: skip
    assert judge(_counted(repeats=keys), Rules(), [unique], []).findings == ()
    assert judge(_counted(repeats={("a", "b"): 0}), Rules(), [unique] * 2, []).findings == ()
    muted = frozenset(["key(a, b)"])
    assert judge(_counted(repeats=keys, muted=muted), Rules(), [unique] * 2, []).findings == ()
    assert judge(_counted(repeats=keys), Rules(), [unique, PLAIN], []).findings == ()


def test_copies_by_chance_are_none_of_one_row_or_one_column_of_names() -> None:
    assert copies_by_chance(text_block(a=["x"] * 9), 9) == 0.0
    # Of numbers alone, two pairs of seven are alike; of a sample of half the rows four times as many.
    assert copies_by_chance(text_block(a=[1.5, 1.5, 2.5, 3.5, 3.5, 4.5, 5.5]), 14) == 8.0
    assert copies_by_chance(text_block(a=["x"], b=["y"]), 9) == 0.0
    # Two rows alike in both: one pair of one, in both columns, and all rows agree in the last.
    assert copies_by_chance(text_block(a=["x"] * 2, b=["y"] * 2), 2) == 1.0
    assert copies_by_chance(text_block(a=["x"] * 2, b=["y"] * 2), 4) == 4.0
    # Columns that say nothing of each other: nine rows, each pair of values once.
    square = text_block(a=[n % 3 for n in range(9)], b=[n // 3 for n in range(9)])
    # 9 pairs agree in each, of 36; those that agree in one never do in the other.
    assert copies_by_chance(square, 9) == pytest.approx(max(3 * 9 * 0.25 / 0.75, 36 * 0.25 * 0.25))


def test_weights_are_those_that_were_measured() -> None:
    assert weights.few_copied(5, 100, 2.0) == pytest.approx(1 + 0.05 * 2 + 0.0003 * 2)
    assert weights.few_copied(5, 100, 9.0) == pytest.approx(0.0003 * 5)
    assert weights.missing_doubt(0.03) == pytest.approx(0.15 * 0.03)
    assert weights.missing_doubt(0.04) == pytest.approx(0.15 * 0.03 + 0.01 * 0.01)
    named = {name: value for name, value in vars(weights).items() if name.isupper()}
    assert named == {
        "TYPO": 0.97, "WORD_TYPO": 0.2, "STREWN": 0.98, "RARE_FORMAT": 0.45, "EXACT_SHAPE": 0.3, "SEVERAL_FORMS": 0.3,
        "ODD_CHARACTERS": 0.1, "WRONG_TYPE": 0.9, "DEPENDENCY": 0.85, "WEAK_DEPENDENCY": 0.08,
        "DOMINANT": 0.08, "NEARLY_CONSTANT": 0.04, "OUTLIER": 0.045, "FAR_OUTLIER": 0.1,
        "COPIED_ROW": 0.9, "IDENTITY": 0.9, "MOVED": 0.95, "PAST_SHAPE": 0.996, "PAST_CLOSED_SET": 0.99,
        "PAST_FORMAT": 0.98, "PAST_RANGE": 0.97, "PAST_CHARACTERS": 0.97, "PAST_DEPENDENCY": 0.99,
        "PAST_LOCAL_DEPENDENCY": 0.64, "PAST_TYPE": 0.9,
        "ODD_DECIMALS": 0.2, "BROKEN_ENCODING": 0.95, "PLACEHOLDER": 0.8, "PADDED": 0.6,
        "KNOWN_FORM": 0.8, "ORDER": 0.8, "BEYOND_GAP": 0.6, "RARE_VALUE": 0.4,
        "RARE_SIGN": 0.4, "TURNED_SIGN": 0.6, "ODD_ZERO": 0.35,
        "ALONE": 0.12, "PAST_ORDER": 0.9, "PAST_ALONE": 0.9, "PAST_HEAPED": 0.9,
        "PAST_SPREAD": 0.1, "PAST_SPIKE": 0.5, "PAST_RATIO": 0.9,
        "FEW_PARTED": 0.03, "FEW_FORMED": 0.01,
        "FIRST_MISSING": 0.15, "FURTHER_MISSING": 0.01, "FEW_MISSING_SHARE": 0.03, "WITHIN_USUAL": 0.002, "USUAL": 1e-6,
        "FEW_OUTLYING": 0.02, "FEW_COPIED": 0.01, "FEW_ELSE": 0.1, "BEYOND_FEW": 0.15, "COPIED_HERE": 0.45,
        "BEYOND_FEW_COPIED": 0.05, "COPIED_BY_CHANCE": 0.0003, "IN_OTHERS": 0.2,
        "FOR_THE_EYE": {0.045, 0.04},
        "BESIDE_A_PAST_ELSE": 0.15, "BESIDE_A_PAST": {
            "encoding": 0.95, "swapped": 0.95, "shifted": 0.95, "typo": 0.95, "variant": 0.95,
            "beyond_gap": 0.45, "rare_value": 0.9, "rare_sign": 0.9, "odd_zero": 0.1, "decimals": 0.1,
            "placeholder": 0.9, "word_typo": 0.9, "known_form": 0.8, "other_number": 0.8, "far_times": 0.6,
            "padded": 0.6, "type": 0.3, "far_outlier": 0.3, "alone": 0.3,
        },
    }  # fmt: skip


def test_examples_are_distinct_values_and_numbers_of_a_large_table_are_written_plainly() -> None:
    codes = np.array([1, -1, 0, 1, 2])
    where = np.array([True, True, False, True, True])
    text = Cells(ColumnForm("number"), codes, ["7", "8.50", "x"], np.array([7.0, 8.5, np.nan]))
    assert text.distinct_texts(where) == ["8.50", "x"]
    large = Cells(ColumnForm("number"), np.zeros(5, int), [""], np.array([np.nan]), has_text=False)
    large.__dict__["numbers"] = np.array([153.88213579, np.nan, 1.0, 153.88213579, -2e9])
    assert large.distinct_texts(where) == ["153.88213579", "-2000000000"]
