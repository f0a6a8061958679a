"""Whether there is anything to learn from in a table, and what of it is set aside: said in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.models.learning.blocks import RowPlaces
from quality_assets.domain.models.learning.columns_of import columns_of_frame
from quality_assets.domain.models.learning.quarantine import broken_windows
from quality_assets.domain.models.learning.tabular import TabularUseCase

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 3


class CannotLearnError(ValueError):
    """Nothing can be learnt from a table: the message says why, after the words `cannot learn`."""

    def __init__(self, why: str) -> None:
        super().__init__(f"cannot learn: {why}")


@dataclass(frozen=True)
class LearningRows:
    """n rows to learn from: inputs as columns, outcomes, where they stand, their names, and why some are set aside.

    quarantined: a sentence, or None, for each row; words: each sentence once.
    """

    columns: dict[str, np.ndarray]
    y: Floats
    places: RowPlaces
    keys: np.ndarray
    quarantined: np.ndarray
    words: tuple[str, ...]

    @property
    def is_clean(self) -> Bools:
        """Which rows may be learnt from."""
        return np.array([each is None for each in self.quarantined], dtype=bool)


def check_learnable(use_case: TabularUseCase, frame: pd.DataFrame) -> None:
    """Raise CannotLearnError where rows are too few, share a key, or a column says nothing."""
    contract, settings = use_case.contract, use_case.settings
    absent = [column.name for column in contract.columns if column.name not in frame and not column.nullable]
    if absent:
        raise CannotLearnError(f"the table has no {', '.join(absent)}")
    if len(frame) < settings.min_rows:
        raise CannotLearnError(f"there are {len(frame)} rows, and at least {settings.min_rows} are needed")
    repeated = frame.duplicated(list(contract.key))
    if repeated.any():
        shown = ["-".join(map(str, row)) for row in frame.loc[repeated, list(contract.key)].head(_SHOWN).to_numpy()]
        raise CannotLearnError(
            f"{int(repeated.sum())} rows have the key of another ({', '.join(contract.key)}: {', '.join(shown)})"
        )
    said = [c for c in contract.columns if c.role in ("input", "target") and c.name in frame]
    empty = [column.name for column in said if frame[column.name].isna().all()]
    if empty:
        raise CannotLearnError(f"{', '.join(empty)} is empty in every row")
    target = frame[contract.target.name]
    if not np.isfinite(target.to_numpy(dtype=float)).all():
        raise CannotLearnError(f"{contract.target.name} is no finite number in some rows")
    if target.nunique() == 1:
        raise CannotLearnError(f"{contract.target.name} is {target.iloc[0]:g} in every row")


def learning_rows(use_case: TabularUseCase, frame: pd.DataFrame) -> LearningRows:
    """The rows of a table in order of time, or of their keys. Raises CannotLearnError."""
    check_learnable(use_case, frame)
    contract = use_case.contract
    order = [*([contract.time_column] if contract.time_column else []), *contract.key]
    frame = frame.sort_values(order, kind="stable", ignore_index=True)
    columns = columns_of_frame(contract.inputs, frame)
    y = frame[contract.target.name].to_numpy(dtype=float)
    places = _places(use_case, frame)
    keys = np.array(["-".join(map(str, row)) for row in frame[list(contract.key)].to_numpy()], dtype=object)
    quarantined, words = _quarantined(use_case, columns, y, places.day)
    return LearningRows(columns, y, places, keys, quarantined, words)


def _places(use_case: TabularUseCase, frame: pd.DataFrame) -> RowPlaces:
    time = use_case.contract.time_column
    day = None
    if time is not None:
        day = frame[time].to_numpy().astype("datetime64[D]").astype(np.int64)
    group = np.arange(len(frame))
    if use_case.group is not None:
        group = np.unique(frame[use_case.group].to_numpy(), return_inverse=True)[1]
    area = None
    if use_case.place is not None:
        size = use_case.settings.block_degrees
        corners = [np.floor(frame[name].to_numpy(dtype=float) / size).astype(np.int64) for name in use_case.place]
        area = np.unique(corners[0] * 100_000 + corners[1], return_inverse=True)[1].astype(np.int64)
    return RowPlaces(len(frame), day, group.astype(np.int64), area)


def _quarantined(
    use_case: TabularUseCase, columns: dict[str, np.ndarray], y: Floats, day: Ints | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    why = np.full(len(y), None, dtype=object)
    band = use_case.ratio_band
    if band is None or day is None:
        return why, ()
    product = columns[band.first] * columns[band.second]
    ratio = np.divide(y, product, out=np.full(len(y), np.nan), where=np.abs(product) > 0)
    words = []
    for window in broken_windows(day, ratio):
        words.append(window.words(band.words))
        why[(day >= window.first_day) & (day <= window.last_day)] = words[-1]
    return why, tuple(words)
