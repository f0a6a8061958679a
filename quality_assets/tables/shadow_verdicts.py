"""How shadows do beside what is in use: pairs of the same requests whose outcome is known, and who was silent."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pandas as pd

from quality_assets.clock import utc_now
from quality_assets.domain.models.learning.paired import paired_losses
from quality_assets.domain.models.learning.release_stack import in_use
from quality_assets.settings import Settings
from quality_assets.stores.canaries import running_canary
from quality_assets.stores.landing import PREDICTIONS_KEPT_DAYS
from quality_assets.stores.logged_predictions import known_outcomes, logged_rows
from quality_assets.stores.releases import release_log
from quality_assets.stores.shadows import shadows_of

_SILENT_AFTER = timedelta(hours=1)


def verdicts(settings: Settings, name: str, now: datetime | None = None) -> list[dict[str, Any]]:
    """A row for each shadow: pairs, gain, p, verdict, mean difference of predictions, when it was asked last."""
    moment = now or utc_now()
    shadows = shadows_of(settings.models_dir, name)
    if not shadows:
        return []
    rows, outcomes = _known(settings, name, moment)
    answered = rows[rows["role"].isin(("prod", "canary"))] if len(rows) else rows
    return [_verdict(answered, _of(rows, each), outcomes, each, moment) for each in shadows]


def canary_verdict(settings: Settings, name: str) -> dict[str, Any] | None:
    """The same of the canary, with its share, against the version in use on the same requests; None without one."""
    canary = running_canary(settings, name)
    if canary is None:
        return None
    moment = utc_now()
    current = in_use(release_log(settings).of(name))
    rows, outcomes = _known(settings, name, moment)
    if len(rows):
        rows = rows[rows["at"] >= datetime.fromisoformat(canary.since).replace(tzinfo=None)]
    own = _of(rows, canary.version)
    used = _of(rows, current.version) if current is not None else own.iloc[:0]
    answered = int((own["role"] == "canary").sum()) if len(own) else 0
    told = _verdict(used, own, outcomes, canary.version, moment)
    return told | {"share": canary.share, "since": canary.since, "answered": answered}


def _known(settings: Settings, name: str, now: datetime) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = logged_rows(settings, name, now.date() - timedelta(days=PREDICTIONS_KEPT_DAYS), _COLUMNS)
    return rows, known_outcomes(settings)[["request_id", "y"]]


_COLUMNS = ["request_id", "model", "model_version", "role", "at", "prediction"]


def _of(rows: pd.DataFrame, version: str) -> pd.DataFrame:
    return rows[rows["model_version"] == version] if len(rows) else rows


def _verdict(
    used: pd.DataFrame, own: pd.DataFrame, outcomes: pd.DataFrame, version: str, now: datetime
) -> dict[str, Any]:
    """How a version does beside what answered: `used` and `own` are the log of both, joined by request."""
    if len(used) and len(own):
        both = used.merge(own[["request_id", "prediction"]], on="request_id", suffixes=("", "_s"))
    else:
        both = pd.DataFrame(columns=["request_id", "at", "prediction", "prediction_s"])
    last = own["at"].max() if len(own) else None
    known = both.merge(outcomes, on="request_id").sort_values("at")
    y, before, after = (known[each].to_numpy(dtype=float) for each in ("y", "prediction", "prediction_s"))
    found = paired_losses((y - before) ** 2, (y - after) ** 2)
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
