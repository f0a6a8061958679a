"""One definition of online features becomes the texts that keep and read them, in the SQL of each engine.

Tiles hold, per user and five minutes of the event's own time, what all windows are added up from; late events add to
the tile that they belong to, so nothing closes and nothing is dropped ("sawtooth" windows, as Chronon has them).
"""

from __future__ import annotations

from quality_assets.domain.live.expressions import DUCKDB, POSTGRESQL, SPARK, SQLITE, Dialect, sql_of
from quality_assets.domain.live.feature_set import EVENT_FIELDS, Aggregate, FeatureSet, OnlineFeature

TILES = "tiles"
# What stands before the value of a `latest`: sixteen digits of microseconds, from 2001 to 2286, and a bar.
_STAMP_CHARACTERS = 17


def aggregate_sql(aggregate: Aggregate, dialect: Dialect, condition: str = "") -> str:
    """The SQL of an aggregate over events for which `condition` holds; null or 0 where there are none."""
    measured = sql_of(aggregate.measured, dialect)
    if aggregate.kind == "count":
        held = [part for part in (condition, "" if measured == "true" else measured) if part]
        return f"count(case when {' and '.join(held)} then 1 end)" if held else "count(*)"
    parts = [part for part in (condition, sql_of(aggregate.where, dialect) if aggregate.where else "") if part]
    if aggregate.kind == "latest":
        measured = f"cast(event_us as {dialect.text}) || '|' || {measured}"
    value = f"case when {' and '.join(parts)} then {measured} end" if parts else measured
    if aggregate.kind == "latest":
        return f"max({value}{dialect.binary_order})" if not parts else f"max(({value}){dialect.binary_order})"
    return f"{aggregate.kind}({value})"


def tile_types(features: FeatureSet, dialect: Dialect) -> dict[str, str]:
    """The columns of tiles and their types, without the key."""
    return {
        name: f"{dialect.text}{dialect.binary_order}" if aggregate.kind == "latest" else "bigint"
        for name, aggregate in features.aggregates.items()
    }


def tiles_ddl(features: FeatureSet, dialect: Dialect) -> str:
    """The table of tiles; the key first, so that one user's tiles lie side by side."""
    columns = ", ".join(f"{name} {type_}" for name, type_ in tile_types(features, dialect).items())
    end = " without rowid" if dialect is SQLITE else ""
    user = f"{dialect.text}{dialect.binary_order}"
    return (
        f"create table if not exists {TILES} (user_id {user} not null, tile bigint not null, {columns},"
        f" primary key (user_id, tile)){end}"
    )


def upsert_sql(features: FeatureSet, dialect: Dialect, events: str) -> str:
    """Add events to their tiles. `events` is an SQL FROM item with user_id, tile and the fields of events."""
    assert dialect in (SQLITE, POSTGRESQL), "only these hold tiles"
    names = list(features.aggregates)
    made = ", ".join(aggregate_sql(aggregate, dialect) for aggregate in features.aggregates.values())
    sets = ", ".join(f"{name} = {_added(name, features.aggregates[name])}" for name in names)
    # In the order of the key: two processors that write at once would else wait for each other.
    return (
        f"insert into {TILES} (user_id, tile, {', '.join(names)})"
        f" select user_id, tile, {made} from {events} and user_id is not null"
        f" group by user_id, tile order by user_id, tile"
        f" on conflict (user_id, tile) do update set {sets}"
    )


def _added(name: str, aggregate: Aggregate) -> str:
    old, new = f"{TILES}.{name}", f"excluded.{name}"
    if aggregate.kind in ("count", "sum"):
        return f"coalesce({old} + {new}, {old}, {new})"
    return f"case when {old} is null or {new} > {old} then {new} else {old} end"


def partial_tiles_sql(features: FeatureSet, events: str, dialect: Dialect) -> str:
    """The tiles of some events, to be added up with those of others. `events` is as of `lake_events_sql`."""
    tile = f"cast(floor(cast(event_us as {dialect.double}) / {features.tile_us}) as bigint)"
    made = ", ".join(f"{aggregate_sql(each, dialect)} as {name}" for name, each in features.aggregates.items())
    return (
        f"select user_id, tile, {made} from (select *, {tile} as tile from {events}) as tiled"
        " where user_id is not null group by user_id, tile"
    )


def merged_tiles_sql(features: FeatureSet, parts: str) -> str:
    """Partial tiles added up, one row a user and tile."""
    merged = ", ".join(
        f"{'sum' if each.kind in ('count', 'sum') else 'max'}({name}) as {name}"
        for name, each in features.aggregates.items()
    )
    return f"select user_id, tile, {merged} from {parts} group by user_id, tile"


def read_sql(features: FeatureSet, version: int, dialect: Dialect) -> str:
    """The features of one user from tiles. Parameters: user_id, tile (the current one), as_of_us."""
    user, tile, as_of = (dialect.parameter(name) for name in ("user_id", "tile", "as_of_us"))
    windows = ", ".join(f"{_windowed_of_tiles(features, name, tile)} as {name}" for name in features.windowed(version))
    return (
        f"select {_selected(features.view(version), dialect)} from (select cast({user} as {dialect.text}) as user_id,"
        f" cast({as_of} as bigint) as as_of_us, {windows} from {TILES}"
        f" where user_id = {user} and tile between {tile} - {features.most_tiles} and {tile}) as windowed"
    )


def segments_sql(features: FeatureSet, version: int, dialect: Dialect) -> str:
    """Which segments of a version one user is in, by name: true, false, or null. Parameters as of `read_sql`."""
    asked = ", ".join(
        f"{sql_of(segment.condition, dialect)} as {name}"
        for name, segment in features.segments.items()
        if segment.version == version
    )
    return f"select {asked} from ({read_sql(features, version, dialect)}) as features"


def _windowed_of_tiles(features: FeatureSet, name: str, tile: str) -> str:
    aggregate, window = features.split(name)
    n = features.windows[window]
    value = aggregate if n == features.most_tiles else f"case when tile >= {tile} - {n} then {aggregate} end"
    kind = features.aggregates[aggregate].kind
    if kind in ("count", "sum"):
        return f"cast(coalesce(sum({value}), 0) as bigint)"
    return _unstamped(f"max({value})") if kind == "latest" else f"max({value})"


def _unstamped(text: str) -> str:
    return f"substr({text}, {_STAMP_CHARACTERS + 1})"


def _selected(view: tuple[OnlineFeature, ...], dialect: Dialect) -> str:
    return ", ".join(f"{sql_of(feature.expression, dialect)} as {feature.name}" for feature in view)


def offline_sql(features: FeatureSet, version: int, requests: str, events: str, dialect: Dialect = DUCKDB) -> str:
    """The features of many users at many instants, from events: what the collector would have answered then.

    `requests` has user_id, as_of_us and visible_us: events that were received later than that were not known when the
    question was asked (as_of_us itself where all before it was). `events` has user_id, event_us, received_us and the
    fields of events.
    """
    tile_us = features.tile_us
    windows = ", ".join(
        f"{_windowed_of_events(features, name, dialect)} as {name}" for name in features.windowed(version)
    )
    event_tile = f"cast(floor(cast(event_us as {dialect.double}) / {tile_us}) as bigint)"
    now_tile = f"cast(floor(cast(as_of_us as {dialect.double}) / {tile_us}) as bigint)"
    return (
        f"with asked as (select distinct user_id, as_of_us, visible_us, {now_tile} as now_tile from {requests}),"
        f" seen as (select *, {event_tile} as tile from {events} where user_id is not null),"
        f" joined as (select asked.user_id, asked.as_of_us, asked.visible_us, asked.now_tile, seen.tile,"
        f" {_fields('seen')}"
        f" from asked left join seen on seen.user_id = asked.user_id and seen.received_us <= asked.visible_us"
        f" and seen.tile between asked.now_tile - {features.most_tiles} and asked.now_tile),"
        f" windowed as (select user_id, as_of_us, visible_us, {windows} from joined"
        " group by user_id, as_of_us, visible_us)"
        f" select user_id, as_of_us, visible_us, {_selected(features.view(version), dialect)} from windowed"
    )


def _fields(relation: str) -> str:
    return ", ".join(f"{relation}.{name}" for name in EVENT_FIELDS)


def _windowed_of_events(features: FeatureSet, name: str, dialect: Dialect) -> str:
    aggregate, window = features.split(name)
    condition = f"tile >= now_tile - {features.windows[window]}"
    made = aggregate_sql(features.aggregates[aggregate], dialect, condition)
    kind = features.aggregates[aggregate].kind
    if kind in ("count", "sum"):
        return f"cast(coalesce({made}, 0) as bigint)"
    return _unstamped(made) if kind == "latest" else made


def lake_events_sql(relation: str, dialect: Dialect = DUCKDB) -> str:
    """Events of the lake with the fields that features are made of, as an SQL FROM item; Spark's session is in UTC.

    A latency is rounded to microseconds by floor, as the collector does it: casts round differently in each engine.
    """
    micros = "unix_micros(cast({} as timestamp))" if dialect is SPARK else "epoch_us({})"
    event_us, received_us = micros.format("event_time"), micros.format("coalesce(received_at, event_time)")
    return (
        f"(select user_id, {event_us} as event_us, {received_us} as received_us,"
        " event_name, status, device_type, feature, platform, country,"
        f" cast(floor(latency_ms * 1000e0 + 0.5e0) as bigint) as latency_us from {relation})"
    )
