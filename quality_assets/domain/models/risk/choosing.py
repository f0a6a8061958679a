"""Who becomes the model of a target of feature_risk, and the sentence where it is not simply the best candidate."""

from __future__ import annotations

from collections.abc import Mapping

from quality_assets.domain.models.evidence import Evidence
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.risk.use_case import BASE_RATES
from quality_assets.domain.models.rows import TargetRows, can_learn
from quality_assets.domain.models.selection import best_by_skill, brier_skills
from quality_assets.domain.models.use_case import Choice
from quality_assets.domain.stats.grading import measure_with_intervals

MIN_CHART_POSITIVES = 5
_PLAINEST = "logistic_regression"


def choose(rows: TargetRows, proof: Evidence, settings: RiskSettings) -> Choice:
    """The model of a target by its evidence; base rates or none where history, positives or skill are too little.

    No model is used whose probabilities are worse than a base rate's on days that it had not seen.
    """
    if not can_learn(rows.y, settings):
        return _stand_in(rows, proof.target, settings)
    if not proof.can_compare:
        return _stand_in(rows, proof.target, settings, "too few days to compare models on")
    skills = brier_skills(proof, settings)
    best = best_by_skill(proof, skills, settings, settings.min_skill_gain, _PLAINEST)
    if proof.target == "onset":
        return _onset(proof, best, skills, settings)
    if best is None:
        name = max(BASE_RATES, key=lambda each: skills[each])
        return Choice(name, f"any: {_no_skill(proof, skills)}: base rates are shown")
    if best not in proof.use_case.baselines:
        return Choice(best)
    rival = max(proof.use_case.candidates, key=lambda each: skills[each])
    return Choice(
        best,
        f"any: best candidate {rival} has a Brier skill of {skills[rival]:.2f}, {best} {skills[best]:.2f}:"
        " the baseline is the model",
    )


def _onset(proof: Evidence, best: str | None, skills: Mapping[str, float], settings: RiskSettings) -> Choice:
    """Shown only where its skill and its ranking are better than none beyond chance."""
    if best is None or best in BASE_RATES:
        return Choice(None, f"onset: not shown: {_no_skill(proof, skills)}")
    skill, lift = _lowest(proof, best, "brier_skill", settings), _lowest(proof, best, "pr_auc_lift", settings)
    if not (skill > 0 and lift > 1):
        told = f"Brier skill {skills[best]:.3f}, at least {skill:.3f}; PR-AUC at least {lift:.2f} times the base rate"
        return Choice(None, f"onset: not shown: the skill of {best} may be chance ({told})")
    is_baseline = best in proof.use_case.baselines
    return Choice(best, f"onset: no candidate beats {best}: the baseline is the model" if is_baseline else "")


def _lowest(proof: Evidence, name: str, metric: str, settings: RiskSettings) -> float:
    """The lower end of the 90 % interval of a metric."""
    intervals = measure_with_intervals(proof.graded(name, settings), proof.rounds(settings), settings.seed)
    return float(intervals.set_index("metric")["low"][metric])


def _no_skill(proof: Evidence, skills: Mapping[str, float]) -> str:
    names = [name for name in proof.p if name not in BASE_RATES]
    best = max(names, key=lambda name: skills[name])
    told = f"(the best, {best}, has a Brier skill of {skills[best]:.2f})"
    return f"no model is better than base rates on later days {told}"


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
    has_chart = min(positives, len(rows.y) - positives) >= MIN_CHART_POSITIVES
    name, words = ("ewma_chart", "control chart") if has_chart else ("feature_base_rate", "base rate per feature")
    return Choice(name, f"any: {words} stands in: {why}", is_stand_in=True)
