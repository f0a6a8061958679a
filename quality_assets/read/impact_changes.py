"""What changed in how people use the product: each change in a sentence, with the incident that it meets."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import timedelta

from quality_assets.contracts.definitions import Funnel
from quality_assets.contracts.impact import MONTH_DAYS
from quality_assets.domain.impact import impact_words as words
from quality_assets.domain.impact.impact_words import Step
from quality_assets.read import experiments, impact, links
from quality_assets.read.overview import open_incidents
from quality_assets.read.reader import Reader, Row, per_snapshot

# The others stand on the funnel's own page: one funnel's parts would hide what else has changed.
_SPLITS = 3


@per_snapshot
def changes(reader: Reader) -> list[Row]:
    """Every change, the one that touches most people first; before all, funnels of which nothing is known any more.

    Columns: kind, name, sentence, people, is_dead, href; incident_id, incident_feature and incident where a fall meets
    an open incident of the same feature.
    """
    found = [*_of_adoption(reader), *_of_funnels(reader), *_of_experiments(reader)]
    return sorted(
        found, key=lambda row: (not row["is_dead"], -row["people"], row["kind"], row["name"], row["sentence"])
    )


@per_snapshot
def incidents_by_feature(reader: Reader) -> dict[str, Row]:
    """The worst open incident of each feature that has one, or that one of several features names."""
    found: dict[str, Row] = {}
    for row in open_incidents(reader):
        for feature in (row["feature"], *(row.get("features") or ())):
            found.setdefault(feature, row)
    return found


@per_snapshot
def adoption_changes(reader: Reader) -> dict[str, str]:
    """That more or fewer use a feature than a month before, of those of which that is so: of all that were asked."""
    rows = [row for row in impact.adoption(reader) if row["all_mau"] and row["all_mau_before"]]
    shares = [((row["mau"], row["all_mau"]), (row["mau_before"], row["all_mau_before"])) for row in rows]
    incidents = incidents_by_feature(reader)
    return {
        row["feature"]: words.adoption_sentence(row["feature"], now, before, has_incident=row["feature"] in incidents)
        for row, (now, before), is_told in zip(rows, shares, words.are_changes(shares), strict=True)
        if is_told
    }


def _change(
    reader: Reader, kind: str, name: str, sentence: str, people: float, href: str, fallen: Collection[str] = ()
) -> Row:
    """`fallen` are the features that a fall is of: what is open of them stands beside it."""
    incidents = incidents_by_feature(reader)
    met = next((incidents[feature] for feature in sorted(fallen) if feature in incidents), None)
    return {
        "kind": kind,
        "name": name,
        "sentence": sentence,
        "people": people,
        "is_dead": False,
        "href": href,
        "incident_id": met["incident_id"] if met else None,
        "incident_feature": met["feature"] if met else None,
        "incident": met["sentence"] if met else None,
    }


def _of_adoption(reader: Reader) -> Iterator[Row]:
    told = adoption_changes(reader)
    for row in impact.adoption(reader):
        said = told.get(row["feature"])
        if said:
            before = row["adoption_before"] or 0.0
            moved = abs(row["adoption"] - before) / row["adoption"] if row["adoption"] else 1.0
            fallen = [row["feature"]] if row["adoption"] < before else []
            href = links.feature(row["feature"], {"tab": "impact"})
            yield _change(reader, "adoption", row["feature"], said, moved * row["mau"], href, fallen)


def _of_funnels(reader: Reader) -> Iterator[Row]:
    changed = funnel_changes(reader)
    for defined in impact.definitions(reader, "funnel"):
        if defined["error"]:
            continue
        name, href = defined["name"], links.funnel(defined["name"])
        dead = dead_sentence(reader, name)
        if dead:
            entered = impact.funnel_period(reader, name).steps[0].reached
            fallen = funnel_features(reader, name)
            yield _change(reader, "funnel", name, dead, float(entered), href, fallen) | {"is_dead": True}
            continue
        if name in changed:
            people, said, is_fall = changed[name]
            yield _change(reader, "funnel", name, said, people, href, funnel_features(reader, name) if is_fall else ())
        told = [split for split in impact.funnel_splits(reader, name) if split["sentence"]]
        for split in told[:_SPLITS]:
            lost = funnel_features(reader, name) if split["rate"] < split["rate_before"] else ()
            yield _change(reader, "funnel", name, f"{name}: {split['sentence']}.", split["people"], href, lost)


def _of_experiments(reader: Reader) -> Iterator[Row]:
    """Experiments that have news: void, at their planned end, or told already."""
    for row in experiments.experiments(reader):
        has_news = row["grade"] == "D" or row["state"] in ("final", "waiting") or " already: " in str(row["verdict"])
        through = reader.through
        is_recent = row["as_of_date"] and through and (through - row["as_of_date"]).days < MONTH_DAYS
        if has_news and is_recent and row["exposed"] and row["state"] != "undeclared":
            said = f"{row['experiment']}: {row['verdict']}"
            yield _change(
                reader,
                "experiment",
                row["experiment"],
                said,
                float(row["exposed"]),
                links.experiment(row["experiment"]),
            )


@per_snapshot
def funnel_features(reader: Reader, name: str) -> frozenset[str]:
    """The features whose events are steps of a funnel; a step that names an event alone is of those that have it."""
    steps = impact.funnel(reader, name).steps
    found = {step.feature for step in steps if step.feature}
    names = [step.event_name for step in steps if step.feature is None and step.event_name]
    if names and reader.has(impact.EVENT_DAYS):
        rows = reader.rows(
            f"select distinct feature from {impact.EVENT_DAYS}"
            " where list_contains($names, event_name) and event_date > $through - 28",
            {"names": names, "through": reader.through},
        )
        found |= {row["feature"] for row in rows}
    return frozenset(found)


def _is_dead(reader: Reader, name: str, defined: Funnel) -> bool:
    assert reader.through is not None
    seen = impact.last_seen(reader, name)
    steps = (Step("", 0, seen.get(n)) for n in range(1, len(defined.steps) + 1))
    return any(words.is_dead(step, reader.through) for step in steps)


def dead_sentence(reader: Reader, name: str) -> str | None:
    """That a step's event does not happen any more; None of a funnel all of whose events do."""
    if not _is_dead(reader, name, impact.funnel(reader, name)):
        return None
    return f"{name}: {impact.funnel_period(reader, name).sentence}"


@per_snapshot
def funnel_changes(reader: Reader) -> dict[str, tuple[float, str, bool]]:
    """How many people, in which words, and whether fewer, of each funnel that changed; all are asked together."""
    usable = [row["name"] for row in impact.definitions(reader, "funnel") if not row["error"]]
    asked = {name: shares for name in usable if (shares := _finished(reader, name)) is not None}
    found = {}
    for (name, (now, before)), is_told in zip(asked.items(), words.are_changes(list(asked.values())), strict=True):
        if is_told:
            lost = now[1] * before[0] / before[1] - now[0]
            has_incident = bool(funnel_features(reader, name) & incidents_by_feature(reader).keys())
            said = words.conversion_sentence(name, now, before, has_incident=has_incident)
            found[name] = abs(lost), said, lost > 0
    return found


def _finished(reader: Reader, name: str) -> tuple[words.Share, words.Share] | None:
    """(finished, entered) of a funnel in the last 28 days of entry whose windows are over, and in the 28 before; None
    where nobody knows.
    """
    through, defined = reader.through, impact.funnel(reader, name)
    assert through is not None
    end = through - timedelta(days=defined.reach_days)
    found: list[words.Share] = []
    for last in (end, end - timedelta(days=MONTH_DAYS)):
        reached = impact.reached_steps(
            reader, {"name": name, "start": last - timedelta(days=MONTH_DAYS - 1), "end": last}, len(defined.steps)
        )
        found.append((reached.get(len(defined.steps), (0, None))[0], reached.get(1, (0, None))[0]))
    now, before = found
    return None if _is_dead(reader, name, defined) or not now[1] or not before[1] else (now, before)
