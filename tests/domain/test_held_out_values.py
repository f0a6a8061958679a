"""Rows held out, grades of them and who is chosen by these, worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from quality_assets.domain.models.learning import blocks, held_out_rows
from quality_assets.domain.models.learning.blocks import (
    HeldOut,
    RowPlaces,
    grades,
    lead,
    quarters,
    share_interval,
    splits_of,
)
from quality_assets.domain.models.learning.formulas import Mean
from quality_assets.domain.models.learning.held_out_rows import (
    Choice,
    SplitPredictions,
    choose,
    error_of,
    lead_over,
    permuted_r2,
    predicted_splits,
    tried,
    view_rows,
)
from quality_assets.domain.models.learning.learners import drawn_settings
from quality_assets.domain.models.learning.tabular import Candidate, View
from tests.order_rows import LINE, MEAN, PRODUCT, SETTINGS, TREES, TRUTH, VIEW, N, days, places, rows_of, use_case


def predicted_by(splits: list[HeldOut]) -> list[list[int]]:
    """The rows that each split predicts."""
    return [np.flatnonzero(split.test).tolist() for split in splits]


# --- Splits -----------------------------------------------------------------------------------------------------------


def test_rows_at_random_are_a_fifth_and_one_at_least() -> None:
    for rows, wanted in ((10, 2), (14, 2), (15, 3), (3, 1), (1, 1)):
        (split,) = splits_of("random", places(rows), SETTINGS)
        order = np.random.default_rng(0).permutation(rows)
        assert np.flatnonzero(split.test).tolist() == sorted(order[:wanted].tolist())
        assert (split.train == ~split.test).all()


def test_groups_and_areas_are_dealt_out_to_folds() -> None:
    group = np.array([4, 4, 9, 7, 7, 7, 1])
    some = RowPlaces(7, None, group, np.array([0, 1, 0, 1, 0, 1, 0]))
    # Four groups, 1 4 7 9, in as many folds as there are groups.
    dealt = dict(zip([1, 4, 7, 9], (np.random.default_rng(0).permutation(4) % 4).tolist(), strict=True))
    found = splits_of("group", some, SETTINGS)
    assert predicted_by(found) == [[at for at in range(7) if dealt[int(group[at])] == fold] for fold in range(4)]
    assert all((split.train == ~split.test).all() for split in found)
    assert len(splits_of("group", some, replace(SETTINGS, folds=3))) == 3
    assert len(splits_of("group", places(9), SETTINGS)) == 5
    assert sorted(predicted_by(splits_of("spatial", some, SETTINGS))) == [[0, 2, 4, 6], [1, 3, 5]]
    assert splits_of("spatial", places(9), SETTINGS) == []
    assert splits_of("group", RowPlaces(3, None, np.zeros(3, dtype=int), None), SETTINGS) == []
    assert len(splits_of("group", RowPlaces(3, None, np.array([0, 0, 1]), None), SETTINGS)) == 2
    assert [splits_of(name, places(9), SETTINGS) for name in ("time", "rolling")] == [[], []]  # type: ignore[arg-type]


def test_blocks_are_areas_where_there_are_any() -> None:
    both = RowPlaces(3, np.array([5, 6, 7]), np.array([1, 1, 2]), np.array([8, 9, 9]))
    assert both.block.tolist() == [8, 9, 9]
    assert replace(both, area=None).block.tolist() == [1, 1, 2]
    some = both.taken(np.array([True, False, True]))
    assert (some.rows, some.day.tolist(), some.group.tolist(), some.area.tolist()) == (2, [5, 7], [1, 2], [8, 9])  # type: ignore[union-attr]
    bare = RowPlaces(3, None, both.group, None).taken(np.array([False, True, True]))
    assert (bare.rows, bare.day, bare.group.tolist(), bare.area) == (2, None, [1, 2], None)


@pytest.mark.parametrize(
    ("earlier", "later", "starts"),
    [
        # The last year where it is a twentieth of rows to half of them, and a quarter of what is needed.
        (100, 100, "2025-01-01"), (99, 100, None), (475, 25, "2025-01-01"), (476, 24, None), (480, 25, None),
        (100, 24, None), (100, 25, "2025-01-01"),
    ],
)  # fmt: skip
def test_the_test_is_the_last_year_where_that_is_a_fair_part(earlier: int, later: int, starts: str | None) -> None:
    day = np.concatenate([days("2023-06-01")[0] + np.arange(earlier), days("2025-01-01")[0] + np.arange(later)])
    wanted = days(starts)[0] if starts else np.quantile(day, 0.8, method="higher")
    assert blocks.test_starts(day, SETTINGS) == wanted
    (split,) = splits_of("time", places(len(day), day), SETTINGS)
    assert (split.test == (day >= wanted)).all()
    assert (split.train == (day < wanted)).all()


def test_rows_of_one_day_have_no_test_by_time() -> None:
    assert splits_of("time", places(5, days("2025-01-01", each=5)), SETTINGS) == []


def test_quarters_count_up_and_have_names() -> None:
    place, names = quarters(days("2024-12-31", "2025-01-01", "2025-03-31", "2025-04-01", "2026-10-01"))
    assert place.tolist() == [0, 1, 1, 2, 3]
    assert names == ["2024-Q4", "2025-Q1", "2025-Q2", "2026-Q4"]
    assert quarters(days("1969-12-31", "1970-07-01"))[1] == ["1969-Q4", "1970-Q3"]


def test_the_four_quarters_before_the_test_roll() -> None:
    starts = ("2023-02-01", "2023-05-01", "2023-08-01", "2023-11-01", "2024-02-01", "2024-05-01", "2025-01-01")
    day = days(*starts, each=30)
    found = splits_of("rolling", places(len(day), day), replace(SETTINGS, min_rows=90))
    # Of six quarters before the test the last four; the first of these has but sixty rows before it.
    assert predicted_by(found) == [list(range(30 * at, 30 * at + 30)) for at in (3, 4, 5)]
    assert [int(split.train.sum()) for split in found] == [90, 120, 150]
    assert all(not split.train[30 * at :].any() for at, split in zip((3, 4, 5), found, strict=True))
    every = splits_of("rolling", places(len(day), day), replace(SETTINGS, min_rows=1))
    assert [int(split.train.sum()) for split in every] == [60, 90, 120, 150]
    # A quarter in which the test begins is held out up to it.
    day = np.concatenate([days("2024-11-15", each=40), days("2025-01-05", each=40), days("2025-02-20", each=20)])
    (split,) = splits_of("rolling", places(100, day), replace(SETTINGS, min_rows=40))
    assert (np.flatnonzero(split.test).tolist(), int(split.train.sum())) == (list(range(40, 80)), 40)


# --- Grades -----------------------------------------------------------------------------------------------------------


def resampled(block: np.ndarray, rounds: int = 400) -> np.ndarray:
    """How often each row counts in each round."""
    names = np.unique(block)
    drawn = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), size=rounds)
    return drawn[:, np.searchsorted(names, block)]


def test_grades_have_the_middle_nine_tenths_of_rounds_of_blocks() -> None:
    rng = np.random.default_rng(2)
    y, block = rng.normal(5, 2, 40), np.repeat(np.arange(8) * 3, 5)
    predicted = y + rng.normal(0, 1, 40)
    found = grades(y, predicted, block, SETTINGS)
    assert found.rows == 40
    many: dict[str, list[float]] = {"r2": [], "rmse": [], "mae": []}
    for w in resampled(block):
        mean = np.average(y, weights=w)
        many["r2"].append(1 - (w * (y - predicted) ** 2).sum() / (w * (y - mean) ** 2).sum())
        many["rmse"].append(math.sqrt(np.average((y - predicted) ** 2, weights=w)))
        many["mae"].append(float(np.average(np.abs(y - predicted), weights=w)))
    whole = {
        "r2": 1 - ((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum(),
        "rmse": math.sqrt(((y - predicted) ** 2).mean()),
        "mae": np.abs(y - predicted).mean(),
    }
    assert dict(found.values) == {
        name: pytest.approx((whole[name], *np.quantile(values, [0.05, 0.95]))) for name, values in many.items()
    }
    half = grades(y, predicted, block, replace(SETTINGS, confidence=0.5, bootstrap_rounds=100, seed=0))
    drawn = [math.sqrt(np.average((y - predicted) ** 2, weights=w)) for w in resampled(block, 100)]
    assert half.values["rmse"][1:] == pytest.approx(tuple(np.quantile(drawn, [0.25, 0.75])))
    constant = grades(np.ones(4), np.zeros(4), np.arange(4), SETTINGS).values
    assert np.isnan(constant["r2"]).all()
    assert constant["rmse"] == (1.0, 1.0, 1.0)


def test_a_lead_is_a_share_of_the_error_of_the_other() -> None:
    rng = np.random.default_rng(4)
    y, block = rng.normal(size=30), np.repeat(np.arange(6), 5)
    ours, theirs = y + rng.normal(0, 1, 30), y + rng.normal(0, 2, 30)
    a, b = (y - ours) ** 2, (y - theirs) ** 2
    drawn = [1 - (w * a).sum() / (w * b).sum() for w in resampled(block)]
    assert lead(y, ours, theirs, block, SETTINGS) == pytest.approx(
        (1 - a.sum() / b.sum(), *np.quantile(drawn, [0.05, 0.95]))
    )
    # Of no error none can be left; whoever has some is behind by all of it.
    exact, off = np.zeros(4), np.ones(4)
    assert lead(exact, exact, exact, np.arange(4), SETTINGS) == (0.0, 0.0, 0.0)
    assert lead(exact, off, exact, np.arange(4), SETTINGS) == (-1.0, -1.0, -1.0)
    assert lead(exact, exact, off, np.arange(4), SETTINGS) == (1.0, 1.0, 1.0)


def test_a_share_has_its_interval() -> None:
    is_in, block = np.array([True] * 10 + [False] * 6 + [True] * 4), np.repeat(np.arange(5), [6, 2, 4, 5, 3])
    drawn = [np.average(is_in, weights=w) for w in resampled(block)]
    assert share_interval(is_in, block, SETTINGS) == pytest.approx((0.7, *np.quantile(drawn, [0.05, 0.95])))


# --- Who is chosen ----------------------------------------------------------------------------------------------------


def split_of(tested: np.ndarray | None = None, **errors: float) -> SplitPredictions:
    """Each candidate is off by so much, up and down by turns; NaN where nothing was held out."""
    is_tested = np.ones(N, dtype=bool) if tested is None else tested
    turn = np.where(np.arange(N) % 2 == 0, 1.0, -1.0)
    said = {name: np.where(is_tested, TRUTH + error * turn, np.nan) for name, error in errors.items()}
    return SplitPredictions(is_tested, np.where(is_tested, 0, -1), said)


def test_errors_and_leads_are_of_held_out_rows() -> None:
    rows, some = rows_of(use_case()), split_of(np.arange(N) % 3 > 0, one=2.0, other=4.0)
    assert error_of(rows, some, "one") == 4.0
    assert lead_over(rows, some, "one", "other") == (0.75, 0.75, 0.75)
    assert lead_over(rows, some, "other", "one") == (-3.0, -3.0, -3.0)


def chosen(candidates: tuple[Candidate, ...], splits: Mapping[str, SplitPredictions]) -> Choice:
    return choose(rows_of(use_case("time", "rolling")), candidates, splits)  # type: ignore[arg-type]


def test_the_best_that_learns_predicts_where_it_beats_the_base() -> None:
    found = chosen((PRODUCT, LINE, TREES, MEAN), {"time": split_of(list_price=4, a_line=3, some_trees=2, mean=8)})
    assert found == Choice(
        TREES,
        "some trees leaves 75 % less squared error than the base beyond chance",
        {"list_price": (0.75, 0.75, 0.75), "mean": (0.9375, 0.9375, 0.9375)},
    )
    assert found.beats_all
    alone = chosen((LINE, TREES, MEAN), {"time": split_of(a_line=1, some_trees=2, mean=4)})
    assert alone == Choice(LINE, "a line has the lowest error of those that learn", {"mean": (0.9375, 0.9375, 0.9375)})


def test_the_base_stays_unless_it_is_beaten_where_one_is_chosen_and_on_the_headline() -> None:
    ahead = split_of(list_price=4, a_line=2, some_trees=9, mean=8)
    level = split_of(list_price=2, a_line=2, some_trees=1, mean=8)
    words = (
        "the base list price stays: the best that learns, a line, does not beat it beyond chance ({} less squared"
        " error where it is chosen, {} on the headline)"
    )
    stays = chosen((PRODUCT, LINE, TREES, MEAN), {"time": level, "rolling": ahead})
    assert stays == Choice(PRODUCT, words.format("+75 %", "±0 %"), {"mean": (0.9375, 0.9375, 0.9375)})
    assert stays.beats_all
    behind = split_of(list_price=2, a_line=4, some_trees=9, mean=8)
    stays = chosen((PRODUCT, LINE, TREES, MEAN), {"time": ahead, "rolling": behind})
    assert (stays.candidate, stays.words) == (PRODUCT, words.format("−300 %", "+75 %"))
    # Chosen by the earlier quarters: the trees are better there, and so is the line on the headline.
    both = split_of(list_price=4, a_line=3, some_trees=1, mean=8)
    assert chosen((PRODUCT, LINE, TREES, MEAN), {"time": ahead, "rolling": both}).candidate == PRODUCT
    assert chosen((PRODUCT, LINE, TREES, MEAN), {"time": both, "rolling": both}).candidate == TREES
    # The base itself may be no better than a baseline, and stays.
    poor = split_of(list_price=8, a_line=9, some_trees=9, mean=8)
    lost = chosen((PRODUCT, LINE, TREES, MEAN), {"time": poor})
    assert (lost.candidate, lost.leads, lost.beats_all) == (PRODUCT, {"mean": (0.0, 0.0, 0.0)}, False)


def test_a_baseline_that_is_not_beaten_predicts_in_place_of_what_learns() -> None:
    middle = Candidate("middle", "baseline", formula=Mean())
    found = chosen((LINE, TREES, MEAN, middle), {"time": split_of(a_line=2, some_trees=3, mean=2, middle=1)})
    assert found == Choice(
        middle,
        "a line does not beat middle beyond chance, which predicts in its place",
        {"mean": (0.75, 0.75, 0.75), "a_line": (0.0, 0.0, 0.0)},
    )
    assert not found.beats_all
    # It beats the base, and not a baseline.
    found = chosen((PRODUCT, LINE, MEAN), {"time": split_of(list_price=4, a_line=2, mean=2)})
    assert (found.candidate, found.leads) == (MEAN, {"a_line": (0.0, 0.0, 0.0)})


def test_candidates_are_fitted_on_the_one_part_and_asked_about_the_other() -> None:
    case = use_case("time", "rolling", "spatial")
    day = np.concatenate([days("2024-05-01", each=40), days("2025-01-01", each=20)])
    rows = rows_of(case, N, day)
    found = predicted_splits(rows, (MEAN,), ("time", "rolling", "spatial"))
    # There is no quarter with a hundred rows before it, and no area.
    assert list(found) == ["time"]
    assert found["time"].is_tested.tolist() == [False] * 40 + [True] * 20
    assert found["time"].fold.tolist() == [-1] * 40 + [0] * 20
    np.testing.assert_equal(found["time"].by_candidate["mean"], np.array([np.nan] * 40 + [19.5] * 20))
    by_group = predicted_splits(rows, (MEAN,), ("group",))["group"]
    assert sorted(set(by_group.fold.tolist())) == [0, 1, 2, 3, 4]
    for fold in range(5):
        own = by_group.fold == fold
        assert by_group.by_candidate["mean"][own] == pytest.approx(np.full(12, TRUTH[~own].mean()))


def test_a_view_sees_what_is_known_and_not_refused() -> None:
    case = use_case()
    assert rows_of(case).inputs == ("x", "z")
    assert view_rows(case, VIEW, {}, TRUTH, places(N), ("x",)).inputs == ("z",)
    assert view_rows(case, View("without z", ("z",), ()), {}, TRUTH, places(N), ()).inputs == ("x",)


def test_what_is_tried_is_declared_searched_for_or_both(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of(use_case())
    monkeypatch.setattr(held_out_rows, "_tuned", lambda _, each: {"tuned": each.name})
    line = replace(LINE, name="a_line_tuned", settings={"tuned": "a_line"})
    trees = replace(TREES, name="some_trees_tuned", settings={"tuned": "some_trees"})
    assert tried(rows, "baseline") == [PRODUCT, LINE, TREES, MEAN]
    assert tried(rows, "tuned") == [PRODUCT, MEAN, line, trees]
    assert tried(rows, "both") == [PRODUCT, LINE, TREES, MEAN, line, trees]


def test_a_search_keeps_the_setting_of_least_error_on_later_quarters_of_the_training_part() -> None:
    case = use_case("time", trials=3, min_rows=20)
    day = days("2024-02-01", "2024-05-01", "2024-08-01", "2024-11-01", "2025-01-01", each=12)
    case = replace(case, views=(View("all", (), (LINE,)),))
    (kept,) = tried(rows_of(case, N, day), "tuned")
    # A line through numbers that rise evenly: the less it is shrunk, the better.
    rng = np.random.default_rng(0)
    strengths = [1.0, *(drawn_settings("linear", rng)["strength"] for _ in range(3))]
    assert dict(kept.settings).get("strength", 1.0) == min(strengths)
    # Where there are too few quarters, the declared settings stay.
    few = replace(case, settings=replace(case.settings, min_rows=100))
    assert tried(rows_of(few, N, day), "tuned") == [replace(LINE, name="a_line_tuned")]


def test_a_target_of_other_rows_cannot_be_learnt() -> None:
    case = use_case("group", tuning_rows=150)
    n = 300
    found = permuted_r2(rows_of(case, n))
    assert found == permuted_r2(rows_of(case, n))
    assert -0.6 < found < 0.15
