"""Training a tabular use case: guards, held-out rows, choice, intervals, evidence, and the model that is stored."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.models.learning.blocks import grades, share_interval
from quality_assets.domain.models.learning.columns_of import is_unknown, taken
from quality_assets.domain.models.learning.guards import Finding, guard_findings, refused_inputs
from quality_assets.domain.models.learning.held_out_rows import (
    Choice,
    SelectionMode,
    SplitPredictions,
    ViewRows,
    choose,
    permuted_r2,
    predicted_splits,
    tried,
    view_rows,
)
from quality_assets.domain.models.learning.learnable import CannotLearnError, LearningRows, learning_rows
from quality_assets.domain.models.learning.performance import performance_frame, walk_through_time
from quality_assets.domain.models.learning.residuals import (
    Intervals,
    fold_hits,
    learn_intervals,
    rolling_hits,
)
from quality_assets.domain.models.learning.tabular import LearningSettings, TabularUseCase, View
from quality_assets.domain.models.learning.tabular_model import Fitted, FittedView, TabularModel, fit
from quality_assets.domain.threads import limited_threads
from quality_assets.progress import Progress

METRIC_COLUMNS = (
    "trained_through", "target", "candidate", "role", "metric", "value", "low", "high", "rows", "split", "known"
)  # fmt: skip


@dataclass(frozen=True)
class LearningResult:
    """A trained model with its evidence: frames as ml.model_metrics, ml.model_leaks and ml.model_performance have them,
    without model and version.

    held_out: row_key, y and prediction of the headline's rows, by which later versions are compared. choices: by view.
    """

    model: TabularModel
    metrics: pd.DataFrame
    leaks: pd.DataFrame
    performance: pd.DataFrame
    held_out: pd.DataFrame
    choices: Mapping[str, Choice]
    findings: tuple[Finding, ...]
    quarantine: tuple[str, ...]
    data_fingerprint: str
    quarantined_rows: int

    @property
    def headline(self) -> Mapping[str, float]:
        """r2, rmse, mae and coverage of what the first view predicts with, on the headline split."""
        frame = self.metrics
        view = self.model.views[0]
        own = frame[(frame["role"] == "champion") & (frame["known"] == view.known)]
        own = own[own["split"] == self.metrics.attrs["headline"]]
        return {name: float(value) for name, value in zip(own["metric"], own["value"], strict=True)}


def train_table(
    use_case: TabularUseCase, frame: pd.DataFrame, mode: SelectionMode, progress: Progress
) -> LearningResult:
    """Train on the rows of a table. Raises CannotLearnError where nothing can be learnt from them."""
    with limited_threads():
        return _train(use_case, frame, mode, progress)


def _train(use_case: TabularUseCase, frame: pd.DataFrame, mode: SelectionMode, progress: Progress) -> LearningResult:
    rows = learning_rows(use_case, frame)
    contract, clean = use_case.contract, rows.is_clean
    progress("asking what knows the target")
    findings = tuple(guard_findings(contract.inputs, contract.target, rows.columns, rows.y, use_case.settings))
    refused = refused_inputs(findings)
    absent = [name for name, values in rows.columns.items() if is_unknown(values).all()]
    learnt = [column.name for column in contract.inputs if column.name not in (*refused, *absent)]
    columns, y, places = taken(rows.columns, clean), rows.y[clean], rows.places.taken(clean)
    views, metrics, performance, choices, held_out = [], [], [], {}, pd.DataFrame()
    for view in views_without(use_case, absent):
        progress(f"training with {view.known} known" if view.missing == () else f"training {view.known}")
        some = view_rows(use_case, view, columns, y, places, (*refused, *absent))
        view_result = _train_view(some, rows, mode)
        views.append(view_result.fitted)
        metrics.append(view_result.metrics)
        performance.append(view_result.performance)
        choices[view.known] = view_result.choice
        if not len(held_out):
            headline = view_result.splits[use_case.headline]
            tested = headline.is_tested
            predicted = headline.by_candidate[view_result.choice.candidate.name]
            held_out = pd.DataFrame(
                {"row_key": rows.keys[clean][tested], "y": y[tested], "prediction": predicted[tested]}
            )
    through = None if rows.places.day is None else str(np.datetime64(int(rows.places.day.max()), "D"))
    model = TabularModel(
        use_case=use_case.name,
        contract=contract.fingerprint,
        views=tuple(views),
        inputs=tuple(learnt),
        refused=refused,
        ranges=_ranges(columns, learnt),
        trained_through=through,
        rows=len(y),
        reference={},
    )
    frame_of_metrics = pd.concat(metrics, ignore_index=True)
    frame_of_metrics["trained_through"] = pd.Timestamp(through) if through else pd.NaT
    frame_of_metrics.attrs["headline"] = use_case.headline
    return LearningResult(
        model=_with_reference(model, columns),
        metrics=frame_of_metrics,
        leaks=pd.DataFrame([asdict(each) for each in findings]),
        performance=pd.concat(performance, ignore_index=True),
        held_out=held_out,
        choices=choices,
        findings=findings,
        quarantine=rows.words,
        data_fingerprint=rows_fingerprint(use_case, rows),
        quarantined_rows=int((~clean).sum()),
    )


@dataclass(frozen=True)
class _ViewResult:
    fitted: FittedView
    metrics: pd.DataFrame
    performance: pd.DataFrame
    choice: Choice
    splits: Mapping[Any, SplitPredictions]


def _train_view(some: ViewRows, rows: LearningRows, mode: SelectionMode) -> _ViewResult:
    use_case, view = some.use_case, some.view
    candidates = tried(some, mode)
    splits = predicted_splits(some, candidates, use_case.splits)
    if use_case.headline not in splits:
        raise CannotLearnError(f"its rows cannot be held out by {use_case.headline}, which is how it is judged")
    choice = choose(some, candidates, splits)
    fitted = fit(choice.candidate, some.columns, some.y, some.inputs)
    walked = walk_through_time(some, rows, choice.candidate)
    intervals, coverage = _intervals(some, rows, splits, choice, walked, fitted)
    metrics = _metrics(some, candidates, splits, choice)
    metrics += [
        _row(some, choice.candidate.name, "champion", use_case.headline, "coverage", *coverage[:4]),
        _row(
            some, "gradient_boosting", "candidate", use_case.headline, "r2_permuted", permuted_r2(some), np.nan, np.nan,
            int(splits[use_case.headline].is_tested.sum()),
        ),
    ]  # fmt: skip
    return _ViewResult(
        FittedView(view.known, view.missing, fitted, intervals),
        pd.DataFrame(metrics)[list(METRIC_COLUMNS)],
        performance_frame(some, rows, splits, choice, walked, coverage[4]),
        choice,
        splits,
    )


def _intervals(
    some: ViewRows, rows: LearningRows, splits: Mapping[Any, SplitPredictions], choice: Choice,
    walked: Floats, fitted: Fitted,
) -> tuple[Intervals, tuple[float, float, float, int, Floats]]:  # fmt: skip
    """Intervals for what comes next, and the coverage that their method had: value, low, high, rows, and which rows lay
    within.

    Where rows have an order in time, the method is replayed over all of them, broken windows included, and the interval
    that is released tells how it did without those; else the residuals of other areas make the interval of each. Rows
    of which nothing is open are not counted.
    """
    settings, headline = some.use_case.settings, splits[some.use_case.headline]
    name = choice.candidate.name
    if rows.places.day is None:
        tested = headline.is_tested
        y, predicted, block = some.y[tested], headline.by_candidate[name][tested], some.places.block[tested]
        inside = fold_hits(headline.fold[tested], y, predicted, False, settings)
        covered = share_interval(inside, block, settings)
        learnt = learn_intervals(y, predicted, by_size=True, is_relative=False, coverage=covered[0], settings=settings)
        return learnt, (*covered, len(y), inside.astype(float))
    is_open = np.isfinite(walked) & ~fitted.is_exact(rows.columns)
    start = _headline_start(some)
    hits, covered, later = _replayed(rows, walked, is_open, start, settings)
    # What is known to be broken, and over, says nothing of what comes next.
    is_usual = is_open & rows.is_clean
    _, usual, count = _replayed(rows, walked, is_usual, start, settings)
    learnt = learn_intervals(
        rows.y[is_usual], walked[is_usual], by_size=False, is_relative=True,
        coverage=usual[0] if count else None, settings=settings,
    )  # fmt: skip
    return learnt, (*covered, later, hits)


def _replayed(
    rows: LearningRows, walked: Floats, some: Bools, start: int, settings: LearningSettings
) -> tuple[Floats, tuple[float, float, float], int]:
    """The rolling interval replayed over some of n rows: 1 where an outcome lay within, 0 where not, NaN where there
    was no interval yet; the share of those from `start` on, with its interval, and how many they are."""
    assert rows.places.day is not None  # asked of rows with time alone
    day = rows.places.day[some]
    inside, is_known = rolling_hits(day, rows.y[some], walked[some], True, settings)
    hits = np.full(len(rows.y), np.nan)
    hits[some] = np.where(is_known, inside, np.nan)
    is_later = is_known & (day >= start)
    covered = (np.nan, np.nan, np.nan)
    if is_later.any():
        covered = share_interval(inside[is_later], rows.places.block[some][is_later], settings)
    return hits, covered, int(is_later.sum())


def _headline_start(some: ViewRows) -> int:
    from quality_assets.domain.models.learning.blocks import test_starts

    assert some.places.day is not None  # asked of rows with time alone
    return test_starts(some.places.day, some.use_case.settings)


def _metrics(
    some: ViewRows, candidates: Sequence[Any], splits: Mapping[Any, SplitPredictions], choice: Choice
) -> list[dict[str, Any]]:
    found = []
    for name, split in splits.items():
        tested = split.is_tested
        for candidate in candidates:
            role = "champion" if candidate.name == choice.candidate.name else candidate.role
            graded = grades(
                some.y[tested],
                split.by_candidate[candidate.name][tested],
                some.places.block[tested],
                some.use_case.settings,
            )
            for metric, values in graded.values.items():
                found.append(_row(some, candidate.name, role, name, metric, *values, graded.rows))
    return found


def _row(
    some: ViewRows, candidate: str, role: str, split: str, metric: str, value: float, low: float, high: float, rows: int
) -> dict[str, Any]:
    return {
        "trained_through": pd.NaT,
        "target": some.use_case.contract.target.name,
        "candidate": candidate,
        "role": role,
        "metric": metric,
        "value": value,
        "low": low,
        "high": high,
        "rows": rows,
        "split": split,
        "known": some.view.known,
    }


def _ranges(columns: Mapping[str, np.ndarray], inputs: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for name in inputs:
        values = columns[name]
        if values.dtype == object:
            found[name] = tuple(sorted({value for value in values if value is not None}))
        elif np.isfinite(values).any():
            found[name] = (float(np.nanmin(values)), float(np.nanmax(values)))
    return found


def _with_reference(model: TabularModel, columns: Mapping[str, np.ndarray]) -> TabularModel:
    """The model with a row in the middle of its rows for each view, of which something was open, and what it says of
    them: the first view's is the reference, the rest stand under `others`."""
    told = []
    for view in model.views:
        is_open = ~view.fitted.is_exact(columns)
        rows = np.flatnonzero(is_open if is_open.any() else ~is_open)
        some = {name: values[[rows[len(rows) // 2]]] for name, values in columns.items()}
        row = {name: None if name in view.missing else _plain(some[name][0]) for name in model.inputs}
        told.append(reference_of(model, row))
    return replace(model, reference={**told[0], "others": told[1:]})


def reference_of(model: TabularModel, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row and what a model says of it."""
    columns = {
        name: np.array([value if isinstance(value, str) else np.nan if value is None else float(value)])
        for name, value in row.items()
    }
    predicted, low, high = (float(each[0]) for each in model.predictions(columns))
    return {"row": dict(row), "prediction": predicted, "p10": low, "p90": high}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    return float(value) if np.isfinite(value) else None


def rows_fingerprint(use_case: TabularUseCase, rows: LearningRows) -> str:
    """SHA-256 of contract, columns and rows in the order of their keys: the same data, the same fingerprint."""
    digest = hashlib.sha256(use_case.contract.fingerprint.encode())
    order = np.argsort(rows.keys, kind="stable")
    for name, values in (("key", rows.keys), *rows.columns.items(), ("target", rows.y)):
        digest.update(name.encode())
        if values.dtype == object:
            digest.update("\x1f".join("" if v is None else str(v) for v in values[order]).encode())
        else:
            digest.update(np.ascontiguousarray(values[order], dtype=float).tobytes())
    return digest.hexdigest()


def views_without(use_case: TabularUseCase, absent: Sequence[str]) -> list[View]:
    """The views that can be learnt where some inputs are nowhere known: of what may be missing, those that miss it."""
    optional = {name for view in use_case.views for name in view.missing}
    gone = optional & set(absent)
    return [view for view in use_case.views if gone <= set(view.missing)]
