with suspected as (
  select hash(event_date, event_id) as id_hash from {{ ref('staged_events') }}
  where reasons is null group by id_hash having count(*) > 1
)
select file, row_number from (
  select file, row_number, row_number() over (partition by event_date, event_id order by row_number) as copy_number
  from {{ ref('staged_events') }} semi join suspected on hash(event_date, event_id) = id_hash where reasons is null
) where copy_number > 1
