"""All table contracts in one place, for bootstrapping, documentation and graph-wide tests. Declares none itself."""

from __future__ import annotations

from quality_assets.contracts import (
    churn,
    destinations,
    drift,
    events,
    experiments,
    facts_with_risk,
    impact,
    incidents,
    live,
    ml,
    monitoring,
    mutation,
    ops,
    product,
    raw,
    served,
    states,
    use_cases,
    users,
    watched,
)
from quality_assets.contracts.table import Table


def _tables(*modules: object) -> tuple[Table, ...]:
    found = (value for module in modules for value in vars(module).values() if isinstance(value, Table))
    return tuple({table.qualified_name: table for table in found}.values())


TABLES: tuple[Table, ...] = _tables(
    raw,
    events,
    users,
    product,
    states,
    incidents,
    impact,
    experiments,
    churn,
    destinations,
    ml,
    facts_with_risk,
    drift,
    monitoring,
    mutation,
    live,
    watched,
    ops,
    use_cases,
    served,
)
TABLES_BY_NAME = {table.qualified_name: table for table in TABLES}
LAKE_TABLES = tuple(table for table in TABLES if table.store == "lake")
SCHEMAS = ("raw", "core", "product", "impact", "ml", "monitoring", "ops", "datasets")


def may_refuse_publication(asset: str) -> bool:
    """Whether `asset`, as schema.table, is of the facts or of what they are made from: the rest is shown as it stands.

    What fails behind the facts (trends, incidents, impact, models, monitoring) never keeps them from their readers.
    """
    table = TABLES_BY_NAME.get(asset)
    if table is not None and table.build is not None and table.build.stage == "impact":
        return False
    return asset == product.FACT_FEATURE_METRICS.qualified_name or asset.partition(".")[0] in ("raw", "core")
