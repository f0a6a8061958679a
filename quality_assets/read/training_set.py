"""Online features as they were known at past instants: rows for a model to learn from, with labels that one brings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from quality_assets.domain.live.compiler import lake_events_sql, offline_sql
from quality_assets.domain.live.feature_set import FeatureSet

_READERS = {".csv": "read_csv", ".parquet": "read_parquet"}
_EVENTS = "core.valid_events"


class AskedFileError(ValueError):
    """A file does not say which users at which instants. The message names the file and what it needs."""


def training_set(ask: Callable[..., Any], asked: Path, features: FeatureSet, version: int) -> Any:
    """The rows of a file of user_id, as_of and any further columns, with the features that were known then (Arrow).

    `ask` answers a query that names Arrow tables, as `Reader.arrow` does. What came later than an instant, or was
    received later, is in none of its features. Raises AskedFileError.
    """
    rows = _asked(asked)
    text = offline_sql(
        features,
        version,
        "(select user_id, as_of_us, as_of_us as visible_us from asked where user_id is not null)",
        lake_events_sql(_EVENTS),
    )
    names = ", ".join(feature.name for feature in features.view(version))
    return ask(
        f"select asked.* exclude (as_of_us), {names} from asked left join ({text}) as found"
        " on found.user_id = asked.user_id and found.as_of_us = asked.as_of_us order by asked.as_of_us, asked.user_id",
        asked=rows,
    )


def _asked(path: Path) -> Any:
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise AskedFileError(f"{path}: a file of {' or '.join(_READERS)} is read")
    connection = duckdb.connect()
    try:
        connection.execute("set timezone = 'UTC'")
        return connection.sql(
            "select * replace (cast(user_id as varchar) as user_id),"
            f" epoch_us(cast(as_of as timestamptz)) as as_of_us from {read}($path)",
            params={"path": str(path)},
        ).to_arrow_table()
    except duckdb.Error as error:
        raise AskedFileError(
            f"{path}: it needs the columns user_id and as_of, an instant such as 2026-01-31T12:00:00Z"
            f" ({str(error).splitlines()[0]})"
        ) from None
    finally:
        connection.close()
