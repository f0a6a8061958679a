"""Reports of planted faults: kept in the operations store, the last one of each table for pages and commands."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, delete, func, insert, select

from quality_assets.clock import utc_now
from quality_assets.stores.operations.mutation_tables import MUTANT, MUTATION_REPORT
from quality_assets.stores.operations.store import Operations, fetch
from quality_assets.tables.datasets.mutating import MutationReport

_KEPT = 20
"""So many reports of a table are kept."""


def keep_report(store: Operations, report: MutationReport) -> str:
    """Keep a report; returns its id."""
    report_id = uuid4().hex
    rows = [
        {
            "report_id": report_id, "number": number, "fault": mutant.fault, "dimension": mutant.dimension,
            "columns": ", ".join(mutant.columns), "share": mutant.share, "cells": mutant.count,
            "is_killed": mutant.is_killed, "told_by": mutant.told_by, "suggestion": mutant.suggestion,
        }
        for number, mutant in enumerate(report.mutants, 1)
    ]  # fmt: skip
    values = {
        "report_id": report_id, "subject": report.dataset, "batch": report.batch, "made_at": utc_now(),
        "planted": len(report.mutants), "killed": sum(mutant.is_killed for mutant in report.mutants),
        "clean_batches": report.clean_batches, "false_alarms": report.false_alarms,
    }  # fmt: skip
    with store.write() as connection:
        connection.execute(insert(MUTATION_REPORT).values(**values))
        if rows:
            connection.execute(insert(MUTANT), rows)
        _forget_old(connection, report.dataset)
    return report_id


def _forget_old(connection: Connection, subject: str) -> None:
    ids = select(MUTATION_REPORT.c.report_id).where(MUTATION_REPORT.c.subject == subject)
    old = list(connection.execute(ids.order_by(MUTATION_REPORT.c.made_at.desc()).offset(_KEPT)).scalars())
    if old:
        connection.execute(delete(MUTANT).where(MUTANT.c.report_id.in_(old)))
        connection.execute(delete(MUTATION_REPORT).where(MUTATION_REPORT.c.report_id.in_(old)))


def last_reports(connection: Connection) -> list[dict[str, Any]]:
    """The last report of each table and dataset, by name, each with its `mutants`."""
    newest = select(MUTATION_REPORT.c.subject, func.max(MUTATION_REPORT.c.made_at).label("made_at")).group_by(
        MUTATION_REPORT.c.subject
    )
    last = newest.subquery()
    is_last = (MUTATION_REPORT.c.subject == last.c.subject) & (MUTATION_REPORT.c.made_at == last.c.made_at)
    reports = fetch(connection, select(MUTATION_REPORT).join(last, is_last).order_by(MUTATION_REPORT.c.subject))
    mutants: dict[str, list[dict[str, Any]]] = {report["report_id"]: [] for report in reports}
    of_reports = select(MUTANT).where(MUTANT.c.report_id.in_(list(mutants)))
    for row in fetch(connection, of_reports.order_by(MUTANT.c.report_id, MUTANT.c.number)):
        mutants[row["report_id"]].append(row)
    return [{**report, "mutants": mutants[report["report_id"]]} for report in reports]
