"""Who becomes the model of a target of feature_risk, and the sentence where it is not simply the best candidate."""

from __future__ import annotations

from quality_assets.domain.models.evidence import Evidence
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.rows import TargetRows, can_learn
from quality_assets.domain.models.selection import best_baseline, best_candidate
from quality_assets.domain.models.use_case import Choice
from quality_assets.domain.stats.grading import measure_with_intervals

_MIN_CHART_POSITIVES = 5


def choose(rows: TargetRows, proof: Evidence, settings: RiskSettings) -> Choice:
    """The model of a target by its evidence; a baseline or none where history, positives or gain are too little."""
    if not can_learn(rows.y, settings):
        return _stand_in(rows, proof.target, settings)
    if not proof.can_compare:
        return _stand_in(rows, proof.target, settings, "too few days to compare models on")
    scores = {name: proof.score(name, settings) for name in proof.p}
    candidate, baseline = best_candidate(proof, scores, settings), best_baseline(proof, scores)
    if proof.target == "onset":
        best = baseline if scores[baseline] >= scores[candidate] else candidate
        return _onset(proof, best, scores[best], settings)
    gain = scores[candidate] / scores[baseline]
    if gain < settings.min_gain:
        note = (
            f"any: best candidate {candidate} reaches {gain:.2f} times the PR-AUC of {baseline}, "
            f"{settings.min_gain} needed: the baseline is the model"
        )
        return Choice(baseline, note)
    return Choice(candidate)


def _onset(proof: Evidence, best: str, score: float, settings: RiskSettings) -> Choice:
    """Shown with skill only, and not with more than an oracle has."""
    # On few positives a lift above the limit is chance now and then: it takes its whole interval to be a leak.
    leak_lift = _lowest_lift(proof, best, settings)
    if leak_lift > settings.max_onset_lift:
        return Choice(None, f"onset: PR-AUC is at least {leak_lift:.1f} times the base rate: a leak is suspected")
    lift = score / float(proof.graded_outcomes.mean())
    if lift < settings.min_onset_lift:
        needed = settings.min_onset_lift
        return Choice(None, f"onset: no skill (PR-AUC {lift:.2f} times the base rate, {needed} needed)")
    is_baseline = best in proof.use_case.baselines
    return Choice(best, f"onset: no candidate beats {best}: the baseline is the model" if is_baseline else "")


def _lowest_lift(proof: Evidence, name: str, settings: RiskSettings) -> float:
    """The lower end of the 90 % interval of PR-AUC ÷ base rate."""
    intervals = measure_with_intervals(proof.graded(name, settings), proof.rounds(settings), settings.seed)
    return float(intervals.set_index("metric")["low"]["pr_auc_lift"])


def _stand_in(rows: TargetRows, target: str, settings: RiskSettings, why: str | None = None) -> Choice:
    positives = int(rows.y.sum())
    why = (
        why or f"{positives} of {len(rows.y)} known feature-days degraded, {settings.min_positives} of each kind needed"
    )
    if target == "onset":
        return Choice(None, f"onset: not shown: {why}")
    if not 0 < positives < len(rows.y):
        return Choice(None, f"any: no model and no base rate: {why}")
    # The chart knows today's state and has two numbers to learn; a share per feature does not know today.
    has_chart = min(positives, len(rows.y) - positives) >= _MIN_CHART_POSITIVES
    name, words = ("ewma_chart", "control chart") if has_chart else ("feature_base_rate", "base rate per feature")
    return Choice(name, f"any: {words} stands in: {why}", is_stand_in=True)
