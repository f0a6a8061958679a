"""Intervals learnt anew every night from what came of predictions: the last residuals of the version in use."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import pandas as pd

from quality_assets.clock import utc_now
from quality_assets.domain.models.learning.columns_of import columns_of_rows
from quality_assets.domain.models.learning.residuals import Intervals, recalibrated
from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.settings import Settings
from quality_assets.stores.landing import PREDICTIONS_KEPT_DAYS
from quality_assets.stores.logged_predictions import known_outcomes, logged_rows
from quality_assets.stores.recalibrated import keep_intervals
from quality_assets.stores.released import load_released
from quality_assets.stores.releases import release_log

_COLUMNS = ["request_id", "model", "model_version", "at", "prediction", "known", "inputs"]


def recalibrate(settings: Settings, use_case: TabularUseCase) -> dict[str, Intervals]:
    """Learn p10 and p90 of the version in use from the outcomes of its predictions, and keep them for the server.

    By which inputs were known, where enough outcomes are; nothing is changed where they are not. Raises
    VersionUnavailableError where no version can be used.
    """
    moment = utc_now()
    released = load_released(settings.models_dir, use_case, release_log(settings).of(use_case.name))
    version = released.release.version
    rows = logged_rows(settings, use_case.name, moment.date() - timedelta(days=PREDICTIONS_KEPT_DAYS), _COLUMNS)
    outcomes = known_outcomes(settings)[["request_id", "y"]]
    if not len(rows) or not len(outcomes):
        return {}
    both = rows[rows["model_version"] == version].merge(outcomes, on="request_id").sort_values("at")
    found: dict[str, Intervals] = {}
    for view in released.model.views:
        own = both[both["known"] == view.known]
        columns = columns_of_rows(use_case.contract.inputs, [json.loads(each) for each in own["inputs"]])
        # What is exact says nothing of how far the rest is off.
        own = own[~view.fitted.is_exact(columns)] if len(own) else own
        day = pd.to_datetime(own["at"]).to_numpy().astype("datetime64[D]").astype(np.int64)
        y, predicted = (own[name].to_numpy(dtype=float) for name in ("y", "prediction"))
        new = recalibrated(view.intervals, day, y, predicted, use_case.settings)
        if new is not None:
            found[view.known] = new
    if found:
        keep_intervals(settings.models_dir, use_case.name, version, f"{moment.isoformat()}Z", found)
    return found
