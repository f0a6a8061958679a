"""What the detector says of the warehouse: as product.feature_states has it, or gone over anew as of an earlier day.

That table is built in `state_building`; incidents, labels and model inputs take it from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd

from quality_assets.contracts.drift import EVENT_SKETCH_COUNTS
from quality_assets.contracts.events import VALID_EVENTS
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS, LOG_FILES
from quality_assets.contracts.sources.events import load_sources
from quality_assets.contracts.states import FEATURE_STATES
from quality_assets.domain.series.panel import MONITORED_METRICS
from quality_assets.domain.series.state_rows import READ_COLUMNS, watched_from
from quality_assets.domain.series.states import STATE_FACTS, Described, Watched, watch
from quality_assets.settings import Settings
from quality_assets.tables.facts import read_facts
from quality_assets.tables.last_made import LastMade
from quality_assets.tables.state_history import read_event_counts, read_platform_counts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def watch_warehouse(
    connection: DuckDBPyConnection,
    through: date | None = None,
    metrics: Sequence[str] = MONITORED_METRICS,
    probe_sources: Sequence[str] = (),
) -> list[Watched]:
    """What the detector says of the facts as they were known at the end of `through`, or now, gone over from the first
    day on."""
    return watch(
        read_facts(connection, STATE_FACTS, through),
        event_counts=read_event_counts(connection, through=through),
        platform_counts=read_platform_counts(connection, through=through),
        described=read_described(connection, probe_sources),
        through=through,
        metrics=metrics,
    )


def asked_of(connection: DuckDBPyConnection, through: date | None, described: Described) -> tuple[object, ...]:
    """All that the detector's answer depends on, in short."""
    counted = "name in ('event_name', 'platform_events', 'platform_crashes')"
    upto = {"through": through}
    digest = (
        "select count(*), sum(cast(hash({}) as hugeint)) from {}"
        " where {} and event_date <= coalesce($through, event_date)"
    )
    asked = [
        connection.execute(digest.format(table.select_list(), table.qualified_name, where), upto).fetchall()[0]
        for table, where in ((FACT_FEATURE_METRICS, "true"), (EVENT_SKETCH_COUNTS, counted))
    ]
    # Days after the last one are gaps, and make another answer.
    last = connection.execute(f"select max(event_date) from {FACT_FEATURE_METRICS.qualified_name}").fetchall()[0][0]
    gap = through if through is not None and (last is None or through > last) else None
    return (*asked, gap, *described_in_short(described))


def described_in_short(described: Described) -> tuple[str, tuple[str, ...]]:
    """All that is said of features, in texts."""
    rows = described.objectives
    return "" if rows is None else rows.to_csv(index=False), tuple(sorted(described.probes))


def probe_sources(settings: Settings) -> list[str]:
    """The names of the sources in force that are probes."""
    sources = load_sources(settings.source_folders).by_name
    return sorted(name for name, source in sources.items() if source.kind == "probe")


def read_described(connection: DuckDBPyConnection, probe_sources: Sequence[str] = ()) -> Described:
    """Objectives, tiers and what does not count; features all of whose events come from probes are probed."""
    descriptions = connection.execute(f"select * from {FEATURE_DESCRIPTIONS.qualified_name}").df()
    return Described.of(descriptions, _probed_features(connection, probe_sources))


def _probed_features(connection: DuckDBPyConnection, probe_sources: Sequence[str]) -> list[str]:
    # Events are looked at only where there is a probe at all.
    files = connection.execute(
        f"select count(*) from {LOG_FILES.qualified_name} where list_contains($sources, source)",
        {"sources": list(probe_sources)},
    ).fetchall()
    if files == [(0,)]:
        return []
    rows = connection.execute(
        f"select feature from (select distinct feature, file_id from {VALID_EVENTS.qualified_name})"
        f" join {LOG_FILES.qualified_name} using (file_id)"
        " group by feature having bool_and(list_contains($sources, source)) order by feature",
        {"sources": list(probe_sources)},
    ).fetchall()
    return [feature for (feature,) in rows]


def read_watched(
    connection: DuckDBPyConnection, through: date | None = None, metrics: Sequence[str] = MONITORED_METRICS
) -> list[Watched]:
    """What product.feature_states says, up to `through` where given; what the detector does, where it stops short.

    What was read last in this process, of the same rows, is not read again.
    """
    if not _is_complete(connection, through):
        return watch_warehouse(connection, through, metrics)
    stored = connection.execute(
        f"select count(*), sum(cast(hash({FEATURE_STATES.select_list()}) as hugeint))"
        f" from {FEATURE_STATES.qualified_name}"
        " where list_contains($metrics, metric) and event_date <= coalesce($through, event_date)",
        {"metrics": list(metrics), "through": through},
    ).fetchall()
    known = connection.execute(
        f"select distinct event_date from {FACT_FEATURE_METRICS.qualified_name}"
        " where event_date <= coalesce($through, event_date) order by event_date",
        {"through": through},
    ).df()

    def read() -> list[Watched]:
        columns = FEATURE_STATES.select_list(READ_COLUMNS)
        rows: pd.DataFrame = connection.execute(
            f"select {columns} from {FEATURE_STATES.qualified_name}"
            " where list_contains($metrics, metric) and event_date <= coalesce($through, event_date)",
            {"metrics": list(metrics), "through": through},
        ).df()
        return watched_from(rows, known["event_date"])

    of = (stored[0], tuple(known["event_date"]), tuple(metrics))
    return list(_last_read.get(of, read, is_kept=stored[0][0] <= MAX_KEPT * len(metrics)))


MAX_KEPT = 20_000
"""Feature-days of which what was read is kept: a few tens of megabytes."""

# Incidents and labels ask for the same.
_last_read: LastMade[list[Watched]] = LastMade()


def _is_complete(connection: DuckDBPyConnection, through: date | None) -> bool:
    """Whether there are states of the last day with facts."""
    last = "select max(event_date) from {} where event_date <= coalesce($through, event_date)"
    facts, states = (last.format(table.qualified_name) for table in (FACT_FEATURE_METRICS, FEATURE_STATES))
    rows = connection.execute(f"select ({facts}) is not distinct from ({states})", {"through": through}).fetchall()
    return rows == [(True,)]
