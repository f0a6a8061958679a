"""Training, comparing and choosing the models of a use case.

Public functions take whole histories and make their own splits, as the use case's recipe says, so that nothing is
learnt from what is graded on. Estimators live in `estimators`, who is chosen in the recipe, arithmetic of grades in
`stats.grading`, storage in `stores.models`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.models.artifact import TrainedModel, TrainingResult, check_inputs, data_fingerprint
from quality_assets.domain.models.estimators import Sigmoid, TargetModel, make_estimator
from quality_assets.domain.models.evidence import (
    Evidence,
    MoreGrades,
    beside_candidate,
    calibration_frame,
    held_out_frame,
    importance_frame,
    metrics_frame,
    permutation_importance,
)
from quality_assets.domain.models.leaks import without_leaks
from quality_assets.domain.models.rows import TargetRows, can_learn, sample_rows, target_rows
from quality_assets.domain.models.selection import brier_skills
from quality_assets.domain.models.settings import TrainingSettings
from quality_assets.domain.models.use_case import Choice, UseCase
from quality_assets.domain.threads import limited_threads

_EPOCH = date(1970, 1, 1)


def train(
    use_case: UseCase,
    training_set: pd.DataFrame,
    settings: TrainingSettings | None = None,
    more_grades: MoreGrades | None = None,
) -> TrainingResult:
    """Train, compare and choose on the rows of a use case's training set.

    `settings` are of the use case's own class, its own by default; `more_grades` adds rows to the metrics of every
    model. Where history, positives or gain are too little, the recipe falls back to a baseline or to none, and an
    input that knows too much is not learnt from; `model.notes` says so.

    Raises SuspectedLeakError where a use case without a state has an input that all but knows the label,
    InputsMismatchError when inputs are absent.
    """
    settings = settings or use_case.settings
    check_inputs(use_case, training_set, use_case.input_names)
    learnt, leaks = without_leaks(use_case, training_set)
    with limited_threads():
        return _train(learnt, training_set, settings, more_grades, [f"leak: {leak.sentence}" for leak in leaks])


def _train(
    use_case: UseCase,
    training_set: pd.DataFrame,
    settings: TrainingSettings,
    more_grades: MoreGrades | None,
    notes: list[str],
) -> TrainingResult:
    chosen: dict[str, TargetModel] = {}
    evidence: list[Evidence] = []
    importance: list[pd.DataFrame] = []
    base_rate = np.nan
    for target in use_case.targets:
        rows = target_rows(use_case, training_set, target.name)
        proof = held_out(use_case, rows, target.name, settings, use_case.candidates + use_case.baselines)
        choice = use_case.recipe().choose(rows, proof, settings)
        notes += [choice.note] if choice.note else []
        evidence.append(replace(proof, champion=choice.name))
        if choice.name is not None:
            chosen[target.name] = _fitted(rows, proof, choice, settings)
            if proof.is_graded.any() and settings.importance_repeats:
                importance.append(_worth(use_case, rows, proof, choice.name, settings))
        if target == use_case.main_target and len(rows.y):
            base_rate = float(rows.y.mean())
        # Of a long history the next target's rows would not fit beside these.
        del rows
    model = TrainedModel(
        trained_through=_last_day(use_case, training_set),
        horizon_days=settings.horizon_days,
        input_names=use_case.input_names,
        targets=chosen,
        base_rate=base_rate,
        notes=tuple(notes),
    )
    return TrainingResult(
        model,
        metrics_frame(use_case, evidence, model, settings, more_grades),
        importance_frame(importance),
        calibration_frame(evidence, settings),
        held_out_frame(evidence),
        data_fingerprint(training_set),
    )


def _worth(
    use_case: UseCase, rows: TargetRows, proof: Evidence, chosen: str, settings: TrainingSettings
) -> pd.DataFrame:
    """What inputs are worth to the model of a target; where that is a baseline, which looks at one input or none, what
    they are worth to the best candidate stands beside it."""
    worth = permutation_importance(use_case, rows, chosen, settings).assign(target=proof.target)
    if chosen in use_case.candidates or not proof.can_compare:
        return beside_candidate(worth, worth, chosen)
    skills = brier_skills(proof, settings)
    best = max(use_case.candidates, key=lambda name: skills[name])
    return beside_candidate(worth, permutation_importance(use_case, rows, best, settings), best)


def _last_day(use_case: UseCase, training_set: pd.DataFrame) -> date:
    days = use_case.days(training_set)
    return _EPOCH + timedelta(days=int(days.max())) if len(days) else _EPOCH


def held_out(
    use_case: UseCase, rows: TargetRows, target: str, settings: TrainingSettings, names: tuple[str, ...]
) -> Evidence:
    """What each of the named estimators predicts for rows that it did not learn from, split by split.

    Predictions are calibrated on those of the splits before whose rows the split may learn from.
    """
    kept: list[Ints] = []
    raw: dict[str, list[Floats]] = {name: [] for name in names}
    p: dict[str, list[Floats]] = {name: [] for name in names}
    graded: list[Bools] = []
    for split in use_case.recipe().splits(rows, settings):
        train = sample_rows(rows, np.flatnonzero(split.train), settings)
        test = split.test
        if not can_learn(train.y, settings) or not len(test):
            continue
        past = np.concatenate(kept) if kept else np.zeros(0, dtype=np.int64)
        is_past = split.train[past]
        for name in names:
            estimator = make_estimator(use_case, name, settings)
            estimator.fit(train.x, train.y, train.entity)
            new = estimator.predict(rows.x[test], rows.entity[test])
            before = np.concatenate(raw[name])[is_past] if kept else np.zeros(0)
            calibrator = Sigmoid().fit(before, rows.y[past[is_past]])
            raw[name].append(new)
            p[name].append(calibrator.apply(new))
        graded.append(np.full(len(test), bool(kept)))
        kept.append(test)
    index = np.concatenate(kept) if kept else np.zeros(0, dtype=np.int64)
    empty = np.zeros(0)
    return Evidence(
        use_case,
        target,
        rows.keys.iloc[index].reset_index(drop=True),
        rows.y[index],
        {name: np.concatenate(v) if v else empty for name, v in raw.items()},
        {name: np.concatenate(v) if v else empty for name, v in p.items()},
        np.concatenate(graded) if graded else np.zeros(0, dtype=bool),
    )


def _fitted(rows: TargetRows, proof: Evidence, choice: Choice, settings: TrainingSettings) -> TargetModel:
    """The chosen model of a target, on all its rows."""
    assert choice.name is not None
    if not choice.is_stand_in:
        return fit_target(rows, choice.name, proof, settings)
    return _plain(proof.use_case, rows, choice.name, settings)


def _plain(use_case: UseCase, rows: TargetRows, name: str, settings: TrainingSettings) -> TargetModel:
    """An estimator on these very rows, with neither calibration nor intervals."""
    estimator = make_estimator(use_case, name, settings)
    estimator.fit(rows.x, rows.y, rows.entity)
    return TargetModel(name, estimator, Sigmoid())


def fit_target(rows: TargetRows, name: str, proof: Evidence, settings: TrainingSettings) -> TargetModel:
    """One model on all rows, calibrated on its held-out predictions, with members for intervals: refits on entities
    drawn with replacement, each with its own calibration on drawn entities."""
    use_case = proof.use_case
    everything = sample_rows(rows, np.arange(len(rows.y)), settings)
    estimator = make_estimator(use_case, name, settings)
    estimator.fit(everything.x, everything.y, everything.entity)
    model = TargetModel(name, estimator, Sigmoid().fit(proof.raw[name], proof.y))
    rng = np.random.default_rng(settings.seed + 1)
    codes, names = pd.factorize(everything.entity)
    proof_code = pd.Index(names).get_indexer(pd.Index(proof.keys[use_case.entity]))
    by_entity = np.argsort(codes, kind="stable")
    start = np.searchsorted(codes[by_entity], np.arange(len(names) + 1))
    small = replace(settings, max_fit_rows=settings.max_fit_rows // 2)
    for _ in range(settings.interval_members):
        drawn = rng.integers(0, len(names), len(names))
        index = np.concatenate([by_entity[start[c] : start[c + 1]] for c in drawn])
        part = sample_rows(everything.take(index), np.arange(len(index)), small)
        if not can_learn(part.y, settings):
            continue
        member = make_estimator(use_case, name, settings, is_small=True)
        member.fit(part.x, part.y, part.entity)
        weight = np.append(np.bincount(drawn, minlength=len(names)), 0)[proof_code].astype(float)
        used = weight > 0
        calibrator = Sigmoid().fit(proof.raw[name][used], proof.y[used], weight[used])
        model.members.append((member, calibrator))
    return model


def refit_model(
    use_case: UseCase, model: TrainedModel, training_set: pd.DataFrame, settings: TrainingSettings | None = None
) -> TrainedModel:
    """The same choices on newer data: estimators fitted anew, calibration kept, no choosing and no intervals."""
    settings = settings or use_case.settings
    fitted: dict[str, TargetModel] = {}
    for name, old in model.targets.items():
        rows = target_rows(use_case, training_set, name)
        if not 0 < rows.y.sum() < len(rows.y):
            fitted[name] = old
            continue
        part = sample_rows(rows, np.arange(len(rows.y)), settings)
        fitted[name] = replace(_plain(use_case, part, old.name, settings), calibrator=old.calibrator)
    return replace(model, trained_through=_last_day(use_case, training_set), targets=fitted)


def fit_baselines(
    use_case: UseCase, training_set: pd.DataFrame, settings: TrainingSettings | None = None
) -> dict[str, TargetModel]:
    """Every baseline of the main target on the known rows; empty where only one class is known."""
    rows = target_rows(use_case, training_set, use_case.main_target.name)
    if not 0 < rows.y.sum() < len(rows.y):
        return {}
    return {name: _plain(use_case, rows, name, settings or use_case.settings) for name in use_case.baselines}


def permuted_label_lift(
    use_case: UseCase, training_set: pd.DataFrame, settings: TrainingSettings | None = None
) -> float:
    """Primary metric ÷ base rate of the first candidate, learnt from and graded on permuted labels: about 1 unless rows
    leak.
    """
    settings, name = settings or use_case.settings, use_case.candidates[0]
    target = use_case.main_target.name
    rows = target_rows(use_case, training_set, target)
    shuffled = np.random.default_rng(settings.seed).permutation(rows.y)
    proof = held_out(use_case, replace(rows, y=shuffled), target, settings, (name,))
    if not proof.is_graded.any():
        return np.nan
    return proof.score(name, settings) / float(proof.graded_outcomes.mean())
