"""What the owner of a source promises of it (`expectations` in its YAML), held against what came.

Of the last days alone: a promise that was broken a month ago is no news this morning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta

from quality_assets.clock import utc_now
from quality_assets.contracts.events import QUARANTINED_EVENTS, RAW_LOGS
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.contracts.sources.events import Source, load_sources
from quality_assets.domain.quality.check import Answer, Check, subject_of
from quality_assets.stores.warehouse import WarehouseSession

PROMISED_DAYS = 7
MISSING_WITHIN_DAYS = 28
MAX_NAMED = 5

_RAW = RAW_LOGS.qualified_name
_FILES = LOG_FILES.qualified_name

# Days that are over alone, of today more is to come; and none after the newest event of all, when nothing came at all.
_ROWS_BY_DAY = f"""
with days as (
  select source, file_id, first_event_time, last_event_time, last_day_ends_at from {_FILES}
  where status = 'loaded' and source = $source
),
newest as (
  select max(last_day_ends_at) - interval 1 second as instant from {_FILES} where status = 'loaded'
),
span as (
  select cast(min(first_event_time) as date) as first,
    least(cast(cast($now as timestamp) as date) - 1, cast(any_value(newest.instant) as date)) as last
  from days cross join newest having count(*) > 0
),
wanted as (
  select cast(unnest(generate_series(greatest(first, last - {PROMISED_DAYS - 1}), last, interval 1 day)) as date)
    as event_date from span
),
came as (
  select event_date, count(*) as n from {_RAW}
  where event_date between (select min(event_date) from wanted) and (select max(event_date) from wanted)
    and file_id in (select file_id from days)
  group by event_date
)
select event_date, coalesce(n, 0) from wanted left join came using (event_date) order by event_date
"""

# What is wrong in a row is known once it is read, before its day is built; that it is a copy of another load's, after.
_QUARANTINED_SHARE = f"""
with files as (select file_id, last_event_time from {_FILES} where status = 'loaded' and source = $source),
since as (select cast(max(last_event_time) as date) - {PROMISED_DAYS} as day from {_FILES} where status = 'loaded'),
arrived as (
  select count(*) as rows, count(*) filter (len(reasons) > 0) as wrong from {_RAW}
  where event_date > (select day from since) and file_id in (select file_id from files)
),
refused as (
  select count(*) as rows from {QUARANTINED_EVENTS.qualified_name}
  where event_date > (select day from since) and file_id in (select file_id from files)
)
select greatest(arrived.wrong, refused.rows) / nullif(cast(arrived.rows as double), 0) from arrived cross join refused
"""

_HOURS_SILENT = f"""
select date_diff('second', max(last_event_time), cast($now as timestamp)) / 36e2 from {_FILES}
where status = 'loaded' and source = $source
"""


def _promises(session: WarehouseSession, name: str) -> Iterable[tuple[Source, float]]:
    for source in load_sources(session.settings.source_folders):
        promised = getattr(source.expectations, name) if source.expectations else None
        if promised is not None:
            yield source, promised


def _broken(found: list[str]) -> Answer:
    return Answer(not found, float(len(found)), 0.0, len(found), found[:MAX_NAMED])


def rows_as_promised(session: WarehouseSession) -> Answer:
    """Days of the last week with fewer rows than `min_rows_per_day`, silent days as well."""
    broken = []
    for source, least in _promises(session, "min_rows_per_day"):
        days = session.connection.execute(_ROWS_BY_DAY, {"source": source.name, "now": utc_now()}).fetchall()
        broken += [
            f"{source.name} of {source.owner}: {rows:,} rows on {day}, at least {least:,} promised"
            for day, rows in days
            if rows < least
        ]
    return _broken(broken)


def quarantined_as_promised(session: WarehouseSession) -> Answer:
    """Sources of whose rows of the last week a larger share is refused than `max_quarantined_share`."""
    broken = []
    for source, most in _promises(session, "max_quarantined_share"):
        share = session.connection.execute(_QUARANTINED_SHARE, {"source": source.name}).fetchall()[0][0]
        if share is not None and share > most:
            broken.append(
                f"{source.name} of {source.owner}: {share:.3g} of the rows refused, at most {most:g} promised"
            )
    return _broken(broken)


def heard_as_promised(session: WarehouseSession) -> Answer:
    """Sources whose newest event is older than `max_silence_hours`."""
    broken = []
    for source, most in _promises(session, "max_silence_hours"):
        parameters = {"source": source.name, "now": utc_now()}
        hours = session.connection.execute(_HOURS_SILENT, parameters).fetchall()[0][0]
        if hours is not None and hours > most:
            silent = timedelta(hours=round(hours))
            broken.append(f"{source.name} of {source.owner}: silent for {silent}, at most {most:g} hours promised")
    return _broken(broken)


def _promise(name: str, question: str, answer: Callable[[WarehouseSession], Answer], finding: str, unit: str) -> Check:
    return Check(
        subject_of(LOG_FILES),
        name,
        question,
        "timeliness" if name.startswith("heard") else "volume" if name.startswith("rows") else "validity",
        answer=answer,
        severity="WARN",
        finding=finding,
        unit=unit,
        remedy="Ask its owner; the promise stands under `expectations` in the source's YAML.",
    )


SOURCE_CHECKS = (
    _promise(
        "rows_as_promised",
        "Did each source bring as many rows a day as its owner promises?",
        rows_as_promised,
        "{observed} brought fewer rows than promised",
        "day",
    ),
    _promise(
        "quarantined_as_promised",
        "Is no more of each source refused than its owner promises?",
        quarantined_as_promised,
        "Of {observed} more is refused than promised",
        "source",
    ),
    _promise(
        "heard_as_promised",
        "Was each source heard of lately, as its owner promises?",
        heard_as_promised,
        "{observed} fell silent for longer than promised",
        "source",
    ),
    Check(
        subject_of(LOG_FILES),
        "sources_still_come",
        "Does every source go on while others do?",
        "timeliness",
        f"""
with days as (
  select distinct source, unnest(touched_dates) as day from {_FILES} where status = 'loaded'
),
newest as (select max(day) as day from days),
gaps as (
  select source, day, day - lag(day) over (partition by source order by day) as gap_days from days
),
silent as (
  select source, newest.day - max(gaps.day) as silent_days,
    max(gap_days) filter (gaps.day > (select day from newest) - 2 * {MISSING_WITHIN_DAYS}) as usual_days,
    count(*) as days, max(gaps.day) as last
  from gaps cross join newest group by source, newest.day
),
stopped as (
  select source || ': nothing since ' || strftime(last, '%Y-%m-%d') as example from silent
  where days >= {PROMISED_DAYS} and silent_days > usual_days
)
select '' as partition_key, count(*) = 0 as is_passed, cast(count(*) as double) as observed,
  cast(0 as double) as threshold, count(*) as unexpected_count, to_json(list(example order by example)[1:5]) as examples
from stopped
""",
        severity="WARN",
        finding="{observed} stopped while others went on",
        unit="source",
        remedy="Ask its owner; what ended for good is told by taking its YAML away and its logs out of landing/.",
    ),
    Check(
        subject_of(LOG_FILES),
        "no_day_missing",
        "Did something arrive of every day?",
        "completeness",
        f"""
with days as (select distinct event_date from {_RAW}),
missing as (
  select cast(day as date) as event_date
  from (select unnest(generate_series(greatest(min(event_date), max(event_date) - {MISSING_WITHIN_DAYS}),
    max(event_date), interval 1 day)) as day from days)
  where cast(day as date) not in (select event_date from days)
)
select '' as partition_key, count(*) = 0 as is_passed, cast(count(*) as double) as observed,
  cast(0 as double) as threshold, count(*) as unexpected_count,
  to_json(list(strftime(event_date, '%Y-%m-%d') order by event_date)[1:5]) as examples
from missing
""",
        severity="WARN",
        finding="Nothing arrived of {observed} of the last four weeks",
        unit="day",
        remedy="See whether a file is late or lost: between days with telemetry a day without any is rarely true.",
    ),
)
