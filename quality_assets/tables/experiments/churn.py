"""Building ml.engagement_scores and their grades, once a week: each week by what was known at its end.

A week is scored by a model whose labels were over by then, or by the best-known baseline where none can be trained, and
never scored anew unless its days have changed; it is graded once its 28 days are over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from quality_assets.contracts.churn import ENGAGEMENT_GRADES, ENGAGEMENT_SCORES
from quality_assets.contracts.ops import PARTITION_STATE
from quality_assets.contracts.users import USER_DAYS
from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.impact import churn
from quality_assets.domain.impact.lift import small_fits
from quality_assets.progress import Progress, no_progress
from quality_assets.stores.frames import read_frame, replace_rows
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.impact.catching_up import lake_rows

RULES_VERSION = 1
KEPT_WEEKS = 13
"""Older weeks are not scored after the fact; those that were scored stay."""
_WEEK = timedelta(days=7)
_HORIZON = timedelta(days=churn.HORIZON_DAYS)
_FALLBACK = "recency_by_gap"


@dataclass(frozen=True)
class _Snapshot:
    """The users of a week's end with their inputs, in the order of INPUTS, and what became of them."""

    users: list[str]
    x: Floats
    churned: Bools | None

    def inputs(self) -> dict[str, Floats]:
        """The inputs by name."""
        return {name: self.x[:, at] for at, name in enumerate(churn.INPUTS)}


def build_engagement(session: WarehouseSession, progress: Progress = no_progress) -> tuple[int, int]:
    """Score each week that has none of its own days, and grade those that are over; rows there are of both tables."""
    there = _fingerprints(session)
    for as_of, fingerprint in _stale_weeks(session, there).items():
        _score_week(session, there, as_of, fingerprint)
        progress(f"engagement scores of {as_of}")
    for as_of in _ungraded_weeks(session, there):
        _grade_week(session, there, as_of)
    counted = [session.connection.table(t.qualified_name).shape[0] for t in (ENGAGEMENT_SCORES, ENGAGEMENT_GRADES)]
    return int(counted[0]), int(counted[1])


def engagement_is_stale(session: WarehouseSession) -> bool:
    """Whether a week is over that was not scored, or not graded, or whose days have changed."""
    there = _fingerprints(session)
    return bool(_stale_weeks(session, there) or _ungraded_weeks(session, there))


def _fingerprints(session: WarehouseSession) -> dict[date, str]:
    rows = session.connection.execute(
        f"select event_date, inputs_fingerprint from {PARTITION_STATE.qualified_name}"
        " where table_name = $name order by 1",
        {"name": USER_DAYS.qualified_name},
    ).fetchall()
    return dict(rows)


def _weeks(there: Mapping[date, str]) -> list[date]:
    """The Sundays through which days are built, with enough past before them."""
    if not there:
        return []
    first, last = min(there) + timedelta(days=churn.LEAST_PAST_DAYS - 1), max(there)
    end = last - timedelta(days=(last.weekday() + 1) % 7)
    weeks = [end - n * _WEEK for n in range(KEPT_WEEKS)]
    return sorted(week for week in weeks if week >= first)


def _fingerprint(there: Mapping[date, str], first: date, last: date) -> str:
    parts = [RULES_VERSION, *((str(day), said) for day, said in there.items() if first <= day <= last)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _week_fingerprint(there: Mapping[date, str], as_of: date) -> str:
    """Of the days that the scores of a week are made from, the model's included."""
    reach = _HORIZON + churn.MOST_SNAPSHOTS * _WEEK + timedelta(days=churn.PAST_DAYS)
    return _fingerprint(there, as_of - reach, as_of)


def _stale_weeks(session: WarehouseSession, there: Mapping[date, str]) -> dict[date, str]:
    rows = session.connection.execute(
        f"select as_of_date, any_value(inputs_fingerprint) from {ENGAGEMENT_SCORES.qualified_name} group by 1"
    ).fetchall()
    known: dict[date, str] = dict(rows)
    wanted = {week: _week_fingerprint(there, week) for week in _weeks(there)}
    stale = {week: said for week, said in wanted.items() if known.get(week) != said}
    # A week of nobody leaves no row, by which it would be known: it would be stale for ever.
    used = _days_with_users(session) if stale else []
    return {week: said for week, said in stale.items() if _has_users(used, week)}


def _days_with_users(session: WarehouseSession) -> list[date]:
    rows = session.connection.execute(
        f"select event_date from {PARTITION_STATE.qualified_name} where table_name = $name and row_count > 0",
        {"name": USER_DAYS.qualified_name},
    ).fetchall()
    return [day for (day,) in rows]


def _has_users(used: Sequence[date], as_of: date) -> bool:
    return any(as_of - timedelta(days=churn.LEAST_PAST_DAYS - 1) <= day <= as_of for day in used)


def _ungraded_weeks(session: WarehouseSession, there: Mapping[date, str]) -> list[date]:
    if not there:
        return []
    rows = session.connection.execute(
        f"select distinct as_of_date from {ENGAGEMENT_SCORES.qualified_name}"
        f" where as_of_date <= $last and as_of_date not in (select as_of_date from {ENGAGEMENT_GRADES.qualified_name})"
        " order by 1",
        {"last": max(there) - _HORIZON},
    ).fetchall()
    return [week for (week,) in rows]


def _snapshot(session: WarehouseSession, there: Mapping[date, str], as_of: date, known: date) -> _Snapshot:
    """The users of `as_of`, and what had become of them by `known` where their days were over by then."""
    first, is_over = as_of - timedelta(days=churn.PAST_DAYS - 1), as_of + _HORIZON <= known
    until = as_of + _HORIZON if is_over else as_of
    first = max(first, min(there))
    frame = read_frame(
        session,
        churn.snapshot_sql(lake_rows(session, USER_DAYS, first, until)),
        {"as_of": as_of, "from": first, "until": until, "is_over": is_over},
    )
    x = np.column_stack([frame[name].to_numpy(float) for name in churn.INPUTS])
    return _Snapshot(
        frame["user_id"].tolist(), x, frame["has_churned"].to_numpy(bool) if is_over and len(frame) else None
    )


def _trained(session: WarehouseSession, there: Mapping[date, str], as_of: date) -> churn.ChurnModel | None:
    """A model of the latest weeks whose labels were over on `as_of`; None where those are too few."""
    last = as_of - _HORIZON
    weeks = _weeks_before(there, last)
    parts = [part for week in weeks if (part := _snapshot(session, there, week, as_of)).churned is not None]
    if not parts:
        return None
    x = np.concatenate([part.x for part in parts])
    churned = np.concatenate([part.churned for part in parts if part.churned is not None])
    if len(x) > churn.MOST_TRAINING_ROWS:
        chosen = np.random.default_rng(as_of.toordinal()).permutation(len(x))[: churn.MOST_TRAINING_ROWS]
        x, churned = x[chosen], churned[chosen]
    with small_fits():
        return churn.fit_churn(x, churned)


def _weeks_before(there: Mapping[date, str], last: date) -> list[date]:
    first = min(there) + timedelta(days=churn.LEAST_PAST_DAYS - 1)
    return [week for n in range(churn.MOST_SNAPSHOTS) if (week := last - n * _WEEK) >= first]


def _score_week(session: WarehouseSession, there: Mapping[date, str], as_of: date, fingerprint: str) -> None:
    now = _snapshot(session, there, as_of, as_of)
    model = _trained(session, there, as_of)
    score = model.probabilities(now.x) if model else churn.baselines(now.inputs())[_FALLBACK]
    rank = churn.ranks_of(score)
    frame = pd.DataFrame(
        {
            "as_of_date": as_of, "user_id": now.users, "p_churn": score if model else None, "rank": rank,
            "band": churn.band_of(rank),
            "reasons": churn.reasons_of(model, now.x) if model else [[]] * len(now.users),
            "scored_by": "logistic" if model else _FALLBACK,
            "trained_through": as_of if model else None, "inputs_fingerprint": fingerprint,
        }
    )  # fmt: skip
    with session.transaction():
        session.connection.execute(
            f"delete from {ENGAGEMENT_GRADES.qualified_name} where as_of_date = $as_of", {"as_of": as_of}
        )
    replace_rows(session, ENGAGEMENT_SCORES, frame, "as_of_date = $as_of", {"as_of": as_of})


def _grade_week(session: WarehouseSession, there: Mapping[date, str], as_of: date) -> None:
    """Hold the scores that were given, not new ones, against what became of their users."""
    then = _snapshot(session, there, as_of, as_of + _HORIZON)
    given = read_frame(
        session,
        f"select user_id, p_churn from {ENGAGEMENT_SCORES.qualified_name} where as_of_date = $as_of",
        {"as_of": as_of},
    ).set_index("user_id")["p_churn"]
    if then.churned is None:
        return
    churned = then.churned
    grades: dict[str, churn.ChurnGrade] = {
        name: churn.grade_churn(churned, score, None, None) for name, score in churn.baselines(then.inputs()).items()
    }
    probability = given.reindex(then.users).to_numpy(float)
    if not np.isnan(probability).any():
        before = _snapshot(session, there, as_of - _HORIZON, as_of).churned
        base = float(before.mean()) if before is not None and len(before) else None
        grades["logistic"] = churn.grade_churn(churned, probability, probability, base)
    best = max((name for name in grades if name != "logistic"), key=lambda name: grades[name].roc_auc or 0.0)
    rows = [_grade_row(as_of, name, grade, best, grades[best].roc_auc) for name, grade in grades.items()]
    replace_rows(session, ENGAGEMENT_GRADES, pd.DataFrame(rows), "as_of_date = $as_of", {"as_of": as_of})


def _grade_row(as_of: date, name: str, grade: churn.ChurnGrade, baseline: str, best: float | None) -> dict[str, Any]:
    verdict = churn.churn_verdict(grade, best, name == "logistic")
    held = best if name == "logistic" else None
    return {
        "as_of_date": as_of, "candidate": name, **asdict(grade), "verdict": verdict,
        "reason": churn.grade_text(verdict, grade, baseline, held),
    }  # fmt: skip
