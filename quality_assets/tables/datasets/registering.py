"""Which datasets there are: registered by YAML, by a command or by the API, kept in the operations store.

What a YAML file says wins over what was said elsewhere, key by key, as long as it says so. One that is wrong leaves all
as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, insert, or_, select, update

from quality_assets.clock import utc_now
from quality_assets.contracts.sources.datasets import DatasetSource, load_datasets, make_dataset
from quality_assets.domain.quality.alerting import RESOLVED
from quality_assets.settings import Settings
from quality_assets.stores.operations.alert_tables import ALERT
from quality_assets.stores.operations.dataset_tables import DATASET
from quality_assets.stores.operations.store import Operations, fetch, fetch_one
from quality_assets.tables.alerts import resolve_fault
from quality_assets.tables.house_history import remember

_OWN_ALERTS = ("dataset", "lateness")
# Which rows a dataset has: said in one place, since what two places say of it may exclude each other.
_ORIGIN = ("path", "query", "table", "secret")


class UnknownDatasetError(ValueError):
    """No dataset has that name; the message lists those there are."""


@dataclass(frozen=True)
class Registered:
    """A dataset as it is in force. `yaml_keys` are those that its YAML file says, and that nobody else may change."""

    source: DatasetSource
    yaml_keys: tuple[str, ...] = ()
    is_hidden: bool = False
    version: int = 1
    created_by: str = ""

    @property
    def dataset_id(self) -> str:
        """What names it everywhere."""
        return self.source.name


def register(store: Operations, source: DatasetSource, by: str, yaml_keys: tuple[str, ...] = ()) -> Registered:
    """Register a dataset, or change what is said of it; a hidden one comes back with its history."""
    with store.write() as connection:
        return _put(connection, source, by, yaml_keys)


def _put(connection: Connection, source: DatasetSource, by: str, yaml_keys: tuple[str, ...]) -> Registered:
    now = utc_now()
    row = fetch_one(connection, select(DATASET).where(DATASET.c.dataset_id == source.name))
    _remember(connection, None if row is None else _registered(row), source, by, now)
    values = {**_values(source), "yaml_keys": list(yaml_keys), "is_active": True, "hidden_at": None, "updated_at": now}
    if row is None:
        connection.execute(
            insert(DATASET).values(dataset_id=source.name, created_at=now, created_by=by, version=1, **values)
        )
        return Registered(source, yaml_keys, created_by=by)
    connection.execute(
        update(DATASET).where(DATASET.c.dataset_id == source.name).values(version=row["version"] + 1, **values)
    )
    return Registered(source, yaml_keys, version=row["version"] + 1, created_by=row["created_by"])


def _remember(connection: Connection, before: Registered | None, source: DatasetSource, by: str, now: datetime) -> None:
    """Keep who began to watch it, or what was changed of it: names alone, since a query may hold what is nobody's."""
    if before is None or before.is_hidden:
        note = source.kind if before is None else "again, with its history"
        remember(connection, "dataset", source.name, "added", source.name, by, note=note, now=now)
        return
    changed = [name for name in DatasetSource.model_fields if getattr(source, name) != getattr(before.source, name)]
    if changed:
        remember(connection, "dataset", source.name, "changed", source.name, by, note=", ".join(changed), now=now)


def _values(source: DatasetSource) -> dict[str, Any]:
    return {
        "name": source.name,
        "kind": source.kind,
        "description": source.description,
        "location": source.path or source.table or "",
        "query": source.query,
        "secret_ref": source.secret,
        "owner": source.owner,
        "team": source.team,
        "cadence": source.cadence,
        "key_columns": list(source.key),
        "time_column": source.time,
        "thresholds": source.thresholds.model_dump(),
        "options": {"table": source.table, "keep_examples": source.keep_examples},
    }


def datasets(store: Operations, settings: Settings, *, with_hidden: bool = False) -> dict[str, Registered]:
    """All datasets by name, those of YAML files registered on the way where they are new or changed."""
    with store.read() as connection:
        found = registered(connection)
    files = load_datasets(settings.data_dir / "datasets")
    for name, (source, keys) in files.datasets.items():
        there = found.get(name)
        wanted = source if there is None else _overridden(there, source, keys)
        if there is None or there.source != wanted or set(there.yaml_keys) != set(keys):
            found[name] = register(store, wanted, f"datasets/{name}.yaml", keys)
    # Which dataset a wrong file speaks of is not known.
    for name in () if files.errors else [n for n, each in found.items() if each.yaml_keys and n not in files.datasets]:
        _set_free(store, name)
        found[name] = replace(found[name], yaml_keys=())
    return {name: each for name, each in sorted(found.items()) if with_hidden or not each.is_hidden}


def _set_free(store: Operations, name: str) -> None:
    """Let anybody change what is said of a dataset: its YAML file is gone, and what it said stands until then."""
    with store.write() as connection:
        connection.execute(update(DATASET).where(DATASET.c.dataset_id == name).values(yaml_keys=[]))


def registered(connection: Connection) -> dict[str, Registered]:
    """All datasets that the store knows, by name, hidden ones too."""
    rows = fetch(connection, select(DATASET).order_by(DATASET.c.dataset_id))
    return {row["dataset_id"]: _registered(row) for row in rows}


def _overridden(there: Registered, yaml_source: DatasetSource, keys: tuple[str, ...]) -> DatasetSource:
    """What is in force of a dataset that a YAML file speaks of: its keys, and the rest as it was.

    What the file said before and says no more is as if nobody had said it.
    """
    said = yaml_source.model_dump()
    taken = {*keys, *there.yaml_keys, *(_ORIGIN if set(_ORIGIN).intersection(keys) else ())}
    return make_dataset(
        {**there.source.model_dump(), **{key: said[key] for key in taken if key in said}}, there.dataset_id
    )


def _registered(row: Mapping[str, Any]) -> Registered:
    options = row["options"] or {}
    content: dict[str, Any] = {
        "name": row["dataset_id"],
        "path": _path_of(row) if row["kind"] in ("files", "duckdb", "upload") else None,
        "query": row["query"],
        "secret": row["secret_ref"],
        "table": options.get("table"),
        "key": tuple(row["key_columns"] or ()),
        "time": row["time_column"],
        "description": row["description"],
        "owner": row["owner"],
        "team": row["team"],
        "cadence": row["cadence"],
        "thresholds": row["thresholds"] or {},
        "keep_examples": options.get("keep_examples", True),
    }
    source = make_dataset(content, row["dataset_id"])
    keys = tuple(row["yaml_keys"] or ())
    return Registered(source, keys, row["hidden_at"] is not None, row["version"], row["created_by"])


def _path_of(row: Mapping[str, Any]) -> str:
    """Where a dataset's files are; what was uploaded lay by its whole path once, which a copied root does not have."""
    inbox = f"inbox/{row['dataset_id']}"
    return inbox if str(row["location"]).endswith(f"/{inbox}") else str(row["location"])


def find(store: Operations, settings: Settings, name: str) -> Registered:
    """The dataset of a name. Raises UnknownDatasetError."""
    known = datasets(store, settings, with_hidden=True)
    if name not in known:
        listed = ", ".join(n for n, each in known.items() if not each.is_hidden) or "none yet"
        raise UnknownDatasetError(f"there is no dataset {name!r}; there are: {listed}")
    return known[name]


def hide(store: Operations, name: str, by: str) -> None:
    """Take a dataset out of sight; what was found stays, and its alerts, which no batch would end, are over."""
    now = utc_now()
    with store.write() as connection:
        if is_hidden(connection, name):
            return
        connection.execute(update(DATASET).where(DATASET.c.dataset_id == name).values(hidden_at=now, is_active=False))
        remember(connection, "dataset", name, "removed", name, by, now=now)
        is_own = and_(ALERT.c.kind.in_(_OWN_ALERTS), ALERT.c.subject == name)
        is_of_its_run = and_(ALERT.c.kind == "run", ALERT.c.check_name == name)
        live = select(ALERT.c.fingerprint).where(or_(is_own, is_of_its_run), ALERT.c.status != RESOLVED)
        for fingerprint in list(connection.execute(live).scalars()):
            resolve_fault(connection, fingerprint, now, "It is watched no longer.")


def is_hidden(connection: Connection, name: str) -> bool:
    """Whether a dataset is out of sight, as things stand now."""
    hidden = select(DATASET.c.hidden_at).where(DATASET.c.dataset_id == name)
    return connection.execute(hidden).scalar() is not None
