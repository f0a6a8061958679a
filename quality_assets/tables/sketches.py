"""Building the sketches of each day's events."""

from __future__ import annotations

from datetime import date

from quality_assets.contracts.drift import EVENT_SKETCH_COUNTS
from quality_assets.contracts.events import VALID_EVENTS
from quality_assets.progress import Progress
from quality_assets.stores.lake import files_sql
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.staleness import emptied_dates, forget_built, record_built, wanted_fingerprints

# Eight weeks of reference before each of the eight weeks that give the null.
SKETCH_DAYS = 120


def build_event_sketches(session: WarehouseSession, start: date, end: date, progress: Progress) -> dict[date, int]:
    """Rebuild event_sketch_counts from `start` to `end`; rows per date."""
    from quality_assets.domain.drift.sketches import event_sketch_sql
    from quality_assets.domain.features.incidents import event_counts_sql

    connection = session.connection
    fingerprints = wanted_fingerprints(connection, EVENT_SKETCH_COUNTS, start, end)
    emptied = emptied_dates(connection, EVENT_SKETCH_COUNTS, start, end)
    name = EVENT_SKETCH_COUNTS.qualified_name
    source = f"({files_sql(VALID_EVENTS, session.lake.absolute(session.lake.files(VALID_EVENTS, start, end)))})"
    by_feature = " union all ".join(
        f"select event_date, feature, '{kind}' as name, {bin_} as bin, sum({number}) as n from counted"
        f" group by all having sum({number}) > 0"
        for kind, bin_, number in (
            ("event_name", "event_name", "events"),
            ("platform_events", "platform", "events"),
            ("platform_crashes", "platform", "crashes"),
        )
    )
    feature_counts = f"with counted as materialized ({event_counts_sql(source)}) {by_feature}"
    parameters = {"from_date": start, "to_date": end}
    with session.transaction():
        connection.execute(
            f"delete from {name} where list_contains($days, event_date)", {"days": [*fingerprints, *emptied]}
        )
        for query in (event_sketch_sql(source), feature_counts):
            # A filter by the list would be pushed down to the events, and look up each of them.
            connection.execute(
                f"insert into {name} by name select * from ({query})"
                " semi join (select unnest($days) as event_date) as wanted using (event_date) order by all",
                {**parameters, "days": list(fingerprints)},
            )
        counted = connection.execute(
            f"select event_date, count(*) from {name} where event_date between $from_date and $to_date group by 1",
            parameters,
        ).fetchall()
        rows = {day: dict(counted).get(day, 0) for day in fingerprints}
        record_built(connection, EVENT_SKETCH_COUNTS, fingerprints, rows)
        forget_built(connection, EVENT_SKETCH_COUNTS, emptied)
    progress(f"event_sketch_counts {start} to {end}")
    return rows
