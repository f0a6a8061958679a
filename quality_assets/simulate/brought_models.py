"""Two small models such as people bring, with samples of their rows: `data/examples/models/` is made by this.

`python -m quality_assets.simulate.brought_models`. Cancellation: who cancels an order, from its amount, how late it is
and how it was paid; calibrated, so that it says how sure it is. Delivery: minutes until an order is there.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd

from quality_assets.settings import REPOSITORY_ROOT

FOLDER = REPOSITORY_ROOT / "data" / "examples" / "models"
SAMPLES = {"classification": "cancellation", "regression": "delivery_minutes"}
"""The name of the sample of each kind: NAME.skops and NAME.csv in the folder."""
_ROWS = 400
_PAYMENT = ("card", "invoice", "wallet")


def sample_rows(kind: str, seed: int = 5) -> pd.DataFrame:
    """Rows of a kind's sample, the target last."""
    rng = np.random.default_rng(seed)
    if kind == "classification":
        amount, late = np.round(rng.gamma(2.0, 40.0, _ROWS), 2), rng.poisson(2.0, _ROWS).astype(float)
        payment = rng.choice(_PAYMENT, _ROWS, p=(0.6, 0.25, 0.15))
        score = -2.0 + 0.01 * amount + 0.45 * late + 0.9 * (payment == "invoice")
        cancelled = np.where(rng.random(_ROWS) < 1 / (1 + np.exp(-score)), "yes", "no")
        return pd.DataFrame({"amount": amount, "days_late": late, "payment": payment, "cancelled": cancelled})
    distance, items = np.round(rng.uniform(0.5, 12.0, _ROWS), 1), rng.integers(1, 9, _ROWS).astype(float)
    hour = rng.integers(10, 23, _ROWS).astype(float)
    rush = ((hour >= 18) & (hour <= 20)).astype(float)
    minutes = np.round(8 + 3.1 * distance + 0.8 * items + 7 * rush + rng.normal(0, 3, _ROWS), 1)
    return pd.DataFrame({"distance_km": distance, "items": items, "hour": hour, "minutes": minutes})


def sample_model(kind: str, rows: pd.DataFrame) -> Any:
    """A model of scikit-learn that has learnt from the rows of a kind's sample."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    x, y = rows.iloc[:, :-1], rows.iloc[:, -1]
    if kind == "regression":
        return HistGradientBoostingRegressor(max_iter=60, max_depth=3, random_state=0).fit(x, y)
    prepared = make_column_transformer(
        (StandardScaler(), ["amount", "days_late"]), (OneHotEncoder(handle_unknown="ignore"), ["payment"])
    )
    learner = CalibratedClassifierCV(LogisticRegression(), cv=5)
    return make_pipeline(prepared, learner).fit(x, y)


def write_samples() -> None:
    """NAME.skops and NAME.csv of both kinds, into FOLDER."""
    import skops.io

    FOLDER.mkdir(parents=True, exist_ok=True)
    for kind, name in SAMPLES.items():
        rows = sample_rows(kind)
        stream = io.StringIO()
        rows.to_csv(stream, index=False)
        (FOLDER / f"{name}.csv").write_text(stream.getvalue(), encoding="utf-8")
        skops.io.dump(sample_model(kind, rows), FOLDER / f"{name}.skops", compression=8)


if __name__ == "__main__":
    write_samples()
