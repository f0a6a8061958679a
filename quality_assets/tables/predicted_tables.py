"""What the models in use say of the rows of their training sets, and how the inputs of those rows change."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quality_assets.contracts.use_cases import INPUT_DRIFT, MODEL_LEAKS, MODEL_PERFORMANCE
from quality_assets.domain.models.learning.columns_of import columns_of_frame
from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.stores.frames import read_frame, replace_rows
from quality_assets.stores.released import VersionUnavailableError, load_released, manifest, manifests
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.learning import release_log


def build_predictions(session: WarehouseSession, use_case: TabularUseCase) -> int:
    """Predict every row of the training set by the version in use; rows, 0 where none is.

    Rows of other versions stay as they were.
    """
    frame = read_frame(session, f"select * from {use_case.training_set.qualified_name}")
    try:
        released = load_released(session.settings.models_dir, use_case, release_log(session.settings).of(use_case.name))
    except VersionUnavailableError:
        return 0
    if not len(frame):
        return 0
    contract, model = use_case.contract, released.model
    predicted, low, high = model.predictions(columns_of_frame(contract.inputs, frame))
    told = manifest(session.settings.models_dir, use_case.name, released.release.version)
    time = contract.time_column
    rows = pd.DataFrame(
        {
            "model": use_case.name,
            "model_version": released.release.version,
            "release_seq": released.release.seq,
            "row_key": ["-".join(map(str, row)) for row in frame[list(contract.key)].to_numpy()],
            "prediction": predicted,
            "p10": low,
            "p90": high,
            "actual": frame[contract.target.name],
            "is_seen": _is_seen(frame, time, told["trained_through"]),
            "quarantined_because": frame["quarantined_because"],
        }
    )
    if time is not None:
        rows["day"] = pd.to_datetime(frame[time])
    key = {"version": released.release.version}
    return replace_rows(session, use_case.predictions, rows, "model_version = $version", key)


def _is_seen(frame: pd.DataFrame, time: str | None, through: str | None) -> np.ndarray:
    """Of each row, whether the version has learnt from it: not from later or quarantined ones."""
    is_clean = frame["quarantined_because"].isna().to_numpy()
    if time is None or through is None:
        return is_clean
    return np.asarray(is_clean & (pd.to_datetime(frame[time]) <= pd.Timestamp(through)).to_numpy())


def build_input_drift(session: WarehouseSession) -> pd.DataFrame:
    """Replace ml.input_drift; its rows. A use case whose rows have no order in time has none."""
    from quality_assets.domain.models.learning.input_changes import input_changes
    from quality_assets.domain.models.learning.learnable import CannotLearnError, learning_rows

    found = []
    for use_case in TABULAR.values():
        frame = read_frame(session, f"select * from {use_case.training_set.qualified_name}")
        if not len(frame) or use_case.contract.time_column is None:
            continue
        try:
            rows = learning_rows(use_case, frame)
        except CannotLearnError:
            continue
        assert rows.places.day is not None  # there is a time column
        changes = input_changes(rows.columns, rows.places.day, rows.places.block)
        found += [{"model": use_case.name, **each} for each in changes]
    drift = pd.DataFrame(found, columns=list(INPUT_DRIFT.column_names))
    replace_rows(session, INPUT_DRIFT, drift)
    return drift


def gather_leaks(session: WarehouseSession) -> int:
    """Replace ml.model_leaks by the evidence that is kept with every version; rows."""
    return replace_rows(session, MODEL_LEAKS, _kept(session, "leaks", MODEL_LEAKS.column_names))


def gather_performance(session: WarehouseSession) -> int:
    """Replace ml.model_performance by the evidence that is kept with every version; rows."""
    return replace_rows(session, MODEL_PERFORMANCE, _kept(session, "performance", MODEL_PERFORMANCE.column_names))


def _kept(session: WarehouseSession, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    parts = []
    models_dir = session.settings.models_dir
    for use_case in TABULAR.values():
        for told in manifests(models_dir, use_case.name):
            path = (models_dir / use_case.name / told["file"]).parent / f"{name}.parquet"
            if path.is_file():
                frame = pd.read_parquet(path)
                parts.append(frame.assign(model=use_case.name, model_version=told["version"]))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(columns))
