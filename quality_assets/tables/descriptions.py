"""raw.feature_descriptions, and whether its file says something else by now: its thresholds decide what is stale."""

from __future__ import annotations

import hashlib

import pandas as pd

from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.domain.features.descriptions import read_feature_descriptions
from quality_assets.stores.frames import replace_rows
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.staleness import OF_NO_DATE, built_from, record_built


def refresh_descriptions(session: WarehouseSession) -> bool:
    """Make raw.feature_descriptions what its file says now; whether that is something else than was read of it.

    Raises FeatureDescriptionsError where the file is wrong, and leaves the table as it is.
    """
    frame = read_feature_descriptions(session.settings.feature_metadata_path)
    said = _fingerprint(frame)
    if built_from(session.connection, FEATURE_DESCRIPTIONS) == said:
        return False
    rows = replace_rows(session, FEATURE_DESCRIPTIONS, frame)
    # A kill between the two makes the table once more.
    record_built(session.connection, FEATURE_DESCRIPTIONS, {OF_NO_DATE: said}, {OF_NO_DATE: rows})
    return True


def are_descriptions_stale(session: WarehouseSession) -> bool:
    """Whether the file says something else than was read of it. Raises as `refresh_descriptions` does."""
    frame = read_feature_descriptions(session.settings.feature_metadata_path)
    return built_from(session.connection, FEATURE_DESCRIPTIONS) != _fingerprint(frame)


def _fingerprint(frame: pd.DataFrame) -> str:
    return hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()[:32]
