"""What is asked of a table before anything learns from it, by hand: leaks, arithmetics, caps, bands, broken windows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quality_assets.contracts.learning import LearningColumn
from quality_assets.domain.models.learning import guards
from quality_assets.domain.models.learning.exploration import (
    _by_time,
    _column,
    _drift,
    _histogram,
    _ratio_band,
    _rounded,
    _splits,
)
from quality_assets.domain.models.learning.guards import Finding, guard_findings, refused_inputs
from quality_assets.domain.models.learning.learnable import (
    CannotLearnError,
    LearningRows,
    check_learnable,
    learning_rows,
)
from quality_assets.domain.models.learning.quarantine import Window, _band, _densest, broken_windows
from quality_assets.domain.models.learning.tabular import RatioBand, TabularUseCase
from tests.order_rows import ORDERS, SETTINGS, days, places, use_case

NAN = math.nan
X, Z = LearningColumn("x", "DOUBLE", "Pieces"), LearningColumn("z", "DOUBLE", "Price", known_at="at")
NAME = LearningColumn("c", "VARCHAR", "Kind")
Y = LearningColumn("y", "DOUBLE", "Total", role="target")


def named(*values: str | None) -> np.ndarray:
    return np.array(values, dtype=object)


# --- Leaks ------------------------------------------------------------------------------------------------------------


def test_what_is_known_after_is_refused() -> None:
    after = LearningColumn("s", "VARCHAR", "Whether it CAME", known_at="after")
    assert list(guards._known_after([X, after, Z])) == [
        Finding("known_after", "s", 1.0, 1.0, "refused", "s is known only after the decision: whether it came")
    ]


def test_a_leak_is_told_from_its_limit_on() -> None:
    judged = guards._judged
    assert judged("g", "x", 0.95, SETTINGS, "so it is", "because") == Finding(
        "g", "x", 0.95, 0.95, "refused", "so it is, at least 0.95: because"
    )
    assert judged("g", "x", 0.9499, SETTINGS, "so it is", "because") == Finding(
        "g", "x", 0.9499, 0.95, "passed", "so it is"
    )
    assert judged("g", "x", NAN, SETTINGS, "so it is", "because") == Finding(
        "g", "x", 0.0, 0.95, "passed", "x has too few values to tell"
    )
    assert (guards._number(0.12349), guards._number(NAN)) == ("0.123", "unknown")


def test_copies_are_refused_with_what_gives_what() -> None:
    y = np.repeat([0.0, 1.0, 2.0, 3.0], 50)
    columns = {"x": y * 10 + 1, "z": np.tile([1.0, 2.0], 100), "c": named(*(["low"] * 100 + ["high"] * 100))}
    found = {(each.guard, each.inputs): each for each in guard_findings([X, Z, NAME], Y, columns, y, SETTINGS)}
    assert found["target_gives_input", "x"] == Finding(
        "target_gives_input", "x", pytest.approx(1.0), 0.95, "refused",
        "y alone gives x with R² 1.000 out of fold, at least 0.95: it is made of the target",
    )  # fmt: skip
    assert found["input_gives_target", "x"].words == (
        "x alone gives y with R² 1.000 out of fold, at least 0.95: it is the target, or a copy of it"
    )
    assert found["target_gives_input", "c"] == Finding(
        "target_gives_input", "c", pytest.approx(1.0), 0.95, "refused",
        "y alone gives c with balanced accuracy above chance 1.000 out of fold, at least 0.95: it is made"
        " of the target",
    )  # fmt: skip
    # A half of the target's spread is between the two halves of the names: 1 of 1.25.
    half = found["input_gives_target", "c"]
    assert (half.verdict, half.evidence) == ("passed", pytest.approx(0.8, abs=0.02))
    assert found["target_gives_input", "z"].evidence < 0.1
    order = [(each.verdict, each.evidence) for each in guard_findings([X, Z, NAME], Y, columns, y, SETTINGS)]
    assert [verdict for verdict, _ in order] == ["refused"] * 3 + ["passed"] * 3
    assert [evidence for _, evidence in order[3:]] == sorted((evidence for _, evidence in order[3:]), reverse=True)


def test_findings_stand_by_verdict_evidence_and_name() -> None:
    def finding(inputs: str, verdict: str, evidence: float) -> Finding:
        return Finding("g", inputs, evidence, 0.5, verdict, "")

    some = [
        finding("b", "refused", 1),
        finding("a", "passed", 9),
        finding("b", "refused", 2),
        finding("c", "refused", 1),
    ]
    assert refused_inputs(some) == ("b", "c")
    assert refused_inputs([]) == ()


@pytest.mark.parametrize(
    ("values", "can"),
    [([1.0, 2.0] * 4, True), ([1.0, 2.0] * 3 + [1.0, NAN], False), ([1.0] * 9, False), ([1.0, 2.0] * 4 + [NAN], True)],
)
def test_eight_values_that_are_not_all_alike_can_tell(values: list[float], can: bool) -> None:
    some = np.array(values)
    assert guards._can_tell(some, np.isfinite(some)) == can


def test_evidence_is_out_of_fold() -> None:
    step = np.repeat([0.0, 1.0], 40).reshape(-1, 1)
    assert guards._r2(step, step[:, 0] * 7 + 2) == 1.0
    # Half of the rows of either side are two off: of a variance of 4.25 · 4 around the mean, 4 are left.
    y = step[:, 0] * 4 + np.tile([0.0, 2.0], 40)
    folds = np.random.default_rng(0).permutation(80) % 4
    error = 0.0
    for fold in range(4):
        for side in (0, 1):
            own = step[:, 0] == side
            error += ((y[own & (folds == fold)] - y[own & (folds != fold)].mean()) ** 2).sum()
    assert guards._r2(step, y) == pytest.approx(1 - error / ((y - y.mean()) ** 2).sum())
    # Of thousandths it is the same share.
    assert guards._r2(step, y / 1000) == pytest.approx(guards._r2(step, y))
    assert math.isnan(guards._r2(step, np.ones(80)))
    three = np.repeat(["a", "b", "c"], [60, 10, 10])
    assert guards._balanced_accuracy(np.repeat([0.0, 1.0, 2.0], [60, 10, 10]).reshape(-1, 1), three) == 1.0
    # Of one value nothing is told: one class is right, of three.
    assert guards._balanced_accuracy(np.zeros((80, 1)), three) == pytest.approx(0.0, abs=0.3)
    thirty = np.repeat([f"n{at}" for at in range(30)], 10)
    assert np.isfinite(guards._balanced_accuracy(np.zeros((300, 1)), thirty))
    assert math.isnan(guards._balanced_accuracy(np.zeros((310, 1)), np.repeat([f"n{at}" for at in range(31)], 10)))
    assert sorted(guards._folds(8).tolist()) == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(("sign", "a", "b"), [("×", 6.0, 3.0), ("+", 6.0, 3.0), ("−", 6.0, 3.0), ("÷", 6.0, 3.0)])
def test_an_arithmetic_of_two_inputs_is_told_with_its_rows(sign: str, a: float, b: float) -> None:
    x, z = a + np.arange(10), b + np.arange(10)
    result = {"×": x * z, "+": x + z, "−": x - z, "÷": x / z}[sign]
    # In two of ten rows, as many as are told of.
    y = np.where(np.arange(10) < 2, result, 1000.0)
    found = list(guards._identities([X, Z, NAME], Y, {"x": x, "z": z}, y, SETTINGS))
    assert found[0] == Finding(
        "identity", f"x {sign} z", 0.2, 0.2, "reported",
        f"y = x {sign} z in 20 % of rows (2 of 10): where both are known, y is, so that what is known of them and"
        " when is said in the contract (x before, z at the decision)",
    )  # fmt: skip
    assert not [each for each in found if each.guard == "identity"][1:]
    fewer = np.where(np.arange(10) < 1, result, 1000.0)
    assert list(guards._identities([X, Z, NAME], Y, {"x": x, "z": z}, fewer, SETTINGS)) == []
    # What is not the same the other way round is tried both ways.
    if sign in "−÷":
        swapped = list(guards._identities([X, Z], Y, {"x": z, "z": x}, y, SETTINGS))
        assert swapped[0].inputs == f"z {sign} x"
        assert swapped[0].words.endswith("(z at, x before the decision)")


def test_an_arithmetic_holds_to_half_a_hundredth_and_never_of_nothing() -> None:
    given = np.array([1.0, 1.0, 1.0, 0.0, NAN, 1e9, 1e9, 1e12, -2.0])
    y = np.array([1.005, 1.0051, 0.995, 0.0, 1.0, 1e9 + 0.9, 1e9 + 1.1, 1e12 + 500, -2.0])
    assert guards._holds(given, y).tolist() == [True, False, True, False, False, True, False, True, True]
    assert np.isnan(dict(guards._SIGNS)["÷"](np.array([1.0]), np.array([0.0]))[0])


def capped(at: int, below_holds: int, of: int = 200) -> list[Finding]:
    """So many of two hundred rows at the cap of 9, where nothing holds; below it, it holds in so many."""
    x = np.where(np.arange(of) < at, 9.0, 1.0)
    holds = (np.arange(of) >= at) & (np.arange(of) < at + below_holds)
    return list(guards._caps([X, Z], {"x": x, "z": np.arange(float(of))}, holds, "y = x × z"))


def test_a_cap_is_the_highest_value_of_many_at_which_an_arithmetic_ends() -> None:
    assert capped(40, 120) == [
        Finding(
            "value_cap", "x", 0.2, 0.01, "reported",
            "x is capped at 9: 40 rows (20 %) have it, and y = x × z holds in 75 % of the rows below and in 0 % of"
            " those at it",
        )
    ]  # fmt: skip
    assert len(capped(40, 80)) == 1
    assert capped(40, 79) == []
    assert [each.inputs for each in capped(2, 198)] == ["x"]
    assert capped(1, 199) == []
    # What is the same in all rows is no cap.
    assert capped(200, 0) == []


# --- What can be learnt from ------------------------------------------------------------------------------------------


def orders(rows: int = 100, **columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame(
        {
            "id": np.arange(rows), "day": pd.date_range("2026-01-01", periods=rows), "x": np.arange(rows) % 7 + 1.0,
            "z": 2.0, "y": np.arange(rows) + 1.0,
        }
    )  # fmt: skip
    return frame.assign(**columns)


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (orders(99), "there are 99 rows, and at least 100 are needed"),
        (
            orders(id=[*range(94), 0, 1, 2, 3, 3, 0]),
            "6 rows have the key of another (id: 0, 1, 2)",
        ),
        (orders(x=NAN, z=NAN), "x, z is empty in every row"),
        (orders(y=[*range(99), np.inf]), "y is no finite number in some rows"),
        (orders(y=[*range(99), NAN]), "y is no finite number in some rows"),
        (orders(y=2.5), "y is 2.5 in every row"),
    ],
)
def test_what_cannot_be_learnt_from_is_said_in_a_sentence(frame: pd.DataFrame, why: str) -> None:
    with pytest.raises(CannotLearnError) as raised:
        check_learnable(use_case(), frame)
    assert str(raised.value) == f"cannot learn: {why}"


def test_only_columns_that_may_be_null_may_be_absent() -> None:
    check_learnable(use_case(), orders())
    check_learnable(use_case(), orders().drop(columns="z"))
    strict = replace(
        ORDERS,
        columns=tuple(replace(each, nullable=each.name not in ("day", "z")) for each in ORDERS.columns),
    )
    with pytest.raises(CannotLearnError, match=r"^cannot learn: the table has no day, z$"):
        check_learnable(replace(use_case(), contract=strict), orders().drop(columns=["day", "z"]))


def test_rows_are_in_order_of_time_with_their_places() -> None:
    frame = orders(100)
    frame["shop"], frame["lat"], frame["lon"] = ["b", "a"] * 50, 1.5, -0.5
    frame.loc[2, ["lat", "lon"]] = [2.0, -0.5]
    frame.loc[3, ["lat", "lon"]] = [1.9, 0.0]
    frame.loc[4, "lat"] = 0.5
    case = replace(use_case(), group="shop", place=("lat", "lon"))
    rows = learning_rows(case, frame.iloc[::-1])
    assert rows.keys.tolist() == [str(at) for at in range(100)]
    assert rows.y.tolist() == list(range(1, 101))
    assert rows.columns["x"].tolist()[:3] == [1, 2, 3]
    assert rows.places.day is not None
    assert rows.places.day[:2].tolist() == days("2026-01-01", "2026-01-02").tolist()
    assert rows.places.group.tolist()[:3] == [1, 0, 1]
    assert rows.places.area is not None
    # Four areas of a degree: 0 and −1, 1 and −1, 1 and 0, 2 and −1.
    assert rows.places.area.tolist()[:5] == [1, 1, 3, 2, 0]
    wide = learning_rows(replace(case, settings=replace(SETTINGS, block_degrees=2.0)), frame).places.area
    assert wide is not None
    # Of two degrees three: 0.5 and 1.5 are in one.
    assert wide.tolist()[:5] == [0, 0, 2, 1, 0]
    assert (rows.places.rows, rows.words, rows.is_clean.all()) == (100, (), True)
    plain = learning_rows(use_case(), frame)
    assert (plain.places.group.tolist(), plain.places.area) == (list(range(100)), None)


# --- Broken windows ---------------------------------------------------------------------------------------------------


def monthly(*ratios: tuple[float, float], each: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Months from January on, of rows a day, whose ratio goes from low to high."""
    starts = [days(f"{2026 + at // 12}-{at % 12 + 1:02}-01")[0] for at in range(len(ratios))]
    day = np.concatenate([start + np.arange(each) for start in starts])
    return day, np.concatenate([np.linspace(low, high, each) for low, high in ratios])


def test_the_band_is_that_of_the_months_that_spread_as_usual() -> None:
    # They spread by 1.5, 1.6, 2 and 8: the median is 1.8, and 1.25 times that 2.25.
    assert _band(*monthly((1.0, 1.5), (1.0, 1.6), (0.9, 1.8), (1.0, 8.0))) == (0.9, 1.8)
    assert _band(*monthly((1.0, 1.2), (1.0, 1.2), (1.0, 1.5))) == (1.0, 1.5)
    assert _band(*monthly((1.0, 1.2), (1.0, 1.2), (1.0, 1.51))) == (1.0, 1.2)
    assert _band(*monthly((1.0, 1.2), (1.0, 1.2))) is None
    day, ratio = monthly((1.0, 1.2), (1.0, 1.2), (0.5, 0.6), each=10)
    assert _band(day, ratio) == (0.5, 1.2)
    assert _band(day[:-1], ratio[:-1]) is None


def test_a_window_is_the_densest_stretch_of_days() -> None:
    day = np.repeat(np.arange(10), 10)
    free = np.ones(100, dtype=bool)

    def outside(**of_day: int) -> np.ndarray:
        return np.concatenate([np.arange(10) < of_day.get(f"d{at}", 0) for at in range(10)])

    assert _densest(day, outside(d3=6, d5=4), free) == (3, 5)
    assert _densest(day, outside(d3=6, d5=3), free) is None
    assert _densest(day, outside(), free) is None
    # What stands alone far off is not worth the days between: eight days of ten rows cost 4.
    assert _densest(day, outside(d0=3, d9=10), free) == (9, 9)
    assert _densest(day, outside(d0=5, d9=10), free) == (0, 9)
    # What is not free is no part of it.
    assert _densest(day, outside(d3=10), day != 3) is None
    # A tenth of its rows must lie outside.
    many = np.repeat(np.arange(2), 100)
    every = np.ones(200, dtype=bool)
    assert _densest(many, np.isin(np.arange(200), [*range(10), *range(190, 200)]), every) == (0, 1)
    assert _densest(many, np.isin(np.arange(200), [*range(9), *range(190, 200)]), every) is None


def test_windows_are_told_with_their_rows_and_all_others() -> None:
    day, ratio = monthly(*[(1.0, 1.2)] * 8)
    day, ratio = np.repeat(day, 5), np.repeat(ratio, 5)
    april = days("2026-04-03")[0]
    ratio[(day >= april) & (day <= april + 2)] = 3.0
    ratio[day == days("2026-01-05")[0]] = 0.1
    ratio[3] = NAN
    february = day == days("2026-02-07")[0]
    ratio[february] = np.where(np.arange(february.sum()) < 2, 2.0, 1.1)
    found = broken_windows(day, ratio)
    # Five rows of a day in January and two in February are too few to be told of.
    assert found == [Window(int(april), int(april) + 2, 15, 15, 785, 7, 1.0, 1.2)]
    assert found[0].words("price") == (
        "2026-04-03 to 2026-04-05: price lies outside 1.000 to 1.200 in 15 of 15 rows, and within it in 778 of 785"
        " others"
    )
    assert (
        replace(found[0], rows=1500, outside=1400, outside_elsewhere=0)
        .words("price")
        .endswith(" in 1,400 of 1,500 rows, and within it in all 785 others")
    )
    assert broken_windows(day[:90], ratio[:90]) == []


def test_five_windows_at_most_are_told_earliest_first() -> None:
    day, ratio = monthly(*[(1.0, 1.2)] * 16)
    day, ratio = np.repeat(day, 20), np.repeat(ratio, 20)
    tenths = [days(f"2026-{month:02}-10")[0] for month in range(1, 7)]
    for tenth, outside in zip(tenths, (10, 14, 11, 13, 12, 15), strict=True):
        ratio[np.flatnonzero(day == tenth)[:outside]] = 3.0
    assert broken_windows(day, ratio) == [
        Window(int(tenth), int(tenth), 20, outside, 6300, 10, 1.0, 1.2)
        for tenth, outside in zip(tenths[1:], (14, 11, 13, 12, 15), strict=True)
    ]


def test_rows_of_a_broken_window_are_set_aside_with_its_sentence() -> None:
    day, ratio = monthly((1.0, 1.2), (1.0, 1.2), (1.0, 1.2), (1.0, 1.2), each=28)
    ratio[90:105] = 5.0
    frame = pd.DataFrame({"id": np.arange(112), "day": day.astype("datetime64[D]"), "x": 2.0, "z": 3.0, "y": 6 * ratio})
    case: TabularUseCase = replace(use_case(), ratio_band=RatioBand("x", "z", "price"))
    rows = learning_rows(case, frame)
    assert (~rows.is_clean).tolist() == [90 <= at < 105 for at in range(112)]
    assert rows.words == (
        "2026-04-07 to 2026-04-21: price lies outside 1.000 to 1.200 in 15 of 15 rows, and within it in all 97 others",
    )
    assert set(rows.quarantined[90:105]) == set(rows.words)
    report = _ratio_band(case, rows)
    assert report is not None
    assert report["words"] == "price"
    assert [(each["month"], each["lowest"], each["highest"]) for each in report["by_month"]] == [
        *((f"2026-0{at}", pytest.approx(1.0), pytest.approx(1.2)) for at in (1, 2, 3)),
        ("2026-04", pytest.approx(1.0), pytest.approx(5.0)),
    ]
    assert _by_time(rows)[3] == {
        "month": "2026-04", "rows": 28, "total": pytest.approx(frame["y"][84:].sum()),
        "mean": pytest.approx(frame["y"][84:].mean()), "quarantined": 15,
    }  # fmt: skip
    assert [each["quarantined"] for each in _by_time(rows)] == [0, 0, 0, 15]
    # Splits are of what is left.
    folds = _splits(replace(case, splits=("group", "random")), rows)
    assert [(each["split"], each["fold"], each["train"] + each["test"]) for each in folds] == [
        *(("group", at, 97) for at in range(1, 6)), ("random", 1, 97),
    ]  # fmt: skip
    assert folds[-1]["test"] == 19
    assert _ratio_band(use_case(), rows) is None
    bare = replace(rows, places=places(112))
    assert (_ratio_band(case, bare), _by_time(bare), _drift(case.contract.inputs, bare)) == (None, [], [])


# --- The report of a table --------------------------------------------------------------------------------------------


def test_a_column_of_numbers_is_told_with_its_spikes() -> None:
    values = np.array([0.0, *range(1, 100), 100.0, 100.0, NAN, NAN, NAN])
    known = values[:-3]
    assert _column(Z, values) == {
        "name": "z", "type": "DOUBLE", "role": "input", "known_at": "at", "unit": None, "missing": 3,
        "missing_share": 3 / 105, "distinct": 101, "minimum": 0.0, "maximum": 100.0,
        "mean": pytest.approx(5150 / 102),
        "spread": pytest.approx(math.sqrt(((known - known.mean()) ** 2).mean())),
        "q5": pytest.approx(5.05), "q25": pytest.approx(25.25), "q50": pytest.approx(50.5),
        "q75": pytest.approx(75.75), "q95": pytest.approx(95.95),
        "spikes": [{"at": "maximum", "value": 100.0, "rows": 2, "share": 2 / 102}],
    }  # fmt: skip
    hundred = _column(Z, np.arange(100.0))
    assert [each["at"] for each in hundred["spikes"]] == ["minimum", "maximum"]
    assert _column(Z, np.arange(101.0))["spikes"] == []
    assert _column(NAME, named("a", None, "a", "b"))["distinct"] == 2
    assert "minimum" not in _column(NAME, named("a"))
    assert "minimum" not in _column(X, np.array([NAN]))


def test_histograms_are_of_thirty_bins_or_of_twelve_names() -> None:
    found = _histogram(X, np.array([0.0, 1.0, 60.0, 60.0, NAN]))
    assert found["edges"] == pytest.approx([2.0 * at for at in range(31)])
    assert found["counts"] == [2, *[0] * 28, 2]
    names = named(*("b" * 3), *("a" * 3), "z", None, *(f"n{at:02}" for at in range(20)), "z")
    assert _histogram(NAME, names) == {
        "names": ["a", "b", "z", *(f"n{at:02}" for at in range(9))], "counts": [3, 3, 2, *[1] * 9],
    }  # fmt: skip
    assert _histogram(X, np.array([NAN])) == {"edges": [], "counts": []}


def test_years_are_held_against_the_first() -> None:
    day = np.concatenate([days("2024-03-01", each=4), days("2025-03-01", each=4), days("2026-03-01", each=2)])
    columns = {
        "x": np.array([1.0, 2, 3, NAN, 2, 3, 9, 9, 1, 3]),
        "c": named("a", "a", "b", None, "a", "b", "b", "c", None, None),
    }
    rows = LearningRows(columns, np.zeros(10), places(10, day), np.arange(10), np.full(10, None), ())
    assert _drift([X, NAME], rows) == [
        # Up to 3 all of them, against a half.
        {"input": "x", "year": "2025", "distance": pytest.approx(0.5)},
        {"input": "x", "year": "2026", "distance": pytest.approx(1 / 6)},
        # Two thirds a and one third b, against a quarter, a half and a quarter.
        {"input": "c", "year": "2025", "distance": pytest.approx((5 / 12 + 1 / 6 + 1 / 4) / 2)},
    ]


def test_numbers_of_a_report_have_ten_digits() -> None:
    assert _rounded({"a": [1 / 3, (np.float64(2 / 3), np.int64(3))], 5: NAN, "b": np.inf, "c": None, "d": "x"}) == {
        "a": [0.3333333333, [0.6666666667, 3]], "5": None, "b": None, "c": None, "d": "x",
    }  # fmt: skip
