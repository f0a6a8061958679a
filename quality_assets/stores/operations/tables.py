"""All tables of the operations store: whoever adds some adds its module here, and a revision."""

from __future__ import annotations

from quality_assets.stores.operations import (
    alert_tables,
    dataset_tables,
    delivery_tables,
    house_tables,
    model_tables,
    mutation_tables,
)
from quality_assets.stores.operations.columns import METADATA

# Importing a module puts its tables into METADATA.
TABLE_MODULES = (
    alert_tables,
    dataset_tables,
    delivery_tables,
    house_tables,
    model_tables,
    mutation_tables,
)

__all__ = ["METADATA", "TABLE_MODULES"]
