"""Learning from tables, against truths that are known: leaks, identities, broken days, splits, bases, intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from quality_assets.contracts.use_cases import HOUSING as HOUSING_CONTRACT
from quality_assets.contracts.use_cases import SALES as SALES_CONTRACT
from quality_assets.domain.models.housing.use_case import HOUSING
from quality_assets.domain.models.learning.blocks import RowPlaces, grades, lead, splits_of
from quality_assets.domain.models.learning.columns_of import columns_of_frame, columns_of_rows
from quality_assets.domain.models.learning.decisions import release_decision
from quality_assets.domain.models.learning.formulas import PriceOrProduct, Product
from quality_assets.domain.models.learning.guards import Finding, guard_findings, refused_inputs
from quality_assets.domain.models.learning.learnable import CannotLearnError, check_learnable
from quality_assets.domain.models.learning.quarantine import broken_windows
from quality_assets.domain.models.learning.residuals import learn_intervals, rolling_hits
from quality_assets.domain.models.learning.table_training import LearningResult, train_table
from quality_assets.domain.models.learning.tabular import LearningSettings, TabularUseCase
from quality_assets.domain.models.learning.tabular_model import ModelFormatError, model_of
from quality_assets.domain.models.sales.use_case import SALES
from quality_assets.progress import no_progress
from quality_assets.simulate.tables import BROKEN_FROM, BROKEN_THROUGH, PRICE_CAP, housing_rows, sales_rows
from tests.light_use_cases import LIGHT_SALES

SETTINGS = LearningSettings()


@pytest.fixture(scope="module")
def sales() -> LearningResult:
    # One kind of boosted trees is enough of them to lose to what is known.
    views = tuple(
        replace(view, candidates=tuple(c for c in view.candidates if c.learner != "hist_gradient_boosting"))
        for view in SALES.views
    )
    return train_table(replace(SALES, views=views), sales_rows(), "baseline", no_progress)


@pytest.fixture(scope="module")
def housing() -> LearningResult:
    return train_table(HOUSING, housing_rows(1_500), "baseline", no_progress)


def value(result: LearningResult, candidate: str, split: str, metric: str = "r2", known: str = "all") -> float:
    frame = result.metrics
    own = frame[(frame["candidate"] == candidate) & (frame["split"] == split) & (frame["metric"] == metric)]
    return float(own.loc[own["known"] == known, "value"].iloc[0])


def named(findings: tuple[Finding, ...], guard: str) -> dict[str, Finding]:
    return {each.inputs: each for each in findings if each.guard == guard}


def test_a_bucket_of_the_target_and_what_is_known_after_are_refused_by_name(sales: LearningResult) -> None:
    assert set(sales.model.refused) == {"DEALSIZE", "STATUS"}
    assert "STATUS" not in sales.model.inputs
    size = named(sales.findings, "target_gives_input")["DEALSIZE"]
    assert size.evidence > 0.95
    assert size.words.startswith("SALES alone gives DEALSIZE with balanced accuracy above chance ")
    assert named(sales.findings, "target_gives_input")["MSRP"].verdict == "passed"


def test_an_arithmetic_and_the_cap_at_which_it_ends_are_reported(sales: LearningResult) -> None:
    rows = sales_rows()
    share = float((rows["PRICEEACH"] < PRICE_CAP).mean())
    identity = named(sales.findings, "identity")["QUANTITYORDERED × PRICEEACH"]
    assert identity.verdict == "reported"
    assert identity.evidence == pytest.approx(share, abs=0.005)
    cap = named(sales.findings, "value_cap")["PRICEEACH"]
    assert cap.words.startswith("PRICEEACH is capped at 100: ")
    assert cap.evidence == pytest.approx(1 - share, abs=1e-9)


def test_copies_of_the_target_are_refused_and_noise_is_not() -> None:
    rng = np.random.default_rng(3)
    frame = housing_rows(2_000)
    y = frame["MedHouseVal"].to_numpy()
    planted = {
        "MedInc": y * rng.uniform(0.99, 1.01, len(y)),
        "HouseAge": pd.Series(y).rank().to_numpy(),
        "AveRooms": rng.permutation(y),
    }
    columns = columns_of_frame(HOUSING_CONTRACT.inputs, frame.assign(**planted))
    found = guard_findings(HOUSING_CONTRACT.inputs, HOUSING_CONTRACT.target, columns, y, SETTINGS)
    assert set(refused_inputs(found)) == {"MedInc", "HouseAge"}


def test_broken_days_are_found_to_the_day_and_told(sales: LearningResult) -> None:
    rows = sales_rows()
    day = rows["ORDERDATE"].dt.date
    within = rows[(day >= BROKEN_FROM) & (day <= BROKEN_THROUGH)]
    assert len(sales.quarantine) == 1
    assert sales.quarantined_rows == pytest.approx(len(within), abs=30)
    assert sales.quarantine[0].startswith("2004-11-")
    assert ": price of a piece ÷ MSRP lies outside 0.8" in sales.quarantine[0]
    assert sales.quarantine[0].endswith(f"within it in all {len(rows) - sales.quarantined_rows:,} others")


def test_a_table_that_keeps_its_band_has_no_broken_days() -> None:
    rows = sales_rows(with_broken_window=False)
    day = rows["ORDERDATE"].to_numpy().astype("datetime64[D]").astype(np.int64)
    ratio = (rows["SALES"] / rows["QUANTITYORDERED"] / rows["MSRP"]).to_numpy()
    assert broken_windows(day, ratio) == []
    ratio[100:140] = 3.0
    (window,) = broken_windows(day, ratio)
    assert (window.first_day, window.last_day, window.outside) == (day[100], day[139], 40)


def test_the_base_stays_where_nothing_beats_it_and_trees_cannot_extrapolate(sales: LearningResult) -> None:
    assert value(sales, "list_price", "time", known="without PRICEEACH") > 0.85
    assert sales.choices["without PRICEEACH"].candidate.name == "list_price"
    assert sales.choices["all"].candidate.name.startswith("price_or_")
    assert value(sales, "price_or_list_price", "time") > value(sales, "list_price", "time")
    assert sales.choices["all"].beats_all
    assert abs(value(sales, "gradient_boosting", "time", "r2_permuted")) < 0.1
    assert value(sales, "mean", "time") < 0.05


def test_broken_days_are_an_alarm_of_performance(sales: LearningResult) -> None:
    frame = sales.performance
    months = frame[(frame["known"] == "without PRICEEACH") & frame["is_alarm"] & (frame["period"].str.len() == 7)]
    assert months["period"].min() == "2004-11"
    assert set(months["period"]) <= {"2004-11", "2004-12", "2005-01", "2005-02", "2005-03", "2004-Q4", "2005-Q1"}


def test_areas_are_held_out_whole_and_are_the_headline(housing: LearningResult) -> None:
    assert HOUSING.headline == "spatial"
    assert value(housing, "hist_gradient_boosting", "spatial") > value(housing, "income_line", "spatial")
    assert value(housing, "mean", "random") == pytest.approx(0, abs=0.02)
    assert housing.choices["all"].beats_all
    assert 0.7 < housing.headline["coverage"] < 0.9


def test_splits_never_share_what_must_stay_together() -> None:
    rng = np.random.default_rng(0)
    group = np.sort(rng.integers(0, 60, 600))
    places = RowPlaces(600, np.arange(600), group, rng.integers(0, 12, 600))
    for name, block in (("group", places.group), ("spatial", places.area)):
        assert block is not None
        tested = np.zeros(600, dtype=int)
        for split in splits_of(name, places, SETTINGS):  # type: ignore[arg-type]
            assert not set(block[split.train]) & set(block[split.test])
            tested += split.test
        assert (tested == 1).all()
    for name in ("time", "rolling"):
        for split in splits_of(name, places, SETTINGS):  # type: ignore[arg-type]
            assert places.day is not None
            assert places.day[split.train].max() < places.day[split.test].min()


def test_grades_are_what_their_names_say() -> None:
    y, predicted = np.array([1.0, 2.0, 3.0, 6.0]), np.array([1.0, 2.0, 5.0, 6.0])
    found = grades(y, predicted, np.arange(4), SETTINGS).values
    assert found["rmse"][0] == pytest.approx(1.0)
    assert found["mae"][0] == pytest.approx(0.5)
    assert found["r2"][0] == pytest.approx(1 - 4 / 14)
    assert lead(y, predicted, np.full(4, 3.0), np.arange(4), SETTINGS)[0] == pytest.approx(1 - 4 / 14)


def test_formulas_give_what_they_say() -> None:
    columns = {"q": np.array([2.0, 3.0, 4.0]), "p": np.array([10.0, 100.0, np.nan]), "m": np.array([9.0, 120.0, 50.0])}
    product = Product("q", "m").fitted(columns, np.array([18.0, 360.0, 220.0]))
    assert product.ratio == 1.0
    formula = PriceOrProduct("q", "p", "m", cap=100.0, ratio=0.5)
    assert list(formula.predict(columns)) == [20.0, 300.0, 400.0]  # a capped price is at least the cap
    assert list(formula.is_exact(columns)) == [True, False, False]


def test_rolling_intervals_know_only_what_was_known() -> None:
    day = np.repeat(np.arange(200), 2)
    rng = np.random.default_rng(1)
    y = rng.normal(100, 10, 400)
    inside, is_known = rolling_hits(day, y, np.full(400, 100.0), False, replace(SETTINGS, label_delay_days=30))
    assert not is_known[day < 54].any()  # 50 residuals, 30 days late
    assert is_known[day >= 54].all()
    assert inside[is_known].mean() == pytest.approx(0.8, abs=0.07)


def test_an_interval_says_whether_its_coverage_is_what_it_claims() -> None:
    y, predicted = np.arange(100.0), np.arange(100.0)
    for coverage, status in ((0.8, "ok"), (0.6, "off"), (None, "unknown")):
        found = learn_intervals(y, predicted, by_size=False, is_relative=True, coverage=coverage, settings=SETTINGS)
        assert found.status == status
    low, high = found.around(np.array([5.0]), np.array([True]))
    assert (float(low[0]), float(high[0])) == (4.99, 5.01)


def test_a_model_is_the_same_after_its_state(sales: LearningResult) -> None:
    again = model_of(sales.model.state())
    rows = columns_of_frame(SALES_CONTRACT.inputs, sales_rows())
    for one, other in zip(sales.model.predictions(rows), again.predictions(rows), strict=True):
        assert np.array_equal(one, other)
    with pytest.raises(ModelFormatError, match="format 1"):
        model_of({"format": 7})
    with pytest.raises(ModelFormatError, match="holds no model"):
        model_of({"format": 1, "views": [{}]})


def test_an_answer_says_what_it_was_given_and_what_was_never_seen(sales: LearningResult) -> None:
    row = {"QUANTITYORDERED": 30.0, "MSRP": 90.0, "PRICEEACH": 80.0, "PRODUCTLINE": "Planes", "COUNTRY": "Iceland"}
    known, unknown = sales.model.answers(
        columns_of_rows(SALES_CONTRACT.inputs, [row, {**row, "PRICEEACH": None, "QUANTITYORDERED": 900.0}])
    )
    assert known["prediction"] == 2400.0
    assert (known["known"], known["outside_training"]) == ("all", ["COUNTRY"])
    assert unknown["known"] == "without PRICEEACH"
    assert unknown["outside_training"] == ["QUANTITYORDERED", "COUNTRY"]
    assert unknown["p10"] < unknown["prediction"] < unknown["p90"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda f: f.head(20), "there are 20 rows, and at least 100 are needed"),
        (lambda f: f.assign(SALES=5.0), "SALES is 5 in every row"),
        (lambda f: f.assign(MSRP=np.nan), "MSRP is empty in every row"),
        (lambda f: pd.concat([f, f.head(2)]), "2 rows have the key of another"),
        (lambda f: f.drop(columns="MSRP"), "the table has no MSRP"),
    ],
)
def test_what_cannot_be_learnt_from_is_said(change: object, why: str) -> None:
    frame = change(sales_rows(40))  # type: ignore[operator]
    with pytest.raises(CannotLearnError, match=f"^cannot learn: {why}"):
        check_learnable(SALES, frame)


def test_a_table_without_the_price_teaches_what_is_left() -> None:
    found = train_table(LIGHT_SALES, sales_rows(60).drop(columns=["PRICEEACH", "DEALSIZE"]), "baseline", no_progress)
    assert [view.known for view in found.model.views] == ["without PRICEEACH"]
    assert "PRICEEACH" not in found.model.inputs
    assert "DEALSIZE" not in found.model.inputs
    assert found.headline["r2"] > 0.8


def test_rows_of_one_day_cannot_be_held_out_by_time() -> None:
    frame = sales_rows(40).assign(ORDERDATE=pd.Timestamp("2004-01-05"))
    with pytest.raises(CannotLearnError, match="its rows cannot be held out by time"):
        train_table(LIGHT_SALES, frame, "baseline", no_progress)


def test_only_what_beats_all_replaces_what_is_in_use(sales: LearningResult) -> None:
    assert release_decision(sales, None, None, SETTINGS).wins
    same = release_decision(sales, "1", sales.held_out, SETTINGS)
    assert (same.wins, same.reason.split(":")[0]) == (False, "no gain beyond chance")
    worse = sales.held_out.assign(prediction=sales.held_out["prediction"] * 1.3)
    assert release_decision(sales, "1", worse, SETTINGS).wins
    assert release_decision(sales, "1", None, SETTINGS).wins
    others = sales.held_out.assign(row_key="x")
    assert "too few to tell" in release_decision(sales, "1", others, SETTINGS).reason


def test_noise_is_not_released() -> None:
    frame = housing_rows(600)
    rng = np.random.default_rng(0)
    noise = frame.assign(MedHouseVal=rng.permutation(frame["MedHouseVal"].to_numpy()))
    found = train_table(HOUSING, noise, "baseline", no_progress)
    assert not found.choices["all"].beats_all
    decision = release_decision(found, None, None, SETTINGS)
    assert not decision.wins
    assert "does not beat" in decision.reason


def test_settings_are_searched_for_where_asked() -> None:
    small: TabularUseCase = replace(HOUSING, settings=replace(SETTINGS, trials=2, bootstrap_rounds=50))
    found = train_table(small, housing_rows(400), "both", no_progress)
    tried = set(found.metrics["candidate"])
    assert {"linear", "linear_tuned", "hist_gradient_boosting_tuned", "mean"} <= tried
