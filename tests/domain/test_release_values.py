"""How the chosen candidate did month after month, and which version is released, worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quality_assets.domain.models.learning.blocks import RowPlaces, lead
from quality_assets.domain.models.learning.decisions import ReleaseDecision, release_decision
from quality_assets.domain.models.learning.held_out_rows import Choice, SplitPredictions, ViewRows, view_rows
from quality_assets.domain.models.learning.learnable import LearningRows
from quality_assets.domain.models.learning.performance import performance_frame, walk_through_time
from quality_assets.domain.wording import change_text
from tests.order_rows import LINE, MEAN, SETTINGS, TRUTH, TURNS, VIEW, N, days, places, rows_of, use_case

# --- Month after month ------------------------------------------------------------------------------------------------

STARTS = ("2024-01-05", "2024-02-05", "2024-04-05", "2024-05-05", "2024-07-05")


def timed(y: np.ndarray, is_clean: np.ndarray | None = None, **settings: Any) -> tuple[ViewRows, LearningRows]:
    day = days(*STARTS, each=20)
    case = use_case(**({"min_rows": 20} | settings))
    where = RowPlaces(100, day, np.arange(100) // 2, None)
    columns = {"x": np.arange(100.0), "z": np.ones(100)}
    why = np.array([None if each else "broken" for each in (is_clean if is_clean is not None else [True] * 100)])
    rows = LearningRows(columns, y, where, np.arange(100).astype(object), why, ())
    clean = rows.is_clean
    return view_rows(case, VIEW, {n: v[clean] for n, v in columns.items()}, y[clean], where.taken(clean), ()), rows


def test_each_quarter_is_asked_of_what_was_learnt_before_it() -> None:
    y = np.repeat([1.0, 3.0, 5.0, 7.0, 9.0], 20)
    np.testing.assert_equal(walk_through_time(*timed(y), MEAN), np.array([np.nan] * 40 + [2.0] * 40 + [4.0] * 20))
    # Fewer than are needed before April, so that July is the first.
    np.testing.assert_equal(walk_through_time(*timed(y, min_rows=41), MEAN), np.array([np.nan] * 80 + [4.0] * 20))
    assert np.isfinite(walk_through_time(*timed(y, min_rows=40), MEAN)).sum() == 60
    # What is broken is asked about, and not learnt from.
    broken = np.arange(100) >= 20
    np.testing.assert_equal(
        walk_through_time(*timed(y, broken), MEAN), np.array([np.nan] * 40 + [3.0] * 40 + [5.0] * 20)
    )
    some, rows = timed(y)
    assert np.isnan(walk_through_time(some, replace(rows, places=places(100)), MEAN)).all()


def test_months_and_quarters_have_their_grades() -> None:
    y = np.repeat([1.0, 3.0, 5.0, 7.0, 9.0], 20) + np.tile([0.5, -0.5], 50)
    some, rows = timed(y)
    walked = walk_through_time(some, rows, MEAN)
    inside = np.where(np.arange(100) % 4 == 0, 0.0, 1.0)
    inside[40:50] = np.nan
    found = performance_frame(some, rows, {}, Choice(MEAN, "", {}), walked, inside)
    assert found.columns.tolist() == [
        "known", "period", "starts", "rows", "r2", "rmse", "mae", "rmse_low", "rmse_high", "coverage", "is_alarm",
        "words",
    ]  # fmt: skip
    assert found[["known", "period", "starts", "rows"]].to_numpy().tolist() == [
        ["all", "2024-04", pd.Timestamp("2024-04-05"), 20], ["all", "2024-05", pd.Timestamp("2024-05-05"), 20],
        ["all", "2024-07", pd.Timestamp("2024-07-05"), 20], ["all", "2024-Q2", pd.Timestamp("2024-04-05"), 40],
        ["all", "2024-Q3", pd.Timestamp("2024-07-05"), 20],
    ]  # fmt: skip
    # Off by 3 and 5, by the mean of what was before, half more or less by turns.
    assert found["mae"].tolist() == pytest.approx([3, 5, 5, 4, 5])
    rmse = [math.sqrt(off**2 + 0.25) for off in (3, 5, 5)]
    assert found["rmse"].tolist() == pytest.approx([*rmse, math.sqrt(17.25), rmse[1]])
    assert found["r2"].tolist() == pytest.approx([1 - 9.25 / 0.25, 1 - 25.25 / 0.25, -100, 1 - 17.25 / 1.25, -100])
    # Rows of a block count together: in pairs there is no chance.
    assert found["rmse_low"].tolist()[:3] == pytest.approx(rmse)
    assert found["rmse_high"].tolist()[:3] == pytest.approx(rmse)
    assert found.loc[3, "rmse_low"] < found.loc[3, "rmse"] < found.loc[3, "rmse_high"]
    # Of rows 50 to 59 are 52 and 56 outside, and a quarter of the rest.
    assert found["coverage"].tolist() == pytest.approx([0.8, 0.75, 0.75, 23 / 30, 0.75])
    assert found["is_alarm"].tolist() == [False] * 5
    assert found["words"].isna().all()


def test_without_time_the_folds_of_the_headline_have_grades() -> None:
    case = use_case("group")
    rows = rows_of(case)
    tested = np.arange(N) >= 20
    fold = np.where(tested, np.where(np.arange(N) < 50, 0, 2), -1)
    headline = SplitPredictions(tested, fold, {"mean": np.where(tested, TRUTH - 2, np.nan)})
    inside = np.where(np.arange(40) % 2 == 0, 1.0, 0.0)
    inside[30:] = np.nan
    learning = LearningRows(dict(rows.columns), rows.y, rows.places, np.arange(N), np.full(N, None), ())
    found = performance_frame(rows, learning, {"group": headline}, Choice(MEAN, "", {}), np.full(N, np.nan), inside)  # type: ignore[dict-item]
    assert found[["known", "period", "rows", "rmse", "mae"]].to_numpy().tolist() == [
        ["all", "fold 1", 30, 2.0, 2.0], ["all", "fold 3", 10, 2.0, 2.0],
    ]  # fmt: skip
    assert found["starts"].isna().all()
    assert found["coverage"].iloc[0] == 0.5
    assert np.isnan(found["coverage"].iloc[1])


# --- Who is released --------------------------------------------------------------------------------------------------


def result(leads: dict[str, tuple[float, float, float]], prediction: np.ndarray) -> Any:
    held_out = pd.DataFrame({"row_key": [f"r{at}" for at in range(N)], "y": TRUTH, "prediction": prediction})
    return SimpleNamespace(
        model=SimpleNamespace(views=(SimpleNamespace(known="all"), SimpleNamespace(known="without z"))),
        choices={"all": Choice(LINE, "", leads), "without z": Choice(MEAN, "", {"x": (0.0, -1.0, 0.0)})},
        held_out=held_out,
    )


WINS = {"list_price": (0.5, 0.25, 0.75), "mean": (0.5, 0.125, 0.75)}
BEATS = "a_line has at least 12 % less squared error than list_price, mean"


def test_a_version_is_released_where_it_beats_all() -> None:
    ours = result(WINS, TRUTH + TURNS)
    assert release_decision(ours, None, None, SETTINGS) == ReleaseDecision(True, f"{BEATS}; it is the first")
    assert release_decision(ours, "3", None, SETTINGS) == ReleaseDecision(
        True, f"{BEATS}; version 3, which is in use, cannot be used"
    )
    lost = result(WINS | {"mean": (0.5, 0.0, 0.75), "x": (-0.5, -0.75, 0.5)}, TRUTH)
    assert release_decision(lost, None, None, SETTINGS) == ReleaseDecision(
        False, "a_line does not beat mean, x beyond chance"
    )


def test_a_version_is_held_against_the_one_in_use_on_the_rows_of_both() -> None:
    ours = result(WINS, TRUTH + TURNS)
    theirs = ours.held_out.assign(prediction=TRUTH + 2 * TURNS)
    assert release_decision(ours, "3", theirs, SETTINGS) == ReleaseDecision(
        True, f"{BEATS}; +75 % less squared error (+75 % to +75 %) than version 3 on 60 rows"
    )
    assert release_decision(ours, "3", theirs.iloc[:50], SETTINGS).reason.endswith("on 50 rows")
    assert release_decision(ours, "3", theirs.iloc[:49], SETTINGS) == ReleaseDecision(
        False, "only 49 held-out rows are those of version 3: too few to tell"
    )
    alike = ours.held_out.assign(prediction=TRUTH - TURNS)
    assert release_decision(ours, "3", alike, SETTINGS) == ReleaseDecision(
        False, "no gain beyond chance: ±0 % less squared error (±0 % to ±0 %) than version 3 on 60 rows"
    )
    # Rows are resampled in fifty blocks or so: up to 99 of them each stands alone, of a hundred two stand together.
    truth, said = np.tile(TRUTH, 2), np.tile(TRUTH + TURNS, 2)
    noisy = truth + np.random.default_rng(0).normal(0, 1.2, 2 * N)
    twice = result(WINS, TRUTH + TURNS)
    twice.held_out = pd.DataFrame({"row_key": [f"r{at}" for at in range(2 * N)], "y": truth, "prediction": said})
    for rows, size in ((60, 1), (98, 1), (99, 1), (100, 2), (120, 2)):
        share, low, high = lead(truth[:rows], said[:rows], noisy[:rows], np.arange(rows) // size, SETTINGS)
        theirs = twice.held_out.assign(prediction=noisy).iloc[:rows]
        assert release_decision(twice, "3", theirs, SETTINGS).reason.endswith(
            f"{change_text(share)} less squared error ({change_text(low)} to {change_text(high)}) than version 3 on"
            f" {rows} rows"
        )
