"""Building product.feature_states: the detector goes once over all that is watched; days that differ are written.

Incidents, labels and model inputs take it from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd

from quality_assets.contracts.drift import EVENT_SKETCH_COUNTS
from quality_assets.contracts.events import VALID_EVENTS
from quality_assets.contracts.metrics import TREND_METRICS
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS, LOG_FILES
from quality_assets.contracts.sources.events import load_sources
from quality_assets.contracts.states import FEATURE_STATES
from quality_assets.domain.series.panel import MONITORED_METRICS
from quality_assets.domain.series.state_rows import READ_COLUMNS, state_rows, watched_from
from quality_assets.domain.series.states import STATE_FACTS, Described, Watched, watch
from quality_assets.progress import Progress
from quality_assets.settings import Settings
from quality_assets.stores.frames import as_arrow
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.facts import read_facts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def build_states(session: WarehouseSession, progress: Progress) -> int:
    """Bring product.feature_states up to what the facts say now; the rows written.

    A day's states are made of that day and days before it: only days that are new, or changed, are written.
    """
    watched = watch_warehouse(session.connection, metrics=TREND_METRICS, probe_sources=probe_sources(session.settings))
    rows = as_arrow(FEATURE_STATES, state_rows(watched))
    connection, name = session.connection, FEATURE_STATES.qualified_name
    connection.register("states_now", rows)
    try:
        with session.transaction():
            changed = _changed_days(connection)
            # What is left unread would be in the way of what comes next.
            connection.execute(
                f"delete from {name} where list_contains($days, event_date)", {"days": changed}
            ).fetchall()
            connection.execute(
                f"insert into {name} by name select * from states_now where list_contains($days, event_date)"
                " order by event_date, feature, metric, event_name, platform",
                {"days": changed},
            ).fetchall()
    finally:
        connection.unregister("states_now")
    progress(f"states of {len(changed)} days")
    return int(rows.num_rows)


def _changed_days(connection: DuckDBPyConnection) -> list[date]:
    name = FEATURE_STATES.qualified_name
    return [
        day
        for (day,) in connection.execute(
            f"with now as (select event_date, count(*) as n, {_digest()} as digest from states_now group by 1),"
            f" stored as (select event_date, count(*) as n, {_digest()} as digest from {name} group by 1)"
            " select event_date from now full join stored using (event_date)"
            " where now.n is distinct from stored.n or now.digest is distinct from stored.digest order by 1"
        ).fetchall()
    ]


def _digest() -> str:
    """SQL for a number that differs where the rows of a day do, in whatever order they are."""
    return f"sum(cast(hash({FEATURE_STATES.select_list()}) as hugeint))"


def watch_warehouse(
    connection: DuckDBPyConnection,
    through: date | None = None,
    metrics: Sequence[str] = MONITORED_METRICS,
    probe_sources: Sequence[str] = (),
) -> list[Watched]:
    """What the detector says of the facts as they were known at the end of `through`, or as they are known now.

    What it said last in this process of the same facts is not worked out again, where that is small.
    """
    described = read_described(connection, probe_sources)
    size, asked = asked_of(connection, through, described)
    if _said and _said[-1][0] == asked and set(metrics) <= set(_said[-1][1]):
        return [each for each in _said[-1][2] if each.part or each.metric in metrics]
    watched = _watch(connection, through, metrics, described)
    _said.clear()
    if size <= MAX_KEPT:
        _said.append((asked, tuple(metrics), watched))
    return watched


MAX_KEPT = 20_000
"""Feature-days of which what the detector said is kept: a few tens of megabytes."""

# At most one: what was asked, by metrics, and what the detector said.
_said: list[tuple[tuple[object, ...], tuple[str, ...], list[Watched]]] = []


def asked_of(
    connection: DuckDBPyConnection, through: date | None, described: Described
) -> tuple[int, tuple[object, ...]]:
    """How many feature-days the detector would go over, and all that its answer depends on, in short."""
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
    rows = described.objectives
    said = "" if rows is None else rows.to_csv(index=False)
    return int(asked[0][0]), (*asked, gap, said, tuple(sorted(described.probes)))


def _watch(
    connection: DuckDBPyConnection, through: date | None, metrics: Sequence[str], described: Described
) -> list[Watched]:
    facts = read_facts(connection, STATE_FACTS, through)
    upto = {"through": through}
    counts = EVENT_SKETCH_COUNTS.qualified_name
    return watch(
        facts,
        event_counts=connection.execute(
            f"select event_date, feature, bin as event_name, n as events from {counts}"
            " where name = 'event_name' and event_date <= coalesce($through, event_date)",
            upto,
        ).df(),
        platform_counts=connection.execute(
            "select event_date, feature, bin as platform, sum(n) filter (where name = 'platform_events') as events,"
            " coalesce(sum(n) filter (where name = 'platform_crashes'), 0) as crashes"
            f" from {counts} where name in ('platform_events', 'platform_crashes')"
            " and event_date <= coalesce($through, event_date) group by all",
            upto,
        ).df(),
        described=described,
        through=through,
        metrics=metrics,
    )


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
    """What product.feature_states says, up to `through` where given; what the detector does, where it stops short."""
    if not _is_complete(connection, through):
        return watch_warehouse(connection, through, metrics)
    columns = FEATURE_STATES.select_list(READ_COLUMNS)
    rows: pd.DataFrame = connection.execute(
        f"select {columns} from {FEATURE_STATES.qualified_name}"
        " where list_contains($metrics, metric) and event_date <= coalesce($through, event_date)",
        {"metrics": list(metrics), "through": through},
    ).df()
    known = connection.execute(
        f"select distinct event_date from {FACT_FEATURE_METRICS.qualified_name}"
        " where event_date <= coalesce($through, event_date)",
        {"through": through},
    ).df()
    return watched_from(rows, known["event_date"])


def _is_complete(connection: DuckDBPyConnection, through: date | None) -> bool:
    """Whether there are states of the last day with facts."""
    last = "select max(event_date) from {} where event_date <= coalesce($through, event_date)"
    facts, states = (last.format(table.qualified_name) for table in (FACT_FEATURE_METRICS, FEATURE_STATES))
    rows = connection.execute(f"select ({facts}) is not distinct from ({states})", {"through": through}).fetchall()
    return rows == [(True,)]
