{{ config(materialized='view') }}
select event_date, user_id, session_id, feature, event_name, event_time, status, platform, device_type, country,
  app_version, feedback_score
from read_parquet('{{ env_var("PEER_EVENTS") }}') where user_id is not null
