"""Queries of experiments: which there are, what they say, what speaks for and against that."""

from __future__ import annotations

from quality_assets.contracts.churn import CRASH_COSTS, ENGAGEMENT_GRADES, ENGAGEMENT_SCORES
from quality_assets.contracts.destinations import DELIVERIES
from quality_assets.contracts.experiments import (
    EXPERIMENT_EXPOSURES,
    EXPERIMENT_HEALTH,
    EXPERIMENT_RESULTS,
    EXPERIMENTS,
    LIFT_ESTIMATES,
)
from quality_assets.read.reader import Reader, Row, per_snapshot

_TABLES = tuple(t.qualified_name for t in (EXPERIMENTS, EXPERIMENT_EXPOSURES, EXPERIMENT_HEALTH, EXPERIMENT_RESULTS))

_ALL = f"""
select * exclude (inputs_fingerprint) from {EXPERIMENTS.qualified_name}
order by array_position(['running', 'waiting', 'final', 'planned', 'undeclared', 'invalid'], state),
  start_date desc nulls last, experiment
"""

_HEALTH = f"""
select * from {EXPERIMENT_HEALTH.qualified_name} where experiment = $experiment
order by array_position(['void', 'warning', 'unknown', 'info', 'ok'], status), "check", subject
"""

_RESULTS = f"""
select * from {EXPERIMENT_RESULTS.qualified_name} where experiment = $experiment
order by array_position(['primary', 'secondary', 'guardrail'], role), metric, is_control desc, arm
"""

_ARMS = f"""
select arm, count(*) as people, count(*) filter (where reason_excluded is null) as included,
  min(exposed_at) as first_at, max(exposed_at) as last_at
from {EXPERIMENT_EXPOSURES.qualified_name} where experiment = $experiment group by arm order by arm
"""

_LEFT_OUT = f"""
select reason_excluded as reason, count(*) as people
from {EXPERIMENT_EXPOSURES.qualified_name} where experiment = $experiment and reason_excluded is not null
group by 1 order by 2 desc, 1
"""

_BY_DAY = f"""
select cast(exposed_at as date) as event_date, arm, count(*) as people
from {EXPERIMENT_EXPOSURES.qualified_name} where experiment = $experiment and reason_excluded is null
group by all order by all
"""

_CRASH_COSTS = f"select * exclude (inputs_fingerprint) from {CRASH_COSTS.qualified_name} order by outcome"

_GRADES = f"""
select * from {ENGAGEMENT_GRADES.qualified_name}
order by as_of_date desc, candidate <> 'logistic', roc_auc desc nulls last, candidate
"""

_BANDS = f"""
select as_of_date, band, count(*) as people, avg(p_churn) as p_churn, any_value(scored_by) as scored_by
from {ENGAGEMENT_SCORES.qualified_name}
where as_of_date = (select max(as_of_date) from {ENGAGEMENT_SCORES.qualified_name})
group by as_of_date, band order by array_position(['high', 'middle', 'low'], band)
"""

_DELIVERIES = f"""
select * from {DELIVERIES.qualified_name} order by started_at desc, sync, batch limit 1000
"""

_LIFT = f"""
select * exclude (inputs_fingerprint) from {LIFT_ESTIMATES.qualified_name}
where $feature is null or feature = $feature
order by array_position(['measured by experiment', 'associated (observational)', 'suggestive (do not quote)',
  'not established', 'not measured'], verdict), calibrated desc nulls last, feature, outcome
"""


@per_snapshot
def experiments(reader: Reader) -> list[Row]:
    """Every experiment, those that run first."""
    return reader.rows(_ALL) if reader.has(*_TABLES) else []


def experiment(reader: Reader, name: str) -> Row | None:
    """One experiment; None where there is none of this name."""
    return next((row for row in experiments(reader) if row["experiment"] == name), None)


@per_snapshot
def health(reader: Reader, name: str) -> list[Row]:
    """What was asked of its counts, what voids it first."""
    return reader.rows(_HEALTH, {"experiment": name}) if reader.has(*_TABLES) else []


@per_snapshot
def results(reader: Reader, name: str) -> list[Row]:
    """What each arm did to each metric, primary metrics first, the control before the others."""
    return reader.rows(_RESULTS, {"experiment": name}) if reader.has(*_TABLES) else []


@per_snapshot
def arms(reader: Reader, name: str) -> list[Row]:
    """How many people saw each arm, and how many of them are in."""
    return reader.rows(_ARMS, {"experiment": name}) if reader.has(*_TABLES) else []


@per_snapshot
def left_out(reader: Reader, name: str) -> list[Row]:
    """Why how many people are left out."""
    return reader.rows(_LEFT_OUT, {"experiment": name}) if reader.has(*_TABLES) else []


@per_snapshot
def exposures_by_day(reader: Reader, name: str) -> list[Row]:
    """New people per day and arm."""
    return reader.rows(_BY_DAY, {"experiment": name}) if reader.has(*_TABLES) else []


def whole(reader: Reader, name: str) -> Row | None:
    """One experiment with its exposures, health and results; None where there is none of this name."""
    found = experiment(reader, name)
    if found is None:
        return None
    return {
        **found,
        "exposures": arms(reader, name),
        "left_out": left_out(reader, name),
        "health": health(reader, name),
        "results": results(reader, name),
    }


@per_snapshot
def deliveries(reader: Reader) -> list[Row]:
    """What was sent to destinations, batch by batch, the newest first."""
    return reader.rows(_DELIVERIES) if reader.has(DELIVERIES.qualified_name) else []


@per_snapshot
def lift(reader: Reader, feature: str | None = None) -> list[Row]:
    """What taking up features is associated with, of one or of all: what may be quoted first."""
    return reader.rows(_LIFT, {"feature": feature}) if reader.has(LIFT_ESTIMATES.qualified_name) else []


@per_snapshot
def crash_costs(reader: Reader) -> list[Row]:
    """What meeting a crash is associated with in return, and whether that may be said."""
    return reader.rows(_CRASH_COSTS) if reader.has(CRASH_COSTS.qualified_name) else []


@per_snapshot
def engagement_grades(reader: Reader) -> list[Row]:
    """How well each week foretold who stayed away, the newest first, the model before its baselines."""
    return reader.rows(_GRADES) if reader.has(ENGAGEMENT_GRADES.qualified_name) else []


@per_snapshot
def engagement_bands(reader: Reader) -> list[Row]:
    """How many people of the newest week are in each band: as_of_date, people, mean p_churn, scored_by."""
    return reader.rows(_BANDS) if reader.has(ENGAGEMENT_SCORES.qualified_name) else []
