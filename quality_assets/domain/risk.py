"""Training, choosing, scoring and grading the risk of degradation.

Time order is kept by construction: public functions take whole histories and make their own splits, each training
part ending a horizon before its test part begins. Estimators live in `risk_models`, arithmetic of grades in
`risk_grading`, words in `risk_reasons`, storage in `warehouse.model_registry`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd

from quality_assets.domain.feature_panel import Bools, Floats
from quality_assets.domain.risk_grading import (
    calibration_bins,
    lead_times,
    measure,
    measure_with_intervals,
    pr_auc_difference,
    prepare,
    top_k,
)
from quality_assets.domain.risk_input_registry import (
    INPUT_NAMES,
    INPUTS,
    INPUTS_BY_NAME,
    LEARNT_NAMES,
    inputs_fingerprint,
)
from quality_assets.domain.risk_models import (
    BASELINES,
    CANDIDATES,
    RiskSettings,
    Sigmoid,
    TargetModel,
    input_matrix,
    limited_threads,
    make_estimator,
)
from quality_assets.domain.risk_reasons import reasons

Target = Literal["any", "onset"]
TARGETS: tuple[Target, ...] = ("any", "onset")
_LEAK_AUC = 0.99
_MIN_LEAK_POSITIVES, _MIN_LEAK_FEATURES = 50, 3
_MIN_CHART_POSITIVES = 5
_MIN_ROUNDS, _ROUND_ROWS = 40, 10_000_000
_LEAD_METRICS = ("warned_share", "lead_days_median")


class SuspectedLeakError(ValueError):
    """An input or a score knows what it cannot know."""


class InputsMismatchError(ValueError):
    """A model was made for other inputs than it is given."""


@dataclass(frozen=True)
class TimeSplit:
    """Day indices: train on days <= train_through, test on test_from .. test_through, with the embargo between."""

    train_through: int
    test_from: int
    test_through: int


@dataclass
class RiskModel:
    """What is saved and scored with. `any` and `onset` are None where nothing could be learnt or shown.

    notes: why a baseline stands in, why the onset is not shown, in sentences. `base_rate` is that of the any target.
    """

    trained_through: date
    horizon_days: int
    input_names: tuple[str, ...]
    any: TargetModel | None
    onset: TargetModel | None
    base_rate: float
    notes: tuple[str, ...] = ()

    @property
    def inputs_fingerprint(self) -> str:
        """Same inputs contract, same fingerprint."""
        return inputs_fingerprint(self.input_names)


@dataclass(frozen=True)
class TrainingResult:
    """A trained model with its evidence: frames as ml.model_metrics, ml.feature_importance and ml.calibration have
    them (without model_version, which the registry gives), and held-out probabilities of every model.

    held_out: event_date, feature, target, outcome, and one column of calibrated probabilities per model.
    """

    model: RiskModel
    metrics: pd.DataFrame
    importance: pd.DataFrame
    calibration: pd.DataFrame
    held_out: pd.DataFrame
    data_fingerprint: str


@dataclass(frozen=True)
class Decision:
    """Whether a challenger replaces the champion, why, and the PR-AUC difference with its 90 % interval."""

    is_promoted: bool
    reason: str
    difference: float = np.nan
    low: float = np.nan
    high: float = np.nan


@dataclass(frozen=True)
class _Rows:
    """The rows of one target, ordered by day: keys, n x p inputs, n outcomes, day indices of labelled days."""

    keys: pd.DataFrame
    x: Floats
    y: Floats
    day: np.ndarray = field(repr=False)

    @property
    def feature(self) -> np.ndarray:
        return self.keys["feature"].to_numpy()

    def take(self, chosen: np.ndarray) -> _Rows:
        return _Rows(self.keys.iloc[chosen], self.x[chosen], self.y[chosen], self.day[chosen])


def time_splits(first_day: int, last_day: int, settings: RiskSettings) -> list[TimeSplit]:
    """Expanding-window splits of labelled days first_day .. last_day, oldest first; empty when they are too few.

    Training ends horizon_days before testing begins, so that no training label reaches into the test (the purge of
    López de Prado 2018, ch. 7). The first split is for calibration only.
    """
    h = settings.horizon_days
    days = last_day - first_day + 1
    first_test = max(first_day + settings.min_train_days + h, first_day + int(settings.first_train_share * days) + h)
    edges = np.linspace(first_test, last_day + 1, settings.folds + 1).astype(int)
    if last_day + 1 - first_test < settings.folds:
        return []
    return [TimeSplit(int(a) - h - 1, int(a), int(b) - 1) for a, b in pairwise(edges)]


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
    evidence: list[_Evidence] = []
    importance: list[pd.DataFrame] = []
    notes: list[str] = []
    base_rate = np.nan
    for target in TARGETS:
        rows = _target_rows(training_set, target)
        proof = _walk_forward(rows, target, settings, CANDIDATES + BASELINES)
        winner, note = _choose(rows, proof, settings)
        chosen[target] = winner
        notes += [note] if note else []
        evidence.append(replace(proof, champion=winner.name if winner else None))
        if winner is not None and proof.is_graded.any() and settings.importance_repeats:
            importance.append(_importance(rows, winner.name, settings).assign(target=target))
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
        _metrics_frame(evidence, model, settings, onsets),
        _importance_frame(importance),
        _calibration_frame(evidence, settings),
        _held_out_frame(evidence),
        data_fingerprint(training_set),
    )


@dataclass(frozen=True)
class _Evidence:
    """Held-out rows of one target in time order: keys, outcomes, calibrated probability and raw output per model,
    `is_graded` false in the first fold, whose predictions have no calibration yet."""

    target: Target
    keys: pd.DataFrame
    y: Floats
    raw: dict[str, Floats]
    p: dict[str, Floats]
    is_graded: Bools
    champion: str | None = None

    @property
    def graded_keys(self) -> pd.DataFrame:
        return self.keys[self.is_graded]

    def pr_auc(self, name: str) -> float:
        rows = prepare(self.graded_keys, self.y[self.is_graded], self.p[name][self.is_graded], 1, 14)
        return measure(rows)["pr_auc"]


def _target_rows(training_set: pd.DataFrame, target: Target) -> _Rows:
    label = training_set[f"label_{target}"]
    keep = np.flatnonzero(label.notna() & training_set["has_baseline"].astype(bool))
    day = pd.to_datetime(training_set["event_date"]).to_numpy().astype("datetime64[D]").astype(np.int64)[keep]
    order = np.argsort(day, kind="stable")
    keep = keep[order]
    return _Rows(
        training_set[["event_date", "feature"]].iloc[keep].reset_index(drop=True),
        input_matrix(training_set, keep),
        label.iloc[keep].astype(bool).to_numpy().astype(np.float64),
        day[order],
    )


def _sample(rows: _Rows, chosen: np.ndarray, settings: RiskSettings) -> _Rows:
    """The chosen rows, at random no more than max_fit_rows of them."""
    index = np.flatnonzero(chosen)
    if len(index) > settings.max_fit_rows:
        index = np.sort(np.random.default_rng(settings.seed).choice(index, settings.max_fit_rows, replace=False))
    return rows.take(index)


def _can_learn(y: Floats, settings: RiskSettings) -> bool:
    return min(float(y.sum()), float(len(y) - y.sum())) >= settings.min_positives


def _walk_forward(rows: _Rows, target: Target, settings: RiskSettings, names: tuple[str, ...]) -> _Evidence:
    splits = time_splits(int(rows.day[0]), int(rows.day[-1]), settings) if len(rows.day) else []
    kept: list[np.ndarray] = []
    raw: dict[str, list[Floats]] = {name: [] for name in names}
    p: dict[str, list[Floats]] = {name: [] for name in names}
    graded: list[Bools] = []
    for split in splits:
        train = _sample(rows, rows.day <= split.train_through, settings)
        test = np.flatnonzero((rows.day >= split.test_from) & (rows.day <= split.test_through))
        if not _can_learn(train.y, settings) or not len(test):
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
    return _Evidence(
        target,
        rows.keys.iloc[index].reset_index(drop=True),
        rows.y[index],
        {name: np.concatenate(v) if v else empty for name, v in raw.items()},
        {name: np.concatenate(v) if v else empty for name, v in p.items()},
        np.concatenate(graded) if graded else np.zeros(0, dtype=bool),
    )


def _choose(rows: _Rows, proof: _Evidence, settings: RiskSettings) -> tuple[TargetModel | None, str]:
    """The model of a target, refitted on all its rows, and a sentence where it is not simply the best candidate."""
    if not _can_learn(rows.y, settings):
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


def _lowest_lift(proof: _Evidence, name: str, settings: RiskSettings) -> float:
    """The lower end of the 90 % interval of PR-AUC ÷ base rate."""
    mask = proof.is_graded
    rows = prepare(proof.graded_keys, proof.y[mask], proof.p[name][mask], 1, 2 * settings.horizon_days)
    intervals = measure_with_intervals(rows, _rounds(int(mask.sum()), settings), settings.seed)
    return float(intervals.set_index("metric")["low"]["pr_auc_lift"])


def _best_candidate(proof: _Evidence, scores: dict[str, float], settings: RiskSettings) -> str:
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
        _rounds(int(mask.sum()), settings),
        settings.seed,
    )
    return best if low > 0 else flagship


def _fallback(
    rows: _Rows, target: Target, settings: RiskSettings, why: str | None = None
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


def fit_target(rows: _Rows, name: str, proof: _Evidence, settings: RiskSettings) -> TargetModel:
    """One model on all rows, calibrated on its walk-forward predictions (each later than what made it), with members
    for intervals: refits on features drawn with replacement, each with its own calibration on drawn features."""
    everything = _sample(rows, np.ones(len(rows.y), dtype=bool), settings)
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
        part = _sample(everything.take(index), np.ones(len(index), dtype=bool), small)
        if not _can_learn(part.y, settings):
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
        rows = _target_rows(training_set, target)
        if old is None or not 0 < rows.y.sum() < len(rows.y):
            fitted[target] = old
            continue
        part = _sample(rows, np.ones(len(rows.y), dtype=bool), settings)
        estimator = make_estimator(old.name, settings)
        estimator.fit(part.x, part.y, part.feature)
        fitted[target] = TargetModel(old.name, estimator, old.calibrator)
    through = pd.to_datetime(training_set["event_date"]).max().date()
    return replace(model, trained_through=through, any=fitted["any"], onset=fitted["onset"])


def fit_baselines(training_set: pd.DataFrame, settings: RiskSettings | None = None) -> dict[str, TargetModel]:
    """Every baseline of the any target on the known rows; empty where only one class is known."""
    settings = settings or RiskSettings()
    rows = _target_rows(training_set, "any")
    if not 0 < rows.y.sum() < len(rows.y):
        return {}
    out = {}
    for name in BASELINES:
        estimator = make_estimator(name, settings)
        estimator.fit(rows.x, rows.y, rows.feature)
        out[name] = TargetModel(name, estimator, Sigmoid())
    return out


def _metrics_frame(
    evidence: list[_Evidence], model: RiskModel, settings: RiskSettings, onsets: pd.DataFrame | None
) -> pd.DataFrame:
    parts: list[pd.DataFrame] = []
    for proof in evidence:
        mask = proof.is_graded
        if not mask.any():
            continue
        keys, y = proof.graded_keys, proof.y[mask]
        for name, p in proof.p.items():
            graded = prepare(keys, y, p[mask], settings.capacity_k, 2 * settings.horizon_days)
            part = measure_with_intervals(graded, _rounds(len(y), settings), settings.seed)
            if onsets is not None:
                part = pd.concat([part, _lead_rows(keys, p[mask], onsets, settings)], ignore_index=True)
            baseline = "baseline" if name in BASELINES else "candidate"
            part.insert(0, "role", "champion" if name == proof.champion else baseline)
            part.insert(0, "model", name)
            part.insert(0, "target", proof.target)
            part["rows"], part["positives"], part["base_rate"] = len(y), int(y.sum()), float(y.mean())
            part["k"] = settings.capacity_k
            parts.append(part)
    columns = ["target", "model", "role", "metric", "value", "low", "high", "rows", "positives", "base_rate", "k"]
    frame = pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
    frame.insert(0, "trained_through", pd.Timestamp(model.trained_through))
    return frame


def _rounds(rows: int, settings: RiskSettings) -> int:
    """Bootstrap rounds: fewer where rows are many, whose intervals are narrow and need no fine edges."""
    return min(settings.bootstrap_rounds, max(_MIN_ROUNDS, _ROUND_ROWS // max(rows, 1)))


def _lead_rows(keys: pd.DataFrame, p: Floats, onsets: pd.DataFrame, settings: RiskSettings) -> pd.DataFrame:
    day = pd.to_datetime(keys["event_date"]).to_numpy().astype("datetime64[D]").astype(np.int64)
    lead = lead_times(keys, top_k(day, p, settings.capacity_k), onsets, settings.horizon_days)
    rng = np.random.default_rng(settings.seed)
    draws = np.array([])
    if len(lead.lead_days):
        draws = np.median(rng.choice(lead.lead_days, (settings.bootstrap_rounds, len(lead.lead_days))), axis=1)
    share = np.array([])
    if lead.onsets:
        share = rng.binomial(lead.onsets, lead.warned_share, settings.bootstrap_rounds) / lead.onsets
    rows = [
        (name, value, *(np.quantile(drawn, [0.05, 0.95]) if len(drawn) else (np.nan, np.nan)))
        for name, value, drawn in zip(_LEAD_METRICS, (lead.warned_share, lead.median_days), (share, draws), strict=True)
    ]
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high"])


def _calibration_frame(evidence: list[_Evidence], settings: RiskSettings) -> pd.DataFrame:
    parts = [
        calibration_bins(
            proof.y[proof.is_graded],
            proof.p[proof.champion][proof.is_graded],
            proof.graded_keys,
            2 * settings.horizon_days,
            _rounds(int(proof.is_graded.sum()), settings),
            settings.seed,
        ).assign(target=proof.target)
        for proof in evidence
        if proof.champion in proof.p and proof.is_graded.any()
    ]
    columns = ["target", "bin", "predicted", "observed", "low", "high", "rows"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _importance_frame(parts: list[pd.DataFrame]) -> pd.DataFrame:
    columns = ["target", "input", "description", "importance", "low", "high", "rank"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _importance(rows: _Rows, name: str, settings: RiskSettings) -> pd.DataFrame:
    """Permutation importance (Breiman 2001; Fisher et al. 2019) on the latest fold, by a model that has not seen it;
    0 where nothing is learnt from an input.

    The interval comes from permutations and block resamples together.
    """
    split = time_splits(int(rows.day[0]), int(rows.day[-1]), settings)[-1]
    train = _sample(rows, rows.day <= split.train_through, settings)
    test = _sample(rows, rows.day >= split.test_from, replace(settings, max_fit_rows=settings.max_importance_rows))
    estimator = make_estimator(name, settings)
    estimator.fit(train.x, train.y, train.feature)
    rng = np.random.default_rng(settings.seed)
    block_days, repeats = 2 * settings.horizon_days, settings.importance_repeats
    whole = prepare(test.keys, test.y, estimator.predict(test.x, test.feature), 1, block_days)
    loss = np.zeros((len(INPUT_NAMES), repeats))
    for position in [INPUT_NAMES.index(name) for name in LEARNT_NAMES]:
        column = test.x[:, position]
        if np.nanmin(column, initial=np.inf) == np.nanmax(column, initial=-np.inf) or not np.isfinite(column).any():
            continue
        permuted = test.x.copy()
        for repeat in range(repeats):
            permuted[:, position] = rng.permutation(column)
            graded = prepare(test.keys, test.y, estimator.predict(permuted, test.feature), 1, block_days)
            # The same block weights on both sides, so that the difference is the input's alone.
            share = rng.multinomial(whole.blocks, np.full(whole.blocks, 1 / whole.blocks)).astype(float)
            loss[position, repeat] = (
                measure(whole, share[whole.block])["pr_auc"] - measure(graded, share[graded.block])["pr_auc"]
            )
    frame = pd.DataFrame(
        {
            "input": INPUT_NAMES,
            "description": [item.description for item in INPUTS],
            "importance": loss.mean(axis=1),
            "low": np.quantile(loss, 0.05, axis=1),
            "high": np.quantile(loss, 0.95, axis=1),
        }
    ).sort_values("importance", ascending=False, kind="stable")
    frame["rank"] = np.arange(1, len(frame) + 1)
    return frame


def _held_out_frame(evidence: list[_Evidence]) -> pd.DataFrame:
    parts = [
        proof.graded_keys.assign(
            target=proof.target,
            outcome=proof.y[proof.is_graded].astype(bool),
            **{name: p[proof.is_graded] for name, p in proof.p.items()},
        )
        for proof in evidence
    ]
    return pd.concat(parts, ignore_index=True)


def score_risk(
    model: RiskModel | None,
    inputs: pd.DataFrame,
    model_version: str,
    settings: RiskSettings | None = None,
    why_no_model: str = "no model yet",
) -> pd.DataFrame:
    """Rows of ml.risk_scores for the rows of `inputs` (as `risk_inputs` makes them), usually one day.

    Without a model, without a baseline of its own or after days of silence a feature's risk is null and `note` says
    why; no number is made up. Ranks are per day: by expected users affected where users are known, then by risk.

    Raises InputsMismatchError when the model was made for other inputs.
    """
    settings = settings or RiskSettings()
    x = np.zeros((len(inputs), len(INPUT_NAMES)))
    if model is not None:
        check_inputs(inputs, model.input_names)
        x = input_matrix(inputs)
    feature = inputs["feature"].to_numpy()
    asked = inputs["has_baseline"].to_numpy(dtype=bool) & (model is not None and model.any is not None)
    probability, low, high, onset = (np.full(len(inputs), np.nan) for _ in range(4))
    why = np.full(len(inputs), "[]", dtype=object)
    degraded = inputs["is_degraded"].to_numpy(dtype=float)
    if model is not None and model.any is not None and asked.any():
        probability[asked] = model.any.probability(x[asked], feature[asked])
        low[asked], high[asked] = model.any.interval(x[asked], feature[asked], probability[asked])
        why[asked] = np.array(reasons(model.any, x[asked], feature[asked]), dtype=object)
        healthy = asked & (degraded < 0.5)
        if model.onset is not None and healthy.any():
            onset[healthy] = model.onset.probability(x[healthy], feature[healthy])
    users = probability * inputs["usual_users"].to_numpy(dtype=float)
    is_baseline = model is not None and model.any is not None and model.any.is_baseline
    frame = inputs[["event_date", "feature"]].reset_index(drop=True)
    frame["model_version"] = model_version
    frame["horizon_days"] = model.horizon_days if model is not None else settings.horizon_days
    frame["score_kind"] = np.where(asked, "baseline" if is_baseline else "model", "unknown")
    frame["risk_probability"], frame["low"], frame["high"], frame["onset_probability"] = probability, low, high, onset
    frame["is_degraded_today"] = pd.arrays.BooleanArray(degraded > 0.5, np.isnan(degraded))
    frame["rank"] = _ranks(frame, users)
    frame["expected_users_affected"] = users
    frame["reasons"] = why
    frame["note"] = _score_notes(model, inputs, asked, why_no_model)
    return frame


def _ranks(frame: pd.DataFrame, users: Floats) -> pd.Series:
    order = pd.DataFrame({"day": frame["event_date"], "users": users, "p": frame["risk_probability"]})
    order = order[order["p"].notna()].sort_values(
        ["day", "users", "p"], ascending=[True, False, False], kind="stable", na_position="last"
    )
    return (order.groupby("day").cumcount() + 1).reindex(frame.index).astype("Int32")


def _score_notes(model: RiskModel | None, inputs: pd.DataFrame, asked: Bools, why_no_model: str) -> np.ndarray:
    any_notes = [note for note in model.notes if note.startswith("any")] if model is not None else []
    default = "; ".join(any_notes) or None
    if model is None or model.any is None:
        return np.full(len(inputs), default or why_no_model, dtype=object)
    silent = inputs["silent_days"].to_numpy(dtype=float)
    age = inputs["age_days"].to_numpy(dtype=float)
    note = np.full(len(inputs), default, dtype=object)
    note[~asked] = "too few events to tell"
    young = ~asked & (age < 24)
    note[young] = [f"first seen {days:.0f} days ago: no baseline yet" for days in age[young]]
    gone = ~asked & (silent > 0)
    most = INPUTS_BY_NAME["silent_days"].high
    note[gone] = [f"no events for {days:.0f} days{' or more' if days >= most else ''}" for days in silent[gone]]
    return note


def grade_scores(scores: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Rows of ml.score_ledger: each past score beside what happened; scores whose future is unknown stay ungraded.

    `scores` are rows of ml.risk_scores, `labels` of ml.degradation_labels for the same horizon.
    """
    keys = ["event_date", "feature", "horizon_days"]
    columns = [*keys, "label_any", "label_onset", "days_to_degradation", "degraded_metrics_ahead"]
    kept = ["model_version", "score_kind", "risk_probability", "onset_probability", "rank"]
    left = scores[[*keys, *kept]].assign(event_date=pd.to_datetime(scores["event_date"]))
    right = labels[columns].assign(event_date=pd.to_datetime(labels["event_date"]))
    ledger = left.merge(right, on=keys, how="left", validate="many_to_one")
    ledger["graded_date"] = ledger["event_date"] + pd.to_timedelta(ledger["horizon_days"], unit="D")
    ledger["label_any"] = ledger["label_any"].astype("boolean")
    ledger["label_onset"] = ledger["label_onset"].astype("boolean")
    ledger["is_graded"] = ledger["label_any"].notna()
    outcome = ledger["label_any"].astype("Float64").to_numpy(dtype=float, na_value=np.nan)
    ledger["squared_error"] = (ledger["risk_probability"] - outcome) ** 2
    order = [
        "event_date", "feature", "model_version", "horizon_days", "score_kind", "risk_probability",
        "onset_probability", "rank", "graded_date", "is_graded", "label_any", "label_onset", "days_to_degradation",
        "degraded_metrics_ahead", "squared_error",
    ]  # fmt: skip
    return ledger[order]


def promotion_decision(
    champion: RiskModel | None,
    challenger: TrainingResult,
    training_set: pd.DataFrame,
    settings: RiskSettings | None = None,
) -> Decision:
    """Whether the challenger replaces the champion: only by winning on the same later days.

    Judged are labelled days more than a horizon after the champion's last day. The challenger is represented by its
    walk-forward predictions, each made by the same recipe without having seen that day's future.
    """
    settings = settings or RiskSettings()
    if champion is None:
        return Decision(True, "first model")
    if tuple(champion.input_names) != INPUT_NAMES:
        return Decision(True, "the champion was made for other inputs and cannot score")
    if champion.any is None:
        return Decision(challenger.model.any is not None, "the champion could not score")
    if challenger.model.any is None:
        return Decision(False, "the challenger cannot score")
    held = challenger.held_out[challenger.held_out["target"] == "any"]
    since = pd.Timestamp(champion.trained_through) + pd.Timedelta(days=settings.horizon_days)
    held = held[pd.to_datetime(held["event_date"]) > since] if len(held) else held
    days = held["event_date"].nunique() if len(held) else 0
    if days < settings.min_judged_days:
        return Decision(
            False,
            f"only {days} days since the champion was trained have a known outcome, {settings.min_judged_days} needed",
        )
    rows = held[["event_date", "feature"]].merge(training_set, on=["event_date", "feature"], how="left")
    old = champion.any.probability(input_matrix(rows), rows["feature"].to_numpy())
    new = held[challenger.model.any.name].to_numpy(dtype=float)
    outcome = held["outcome"].to_numpy(dtype=float)
    if not 0 < outcome.sum() < len(outcome):
        return Decision(False, f"nothing to tell them apart: one outcome only in {days} days")
    value, low, high = pr_auc_difference(
        rows, outcome, new, old, 2 * settings.horizon_days, settings.bootstrap_rounds, settings.seed
    )
    better = value > 0 and float(((new - outcome) ** 2).mean()) <= float(((old - outcome) ** 2).mean())
    verb = "wins" if better else "does not win in both PR-AUC and Brier score"
    interval = f"(90 % interval {low:+.3f} to {high:+.3f})"
    return Decision(better, f"challenger {verb} on {days} later days: PR-AUC {value:+.3f} {interval}", value, low, high)


def check_inputs(frame: pd.DataFrame, names: tuple[str, ...]) -> None:
    """Raise InputsMismatchError unless a model's inputs are those of the present registry and the frame has them."""
    absent = [name for name in names if name not in frame.columns]
    if absent or tuple(names) != INPUT_NAMES:
        changed = sorted(set(names) ^ set(INPUT_NAMES))
        raise InputsMismatchError(f"model inputs differ from the present contract: absent {absent}, changed {changed}")


def single_input_aucs(training_set: pd.DataFrame, target: Target = "any") -> pd.Series:
    """ROC-AUC of each input alone, in the better direction; NaN where it is unknown or one class only."""
    label = training_set[f"label_{target}"]
    keep = (label.notna() & training_set["has_baseline"].astype(bool)).to_numpy()
    y = label[keep].astype(bool).to_numpy()
    return pd.Series({name: _auc(training_set[name].to_numpy(dtype=float)[keep], y) for name in INPUT_NAMES})


def _auc(column: Floats, y: Bools) -> float:
    known = np.isfinite(column)
    count, hits = int(known.sum()), int(y[known].sum())
    if not 0 < hits < count:
        return np.nan
    ranks = pd.Series(column[known]).rank().to_numpy()
    auc = (ranks[y[known]].sum() - hits * (hits + 1) / 2) / (hits * (count - hits))
    return float(max(auc, 1 - auc))


def can_show_a_leak(training_set: pd.DataFrame) -> bool:
    """Whether there are positives enough, and each outcome on at least three features.

    Days of one feature are alike: where only two features ever stay healthy, whatever tells these two from the others
    'knows' the label.
    """
    known = training_set[training_set["label_any"].notna() & training_set["has_baseline"].astype(bool)]
    is_positive = known["label_any"].astype(bool)
    features = min(known.loc[mask, "feature"].nunique() for mask in (is_positive, ~is_positive))
    return int(is_positive.sum()) >= _MIN_LEAK_POSITIVES and features >= _MIN_LEAK_FEATURES


def check_single_inputs(training_set: pd.DataFrame) -> None:
    """Raise SuspectedLeakError when one input alone reaches ROC-AUC .99, where that can show a leak."""
    if not can_show_a_leak(training_set):
        return
    aucs = single_input_aucs(training_set)
    leaks = aucs[aucs >= _LEAK_AUC]
    if len(leaks):
        raise SuspectedLeakError(f"inputs that all but know the label: {leaks.round(4).to_dict()}")


def permuted_label_lift(
    training_set: pd.DataFrame, settings: RiskSettings | None = None, name: str = "random_forest"
) -> float:
    """PR-AUC ÷ base rate of a candidate whose training and test labels were permuted: about 1 unless rows leak."""
    settings = settings or RiskSettings()
    rows = _target_rows(training_set, "any")
    shuffled = np.random.default_rng(settings.seed).permutation(rows.y)
    proof = _walk_forward(replace(rows, y=shuffled), "any", settings, (name,))
    if not proof.is_graded.any():
        return np.nan
    return proof.pr_auc(name) / float(proof.y[proof.is_graded].mean())


def data_fingerprint(frame: pd.DataFrame) -> str:
    """SHA-256 of a frame's columns and values, whatever the order of its rows."""
    hashed = np.sort(pd.util.hash_pandas_object(frame, index=False).to_numpy())
    return hashlib.sha256("|".join(frame.columns).encode() + hashed.tobytes()).hexdigest()
