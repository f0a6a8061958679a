{{ config(post_hook=[
  "create or replace table malformed_rows as select file_path as file, line as row_number, any_value(csv_line) as line
   from reject_errors join (select distinct file_id, file_path from reject_scans) using (file_id) group by all"
]) }}
{% set columns = ['event_id', 'event_time', 'user_id', 'session_id', 'feature', 'event_name', 'latency_ms', 'status',
  'feedback_score', 'device_type', 'platform', 'app_version', 'country', 'properties'] %}
{% set blanks = "' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13) || chr(160) || chr(12288) || chr(65279)" %}
with read as (
  select *, row_number() over () as row_number
  from read_csv('{{ env_var("PEER_LOGS") }}/*.csv', auto_detect = false, header = true, delim = ',', quote = '"',
    escape = '"', new_line = '\n', filename = true, store_rejects = true, rejects_limit = 0,
    columns = { {%- for c in columns %}'{{ c }}': 'VARCHAR'{{ ', ' if not loop.last }}{% endfor -%} })
), trimmed as (
  select filename as file, row_number,
    {% for c in columns %}nullif(trim({{ c }}, {{ blanks }}), '') as {{ c }},
    {% endfor %}
    {% for c in columns %}coalesce(contains({{ c }}, chr(0)), false){{ ' or ' if not loop.last }}{% endfor %} as has_nul,
    read as raw
  from read
), typed as (
  select *,
    case when event_time like '____-__-__T__:__:%Z' then try_cast(event_time as timestamp)
      when regexp_full_match(event_time, '[0-9]{1,17}') then make_timestamp(event_time::bigint *
        case when length(event_time) <= 11 then 1000000 when length(event_time) <= 14 then 1000 else 1 end)
      when regexp_full_match(event_time,
        '\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)? ?([Zz]|[+-](0\d|1[0-8])(:?[0-5]\d)?)')
      then make_timestamp(epoch_us(try_cast(replace(upper(event_time), ',', '.') as timestamptz))) end as v_time,
    case when not contains(latency_ms, '_') then try_cast(latency_ms as double) end as v_latency,
    case when not contains(feedback_score, '_') then try_cast(feedback_score as double) end as v_feedback,
    case when not coalesce(starts_with(properties, '{') and json_valid(properties), false) then false
      else not regexp_matches(regexp_replace(properties, '"(\\.|[^"\\])*"', '""', 'g'), '(?i)nan|inf|,\s*[}\]]')
      end as is_json,
    coalesce(event_id = 'event_id' and event_time = 'event_time' and feature = 'feature' and status = 'status', false)
      as is_header
  from trimmed
), judged as (
  select *, case when is_header then ['repeated_header'] else list_filter([
      case when has_nul then 'nul_byte' end,
      case when event_time is null then 'missing_event_time' end,
      case when event_time is not null and v_time is null then 'invalid_event_time' end,
      case when v_time < timestamp '2000-01-01' then 'event_time_too_early' end,
      case when v_time > timestamp '{{ env_var("PEER_LATEST") }}' then 'event_time_in_future' end,
      case when feature is null then 'missing_feature' end,
      case when status is null then 'missing_status' end,
      case when status not in ('ok', 'error', 'crash') then 'invalid_status' end,
      case when latency_ms is not null and v_latency is null then 'invalid_latency' end,
      case when not isfinite(v_latency) then 'non_finite_latency' end,
      case when v_latency < 0 and isfinite(v_latency) then 'negative_latency' end,
      case when feedback_score is not null and not coalesce(isfinite(v_feedback), false) then 'invalid_feedback_score' end,
      case when isfinite(v_feedback) and (v_feedback < 1 or v_feedback > 5) then 'feedback_score_out_of_range' end,
      case when properties is not null and not is_json then 'invalid_properties' end
    ], lambda reason: reason is not null) end as reasons
  from typed
)
select case when v_time between timestamp '2000-01-01' and timestamp '{{ env_var("PEER_LATEST") }}' then v_time::date end
    as event_date,
  file, row_number, coalesce(event_id, file || '-' || row_number) as event_id, v_time as event_time, feature,
  coalesce(event_name, 'use') as event_name, user_id, session_id, status, v_latency as latency_ms,
  v_feedback as feedback_score, device_type, platform, app_version, country, properties,
  case when len(reasons) > 0 then reasons end as reasons,
  case when len(reasons) > 0 then to_json(raw)::varchar end as raw_row
from judged
