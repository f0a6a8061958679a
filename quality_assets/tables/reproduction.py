"""What of a use case is stale, by fingerprints of data and code, made anew; and metrics of versions side by side."""

from __future__ import annotations

from typing import Any

import pandas as pd

from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.progress import Progress
from quality_assets.settings import Settings
from quality_assets.stores.released import VersionUnavailableError, manifest, manifests, registry_folder_of
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.exploration import exploration_folder, faults_of, write_exploration
from quality_assets.tables.learning import (
    NothingToLearnError,
    learning_code_version,
    train_version,
    training_file,
    training_set,
)

COLUMNS = ("known", "candidate", "role", "split", "metric", "value", "low", "high", "rows")


def reproduce(session: WarehouseSession, use_case: TabularUseCase, progress: Progress) -> list[str]:
    """Train and report anew where the newest of either is of other data or other code; what was done, in sentences."""
    from quality_assets.domain.models.learning.exploration import REPORT_VERSION
    from quality_assets.domain.models.learning.learnable import learning_rows
    from quality_assets.domain.models.learning.table_training import rows_fingerprint
    from quality_assets.tables.learning import load_training_set

    path = training_file(session.settings, use_case)
    if path is not None:
        load_training_set(session, use_case, path)
    try:
        frame = training_set(session, use_case)
    except NothingToLearnError as error:
        return [str(error)]
    fingerprint = rows_fingerprint(use_case, learning_rows(use_case, frame))
    known = manifests(session.settings.models_dir, use_case.name)
    done = []
    stale = _staleness(known[-1] if known else None, fingerprint)
    if stale:
        trained = train_version(session, use_case, known[-1]["mode"] if known else "baseline", progress, release=True)
        done.append(f"version {trained.version} was trained, since {stale}. {trained.decision.reason}")
    else:
        done.append(f"version {known[-1]['version']} is of these data and this code")
    folder = exploration_folder(session.settings, use_case.name, REPORT_VERSION, fingerprint)
    if faults_of(folder):
        done.append(f"the report was written: {write_exploration(session.settings, use_case, frame)}")
    else:
        done.append("the report is of these data")
    return done


def _staleness(told: dict[str, Any] | None, fingerprint: str) -> str:
    """Why the newest version is stale; empty where it is not."""
    if told is None:
        return "there was none"
    if told["data_fingerprint"] != fingerprint:
        return "the data are others"
    return "the code is another" if told["code_version"] != learning_code_version() else ""


def metric_rows(settings: Settings, use_case: TabularUseCase, version: str | None) -> list[dict[str, Any]]:
    """The metrics that were saved with a version, the newest by default. Raises VersionUnavailableError."""
    if version is None:
        known = manifests(settings.models_dir, use_case.name)
        if not known:
            raise VersionUnavailableError(f"there is no version of {use_case.name} yet")
        version = known[-1]["version"]
    told = manifest(settings.models_dir, use_case.name, version)
    path = (registry_folder_of(settings.models_dir, use_case.name) / told["file"]).parent / "metrics.parquet"
    try:
        frame = pd.read_parquet(path, columns=list(COLUMNS))
    except OSError as error:
        raise VersionUnavailableError(f"the metrics of version {version} cannot be read: {error}") from error
    return [
        {name: None if value != value else value for name, value in zip(COLUMNS, row, strict=True)}
        for row in frame.itertuples(index=False)
    ]


def metric_changes(settings: Settings, use_case: TabularUseCase, first: str, second: str) -> list[dict[str, Any]]:
    """What each of two versions predicts with, metric by metric; null where only one was graded so."""
    one, other = (
        {
            (row["known"], row["split"], row["metric"]): row["value"]
            for row in metric_rows(settings, use_case, version)
            if row["role"] == "champion"
        }
        for version in (first, second)
    )
    rows = []
    for key in sorted({*one, *other}):
        a, b = one.get(key), other.get(key)
        change = b - a if a is not None and b is not None else None
        rows.append(
            {**dict(zip(("known", "split", "metric"), key, strict=True)), "first": a, "second": b, "change": change}
        )
    return rows
