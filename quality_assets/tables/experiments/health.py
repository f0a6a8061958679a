"""Who saw which arm, and whether those counts can be trusted: exposures and what is asked of them before results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from quality_assets.contracts.events import USER_FEATURE_DAYS
from quality_assets.contracts.experiment_files import ExperimentFile
from quality_assets.contracts.experiments import EXPERIMENT_EXPOSURES
from quality_assets.domain.impact import experiment_health as judge
from quality_assets.domain.impact import experiment_sql as sql
from quality_assets.domain.impact.experiment_health import Finding
from quality_assets.domain.impact.metrics_by_name import EventsOfMetric, UserMetric, user_metric
from quality_assets.domain.impact.srm import PartCounts
from quality_assets.domain.wording import count_text
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.checks.run import LATEST_RESULTS_SQL
from quality_assets.tables.experiments.inputs import Relation, completions, events_between, refused_between

_INCLUDED = (
    f"(select user_id, arm, exposed_at from {EXPERIMENT_EXPOSURES.qualified_name}"
    " where experiment = $experiment and reason_excluded is null)"
)


@dataclass(frozen=True)
class Exposed:
    """Who saw an experiment: `counts` of those who are in, per arm as in `weights`; how many are out, and why.

    `included` is a relation of user_id, arm and exposed_at that binds `$experiment`.
    """

    name: str
    parameters: Mapping[str, Any]
    in_property: bool
    weights: Mapping[str, float]
    counts: Mapping[str, int] = field(default_factory=dict)
    excluded: Mapping[str, int] = field(default_factory=dict)
    undeclared_arms: Mapping[str, int] = field(default_factory=dict)
    without_user: int = 0
    included: str = _INCLUDED

    @property
    def people(self) -> int:
        """Everybody who saw an arm."""
        return sum(self.counts.values()) + sum(self.excluded.values())


def exposed_of(session: WarehouseSession, name: str, start: date, end: date, file: ExperimentFile | None) -> Exposed:
    """Write the exposures of one experiment, in place of what there was of it, and count them."""
    key = file.property_key if file else None
    where: dict[str, Any] = {"start": start, "end": end}
    where |= {"experiment": name} if key is None else {"arm_path": '$."' + key.replace('"', '\\"') + '"'}
    events = events_between(session, start, end)
    arms = list(file.weights) if file else None
    table = EXPERIMENT_EXPOSURES.qualified_name
    query = sql.exposures_sql(events.sql, USER_FEATURE_DAYS.qualified_name, key is not None)
    connection = session.connection
    with session.transaction():
        connection.execute(f"delete from {table} where experiment = $name", {"name": name})
        connection.execute(
            f"insert into {table} by name select $name as experiment, * from ({query})",
            {**where, "arms": arms, "name": name},
        )
    without_user = connection.execute(sql.without_user_sql(events.sql, key is not None), where).fetchall()[0][0]
    rows = connection.execute(
        f"select arm, reason_excluded, count(*) from {table} where experiment = $name group by all order by all",
        {"name": name},
    ).fetchall()
    included = {arm: n for arm, reason, n in rows if reason is None}
    weights = dict(file.weights) if file else {arm: 1 / len(included) for arm in sorted(included)}
    excluded: dict[str, int] = {}
    for _, reason, n in rows:
        if reason is not None:
            excluded[reason] = excluded.get(reason, 0) + n
    return Exposed(
        name=name,
        parameters={**where, "arms": list(weights)},
        in_property=key is not None,
        weights=weights,
        counts={arm: included.get(arm, 0) for arm in weights},
        excluded=excluded,
        undeclared_arms={arm: n for arm, reason, n in rows if reason == "arm not declared"},
        without_user=without_user,
    )


def health_of(
    session: WarehouseSession, exposed: Exposed, file: ExperimentFile | None, start: date, end: date, as_of: date
) -> list[Finding]:
    """Every finding about an experiment's counts; of one that no file declares, without losses and checks."""
    last = min(end, as_of)
    findings = [
        *(judge.changed_arms_findings(_daily(session, exposed), exposed.weights, start, last) if file else []),
        *judge.ratio_findings(exposed.counts, exposed.weights, _parts(session, exposed), file is not None),
        judge.mixed_finding(exposed.excluded.get("several arms", 0), exposed.people),
        *_left_out(exposed),
    ]
    if file is None:
        return findings
    return [
        *findings,
        *judge.weights_findings(file.has_weights),
        *_losses(session, exposed, file, start, as_of),
        *judge.length_findings(start, last, end),
        *judge.red_checks_findings(red_checks(session, start, as_of)),
    ]


def _left_out(exposed: Exposed) -> list[Finding]:
    found = []
    strays = sum(exposed.undeclared_arms.values())
    named = ", ".join(f"{count_text(n)} in {arm}" for arm, n in exposed.undeclared_arms.items())
    words = f"{count_text(strays)} people saw an arm that is not declared ({named}); they are left out."
    found.append(
        judge.left_out_finding("arms not declared", "all", strays, words if strays else "All arms are declared.")
    )
    automated = exposed.excluded.get("automated", 0)
    if automated:
        words = (
            f"{count_text(automated)} users send over {sql.AUTOMATED_EVENTS_A_DAY:,} events a day; they are left out."
        )
        found.append(judge.left_out_finding("automated", "all", automated, words))
    if exposed.without_user:
        words = f"{count_text(exposed.without_user)} events show an arm and no user; they cannot count."
        found.append(judge.left_out_finding("events without user", "all", exposed.without_user, words))
    if exposed.name == sql.UNNAMED:
        words = "Its variants name no experiment: write them as experiment:arm."
        found.append(Finding("name", "all", "warning", words))
    return found


_DIMENSIONS = {
    "platform": "platform",
    "version": "app_version",
    "new or existing": "case when is_existing then 'existing' else 'new' end",
}


def _parts(session: WarehouseSession, exposed: Exposed) -> list[PartCounts]:
    """People per arm of each platform, version, and of new and existing users."""
    query = " union all ".join(
        f"select '{name}' as dimension, coalesce({column}, 'unknown') as value, arm, count(*) as people"
        f" from {EXPERIMENT_EXPOSURES.qualified_name} where experiment = $name and reason_excluded is null group by all"
        for name, column in _DIMENSIONS.items()
    )
    rows = session.connection.execute(f"from ({query}) order by all", {"name": exposed.name}).fetchall()
    arms = list(exposed.weights)
    counted: dict[tuple[str, str], list[int]] = {}
    for dimension, value, arm, people in rows:
        counted.setdefault((dimension, value), [0] * len(arms))[arms.index(arm)] = people
    return [PartCounts(dimension, value, tuple(counts)) for (dimension, value), counts in counted.items()]


def _daily(session: WarehouseSession, exposed: Exposed) -> dict[date, dict[str, int]]:
    rows = session.connection.execute(
        f"select cast(exposed_at as date), arm, count(*) from {EXPERIMENT_EXPOSURES.qualified_name}"
        " where experiment = $name and reason_excluded is distinct from 'automated' group by all order by all",
        {"name": exposed.name},
    ).fetchall()
    daily: dict[date, dict[str, int]] = {}
    for day, arm, people in rows:
        daily.setdefault(day, {})[arm] = people
    return daily


def metrics_of(file: ExperimentFile, ends: Sequence[tuple[str, str]]) -> list[UserMetric]:
    """The metrics of an experiment, in the order of their roles."""
    return [
        user_metric(choice.metric, index, file.window_days, ends)
        for index, (_, choice) in enumerate(file.metrics.by_role())
    ]


def _losses(
    session: WarehouseSession, exposed: Exposed, file: ExperimentFile, start: date, as_of: date
) -> list[Finding]:
    """Rows refused by arm, of each event that a metric is made of."""
    events = events_between(session, start, as_of)
    refused = refused_between(session, start, as_of)
    needs_ends = any(choice.metric.kind == "completed" for _, choice in file.metrics.by_role())
    metrics = metrics_of(file, completions(session) if needs_ends else ())
    asked = list(dict.fromkeys(each for metric in metrics for each in metric.events))
    found = []
    for each in asked:
        arrived, lost, unreadable = _counts_by_arm(session, exposed, events, refused, each, as_of)
        found += judge.loss_findings(each.text, lost, arrived, unreadable, len(asked))
    return found


def _counts_by_arm(
    session: WarehouseSession, exposed: Exposed, events: Relation, refused: Relation, asked: EventsOfMetric, as_of: date
) -> tuple[dict[str, int], dict[str, int], int]:
    """Rows per arm that arrived, and that were refused; and refused ones whose arm cannot be read."""
    query, wanted = sql.arrived_sql(exposed.included, events.sql, asked)
    known = {"experiment": exposed.name, "start": exposed.parameters["start"], "through": as_of, **wanted}
    counted = dict(session.connection.execute(query, known).fetchall())
    arrived = {arm: counted.get(arm, 0) for arm in exposed.weights}
    query = sql.lost_sql(exposed.included, refused.sql, exposed.in_property, asked)
    parameters = {**known, **refused.parameters, "arms": list(exposed.weights)}
    parameters |= {"arm_path": exposed.parameters["arm_path"]} if exposed.in_property else {}
    rows = dict(session.connection.execute(query, parameters).fetchall())
    unreadable = rows.pop(None, 0)
    return arrived, rows, unreadable


def red_checks(session: WarehouseSession, start: date, end: date) -> list[tuple[str, str]]:
    """(day, asset and check) of blocking checks of events that fail between two days."""
    rows = session.connection.execute(
        "select partition_key, asset || ' ' || check_name"
        f" from ({LATEST_RESULTS_SQL}) where is_blocking and severity = 'ERROR' and status = 'failed'"
        " and (asset like 'core.%' or asset like 'raw.%')"
        " and try_cast(partition_key as date) between $start and $end order by all",
        {"start": start, "end": end},
    ).fetchall()
    return [(str(day), what) for day, what in rows]
