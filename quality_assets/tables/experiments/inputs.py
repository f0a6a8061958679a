"""What experiments are computed from besides valid events: refused rows as they came, funnels, completions.

Relations are given as SQL text with the parameters that they bind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from quality_assets.contracts.definitions import Catalogue, Funnel
from quality_assets.contracts.events import QUARANTINED_EVENTS, VALID_EVENTS
from quality_assets.contracts.impact import EVENT_DAYS
from quality_assets.contracts.sources.columns import ColumnMapping
from quality_assets.contracts.sources.events import Source, load_sources
from quality_assets.stores.lake import files_sql
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.impact.defined import definitions_of

_READ_OF_A_ROW = ("event_name", "user_id", "variant", "properties")
_COMPLETION = re.compile(r"(^|_)(complete|completed|finish|finished)$")


@dataclass(frozen=True)
class Relation:
    """SQL that may stand behind FROM, and what it binds."""

    sql: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FunnelSteps:
    """A funnel as far as conversion needs it: steps as {feature, event_name, where}, seconds from the first on."""

    steps: tuple[dict[str, Any], ...]
    window_s: int


def events_between(session: WarehouseSession, start: date, end: date) -> Relation:
    """The valid events of some days: only their files are opened."""
    files = session.lake.files(VALID_EVENTS, start, end)
    return Relation(f"({files_sql(VALID_EVENTS, session.lake.absolute(files))})")


def refused_between(session: WarehouseSession, start: date, end: date) -> Relation:
    """Refused rows of some days: event_date, reasons, feature, and event_name, user_id, variant, properties as read.

    Values are taken from the row as it arrived, through the mapping of the source that its log is of; what the source
    does not map, or the row does not hold, is null.
    """
    files = session.lake.files(QUARANTINED_EVENTS, start, end)
    read = {name for (name,) in session.connection.execute("select distinct source from raw.log_files").fetchall()}
    known = load_sources(session.settings.source_folders, session.settings.earliest_date)
    sources = [source for source in known if source.name in read]
    parameters: dict[str, Any] = {}
    columns = []
    for column in _READ_OF_A_ROW:
        cases = [
            text
            for number, source in enumerate(sources)
            if (text := _case(column, number, source, parameters)) is not None
        ]
        value = f"case source {' '.join(cases)} end" if cases else "cast(null as varchar)"
        if column == "properties":
            value = f"case when json_valid({value}) then {value} end"
        columns.append(f"{value} as {column}")
    query = files_sql(QUARANTINED_EVENTS, session.lake.absolute(files))
    return Relation(
        f"(select event_date, reasons, feature, {', '.join(columns)}"
        f" from ({query}) as refused left join raw.log_files using (file_id))",
        parameters,
    )


def _case(column: str, number: int, source: Source, parameters: dict[str, Any]) -> str | None:
    name = f"source_{number}"
    if column == "properties" and source.properties_from:
        parameters[name] = source.name
        return f"when ${name} then raw_row"
    mapping = source.columns.get(column)
    text = None if mapping is None else _value(mapping, f"{column}_{number}", parameters)
    if text is None:
        return None
    parameters[name] = source.name
    return f"when ${name} then {text}"


def _value(mapping: ColumnMapping, name: str, parameters: dict[str, Any]) -> str | None:
    if mapping.constant is not None and not mapping.from_columns:
        parameters[name] = mapping.constant
        return f"${name}"
    if len(mapping.from_columns) != 1 or set("[*") & set(mapping.from_columns[0]):
        return None
    column = mapping.from_columns[0]
    parameters[name] = _path([column])
    text = f"json_extract_string(raw_row, ${name})"
    if "." in column:
        parameters[f"{name}_deep"] = _path(column.split("."))
        text = f"coalesce({text}, json_extract_string(raw_row, ${name}_deep))"
    if mapping.default is not None:
        parameters[f"{name}_default"] = mapping.default
        text = f"coalesce(nullif({text}, ''), ${name}_default)"
    return f"nullif({text}, '')"


def _path(steps: Sequence[str]) -> str:
    return "$" + "".join('."' + step.replace('"', '\\"') + '"' for step in steps)


def events_seen(session: WarehouseSession) -> list[tuple[str, str]]:
    """(feature, event name) of everything that was ever seen."""
    query = f"select distinct feature, event_name from {EVENT_DAYS.qualified_name}"
    return session.connection.execute(query).fetchall()


def completions(session: WarehouseSession) -> list[tuple[str, str]]:
    """(feature, event name) of events that end something: as the catalogue says, else by their names.

    Of a feature of which the catalogue has no event that ends it, those count that are called so: `complete`,
    `quiz_completed`, `finish`.
    """
    seen = events_seen(session)
    catalogue = definitions_of(session, Catalogue).get("events")
    ends = [event for event in catalogue.events if event.signal == "completion"] if catalogue else []
    said = {
        (feature, name)
        for feature, name in seen
        if any(end.event_name == name and end.feature in (None, feature) for end in ends)
    }
    told = {feature for feature, _ in said}
    named = {(feature, name) for feature, name in seen if feature not in told and _COMPLETION.search(name)}
    return sorted(said | named)


def funnel_steps(session: WarehouseSession, name: str) -> FunnelSteps | None:
    """The steps of the funnel called `name`; None where no file defines it, or that file is wrong."""
    funnel = definitions_of(session, Funnel).get(name)
    if funnel is None:
        return None
    return FunnelSteps(tuple(step.model_dump() for step in funnel.steps), int(funnel.window.total_seconds()))
