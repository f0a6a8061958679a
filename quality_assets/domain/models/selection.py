"""Which candidate is the best one, and which baseline: what a use case's own choice begins with."""

from __future__ import annotations

from collections.abc import Mapping

from quality_assets.domain.models.evidence import Evidence
from quality_assets.domain.models.settings import TrainingSettings


def best_candidate(proof: Evidence, scores: Mapping[str, float], settings: TrainingSettings) -> str:
    """The candidate of the highest score; the first one where the difference to it may be chance."""
    candidates = proof.use_case.candidates
    best, flagship = max(candidates, key=lambda name: scores[name]), candidates[0]
    if best == flagship:
        return best
    _, low, _ = proof.lead(best, flagship, settings)
    return best if low > 0 else flagship


def best_baseline(proof: Evidence, scores: Mapping[str, float]) -> str:
    """The baseline of the highest score."""
    return max(proof.use_case.baselines, key=lambda name: scores[name])
