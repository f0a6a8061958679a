"""Who may stay away: what is known of users at the end of a week, a logistic model of it, and how well it foretold.

A snapshot is the users who were active in the last 28 days; who has no active day in the next 28 has churned. Inputs
end with the day of the snapshot, labels begin after it, and a model has seen only labels that were over by then.
Baselines: days since the last active day, active days, and those days over the user's own usual gap (Fader 2010).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.stats.intervals import Z_95
from quality_assets.domain.wording import count_text, share_text

HORIZON_DAYS = 28
PAST_DAYS = 84
"""Inputs look back so far."""
LEAST_PAST_DAYS = 28
MOST_SNAPSHOTS = 4
MOST_TRAINING_ROWS = 200_000
LEAST_OF_EACH = 50
"""Fewer who stayed, or stayed away, teach nothing."""
HIGH_RANK, MIDDLE_RANK = 0.9, 0.6
MOST_REASONS = 3

INPUTS: Mapping[str, tuple[str, str]] = {
    "recency": ("away for longer", "there lately"),
    "recency_by_gap": ("away for longer than usual for them", "within their usual gap"),
    "active_days_7": ("hardly there in the last week", "often there in the last week"),
    "active_days_28": ("few active days in four weeks", "many active days in four weeks"),
    "usual_gap": ("comes seldom", "comes often"),
    "trend": ("less active than the two weeks before", "more active than the two weeks before"),
    "sessions_28": ("few sessions", "many sessions"),
    "events_a_day": ("few events a day", "many events a day"),
    "features_a_day": ("few features a day", "many features a day"),
    "trouble_share": ("many errors and crashes", "few errors and crashes"),
    "tenure": ("known for long", "known for a short time"),
}
"""Inputs of the model, with the words for what speaks for staying away where the weight is above or below nought.

The words of a count are those of little of it first where little speaks for staying away."""
_LITTLE_SPEAKS = {"active_days_7", "active_days_28", "trend", "sessions_28", "events_a_day", "features_a_day"}


def snapshot_sql(user_days: str) -> str:
    """Inputs and label of the users of a snapshot, by user_id; `$as_of`, `$from` its first day read, `$until` the last.

    `user_days` are rows of core.user_days from `$from` to `$until`; the label is null where the horizon is not over.
    """
    return f"""
with days as (select * from {user_days} where not is_automated and event_date between $from and $until),
past as (select *, date_diff('day', event_date, $as_of) as ago from days where event_date <= $as_of),
known as (
  select user_id, min(ago) as recency, max(ago) as tenure,
    count(*) filter (where ago < 7) as active_days_7, count(*) filter (where ago < 28) as active_days_28,
    count(*) as active_days,
    count(*) filter (where ago < 14) - count(*) filter (where ago >= 14 and ago < 28) as trend,
    ln(1 + coalesce(sum(sessions) filter (where ago < 28), 0)) as sessions_28,
    ln(1 + avg(events)) as events_a_day, avg(features) as features_a_day,
    sum(errors + crashes) / sum(events) as trouble_share
  from past group by user_id having min(ago) < 28
),
later as (select distinct user_id from days where event_date > $as_of)
select known.user_id, recency, active_days_7, active_days_28, trend, sessions_28, events_a_day, features_a_day,
  trouble_share, ln(1 + tenure) as tenure,
  ln(1 + (tenure - recency + 1) / active_days) as usual_gap,
  recency / greatest(1, (tenure - recency) / greatest(1, active_days - 1)) as recency_by_gap,
  case when $is_over then later.user_id is null end as has_churned
from known left join later on later.user_id = known.user_id
order by known.user_id
"""


@dataclass(frozen=True)
class ChurnModel:
    """Weights over standardised inputs, in the order of INPUTS, and the share that stayed away where it learnt."""

    mean: Floats
    spread: Floats
    weights: Floats
    intercept: float
    base_rate: float

    def contributions(self, x: Floats) -> Floats:
        """What each input adds to the log-odds, by row."""
        return np.asarray((x - self.mean) / self.spread * self.weights)

    def probabilities(self, x: Floats) -> Floats:
        """How likely each row is to stay away."""
        return np.asarray(1 / (1 + np.exp(-(self.contributions(x).sum(axis=1) + self.intercept))))


def fit_churn(x: Floats, churned: Bools) -> ChurnModel | None:
    """A logistic model of rows and what became of them; None where either outcome is too rare to learn from."""
    from sklearn.linear_model import LogisticRegression

    if min(int(churned.sum()), int((~churned).sum())) < LEAST_OF_EACH:
        return None
    mean, spread = x.mean(axis=0), x.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    fitted = LogisticRegression(C=0.1, solver="newton-cholesky", max_iter=100).fit((x - mean) / spread, churned)
    return ChurnModel(mean, spread, fitted.coef_[0], float(fitted.intercept_[0]), float(churned.mean()))


def baselines(inputs: Mapping[str, Floats]) -> dict[str, Floats]:
    """Each baseline's score of the rows: higher is likelier to stay away."""
    return {
        "recency": inputs["recency"],
        "active_days": -inputs["active_days_28"],
        "recency_by_gap": inputs["recency_by_gap"],
    }


def ranks_of(score: Floats) -> Floats:
    """The share of rows with a lower score, half of those with the same."""
    # As scipy.stats.rankdata, which takes a second to import.
    return (pd.Series(score).rank().to_numpy() - 0.5) / len(score)


def band_of(rank: Floats) -> list[str]:
    """The band of each rank."""
    return np.select([rank >= HIGH_RANK, rank >= MIDDLE_RANK], ["high", "middle"], "low").tolist()


def reasons_of(model: ChurnModel, x: Floats) -> list[list[str]]:
    """What speaks most for staying away, row by row, in words; the strongest first."""
    adds = model.contributions(x)
    order = np.argsort(-adds, axis=1, kind="stable")[:, :MOST_REASONS]
    strong = np.take_along_axis(adds, order, axis=1) > 0
    is_more = (np.sign(model.weights) > 0).tolist()
    said = [
        words[0] if more == (name not in _LITTLE_SPEAKS) else words[1]
        for (name, words), more in zip(INPUTS.items(), is_more, strict=True)
    ]
    named = np.array(said, dtype=object)[order]
    return [row[kept].tolist() for row, kept in zip(named, strong, strict=True)]


@dataclass(frozen=True)
class ChurnGrade:
    """How one candidate foretold a week."""

    users: int
    churned: int
    roc_auc: float | None
    roc_low: float | None
    roc_high: float | None
    average_precision: float | None
    brier: float | None
    brier_skill: float | None


def grade_churn(churned: Bools, score: Floats, probability: Floats | None, base_rate: float | None) -> ChurnGrade:
    """The grade of scores, and of probabilities where there are any, against what became of the users.

    Skill is over the share that had stayed away before, `base_rate`: that of the week itself nobody knew.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    n, bad = len(churned), int(churned.sum())
    brier = skill = None
    if probability is not None and n:
        brier = float(((probability - churned) ** 2).mean())
        usual = float(((base_rate - churned) ** 2).mean()) if base_rate is not None else 0.0
        skill = 1 - brier / usual if usual > 0 else None
    if min(bad, n - bad) == 0:
        return ChurnGrade(n, bad, None, None, None, None, brier, skill)
    roc = float(roc_auc_score(churned, score))
    half = Z_95 * roc_se(roc, bad, n - bad)
    return ChurnGrade(
        n, bad, roc, max(0.0, roc - half), min(1.0, roc + half), float(average_precision_score(churned, score)),
        brier, skill,
    )  # fmt: skip


def roc_se(roc: float, positives: int, negatives: int) -> float:
    """The standard error of an area under the curve (Hanley & McNeil 1982)."""
    q1, q2 = roc / (2 - roc), 2 * roc**2 / (1 + roc)
    variance = roc * (1 - roc) + (positives - 1) * (q1 - roc**2) + (negatives - 1) * (q2 - roc**2)
    return sqrt(max(0.0, variance) / (positives * negatives))


def churn_verdict(grade: ChurnGrade, best_baseline: float | None, is_model: bool) -> str:
    """What of a candidate's scores may be used: probabilities, ranks, or nothing beyond a baseline."""
    if grade.roc_auc is None or min(grade.churned, grade.users - grade.churned) < LEAST_OF_EACH:
        return "too few to tell"
    if not is_model:
        return "ranks only"
    if best_baseline is not None and grade.roc_auc <= best_baseline:
        return "no better than a baseline"
    return "probabilities hold" if grade.brier_skill is not None and grade.brier_skill > 0 else "ranks only"


def grade_text(verdict: str, grade: ChurnGrade, baseline: str, best_baseline: float | None) -> str:
    """The verdict of a week with its numbers."""
    who = f"{count_text(grade.churned)} of {count_text(grade.users)} users stayed away"
    if grade.roc_auc is None or verdict == "too few to tell":
        return f"Too few to tell: {who}; {LEAST_OF_EACH} of each kind are needed."
    found = f"ROC {grade.roc_auc:.2f} ({grade.roc_low:.2f} to {grade.roc_high:.2f})"
    against = f", {baseline.replace('_', ' ')} alone {best_baseline:.2f}" if best_baseline is not None else ""
    skill = f"; Brier skill {grade.brier_skill:.2f}" if grade.brier_skill is not None else ""
    share = share_text(grade.churned / grade.users)
    return f"{verdict[0].upper()}{verdict[1:]}: {found}{against}{skill}; {who} ({share})."
