"""What two versions said of the same requests whose outcome is known, without frames: for the process that answers."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from quality_assets.domain.arrays import Floats
from quality_assets.settings import Settings
from quality_assets.stores.landing import PREDICTIONS_FOLDER
from quality_assets.stores.outcomes import Outcomes

_COLUMNS = ["request_id", "model", "model_version", "at", "prediction"]


def paired_predictions(
    settings: Settings, model: str, since: datetime, first: str, second: str
) -> tuple[Floats, Floats, Floats]:
    """Of n requests since an instant, in order of time: what came, what `first` said, and what `second` said."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    folder = settings.landing_dir / PREDICTIONS_FOLDER
    if not (settings.data_dir / "predictions" / "outcomes.db").is_file() or not folder.is_dir():
        return (np.zeros(0),) * 3
    known = {name: y for name, of, y, _ in Outcomes(settings.data_dir / "predictions").rows() if of == model}
    asked = pa.array(list(known), pa.string())
    parts = []
    for day in sorted(path for path in folder.iterdir() if path.name >= since.date().isoformat()):
        for file in sorted(day.glob("*.parquet")):
            table = pq.read_table(file, columns=_COLUMNS)
            is_ours = pc.and_(pc.equal(table["model"], model), pc.is_in(table["request_id"], value_set=asked))
            parts.append(table.filter(pc.and_(is_ours, pc.greater_equal(table["at"], pa.scalar(since)))))
    if not parts:
        return (np.zeros(0),) * 3
    rows = pa.concat_tables(parts).sort_by("at")
    said: dict[str, dict[str, float]] = {first: {}, second: {}}
    for name, version, prediction in zip(
        *(rows[each].to_pylist() for each in ("request_id", "model_version", "prediction")), strict=True
    ):
        if version in said:
            said[version][name] = prediction
    both = [name for name in said[first] if name in said[second]]
    told = np.array([(known[name], said[first][name], said[second][name]) for name in both], dtype=float).reshape(-1, 3)
    return told[:, 0], told[:, 1], told[:, 2]
