"""Queries of what people make of features: funnels, retention, adoption, segments, and who defined them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from difflib import get_close_matches
from typing import Any

from quality_assets.contracts.definitions import Funnel, from_spec
from quality_assets.contracts.impact import COHORT_DAYS, MONTH_DAYS, RETENTION_KINDS
from quality_assets.domain.impact import impact_words as words
from quality_assets.domain.impact.impact_words import Step
from quality_assets.domain.impact.settings import LAST_RETENTION_DAY, LEFT_TRUNCATED_DAYS
from quality_assets.read.reader import Reader, Row, per_snapshot

DEFINITIONS, FUNNEL_DAYS, STEP_DAYS = "impact.definitions", "impact.funnel_days", "impact.funnel_step_days"
ENTRIES, RETENTION, ADOPTION = "impact.funnel_entries", "impact.retention", "impact.feature_adoption"
SEGMENT_DAYS, ENGAGEMENT, EVENT_DAYS = "impact.segment_days", "impact.engagement_days", "impact.event_days"

# Checks of what the impact tables are made from: a day on which one is red is marked.
_MADE_FROM = ("raw.raw_logs", "core.valid_events", "core.user_feature_days")


class UnknownNameError(KeyError):
    """Nothing is defined, or seen, under a name. The message names the nearest that are."""

    def __str__(self) -> str:
        return str(self.args[0])


@per_snapshot
def definitions(reader: Reader, kind: str) -> list[Row]:
    """The definitions of one kind by name: owner, what they say (`said`), and why they cannot be used."""
    if not reader.has(DEFINITIONS):
        return []
    found = reader.rows(
        f"select name, owner, spec, path, error, version from {DEFINITIONS} where kind = $kind order by name",
        {"kind": kind},
    )
    return [row | {"said": json.loads(row["spec"])} for row in found]


def definition(reader: Reader, kind: str, name: str) -> Row:
    """One definition; UnknownNameError where there is none."""
    known = definitions(reader, kind)
    for row in known:
        if row["name"] == name:
            return row
    raise UnknownNameError(_no_such(kind, name, [row["name"] for row in known]))


def _no_such(kind: str, name: str, names: Sequence[str]) -> str:
    near = get_close_matches(name, sorted(names), n=3, cutoff=0.0)
    if not near:
        return f"there is no {kind} {name!r}, nor any other in what is published: `quality run` makes those of the data"
    return f"there is no {kind} {name!r}; the nearest names are {', '.join(near)}"


def funnel(reader: Reader, name: str) -> Funnel:
    """A funnel that can be used; UnknownNameError where there is none, ValueError with the reason where it cannot."""
    row = definition(reader, "funnel", name)
    if row["error"]:
        raise ValueError(str(row["error"]).removeprefix(words.WAITS))
    return from_spec(Funnel, row["spec"])


@per_snapshot
def last_seen(reader: Reader, name: str) -> dict[int, date | None]:
    """When the event of each step of a funnel was last seen; None where it never was."""
    if not reader.has(STEP_DAYS):
        return {}
    rows = reader.rows(
        f"select step, max(event_date) filter (where events > 0) as day from {STEP_DAYS} where funnel = $name"
        " group by step",
        {"name": name},
    )
    return {row["step"]: row["day"] for row in rows}


@per_snapshot
def funnel_rows(reader: Reader, name: str) -> list[Row]:
    """The rows of impact.funnel_days of one funnel, each with its verdict; everyone first, then by segment."""
    if not reader.has(FUNNEL_DAYS):
        return []
    seen = last_seen(reader, name)
    doubtful = doubtful_days(reader)
    rows = reader.rows(
        f"select * from {FUNNEL_DAYS} where funnel = $name"
        " order by segment nulls first, value nulls first, entry_date, step",
        {"name": name},
    )
    for row in rows:
        verdict = words.funnel_row_verdict(row, seen.get(row["step"]))
        row["verdict"] = verdict + ("; a blocking check fails on this day" if row["entry_date"] in doubtful else "")
    return rows


@dataclass(frozen=True)
class FunnelPeriod:
    """How a funnel stands in the last days whose windows are over: units once each, by their first entry."""

    start: date
    end: date
    unit: str
    steps: tuple[Step, ...]
    median_s: tuple[float | None, ...]
    entries_open: int
    entries_recent: int
    sentence: str
    coverage: str


@per_snapshot
def funnel_period(reader: Reader, name: str, days: int = MONTH_DAYS) -> FunnelPeriod:
    """The last `days` days of entry whose windows are over, and what is still open since."""
    defined = funnel(reader, name)
    through = reader.through
    assert through is not None
    end = through - timedelta(days=defined.reach_days)
    start = end - timedelta(days=days - 1)
    parameters: dict[str, Any] = {"name": name, "start": start, "end": end}
    reached = reached_steps(reader, parameters, len(defined.steps))
    waiting = reader.rows(
        f"select count(*) as entered, count(*) filter (where not is_final and reached < $steps) as waiting"
        f" from {ENTRIES} where funnel = $name and entry_date > $end",
        {"name": name, "end": end, "steps": len(defined.steps)},
    )[0]
    counted = reader.rows(
        f"select step, sum(events) as events, sum(events_without_unit) as without_unit,"
        f" sum(events_automated) as automated from {STEP_DAYS}"
        " where funnel = $name and event_date between $start and $through group by step order by step",
        {"name": name, "start": start, "through": through},
    )
    by_step = {row["step"]: row for row in counted}
    seen = last_seen(reader, name)
    steps = tuple(
        Step(
            words.step_words(step),
            reached.get(n, (0, None))[0],
            seen.get(n),
            by_step[n]["without_unit"] / by_step[n]["events"] if n in by_step and by_step[n]["events"] else None,
        )
        for n, step in enumerate(defined.steps, start=1)
    )
    return FunnelPeriod(
        start,
        end,
        defined.unit,
        steps,
        tuple(reached.get(n, (0, None))[1] for n in range(1, len(steps) + 1)),
        int(waiting["waiting"]),
        int(waiting["entered"]),
        words.funnel_sentence(steps, start, end, defined.unit, through),
        words.coverage_sentence(
            int(sum(row["events"] for row in counted)),
            int(sum(row["without_unit"] for row in counted)),
            int(sum(row["automated"] for row in counted)),
            defined.unit,
        ),
    )


def reached_steps(reader: Reader, parameters: dict[str, Any], steps: int) -> dict[int, tuple[int, float | None]]:
    """How many reached each step, and their median time to it: units of a period by their first entry in it."""
    rows = reader.rows(
        f"""
with first as (
  select unit, arg_min(step_at, entry_date) as step_at, arg_min(reached, entry_date) as reached
  from {ENTRIES} where funnel = $name and entry_date between $start and $end group by unit
)
select cast(step as integer) as step, count(*) as reached, median(epoch(step_at[step]) - epoch(step_at[1])) as median_s
from first cross join range(1, $steps + 1) as steps(step) where reached >= step group by step
""",
        {**parameters, "steps": steps},
    )
    return {row["step"]: (row["reached"], row["median_s"]) for row in rows}


@per_snapshot
def funnel_splits(reader: Reader, name: str, days: int = MONTH_DAYS) -> list[Row]:
    """Each part of each split: entered and reached the last step in the last days that are over, and in those before.

    A unit counts once in either time, by its first entry in it, as it does in the funnel's sentence. The largest change
    by people comes first.
    """
    defined = funnel(reader, name)
    through = reader.through
    assert through is not None
    end = through - timedelta(days=defined.reach_days)
    rows = reader.rows(
        f"""
with first as (
  select unit, entry_date > $middle as is_now, arg_min(reached, entry_date) as reached,
    arg_min(segments, entry_date) as segments
  from {ENTRIES} where funnel = $name and entry_date between $start and $end group by unit, is_now
),
split as (select is_now, reached >= $last as is_done, unnest(map_entries(segments)) as entry from first)
select entry.key as segment, entry.value as value,
  count(*) filter (where is_now) as entered, count(*) filter (where is_now and is_done) as reached,
  count(*) filter (where not is_now) as entered_before,
  count(*) filter (where not is_now and is_done) as reached_before
from split group by segment, value
""",
        {
            "name": name,
            "last": len(defined.steps),
            "middle": end - timedelta(days=days),
            "start": end - timedelta(days=2 * days - 1),
            "end": end,
        },
    )
    shares = [((row["reached"], row["entered"]), (row["reached_before"], row["entered_before"])) for row in rows]
    for row, (now, before), is_told in zip(rows, shares, words.are_changes(shares), strict=True):
        new = now[0] / now[1] if now[1] else None
        old = before[0] / before[1] if before[1] else None
        row["rate"], row["rate_before"] = new, old
        row["people"] = abs(new - old) * float(now[1]) if new is not None and old is not None else 0.0
        row["sentence"] = words.split_sentence(row["segment"], row["value"], now, before) if is_told else None
    return sorted(rows, key=lambda row: (-row["people"], row["segment"], row["value"] or ""))


@per_snapshot
def first_date(reader: Reader) -> date | None:
    """The first day of all data."""
    if not reader.has(EVENT_DAYS):
        return None
    found: date | None = reader.rows(f"select min(event_date) as day from {EVENT_DAYS}")[0]["day"]
    return found


@per_snapshot
def is_anonymous(reader: Reader) -> bool:
    """Whether there are events, and none of them names its user: what is of people is unknown then, and not zero."""
    if not reader.has("core.user_days") or first_date(reader) is None:
        return False
    return not reader.rows("select 1 as one from core.user_days limit 1")


@per_snapshot
def is_young(reader: Reader) -> bool:
    """Whether the last 28 days touch the first 28 of the data, in which everybody is new."""
    first = first_date(reader)
    return (
        first is not None
        and reader.through is not None
        and (reader.through - timedelta(days=MONTH_DAYS - 1) < first + timedelta(days=LEFT_TRUNCATED_DAYS))
    )


@per_snapshot
def retained_features(reader: Reader) -> list[str]:
    """Features that anything is known of the retention of; '*', the product, first."""
    if not reader.has(RETENTION):
        return []
    return [row["feature"] for row in reader.rows(f"select distinct feature from {RETENTION} order by feature")]


@per_snapshot
def retention_rows(reader: Reader, feature: str, kind: str | None = None) -> list[Row]:
    """The rows of impact.retention of a feature ('*' is the product), of one kind or of all, each with its verdict."""
    first = first_date(reader)
    if not reader.has(RETENTION) or first is None:
        return []
    rows = reader.rows(
        f"select * from {RETENTION} where feature = $feature and kind = coalesce($kind, kind)"
        " order by kind, cohort_date, day_n",
        {"feature": feature, "kind": kind},
    )
    doubtful = sorted(doubtful_days(reader))
    for row in rows:
        verdict = words.retention_row_verdict(row, first)
        row["verdict"] = verdict + ("; a blocking check fails on a day of it" if _touches(row, doubtful) else "")
    return rows


def _touches(row: Row, days: Sequence[date]) -> bool:
    """Whether a row of impact.retention counts anybody of one of `days`."""
    last = {"exact": row["day_n"], "within_30": LAST_RETENTION_DAY, "on_or_after": COHORT_DAYS}[row["kind"]]
    ages = ((day - row["cohort_date"]).days for day in days)
    return any(age == 0 or row["day_n"] <= age <= last for age in ages)


@per_snapshot
def retention_means(reader: Reader, feature: str, kind: str) -> list[Row]:
    """Per day n over the cohorts whose days are over, weighted by their size: eligible, returned, rate, cohorts.

    Cohorts of the first 28 days of the data, in which everybody is new, are left out where there are later ones.
    """
    rows, first = _meant_rows(reader, feature, kind), first_date(reader)
    fresh = [row for row in rows if first and (row["cohort_date"] - first).days >= LEFT_TRUNCATED_DAYS]
    found: dict[int, Row] = {}
    for row in fresh or rows:
        sums = found.setdefault(row["day_n"], {"day_n": row["day_n"], "eligible": 0, "returned": 0, "cohorts": 0})
        sums["eligible"] += row["eligible"]
        sums["returned"] += row["returned"]
        sums["cohorts"] += 1
    return [row | {"rate": row["returned"] / row["eligible"]} for _, row in sorted(found.items())]


def _meant_rows(reader: Reader, feature: str, kind: str) -> list[Row]:
    """The rows that means are of: of what is counted as far as it was observed, no day is over."""
    return [row for row in retention_rows(reader, feature, kind) if row["is_final"] or kind == "on_or_after"]


def left_out_note(reader: Reader, feature: str, kind: str) -> str:
    """Which cohorts the means are of: those of the first 28 days of the data are no new people."""
    rows, first = _meant_rows(reader, feature, kind), first_date(reader)
    is_fresh = [(row["cohort_date"] - first).days >= LEFT_TRUNCATED_DAYS for row in rows if first]
    if not is_fresh:
        return "No cohort's days are over yet."
    if any(is_fresh):
        return (
            "Without the cohorts of the first 28 days of the data: people who were already there count as new in them."
        )
    return (
        "All from the first 28 days of the data, in which people who were already there count as new: read with care."
    )


def retention_sentence(reader: Reader, feature: str, kind: str, day_n: int = 7) -> str:
    """How many return, by one kind: no rate of return stands without its kind."""
    means = {row["day_n"]: row for row in retention_means(reader, feature, kind)}
    row = means.get(day_n, {"returned": 0, "eligible": 0, "cohorts": 0})
    return words.retention_sentence(kind, day_n, row["returned"], row["eligible"], row["cohorts"])


def known_feature(reader: Reader, feature: str) -> str:
    """`feature`, where its retention is known; UnknownNameError with the nearest names else."""
    known = retained_features(reader)
    if feature not in known:
        raise UnknownNameError(_no_such("feature", feature, known))
    return feature


@per_snapshot
def segment_rows(reader: Reader, name: str) -> list[Row]:
    """The rows of impact.segment_days of one segment, each with its verdict; no figures where events name nobody."""
    if not reader.has(SEGMENT_DAYS) or reader.through is None:
        return []
    through = reader.through
    rows = reader.rows(f"select * from {SEGMENT_DAYS} where segment = $name order by event_date", {"name": name})
    if is_anonymous(reader):
        unknown = {"members": None, "entered": None, "left": None, "verdict": words.NOBODY_NAMED}
        return [row | unknown for row in rows]
    last = len(rows) - 1
    doubtful = doubtful_days(reader)
    return [
        row
        | {
            "verdict": words.segment_sentence(row, through if n == last else row["event_date"])
            + (" A blocking check fails on this day." if row["event_date"] in doubtful else "")
        }
        for n, row in enumerate(rows)
    ]


@per_snapshot
def segments(reader: Reader) -> list[Row]:
    """Every segment with its last day, a month of members, and what is wrong with it."""
    found = []
    for row in definitions(reader, "segment"):
        days = segment_rows(reader, row["name"])
        last = days[-1] if days else None
        found.append(
            {
                "segment": row["name"],
                "owner": row["owner"],
                "description": row["said"].get("description"),
                "error": row["error"],
                "as_of": last["event_date"] if last else None,
                "members": last["members"] if last else None,
                "entered": last["entered"] if last else None,
                "left": last["left"] if last else None,
                "spark": tuple(day["members"] for day in days[-MONTH_DAYS:] if day["members"] is not None),
                "verdict": last["verdict"] if last else row["error"] or "nothing is built of it yet",
            }
        )
    return found


@per_snapshot
def adoption(reader: Reader) -> list[Row]:
    """Every feature on the last day: adoption of 28 days, now and 28 days before, a spark of it, and engagement.

    `second_use_7d` is of all whose seven days after the first use ended within the 28 days, and `stickiness` the users
    of a mean day of these: those of one day are a handful of people, and of its weekday. What was before is known where
    its 28 days are all of the data: of fewer days fewer people use a feature, whatever became of it.
    """
    through, first = reader.through, first_date(reader)
    if not reader.has(ADOPTION, ENGAGEMENT) or through is None:
        return []
    has_before = first is not None and through - timedelta(days=2 * MONTH_DAYS - 1) >= first
    return reader.rows(
        f"""
with days as (
  select *, mau / nullif(all_mau, 0) as adoption from {ADOPTION} where event_date >= $through - {MONTH_DAYS}
),
again as (
  select feature, sum(after.second_use_7d * first.new_adopters) / nullif(sum(first.new_adopters), 0) as second_use_7d
  from {ADOPTION} as after join {ADOPTION} as first using (feature)
  where after.event_date > $through - {MONTH_DAYS} and first.event_date = after.event_date - 7
    and after.second_use_7d is not null
  group by feature
),
past as (
  select feature, list(adoption order by event_date) filter (where event_date > $through - {MONTH_DAYS}) as spark,
    max(adoption) filter (where $has_before and event_date = $through - {MONTH_DAYS}) as adoption_before,
    max(mau) filter (where $has_before and event_date = $through - {MONTH_DAYS}) as mau_before,
    max(all_mau) filter (where $has_before and event_date = $through - {MONTH_DAYS}) as all_mau_before,
    sum(new_adopters) filter (where event_date > $through - {MONTH_DAYS}) as new_adopters,
    avg(users) filter (where event_date > $through - {MONTH_DAYS}) as users_a_day
  from days group by feature
),
engaged as (
  select feature, arg_max(completion_rate, event_date) as completion_rate,
    arg_max(share_rate, event_date) as share_rate, arg_max(k_factor, event_date) as k_factor,
    arg_max(events_per_session_mean, event_date) as events_per_session,
    arg_max(duration_median_s, event_date) as duration_median_s
  from {ENGAGEMENT} where event_date > $through - {MONTH_DAYS} group by feature
)
select feature, adoption, adoption_before, spark, mau, all_mau, mau_before, all_mau_before, users,
  past.new_adopters, again.second_use_7d, users_a_day / nullif(mau, 0) as stickiness,
  completion_rate, share_rate, k_factor, events_per_session, duration_median_s
from days join past using (feature) left join again using (feature) left join engaged using (feature)
where days.event_date = $through order by adoption desc, feature
""",
        {"through": through, "has_before": has_before},
    )


@per_snapshot
def adoption_days(reader: Reader, feature: str) -> list[Row]:
    """One feature's rows of impact.feature_adoption and impact.engagement_days by day; is_doubtful: a check is red."""
    if not reader.has(ADOPTION, ENGAGEMENT):
        return []
    rows = reader.rows(
        f"select * from {ADOPTION} left join {ENGAGEMENT} using (event_date, feature) where feature = $feature"
        " order by event_date",
        {"feature": feature},
    )
    doubtful = doubtful_days(reader)
    return [row | {"is_doubtful": row["event_date"] in doubtful} for row in rows]


@per_snapshot
def adoption_curve(reader: Reader, feature: str) -> list[Row]:
    """How long people take to adopt a feature, by the month they came in."""
    if not reader.has("impact.adoption_curve"):
        return []
    return reader.rows(
        "select * from impact.adoption_curve where feature = $feature order by cohort_month, day_n",
        {"feature": feature},
    )


@per_snapshot
def doubtful_days(reader: Reader) -> frozenset[date]:
    """Days on which a blocking check of events, or of what they are made from, does not pass."""
    if not reader.has("monitoring.check_results"):
        return frozenset()
    rows = reader.rows(
        """
select distinct try_cast(partition_key as date) as day from (
  select partition_key, status, is_blocking from monitoring.check_results where list_contains($assets, asset)
  qualify row_number() over (partition by asset, check_name, partition_key order by checked_at desc, run_id) = 1
) where is_blocking and status = 'failed' and partition_key <> ''
""",
        {"assets": list(_MADE_FROM)},
    )
    return frozenset(row["day"] for row in rows if row["day"] is not None)


def retention_kind(asked: str | None) -> str:
    """The kind of retention that an address asks for; on the day exactly where it asks for none that there is."""
    return asked if asked in RETENTION_KINDS else RETENTION_KINDS[0]
