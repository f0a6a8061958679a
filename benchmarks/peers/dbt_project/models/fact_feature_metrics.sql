with thresholds as (
  select trim(feature) as feature, apdex_threshold_ms
  from read_csv('{{ env_var("PEER_METADATA") }}', types = {'apdex_threshold_ms': 'DOUBLE'})
), timed as (
  select e.*, coalesce(apdex_threshold_ms, 500) as t
  from {{ ref('valid_events') }} as e left join thresholds using (feature)
), measured as (
  select event_date, feature, count(*) as events,
    nullif(count(distinct user_id), 0) as users, nullif(count(distinct session_id), 0) as sessions,
    count(*) filter (status = 'error') as errors, count(*) filter (status = 'crash') as crashes,
    case when count(user_id) > 0 then count(distinct user_id) filter (status = 'crash') end as crashed_users,
    case when count(session_id) > 0 then count(distinct session_id) filter (status = 'crash') end as crashed_sessions,
    count(latency_ms) as latency_count, sum(latency_ms) as latency_sum_ms,
    quantile_cont(latency_ms, [0.5, 0.95, 0.99]) as quantiles,
    count(*) filter (status = 'ok' and latency_ms <= t) as apdex_satisfied,
    count(*) filter (status = 'ok' and latency_ms > t and latency_ms <= 4 * t) as apdex_tolerating,
    count(*) filter (latency_ms is not null or status <> 'ok') as apdex_count,
    count(feedback_score) as feedback_count, sum(feedback_score) as feedback_sum
  from timed group by all
), everyone as (
  select event_date, count(distinct user_id) as all_users from {{ ref('user_feature_days') }} group by all
)
select measured.* exclude (quantiles), all_users,
  errors / events as error_rate, crashes / events as crash_rate,
  1 - crashed_sessions / sessions as crash_free_sessions, 1 - crashed_users / users as crash_free_users,
  quantiles[1] as latency_p50_ms, quantiles[2] as latency_p95_ms, quantiles[3] as latency_p99_ms,
  latency_sum_ms / latency_count as latency_mean_ms,
  (apdex_satisfied + apdex_tolerating / 2) / apdex_count as apdex,
  feedback_sum / feedback_count as feedback_mean, users / all_users as adoption_rate
from measured left join everyone using (event_date)
