"""SQL of segments: when each of its conditions begins and ceases to hold of a user, and so who is a member when.

Each condition is a number that changes on some days: an active day adds one, and takes it away again when it falls out
of the look-back. Sums of the changes so far are what holds on a day; any stretch of days is one pass. `$start` is the
first date that is built, `built` has all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from quality_assets.contracts.definitions import AtLeast, Condition, Score, Segment
from quality_assets.contracts.impact import MOST_WINDOW_DAYS
from quality_assets.domain.impact.funnels import Bound

_SAID = ("platform", "country", "version")
SCORE_DAYS = 7
"""A week's score holds until the next week's."""


@dataclass(frozen=True)
class Measured:
    """One condition: its changes as (user_id, day, delta), and what its sum must be, with `{n}` for it."""

    changes: str
    test: str


def horizon_days(segment: Segment) -> int:
    """How many days back a member was last seen, at most.

    Somebody who has not been there for longer is no member, whatever else holds: else all who ever left would be.
    """
    present = [c.active_days or c.uses for c in segment.all]
    is_of_present = any(each is not None and each.at_least is not None for each in present)
    looks = [each.within for c in (*segment.all, *segment.any) if (each := c.active_days or c.uses or c.not_used)]
    return max(looks) if is_of_present else MOST_WINDOW_DAYS


def columns_asked(segment: Segment) -> tuple[str, ...]:
    """What conditions ask of a user's last day: columns of core.user_days."""
    conditions = (*segment.all, *segment.any)
    return tuple(name for name in _SAID if any(getattr(each, name) is not None for each in conditions))


def features_asked(segment: Segment) -> list[str]:
    """The features whose use conditions ask for."""
    asked = (each.uses or each.not_used for each in (*segment.all, *segment.any))
    return sorted({each.feature for each in asked if each is not None})


def asks_tenure(segment: Segment) -> bool:
    """Whether a condition asks since when somebody is there."""
    return any(each.tenure is not None for each in (*segment.all, *segment.any))


def asks_score(segment: Segment) -> bool:
    """Whether a condition asks how likely somebody is to stay away."""
    return any(each.score is not None for each in (*segment.all, *segment.any))


def transitions_sql(segment: Segment, user_days: str, user_feature_days: str, bound: Bound) -> str:
    """(user_id, day, is_member) whenever that changes; `user_days` and `user_feature_days` are within the horizon.

    `members` are the user_ids of who was a member before `$start`; `joined` and `scored` say since when they are there,
    and how likely they are to stay away.
    """
    horizon = horizon_days(segment)
    measured = [_measured(each, user_days, user_feature_days, bound) for each in (*segment.all, *segment.any)]
    # Last comes being there at all.
    measured.append(Measured(_counted(user_days, "1", horizon), "{n} >= 1"))
    changes = " union all ".join(f"select user_id, day, {n}, delta from ({m.changes})" for n, m in enumerate(measured))
    sums = ", ".join(f"sum(delta) filter (where number = {n}) as n_{n}" for n in range(len(measured)))
    so_far = ", ".join(f"coalesce(sum(n_{n}) over so_far, 0) as n_{n}" for n in range(len(measured)))
    tests = [f"({m.test.format(n=f'n_{n}')})" for n, m in enumerate(measured)]
    every, some = tests[: len(segment.all)], tests[len(segment.all) : -1]
    holds = " and ".join([*every, *([f"({' or '.join(some)})"] if some else []), tests[-1]])
    return f"""
with changes(user_id, day, number, delta) as (
  {changes}
  union all
  select user_id, cast($start as date), {len(measured) - 1}, 0 from members
),
next_built as (
  select c.day, event_date
  from (select cast($start as date) + cast(n as integer) as day
    from range((select max(event_date) from built) - cast($start as date) + 1) as days(n)) as c
  asof join built on built.event_date >= c.day
),
dated as (
  select user_id, next_built.event_date, number, delta
  from (select user_id, greatest(cast(day as date), cast($start as date)) as day, number, delta from changes) as c
  join next_built using (day)
),
summed as (select user_id, event_date, {sums} from dated group by user_id, event_date),
counted as (
  select user_id, event_date, {so_far} from summed
  window so_far as (partition by user_id order by event_date)
),
held as (select user_id, event_date, {holds} as is_member from counted),
compared as (
  select user_id, event_date, is_member,
    coalesce(lag(is_member) over (partition by user_id order by event_date),
      user_id in (select user_id from members)) as was_member
  from held
)
select user_id, event_date as day, is_member from compared where is_member <> was_member
"""


def _measured(condition: Condition, user_days: str, user_feature_days: str, bound: Bound) -> Measured:
    if condition.active_days is not None:
        return Measured(_counted(user_days, "1", condition.active_days.within), _between(condition.active_days, bound))
    if condition.uses is not None:
        of_feature = f"(select * from {user_feature_days} where feature = {bound.mark(condition.uses.feature)})"
        return Measured(_counted(of_feature, "events", condition.uses.within), _between(condition.uses, bound))
    if condition.not_used is not None:
        of_feature = f"(select * from {user_feature_days} where feature = {bound.mark(condition.not_used.feature)})"
        return Measured(_counted(of_feature, "events", condition.not_used.within), "{n} = 0")
    if condition.tenure is not None:
        begins = condition.tenure.at_least or 0
        tenure = f"select user_id, joined_date + {begins} as day, 1 as delta from joined"
        if condition.tenure.at_most is not None:
            tenure += (
                f" union all select user_id, joined_date + {max(condition.tenure.at_most + 1, begins)}, -1 from joined"
            )
        return Measured(tenure, "{n} >= 1")
    if condition.score is not None:
        scored = f"(select * from scored where {_score_test(condition.score, bound)})"
        counted = f"select user_id, as_of_date as day, 1 as delta from {scored}"
        counted += f" union all select user_id, as_of_date + {SCORE_DAYS}, -1 from {scored}"
        return Measured(counted, "{n} >= 1")
    column = next(name for name in _SAID if getattr(condition, name) is not None)
    return Measured(_last_said(user_days, column, bound.mark(list(getattr(condition, column)))), "{n} >= 1")


def _score_test(score: Score, bound: Bound) -> str:
    tests = [f"list_contains({bound.mark(list(score.band))}, band)"] if score.band is not None else []
    if score.at_least is not None:
        tests.append(f"rank >= {bound.mark(score.at_least)}")
    if score.at_most is not None:
        tests.append(f"rank <= {bound.mark(score.at_most)}")
    return " and ".join(tests)


def _between(asked: AtLeast, bound: Bound) -> str:
    tests = []
    if asked.at_least is not None:
        tests.append(f"{{n}} >= {bound.mark(asked.at_least)}")
    if asked.at_most is not None:
        tests.append(f"{{n}} <= {bound.mark(asked.at_most)}")
    return " and ".join(tests)


def _counted(days: str, what: str, within: int) -> str:
    return (
        f"select user_id, event_date as day, {what} as delta from {days}"
        f" union all select user_id, event_date + {within}, -{what} from {days}"
    )


def _last_said(user_days: str, column: str, values: str) -> str:
    """One while the last day that said something said one of `values`."""
    is_one = f"cast(list_contains({values}, {column}) as integer)"
    return (
        f"select user_id, event_date as day, {is_one} - coalesce(lag({is_one}) over"
        f" (partition by user_id order by event_date), 0) as delta from {user_days} where {column} is not null"
    )
