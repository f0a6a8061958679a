"""Snapshots for tests of the dashboard: plausible, the same on every run, made from the table contracts.

Only what the pages read is filled. The numbers are drawn from hashes, not from events, so that 500 features take
seconds; nothing here says how the real tables are computed.
"""

# ruff: noqa: E501  (SQL that is read as a whole)
from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb

from quality_assets.contracts import drift, events, facts_with_risk, incidents, ml, monitoring, product, raw
from quality_assets.contracts.monitoring import RUN_REPORT
from quality_assets.contracts.ops import PARTITION_STATE, PUBLICATIONS
from quality_assets.contracts.table import Table
from quality_assets.stores.snapshots import Snapshot, publish, record_attempt

THROUGH = date(2026, 11, 19)
DAYS = 120
PUBLISHED_AT = datetime(2026, 11, 20, 6, 4)
RUN_ID = "4f1c0f0e-6d0b-4a53-9d0f-8a6d2f6b7c11"
AWKWARD = 'Save, "share" & <print>/now'

NAMES = ("Search", "One-tap pay", "Live comments", "Café finder", AWKWARD)
TEAMS = (
    ("Discovery", "ines.moreau@example.com"),
    ("Payments", "nadia.kowalski@example.com"),
    ("Messaging", "jonas.weber@example.com"),
    ("Places", "elif.demir@example.com"),
    ("Growth", "camila.torres@example.com"),
)
LAKE_TABLES = (events.VALID_EVENTS, events.QUARANTINED_EVENTS, events.USER_FEATURE_DAYS)
TABLES: tuple[Table, ...] = (
    raw.LOG_FILES,
    product.DIM_FEATURE_METADATA,
    product.FACT_FEATURE_METRICS,
    product.FEATURE_DAILY_TRENDS,
    incidents.INCIDENTS,
    incidents.INCIDENT_CAUSES,
    *ml.TABLES,
    *facts_with_risk.TABLES,
    monitoring.CHECK_RESULTS,
    monitoring.ALERTS,
    monitoring.ALERT_HISTORY,
    PUBLICATIONS,
    PARTITION_STATE,
    drift.BASELINE_STATS,
    drift.DATA_DRIFT,
    drift.DRIFT_DISTRIBUTIONS,
    drift.DRIFT_POWER,
    RUN_REPORT,
)

ASSET_GRAPH = "ops.asset_graph"
ASSET_RUNS = "ops.asset_runs"
ASSETS: dict[str, tuple[str, ...]] = {
    "raw.raw_logs": (),
    "raw.log_files": ("raw.raw_logs",),
    "core.valid_events": ("raw.raw_logs",),
    "core.quarantined_events": ("raw.raw_logs",),
    "core.user_feature_days": ("core.valid_events",),
    "product.dim_feature_metadata": ("core.valid_events",),
    "product.fact_feature_metrics": ("core.valid_events", "product.dim_feature_metadata"),
    "product.feature_daily_trends": ("product.fact_feature_metrics",),
    "product.incidents": ("product.feature_daily_trends", "core.user_feature_days"),
    "ml.degradation_labels": ("product.feature_daily_trends",),
    "ml.risk_training_set": ("ml.degradation_labels",),
    "ml.risk_model": ("ml.risk_training_set",),
    "ml.risk_scores": ("ml.risk_model", "ml.risk_training_set"),
    "ml.score_ledger": ("ml.risk_scores", "ml.degradation_labels"),
    "monitoring.data_drift": ("core.valid_events", "ml.risk_scores"),
    "monitoring.run_report": ("monitoring.data_drift", "product.incidents"),
    "publish.snapshot": ("monitoring.run_report", "ml.score_ledger", "core.quarantined_events"),
}
_DIMENSIONS = {
    "rows_add_up": "consistency",
    "key_is_unique": "uniqueness",
    "columns_keep_contract": "validity",
    "required_are_present": "completeness",
    "volume_is_usual": "volume",
    "data_is_fresh": "timeliness",
}


@dataclass(frozen=True)
class Plan:
    """What a snapshot holds. `has_model` and `has_checks` false leave those tables empty; `names` stand for the features'."""

    features: int = 5
    names: tuple[str, ...] = ()
    has_model: bool = True
    has_checks: bool = True
    has_incidents: bool = True
    version: str = "20261120T060400"
    published_at: datetime = PUBLISHED_AT


def feature_names(count: int) -> list[str]:
    """The awkward few first, then as many plain ones as are asked for."""
    return [*NAMES, *(f"Feature {index:03d}" for index in range(len(NAMES), count))][:count]


def build(data_dir: Path, plan: Plan | None = None) -> Snapshot:
    """Write a warehouse and a lake under `data_dir` as `plan` says, and publish them."""
    plan = plan or Plan()
    data_dir.mkdir(parents=True, exist_ok=True)
    warehouse = data_dir / "warehouse.duckdb"
    warehouse.unlink(missing_ok=True)
    with duckdb.connect(str(warehouse)) as connection:
        _create(connection)
        _features(connection, plan)
        _trends(connection)
        if plan.has_incidents:
            _incidents(connection)
        if plan.has_model:
            _model(connection)
            _drift(connection)
        if plan.has_checks:
            _checks(connection)
        _operations(connection, plan)
        lake_files = _lake(connection, data_dir)
        connection.execute("checkpoint")
    published = data_dir / "published"
    snapshot = Snapshot(plan.version, plan.published_at, THROUGH, RUN_ID, "f" * 16, published / plan.version)
    publish(snapshot, warehouse=warehouse, data_dir=data_dir, lake_files=lake_files, keep=3)
    record_attempt(published, "published", attempted_at=plan.published_at, run_id=RUN_ID)
    return snapshot


def refuse(data_dir: Path, reason: str) -> None:
    """Record that the publication after the snapshot's was refused."""
    attempted_at = PUBLISHED_AT + timedelta(days=1)
    record_attempt(data_dir / "published", "refused", attempted_at=attempted_at, run_id=RUN_ID, reasons=[reason])


def _create(connection: duckdb.DuckDBPyConnection) -> None:
    for schema in ("raw", "core", "product", "ml", "monitoring", "ops"):
        connection.execute(f"create schema if not exists {schema}")
    for table in TABLES:
        connection.execute(table.create_sql())
    connection.execute(
        f"create table {ASSET_GRAPH} (asset varchar, schema varchar, kinds varchar[], description varchar,"
        " owner varchar, upstream varchar[], is_partitioned boolean)"
    )
    connection.execute(
        f"create table {ASSET_RUNS} (asset varchar, run_id varchar, partition_key varchar, started_at timestamp,"
        " finished_at timestamp, duration_s double, row_count bigint, status varchar)"
    )
    # Uniform in 0–1 and roughly normal, from text: the same on every machine.
    connection.execute("create macro u(t) as (hash(t) % 1000003) / 1000003.0")
    connection.execute("create macro g(t) as (u(t || 'a') + u(t || 'b') + u(t || 'c') + u(t || 'd') - 2) * 1.73")


_DESCRIBED = (
    "feature", "display_name", "owner", "team", "lifecycle_stage", "tier", "launched_on", "slo_latency_p95_ms",
    "slo_crash_rate", "slo_error_rate", "apdex_threshold_ms", "is_described", "first_seen_date", "last_seen_date",
)  # fmt: skip


def _features(connection: duckdb.DuckDBPyConnection, plan: Plan) -> None:
    stages = ("experimental", "beta", "ga", "deprecated")
    rows = []
    for index, name in enumerate(plan.names or feature_names(plan.features)):
        team, owner = TEAMS[index % len(TEAMS)]
        is_described = index % 17 != 16
        rows.append(
            [
                name, name if is_described else None, owner if is_described else None, team if is_described else None,
                stages[(index + 2) % 4] if is_described else None, index % 3 + 1 if is_described else None,
                date(2025, 5, 1) if is_described else None, 420.0, 0.0045, 0.02, 500.0, is_described,
                THROUGH - timedelta(days=DAYS - 1), THROUGH,
            ]
        )  # fmt: skip
    marks = ", ".join("?" * len(_DESCRIBED))
    connection.executemany(f"insert into product.dim_feature_metadata ({', '.join(_DESCRIBED)}) values ({marks})", rows)


_FAULTS = """
create temp table fault as
select feature,
  case when index % 11 = 2 then 'step' when index % 11 = 1 then 'creep' when index % 23 = 8 then 'dead' end as kind,
  case when index % 11 = 2 then 5 when index % 11 = 1 then 12 when index % 23 = 8 then 2 end as days
from (select feature, row_number() over (order by rowid) - 1 as index from product.dim_feature_metadata)
"""

_TRENDS = """
create temp table wave as
with d as (
  select feature, row_number() over (order by rowid) as i, cast($through as date) - cast(n as integer) as event_date, n
  from product.dim_feature_metadata, range($days) as t(n)
),
m(metric, level, noise, effect) as (values
  ('events', 24000, .04, 0), ('users', 9000, .04, 0), ('sessions', 12000, .04, 0),
  ('error_rate', .011, .07, .4), ('crash_rate', .0025, .1, 2.4), ('crash_free_sessions', .995, .0006, -.006),
  ('crash_free_users', .991, .001, -.01), ('latency_p50_ms', 120, .03, .3), ('latency_p95_ms', 380, .04, .5),
  ('latency_p99_ms', 700, .06, .6), ('apdex', .93, .006, -.12), ('feedback_mean', 4.1, .015, -.08),
  ('adoption_rate', .3, .04, 0))
select d.feature, d.event_date, m.metric, m.noise,
  m.level * (case when m.metric in ('events', 'users', 'sessions', 'latency_p50_ms', 'latency_p95_ms',
    'latency_p99_ms', 'crash_rate', 'adoption_rate') then .3 + 1.4 * u(d.feature || m.metric) else 1 end)
    * (1 + case when m.metric in ('events', 'users', 'sessions') and dayofweek(d.event_date) in (0, 6) then .18 else 0 end)
    as expected,
  1 + m.noise * g(d.feature || m.metric || d.event_date)
    + case when f.kind = 'step' and d.n < f.days then m.effect
      when f.kind = 'creep' and d.n < f.days then m.effect * (f.days - d.n) / f.days else 0 end as factor,
  coalesce(f.kind = 'dead' and d.n < f.days, false) as is_silent
from d cross join m join fault f using (feature)
"""

_TRENDS_TABLE = """
insert into product.feature_daily_trends
select event_date, feature, metric,
  case when is_silent then case when metric = 'events' then 0 end
    else least(expected * factor, case when metric in ('crash_free_sessions', 'crash_free_users', 'apdex') then 1 else 1e12 end) end as value,
  expected, expected, expected, expected * (1 - 2.6 * noise), expected * (1 + 2.6 * noise), factor - 1, 28,
  factor not between 1 - 2.6 * noise and 1 + 2.6 * noise,
  case when metric in ('error_rate', 'crash_rate', 'latency_p50_ms', 'latency_p95_ms', 'latency_p99_ms')
    then factor > 1 + 2.6 * noise else factor < 1 - 2.6 * noise end
from wave
"""

_FACT = """
insert into product.fact_feature_metrics by name
with p as (pivot (select event_date, feature, metric, value from product.feature_daily_trends where value is not null)
  on metric using first(value))
select event_date, feature, cast(events as bigint) as events, cast(users as bigint) as users,
  cast(sessions as bigint) as sessions, cast(events * error_rate as bigint) as errors,
  cast(events * crash_rate as bigint) as crashes, cast(users * (1 - crash_free_users) as bigint) as crashed_users,
  cast(sessions * (1 - crash_free_sessions) as bigint) as crashed_sessions, cast(events as bigint) as latency_count,
  events * 180.0 as latency_sum_ms, cast(events * .9 as bigint) as apdex_satisfied, 0 as apdex_tolerating,
  cast(events as bigint) as apdex_count, cast(events * .01 as bigint) as feedback_count,
  events * .01 * feedback_mean as feedback_sum, error_rate, crash_rate, crash_free_sessions, crash_free_users,
  latency_p50_ms, latency_p95_ms, latency_p99_ms, 180.0 as latency_mean_ms, apdex, feedback_mean, adoption_rate,
  cast(users / adoption_rate as bigint) as all_users
from p where events > 0
"""


def _trends(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(_FAULTS)
    connection.execute(_TRENDS, {"through": THROUGH, "days": DAYS})
    connection.execute(_TRENDS_TABLE)
    connection.execute(_FACT)


_INCIDENTS = """
insert into product.incidents (
  incident_id, feature, event_name, metric, metrics, kind, scope, start_date, end_date, detected_on, unit,
  baseline_value, current_value, peak_value, size, change, score, affected_users, events, excess, slice_status,
  slice_dimensions, slice_values, slice_share, slice_traffic_share, severity, sentence, platform
)
select 'inc-' || hash(feature), feature, null,
  case kind when 'step' then 'crash_rate' when 'creep' then 'latency_p95_ms' else 'events' end,
  case kind when 'step' then ['crash_rate', 'error_rate'] when 'creep' then ['latency_p95_ms'] else ['events'] end,
  kind, 'feature', cast($through as date) - cast(days - 1 as integer), null, cast($through as date) - cast(days - 2 as integer),
  case kind when 'step' then 'fraction' when 'creep' then 'ms' else 'count' end,
  case kind when 'step' then .0025 when 'creep' then 380 else 24000 end,
  case kind when 'step' then .0085 when 'creep' then 570 else 0 end,
  case kind when 'step' then .0085 when 'creep' then 570 else 0 end,
  case kind when 'step' then .006 when 'creep' then 190 else -24000 end,
  case kind when 'step' then 2.4 when 'creep' then .5 else -1 end, 9.5,
  case kind when 'step' then 4200 when 'creep' then 8800 else 9000 end, 120000,
  case kind when 'step' then 720 when 'dead' then 48000 end,
  case kind when 'step' then 'found' when 'creep' then 'everything' else 'unknown' end,
  case kind when 'step' then ['platform', 'app_version'] else [] end,
  case kind when 'step' then ['Android', '8.14.0'] else [] end,
  case kind when 'step' then .93 end, case kind when 'step' then .21 end,
  case kind when 'step' then 'critical' when 'creep' then 'medium' else 'high' end,
  case kind when 'step' then 'Crash rate rose from 0.25 % to 0.85 %, on Android 8.14.0 alone.'
    when 'creep' then 'Latency p95 has been growing from 380 ms to 570 ms, everywhere alike.'
    else 'No events at all, where 24 000 a day are usual.' end, null
from fault where kind is not null
union all
select 'old-' || hash(feature), feature, null, 'error_rate', ['error_rate'], 'spike', 'feature',
  cast($through as date) - 20, cast($through as date) - 19, cast($through as date) - 20, 'fraction', .011, .03, .03, .019, 1.7, 6.2, 310, 24000,
  480, 'everything', [], [], null, null, 'low', 'Error rate stood at 3.0 % for two days, against 1.1 %.', null
from fault where feature in ('Search', 'Live comments')
"""


def _incidents(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(_INCIDENTS, {"through": THROUGH})
    # All of them are real, as large today as ever, and break no objective.
    connection.execute(
        "update product.incidents set worst_date = start_date, current_size = size, real_change = change,"
        " users_today = affected_users, is_objective_breach = false"
    )
    connection.execute("update product.incidents set end_kind = if(end_date is null, 'open', 'recovered')")
    connection.execute(
        "update product.incidents set verdict = 'partly', real_share = .6,"
        " verdict_sentence = 'Partly real: 60 % of it (40 to 80 %) remains; other users (40 %) made the rest.'"
        " where kind = 'creep' and end_date is null"
    )
    connection.execute(
        "insert into product.incident_causes select incident_id, feature, part, metric, unit, ms, ms - 38,"
        " ms + 38, ms / 190, 380, 570, 4000 from product.incidents,"
        " (values ('users', 76.0), ('real', 114.0)) as parts(part, ms) where verdict = 'partly'"
    )


_REASONS = json.dumps(
    [
        {"input": "latency_p95_excess", "words": "p95 latency is above its usual level", "value": 1.4, "size": 18.2},
        {"input": "crash_trend", "words": "crash rate has been rising for a week", "value": 0.6, "size": 9.4},
        {"input": "days_since_release", "words": "no release for three weeks", "value": 21, "size": -3.1},
    ]
)

_SCORES = """
insert into ml.risk_scores
with p as (
  select t.event_date, t.feature, f.kind is not null and datediff('day', t.event_date, cast($through as date)) < f.days as is_bad,
    least(.995, greatest(.004, case when f.kind is not null and datediff('day', t.event_date, cast($through as date)) < f.days
      then .62 + .37 * u(t.feature) else .02 + .4 * pow(u(t.feature || t.event_date), 2) end)) as p, t.value
  from product.feature_daily_trends t join fault f using (feature)
  where t.metric = 'users' and t.event_date > cast($through as date) - 60
)
select event_date, feature, '12', 7, 'model', p, greatest(0, p - .08), least(1, p + .06), case when not is_bad then p / 3 end, is_bad,
  row_number() over (partition by event_date order by p * coalesce(value, 0) desc), p * value, $reasons, null,
  event_date < cast($through as date) - 30, event_date - 1
from p
"""

_LEDGER = """
insert into ml.score_ledger
select event_date, feature, model_version, horizon_days, score_kind, risk_probability, onset_probability, rank,
  event_date + 7, event_date + 7 <= cast($through as date), hit, null, case when hit then 3 end, case when hit then 'latency' else '' end,
  pow(risk_probability - cast(hit as integer), 2)
from (select *, case when event_date + 7 <= cast($through as date) then u(feature || event_date || 'y') < risk_probability end as hit from ml.risk_scores)
"""

_WITH_RISK = """
insert into product.feature_metrics_with_risk by name
select facts.*, risk_probability, low as risk_low, high as risk_high, rank as risk_rank, score_kind, model_version,
  is_backfilled, label_any, days_to_degradation
from product.fact_feature_metrics as facts
left join ml.risk_scores using (event_date, feature)
left join (select event_date, feature, label_any, days_to_degradation from ml.score_ledger) using (event_date, feature)
"""

_METRIC_ROWS = """
insert into ml.model_metrics
select 'feature_risk', '12', cast($through as date) - 7, target, model, role, metric,
  case metric when 'pr_auc' then pr when 'pr_auc_lift' then pr / .18 when 'roc_auc' then .5 + pr / 2 when 'brier' then .16 - pr / 8
    when 'brier_skill' then pr - .2 when 'ece' then .03 when 'precision_at_k' then pr + .05 when 'recall_at_k' then .4
    when 'lead_days_median' then 3 else .5 end as value,
  value * .9, value * 1.1, 4200, 756, .18, 3, 'time', 'all'
from (values ('random_forest', 'champion', .571), ('logistic_regression', 'candidate', .552), ('hist_gradient_boosting', 'candidate', .548),
    ('persistence', 'baseline', .33), ('feature_base_rate', 'baseline', .24), ('ewma_chart', 'baseline', .39)) m(model, role, pr),
  (values ('any'), ('onset')) t(target),
  (values ('pr_auc'), ('pr_auc_lift'), ('roc_auc'), ('brier'), ('brier_skill'), ('ece'), ('precision_at_k'), ('recall_at_k'),
    ('lead_days_median'), ('warned_share')) k(metric)
"""

_MODEL = """
insert into ml.feature_importance
select 'feature_risk', '12', 'any', name, description, .12 / i, .09 / i, .15 / i, i, 'random_forest', .12 / i, .09 / i, .15 / i, i from (values
  ('latency_p95_excess', 'p95 latency above its usual level', 1), ('crash_trend', 'Slope of the crash rate over a week', 2),
  ('error_rate_excess', 'Error rate above its usual level', 3), ('days_since_release', 'Days since the last release', 4),
  ('weekday', 'Day of the week', 5)) t(name, description, i);
insert into ml.calibration
select 'feature_risk', '12', 'any', n, n / 10.0 - .05, least(1, n / 10.0 - .05 + .03 * g('c' || n)), greatest(0, n / 10.0 - .11), least(1, n / 10.0 + .01), 420 from range(1, 11) t(n);
insert into ml.model_versions values
  ('feature_risk', '12', timestamp '2026-11-13 06:00', date '2026-11-12', 7, 'random_forest', false, true, 'd1', 'c1', 'i1', 'ab12', 'champion',
   timestamp '2026-11-13 06:01', null, 'Beats the best baseline (EWMA chart) by 46 % in PR-AUC and is calibrated.', .571, .39),
  ('feature_risk', '11', timestamp '2026-11-06 06:00', date '2026-11-05', 7, 'logistic_regression', false, false, 'd0', 'c1', 'i1', 'ab11', 'retired',
   timestamp '2026-11-06 06:01', timestamp '2026-11-13 06:01', 'First model to beat every baseline.', .55, .38),
  ('feature_risk', '10', timestamp '2026-10-30 06:00', date '2026-10-29', 7, 'ewma_chart', true, false, 'd9', 'c0', 'i1', 'ab10', null,
   null, null, 'No candidate beat the EWMA chart, so the chart scores.', .38, .38);
"""


def _model(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(_SCORES, {"through": THROUGH, "reasons": _REASONS})
    connection.execute(_LEDGER, {"through": THROUGH})
    connection.execute(_WITH_RISK)
    connection.execute(_METRIC_ROWS, {"through": THROUGH})
    connection.execute(_MODEL)


_DRIFT = """
insert into monitoring.data_drift
with x as (
  select kind, feature, name, statistic, event_date, u(feature || name || event_date) as r, effect,
    row_number() over (partition by event_date order by effect desc nulls last, name) as rank
  from (select unnest(generate_series(cast($through as date) - 27, cast($through as date), interval 1 day))::date as event_date),
  (values ('data', '', 'platform', 'total_variation', null), ('data', 'Search', 'latency_p95_excess', 'w1', .041),
    ('data', 'One-tap pay', 'latency_p95_excess', 'w1', .022), ('data', 'Search', 'crash_trend', 'binomial_z', .012),
    ('data', 'Live comments', 'error_rate_excess', 'binomial_z', .003), ('data', '', 'latency_ms', 'w1', null),
    ('prediction', '', 'risk_probability', 'w1', null), ('performance', '', 'brier', 'w1', null)) t(kind, feature, name, statistic, effect)
)
select event_date, kind, feature, name, statistic, .02 + .03 * r + case when rank = 1 then .09 else 0 end, .06, .02, .008,
  case when rank = 1 then .0004 else .4 end, case when rank = 1 then .003 else .6 end, rank = 1, .31, .31 + case when rank = 1 then .12 else .01 * r end,
  300, 40, 28, 1, effect, rank, case when kind = 'performance' then 'unknown' when rank = 1 then 'drifted' else 'ok' end,
  case when kind = 'performance' then 'No matured labels yet: unknown.' when rank = 1 then 'Moved beyond chance, and the scores move with it by 4 points on average.'
    else 'Within what days differ by anyway.' end
from x
"""


_DISTRIBUTIONS = """
insert into monitoring.drift_distributions
select 'data', '', 'platform', $through, bin, label, null, null, before, now
from (values (0, 'android', .5, .38), (1, 'ios', .35, .36), (2, 'web <b>', .15, .26)) t(bin, label, before, now)
union all
select 'data', feature, name, $through, bin, null, case when bin > 0 then 80 * exp(bin / 5) end,
  case when bin < 19 then 80 * exp((bin + 1) / 5) end, w / sum(w) over (partition by feature, name),
  v / sum(v) over (partition by feature, name)
from (
  select feature, name, bin, exp(-pow(bin - 8, 2) / 18) as w, exp(-pow(bin - 10, 2) / 24) as v
  from (values ('', 'latency_ms'), ('Search', 'latency_p95_excess')) t(feature, name), range(20) r(bin))
"""


def _drift(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(_DRIFT, {"through": THROUGH})
    connection.execute(_DISTRIBUTIONS, {"through": THROUGH})
    connection.execute(
        "insert into monitoring.baseline_stats by name select feature, 'events' as metric, last_seen_date as as_of_date,"
        " first_seen_date as reference_from, 28 as days_observed, 'ok' as status, 'count' as unit,"
        " []::double[] as weekday_levels, case feature when 'One-tap pay' then 3 when 'Search' then 1 end as silent_days_to_tell"
        " from product.dim_feature_metadata"
    )
    connection.execute(
        "insert into monitoring.drift_power values ('w1', 'no change', 2000, .01, 400), ('w1', '+10 %', 2000, .82, 400),"
        " ('w1', '+20 %', 2000, 1, 400), ('binomial_z', 'twice the crash rate', 2000, .97, 400)"
    )


_CHECKS = """
insert into monitoring.check_results
with a as (select unnest($assets) as asset, unnest($partitioned) as is_partitioned),
c as (select unnest($names) as check_name, unnest($dimensions) as dimension),
d as (select cast($through as date) - cast(n as integer) as event_date, n from range(40) t(n)),
x as (
  select a.*, c.*, d.*, u(asset || check_name || event_date) as r,
    asset = 'core.valid_events' and check_name = 'columns_keep_contract' and n < 2 as is_failing,
    asset = 'core.quarantined_events' and check_name = 'volume_is_usual' and n < 3 as is_warning,
    asset = 'ml.risk_scores' and check_name = 'data_is_fresh' as is_unknown
  from a, c, d where is_partitioned or n < 8)
select case when n = 0 then $run else 'run-' || n end, cast(event_date as timestamp) + interval 30 hours, asset, check_name,
  case when is_partitioned then strftime(event_date, '%Y-%m-%d') else '' end, dimension,
  case when is_unknown then 'unknown' when is_failing or is_warning or (n > 0 and r > .985) then 'failed' else 'passed' end,
  case when check_name in ('volume_is_usual', 'data_is_fresh') then 'WARN' else 'ERROR' end,
  check_name in ('columns_keep_contract', 'rows_add_up') and asset like 'c%', case when is_failing then 412 else 0 end, 0,
  case when is_failing then 412 else 0 end,
  case when is_unknown then 'Could not run: no scores of the day yet.' when is_failing then '412 rows have a status that the contract does not know.'
    when is_warning then '970 rows were refused where 420 are usual.' else 'As it should be.' end,
  case when is_failing then '[{"event_id": "e-17", "status": "weird"}]' end
from x
"""


def _checks(connection: duckdb.DuckDBPyConnection) -> None:
    assets = [a for a in ASSETS if not a.startswith(("publish", "ml.risk_model", "monitoring"))]
    parameters = {
        "assets": assets,
        "partitioned": [_is_partitioned(a) for a in assets],
        "names": list(_DIMENSIONS),
        "dimensions": list(_DIMENSIONS.values()),
        "through": THROUGH,
        "run": RUN_ID,
    }
    connection.execute(_CHECKS, parameters)


def _is_partitioned(asset: str) -> bool:
    return asset not in ("raw.log_files", "product.dim_feature_metadata", "product.incidents", "ml.risk_model")


def _operations(connection: duckdb.DuckDBPyConnection, plan: Plan) -> None:
    for asset, upstream in ASSETS.items():
        schema = asset.split(".")[0]
        connection.execute(
            f"insert into {ASSET_GRAPH} values (?, ?, ['duckdb'], ?, 'team:data-quality', ?, ?)",
            [
                asset,
                schema,
                f"What {asset.split('.')[1].replace('_', ' ')} holds",
                list(upstream),
                _is_partitioned(asset),
            ],
        )
    connection.execute(
        f"insert into {ASSET_RUNS} select asset, case when n = 0 then '{RUN_ID}' else 'run-' || n end,"
        " case when is_partitioned then strftime(cast($d as date) - cast(n as integer), '%Y-%m-%d') else '' end,"
        " $at - to_days(cast(n as integer)), $at - to_days(cast(n as integer)) + interval 20 seconds,"
        " 2 + 20 * u(asset || n), cast(10000 * u(asset || n || 'r') as bigint),"
        f" case when asset = 'ml.risk_model' and n = 0 then 'failed' else 'success' end from {ASSET_GRAPH}, range(14) t(n)",
        {"d": THROUGH, "at": plan.published_at},
    )
    connection.execute(
        "insert into ops.partition_state select asset, cast($d as date) - cast(n as integer), 'fp',"
        " cast(20000 * (.9 + .2 * u(asset || n)) * case when asset = 'core.quarantined_events' then .03 else 1 end as bigint)"
        f" from {ASSET_GRAPH}, range(60) t(n) where is_partitioned",
        {"d": THROUGH},
    )
    connection.execute(
        "insert into ops.publications values (?, ?, ?, 'ffff', ?)", [plan.version, plan.published_at, RUN_ID, THROUGH]
    )
    report = {"headline": "All of 19 Nov came in; 412 rows broke the contract."}
    connection.execute(
        "insert into monitoring.run_report values (?, ?, ?, 'attention', ?, 250000, 249030, 970, 2, 1, 9, 1, 2, '12', ?)",
        [RUN_ID, plan.published_at, THROUGH, report["headline"], json.dumps(report)],
    )
    connection.execute(
        "insert into monitoring.alerts by name select 'a1' as alert_id, 'f1' as fingerprint, 'g1' as group_id,"
        " 'check' as kind, 'core.valid_events' as subject, 'columns_keep_contract' as check_name, '' as column_name,"
        " 'columns keep contract of core.valid_events' as title,"
        " '412 rows have an unknown status. Look at the source.' as message, '' as action, '' as owner,"
        " 'critical' as severity, 'open' as status, 1 as occurrences, $at as first_seen, $at as last_seen,"
        " 0 as reopened, '2026-11-19' as partition_key, $run_id as run_id",
        {"at": plan.published_at, "run_id": RUN_ID},
    )
    connection.execute(
        "insert into raw.log_files by name select 'file' || n as file_id, n + 1 as file_number, 'sha' || n as sha256,"
        " 'app/' || n || '.csv.gz' as path, 120000 as size_bytes, $at as arrived_at, 'loaded' as status,"
        " 'default' as source, 'csv' as format, 'gzip' as compression, 'utf-8' as encoding, 8000 as rows,"
        " 31 as rows_refused, cast($d as timestamp) as first_event_time,"
        " cast($d as timestamp) + interval 23 hours as last_event_time,"
        " cast($d as timestamp) + interval 1 day as last_day_ends_at, [cast($d as date)] as touched_dates,"
        " 'l1' as load_id from range(3) t(n)",
        {"d": THROUGH, "at": plan.published_at},
    )
    connection.execute(
        "insert into raw.log_files select * replace ('late' as file_id, 'shaL' as sha256, 'api/9.jsonl' as path, 9 as file_number,"
        " 'api_log' as source, last_event_time - interval 3 days as last_event_time) from raw.log_files where file_id = 'file0'"
    )
    connection.execute(
        "insert into raw.log_files select * replace ('bad' as file_id, 'shaB' as sha256, 'app/9.csv' as path, 10 as file_number,"
        " 'rejected' as status, 'It is not a table: no header.' as reason, 0 as rows, 0 as rows_refused) from raw.log_files where file_id = 'file0'"
    )


_EVENTS = """
select cast($through as date) - cast(d as integer) as event_date, 'file0' as file_id, n + 1 as line_number,
  'e-' || d || '-' || n || '-' || i as event_id, cast(event_date as timestamp) + to_seconds(cast(86400 * u('t' || d || n) as bigint)) as event_time,
  feature, 'use' as event_name, 'user' || cast(600 * u('u' || d || n || i) as integer) as user_id, 's' || d || n as session_id,
  case when u('c' || d || n || i) < case when feature = 'Live comments' and platform = 'Android' and d < 5 then .06 else .006 end then 'crash'
    when u('e' || d || n || i) < .012 then 'error' else 'ok' end as status,
  exp(5 + .5 * g('l' || d || n || i)) as latency_ms, case when n % 40 = 0 then 4.0 end as feedback_score, 'phone' as device_type,
  platform,
  case when d < 6 and u('v' || d || n || i) < .8 then '8.14.0' else '8.13.2' end as app_version,
  case cast(floor(u('k' || d || n || i) * 4) as integer) when 0 then 'US' when 1 then 'IN' when 2 then 'DE' end as country,
  null::varchar as variant, null::varchar as properties, null::timestamp as received_at
from (select *, case cast(floor(u('p' || d || n || i) * 3) as integer) when 0 then 'iOS' when 1 then 'Android' else 'Web' end as platform
  from (select feature, row_number() over (order by rowid) as i from product.dim_feature_metadata limit 5), range(56) t(d), range(240) s(n))
"""

_QUARANTINE = """
select cast($through as date) - cast(d as integer) as event_date, 'file0' as file_id, 10000 + n as line_number, 'q' || n as event_id,
  null::timestamp as event_time, 'Search' as feature,
  case n % 4 when 0 then ['invalid_status'] when 1 then ['negative_latency', 'missing_feature'] when 2 then ['duplicate_event_id'] else ['malformed_row'] end as reasons,
  '{"feature": "Search", "status": "weird", "latency_ms": "-4"}' as raw_row
from range(28) t(d), range(cast(20 + 30 * u('q' || d) as integer)) s(n)
"""

_USER_DAYS = f"""
select event_date, feature, user_id, count(*) as events, count(*) filter (where status = 'error') as errors,
  count(*) filter (where status = 'crash') as crashes
from ({_EVENTS})
group by event_date, feature, user_id
"""


def _lake(connection: duckdb.DuckDBPyConnection, data_dir: Path) -> dict[Table, list[str]]:
    files: dict[Table, list[str]] = {}
    for table, sql in zip(LAKE_TABLES, (_EVENTS, _QUARANTINE, _USER_DAYS), strict=True):
        connection.execute(
            f"create or replace temp table staged as select {table.select_list()} from ({sql})", {"through": THROUGH}
        )
        folder = data_dir / "lake" / table.name
        for (day,) in connection.execute("select distinct event_date from staged").fetchall():
            target = folder / f"event_date={day}" / "part.parquet"
            target.parent.mkdir(parents=True, exist_ok=True)
            connection.execute(f"copy (select * from staged where event_date = '{day}') to '{target}' (format parquet)")
            files.setdefault(table, []).append(str(target.relative_to(data_dir)))
        connection.execute("drop table staged")
    return files
