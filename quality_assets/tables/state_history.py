"""What the detector reads, daily facts and counts of events and platforms: panels of all days or of the last ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import pandas as pd

from quality_assets.contracts.drift import EVENT_SKETCH_COUNTS
from quality_assets.contracts.metrics import TREND_METRICS
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.domain.events.watched import WATCHED
from quality_assets.domain.series.panel import Cut, build_grid, columns_behind
from quality_assets.domain.series.states import PART_METRICS, STATE_FACTS, Asked, Described, part_panel, whole_panels
from quality_assets.tables.facts import read_facts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_FACTS, _COUNTS = FACT_FEATURE_METRICS.qualified_name, EVENT_SKETCH_COUNTS.qualified_name
_WATCHED = f"feature in {WATCHED}"
_READ_COUNTS = f"name in ('event_name', 'platform_events', 'platform_crashes') and {_WATCHED}"
_OF_PLATFORMS = f"name in ('platform_events', 'platform_crashes') and {_WATCHED}"


def inputs_by_day(connection: DuckDBPyConnection, base: str) -> dict[date, str]:
    """Of each day with data a fingerprint of all that the detector reads of it and of the days before it.

    `base` is of what holds for all days: code, settings, descriptions.
    """
    read = FACT_FEATURE_METRICS.select_list(("feature", *STATE_FACTS))
    rows = connection.execute(
        f"with facts as (select event_date, sum(cast(hash({read}) as hugeint)) as digest from {_FACTS}"
        f" where {_WATCHED} group by 1),"
        " counts as (select event_date, sum(cast(hash(feature, name, bin, n) as hugeint)) as digest"
        f" from {_COUNTS} where {_READ_COUNTS} group by 1)"
        " select event_date, facts.digest, counts.digest from facts full join counts using (event_date)"
        " order by event_date"
    ).fetchall()
    out, known = {}, base
    for row in rows:
        known = hashlib.sha256(repr((known, *row)).encode()).hexdigest()
        out[row[0]] = known
    return out


@dataclass(frozen=True)
class History:
    """When each key of each kind of panel had its first row: of features by themselves, of their parts by pairs."""

    features: Mapping[Any, date]
    parts: Mapping[str, Mapping[Any, date]]
    # Of a feature with platforms: since when a second one is known.
    second_platform: pd.DataFrame

    @property
    def first(self) -> date:
        """The first day of all."""
        return min(day for seen in (self.features, *self.parts.values()) for day in seen.values())


def read_history(connection: DuckDBPyConnection) -> History | None:
    """None before the first facts."""
    features = connection.execute(
        f"select feature, min(event_date) from {_FACTS} where {_WATCHED} group by 1"
    ).fetchall()
    if not features:
        return None
    events = connection.execute(
        f"select feature, bin, min(event_date) from {_COUNTS} where name = 'event_name' and {_WATCHED} group by all"
    ).fetchall()
    second = connection.execute(
        f"with first as (select feature, bin, min(event_date) as day from {_COUNTS} where {_OF_PLATFORMS} group by all)"
        " select feature, day as since from first"
        " qualify row_number() over (partition by feature order by day, bin) = 2 order by feature"
    ).df()
    connection.register("second_platform", second)
    platforms = connection.execute(
        f"select feature, bin, min(event_date) from {_COUNTS} join second_platform using (feature)"
        f" where {_OF_PLATFORMS} and event_date >= since group by all"
    ).fetchall()
    connection.unregister("second_platform")
    parts = {
        part: {(feature, name): day for feature, name, day in rows if feature is not None and name is not None}
        for part, rows in (("event_name", events), ("platform", platforms))
    }
    return History({name: day for name, day in features if name is not None}, parts, second)


def feature_panels(
    connection: DuckDBPyConnection, history: History, described: Described, since: date, metrics: Sequence[str]
) -> list[Asked]:
    """The panels of whole features, of the days from `since` on."""
    facts = read_facts(connection, STATE_FACTS, since=since)
    grid = build_grid(facts, columns_behind(TREND_METRICS), cut=Cut(since, history.features))
    return whole_panels(grid, described, metrics)


def part_panel_of(
    connection: DuckDBPyConnection,
    history: History,
    described: Described,
    since: date,
    part: str,
    known: Sequence[date],
) -> Asked | None:
    """The panel of single events, or of platforms; None where there are none. `known`: the days with facts."""
    if not history.parts[part]:
        return None
    rows = read_event_counts(connection, since) if part == "event_name" else read_platform_counts(connection, since)
    if part == "platform":
        rows = rows.merge(history.second_platform, on="feature")
        rows = rows[pd.to_datetime(rows["event_date"]) >= pd.to_datetime(rows["since"])]
        rows = rows.assign(crash_rate=rows["crashes"] / rows["events"])
    grid = build_grid(
        rows,
        columns_behind([PART_METRICS[part]]),
        key=("feature", part),
        known_dates=[day for day in known if day >= since],
        cut=Cut(since, history.parts[part]),
    )
    return part_panel(grid, described)


def read_event_counts(
    connection: DuckDBPyConnection, since: date | None = None, through: date | None = None
) -> pd.DataFrame:
    """event_date, feature, event_name, events."""
    return connection.execute(
        f"select event_date, feature, bin as event_name, n as events from {_COUNTS} where name = 'event_name'"
        f" and {_WATCHED} and event_date between coalesce($since, event_date) and coalesce($through, event_date)",
        {"since": since, "through": through},
    ).df()


def read_platform_counts(
    connection: DuckDBPyConnection, since: date | None = None, through: date | None = None
) -> pd.DataFrame:
    """event_date, feature, platform, events, crashes."""
    return connection.execute(
        "select event_date, feature, bin as platform, sum(n) filter (where name = 'platform_events') as events,"
        " coalesce(sum(n) filter (where name = 'platform_crashes'), 0) as crashes"
        f" from {_COUNTS} where {_OF_PLATFORMS}"
        " and event_date between coalesce($since, event_date) and coalesce($through, event_date) group by all",
        {"since": since, "through": through},
    ).df()
