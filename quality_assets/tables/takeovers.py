"""Which logs a load takes the place of: those whose lines it has too, and those that it is the correction of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import duckdb

from quality_assets.contracts.events import RAW_LOGS
from quality_assets.contracts.ops import LANDING_FILES
from quality_assets.contracts.raw import CORRECTED, LOG_FILES, WITHOUT_DAYS
from quality_assets.contracts.sources.events import Sources
from quality_assets.domain.wording import plural
from quality_assets.stores.lake import files_sql
from quality_assets.stores.readers import FileRejected, FileWaits, StagedFile, Staging
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.arrivals import Arrival
from quality_assets.tables.ledger import arrived, insert_or_replace
from quality_assets.tables.repeated_logs import same_rows
from quality_assets.tables.withdrawals import mark

_MOST_DAYS = 3


@dataclass
class Takeover:
    """What the files of a load, by their numbers in it, do to known logs.

    `superseded` gives, by the file_id of a log that goes, that of the one in its place, and why; `earlier` the logs of
    its path that a file tells again, which stay; `same` the log with the same rows that a file is no more than.
    """

    superseded: dict[str, tuple[str, str]] = field(default_factory=dict)
    earlier: dict[int, list[str]] = field(default_factory=dict)
    same: dict[int, str] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)
    repeated: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        session: WarehouseSession,
        scratch: duckdb.DuckDBPyConnection,
        staging: Staging,
        sources: Sources,
        arrivals: Mapping[int, Arrival],
        outcomes: Mapping[int, StagedFile | FileRejected | FileWaits],
    ) -> Takeover:
        """What becomes of known logs now that the files of a load are staged."""
        takeover = cls()
        loaded = {n: file for n, file in outcomes.items() if isinstance(file, StagedFile)}
        alone = [(n, file) for n, file in loaded.items() if not arrivals[n].continues]
        for number, file_id in same_rows(session, staging, scratch, alone).items():
            if _stands(session, file_id, [a.file.name for a in arrivals.values()]):
                takeover.same[number] = file_id
            else:
                takeover._replace(session, number, arrivals[number], [file_id], "another file has its rows")
        for number, file in loaded.items():
            if number not in takeover.same:
                takeover._weigh(session, sources, number, arrivals[number], file)
        return takeover

    def _weigh(
        self, session: WarehouseSession, sources: Sources, number: int, arrival: Arrival, file: StagedFile
    ) -> None:
        for content in arrival.continues:
            self.superseded[content.file_id] = (arrival.file_id, "another file has its lines, and more")
        rivals = [content.file_id for content in arrival.rivals if content.file_id not in self.superseded]
        known = _dates_of(session, rivals)
        for file_id in rivals:
            if known.get(file_id, ("", ()))[0] == "rejected":
                self.superseded[file_id] = (arrival.file_id, "another file has come in its place")
        shared = [
            file_id
            for file_id in rivals
            if known.get(file_id, ("", ()))[0] == "loaded" and not set(file.dates).isdisjoint(known[file_id][1])
        ]
        if not shared:
            return
        if sources[file.source].on_repeat == "replace":
            corrected = {file_id: known[file_id][1] for file_id in shared}
            self._replace(session, number, arrival, shared, _corrected(session, corrected, file.dates))
        else:
            self.earlier[number] = shared
            self.repeated[arrival.file_id] = shared[-1]

    def _replace(
        self,
        session: WarehouseSession,
        number: int,
        arrival: Arrival,
        file_ids: Collection[str],
        why: str | Mapping[str, str],
    ) -> None:
        said = dict.fromkeys(file_ids, why) if isinstance(why, str) else why
        self.superseded |= {file_id: (arrival.file_id, said[file_id]) for file_id in file_ids}
        row = session.connection.execute(
            f"select min(coalesce(precedence, file_number)) from {LOG_FILES.qualified_name}"
            " where list_contains($ids, file_id)",
            {"ids": list(file_ids)},
        ).fetchone()
        if row and row[0] is not None:
            self.places[number] = row[0]

    def record(self, session: WarehouseSession, arrivals: Mapping[int, Arrival]) -> None:
        """Write it down; call in the transaction that does it."""
        for file_id, (by, why) in self.superseded.items():
            mark(session, [file_id], "superseded", by=by, reason=why)
        for number, place in self.places.items():
            session.connection.execute(
                f"update {LOG_FILES.qualified_name} set precedence = least(coalesce(precedence, $place), $place)"
                " where file_id = $file_id",
                {"place": place, "file_id": arrivals[number].file_id},
            )
        rows = [
            arrived(arrivals[number])
            | {"status": "superseded", "superseded_by": file_id, "reason": "another file has its rows"}
            for number, file_id in self.same.items()
        ]
        insert_or_replace(session.connection, LOG_FILES, rows)


def _corrected(
    session: WarehouseSession, corrected: Mapping[str, Collection[date]], days: Collection[date]
) -> dict[str, str]:
    """Why logs go, given by their dates, whose correction has rows on some days; with the days that go with them."""
    return {
        file_id: _without_days(session, file_id, sorted(gone)) if (gone := set(dates).difference(days)) else CORRECTED
        for file_id, dates in corrected.items()
    }


def _without_days(session: WarehouseSession, file_id: str, days: Sequence[date]) -> str:
    files = [file for file in session.lake.files(RAW_LOGS, days[0], days[-1]) if file.event_date in days]
    row = session.connection.execute(
        f"select count(*) from ({files_sql(RAW_LOGS, session.lake.absolute(files))}) where file_id = $file_id",
        {"file_id": file_id},
    ).fetchone()
    named = ", ".join(map(str, days[:_MOST_DAYS])) + (" and others" if len(days) > _MOST_DAYS else "")
    return f"{WITHOUT_DAYS} {plural(row[0] if row else 0, 'row')} of {named}"


def _stands(session: WarehouseSession, file_id: str, replaced: Collection[str]) -> bool:
    row = session.connection.execute(
        f"select count(*) from {LANDING_FILES.qualified_name}"
        " where file_id = $file_id and not list_contains($replaced, path)",
        {"file_id": file_id, "replaced": list(replaced)},
    ).fetchone()
    return row != (0,)


def _dates_of(session: WarehouseSession, file_ids: Collection[str]) -> dict[str, tuple[str, list[date]]]:
    if not file_ids:
        return {}
    rows = session.connection.execute(
        f"select file_id, status, touched_dates from {LOG_FILES.qualified_name} where list_contains($ids, file_id)"
        " order by file_number",
        {"ids": list(file_ids)},
    ).fetchall()
    return {file_id: (status, days) for file_id, status, days in rows}
