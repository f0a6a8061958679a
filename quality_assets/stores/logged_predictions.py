"""The log of predictions and what came of them, as frames: for whoever judges models, without the warehouse."""

from __future__ import annotations

from datetime import date

import pandas as pd

from quality_assets.settings import Settings
from quality_assets.stores.landing import PREDICTIONS_FOLDER


def served_rows(settings: Settings, model: str, first: date) -> pd.DataFrame:
    """What a model answered since a day, one row a request, by the version in use or its canary; empty where there is
    none."""
    rows = logged_rows(settings, model, first)
    return rows[rows["role"] != "shadow"].reset_index(drop=True) if len(rows) else rows


def logged_rows(settings: Settings, model: str, first: date, columns: list[str] | None = None) -> pd.DataFrame:
    """The log of predictions of a model since a day, shadows too; empty where there is none. `columns`: only those."""
    import pyarrow.parquet as pq

    folder = settings.landing_dir / PREDICTIONS_FOLDER
    days = sorted(path for path in folder.iterdir() if path.name >= first.isoformat()) if folder.is_dir() else []
    files = [file for day in days for file in sorted(day.glob("*.parquet"))]
    tables = [pq.read_table(file, columns=columns).to_pandas() for file in files]
    if not tables:
        return pd.DataFrame()
    rows = pd.concat(tables, ignore_index=True)
    rows = rows[rows["model"] == model]
    return rows.drop_duplicates(["request_id", "model_version"]).reset_index(drop=True)


def known_outcomes(settings: Settings) -> pd.DataFrame:
    """What came of predictions: request_id, model, y, at_us; empty where nothing was told."""
    from quality_assets.stores.outcomes import Outcomes

    folder = settings.data_dir / "predictions"
    rows = Outcomes(folder).rows() if (folder / "outcomes.db").is_file() else []
    return pd.DataFrame(rows, columns=["request_id", "model", "y", "at_us"])
