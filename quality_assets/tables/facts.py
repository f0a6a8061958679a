"""Reading the daily facts for what is computed from whole series: once a step, and only what it needs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd

from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.domain.events.watched import WATCHED

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def read_facts(
    connection: DuckDBPyConnection, columns: Iterable[str], through: date | None = None, since: date | None = None
) -> pd.DataFrame:
    """The key and these columns of the facts of `WATCHED`, from `since` and up to `through` where given, of a warehouse
    or of a snapshot."""
    names = tuple(dict.fromkeys((*FACT_FEATURE_METRICS.key, *columns)))
    return connection.execute(
        f"select {FACT_FEATURE_METRICS.select_list(names)} from {FACT_FEATURE_METRICS.qualified_name}"
        " where event_date between coalesce($since, event_date) and coalesce($through, event_date)"
        f" and feature in {WATCHED}",
        {"since": since, "through": through},
    ).df()
