"""Rows without ids that two files tell: those of a whole file again are known, most of them under another name are not.

Asked when logs arrive, of the last days of what has arrived last, and of files of one source whose times overlap: where
days or hours have a file each, nothing is read.
"""

from __future__ import annotations

from quality_assets.contracts.events import EVENT_COLUMN_NAMES, RAW_LOGS
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.domain.events.validation import derived_event_id
from quality_assets.domain.quality.check import Answer, Check, subject_of
from quality_assets.stores.warehouse import WarehouseSession

LAST_DAYS = 14
MIN_ROWS = 20
MIN_SHARE = 0.5
"""Of fewer, servers that log alike may say the same by chance."""
SAMPLED_ROWS = 500_000
MAX_NAMED = 5

_FILES = LOG_FILES.qualified_name
_TOLD = ", ".join(name for name in EVENT_COLUMN_NAMES if name not in ("event_id", "received_at"))

_OVERLAPPING = f"""
with loaded as (select * from {_FILES} where status = 'loaded'),
newest as (
  select max(last_event_time) as instant from loaded where load_id = (select max(load_id) from loaded)
),
files as (
  select file_id, source, file_number, rows, first_event_time as first, last_event_time as last
  from loaded cross join newest
  where rows >= {MIN_ROWS} and last_event_time > instant - interval {LAST_DAYS} day and first_event_time <= instant
),
pairs as (
  select unnest([one.file_id, other.file_id]) as file_id
  from files as one join files as other on one.source = other.source and one.first <= other.last
    and other.first <= one.last and one.file_number < other.file_number
)
select list(file_id), cast(sum(rows) as bigint), cast(any_value(instant) as date) from files cross join newest
where file_id in (select file_id from pairs)
"""

# A row that says neither who nor how long is like many others.
_TOLD_AGAIN = f"""
with files as (select file_id, source, file_number, path from {_FILES} where list_contains($file_ids, file_id)),
told as (
  select file_id, line_number, source, file_number, hash({_TOLD}) as told
  from {RAW_LOGS.qualified_name} join files using (file_id)
  where reasons is null and event_date between $last - {LAST_DAYS} and $last
    and event_id = {derived_event_id("file_id")}
    and coalesce(user_id, session_id, cast(latency_ms as varchar), properties) is not null
    and hash(event_time) % $every = 0
),
placed as (select *, row_number() over (partition by file_id, told order by line_number) as place from told),
firsts as (select source, told, place, min(file_number) as first from placed group by all),
judged as (
  select file_id, count(*) as n, count(*) filter (first < file_number) as again,
    mode(first) filter (first < file_number) as told_by
  from placed join firsts using (source, told, place) group by file_id
)
select printf('%.0f', 100 * again / n) || ' % of the rows of ' || files.path || ' stand in ' || other.path
from judged join files using (file_id) join files as other on other.file_number = told_by
where n >= {MIN_ROWS} and again >= {MIN_SHARE} * n order by files.file_number
"""


def rows_told_once(session: WarehouseSession) -> Answer:
    """Files most of whose rows without ids another file has told; of many rows, a sample of the instants."""
    file_ids, rows, last = session.connection.execute(_OVERLAPPING).fetchall()[0]
    told: list[str] = []
    if file_ids:
        parameters = {"file_ids": file_ids, "last": last, "every": 1 + rows // SAMPLED_ROWS}
        told = [text for (text,) in session.connection.execute(_TOLD_AGAIN, parameters).fetchall()]
    return Answer(not told, float(len(told)), 0.0, len(told), told[:MAX_NAMED])


TOLD_TWICE = Check(
    subject_of(LOG_FILES),
    "rows_told_once",
    "Are rows without ids told by one file alone?",
    "uniqueness",
    answer=rows_told_once,
    severity="WARN",
    finding="{observed} may be counted twice",
    unit="file",
    remedy="Map `event_id` in the source's YAML; or have `on_repeat: replace` there, and put the file again under its"
    " name without these rows.",
)
