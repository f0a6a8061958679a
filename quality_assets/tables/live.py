"""What the graph makes of the live half: what landed, whether it is right, what is usual by now, vectors of users.

What the collector keeps is read from its state.db, by readers that never change it; a root without one has none of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd

from quality_assets.contracts.events import QUARANTINED_EVENTS, VALID_EVENTS, Reason
from quality_assets.contracts.live import (
    ARRIVAL_CURVES,
    COLLECTED_BATCHES,
    LIVE_RECONCILIATION,
    ONLINE_FEATURE_SKEW,
    USER_FEATURES,
)
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.domain.events.watched import WATCHED
from quality_assets.domain.live.compiler import lake_events_sql, offline_sql
from quality_assets.domain.live.curves import arrival_curves
from quality_assets.domain.live.feature_set import FeatureSet, load_features
from quality_assets.settings import Settings
from quality_assets.stores.frames import read_frame, replace_rows
from quality_assets.stores.warehouse import WarehouseSession

_EPOCH = date(1970, 1, 1)
_US = 1_000_000
_DAY_US = 86_400 * _US
_WEEK_DAYS = 8
_CURVE_DAYS = 56
_SHARE_DAYS = 7
SAME = 1e-9
"""Numbers that differ by less, of their size, are the same: sums are added up in another order."""

_FILES = LOG_FILES.qualified_name
_VALID = VALID_EVENTS.qualified_name
_QUARANTINED = QUARANTINED_EVENTS.qualified_name
_BATCHES = COLLECTED_BATCHES.qualified_name
_OF_COLLECTOR = f"file_id in (select file_id from {_BATCHES} where file_id is not null)"


def build_collected_batches(session: WarehouseSession) -> int:
    """Take over what the collector says it has landed, and look up what was read of each file; rows in all.

    What an earlier state.db has told stays: files are landed once, and their names are never used again.
    """
    landed = _state_rows(
        session.settings, "select name, event_date, rows, landed_us from exports where state = 'landed' order by batch"
    )
    frame = pd.DataFrame(
        {
            "name": [row[0] for row in landed],
            "event_date": [_EPOCH + timedelta(days=row[1]) for row in landed],
            "accepted": [row[2] for row in landed],
            "landed_at": pd.to_datetime([row[3] for row in landed], unit="us"),
        }
    )
    connection = session.connection
    with session.transaction():
        connection.execute(
            f"delete from {_BATCHES} where name in (select unnest($names))", {"names": list(frame["name"])}
        )
        connection.register("landed_batches", frame)
        connection.execute(
            f"insert into {_BATCHES} by name"
            " select name, cast(event_date as date) as event_date, cast(accepted as bigint) as accepted,"
            " cast(landed_at as timestamp) as landed_at from landed_batches"
        )
        connection.unregister("landed_batches")
        connection.execute(
            f"update {_BATCHES} set file_id = f.file_id, rows_read = f.rows, rows_refused = f.rows_refused"
            f" from {_FILES} f where f.path = {_BATCHES}.name and f.status = 'loaded'"
        )
    return int(connection.execute(f"select count(*) from {_BATCHES}").fetchall()[0][0])


def build_live_reconciliation(session: WarehouseSession) -> int:
    """Hold each date of the collector against what became of it; rows written."""
    live = pd.DataFrame(
        _state_rows(
            session.settings,
            "select tile / (86400000000 / $tile_us) as day, sum(events), sum(errors), sum(crashes) from live_metrics"
            " group by 1",
            {"tile_us": _features(session.settings).tile_us},
        ),
        columns=["day", "live_events", "live_errors", "live_crashes"],
    ).astype("int64")
    waiting = pd.DataFrame(
        _state_rows(session.settings, "select distinct event_date from events"), columns=["day"]
    ).astype("int64")
    connection = session.connection
    connection.register("live_days", live)
    connection.register("waiting_days", waiting)
    try:
        rows = read_frame(session, _RECONCILED, {"duplicate": Reason.DUPLICATE_EVENT_ID.value})
    finally:
        connection.unregister("live_days")
        connection.unregister("waiting_days")
    return replace_rows(session, LIVE_RECONCILIATION, rows)


# A copy counts as what it is a copy of: its own status stands in the row as it arrived.
_RECONCILED = f"""
with landed as (
  select event_date, sum(accepted) as accepted, count(*) filter (file_id is null) as unread
  from {_BATCHES} group by event_date
),
valid as (
  select event_date, count(*) as n, count(*) filter (status = 'error') as errors,
    count(*) filter (status = 'crash') as crashes
  from {_VALID} where event_date in (select event_date from landed) and {_OF_COLLECTOR} group by event_date
),
quarantined as (
  select event_date, count(*) filter (reasons = [$duplicate]) as duplicates,
    count(*) filter (reasons <> [$duplicate]) as refused,
    count(*) filter (reasons = [$duplicate] and raw_row ->> 'status' = 'error') as errors,
    count(*) filter (reasons = [$duplicate] and raw_row ->> 'status' = 'crash') as crashes
  from {_QUARANTINED} where event_date in (select event_date from landed) and {_OF_COLLECTOR} group by event_date
),
counted as (
  select landed.event_date, landed.accepted, coalesce(valid.n, 0) as valid, coalesce(duplicates, 0) as duplicates,
    coalesce(refused, 0) as refused, live.live_events, live.live_errors, live.live_crashes,
    coalesce(valid.errors, 0) + coalesce(quarantined.errors, 0) as errors,
    coalesce(valid.crashes, 0) + coalesce(quarantined.crashes, 0) as crashes,
    landed.unread > 0 or waiting.day is not null or valid.n is null as is_waiting
  from landed left join valid using (event_date) left join quarantined using (event_date)
  left join live_days live on date '1970-01-01' + cast(live.day as integer) = landed.event_date
  left join waiting_days waiting on date '1970-01-01' + cast(waiting.day as integer) = landed.event_date
)
select * exclude (is_waiting),
  case when is_waiting then 'waiting'
    when accepted = valid + duplicates + refused and refused = 0
      and coalesce(live_events, accepted) = accepted and coalesce(live_errors, errors) = errors
      and coalesce(live_crashes, crashes) = crashes then 'balanced'
    else 'differs' end as state
from counted order by event_date
"""


def build_arrival_curves(session: WarehouseSession) -> int:
    """What is usual by each five minutes, from the last eight weeks; rows written."""
    counts = read_frame(
        session,
        f"""
        with newest as (select max(event_date) as day from {_VALID})
        select feature, event_date, cast(floor((epoch(event_time) - epoch(event_date)) / 300) as integer) as tile,
          count(*) as events
        from {_VALID} where event_date > (select day from newest) - $days and feature in {WATCHED} group by all
        """,
        {"days": _CURVE_DAYS},
    )
    shares = read_frame(
        session,
        f"""
        with newest as (select max(event_date) as day from {_VALID})
        select feature, avg(case when {_OF_COLLECTOR} then 1e0 else 0e0 end) as collected_share
        from {_VALID} where event_date > (select day from newest) - {_SHARE_DAYS} group by feature
        """,
    )
    curves = arrival_curves(counts).merge(shares, on="feature", how="left")
    return replace_rows(session, ARRIVAL_CURVES, curves.fillna({"collected_share": 0.0}))


def build_user_features(session: WarehouseSession, version: int = 1) -> int:
    """The features of all users of the last seven days at the end of the newest day; rows written.

    Days that were made before stay as they are, so that a model can be trained on what was known then; days that there
    are no more, because their logs were withdrawn, go.
    """
    connection = session.connection
    day: date | None = _newest_day(session)
    if day is None:
        return 0
    as_of_us = (day - _EPOCH).days * _DAY_US + _DAY_US - 1
    week = f"(select * from {_VALID} where event_date > $day - {_WEEK_DAYS})"
    instant = "$as_of_us as as_of_us, $visible_us as visible_us"
    asked = f"(select distinct user_id, {instant} from {week} where user_id is not null)"
    features = _features(session.settings)
    text = offline_sql(features, version, asked, lake_events_sql(week))
    names = [feature.name for feature in features.view(version) if feature.name in USER_FEATURES.column_names]
    # All that the lake has of the week is seen, whenever it came.
    parameters = {"day": day, "as_of_us": as_of_us, "visible_us": 1 << 62, "version": version}
    columns = ", ".join(names)
    with session.transaction():
        connection.execute(f"delete from {USER_FEATURES.qualified_name} where event_date >= $day", {"day": day})
        connection.execute(
            f"insert into {USER_FEATURES.qualified_name} by name select $day as event_date, user_id,"
            f" make_timestamp($as_of_us) as as_of, $version as version, {columns} from ({text})",
            parameters,
        )
    counted = f"select count(*) from {USER_FEATURES.qualified_name} where event_date = $day"
    return int(connection.execute(counted, {"day": day}).fetchall()[0][0])


def build_online_feature_skew(session: WarehouseSession) -> int:
    """Compute again what was served, where the lake has all that was known then; rows written."""
    features = _features(session.settings)
    served = _comparable(session)
    rows = [row for version in features.versions for row in _skew_of(session, features, version, served)]
    return replace_rows(
        session, ONLINE_FEATURE_SKEW, pd.DataFrame(rows, columns=list(ONLINE_FEATURE_SKEW.column_names))
    )


def _comparable(session: WarehouseSession) -> list[Any]:
    """Answers of days that are built, of which nothing that was known then waits to land or to be read."""
    day = _newest_day(session)
    unread = session.connection.execute(f"select count(*) from {_BATCHES} where file_id is null").fetchall()[0][0]
    if day is None or unread:
        return []
    built_us = ((day - _EPOCH).days + 1) * _DAY_US
    oldest = _state_rows(session.settings, "select coalesce(min(received_us), 1 << 62) from events")
    return _state_rows(
        session.settings,
        "select user_id, version, as_of_us, known_us, answer from served where as_of_us < $built_us"
        " and known_us < $oldest_us",
        {"built_us": built_us, "oldest_us": oldest[0][0] if oldest else 0},
    )


def _skew_of(session: WarehouseSession, features: FeatureSet, version: int, served: list[Any]) -> list[dict[str, Any]]:
    mine = {(row[0], row[2], row[3]): json.loads(row[4]) for row in served if row[1] == version}
    if not mine:
        return []
    requests = pd.DataFrame(list(mine), columns=["user_id", "as_of_us", "visible_us"])
    connection = session.connection
    connection.register("served_answers", requests)
    try:
        first = _EPOCH + timedelta(days=int(requests["as_of_us"].min() // _DAY_US) - _WEEK_DAYS)
        events = f"(select * from {_VALID} where event_date >= $first and {_OF_COLLECTOR})"
        again = read_frame(
            session, offline_sql(features, version, "served_answers", lake_events_sql(events)), {"first": first}
        )
    finally:
        connection.unregister("served_answers")
    times = (_instant(int(requests["as_of_us"].min())), _instant(int(requests["as_of_us"].max())))
    computed = [{name: _value(value) for name, value in row.items()} for row in again.to_dict("records")]
    return [_compared(feature.name, version, mine, computed, times) for feature in features.view(version)]


def _compared(
    name: str,
    version: int,
    served: Mapping[tuple[str, int, int], Mapping[str, Any]],
    computed: list[dict[Any, Any]],
    times: tuple[datetime, datetime],
) -> dict[str, Any]:
    compared, different, largest, example = 0, 0, None, None
    for row in computed:
        live = served[row["user_id"], row["as_of_us"], row["visible_us"]].get(name)
        compared += 1
        if _is_same(live, row[name]):
            continue
        different += 1
        example = example or f"{live!r} was served, {row[name]!r} is computed"
        if isinstance(live, int | float) and isinstance(row[name], int | float):
            largest = max(largest or 0.0, abs(float(live) - float(row[name])))
    return {
        "version": version,
        "feature": name,
        "compared": compared,
        "different": different,
        "largest_difference": largest,
        "example": example,
        "served_from": times[0],
        "served_to": times[1],
    }


def _value(value: Any) -> Any:
    return None if pd.isna(value) else value


def _is_same(one: Any, other: Any) -> bool:
    if one is None or other is None or isinstance(one, str) or isinstance(other, str):
        return bool(one == other)
    return abs(float(one) - float(other)) <= SAME * max(abs(float(one)), abs(float(other)))


def _instant(us: int) -> datetime:
    return datetime(1970, 1, 1) + timedelta(microseconds=us)


def _newest_day(session: WarehouseSession) -> date | None:
    day: date | None = session.connection.execute(f"select max(event_date) from {_VALID}").fetchall()[0][0]
    return day


def _features(settings: Settings) -> FeatureSet:
    return load_features(settings.features_path)


def _state_rows(settings: Settings, text: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
    """Rows of the collector's state; none where there is no collector."""
    from quality_assets.stores.live.chosen import asked_state, state_exists
    from quality_assets.stores.live.sqlite import all_rows

    if not state_exists(settings.live_state):
        return []
    connection = asked_state(settings.live_state, read_only=True)
    try:
        return all_rows(connection, text, dict(parameters or {}))
    finally:
        connection.close()
