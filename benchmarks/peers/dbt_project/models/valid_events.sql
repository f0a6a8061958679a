select * exclude (reasons, raw_row) from {{ ref('staged_events') }}
where reasons is null and row_number not in (select row_number from {{ ref('copies') }})
