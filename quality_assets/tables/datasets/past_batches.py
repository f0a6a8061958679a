"""What past batches of a dataset say: what other thresholds would have done to them, how columns came and went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, func, select

from quality_assets.contracts.sources.datasets import Thresholds
from quality_assets.domain.quality.datasets.thresholds import Measured, what_if
from quality_assets.stores.operations.dataset_tables import DATASET_BATCH, DATASET_FINDING

_MOST_REMEMBERED = 200
"""So many batches back the history of columns goes."""


def thresholds_on(connection: Connection, batches: Sequence[Mapping[str, Any]], given: Thresholds) -> dict[str, Any]:
    """What thresholds do to those of some batches that were judged."""
    judged = [batch for batch in batches if batch["status"] == "checked"]
    alerts = _alerts_of(connection, [batch["batch_id"] for batch in judged])
    return what_if([(batch, _measured(batch, alerts.get(batch["batch_id"], 0))) for batch in judged], given)


def _alerts_of(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    counted = select(DATASET_FINDING.c.batch_id, func.count()).where(
        DATASET_FINDING.c.batch_id.in_(ids), DATASET_FINDING.c.is_alerting
    )
    return {row[0]: int(row[1]) for row in connection.execute(counted.group_by(DATASET_FINDING.c.batch_id))}


def _measured(batch: Mapping[str, Any], alerts: int) -> Measured:
    summary = (batch["details"] or {}).get("summary") or {}
    rows = batch["rows"] or 0
    missing = {name: about["missing"] / rows for name, about in summary.items()} if rows else {}
    return Measured(batch["score"], alerts, rows, missing)


def schema_history(connection: Connection, dataset: str) -> list[dict[str, Any]]:
    """How the columns of a dataset came, went and changed their kind, the newest batch first.

    Each entry names the batch, and lists its `added` and `lost` columns, `kinds` that changed (column, before, now),
    whether only the `order` is another, and `renames` that were proposed (sentences).
    """
    rows = connection.execute(
        select(
            DATASET_BATCH.c.batch_id, DATASET_BATCH.c.name, DATASET_BATCH.c.arrived_at, DATASET_BATCH.c.columns,
            DATASET_BATCH.c.details,
        )
        .where(DATASET_BATCH.c.dataset_id == dataset, DATASET_BATCH.c.status == "checked")
        .order_by(DATASET_BATCH.c.sequence.desc())
        .limit(_MOST_REMEMBERED)
    ).mappings()  # fmt: skip
    batches = [dict(row) for row in rows][::-1]
    changes = [_change(before, after) for before, after in pairwise(batches)]
    found = [change for change in changes if any(change[key] for key in ("added", "lost", "kinds", "order"))]
    renames = _renames(connection, [change["batch_id"] for change in found])
    first = [_first(batches[0])] if batches and len(batches) < _MOST_REMEMBERED else []
    return [*({**change, "renames": renames.get(change["batch_id"], [])} for change in reversed(found)), *first]


def _first(batch: Mapping[str, Any]) -> dict[str, Any]:
    return _entry(batch) | {"added": list(batch["columns"] or ()), "is_first": True}


def _entry(batch: Mapping[str, Any]) -> dict[str, Any]:
    nothing: dict[str, Any] = {"added": [], "lost": [], "kinds": [], "order": False, "renames": [], "is_first": False}
    return {"batch_id": batch["batch_id"], "batch": batch["name"], "arrived_at": batch["arrived_at"]} | nothing


def _change(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    old, new = list(before["columns"] or ()), list(after["columns"] or ())
    were, are = _kinds(before), _kinds(after)
    return _entry(after) | {
        "added": [name for name in new if name not in old],
        "lost": [name for name in old if name not in new],
        "kinds": [[name, were[name], are[name]] for name in new if name in were and were[name] != are.get(name)],
        "order": set(old) == set(new) and old != new,
    }


def _kinds(batch: Mapping[str, Any]) -> dict[str, str]:
    summary = (batch["details"] or {}).get("summary") or {}
    return {name: about["kind"] for name, about in summary.items()}


def _renames(connection: Connection, ids: Sequence[str]) -> dict[str, list[str]]:
    proposed = select(DATASET_FINDING.c.batch_id, DATASET_FINDING.c.sentence).where(
        DATASET_FINDING.c.batch_id.in_(ids), DATASET_FINDING.c.kind == "rename"
    )
    found: dict[str, list[str]] = {}
    for batch_id, sentence in connection.execute(proposed):
        found.setdefault(batch_id, []).append(sentence)
    return found
