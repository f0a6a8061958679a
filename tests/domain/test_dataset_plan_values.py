"""What a batch is asked, what is kept of it, and checks of people's own: whole results on small tables."""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import Any

import numpy as np
import pytest
from text_blocks import text_block

from quality_assets.contracts.sources.datasets import Thresholds
from quality_assets.domain.quality.datasets import examine
from quality_assets.domain.quality.datasets.cell_tests import CellTest, NotAmong, OutsideRange
from quality_assets.domain.quality.datasets.examine import Asked, Past, Plan, Rows
from quality_assets.domain.quality.datasets.ordering import Ordering
from quality_assets.domain.quality.datasets.plugins import (
    Offence,
    PluginCheck,
    PluginError,
    check,
    could_not_run,
    finding_of,
    fits,
    listed,
    unknown,
    with_plugins,
    without_examples,
)
from quality_assets.domain.quality.datasets.profile import Profile
from quality_assets.domain.quality.datasets.rules import Record, Rules
from quality_assets.domain.quality.datasets.table_findings import Finding
from quality_assets.domain.quality.datasets.table_score import Verdict
from quality_assets.domain.quality.datasets.tally import Tally
from quality_assets.domain.quality.datasets.thresholds import Measured, failures, what_if
from quality_assets.domain.quality.datasets.values import Block, ColumnForm

# --- Plans ------------------------------------------------------------------------------------------------------------


def test_what_is_no_problem_is_none_with_a_past_or_without() -> None:
    asked = Asked(muted=frozenset(["range(a)", "past_typo(b)"]))
    assert [asked.is_quiet(rule) for rule in ("range(a)", "past_range(a)", "typo(b)", "past_typo(b)", "range(b)")] == [
        True, True, True, True, False,
    ]  # fmt: skip


def test_columns_are_read_as_they_were_last_where_something_was_there() -> None:
    number, text, time = ColumnForm("number"), ColumnForm("text"), ColumnForm("time", "ISO8601")
    first = Profile("1", 10, ("a", "b", "c"), {"a": number, "b": time, "c": number}, {"a": 0.0, "b": 0.5, "c": 1.0})
    second = Profile("2", 10, ("a", "b"), {"a": text, "b": text}, {"a": 0.0, "b": 1.0})
    assert Past([first, second]).forms == {"a": text, "b": time}
    assert Past([Profile("1", 10, ("a",), {"a": number})]).forms == {"a": number}


def test_a_plan_has_the_rules_that_live_and_what_the_batch_suggests() -> None:
    blocks = [text_block(a=[*range(20), *range(20)], b=["x", "y"] * 20) for _ in range(2)]
    now = text_block(a=[*range(20), *range(20)], b=["x", "y"] * 20)
    past = Past((), blocks)
    made = examine.plan(now, past, Asked())
    names = [test.rule_id for test in made.tests]
    assert {"past_range(a)", "past_closed_set(b)", "type(a)", "outlier(a)"} <= set(names)
    assert names.index("past_range(a)") < names.index("type(a)")
    quiet = examine.plan(now, past, Asked(muted=frozenset(["range(a)"])))
    assert [name for name in names if name != "past_range(a)"] == [test.rule_id for test in quiet.tests]
    kinds = examine.plan(now, past, Asked(muted_kinds=frozenset([("range", ("a",)), ("type", ("b",))])))
    assert {test.rule_id for test in made.tests} - {test.rule_id for test in kinds.tests} == {
        "past_range(a)", "past_far_range(a)",
    }  # fmt: skip
    fewer = examine.plan(text_block(b=["x", "y"] * 20), past, Asked())
    assert {test.column for test in fewer.tests} == {"b"}
    assert (made.keeps_examples, made.is_new_group, made.spikes) == (True, False, {})
    hushed = examine.plan(text_block(c=["usual"] * 49 + ["other"]), Past(), Asked(keeps_examples=False))
    (dominant,) = (test for test in hushed.tests if test.detector == "dominant")
    assert dominant.words == "are not the value that nearly all have"
    assert not hushed.keeps_examples


def test_the_ends_of_a_column_that_wanders_lie_farther() -> None:
    def ends(ordering: Ordering, *, is_far: bool = False) -> tuple[float, float]:
        found = examine._widened(OutsideRange("range", "r", ("a",), 0.9, 10.0, 20.0, is_far=is_far), ordering)
        assert isinstance(found, OutsideRange)
        return found.low, found.high

    assert ends(Ordering()) == (10, 20)
    assert ends(Ordering({"a": 0.3})) == (7.5, 22.5)
    assert ends(Ordering({"b": 0.9})) == (10, 20)
    assert ends(Ordering({"a": 0.8}), is_far=True) == (5, 25)
    assert ends(Ordering({"a": 0.79}), is_far=True) == (10, 20)
    assert ends(Ordering(trends={"a": 4.0})) == (10, 24)
    assert ends(Ordering(trends={"a": -4.0})) == (6, 20)
    assert ends(Ordering({"a": 0.3}, trends={"a": 4.0})) == (7.5, 26.5)
    assert ends(Ordering(trends={"a": 4.0}), is_far=True) == (10, 20)
    other = NotAmong("closed_set", "n", ("a",), 0.9)
    assert examine._widened(other, Ordering({"a": 0.9})) is other


def test_keys_are_the_declared_one_and_what_may_be_one() -> None:
    block = text_block(
        id=range(4), name=["a", "b", "c", "d"], size=["1.5", "2", "3", "4"], twice=[1, 1, 2, 3], gap=[1, 2, 3, None]
    )
    assert examine.keys_to_count(block, Past(), Asked()) == [("id",), ("name",)]
    days, hours = [f"2026-01-{n:02}" for n in range(1, 5)], [f"2026-01-01 {n:02}:30:00" for n in range(4)]
    assert examine.keys_to_count(text_block(day=days, at=hours), Past(), Asked()) == [("day",)]
    assert examine.keys_to_count(block, Past(), Asked(key=("twice", "gap"))) == [("twice", "gap"), ("id",), ("name",)]
    assert examine.keys_to_count(block, Past(), Asked(key=("id",))) == [("id",), ("name",)]
    assert examine.keys_to_count(block, Past(), Asked(key=("twice", "gone"))) == [("id",), ("name",)]
    repeats = {"key(id)": 1, "key(twice)": 0, "key(name)": 0}
    past = Past([Profile("1", 4, ("id",), {}, repeats=repeats)])
    assert examine.keys_to_count(block, past, Asked()) == [("name",), ("twice",)]
    broken = Past([*past.profiles, Profile("2", 4, ("id",), {}, repeats=repeats | {"key(twice)": 2})])
    assert examine.keys_to_count(block, broken, Asked()) == [("name",)]
    # What was not counted in one of the past batches is no key by its past.
    unknown_once = Past([*past.profiles, Profile("2", 4, ("id",), {})])
    assert examine.keys_to_count(block, unknown_once, Asked()) == []


def test_a_column_that_counts_its_rows_names_each_once() -> None:
    def judged(numbers: list[object]) -> Verdict:
        block = text_block(id=numbers, city=["Rome", "Oslo"] * (len(numbers) // 2))
        counted = examine.keys_to_count(block, Past(), Asked())
        repeats = {key: len(numbers) - len({*numbers}) for key in counted}
        made = examine.plan(block, Past(), Asked())
        rows = Rows(len(numbers), ("id", "city"), 0, repeats)
        return examine.verdict(rows, block, examine.count([block], made), made, Past(), Asked())

    plain = list(range(1_000, 1_200))
    assert judged([*plain]).score == 1.0
    (found,) = (f for f in judged([*plain[:-6], *plain[:6]]).findings if f.detector == "key")
    assert found.sentence == "6 rows repeat a value of id, which no two rows should share"
    # Two are whole, a hundredth of the rows, and the others by their logarithm.
    assert found.doubt == pytest.approx(0.45 * 2 * (1 + 0.15 * log(3)))
    (named,) = (f for f in judged([f"K-{n}" for n in [*plain[:-6], *plain[:6]]]).findings if f.detector == "key")
    assert (named.columns, named.count) == (("id",), 6)
    for others in (
        [n * 2 for n in plain[:-6]] + [plain[0] * 2] * 6,
        [f"K-{n * 2}" for n in plain[:-6]] + ["K-2000"] * 6,
        [n // 2 for n in plain],
    ):
        assert not [f for f in judged(others).findings if f.detector == "key"], others[:3]


def test_past_rows_are_asked_for_signs_also_where_a_column_goes_on() -> None:
    past = [text_block(a=[-1, -1, *range(18)]), text_block(a=[-1, *range(19)]), text_block(a=[-1] * 11 + [5] * 9)]

    def before(low: float, high: float) -> dict[int, list[tuple[int, int]]]:
        tally = Tally([OutsideRange("outlier", "o", ("a",), 0.5, low, high)], Ordering({"a": 0.9}))
        tally.add(text_block(a=[-1, 0, 30]))
        return examine._before(tally, past)

    # Of the third most are below zero, so that it says nothing.
    assert before(0.0, np.inf) == {0: [(2, 20), (1, 20)]}
    assert before(float(np.nextafter(0.0, 1.0)), np.inf) == {0: [(3, 20), (2, 20)]}
    assert before(0.0, 20.0) == before(-5.0, 20.0) == before(5.0, np.inf) == {}


def test_of_a_sample_ends_lie_within_the_gap_and_of_all_rows_before_it() -> None:
    block = text_block(v=[*range(100, 200), 900], at=[f"2026-03-{1 + n % 30:02}" for n in range(100)] + ["2062-01-01"])

    def ends(is_whole: bool) -> dict[str, tuple[float, float]]:
        tests = examine.plan(block, Past(), Asked(), is_whole).tests
        return {t.detector: (t.low, t.high) for t in tests if isinstance(t, OutsideRange)}

    day, first, last = 86_400.0, _day("2026-03-01"), _day("2026-03-30")
    assert (ends(True)["beyond_gap"], ends(True)["far_times"]) == ((100, 199), (first, last))
    # A quarter of 99 and of 29 days farther; the quartiles of a sample are those of all rows.
    assert ends(False)["beyond_gap"] == (75.25, 223.75)
    assert ends(False)["far_times"] == (first - 7.25 * day, last + 7.25 * day)
    assert ends(True)["outlier"] == ends(False)["outlier"]


def test_a_column_dates_breaches_that_is_declared_or_the_only_one_of_times() -> None:
    days = ["2026-01-01", "2026-01-02"]
    one, two = text_block(a=[1, 2], at=days), text_block(a=[1, 2], at=days, to=days)
    assert examine.clock_of(one, Asked()) == "at"
    assert examine.clock_of(two, Asked()) is None
    assert examine.clock_of(two, Asked(time_column="to")) == "to"
    assert examine.clock_of(one, Asked(time_column="gone")) == "at"
    assert examine.clock_of(text_block(a=[1, 2]), Asked()) is None


def _day(text: str) -> float:
    return float(np.datetime64(text).astype("datetime64[s]").astype(float))


def test_what_is_kept_of_a_batch() -> None:
    block = text_block(
        n=[*range(1, 40), 500], word=["a"] * 30 + ["b"] * 9 + [None], at=["2026-01-02"] * 39 + ["2026-01-05"]
    )
    tests: list[CellTest] = [
        OutsideRange("range", "r", ("n",), 0.9, high=100),
        OutsideRange("range", "s", ("n",), 0.9, high=1000),
        OutsideRange("range", "t", ("n",), 0.9, high=1000),
    ]
    made = Plan(tests, Rules(records={"s(n)": Record(0, 40, 1)}), {"n": (500.0, 0.025, 1)})
    asked, rows = Asked(time_column="at"), Rows(40, ("n", "word", "at"), 4, {("n",): 0, ("word", "at"): 3})
    tally = examine.count([block], made, "at")
    found = (Finding("range", ("n",), 1, 0.1, "", "r", is_alert=True), Finding("volume", (), 1, 1, ""))
    given = Verdict(0.75, {}, found)
    kept = examine.profile("b1", rows, block, tally, made, given, asked)
    assert kept == Profile(
        batch="b1",
        rows=40,
        columns=("n", "word", "at"),
        forms={name: cells.form for name, cells in block.columns.items()},
        missing={"n": 0.0, "word": 0.025, "at": 0.0},
        copied_share=0.1,
        tested={"r(n)": (1, 40), "s(n)": (0, 40)},
        spikes={"n": 0.025},
        repeats={"key(n)": 0, "key(word, at)": 3},
        summary=examine.summary(block, tally),
        first_time=_day("2026-01-02"),
        last_time=_day("2026-01-05"),
        is_normal=False,
        alerts=("r(n)",),
        score=0.75,
    )
    assert kept.summary["word"] == {"kind": "text", "missing": 1, "distinct": 2, "top": [["a", 30], ["b", 9]]}
    assert kept.summary["n"] == {
        "kind": "number", "missing": 0, "distinct": 40, "quantiles": [1, 10.75, 20.5, 30.25, 500],
        "top": [["1", 1], ["2", 1], ["3", 1], ["4", 1], ["5", 1]],
    }  # fmt: skip
    assert kept.summary["at"]["quantiles"] == [_day("2026-01-02")] * 4 + [_day("2026-01-05")]
    bare = examine.profile("b2", replace(rows, rows=0), block, tally, made, replace(given, findings=()), Asked())
    assert (bare.copied_share, bare.is_normal, bare.first_time, bare.last_time) == (4.0, True, None, None)


def test_a_summary_that_shows_no_value() -> None:
    block = text_block(word=["x" * 61, "y"], n=[None, None])
    tally = examine.count([block], Plan([], Rules()))
    assert examine.summary(block, tally, keeps_examples=False) == {
        "word": {"kind": "text", "missing": 0, "distinct": 2}, "n": {"kind": "text", "missing": 2, "distinct": 0},
    }  # fmt: skip
    assert examine.summary(block, tally)["word"]["top"] == [["x" * 60, 1], ["y", 1]]
    above = OutsideRange("range", "r", ("n",), 0.9, high=1)
    silent = examine.count([text_block(n=range(9))], Plan([above], Rules(), keeps_examples=False))
    assert (silent.broken[0], list(silent.examples.get(0, []))) == (7, [])


def _judged(block: Block, past: Past | None = None, *, rows: int = 0, copied: int = 0, **asked: Any) -> Verdict:
    given, said = past or Past(), Asked(**asked)
    made = examine.plan(block, given, said)
    counted = Rows(rows or block.rows, tuple(block.columns), copied, {})
    return examine.verdict(counted, block, examine.count([block], made), made, given, said)


def test_a_batch_is_judged_by_its_weekday_its_time_and_its_columns() -> None:
    monday = ["2026-01-05"] * 40
    profiles = [
        Profile(str(n), 40 if n % 7 else 10, ("at",), {}, {"at": 0.0}, first_time=_day("2026-01-05") - 86_400 * n)
        for n in range(22)
    ]
    past = Past(profiles, (), [_day("2026-01-01"), _day("2026-01-02")])

    def kinds(**asked: Any) -> list[str]:
        return [finding.kind for finding in _judged(text_block(at=monday), past, **asked).findings]

    # Of Mondays ten rows are usual; three days have passed, where one is due each.
    assert kinds(time_column="at", cadence_hours=24.0) == ["freshness", "volume"]
    assert kinds(time_column="at", cadence_hours=48.0) == ["volume"]
    assert kinds(cadence_hours=24.0) == [], "without its time neither is known"
    assert kinds(time_column="at", cadence_hours=24.0, muted=frozenset(["volume"])) == ["freshness"]


def test_copied_rows_may_be_by_chance_where_there_is_no_past() -> None:
    dice = text_block(one=[n % 6 for n in range(360)], other=[n // 6 % 6 for n in range(360)])
    doubt = 1 - (_judged(dice, copied=324).score or 0.0)
    # All of them are as by chance: a trifle each.
    assert doubt == pytest.approx(0.45 * 0.0003 * 324 * 2 / 720)
    assert not _judged(dice, copied=0).findings


# --- Thresholds -------------------------------------------------------------------------------------------------------


def test_past_batches_that_would_fail_are_told_with_why() -> None:
    good, bad = Measured(0.9, 0, 1_000, {}), Measured(0.5, 1, 1_000, {"a": 0.5})
    named = [{"batch_id": str(n), "name": f"{n}.csv", "more": 1} for n in range(3)]
    told = what_if([(named[0], good), (named[1], bad), (named[2], good)], Thresholds())
    assert told == {
        "batches": 3,
        "would_fail": 1,
        "failing": [
            {
                "batch_id": "1",
                "batch": "1.csv",
                "reasons": ["its score is 0.5000, below 0.8", "it raised 1 alert; 0 are let pass"],
            }
        ],
        "sentence": "They fail 1 of the last 3 batches.",
    }
    many = Thresholds(score=None, alerts=None, missing_share=0.5, rows_at_least=1_001)
    assert list(failures(bad, many)) == ["it has 1,000 rows; 1,001 are the least"]
    assert list(failures(bad, Thresholds(score=0.5, alerts=1, missing_share=0.499))) == [
        "50 % of a are missing; 49.9 % are let pass"
    ]


# --- Checks of people's own -------------------------------------------------------------------------------------------

SQL = "from {batch}"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"name": "no way"}, "its name has other signs than letters, digits, _ . and -, or more than 80"),
        ({"name": "x" * 81}, "its name has other signs than letters, digits, _ . and -, or more than 80"),
        ({"name": "-x"}, "its name has other signs than letters, digits, _ . and -, or more than 80"),
        ({"sql": None}, "it is either SQL or a function"),
        ({"function": len}, "it is either SQL or a function"),
        ({"sql": "select 1"}, "its SQL reads nothing of the batch: say {batch} where the table stands"),
        (
            {"sql": "select {column} from {batch}"},
            "its SQL has {column}; say which columns: -- columns: price, *_amount",
        ),
        (
            {"dimension": "beauty"},
            "dimension: 'beauty' is none of completeness, validity, consistency, uniqueness, plausibility, schema,"
            " volume, timeliness",
        ),
        ({"severity": "grave"}, "severity: 'grave' is none of info, low, medium, high, critical"),
        ({"at_most": 1.0}, "at_most: 1 is no share from 0 to below 1"),
        ({"at_most": -0.1}, "at_most: -0.1 is no share from 0 to below 1"),
        ({"timeout_s": 0.0}, "timeout_s: 0 is no time"),
    ],
)
def test_how_a_check_must_be_written(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(PluginError) as caught:
        PluginCheck(**{"name": "c", "sql": SQL} | given)
    assert str(caught.value) == f"{given.get('name', 'c')}: {problem}"


def test_checks_that_are_written_as_they_must_be() -> None:
    assert PluginCheck("x" * 80, SQL).timeout_s == 60.0
    assert PluginCheck("9a.b-c_d", None, len).at_most == 0.0
    priced = PluginCheck("c", "select {column} from {batch}", columns=("price", "*_amount"), at_most=0.999)
    assert priced.columns_among(["id", "price", "net_amount", "amount"]) == ["price", "net_amount"]
    assert PluginCheck("c", SQL).columns_among(["id"]) == [None]
    shops = PluginCheck("c", SQL, datasets=("shop*", "till"))
    assert [shops.concerns(name) for name in ("shop_1", "till", "tills", "SHOP")] == [True, True, False, False]
    assert not fits("a", [])
    assert listed(" a, b ,,c ") == listed(["a", " b", "", "c"]) == ("a", "b", "c")


def test_a_function_becomes_a_check() -> None:
    def positive(batch: object) -> bool:
        """Prices are positive.

        Always.
        """
        return bool(batch)

    plain = check()(positive)
    assert plain == PluginCheck("positive", None, positive, sentence="Prices are positive")
    own = check(
        name="p", dimension="volume", datasets="a, b", columns=["x"], severity="high", at_most=0.1, timeout_s=5.0
    )(positive)
    assert own == PluginCheck(
        "p", None, positive, "volume", ("a", "b"), ("x",), "Prices are positive", "high", 0.1, 5.0
    )
    assert check()(undescribed).sentence == ""


def undescribed(batch: object) -> bool:
    return bool(batch)


def test_what_offends_is_a_finding_whole() -> None:
    asked = PluginCheck("c", SQL, dimension="consistency", severity="high", at_most=0.05, sentence="all is well")
    assert finding_of(asked, ["a", "b"], 100, Offence(6, ("x", "y"))) == Finding(
        "custom", ("a", "b"), 6, 0.06, "6 of 100 rows offend against c of a, b: all is well, such as x", "c", 1.0,
        expected_share=0.05, doubt=6.0, is_alert=True, examples=("x", "y"), severity="high",
        own_dimension="consistency",
    )  # fmt: skip
    quiet = finding_of(replace(asked, severity="info", at_most=0.0), [], 0, Offence(None, statement="it is not"))
    assert quiet == Finding(
        "custom", (), 1, 0.0, "c: it is not", "c", 1.0, expected_share=0.0, severity="low", own_dimension="consistency"
    )
    assert finding_of(asked, [], 0, Offence(6)) is None, "of no rows none offend"
    strict = replace(asked, at_most=0.0)
    assert finding_of(strict, [], 100, Offence(1)) is not None


@pytest.mark.parametrize(
    ("sentence", "offence", "said"),
    [
        ("", Offence(1_234), "1,234 of 9,999 rows offend against c of a"),
        ("", Offence(None), "c of a: it does not hold"),
        ("well", Offence(None), "c of a: well"),
        ("well", Offence(None, ("x",), "it is late"), "c of a: it is late, such as x"),
        ("well", Offence(2, statement="odd"), "2 of 9,999 rows offend against c of a: odd"),
        ("{count} of {rows} in {column}", Offence(1_234, ("x",)), "c: 1,234 of 9,999 in a, such as x"),
        ("only {column}", Offence(1), "c: only a"),
    ],
)
def test_what_offends_in_words(sentence: str, offence: Offence, said: str) -> None:
    found = finding_of(PluginCheck("c", SQL, sentence=sentence), ["a"], 9_999, offence)
    assert found is not None
    assert found.sentence == said


def test_what_could_not_run_is_told_and_named() -> None:
    found = unknown("c", "no column 'secret'", "timeliness", ["a", "b"])
    assert found == Finding(
        "custom", ("a", "b"), 0, 0.0,
        "The check c of a, b could not run, and says nothing of this batch: no column 'secret'",
        "c could not run", severity="medium", is_alert=True, own_dimension="timeliness",
    )  # fmt: skip
    assert unknown("d", "x").sentence == "The check d could not run, and says nothing of this batch: x"
    plain = Finding("custom", (), 1, 0.1, "", "e")
    assert could_not_run([found, plain, unknown("d", "x")]) == {"c", "d"}


def test_findings_that_show_no_value() -> None:
    asked = PluginCheck("c", SQL, sentence="'kept'")
    found = finding_of(asked, [], 10, Offence(1, ("secret",)))
    assert found is not None
    hidden = without_examples(found)
    assert hidden == replace(found, examples=(), sentence="1 of 10 rows offend against c: 'kept'")
    failed = without_examples(unknown("c", "no 'x1' in \"y2\""))
    assert failed.sentence == "The check c could not run, and says nothing of this batch: no '…' in \"…\""
    assert without_examples(hidden) == hidden


def test_the_score_with_what_people_found_themselves() -> None:
    before = (
        Finding("type", ("a",), 3, 0.03, "", doubt=3.0, weight=0.5),
        Finding("range", ("b", "a"), 2, 0.02, "", doubt=2.0),
        Finding("duplicate", (), 9, 0.09, "", doubt=9.0, is_alert=True),
    )
    verdict = Verdict(0.9, {"validity": 0.95, "uniqueness": 1.0, "volume": None}, before)
    own = finding_of(PluginCheck("c", SQL), ["a"], 100, Offence(7))
    assert own is not None
    told = with_plugins(verdict, [own], 100, 2)
    # Five of its seven cells are doubted already; two of 200 are a hundredth.
    assert (told.score, told.dimensions) == (
        pytest.approx(0.89), {"validity": pytest.approx(0.94), "uniqueness": 1.0, "volume": None},
    )  # fmt: skip
    assert [(f.kind, f.doubt) for f in told.findings] == [
        ("duplicate", 9.0), ("custom", 2.0), ("type", 3.0), ("range", 2.0),
    ]  # fmt: skip
    # Volume stands beside the score, of which nothing goes below zero.
    beside = with_plugins(verdict, [replace(own, own_dimension="volume")], 100, 2)
    assert (beside.score, beside.dimensions["volume"]) == (0.9, None)
    all_of_it = with_plugins(verdict, [replace(own, doubt=500.0, columns=("z",))] * 3, 100, 1)
    assert (all_of_it.score, all_of_it.dimensions["validity"]) == (0.0, 0.0)
    assert [f.doubt for f in all_of_it.findings if f.kind == "custom"] == [100.0, 0.0, 0.0]
    whole = with_plugins(verdict, [replace(own, columns=(), doubt=5.0)] * 2, 100, 2)
    assert whole.score == pytest.approx(0.9 - 10 / 200)
    assert with_plugins(verdict, [replace(own, doubt=1.0)], 0, 0).score == 0.9


def test_of_a_few_rows_nothing_is_known_where_nothing_was_asked() -> None:
    def judged(*values: object) -> float | None:
        block = text_block(a=values)
        made = examine.plan(block, Past(), Asked())
        rows = Rows(len(values), ("a",), 0, {})
        return examine.verdict(rows, block, examine.count([block], made), made, Past(), Asked()).score

    assert judged(1) is None
    assert judged(*range(19)) is None
    assert judged(*range(20)) == 1.0
    # One of ten is missing: .15 of the first three hundredths, .01 of the rest.
    assert judged(*range(9), None) == pytest.approx(1 - 0.15 * 0.03 - 0.01 * 0.07)
