"""Building segments: who is a member from when until when, and how many came and went on each day."""

from __future__ import annotations

from datetime import date

from quality_assets.contracts.churn import ENGAGEMENT_SCORES
from quality_assets.contracts.definitions import Segment
from quality_assets.contracts.events import USER_FEATURE_DAYS
from quality_assets.contracts.impact import SEGMENT_DAYS, SEGMENT_MEMBERS
from quality_assets.contracts.users import FIRST_USES, USER_DAYS
from quality_assets.domain.impact import segments as sql
from quality_assets.domain.impact.funnels import Bound
from quality_assets.progress import Progress, no_progress
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.impact.catching_up import (
    Rows,
    Stretch,
    catch_up,
    days_before,
    lake_rows,
    register_dates,
)
from quality_assets.tables.impact.defined import definitions_of
from quality_assets.tables.staleness import gone_parts

_MEMBERS = SEGMENT_MEMBERS.qualified_name


def build_segments(session: WarehouseSession, progress: Progress = no_progress) -> dict[date, int]:
    """Bring impact.segment_days and impact.segment_members up to date; rows of the former per date."""
    segments = definitions_of(session, Segment)
    session.connection.execute(
        f"delete from {_MEMBERS} where not list_contains($names, segment)", {"names": list(segments)}
    )
    for name, gone in gone_parts(session.connection, SEGMENT_DAYS).items():
        # After the last day that is left there is nothing to build, and so nobody who would come or go.
        _forget_since(session, name, min(gone))

    def build(session: WarehouseSession, stretch: Stretch) -> Rows | None:
        _build(session, stretch, segments[stretch.definition])
        return None

    return catch_up(session, (SEGMENT_DAYS, SEGMENT_MEMBERS), build, progress, to_the_end=True)


def _build(session: WarehouseSession, stretch: Stretch, segment: Segment) -> None:
    connection = session.connection
    span = {"start": stretch.start, "segment": segment.name}
    _forget_since(session, segment.name, stretch.start)
    register_dates(session, stretch.dates)
    _make_inputs(session, stretch, segment)
    bound = Bound()
    is_daily = (stretch.end - stretch.start).days + 1 == len(stretch.dates)
    transitions = sql.transitions_sql(segment, "lived", "used", bound, is_daily=is_daily)
    connection.execute(
        f"create or replace temp table transitions as {transitions}", {**bound.values, "start": stretch.start}
    )
    _write(session, span)
    for table in ("members", "people", "lived", "used", "joined", "scored", "transitions"):
        connection.execute(f"drop table {table}")


def _forget_since(session: WarehouseSession, segment: str, start: date) -> None:
    """Let nobody have come or gone since `start`."""
    span = {"start": start, "segment": segment}
    session.connection.execute(f"delete from {_MEMBERS} where segment = $segment and entered_on >= $start", span)
    session.connection.execute(
        f"update {_MEMBERS} set left_on = null where segment = $segment and left_on >= $start", span
    )


def _make_inputs(session: WarehouseSession, stretch: Stretch, segment: Segment) -> None:
    """Make what the conditions ask temporary tables: people, lived, used, joined, scored and members.

    Users are numbers: to sort those costs a fraction of what names do.
    """
    _make_people(session, stretch, segment)
    connection = session.connection
    connection.execute(
        f"create or replace temp table members as select id as user_id from {_MEMBERS} join people using (user_id)"
        " where segment = $segment and left_on is null",
        {"segment": segment.name},
    )
    features = sql.features_asked(segment)
    start = days_before(stretch.start, sql.horizon_days(segment))
    connection.execute(
        "create or replace temp table used as select feature, id as user_id, event_date, events"
        f" from {lake_rows(session, USER_FEATURE_DAYS, start, stretch.end)} join people using (user_id)"
        # What automated users do is no use.
        " where list_contains($features, feature) and (id, event_date) in (select user_id, event_date from lived)"
        if features
        else "create or replace temp table used (feature varchar, user_id bigint, event_date date, events bigint)",
        {"features": features} if features else {},
    )
    _make_scored(session, stretch, segment)


def _make_people(session: WarehouseSession, stretch: Stretch, segment: Segment) -> None:
    """Make `people` the numbers of all who may be members, `joined` their first days, and `lived` the days that count.

    Whoever was there on too few days, or is there for too long, is a member on no day of the stretch: only those are
    among them who were members before.
    """
    connection = session.connection
    days = lake_rows(session, USER_DAYS, days_before(stretch.start, sql.horizon_days(segment)), stretch.end)
    listed = "".join(f", {column}" for column in sql.columns_asked(segment))
    most = sql.longest_tenure_days(segment)
    since = {"joined_since": days_before(stretch.start, most) if most is not None else date.min}
    joined = f"{FIRST_USES.qualified_name} where feature = '*' and joined_date >= $joined_since"
    is_new = f" and user_id in (select user_id from {joined})" if most is not None else ""
    connection.execute(
        "create or replace temp table named as"
        f" select user_id, event_date{listed} from {days} where not is_automated{is_new}",
        since if is_new else {},
    )
    connection.execute(
        "create or replace temp table people as select row_number() over () as id, user_id from ("
        " select user_id from named group by user_id having count(*) >= $least"
        f" union select user_id from {_MEMBERS} where segment = $segment and left_on is null)",
        {"segment": segment.name, "least": sql.least_active_days(segment)},
    )
    connection.execute(
        "create or replace temp table joined as select id as user_id, joined_date"
        f" from (select user_id, joined_date from {joined} and $is_asked) join people using (user_id)",
        {**since, "is_asked": sql.asks_tenure(segment)},
    )
    # Once somebody is there for too long, nothing that they do makes them a member.
    early = f" join joined on joined.user_id = id and event_date <= joined_date + {most}" if most is not None else ""
    connection.execute(
        f"create or replace temp table lived as select id as user_id, event_date{listed}"
        f" from named join people using (user_id){early}"
    )
    connection.execute("drop table named")


def _make_scored(session: WarehouseSession, stretch: Stretch, segment: Segment) -> None:
    """Make `scored` a temporary table of the scores that hold on a day of the stretch, where a condition asks."""
    session.connection.execute(
        "create or replace temp table scored as select id as user_id, as_of_date, rank, band"
        f" from {ENGAGEMENT_SCORES.qualified_name} join people using (user_id)"
        " where $is_asked and as_of_date > cast($start as date) - cast($days as integer) and as_of_date <= $end",
        {
            "is_asked": sql.asks_score(segment),
            "start": stretch.start,
            "days": sql.SCORE_DAYS,
            "end": stretch.end,
        },
    )


def _write(session: WarehouseSession, span: dict[str, object]) -> None:
    connection = session.connection
    connection.execute(
        f"update {_MEMBERS} as m set left_on = t.day from ("
        " select people.user_id, day from (select user_id as id, min(day) as day from transitions group by id)"
        " join people using (id)) as t"
        " where m.segment = $segment and m.left_on is null and m.entered_on < $start and m.user_id = t.user_id",
        span,
    )
    connection.execute(
        f"insert into {_MEMBERS} by name"
        " select $segment as segment, people.user_id, day as entered_on, until as left_on from ("
        " select *, lead(day) over (partition by user_id order by day) as until from transitions) as moved"
        " join people on people.id = moved.user_id where is_member",
        {"segment": span["segment"]},
    )
    connection.execute(
        f"insert into {SEGMENT_DAYS.qualified_name} by name"
        " with moved as (select day, count(*) filter (where is_member) as entered,"
        " count(*) filter (where not is_member) as gone from transitions group by day)"
        " select event_date, $segment as segment,"
        " (select count(*) from members) + sum(coalesce(entered, 0) - coalesce(gone, 0)) over (order by event_date)"
        " as members, coalesce(entered, 0) as entered, coalesce(gone, 0) as left"
        " from built left join moved on moved.day = built.event_date",
        {"segment": span["segment"]},
    )
