"""SQL of the tables that are computed from events: de-duplication, user days, daily facts.

Text only: `tables/events.py` runs it over the lake.
"""

from __future__ import annotations

from quality_assets.contracts.events import EVENT_COLUMN_NAMES, Reason
from quality_assets.contracts.metrics import ADOPTION_RATE
from quality_assets.domain.events.metrics_sql import Engine, facts_sql, spelled

AS_EVENT_JSON = f"to_json(struct_pack({', '.join(f'{name} := {name}' for name in EVENT_COLUMN_NAMES)}))"
"""An event as JSON, for rows that were well-formed and are quarantined only for being a copy."""


ID_HASH = "hash(event_date, event_id)"
"""What copies of an event have in common, and hardly any other two events."""

REPEATED = "repeated_hashes"
"""The table of those ID_HASH that come more than once (`stores/repeats.py`), in the column `id_hash`."""

NO_FILES = "(select cast(null as varchar) as file_id, cast(null as varchar) as source where false)"

IS_REPEATED = f"{ID_HASH} in (select id_hash from {REPEATED})"


def later_copies_sql(source: str, keys: str, order: str, identity: str = "event_date, event_id") -> str:
    """The event_date and the columns `keys` of every copy but the first, by `order`, of a repeated event.

    REPEATED has been found among the rows of `source`; two events of one hash are told apart here, by `identity`.
    """
    return f"""
select event_date, {keys} from {source} where {IS_REPEATED}
qualify row_number() over (partition by {identity} order by {order}) > 1
"""


SOURCE_IDENTITY = "event_date, source, event_id"
"""What tells one event from another where the rows know their source: two sources may use the same ids."""


def quarantine_sql(refused: str, copies: str, kept: str, files: str = NO_FILES) -> str:
    """The rows of core.quarantined_events.

    `refused` are rows of raw.raw_logs that were not kept as events, `copies` are events that a later load brought
    again, `kept` are the valid events, and `files` says of which source each file is (all are of one, where it is left
    out). A refused row whose id its source has kept carries `duplicate_event_id` beside its other reasons; where one of
    its own load was kept, it does already.
    """
    duplicate = Reason.DUPLICATE_EVENT_ID.value
    return f"""
with candidates as (
  select event_date, file_id, line_number, event_id, event_time, feature, reasons, raw_row from {refused}
  union all
  select event_date, file_id, line_number, event_id, event_time, feature, null, {AS_EVENT_JSON} from {copies}
),
kept_ids as (
  select distinct event_date, event_id, source from {kept} left join {files} using (file_id)
  where (event_date, event_id) in (select event_date, event_id from candidates)
)
select candidates.event_date, candidates.file_id, line_number, candidates.event_id, event_time, feature,
  case when kept_ids.event_id is null or list_contains(reasons, '{duplicate}') then reasons
    else list_append(coalesce(reasons, cast([] as varchar[])), '{duplicate}') end as reasons,
  raw_row
from candidates left join {files} as files on files.file_id = candidates.file_id left join kept_ids
  on kept_ids.event_date = candidates.event_date and kept_ids.event_id = candidates.event_id
  and kept_ids.source is not distinct from files.source
order by candidates.event_date, candidates.file_id, line_number
"""


def user_feature_days_sql(events: str) -> str:
    """The rows of core.user_feature_days from a relation of valid events."""
    return f"""
select event_date, feature, user_id, count(*) as events,
  count(case when status = 'error' then 1 end) as errors,
  count(case when status = 'crash' then 1 end) as crashes
from {events} where user_id is not null
group by event_date, feature, user_id
"""


def fact_feature_metrics_sql(events: str, user_days: str, descriptions: str, engine: Engine = "duckdb") -> str:
    """The rows of product.fact_feature_metrics; `$apdex_threshold_ms` is T for features that state none.

    `events` and `user_days` are relations of the same days; `descriptions` has `feature` and `apdex_threshold_ms`.
    """
    default_ms = spelled("$apdex_threshold_ms", engine)
    timed = f"""
(select events.*, coalesce(descriptions.apdex_threshold_ms, {default_ms}) as apdex_threshold_ms
 from {events} as events left join {descriptions} as descriptions using (feature))"""
    return f"""
with metrics as ({facts_sql(timed, user_days, ["event_date", "feature"], engine)}),
everyone as (
  select event_date, nullif(count(distinct user_id), 0) as all_users from {user_days} group by event_date
)
select metrics.*, all_users, {ADOPTION_RATE.expression} as {ADOPTION_RATE.name}
from metrics left join everyone using (event_date)
order by event_date, feature
"""
