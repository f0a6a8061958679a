"""Building impact.experiments and what is made with it: one is computed anew only where its days changed.

What a number means is said in `domain/impact/`; here each experiment goes through: exposures, health, then results.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pandas as pd

from quality_assets.contracts.events import VALID_EVENTS
from quality_assets.contracts.experiment_files import ExperimentFile, ExperimentFiles, load_experiments
from quality_assets.contracts.experiments import (
    EXPERIMENT_EXPOSURES,
    EXPERIMENT_HEALTH,
    EXPERIMENT_RESULTS,
    EXPERIMENTS,
)
from quality_assets.contracts.ops import PARTITION_STATE
from quality_assets.contracts.table import Table
from quality_assets.domain.impact import experiment_sql as sql
from quality_assets.domain.impact.experiment_health import Finding, reasons_of, worst_grade
from quality_assets.domain.impact.experiment_words import no_exposures_sentence, undeclared_sentence, void_sentence
from quality_assets.domain.impact.metrics_by_name import BEFORE_DAYS
from quality_assets.progress import Progress, no_progress
from quality_assets.stores.frames import replace_rows
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.experiments.health import Exposed, exposed_of, health_of, red_checks
from quality_assets.tables.experiments.inputs import events_between, funnel_steps
from quality_assets.tables.experiments.results import Result, results_of

RULES_VERSION = 2
"""Raised when what is computed of an experiment changes: all are computed anew then."""
UNDECLARED_DAYS = 90
"""How far back events are looked through for experiments that no file declares."""
_TABLES = (EXPERIMENTS, EXPERIMENT_EXPOSURES, EXPERIMENT_HEALTH, EXPERIMENT_RESULTS)


@dataclass(frozen=True)
class _Subject:
    """An experiment as it is to be computed: its file, or what events show of it."""

    name: str
    start: date
    end: date
    through: date
    file: ExperimentFile | None = None

    @property
    def reach_days(self) -> int:
        """Days after the last exposure that its metrics read."""
        if self.file is None:
            return 0
        returns = [choice.metric.days for _, choice in self.file.metrics.by_role()]
        return max([self.file.window_days, *returns])

    @property
    def as_of(self) -> date:
        """The last day whose events matter: later ones change nothing."""
        return min(self.through, self.end + timedelta(days=self.reach_days))


@dataclass
class _Made:
    """The rows of the tables that were computed anew."""

    experiments: list[dict[str, Any]] = field(default_factory=list)
    health: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)


def build_experiments(session: WarehouseSession, progress: Progress = no_progress) -> dict[str, int]:
    """Bring all experiments up to date; rows per table."""
    files = load_experiments(session.settings.defined("experiments"))
    through = _through(session)
    subjects = _subjects(session, files, through)
    known = dict(
        session.connection.execute(
            f"select experiment, inputs_fingerprint from {EXPERIMENTS.qualified_name}"
        ).fetchall()
    )
    wanted = {subject.name: _fingerprint(session, subject) for subject in subjects}
    wanted |= {each.name: _digest(each.reason) for each in files.invalid}
    wanted |= {name: _digest(RULES_VERSION, file.version) for name, file in files.by_name.items() if name not in wanted}
    stale = {name for name, fingerprint in wanted.items() if known.get(name) != fingerprint}
    gone = sorted(set(known) - set(wanted))
    made = _Made()
    for subject in subjects:
        if subject.name in stale:
            _compute(session, subject, wanted[subject.name], made)
            progress(f"experiment {subject.name}")
    made.experiments += [_invalid_row(each.name, each.reason, wanted[each.name]) for each in files.invalid]
    done = {subject.name for subject in subjects}
    for name, file in files.by_name.items():
        if name not in done:
            made.experiments.append(_unseen_row(file, None, wanted[name]))
    made.experiments = [row for row in made.experiments if row["experiment"] in stale]
    unseen = {row["experiment"] for row in made.experiments if not row["exposed"]}
    _write(session, made, sorted(stale) + gone, sorted(unseen) + gone)
    return {table.qualified_name: session.connection.table(table.qualified_name).shape[0] for table in _TABLES}


def experiments_are_stale(session: WarehouseSession) -> bool:
    """Whether an experiment's file, or the days that it is computed from, are others than when it was computed."""
    files = load_experiments(session.settings.defined("experiments"))
    known = dict(
        session.connection.execute(
            f"select experiment, inputs_fingerprint from {EXPERIMENTS.qualified_name} where state <> 'undeclared'"
        ).fetchall()
    )
    through = _through(session)
    wanted = {each.name: _digest(each.reason) for each in files.invalid}
    for name, file in files.by_name.items():
        subject = _Subject(name, file.start, file.end, through, file) if through else None
        wanted[name] = _fingerprint(session, subject) if subject else _digest(RULES_VERSION, file.version)
    return known != wanted


def _through(session: WarehouseSession) -> date | None:
    row = session.connection.execute(
        f"select max(event_date) from {PARTITION_STATE.qualified_name} where table_name = $name",
        {"name": VALID_EVENTS.qualified_name},
    ).fetchone()
    return row[0] if row else None


def _subjects(session: WarehouseSession, files: ExperimentFiles, through: date | None) -> list[_Subject]:
    if through is None:
        return []
    declared = [_Subject(file.name, file.start, file.end, through, file) for file in files.by_name.values()]
    start = through - timedelta(days=UNDECLARED_DAYS - 1)
    events = events_between(session, start, through)
    seen = session.connection.execute(sql.undeclared_sql(events.sql), {"start": start, "end": through}).fetchall()
    named = {*files.by_name, *(each.name for each in files.invalid)}
    return [*declared, *(_Subject(name, first, last, through) for name, first, last in seen if name not in named)]


def _fingerprint(session: WarehouseSession, subject: _Subject) -> str:
    start = subject.start - timedelta(days=BEFORE_DAYS)
    row = session.connection.execute(
        "select md5(coalesce(string_agg(event_date || inputs_fingerprint, ',' order by event_date), ''))"
        f" from {PARTITION_STATE.qualified_name} where table_name = $name and event_date between $start and $end",
        {"name": VALID_EVENTS.qualified_name, "start": start, "end": subject.as_of},
    ).fetchone()
    assert row is not None  # an aggregate without GROUP BY has one row
    red = red_checks(session, subject.start, subject.as_of)
    funnels = [
        repr(funnel_steps(session, choice.metric.argument))
        for _, choice in (subject.file.metrics.by_role() if subject.file else [])
        if choice.metric.kind == "converted"
    ]
    version = subject.file.version if subject.file else ""
    return _digest(RULES_VERSION, version, str(subject.as_of), row[0], red, funnels)


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _compute(session: WarehouseSession, subject: _Subject, fingerprint: str, made: _Made) -> None:
    """Compute one experiment: its exposures into their table, the rest into `made`."""
    exposed = exposed_of(session, subject.name, subject.start, min(subject.end, subject.through), subject.file)
    if not exposed.people:
        if subject.file is not None:
            made.experiments.append(_unseen_row(subject.file, subject.through, fingerprint))
        return
    findings = health_of(session, exposed, subject.file, subject.start, subject.end, subject.as_of)
    grade = worst_grade(findings)
    result = Result([], [])
    if subject.file is not None:
        result = results_of(session, exposed, subject.file, subject.as_of)
        findings = [*findings, *result.findings]
        grade = worst_grade(findings)
    made.experiments.append(_row(subject, exposed, findings, grade, result, fingerprint))
    made.health += [_health_row(subject, finding) for finding in findings]
    made.results += [
        {"experiment": subject.name, "as_of_date": subject.as_of, "grade": grade, **row}
        for row in (_without_numbers(result.rows) if grade == "D" else result.rows)
    ]


_NUMBERS = (
    "sum", "sum_squares", "denominator_sum", "mean", "diff", "se", "low", "high", "always_low", "always_high",
    "relative_diff", "p", "p_fdr",
)  # fmt: skip


def _without_numbers(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A void experiment shows who saw it, and no effect."""
    return [
        {**row, **dict.fromkeys(_NUMBERS), "verdict": None if row["is_control"] else "void"} for row in rows
    ]  # fmt: skip


def _row(
    subject: _Subject, exposed: Exposed, findings: Sequence[Finding], grade: str, result: Result, fingerprint: str
) -> dict[str, Any]:
    reasons = reasons_of(findings)
    file = subject.file
    if file is None:
        state, verdict = "undeclared", undeclared_sentence(exposed.counts, exposed.excluded)
    else:
        state = result.state
        verdict = void_sentence(reasons) if grade == "D" else result.sentence(grade, reasons)
    return {
        "experiment": subject.name,
        "as_of_date": subject.as_of,
        "owner": file.owner if file else None,
        "about": file.about if file else None,
        "state": state,
        "start_date": subject.start,
        "end_date": subject.end,
        "window_days": file.window_days if file else None,
        "arms": list(exposed.weights),
        "control": file.control if file else None,
        "exposed": exposed.people,
        "excluded": sum(exposed.excluded.values()),
        "grade": grade,
        "reasons": reasons,
        "verdict": verdict,
        "definition_version": file.version if file else None,
        "inputs_fingerprint": fingerprint,
    }


def _unseen_row(file: ExperimentFile, through: date | None, fingerprint: str) -> dict[str, Any]:
    is_planned = through is None or through < file.start
    is_over = through is not None and through >= file.end + timedelta(days=file.window_days)
    state = "planned" if is_planned else "final" if is_over else "running"
    return {
        "experiment": file.name, "as_of_date": through, "owner": file.owner, "about": file.about,
        "state": state, "start_date": file.start, "end_date": file.end,
        "window_days": file.window_days, "arms": list(file.weights), "control": file.control, "exposed": 0,
        "excluded": 0, "grade": None, "reasons": [], "verdict": no_exposures_sentence(file.start, through),
        "definition_version": file.version, "inputs_fingerprint": fingerprint,
    }  # fmt: skip


def _invalid_row(name: str, reason: str, fingerprint: str) -> dict[str, Any]:
    return {
        "experiment": name, "state": "invalid", "exposed": 0, "excluded": 0, "reasons": [reason],
        "verdict": f"Its file is wrong: {reason}", "inputs_fingerprint": fingerprint,
    }  # fmt: skip


def _health_row(subject: _Subject, finding: Finding) -> dict[str, Any]:
    return {
        "experiment": subject.name,
        "as_of_date": subject.as_of,
        "check": finding.check,
        "subject": finding.subject,
        "value": finding.value,
        "threshold": finding.threshold,
        "status": finding.status,
        "grade": finding.grade,
        "detail": finding.detail,
    }


def _write(session: WarehouseSession, made: _Made, names: Sequence[str], unseen: Sequence[str]) -> None:
    """Replace the rows of `names`; exposures are written already, but for those of experiments that have none."""
    parameters = {"names": list(names)}
    by_table: list[tuple[Table, list[dict[str, Any]]]] = [
        (EXPERIMENT_HEALTH, made.health),
        (EXPERIMENT_RESULTS, made.results),
        # Last, since what it says of its inputs is what a run after a kill trusts.
        (EXPERIMENTS, made.experiments),
    ]
    with session.transaction():
        session.connection.execute(
            f"delete from {EXPERIMENT_EXPOSURES.qualified_name} where list_contains($names, experiment)",
            {"names": list(unseen)},
        )
    for table, rows in by_table:
        replace_rows(session, table, pd.DataFrame(rows), "list_contains($names, experiment)", parameters)
