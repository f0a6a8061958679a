"""Which candidate is the best one, and which baseline: what a use case's own choice begins with.

`best_by_skill` is for probabilities that people read as such; `best_candidate` for scores that only rank.
"""

from __future__ import annotations

from collections.abc import Mapping

from quality_assets.domain.models.evidence import Evidence
from quality_assets.domain.models.settings import TrainingSettings
from quality_assets.domain.stats.grading import measure


def best_candidate(proof: Evidence, scores: Mapping[str, float], settings: TrainingSettings) -> str:
    """The candidate of the highest score; the first one where the difference to it may be chance."""
    candidates = proof.use_case.candidates
    best, flagship = max(candidates, key=lambda name: scores[name]), candidates[0]
    if best == flagship:
        return best
    _, low, _ = proof.lead(best, flagship, settings)
    return best if low > 0 else flagship


def brier_skills(proof: Evidence, settings: TrainingSettings) -> dict[str, float]:
    """The Brier skill of every candidate and baseline on held-out rows; 0 is what the base rate of these rows has."""
    return {name: measure(proof.graded(name, settings))["brier_skill"] for name in proof.p}


def best_by_skill(
    proof: Evidence,
    skills: Mapping[str, float],
    settings: TrainingSettings,
    min_gain: float = 0.0,
    plainest: str | None = None,
) -> str | None:
    """Of the candidates and baselines with any Brier skill, the one that has most of it and does not rank clearly worse
    than the best of them; None where none has any.

    Clearly: the 90 % block-bootstrap interval of the difference in the primary metric is above 0. A candidate that is
    not clearly ahead of the `plainest` one, in Brier skill, gives way to it: the most skilled of several is so by
    chance too (the one-standard-error rule of Breiman et al. 1984). Of a candidate that is ahead of the best such
    baseline by less than min_gain, the baseline is preferred, as it is easier to explain.
    """
    skilled = [name for name in proof.p if skills[name] > 0]
    if not skilled:
        return None
    leader = max(skilled, key=lambda name: proof.score(name, settings))
    ranks_well = [name for name in skilled if name == leader or not proof.lead(leader, name, settings)[1] > 0]
    best = max(ranks_well, key=lambda name: skills[name])
    is_rival = plainest in ranks_well and best in proof.use_case.candidates and best != plainest
    if plainest and is_rival and not proof.lead(best, plainest, settings, "brier_skill")[1] > 0:
        best = plainest
    plain = [name for name in ranks_well if name in proof.use_case.baselines]
    simple = max(plain, key=lambda name: skills[name], default=best)
    return simple if skills[best] - skills[simple] < min_gain else best


def best_baseline(proof: Evidence, scores: Mapping[str, float]) -> str:
    """The baseline of the highest score."""
    return max(proof.use_case.baselines, key=lambda name: scores[name])
