"""The log of releases in the operations store: append only, one writer at a time, compare and set.

What the rows mean is said in `domain.models.learning.release_stack`. Imports neither Dagster nor MLflow, so that a
server may ask it.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from quality_assets.clock import utc_now
from quality_assets.domain.models.learning.release_stack import (
    Action,
    Release,
    ReleaseConflictError,
    Stage,
    counted_from,
    given_back,
    in_use,
    newest,
    utc_naive,
)
from quality_assets.settings import Settings
from quality_assets.stores.operations.model_tables import MODEL_RELEASE
from quality_assets.stores.operations.store import Operations, operations_of


class ReleaseLog:
    """The releases of all models of a data root."""

    def __init__(self, store: Operations) -> None:
        self._store = store

    def all(self) -> list[Release]:
        """Every release of every model, by seq."""
        with self._store.read() as connection:
            return _rows(connection)

    def of(self, model: str) -> list[Release]:
        """Every release of a model, by seq."""
        with self._store.read() as connection:
            return _rows(connection, model)

    def promote(
        self, model: str, version: str, *, actor: str, reason: str, evidence: str | None = None,
        at: datetime | None = None, expected_seq: int | None = None,
    ) -> Release | None:  # fmt: skip
        """Put a version in use; None where it is already. `at`: when it was done, if not just now.

        With `expected_seq`, the release that the caller saw last: ReleaseConflictError where another came meanwhile.
        Raises ReleaseAheadError where `at` has not come.
        """
        with self._store.write() as connection:
            before = _rows(connection, model)
            _check_unchanged(before, expected_seq)
            current = in_use(before)
            if current is not None and current.version == version:
                return None
            return _append(connection, before, model, version, "promote", actor, reason, evidence, at)

    def rollback(
        self, model: str, *, actor: str, reason: str, at: datetime | None = None, expected_seq: int | None = None
    ) -> Release:
        """Take the last promotion back; the release, whose version is in use again. Raises NoEarlierReleaseError,
        ReleaseAheadError."""
        with self._store.write() as connection:
            before = _rows(connection, model)
            _check_unchanged(before, expected_seq)
            back = given_back(before)
            return _append(connection, before, model, back.version, "rollback", actor, reason, back.evidence, at)

    def stage(self, model: str, version: str, *, actor: str, reason: str, evidence: str) -> Release:
        """Note that a version has passed its gates."""
        with self._store.write() as connection:
            before = _rows(connection, model)
            return _append(
                connection, before, model, version, "promote", actor, reason, evidence, None, stage="staging"
            )

    def canary_step(
        self, model: str, version: str, action: Action, *, actor: str, reason: str, evidence: str | None = None
    ) -> Release:
        """Note that a version answers a share of the requests from now on, or no longer."""
        with self._store.write() as connection:
            before = _rows(connection, model)
            return _append(connection, before, model, version, action, actor, reason, evidence, None, stage="canary")

    def adopt(self, model: str, versions: list[tuple[str, datetime]], reason: str) -> None:
        """Write down promotions that another store knew of before there was this one; a no-op where any is here."""
        with self._store.write() as connection:
            if _rows(connection, model):
                return
            for version, at in versions:
                before = _rows(connection, model)
                counts_from = min(utc_naive(at), utc_now())
                _append(connection, before, model, version, "promote", "training", reason, None, counts_from)

    def change_count(self) -> int:
        """How often the store was written: whoever serves looks again once this has grown."""
        return self._store.change_count()


def release_log(settings: Settings) -> ReleaseLog:
    """The log of a data root."""
    return ReleaseLog(operations_of(settings))


def _check_unchanged(releases: list[Release], expected_seq: int | None) -> None:
    last = newest(releases)
    found = last.seq if last is not None else 0
    if expected_seq is not None and found != expected_seq:
        who = f"{last.actor} released version {last.version} meanwhile" if last is not None else "there is no release"
        raise ReleaseConflictError(f"{who} (release {found}, and {expected_seq} was expected); look again and repeat")


def _rows(connection: Connection, model: str | None = None) -> list[Release]:
    query = select(MODEL_RELEASE).order_by(MODEL_RELEASE.c.seq)
    if model is not None:
        query = query.where(MODEL_RELEASE.c.model == model)
    return [Release(**row) for row in connection.execute(query).mappings()]


def _append(
    connection: Connection, before: list[Release], model: str, version: str, action: Action, actor: str, reason: str,
    evidence: str | None, at: datetime | None, stage: Stage = "prod",
) -> Release:  # fmt: skip
    last = newest(before)
    values: dict[str, Any] = {
        "model": model,
        "version": version,
        "action": action,
        "stage": stage,
        "actor": actor,
        "reason": reason,
        "at": counted_from(at, utc_now(), before),
        "replaces_seq": last.seq if last is not None else None,
        "evidence": evidence,
    }
    done = connection.execute(insert(MODEL_RELEASE).values(**values))
    seq = done.inserted_primary_key
    assert seq is not None  # one row was inserted
    return Release(seq=int(seq[0]), **values)


def release_rows(log: ReleaseLog) -> list[dict[str, object]]:
    """Rows of ml.model_releases: every release, and whether it is in force."""
    releases = log.all()
    models = {each.model for each in releases}
    current = {model: newest([r for r in releases if r.model == model]) for model in models}
    in_force = {release.seq for release in current.values() if release is not None and release.action != "retire"}
    return [
        {
            **{"model_version" if name == "version" else name: value for name, value in asdict(each).items()},
            "is_in_use": each.seq in in_force,
        }
        for each in releases
    ]
