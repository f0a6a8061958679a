"""Training, choosing, scoring and grading the risk of degradation.

Time order is kept by construction: public functions take whole histories and make their own splits, each training
part ending a horizon before its test part begins. Estimators live in `risk_models`, arithmetic of grades in
`risk_grading`, words in `risk_reasons`, storage in `warehouse.model_registry`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd

from quality_assets.contracts.risk_inputs import INPUT_NAMES
from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.models.artifact import (
    TARGETS,
    RiskModel,
    Target,
    TrainingResult,
    check_inputs,
    data_fingerprint,
)
from quality_assets.domain.models.estimators import (
    BASELINES,
    CANDIDATES,
    RiskSettings,
    Sigmoid,
    TargetModel,
    limited_threads,
    make_estimator,
)
from quality_assets.domain.models.evidence import (
    Evidence,
    calibration_frame,
    grading_rounds,
    held_out_frame,
    importance_frame,
    metrics_frame,
    permutation_importance,
)
from quality_assets.domain.models.leaks import check_single_inputs
from quality_assets.domain.models.rows import TargetRows, can_learn, sample_rows, target_rows
from quality_assets.domain.models.splits import time_splits
from quality_assets.domain.stats.grading import (
    measure_with_intervals,
    pr_auc_difference,
    prepare,
)

_MIN_CHART_POSITIVES = 5


def train_risk_model(
    training_set: pd.DataFrame, settings: RiskSettings | None = None, onsets: pd.DataFrame | None = None
) -> TrainingResult:
    """Train, compare and choose on rows of ml.risk_training_set.

    `onsets` (event_date, feature of days with is_onset_today in ml.degradation_labels) adds lead times. Where history,
    positives or gain are too little, the model falls back to a baseline or to none, and `model.notes` says so.

    Raises SuspectedLeakError when a single input all but knows the label, InputsMismatchError when inputs are absent.
    """
    settings = settings or RiskSettings()
    check_inputs(training_set, INPUT_NAMES)
    check_single_inputs(training_set)
    with limited_threads():
        return _train(training_set, settings, onsets)


def _train(training_set: pd.DataFrame, settings: RiskSettings, onsets: pd.DataFrame | None) -> TrainingResult:
    chosen: dict[Target, TargetModel | None] = {}
    evidence: list[Evidence] = []
    importance: list[pd.DataFrame] = []
    notes: list[str] = []
    base_rate = np.nan
    for target in TARGETS:
        rows = target_rows(training_set, target)
        proof = _walk_forward(rows, target, settings, CANDIDATES + BASELINES)
        winner, note = _choose(rows, proof, settings)
        chosen[target] = winner
        notes += [note] if note else []
        evidence.append(replace(proof, champion=winner.name if winner else None))
        if winner is not None and proof.is_graded.any() and settings.importance_repeats:
            importance.append(permutation_importance(rows, winner.name, settings).assign(target=target))
        if target == "any" and len(rows.y):
            base_rate = float(rows.y.mean())
        # Of a long history the next target's rows would not fit beside these.
        del rows
    through = pd.to_datetime(training_set["event_date"]).max()
    model = RiskModel(
        trained_through=through.date() if len(training_set) else date(1970, 1, 1),
        horizon_days=settings.horizon_days,
        input_names=INPUT_NAMES,
        any=chosen["any"],
        onset=chosen["onset"],
        base_rate=base_rate,
        notes=tuple(notes),
    )
    return TrainingResult(
        model,
        metrics_frame(evidence, model, settings, onsets),
        importance_frame(importance),
        calibration_frame(evidence, settings),
        held_out_frame(evidence),
        data_fingerprint(training_set),
    )


def _walk_forward(rows: TargetRows, target: Target, settings: RiskSettings, names: tuple[str, ...]) -> Evidence:
    splits = time_splits(int(rows.day[0]), int(rows.day[-1]), settings) if len(rows.day) else []
    kept: list[np.ndarray] = []
    raw: dict[str, list[Floats]] = {name: [] for name in names}
    p: dict[str, list[Floats]] = {name: [] for name in names}
    graded: list[Bools] = []
    for split in splits:
        train = sample_rows(rows, rows.day <= split.train_through, settings)
        test = np.flatnonzero((rows.day >= split.test_from) & (rows.day <= split.test_through))
        if not can_learn(train.y, settings) or not len(test):
            continue
        past = np.concatenate(kept) if kept else np.zeros(0, dtype=np.int64)
        is_past = rows.day[past] <= split.train_through
        for name in names:
            estimator = make_estimator(name, settings)
            estimator.fit(train.x, train.y, train.feature)
            new = estimator.predict(rows.x[test], rows.feature[test])
            before = np.concatenate(raw[name])[is_past] if kept else np.zeros(0)
            calibrator = Sigmoid().fit(before, rows.y[past[is_past]])
            raw[name].append(new)
            p[name].append(calibrator.apply(new))
        graded.append(np.full(len(test), bool(kept)))
        kept.append(test)
    index = np.concatenate(kept) if kept else np.zeros(0, dtype=np.int64)
    empty = np.zeros(0)
    return Evidence(
        target,
        rows.keys.iloc[index].reset_index(drop=True),
        rows.y[index],
        {name: np.concatenate(v) if v else empty for name, v in raw.items()},
        {name: np.concatenate(v) if v else empty for name, v in p.items()},
        np.concatenate(graded) if graded else np.zeros(0, dtype=bool),
    )


def _choose(rows: TargetRows, proof: Evidence, settings: RiskSettings) -> tuple[TargetModel | None, str]:
    """The model of a target, refitted on all its rows, and a sentence where it is not simply the best candidate."""
    if not can_learn(rows.y, settings):
        return _fallback(rows, proof.target, settings)
    if not proof.is_graded.any() or not 0 < proof.y[proof.is_graded].sum() < proof.is_graded.sum():
        return _fallback(rows, proof.target, settings, "too few days to compare models on")
    scores = {name: proof.pr_auc(name) for name in proof.p}
    candidate = _best_candidate(proof, scores, settings)
    baseline = max(BASELINES, key=lambda name: scores[name])
    base = float(proof.y[proof.is_graded].mean())
    if proof.target == "onset":
        # On few positives a lift above the limit is chance now and then: it takes its whole interval to be a leak.
        best = baseline if scores[baseline] >= scores[candidate] else candidate
        leak_lift = _lowest_lift(proof, best, settings)
        if leak_lift > settings.max_onset_lift:
            return None, f"onset: PR-AUC is at least {leak_lift:.1f} times the base rate: a leak is suspected"
        lift = scores[best] / base
        if lift < settings.min_onset_lift:
            return None, f"onset: no skill (PR-AUC {lift:.2f} times the base rate, {settings.min_onset_lift} needed)"
        note = "" if best == candidate else f"onset: no candidate beats {baseline}: the baseline is the model"
        return fit_target(rows, best, proof, settings), note
    gain = scores[candidate] / scores[baseline]
    if gain < settings.min_gain:
        note = (
            f"any: best candidate {candidate} reaches {gain:.2f} times the PR-AUC of {baseline}, "
            f"{settings.min_gain} needed: the baseline is the model"
        )
        return fit_target(rows, baseline, proof, settings), note
    return fit_target(rows, candidate, proof, settings), ""


def _lowest_lift(proof: Evidence, name: str, settings: RiskSettings) -> float:
    """The lower end of the 90 % interval of PR-AUC ÷ base rate."""
    mask = proof.is_graded
    rows = prepare(proof.graded_keys, proof.y[mask], proof.p[name][mask], 1, 2 * settings.horizon_days)
    intervals = measure_with_intervals(rows, grading_rounds(int(mask.sum()), settings), settings.seed)
    return float(intervals.set_index("metric")["low"]["pr_auc_lift"])


def _best_candidate(proof: Evidence, scores: dict[str, float], settings: RiskSettings) -> str:
    """The candidate of highest PR-AUC; the flagship forest where the difference to it may be chance."""
    best = max(CANDIDATES, key=lambda name: scores[name])
    flagship = CANDIDATES[0]
    if best == flagship:
        return best
    mask = proof.is_graded
    _, low, _ = pr_auc_difference(
        proof.graded_keys,
        proof.y[mask],
        proof.p[best][mask],
        proof.p[flagship][mask],
        2 * settings.horizon_days,
        grading_rounds(int(mask.sum()), settings),
        settings.seed,
    )
    return best if low > 0 else flagship


def _fallback(
    rows: TargetRows, target: Target, settings: RiskSettings, why: str | None = None
) -> tuple[TargetModel | None, str]:
    positives = int(rows.y.sum())
    why = (
        why or f"{positives} of {len(rows.y)} known feature-days degraded, {settings.min_positives} of each kind needed"
    )
    if target == "onset":
        return None, f"onset: not shown: {why}"
    if not 0 < positives < len(rows.y):
        return None, f"any: no model and no base rate: {why}"
    # The chart knows today's state and has two numbers to learn; a share per feature does not know today.
    has_chart = min(positives, len(rows.y) - positives) >= _MIN_CHART_POSITIVES
    name, words = ("ewma_chart", "control chart") if has_chart else ("feature_base_rate", "base rate per feature")
    estimator = make_estimator(name, settings)
    estimator.fit(rows.x, rows.y, rows.feature)
    return TargetModel(name, estimator, Sigmoid()), f"any: {words} stands in: {why}"


def fit_target(rows: TargetRows, name: str, proof: Evidence, settings: RiskSettings) -> TargetModel:
    """One model on all rows, calibrated on its walk-forward predictions (each later than what made it), with members
    for intervals: refits on features drawn with replacement, each with its own calibration on drawn features."""
    everything = sample_rows(rows, np.ones(len(rows.y), dtype=bool), settings)
    estimator = make_estimator(name, settings)
    estimator.fit(everything.x, everything.y, everything.feature)
    model = TargetModel(name, estimator, Sigmoid().fit(proof.raw[name], proof.y))
    rng = np.random.default_rng(settings.seed + 1)
    codes, names = pd.factorize(everything.feature)
    proof_code = pd.Index(names).get_indexer(pd.Index(proof.keys["feature"]))
    by_feature = np.argsort(codes, kind="stable")
    start = np.searchsorted(codes[by_feature], np.arange(len(names) + 1))
    small = replace(settings, max_fit_rows=settings.max_fit_rows // 2)
    for _ in range(settings.interval_members):
        drawn = rng.integers(0, len(names), len(names))
        index = np.concatenate([by_feature[start[c] : start[c + 1]] for c in drawn])
        part = sample_rows(everything.take(index), np.ones(len(index), dtype=bool), small)
        if not can_learn(part.y, settings):
            continue
        member = make_estimator(name, settings, is_small=True)
        member.fit(part.x, part.y, part.feature)
        weight = np.append(np.bincount(drawn, minlength=len(names)), 0)[proof_code].astype(float)
        used = weight > 0
        calibrator = Sigmoid().fit(proof.raw[name][used], proof.y[used], weight[used])
        model.members.append((member, calibrator))
    return model


def refit_model(model: RiskModel, training_set: pd.DataFrame, settings: RiskSettings | None = None) -> RiskModel:
    """The same recipe on newer data: estimators fitted anew, calibration kept, no choosing and no intervals."""
    settings = settings or RiskSettings()
    fitted: dict[Target, TargetModel | None] = {}
    for target in TARGETS:
        old = model.any if target == "any" else model.onset
        rows = target_rows(training_set, target)
        if old is None or not 0 < rows.y.sum() < len(rows.y):
            fitted[target] = old
            continue
        part = sample_rows(rows, np.ones(len(rows.y), dtype=bool), settings)
        estimator = make_estimator(old.name, settings)
        estimator.fit(part.x, part.y, part.feature)
        fitted[target] = TargetModel(old.name, estimator, old.calibrator)
    through = pd.to_datetime(training_set["event_date"]).max().date()
    return replace(model, trained_through=through, any=fitted["any"], onset=fitted["onset"])


def fit_baselines(training_set: pd.DataFrame, settings: RiskSettings | None = None) -> dict[str, TargetModel]:
    """Every baseline of the any target on the known rows; empty where only one class is known."""
    settings = settings or RiskSettings()
    rows = target_rows(training_set, "any")
    if not 0 < rows.y.sum() < len(rows.y):
        return {}
    out = {}
    for name in BASELINES:
        estimator = make_estimator(name, settings)
        estimator.fit(rows.x, rows.y, rows.feature)
        out[name] = TargetModel(name, estimator, Sigmoid())
    return out


def permuted_label_lift(
    training_set: pd.DataFrame, settings: RiskSettings | None = None, name: str = "random_forest"
) -> float:
    """PR-AUC ÷ base rate of a candidate whose training and test labels were permuted: about 1 unless rows leak."""
    settings = settings or RiskSettings()
    rows = target_rows(training_set, "any")
    shuffled = np.random.default_rng(settings.seed).permutation(rows.y)
    proof = _walk_forward(replace(rows, y=shuffled), "any", settings, (name,))
    if not proof.is_graded.any():
        return np.nan
    return proof.pr_auc(name) / float(proof.y[proof.is_graded].mean())
