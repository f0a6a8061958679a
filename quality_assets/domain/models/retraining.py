"""When a model is to be trained anew before its week is over: its grades have moved, or its inputs so far that it
feels it. What drift is, is said in `drift.py`."""

from __future__ import annotations

from datetime import date

import pandas as pd

# A shift of the score by two points or more changes who is looked at first; less changes nothing that people do.
CONSEQUENTIAL_EFFECT = 0.02
# What was trained since then has the last week's labels in it already; another training would learn nothing new.
MIN_MODEL_AGE_DAYS = 3


def retraining_reason(drift: pd.DataFrame, trained_through: date | None, day: date) -> str | None:
    """Why the model should be trained anew, from the rows of `monitoring.data_drift` of `day`; None where it need not.

    `trained_through` is the last day that the model in use saw; None where there is no model, which is then nothing
    that drift could tell about.
    """
    if trained_through is None or (day - trained_through).days < MIN_MODEL_AGE_DAYS or not len(drift):
        return None
    drifted = drift[(drift["status"] == "drifted") & (pd.to_datetime(drift["event_date"]) == pd.Timestamp(day))]
    effect = pd.to_numeric(drifted["effect_on_predictions"], errors="coerce")
    reasons = drifted[(drifted["kind"] == "performance") | (effect >= CONSEQUENTIAL_EFFECT)]
    return "; ".join(reasons.sort_values("rank")["verdict"].head(3)) or None
