"""Building impact.lift_estimates, once a week: each feature against similar people, then against all other features.

What is estimated is said in `domain/impact/lift.py`; here user-days become arrays, and estimates rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from quality_assets.contracts.definitions import Funnel
from quality_assets.contracts.experiments import EXPERIMENT_RESULTS, EXPERIMENTS, LIFT_ESTIMATES
from quality_assets.contracts.impact import FUNNEL_ENTRIES
from quality_assets.contracts.ops import PARTITION_STATE
from quality_assets.contracts.users import FIRST_USES, USER_DAYS
from quality_assets.domain.arrays import Floats, Ints
from quality_assets.domain.impact import lift as estimates
from quality_assets.domain.impact import lift_words as words
from quality_assets.domain.impact.lift import AtRisk, Estimate, Past, UserDays
from quality_assets.progress import Progress, no_progress
from quality_assets.stores.frames import replace_rows
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.experiments.inputs import events_seen
from quality_assets.tables.impact.defined import definitions_of

RULES_VERSION = 2
MOST_FEATURES = 40
"""Features with fewer new users than so many others are left: each costs a second."""
RETURN = f"return_{estimates.OUTCOME_DAYS}d"


@dataclass(frozen=True)
class _Frame:
    """The user-days that lift is estimated on; dates are days from `first`, and `span` are those of first uses."""

    active: UserDays
    past: Past
    users: Mapping[str, int]
    first: date
    span: tuple[int, int]
    past_days: int


@dataclass(frozen=True)
class _Found:
    """A feature's estimate of one outcome and its placebo."""

    estimate: Estimate
    placebo: Estimate


def build_lift(session: WarehouseSession, progress: Progress = no_progress) -> int:
    """Estimate lift anew where a week is over, or the days of the last one have changed; rows there are."""
    as_of = last_week_end(session)
    fingerprint = lift_fingerprint(session, as_of)
    table = LIFT_ESTIMATES.qualified_name
    known = session.connection.execute(f"select distinct inputs_fingerprint from {table}").fetchall()
    if as_of is None or known == [(fingerprint,)]:
        return int(session.connection.table(table).shape[0])
    frame = _frame(session, as_of)
    # After too few days nothing is fitted, and what fits is not imported: that takes a second.
    with estimates.small_fits() if frame.past_days >= estimates.LEAST_PAST_DAYS else nullcontext():
        rows = _rows(session, as_of, frame, progress)
    told = pd.DataFrame([{**row, "as_of_date": as_of, "inputs_fingerprint": fingerprint} for row in rows])
    return replace_rows(session, LIFT_ESTIMATES, told)


def lift_is_stale(session: WarehouseSession) -> bool:
    """Whether a week is over, or its days, experiments or funnels have changed, since lift was estimated."""
    as_of = last_week_end(session)
    known = session.connection.execute(
        f"select distinct inputs_fingerprint from {LIFT_ESTIMATES.qualified_name}"
    ).fetchall()
    return as_of is not None and bool(_features(session, as_of)) and known != [(lift_fingerprint(session, as_of),)]


def last_week_end(session: WarehouseSession) -> date | None:
    """The last Sunday through which user-days are built: lift is estimated once a week."""
    row = session.connection.execute(
        f"select max(event_date) from {PARTITION_STATE.qualified_name} where table_name = $name",
        {"name": USER_DAYS.qualified_name},
    ).fetchone()
    through = row[0] if row else None
    return through - timedelta(days=(through.weekday() + 1) % 7) if through is not None else None


def lift_fingerprint(session: WarehouseSession, as_of: date | None) -> str:
    """Of what estimates as of a day are made: user-days, funnels, and what experiments have measured."""
    if as_of is None:
        return ""
    first = as_of - timedelta(days=estimates.OUTCOME_DAYS + estimates.SPAN_DAYS + estimates.LEAST_PAST_DAYS)
    row = session.connection.execute(
        "select md5(coalesce(string_agg(event_date || inputs_fingerprint, ',' order by event_date), ''))"
        f" from {PARTITION_STATE.qualified_name} where table_name = $name and event_date between $first and $as_of",
        {"name": USER_DAYS.qualified_name, "first": first, "as_of": as_of},
    ).fetchone()
    assert row is not None  # an aggregate without GROUP BY has one row
    funnels = {name: funnel.version for name, funnel in definitions_of(session, Funnel).items()}
    parts = [RULES_VERSION, str(as_of), row[0], funnels, _measured(session)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _features(session: WarehouseSession, as_of: date) -> list[str]:
    """Features by how many took them up in the span, most first."""
    last = as_of - timedelta(days=estimates.OUTCOME_DAYS)
    rows = session.connection.execute(
        f"select feature from {FIRST_USES.qualified_name} where feature <> '*'"
        " group by feature order by count(*) filter (where first_use_date between $first and $last) desc, feature",
        {"first": last - timedelta(days=estimates.SPAN_DAYS - 1), "last": last},
    ).fetchall()
    return [feature for (feature,) in rows]


def _rows(session: WarehouseSession, as_of: date, frame: _Frame, progress: Progress) -> list[dict[str, Any]]:
    features = _features(session, as_of)
    outcomes = {RETURN: "return", **dict.fromkeys(_conversions(session), "convert")}
    converted = {name: _conversion_days(session, frame, name) for name in outcomes if name != RETURN}
    first_uses = {feature: _first_uses(session, frame, feature) for feature in features[:MOST_FEATURES]}
    measured = _measured(session)
    ready = {feature: _prepared(frame, first_use) for feature, first_use in first_uses.items()}
    rows = []
    for outcome, does in outcomes.items():
        found: dict[str, _Found] = {}
        steps = set() if outcome == RETURN else _step_features(session, outcome)
        blocked = dict.fromkeys(steps, words.is_a_step_text(outcome))
        for feature, made in ready.items():
            if isinstance(made, str):
                blocked.setdefault(feature, made)
            elif feature not in blocked:
                found[feature] = _estimated(frame, made, converted.get(outcome))
                progress(f"lift of {feature} on {outcome}")
        for feature in features:
            if feature in found:
                others = [each.estimate for name, each in found.items() if name != feature]
                row = _row(feature, outcome, found[feature], others, does)
            else:
                reason = blocked.get(feature, words.not_looked_at_text(MOST_FEATURES))
                adopters = _adopters(frame, first_uses[feature]) if feature in first_uses else 0
                row = {
                    "feature": feature,
                    "outcome": outcome,
                    "adopters": adopters,
                    "verdict": "not measured",
                    "reason": reason,
                }
            rows.append(_with_experiment(row, measured.get((feature, outcome))))
    return rows


def _frame(session: WarehouseSession, as_of: date) -> _Frame:
    connection = session.connection
    last = as_of - timedelta(days=estimates.OUTCOME_DAYS)
    first = last - timedelta(days=estimates.SPAN_DAYS - 1 + estimates.LEAST_PAST_DAYS)
    begins = connection.execute(f"select min(event_date) from {USER_DAYS.qualified_name}").fetchall()[0][0] or as_of
    first = max(first, begins)
    span_first = max(last - timedelta(days=estimates.SPAN_DAYS - 1), first + timedelta(days=estimates.LEAST_PAST_DAYS))
    people = connection.execute(
        "select user_id, arg_max(platform, event_date) as platform, min(event_date) as first_date"
        f" from {USER_DAYS.qualified_name} where event_date between $first and $as_of and not is_automated"
        " group by user_id order by user_id",
        {"first": first, "as_of": as_of},
    ).fetchnumpy()
    users = {user: number for number, user in enumerate(people["user_id"].tolist())}
    days = connection.execute(
        "select dense_rank() over (order by user_id) - 1 as user, date_diff('day', $first, event_date) as day,"
        f" greatest(sessions, 1) as sessions from {USER_DAYS.qualified_name}"
        " where event_date between $first and $as_of and not is_automated order by user, day",
        {"first": first, "as_of": as_of},
    ).fetchnumpy()
    platforms = np.unique(np.array([str(p) for p in people["platform"]]), return_inverse=True)[1]
    joined = (np.asarray(people["first_date"], "datetime64[D]") - np.datetime64(first)).astype(np.int64)
    active = UserDays(
        user=np.asarray(days["user"], np.int64),
        day=np.asarray(days["day"], np.int64),
        sessions=np.asarray(days["sessions"], np.int64),
        platform=platforms.astype(np.int64),
        joined=joined,
        days=(as_of - first).days + 1,
    )
    span = ((span_first - first).days, (last - first).days)
    past_days = min(estimates.LEAST_PAST_DAYS, max(0, span[1]))
    return _Frame(active, Past.of(active), users, first, span, past_days)


def _first_uses(session: WarehouseSession, frame: _Frame, feature: str) -> Ints:
    """The day of each user's first use, negative before the frame, and beyond it where there is none."""
    rows = session.connection.execute(
        f"select user_id, date_diff('day', $first, first_use_date) as day from {FIRST_USES.qualified_name}"
        " where feature = $feature",
        {"feature": feature, "first": frame.first},
    ).fetchnumpy()
    found = np.full(frame.active.users, frame.active.days + 1)
    for user, day in zip(rows["user_id"].tolist(), rows["day"].tolist(), strict=True):
        number = frame.users.get(user)
        if number is not None:
            found[number] = day
    return found


def _adopters(frame: _Frame, first_use: Ints) -> int:
    return int(((first_use >= frame.span[0]) & (first_use <= frame.span[1])).sum())


@dataclass(frozen=True)
class _Prepared:
    """The rows of a feature with what was known of them, and how likely they were to adopt, now and a week before."""

    rows: AtRisk
    now: tuple[Floats, Floats]
    before: tuple[Floats, Floats]


def _prepared(frame: _Frame, first_use: Ints) -> _Prepared | str:
    """What lift on a feature is estimated from, or why it is not."""
    adopters = _adopters(frame, first_use)
    if frame.past_days < estimates.LEAST_PAST_DAYS or adopters < estimates.LEAST_ADOPTERS:
        return words.too_little_text(adopters, frame.past_days)
    rows = estimates.at_risk_rows(frame.active, first_use, *frame.span)
    if rows.others < estimates.LEAST_OTHERS:
        return words.nobody_else_text(rows.others)
    now = estimates.covariates(frame.active, frame.past, rows)
    before = estimates.covariates(frame.active, frame.past, rows, estimates.OUTCOME_DAYS)
    return _Prepared(
        rows, (now, estimates.propensities(rows, now)), (before, estimates.propensities(rows, before))
    )  # fmt: skip


def _estimated(frame: _Frame, ready: _Prepared, converted: Past | None) -> _Found:
    outcomes, rows = frame.past if converted is None else converted, ready.rows
    return _Found(
        estimates.adjusted(rows, estimates.returned(outcomes, rows), *ready.now),
        estimates.adjusted(rows, estimates.returned(outcomes, rows, -estimates.OUTCOME_DAYS), *ready.before),
    )


def _row(feature: str, outcome: str, each: _Found, others: list[Estimate], does: str) -> dict[str, Any]:
    found, placebo = each.estimate, each.placebo
    held = estimates.calibrate(found, others)
    verdict = estimates.lift_verdict(found, placebo, held)
    comparison = found.adopter_rate - (held.calibrated if held else found.att)
    e_value = estimates.e_value(found.adopter_rate, comparison)
    return {
        "feature": feature, "outcome": outcome, "naive": found.naive, "adopter_rate": found.adopter_rate,
        "comparison_rate": min(1.0, max(0.0, found.adopter_rate - found.att)), "adjusted": found.att, "se": found.se,
        "placebo": placebo.att, "placebo_se": placebo.se,
        "controls_mean": held.mean if held else None, "controls_sd": held.sd if held else None,
        "controls": len(others), "calibrated": held.calibrated if held else None,
        "low": held.low if held else None, "high": held.high if held else None, "e_value": e_value,
        "adopters": found.adopters, "overlap": found.overlap, "verdict": verdict,
        "reason": words.reason_text(verdict, found, placebo, held, e_value, does),
    }  # fmt: skip


def _conversions(session: WarehouseSession) -> list[str]:
    return [f"converted:{name}" for name, funnel in definitions_of(session, Funnel).items() if funnel.unit == "user"]


def _conversion_days(session: WarehouseSession, frame: _Frame, outcome: str) -> Past:
    """The days on which users completed a funnel, as look-ups like those of active days."""
    name = outcome.partition(":")[2]
    steps = len(definitions_of(session, Funnel)[name].steps)
    rows = session.connection.execute(
        "select unit, date_diff('day', $first, cast(step_at[$steps] as date)) as day"
        f" from {FUNNEL_ENTRIES.qualified_name} where funnel = $name and reached = $steps"
        " and entry_date >= $first - 90",
        {"first": frame.first, "steps": steps, "name": name},
    ).fetchall()
    days = frame.active.days
    keys: Ints = np.array(
        sorted({frame.users[u] * days + d for u, d in rows if u in frame.users and 0 <= d < days}), np.int64
    )
    return Past(keys, np.arange(len(keys) + 1), days)


def _step_features(session: WarehouseSession, outcome: str) -> set[str]:
    """The features that the steps of a funnel are events of."""
    steps = definitions_of(session, Funnel)[outcome.partition(":")[2]].steps
    return {
        feature
        for feature, event in events_seen(session)
        if any(step.feature in (None, feature) and step.event_name in (None, event) for step in steps)
    }


def _measured(session: WarehouseSession) -> dict[tuple[str, str], dict[str, Any]]:
    """What experiments about a feature have measured, by feature and metric: final ones that are not void."""
    rows = session.connection.execute(
        "select about, metric, experiment, diff, low, high"
        f" from {EXPERIMENT_RESULTS.qualified_name} join {EXPERIMENTS.qualified_name} using (experiment)"
        " where about is not null and is_final and role = 'primary' and diff is not null order by experiment"
    ).fetchall()
    return {
        (about, metric): {"experiment": name, "diff": diff, "low": low, "high": high}
        for about, metric, name, diff, low, high in rows
    }


def _with_experiment(row: dict[str, Any], measured: dict[str, Any] | None) -> dict[str, Any]:
    if measured is None:
        return row
    reason = words.experiment_text(measured["experiment"], measured["diff"], measured["low"], measured["high"])
    return {
        **row, "calibrated": measured["diff"], "low": measured["low"], "high": measured["high"],
        "verdict": "measured by experiment", "reason": reason,
    }  # fmt: skip
