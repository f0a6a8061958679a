select event_date, feature, user_id, count(*) as events, count(*) filter (status = 'error') as errors,
  count(*) filter (status = 'crash') as crashes
from {{ ref('valid_events') }} where user_id is not null group by all
