"""Whether a trained version replaces the one in use by itself: only what beats base, baselines and champion does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quality_assets.domain.models.learning.blocks import lead
from quality_assets.domain.models.learning.tabular import LearningSettings
from quality_assets.domain.wording import change_text, share_text

if TYPE_CHECKING:
    import pandas as pd

    from quality_assets.domain.models.learning.table_training import LearningResult

_LEAST_SHARED = 50


@dataclass(frozen=True)
class ReleaseDecision:
    """Whether a version wins, and why or why not, in a sentence."""

    wins: bool
    reason: str


def release_decision(
    result: LearningResult, champion: str | None, champion_held_out: pd.DataFrame | None, settings: LearningSettings
) -> ReleaseDecision:
    """Held against base and baselines, and against the champion on the held-out rows that both were graded on.

    champion: the version in use, None where none is; its held-out rows are None where it cannot be used any more.
    """
    first = result.model.views[0].known
    choice = result.choices[first]
    lost = [name for name, (_, low, _) in choice.leads.items() if low <= 0]
    if lost:
        return ReleaseDecision(False, f"{choice.candidate.name} does not beat {', '.join(lost)} beyond chance")
    least = min((low for _, low, _ in choice.leads.values()), default=np.nan)
    beats = (
        f"{choice.candidate.name} has at least {share_text(least)} less squared error than {', '.join(choice.leads)}"
    )
    if champion is None:
        return ReleaseDecision(True, f"{beats}; it is the first")
    if champion_held_out is None:
        return ReleaseDecision(True, f"{beats}; version {champion}, which is in use, cannot be used")
    both = result.held_out.merge(champion_held_out, on="row_key", suffixes=("", "_champion"))
    if len(both) < _LEAST_SHARED:
        return ReleaseDecision(
            False, f"only {len(both)} held-out rows are those of version {champion}: too few to tell"
        )
    y = both["y"].to_numpy(dtype=float)
    ours, theirs = both["prediction"].to_numpy(dtype=float), both["prediction_champion"].to_numpy(dtype=float)
    blocks = np.arange(len(both)) // max(1, len(both) // 50)
    share, low, high = lead(y, ours, theirs, blocks, settings)
    told = (
        f"{change_text(share)} less squared error ({change_text(low)} to {change_text(high)}) than version {champion}"
        f" on {len(both):,} rows"
    )
    if low > 0:
        return ReleaseDecision(True, f"{beats}; {told}")
    return ReleaseDecision(False, f"no gain beyond chance: {told}")
