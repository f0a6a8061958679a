"""Building impact.crash_costs, once a week: those who met a crash against similar people of the same days."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from quality_assets.contracts.churn import CRASH_COSTS
from quality_assets.contracts.ops import PARTITION_STATE
from quality_assets.contracts.users import USER_DAYS
from quality_assets.domain.arrays import Bools, Ints
from quality_assets.domain.impact import crash_costs as words
from quality_assets.domain.impact import lift as estimates
from quality_assets.domain.impact.lift import Past, UserDays
from quality_assets.stores.frames import read_frame, replace_rows
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.experiments.lift import RETURN, last_week_end
from quality_assets.tables.impact.catching_up import lake_rows

RULES_VERSION = 1
_REACH = timedelta(days=estimates.OUTCOME_DAYS + estimates.SPAN_DAYS + estimates.LEAST_PAST_DAYS)


def build_crash_costs(session: WarehouseSession) -> int:
    """Estimate anew where a week is over, or its days have changed; rows there are."""
    as_of = last_week_end(session)
    fingerprint = _fingerprint(session, as_of)
    if as_of is None or _known(session) == [(fingerprint,)]:
        return int(session.connection.table(CRASH_COSTS.qualified_name).shape[0])
    row = {"as_of_date": as_of, "outcome": RETURN, "inputs_fingerprint": fingerprint, **_row(session, as_of)}
    return replace_rows(session, CRASH_COSTS, pd.DataFrame([row]))


def crash_costs_are_stale(session: WarehouseSession) -> bool:
    """Whether a week is over since what crashes cost was estimated, or its days have changed."""
    as_of = last_week_end(session)
    return as_of is not None and _known(session) != [(_fingerprint(session, as_of),)]


def _known(session: WarehouseSession) -> list[Any]:
    return session.connection.execute(
        f"select distinct inputs_fingerprint from {CRASH_COSTS.qualified_name}"
    ).fetchall()


def _fingerprint(session: WarehouseSession, as_of: date | None) -> str:
    if as_of is None:
        return ""
    rows = session.connection.execute(
        f"select event_date, inputs_fingerprint from {PARTITION_STATE.qualified_name}"
        " where table_name = $name and event_date between $first and $as_of order by 1",
        {"name": USER_DAYS.qualified_name, "first": as_of - _REACH, "as_of": as_of},
    ).fetchall()
    return hashlib.sha256(repr((RULES_VERSION, str(as_of), rows)).encode()).hexdigest()[:32]


def _row(session: WarehouseSession, as_of: date) -> dict[str, Any]:
    days = read_frame(
        session,
        "select user_id, event_date, events, crashes, platform"
        f" from {lake_rows(session, USER_DAYS, as_of - _REACH, as_of)} where not is_automated"
        " order by user_id, event_date",
    )
    crashed = int(((pd.to_datetime(days["event_date"]) == pd.Timestamp(as_of)) & (days["crashes"] > 0)).sum())
    if days.empty:
        return _unmeasured(0, crashed, words.too_few_text(0, 0))
    active, crash_at = _user_days(days)
    last = active.days - 1 - estimates.OUTCOME_DAYS
    first = max(last - estimates.SPAN_DAYS + 1, estimates.LEAST_PAST_DAYS)
    met = crash_at & (active.day >= first) & (active.day <= last)
    first_crash = np.full(active.users, active.days + 1)
    np.minimum.at(first_crash, active.user[met], active.day[met])
    exposed = int((first_crash <= last).sum())
    if first > last or exposed < estimates.LEAST_ADOPTERS:
        past_days = min(estimates.LEAST_PAST_DAYS, max(0, last))
        return _unmeasured(exposed, crashed, words.too_few_text(exposed, past_days))
    past = Past.of(active)
    rows = estimates.at_risk_rows(active, first_crash, first, last)
    if rows.others < estimates.LEAST_OTHERS:
        return _unmeasured(exposed, crashed, words.nobody_else_text(rows.others))
    # Where there is nothing to fit, what fits is not imported: that takes a second.
    with estimates.small_fits():
        found, placebo = (
            estimates.adjusted(rows, estimates.returned(past, rows, start), x, estimates.propensities(rows, x))
            for start, lag in ((1, 0), (-estimates.OUTCOME_DAYS, estimates.OUTCOME_DAYS))
            for x in [estimates.covariates(active, past, rows, lag)]
        )
    verdict = words.crash_verdict(found, placebo)
    is_said = verdict == "associated (observational)"
    return {
        "exposed": found.adopters, "exposed_rate": found.adopter_rate,
        "comparison_rate": min(1.0, max(0.0, found.adopter_rate - found.att)), "effect": found.att, "se": found.se,
        "low": found.interval[0], "high": found.interval[1], "placebo": placebo.att,
        "placebo_se": placebo.se, "overlap": found.overlap, "crashed_last_day": crashed,
        "lost_last_day": words.lost_people(found, crashed) if is_said else None, "verdict": verdict,
        "reason": words.crash_text(verdict, found, placebo, crashed),
    }  # fmt: skip


def _unmeasured(exposed: int, crashed: int, reason: str) -> dict[str, Any]:
    return {"exposed": exposed, "crashed_last_day": crashed, "verdict": "not measured", "reason": reason}


def _user_days(days: pd.DataFrame) -> tuple[UserDays, Bools]:
    """User-days as arrays, events in the place of sessions, and which of them met a crash."""
    user, ids = pd.factorize(days["user_id"])
    dates = pd.to_datetime(days["event_date"])
    day: Ints = np.asarray((dates - dates.min()).dt.days, np.int64)
    user = user.astype(np.int64)
    joined = np.full(len(ids), day.max())
    np.minimum.at(joined, user, day)
    platform = np.zeros(len(ids), np.int64)
    platform[user] = pd.factorize(days["platform"].fillna(""))[0]
    active = UserDays(
        user=user, day=day, sessions=days["events"].to_numpy(np.int64), platform=platform, joined=joined,
        days=int(day.max()) + 1,
    )  # fmt: skip
    return active, np.asarray(days["crashes"] > 0, np.bool_)
