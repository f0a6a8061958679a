"""Definitions in force: read from YAML, held against what the data have, kept in impact.definitions.

One that names what was never seen is kept with the reason, and nothing is built of it: a typing error must not look
like a funnel that nobody finishes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches

from quality_assets.contracts.definitions import (
    Catalogue,
    Definition,
    Funnel,
    Happening,
    Loaded,
    Model,
    Segment,
    Sharing,
    from_spec,
    load_file,
    load_folder,
)
from quality_assets.contracts.experiment_files import load_experiments
from quality_assets.contracts.impact import DEFINITIONS, EVENT_DAYS
from quality_assets.domain.impact.impact_words import WAITS
from quality_assets.settings import Settings
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.staleness import OF_NO_DATE, record_built

DEFINED_IN_FOLDERS: Mapping[str, type[Definition]] = {"funnels": Funnel, "segments": Segment}
DEFINED_IN_FILES: Mapping[str, type[Definition]] = {"sharing.yaml": Sharing, "events.yaml": Catalogue}
"""Where definitions lie (`Settings.defined`), and what each of them is."""
_KINDS: tuple[str, ...] = ("funnel", "segment", "sharing", "events")


def refresh_definitions(session: WarehouseSession) -> list[Loaded]:
    """Make impact.definitions what the files say now, and the data allow; all of them."""
    loaded = [_held_against(session, each) for each in load_all(session.settings)]
    columns = ("kind", "name", "owner", "version", "reach_days", "spec", "path", "error")
    rows = [tuple(getattr(each, column) for column in columns) for each in loaded]
    listed = ", ".join(columns)
    connection = session.connection
    known = connection.execute(
        f"select {listed} from {DEFINITIONS.qualified_name} where list_contains($kinds, kind)", {"kinds": _KINDS}
    ).fetchall()
    if sorted(map(repr, known)) != sorted(map(repr, rows)):
        with session.transaction():
            connection.execute(
                f"delete from {DEFINITIONS.qualified_name} where list_contains($kinds, kind)", {"kinds": _KINDS}
            )
            marks = ", ".join("?" for _ in columns)
            for row in rows:
                connection.execute(f"insert into {DEFINITIONS.qualified_name} ({listed}) values ({marks})", row)
            # Of no date: it tells that readers have others, also where they change nothing that is built.
            said = hashlib.sha256("".join(sorted(map(repr, rows))).encode()).hexdigest()[:32]
            record_built(connection, DEFINITIONS, {OF_NO_DATE: said}, {OF_NO_DATE: len(rows)})
    return loaded


def load_all(settings: Settings) -> list[Loaded]:
    """All definitions as their files say them."""
    found: list[Loaded] = []
    for folder, kind in DEFINED_IN_FOLDERS.items():
        found += load_folder(settings.defined(folder), kind)
    for name, model in DEFINED_IN_FILES.items():
        path = settings.defined(name)
        if path.is_file():
            found.append(load_file(path, model, folders=0))
    return found


def definitions_of(session: WarehouseSession, model: type[Model]) -> dict[str, Model]:
    """The definitions of one kind that can be used, by name."""
    rows = session.connection.execute(
        f"select name, spec from {DEFINITIONS.qualified_name} where kind = $kind and error is null order by name",
        {"kind": model.kind},
    ).fetchall()
    return {name: from_spec(model, spec) for name, spec in rows}


def _held_against(session: WarehouseSession, loaded: Loaded) -> Loaded:
    if loaded.error is not None or loaded.kind == "events":
        return loaded
    rows = session.connection.execute(
        f"select distinct feature, event_name from {EVENT_DAYS.qualified_name}"
    ).fetchall()
    if not rows:
        return loaded
    seen = set(rows)
    models: dict[str, type[Definition]] = {"funnel": Funnel, "segment": Segment, "sharing": Sharing}
    defined = from_spec(models[loaded.kind], loaded.spec)
    asked = list(_asked(defined))
    unseen = [said for happening, place in asked if (said := _unseen(happening, place, seen))]
    if not unseen:
        return loaded
    waits = WAITS if len(unseen) == len(asked) else ""
    return replace(loaded, error=waits + "\n".join(f"{loaded.path}: {said}" for said in unseen))


def _asked(defined: Definition) -> Iterator[tuple[Happening, str]]:
    """What a definition names, and under which key."""
    if isinstance(defined, Funnel):
        yield from ((step, f"steps.{n}") for n, step in enumerate(defined.steps, start=1))
    elif isinstance(defined, Sharing):
        yield from ((defined.share, "share"), (defined.result, "result"))
    elif isinstance(defined, Segment):
        for condition in (*defined.all, *defined.any):
            named = condition.uses or condition.not_used
            if named is not None:
                yield Happening(feature=named.feature), "uses" if condition.uses else "not_used"


def _unseen(happening: Happening, place: str, seen: Collection[tuple[str, str]]) -> str:
    """What is wrong with an event that was never seen: the nearest names that were; nothing where it was."""
    feature, name = happening.feature, happening.event_name
    if any(feature in (None, f) and name in (None, n) for f, n in seen):
        return ""
    features, names = {f for f, _ in seen}, {n for _, n in seen}
    if feature is not None and feature not in features:
        return f"{place}.feature: {feature!r} was never seen; the nearest names are {_nearest(feature, features)}"
    within = {n for f, n in seen if feature in (None, f)}
    of = f" of feature {feature!r}" if feature is not None and name in names else ""
    return f"{place}.event_name: {name!r}{of} was never seen; the nearest names are {_nearest(str(name), within)}"


def _nearest(name: str, names: Iterable[str]) -> str:
    return ", ".join(get_close_matches(name, sorted(names), n=3, cutoff=0.0))


def definitions_off(session: WarehouseSession) -> list[str]:
    """Why definitions and experiments are not used, of those that are wrong, and not waiting for their events alone."""
    rows = session.connection.execute(
        f"select error from {DEFINITIONS.qualified_name} where not starts_with(error, $waits) order by path",
        {"waits": WAITS},
    ).fetchall()
    experiments = load_experiments(session.settings.defined("experiments")).errors
    return [line for error in (*(error for (error,) in rows), *experiments) for line in str(error).splitlines()]
