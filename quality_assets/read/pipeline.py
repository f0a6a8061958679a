"""Queries of the pipeline page: the asset graph, its runs, the run report, alerts, publications."""

from __future__ import annotations

from quality_assets.read.reader import Reader, Row, per_snapshot
from quality_assets.stores.failures import failures

GRAPH = "ops.asset_graph"
RUNS = "ops.asset_runs"

_GRAPH = """
select asset, schema, kinds, description, owner, upstream, is_partitioned from ops.asset_graph order by asset
"""

_RUNS = """
select asset, arg_max(run_id, started_at) as run_id, arg_max(partition_key, started_at) as partition_key,
  max(started_at) as started_at, arg_max(status, started_at) as status, arg_max(duration_s, started_at) as duration_s,
  arg_max_null(row_count, started_at) as row_count, median(duration_s) as usual_duration_s, count(*) as runs,
  list(duration_s order by started_at desc)[:14] as durations
from ops.asset_runs
-- A refused publication is none of the snapshot that was published after it.
where asset not like 'publish.%' or status = 'succeeded'
group by asset
"""

_LAST_PARTITIONS = "select table_name, max(event_date) as last_date from ops.partition_state group by table_name"

_REPORTS = "select * exclude (report) from monitoring.run_report order by reported_at desc limit 10"

_ALERTS = "select * from monitoring.alerts order by last_seen desc, alert_id limit 20"

_PUBLICATIONS = "select * from ops.publications order by published_at desc limit 10"


@per_snapshot
def graph(reader: Reader) -> list[Row]:
    """The assets and what each is made from; empty where the snapshot does not say."""
    return reader.rows(_GRAPH) if reader.has(GRAPH) else []


@per_snapshot
def downstream(reader: Reader) -> dict[str, set[str]]:
    """Everything that is made from each asset of the graph, directly or not."""
    children: dict[str, set[str]] = {}
    for row in graph(reader):
        for parent in row["upstream"] or ():
            children.setdefault(parent, set()).add(row["asset"])

    def below(asset: str, seen: set[str]) -> set[str]:
        for child in children.get(asset, set()) - seen:
            seen.add(child)
            below(child, seen)
        return seen

    return {row["asset"]: below(row["asset"], set()) for row in graph(reader)}


@per_snapshot
def runs(reader: Reader) -> dict[str, Row]:
    """The last run of each asset and how long it usually takes, in seconds, by asset."""
    return {row["asset"]: row for row in reader.rows(_RUNS)} if reader.has(RUNS) else {}


def unbuilt(reader: Reader) -> set[str]:
    """The assets that could not be built when they were tried last, the snapshot's own time or since."""
    return {failure.asset for failure in failures(reader.snapshot.folder.parent)}


@per_snapshot
def last_partitions(reader: Reader) -> dict[str, Row]:
    """The last partition of each partitioned table, by `schema.table`."""
    if not reader.has("ops.partition_state"):
        return {}
    return {row["table_name"]: row for row in reader.rows(_LAST_PARTITIONS)}


@per_snapshot
def reports(reader: Reader) -> list[Row]:
    """The last ten run reports, newest first."""
    return reader.rows(_REPORTS) if reader.has("monitoring.run_report") else []


@per_snapshot
def alerts(reader: Reader) -> list[Row]:
    """The last twenty alerts as they stood at publication, newest first."""
    return reader.rows(_ALERTS) if reader.has("monitoring.alerts") else []


@per_snapshot
def publications(reader: Reader) -> list[Row]:
    """The last ten snapshots that readers were given, newest first."""
    return reader.rows(_PUBLICATIONS) if reader.has("ops.publications") else []
