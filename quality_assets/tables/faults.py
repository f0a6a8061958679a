"""What goes wrong in the graph, as faults of the book of alerts: checks, runs and publications, incidents, drift.

Each is told of by the run that found it, and is over when a run no longer finds it. Where the operations store does not
answer, the run goes on: the next one that looks tells of it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from textwrap import shorten
from typing import Any, ParamSpec, TypeVar

import duckdb
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from quality_assets.contracts.catalog import may_refuse_publication
from quality_assets.contracts.drift import DATA_DRIFT
from quality_assets.contracts.incidents import INCIDENTS
from quality_assets.contracts.owners import HOUSE_OWNER, OWNERS, TEAM, owner_of
from quality_assets.contracts.pipeline import PIPELINE
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.domain.features.attention import users_hit
from quality_assets.domain.features.incident_words import title, told_figures, told_sentence, told_unit
from quality_assets.domain.models.retraining import CONSEQUENTIAL_EFFECT
from quality_assets.domain.quality import alerting
from quality_assets.domain.quality.alerting import Fault
from quality_assets.domain.quality.model_checks import NOT_TOLD
from quality_assets.domain.quality.result import CheckResult
from quality_assets.domain.wording import name_in_words
from quality_assets.settings import Settings
from quality_assets.stores.failures import MAX_CAUSE_LENGTH, failures
from quality_assets.stores.operations.alert_tables import ALERT
from quality_assets.stores.operations.store import fetch, operations_of
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.alerts import raise_fault, record_pass, record_passes, resolve_gone
from quality_assets.tables.checks.known import unit_of
from quality_assets.tables.untold_checks import Untold, keep_untold, tell_kept

log = logging.getLogger(__name__)

MAX_DATES_NAMED = 5
_NOT_PUBLISHED = "Until it passes nothing new is published; readers keep the last good snapshot."
_MAX_FINDING_LENGTH = 160
# An incident that was found, or a day that was checked, long after it is history, not news.
_NEWS_DAYS = 14
# An input whose drift moves the mean score by five points moves most ranks.
_LARGE_EFFECT = 0.05

P = ParamSpec("P")
R = TypeVar("R")


def unless_unreachable(function: Callable[P, R]) -> Callable[P, R | None]:
    """A run must not fail since people cannot be told of what it found: what is found again is told then."""
    from functools import wraps

    @wraps(function)
    def told(*args: P.args, **kwargs: P.kwargs) -> R | None:
        try:
            return function(*args, **kwargs)
        except DBAPIError as error:
            _say_once(error)
            return None

    return told


def _say_once(error: DBAPIError) -> None:
    """Log why the operations store does not answer; a run asks it some sixty times, and says so now and then."""
    why, now = str(error.orig).partition("\n")[0], time.monotonic()
    if now - _said.get(why, -_SAID_AGAIN_S) >= _SAID_AGAIN_S:
        _said[why] = now
        log.error("the operations store does not answer, nobody is told: %s", why)


_SAID_AGAIN_S = 600.0
_said: dict[str, float] = {}


def tell_of_checks(
    settings: Settings, results: Sequence[CheckResult], standing: Mapping[tuple[str, str], int], run_id: str
) -> None:
    """Tell of the checks of an asset that failed in a run, and note those that passed; `standing`: how many partitions
    of each check fail as the data stand, since one day's pass says nothing of another day's failure.

    Nothing is told of `NOT_TOLD`, nor of warnings of days that lie long before the newest that was asked of. What is
    found while the operations store does not answer is kept, and told before whatever is found later.
    """
    found = Untold(results, standing, run_id)
    try:
        tell_kept(settings, lambda kept: _tell_of_checks(settings, kept))
        _tell_of_checks(settings, found)
    except DBAPIError as error:
        _say_once(error)
        keep_untold(settings, found)


@unless_unreachable
def tell_untold_checks(settings: Settings) -> None:
    """Tell what checks found while the operations store did not answer."""
    tell_kept(settings, lambda kept: _tell_of_checks(settings, kept))


def _tell_of_checks(settings: Settings, found: Untold) -> None:
    results, run_id = found.results, found.run_id
    failing: dict[tuple[str, str], list[CheckResult]] = {}
    newest = max((r.partition_key for r in results), default="")
    for result in results:
        is_told = (result.asset, result.check_name) not in NOT_TOLD
        if result.status == "failed" and is_told and _is_news(result, newest):
            failing.setdefault((result.asset, result.check_name), []).append(result)
    passed = {(r.asset, r.check_name) for r in results if r.status == "passed"}
    passed = {each for each in passed if each not in failing and not found.standing.get(each)}
    passed |= NOT_TOLD.intersection((r.asset, r.check_name) for r in results)
    if not failing and not passed:
        return
    with operations_of(settings).write() as connection:
        # What lies upstream first: the rest joins its group.
        for key in sorted(failing, key=lambda key: (len(_ancestors(key[0])), key)):
            raise_fault(connection, _of_check(connection, failing[key], run_id))
        record_passes(connection, [alerting.fingerprint_of("check", *each) for each in sorted(passed)], run_id)


def _is_news(result: CheckResult, newest: str) -> bool:
    """Whether a failure is to be told: always where a number is false, else where its day is no history yet.

    Who reads months of logs for the first time is told of what goes on; the page of data quality shows the rest.
    """
    if result.severity == "ERROR" or not result.partition_key:
        return True
    return date.fromisoformat(result.partition_key) > date.fromisoformat(newest) - timedelta(days=_NEWS_DAYS)


def _of_check(connection: Connection, found: Sequence[CheckResult], run_id: str) -> Fault:
    last = found[-1]
    blocks = last.is_blocking and last.severity == "ERROR"
    usual = alerting.OF_CHECKS[last.severity, blocks and may_refuse_publication(last.asset)]
    return Fault(
        kind="check",
        subject=last.asset,
        check_name=last.check_name,
        title=_title_of(last),
        message=_told(found),
        severity=usual,
        action=_what_to_do(last),
        group=_failing_ancestor(connection, last.asset),
        evaluation=run_id,
        partition_key=named([r.partition_key for r in found]),
        run_id=run_id,
        observed=last.observed,
        threshold=last.threshold,
        n=last.unexpected_count or None,
        subjects=(("asset", last.asset), ("run", run_id)),
        evidence={
            "examples": json.loads(last.examples) if last.examples else None,
            "dimension": last.dimension,
            "is_blocking": last.is_blocking,
            "unit": unit_of(last.asset, last.check_name),
        },
    )


def _what_to_do(result: CheckResult) -> str:
    """What a check says is to be done, which follows what it found; else where to look."""
    return (
        result.description.partition(". ")[2].strip()
        or "Open the asset in Dagster, mend the cause, then `quality run`."
    )


def _title_of(result: CheckResult) -> str:
    """What a failed check found, in one line: `core.valid_events: 3 features have …`; what to do is the message's."""
    finding = result.description.partition(". ")[0].rstrip(". ") or result.check_name.replace("_", " ")
    return f"{result.asset}: {shorten(finding, _MAX_FINDING_LENGTH, placeholder=' …')}"


@lru_cache(maxsize=256)
def _ancestors(asset: str) -> tuple[str, ...]:
    """Everything that an asset is made from, directly or not, nearest last."""
    known = {table.qualified_name: table for table in PIPELINE.tables}
    found: dict[str, None] = {}
    waiting = [asset]
    while waiting:
        table = known.get(waiting.pop())
        for name in PIPELINE.inputs(table) if table is not None else ():
            if name not in found:
                found[name] = None
                waiting.append(name)
    return tuple(sorted(found, key=lambda name: (len(PIPELINE.inputs(known[name])) if name in known else 0, name)))


def _failing_ancestor(connection: Connection, asset: str) -> str:
    """The subject that an alert of an asset is told with: what fails furthest upstream of it, else the asset.

    What is merely worth a look, such as logs that are late, is no cause of what is found in tables made from it.
    """
    above = _ancestors(asset)
    if not above:
        return asset
    of_checks = ALERT.c.kind == "check", ALERT.c.severity.in_(alerting.SEVERITIES[alerting.rank("high") :])
    live = select(ALERT.c.subject).where(*of_checks, ALERT.c.status != alerting.RESOLVED, ALERT.c.subject.in_(above))
    failing = set(connection.execute(live).scalars())
    return min(failing, key=lambda name: (len(_ancestors(name)), name), default=asset)


def _told(found: Sequence[CheckResult]) -> str:
    """The failures of one check as a message: when, what, what to do, what it holds up."""
    last = found[-1]
    when = f"{date.fromisoformat(last.partition_key):%-d %b %Y}: " if last.partition_key else ""
    if len(found) > 1:
        when = f"On {len(found)} days, the last {when}"
    refuses = last.is_blocking and last.severity == "ERROR" and may_refuse_publication(last.asset)
    return f"{when}{last.description}{f' {_NOT_PUBLISHED}' if refuses else ''}"


def named(partitions: Sequence[str]) -> str:
    """The first few partitions, and how many more there are."""
    named = ", ".join(sorted(p for p in partitions if p)[:MAX_DATES_NAMED])
    return named + (f" and {len(partitions) - MAX_DATES_NAMED} more" if len(partitions) > MAX_DATES_NAMED else "")


def report_run_failure(
    settings: Settings,
    *,
    job: str,
    run_id: str,
    partition_key: str,
    error: str,
    assets: Iterable[str] = (),
    part: str = "",
) -> str:
    """Tell of a failed run, and say in a sentence what to do; `assets` are those that it could not make, `part` the
    watched table whose run it was, which is a fault of its own: what another's run does says nothing of it.
    """
    cause = error.strip()[:MAX_CAUSE_LENGTH]
    what = f"{job}{f' for {partition_key}' if partition_key else ''}"
    ends = "" if cause.endswith((".", "!", "?")) else "."
    again = "it is tried again by itself" if part else "then `quality run`"
    action = f"Open the run in the Dagster UI, mend the cause, {again}."
    message = f"Run {run_id[:8]} of {what} failed{f': {cause}' if cause else ''}{ends} {action}"
    named = tuple(assets)
    is_refusal = named == ("publish.published_snapshot",)
    fault = Fault(
        kind="publication" if is_refusal else "run",
        subject=job,
        check_name=part,
        title="Nothing new is published" if is_refusal else f"{job}{f' of {part}' if part else ''} failed",
        message=message,
        severity="critical" if is_refusal else "high",
        action=action,
        evaluation=run_id,
        partition_key=partition_key,
        run_id=run_id,
        owner=next(filter(None, map(owner_of, named)), HOUSE_OWNER),
        subjects=(("run", run_id), *(("asset", asset) for asset in named), *([("dataset", part)] if part else [])),
        evidence={"assets": list(named)},
    )
    _raise(settings, fault)
    return message


@unless_unreachable
def _raise(settings: Settings, fault: Fault) -> None:
    with operations_of(settings).write() as connection:
        raise_fault(connection, fault)


@unless_unreachable
def settle_failed_runs(settings: Settings, succeeded: Iterable[str] = ()) -> None:
    """Resolve alerts of runs whose assets were made since; of those that name none, once their work has `succeeded`:
    names as `work_name` gives them.
    """
    still, done = {failure.asset for failure in failures(settings.published_dir)}, set(succeeded)
    store = operations_of(settings)
    live = select(ALERT).where(ALERT.c.kind.in_(("run", "publication")), ALERT.c.status != alerting.RESOLVED)
    with store.read() as connection:
        is_any = bool(fetch(connection, live.limit(1)))
    if not is_any:
        return
    with store.write() as connection:
        for kind in ("run", "publication"):
            rows = fetch(connection, live.where(ALERT.c.kind == kind))
            stays = [row["fingerprint"] for row in rows if _still_fails(row, still, done)]
            resolve_gone(connection, kind, stays)


def _still_fails(row: Mapping[str, Any], still: set[str], done: set[str]) -> bool:
    assets = row["evidence"].get("assets") or []
    return (
        any(asset in still for asset in assets) if assets else work_name(row["subject"], row["check_name"]) not in done
    )


def work_name(job: str, part: str = "") -> str:
    """What one run does and another does again: a job, and of which watched table where it is of one."""
    return f"{job} {part}" if part else job


@unless_unreachable
def tell_of_incidents(session: WarehouseSession, run_id: str) -> None:
    """Tell of the open incidents, with their severity and the users whom they cost; what has recovered is resolved.

    What is taken for normal by now, or silent for good, has not recovered: its alert stays until somebody answers it.
    Who reads months of logs for the first time is told of what is new, and of whatever hurts people badly today.
    """
    through = session.connection.execute(f"select max(detected_on) from {INCIDENTS.qualified_name}").fetchall()[0][0]
    since = max(through - timedelta(days=_NEWS_DAYS), date.min) if through else date.min
    rows = _rows(
        session.connection,
        f"""
        select incident_id, feature, event_name, platform, metric, kind, severity, sentence, verdict, verdict_sentence,
          affected_users, users_today, detected_on, start_date, change, baseline_value, current_value, peak_value,
          size, current_size, unit, objective, peak_count, usual_most, counted_days,
          slice_dimensions, slice_values, events, scope, features, end_date,
          described.owner as owner, described.team as team
        from {INCIDENTS.qualified_name}
        left join {FEATURE_DESCRIPTIONS.qualified_name} as described using (feature)
        where end_date is null or end_kind in ('adopted', 'silent') order by incident_id
        """,
    )
    with operations_of(session.settings).write() as connection:
        told = fetch(connection, select(ALERT.c.fingerprint, ALERT.c.status).where(ALERT.c.kind == "incident"))
        known = {alert["fingerprint"] for alert in told}
        live = {alert["fingerprint"] for alert in told if alert["status"] != alerting.RESOLVED}
        # A fault of the whole product is told with the features that it hits.
        wide = next((row["incident_id"] for row in rows if row["scope"] == "product"), None)
        faults = [_of_incident(row, run_id, wide) for row in rows]
        news = [
            fault
            for fault, row in zip(faults, rows, strict=True)
            if (
                fault.fingerprint in live
                if row["end_date"] is not None
                else fault.fingerprint in known or _is_bad(row) or row["detected_on"] >= since
            )
        ]
        for fault in news:
            raise_fault(connection, fault)
        resolve_gone(connection, "incident", [fault.fingerprint for fault in faults])


def _is_bad(row: Mapping[str, Any]) -> bool:
    return alerting.rank(row["severity"]) >= alerting.rank("high")


def _of_incident(row: Mapping[str, Any], run_id: str, wide: str | None) -> Fault:
    slices = dict(zip(row["slice_dimensions"] or (), row["slice_values"] or (), strict=False))
    observed, expected, change = told_figures(row)
    return Fault(
        kind="incident",
        subject=row["feature"],
        check_name=row["incident_id"],
        column_name=row["metric"],
        title=title(row),
        message=told_sentence(row),
        severity=row["severity"],
        action="Open the feature's page: since when, for whom, and what was released then.",
        group=f"product {row['detected_on']}" if row["scope"] == "product" and wide else f"feature {row['feature']}",
        evaluation=run_id,
        partition_key=str(row["detected_on"]),
        run_id=run_id,
        owner=row["owner"] or "",
        observed=observed,
        expected=expected,
        users=users_hit(row),
        subjects=(
            ("feature", row["feature"]),
            ("run", run_id),
            *([("team", row["team"].removeprefix(TEAM))] if row["team"] else []),
        ),
        evidence={
            "since": row["start_date"],
            "kind": row["kind"],
            "change": change,
            "unit": told_unit(row),
            "slice": slices,
            "verdict": row["verdict"],
        },
    )


@unless_unreachable
def tell_of_drift(session: WarehouseSession, run_id: str) -> None:
    """Tell of drift that matters on the last judged day: what predictions feel, and performance; the rest is quiet.

    Severity follows the effect on predictions: all traffic is scored, so the effect is of all of it.
    """
    rows = _rows(
        session.connection,
        f"""
        select kind, feature, name, statistic, observed, threshold, n_current, effect_on_predictions, verdict,
          event_date
        from {DATA_DRIFT.qualified_name}
        where event_date = (select max(event_date) from {DATA_DRIFT.qualified_name}) and status = 'drifted'
          and (kind = 'performance' or effect_on_predictions >= $least)
        order by rank
        """,
        {"least": CONSEQUENTIAL_EFFECT},
    )
    with operations_of(session.settings).write() as connection:
        faults = [_of_drift(row, run_id) for row in rows]
        for fault in faults:
            raise_fault(connection, fault)
        for kind in ("drift", "model"):
            live = select(ALERT.c.fingerprint).where(ALERT.c.kind == kind, ALERT.c.status != alerting.RESOLVED)
            found = {fault.fingerprint for fault in faults}
            # Models' other faults are told, and settled, by whoever serves them.
            quiet = list(connection.execute(live.where(ALERT.c.check_name.startswith("drift "))).scalars())
            for fingerprint in quiet:
                if fingerprint not in found:
                    record_pass(connection, fingerprint, run_id)


def _of_drift(row: Mapping[str, Any], run_id: str) -> Fault:
    is_performance = row["kind"] == "performance"
    effect = row["effect_on_predictions"]
    usual = "high" if is_performance or (effect or 0) >= _LARGE_EFFECT else "medium"
    subject = "ml.risk_model" if is_performance else (row["feature"] or row["name"])
    of_what = name_in_words(row["name"])
    return Fault(
        kind="model" if is_performance else "drift",
        subject=subject,
        check_name=f"drift {row['name']}",
        column_name=row["name"],
        title=f"{of_what} of the model got worse" if is_performance else f"{of_what} drifted, and predictions feel it",
        message=row["verdict"],
        severity=usual,
        action="Open the drift page; retrain where the change is to stay: `quality train`.",
        group=f"drift {row['event_date']}",
        evaluation=run_id,
        partition_key=str(row["event_date"]),
        run_id=run_id,
        observed=row["observed"],
        threshold=row["threshold"],
        n=row["n_current"],
        owner=OWNERS["ml"],
        subjects=(("model", "feature_risk"), ("run", run_id)),
        evidence={"effect_on_predictions": effect, "statistic": row["statistic"]},
    )


def _rows(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    found = connection.execute(sql, dict(parameters or {}))
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
