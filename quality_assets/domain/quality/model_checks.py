"""The checks of incidents, labels, models, scores and drift, as queries; what a check is, is said in `check.py`.

Numbers that are false stop publication. That there is too little history, one outcome only, no model, or drift, is
said by a warning: the facts do not depend on it. Checks that need a computation are in `tables/checks/models.py`.
"""

from __future__ import annotations

from quality_assets.contracts.drift import (
    BASELINE_STATS,
    DATA_DRIFT,
    DRIFT_DISTRIBUTIONS,
    DRIFT_POWER,
    EVENT_SKETCH_COUNTS,
)
from quality_assets.contracts.events import VALID_EVENTS
from quality_assets.contracts.incidents import INCIDENTS
from quality_assets.contracts.ml import (
    CALIBRATION,
    DEGRADATION_LABELS,
    MODEL_METRICS,
    MODEL_VERSIONS,
    RISK_SCORES,
    SCORE_LEDGER,
)
from quality_assets.contracts.ops import PARTITION_STATE
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.domain.events.watched import WATCHED
from quality_assets.domain.quality.check import Check, subject_of
from quality_assets.domain.quality.check_queries import no_offenders, per_date_balance

MIN_POSITIVES = 30
MAX_CALIBRATION_ERROR = 0.05
MAX_UNKNOWN_SHARE = 0.5
# A false alarm a metric and fifty days, and a fifth more latency seen nearly always.
MAX_FALSE_ALARMS, MIN_POWER = 0.02, 0.95
TIME_TELLS = "Nothing is broken: more days of data, with incidents in them, change that by themselves."
# Some dozens of trials err by themselves: only what Wilson's 98 % interval excludes is told.
_SURE = 2.326

_LABELS = DEGRADATION_LABELS.qualified_name
_SCORES = RISK_SCORES.qualified_name
_LEDGER = SCORE_LEDGER.qualified_name
_VERSIONS = MODEL_VERSIONS.qualified_name
_DRIFT = DATA_DRIFT.qualified_name
_FACTS = FACT_FEATURE_METRICS.qualified_name
_IN_USE = f"(select model_version from {_VERSIONS} where alias = 'champion')"


def _one(is_passed: str, observed: str, threshold: str, source: str, examples: str = "null") -> str:
    """One row in all, from SQL expressions over `source`."""
    return f"""
select '' as partition_key, {is_passed} as is_passed, cast({observed} as double) as observed,
  cast({threshold} as double) as threshold, case when not ({is_passed}) then 1 else 0 end as unexpected_count,
  {examples} as examples
from {source}
"""


INCIDENT_CHECKS = (
    Check(
        subject_of(INCIDENTS),
        "dates_in_order",
        "Does every incident begin before it ends, and no later than it was found?",
        "consistency",
        no_offenders(
            f"select incident_id as example from {INCIDENTS.qualified_name}"
            " where start_date > detected_on or end_date < start_date"
            f" or detected_on > (select max(event_date) from {_FACTS})"
        ),
        is_blocking=True,
        finding="The dates of {observed} are in the wrong order",
        unit="incident",
    ),
    Check(
        subject_of(INCIDENTS),
        "nothing_badly_broken",
        "Is no incident of high or critical severity open?",
        "accuracy",
        no_offenders(
            f"select sentence as example from {INCIDENTS.qualified_name}"
            " where end_date is null and severity in ('high', 'critical')"
        ),
        severity="WARN",
        finding="{observed} of high or critical severity",
        unit="open incident",
        remedy="Begin with the page of the feature: where it happens, since when, who owns it.",
    ),
)

TOLD_ONE_BY_ONE = frozenset(
    {(INCIDENTS.qualified_name, "nothing_badly_broken"), (DATA_DRIFT.qualified_name, "nothing_drifted")}
)
"""Checks that count incidents, and what has drifted: of each of these its owner is told, with whom it hits."""

LABEL_CHECKS = (
    Check(
        subject_of(DEGRADATION_LABELS),
        "future_is_known",
        "Has only a day whose whole horizon has passed a label?",
        "accuracy",
        no_offenders(
            f"select event_date || ' ' || feature as example from {_LABELS}"
            f" where (label_any is not null or label_onset is not null) and event_date + horizon_days >"
            f" (select max(event_date) from {_FACTS})"
        ),
        is_blocking=True,
        finding="{observed} got a label before its days had passed",
        unit="feature-day",
    ),
    Check(
        subject_of(DEGRADATION_LABELS),
        "enough_to_learn",
        "Are there enough degraded and enough healthy feature-days to learn from?",
        "completeness",
        _one(
            f"least(bad, good) >= {MIN_POSITIVES}",
            "least(bad, good)",
            str(MIN_POSITIVES),
            "(select count(*) filter (where label_any) as bad, count(*) filter (where not label_any) as good"
            f" from {_LABELS})",
            "to_json([bad || ' degraded', good || ' healthy'])",
        ),
        severity="WARN",
        finding="Only {observed} of the rarer kind came, fewer than {threshold}",
        unit="feature-day",
        remedy=TIME_TELLS,
    ),
)

TRAINING_CHECKS = (
    Check(
        subject_of(MODEL_METRICS),
        "model_beats_baselines",
        "Does the model in use beat every baseline on days that it had not seen?",
        "accuracy",
        f"""
select '' as partition_key, not any_value(v.is_baseline) as is_passed,
  max(m.value) filter (where m.role = 'candidate' or (m.role = 'champion' and not v.is_baseline)) as observed,
  max(m.value) filter (where m.role = 'baseline' or (m.role = 'champion' and v.is_baseline)) as threshold,
  case when any_value(v.is_baseline) then 1 else 0 end as unexpected_count,
  case when any_value(v.is_baseline) then
    to_json([replace(replace(replace(any_value(v.champion_model), 'none', 'nothing'), '_', ' '), 'ewma', 'EWMA')])
  end as examples
from {_VERSIONS} as v left join {MODEL_METRICS.qualified_name} as m
  on m.model = 'feature_risk' and m.model_version = v.model_version and m.target = 'any' and m.metric = 'brier_skill'
where v.alias = 'champion'
""",
        severity="WARN",
        finding="No trained model is clearly better (Brier skill {observed}) than the best baseline ({threshold}) and"
        " ranks as well; what scores in its place",
        finding_unmeasured="There are too few graded days to tell whether a trained model beats the best baseline;"
        " what scores in its place",
        unit="",
        remedy=TIME_TELLS,
        needs="no model was trained yet",
    ),
    Check(
        subject_of(CALIBRATION),
        "probabilities_are_true",
        "Do the probabilities of the model in use come true as often as they say?",
        "accuracy",
        f"""
select '' as partition_key, sum(rows * abs(predicted - observed)) / sum(rows) <= {MAX_CALIBRATION_ERROR} as is_passed,
  sum(rows * abs(predicted - observed)) / sum(rows) as observed,
  cast({MAX_CALIBRATION_ERROR} as double) as threshold, 0 as unexpected_count, null as examples
from {CALIBRATION.qualified_name} where target = 'any' and model_version = {_IN_USE}
""",
        severity="WARN",
        finding="What is said and what comes true are {observed} apart on average, more than {threshold}",
        unit="fraction",
        remedy="Read the scores as a ranking until the next training.",
        needs="no model was trained yet",
    ),
    Check(
        subject_of(MODEL_VERSIONS),
        "one_champion",
        "Is exactly one version in use?",
        "consistency",
        f"""
select '' as partition_key, case when count(*) > 0 then count(*) filter (where alias = 'champion') = 1 end as is_passed,
  cast(count(*) filter (where alias = 'champion') as double) as observed, cast(1 as double) as threshold,
  case when count(*) filter (where alias = 'champion') <> 1 then 1 else 0 end as unexpected_count, null as examples
from {_VERSIONS}
""",
        finding="{observed} in use",
        unit="version",
        remedy="Materialize ml.risk_model again in Dagster.",
        needs="no model was trained yet",
    ),
)

SCORE_CHECKS = (
    Check(
        subject_of(RISK_SCORES),
        "outcome_was_unknown",
        "Was every score made by a model that could not know the outcome?",
        "accuracy",
        no_offenders(
            f"select s.event_date || ' ' || s.feature as example from {_SCORES} as s join {_VERSIONS} as v"
            " using (model_version) where s.event_date <= v.trained_through - v.horizon_days"
            f" union all select event_date || ' ' || feature as example from {_SCORES}"
            " where is_backfilled and event_date <= trained_through"
        ),
        is_blocking=True,
        finding="{observed} by a model that had seen the outcome",
        unit="score",
    ),
    Check(
        subject_of(RISK_SCORES),
        "last_day_scored",
        "Does every feature that has facts on the last day have a score of that day?",
        "completeness",
        no_offenders(
            f"select feature as example from {_FACTS} where event_date = (select max(event_date) from {_FACTS})"
            f" and feature in {WATCHED}"
            f" and feature not in (select feature from {_SCORES}"
            f" where event_date = (select max(event_date) from {_FACTS}))"
        ),
        severity="WARN",
        finding="{observed} without a score of the last day",
        unit="feature",
        remedy="Materialize ml.risk_scores again in Dagster.",
    ),
    Check(
        subject_of(RISK_SCORES),
        "scored_by_a_model",
        "Are the last day's scores made by a model, and not by a stand-in?",
        "accuracy",
        f"""
with last_day as (
  select model_version, score_kind, note from {_SCORES} where event_date = (select max(event_date) from {_SCORES})
),
newest as (
  select * from last_day where model_version =
    (select max_by(model_version, coalesce(try_cast(model_version as bigint), -1)) from last_day)
)
select '' as partition_key,
  case when (select bool_or(score_kind = 'model') from {_SCORES})
    or count(*) > 0 and count(*) filter (where score_kind = 'baseline') = 0
  then count(*) filter (where score_kind = 'model') > 0 end as is_passed,
  cast(count(*) filter (where score_kind = 'model') as double) as observed, cast(count(*) as double) as threshold,
  count(*) filter (where score_kind <> 'model') as unexpected_count,
  to_json(list(distinct replace(replace(replace(note, 'any: ', ''), '_', ' '), 'ewma', 'EWMA'))
    filter (where note is not null)) as examples
from newest
""",
        severity="WARN",
        finding="Of {threshold} of the last day {observed} came from a trained model",
        unit="score",
        remedy=TIME_TELLS,
        needs="no model has scored yet",
    ),
    Check(
        subject_of(SCORE_LEDGER),
        "every_score_is_graded",
        "Is every score in the ledger, and graded where its outcome is known?",
        "completeness",
        no_offenders(f"""
select s.event_date || ' ' || s.feature as example from {_SCORES} as s
left join {_LEDGER} as l using (event_date, feature, model_version)
left join {_LABELS} as truth on truth.event_date = s.event_date and truth.feature = s.feature
  and truth.horizon_days = s.horizon_days
where not coalesce(s.is_backfilled, false) and (l.feature is null
  or l.risk_probability is distinct from s.risk_probability or l.label_any is distinct from truth.label_any)
"""),
        is_blocking=True,
        finding="{observed} went missing from the ledger, or got another grade than what happened",
        unit="score",
    ),
)

MONITORING_CHECKS = (
    Check(
        subject_of(EVENT_SKETCH_COUNTS),
        "events_reconcile",
        "Do the sketches count every event?",
        "consistency",
        per_date_balance(
            f"select event_date, sum(n) as n from {EVENT_SKETCH_COUNTS.qualified_name}"
            " where event_date between $start and $end and name = 'status' group by event_date",
            f"select event_date, row_count as n from {PARTITION_STATE.qualified_name}"
            f" where event_date between $start and $end and table_name = '{VALID_EVENTS.qualified_name}'",
        ),
        finding="The sketches count {observed} where {threshold} are valid",
        unit="event",
    ),
    Check(
        subject_of(BASELINE_STATS),
        "baselines_known",
        "Is there enough history to say what is normal for most metrics?",
        "completeness",
        _one(
            f"case when total > 0 then known >= {1 - MAX_UNKNOWN_SHARE} * total end",
            "known",
            f"{1 - MAX_UNKNOWN_SHARE} * total",
            "(select count(*) as total, count(*) filter (where status in ('ok', 'constant')) as known"
            f" from {BASELINE_STATS.qualified_name})",
        ),
        severity="WARN",
        finding="Of only {observed} is it known what is normal, fewer than {threshold}",
        unit="metric",
        remedy="More days of data change that by themselves.",
    ),
    Check(
        subject_of(DATA_DRIFT),
        "could_be_judged",
        "Could most of what is watched be judged on the last day?",
        "completeness",
        _one(
            # A young product, or a small one, has lost nothing that it could tell.
            f"case when unknown <= {MAX_UNKNOWN_SHARE} * total then true when could then false end",
            "unknown",
            f"{MAX_UNKNOWN_SHARE} * total",
            "(select max_by(total, event_date) as total, max_by(unknown, event_date) as unknown,"
            f" bool_or(unknown <= {MAX_UNKNOWN_SHARE} * total) as could from (select event_date, count(*) as total,"
            f" count(*) filter (where status = 'unknown') as unknown from {_DRIFT} group by event_date))",
        ),
        severity="WARN",
        finding="{observed} could not be judged on the last day, more than {threshold}",
        unit="distribution",
        remedy="The drift page says of each what is missing.",
        needs="days or events are too few to judge most of it",
    ),
    Check(
        subject_of(DATA_DRIFT),
        "nothing_drifted",
        "Is everything that is watched as it was?",
        "accuracy",
        no_offenders(
            f"select verdict as example from {_DRIFT} where status = 'drifted'"
            f" and event_date = (select max(event_date) from {_DRIFT}) order by rank"
        ),
        severity="WARN",
        finding="{observed} went beyond chance and beyond what matters",
        unit="change",
        remedy="The drift page says what each does to the scores.",
    ),
    Check(
        subject_of(DRIFT_DISTRIBUTIONS),
        "shares_add_up",
        "Do both sides of every distribution add up to the whole?",
        "consistency",
        no_offenders(
            "select name as example from (select kind, feature, name, sum(reference_share) as before,"
            f" sum(current_share) as now from {DRIFT_DISTRIBUTIONS.qualified_name} group by all)"
            " where abs(before - 1) > 1e-6 or abs(now - 1) > 1e-6"
        ),
        finding="{observed} whose shares do not add up to 1",
        unit="distribution",
    ),
    Check(
        subject_of(DRIFT_POWER),
        "sees_what_matters",
        "Does the drift monitor see a fifth more latency, and stay quiet when nothing changes?",
        "accuracy",
        f"""
select '' as partition_key, case when count(*) > 0 then count(*) filter (where wrong) = 0 end as is_passed,
  cast(count(*) filter (where wrong) as double) as observed, cast(0 as double) as threshold,
  count(*) filter (where wrong) as unexpected_count,
  to_json(list(change || ' at ' || rows_per_day || ' rows: ' || round(power, 3)) filter (where wrong)) as examples
from (
  select *, case when change = 'no change' then centre - half > {MAX_FALSE_ALARMS}
    when starts_with(change, 'latency +20 %') then centre + half < {MIN_POWER} else false end as wrong
  from (
    select *, (power + {_SURE**2} / (2 * trials)) / (1 + {_SURE**2} / trials) as centre,
      {_SURE} * sqrt(power * (1 - power) / trials + {_SURE**2} / (4 * trials ** 2)) / (1 + {_SURE**2} / trials) as half
    from {DRIFT_POWER.qualified_name}
  )
)
""",
        severity="WARN",
        finding="The monitor errs too often on {observed}",
        unit="simulated change",
        remedy="With so few rows a day read drift as a hint.",
    ),
)

MODEL_CHECKS = (*INCIDENT_CHECKS, *LABEL_CHECKS, *TRAINING_CHECKS, *SCORE_CHECKS, *MONITORING_CHECKS)

NOT_TOLD = TOLD_ONE_BY_ONE | {(check.subject.name, check.name) for check in MODEL_CHECKS if check.remedy == TIME_TELLS}
"""Checks that raise no alert: others tell of what they count, or nobody can do anything but wait for days."""
