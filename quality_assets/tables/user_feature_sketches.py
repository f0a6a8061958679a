"""Building monitoring.user_feature_sketches: each day's users in bins of their online features.

A day that was scored is counted from product.user_features. What lies before the first of those has no vectors: there
a sample of users is computed from the events, once, so that the monitor knows what is usual from the first day on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from quality_assets.contracts.drift import USER_FEATURE_SKETCHES
from quality_assets.contracts.events import VALID_EVENTS
from quality_assets.contracts.live import USER_FEATURES
from quality_assets.domain.drift.user_features import WATCHED, user_feature_sketch_sql
from quality_assets.domain.live.compiler import lake_events_sql, offline_sql
from quality_assets.domain.live.feature_set import FeatureSet, load_features
from quality_assets.stores.warehouse import WarehouseSession

FIRST_DAYS = 63
"""How many days a first run counts: four weeks whose own four weeks before are there too, and one to judge."""
DAYS_AT_ONCE = 7
SAMPLE_USERS = 2_000
"""Of a day before the first that was scored: enough for its distributions, and not a history read whole."""
_REACH_DAYS = 8
_NAME, _USERS, _VALID = (table.qualified_name for table in (USER_FEATURE_SKETCHES, USER_FEATURES, VALID_EVENTS))
_VERSION = 1


def build_user_feature_sketches(session: WarehouseSession) -> int:
    """Count the days that are not counted yet, and the newest anew since more may have come; rows written."""
    connection = session.connection
    features = load_features(session.settings.features_path)
    # A root's own set of features may lack some.
    names = [feature.name for feature in features.view(_VERSION) if feature.name in WATCHED]
    newest: date | None = connection.execute(f"select max(event_date) from {_USERS}").fetchall()[0][0]
    if newest is None or not names:
        return 0
    since = newest - timedelta(days=FIRST_DAYS - 1)
    lacking = _dates(
        session,
        f"select distinct event_date from {_VALID} where event_date between $since and $newest"
        f" except select event_date from {_NAME} where event_date < $newest order by 1",
        {"since": since, "newest": newest},
    )
    scored = set(
        _dates(
            session,
            f"select distinct event_date from {_USERS} where event_date >= $since and version = $version",
            {"since": since, "version": _VERSION},
        )
    )
    with session.transaction():
        connection.execute(
            f"delete from {_NAME} where list_contains($dates, event_date) or event_date > $newest",
            {"dates": lacking, "newest": newest},
        )
        from_vectors = user_feature_sketch_sql("vectors", names)
        connection.execute(
            f"insert into {_NAME} by name with vectors as materialized (select * from {_USERS}"
            f" where list_contains($dates, event_date) and version = $version) {from_vectors}",
            {"dates": [day for day in lacking if day in scored], "version": _VERSION},
        )
        before = [day for day in lacking if day not in scored]
        for at in range(0, len(before), DAYS_AT_ONCE):
            _count_from_events(session, features, names, before[at : at + DAYS_AT_ONCE])
    counted = f"select count(*) from {_NAME} where list_contains($dates, event_date)"
    return int(connection.execute(counted, {"dates": lacking}).fetchall()[0][0])


def _count_from_events(
    session: WarehouseSession, features: FeatureSet, names: Sequence[str], days: Sequence[date]
) -> None:
    """Count a sample of the users of some days from their events; the same users each time."""
    reach = f"event_date > $first - {_REACH_DAYS} and event_date <= $last"
    people = f"""
        (select user_id, epoch_us(day + interval 1 day) - 1 as as_of_us, $visible_us as visible_us
        from (select unnest($days) as day)
        join (select distinct user_id, event_date from {_VALID} where {reach} and user_id is not null) as seen
          on seen.event_date > day - {_REACH_DAYS} and seen.event_date <= day
        group by user_id, day
        qualify row_number() over (partition by day order by hash(user_id), user_id) <= $most)
    """
    text = offline_sql(features, _VERSION, people, lake_events_sql(f"(select * from {_VALID} where {reach})"))
    vectors = f"select cast(make_timestamp(as_of_us) as date) as event_date, {', '.join(names)} from ({text})"
    counted = user_feature_sketch_sql("vectors", names)
    session.connection.execute(
        f"insert into {_NAME} by name with vectors as materialized ({vectors}) {counted}",
        {
            "days": list(days),
            "first": days[0],
            "last": days[-1],
            "most": SAMPLE_USERS,
            # All that the lake has is seen, whenever it came.
            "visible_us": 1 << 62,
        },
    )


def _dates(session: WarehouseSession, text: str, parameters: dict[str, object]) -> list[date]:
    return [row[0] for row in session.connection.execute(text, parameters).fetchall()]
