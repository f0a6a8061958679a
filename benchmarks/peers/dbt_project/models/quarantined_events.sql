with refused as (
  select event_date, file, row_number, event_id, event_time, feature, reasons, raw_row
  from {{ ref('staged_events') }} where reasons is not null
  union all
  select event_date, file, row_number, event_id, event_time, feature, cast([] as varchar[]), to_json(e)::varchar
  from {{ ref('staged_events') }} as e
  where reasons is null and row_number in (select row_number from {{ ref('copies') }})
), kept as (
  select distinct event_date, event_id from {{ ref('valid_events') }}
  where event_id in (select event_id from refused)
), first_dates as (
  select file, min(event_date) as first_date from {{ ref('valid_events') }} group by file
), everything as (
  select r.* replace (case when k.event_id is null then reasons else list_append(reasons, 'duplicate_event_id') end as reasons)
  from refused as r left join kept as k on r.event_date = k.event_date and r.event_id = k.event_id
  union all by name
  select file, row_number, ['malformed_row'] as reasons, json_object('line', line)::varchar as raw_row from malformed_rows
)
select everything.* replace (coalesce(event_date, first_date) as event_date)
from everything left join first_dates using (file)
