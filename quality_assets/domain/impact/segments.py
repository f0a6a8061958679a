"""SQL of segments: when each of its conditions begins and ceases to hold of a user, and so who is a member when.

Each condition is a number that changes on some days: an active day adds one, and takes it away again when it falls out
of the look-back. Sums of the changes so far are what holds on a day; any stretch of days is one pass. `$start` is the
first date that is built, `built` has all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quality_assets.contracts.definitions import AtLeast, Condition, Score, Segment
from quality_assets.contracts.impact import MOST_WINDOW_DAYS
from quality_assets.domain.impact.funnels import Bound

_SAID = ("platform", "country", "version")
SCORE_DAYS = 7
"""A week's score holds until the next week's."""


@dataclass(frozen=True)
class Measured:
    """A number that changes on some days: since when (user_id, day, delta) counts, and until when.

    `ends_after` is after how many days what began is over, where that is the same for all; else `rows` say it all.
    """

    rows: str
    ends_after: int | None = None


def horizon_days(segment: Segment) -> int:
    """How many days back a member was last seen, at most.

    Somebody who has not been there for longer is no member, whatever else holds: else all who ever left would be.
    """
    present = [c.active_days or c.uses for c in segment.all]
    is_of_present = any(each is not None and each.at_least is not None for each in present)
    looks = [each.within for c in (*segment.all, *segment.any) if (each := c.active_days or c.uses or c.not_used)]
    return max(looks) if is_of_present else MOST_WINDOW_DAYS


def least_active_days(segment: Segment) -> int:
    """On how many of the days within the horizon somebody was there who is ever a member, at least."""
    return max((c.active_days.at_least or 1 for c in segment.all if c.active_days is not None), default=1)


def longest_tenure_days(segment: Segment) -> int | None:
    """For how many days after their first somebody may be a member; None where that is not limited."""
    asked = [c.tenure.at_most for c in segment.all if c.tenure is not None and c.tenure.at_most is not None]
    return min(asked, default=None)


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


def transitions_sql(
    segment: Segment, user_days: str, user_feature_days: str, bound: Bound, *, is_daily: bool = False
) -> str:
    """(user_id, day, is_member) whenever that changes; `user_days` and `user_feature_days` are within the horizon.

    `members` are the user_ids of who was a member before `$start`; `joined` and `scored` say since when they are there,
    and how likely they are to stay away. `is_daily`: no day is missing among those that are built.
    """
    asked = [_measured(each, user_days, user_feature_days, bound) for each in (*segment.all, *segment.any)]
    # Last comes being there at all.
    asked.append((_counted(user_days, "1", horizon_days(segment)), "{n} >= 1"))
    numbers = list(dict.fromkeys(measured for measured, _ in asked))
    tests = [f"({test.format(n=f'{{}}n_{numbers.index(measured)}')})" for measured, test in asked]
    every, some = tests[: len(segment.all)], tests[len(segment.all) : -1]
    holds = " and ".join([*every, *([f"({' or '.join(some)})"] if some else []), tests[-1]])
    names = [f"n_{n}" for n in range(len(numbers))]
    so_far = ", ".join(f"coalesce(sum({n}) over so_far, 0) as {n}, {n} as change_{n}" for n in names)
    before = ", ".join(f"{n} - coalesce(change_{n}, 0) as before_{n}" for n in names)
    return f"""
with changes as (
  {_changes_sql(numbers)}
  union all by name
  select user_id, cast($start as date) as day, 0 as n_{len(numbers) - 1} from members
),
dated as ({_DAILY if is_daily else _TO_NEXT_BUILT}),
summed as (
  select user_id, event_date, {", ".join(f"sum({n}) as {n}" for n in names)} from dated group by user_id, event_date
),
counted as (
  select user_id, event_date, {so_far} from summed
  window so_far as (partition by user_id order by event_date)
),
compared as (
  select user_id, event_date, {holds.format(*[""] * holds.count("{}"))} as is_member,
    -- Nothing changes between two rows: what held before this one is what holds without its changes.
    case when event_date = (select min(event_date) from built) then user_id in (select user_id from members)
      else {holds.format(*["before_"] * holds.count("{}"))} end as was_member
  from (select *, {before} from counted)
)
select user_id, event_date as day, is_member from compared where is_member <> was_member
"""


_DAILY = """
  select * exclude (day), greatest(cast(day as date), cast($start as date)) as event_date from changes
  where day <= (select max(event_date) from built)"""
_TO_NEXT_BUILT = """
  select c.* exclude (day), next_built.event_date
  from (select * replace (greatest(cast(day as date), cast($start as date)) as day) from changes) as c
  join (
    select calendar.day, event_date
    from (select cast($start as date) + cast(n as integer) as day
      from range((select max(event_date) from built) - cast($start as date) + 1) as days(n)) as calendar
    asof join built on built.event_date >= calendar.day
  ) as next_built using (day)"""


def _changes_sql(numbers: Sequence[Measured]) -> str:
    """All changes with a column a number: what begins the same days is one row, however many numbers it begins."""
    begun: dict[str, list[int]] = {}
    for n, measured in enumerate(numbers):
        begun.setdefault(measured.rows, []).append(n)
    parts = []
    for rows, columns in begun.items():
        parts.append(f"select user_id, day, {', '.join(f'delta as n_{n}' for n in columns)} from ({rows})")
        for n in columns:
            after = numbers[n].ends_after
            if after is not None:
                parts.append(f"select user_id, day + {after} as day, -delta as n_{n} from ({rows})")
    return " union all by name ".join(parts)


def _measured(condition: Condition, user_days: str, user_feature_days: str, bound: Bound) -> tuple[Measured, str]:
    """A condition's number, and what it must be, with `{n}` for it."""
    if condition.active_days is not None:
        return _counted(user_days, "1", condition.active_days.within), _between(condition.active_days, bound)
    if condition.uses is not None:
        of_feature = f"(select * from {user_feature_days} where feature = {bound.mark(condition.uses.feature)})"
        return _counted(of_feature, "events", condition.uses.within), _between(condition.uses, bound)
    if condition.not_used is not None:
        of_feature = f"(select * from {user_feature_days} where feature = {bound.mark(condition.not_used.feature)})"
        return _counted(of_feature, "events", condition.not_used.within), "{n} = 0"
    if condition.tenure is not None:
        begins = condition.tenure.at_least or 0
        tenure = f"select user_id, joined_date + {begins} as day, 1 as delta from joined"
        if condition.tenure.at_most is not None:
            tenure += (
                f" union all select user_id, joined_date + {max(condition.tenure.at_most + 1, begins)}, -1 from joined"
            )
        return Measured(tenure), "{n} >= 1"
    if condition.score is not None:
        scored = (
            f"select user_id, as_of_date as day, 1 as delta from scored where {_score_test(condition.score, bound)}"
        )
        return Measured(scored, SCORE_DAYS), "{n} >= 1"
    column = next(name for name in _SAID if getattr(condition, name) is not None)
    return Measured(_last_said(user_days, column, bound.mark(list(getattr(condition, column))))), "{n} >= 1"


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


def _counted(days: str, what: str, within: int) -> Measured:
    return Measured(f"select user_id, event_date as day, {what} as delta from {days}", within)


def _last_said(user_days: str, column: str, values: str) -> str:
    """One while the last day that said something said one of `values`."""
    is_one = f"cast(list_contains({values}, {column}) as integer)"
    return (
        f"select user_id, event_date as day, {is_one} - coalesce(lag({is_one}) over"
        f" (partition by user_id order by event_date), 0) as delta from {user_days} where {column} is not null"
    )
