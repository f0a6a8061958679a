"""What people say of a watched table and of its rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select, update

from quality_assets.clock import utc_now
from quality_assets.contracts.sources.datasets import make_dataset
from quality_assets.domain.quality.datasets.table_findings import DIMENSION_OF
from quality_assets.stores.operations.dataset_tables import DATASET_RULE
from quality_assets.stores.operations.store import Operations
from quality_assets.tables.datasets.muting import end_quiet_alerts
from quality_assets.tables.datasets.registering import Registered, register


class CannotChangeError(ValueError):
    """It is said elsewhere, or was changed meanwhile; the message says which."""


def change(
    store: Operations, dataset: Registered, given: Mapping[str, Any], version: int | None, by: str
) -> Registered:
    """Change what is said of a dataset. Raises CannotChangeError, or SourceError for what is not valid."""
    said = [key for key in given if key in dataset.yaml_keys]
    if said:
        raise CannotChangeError(f"{', '.join(said)}: data/datasets/{dataset.dataset_id}.yaml says it; change it there.")
    with store.write():
        check_version(dataset.version, version)
        before = dataset.source.model_dump()
        if given.get("thresholds") is not None:
            given = {**given, "thresholds": {**before["thresholds"], **given["thresholds"]}}
        source = make_dataset({**before, **given}, dataset.dataset_id)
        return register(store, source, by, dataset.yaml_keys)


def check_version(there: int, wanted: int | None) -> None:
    """Raise CannotChangeError where something is of another version than whoever changes it has read."""
    if wanted is not None and wanted != there:
        raise CannotChangeError(f"It was changed meanwhile: it is of version {there} now. Read it again.")


def rule_of(store: Operations, dataset: str, rule: str) -> dict[str, Any] | None:
    """What people say of a rule; None where nobody says anything."""
    is_it = (DATASET_RULE.c.dataset_id == dataset) & (DATASET_RULE.c.rule_id == rule)
    with store.read() as connection:
        row = connection.execute(select(DATASET_RULE.c.state, DATASET_RULE.c.version).where(is_it)).first()
    return None if row is None else {"dataset": dataset, "rule": rule, "state": row.state, "version": row.version}


def set_state(
    store: Operations, dataset: str, rule: str, state: str, by: str, version: int | None = None
) -> dict[str, Any]:
    """Pin a rule, mute it, which ends its alert, or leave it to what is learnt.

    Raises CannotChangeError where it is of another version.
    """
    now = utc_now()
    detector, _, inside = rule.partition("(")
    kind = re.sub(r"^(past_)?(local_|weak_)?", "", detector).rstrip("*+")
    is_it = (DATASET_RULE.c.dataset_id == dataset) & (DATASET_RULE.c.rule_id == rule)
    with store.write() as connection:
        there = connection.execute(select(DATASET_RULE.c.version).where(is_it)).scalar()
        check_version(there or 0, version)
        if there is None:
            connection.execute(
                insert(DATASET_RULE).values(
                    dataset_id=dataset, rule_id=rule, kind=kind, dimension=DIMENSION_OF.get(kind, "validity"),
                    columns=[name for name in inside.rstrip(")").split(", ") if name], parameters={}, origin="learnt",
                    state=state, since=now, updated_at=now, updated_by=by, version=1,
                )
            )  # fmt: skip
        else:
            values = {"state": state, "updated_at": now, "updated_by": by, "version": there + 1}
            connection.execute(update(DATASET_RULE).where(is_it).values(**values))
        end_quiet_alerts(connection, dataset)
    return {"dataset": dataset, "rule": rule, "state": state, "version": (there or 0) + 1}
