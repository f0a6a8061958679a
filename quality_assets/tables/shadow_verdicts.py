"""How shadows do beside what is in use: pairs of the same requests whose outcome is known, and who was silent."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from quality_assets.clock import utc_now
from quality_assets.domain.models.learning.paired import paired_losses
from quality_assets.settings import Settings
from quality_assets.stores.shadows import shadows_of
from quality_assets.tables.model_drift import known_outcomes, logged_rows

_WINDOW_DAYS = 90
_SILENT_AFTER = timedelta(hours=1)


def verdicts(settings: Settings, name: str, now: datetime | None = None) -> list[dict[str, Any]]:
    """A row for each shadow: pairs, gain, p, verdict, mean difference of predictions, when it was asked last."""
    moment = now or utc_now()
    rows = logged_rows(settings, name, moment.date() - timedelta(days=_WINDOW_DAYS))
    outcomes = known_outcomes(settings)[["request_id", "y"]]
    return [_verdict(rows, outcomes, each, moment) for each in shadows_of(settings.models_dir, name)]


def _verdict(rows: pd.DataFrame, outcomes: pd.DataFrame, version: str, now: datetime) -> dict[str, Any]:
    if len(rows):
        own = rows[(rows["role"] == "shadow") & (rows["model_version"] == version)]
        both = rows[rows["role"] == "prod"].merge(
            own[["request_id", "prediction"]], on="request_id", suffixes=("", "_s")
        )
        last = own["at"].max() if len(own) else None
    else:
        both, last = pd.DataFrame(columns=["request_id", "at", "prediction", "prediction_s"]), None
    known = both.merge(outcomes, on="request_id").sort_values("at")
    y, used, shadow = (known[each].to_numpy(dtype=float) for each in ("y", "prediction", "prediction_s"))
    found = paired_losses((y - used) ** 2, (y - shadow) ** 2)
    is_silent = last is None or now - last.to_pydatetime() > _SILENT_AFTER
    return {
        "version": version,
        "verdict": found.verdict,
        "pairs": found.pairs,
        "gain": found.gain,
        "p_value": found.p_value,
        "requests": len(both),
        "mean_difference": float((both["prediction_s"] - both["prediction"]).abs().mean()) if len(both) else None,
        "last_asked": f"{last.isoformat()}Z" if last is not None else None,
        "is_silent": is_silent,
        "words": found.words,
    }
