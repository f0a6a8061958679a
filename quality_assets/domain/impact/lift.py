"""What taking up a feature is associated with: adopters against similar people of the same day, by cross-fitted AIPW.

At risk is who is active on a day and has not used the feature before; an adopter uses it that day; those who will
later are among the others. Covariates end before the day, but for that day's sessions. Arrays in, numbers out.
Formulas: augmented inverse propensity weighting for the effect on the treated (Robins 1994, Chernozhukov 2018),
empirical calibration (Schuemie 2014), E-value (VanderWeele & Ding 2017).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.stats.intervals import Z_95
from quality_assets.domain.threads import limited_threads

OUTCOME_DAYS = 7
PAST_DAYS = 28
LEAST_PAST_DAYS = PAST_DAYS + OUTCOME_DAYS
"""Days of data before a first use: covariates of the week before, for the placebo, need them all."""
SPAN_DAYS = 56
"""First uses of so many days are looked at."""
LEAST_ADOPTERS = LEAST_OTHERS = 200
LEAST_OVERLAP = 0.8
LEAST_CONTROLS = 8
MOST_ADOPTERS = 10_000
OTHERS_EACH = 5
FOLDS = 5
_CALIPER_SD = 0.2
_CLIP = 0.01


@dataclass(frozen=True)
class UserDays:
    """When users were active: one entry a user and day, ordered by user, then day; days count from 0.

    `sessions` are those of the day; `platform` is a code per user, `joined` each user's first day, and `days` how many
    days there are.
    """

    user: Ints
    day: Ints
    sessions: Ints
    platform: Ints
    joined: Ints
    days: int

    @property
    def users(self) -> int:
        """How many users there are."""
        return len(self.joined)


@dataclass(frozen=True)
class Past:
    """Look-ups of what was before a day, for any user and day at once."""

    key: Ints
    sessions_before: Ints
    days: int

    @staticmethod
    def of(active: UserDays) -> Past:
        """The look-ups of some user-days."""
        return Past(
            active.user * active.days + active.day,
            np.concatenate([[0], np.cumsum(active.sessions)]),
            active.days,
        )

    def _at(self, user: Ints, day: Ints) -> Ints:
        return np.searchsorted(self.key, user * self.days + np.clip(day, 0, self.days))

    def active_days(self, user: Ints, first: Ints, until: Ints) -> Floats:
        """Active days of each user in [first, until)."""
        return np.asarray(self._at(user, until) - self._at(user, first), float)

    def sessions(self, user: Ints, first: Ints, until: Ints) -> Floats:
        """Sessions of each user in [first, until)."""
        return np.asarray(
            self.sessions_before[self._at(user, until)] - self.sessions_before[self._at(user, first)], float
        )

    def days_since(self, user: Ints, day: Ints) -> Floats:
        """Days since each user was last active before `day`; as many as are looked back where it is longer."""
        before = self._at(user, day) - 1
        # Where nothing was before, the last of all, which is told apart.
        last = self.key[before]
        is_own = (before >= 0) & (last // self.days == user)
        return np.where(is_own, np.minimum(day - last % self.days, PAST_DAYS), PAST_DAYS).astype(float)


@dataclass(frozen=True)
class AtRisk:
    """Rows of one feature: a user active on a day who has not used it before, and whether this is the first use."""

    user: Ints
    day: Ints
    adopts: Bools

    @property
    def others(self) -> int:
        """Rows of those who do not use it, whom those who do are compared with."""
        return int((~self.adopts).sum())


@dataclass(frozen=True)
class Estimate:
    """An adjusted difference: `att`, its standard error, what of it is raw, and how many adopters have like others."""

    naive: float
    adopter_rate: float
    att: float
    se: float
    overlap: float
    adopters: int

    @property
    def interval(self) -> tuple[float, float]:
        """Where the difference lies, by 95 %."""
        return self.att - Z_95 * self.se, self.att + Z_95 * self.se


def at_risk_rows(active: UserDays, first_use: Ints, first_day: int, last_day: int, seed: int = 0) -> AtRisk:
    """The rows of a feature whose users first used it on `first_use` (a day, or beyond all days): adopters of the days
    from `first_day` to `last_day`, at most MOST_ADOPTERS, and per day OTHERS_EACH others for each of them."""
    inside = (active.day >= first_day) & (active.day <= last_day)
    user, day = active.user[inside], active.day[inside]
    since = first_use[user]
    at_risk = since >= day
    user, day, adopts = user[at_risk], day[at_risk], (since == day)[at_risk]
    rng = np.random.default_rng([seed, 20_260])
    draw = rng.random(len(user))
    adopters = np.flatnonzero(adopts)
    if len(adopters) > MOST_ADOPTERS:
        adopters = np.sort(adopters[np.argsort(draw[adopters], kind="stable")[:MOST_ADOPTERS]])
    wanted = np.bincount(day[adopters], minlength=last_day + 1) * OTHERS_EACH
    others = np.flatnonzero(~adopts)
    order = others[np.lexsort((draw[others], day[others]))]
    starts = np.searchsorted(day[order], np.arange(last_day + 1))
    rank = np.arange(len(order)) - starts[day[order]]
    chosen = np.sort(np.concatenate([adopters, order[rank < wanted[day[order]]]]))
    return AtRisk(user[chosen], day[chosen], adopts[chosen])


def covariates(active: UserDays, past: Past, rows: AtRisk, lag_days: int = 0) -> Floats:
    """What was known of each row before its day less `lag_days`, and the sessions of the day itself; standardised."""
    user, until = rows.user, rows.day - lag_days
    week, month = until - 7, until - PAST_DAYS
    recent, long = past.active_days(user, week, until), past.active_days(user, month, until)
    sessions = past.sessions(user, month, until)
    today = np.log1p(past.sessions(user, rows.day, rows.day + 1))
    gap = past.days_since(user, until)
    tenure = np.minimum(np.maximum(until - active.joined[user], 0), 60).astype(float)
    last = past.active_days(user, until - 2, until)
    weekday = (rows.day[:, None] % 7 == np.arange(6)).astype(float)
    platforms = int(active.platform.max(initial=0))
    platform = (active.platform[user][:, None] == np.arange(platforms)).astype(float)
    is_new = (until <= active.joined[user]).astype(float)
    columns = [
        recent, recent**2, long, long**2, np.log1p(sessions), np.log1p(sessions) ** 2, today, today**2, gap,
        np.sqrt(gap), tenure, np.sqrt(tenure), last, is_new, long * today, recent * gap, rows.day.astype(float),
    ]  # fmt: skip
    matrix = np.column_stack([*columns, weekday, platform])
    spread = matrix.std(axis=0)
    return np.asarray((matrix - matrix.mean(axis=0)) / np.where(spread > 0, spread, 1.0))


def returned(past: Past, rows: AtRisk, first: int = 1, days: int = OUTCOME_DAYS) -> Floats:
    """Whether each row's user was active from `first` days after its day on, for `days` days: 0 or 1."""
    start = rows.day + first
    return (past.active_days(rows.user, start, start + days) > 0).astype(float)


def propensities(rows: AtRisk, x: Floats, seed: int = 0) -> Floats:
    """How likely each row was to be an adopter, by models that have not seen its user."""
    fold = _folds(rows.user, seed)
    found = np.empty(len(fold))
    for k in range(FOLDS):
        found[fold == k] = _logistic(x[fold != k], rows.adopts[fold != k], x[fold == k])
    return np.asarray(found.clip(_CLIP, 1 - _CLIP))


def adjusted(rows: AtRisk, outcome: Floats, x: Floats, propensity: Floats, seed: int = 0) -> Estimate:
    """The effect on adopters by cross-fitted AIPW, with a standard error clustered by user."""
    adopts = rows.adopts
    naive = float(outcome[adopts].mean() - outcome[~adopts].mean())
    fold = _folds(rows.user, seed)
    expected = np.empty(len(outcome))
    for k in range(FOLDS):
        quiet, test = (fold != k) & ~adopts, fold == k
        expected[test] = _logistic(x[quiet], outcome[quiet] > 0, x[test])
    residual = outcome - expected
    odds = propensity / (1 - propensity)
    treated = float(residual[adopts].mean())
    weight = np.where(adopts, 0.0, odds)
    compared = float((weight * residual).sum() / weight.sum())
    att = treated - compared
    share = adopts.mean()
    influence = np.where(adopts, residual - treated, 0.0) / share - weight * (residual - compared) / weight.mean()
    by_user = np.bincount(np.unique(rows.user, return_inverse=True)[1], weights=influence)
    se = sqrt(float((by_user**2).sum())) / len(outcome)
    return Estimate(naive, float(outcome[adopts].mean()), att, se, _overlap(propensity, adopts), int(adopts.sum()))


def _folds(user: Ints, seed: int) -> Ints:
    # Rows of one user stay together: a fold never sees the future of somebody it is held against.
    mixed = (user.astype(np.uint64) + np.uint64(seed * 7919 + 1)) * np.uint64(0x9E3779B97F4A7C15)
    return ((mixed >> np.uint64(40)) % np.uint64(FOLDS)).astype(np.int64)


def _logistic(x: Floats, y: Bools, at: Floats) -> Floats:
    from sklearn.linear_model import LogisticRegression

    if not len(y) or y.all() or not y.any():
        return np.full(len(at), float(y.mean()) if len(y) else 0.5)
    model = LogisticRegression(C=1.0, solver="newton-cholesky", max_iter=50).fit(x, y)
    return np.asarray(model.predict_proba(at)[:, 1])


@contextmanager
def small_fits() -> Iterator[None]:
    """For hundreds of small fits, of numbers and settings that are made here: on one thread, not looked through."""
    from sklearn import config_context

    with limited_threads(), config_context(assume_finite=True, skip_parameter_validation=True):
        yield


def _overlap(propensity: Floats, adopts: Bools) -> float:
    """The share of adopters with somebody of like propensity among the others: within 0.2 sd of its logit."""
    logit = np.log(propensity / (1 - propensity))
    others = np.sort(logit[~adopts])
    mine = logit[adopts]
    at = np.searchsorted(others, mine)
    below, above = others[np.maximum(at - 1, 0)], others[np.minimum(at, len(others) - 1)]
    nearest = np.minimum(np.abs(mine - below), np.abs(mine - above))
    return float((nearest <= _CALIPER_SD * logit.std()).mean())


@dataclass(frozen=True)
class Calibration:
    """An estimate held against those of all other features: what adopting anything is associated with here."""

    mean: float
    sd: float
    controls: int
    calibrated: float
    low: float
    high: float
    is_above_all: bool


def calibrate(estimate: Estimate, others: Sequence[Estimate]) -> Calibration | None:
    """`estimate` less the mean of the others, with their spread in its interval; None where they are under 8."""
    if len(others) < LEAST_CONTROLS:
        return None
    from scipy.stats import t

    values, errors = (np.array([getattr(other, name) for other in others]) for name in ("att", "se"))
    spread = max(0.0, float(values.var(ddof=1) - (errors**2).mean()))
    weights = 1 / (errors**2 + spread)
    mean = float((weights * values).sum() / weights.sum())
    wide = sqrt(estimate.se**2 + spread + 1 / float(weights.sum()))
    half = float(t.ppf(0.975, len(others) - 1)) * wide
    calibrated = estimate.att - mean
    return Calibration(
        mean, sqrt(spread), len(others), calibrated, calibrated - half, calibrated + half,
        bool(estimate.att > values.max()),
    )  # fmt: skip


def e_value(rate: float, comparison: float) -> float:
    """How strong a hidden cause of both would have to be, as a risk ratio; NaN where there is no excess."""
    if not rate > comparison > 0:
        return nan
    ratio = rate / comparison
    return ratio + sqrt(ratio * (ratio - 1))


def lift_verdict(found: Estimate, placebo: Estimate, held: Calibration | None) -> str:
    """`not measured` where few adopters have like others, `not established`, `suggestive (do not quote)` where adopters
    were ahead before, `associated (observational)` else."""
    if found.overlap < LEAST_OVERLAP:
        return "not measured"
    if held is None or held.low <= 0 or not held.is_above_all:
        return "not established"
    return "associated (observational)" if found.att > placebo.att else "suggestive (do not quote)"
