"""Queries of events as the catalogue tells of them: their words, what they stand for, and which came or went lately."""

from __future__ import annotations

from datetime import timedelta

from quality_assets.contracts.definitions import SIGNALS, Happening
from quality_assets.contracts.impact import MONTH_DAYS
from quality_assets.domain.impact import impact_words as words
from quality_assets.read.impact import EVENT_DAYS, definitions, first_date
from quality_assets.read.reader import Reader, Row, per_snapshot


@per_snapshot
def _described(reader: Reader) -> dict[tuple[str | None, str], Row]:
    return {
        (event.get("feature"), event["event_name"]): event
        for row in definitions(reader, "events")
        for event in row["said"].get("events", [])
    }


@per_snapshot
def catalogue(reader: Reader) -> list[Row]:
    """Every event that was seen, or that somebody has described: in words, its signal, and when it was last seen."""
    described = dict(_described(reader))
    seen = []
    if reader.has(EVENT_DAYS):
        seen = reader.rows(
            f"select feature, event_name, sum(events) as events, min(event_date) as first_seen_date,"
            f" max(event_date) as last_seen_date from {EVENT_DAYS} group by feature, event_name order by 1, 2"
        )
    found = [
        row | {"words": said["words"] if said else None, "signal": said["signal"] if said else None}
        for row in seen
        for said in [described.pop((row["feature"], row["event_name"]), described.get((None, row["event_name"])))]
    ]
    never = {"events": 0, "first_seen_date": None, "last_seen_date": None}
    names = {row["event_name"] for row in seen}
    return found + [
        {"feature": feature, "event_name": name, **never, "words": said["words"], "signal": said["signal"]}
        for (feature, name), said in described.items()
        if feature is not None or name not in names
    ]


@per_snapshot
def catalogue_by_name(reader: Reader) -> list[Row]:
    """As `catalogue`, of events that have words; features that share name and words are one row, `features` of them."""
    found: dict[tuple[str, str], Row] = {}
    for row in catalogue(reader):
        if not row["words"]:
            continue
        key = (row["event_name"], row["words"])
        so_far = found.setdefault(key, row | {"events": 0, "features": 0})
        so_far["events"] += row["events"]
        so_far["features"] += row["events"] > 0
        seen = [day for day in (so_far["last_seen_date"], row["last_seen_date"]) if day]
        so_far["last_seen_date"] = max(seen, default=None)
    # A signal at a time, in the order of a journey; what stands for none comes last.
    order = {signal: n for n, signal in enumerate(SIGNALS)}
    return sorted(found.values(), key=lambda row: (order.get(row["signal"], len(order)), row["event_name"]))


def step_meaning(reader: Reader, step: Happening) -> str:
    """What a step's event is in words, and what it stands for: `begins the quiz · interest`; '' where nothing says."""
    described = _described(reader)
    name = step.event_name or ""
    said = described.get((step.feature, name)) or described.get((None, name))
    return " · ".join(part for part in (said["words"], said["signal"]) if part) if said else ""


@per_snapshot
def events_of(reader: Reader, feature: str) -> list[Row]:
    """The events of one feature as the catalogue has them, the most frequent first."""
    return sorted(
        (row for row in catalogue(reader) if row["feature"] == feature),
        key=lambda row: (-row["events"], row["event_name"]),
    )


@per_snapshot
def changed_events(reader: Reader, feature: str) -> list[str]:
    """Events of a feature that came or went in the last 28 days: figures of sessions move with them, not with people.

    `save is new since 3 May 2026`; `tap was last seen on 9 May 2026`.
    """
    through, first = reader.through, first_date(reader)
    if through is None or first is None:
        return []
    recent = through - timedelta(days=MONTH_DAYS)
    told = []
    for row in events_of(reader, feature):
        if row["first_seen_date"] and row["first_seen_date"] > recent > first:
            told.append(f"{row['event_name']} is new since {words.day_text(row['first_seen_date'])}")
        # A rare event may be absent for some days without having gone.
        elif row["last_seen_date"] and recent < row["last_seen_date"] < through - timedelta(days=7):
            told.append(f"{row['event_name']} was last seen on {words.day_text(row['last_seen_date'])}")
    return told
