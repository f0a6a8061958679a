"""What is wrong with a table, on values worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from text_blocks import text_block

from quality_assets.domain.quality.datasets import examine, weights
from quality_assets.domain.quality.datasets.cell_tests import (
    Dependency,
    Identity,
    OutsideRange,
    Ratio,
    Typo,
    WrongType,
    _different_words,
    signs,
    words_of,
)
from quality_assets.domain.quality.datasets.copies import copies_by_chance
from quality_assets.domain.quality.datasets.dependencies import pairing
from quality_assets.domain.quality.datasets.drifting import (
    freshness_finding,
    schema_findings,
    spike_findings,
    spikes,
    volume_finding,
)
from quality_assets.domain.quality.datasets.edits import SlipIndex, is_slip
from quality_assets.domain.quality.datasets.identities import ratios_within
from quality_assets.domain.quality.datasets.ordering import Ordering, ordering_of, reach, shown_by, stretches
from quality_assets.domain.quality.datasets.profile import Profile, learnt_from
from quality_assets.domain.quality.datasets.rules import Record, live_rules
from quality_assets.domain.quality.datasets.table_findings import DIMENSION_OF, KINDS
from quality_assets.domain.quality.datasets.table_score import excess
from quality_assets.domain.quality.datasets.tails import binomial_tail, scattered_tail
from quality_assets.domain.quality.datasets.tally import Tally
from quality_assets.domain.quality.datasets.values import (
    Block,
    Cells,
    ColumnForm,
    block_of,
    exact_shape,
    form_of,
    loose_shape,
    times_of,
)


def _judged(block: Block, past: examine.Past | None = None, **asked: object) -> tuple[examine.Verdict, Profile]:
    past, said = past or examine.Past(), examine.Asked(**asked)  # type: ignore[arg-type]
    made = examine.plan(block, past, said)
    tally = examine.count([block], made)
    rows = examine.Rows(block.rows, tuple(block.columns), 0, {})
    verdict = examine.verdict(rows, block, tally, made, past, said)
    return verdict, examine.profile(str(block.rows), rows, block, tally, made, verdict, said)


def test_every_kind_has_a_dimension() -> None:
    assert set(KINDS) == set(DIMENSION_OF)


def test_the_form_of_a_value() -> None:
    assert (exact_shape("S10_1678"), loose_shape("A99_9999")) == ("A99_9999", "A9_9")
    assert exact_shape("Ünï 7é") == "Aaa 9a"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2.5", "-3", "4e1"], "number"),
        (["1.5", "2.5", "3.5", "n.v."], "number"),
        (["10115", "20095", "80331", "X1"], "text"),
        (["00115", "20095", "80331"], "text"),
        (["2026-01-31", "2026-02-28"], "time"),
        (["2/24/2003 0:00", "12/31/2003 0:00"], "time"),
        (["1,234", "12,345,678", "7"], "number"),
        (["a", "b"], "text"),
        (["", ""], "text"),
    ],
)
def test_what_a_column_is(values: list[str], kind: str) -> None:
    assert form_of(values, np.ones(len(values), np.int64)).kind == kind


def test_times_are_seconds() -> None:
    assert times_of(["1970-01-02", "no"], "ISO8601")[0] == 86_400
    assert math.isnan(times_of(["1970-01-02", "no"], "ISO8601")[1])
    assert times_of(["31.12.1969"], "%d.%m.%Y").tolist() == [-86_400]


def test_a_token_is_missing_where_it_is_no_code() -> None:
    block = text_block(
        territory=["NA", "EMEA", "NA", "APAC", "EMEA"],
        amount=["1.5", "NA", "2.5", "N/A", None],
        name=["Anna Meier", "n/a", "Bert Kunz", "", "None"],
    )
    assert {name: int(cells.missing.sum()) for name, cells in block.columns.items()} == {
        "territory": 0,
        "amount": 3,
        "name": 2,
    }


@pytest.mark.parametrize(
    ("value", "of", "expected"),
    [
        ("Berlni", "Berlin", True),
        ("Berln", "Berlin", True),
        ("Berrlin", "Berlin", True),
        ("Berlxn", "Berlin", True),
        ("BERLIN", "Berlin", True),
        ("Berlin", "Berlin", False),
        ("Bern", "Berlin", False),
        ("Collectable", "Collectables", False),
        ("S10_1679", "S10_1678", False),
        ("Grade B", "Grade A", False),
        ("Room 12b", "Room 12a", False),
    ],
)
def test_a_slip_of_the_hand(value: str, of: str, expected: bool) -> None:
    assert is_slip(value, of) is expected
    assert bool(SlipIndex([of]).origins(value)) is expected


@given(st.text("abcdefgh", min_size=5, max_size=12), st.data())
def test_a_letter_lost_within_a_word_is_found(word: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(word) - 1))
    slipped = word[:at] + word[at + 1 :]
    assert SlipIndex([word]).origins(slipped) == [word]


def test_tests_count_the_cells_that_break_them() -> None:
    block = text_block(
        a=[1, 2, 3, "x", None], b=[2, 3, 4, 5, 6], c=[2, 6, 13, 5, 6], city=["Rom", "Bon", "Rom", "Bon", "Rom"],
        land=["I", "D", "D", "D", None],
    )  # fmt: skip
    block.columns["a"].form = replace(block.columns["a"].form, kind="number")
    block.columns["a"].of_unique = np.array([1, 2, 3, np.nan])
    found = {
        "type": WrongType("type", "t", ("a",), 0.5),
        "range": OutsideRange("range", "r", ("b",), 0.9, low=3, high=5),
        "identity": Identity("identity", "i", ("a", "b", "c"), 0.9),
        "dependency": Dependency("dependency", "d", ("city", "land"), 0.9, {"Rom": "I", "Bon": "D"}),
        "ratio": Ratio("ratio", "q", ("b", "c"), 0.9, low=1, high=2),
        "typo": Typo("typo", "y", ("city",), 0.9, frozenset(["Rome"]), frozenset(["Rom"])),
    }
    assert {name: np.flatnonzero(test.broken(block)).tolist() for name, test in found.items()} == {
        "type": [3], "range": [0, 4], "identity": [2], "dependency": [2], "ratio": [2], "typo": [],
    }  # fmt: skip


def test_a_cell_is_doubted_once_by_the_surest_test() -> None:
    block = text_block(b=[1, 2, 3, 4])
    wide, narrow = (
        OutsideRange("range", name, ("b",), weight, high=high) for name, weight, high in (("w", 0.9, 3), ("n", 0.4, 1))
    )
    tally = Tally([wide, narrow])
    tally.add(block)
    # 2 and 3 by the narrow one alone, 4 by both.
    assert tally.doubt({0: 0.9, 1: 0.4}) == {"b": pytest.approx(0.4 + 0.4 + 0.9)}


def test_a_column_that_says_another() -> None:
    block = text_block(zip=["1", "1", "1", "2", "2", "3"], city=["A", "A", "B", "C", "C", "D"])
    found = pairing(block.columns["zip"], block.columns["city"])
    assert found is not None
    # Of five rows whose zip stands twice or more, four have its most frequent city; the most frequent of all is 2 of 6.
    assert (found.confidence, found.lift) == (0.8, pytest.approx((0.8 - 1 / 3) / (1 - 1 / 3)))


def test_a_band_of_ratios_ends_at_the_cliff() -> None:
    generator = np.random.default_rng(3)
    quantity, list_price = generator.integers(20, 50, 1000), generator.uniform(30, 210, 1000)
    factor = generator.uniform(0.8, 1.2, 1000)
    factor[:90] = generator.uniform(1.6, 2.6, 90)
    block = text_block(q=quantity.tolist(), msrp=list_price.tolist(), sales=(quantity * list_price * factor).tolist())
    (band,) = [ratio for ratio in ratios_within(block) if ratio.columns == ("q", "msrp", "sales")]
    assert band.broken(block).sum() == 90
    assert (round(band.low, 2), round(band.high, 2)) == (0.8, 1.2)


def test_a_value_at_an_end_that_stands_too_often_is_a_spike() -> None:
    prices = [*range(26, 100), *[100] * 30]
    assert spikes(text_block(price=prices)) == {"price": (100.0, 30 / 104, 30)}
    assert spikes(text_block(price=list(range(26, 100)))) == {}


def _profile(batch: str, rows: int = 100, **more: object) -> Profile:
    return Profile(batch, rows, ("a", "b"), {}, **more)  # type: ignore[arg-type]


def test_columns_lost_new_and_renamed() -> None:
    before = text_block(city=["Rom", "Bonn"] * 20, n=list(range(40)))
    now = text_block(town=["Rom", "Bonn"] * 20, m=[f"x{i}" for i in range(40)])
    past = [Profile("1", 40, ("city", "n"), {})]
    found = schema_findings(("town", "m"), now, past, [before])
    assert [(f.kind, f.columns) for f in found] == [
        ("rename", ("city", "town")),
        ("schema", ("n",)),
        ("schema", ("m",)),
    ]
    assert schema_findings(("n", "city"), before, past, [before]) == []


@pytest.mark.parametrize(("rows", "is_found"), [(100, False), (80, False), (50, True), (190, True)])
def test_rows_beside_the_usual(rows: int, is_found: bool) -> None:
    found = volume_finding(rows, [_profile(str(i), 98 + 2 * i) for i in range(3)])
    assert (found is not None) is is_found
    assert found is None or found.count == abs(rows - 100)


def test_a_gap_longer_than_all_before_is_late() -> None:
    hours = [0, 24, 48, 72]
    times = [3600.0 * h for h in hours]
    assert freshness_finding(times[-1] + 3600 * 35, times) is None
    late = freshness_finding(times[-1] + 3600 * 37, times)
    assert late is not None
    assert late.count == 37
    # Two gaps say nothing yet, unless it is said how often one is due.
    assert freshness_finding(times[2] + 3600 * 99, times[:3]) is None
    assert freshness_finding(times[2] + 3600 * 99, times[:3], 24) is not None


def test_only_batches_without_an_alert_teach_until_it_is_how_it_is_now() -> None:
    calm = [_profile("1"), _profile("2")]
    odd = [_profile(str(i), is_normal=False, alerts=("missing(a)",)) for i in range(3, 6)]
    assert [p.batch for p in learnt_from([*calm, *odd[:2]])] == ["1", "2"]
    assert [p.batch for p in learnt_from([*calm, *odd])] == ["1", "2", "3", "4", "5"]


def test_a_rule_is_alive_only_where_it_held_on_batches_it_was_not_learnt_from() -> None:
    generator = np.random.default_rng(1)
    batches = [
        text_block(
            number=[day * 50 + i for i in range(50)],
            kind=generator.choice(["red", "green", "blue"], 50).tolist(),
            size=generator.uniform(1, 2, 50).round(3).tolist(),
        )
        for day in range(5)
    ]
    alive = {rule.rule_id for rule in live_rules(batches).alive}
    assert {"past_closed_set(kind)", "past_range(size)"} <= alive
    # Numbers that count on are never within the range of those before; theirs reaches as far ahead as it did behind,
    # so that a batch that is left out for its faults puts none of those after it out of range.
    ranges = {rule.column: rule for rule in live_rules(batches).alive if isinstance(rule, OutsideRange)}
    assert not ranges["number"].broken(text_block(number=range(400, 420))).any()
    assert ranges["number"].broken(text_block(number=range(5000, 5020))).all()
    assert live_rules(batches[:1]).alive == ()


def test_what_is_usual_is_taken_off() -> None:
    assert excess(10, 0, 0) == 10
    # Of at most 9 cells in past batches, 9 + 2·3 are within the scatter; the ninth to fifteenth count for a trifle.
    assert excess(20, 8, 9) == pytest.approx(5 + weights.WITHIN_USUAL * 7 + weights.USUAL * 8)
    assert excess(8, 8, 9) == pytest.approx(8 * weights.USUAL)


@given(st.integers(0, 40), st.integers(1, 40), st.floats(0.001, 0.9))
def test_the_chance_of_a_count(count: int, n: int, p: float) -> None:
    if count <= n * p:
        assert binomial_tail(count, n, p) == 1.0
    else:
        assert binomial_tail(count, n, p) == pytest.approx(stats.binom.sf(count - 1, n, p), abs=1e-9)


def test_the_score_of_a_table_worked_out() -> None:
    block = text_block(a=[*range(10, 59), "x"], b=["red"] * 50)
    block.columns["b"].codes[:1] = -1
    verdict, _ = _judged(block)
    # One of 100 cells is of the wrong type; one of 50 of a column without a past is missing.
    doubt = weights.WRONG_TYPE + weights.missing_doubt(1 / 50) * 50
    assert verdict.score == pytest.approx(1 - doubt / 100)
    assert verdict.dimensions["completeness"] == pytest.approx(1 - weights.missing_doubt(1 / 50) * 50 / 100)
    assert verdict.dimensions["uniqueness"] == 1
    assert [(f.kind, f.columns, f.count) for f in verdict.findings] == [("type", ("a",), 1), ("missing", ("b",), 1)]


def test_nothing_checked_has_no_score() -> None:
    verdict, _ = _judged(Block(0, {"a": text_block(a=[]).columns["a"]}))
    assert verdict.score is None
    assert set(verdict.dimensions.values()) == {None}


@pytest.mark.parametrize("kind", ["range", "missing", "type", "closed_set"])
def test_more_errors_never_give_a_better_score(kind: str) -> None:
    generator = np.random.default_rng(2)

    def day() -> dict[str, list[object]]:
        return {
            "amount": generator.normal(50, 5, 200).round(2).tolist(),
            "color": generator.choice(["red", "green", "blue"], 200).tolist(),
        }

    past_blocks = [text_block(**day()) for _ in range(5)]
    past = examine.Past([_judged(block)[1] for block in past_blocks], past_blocks)
    clean = day()
    scores = {True: [], False: []}
    for share in (0, 0.01, 0.05, 0.1, 0.2, 0.3):
        table = {name: list(values) for name, values in clean.items()}
        for i in range(round(share * 200)):
            name, value = {"range": ("amount", 900 + i), "missing": ("amount", None), "type": ("amount", "err"),
                           "closed_set": ("color", "mauve")}[kind]  # fmt: skip
            table[name][i] = value
        texts = {n: pa.array([None if v is None else str(v) for v in vs], pa.string()) for n, vs in table.items()}
        for has_past in (True, False):
            block = block_of(pa.table(texts), past.forms if has_past else None)
            scores[has_past].append(_judged(block, past if has_past else None)[0].score)
    assert scores[True] == sorted(scores[True], reverse=True)
    assert len(set(scores[True])) == 6
    assert scores[False] == sorted(scores[False], reverse=True) or kind == "closed_set"


def test_what_stands_together_is_one_event_unless_it_is_strewn() -> None:
    together, strewn = np.zeros(100, bool), np.zeros(100, bool)
    together[[10, 11, 12, 13, 16, 17, 18, 19]] = True
    strewn[::10] = True
    # Two runs of eight: within three rows of each other they are one stretch, within two they are not.
    assert stretches(together, 3) == 1
    assert stretches(together, 2) == 2
    assert stretches(strewn, 50) == 10
    assert stretches(np.zeros(100, bool), 3) == 0
    assert reach(0.75) == 4


def test_a_file_that_is_sorted_is_ordered_and_one_that_is_not_is_none() -> None:
    series = [
        text_block(t=[100 * i + j for j in range(60)], code=["ab"[(j * 7 + i) % 2] for j in range(60)]) for i in (0, 1)
    ]
    found = ordering_of(series)
    assert found.values == {"t": pytest.approx(1.0)}
    assert found.independent_share("code") == 1.0
    assert found.independent_share("t") == pytest.approx(0.01 / 1.99)


def _walk(batch: int) -> list[float]:
    """A series that sways between −10 and 10, and in the sixth batch goes on to 13."""
    peak = 13 if batch == 5 else 10
    return [round(peak * math.sin(2 * math.pi * j / 120), 2) for j in range(120)]


def _after_five(last: list[float]) -> examine.Verdict:
    past = examine.Past()
    for batch in range(5):
        block = text_block(level=_walk(batch))
        past = examine.Past([*past.profiles, _judged(block, past)[1]], [*past.blocks, block])
    return _judged(text_block(level=last), past)[0]


def test_a_series_that_wanders_on_is_told_by_no_alert_and_strewn_errors_by_one() -> None:
    assert not _after_five(_walk(0)).alerts
    assert not _after_five(_walk(5)).alerts
    strewn = _walk(0)
    strewn[::12] = [80.0] * 10
    (alert,) = (f for f in _after_five(strewn).alerts if f.kind == "range")
    assert (alert.columns, alert.count) == (("level",), 10)
    jumped = [value + 100 for value in _walk(0)]
    assert any(f.kind == "range" and f.count == 120 for f in _after_five(jumped).alerts)


def test_a_rule_that_gave_way_at_once_in_one_step_moves_on() -> None:
    days = [1, 1, 2, 2, 2, 2]
    blocks = [text_block(day=[day] * 40, other=["x", "y"] * 20) for day in days]
    assert not [rule.rule_id for rule in live_rules(blocks).alive if rule.rule_id == "past_closed_set(day)"]
    assert [rule for rule in live_rules(blocks).alive if rule.rule_id == "past_closed_set(other)"]


def test_a_column_that_rises_from_batch_to_batch_has_no_far_end() -> None:
    # Each batch spans a hundred, and each lies ten higher than the one before; or now higher and now lower.
    rising = [text_block(n=[10 * batch + j for j in range(100)]) for batch in range(5)]
    swaying = [text_block(n=[10 * (batch % 2) + j for j in range(100)]) for batch in range(5)]
    assert "past_far_range(n)" not in {rule.rule_id for rule in live_rules(rising).alive}
    assert "past_far_range(n)" in {rule.rule_id for rule in live_rules(swaying).alive}


def _after(days: list[Block], last: Block) -> examine.Verdict:
    past = examine.Past()
    for block in days:
        past = examine.Past([*past.profiles, _judged(block, past)[1]], [*past.blocks, block])
    return _judged(last, past)[0]


def _visits(group: list[str], seed: int, factor: float = 1.0) -> Block:
    generator = np.random.default_rng(seed)
    weight = (generator.lognormal(4, 0.5, len(group)) * factor).round(2)
    return text_block(group=group, weight=weight.tolist())


def test_rows_of_a_group_that_was_never_there_are_no_alert_and_single_strange_ones_are() -> None:
    past = [_visits(["control"] * 200, seed) for seed in range(5)]
    sorted_file = _after(past, _visits(["treated"] * 200, 9, 1.6))
    assert not sorted_file.alerts
    assert (sorted_file.score or 0.0) > 0.99
    strewn = _after(past, _visits(["treated" if row % 20 == 7 else "control" for row in range(200)], 9))
    assert [(f.kind, f.columns, f.count) for f in strewn.alerts] == [("closed_set", ("group",), 10)]


def test_another_unit_is_told_by_its_factor() -> None:
    past = [_visits(["a", "b"] * 100, seed) for seed in range(5)]
    (moved,) = (f for f in _after(past, _visits(["a", "b"] * 100, 9, 1000)).alerts if f.kind == "distribution")
    assert moved.columns == ("weight",)
    assert "as if multiplied by 1000" in moved.sentence


def test_cells_that_come_together_are_worth_fewer() -> None:
    # 0, 30, 0 and 30 of 100: χ² = 4 × 15² / (100 × .15 × .85) = 70.6 over three degrees of freedom.
    record = Record()
    for broken in (0, 30, 0, 30):
        record = record.plus(broken, 100)
    assert record.scatter == pytest.approx(4 * 225 / 12.75 / 3)
    assert Record().plus(3, 100).plus(3, 100).scatter == 1.0
    assert scattered_tail(40, 100, 0.15, 1.0) == pytest.approx(binomial_tail(40, 100, 0.15))
    assert scattered_tail(40, 100, 0.15, 20.0) == pytest.approx(binomial_tail(2, 5, 0.15))


@given(st.lists(st.text(max_size=12), min_size=1, unique=True))
def test_what_hangs_on_the_mask_of_a_value_is_as_of_the_value(values: list[str]) -> None:
    cells = Cells(ColumnForm("text"), np.arange(len(values)), values, np.full(len(values), np.nan))
    assert cells.shapes == [exact_shape(value) for value in values]
    assert cells.loose_shapes == [loose_shape(exact_shape(value)) for value in values]
    masks, codes = cells.masks
    assert [signs(masks[code]) for code in codes] == [signs(value) for value in values]


def test_a_group_that_is_the_same_all_through_is_ordered_by_the_batch_that_first_shows_another() -> None:
    past = ordering_of([text_block(g=["a"] * 40), text_block(g=["a"] * 40)])
    assert past.values == {}
    assert shown_by(text_block(g=["b"] * 40), past).values == {"g": 1.0}
    assert shown_by(text_block(g=["a"] * 40), past).values == {}
    # One step from a to b among 39 neighbours: κ = (38/39 − 1/2) / (1/2).
    assert shown_by(text_block(g=["a"] * 20 + ["b"] * 20), past).values == {"g": pytest.approx(2 * 38 / 39 - 1)}
    assert shown_by(text_block(g=["a", "b"] * 20), past).values == {}


def test_a_column_that_was_empty_so_far_is_read_as_it_is() -> None:
    block = text_block(paid=[None] * 30, n=list(range(30)))
    past = examine.Past([_judged(block)[1]], [block])
    assert set(past.forms) == {"n"}


def test_rows_that_are_alike_by_chance_are_few_doubts() -> None:
    # Sides of two dice: 360 rows of 36 kinds. Of n rows, 60 share each first side: 6 × 60 × 59 / 2 = 10,620 pairs, and
    # 36 × 10 × 9 / 2 = 1,620 of them share the second as well. Two rows agree in a side in 10,620 of 64,620 pairs.
    dice = text_block(one=[r % 6 for r in range(360)], other=[r // 6 % 6 for r in range(360)])
    agree = 10_620 / 64_620
    assert copies_by_chance(dice, 360) == pytest.approx(3 * 9_000 * agree / (1 - agree))
    assert copies_by_chance(dice, 720) == pytest.approx(4 * copies_by_chance(dice, 360))
    told = text_block(name=[f"p{r}" for r in range(98)] + ["p0", "p1"], side=[r % 6 for r in range(98)] + [0, 1])
    assert copies_by_chance(told, 100) < 1
    # With a name that two rows have, alike in the other side and not in the first: the column that explains most
    # is the first side (180 pairs differ in it alone), and not the one of most values (1,620 × 3 × 180 / 64,440 = 14).
    sides = {"one": [r % 6 for r in range(360)], "other": [r // 6 % 6 for r in range(360)]}
    named = text_block(**sides, name=[r // 2 for r in range(360)])
    assert copies_by_chance(named, 360) == pytest.approx(3 * 180 * agree / (1 - agree))
    assert weights.few_copied(324, 360, 324) == pytest.approx(0.0003 * 324)
    assert weights.few_copied(2, 100, 0.0) == pytest.approx(1 + 0.05)


def test_where_all_columns_are_constant_all_rows_are_alike_by_chance() -> None:
    assert copies_by_chance(text_block(a=["x"] * 20, b=["y"] * 20), 20) == 20 * 19 / 2
    # One row of twenty differs in both: 171 of 190 pairs agree in each, so that 0.81 of the pairs would in both.
    nearly = text_block(a=["x"] * 19 + ["u"], b=["y"] * 19 + ["v"])
    assert copies_by_chance(nearly, 20) == pytest.approx(190 * (171 / 190) ** 2)


def test_what_a_table_has_in_several_columns_counts_whole_in_one() -> None:
    assert weights.of_habits([]) == 0
    assert weights.of_habits([1.0, 4.0, 2.0]) == pytest.approx(4 + 0.2 * 3)
    one, other = [None] * 5 + ["x"] * 95, [None] * 2 + ["y"] * 98
    alone = 1 - _judged(text_block(a=one, b=["y"] * 100, n=list(range(100))))[0].score  # type: ignore[operator]
    both = 1 - _judged(text_block(a=one, b=other, n=list(range(100))))[0].score  # type: ignore[operator]
    assert both - alone == pytest.approx(0.2 * weights.missing_doubt(0.02) * 100 / 300)


def test_a_value_that_always_stood_so_often_is_no_new_spike() -> None:
    now = {"price": (0.0, 0.3, 30)}
    usual, never = text_block(price=[0] * 27 + list(range(1, 74))), text_block(price=list(range(1, 101)))
    assert list(spike_findings(now, 100, [usual] * 3, Ordering())) == []
    (found,) = spike_findings(now, 100, [never] * 3, Ordering())
    assert (found.count, found.expected_share, found.examples) == (30, 0.0, ("0",))
    assert found.sentence.startswith("30 values of price")
    (of_all,) = spike_findings(now, 100, [never] * 3, Ordering(), every=90_000)
    assert (of_all.count, of_all.share, of_all.p_value) == (27_000, 0.3, found.p_value)
    assert of_all.sentence.startswith("About 27,000 values of price"), "the rows judged were a sample of so many"
    (hidden,) = spike_findings(now, 100, [never] * 3, Ordering(), keeps_examples=False)
    assert (hidden.examples, "are 0" in hidden.sentence) == ((), False)


def test_a_column_that_goes_one_way_from_batch_to_batch_has_a_trend() -> None:
    rising = [text_block(n=[10 * batch + j for j in range(100)]) for batch in range(5)]
    assert ordering_of(rising).trends == {"n": pytest.approx(40)}
    # Of a range of a hundred, medians of a hundred rows that are one apart may be so by chance.
    assert ordering_of([text_block(n=[batch + j for j in range(100)]) for batch in range(5)]).trends == {}
    assert ordering_of([text_block(n=[10 * (batch % 2) + j for j in range(100)]) for batch in range(5)]).trends == {}


def test_signs_are_known_where_few_values_have_one_of_their_own() -> None:
    def has_rule(names: list[str]) -> bool:
        blocks = [text_block(name=names[part::3]) for part in range(3)]
        return "past_characters(name)" in {rule.rule_id for rule in live_rules(blocks).alive}

    plain = [f"name {a}{b}" for a in "abcdefghijklmno" for b in "abcdefghijklmnopqrst"]
    assert has_rule(plain)
    # Each of the last six has a sign that no other has, so that one of fifty brings one.
    assert not has_rule([*plain[:-6], *(f"name {sign}" for sign in "éàôñüç")])


def _days_of(kinds: list[str], others: list[str]) -> Block:
    return text_block(kind=kinds, other=others)


def test_where_a_rule_gave_way_without_an_error_one_like_it_may_as_well() -> None:
    plain = ["a", "b"] * 50
    days = [_days_of(plain, plain) for _ in range(5)]
    # On the fourth day one of ten rows is of a kind that was never there.
    days[3] = _days_of(["c"] * 10 + plain[10:], plain)
    assert live_rules(days).surprises["past_closed_set"] == (0.1,)

    def is_told(count: int) -> bool:
        strewn = ["z" if i % (100 // count) == 0 else value for i, value in enumerate(plain)]
        alerts = _after(days, _days_of(plain, strewn)).alerts
        return any(f.kind == "closed_set" and f.columns == ("other",) for f in alerts)

    assert not is_told(20)
    assert is_told(25)


def test_a_change_that_the_order_of_a_file_explains_is_no_alert() -> None:
    generator = np.random.default_rng(4)

    def day(is_sorted: bool, of_a: int, middle: float) -> Block:
        group = ["a"] * of_a + ["b"] * (120 - of_a)
        level = generator.normal(middle, 1, 120).round(3)
        if not is_sorted:
            group = generator.permutation(group).tolist()
        return text_block(group=group, level=level.tolist())

    def moved(is_sorted: bool) -> list[bool]:
        past = [day(is_sorted, 60, 0.0) for _ in range(5)]
        verdict = _after(past, day(is_sorted, 12, 4.0))
        return [f.is_alert for f in verdict.findings if f.kind == "distribution" and f.columns == ("level",)]

    assert moved(is_sorted=True) == [False]
    assert moved(is_sorted=False) == [True]


def test_no_value_is_shown_where_none_may_be() -> None:
    block = text_block(
        amount=[*range(100, 149), "secret-1"], flag=["usual"] * 49 + ["secret-2"], level=[7] * 48 + [3, 9],
        price=[4711] * 20 + list(range(30)),
    )  # fmt: skip
    shown, hidden = _judged(block), _judged(block, keeps_examples=False)
    assert {"secret-1", "secret-2", "4711"} <= {e for f in shown[0].findings for e in f.examples}
    assert all(f.examples == () for f in hidden[0].findings)
    said = " ".join(f.sentence for f in hidden[0].findings)
    assert [word for word in ("secret", "usual'", "4711", "not 7") if word in said] == []
    assert [f.rule_id for f in hidden[0].findings] == [f.rule_id for f in shown[0].findings]
    assert hidden[0].score == shown[0].score
    assert all(set(about) == {"kind", "missing", "distinct"} for about in hidden[1].summary.values())


@given(st.lists(st.text(alphabet="ab9_ .é-", max_size=24), max_size=8))
def test_the_different_words_of_values_are_those_of_each(values: list[str]) -> None:
    assert _different_words(values) == {word for value in values for word in words_of(value)}


def test_a_token_is_missing_whatever_else_a_column_holds() -> None:
    cells = block_of(pa.table({"n": pa.array(["1", "NA", " n/a ", None, "2", "nothing at all", "3"])}), {
        "n": ColumnForm("number")
    }).columns["n"]  # fmt: skip
    assert cells.missing.tolist() == [False, True, True, True, False, False, False]
    assert list(cells.uniques) == ["1", "2", "nothing at all", "3"]
