"""What changes shape in what a source sends, though every row keeps the contract: a column that empties, names that
multiply. Asked when logs arrive, of the last days alone.
"""

from __future__ import annotations

from quality_assets.contracts.events import EVENT_COLUMNS, RAW_LOGS
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.domain.events.texts import MIN_ALIKE_NAMES, masked_sql
from quality_assets.domain.quality.check import Check, subject_of

USUAL_DAYS = 14
MIN_ROWS = 50
"""Below so many rows a day says little of how often a column is filled."""

USUAL_SHARE = 0.2
EMPTIED_SHARE = 0.1
"""A column has emptied where its share filled is below a tenth of the usual one, which was a fifth at least."""

MIN_NEW_NAMES = 20
NEW_NAMES_FACTOR = 3

_RAW = RAW_LOGS.qualified_name
_FILES = LOG_FILES.qualified_name
_OPTIONAL = [c.name for c in EVENT_COLUMNS if c.nullable]

# A source counts on its own days: another that is a day ahead says nothing of it.
_RECENT = f"""
files as (select file_id, source from {_FILES} where status = 'loaded'),
newest as (
  select source, cast(max(last_event_time) as date) as last from {_FILES} where status = 'loaded' group by source
),
recent as (
  select f.source, f.last, r.* from {_RAW} r join (select * from files join newest using (source)) f using (file_id)
  where r.reasons is null and r.event_date > (select max(last) from newest) - {2 * USUAL_DAYS}
    and r.event_date between f.last - {USUAL_DAYS} and f.last
)"""

_EMPTIED_SQL = f"""
with {_RECENT},
counted as (
  select source, event_date, last, count(*) as n, {", ".join(f"count({name}) as {name}" for name in _OPTIONAL)}
  from recent group by source, event_date, last having n >= {MIN_ROWS}
),
filled as (
  unpivot (select source, event_date, last, n, {", ".join(f"{c} / n as {c}" for c in _OPTIONAL)} from counted)
  on {", ".join(_OPTIONAL)} into name column_name value share
),
judged as (
  select source, column_name, median(share) filter (event_date < last) as usual,
    any_value(share) filter (event_date = last) as now, any_value(last) as last
  from filled group by source, column_name having count(*) filter (event_date < last) >= 3
),
emptied as (
  select source || ': ' || column_name || ' is filled in ' || printf('%.1f', 100 * now) || ' % of the rows of '
    || strftime(last, '%Y-%m-%d') || ', usually in ' || printf('%.0f', 100 * usual) || ' %' as example
  from judged where usual >= {USUAL_SHARE} - 1e-9 and now < {EMPTIED_SHARE} * usual - 1e-9
)
select '' as partition_key, count(*) = 0 as is_passed, cast(count(*) as double) as observed,
  cast(0 as double) as threshold, count(*) as unexpected_count, to_json(list(example order by example)[1:5]) as examples
from emptied
"""

# Names that differ in numbers alone hold an id; of other new names, many times what there was is told.
_NAMES_SQL = f"""
with {_RECENT},
names as (
  select source, feature, min(event_date) as first, any_value(last) as last,
    {masked_sql("feature")} as mask
  from recent where feature is not null group by source, feature
),
alike as (
  select source, mask, count(*) as n from names where contains(mask, '#') group by source, mask
  having n >= {MIN_ALIKE_NAMES}
),
grown as (
  select source, any_value(last) as last, count(*) filter (first = last) as new, count(*) filter (first < last) as old
  from names where (source, mask) not in (select (source, mask) from alike) group by source
),
told as (
  select source || ': ' || n || ' features differ in a number alone, such as ' || mask as example from alike
  union all
  select source || ': ' || new || ' features appeared on ' || strftime(last, '%Y-%m-%d') || ', and there were ' || old
  from grown where old > 0 and new >= {MIN_NEW_NAMES} and new > {NEW_NAMES_FACTOR - 1} * old
)
select '' as partition_key, count(*) = 0 as is_passed, cast(count(*) as double) as observed,
  cast(0 as double) as threshold, count(*) as unexpected_count, to_json(list(example order by example)[1:5]) as examples
from told
"""

SHAPE_CHECKS = (
    Check(
        subject_of(LOG_FILES),
        "columns_stay_filled",
        "Is what a source usually fills in still filled in?",
        "completeness",
        _EMPTIED_SQL,
        severity="WARN",
        finding="{observed} emptied",
        unit="column",
        remedy="Ask the source's owner what changed; the rows are kept, that column is not known.",
    ),
    Check(
        subject_of(LOG_FILES),
        "feature_names_are_few",
        "Are the names of features names, and not ids?",
        "validity",
        _NAMES_SQL,
        severity="WARN",
        finding="{observed} of names multiply",
        unit="kind",
        remedy="Take the name out of what holds the id by `extract` in the source's YAML (docs/sources.md), or map it.",
    ),
)
