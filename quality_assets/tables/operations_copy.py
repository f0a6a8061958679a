"""Copies of the operations store in the warehouse, made at each publication, so that SQL sees them.

A capability that keeps something there adds its contract and a statement to COPIES.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from sqlalchemy import Select, select
from sqlalchemy import Table as StoreTable

from quality_assets.contracts.destinations import DELIVERED_ROWS, DELIVERIES
from quality_assets.contracts.monitoring import ALERT_HISTORY, ALERTS
from quality_assets.contracts.mutation import MUTANTS, MUTATION_REPORTS
from quality_assets.contracts.table import Table
from quality_assets.contracts.watched import BATCHES, FINDINGS
from quality_assets.stores.operations.alert_tables import ALERT, ALERT_EVENT
from quality_assets.stores.operations.dataset_tables import DATASET_BATCH, DATASET_FINDING
from quality_assets.stores.operations.delivery_tables import DELIVERED_ROW, DELIVERY
from quality_assets.stores.operations.mutation_tables import MUTANT, MUTATION_REPORT
from quality_assets.stores.operations.store import operations_of
from quality_assets.stores.warehouse import WarehouseSession, insert_rows
from quality_assets.tables.faults import unless_unreachable

_ROWS_AT_ONCE = 50_000


def columns_of(table: Table, source: StoreTable) -> Select[tuple[object, ...]]:
    """The columns of a contract from a table that has all of them by name."""
    return select(*(source.c[name] for name in table.column_names))


def renamed_columns(table: Table, source: StoreTable, names: Mapping[str, str]) -> Select[tuple[object, ...]]:
    """As `columns_of`, where some columns have another name in the store."""
    return select(*(source.c[names.get(name, name)] for name in table.column_names))


COPIES: tuple[tuple[Table, Select[tuple[object, ...]]], ...] = (
    (ALERTS, columns_of(ALERTS, ALERT)),
    (ALERT_HISTORY, columns_of(ALERT_HISTORY, ALERT_EVENT)),
    (BATCHES, renamed_columns(BATCHES, DATASET_BATCH, {"dataset": "dataset_id", "batch": "name"})),
    (
        FINDINGS,
        renamed_columns(
            FINDINGS,
            DATASET_FINDING,
            {"dataset": "dataset_id", "rule": "rule_id", "count": "cells", "is_alert": "is_alerting"},
        ),
    ),
    (MUTATION_REPORTS, columns_of(MUTATION_REPORTS, MUTATION_REPORT)),
    (MUTANTS, renamed_columns(MUTANTS, MUTANT, {"count": "cells"})),
    (DELIVERIES, columns_of(DELIVERIES, DELIVERY)),
    (DELIVERED_ROWS, columns_of(DELIVERED_ROWS, DELIVERED_ROW)),
)


@unless_unreachable
def copy_operations(session: WarehouseSession) -> dict[str, int]:
    """Make each table of COPIES what the operations store holds at one moment; how many rows each has.

    Where it does not answer, what was copied last stays: facts do not wait for it.
    """
    counts: dict[str, int] = {}
    with operations_of(session.settings).read() as source, session.transaction():
        for table, statement in COPIES:
            session.connection.execute(f"delete from {table.qualified_name}")
            counts[table.qualified_name] = 0
            for rows in source.execute(statement).partitions(_ROWS_AT_ONCE):
                frame = pd.DataFrame([tuple(row) for row in rows], columns=list(table.column_names), dtype=object)
                insert_rows(session.connection, table.qualified_name, frame)
                counts[table.qualified_name] += len(frame)
    return counts
