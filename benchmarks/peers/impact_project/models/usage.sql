select event_date, feature, user_id, sum(events) as events
from read_parquet('{{ env_var("PEER_USES") }}')
anti join (select event_date, user_id from {{ ref('user_days') }} where is_automated) using (event_date, user_id)
group by all
union all
select event_date, '*', user_id, events from {{ ref('user_days') }} where not is_automated
