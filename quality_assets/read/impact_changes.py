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


def adoption_change(reader: Reader, row: Row) -> str | None:
    """That more or fewer use a feature than a month before, of a row of `adoption`; None where neither."""
    before = (row["mau_before"], row["all_mau_before"]) if row["all_mau_before"] else None
    return words.adoption_sentence(
        row["feature"],
        (row["mau"], row["all_mau"]),
        before,
        has_incident=row["feature"] in incidents_by_feature(reader),
    )


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
    for row in impact.adoption(reader):
        said = adoption_change(reader, row)
        if said:
            before = row["adoption_before"] or 0.0
            moved = abs(row["adoption"] - before) / row["adoption"] if row["adoption"] else 1.0
            fallen = [row["feature"]] if row["adoption"] < before else []
            href = links.feature(row["feature"], {"tab": "impact"})
            yield _change(reader, "adoption", row["feature"], said, moved * row["mau"], href, fallen)


def _of_funnels(reader: Reader) -> Iterator[Row]:
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
        change = funnel_change(reader, name)
        if change is not None:
            people, said, is_fall = change
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
def funnel_change(reader: Reader, name: str) -> tuple[float, str, bool] | None:
    """How many people, in which words, and whether fewer: a funnel is finished otherwise than 28 days before."""
    through, defined = reader.through, impact.funnel(reader, name)
    assert through is not None
    end = through - timedelta(days=defined.reach_days)
    rates = []
    for last in (end, end - timedelta(days=MONTH_DAYS)):
        reached = impact.reached_steps(
            reader, {"name": name, "start": last - timedelta(days=MONTH_DAYS - 1), "end": last}, len(defined.steps)
        )
        rates.append((reached.get(1, (0, None))[0], reached.get(len(defined.steps), (0, None))[0]))
    (entered, done), (entered_before, done_before) = rates
    if _is_dead(reader, name, defined) or not entered or not entered_before:
        return None
    has_incident = bool(funnel_features(reader, name) & incidents_by_feature(reader).keys())
    said = words.conversion_sentence(name, (done, entered), (done_before, entered_before), has_incident=has_incident)
    lost = entered * done_before / entered_before - done
    return (abs(lost), said, lost > 0) if said else None
