"""What was written of datasets, for commands, pages and the API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from quality_assets.contracts.sources.datasets import make_dataset
from quality_assets.settings import Settings
from quality_assets.stores.operations.dataset_tables import DATASET_BATCH, DATASET_FINDING
from quality_assets.stores.operations.store import Operations
from quality_assets.tables.datasets.lateness import MOST_ARRIVALS, late
from quality_assets.tables.datasets.past_batches import schema_history, thresholds_on
from quality_assets.tables.datasets.registering import (
    Registered,
    UnknownDatasetError,
    datasets,
    find,
    registered,
)
from quality_assets.tables.datasets.telling_of import unreadable

MOST_BATCHES = 30
_HISTORY = ("batch_id", "name", "rows", "score", "dimensions", "checked_at", "sequence")


def overview(store: Operations, settings: Settings) -> list[dict[str, Any]]:
    """Each dataset with its last batch, the worst score first."""
    known = datasets(store, settings)
    with store.read() as connection:
        return _worst_first(connection, known)


def cards(connection: Connection) -> list[dict[str, Any]]:
    """As `overview`, of what the store knows."""
    return _worst_first(connection, registered(connection))


def _worst_first(connection: Connection, known: Mapping[str, Registered]) -> list[dict[str, Any]]:
    rows = [_card(connection, each) for each in known.values() if not each.is_hidden]
    return sorted(rows, key=lambda row: (row["score"] is None, row["score"] or 0.0, row["dataset"]))


def _card(connection: Connection, dataset: Registered) -> dict[str, Any]:
    count, arrived, scores = _brief(connection, dataset.dataset_id)
    newest = last_batches(connection, dataset.dataset_id, 1)
    last = newest[0] if newest else {}
    overdue_by = late(connection, dataset, arrived=arrived)
    return {
        "dataset": dataset.dataset_id,
        "description": dataset.source.description,
        "owner": dataset.source.owner,
        "kind": dataset.source.kind,
        "batches": count,
        "batch": last.get("name"),
        "batch_id": last.get("batch_id"),
        "rows": last.get("rows"),
        "score": last.get("score"),
        "usual_low": last.get("usual_low"),
        "usual_high": last.get("usual_high"),
        "status": state_of(last),
        "worst_finding": last.get("worst_finding") or (last.get("reason") if last.get("status") == "refused" else None),
        "checked_at": last.get("checked_at"),
        "unreadable": unreadable(connection, dataset.dataset_id) if dataset.source.kind != "files" else None,
        "late": overdue_by.sentence if overdue_by is not None else None,
        "scores": scores,
        "version": dataset.version,
    }


def _brief(connection: Connection, dataset: str) -> tuple[int, list[datetime], list[float | None]]:
    """How many batches a dataset has, when those of late arrived, the newest first, and the scores of the last that
    were judged, oldest first: in one question, as a list of many datasets asks it of each.
    """
    of_batch = DATASET_BATCH.c
    asked = select(of_batch.status, of_batch.score, of_batch.arrived_at, func.count().over().label("of_all"))
    newest = asked.where(of_batch.dataset_id == dataset).order_by(of_batch.sequence.desc()).limit(MOST_ARRIVALS)
    rows = connection.execute(newest).all()
    scores = [row.score for row in rows[:MOST_BATCHES] if row.status == "checked"]
    return rows[0].of_all if rows else 0, sorted((row.arrived_at for row in rows), reverse=True), scores[::-1]


def state_of(batch: Mapping[str, Any]) -> str:
    """A batch in a word: none yet, waiting, checking, refused, learning, passed or failed."""
    if not batch:
        return "none yet"
    if batch["status"] != "checked":
        return str(batch["status"])
    details = batch["details"] or {}
    outcome = str(details.get("outcome") or "checked")
    return "learning" if outcome == "passed" and details.get("learning") else outcome


def last_batches(connection: Connection, dataset: str, most: int = MOST_BATCHES) -> list[dict[str, Any]]:
    """The last batches of a dataset, oldest first."""
    rows = connection.execute(
        select(DATASET_BATCH)
        .where(DATASET_BATCH.c.dataset_id == dataset)
        .order_by(DATASET_BATCH.c.sequence.desc())
        .limit(most)
    ).mappings()
    return [dict(row) for row in rows][::-1]


def judged_before(connection: Connection, dataset: str, sequence: int | None, most: int) -> list[dict[str, Any]]:
    """The last batches of a dataset that were judged, of those before the one of a number, oldest first."""
    asked = select(*(DATASET_BATCH.c[name] for name in _HISTORY)).where(
        DATASET_BATCH.c.dataset_id == dataset, DATASET_BATCH.c.status == "checked"
    )
    if sequence is not None:
        asked = asked.where(DATASET_BATCH.c.sequence < sequence)
    rows = connection.execute(asked.order_by(DATASET_BATCH.c.sequence.desc()).limit(most)).mappings()
    return [dict(row) for row in rows][::-1]


def findings_of(connection: Connection, batch_id: str) -> list[dict[str, Any]]:
    """What was found in a batch, what people must know first."""
    rows = connection.execute(
        select(DATASET_FINDING)
        .where(DATASET_FINDING.c.batch_id == batch_id)
        .order_by(DATASET_FINDING.c.is_alerting.desc(), DATASET_FINDING.c.finding_id)
    ).mappings()
    found = sorted((dict(row) for row in rows), key=lambda row: int(row["finding_id"].rpartition("-")[2]))
    return sorted(found, key=lambda row: not row["is_alerting"])


def details(store: Operations, settings: Settings, name: str) -> dict[str, Any]:
    """A dataset, its last batches and the findings of the last that was judged. Raises UnknownDatasetError."""
    find(store, settings, name)
    with store.read() as connection:
        return told_of(connection, name)


def quality_of(
    store: Operations, settings: Settings, name: str, before: int | None, most: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A dataset's card with the dimensions and findings of its last judged batch, and its history as `judged_before`.

    Raises UnknownDatasetError.
    """
    dataset = find(store, settings, name)
    with store.read() as connection:
        last = judged_before(connection, name, None, 1)
        found = findings_of(connection, last[0]["batch_id"]) if last else []
        more = {"dimensions": last[0]["dimensions"] if last else {}, "findings": found}
        return _card(connection, dataset) | more, judged_before(connection, name, before, most)


def told_of(connection: Connection, name: str) -> dict[str, Any]:
    """As `details`, of what the store knows."""
    dataset = registered(connection).get(name)
    if dataset is None:
        raise UnknownDatasetError(f"there is no dataset {name!r}")
    batches = last_batches(connection, name)
    judged = [batch for batch in batches if batch["status"] == "checked"]
    said = dataset.source
    return {
        **_card(connection, dataset),
        "path": said.path,
        "query": said.query,
        "table": said.table,
        "key": list(said.key),
        "time": said.time,
        "team": said.team,
        "cadence": said.cadence,
        "thresholds": said.thresholds.model_dump(),
        "yaml_keys": list(dataset.yaml_keys),
        "is_hidden": dataset.is_hidden,
        "batches": batches,
        "judged": judged[-1] if judged else None,
        "findings": findings_of(connection, judged[-1]["batch_id"]) if judged else [],
        "what_if": thresholds_on(connection, batches, said.thresholds),
        "schema_history": schema_history(connection, name),
    }


def thresholds_effect(store: Operations, settings: Settings, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What thresholds would have done to the last batches of a dataset; those that are not given are as they are.

    Raises UnknownDatasetError, or SourceError for what is no threshold.
    """
    source = find(store, settings, name).source
    wanted = make_dataset({**source.model_dump(), "thresholds": {**source.thresholds.model_dump(), **given}}, name)
    with store.read() as connection:
        batches = last_batches(connection, name)
        now = thresholds_on(connection, batches, source.thresholds)
        then = thresholds_on(connection, batches, wanted.thresholds)
    return {**then, "thresholds": wanted.thresholds.model_dump(), "fail_now": now["would_fail"]}


def batch_details(store: Operations, batch_id: str) -> dict[str, Any] | None:
    """A batch with its findings; None where no batch has the id."""
    with store.read() as connection:
        row = connection.execute(select(DATASET_BATCH).where(DATASET_BATCH.c.batch_id == batch_id)).mappings().first()
        if row is None:
            return None
        return {**row, "state": state_of(dict(row)), "findings": findings_of(connection, batch_id)}


def summary(store: Operations, settings: Settings) -> dict[str, Any]:
    """How many tables are watched, in which states, and the lowest and the mean score."""
    cards = overview(store, settings)
    scores = [card["score"] for card in cards if card["score"] is not None]
    states: dict[str, int] = {}
    for card in cards:
        states[card["status"]] = states.get(card["status"], 0) + 1
    return {
        "sources": len(cards),
        "by_status": states,
        "lowest_score": min(scores, default=None),
        "mean_score": sum(scores) / len(scores) if scores else None,
        "worst": cards[0]["dataset"] if cards else None,
    }
