"""Product telemetry with known faults and known dirt, for demonstrations, tests and benchmarks.

`simulate` writes one log file a day and, beside the logs, the truth about them: which incidents were injected
and which rows are dirty. The same plan gives the same bytes. Nothing here imports Dagster or reads a clock.

The parts: `plan` (what to simulate), `catalogue` and `profile` (what is healthy), `population` (who),
`incidents` (what breaks), `telemetry` (a day of clean events), `dirt` (what spoils rows), `render` and
`writer` (files). With `people_plan`, users are `people` with lives and `journeys`; `people_truth` tells of them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from quality_assets.simulate import dirt, profile, writer
from quality_assets.simulate.change_plan import Change
from quality_assets.simulate.changes import CHANGE_COLUMNS, change_rows
from quality_assets.simulate.incidents import INCIDENT_COLUMNS, incident_rows
from quality_assets.simulate.people_plan import PeoplePlan
from quality_assets.simulate.people_truth import write_people_truth
from quality_assets.simulate.plan import FILE_FORMATS, FileFormat, Incident, SimulationPlan, SimulationResult
from quality_assets.simulate.render import Renderer, Row
from quality_assets.simulate.streams import Ids, Stream, generator
from quality_assets.simulate.telemetry import build_world, simulate_day
from quality_assets.simulate.world import DAY_MS, EventBatch, World

__all__ = ["Change", "FileFormat", "Incident", "PeoplePlan", "SimulationPlan", "SimulationResult", "simulate"]

DirtTableRow = tuple[str, int, str, str, str]


def simulate(
    plan: SimulationPlan,
    out: Path,
    *,
    format: FileFormat = "csv",
    on_progress: Callable[[int, int], None] | None = None,
) -> SimulationResult:
    """Write the telemetry of a plan under `out` and return what was written.

    `logs/events-YYYY-MM-DD.<format>` holds the rows that ARRIVE on a day; events that would arrive after the
    last day are not written. Beside it: incidents.csv, dirt.csv, releases.csv, feature_metadata.csv, of a plan
    with people the tables of `people_truth`, and changes.csv where something changes that is no fault. Files of
    the same name are replaced, others are left alone.
    `on_progress(days_done, days)` is called after each day.

    Raises ValueError for an unknown format or for incidents that cannot happen in the plan.
    """
    if format not in FILE_FORMATS:
        raise ValueError(f"format must be one of {', '.join(FILE_FORMATS)}, not {format!r}")
    world = build_world(plan)
    logs = out / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    renderer, carried = Renderer(world), _Carried()
    files: list[writer.WrittenFile] = []
    dirt_rows: list[DirtTableRow] = []
    for day in range(plan.days):
        written, day_dirt = _write_day(world, day, logs, format, renderer, carried)
        files.append(written)
        dirt_rows.extend(day_dirt)
        if on_progress is not None:
            on_progress(day + 1, plan.days)
    _write_truth(world, out, dirt_rows)
    if world.people is not None:
        write_people_truth(world.people, plan, out, np.concatenate(carried.lost_event_ids))
    return SimulationResult(
        out=out,
        log_files=tuple(file.path for file in files),
        rows=sum(file.rows for file in files),
        dirty_rows=len(dirt_rows),
        bytes_written=sum(file.bytes_written for file in files),
        incidents=world.incidents,
    )


@dataclass
class _Carried:
    """What one day leaves to the next: events on their way, by arrival day, and rows to deliver again."""

    in_transit: dict[int, list[EventBatch]] = field(default_factory=dict)
    to_repeat: list[Row] = field(default_factory=list)
    lost_event_ids: list[Ids] = field(default_factory=list)


def _write_day(
    world: World, day: int, logs: Path, file_format: FileFormat, renderer: Renderer, carried: _Carried
) -> tuple[writer.WrittenFile, list[DirtTableRow]]:
    plan = world.plan
    batch = _arrivals(simulate_day(world, day), day, carried)
    carried.lost_event_ids.append(batch.event_id[batch.is_broken])
    rng = generator(plan.seed, Stream.DIRT, day)
    dirty = dirt.soil(batch, renderer, file_format, plan.dirt_share, rng, carried.to_repeat)
    carried.to_repeat = dirt.rows_to_repeat(batch, renderer, dirty, rng)
    path = logs / f"events-{plan.date_of(day).isoformat()}.{file_format}"
    written = writer.write_log_file(path, batch, dirty, renderer, file_format)
    truth = [
        (path.name, line, row.kind.name, row.kind.expected, row.event_id)
        for row, line in zip(dirty, written.dirty_lines, strict=True)
    ]
    return written, truth


def _arrivals(happened: EventBatch, day: int, carried: _Carried) -> EventBatch:
    """Return what arrives on a day, by time of day; events that are late stay in transit."""
    for delay_days in (1, 2):
        late = happened.take(happened.arrival_days == delay_days)
        carried.in_transit.setdefault(day + delay_days, []).append(late)
    on_time = happened.take(happened.arrival_days == 0)
    arrived = EventBatch.concatenate([on_time, *carried.in_transit.pop(day, [])])
    ms_of_arrival_day = (arrived.event_ms % DAY_MS).astype(np.int32)
    return arrived.take(np.argsort(ms_of_arrival_day, kind="stable"))


def _write_truth(world: World, out: Path, dirt_rows: list[DirtTableRow]) -> None:
    plan = world.plan
    writer.write_table(out / "incidents.csv", INCIDENT_COLUMNS, incident_rows(world.incidents))
    writer.write_table(out / "dirt.csv", dirt.DIRT_COLUMNS, dirt_rows)
    if world.changes:
        writer.write_table(out / "changes.csv", CHANGE_COLUMNS, change_rows(world.changes))
    releases = profile.release_rows(world.calendar, plan.start_date, plan.days)
    writer.write_table(out / "releases.csv", profile.RELEASE_COLUMNS, releases)
    metadata = profile.metadata_rows(world.features, world.profiles, plan.start_date)
    writer.write_table(out / "feature_metadata.csv", profile.METADATA_COLUMNS, metadata)
